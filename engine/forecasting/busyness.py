"""
Busyness: one word for how a queue is doing, that does not flicker.

Each signal, of the present or of the forecast, has three thresholds to enter `normal`, `busy` and
`overloaded` by, and lower ones to leave them by. The grade rises to what the most urgent signal
says, and falls only when every signal is below what keeps it (as the maximum over triggers in an
overload manager; a Schmitt trigger each). It rises to what has been called for throughout
`rise_hold_s`, falls to what has been kept at most throughout `fall_hold_s`, and stays `least_s` at
least. Where inputs are stale, or none is known, it is `unknown` at once; a signal that is NaN says
nothing.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import IntEnum
from typing import Annotated, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.forecasting.columns import Array, allocate, clear_row, exported, imported
from engine.kernels.sensing_columns import ROWS, Absent, Extent
from engine.refusals import BadConfiguration

_HOLD_S_MAX: Final = 86_400


class Busyness(IntEnum):
    """How a queue is doing, the higher the worse; UNKNOWN where nobody can tell."""

    UNKNOWN = 0
    IDLE = 1
    NORMAL = 2
    BUSY = 3
    OVERLOADED = 4


class Signals(NamedTuple):
    """
    What busyness is graded by; (n,) each, NaN where it is not known.

    Attributes
    ----------
    occupancy
        Agents handling or in wrap-up over agents present, 0 to 1.
    wait_ratio
        Oldest wait now over the target of the service level.
    load_ratio
        Forecast load over the agents who will be there.
    breach_risk
        Calibrated, 0 to 1.
    age_s
        Seconds since the oldest of what these are made of.
    """

    occupancy: NDArray[np.float64]
    wait_ratio: NDArray[np.float64]
    load_ratio: NDArray[np.float64]
    breach_risk: NDArray[np.float64]
    age_s: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Levels:
    """
    Thresholds of one signal; infinite = the signal never says so.

    Attributes
    ----------
    enter
        From which it calls for normal, busy and overloaded, ascending, > 0.
    leave
        Below which it no longer keeps them, ascending, 0 to what each is entered by.
    """

    enter: tuple[float, float, float]
    leave: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class BusynessSettings:
    """
    When grades change; see the module's docstring.

    Attributes
    ----------
    occupancy, wait_ratio, load_ratio, breach_risk
        Thresholds by signal. Agents who are all busy while nobody waits are not overloaded.
    rise_hold_s, fall_hold_s, least_s
        Seconds, 0 to a day.
    stale_s
        Age beyond which signals say nothing, 1 to 86,400 s.
    """

    occupancy: Levels = field(default=Levels((0.40, 0.85, math.inf), (0.30, 0.75, math.inf)))
    wait_ratio: Levels = field(default=Levels((0.05, 0.50, 1.00), (0.01, 0.25, 0.50)))
    load_ratio: Levels = field(default=Levels((0.50, 0.85, 1.00), (0.40, 0.75, 0.92)))
    breach_risk: Levels = field(default=Levels((0.05, 0.25, 0.50), (0.02, 0.12, 0.25)))
    rise_hold_s: int = 10
    fall_hold_s: int = 60
    least_s: int = 30
    stale_s: float = 15.0

    def __post_init__(self) -> None:
        for part in fields(self)[:4]:
            levels: Levels = getattr(self, part.name)
            enter, leave = np.array(levels.enter), np.array(levels.leave)
            if not ((enter > 0.0).all() and (enter[1:] >= enter[:-1]).all()):
                path = f"busyness.{part.name}.enter"
                raise BadConfiguration(path, levels.enter, "three numbers > 0, ascending")
            is_below = (leave >= 0.0) & (leave <= enter)
            if not (is_below.all() and (leave[1:] >= leave[:-1]).all()):
                path = f"busyness.{part.name}.leave"
                raise BadConfiguration(path, levels.leave, "0 to `enter`, ascending")
        for name in ("rise_hold_s", "fall_hold_s", "least_s"):
            if not (0 <= getattr(self, name) <= _HOLD_S_MAX):
                value = getattr(self, name)
                raise BadConfiguration(f"busyness.{name}", value, f"0 to {_HOLD_S_MAX}")
        if not (1.0 <= self.stale_s <= _HOLD_S_MAX):
            raise BadConfiguration("busyness.stale_s", self.stale_s, f"1 to {_HOLD_S_MAX}")


class BusynessColumns(NamedTuple):
    """
    What is kept of each queue.

    Attributes
    ----------
    grade, since_s
        (n,) `Busyness` now, and the second since which it is.
    towards, towards_s
        (n,) grade that has been called for, or kept at most, without a break, and since when; -1
        for none.
    """

    grade: Annotated[NDArray[np.int64], Extent(np.int64, 0, (ROWS,))]
    since_s: Absent
    towards: Absent
    towards_s: Absent


class Changes(NamedTuple):
    """Grades that changed in a second: rows, and the grade before and after; (m,) each."""

    row: NDArray[np.int64]
    before: NDArray[np.int64]
    after: NDArray[np.int64]


class BusynessWatch:
    """
    Busyness of every queue.

    Attributes
    ----------
    columns
        The arrays; replaced as they grow.
    """

    def __init__(self, rows: int, settings: BusynessSettings | None = None) -> None:
        self._settings = settings or BusynessSettings()
        self.columns = allocate(BusynessColumns, rows)
        self._second = -1

    def require(self, rows: int) -> None:
        """Make room for rows."""
        if rows > len(self.columns.grade):
            self.columns = allocate(BusynessColumns, rows, self.columns)

    def clear(self, row: int) -> None:
        """Forget a queue."""
        clear_row(self.columns, row)

    def observe(self, second: int, signals: Signals) -> Changes:
        """
        Grade every queue by what is known in a second, after the last one. O(n).

        Raises
        ------
        ValueError
            The second is not after the last one, or an array has another shape or a negative
            number; nothing changes.
        """
        self._check(second, signals)
        columns, settings = self.columns, self._settings
        before = columns.grade.copy()
        called = np.ones_like(before)
        kept = np.ones_like(before)
        is_known = np.zeros(before.shape, np.bool_)
        for part in fields(settings)[:4]:
            levels: Levels = getattr(settings, part.name)
            value: NDArray[np.float64] = getattr(signals, part.name)
            np.maximum(called, 1 + _passed(value, levels.enter), out=called)
            np.maximum(kept, 1 + _passed(value, levels.leave), out=kept)
            is_known |= ~np.isnan(value)
        is_known &= signals.age_s <= settings.stale_s
        wanted = np.clip(before, called, kept)
        after = self._held(second, before, wanted)
        after = np.where(before == Busyness.UNKNOWN, called, after)
        after = np.where(is_known, after, Busyness.UNKNOWN)
        rows = np.flatnonzero(after != before)
        columns.grade[rows] = after[rows]
        columns.since_s[rows] = second
        columns.towards[rows] = columns.towards_s[rows] = -1
        self._second = second
        return Changes(rows, before[rows], after[rows])

    def export(self) -> dict[str, Array]:
        """Everything as arrays, for `load`."""
        return exported(self.columns) | {"second": np.array(self._second)}

    def load(self, arrays: Mapping[str, Array]) -> None:
        """
        Take what `export` gave, of as many rows.

        Raises
        ------
        BadConfiguration
            The arrays are of another version; nothing changes.
        """
        columns = imported(BusynessColumns, arrays, len(self.columns.grade))
        if "second" not in arrays:
            raise BadConfiguration("busyness.second", None, "a number")
        self.columns = columns
        self._second = int(np.int64(arrays["second"]))

    def _held(
        self, second: int, before: NDArray[np.int64], wanted: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Grades after what is wanted has been held for long enough, else as before."""
        columns, settings = self.columns, self._settings
        rises, falls = wanted > before, wanted < before
        goes_on = (rises & (columns.towards > before)) | (
            falls & (columns.towards >= 0) & (columns.towards < before)
        )
        # Of a run of what was wanted, the least change counts.
        least = np.where(
            rises, np.minimum(columns.towards, wanted), np.maximum(columns.towards, wanted)
        )
        columns.towards[:] = np.where(goes_on, least, np.where(rises | falls, wanted, -1))
        columns.towards_s[:] = np.where(goes_on, columns.towards_s, second)
        hold_s = np.where(rises, settings.rise_hold_s, settings.fall_hold_s)
        is_held = (second - columns.towards_s >= hold_s) & (
            second - columns.since_s >= settings.least_s
        )
        return np.where((rises | falls) & is_held, columns.towards, before)

    def _check(self, second: int, signals: Signals) -> None:
        if not (self._second < second < 1 << 40):
            raise ValueError(f"second: expected {self._second + 1} to 2^40, got {second}")
        for name, array in zip(Signals._fields, signals, strict=True):
            if array.shape != self.columns.grade.shape or array.dtype != np.float64:
                raise ValueError(f"signals.{name}: expected float64 of {self.columns.grade.shape}")
            if (array < 0.0).any():
                raise ValueError(f"signals.{name}: expected at least 0, or NaN")


def _passed(value: NDArray[np.float64], levels: tuple[float, float, float]) -> NDArray[np.int64]:
    """(n,) how many thresholds are reached; none by NaN."""
    count = np.zeros(value.shape, np.int64)
    for level in levels:
        count += value >= level
    return count
