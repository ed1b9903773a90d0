"""
When a queue takes contacts in: its hours, on the clock that hangs on the wall where it is.

A period is the time between two moments. A moment that the clock shows twice, where it is set back,
is the first of the two; one that it skips, where it is set forward, is the moment it is set: so a
period is never open twice, and what lies in the gap is nothing. An exception says all there is to
say of its date, from midnight to midnight: periods that begin on it are its own, and one that began
the evening before ends at midnight. Its own periods may run past midnight as others do.

Nothing but the definition and the time counts; time-zone data is read, and taken as it is.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from engine.definitions import Hours, OpeningPeriod
from engine.lifecycle import RejectionReason
from engine.limits import NEVER_MS

_DAY: Final = timedelta(days=1)
_MINUTE: Final = timedelta(minutes=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Days within which weekly hours change, if they ever do.
_WEEK_DAYS: Final = 9
_REMEMBERED: Final = 4_096


class Span(NamedTuple):
    """A time when a queue is open; milliseconds since the Unix epoch, the end not included."""

    opens_ms: int
    closes_ms: int


def minutes_of(text: str) -> int:
    """
    Minutes after midnight of a time of day, "00:00" to "24:00".

    Raises
    ------
    ValueError
        The text is no such time.
    """
    hours, _, minutes = text.partition(":")
    is_ours = len(text) == len("00:00") and hours.isdigit() and minutes.isdigit() and text.isascii()
    total = 60 * int(hours) + int(minutes) if is_ours else -1
    if not is_ours or int(minutes) >= 60 or total > 24 * 60:
        raise ValueError(text)
    return total


def is_date(text: str) -> bool:
    """Whether a text is a date, written as 2026-12-25, that leaves room for the days beside it."""
    try:
        year = date.fromisoformat(text).year
    except ValueError:
        return False
    return len(text) == len("2026-12-25") and 1970 <= year <= 9_000


def closed_for(hours: Hours, at_ms: int) -> RejectionReason:
    """Why a queue takes nobody in at a time; NONE where it is open."""
    zone = ZoneInfo(hours.time_zone)
    day = _local_date(zone, at_ms)
    if any(
        span.opens_ms <= at_ms < span.closes_ms
        for near in (day - _DAY, day, day + _DAY)
        for span in _spans(hours, near)
    ):
        return RejectionReason.NONE
    for near in (day, day + _DAY):
        periods = _exceptions(hours).get(near)
        if periods == () and _moment(zone, near, 0) <= at_ms < _moment(zone, near + _DAY, 0):
            return RejectionReason.HOLIDAY
    return RejectionReason.OUTSIDE_HOURS


def next_change_ms(hours: Hours, at_ms: int) -> int:
    """When `closed_for` next says something else; NEVER_MS where it never does."""
    now = closed_for(hours, at_ms)
    for boundary_ms in _boundaries(hours, at_ms):
        if closed_for(hours, boundary_ms) is not now:
            return boundary_ms
    return NEVER_MS


def next_opening_or_closing_ms(hours: Hours, at_ms: int) -> int:
    """When a queue next opens, or closes if it is open; NEVER_MS where it never does."""
    is_open = closed_for(hours, at_ms) is RejectionReason.NONE
    for boundary_ms in _boundaries(hours, at_ms):
        if (closed_for(hours, boundary_ms) is RejectionReason.NONE) is not is_open:
            return boundary_ms
    return NEVER_MS


def open_spans(hours: Hours, from_ms: int, until_ms: int) -> list[Span]:
    """Times between two moments in which a queue is open: ascending, apart, cut at both ends."""
    zone = ZoneInfo(hours.time_zone)
    first, last = _local_date(zone, from_ms) - _DAY, _local_date(zone, until_ms)
    days = (first + timedelta(days=more) for more in range((last - first).days + 1))
    merged: list[Span] = []
    for span in sorted(item for day in days for item in _spans(hours, day)):
        opens_ms, closes_ms = max(span.opens_ms, from_ms), min(span.closes_ms, until_ms)
        if merged and opens_ms <= merged[-1].closes_ms:
            last_one = merged.pop()
            opens_ms, closes_ms = last_one.opens_ms, max(last_one.closes_ms, closes_ms)
        if opens_ms < closes_ms:
            merged.append(Span(opens_ms, closes_ms))
    return merged


def _boundaries(hours: Hours, at_ms: int) -> Iterator[int]:
    """Moments after a time at which anything may change, ascending, as far as it makes sense."""
    zone = ZoneInfo(hours.time_zone)
    first = _local_date(zone, at_ms) - _DAY
    starts = [first, *(day - _DAY for day in _exceptions(hours) if day > first)]
    days = {start + timedelta(days=more) for start in starts for more in range(_WEEK_DAYS + 2)}
    for day in sorted(days):
        begin_ms, end_ms = _moment(zone, day, 0), _moment(zone, day + _DAY, 0)
        # Of the evening before, too, for its periods may end on this date.
        spans = (*_spans(hours, day - _DAY), *_spans(hours, day))
        for moment_ms in sorted({begin_ms, *(edge for span in spans for edge in span)}):
            if begin_ms <= moment_ms < end_ms and at_ms < moment_ms:
                yield moment_ms


@lru_cache(_REMEMBERED)
def _spans(hours: Hours, day: date) -> tuple[Span, ...]:
    """When a queue is open by the periods that begin on a date."""
    exceptions = _exceptions(hours)
    periods = exceptions.get(day)
    if periods is None:
        periods = tuple(item for item in hours.weekly if day.isoweekday() in item.days)
    zone = ZoneInfo(hours.time_zone)
    spans = []
    for period in periods:
        opens, closes = minutes_of(period.opens), minutes_of(period.closes)
        if closes <= opens:
            # Past midnight, where the next date has nothing of its own to say.
            closes = 24 * 60 if day + _DAY in exceptions else closes + 24 * 60
        spans.append(Span(_moment(zone, day, opens), _moment(zone, day, closes)))
    return tuple(span for span in spans if span.opens_ms < span.closes_ms)


@lru_cache(_REMEMBERED)
def _exceptions(hours: Hours) -> dict[date, tuple[OpeningPeriod, ...]]:
    """Periods of dates that are not as others; none where it is closed."""
    return {date.fromisoformat(item.date): item.periods for item in hours.exceptions}


def _local_date(zone: ZoneInfo, at_ms: int) -> date:
    return (_EPOCH + timedelta(milliseconds=at_ms)).astimezone(zone).date()


@lru_cache(_REMEMBERED)
def _moment(zone: ZoneInfo, day: date, minutes: int) -> int:
    """
    When the clock first shows a time of a date, or else when it is set forward past it.

    `minutes` count from midnight, and may go on into the next date.
    """
    local = datetime.combine(day, time()) + minutes * _MINUTE
    after = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if after.astimezone(zone).replace(tzinfo=None) == local:
        return _ms(after)
    # Skipped: the clock is set between the two readings, to the second.
    low, high = (
        _ms(local.replace(tzinfo=zone, fold=1).astimezone(UTC)) // 1_000,
        _ms(after) // 1_000,
    )
    while high - low > 1:
        middle = (low + high) // 2
        shown = (_EPOCH + timedelta(seconds=middle)).astimezone(zone).replace(tzinfo=None)
        low, high = (middle, high) if shown < local else (low, middle)
    return high * 1_000


def _ms(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)
