"""What time and restarts bring: deadlines that have come, and recovery."""

from engine.effects import EffectKind, Reason
from engine.kernels.agent_life import (
    agent_due,
    count_miss,
    renew_lease,
    schedule_lease,
    settle_agent,
)
from engine.kernels.boundary import Table, open_agents, open_cell, open_contacts
from engine.kernels.capacity import rest_begins
from engine.kernels.columns import AGENT_HEAP_COUNT, CONTACT_HEAP_COUNT, NEXT_DUE_MS, NOW_MS
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
from engine.kernels.deadlines import next_deadline, schedule_agent, schedule_contact
from engine.kernels.matching import match_returned, schedule_wait
from engine.kernels.recording import begin_call, has_effect_room, record_contact
from engine.kernels.scheduling import unschedule
from engine.kernels.waiting import leave_class
from engine.lifecycle import HAS_ENDED, ContactState, Presence
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
def run_due(table: Table) -> None:
    """
    Handle every deadline that has come, earliest first, while effects have room.

    Then note when the next one comes.
    O(what came due x (log contacts + log agents)), and three searches per offer made.
    """
    contacts = open_contacts(table)
    agents = open_agents(table)
    scalar = open_cell(table).scalar
    while next_deadline(table) <= scalar[NOW_MS] and has_effect_room(table):
        has_contact = scalar[CONTACT_HEAP_COUNT] > 0
        has_agent = scalar[AGENT_HEAP_COUNT] > 0
        contact = contacts.heap[0] if has_contact else -1
        agent = agents.heap[0] if has_agent else -1
        if has_contact and (not has_agent or contacts.due_ms[contact] <= agents.due_ms[agent]):
            contact_due(table, contact)
        else:
            agent_due(table, agent)
    trim_ended(table)
    scalar[NEXT_DUE_MS] = next_deadline(table)
