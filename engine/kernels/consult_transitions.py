"""Transitions of consults: begun, ended by a hand-over, or over."""

from engine.effects import EffectKind, Reason
from engine.kernels.agent_life import settle_agent
from engine.kernels.boundary import Table, open_cell, open_contacts, open_queues
from engine.kernels.capacity import hold_contact, note_occupancy, rest_begins
from engine.kernels.columns import HANDLE_MS_SUM, NOW_MS
from engine.kernels.compilation import kernel
from engine.kernels.consulting import begin_consult, part, remember_agent
from engine.kernels.contact_life import (
    claim_contact,
    count_in_hand,
    end_contact,
    handling_ms,
    take_from_agent,
)
from engine.kernels.contact_transitions import admit, receive, report
from engine.kernels.interrupting import end_interruption
from engine.kernels.joining import refer_to_class
from engine.kernels.recording import mark_queue, record_contact
from engine.kernels.requests import IN_CONTACT, IN_ROW
from engine.lifecycle import ContactState, Trigger
from engine.refusals import Refusal

_APPLIED = int(Refusal.NONE)
_NOBODY_CONSULTED = int(Refusal.NOBODY_CONSULTED)
_CONSULTED_ALREADY = int(Refusal.CONSULTED_ALREADY)
_ASSIGNED = int(ContactState.ASSIGNED)
_INTERRUPTED = int(ContactState.INTERRUPTED)
_COMPLETED = int(ContactState.COMPLETED)
_T_CONSULT = int(Trigger.CONSULT)
_T_TRANSFER = int(Trigger.TRANSFER)
_E_TRANSFERRED = int(EffectKind.CONTACT_TRANSFERRED)
_E_COMPLETED = int(EffectKind.CONTACT_COMPLETED)
_R_NONE = int(Reason.NONE)
_R_TRANSFERRED = int(Reason.TRANSFERRED)


@kernel
def consult(table: Table) -> int:
    """Take a consult in, as `route`, about the contact in request[IN_ROW]. As `route`."""
    request = open_cell(table).request
    contact = request[IN_CONTACT]
    receive(table, contact)
    begin_consult(table, contact, request[IN_ROW])
    admit(table, contact)
    return _APPLIED


@kernel
def may_consult(table: Table) -> int:
    """Whether the agent may consult another about a contact, as the Refusal. O(1)."""
    request = open_cell(table).request
    contacts = open_contacts(table)
    contact = request[IN_ROW]
    refusal = claim_contact(table, contact, _T_CONSULT)
    if refusal != _APPLIED:
        return refusal
    return _CONSULTED_ALREADY if contacts.consult[contact] >= 0 else _APPLIED


@kernel
def _may_transfer(table: Table, contact: int) -> int:
    """Whether the agent may hand the contact over to whom it consulted, as the Refusal. O(1)."""
    contacts = open_contacts(table)
    refusal = claim_contact(table, contact, _T_TRANSFER)
    if refusal != _APPLIED:
        return refusal
    asked = contacts.consult[contact]
    if asked < 0 or contacts.state[asked] != _ASSIGNED:
        return _NOBODY_CONSULTED
    return _APPLIED


@kernel
def _leave_sender(table: Table, contact: int) -> int:
    """
    Take a contact that is handed over from its agent; returns the agent. Its wait stands, its
    handling begins anew, and what it took so far counts in its queue. O(channels).
    """
    contacts = open_contacts(table)
    now_ms = open_cell(table).scalar[NOW_MS]
    if contacts.state[contact] == _INTERRUPTED:
        end_interruption(table, contact)
    spent_ms = handling_ms(table, contact)
    open_queues(table).totals[contacts.queue[contact], HANDLE_MS_SUM] += spent_ms
    remember_agent(table, contact)
    sender = take_from_agent(table, contact)
    rest_begins(table, sender)
    contacts.queued_ms[contact] += now_ms - contacts.accepted_ms[contact]
    contacts.accepted_ms[contact] = now_ms
    contacts.interrupted_ms[contact] = 0
    return sender


@kernel
def transfer(table: Table) -> int:
    """
    Hand a contact over to the agent who was consulted about it, and has accepted; the consult ends
    as completed, and the contact is in its queue from then on.

    O(log contacts), and one search per offer made.
    """
    cell = open_cell(table)
    contacts = open_contacts(table)
    contact = cell.request[IN_CONTACT]
    refusal = _may_transfer(table, contact)
    if refusal != _APPLIED:
        return refusal
    asked = contacts.consult[contact]
    class_row, cost = contacts.class_row[asked], contacts.cost[asked]
    relaxed, fell_back = contacts.relaxed[asked], contacts.fell_back[asked]
    queue = contacts.queue[asked]
    open_queues(table).totals[queue, HANDLE_MS_SUM] += handling_ms(table, asked)
    part(table, asked)
    receiver = take_from_agent(table, asked)
    end_contact(table, asked, _COMPLETED, _E_COMPLETED, _R_TRANSFERRED)
    sender = _leave_sender(table, contact)
    refer_to_class(table, contact, class_row)
    contacts.channel[contact] = contacts.channel[asked]
    contacts.relaxed[contact], contacts.fell_back[contact] = relaxed, fell_back
    contacts.cost[contact] = cost
    note_occupancy(table, receiver)
    hold_contact(table, receiver, contact)
    count_in_hand(table, contact, 1)
    mark_queue(table, queue)
    record_contact(table, _E_TRANSFERRED, contact, 0, _R_NONE)
    settle_agent(table, sender)
    report(table, contact)
    return _APPLIED
