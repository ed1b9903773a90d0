"""
What events brought of what was planned, and how far the next plan of their kind is believed.

Over an event, with d the slow departure of its queues as it began,

    ratio = (counted - before exp(d)) / (planned exp(d))

where `before` is what was expected without it, and `planned` what it was to bring. The ratio
varies by chance and by what else departs, with s^2 = (counted + (0.1 before)^2) / planned^2. Ratios
of a kind are taken as normal around one of its own, which is normal around 1; the next plan is
scaled by its posterior mean,

    (1 / 0.25^2 + sum ratio / (0.5^2 + s^2)) / (1 / 0.25^2 + sum 1 / (0.5^2 + s^2))

so that n great events count n / (n + 4) against the plan. Where two events are laid on one queue in
a bucket nobody can tell what brought what, and neither learns from it.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from engine.kernels.sensing_columns import Arrivals
from engine.refusals import BadConfiguration

# Events that are over and still told; kinds that are remembered, the least recently used first out.
OVER_MAX: Final = 1_000
KINDS_MAX: Final = 1_000
_PRIOR_PRECISION: Final = 1.0 / 0.25**2
_EVENT_VARIANCE: Final = 0.5**2
_BASE_ERROR: Final = 0.1
_RATIO_MIN, _RATIO_MAX = -1.0, 4.0
# Contacts an event must have been to bring for a ratio to say anything.
_PLANNED_MIN: Final = 5.0
# Seconds of a bucket that must have been seen.
_SEEN_S: Final = 294


class Realised(NamedTuple):
    """
    What one event brought.

    Attributes
    ----------
    event_id, kind
        Which it was.
    planned, brought
        Contacts it was to bring, and brought beyond what would have come.
    counted
        Contacts of its queues while it lasted.
    ratio
        Brought over planned; NaN while too little was planned.
    is_over
        Whether it is over.
    """

    event_id: str
    kind: str
    planned: float
    brought: float
    counted: float
    ratio: float
    is_over: bool


class Running(NamedTuple):
    """Sums of an event that runs: contacts planned, expected without it, and counted."""

    planned: float = 0.0
    before: float = 0.0
    counted: float = 0.0


class SavedKind(TypedDict):
    """What is known of a kind of events: precision and mean of its ratio, and events."""

    precision: float
    ratio: float
    events: int


class _Kind(NamedTuple):
    precision: float = _PRIOR_PRECISION
    ratio: float = 1.0
    events: int = 0


class _Laid(NamedTuple):
    """What is expected of the running bucket: by row, without the event and planned."""

    rows: NDArray[np.int64]
    before: NDArray[np.float64]
    planned: NDArray[np.float64]


class _Departures(NamedTuple):
    """Slow departures of an event's queues as it began, by ascending row, and the day of each."""

    rows: NDArray[np.int64]
    day: NDArray[np.int64]
    slow: NDArray[np.float64]


class Uplifts:
    """Planned and realised uplifts, by event while it runs, and by kind."""

    def __init__(self) -> None:
        self._running: dict[str, Running] = {}
        self._laid: dict[str, _Laid] = {}
        self._departures: dict[str, _Departures] = {}
        self._kinds: dict[str, _Kind] = {}
        self._over: list[Realised] = []

    def ratio(self, kind: str) -> float:
        """What plans of a kind are to be scaled by; 1 of no kind."""
        return max(self._kinds.get(kind, _Kind()).ratio, 0.0) if kind else 1.0

    def running(self) -> list[str]:
        """Events that have brought something so far."""
        return list(self._running)

    def sums(self, event_id: str) -> Running:
        """Sums of an event that runs."""
        return self._running[event_id]

    def over(self) -> list[Realised]:
        """Events that are over, the latest last, so many as are kept."""
        return list(self._over)

    def begin(
        self, event_id: str, rows: NDArray[np.int64], before: NDArray[np.float64],
        planned: NDArray[np.float64], arrivals: Arrivals,
    ) -> None:  # fmt: skip
        """Say what is expected of the bucket that begins, of some rows of an event."""
        factor = self._factors(event_id, rows, arrivals)
        before, planned = before * factor, planned * factor
        laid = self._laid.get(event_id)
        if laid is not None:
            # Rows are laid out again as days are learned from.
            others = ~np.isin(laid.rows, rows)
            rows = np.concatenate([rows, laid.rows[others]])
            before = np.concatenate([before, laid.before[others]])
            planned = np.concatenate([planned, laid.planned[others]])
        self._laid[event_id] = _Laid(rows, before, planned)

    def note(
        self, rows: NDArray[np.int64], contacts: NDArray[np.int64], covered_s: NDArray[np.int64]
    ) -> None:
        """Note what came in the bucket that ends; what was not seen whole is left out."""
        if not self._laid:
            return
        seen = rows[covered_s >= _SEEN_S]
        counts = np.zeros(int(max(laid.rows.max() for laid in self._laid.values())) + 1)
        inside = seen < len(counts)
        counts[seen[inside]] = contacts[covered_s >= _SEEN_S][inside]
        laid_on = np.bincount(np.concatenate([laid.rows for laid in self._laid.values()]))
        alone = np.flatnonzero(laid_on == 1)
        for event_id, laid in self._laid.items():
            told = np.isin(laid.rows, seen) & np.isin(laid.rows, alone)
            sums = self._running.get(event_id, Running())
            self._running[event_id] = Running(
                sums.planned + float(laid.planned[told].sum()),
                sums.before + float(laid.before[told].sum()),
                sums.counted + float(counts[laid.rows[told]].sum()),
            )
        self._laid.clear()

    def _factors(
        self, event_id: str, rows: NDArray[np.int64], arrivals: Arrivals
    ) -> NDArray[np.float64]:
        """(m,) factors by which queues departed as an event began; 1 from the next day on."""
        today = arrivals.today[rows]
        before = self._departures.get(event_id)
        if before is None:
            kept = _Departures(rows.copy(), today.copy(), arrivals.slow[rows])
        else:
            new = ~np.isin(rows, before.rows)
            together = np.concatenate([before.rows, rows[new]])
            order = np.argsort(together)
            kept = _Departures(
                together[order],
                np.concatenate([before.day, today[new]])[order],
                np.concatenate([before.slow, arrivals.slow[rows[new]]])[order],
            )
        self._departures[event_id] = kept
        place = np.searchsorted(kept.rows, rows)
        # A day's departure says nothing of the next one's.
        kept.slow[place] *= kept.day[place] == today
        kept.day[place] = today
        return np.exp(kept.slow[place])

    def told(self, event_id: str, kind: str, *, is_over: bool = False) -> Realised:
        """What an event has brought so far."""
        planned, before, counted = self._running.get(event_id, Running())
        brought = counted - before
        is_known = abs(planned) >= _PLANNED_MIN
        ratio = brought / planned if is_known else float("nan")
        return Realised(event_id, kind, planned, brought, counted, ratio, is_over)

    def finish(self, event_id: str, kind: str) -> None:
        """End an event: its kind learns from it."""
        told = self.told(event_id, kind, is_over=True)
        sums = self._running.get(event_id, Running())
        self.drop(event_id)
        if sums.before <= 0.0 and sums.counted <= 0.0:
            return
        self._over = [*self._over[1 - OVER_MAX :], told]
        if not kind or abs(told.planned) < _PLANNED_MIN:
            return
        by_chance = (sums.counted + (_BASE_ERROR * sums.before) ** 2) / told.planned**2
        weight = 1.0 / (_EVENT_VARIANCE + by_chance)
        known = self._kinds.pop(kind, _Kind())
        precision = known.precision + weight
        ratio = min(max(told.ratio, _RATIO_MIN), _RATIO_MAX)
        mean = (known.precision * known.ratio + weight * ratio) / precision
        self._kinds[kind] = _Kind(precision, mean, known.events + 1)
        if len(self._kinds) > KINDS_MAX:
            del self._kinds[next(iter(self._kinds))]

    def drop(self, event_id: str) -> None:
        """Forget an event that runs."""
        for kept in (self._running, self._laid, self._departures):
            kept.pop(event_id, None)

    def resume(self, event_id: str, sums: Running) -> None:
        """Go on with an event where it was."""
        self._running[event_id] = sums

    def kinds(self) -> dict[str, tuple[float, int]]:
        """What plans of each kind are scaled by, and the events that rests on."""
        return {kind: (self.ratio(kind), known.events) for kind, known in self._kinds.items()}

    def export(self) -> dict[str, SavedKind]:
        """What is known of kinds, for `load`; JSON can hold it."""
        return {
            kind: {"precision": known.precision, "ratio": known.ratio, "events": known.events}
            for kind, known in self._kinds.items()
        }

    def load(self, saved: Mapping[str, SavedKind]) -> None:
        """
        Take what `export` gave.

        Raises
        ------
        BadConfiguration
            A number is out of range; nothing changes.
        """
        made = {}
        for kind, each in saved.items():
            if not (_PRIOR_PRECISION <= each["precision"] < 1e9):
                path = f"events.kinds.{kind}.precision"
                raise BadConfiguration(path, each["precision"], f"{_PRIOR_PRECISION:g} to 1e9")
            if not (_RATIO_MIN <= each["ratio"] <= _RATIO_MAX):
                path = f"events.kinds.{kind}.ratio"
                raise BadConfiguration(path, each["ratio"], f"{_RATIO_MIN:g} to {_RATIO_MAX:g}")
            made[kind] = _Kind(float(each["precision"]), float(each["ratio"]), int(each["events"]))
        self._kinds = made
