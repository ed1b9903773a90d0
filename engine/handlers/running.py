"""What every handler needs: the run of a transition, and the checks before it."""

from typing import Final

from engine.kernels.columns import DECISION_COUNT
from engine.kernels.requests import IN_AGENT, IN_CONTACT, IN_OPERATION, Operation
from engine.lifecycle import HAS_ENDED, ContactState
from engine.refusals import CommandRefused, Refusal, Violation, violation
from engine.state.cell import CellState

# What a caller is told with a refusal that comes from a transition.
_EXPECTED: Final = {
    Refusal.ILLEGAL_TRANSITION: "a contact in a state that allows it",
    Refusal.OFFER_GONE: "an offer that is outstanding",
    Refusal.NOT_YOURS: "the agent that the offer or assignment belongs to",
    Refusal.AGENT_HOLDS_CONTACTS: "an agent without contacts in hand; drain it instead",
    Refusal.CONSULTED_ALREADY: "a contact nobody is consulted about; end that consult first",
    Refusal.NOBODY_CONSULTED: "a contact about which somebody is consulted, and has accepted",
    Refusal.AGENT_NOT_AVAILABLE: "an agent whose presence is AVAILABLE",
    Refusal.AGENT_HAS_NO_ROOM: "an agent with capacity for the channel, or ignore_capacity",
}


def run(cell: CellState, operation: Operation, offer_id: str = "") -> None:
    """
    Run the transition whose arguments stand in the request; `offer_id` is what the caller named.

    Raises
    ------
    CommandRefused
        What the transition refused; nothing changed.
    """
    cell.store.request[IN_OPERATION] = operation
    refusal = cell.store.run()
    if cell.store.scalar[DECISION_COUNT] != cell.decisions.named:
        cell.decisions.name_new()
    if refusal:
        reason = Refusal(refusal)
        raise CommandRefused(reason, _blame(cell, reason, offer_id))


def _blame(cell: CellState, reason: Refusal, offer_id: str) -> Violation:
    """Say which argument of a refused transition was at fault, and how things stand."""
    request = cell.store.request
    if reason is Refusal.OFFER_GONE:
        return violation("offer_id", offer_id, _EXPECTED[reason])
    if reason is Refusal.ILLEGAL_TRANSITION:
        state = ContactState(int(cell.store.columns.contacts.state[request[IN_CONTACT]]))
        contact_id = cell.contacts.slots.ids[request[IN_CONTACT]]
        return violation("contact_id", contact_id, f"{_EXPECTED[reason]}; it is {state.name}")
    if reason in (Refusal.CONSULTED_ALREADY, Refusal.NOBODY_CONSULTED):
        contact_id = cell.contacts.slots.ids[request[IN_CONTACT]]
        return violation("contact_id", contact_id, _EXPECTED[reason])
    agent_id = cell.agents.slots.ids[request[IN_AGENT]]
    return violation("agent_id", agent_id, _EXPECTED[reason])


def open_contact_row(cell: CellState, contact_id: str, etag: str = "") -> int:
    """
    Row of an open contact at the given etag.

    Raises
    ------
    CommandRefused
        UNKNOWN_CONTACT, ILLEGAL_TRANSITION for an ended one, or ETAG_MISMATCH.
    """
    row = cell.contact_row(contact_id)
    columns = cell.store.columns.contacts
    if HAS_ENDED[columns.state[row]]:
        state = ContactState(int(columns.state[row]))
        refused = violation("contact_id", contact_id, f"an open contact; it is {state.name}")
        raise CommandRefused(Refusal.ILLEGAL_TRANSITION, refused)
    check_etag(etag, int(columns.version[row]))
    return row


def request_assignment(cell: CellState, contact_id: str, agent_id: str) -> int:
    """
    Write a contact and the agent said to hold it into the request; returns the contact's row.

    Raises
    ------
    CommandRefused
        As `open_contact_row`, or UNKNOWN_AGENT.
    """
    row = open_contact_row(cell, contact_id)
    cell.store.request[IN_CONTACT] = row
    cell.store.request[IN_AGENT] = cell.agent_row(agent_id)
    return row


def check_etag(etag: str, version: int) -> None:
    """
    Compare a caller's etag, "" for any, with the present version, 0 for none.

    Raises
    ------
    CommandRefused
        ETAG_MISMATCH.
    """
    if etag and etag != str(version):
        expected = f"{version}, the present etag" if version else "empty: it does not exist"
        raise CommandRefused(Refusal.ETAG_MISMATCH, violation("etag", etag, expected))
