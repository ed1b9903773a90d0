"""
The moves of a contact between states, each by the table in `engine.lifecycle`; branches live in
`transitions`.
"""

from engine.effects import EffectKind, Reason
from engine.kernels.boundary import Table, open_cell, open_classes, open_contacts, open_queues
from engine.kernels.capacity import let_go, rest_begins
from engine.kernels.columns import (
    ABANDONED,
    ABANDONED_MS_SUM,
    CANCELLED,
    COMPLETED,
    ENDED_COUNT,
    ENDED_HEAD,
    ENDED_MAX,
    ENDED_RETENTION_MS,
    EXPIRED,
    HANDLE_MS_SUM,
    NOW_MS,
    OFFERS_FAILED,
    OPEN_COUNT,
    REJECTED,
    SHORT_ABANDONED,
)
from engine.kernels.compilation import kernel
from engine.kernels.consulting import end_consult, part, remember_agent
from engine.kernels.deadlines import schedule_contact
from engine.kernels.eligibility import exclude, is_crowded, is_only_agent, rest
from engine.kernels.estimates import learn_handling
from engine.kernels.joining import can_fall_back, fall_back, refer_to_class
from engine.kernels.matching import relaxes_ms
from engine.kernels.offering import lead_next, rescind_others
from engine.kernels.recording import mark_contact, mark_queue, record_contact
from engine.kernels.requests import IN_AGENT
from engine.kernels.scheduling import unschedule
from engine.kernels.waiting import join_class, join_ended, leave_class, leave_ended
from engine.lifecycle import NO_STATE, TRANSITION_TABLE, ContactState
from engine.limits import EXCLUSIONS_MAX, NEVER_MS, PAST_AGENTS_MAX
from engine.refusals import Refusal

_APPLIED = int(Refusal.NONE)
_ILLEGAL = int(Refusal.ILLEGAL_TRANSITION)
_NOT_YOURS = int(Refusal.NOT_YOURS)
_FREE = int(ContactState.FREE)
_QUEUED = int(ContactState.QUEUED)
_OFFERED = int(ContactState.OFFERED)
_ASSIGNED = int(ContactState.ASSIGNED)
_WRAP_UP = int(ContactState.WRAP_UP)
_SCHEDULED = int(ContactState.SCHEDULED)
_INTERRUPTED = int(ContactState.INTERRUPTED)
_DIVERTED = int(ContactState.DIVERTED)
_COMPLETED = int(ContactState.COMPLETED)
_ABANDONED = int(ContactState.ABANDONED)
_EXPIRED = int(ContactState.EXPIRED)
_CANCELLED = int(ContactState.CANCELLED)
_REJECTED = int(ContactState.REJECTED)
_CONTACT_REQUEUED = int(EffectKind.CONTACT_REQUEUED)
_CONTACT_COMPLETED = int(EffectKind.CONTACT_COMPLETED)
_CONTACT_RELAXED = int(EffectKind.CONTACT_RELAXED)
_CONTACT_EXPIRED = int(EffectKind.CONTACT_EXPIRED)
_OFFER_RESCINDED = int(EffectKind.OFFER_RESCINDED)
_SHORT_ABANDON = int(Reason.SHORT_ABANDON)
_MAX_WAIT = int(Reason.MAX_WAIT)
_NONE = int(Reason.NONE)


@kernel
def is_allowed(table: Table, contact: int, trigger: int) -> bool:
    """Whether the table of transitions lists the trigger for the contact's state. O(1)."""
    return TRANSITION_TABLE[open_contacts(table).state[contact], trigger] != NO_STATE


@kernel
def claim_contact(table: Table, contact: int, trigger: int) -> int:
    """Why the named agent cannot pull a trigger of a contact in its hands; 0 when it can. O(1)."""
    if not is_allowed(table, contact, trigger):
        return _ILLEGAL
    is_theirs = open_contacts(table).agent[contact] == open_cell(table).request[IN_AGENT]
    return _APPLIED if is_theirs else _NOT_YOURS


@kernel
def relax(table: Table, contact: int) -> None:
    """
    Have a waiting contact take the relaxation steps whose time has come; it keeps its age, and by
    it its place.

    O(steps x distance of its place from the nearer end of its class).
    """
    contacts = open_contacts(table)
    classes = open_classes(table)
    while relaxes_ms(table, contact) <= open_cell(table).scalar[NOW_MS]:
        leave_class(table, contact)
        refer_to_class(table, contact, classes.relaxed[contacts.class_row[contact]])
        join_class(table, contact)
        contacts.relaxed[contact] += 1
        record_contact(table, _CONTACT_RELAXED, contact, contacts.relaxed[contact], _NONE)


@kernel
def clear_contact(table: Table, contact: int) -> None:
    """Make a free row ready for a new contact. O(exclusions)."""
    contacts = open_contacts(table)
    contacts.rejection[contact] = 0
    contacts.class_row[contact] = -1
    contacts.agent[contact] = -1
    contacts.ended_ms[contact] = 0
    contacts.offer[contact] = 0
    contacts.first_offer[contact] = -1
    contacts.until_ms[contact] = 0
    contacts.cost[contact] = 0
    contacts.offers_failed[contact] = 0
    contacts.relaxed[contact] = 0
    contacts.estimated_ms[contact] = 0
    contacts.fell_back[contact] = 0
    contacts.window_ms[contact] = 0
    contacts.attempts[contact] = 0
    contacts.attempts_max[contact] = 0
    contacts.retry_ms[contact] = 0
    contacts.consult[contact] = -1
    contacts.consults_for[contact] = -1
    for place in range(PAST_AGENTS_MAX):
        contacts.past_agent[contact, place] = -1
    contacts.version[contact] = 0
    for place in range(EXCLUSIONS_MAX):
        contacts.excluded_agent[contact, place] = -1
        contacts.excluded_until_ms[contact, place] = 0


@kernel
def count_in_hand(table: Table, contact: int, change: int) -> None:
    """Add to the queue's count of contacts that agents hold in this contact's state. O(1)."""
    contacts = open_contacts(table)
    queues = open_queues(table)
    queue = contacts.queue[contact]
    state = contacts.state[contact]
    if state == _OFFERED:
        queues.offered[queue] += change
    elif state == _ASSIGNED:
        queues.assigned[queue] += change
    elif state == _WRAP_UP:
        queues.wrapping_up[queue] += change
    elif state == _INTERRUPTED:
        queues.interrupted[queue] += change


@kernel
def take_from_agent(table: Table, contact: int) -> int:
    """
    Take an offered, assigned or wrapping-up contact from its agent; returns the agent.

    O(channels).
    """
    contacts = open_contacts(table)
    count_in_hand(table, contact, -1)
    mark_queue(table, contacts.queue[contact])
    end_consult(table, contact)
    agent = let_go(table, contact)
    contacts.offer[contact] = 0
    return agent


@kernel
def return_to_queue(table: Table, contact: int, reason: int) -> None:
    """
    Put a contact that no agent holds any more back to its place, by routing age, taking the
    relaxation steps that came due meanwhile. One that has waited long enough falls back, or else
    ends. As `relax`.

    It is made due at once: whoever wants it matched sooner calls `match_returned`.
    """
    contacts = open_contacts(table)
    remember_agent(table, contact)
    contacts.agent[contact] = -1
    is_late = contacts.expires_ms[contact] <= open_cell(table).scalar[NOW_MS]
    if is_late and not can_fall_back(table, contact):
        end_contact(table, contact, _EXPIRED, _CONTACT_EXPIRED, _MAX_WAIT)
        return
    if is_late:
        fall_back(table, contact)
        reason = _MAX_WAIT
    contacts.state[contact] = _QUEUED
    join_class(table, contact)
    record_contact(table, _CONTACT_REQUEUED, contact, 0, reason)
    relax(table, contact)
    mark_queue(table, contacts.queue[contact])
    schedule_contact(table, contact, open_cell(table).scalar[NOW_MS])


@kernel
def take_back_offer(table: Table, contact: int, reason: int) -> int:
    """End the leading offer by the engine's own word; returns the agent. O(channels)."""
    record_contact(table, _OFFER_RESCINDED, contact, 0, reason)
    open_contacts(table).offers_failed[contact] += 1
    return take_from_agent(table, contact)


@kernel
def give_back(table: Table, contact: int, reason: int) -> None:
    """
    Leave a contact whose leading offer has failed to the others that have it on offer, or else put
    it back to its place. As `return_to_queue`.
    """
    if not lead_next(table, contact):
        return_to_queue(table, contact, reason)


@kernel
def rescind(table: Table, contact: int, reason: int) -> None:
    """Take a contact's leading offer back. As `give_back`."""
    take_back_offer(table, contact, reason)
    give_back(table, contact, reason)


@kernel
def pass_over(table: Table, contact: int, agent: int, retry_after_ms: int) -> None:
    """
    Keep a contact from an agent it just failed with, for the agent's own time or else the queue's.

    When no other agent signed in could take it the queue's shorter delay applies, so that a single
    agent is neither left out nor rung without pause. It is also how long a contact rests that has
    failed with more agents than can be remembered. O(agents / 64).
    """
    queues = open_queues(table)
    queue = open_contacts(table).queue[contact]
    now_ms = open_cell(table).scalar[NOW_MS]
    shorter_ms = queues.reoffer_delay_only_agent_ms[queue]
    delay_ms = retry_after_ms
    if delay_ms == 0:
        delay_ms = queues.reoffer_delay_ms[queue]
        if is_only_agent(table, contact, agent):
            delay_ms = min(delay_ms, shorter_ms)
    if delay_ms > 0:
        if is_crowded(table, contact, now_ms) and shorter_ms > 0:
            rest(table, contact, now_ms + shorter_ms)
        exclude(table, contact, agent, now_ms + delay_ms)


@kernel
def fail_offer(table: Table, contact: int, reason: int, retry_after_ms: int) -> int:
    """
    End the leading offer, which the agent declined or missed, as was told; the agent is passed over
    for a while.

    Returns the agent.
    O(agents / 64 + log contacts + distance of its place from the nearer end of its class).
    """
    contacts = open_contacts(table)
    queue = contacts.queue[contact]
    agent = take_from_agent(table, contact)
    contacts.offers_failed[contact] += 1
    open_queues(table).totals[queue, OFFERS_FAILED] += 1
    pass_over(table, contact, agent, retry_after_ms)
    give_back(table, contact, reason)
    return agent


@kernel
def close_contact(table: Table, contact: int, state: int) -> None:
    """
    Have a contact that neither waits nor is held be in a state in which it has ended; it stays
    readable for the retention time. O(log contacts).
    """
    contacts = open_contacts(table)
    scalar = open_cell(table).scalar
    contacts.state[contact] = state
    part(table, contact)
    contacts.ended_ms[contact] = scalar[NOW_MS]
    refer_to_class(table, contact, -1)
    scalar[OPEN_COUNT] -= 1
    join_ended(table, contact)
    schedule_contact(table, contact, scalar[NOW_MS] + scalar[ENDED_RETENTION_MS])
    mark_queue(table, contacts.queue[contact])


@kernel
def end_contact(table: Table, contact: int, state: int, kind: int, reason: int) -> None:
    """End a contact that neither waits nor is held, and count its end. As `close_contact`."""
    contacts = open_contacts(table)
    queues = open_queues(table)
    scalar = open_cell(table).scalar
    queue = contacts.queue[contact]
    close_contact(table, contact, state)
    total = COMPLETED
    if state == _ABANDONED:
        total = ABANDONED
        wait_ms = scalar[NOW_MS] - contacts.queued_ms[contact]
        queues.totals[queue, ABANDONED_MS_SUM] += wait_ms
        if reason == _SHORT_ABANDON:
            queues.totals[queue, SHORT_ABANDONED] += 1
    elif state == _EXPIRED:
        total = EXPIRED
    elif state == _CANCELLED:
        total = CANCELLED
    elif state == _REJECTED:
        total = REJECTED
    queues.totals[queue, total] += 1
    record_contact(table, kind, contact, contacts.rejection[contact], reason)


@kernel
def handling_ms(table: Table, contact: int) -> int:
    """Time since a contact was accepted, but for interruptions that are over. O(1)."""
    contacts = open_contacts(table)
    now_ms = open_cell(table).scalar[NOW_MS]
    return now_ms - contacts.accepted_ms[contact] - contacts.interrupted_ms[contact]


@kernel
def complete(table: Table, contact: int) -> int:
    """
    End an assigned or wrapping-up contact as handled; returns the agent, whose idle time starts.

    O(log contacts).
    """
    contacts = open_contacts(table)
    handle_ms = handling_ms(table, contact)
    queue = contacts.queue[contact]
    open_queues(table).totals[queue, HANDLE_MS_SUM] += handle_ms
    agent = take_from_agent(table, contact)
    learn_handling(table, agent, queue, handle_ms)
    rest_begins(table, agent)
    end_contact(table, contact, _COMPLETED, _CONTACT_COMPLETED, _NONE)
    return agent


@kernel
def forget(table: Table, contact: int) -> None:
    """
    Free the row of an ended contact; the log deletes it with the open commit group.

    O(log contacts).
    """
    contacts = open_contacts(table)
    leave_ended(table, contact)
    schedule_contact(table, contact, NEVER_MS)
    contacts.state[contact] = _FREE
    mark_contact(table, contact)


@kernel
def trim_ended(table: Table) -> None:
    """
    Forget the oldest ended contacts beyond the number kept.

    Comes last in a call, so that the call's own outcome can still tell of them.
    O(contacts forgotten x log contacts).
    """
    scalar = open_cell(table).scalar
    while scalar[ENDED_COUNT] > scalar[ENDED_MAX]:
        forget(table, scalar[ENDED_HEAD])


@kernel
def release_from_state(table: Table, contact: int, reason: int) -> int:
    """
    Undo a contact's hold on its class or agents, so that it can be moved.

    Returns the agent, of several the first, -1 for none. O(channels), and `rescind_others`.
    """
    contacts = open_contacts(table)
    state = contacts.state[contact]
    if state == _QUEUED:
        leave_class(table, contact)
        return -1
    if state in (_SCHEDULED, _DIVERTED):
        unschedule(table, contact)
        return -1
    if state == _OFFERED:
        agent = take_back_offer(table, contact, reason)
        rescind_others(table, contact, reason)
        return agent
    return take_from_agent(table, contact)
