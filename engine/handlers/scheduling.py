"""Commands that put contacts off: to a time, to their turn on another channel, to a retry."""

from engine.commands import FailAttempt, Schedule, ScheduleContact
from engine.handlers.merging import merged
from engine.handlers.outcome import Outcome, where_it_stands
from engine.handlers.running import open_contact_row, request_assignment, run
from engine.kernels.columns import NOW_MS
from engine.kernels.requests import (
    IN_ATTEMPTS_MAX,
    IN_CLASS,
    IN_CONTACT,
    IN_DUE_MS,
    IN_RETRY_MS,
    IN_VALUE,
    IN_WINDOW_MS,
    Operation,
)
from engine.lifecycle import Channel, RejectionReason
from engine.limits import SCHEDULE_AHEAD_MS_MAX
from engine.refusals import CommandRefused, Refusal, violation
from engine.routing.hours import closed_for
from engine.state.cell import CellState


def request_schedule(cell: CellState, schedule: Schedule) -> None:
    """
    Write a schedule into the request; a time that has passed is now.

    Raises
    ------
    CommandRefused
        INVALID_FIELD for times that are too far ahead, or a window that ends before it begins.
    """
    now_ms = cell.store.scalar[NOW_MS]
    due_ms = max(schedule.due_at_ms, now_ms, 1)
    latest_ms = now_ms + SCHEDULE_AHEAD_MS_MAX
    for field, at_ms, low_ms in (
        ("schedule.due_at_ms", schedule.due_at_ms, 0),
        ("schedule.window_ends_at_ms", schedule.window_ends_at_ms, due_ms + 1),
    ):
        if at_ms != 0 and not (low_ms <= at_ms <= latest_ms):
            expected = f"0, or {max(low_ms, 1)} to {latest_ms}, 31 days from now"
            raise CommandRefused(Refusal.INVALID_FIELD, violation(field, at_ms, expected))
    request = cell.store.request
    request[IN_DUE_MS] = due_ms
    request[IN_WINDOW_MS] = schedule.window_ends_at_ms
    request[IN_ATTEMPTS_MAX] = schedule.attempts_max
    request[IN_RETRY_MS] = schedule.retry_delay_ms


def closed_then(cell: CellState, queue_row: int, schedule: Schedule) -> RejectionReason:
    """Why a queue's hours have it closed at the time a contact would come due, NONE for open."""
    hours = cell.hours.of(queue_row)
    if hours is None or schedule.due_at_ms <= cell.store.scalar[NOW_MS]:
        return RejectionReason.NONE
    return closed_for(hours, schedule.due_at_ms)


def schedule_contact(cell: CellState, command: ScheduleContact) -> Outcome:
    """Put an open contact off, or have it keep its place on another channel."""
    row = open_contact_row(cell, command.contact_id, command.etag)
    contacts, classes = cell.store.columns.contacts, cell.store.columns.classes
    old_class = int(contacts.class_row[row])
    queue_row = int(classes.queue[old_class])
    if command.queue_id:
        queue_row = cell.queue_row(command.queue_id)
    said = cell.contacts.said(row)
    attributes = merged(said.attributes, command.attributes)
    # First: hours know nothing of times that are further ahead than anything may be put off.
    request_schedule(cell, command.schedule)
    _require_open_then(cell, queue_row, command.schedule)
    request = cell.store.request
    request[IN_CLASS] = cell.classes.row_of(
        queue_row,
        cell.classes.requirements_of(old_class),
        command.channel or Channel(classes.channel[old_class]),
        int(classes.priority[old_class]),
        cell.contacts.steps_to_come(row, said),
        fell_back=bool(contacts.fell_back[row]),
    )
    request[IN_CONTACT] = row
    run(cell, Operation.SCHEDULE)
    if command.attributes:
        cell.contacts.write(row, said._replace(attributes=attributes))
    return where_it_stands(cell, command.contact_id)


def _require_open_then(cell: CellState, queue_row: int, schedule: Schedule) -> None:
    """Refuse a time at which nobody would call: the customer can still choose another."""
    reason = closed_then(cell, queue_row, schedule)
    if reason is not RejectionReason.NONE:
        expected = f"a time at which the queue is open; it is {reason.name} then"
        refused = violation("schedule.due_at_ms", schedule.due_at_ms, expected)
        raise CommandRefused(Refusal.INVALID_FIELD, refused)


def fail_attempt(cell: CellState, command: FailAttempt) -> Outcome:
    """Have a contact tried again later, or end it."""
    request_assignment(cell, command.contact_id, command.agent_id)
    cell.store.request[IN_VALUE] = command.retry_after_ms
    run(cell, Operation.FAIL_ATTEMPT)
    return where_it_stands(cell, command.contact_id)
