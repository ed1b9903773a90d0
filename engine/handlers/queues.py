"""Commands on queues and on the cell: define, delete, intake, deadlines, recovery."""

import numpy as np

from engine.commands import DeleteQueue, Expire, Recover, SetIntake, UpsertQueue
from engine.handlers.hours import follow_hours
from engine.handlers.outcome import Outcome
from engine.handlers.running import check_etag, run
from engine.kernels.requests import IN_QUEUE, IN_VALUE, Operation
from engine.refusals import CommandRefused, Refusal, violation
from engine.state.cell import CellState


def upsert_queue(cell: CellState, command: UpsertQueue) -> Outcome:
    """Create a queue, open, or replace its definition."""
    queues = cell.queues
    row = queues.slots.row_of(command.queue_id)
    version = cell.store.columns.queues.version
    check_etag(command.etag, int(version[row]) if row >= 0 else 0)
    fallback_row = _fallback_row(cell, command)
    if row < 0:
        row = queues.slots.take(command.queue_id)
        queues.clear(row)
    cell.classes.fall_back_to(row, fallback_row)
    queues.write(row, command)
    cell.store.columns.queues.version[row] += 1
    cell.store.request[IN_QUEUE] = row
    run(cell, Operation.QUEUE_CHANGED)
    cell.hours.set(row, command.hours)
    cell.make_effect_room()
    follow_hours(cell, row)
    return Outcome(queue_id=command.queue_id)


def _fallback_row(cell: CellState, command: UpsertQueue) -> int:
    """Queue that a definition falls back to, -1 for none; one that leads back here is refused."""
    if not command.fallback_queue_id:
        return -1
    ids = cell.queues.slots.ids
    path = [command.queue_id, command.fallback_queue_id]
    row = cell.queues.slots.row_of(command.fallback_queue_id)
    while path[-1] != command.queue_id and row >= 0:
        row = int(cell.store.columns.queues.fallback[row])
        if row >= 0:
            path.append(ids[row])
    if path[-1] == command.queue_id:
        expected = f"a queue that does not lead back: {' > '.join(path)}"
        refused = violation("queue.fallback_queue_id", command.fallback_queue_id, expected)
        raise CommandRefused(Refusal.INVALID_FIELD, refused)
    return cell.queue_row(command.fallback_queue_id, "queue.fallback_queue_id")


def delete_queue(cell: CellState, command: DeleteQueue) -> Outcome:
    """Delete a queue without open contacts that no agent names, nor a queue as its fallback."""
    row = cell.queue_row(command.queue_id)
    columns = cell.store.columns
    check_etag(command.etag, int(columns.queues.version[row]))
    if cell.open_contacts_in(row) > 0:
        expected = "a queue without open contacts; requeue or cancel them first"
        raise CommandRefused(
            Refusal.QUEUE_HOLDS_CONTACTS, violation("queue_id", command.queue_id, expected)
        )
    if cell.agents.are_named(row):
        expected = "a queue no agent names; take it from their definitions first"
        raise CommandRefused(
            Refusal.QUEUE_HAS_AGENTS, violation("queue_id", command.queue_id, expected)
        )
    names_it = np.flatnonzero(columns.queues.fallback == row)
    if names_it.size > 0:
        expected = f"no fallback of other queues; {cell.queues.slots.ids[names_it[0]]} names it"
        raise CommandRefused(
            Refusal.QUEUE_IS_FALLBACK, violation("queue_id", command.queue_id, expected)
        )
    cell.store.request[IN_QUEUE] = row
    run(cell, Operation.DELETE_QUEUE)
    cell.remove_queue(row)
    return Outcome(queue_id=command.queue_id)


def set_intake(cell: CellState, command: SetIntake) -> Outcome:
    """Open, pause or close a queue."""
    row = cell.queue_row(command.queue_id)
    cell.store.request[IN_QUEUE] = row
    cell.store.request[IN_VALUE] = command.intake
    run(cell, Operation.SET_INTAKE)
    return Outcome(queue_id=command.queue_id)


def expire(cell: CellState, _command: Expire) -> Outcome:
    """Handle every deadline that has come."""
    run(cell, Operation.EXPIRE)
    return Outcome()


def recover(cell: CellState, _command: Recover) -> Outcome:
    """Bring a loaded cell back to work."""
    cell.make_recovery_room()
    run(cell, Operation.RECOVER)
    return Outcome()
