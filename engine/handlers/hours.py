"""Hours of queues: who is open now, and what is told when that changes."""

from engine.kernels.columns import NOW_MS
from engine.kernels.requests import IN_QUEUE, IN_VALUE, Operation
from engine.lifecycle import RejectionReason
from engine.routing.hours import closed_for, next_change_ms
from engine.state.cell import CellState


def follow_due_hours(cell: CellState) -> None:
    """Open and close the queues whose hours have changed."""
    rows = cell.hours.due(cell.store.scalar[NOW_MS])
    cell.make_effect_room(len(rows))
    for row in rows:
        follow_hours(cell, row)


def follow_hours(cell: CellState, row: int) -> None:
    """Open or close a queue as its hours say."""
    reason = _reckon(cell, row)
    if reason != cell.store.columns.queues.closed_for[row]:
        cell.store.request[IN_VALUE] = reason
        cell.run_on(Operation.SET_HOURS, IN_QUEUE, row)


def restore_hours(cell: CellState) -> None:
    """After loading: work out who was open at the time of the last command; tells nobody."""
    for row in cell.hours.rows():
        cell.store.columns.queues.closed_for[row] = _reckon(cell, row)


def _reckon(cell: CellState, row: int) -> RejectionReason:
    """Why a queue takes nobody in now, NONE where it does; its next change is scheduled."""
    hours = cell.hours.of(row)
    if hours is None:
        return RejectionReason.NONE
    now_ms = cell.store.scalar[NOW_MS]
    cell.hours.schedule(row, next_change_ms(hours, now_ms))
    return closed_for(hours, now_ms)
