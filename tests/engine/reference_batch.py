"""
The reference router's end of a matching window.

Compare `engine.kernels.batching` and `solving`. Both leave the assignment itself to scipy, whose
answer `test_batching` compares with every assignment there is.
"""

import math

import numpy as np
from scipy.optimize import linear_sum_assignment

from engine.kernels.solving import RANK_WORTH, SPARED_WORTH, VALUE_STEPS
from engine.lifecycle import Intake, QueueOrder
from engine.limits import BATCH_CONTACTS_MAX, EFFECT_ROOM_MIN, NEVER_MS
from tests.engine.reference_floor import Floor, newest_first, order_in_class
from tests.engine.reference_moves import offer_to_more, offer_to_one
from tests.engine.reference_subjects import RefAgent, RefContact, RefQueue

# What a pair may be worth: whether the agent should be spared, and score with pressure.
Pair = tuple[bool, float]


def end_window(floor: Floor, queue: RefQueue) -> None:
    """Assign batch by batch, until nobody who waits suits anybody with room."""
    queue.window_ends_ms = NEVER_MS
    if queue.intake is Intake.PAUSED:
        return
    offered: list[RefContact] = []
    while batch := gathered(floor, queue):
        room = room_for_offers(floor, queue, len(offered))
        if room <= 0:
            queue.window_ends_ms = floor.now_ms
            break
        offered += assign_batch(floor, queue, batch, room)
    for contact in offered:
        offer_to_more(floor, contact)


def room_for_offers(floor: Floor, queue: RefQueue, offered: int) -> int:
    """How many more offers this call may make, each with all effects it may have."""
    further = queue.definition.broadcast_max - 1
    room = floor.effects_max - len(floor.effects) - offered * further - EFFECT_ROOM_MIN // 2
    return room // (3 + further)


def starves(floor: Floor, contact: RefContact) -> bool:
    """Whether it is past its queue's starvation bound."""
    bound_ms = floor.queue_of(contact).definition.starvation_bound_ms
    return 0 < bound_ms <= floor.now_ms - contact.since_ms


def order_in_batch(floor: Floor, contact: RefContact) -> tuple[float | bool, ...]:
    """Which contact goes before which."""
    queue = floor.queue_of(contact)
    if not starves(floor, contact) and queue.definition.order is QueueOrder.LIFO:
        return (True, *newest_first(contact))
    return (not starves(floor, contact), -pressure(floor, contact), *order_in_class(contact))


def pressure(floor: Floor, contact: RefContact) -> float:
    """What a contact claims of anybody."""
    queue = floor.queue_of(contact)
    weights = floor.weights(queue)
    per_ms = 1.0 / queue.definition.service_level_within_ms
    if starves(floor, contact):
        return (floor.now_ms - contact.since_ms) * per_ms
    ratio = (floor.now_ms - floor.key_ms(contact)) * per_ms
    claim = weights.wait * ratio
    if weights.urgency:
        claim += weights.urgency * max(0.0, ratio - weights.urgent_from)
    if weights.lateness:
        claim -= weights.lateness * max(0.0, ratio - 1.0)
    return claim


def gathered(floor: Floor, queue: RefQueue) -> list[RefContact]:
    """Contacts of the batch, in their order: of each kind no more than agents could take."""
    batch: list[RefContact] = []
    for alike in floor.waiting.values():
        if alike[0].queue_id != queue.queue_id:
            continue
        meeting = [
            agent
            for agent in floor.agents.values()
            if agent.meets(alike[0]) and agent.has_room(alike[0].channel)
        ]
        may = [contact for contact in alike if floor.takers(contact)]
        may.sort(key=lambda contact: order_in_batch(floor, contact))
        batch += may[: len(meeting)]
    batch.sort(key=lambda contact: order_in_batch(floor, contact))
    return batch[:BATCH_CONTACTS_MAX]


def pair_of(floor: Floor, contact: RefContact, agent: RefAgent) -> Pair:
    """What an agent for a contact is worth."""
    if floor.is_crowded(contact):
        value = 1.0 - agent.last_offer / floor.next_offer
    else:
        value = floor.score(agent, contact)
    if not starves(floor, contact):
        value = pressure(floor, contact) + value
    return agent.is_worn(floor.now_ms), value


def best_agents(floor: Floor, contact: RefContact) -> list[RefAgent]:
    """Agents for a contact, the best first, as many as could be left to it at most."""

    def order(agent: RefAgent) -> tuple[float, ...]:
        is_worn, value = pair_of(floor, contact, agent)
        return is_worn, -value, agent.load_ratio, agent.idle_since_ms, agent.row

    return sorted(floor.takers(contact), key=order)[:BATCH_CONTACTS_MAX]


def ranks(floor: Floor, batch: list[RefContact]) -> list[int]:
    """How much sooner each contact goes, where their order is strict."""
    is_lifo = floor.queue_of(batch[0]).definition.order is QueueOrder.LIFO
    strict = [contact for contact in batch if is_lifo or starves(floor, contact)]
    return [1 + max(0, len(strict) - place) for place in range(len(batch))]


def chosen_agents(floor: Floor, batch: list[RefContact]) -> list[RefAgent | None]:
    """Agent of each contact of the batch, None where it gets none."""
    candidates = [best_agents(floor, contact) for contact in batch]
    firsts = [agents[0] for agents in candidates]
    if len({agent.row for agent in firsts}) == len(firsts):
        return list(firsts)
    agents = listed(candidates)
    pairs = {
        (row, agents.index(agent)): pair_of(floor, contact, agent)
        for row, (contact, own) in enumerate(zip(batch, candidates, strict=True))
        for agent in own
    }
    values = [value for _, value in pairs.values()]
    least, most = min(values), max(values)
    scale = VALUE_STEPS / (most - least) if most > least else 0.0
    rank = ranks(floor, batch)
    worth = np.zeros((len(batch), len(agents)))
    for (row, column), (is_worn, value) in pairs.items():
        steps = math.floor((value - least) * scale + 0.5)
        worth[row, column] = rank[row] * RANK_WORTH - is_worn * SPARED_WORTH + steps
    chosen: list[RefAgent | None] = [None] * len(batch)
    for row, column in zip(*linear_sum_assignment(worth, maximize=True), strict=True):
        if worth[row, column] > 0:
            chosen[row] = agents[column]
    return chosen


def listed(candidates: list[list[RefAgent]]) -> list[RefAgent]:
    """Agents of all contacts, each once, in the order met."""
    agents: list[RefAgent] = []
    for own in candidates:
        agents += [agent for agent in own if agent not in agents]
    return agents


def assign_batch(
    floor: Floor, queue: RefQueue, batch: list[RefContact], room: int
) -> list[RefContact]:
    """Offer a batch to one agent each, as far as there is room; returns what was offered."""
    agents = listed([best_agents(floor, contact) for contact in batch])
    chosen = chosen_agents(floor, batch)
    pairs = [pair for pair in zip(batch, chosen, strict=True) if pair[1]][:room]
    for contact, agent in pairs:
        assert agent
        offer_to_one(floor, contact, agent)
    for place, count in enumerate((1, len(batch), len(agents), len(pairs))):
        queue.window_totals[place] += count
    return [contact for contact, _ in pairs]
