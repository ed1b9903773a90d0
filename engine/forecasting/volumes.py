"""
Volumes of one driver: what is usual at a time of the week, what is planned, and what came lately.

Usual is the mean of the weekday's slot, smoothed over five slots. The departure of the last buckets
fades by a twentieth with each bucket ahead.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.forecasting.columns import Array
from engine.kernels.sensing_columns import SLOTS, WEEKDAYS, Model
from engine.refusals import BadConfiguration

VOLUME_MAX: Final = 1e12
# Buckets a plan may reach over: seven days.
PLAN_BUCKETS: Final = 2_016
# Share of what is new in a mean, once it rests on more weeks.
_GAIN: Final = 0.15
# What is left of the last buckets' departure, to know it and ahead; and its bounds.
_RECENT_KEPT: Final = 0.7
_AHEAD_KEPT: Final = 0.95
_RATIO_MAX: Final = 5.0
# A volume so many times the greatest that is usual is none.
_TIMES_MAX: Final = 20.0
# Repeats of a number beyond which its source is stuck: an hour.
_REPEATS_MAX: Final = 12
# Squared relative errors to begin with: of a plan, and of what departs; share of the new in them.
_PLAN_SQUARE: Final = 0.05**2
_DEPARTURE_SQUARE: Final = 0.15**2
_SQUARE_GAIN: Final = 0.02
_SMOOTHED: Final = 2
# Weeks without which shares are not learned: of one, half of the departures are its own.
_WEEKS_MIN: Final = 2
_SCALARS: Final = 8


class Learned(NamedTuple):
    """A bucket that may be learned from: its volume, the usual one or -1, and contacts by link."""

    volume: float
    usual: float
    counts: NDArray[np.float64]
    expected: NDArray[np.float64]


class _Held(NamedTuple):
    """A volume that waits for another one to follow, and the place in the week it is of."""

    bucket: int
    volume: float
    weekday: int
    slot: int


class Volumes:
    """
    Volumes of one driver.

    Attributes
    ----------
    faults
        Volumes not believed so far.
    """

    def __init__(self) -> None:
        self.faults = 0
        self._mean = np.full((WEEKDAYS, SLOTS), -1.0)
        self._weeks = np.zeros((WEEKDAYS, SLOTS), np.int64)
        self._plan = np.full(PLAN_BUCKETS, np.nan)
        self._plan_of = np.full(PLAN_BUCKETS, -1, np.int64)
        self._plan_square, self._departure_square = _PLAN_SQUARE, _DEPARTURE_SQUARE
        self._recent, self._recent_usual = 0.0, 0.0
        self._last, self._repeats, self._bucket = np.nan, 0, -1
        self._held: list[_Held] = []
        self._told: dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
        # Place in the week of buckets from `_first` on.
        self._first = -1
        self._weekday = np.zeros(0, np.int64)
        self._slot = np.zeros(0, np.int64)

    def plan(self, path: str, bucket: int, volumes: NDArray[np.float64]) -> None:
        """Plan volumes from a bucket on; see `Drivers.plan`."""
        if not (0 <= bucket < 1 << 32):
            raise BadConfiguration(f"{path}.bucket", bucket, "0 to 2^32")
        if volumes.ndim != 1 or not (1 <= len(volumes) <= PLAN_BUCKETS):
            expected = f"a row of 1 to {PLAN_BUCKETS}"
            raise BadConfiguration(f"{path}.volumes", volumes.shape, expected)
        wrong = np.flatnonzero(~((volumes >= 0.0) & (volumes <= VOLUME_MAX)))
        if len(wrong):
            place = int(wrong[0])
            value = float(volumes[place])
            raise BadConfiguration(f"{path}.volumes[{place}]", value, f"0 to {VOLUME_MAX:g}")
        buckets = bucket + np.arange(len(volumes))
        self._plan[buckets % PLAN_BUCKETS] = volumes
        self._plan_of[buckets % PLAN_BUCKETS] = buckets

    def observe(self, bucket: int, volume: float) -> bool:
        """Take in the volume of a bucket after the last one; see `Drivers.observe`."""
        greatest = float(self._mean.max())
        # Without a whole day learned, nobody can say what is too much.
        is_learned = int((self._weeks > 0).sum()) >= SLOTS
        most = _TIMES_MAX * greatest if is_learned and greatest > 0.0 else VOLUME_MAX
        if not (0.0 <= volume <= most) or bucket <= self._bucket:
            self.faults += 1
            return False
        is_same = volume == self._last
        self._repeats = self._repeats + 1 if is_same else 0
        self._last, self._bucket = volume, bucket
        weekday, slot = self._place(bucket)
        usual = self._usual_at(weekday, slot) if slot >= 0 else -1.0
        if self._repeats > _REPEATS_MAX:
            # Nothing at night is no fault, where nothing is usual then.
            self.faults += int(volume > 0.0 or usual > 0.0)
            self._held, self._told = [], {}
            self._recent = self._recent_usual = 0.0
            return False
        if usual > 0.0:
            self._follow(bucket, volume, usual)
        if slot >= 0:
            self._held.append(_Held(bucket, volume, weekday, slot))
        return True

    def close(
        self, bucket: int, counts: NDArray[np.float64], expected: NDArray[np.float64]
    ) -> list[Learned]:
        """Note a bucket's contacts; returns buckets that may be learned from now."""
        if any(held.bucket == bucket for held in self._held):
            self._told[bucket] = counts, expected
        ready = [held for held in self._held if held.volume != self._last]
        if not ready:
            return []
        self._held = [held for held in self._held if held.volume == self._last]
        learned = []
        for held in ready:
            told = self._told.pop(held.bucket, None)
            if told is not None:
                usual = self._usual_at(held.weekday, held.slot)
                weeks = int(self._weeks[held.weekday, held.slot])
                learned.append(Learned(held.volume, usual if weeks >= _WEEKS_MIN else -1.0, *told))
            self._learn(held)
        return learned

    def follow_calendar(self, model: Model, row: int, bucket: int) -> None:
        """Know the places in the week of buckets, by the calendar of a queue."""
        calendar = model.profiles.calendar[row]
        first = int(model.calendars.first_bucket[calendar])
        if first != self._first and first <= bucket:
            self._first = first
            self._weekday = model.calendars.day[calendar] % WEEKDAYS
            self._slot = model.calendars.slot[calendar].copy()

    def ahead(self, bucket: int, buckets: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(buckets,) volumes over usual ones from a bucket on, 1 where unknown; relative errors."""
        ratio, deviation = np.ones(buckets), np.zeros(buckets)
        place = bucket - self._first + np.arange(buckets)
        inside = (self._first >= 0) & (place >= 0) & (place < len(self._slot))
        place = np.where(inside, place, 0)
        if not inside.any():
            return ratio, deviation
        usual = np.where(inside, self._usual(self._weekday[place], self._slot[place]), -1.0)
        number = bucket + np.arange(buckets)
        is_planned = self._plan_of[number % PLAN_BUCKETS] == number
        planned = np.where(is_planned, self._plan[number % PLAN_BUCKETS], 0.0)
        fades = _AHEAD_KEPT ** (1.0 + np.arange(buckets))
        lately = 1.0
        if self._recent_usual > 0.0 and 0 <= bucket - self._bucket <= 2:
            lately = self._recent / self._recent_usual
        is_known = usual > 0.0
        by_plan = planned / np.where(is_known, usual, 1.0)
        by_last = 1.0 + (lately - 1.0) * fades
        ratio = np.where(is_known, np.where(is_planned, by_plan, by_last), 1.0)
        spread = np.where(
            is_planned, self._plan_square, self._departure_square * (1.0 - fades**2)
        )  # fmt: skip
        deviation = np.where(is_known & (is_planned | (lately != 1.0)), np.sqrt(spread), 0.0)
        return np.clip(ratio, 0.0, _RATIO_MAX), deviation

    def export(self) -> dict[str, Array]:
        """Everything but what waits to be learned."""
        scalars = (self._plan_square, self._departure_square, self._recent, self._recent_usual,
                   self._last, self._repeats, self._bucket, self.faults)  # fmt: skip
        return {
            "mean": self._mean.copy(),
            "weeks": self._weeks.copy(),
            "plan": self._plan.copy(),
            "plan_of": self._plan_of.copy(),
            "scalars": np.array(scalars, np.float64),
        }

    def load(self, path: str, arrays: Mapping[str, Array]) -> None:
        """Take what `export` gave."""
        shapes = {"mean": (WEEKDAYS, SLOTS), "weeks": (WEEKDAYS, SLOTS), "plan": (PLAN_BUCKETS,),
                  "plan_of": (PLAN_BUCKETS,), "scalars": (_SCALARS,)}  # fmt: skip
        for name, shape in shapes.items():
            array = arrays.get(name)
            if array is None or array.shape != shape:
                raise BadConfiguration(f"{path}.{name}", None, f"an array of shape {shape}")
        self._mean = np.array(arrays["mean"], np.float64)
        self._weeks = np.array(arrays["weeks"], np.int64)
        self._plan = np.array(arrays["plan"], np.float64)
        self._plan_of = np.array(arrays["plan_of"], np.int64)
        scalars = [float(value) for value in arrays["scalars"]]
        self._plan_square, self._departure_square = scalars[:2]
        self._recent, self._recent_usual, self._last = scalars[2:5]
        self._repeats, self._bucket, self.faults = (int(value) for value in scalars[5:8])

    def _place(self, bucket: int) -> tuple[int, int]:
        """Weekday and slot of a bucket; -1 where the calendar does not reach."""
        place = bucket - self._first
        if self._first < 0 or not (0 <= place < len(self._slot)):
            return -1, -1
        return int(self._weekday[place]), int(self._slot[place])

    def _usual(self, weekday: NDArray[np.int64], slot: NDArray[np.int64]) -> NDArray[np.float64]:
        """(m,) what is usual at places in the week, -1 where nothing is known."""
        around = (slot[:, None] + np.arange(-_SMOOTHED, _SMOOTHED + 1)) % SLOTS
        mean = self._mean[weekday[:, None], around]
        known = mean >= 0.0
        total = np.where(known, mean, 0.0).sum(axis=1)
        usual: NDArray[np.float64] = total / np.maximum(known.sum(axis=1), 1)
        return np.where(self._mean[weekday, slot] >= 0.0, usual, -1.0)

    def _usual_at(self, weekday: int, slot: int) -> float:
        return float(self._usual(np.array([weekday]), np.array([slot]))[0])

    def _follow(self, bucket: int, volume: float, usual: float) -> None:
        """Follow how volumes depart, from what is usual and from what was planned."""
        self._recent = _RECENT_KEPT * self._recent + volume
        self._recent_usual = _RECENT_KEPT * self._recent_usual + usual
        departure = min(volume / usual, _RATIO_MAX) - 1.0
        self._departure_square += _SQUARE_GAIN * (departure**2 - self._departure_square)
        place = bucket % PLAN_BUCKETS
        if self._plan_of[place] == bucket:
            error = min((volume - float(self._plan[place])) / usual, _RATIO_MAX)
            self._plan_square += _SQUARE_GAIN * (error**2 - self._plan_square)

    def _learn(self, held: _Held) -> None:
        """Move the mean of a slot towards a volume."""
        weeks = int(self._weeks[held.weekday, held.slot])
        mean = max(float(self._mean[held.weekday, held.slot]), 0.0)
        gain = max(_GAIN, 1.0 / (weeks + 1.0))
        self._mean[held.weekday, held.slot] = mean + gain * (held.volume - mean)
        self._weeks[held.weekday, held.slot] = weeks + 1
