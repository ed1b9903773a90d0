"""
What telemetry says of each queue now: sums over its last seconds and minutes, and figures of them.

With `n` seconds of N that count (`coverage` n / N), over one window:

    service level  = answered within target / (answered + abandoned)
    ASA            = waits of those answered / answered
    abandonment    = abandoned / (answered + abandoned)
    occupancy      = (handling + wrap-up) / (available + handling + wrap-up), agent-seconds
    AHT            = handling times of contacts handled / contacts handled, wrap-up included

A figure whose divisor is 0 is NaN: nothing is known, which is neither 0 nor 1.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.forecasting.columns import Array, allocate, clear_row, exported, imported, ratio
from engine.kernels import windows as kernels
from engine.kernels.sensing_columns import Observed
from engine.kernels.windows import (
    ABANDONED,
    ANSWER_WAIT_MS,
    ANSWERED,
    ANSWERED_WITHIN,
    AVAILABLE,
    COVERED,
    DAY_WINDOW,
    HANDLE_MS,
    HANDLED,
    HANDLING,
    OFFERED,
    OUTCOMES,
    READING_COLUMNS,
    RING_S,
    STEP_S,
    STEPS,
    WAITING,
    WINDOW_STEPS,
    WRAP_UP,
    Readings,
    Windows,
)
from engine.refusals import BadConfiguration

# Names of the windows, in the order of their sums.
WINDOW_NAMES: Final = ("10s", "1m", "5m", "15m", "30m", "day")
# Past so many seconds without a call, everything within the windows is a gap.
_LONGEST_S: Final = STEP_S * STEPS


class Figures(NamedTuple):
    """
    What a window says of every queue; (n,) each, NaN where nothing is known.

    Attributes
    ----------
    offered, answered, abandoned
        Contacts.
    covered_s
        Seconds that count.
    service_level, abandonment, occupancy
        Ratios, 0 to 1; see the module's docstring.
    asa_ms, aht_ms
        Milliseconds.
    waiting
        Mean contacts in queue.
    """

    offered: NDArray[np.int64]
    answered: NDArray[np.int64]
    abandoned: NDArray[np.int64]
    covered_s: NDArray[np.int64]
    service_level: NDArray[np.float64]
    abandonment: NDArray[np.float64]
    occupancy: NDArray[np.float64]
    asa_ms: NDArray[np.float64]
    aht_ms: NDArray[np.float64]
    waiting: NDArray[np.float64]


class QueueWindows:
    """
    Windows of all queues, fed by readings and closed second by second.

    Attributes
    ----------
    columns
        The arrays; replaced as they grow.
    closed_s
        Last second that is closed, -1 before the first.
    outcomes
        (7,) readings accepted and refused so far, by what became of them.
    gaps
        Seconds skipped because nobody closed them in time.
    """

    def __init__(self, rows: int) -> None:
        self.columns = allocate(Windows, rows)
        self.closed_s = -1
        self.outcomes = np.zeros(OUTCOMES, np.int64)
        self.gaps = 0

    def require(self, rows: int) -> None:
        """Make room for rows of queues."""
        if rows > len(self.columns.latest_s):
            self.columns = allocate(Windows, rows, self.columns)

    def clear(self, row: int) -> None:
        """Forget a queue."""
        clear_row(self.columns, row)

    def begin(self, second: int) -> None:
        """Begin after a second; readings are taken from the next one on."""
        if not (0 <= second < 1 << 40):
            raise ValueError(f"second: expected 0 to 2^40, got {second}")
        self.closed_s = second

    def accept(self, readings: Readings) -> NDArray[np.int8]:
        """
        Take readings in; returns what became of each.

        Raises
        ------
        ValueError
            Arrays are not whole numbers, or of different lengths; nothing is taken.
        """
        rows = len(readings.queue)
        for name, array in zip(Readings._fields, readings, strict=True):
            shape = (rows, READING_COLUMNS) if name == "values" else (rows,)
            if array.dtype != np.int64 or array.shape != shape:
                raise ValueError(
                    f"readings.{name}: expected int64 of shape {shape}, "
                    f"got {array.dtype} of shape {array.shape}"
                )
        outcome = np.empty(rows, np.int8)
        kernels.accept_readings(
            self.columns, Readings(*map(np.ascontiguousarray, readings)), self.closed_s, outcome
        )
        self.outcomes += np.bincount(outcome, minlength=OUTCOMES)
        return outcome

    def close(self, second: int) -> None:
        """
        Close every second up to one.

        Raises
        ------
        ValueError
            It is before one that is closed; nothing changes.
        """
        if second < self.closed_s:
            raise ValueError(f"second: expected at least {self.closed_s}, got {second}")
        # What was accepted lies at most a ring ahead; the rest of a long pause is one gap.
        until = min(second, self.closed_s + RING_S)
        for closing in range(self.closed_s + 1, until + 1):
            kernels.close_second(self.columns, closing)
        self.gaps += second - until
        if second - until > _LONGEST_S:
            self._empty()
        else:
            for closing in range(until + 1, second + 1):
                kernels.close_second(self.columns, closing)
        self.closed_s = second

    def begin_day(self, rows: NDArray[np.int64]) -> None:
        """Begin the day of some queues: their day's sums are 0 again."""
        self.columns.sums[rows, DAY_WINDOW] = 0

    def take_bucket(self, quiet_s_max: int) -> Observed:
        """What has come since this was last called; `quiet_s` is cut at a bound."""
        columns = self.columns
        observed = self.bucket_so_far(quiet_s_max)
        columns.bucket_offered[:] = 0
        columns.bucket_covered_s[:] = 0
        return observed

    def bucket_so_far(self, quiet_s_max: int) -> Observed:
        """The same, and it goes on."""
        columns = self.columns
        return Observed(
            columns.bucket_offered.copy(),
            columns.bucket_covered_s.copy(),
            np.minimum(columns.quiet_s, quiet_s_max),
        )

    def figures(self, window: str) -> Figures:
        """
        What a window says of every queue.

        Raises
        ------
        ValueError
            No window has that name.
        """
        if window not in WINDOW_NAMES:
            raise ValueError(f"window: expected one of {', '.join(WINDOW_NAMES)}, got {window!r}")
        sums = self.columns.sums[:, WINDOW_NAMES.index(window)]
        ended = sums[:, ANSWERED] + sums[:, ABANDONED]
        occupied = sums[:, HANDLING] + sums[:, WRAP_UP]
        return Figures(
            offered=sums[:, OFFERED].copy(),
            answered=sums[:, ANSWERED].copy(),
            abandoned=sums[:, ABANDONED].copy(),
            covered_s=sums[:, COVERED].copy(),
            service_level=ratio(sums[:, ANSWERED_WITHIN], ended),
            abandonment=ratio(sums[:, ABANDONED], ended),
            occupancy=ratio(occupied, sums[:, AVAILABLE] + occupied),
            asa_ms=ratio(sums[:, ANSWER_WAIT_MS], sums[:, ANSWERED]),
            aht_ms=ratio(sums[:, HANDLE_MS], sums[:, HANDLED]),
            waiting=ratio(sums[:, WAITING], sums[:, COVERED]),
        )

    def window_s(self, window: str) -> int:
        """Seconds a window may hold now; those of the day are not bounded here."""
        place = WINDOW_NAMES.index(window)
        if place == 0:
            return STEP_S
        return STEP_S * (WINDOW_STEPS[place - 1] - 1) + self.closed_s % STEP_S + 1

    def export(self) -> dict[str, Array]:
        """Everything as arrays, for `load`."""
        return exported(self.columns) | {
            "closed_s": np.array(self.closed_s),
            "outcomes": self.outcomes.copy(),
            "gaps": np.array(self.gaps),
        }

    def load(self, arrays: Mapping[str, Array]) -> None:
        """
        Take what `export` gave, of as many rows.

        Raises
        ------
        BadConfiguration
            The arrays are of another version; nothing changes.
        """
        columns = imported(Windows, arrays, len(self.columns.latest_s))
        for name in ("closed_s", "outcomes", "gaps"):
            if name not in arrays:
                raise BadConfiguration(f"windows.{name}", None, "an array")
        self.columns = columns
        self.closed_s = int(np.int64(arrays["closed_s"]))
        self.gaps = int(np.int64(arrays["gaps"]))
        self.outcomes = np.array(arrays["outcomes"], np.int64)

    def _empty(self) -> None:
        """Forget all seconds of the windows but the day's, for they are too long ago."""
        columns = self.columns
        for array in (columns.seconds, columns.reported, columns.steps):
            array[:] = 0
        columns.sums[:, :DAY_WINDOW] = 0
