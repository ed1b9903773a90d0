"""
Anomalies: surges that a live forecast does not allow, and feeds that have fallen silent.

A surge begins where some window's z reaches `raise_z` and it matters: so many contacts more than
forecast in the next quarter of an hour. It ends when z has been below `clear_z` for three times the
window that raised it. Of all rows together no more begin than the budget allows; where more would,
those with the most contacts beyond the forecast do, and the others are counted.

A silence begins where nothing has come for so long that it is less likely than one in a million,
and is certain from one in a thousand million on; it ends with the next contact.

A surge of a group and of its members is one anomaly, of the group, that names them; it takes over
those of members that lasted already, and what still surges when it is over begins anew by itself.
Silences likewise, apart from surges: where a whole group is silent, its members are named.
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
    members
        Of a group, the rows of its members that it is of, ascending.
    part_of
        Number of the group's anomaly that it has become part of as it ended; 0 for none.
    """

    number: int
    kind: AnomalyKind
    row: int
    began_s: int
    ended_s: int
    window_s: int
    excess: float
    confidence: float
    members: tuple[int, ...] = ()
    part_of: int = 0


class AnomalySettings(NamedTuple):
    """
    When anomalies are told; see the module's docstring.

    Attributes
    ----------
    raise_z, clear_z
        Beginning and end of a surge. On three months of a bank's calls, 1.7 a minute, 3.4 told one
        surge a week that was none; the two months after them are in `benchmarks/README.md`.
    excess_min
        Contacts more than forecast in a quarter of an hour, below which it is of no matter.
    budget_per_day
        Surges of all rows together that may begin in a day, > 0; as many may begin at once as in
        an hour of it, one at least.
    """

    raise_z: float = 3.4
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
        self._parent = np.full(rows, -1, np.int64)
        self.suppressed = 0
        self._thresholds = Thresholds(*chosen[:3])
        self._budget_per_s = chosen.budget_per_day / _DAY_S
        self._burst = max(1.0, chosen.budget_per_day / 24.0)
        self._budget = self._burst
        self.second = -1
        self._count = 0
        self._open: dict[tuple[AnomalyKind, int], Anomaly] = {}

    def require(self, rows: int) -> None:
        """Make room for rows."""
        if rows > len(self.columns.state):
            self.columns = allocate(Scans, rows, self.columns)
            more = np.full(rows - len(self._parent), -1, np.int64)
            self._parent = np.concatenate([self._parent, more])

    def set_group(self, row: int, group: int) -> None:
        """
        Say of which group a queue's anomalies are part; -1 for none.

        Raises
        ------
        ValueError
            It would be its own group, the group has one itself, or there is no such row.
        """
        parent = self._parent
        is_row = -1 <= group < len(parent) and group != row
        if not is_row or (group >= 0 and (parent[group] >= 0 or (parent == row).any())):
            raise ValueError(f"group of row {row}: expected a row without a group, got {group}")
        parent[row] = group

    def clear(self, row: int) -> None:
        """Forget a queue, what was open of it, and its group or members."""
        clear_row(self.columns, row)
        self._parent[row] = -1
        self._parent[self._parent == row] = -1
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
        is_group = np.isin(rows, self._parent)
        # Groups first, for they take their members in; then by what matters most.
        for row in rows[np.lexsort((-columns.excess[rows], ~is_group))].tolist():
            window_s = WINDOW_STEPS[int(columns.window[row])] * STEP_S
            told = window_s, float(columns.excess[row]), _normal(float(columns.z[row]))
            if self._join(AnomalyKind.SURGE, row, told):
                columns.state[row] = CALM
                continue
            # What takes over from members is the same anomaly, and has been paid for.
            if not self._open_members(AnomalyKind.SURGE, row):
                if self._budget < 1.0:
                    self.suppressed += 1
                    columns.state[row] = CALM
                    continue
                self._budget -= 1.0
            columns.state[row], columns.calm_s[row] = SURGING, 0
            changed += self._begin(AnomalyKind.SURGE, row, number, told)
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
        rows = np.flatnonzero(quiet >= SILENT)
        for row in rows[np.argsort(~np.isin(rows, self._parent), kind="stable")].tolist():
            told = 0, float(quiet[row]), _not_by_chance(quiet[row])
            is_told = (AnomalyKind.SILENCE, row) in self._open
            if not is_told and not self._join(AnomalyKind.SILENCE, row, told):
                changed += self._begin(AnomalyKind.SILENCE, row, number, told)
        return changed

    def _begin(
        self, kind: AnomalyKind, row: int, number: int, told: tuple[int, float, float]
    ) -> list[Anomaly]:
        """Begin an anomaly, and end those of members that it takes over; returns all of them."""
        self._count += 1
        members = self._open_members(kind, row)
        taken = [self._end(member, number, self._count) for member in members]
        if kind is AnomalyKind.SURGE:
            for member in members:
                self.columns.state[member.row] = CALM
                self.columns.calm_s[member.row] = 0
        began_s = min([number, *(member.began_s for member in members)])
        named = tuple(sorted(member.row for member in members))
        found = Anomaly(self._count, kind, row, began_s, -1, *told, named)
        self._open[kind, row] = found
        return [*taken, found]

    def _open_members(self, kind: AnomalyKind, group: int) -> list[Anomaly]:
        """Anomalies of a group's members that last."""
        rows = np.flatnonzero(self._parent == group).tolist()
        return [self._open[kind, row] for row in rows if (kind, row) in self._open]

    def _join(self, kind: AnomalyKind, row: int, told: tuple[int, float, float]) -> bool:
        """Name a row in the anomaly of its group; False where there is none."""
        group = int(self._parent[row])
        found = self._open.get((kind, group))
        if found is None or group < 0:
            return False
        self._open[kind, group] = found._replace(
            members=tuple(sorted({*found.members, row})),
            confidence=max(found.confidence, told[2]),
        )
        return True

    def _go_on(self, found: Anomaly, excess: float, z: float) -> None:
        self._open[found.kind, found.row] = found._replace(
            excess=max(found.excess, float(excess)),
            confidence=max(found.confidence, _normal(float(z))),
        )

    def _end(self, found: Anomaly, number: int, part_of: int = 0) -> Anomaly:
        last = self._open.pop((found.kind, found.row))
        return last._replace(ended_s=number, part_of=part_of)


def _normal(z: float) -> float:
    """Standard normal distribution function."""
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def _not_by_chance(quiet: float) -> float:
    """Probability that something would have come by now."""
    return -math.expm1(-float(quiet))
