"""Transitions of contacts in an agent's hands: offers answered, assignments ended."""

from engine.effects import EffectKind, Reason
from engine.kernels.agent_life import settle_agent
from engine.kernels.boundary import (
    Table,
    open_agents,
    open_cell,
    open_contacts,
    open_offers,
    open_queues,
)
from engine.kernels.capacity import rest_begins, set_state_in_hand
from engine.kernels.columns import NOW_MS
from engine.kernels.compilation import kernel
from engine.kernels.consulting import end_consult, part
from engine.kernels.contact_life import (
    claim_contact,
    complete,
    fail_offer,
    handling_ms,
    pass_over,
    return_to_queue,
    take_from_agent,
)
from engine.kernels.contact_transitions import report
from engine.kernels.deadlines import schedule_contact
from engine.kernels.estimates import learn_outcome
from engine.kernels.interrupting import end_interruption
from engine.kernels.joining import start_wait
from engine.kernels.matching import match_returned
from engine.kernels.offering import assign, bring_forward, further_offer
from engine.kernels.recording import mark_queue, record_contact
from engine.kernels.requests import (
    IN_AGENT,
    IN_CONTACT,
    IN_OFFER,
    IN_REASON,
    IN_VALUE,
    OUT_CONTACT,
    OUT_STATE,
    OUT_UNTIL_MS,
    OUT_WAIT_MS,
)
from engine.lifecycle import ContactState, Trigger, WrapUpMode
from engine.limits import NEVER_MS
from engine.refusals import Refusal

_APPLIED = int(Refusal.NONE)
_OFFER_GONE = int(Refusal.OFFER_GONE)
_NOT_YOURS = int(Refusal.NOT_YOURS)
_OFFERED = int(ContactState.OFFERED)
_WRAP_UP = int(ContactState.WRAP_UP)
_INTERRUPTED = int(ContactState.INTERRUPTED)
_T_COMPLETE = int(Trigger.COMPLETE)
_T_END_WRAP_UP = int(Trigger.END_WRAP_UP)
_T_RELEASE = int(Trigger.RELEASE)
_E_WRAP_UP = int(EffectKind.CONTACT_WRAP_UP_STARTED)
_E_DECLINED = int(EffectKind.OFFER_DECLINED)
_R_NONE = int(Reason.NONE)
_R_DECLINED = int(Reason.DECLINED)
_R_RELEASED = int(Reason.RELEASED)
_NO_WRAP_UP = int(WrapUpMode.NONE)
_TIMED_WRAP_UP = int(WrapUpMode.TIMED)


@kernel
def claim_offer(table: Table) -> int:
    """
    Why the named offer cannot be answered by the named agent; 0 when it can, and it leads then.

    O(offers of the contact).
    """
    cell = open_cell(table)
    contacts = open_contacts(table)
    contact = cell.request[IN_CONTACT]
    sequence = cell.request[IN_OFFER]
    if contact < 0 or contact >= contacts.state.shape[0] or contacts.state[contact] != _OFFERED:
        return _OFFER_GONE
    agent = contacts.agent[contact]
    offer = -1
    if contacts.offer[contact] != sequence:
        offer = further_offer(table, contact, sequence)
        if offer < 0:
            return _OFFER_GONE
        agent = open_offers(table).agent[offer]
    if agent != cell.request[IN_AGENT]:
        return _NOT_YOURS
    if offer >= 0:
        bring_forward(table, offer)
    return _APPLIED


@kernel
def accept(table: Table) -> int:
    """Turn an offer into an assignment. As `assign`."""
    refusal = claim_offer(table)
    if refusal != _APPLIED:
        return refusal
    cell = open_cell(table)
    contact = cell.request[IN_CONTACT]
    cell.outcome[OUT_CONTACT] = contact
    cell.outcome[OUT_WAIT_MS] = assign(table, contact)
    return _APPLIED


@kernel
def decline(table: Table) -> int:
    """
    End an offer by the agent's own word; the contact goes back to its place, unless others have it
    on offer.

    One search, and one per offer made.
    """
    refusal = claim_offer(table)
    if refusal != _APPLIED:
        return refusal
    cell = open_cell(table)
    contact = cell.request[IN_CONTACT]
    record_contact(table, _E_DECLINED, contact, 0, cell.request[IN_REASON])
    agent = fail_offer(table, contact, _R_DECLINED, cell.request[IN_VALUE])
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
    refusal = claim_contact(table, contact, _T_COMPLETE)
    if refusal != _APPLIED:
        return refusal
    if contacts.state[contact] == _INTERRUPTED:
        end_interruption(table, contact)
    end_consult(table, contact)
    part(table, contact)
    queue = contacts.queue[contact]
    now_ms = cell.scalar[NOW_MS]
    contacts.handled_ms[contact] = now_ms
    if cell.request[IN_VALUE] >= 0:
        learn_outcome(table, contacts.agent[contact], queue, cell.request[IN_VALUE])
    cell.outcome[OUT_UNTIL_MS] = 0
    if queues.wrap_up_mode[queue] == _NO_WRAP_UP:
        settle_agent(table, complete(table, contact))
    else:
        set_state_in_hand(table, contact, _WRAP_UP)
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
    contact = cell.request[IN_CONTACT]
    refusal = claim_contact(table, contact, _T_END_WRAP_UP)
    if refusal != _APPLIED:
        return refusal
    cell.outcome[OUT_WAIT_MS] = handling_ms(table, contact)
    settle_agent(table, complete(table, contact))
    return _APPLIED


@kernel
def release(table: Table) -> int:
    """
    Give an assigned contact back to its queue with its routing age.

    One search, and one per offer made.
    """
    cell = open_cell(table)
    contact = cell.request[IN_CONTACT]
    refusal = claim_contact(table, contact, _T_RELEASE)
    if refusal != _APPLIED:
        return refusal
    agent = take_from_agent(table, contact)
    rest_begins(table, agent)
    start_wait(table, contact)
    pass_over(table, contact, agent, 0)
    return_to_queue(table, contact, _R_RELEASED)
    match_returned(table, contact)
    settle_agent(table, agent)
    report(table, contact)
    return _APPLIED
