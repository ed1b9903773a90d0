"""
Calendars of queues: which slot of which local day a bucket is, and how long of it the queue is
open.

Buckets count from the Unix epoch in UTC; slots count on the clock that hangs on the wall. Where it
is set forward some slots of the day have no bucket, where it is set back some have two. A local day
begins in the middle of the longest stretch in which the queue is always closed, at 04:00 where
there is none: so a night shift is one day, and nothing happens as days roll over.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from engine.forecasting.columns import allocate
from engine.kernels.sensing_columns import (
    BUCKET_S,
    CALENDAR_BUCKETS,
    HORIZON,
    SLOTS,
    SPECIAL_KINDS,
    Calendars,
)
from engine.refusals import BadConfiguration

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_S: Final = 86_400
_FOUR_O_CLOCK_S: Final = 4 * 3_600
# Buckets before the running one that are laid out, and buckets after which it is done again.
_BEFORE: Final = 2
_RENEW_AFTER: Final = CALENDAR_BUCKETS - HORIZON - _BEFORE - 2
# Days over which the longest closed stretch is looked for.
_WATCHED_DAYS: Final = 14

# When a queue is open between two seconds: begins and ends, ascending, apart from each other.
OpenTimes = Callable[[int, int], Sequence[tuple[int, int]]]


def always_open(from_s: int, until_s: int) -> Sequence[tuple[int, int]]:
    """Open times of a queue without hours."""
    return ((from_s, until_s),)


@dataclass(frozen=True, slots=True)
class Calendar:
    """
    What makes the days of some queues.

    Attributes
    ----------
    time_zone
        Name in the time-zone database.
    open_times
        When they are open.
    special_days
        Kind of each local date that is not as others of its weekday, 1 to 8. They are forecast by
        what their kind was like before, and nothing ordinary is learned from them.
    """

    time_zone: str = "UTC"
    open_times: OpenTimes = always_open
    special_days: Mapping[date, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise BadConfiguration(
                "calendar.time_zone", self.time_zone, "a name of the time-zone database"
            ) from None
        for day, kind in self.special_days.items():
            if not (1 <= kind <= SPECIAL_KINDS):
                raise BadConfiguration(
                    f"calendar.special_days[{day}]", kind, f"1 to {SPECIAL_KINDS}"
                )


class CalendarRows:
    """
    Calendars laid out bucket by bucket, a row each.

    Attributes
    ----------
    columns
        The arrays; replaced as they grow.
    """

    def __init__(self) -> None:
        self._calendars: list[Calendar] = [Calendar()]
        self._day_begins_s: dict[int, int] = {}
        self.columns = allocate(Calendars, 1)

    def add(self, calendar: Calendar) -> int:
        """Row of a calendar; an equal one has the same."""
        if calendar in self._calendars:
            return self._calendars.index(calendar)
        self._calendars.append(calendar)
        if len(self._calendars) > len(self.columns.first_bucket):
            self.columns = allocate(Calendars, 2 * len(self._calendars), self.columns)
        return len(self._calendars) - 1

    def replace(self, row: int, calendar: Calendar) -> None:
        """Give a row other days, as when hours change; it is laid out anew."""
        self._calendars[row] = calendar
        self._day_begins_s.pop(row, None)
        self.columns.first_bucket[row] = -1

    def alone(self, row: int, near_s: int) -> "CalendarRows":
        """
        The calendar of one row by itself, in row 0: its days begin where they do here.

        `near_s` is now, from which that is found where nothing has been laid out yet.
        """
        found = CalendarRows()
        found._calendars = [self._calendars[row]]
        found._day_begins_s = {0: self._day_begins(row, near_s)}
        return found

    def due(self, bucket: int) -> list[int]:
        """Rows that must be laid out before `bucket` ends."""
        first = self.columns.first_bucket[: len(self._calendars)]
        fresh = (first >= 0) & (bucket - first >= 1) & (bucket - first <= _BEFORE + _RENEW_AFTER)
        return np.flatnonzero(~fresh).tolist()

    def lay_out(self, row: int, bucket: int) -> None:
        """Lay a calendar out around a bucket; some tenths of a millisecond."""
        calendar = self._calendars[row]
        first = bucket - _BEFORE
        seconds = (first + np.arange(CALENDAR_BUCKETS)) * BUCKET_S
        local_s = seconds + utc_offsets_s(calendar.time_zone, seconds)
        begins_s = self._day_begins(row, bucket * BUCKET_S)
        # Where clocks go back over the hour at which a day begins, it has begun.
        day = np.maximum.accumulate((local_s - begins_s) // _DAY_S)
        columns = self.columns
        columns.first_bucket[row] = first
        columns.day[row] = day
        columns.slot[row] = (local_s - begins_s) % _DAY_S // BUCKET_S
        columns.open_share[row] = _open_shares(calendar.open_times, seconds)
        columns.kind[row] = _kinds(calendar.special_days, day)

    def begin_days_at(self, row: int, begins_s: int) -> None:
        """Say where a calendar's days begin, so that slots learned before mean what they did."""
        if not (0 <= begins_s < _DAY_S and begins_s % BUCKET_S == 0):
            raise BadConfiguration("calendar.day_begins_s", begins_s, "a bucket of a day")
        self._day_begins_s[row] = begins_s
        self.columns.first_bucket[row] = -1

    def is_laid_out(self, row: int) -> bool:
        """Whether it is settled where a calendar's days begin."""
        return row in self._day_begins_s

    def slot_begins_s(self, row: int) -> int:
        """Local second of the day at which slot 0 begins, once the calendar is laid out."""
        return self._day_begins_s[row]

    def _day_begins(self, row: int, near_s: int) -> int:
        """Found once: slots keep their meaning for as long as the calendar does."""
        if row not in self._day_begins_s:
            calendar = self._calendars[row]
            from_s = near_s // _DAY_S * _DAY_S - _DAY_S
            seconds = from_s + np.arange(_WATCHED_DAYS * SLOTS) * BUCKET_S
            local_s = seconds + utc_offsets_s(calendar.time_zone, seconds)
            is_open = _open_shares(calendar.open_times, seconds) > 0.0
            ever_open = np.zeros(SLOTS, np.bool_)
            ever_open[local_s[is_open] % _DAY_S // BUCKET_S] = True
            self._day_begins_s[row] = _middle_of_closed(ever_open)
        return self._day_begins_s[row]


def _middle_of_closed(ever_open: NDArray[np.bool_]) -> int:
    """Local second in the middle of the longest stretch that is closed; 04:00 without one."""
    if ever_open.all() or not ever_open.any():
        return _FOUR_O_CLOCK_S
    opens = np.flatnonzero(ever_open)
    closed = np.diff(np.append(opens, opens[0] + SLOTS)) - 1
    longest = int(closed.argmax())
    middle = int(opens[longest]) + 1 + int(closed[longest]) // 2
    return middle % SLOTS * BUCKET_S


def utc_offsets_s(time_zone: str, seconds: NDArray[np.int64]) -> NDArray[np.int64]:
    """
    How far the wall's clock is ahead of UTC at some seconds, ascending and 300 s apart.

    Clocks are set on quarters of an hour of UTC, so three buckets share an offset.
    """
    quarters, place = np.unique(seconds // (3 * BUCKET_S), return_inverse=True)
    offsets = [_offset_s(time_zone, int(quarter)) for quarter in quarters]
    found: NDArray[np.int64] = np.array(offsets, np.int64)[place]
    return found


@lru_cache(65_536)
def _offset_s(time_zone: str, quarter: int) -> int:
    moment = _EPOCH + timedelta(seconds=quarter * 3 * BUCKET_S)
    offset = moment.astimezone(ZoneInfo(time_zone)).utcoffset()
    assert offset is not None
    return round(offset.total_seconds())


def _open_shares(open_times: OpenTimes, seconds: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of each bucket in which a queue is open, by where each open time begins and ends."""
    begin_s, end_s = int(seconds[0]), int(seconds[-1]) + BUCKET_S
    edges = np.append(seconds, end_s)
    # Open seconds up to each edge.
    passed = np.zeros(len(edges))
    for opens_s, closes_s in open_times(begin_s, end_s):
        passed += np.clip(edges - opens_s, 0, max(closes_s - opens_s, 0))
    return np.clip(np.diff(passed) / BUCKET_S, 0.0, 1.0)


def _kinds(special_days: Mapping[date, int], day: NDArray[np.int64]) -> NDArray[np.int64]:
    """Kind of special day of each bucket, 0 for none."""
    kinds = np.zeros(len(day), np.int64)
    for number in np.unique(day):
        kind = special_days.get(date.fromordinal(int(number) + _EPOCH.toordinal()), 0)
        kinds[day == number] = kind
    return kinds
