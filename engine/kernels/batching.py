"""
The end of a matching window: a batch of waiting contacts is assigned to agents as a whole.

`gathering` makes the batch. Each of its contacts brings the agents it suits best, as many as the
batch has contacts at most: if another takes one, the next is left. Then `solving` finds the pairs
with

1. as many contacts as possible, and of those past the starvation bound, or of a LIFO queue, the
   first in the order of the batch;
2. as few agents as possible who have been occupied for too long;
3. the greatest sum of score and pressure over all pairs: who suits whom, and whose wait presses.

A contact that many agents failed with goes round: instead of by score it is valued by the share of
all offers that were made since the agent's last. Ties between agents of one contact go as in
`matching`; between assignments that are worth the same the solver chooses, always the same.

An agent takes one contact of a batch; what is left is assigned in the next batch, at once, until
nobody who waits suits anybody with room. Only then are contacts offered to further agents, where
the queue has them offered to several.
"""

import math
from typing import Final

import numpy as np

from engine.kernels.bits import lowest_bit
from engine.kernels.boundary import (
    Table,
    open_agents,
    open_batch,
    open_bitsets,
    open_cell,
    open_classes,
    open_contacts,
    open_queues,
)
from engine.kernels.capacity import is_worn
from engine.kernels.columns import (
    EFFECT_COUNT,
    EFFECT_COUNT_MAX,
    ELIGIBLE,
    NEXT_OFFER,
    NOW_MS,
    WINDOW_AGENTS,
    WINDOW_BATCHES,
    WINDOW_CONTACTS,
    WINDOW_MATCHED,
)
from engine.kernels.compilation import kernel
from engine.kernels.deadlines import schedule_window
from engine.kernels.deciding import decide
from engine.kernels.eligibility import exclusion_ends, is_crowded, is_excluded, skilled_word
from engine.kernels.gathering import gather
from engine.kernels.matching import offer_to_more, offer_to_one
from engine.kernels.scoring import claim_of, is_better_tie, is_starving, score_agent
from engine.kernels.solving import RANK_WORTH, SPARED_WORTH, VALUE_STEPS, solve
from engine.lifecycle import DecisionKind, Intake, QueueOrder
from engine.limits import BATCH_CONTACTS_MAX, BROADCAST_MAX, EFFECT_ROOM_MIN, NEVER_MS

_PAUSED = int(Intake.PAUSED)
_LIFO = int(QueueOrder.LIFO)
_WINDOW = int(DecisionKind.WINDOW)
# Effects of an offer that is accepted as it is made; each further offer is one.
_EFFECTS_PER_OFFER: Final = 3
# Effects left for what the same step does besides. With as many again, one offer has room.
_ROOM_LEFT: Final = EFFECT_ROOM_MIN // 2
assert _EFFECTS_PER_OFFER + BROADCAST_MAX - 1 <= EFFECT_ROOM_MIN - _ROOM_LEFT


@kernel
def _value(table: Table, contact: int, agent: int, goes_round: bool) -> float:
    """What a pair of contact and agent is worth to the sum. O(items of the requirement)."""
    if goes_round:
        next_offer = open_cell(table).scalar[NEXT_OFFER]
        score = 1.0 - open_agents(table).last_offer[agent] / next_offer
    else:
        score = score_agent(table, agent, open_contacts(table).class_row[contact])
    # Those that starve go by age alone, which the order of the batch says.
    return score if is_starving(table, contact) else claim_of(table, contact, score)


@kernel
def _insert_agent(table: Table, row: int, agent: int, value: float) -> None:
    """
    Put an agent into its place among the best of a contact, whose others have lower rows.

    O(agents of the contact).
    """
    batch = open_batch(table)
    worn = 1 if is_worn(table, agent) else 0
    place = batch.agent_count[row]
    while place > 0:
        before = place - 1
        other = batch.agent[row, before]
        if batch.is_worn[row, before] != worn:
            is_better = worn == 0
        elif batch.value[row, before] != value:
            is_better = value > batch.value[row, before]
        else:
            is_better = is_better_tie(table, agent, other)
        if not is_better:
            break
        place = before
    if place == BATCH_CONTACTS_MAX:
        return
    last = min(batch.agent_count[row], BATCH_CONTACTS_MAX - 1)
    for item in range(last, place, -1):
        batch.agent[row, item] = batch.agent[row, item - 1]
        batch.is_worn[row, item] = batch.is_worn[row, item - 1]
        batch.value[row, item] = batch.value[row, item - 1]
    batch.agent[row, place] = agent
    batch.is_worn[row, place] = worn
    batch.value[row, place] = value
    batch.agent_count[row] = last + 1


@kernel
def _find_agents(table: Table, row: int) -> None:
    """Find the best agents for a contact of the batch. O(agents / 64 + eligible x best)."""
    batch = open_batch(table)
    contact = batch.contact[row]
    now_ms = open_cell(table).scalar[NOW_MS]
    class_row = open_contacts(table).class_row[contact]
    free = open_bitsets(table).free_agents[open_classes(table).channel[class_row]]
    has_failed = exclusion_ends(table, contact, now_ms, NEVER_MS) < NEVER_MS
    goes_round = has_failed and is_crowded(table, contact, now_ms)
    batch.agent_count[row] = 0
    eligible = 0
    for word in range(free.shape[0]):
        if free[word] == np.uint64(0):
            continue
        candidates = skilled_word(table, class_row, word, free[word])
        while candidates != np.uint64(0):
            agent = (word << 6) + lowest_bit(candidates)
            candidates &= candidates - np.uint64(1)
            if has_failed and is_excluded(table, contact, agent, now_ms):
                continue
            eligible += 1
            _insert_agent(table, row, agent, _value(table, contact, agent, goes_round))
    batch.eligible[row] = eligible


@kernel
def _list_agents(table: Table, rows: int) -> int:
    """
    List the agents of a batch once each, in the order of contacts and, of each, the best first;
    returns how many. O(contacts x agents of each).
    """
    batch = open_batch(table)
    batch_place = open_agents(table).batch_place
    columns = 0
    for row in range(rows):
        for item in range(batch.agent_count[row]):
            agent = batch.agent[row, item]
            if batch_place[agent] < 0:
                batch_place[agent] = columns
                batch.chosen_from[columns] = agent
                columns += 1
    return columns


@kernel
def _give_each_its_best(table: Table, rows: int) -> bool:
    """
    Let every contact of the batch have the best agent for it, if none is the best for two: nothing
    could be worth more. False where one is. O(contacts^2).
    """
    batch = open_batch(table)
    batch_place = open_agents(table).batch_place
    for row in range(rows):
        for other in range(row):
            if batch.agent[other, 0] == batch.agent[row, 0]:
                return False
    for row in range(rows):
        batch.chosen[row] = batch_place[batch.agent[row, 0]]
    return True


@kernel
def _ranked(table: Table, rows: int) -> int:
    """Contacts at the head of the batch that go strictly in their order. O(contacts)."""
    batch = open_batch(table)
    if open_queues(table).order[open_contacts(table).queue[batch.contact[0]]] == _LIFO:
        return rows
    ranked = 0
    while ranked < rows and is_starving(table, batch.contact[ranked]):
        ranked += 1
    return ranked


@kernel
def _weigh(table: Table, rows: int, columns: int) -> None:
    """Write what every pair is worth, 0 for one that cannot be. O(contacts x agents)."""
    batch = open_batch(table)
    batch_place = open_agents(table).batch_place
    worth = batch.worth
    least, most = batch.value[0, 0], batch.value[0, 0]
    for row in range(rows):
        for item in range(batch.agent_count[row]):
            least = min(least, batch.value[row, item])
            most = max(most, batch.value[row, item])
    scale = VALUE_STEPS / (most - least) if most > least else 0.0
    for place in range(rows * columns):
        worth[place] = 0.0
    ranked = _ranked(table, rows)
    for row in range(rows):
        rank = 1 + max(0, ranked - row)
        for item in range(batch.agent_count[row]):
            place = row * columns + batch_place[batch.agent[row, item]]
            steps = math.floor((batch.value[row, item] - least) * scale + 0.5)
            spared = batch.is_worn[row, item] * SPARED_WORTH
            worth[place] = rank * RANK_WORTH - spared + steps


@kernel
def _room_for_offers(table: Table, queue: int, offered: int) -> int:
    """
    Offers that effects have room for in the running call, with what they bring about, when so many
    made before are still to be made to more agents. O(1).
    """
    scalar = open_cell(table).scalar
    further = open_queues(table).broadcast_max[queue] - 1
    room = scalar[EFFECT_COUNT_MAX] - scalar[EFFECT_COUNT] - offered * further - _ROOM_LEFT
    return room // (_EFFECTS_PER_OFFER + further)


@kernel
def _offer_pairs(table: Table, rows: int, offered: int, room: int) -> int:
    """
    Offer contacts of the batch to the agents chosen, at most `room`, and list them behind those
    offered before; returns how many are listed then. O(offers x (channels + log contacts)).
    """
    batch = open_batch(table)
    for row in range(rows):
        if batch.chosen[row] < 0 or room == 0:
            continue
        contact = batch.contact[row]
        agent = batch.chosen_from[batch.chosen[row]]
        runner_up = batch.agent[row, 0]
        if runner_up == agent:
            runner_up = batch.agent[row, 1] if batch.agent_count[row] > 1 else -1
        open_cell(table).scalar[ELIGIBLE] = batch.eligible[row]
        decide(table, contact, agent, runner_up, _WINDOW)
        offer_to_one(table, contact, agent)
        batch.offered[offered] = contact
        offered += 1
        room -= 1
    return offered


@kernel
def _choose(table: Table, queue: int, rows: int) -> None:
    """Choose agents for a batch that was gathered. As `_find_agents` of each, and `solve`."""
    batch = open_batch(table)
    batch_place = open_agents(table).batch_place
    for row in range(rows):
        _find_agents(table, row)
    columns = _list_agents(table, rows)
    if not _give_each_its_best(table, rows):
        _weigh(table, rows, columns)
        solve(table, rows, columns)
    for column in range(columns):
        batch_place[batch.chosen_from[column]] = -1
    totals = open_queues(table).window_totals[queue]
    totals[WINDOW_BATCHES] += 1
    totals[WINDOW_CONTACTS] += rows
    totals[WINDOW_AGENTS] += columns


@kernel
def end_window(table: Table, queue: int) -> None:
    """
    End a queue's matching window and assign what waits, batch by batch, until nobody who waits
    suits anybody with room; then offer it to more agents where the queue says so.

    When effects run out of room, the window is made to end at once again.
    One `gather`, `_choose` and `_offer_pairs` per batch, and one search per further offer.
    """
    schedule_window(table, queue, NEVER_MS)
    if open_queues(table).intake[queue] == _PAUSED:
        return
    offered = 0
    rows = gather(table, queue)
    while rows > 0:
        room = _room_for_offers(table, queue, offered)
        if room <= 0:
            schedule_window(table, queue, open_cell(table).scalar[NOW_MS])
            break
        _choose(table, queue, rows)
        offered = _offer_pairs(table, rows, offered, room)
        rows = gather(table, queue)
    open_queues(table).window_totals[queue, WINDOW_MATCHED] += offered
    for place in range(offered):
        offer_to_more(table, open_batch(table).offered[place])
