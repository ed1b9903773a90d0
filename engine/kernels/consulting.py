"""
Consults: an agent who handles a contact asks another one about it, and may hand it over.

A consult is a contact of its own, routed as any other, that refers to the one it is about; each
contact has at most one. It is over when the contact leaves its agent's hands by any way but the
hand-over: then its time has come at once, and `time_transitions` ends it.
"""

from typing import Final

from engine.effects import EffectKind, Reason
from engine.kernels.boundary import Table, open_cell, open_contacts
from engine.kernels.columns import NOW_MS
from engine.kernels.compilation import kernel
from engine.kernels.deadlines import schedule_contact
from engine.kernels.eligibility import exclude
from engine.kernels.recording import mark_contact, record_contact
from engine.lifecycle import ContactState
from engine.limits import PAST_AGENTS_MAX, SCHEDULE_AHEAD_MS_MAX

# Stands in `consults_for` for a contact that left its agent's hands.
OVER: Final = -2
_ASSIGNED = int(ContactState.ASSIGNED)
_INTERRUPTED = int(ContactState.INTERRUPTED)
_E_CONSULTED = int(EffectKind.CONTACT_CONSULTED)
_NONE = int(Reason.NONE)


@kernel
def begin_consult(table: Table, consult: int, contact: int) -> None:
    """Make a new contact a consult about one that is assigned; not for the same agent. O(1)."""
    contacts = open_contacts(table)
    contacts.consult[contact] = consult
    contacts.consults_for[consult] = contact
    until_ms = open_cell(table).scalar[NOW_MS] + SCHEDULE_AHEAD_MS_MAX
    exclude(table, consult, contacts.agent[contact], until_ms)
    record_contact(table, _E_CONSULTED, contact, 0, _NONE)


@kernel
def end_consult(table: Table, contact: int) -> None:
    """Have the consult about a contact that leaves its agent's hands be over. O(log contacts)."""
    contacts = open_contacts(table)
    consult = contacts.consult[contact]
    if consult >= 0:
        contacts.consult[contact] = -1
        contacts.consults_for[consult] = OVER
        schedule_contact(table, consult, open_cell(table).scalar[NOW_MS])
        mark_contact(table, consult)


@kernel
def part(table: Table, consult: int) -> None:
    """Have a contact that ends, or whose handling does, be a consult no more. O(1)."""
    contacts = open_contacts(table)
    contact = contacts.consults_for[consult]
    contacts.consults_for[consult] = -1
    if contact >= 0:
        contacts.consult[contact] = -1
        mark_contact(table, contact)


@kernel
def remember_agent(table: Table, contact: int) -> None:
    """
    Put the agent whose hands a contact is leaving in front of those who had it before; who only had
    the offer did not. O(1).
    """
    contacts = open_contacts(table)
    if contacts.state[contact] not in (_ASSIGNED, _INTERRUPTED):
        return
    for place in range(PAST_AGENTS_MAX - 1, 0, -1):
        contacts.past_agent[contact, place] = contacts.past_agent[contact, place - 1]
    contacts.past_agent[contact, 0] = contacts.agent[contact]
