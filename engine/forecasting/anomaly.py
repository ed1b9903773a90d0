"""
Anomalies: surges that a live forecast does not allow, and feeds that have fallen silent.

A surge begins where some window's z reaches `raise_z` and it matters: so many contacts more than
forecast in the next quarter of an hour. It ends when z has been below `clear_z` for three times the
window that raised it. Of all rows together no more begin than the budget allows; where more would,
those with the most contacts beyond the forecast do, and the others are counted.

A silence begins where nothing has come for so long that it is less likely than one in a million,
and is certain from one in a thousand million on; it ends with the next contact.
"""

import math
from collections.abc import Mapping
from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np

from engine.forecasting.columns import Array, allocate, clear_row, exported, imported
from engine.kernels.scan import (
    CALM,
    CANDIDATE,
    STEP_S,
    SURGING,
    WINDOW_STEPS,
    Scans,
    Second,
    Thresholds,
    observe_second,
)
from engine.refusals import BadConfiguration

_DAY_S: Final = 86_400
# Anomalies that have ended and are still told.
ENDED_MAX: Final = 1_000
# Windows for which a surge must have been over.
_CALM_WINDOWS: Final = 3
# Contacts forecast in a silence that is worth telling, and in one that is certain.
SILENT: Final = -math.log(1e-6)
CERTAINLY_SILENT: Final = -math.log(1e-9)


class AnomalyKind(IntEnum):
    """What is not as forecast."""

    SURGE = 1
    SILENCE = 2


class Anomaly(NamedTuple):
    """
    One anomaly.

    Attributes
    ----------
    number
        Counts from 1.
    began_s, ended_s
        Seconds since the Unix epoch; ended_s -1 while it lasts.
    window_s
        The window that raised it, seconds; 0 for a silence.
    excess
        Contacts more than forecast in the next quarter of an hour if it goes on, the most so far;
        of a silence those that were forecast and did not come.
    confidence
        Probability that the forecast alone would not have led to it, 0 to 1, the most so far.
    """

    number: int
    kind: AnomalyKind
    row: int
    began_s: int
    ended_s: int
    window_s: int
    excess: float
    confidence: float


class AnomalySettings(NamedTuple):
    """
    When anomalies are told; see the module's docstring.

    Attributes
    ----------
    budget_per_day
        Surges of all rows together that may begin in a day, > 0; as many may begin at once as in
        an hour of it, one at least.
    """

    raise_z: float = 3.5
    clear_z: float = 1.5
    excess_min: float = 5.0
    budget_per_day: float = 50.0


class AnomalyWatch:
    """
    The anomalies of every queue and group.

    Attributes
    ----------
    columns
        The arrays; replaced as they grow.
    suppressed
        Surges that the budget left out so far.
    second
        The last one taken in, -1 before the first.
    """

    def __init__(self, rows: int, settings: AnomalySettings | None = None) -> None:
        chosen = settings or AnomalySettings()
        if not (0 < chosen.clear_z < chosen.raise_z and chosen.budget_per_day > 0):
            expected = "0 < clear_z < raise_z and budget_per_day > 0"
            raise BadConfiguration("anomaly", chosen, expected)
        self.columns = allocate(Scans, rows)
        self.suppressed = 0
        self._thresholds = Thresholds(*chosen[:3])
        self._budget_per_s = chosen.budget_per_day / _DAY_S
        self._burst = max(1.0, chosen.budget_per_day / 24.0)
        self._budget = self._burst
        self.second = -1
        self._count = 0
        self._open: dict[tuple[AnomalyKind, int], Anomaly] = {}
        self._ended: list[Anomaly] = []

    def require(self, rows: int) -> None:
        """Make room for rows."""
        if rows > len(self.columns.state):
            self.columns = allocate(Scans, rows, self.columns)

    def clear(self, row: int) -> None:
        """Forget a queue, and what was open of it."""
        clear_row(self.columns, row)
        for kind in AnomalyKind:
            self._open.pop((kind, row), None)

    def observe(self, number: int, second: Second) -> list[Anomaly]:
        """
        Take the next second in, for which there is no going back; returns what began or ended.

        A pause between seconds is a gap.

        Raises
        ------
        ValueError
            The second is not after the last one, or an array is not as it must be; nothing changes.
        """
        self._check(number, second)
        if self.second >= 0:
            passed_s = number - self.second
            self._budget = min(self._burst, self._budget + passed_s * self._budget_per_s)
            self._pass_gap(number, second)
        observe_second(self.columns, second, number, self._thresholds)
        self.second = number
        changed = self._silences(number)
        if number % STEP_S == STEP_S - 1:
            changed += self._surges(number)
        return changed

    def open(self) -> list[Anomaly]:
        """Those that last, the oldest first."""
        return sorted(self._open.values())

    def ended(self) -> list[Anomaly]:
        """Those that have ended, the latest last, so many as are kept."""
        return list(self._ended)

    def export(self) -> dict[str, Array]:
        """The windows as arrays, for `load`; what is open is found again within a window."""
        return exported(self.columns) | {"second": np.array(self.second)}

    def load(self, arrays: Mapping[str, Array]) -> None:
        """
        Take what `export` gave, of as many rows.

        Raises
        ------
        BadConfiguration
            The arrays are of another version; nothing changes.
        """
        columns = imported(Scans, arrays, len(self.columns.state))
        if "second" not in arrays:
            raise BadConfiguration("scans.second", None, "a number")
        columns.state[:] = CALM
        self.columns = columns
        self.second = int(np.int64(arrays["second"]))

    def _check(self, number: int, second: Second) -> None:
        if not (self.second < number < 1 << 40):
            raise ValueError(f"second: expected {self.second + 1} to 2^40, got {number}")
        rows = len(self.columns.state)
        for name, array in zip(Second._fields, second, strict=True):
            if array.shape != (rows,):
                raise ValueError(f"second.{name}: expected ({rows},), got {array.shape}")
            if not ((array >= 0) & (array < 1e9)).all():
                raise ValueError(f"second.{name}: expected 0 to 1e9 throughout")

    def _pass_gap(self, number: int, second: Second) -> None:
        """Let the seconds pass that nobody told of, no more than the windows reach."""
        nothing = second._replace(is_covered=np.zeros_like(second.is_covered))
        first = max(self.second + 1, number - STEP_S * (WINDOW_STEPS[-1] + 1))
        for missing in range(first, number):
            observe_second(self.columns, nothing, missing, self._thresholds)

    def _surges(self, number: int) -> list[Anomaly]:
        """End surges that are over, go on with those that are not, and begin what may."""
        columns = self.columns
        changed = []
        for row in np.flatnonzero(columns.state == SURGING).tolist():
            found = self._open[AnomalyKind.SURGE, row]
            if columns.calm_s[row] >= _CALM_WINDOWS * found.window_s:
                columns.state[row], columns.calm_s[row] = CALM, 0
                changed.append(self._end(found, number))
            else:
                self._go_on(found, columns.excess[row], columns.z[row])
        rows = np.flatnonzero(columns.state == CANDIDATE)
        for row in rows[np.argsort(-columns.excess[rows], kind="stable")].tolist():
            if self._budget < 1.0:
                self.suppressed += 1
                columns.state[row] = CALM
                continue
            self._budget -= 1.0
            columns.state[row], columns.calm_s[row] = SURGING, 0
            window_s = WINDOW_STEPS[int(columns.window[row])] * STEP_S
            excess, confidence = float(columns.excess[row]), _normal(float(columns.z[row]))
            changed.append(
                self._begin(AnomalyKind.SURGE, row, number, (window_s, excess, confidence))
            )
        return changed

    def _silences(self, number: int) -> list[Anomaly]:
        """Begin and end silences."""
        quiet = self.columns.quiet
        changed = []
        for key, found in list(self._open.items()):
            if found.kind is not AnomalyKind.SILENCE:
                continue
            if quiet[found.row] == 0.0:
                changed.append(self._end(found, number))
            else:
                self._open[key] = found._replace(
                    excess=float(quiet[found.row]), confidence=_not_by_chance(quiet[found.row])
                )
        for row in np.flatnonzero(quiet >= SILENT).tolist():
            if (AnomalyKind.SILENCE, row) not in self._open:
                told = 0, float(quiet[row]), _not_by_chance(quiet[row])
                changed.append(self._begin(AnomalyKind.SILENCE, row, number, told))
        return changed

    def _begin(
        self, kind: AnomalyKind, row: int, number: int, told: tuple[int, float, float]
    ) -> Anomaly:
        self._count += 1
        found = Anomaly(self._count, kind, row, number, -1, *told)
        self._open[kind, row] = found
        return found

    def _go_on(self, found: Anomaly, excess: float, z: float) -> None:
        self._open[found.kind, found.row] = found._replace(
            excess=max(found.excess, float(excess)),
            confidence=max(found.confidence, _normal(float(z))),
        )

    def _end(self, found: Anomaly, number: int) -> Anomaly:
        ended = self._open.pop((found.kind, found.row))._replace(ended_s=number)
        self._ended = [*self._ended[1 - ENDED_MAX :], ended]
        return ended


def _normal(z: float) -> float:
    """Standard normal distribution function."""
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def _not_by_chance(quiet: float) -> float:
    """Probability that something would have come by now."""
    return -math.expm1(-float(quiet))
