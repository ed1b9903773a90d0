"""What callers of a simulated floor do: arrive, choose, wait, leave, try again."""

from engine.kernels.arrivals import number_of, schedule_arrival
from engine.kernels.boundary import Table, open_cell, open_classes
from engine.kernels.columns import OPEN_COUNT
from engine.kernels.compilation import kernel
from engine.kernels.deadlines import reschedule
from engine.kernels.deeds import numbered, rounded, run_operation, schedule
from engine.kernels.distributions import draw
from engine.kernels.drawing import CHOICE, PATIENCE, REDIAL, REDIAL_DELAY, uniform
from engine.kernels.floor_columns import (
    ARRIVED_IN,
    BATCH,
    BLOCKED,
    DIVERSIONS_BEGUN,
    DIVERTED,
    EXPIRED,
    FOUND_MORE,
    FREE_CONTACTS,
    FREE_REDIALS,
    NOW,
    OFFERED,
    REDIAL_HEAP,
    REDIALLED,
    TRUNKS,
    open_floor_contacts,
    open_redials,
    open_run,
    open_streams,
)
from engine.kernels.measuring import count, count_in, look_at_stream, measure_abandonment, waited_ms
from engine.kernels.requests import IN_CLASS, IN_CONTACT, IN_MAX_WAIT_MS, IN_SINCE_MS, Operation
from engine.limits import NEVER_MS

_ROUTE = int(Operation.ROUTE)


@kernel
def is_diverted(floor: Table, stream: int, number: int) -> bool:
    """
    Whether an arrival takes the offer of another way, by the stream's rule and its own draw. O(1).
    """
    streams = open_streams(floor)
    begins_at = streams.divert_from[stream]
    if begins_at < 0:
        return False
    waiting = streams.waiting[stream]
    if streams.divert_until[stream] < 0:
        is_offered = waiting >= begins_at
    else:
        is_offered = streams.is_diverting[stream] == 1 and waiting > 0
    return is_offered and (
        uniform(open_run(floor).key[0], number, CHOICE) < streams.divert_share[stream]
    )


@kernel
def change_waiting(floor: Table, stream: int, change: int) -> None:
    """Count a stream's contact in or out of those waiting, and switch its diversion. O(1)."""
    look_at_stream(floor, stream)
    streams = open_streams(floor)
    streams.waiting[stream] += change
    waiting = streams.waiting[stream]
    if streams.divert_until[stream] < 0:
        return
    if streams.is_diverting[stream] == 0 and change > 0 and waiting == streams.divert_from[stream]:
        streams.is_diverting[stream] = 1
        count_in(floor, open_run(floor).scalar[BATCH], stream, DIVERSIONS_BEGUN)
    elif streams.is_diverting[stream] == 1 and waiting <= streams.divert_until[stream]:
        streams.is_diverting[stream] = 0


@kernel
def receive(table: Table, floor: Table, stream: int, number: int, attempt: int) -> None:
    """
    A contact arrives: it goes elsewhere by its own choice, or is routed. Attempt -1 is a probe.

    The caller has seen to it that a row is free. As `route`.
    """
    streams = open_streams(floor)
    scalar = open_run(floor).scalar
    batch = -1 if attempt < 0 else scalar[BATCH]
    count_in(floor, batch, stream, OFFERED)
    if 0 <= streams.divert_from[stream] < streams.waiting[stream]:
        count_in(floor, batch, stream, FOUND_MORE)
    if is_diverted(floor, stream, number):
        count_in(floor, batch, stream, DIVERTED)
        if streams.divert_to[stream] < 0:
            return
        stream = streams.divert_to[stream]
        count_in(floor, batch, stream, OFFERED)
    if open_cell(table).scalar[OPEN_COUNT] >= scalar[TRUNKS]:
        count_in(floor, batch, stream, BLOCKED)
        may_redial(floor, stream, number, attempt, batch)
        return
    contacts = open_floor_contacts(floor)
    scalar[FREE_CONTACTS] -= 1
    contact = contacts.free[scalar[FREE_CONTACTS]]
    contacts.number[contact] = number
    contacts.stream[contact] = stream
    contacts.attempt[contact] = attempt
    contacts.batch[contact] = batch
    contacts.has_waited[contact] = 0
    contacts.work_ms[contact] = -1.0
    contacts.answers_ms[contact] = NEVER_MS
    contacts.leaves_ms[contact] = NEVER_MS
    patience = streams.patience[stream]
    if patience >= 0:
        key = open_run(floor).key[0]
        contacts.leaves_ms[contact] = rounded(
            scalar[NOW], draw(floor, patience, key, numbered(number, attempt), PATIENCE)
        )
    change_waiting(floor, stream, 1)
    scalar[ARRIVED_IN] = open_classes(table).queue[streams.class_row[stream]]
    request = open_cell(table).request
    request[IN_CONTACT] = contact
    request[IN_CLASS] = streams.class_row[stream]
    request[IN_SINCE_MS] = scalar[NOW]
    # The queue's.
    request[IN_MAX_WAIT_MS] = 0
    run_operation(table, floor, _ROUTE)


@kernel
def arrive(table: Table, floor: Table, stream: int) -> None:
    """The stream's next contact arrives, and the one after it is drawn. As `receive`."""
    streams = open_streams(floor)
    arrived = streams.arrived[stream]
    streams.arrived[stream] = arrived + 1
    schedule_arrival(floor, stream)
    receive(table, floor, stream, number_of(floor, stream, arrived), 0)


@kernel
def may_redial(floor: Table, stream: int, number: int, attempt: int, batch: int) -> None:
    """One whose contact came to nothing may try again later, by its own draws. O(log redials)."""
    streams = open_streams(floor)
    if streams.redial_share[stream] == 0.0:
        return
    redials = open_redials(floor)
    run = open_run(floor)
    own = numbered(number, attempt)
    if uniform(run.key[0], own, REDIAL) >= streams.redial_share[stream]:
        return
    delay_ms = draw(floor, streams.redial_delay[stream], run.key[0], own, REDIAL_DELAY)
    run.scalar[FREE_REDIALS] -= 1
    row = redials.free[run.scalar[FREE_REDIALS]]
    redials.number[row] = number
    redials.stream[row] = stream
    redials.attempt[row] = attempt + 1
    redials.due_ms[row] = rounded(run.scalar[NOW], delay_ms)
    run.scalar[REDIAL_HEAP] = reschedule(
        redials.heap, redials.heap_position, redials.due_ms, run.scalar[REDIAL_HEAP], row
    )
    count_in(floor, batch, stream, REDIALLED)


@kernel
def redial(table: Table, floor: Table) -> None:
    """The caller who tries again soonest does. As `receive`."""
    redials = open_redials(floor)
    scalar = open_run(floor).scalar
    row = redials.heap[0]
    redials.due_ms[row] = NEVER_MS
    scalar[REDIAL_HEAP] = reschedule(
        redials.heap, redials.heap_position, redials.due_ms, scalar[REDIAL_HEAP], row
    )
    redials.free[scalar[FREE_REDIALS]] = row
    scalar[FREE_REDIALS] += 1
    receive(table, floor, redials.stream[row], redials.number[row], redials.attempt[row])


@kernel
def end_wait(table: Table, floor: Table, contact: int, what: int) -> None:
    """A contact came to nothing: note it, and let its caller decide. O(log contacts)."""
    contacts = open_floor_contacts(floor)
    change_waiting(floor, contacts.stream[contact], -1)
    schedule(floor, contact, NEVER_MS)
    wait_ms = waited_ms(table, contact, open_run(floor).scalar[NOW])
    if what == EXPIRED:
        count(floor, contact, EXPIRED)
    elif what == BLOCKED:
        count(floor, contact, BLOCKED)
    else:
        measure_abandonment(floor, contact, wait_ms)
    stream, batch = contacts.stream[contact], contacts.batch[contact]
    may_redial(floor, stream, contacts.number[contact], contacts.attempt[contact], batch)
