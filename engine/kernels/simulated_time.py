"""The clock of a simulated floor: whatever comes next, happens next."""

from typing import Final

from engine.kernels.arrivals import begin_cycle, number_of, schedule_arrival
from engine.kernels.boundary import Table, open_cell
from engine.kernels.callers import arrive, receive, redial
from engine.kernels.columns import NEXT_DUE_MS
from engine.kernels.compilation import entry, kernel
from engine.kernels.deadlines import reschedule
from engine.kernels.deeds import run_operation
from engine.kernels.floor_columns import (
    ARRIVALS_END,
    ARRIVED_IN,
    BATCH_ENDS,
    BUSY,
    CONTACT_HEAP,
    ENDS,
    EVENTS,
    FREE_CONTACTS,
    FREE_REDIALS,
    FREED,
    HAS_GROWING_WEIGHTS,
    IN_HAND,
    NEXT_CHANGE,
    NEXT_MOMENT,
    NOW,
    OVERFLOW_RULES,
    REDIAL_HEAP,
    SIGNED_IN,
    STREAM_HEAP,
    open_changes,
    open_floor_contacts,
    open_moments,
    open_redials,
    open_run,
    open_streams,
)
from engine.kernels.floor_events import act, follow_all
from engine.kernels.measuring import contacts_waiting, end_batch, look_at_all
from engine.kernels.overflowing import overflow, weigh_queues
from engine.kernels.requests import Operation
from engine.kernels.staffing import change_staffing
from engine.limits import EFFECTS_PER_CALL, NEVER_MS

# What `simulate` returns.
ENDED: Final = 0
GOES_ON: Final = 1
NEEDS_CONTACTS: Final = 2
NEEDS_REDIALS: Final = 3

# Rows that must be free before an event: it brings one contact at most, but may end as many waits,
# each with a caller who tries again, as one call of the cell records effects.
_CONTACT_ROOM = 1
_REDIAL_ROOM = EFFECTS_PER_CALL
_EXPIRE = int(Operation.EXPIRE)


@kernel
def look(table: Table, floor: Table) -> None:
    """Note how the floor stands at the next moment asked for, then send its probe. As `receive`."""
    moments = open_moments(floor)
    scalar = open_run(floor).scalar
    place = scalar[NEXT_MOMENT]
    scalar[NEXT_MOMENT] = place + 1
    moments.waiting[place] = contacts_waiting(floor, moments.probe[place])
    moments.in_hand[place] = scalar[IN_HAND]
    moments.signed_in[place] = scalar[SIGNED_IN]
    moments.busy[place] = scalar[BUSY]
    if moments.probe[place] >= 0:
        receive(table, floor, moments.probe[place], place, -1)


@kernel
def change_ms(floor: Table) -> int:
    """Time of the next change of staffing, NEVER_MS for none. O(1)."""
    at_ms = open_changes(floor).at_ms
    place = open_run(floor).scalar[NEXT_CHANGE]
    return at_ms[place] if place < at_ms.shape[0] else NEVER_MS


@kernel
def moment_ms(floor: Table) -> int:
    """Next time at which the floor is looked at, NEVER_MS for none. O(1)."""
    at_ms = open_moments(floor).at_ms
    place = open_run(floor).scalar[NEXT_MOMENT]
    return at_ms[place] if place < at_ms.shape[0] else NEVER_MS


@kernel
def act_ms(floor: Table) -> int:
    """Time at which something is done for a contact, NEVER_MS for none. O(1)."""
    contacts = open_floor_contacts(floor)
    is_due = open_run(floor).scalar[CONTACT_HEAP] > 0
    return contacts.due_ms[contacts.heap[0]] if is_due else NEVER_MS


@kernel
def redial_ms(floor: Table) -> int:
    """Time at which somebody tries again, NEVER_MS for none. O(1)."""
    redials = open_redials(floor)
    is_due = open_run(floor).scalar[REDIAL_HEAP] > 0
    return redials.due_ms[redials.heap[0]] if is_due else NEVER_MS


@kernel
def arrive_ms(floor: Table) -> int:
    """Time of the next arrival, NEVER_MS for none. O(1)."""
    streams = open_streams(floor)
    is_due = open_run(floor).scalar[STREAM_HEAP] > 0
    return streams.due_ms[streams.heap[0]] if is_due else NEVER_MS


@kernel
def next_ms(table: Table, floor: Table) -> int:
    """Time of whatever comes next, NEVER_MS for nothing. O(1)."""
    ours_ms = min(change_ms(floor), moment_ms(floor), open_cell(table).scalar[NEXT_DUE_MS])
    return min(ours_ms, min(act_ms(floor), redial_ms(floor), arrive_ms(floor)))


@kernel
def step(table: Table, floor: Table) -> bool:
    """Let the next thing happen; False when there is none before the end. As the deed."""
    scalar = open_run(floor).scalar
    now_ms = next_ms(table, floor)
    if scalar[BATCH_ENDS] <= min(now_ms, scalar[ENDS]):
        scalar[NOW] = scalar[BATCH_ENDS]
        end_batch(table, floor)
        return True
    if now_ms >= scalar[ENDS] or now_ms >= NEVER_MS:
        return False
    scalar[NOW] = now_ms
    scalar[EVENTS] += 1
    scalar[ARRIVED_IN] = scalar[FREED] = -1
    if scalar[HAS_GROWING_WEIGHTS]:
        weigh_queues(table, floor)
    happen(table, floor, now_ms)
    follow_all(table, floor)
    if scalar[OVERFLOW_RULES] > 0:
        overflow(table, floor)
    return True


@kernel
def happen(table: Table, floor: Table, now_ms: int) -> None:
    """
    Do one thing that is due now. As the deed.

    The floor is looked at first, then come changes of staffing, the cell's own deadlines, contacts
    in hand or waiting, those who try again, and new arrivals.
    """
    if moment_ms(floor) == now_ms:
        look(table, floor)
    elif change_ms(floor) == now_ms:
        change_staffing(table, floor)
    elif open_cell(table).scalar[NEXT_DUE_MS] <= now_ms:
        run_operation(table, floor, _EXPIRE)
    elif act_ms(floor) == now_ms:
        act(table, floor)
    elif redial_ms(floor) == now_ms:
        redial(table, floor)
    elif now_ms >= open_run(floor).scalar[ARRIVALS_END]:
        stop_arrivals(floor)
    else:
        arrive(table, floor, open_streams(floor).heap[0])


@kernel
def stop_arrivals(floor: Table) -> None:
    """The doors are closed: no stream brings any more. O(streams)."""
    streams = open_streams(floor)
    scalar = open_run(floor).scalar
    while scalar[STREAM_HEAP] > 0:
        stream = streams.heap[0]
        streams.due_ms[stream] = NEVER_MS
        scalar[STREAM_HEAP] = reschedule(
            streams.heap, streams.heap_position, streams.due_ms, scalar[STREAM_HEAP], stream
        )


@entry
def simulate(table: Table, floor: Table, events_max: int) -> int:
    """
    Run a floor until it ends, for so many events, or until more rows are needed; which of these.

    Nothing is lost by coming back: the same call goes on where this one stopped. O(events).
    """
    scalar = open_run(floor).scalar
    for _ in range(events_max):
        if scalar[FREE_CONTACTS] < _CONTACT_ROOM:
            return NEEDS_CONTACTS
        if scalar[FREE_REDIALS] < _REDIAL_ROOM:
            return NEEDS_REDIALS
        if not step(table, floor):
            scalar[NOW] = min(scalar[ENDS], max(scalar[NOW], scalar[ARRIVALS_END]))
            look_at_all(table, floor)
            return ENDED
    return GOES_ON


@entry
def begin(table: Table, floor: Table) -> None:
    """
    Open the doors: who works from the start is there, then the contacts that wait, and each
    stream's first arrival is drawn.

    The caller has seen to it that rows are free. O(agents + contacts + streams log streams).
    """
    streams, changes = open_streams(floor), open_changes(floor)
    scalar = open_run(floor).scalar
    while changes.at_ms[scalar[NEXT_CHANGE]] <= scalar[NOW]:
        change_staffing(table, floor)
        follow_all(table, floor)
        if scalar[NEXT_CHANGE] == changes.at_ms.shape[0]:
            break
    for stream in range(streams.arrived.shape[0]):
        for _ in range(streams.initial[stream]):
            number = number_of(floor, stream, streams.arrived[stream])
            streams.arrived[stream] += 1
            receive(table, floor, stream, number, 0)
            follow_all(table, floor)
        begin_cycle(floor, stream)
        schedule_arrival(floor, stream)
