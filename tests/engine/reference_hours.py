"""
Hours again, minute by minute: a moment is when a clock that is looked at every minute first shows a
time or a later one. Compare `engine.routing.hours`.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from engine.definitions import Hours, OpeningPeriod
from engine.lifecycle import RejectionReason
from engine.limits import NEVER_MS

MINUTE_MS = 60_000
_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def shown(zone: str, minute: int) -> datetime:
    """What the clock shows, minutes after the Unix epoch."""
    local = (_EPOCH + timedelta(minutes=minute)).astimezone(ZoneInfo(zone))
    return local.replace(tzinfo=None)


@lru_cache(100_000)
def moment(zone: str, time: datetime) -> int:
    """Minute when the clock first shows a time or a later one."""
    minute = (time.replace(tzinfo=UTC) - _EPOCH) // timedelta(minutes=1) - 2 * 24 * 60
    while shown(zone, minute) < time:
        minute += 1
    return minute


@lru_cache(100_000)
def closed_in(hours: Hours, minute: int) -> RejectionReason:
    """Why it is closed in a minute."""
    zone = hours.time_zone
    today = shown(zone, minute).date()
    exceptions = {date.fromisoformat(item.date): item.periods for item in hours.exceptions}
    for day in (today - _DAY, today, today + _DAY):
        midnight = datetime(day.year, day.month, day.day)
        for opens, closes in periods_on(hours, day, exceptions):
            begins = moment(zone, midnight + timedelta(minutes=opens))
            ends = moment(zone, midnight + timedelta(minutes=closes))
            if day + _DAY in exceptions:
                ends = min(ends, moment(zone, midnight + _DAY)) if closes > 1_440 else ends
            if begins <= minute < ends:
                return RejectionReason.NONE
    for day in (today, today + _DAY):
        midnight = datetime(day.year, day.month, day.day)
        is_that_day = moment(zone, midnight) <= minute < moment(zone, midnight + _DAY)
        if is_that_day and exceptions.get(day) == ():
            return RejectionReason.HOLIDAY
    return RejectionReason.OUTSIDE_HOURS


def periods_on(
    hours: Hours, day: date, exceptions: dict[date, tuple[OpeningPeriod, ...]]
) -> Iterator[tuple[int, int]]:
    """Minutes after a date's midnight when its periods open and close."""
    weekly = (item for item in hours.weekly if day.weekday() + 1 in item.days)
    for item in exceptions.get(day, weekly):
        opens, closes = (int(text[:2]) * 60 + int(text[3:]) for text in (item.opens, item.closes))
        yield opens, closes if closes > opens else closes + 1_440


def next_change_ms(hours: Hours, now_ms: int) -> int:
    """When it is closed for another reason, or not; NEVER_MS if not within three days."""
    minute = now_ms // MINUTE_MS
    change = change_after(hours, minute, minute + 3 * 24 * 60)
    return NEVER_MS if change is None else change * MINUTE_MS


def change_after(hours: Hours, minute: int, until: int) -> int | None:
    """First minute after one, up to another, in which it is closed for another reason, or not."""
    now = closed_in(hours, minute)
    return next(
        (later for later in range(minute + 1, until + 1) if closed_in(hours, later) != now), None
    )
