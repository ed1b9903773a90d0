"""One second as policies see it: what is sensed of every queue, in the order of their ids."""

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Final, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from engine.deciding.elsewhere import NO_READINGS, Reading, Readings, fresh
from engine.deciding.waits import Standing, Waits, waits_of
from engine.forecasting.columns import ratio
from engine.forecasting.windows import WINDOW_NAMES, Figures
from engine.kernels import sampling
from engine.kernels.sensing_columns import BUCKET_S
from engine.kernels.windows import ABANDONED, AVAILABLE, DAY_WINDOW, WAITING
from engine.policy.actions import Target
from engine.policy.program import UNKNOWN
from engine.sensing.outlook import SEGMENTS, Ahead
from engine.sensing.rows import Sensed
from engine.sensing.sensing import Sensing
from engine.state.acceptance import PRIOR_LEFT, PRIOR_TAKEN

Whole = NDArray[np.int64]
Real = NDArray[np.float64]
Value = TypeVar("Value", np.int64, np.bool_)

# Place of the 90 % quantile among those of forecasts.
_P90: Final = 2
_ALWAYS_MS: Final = 1 << 50
# Where nobody has answered yet.
_ACCEPTANCE: Final = PRIOR_TAKEN / (PRIOR_TAKEN + PRIOR_LEFT)


class Queues(NamedTuple):
    """
    Queues that policies may be about.

    Attributes
    ----------
    ids
        Ascending.
    rows
        (n,) their rows of sensing.
    own
        (n,) their rows of the engine.
    profiles
        What sensing knows of them by their definitions.
    """

    ids: tuple[str, ...]
    rows: Whole
    own: Whole
    profiles: tuple[Sensed, ...]


def queues_of(sensing: Sensing) -> Queues:
    """The queues that are sensed now."""
    known = sensing.directory.rows
    of_rows = ((known.keys[row], row) for row in known.profiles)
    named = sorted((key.name, row) for key, row in of_rows if key is not None)
    rows = np.array([row for _, row in named], np.int64)
    row_of_own = sensing.directory.row_of_own
    own_of = np.full(len(known.keys), -1)
    is_known = row_of_own >= 0
    own_of[row_of_own[is_known]] = np.flatnonzero(is_known)
    return Queues(
        tuple(name for name, _ in named),
        rows,
        own_of[rows],
        tuple(known.profiles[row] for _, row in named),
    )


class Local(NamedTuple):
    """Local time of a queue."""

    moment: datetime

    @property
    def minute_of_day(self) -> int:
        """Minutes since midnight by the clock."""
        return 60 * self.moment.hour + self.moment.minute


class Moment:
    """
    What is sensed as of a second; each column is made when it is first asked for.

    Attributes
    ----------
    queues
        Rows of every column.
    """

    def __init__(
        self, sensing: Sensing, queues: Queues, now_ms: int, readings: Readings = NO_READINGS
    ) -> None:
        self.queues = queues
        self.now_ms = now_ms
        self.sensing = sensing
        self._windows: dict[str, Figures] = {}
        self._readings = readings

    def reading_of(self, target: Target) -> Reading | None:
        """What another cell has told of a queue not long ago; None of the queues of this one."""
        return fresh(self._readings, target, self.now_ms)

    @property
    def count(self) -> int:
        """Queues."""
        return len(self.queues.ids)

    @cached_property
    def ahead(self) -> Ahead | None:
        """What is coming; None before the first second is closed."""
        ahead = self.sensing.ahead
        return None if ahead is None or self._is_new(len(ahead.risk)) else ahead

    @cached_property
    def is_told(self) -> NDArray[np.bool_]:
        """(n,) where the engine itself tells of the queue."""
        return self._own_of(self.sensing.own.is_told, otherwise=False)

    def sample(self, column: int) -> Whole:
        """(n,) a column of the engine's own sample, 0 before the first."""
        return self._own_of(self.sensing.own.latest[:, column], 0)

    @cached_property
    def signed_in(self) -> Whole:
        """(n,) agents who are signed in for the queue, UNKNOWN where the engine does not tell."""
        found = self._own_of(self.sensing.own.signed_in, UNKNOWN)
        return np.where(self.is_told, found, UNKNOWN)

    def latest(self, column: int) -> Whole:
        """(n,) a column of the last reading, of `engine.kernels.windows`."""
        found: Whole = self.sensing.parts.windows.columns.latest[self.queues.rows, column]
        return found

    def either(self, of_sample: Whole, column: int) -> Whole:
        """(n,) what the engine says of its own queues, what was last read of the others."""
        return np.where(self.is_told, of_sample, self.latest(column))

    @cached_property
    def age_ms(self) -> Whole:
        """(n,) age of what telemetry tells; very long where it never told of anything."""
        age_ms = np.maximum(self.now_ms - 1_000 * (self._latest_s + 1), 0)
        return np.where(self.is_heard, age_ms, _ALWAYS_MS)

    @cached_property
    def is_heard(self) -> NDArray[np.bool_]:
        """(n,) where telemetry has told of anything."""
        heard: NDArray[np.bool_] = self._latest_s >= 0
        return heard

    @property
    def _latest_s(self) -> Whole:
        latest_s: Whole = self.sensing.parts.windows.columns.latest_s[self.queues.rows]
        return latest_s

    def window(self, name: str) -> Figures:
        """Figures of a window, by row of sensing."""
        if name not in self._windows:
            self._windows[name] = self.sensing.parts.windows.figures(name)
        return self._windows[name]

    def window_sums(self, name: str) -> Whole:
        """(n, columns) sums of a window, by `engine.kernels.windows`."""
        sums = self.sensing.parts.windows.columns.sums
        found: Whole = sums[self.queues.rows, WINDOW_NAMES.index(name)]
        return found

    @cached_property
    def waits(self) -> Waits:
        """Expected waits of newcomers."""
        ahead, rows = self.ahead, self.queues.rows
        if ahead is None:
            unknown = np.full(self.count, np.nan)
            return Waits(unknown, unknown)
        windows = self.sensing.parts.windows
        day = windows.columns.sums[rows, DAY_WINDOW]
        gives_up = np.nan_to_num(ratio(day[:, ABANDONED], day[:, WAITING]))
        return waits_of(
            Standing(
                self.waiting.astype(np.float64),
                self.available.astype(np.float64),
                ahead.agents[rows, 0],
                self.aht_ms,
                gives_up / 1_000.0,
            )
        )

    @cached_property
    def aht_ms(self) -> Real:
        """(n,) handling time in force."""
        found: Real = self.sensing.parts.outlook.handle_times.columns.mean_ms[self.queues.rows]
        return found

    def contacts(self, buckets: int) -> Real:
        """(n,) contacts expected in so many buckets from now on; NaN where nothing is known."""
        ahead, rows = self.ahead, self.queues.rows
        if ahead is None:
            return np.full(self.count, np.nan)
        rates = ahead.coming.rates[rows, : min(buckets, SEGMENTS)]
        expected = rates.sum(axis=1) * BUCKET_S
        if buckets > SEGMENTS:
            model = self.sensing.parts.model
            expected = expected + model.demand(SEGMENTS, buckets, rows).mean
        return np.where(self.sensing.known_arrivals()[rows], expected, np.nan)

    def contacts_p90(self, buckets: int) -> Real:
        """(n,) that nine in ten forecasts stay below."""
        demand = self.sensing.parts.model.demand(0, buckets, self.queues.rows)
        scale = np.nan_to_num(ratio(demand.told[:, _P90], demand.mean), nan=1.0)
        return self.contacts(buckets) * scale

    def load(self, buckets: int) -> Real:
        """(n,) expected work over the capacity on duty; NaN without agents."""
        if self.ahead is None:
            return np.full(self.count, np.nan)
        second = max(self.sensing.parts.windows.closed_s, 0)
        if buckets <= SEGMENTS:
            agents = self.ahead.agents[self.queues.rows, :buckets].mean(axis=1)
        else:
            staffing = self.sensing.parts.outlook.staffing
            expected = staffing.expected(second, buckets, BUCKET_S)[self.queues.rows]
            agents = np.nan_to_num(expected).mean(axis=1)
        coming = self.contacts(buckets) + self._of_queues(self.sensing.own.on_their_way, 0.0)
        erlangs = coming * self.aht_ms / 1_000.0 / (buckets * BUCKET_S)
        return ratio(erlangs, agents)

    @cached_property
    def acceptance(self) -> Real:
        """(n,) probability that a customer takes what is offered."""
        return self._of_queues(self.sensing.own.acceptance, _ACCEPTANCE)

    def _of_queues(self, known: Mapping[str, float], otherwise: float) -> Real:
        return np.array([known.get(name, otherwise) for name in self.queues.ids])

    @cached_property
    def waiting(self) -> Whole:
        """(n,) contacts that wait, on offer or not."""
        return self.either(self.sample(sampling.WAITING) + self.sample(sampling.OFFERED), WAITING)

    @cached_property
    def available(self) -> Whole:
        """(n,) agents who are free."""
        return self.latest(AVAILABLE)

    @cached_property
    def local(self) -> list[Local]:
        """Local time of each queue."""
        zones: dict[str, Local] = {}
        found: list[Local] = []
        for profile in self.queues.profiles:
            name = profile.hours.time_zone if profile.hours is not None else "UTC"
            if name not in zones:
                moment = datetime.fromtimestamp(self.now_ms / 1_000, ZoneInfo(name))
                zones[name] = Local(moment)
            found.append(zones[name])
        return found

    def _own_of(self, known: NDArray[Value], otherwise: float) -> NDArray[Value]:
        """(n,) what is known by row of the engine, `otherwise` of queues that it does not have."""
        own = self.queues.own
        inside = (own >= 0) & (own < len(known))
        found = np.full(self.count, otherwise, known.dtype)
        found[inside] = known[own[inside]]
        return found

    def _is_new(self, rows: int) -> bool:
        """Whether there are queues that what was looked ahead to does not know."""
        return bool(self.count) and int(self.queues.rows.max()) >= rows
