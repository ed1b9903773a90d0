"""Commands of agents who ask others about a contact, and hand it over."""

from engine.commands import CompleteTransfer, Consult, Route
from engine.handlers.contacts import take_in
from engine.handlers.merging import merged
from engine.handlers.outcome import Outcome, where_it_stands
from engine.handlers.running import open_contact_row, request_assignment, run
from engine.kernels.columns import NOW_MS
from engine.kernels.requests import IN_AGENT, IN_CONTACT, IN_ROW, Operation
from engine.lifecycle import Channel, ContactState
from engine.refusals import CommandRefused, Refusal, violation
from engine.state.cell import CellState


def consult(cell: CellState, command: Consult) -> Outcome:
    """Take a consult in; the same consult again changes nothing."""
    row = open_contact_row(cell, command.contact_id)
    contacts = cell.store.columns.contacts
    known = cell.contacts.slots.row_of(command.consult_id)
    if known >= 0 and contacts.state[known] != ContactState.FREE:
        return _consult_again(cell, command, row, known)
    request = cell.store.request
    request[IN_AGENT] = cell.agent_row(command.agent_id)
    request[IN_CONTACT] = request[IN_ROW] = row
    run(cell, Operation.READ_MAY_CONSULT)
    said = cell.contacts.said(row)
    priority = int(contacts.priority[row]) if command.priority is None else command.priority
    about = Route(
        command.consult_id,
        command.queue_id or cell.queues.slots.ids[int(contacts.queue[row])],
        Channel(int(contacts.channel[row])),
        priority,
        command.requirements,
        merged(said.attributes, command.attributes),
        cell.store.scalar[NOW_MS] - int(contacts.since_ms[row]),
        relaxation=command.relaxation,
    )
    return take_in(cell, about, known, row)


def _consult_again(cell: CellState, command: Consult, row: int, known: int) -> Outcome:
    """Where a consult stands that is known already."""
    if cell.store.columns.contacts.consult[row] != known:
        expected = "an id that is not in use, or that of the contact's consult"
        refused = violation("consult_id", command.consult_id, expected)
        raise CommandRefused(Refusal.CONTACT_EXISTS, refused)
    cell.store.request[IN_CONTACT] = known
    run(cell, Operation.READ_CONTACT)
    return where_it_stands(cell, command.consult_id)._replace(already_known=True)


def complete_transfer(cell: CellState, command: CompleteTransfer) -> Outcome:
    """Hand a contact over, with what the consult asks for and both their attributes."""
    row = request_assignment(cell, command.contact_id, command.agent_id)
    contacts = cell.store.columns.contacts
    asked = int(contacts.consult[row])
    said = cell.contacts.said(row)
    if asked >= 0:
        of_consult = cell.contacts.said(asked)
        attributes = merged(said.attributes, of_consult.attributes)
        said = of_consult._replace(attributes=attributes, steered=said.steered)
    run(cell, Operation.TRANSFER)
    cell.contacts.write(row, said)
    return where_it_stands(cell, command.contact_id)
