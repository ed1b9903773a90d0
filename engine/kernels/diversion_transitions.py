"""Transitions of contacts whose customer accepted to go on elsewhere, and may come back."""

from engine.effects import EffectKind, Reason
from engine.kernels.agent_life import settle_agent
from engine.kernels.boundary import Table, open_cell, open_classes, open_contacts
from engine.kernels.compilation import kernel
from engine.kernels.contact_life import (
    close_contact,
    is_allowed,
    release_from_state,
    return_to_queue,
)
from engine.kernels.contact_transitions import report
from engine.kernels.joining import refer_to_class, start_wait
from engine.kernels.matching import match_returned
from engine.kernels.recording import record_contact
from engine.kernels.requests import (
    IN_CLASS,
    IN_CONTACT,
    IN_DUE_MS,
    IN_REASON,
    IN_ROW,
    IN_VALUE,
)
from engine.kernels.scheduling import put_aside
from engine.lifecycle import ContactState, Trigger
from engine.refusals import Refusal

_APPLIED = int(Refusal.NONE)
_ILLEGAL = int(Refusal.ILLEGAL_TRANSITION)
_COMPLETED = int(ContactState.COMPLETED)
_T_DIVERT = int(Trigger.DIVERT)
_T_RETURN = int(Trigger.RETURN)
_T_END_DIVERSION = int(Trigger.END_DIVERSION)
_E_DIVERTED = int(EffectKind.CONTACT_DIVERTED)
_E_DIVERSION_ENDED = int(EffectKind.DIVERSION_ENDED)
_R_NONE = int(Reason.NONE)
_R_DIVERTED = int(Reason.DIVERTED)
_R_RETURNED = int(Reason.RETURNED)


@kernel
def divert(table: Table) -> int:
    """
    Take a waiting or offered contact out of its queue, for its customer goes on elsewhere.

    O(log contacts), and one search per offer made to an agent who lost one.
    """
    request = open_cell(table).request
    contact = request[IN_CONTACT]
    if not is_allowed(table, contact, _T_DIVERT):
        return _ILLEGAL
    agent = release_from_state(table, contact, _R_DIVERTED)
    put_aside(table, contact, request[IN_DUE_MS])
    record_contact(table, _E_DIVERTED, contact, request[IN_ROW], request[IN_REASON])
    if agent >= 0:
        settle_agent(table, agent)
    report(table, contact)
    return _APPLIED


@kernel
def return_contact(table: Table) -> int:
    """
    Have a diverted contact wait in a class, perhaps of another queue or channel, with the routing
    age it had. As `requeue`.
    """
    contacts = open_contacts(table)
    request = open_cell(table).request
    contact = request[IN_CONTACT]
    if not is_allowed(table, contact, _T_RETURN):
        return _ILLEGAL
    release_from_state(table, contact, _R_NONE)
    refer_to_class(table, contact, request[IN_CLASS])
    contacts.channel[contact] = open_classes(table).channel[request[IN_CLASS]]
    start_wait(table, contact)
    return_to_queue(table, contact, _R_RETURNED)
    match_returned(table, contact)
    report(table, contact)
    return _APPLIED


@kernel
def end_diversion(table: Table) -> int:
    """
    End a diverted contact, whatever became of it. It counts in no total of its queue: nobody there
    handled it. O(log contacts).
    """
    request = open_cell(table).request
    contact = request[IN_CONTACT]
    if not is_allowed(table, contact, _T_END_DIVERSION):
        return _ILLEGAL
    release_from_state(table, contact, _R_NONE)
    close_contact(table, contact, _COMPLETED)
    record_contact(table, _E_DIVERSION_ENDED, contact, request[IN_VALUE], request[IN_REASON])
    report(table, contact)
    return _APPLIED
