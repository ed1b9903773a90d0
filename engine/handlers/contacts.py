"""Commands on contacts that wait: route, update, requeue, cancel."""

from typing import Final

from engine.commands import (
    CancelContact,
    OfferContact,
    Relaxation,
    RequeueContact,
    Requirements,
    Route,
    UpdateContact,
)
from engine.handlers.continuing import carry_on, diverted_row, taken_over
from engine.handlers.merging import merged
from engine.handlers.outcome import Outcome, where_it_stands
from engine.handlers.running import open_contact_row, run
from engine.handlers.scheduling import closed_then, request_schedule
from engine.kernels.columns import NOW_MS
from engine.kernels.requests import (
    IN_AGENT,
    IN_CLASS,
    IN_CONTACT,
    IN_DUE_MS,
    IN_MAX_WAIT_MS,
    IN_ROW,
    IN_SINCE_MS,
    IN_VALUE,
    OUT_STATE,
    OUT_WAIT_MS,
    Operation,
)
from engine.lifecycle import Channel, ContactState
from engine.limits import NEVER_MS
from engine.refusals import CommandRefused, Refusal, violation
from engine.state.cell import CellState
from engine.state.contacts import Said

# Looked up once: an enum's members are slow to reach.
_FREE: Final = int(ContactState.FREE)
_REJECTED: Final = int(ContactState.REJECTED)


def route(cell: CellState, command: Route, own: Requirements | None = None) -> Outcome:
    """Take a contact in; a contact id that is known changes nothing. `own` as in `Said`."""
    row = cell.contacts.slots.row_of(command.contact_id)
    if row >= 0 and cell.store.columns.contacts.state[row] != _FREE:
        return _route_again(cell, command, row)
    if command.continues_contact_id:
        return _continue(cell, command, row)
    return take_in(cell, command, row, own=own)


def _continue(cell: CellState, command: Route, row: int) -> Outcome:
    """Take a contact in that continues a diverted one, which ends unless this one is rejected."""
    diverted = diverted_row(cell, command.continues_contact_id)
    outcome = take_in(cell, taken_over(cell, command, diverted), row)
    if outcome.state != _REJECTED:
        carry_on(cell, command, diverted)
    return outcome


def take_in(
    cell: CellState,
    command: Route,
    row: int,
    about: int = -1,
    own: Requirements | None = None,
) -> Outcome:
    """
    Take a new contact in; a consult where it is about the contact of a row.

    `row` is that of a forgotten contact with the same id, -1 for none; `own` as in `Said`.
    """
    queue_row = cell.queue_row(command.queue_id)
    _check_asked(cell, command.requirements, command.relaxation)
    if command.schedule is not None:
        request_schedule(cell, command.schedule)
    class_row = cell.classes.row_of(
        queue_row, command.requirements, command.channel, command.priority, command.relaxation
    )
    if row >= 0:
        # Forgotten in the open commit group, which deletes the old row and writes the new one.
        cell.contacts.slots.disown(row)
    row = cell.contacts.slots.take(command.contact_id)
    cell.choices.drop(row)
    said = Said(command.requirements, command.attributes, command.relaxation, own=own)
    cell.contacts.write(row, said)
    request = cell.store.request
    request[IN_CONTACT] = row
    request[IN_CLASS] = class_row
    request[IN_SINCE_MS] = cell.store.scalar[NOW_MS] - command.routing_age_ms
    request[IN_MAX_WAIT_MS] = NEVER_MS if command.max_wait_ms < 0 else command.max_wait_ms
    if command.schedule is None:
        request[IN_DUE_MS] = 0
    else:
        request[IN_VALUE] = closed_then(cell, queue_row, command.schedule)
    request[IN_ROW] = about
    run(cell, Operation.ROUTE if about < 0 else Operation.CONSULT)
    return where_it_stands(cell, command.contact_id)


def _check_asked(cell: CellState, requirements: Requirements, relaxation: Relaxation) -> None:
    """Refuse what no agent of the cell could ever meet for want of a name."""
    cell.names.check(requirements, "requirements", is_last=not relaxation)
    for place, step in enumerate(relaxation):
        is_last = place == len(relaxation) - 1
        cell.names.check(step.requirements, f"relaxation[{place}].requirements", is_last=is_last)


def _route_again(cell: CellState, command: Route, row: int) -> Outcome:
    contacts = cell.store.columns.contacts
    if contacts.channel[row] != command.channel:
        expected = "the channel it was first routed with, or another contact id"
        raise CommandRefused(
            Refusal.CONTACT_EXISTS, violation("channel", command.channel, expected)
        )
    cell.store.request[IN_CONTACT] = row
    run(cell, Operation.READ_CONTACT)
    return where_it_stands(cell, command.contact_id)._replace(already_known=True)


def update(cell: CellState, command: UpdateContact) -> Outcome:
    """Change an open contact."""
    row = open_contact_row(cell, command.contact_id, command.etag)
    cell.crossings.require_none(command.contact_id)
    now_ms = cell.store.scalar[NOW_MS]
    contacts = cell.store.columns.contacts
    classes = cell.store.columns.classes
    old_class = int(contacts.class_row[row])
    said = cell.contacts.said(row)
    if command.requirements is not None:
        _check_asked(cell, command.requirements, ())
        said = said._replace(requirements=command.requirements, relaxation=(), own=None)
    requirements = command.requirements or cell.classes.requirements_of(old_class)
    kept = merged(said.attributes, command.attributes)
    priority = command.priority
    if priority is None:
        priority = int(classes.priority[old_class])
    since_ms = int(contacts.since_ms[row])
    if command.routing_age_ms is not None:
        since_ms = cell.contacts.age_counts_to_ms(row, now_ms) - command.routing_age_ms
    request = cell.store.request
    request[IN_CLASS] = cell.classes.row_of(
        int(classes.queue[old_class]),
        requirements,
        Channel(classes.channel[old_class]),
        priority,
        cell.contacts.steps_to_come(row, said),
        fell_back=bool(contacts.fell_back[row]),
    )
    if command.requirements is not None:
        contacts.relaxed[row] = 0
    request[IN_CONTACT] = row
    request[IN_SINCE_MS] = since_ms
    run(cell, Operation.UPDATE)
    cell.contacts.write(row, said._replace(attributes=kept))
    return Outcome(contact_id=command.contact_id)


def requeue(cell: CellState, command: RequeueContact, own: Requirements | None = None) -> Outcome:
    """
    Move a queued, offered or assigned contact, with what it asks for from then on; `own` as in
    `Said`.
    """
    row = open_contact_row(cell, command.contact_id, command.etag)
    contacts, classes = cell.store.columns.contacts, cell.store.columns.classes
    old_class = int(contacts.class_row[row])
    queue_row = int(classes.queue[old_class])
    if command.queue_id:
        queue_row = cell.queue_row(command.queue_id)
    priority = command.priority
    if priority is None:
        priority = int(classes.priority[old_class])
    said = cell.contacts.said(row)
    requirements = cell.classes.requirements_of(old_class)
    asks_anew = command.requirements is not None or bool(command.relaxation)
    taken = int(contacts.relaxed[row])
    if asks_anew:
        requirements = command.requirements or requirements
        _check_asked(cell, requirements, command.relaxation)
        said = said._replace(requirements=requirements, relaxation=command.relaxation, own=own)
        taken = 0
    said = said._replace(attributes=merged(said.attributes, command.attributes))
    request = cell.store.request
    request[IN_CLASS] = cell.classes.row_of(
        queue_row,
        requirements,
        Channel(classes.channel[old_class]),
        priority,
        said.relaxation[taken:],
        fell_back=bool(contacts.fell_back[row]),
    )
    request[IN_CONTACT] = row
    taken_before = int(contacts.relaxed[row])
    contacts.relaxed[row] = taken
    try:
        run(cell, Operation.REQUEUE)
    except CommandRefused:
        contacts.relaxed[row] = taken_before
        raise
    if asks_anew or command.attributes:
        cell.contacts.write(row, said)
    return where_it_stands(cell, command.contact_id)


def offer_by_hand(cell: CellState, command: OfferContact) -> Outcome:
    """Offer a contact to a chosen agent."""
    row = open_contact_row(cell, command.contact_id)
    request = cell.store.request
    request[IN_AGENT] = cell.agent_row(command.agent_id)
    request[IN_CONTACT] = row
    request[IN_VALUE] = command.ignores_capacity
    run(cell, Operation.PICK)
    return where_it_stands(cell, command.contact_id)


def cancel(cell: CellState, command: CancelContact) -> Outcome:
    """End a queued, offered, scheduled or diverted contact."""
    cell.store.request[IN_CONTACT] = open_contact_row(cell, command.contact_id)
    cell.store.request[IN_VALUE] = command.reason
    run(cell, Operation.CANCEL)
    cell.crossings.leave(command.contact_id, command.reason)
    out = cell.store.outcome
    return Outcome(state=out[OUT_STATE], contact_id=command.contact_id, wait_ms=out[OUT_WAIT_MS])
