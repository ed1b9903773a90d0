"""A contact that goes on where a diverted one was sent."""

from engine.choices import Diversion, DiversionOutcome, Steered
from engine.commands import Route
from engine.handlers.closing import end_diversion, keep_steered
from engine.handlers.merging import merged
from engine.lifecycle import ContactState
from engine.refusals import CommandRefused, Refusal, violation
from engine.state.cell import CellState


def diverted_row(cell: CellState, contact_id: str) -> int:
    """
    Row of a diverted contact that another is to continue.

    Raises
    ------
    CommandRefused
        UNKNOWN_CONTACT or ILLEGAL_TRANSITION.
    """
    cell.crossings.require_none(contact_id, "continues_contact_id")
    row = cell.contacts.slots.row_of(contact_id)
    state = ContactState(int(cell.store.columns.contacts.state[row])) if row >= 0 else None
    if state is ContactState.DIVERTED:
        return row
    is_known = state is not None and state is not ContactState.FREE
    reason = Refusal.ILLEGAL_TRANSITION if is_known else Refusal.UNKNOWN_CONTACT
    found = f"; it is {state.name}" if state is not None and is_known else ""
    expected = f"the id of a contact that is diverted{found}"
    raise CommandRefused(reason, violation("continues_contact_id", contact_id, expected))


def taken_over(cell: CellState, command: Route, row: int) -> Route:
    """A contact to be taken in, with what it takes over from the diverted one of a row."""
    contacts = cell.store.columns.contacts
    said = cell.contacts.said(row)
    age_ms = int(contacts.queued_ms[row] - contacts.since_ms[row])
    return command._replace(
        queue_id=command.queue_id or _diversion(cell, row).queue_id,
        priority=command.priority or int(contacts.priority[row]),
        attributes=merged(said.attributes, command.attributes),
        routing_age_ms=max(command.routing_age_ms, age_ms),
    )


def _diversion(cell: CellState, row: int) -> Diversion:
    diversion = cell.contacts.said(row).steered.diversion
    assert diversion is not None
    return diversion


def carry_on(cell: CellState, command: Route, row: int) -> None:
    """End the diverted contact of a row, which another was taken in to continue."""
    new_row = cell.contacts.slots.row_of(command.contact_id)
    if new_row >= 0:
        hops = cell.contacts.said(row).steered.hops
        steered = Steered(hops=hops, continues_contact_id=command.continues_contact_id)
        keep_steered(cell, new_row, steered)
    end_diversion(cell, row, DiversionOutcome.CONTINUED)
