"""Transitions of contacts that wait: taken in, changed, moved, cancelled, offered by hand."""

from engine.effects import EffectKind, Reason
from engine.kernels.agent_life import settle_agent
from engine.kernels.boundary import (
    Table,
    open_agents,
    open_cell,
    open_classes,
    open_contacts,
    open_queues,
)
from engine.kernels.capacity import has_room, rest_begins
from engine.kernels.columns import NEXT_CONTACT, NOW_MS, OPEN_COUNT, RECEIVED
from engine.kernels.compilation import kernel
from engine.kernels.contact_life import (
    clear_contact,
    end_contact,
    is_allowed,
    pass_over,
    release_from_state,
    return_to_queue,
)
from engine.kernels.deadlines import schedule_window
from engine.kernels.deciding import decide
from engine.kernels.joining import can_fall_back, fall_back, refer_to_class, start_wait
from engine.kernels.matching import match_new, match_returned
from engine.kernels.matching_windows import is_window_open
from engine.kernels.offering import assign, is_offered_to, issue
from engine.kernels.recording import mark_queue, record_contact
from engine.kernels.requests import (
    IN_AGENT,
    IN_CLASS,
    IN_CONTACT,
    IN_DUE_MS,
    IN_MAX_WAIT_MS,
    IN_SINCE_MS,
    IN_VALUE,
    OUT_AGENT,
    OUT_CONTACT,
    OUT_OFFER,
    OUT_POSITION,
    OUT_REJECTION,
    OUT_STATE,
    OUT_UNTIL_MS,
    OUT_WAIT_MS,
)
from engine.kernels.scheduling import postpone, set_schedule
from engine.kernels.waiting import join_class, leave_class, position_of
from engine.lifecycle import (
    HAS_ENDED,
    CancelReason,
    ContactState,
    DecisionKind,
    Intake,
    Presence,
    RejectionReason,
    Trigger,
)
from engine.refusals import Refusal

_APPLIED = int(Refusal.NONE)
_ILLEGAL = int(Refusal.ILLEGAL_TRANSITION)
_NOT_AVAILABLE = int(Refusal.AGENT_NOT_AVAILABLE)
_NO_ROOM = int(Refusal.AGENT_HAS_NO_ROOM)
_AVAILABLE = int(Presence.AVAILABLE)
_QUEUED = int(ContactState.QUEUED)
_OFFERED = int(ContactState.OFFERED)
_ASSIGNED = int(ContactState.ASSIGNED)
_INTERRUPTED = int(ContactState.INTERRUPTED)
_ABANDONED = int(ContactState.ABANDONED)
_CANCELLED = int(ContactState.CANCELLED)
_REJECTED = int(ContactState.REJECTED)
_T_REQUEUE = int(Trigger.REQUEUE)
_T_UPDATE = int(Trigger.UPDATE)
_T_ABANDON = int(Trigger.ABANDON)
_T_PICK = int(Trigger.PICK)
_E_RECEIVED = int(EffectKind.CONTACT_RECEIVED)
_E_QUEUED = int(EffectKind.CONTACT_QUEUED)
_E_REJECTED = int(EffectKind.CONTACT_REJECTED)
_E_UPDATED = int(EffectKind.CONTACT_UPDATED)
_E_ABANDONED = int(EffectKind.CONTACT_ABANDONED)
_E_CANCELLED = int(EffectKind.CONTACT_CANCELLED)
_R_NONE = int(Reason.NONE)
_ROUTED = int(DecisionKind.ROUTED)
_UPDATED = int(DecisionKind.UPDATED)
_D_PICKED = int(DecisionKind.PICKED)
_R_PICKED = int(Reason.PICKED)
_R_MOVED = int(Reason.MOVED)
_R_CANCELLED = int(Reason.CANCELLED)
_R_SHORT = int(Reason.SHORT_ABANDON)
_CLOSED = int(Intake.CLOSED)
_FULL = int(RejectionReason.QUEUE_FULL)
_QUEUE_CLOSED = int(RejectionReason.QUEUE_CLOSED)
# Reasons of falling back stand in the order of the rejections that they are instead of.
_REASON_OF_REJECTION = int(Reason.QUEUE_FULL) - _FULL
assert all(
    Reason(_REASON_OF_REJECTION + item).name == item.name for item in RejectionReason if item
)
_BY_CUSTOMER = int(CancelReason.ABANDONED)


@kernel
def report(table: Table, contact: int) -> None:
    """Write where a contact stands into the outcome. O(1) plus, while it waits, its position."""
    contacts = open_contacts(table)
    out = open_cell(table).outcome
    out[OUT_CONTACT] = contact
    out[OUT_STATE] = contacts.state[contact]
    out[OUT_AGENT] = -1 if HAS_ENDED[contacts.state[contact]] else contacts.agent[contact]
    out[OUT_OFFER] = contacts.offer[contact]
    out[OUT_UNTIL_MS] = contacts.until_ms[contact]
    out[OUT_REJECTION] = contacts.rejection[contact]
    out[OUT_POSITION] = 0
    if contacts.state[contact] == _QUEUED:
        out[OUT_POSITION] = position_of(table, contact)


@kernel
def ends_window(table: Table) -> bool:
    """
    Have the matching window of a queue that is full end now, if one is open, before a contact is
    routed to it: who waits for that alone need not keep others out. False otherwise. O(log queues).
    """
    cell = open_cell(table)
    queues = open_queues(table)
    queue = open_classes(table).queue[cell.request[IN_CLASS]]
    is_full = 0 < queues.max_length[queue] <= queues.waiting[queue]
    if is_full and is_window_open(table, queue):
        schedule_window(table, queue, cell.scalar[NOW_MS])
        return True
    return False


@kernel
def receive(table: Table, contact: int) -> None:
    """Make a free row a contact as the request has it, that neither waits nor is held. O(1)."""
    cell = open_cell(table)
    contacts = open_contacts(table)
    class_row = cell.request[IN_CLASS]
    clear_contact(table, contact)
    contacts.channel[contact] = open_classes(table).channel[class_row]
    contacts.sequence[contact] = cell.scalar[NEXT_CONTACT]
    cell.scalar[NEXT_CONTACT] += 1
    cell.scalar[OPEN_COUNT] += 1
    refer_to_class(table, contact, class_row)
    contacts.received_ms[contact] = cell.scalar[NOW_MS]
    contacts.since_ms[contact] = cell.request[IN_SINCE_MS]
    contacts.max_wait_ms[contact] = cell.request[IN_MAX_WAIT_MS]
    contacts.state[contact] = _QUEUED
    if cell.request[IN_DUE_MS] > 0:
        set_schedule(table, contact)
    start_wait(table, contact)
    queue = contacts.queue[contact]
    open_queues(table).totals[queue, RECEIVED] += 1
    record_contact(table, _E_RECEIVED, contact, 0, _R_NONE)
    mark_queue(table, queue)


@kernel
def admit(table: Table, contact: int) -> None:
    """
    Offer a contact that was received, leave it waiting, schedule it, or turn it away; tell where it
    stands. As `route`.
    """
    cell = open_cell(table)
    if cell.request[IN_DUE_MS] > cell.scalar[NOW_MS]:
        _admit_later(table, contact)
    else:
        _admit_now(table, contact)
    report(table, contact)
    if open_contacts(table).state[contact] == _QUEUED:
        record_contact(table, _E_QUEUED, contact, cell.outcome[OUT_POSITION], _R_NONE)


@kernel
def route(table: Table) -> int:
    """
    Take a contact in: offer it at once, or leave it waiting; or turn it away at the door.

    One search, two where it falls back; while it waits, the cost of its position.
    """
    contact = open_cell(table).request[IN_CONTACT]
    receive(table, contact)
    admit(table, contact)
    return _APPLIED


@kernel
def _admit_now(table: Table, contact: int) -> None:
    """Offer a new contact, leave it waiting, or turn it away. As `route`."""
    queues = open_queues(table)
    queue = open_contacts(table).queue[contact]
    rejection = 0
    if queues.intake[queue] == _CLOSED:
        rejection = _QUEUE_CLOSED
    elif queues.closed_for[queue] > 0:
        rejection = queues.closed_for[queue]
    else:
        join_class(table, contact)
        if (
            not match_new(table, contact, _ROUTED)
            and 0 < queues.max_length[queue] < queues.waiting[queue]
        ):
            leave_class(table, contact)
            rejection = _FULL
    if rejection > 0:
        _turn_away(table, contact, rejection)


@kernel
def _admit_later(table: Table, contact: int) -> None:
    """
    Schedule a new contact, or reject it: where its queue is closed now, or its hours, of which
    Python knows, have it closed then. O(log contacts).
    """
    contacts = open_contacts(table)
    request = open_cell(table).request
    rejection = request[IN_VALUE]
    if open_queues(table).intake[contacts.queue[contact]] == _CLOSED:
        rejection = _QUEUE_CLOSED
    if rejection > 0:
        contacts.rejection[contact] = rejection
        end_contact(table, contact, _REJECTED, _E_REJECTED, _R_NONE)
    else:
        postpone(table, contact, request[IN_DUE_MS], _R_NONE)


@kernel
def _turn_away(table: Table, contact: int, rejection: int) -> None:
    """
    Have a contact that its queue does not take in fall back, or else reject it. One search.
    """
    if can_fall_back(table, contact):
        fall_back(table, contact)
        return_to_queue(table, contact, _REASON_OF_REJECTION + rejection)
        match_new(table, contact, _ROUTED)
        return
    open_contacts(table).rejection[contact] = rejection
    end_contact(table, contact, _REJECTED, _E_REJECTED, _R_NONE)


@kernel
def update(table: Table) -> int:
    """
    Give an open contact a new class or routing age, and match it anew while it waits.

    One search.
    """
    cell = open_cell(table)
    contacts = open_contacts(table)
    contact = cell.request[IN_CONTACT]
    if not is_allowed(table, contact, _T_UPDATE):
        return _ILLEGAL
    is_waiting = contacts.state[contact] == _QUEUED
    if is_waiting:
        leave_class(table, contact)
    refer_to_class(table, contact, cell.request[IN_CLASS])
    contacts.since_ms[contact] = cell.request[IN_SINCE_MS]
    record_contact(table, _E_UPDATED, contact, 0, _R_NONE)
    if is_waiting:
        join_class(table, contact)
        match_new(table, contact, _UPDATED)
    return _APPLIED


@kernel
def requeue(table: Table) -> int:
    """
    Move a queued, offered or assigned contact to a class, keeping its routing age.

    One search, one per offer made, and the cost of its position.
    """
    cell = open_cell(table)
    contacts = open_contacts(table)
    contact = cell.request[IN_CONTACT]
    if not is_allowed(table, contact, _T_REQUEUE):
        return _ILLEGAL
    was_assigned = contacts.state[contact] in (_ASSIGNED, _INTERRUPTED)
    old_queue = contacts.queue[contact]
    agent = release_from_state(table, contact, _R_NONE)
    refer_to_class(table, contact, cell.request[IN_CLASS])
    if was_assigned or contacts.queue[contact] != old_queue:
        start_wait(table, contact)
    if was_assigned:
        rest_begins(table, agent)
        pass_over(table, contact, agent, 0)
    return_to_queue(table, contact, _R_MOVED)
    match_returned(table, contact)
    if agent >= 0:
        settle_agent(table, agent)
    report(table, contact)
    return _APPLIED


@kernel
def cancel(table: Table) -> int:
    """
    End a queued or offered contact: the customer left, or the gateway withdrew it.

    O(log contacts), and one search per offer made.
    """
    cell = open_cell(table)
    contacts = open_contacts(table)
    contact = cell.request[IN_CONTACT]
    if not is_allowed(table, contact, _T_ABANDON):
        return _ILLEGAL
    agent = release_from_state(table, contact, _R_NONE)
    contacts.agent[contact] = -1
    wait_ms = cell.scalar[NOW_MS] - contacts.queued_ms[contact]
    cell.outcome[OUT_WAIT_MS] = wait_ms
    if cell.request[IN_VALUE] == _BY_CUSTOMER:
        short_ms = open_queues(table).short_abandon_ms[contacts.queue[contact]]
        reason = _R_SHORT if wait_ms < short_ms else _R_NONE
        end_contact(table, contact, _ABANDONED, _E_ABANDONED, reason)
    else:
        end_contact(table, contact, _CANCELLED, _E_CANCELLED, _R_CANCELLED)
    if agent >= 0:
        settle_agent(table, agent)
    cell.outcome[OUT_STATE] = contacts.state[contact]
    return _APPLIED


@kernel
def pick(table: Table) -> int:
    """
    Offer a contact to the agent somebody chose, whatever it asks for, instead of to whom it is
    offered now.

    O(channels + log contacts), and one search per offer made to an agent who lost one.
    """
    cell = open_cell(table)
    contacts = open_contacts(table)
    agents = open_agents(table)
    contact = cell.request[IN_CONTACT]
    agent = cell.request[IN_AGENT]
    channel = contacts.channel[contact]
    if not is_allowed(table, contact, _T_PICK):
        return _ILLEGAL
    if agents.presence[agent] != _AVAILABLE:
        return _NOT_AVAILABLE
    is_theirs = contacts.state[contact] == _OFFERED and is_offered_to(table, contact, agent)
    if not (is_theirs or has_room(table, agent, channel) or cell.request[IN_VALUE] > 0):
        return _NO_ROOM
    if not is_theirs or contacts.first_offer[contact] >= 0:
        decide(table, contact, agent, -1, _D_PICKED)
        loser = release_from_state(table, contact, _R_PICKED)
        issue(table, contact, agent, max(1, agents.channel_cost[agent, channel]), _R_PICKED)
        if agents.auto_accept[agent] > 0:
            assign(table, contact)
        if loser >= 0:
            settle_agent(table, loser)
    report(table, contact)
    return _APPLIED
