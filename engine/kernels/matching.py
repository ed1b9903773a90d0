"""
Matching: the best agent for a contact, the best contact for an agent, and the offer that joins
them.

Every place where room or a contact appears ends in one of the `match_` kernels, so the backlog is
looked at at once and an agent never sits beside a contact it could take. Where only one of the two
appears (a new contact, a freed agent) one search is enough; where both do, every offer is checked
from both sides, so that neither order nor strategy depends on who is looked at first.

Queues with matching windows take no part in this: their `match_` calls only see to it that one is
open, and what waits is assigned when it ends (`matching_windows`, `batching`).

Where a docstring counts searches, one is a run of `best_agent` or `best_contact`.
"""

import numpy as np

from engine.effects import Reason
from engine.kernels.bits import lowest_bit
from engine.kernels.boundary import (
    Table,
    open_agents,
    open_bitsets,
    open_cell,
    open_classes,
    open_contacts,
    open_queues,
)
from engine.kernels.capacity import is_worn
from engine.kernels.columns import ELIGIBLE, NOW_MS, RUNNER_UP
from engine.kernels.compilation import kernel
from engine.kernels.deadlines import schedule_contact
from engine.kernels.deciding import decide
from engine.kernels.eligibility import (
    exclusion_ends,
    first_allowed,
    is_crowded,
    is_excluded,
    meets_class,
    skilled_word,
)
from engine.kernels.matching_windows import is_windowed, open_window, open_windows_for
from engine.kernels.offering import assign, is_offered_to, issue, offer_to_another
from engine.kernels.recording import has_effect_room
from engine.kernels.scoring import fit, is_better_tie, score_agent, standing_of
from engine.kernels.waiting import is_before, leave_class
from engine.lifecycle import ContactState, DecisionKind, Intake, QueueOrder
from engine.limits import NEVER_MS, PRIORITY_MAX

_QUEUED = int(ContactState.QUEUED)
_OFFERED = int(ContactState.OFFERED)
_PAUSED = int(Intake.PAUSED)
_LIFO = int(QueueOrder.LIFO)
_NONE = int(Reason.NONE)
_RETURNED = int(DecisionKind.RETURNED)
_FREED = int(DecisionKind.FREED)
_BACKLOG = int(DecisionKind.BACKLOG)


@kernel
def may_join(table: Table, contact: int, agent: int) -> bool:
    """
    Whether an agent can be offered a contact beside others: it is not yet, and does not accept at
    once, for then the others would ring for nothing. O(offers of the contact).
    """
    accepts_at_once = open_agents(table).auto_accept[agent] > 0
    return not accepts_at_once and not is_offered_to(table, contact, agent)


@kernel
def _score(table: Table, agent: int, class_row: int, goes_round: bool) -> float:
    """Score of an agent, or how long ago its last offer is where a contact goes round. As there."""
    if goes_round:
        return -1.0 * open_agents(table).last_offer[agent]
    return score_agent(table, agent, class_row)


@kernel
def best_agent(table: Table, contact: int) -> int:
    """
    Row of the best agent with room for a waiting contact, or of the next best to be offered it as
    well; -1 when there is none.

    For a contact that many agents failed with, best is whose last offer is longest ago. Agents who
    have been occupied for too long come last.
    O(agents / 64 + eligible).
    """
    contacts = open_contacts(table)
    bitsets = open_bitsets(table)
    now_ms = open_cell(table).scalar[NOW_MS]
    class_row = contacts.class_row[contact]
    free = bitsets.free_agents[contacts.channel[contact]]
    has_failed = exclusion_ends(table, contact, now_ms, NEVER_MS) < NEVER_MS
    goes_round = has_failed and is_crowded(table, contact, now_ms)
    is_offered = contacts.state[contact] == _OFFERED
    best = runner_up = -1
    best_is_last = False
    eligible = 0
    best_score = runner_up_score = -np.inf
    for word in range(free.shape[0]):
        if free[word] == np.uint64(0):
            continue
        candidates = skilled_word(table, class_row, word, free[word])
        while candidates != np.uint64(0):
            agent = (word << 6) + lowest_bit(candidates)
            candidates &= candidates - np.uint64(1)
            if (has_failed and is_excluded(table, contact, agent, now_ms)) or (
                is_offered and not may_join(table, contact, agent)
            ):
                continue
            eligible += 1
            score = _score(table, agent, class_row, goes_round)
            is_better = score > best_score or (
                score == best_score and is_better_tie(table, agent, best)
            )
            if is_better or best_is_last:
                is_last = is_worn(table, agent)
                if is_last != best_is_last and best >= 0:
                    is_better = best_is_last
                if is_better:
                    best_is_last = is_last
            if is_better:
                runner_up, runner_up_score = best, best_score
                best, best_score = agent, score
            elif score > runner_up_score:
                runner_up, runner_up_score = agent, score
    scalar = open_cell(table).scalar
    scalar[RUNNER_UP] = runner_up
    scalar[ELIGIBLE] = eligible
    return best


@kernel
def _newest_allowed(table: Table, class_row: int, agent: int) -> int:
    """
    Last contact of a class that did not recently fail with the agent, -1 for none.

    O(contacts passed over).
    """
    contacts = open_contacts(table)
    now_ms = open_cell(table).scalar[NOW_MS]
    contact = open_classes(table).tail[class_row]
    while contact >= 0 and is_excluded(table, contact, agent, now_ms):
        contact = contacts.preceding[contact]
    return contact


@kernel
def _newest_contact(table: Table, agent: int, queue: int) -> int:
    """
    Contact of a queue that an agent may take with the highest priority, of those the newest; -1 for
    none.

    O(classes with waiting contacts in the queue).
    """
    classes = open_classes(table)
    newest, priority = -1, 0
    class_row = open_queues(table).first_class[queue]
    while class_row >= 0:
        is_lower = newest >= 0 and classes.priority[class_row] < priority
        if not is_lower and meets_class(table, agent, class_row):
            contact = _newest_allowed(table, class_row, agent)
            is_higher = newest < 0 or classes.priority[class_row] > priority
            if contact >= 0 and (is_higher or is_before(table, newest, contact)):
                newest, priority = contact, classes.priority[class_row]
        class_row = classes.following[class_row]
    return newest


@kernel
def best_contact(table: Table, agent: int) -> int:
    """
    Row of the waiting contact with the greatest claim on an agent, of queues without matching
    windows; -1 when it can take none.

    The head's claim bounds its class, so the contacts behind it are looked at only where the head
    recently failed with the agent. Where the queue that goes first is LIFO, its newest contact of
    the highest priority takes the place of the one that claimed, unless that starves.
    O(queues / 64 + classes with waiting contacts in the agent's queues).
    """
    contacts = open_contacts(table)
    bitsets = open_bitsets(table)
    classes = open_classes(table)
    queues = open_queues(table)
    best = -1
    best_standing = (False, -PRIORITY_MAX, -np.inf)
    for word in range(bitsets.waiting_queues.shape[1]):
        served = bitsets.waiting_queues[0, word] & bitsets.agent_queues[agent, word]
        while served != np.uint64(0):
            queue = (word << 6) + lowest_bit(served)
            served &= served - np.uint64(1)
            class_row = queues.first_class[queue]
            while class_row >= 0:
                if meets_class(table, agent, class_row):
                    contact = classes.head[class_row]
                    its_fit = fit(table, agent, class_row)
                    standing = standing_of(table, contact, its_fit)
                    if standing >= best_standing:
                        contact = first_allowed(table, class_row, agent)
                        if contact != classes.head[class_row] and contact >= 0:
                            standing = standing_of(table, contact, its_fit)
                        if contact >= 0 and (
                            standing > best_standing
                            or (standing == best_standing and is_before(table, contact, best))
                        ):
                            best = contact
                            best_standing = standing
                class_row = classes.following[class_row]
    if best >= 0 and not best_standing[0] and queues.order[contacts.queue[best]] == _LIFO:
        return _newest_contact(table, agent, contacts.queue[best])
    return best


@kernel
def offer(table: Table, contact: int, agent: int) -> None:
    """
    Offer a waiting contact to an agent with room for it, and to more where its queue says so; who
    accepts offers as they are made has it at once.

    O(channels + log contacts), and one search per further offer.
    """
    offer_to_one(table, contact, agent)
    offer_to_more(table, contact)


@kernel
def offer_to_one(table: Table, contact: int, agent: int) -> None:
    """
    Offer a waiting contact to an agent with room for it, who may accept offers as they are made.

    O(channels + log contacts).
    """
    agents = open_agents(table)
    contacts = open_contacts(table)
    leave_class(table, contact)
    cost = agents.channel_cost[agent, contacts.channel[contact]]
    issue(table, contact, agent, cost, _NONE)
    if agents.auto_accept[agent] > 0:
        assign(table, contact)


@kernel
def offer_to_more(table: Table, contact: int) -> None:
    """
    Offer a contact that has just been offered to as many more as its queue says, unless it was
    accepted at once. One search per offer made.
    """
    contacts = open_contacts(table)
    if contacts.state[contact] != _OFFERED:
        return
    for _ in range(1, open_queues(table).broadcast_max[contacts.queue[contact]]):
        another = best_agent(table, contact)
        if another < 0:
            break
        offer_to_another(table, contact, another)


@kernel
def find_agent(table: Table, contact: int) -> int:
    """
    Best agent for a waiting contact, -1 when there is none or its queue is paused.

    One search.
    """
    if open_queues(table).intake[open_contacts(table).queue[contact]] == _PAUSED:
        return -1
    return best_agent(table, contact)


@kernel
def relaxes_ms(table: Table, contact: int) -> int:
    """When a waiting contact takes its next relaxation step, NEVER_MS for none. O(1)."""
    contacts = open_contacts(table)
    classes = open_classes(table)
    class_row = contacts.class_row[contact]
    if classes.relaxed[class_row] < 0:
        return NEVER_MS
    return contacts.queued_ms[contact] + classes.relaxes_after_ms[class_row]


@kernel
def schedule_wait(table: Table, contact: int) -> None:
    """
    Set a waiting contact's deadline: its maximum wait, or sooner its next relaxation step or the
    end of an exclusion.

    O(log contacts).
    """
    now_ms = open_cell(table).scalar[NOW_MS]
    due_ms = min(open_contacts(table).expires_ms[contact], relaxes_ms(table, contact))
    schedule_contact(table, contact, exclusion_ends(table, contact, now_ms, due_ms))


@kernel
def match_new(table: Table, contact: int, kind: int) -> bool:
    """
    Offer a contact that has just joined its class to the best agent; True when offered.

    No agent with room has anything better to do, for it would have been offered that before. Where
    the queue has matching windows it waits for the end of one. One search.
    """
    agent = find_agent(table, contact)
    if agent >= 0 and is_windowed(table, contact):
        open_window(table, open_contacts(table).queue[contact])
        agent = -1
    runner_up = open_cell(table).scalar[RUNNER_UP] if agent >= 0 else -1
    decide(table, contact, agent, runner_up, kind)
    if agent < 0:
        schedule_wait(table, contact)
        return False
    offer(table, contact, agent)
    return True


@kernel
def _take_up(table: Table, contact: int, agent: int, kind: int) -> None:
    """Offer the contact an agent is to have, and record why. As `offer`."""
    decide(table, contact, agent, -1, kind)
    offer(table, contact, agent)


@kernel
def match_returned(table: Table, contact: int) -> None:
    """
    Find an agent for a waiting contact when others may have room or be waiting for the same reason.

    A contact comes back together with the room it took, and perhaps with other contacts. So the
    agent it would go to is offered the best of its backlog, and the contact looks again until it is
    offered itself or nobody has room, or has a matching window begin. When effects run out of room
    it is made due at once. Two searches per offer made.
    """
    contacts = open_contacts(table)
    while contacts.state[contact] == _QUEUED:
        agent = find_agent(table, contact)
        if agent >= 0 and is_windowed(table, contact):
            open_window(table, contacts.queue[contact])
            agent = -1
        if agent < 0:
            schedule_wait(table, contact)
            return
        if not has_effect_room(table):
            schedule_contact(table, contact, open_cell(table).scalar[NOW_MS])
            return
        _take_up(table, best_contact(table, agent), agent, _RETURNED)


@kernel
def match_freed(table: Table, agent: int) -> bool:
    """
    Offer waiting contacts to an agent that has just got room, while it has room.

    Nobody else with room could take them. False when effects ran out of room: call again.
    One search per offer made.
    """
    while has_effect_room(table):
        contact = best_contact(table, agent)
        if contact < 0:
            open_windows_for(table, agent)
            return True
        _take_up(table, contact, agent, _FREED)
    return False


@kernel
def match_backlog(table: Table, agent: int) -> bool:
    """
    Offer what waits for an agent, by strategy among all with room, when many may have had room.

    False when effects ran out of room: call again. Three searches per offer made.
    """
    while has_effect_room(table):
        contact = best_contact(table, agent)
        if contact < 0:
            open_windows_for(table, agent)
            return True
        chosen = best_agent(table, contact)
        _take_up(table, best_contact(table, chosen), chosen, _BACKLOG)
    return False
