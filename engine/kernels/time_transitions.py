"""What time and restarts bring: deadlines that have come, and recovery."""

from engine.effects import EffectKind, Reason
from engine.kernels.agent_life import (
    agent_due,
    count_miss,
    renew_lease,
    schedule_lease,
    settle_agent,
)
from engine.kernels.batching import end_window
from engine.kernels.boundary import Table, open_agents, open_cell, open_contacts, open_queues
from engine.kernels.capacity import rest_begins
from engine.kernels.columns import (
    AGENT_HEAP_COUNT,
    CONTACT_HEAP_COUNT,
    NEXT_DUE_MS,
    NOW_MS,
    WINDOW_HEAP_COUNT,
)
from engine.kernels.compilation import kernel
from engine.kernels.consulting import OVER
from engine.kernels.contact_life import (
    complete,
    end_contact,
    fail_offer,
    forget,
    relax,
    release_from_state,
    rescind,
    return_to_queue,
    trim_ended,
)
from engine.kernels.deadlines import (
    next_deadline,
    schedule_agent,
    schedule_contact,
    schedule_window,
)
from engine.kernels.matching import match_returned, schedule_wait
from engine.kernels.matching_windows import is_window_open
from engine.kernels.recording import begin_call, has_effect_room, record_contact
from engine.kernels.scheduling import unschedule
from engine.kernels.waiting import leave_class
from engine.lifecycle import HAS_ENDED, ContactState, Presence
from engine.limits import NEVER_MS
from engine.refusals import Refusal

_APPLIED = int(Refusal.NONE)
_QUEUED = int(ContactState.QUEUED)
_OFFERED = int(ContactState.OFFERED)
_WRAP_UP = int(ContactState.WRAP_UP)
_SCHEDULED = int(ContactState.SCHEDULED)
_ASSIGNED = int(ContactState.ASSIGNED)
_INTERRUPTED = int(ContactState.INTERRUPTED)
_CANCELLED = int(ContactState.CANCELLED)
_E_CANCELLED = int(EffectKind.CONTACT_CANCELLED)
_R_CONSULT_OVER = int(Reason.CONSULT_OVER)
_E_OFFER_EXPIRED = int(EffectKind.OFFER_EXPIRED)
_R_OFFER_EXPIRED = int(Reason.OFFER_EXPIRED)
_R_MAX_WAIT = int(Reason.MAX_WAIT)
_R_DUE = int(Reason.DUE)
_R_RESTARTED = int(Reason.RESTARTED)
_OFFLINE = int(Presence.OFFLINE)


@kernel
def recover(table: Table) -> int:
    """
    After a restart: requeue what was offered, start leases anew, and look at the backlog.

    The caller has made room for two effects of every outstanding offer besides the call's share.
    O(contacts log contacts + agents log agents).
    """
    contacts = open_contacts(table)
    agents = open_agents(table)
    now_ms = open_cell(table).scalar[NOW_MS]
    for contact in range(contacts.state.shape[0]):
        is_waiting = contacts.state[contact] == _QUEUED
        while contacts.state[contact] == _OFFERED:
            rescind(table, contact, _R_RESTARTED)
        if contacts.consults_for[contact] == OVER:
            schedule_contact(table, contact, now_ms)
        elif is_waiting:
            # Delays that ran out meanwhile are no deadlines any more: every agent is looked at.
            schedule_wait(table, contact)
    for agent in range(agents.presence.shape[0]):
        if agents.presence[agent] > 0:
            renew_lease(table, agent)
            schedule_lease(table, agent)
            # Those who hold contacts may have been about to give them back when the engine stopped.
            if agents.presence[agent] != _OFFLINE or agents.contact_count[agent] > 0:
                schedule_agent(table, agent, now_ms)
    # Agents that look at the backlog begin anew what windows it needs.
    while open_cell(table).scalar[WINDOW_HEAP_COUNT] > 0:
        schedule_window(table, open_queues(table).window_heap[0], NEVER_MS)
    begin_call(table)
    return _APPLIED


@kernel
def _leave_consult(table: Table, contact: int) -> None:
    """End a consult about a contact that left its agent's hands. As `settle_agent`."""
    contacts = open_contacts(table)
    was_held = contacts.state[contact] in (_ASSIGNED, _INTERRUPTED)
    agent = release_from_state(table, contact, _R_CONSULT_OVER)
    end_contact(table, contact, _CANCELLED, _E_CANCELLED, _R_CONSULT_OVER)
    if was_held:
        rest_begins(table, agent)
    else:
        contacts.agent[contact] = -1
    if agent >= 0:
        settle_agent(table, agent)


@kernel
def contact_due(table: Table, contact: int) -> None:
    """
    Handle a contact whose deadline has come, by its state.

    O(log contacts), and two searches per offer made.
    """
    contacts = open_contacts(table)
    now_ms = open_cell(table).scalar[NOW_MS]
    state = contacts.state[contact]
    if HAS_ENDED[state]:
        forget(table, contact)
    elif contacts.consults_for[contact] == OVER:
        _leave_consult(table, contact)
    elif state == _OFFERED:
        record_contact(table, _E_OFFER_EXPIRED, contact, 0, _R_OFFER_EXPIRED)
        agent = fail_offer(table, contact, _R_OFFER_EXPIRED, 0)
        count_miss(table, agent)
        match_returned(table, contact)
        settle_agent(table, agent)
    elif state == _WRAP_UP:
        settle_agent(table, complete(table, contact))
    elif state == _SCHEDULED:
        unschedule(table, contact)
        return_to_queue(table, contact, _R_DUE)
        match_returned(table, contact)
    elif contacts.expires_ms[contact] <= now_ms:
        leave_class(table, contact)
        return_to_queue(table, contact, _R_MAX_WAIT)
        match_returned(table, contact)
    else:
        relax(table, contact)
        match_returned(table, contact)


@kernel
def _window_before(table: Table, contact: int) -> int:
    """
    Queue whose matching window is to end before a contact that is due is dealt with, -1 for none:
    for it would expire, and may get an agent yet. O(1).
    """
    contacts = open_contacts(table)
    queue = contacts.queue[contact]
    is_over = contacts.expires_ms[contact] <= open_cell(table).scalar[NOW_MS]
    if is_over and contacts.state[contact] == _QUEUED and is_window_open(table, queue):
        return queue
    return -1


@kernel
def run_due(table: Table) -> None:
    """
    Handle every deadline that has come, earliest first, while effects have room: of one moment
    those of contacts, then of agents, then matching windows.

    Then note when the next one comes.
    O(what came due x (log contacts + log agents)), and three searches per offer made, or
    `end_window`.
    """
    contacts = open_contacts(table)
    agents = open_agents(table)
    scalar = open_cell(table).scalar
    due_ms = next_deadline(table)
    while due_ms <= scalar[NOW_MS] and has_effect_room(table):
        contact, agent, queue = -1, -1, -1
        if scalar[CONTACT_HEAP_COUNT] > 0 and contacts.due_ms[contacts.heap[0]] == due_ms:
            contact = contacts.heap[0]
            queue = _window_before(table, contact)
        elif scalar[AGENT_HEAP_COUNT] > 0 and agents.due_ms[agents.heap[0]] == due_ms:
            agent = agents.heap[0]
        else:
            queue = open_queues(table).window_heap[0]
        if queue >= 0:
            # Called here alone: wherever it is called, its code is compiled once more.
            end_window(table, queue)
        elif contact >= 0:
            contact_due(table, contact)
        else:
            agent_due(table, agent)
        due_ms = next_deadline(table)
    trim_ended(table)
    scalar[NEXT_DUE_MS] = next_deadline(table)
