"""
Rings and sums of telemetry, a second at a time.

A reading belongs to the second it was taken in, whenever it comes: seconds lie in a ring until they
are closed, in order, and only then enter the sums. A second counts for a queue when every source
that reports on the queue has told of it; else it is a gap, and adds nothing, not zeros. Sums are of
whole numbers, so what leaves a window is exactly what entered it.
"""

from typing import Annotated, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.kernels.compilation import sensing_entry, sensing_kernel
from engine.kernels.sensing_columns import ROWS, Count, Extent

# Columns of a reading. The first seven count over the second; the others are as it ends.
OFFERED: Final = 0
ANSWERED: Final = 1
ANSWERED_WITHIN: Final = 2
ABANDONED: Final = 3
ANSWER_WAIT_MS: Final = 4
HANDLED: Final = 5
HANDLE_MS: Final = 6
WAITING: Final = 7
AVAILABLE: Final = 8
HANDLING: Final = 9
WRAP_UP: Final = 10
OLDEST_WAIT_MS: Final = 11
READING_COLUMNS: Final = 12
# One more in rings and sums: seconds that count.
COVERED: Final = READING_COLUMNS
WIDTH: Final = READING_COLUMNS + 1

# Bounds of one second of one queue, all sources together: ten seconds of it fit 32 bits.
COUNT_MAX: Final = 1_000_000
DURATION_MS_MAX: Final = 200_000_000

RING_S: Final = 32
# Seconds a reading may be ahead of the last closed one.
AHEAD_S: Final = 20
STEP_S: Final = 10
STEPS: Final = 181
# Windows: ten seconds, 1, 5, 15 and 30 minutes, the queue's day.
TEN_SECONDS: Final = 0
DAY_WINDOW: Final = 5
WINDOWS: Final = 6
# Lengths of those in between, in steps.
WINDOW_STEPS: Final = (6, 30, 90, 180)

SOURCES_MAX: Final = 64
# A source that has not been heard for so long is no longer waited for.
SOURCE_FORGOTTEN_S: Final = 900

# Readings alike in every column, with contacts in them, after which a source is taken for stuck:
# of a queue that sees one contact a second chance alone would do this once in 10^13 times.
REPEATED_MAX: Final = 30
# FNV-1a, 64 bits.
_FNV_BASIS: Final = 14_695_981_039_346_656_037
_FNV_PRIME: Final = 1_099_511_628_211

# What became of a reading.
ACCEPTED: Final = 0
REFUSED_UNKNOWN: Final = 1
REFUSED_VALUE: Final = 2
REFUSED_LATE: Final = 3
REFUSED_AHEAD: Final = 4
REFUSED_DUPLICATE: Final = 5
REFUSED_STUCK: Final = 6
OUTCOMES: Final = 7

# A second of the ring must be out of the ten-second window before its place is taken again.
assert AHEAD_S + 1 + STEP_S < RING_S
assert max(WINDOW_STEPS) < STEPS


class Windows(NamedTuple):
    """
    Rings and sums per queue.

    Attributes
    ----------
    seconds
        (32, n, 13) readings by second modulo 32, all sources together.
    reported
        (32, n) bit per source that has told of the second.
    steps
        (181, n, 13) sums of ten seconds, by step modulo 181.
    sums
        (n, 6, 13) sums by window.
    latest, latest_s
        (n, 13) the last second that counts; (n,) which it is, -1 for none.
    sources
        (n,) bit per source that is waited for.
    heard_s
        (n, 64) last second each source told of.
    said, repeated
        (n, 64) hash of each source's last reading; how often it has been repeated.
    bucket_offered, bucket_covered_s
        (n,) contacts offered and seconds that count since they were last taken.
    quiet_s
        (n,) seconds that count since a contact was last offered.
    """

    seconds: Annotated[NDArray[np.int32], Extent(np.int32, 0, (RING_S, ROWS, WIDTH))]
    reported: Annotated[NDArray[np.uint64], Extent(np.uint64, 0, (RING_S, ROWS))]
    steps: Annotated[NDArray[np.int32], Extent(np.int32, 0, (STEPS, ROWS, WIDTH))]
    sums: Annotated[NDArray[np.int64], Extent(np.int64, 0, (ROWS, WINDOWS, WIDTH))]
    latest: Annotated[NDArray[np.int64], Extent(np.int64, 0, (ROWS, WIDTH))]
    latest_s: Annotated[NDArray[np.int64], Extent(np.int64, -1, (ROWS,))]
    sources: Annotated[NDArray[np.uint64], Extent(np.uint64, 0, (ROWS,))]
    heard_s: Annotated[NDArray[np.int64], Extent(np.int64, -1, (ROWS, SOURCES_MAX))]
    said: Annotated[NDArray[np.uint64], Extent(np.uint64, 0, (ROWS, SOURCES_MAX))]
    repeated: Annotated[NDArray[np.int64], Extent(np.int64, 0, (ROWS, SOURCES_MAX))]
    bucket_offered: Count
    bucket_covered_s: Count
    quiet_s: Count


class Readings(NamedTuple):
    """
    Readings as they come.

    Attributes
    ----------
    queue
        (n,) rows of queues.
    source
        (n,) numbers of sources, 0 to 63.
    second
        (n,) seconds since the Unix epoch, of the event, not of its arrival here.
    values
        (n, 12) by column.
    """

    queue: NDArray[np.int64]
    source: NDArray[np.int64]
    second: NDArray[np.int64]
    values: NDArray[np.int64]


@sensing_kernel
def _in_bounds(windows: Windows, readings: Readings, place: int, ring: int) -> bool:
    """Whether a reading's values may be added to what its second holds. O(columns)."""
    queue = readings.queue[place]
    for column in range(READING_COLUMNS):
        value = readings.values[place, column]
        is_duration = column in (ANSWER_WAIT_MS, HANDLE_MS, OLDEST_WAIT_MS)
        most = DURATION_MS_MAX if is_duration else COUNT_MAX
        held = 0 if column == OLDEST_WAIT_MS else windows.seconds[ring, queue, column]
        if value < 0 or value > most - held:
            return False
    # No more can be answered in time than are answered.
    return readings.values[place, ANSWERED_WITHIN] <= readings.values[place, ANSWERED]


@sensing_kernel
def _is_stuck(windows: Windows, readings: Readings, place: int) -> bool:
    """Note a reading; whether its source repeats it, contacts and all. O(columns)."""
    queue, source = readings.queue[place], readings.source[place]
    said = np.uint64(_FNV_BASIS)
    for column in range(READING_COLUMNS):
        said = (said ^ np.uint64(readings.values[place, column])) * np.uint64(_FNV_PRIME)
    is_repeated = said == windows.said[queue, source] and readings.values[place, OFFERED] > 0
    windows.said[queue, source] = said
    windows.repeated[queue, source] = windows.repeated[queue, source] + 1 if is_repeated else 0
    return windows.repeated[queue, source] >= REPEATED_MAX


@sensing_kernel
def _judge(windows: Windows, readings: Readings, place: int, closed_s: int) -> int:
    """What becomes of a reading. O(columns)."""
    queue, source = readings.queue[place], readings.source[place]
    second = readings.second[place]
    if queue < 0 or queue >= windows.latest_s.shape[0] or source < 0 or source >= SOURCES_MAX:
        return REFUSED_UNKNOWN
    if second <= closed_s:
        return REFUSED_LATE
    if second > closed_s + AHEAD_S:
        return REFUSED_AHEAD
    ring = second % RING_S
    if windows.reported[ring, queue] >> np.uint64(source) & np.uint64(1):
        return REFUSED_DUPLICATE
    if not _in_bounds(windows, readings, place, ring):
        return REFUSED_VALUE
    return REFUSED_STUCK if _is_stuck(windows, readings, place) else ACCEPTED


@sensing_entry
def accept_readings(
    windows: Windows, readings: Readings, closed_s: int, outcome: NDArray[np.int8]
) -> None:
    """
    Put readings into the seconds they are of; `outcome` (n,) says what became of each.

    Counts of several sources are added, for each tells of its own contacts and agents; the oldest
    wait is the longest of them. O(readings).
    """
    for place in range(readings.queue.shape[0]):
        judged = _judge(windows, readings, place, closed_s)
        outcome[place] = judged
        if judged != ACCEPTED:
            continue
        queue, source, second = (
            readings.queue[place], readings.source[place], readings.second[place],
        )  # fmt: skip
        ring = second % RING_S
        bit = np.uint64(1) << np.uint64(source)
        windows.reported[ring, queue] |= bit
        windows.sources[queue] |= bit
        windows.heard_s[queue, source] = max(windows.heard_s[queue, source], second)
        held = windows.seconds[ring, queue]
        for column in range(READING_COLUMNS):
            value = np.int32(readings.values[place, column])
            if column == OLDEST_WAIT_MS:
                held[column] = max(held[column], value)
            else:
                held[column] += value


@sensing_kernel
def _forget_silent(windows: Windows, queue: int, second: int) -> None:
    """Wait no longer for sources that have been silent for long. O(sources)."""
    for source in range(SOURCES_MAX):
        if windows.heard_s[queue, source] < second - SOURCE_FORGOTTEN_S:
            windows.sources[queue] &= ~(np.uint64(1) << np.uint64(source))


@sensing_kernel
def _is_whole(windows: Windows, queue: int, second: int) -> bool:
    """Whether every source that is waited for has told of a second. O(1), O(sources) in a gap."""
    reported = windows.reported[second % RING_S, queue]
    if windows.sources[queue] & ~reported:
        _forget_silent(windows, queue, second)
    return reported != 0 and (windows.sources[queue] & ~reported) == 0


@sensing_kernel
def _enter(windows: Windows, queue: int, second: int) -> None:
    """Add a second that counts to every sum. O(columns × windows)."""
    held = windows.seconds[second % RING_S, queue]
    held[COVERED] = 1
    step = windows.steps[second // STEP_S % STEPS, queue]
    for column in range(WIDTH):
        value = held[column]
        windows.latest[queue, column] = value
        step[column] += value
        for window in range(WINDOWS):
            windows.sums[queue, window, column] += value
    windows.latest_s[queue] = second
    windows.bucket_offered[queue] += held[OFFERED]
    windows.bucket_covered_s[queue] += 1
    windows.quiet_s[queue] = 0 if held[OFFERED] > 0 else windows.quiet_s[queue] + 1


@sensing_kernel
def _leave_step(windows: Windows, queue: int, step: int) -> None:
    """Take the steps that end their windows as `step` begins out of the sums. O(columns)."""
    for place in range(len(WINDOW_STEPS)):
        ended = windows.steps[(step - WINDOW_STEPS[place]) % STEPS, queue]
        for column in range(WIDTH):
            windows.sums[queue, TEN_SECONDS + 1 + place, column] -= ended[column]
    windows.steps[step % STEPS, queue, :] = 0


@sensing_entry
def close_second(windows: Windows, second: int) -> None:
    """
    Close one second of all queues; every earlier one is closed.

    The ten-second window holds the last ten seconds. Longer ones move by ten seconds: of N seconds
    they hold the last N - 9 to N. O(queues).
    """
    step = second // STEP_S
    leaving = (second - STEP_S) % RING_S
    freed = (second - STEP_S - 1) % RING_S
    for queue in range(windows.latest_s.shape[0]):
        if second % STEP_S == 0:
            _leave_step(windows, queue, step)
        for column in range(WIDTH):
            windows.sums[queue, TEN_SECONDS, column] -= windows.seconds[leaving, queue, column]
        windows.seconds[freed, queue, :] = 0
        windows.reported[freed, queue] = 0
        if _is_whole(windows, queue, second):
            _enter(windows, queue, second)
        else:
            windows.seconds[second % RING_S, queue, :] = 0
