"""Transitions of contacts in an agent's hands: offers answered, assignments ended."""

from engine.effects import EffectKind, Reason
from engine.kernels.agent_life import settle_agent
from engine.kernels.boundary import Table, open_agents, open_cell, open_contacts, open_queues
from engine.kernels.capacity import rest_begins
from engine.kernels.columns import (
    ANSWERED,
    ANSWERED_WITHIN,
    NOW_MS,
    OUT_CONTACT,
    OUT_STATE,
    OUT_UNTIL_MS,
    OUT_WAIT_MS,
    WAIT_MS_SUM,
)
from engine.kernels.compilation import kernel
from engine.kernels.contact_life import (
    complete,
    fail_offer,
    is_allowed,
    pass_over,
    return_to_queue,
    start_wait,
    take_from_agent,
)
from engine.kernels.contact_transitions import report
from engine.kernels.deadlines import schedule_contact
from engine.kernels.estimates import learn_outcome
from engine.kernels.matching import match_returned
from engine.kernels.recording import mark_agent, mark_queue, record_contact
from engine.kernels.requests import IN_AGENT, IN_CONTACT, IN_OFFER, IN_VALUE
from engine.lifecycle import ContactState, Trigger, WrapUpMode
from engine.limits import NEVER_MS
from engine.refusals import Refusal

_APPLIED = int(Refusal.NONE)
_ILLEGAL = int(Refusal.ILLEGAL_TRANSITION)
_OFFER_GONE = int(Refusal.OFFER_GONE)
_NOT_YOURS = int(Refusal.NOT_YOURS)
_OFFERED = int(ContactState.OFFERED)
_ASSIGNED = int(ContactState.ASSIGNED)
_WRAP_UP = int(ContactState.WRAP_UP)
_T_COMPLETE = int(Trigger.COMPLETE)
_T_END_WRAP_UP = int(Trigger.END_WRAP_UP)
_T_RELEASE = int(Trigger.RELEASE)
_E_ASSIGNED = int(EffectKind.CONTACT_ASSIGNED)
_E_WRAP_UP = int(EffectKind.CONTACT_WRAP_UP_STARTED)
_E_ACCEPTED = int(EffectKind.OFFER_ACCEPTED)
_E_DECLINED = int(EffectKind.OFFER_DECLINED)
_R_NONE = int(Reason.NONE)
_R_DECLINED = int(Reason.DECLINED)
_R_RELEASED = int(Reason.RELEASED)
_NO_WRAP_UP = int(WrapUpMode.NONE)
_TIMED_WRAP_UP = int(WrapUpMode.TIMED)


@kernel
def check_offer(table: Table) -> int:
    """Why the named offer cannot be answered by the named agent; 0 when it can. O(1)."""
    cell = open_cell(table)
    contacts = open_contacts(table)
    contact = cell.request[IN_CONTACT]
    if contact < 0 or contact >= contacts.state.shape[0]:
        return _OFFER_GONE
    if contacts.state[contact] != _OFFERED or contacts.offer[contact] != cell.request[IN_OFFER]:
        return _OFFER_GONE
    if contacts.agent[contact] != cell.request[IN_AGENT]:
        return _NOT_YOURS
    return _APPLIED


@kernel
def accept(table: Table) -> int:
    """Turn an offer into an assignment. O(log contacts)."""
    refusal = check_offer(table)
    if refusal != _APPLIED:
        return refusal
    cell = open_cell(table)
    contacts = open_contacts(table)
    queues = open_queues(table)
    contact = cell.request[IN_CONTACT]
    queue = contacts.queue[contact]
    now_ms = cell.scalar[NOW_MS]
    wait_ms = now_ms - contacts.queued_ms[contact]
    contacts.accepted_ms[contact] = now_ms
    record_contact(table, _E_ACCEPTED, contact, 0, _R_NONE)
    contacts.state[contact] = _ASSIGNED
    contacts.offer[contact] = 0
    schedule_contact(table, contact, NEVER_MS)
    queues.offered[queue] -= 1
    queues.assigned[queue] += 1
    queues.totals[queue, ANSWERED] += 1
    queues.totals[queue, WAIT_MS_SUM] += wait_ms
    if wait_ms <= queues.service_level_within_ms[queue]:
        queues.totals[queue, ANSWERED_WITHIN] += 1
    open_agents(table).missed[contacts.agent[contact]] = 0
    mark_agent(table, contacts.agent[contact])
    mark_queue(table, queue)
    record_contact(table, _E_ASSIGNED, contact, 0, _R_NONE)
    cell.outcome[OUT_CONTACT] = contact
    cell.outcome[OUT_WAIT_MS] = wait_ms
    return _APPLIED


@kernel
def decline(table: Table) -> int:
    """
    End an offer by the agent's own word; the contact goes back to its place.

    One search, and one per offer made.
    """
    refusal = check_offer(table)
    if refusal != _APPLIED:
        return refusal
    cell = open_cell(table)
    contact = cell.request[IN_CONTACT]
    agent = fail_offer(table, contact, _E_DECLINED, _R_DECLINED, cell.request[IN_VALUE])
    open_agents(table).missed[agent] = 0
    match_returned(table, contact)
    settle_agent(table, agent)
    report(table, contact)
    return _APPLIED


@kernel
def complete_assignment(table: Table) -> int:
    """
    End handling; wrap-up begins where the queue has one. Learns the outcome where one is told.

    O(log contacts), and one search per offer made.
    """
    cell = open_cell(table)
    contacts = open_contacts(table)
    queues = open_queues(table)
    contact = cell.request[IN_CONTACT]
    if not is_allowed(table, contact, _T_COMPLETE):
        return _ILLEGAL
    if contacts.agent[contact] != cell.request[IN_AGENT]:
        return _NOT_YOURS
    queue = contacts.queue[contact]
    now_ms = cell.scalar[NOW_MS]
    contacts.handled_ms[contact] = now_ms
    if cell.request[IN_VALUE] >= 0:
        learn_outcome(table, contacts.agent[contact], queue, cell.request[IN_VALUE])
    cell.outcome[OUT_UNTIL_MS] = 0
    if queues.wrap_up_mode[queue] == _NO_WRAP_UP:
        settle_agent(table, complete(table, contact))
    else:
        contacts.state[contact] = _WRAP_UP
        queues.assigned[queue] -= 1
        queues.wrapping_up[queue] += 1
        ends_ms = NEVER_MS
        if queues.wrap_up_mode[queue] == _TIMED_WRAP_UP:
            ends_ms = now_ms + queues.wrap_up_ms[queue]
            cell.outcome[OUT_UNTIL_MS] = ends_ms
        contacts.until_ms[contact] = ends_ms
        schedule_contact(table, contact, ends_ms)
        record_contact(table, _E_WRAP_UP, contact, 0, _R_NONE)
        mark_queue(table, queue)
    cell.outcome[OUT_STATE] = contacts.state[contact]
    return _APPLIED


@kernel
def end_wrap_up(table: Table) -> int:
    """End wrap-up; the agent's capacity is free. O(log contacts), and one search per offer made."""
    cell = open_cell(table)
    contacts = open_contacts(table)
    contact = cell.request[IN_CONTACT]
    if not is_allowed(table, contact, _T_END_WRAP_UP):
        return _ILLEGAL
    if contacts.agent[contact] != cell.request[IN_AGENT]:
        return _NOT_YOURS
    cell.outcome[OUT_WAIT_MS] = cell.scalar[NOW_MS] - contacts.accepted_ms[contact]
    settle_agent(table, complete(table, contact))
    return _APPLIED


@kernel
def release(table: Table) -> int:
    """
    Give an assigned contact back to its queue with its routing age.

    One search, and one per offer made.
    """
    cell = open_cell(table)
    contacts = open_contacts(table)
    contact = cell.request[IN_CONTACT]
    if not is_allowed(table, contact, _T_RELEASE):
        return _ILLEGAL
    if contacts.agent[contact] != cell.request[IN_AGENT]:
        return _NOT_YOURS
    agent = take_from_agent(table, contact)
    rest_begins(table, agent)
    start_wait(table, contact)
    pass_over(table, contact, agent, 0)
    return_to_queue(table, contact, _R_RELEASED)
    match_returned(table, contact)
    settle_agent(table, agent)
    report(table, contact)
    return _APPLIED
