"""Calendars: slots on the wall's clock, days that may be 23 or 25 hours, open shares."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from engine.definitions import Hours, OpeningPeriod
from engine.forecasting.calendar import Calendar, CalendarRows
from engine.kernels.sensing_columns import BUCKET_S, CALENDAR_BUCKETS
from engine.lifecycle import Day
from engine.limits import NEVER_MS
from engine.refusals import BadConfiguration
from engine.routing.hours import closed_for, next_opening_or_closing_ms

WEEKDAYS = tuple(Day)


def bucket_of(year: int, month: int, day: int, hour: int = 0) -> int:
    """Bucket of a time in UTC."""
    return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp()) // BUCKET_S


def open_by(hours: Hours, from_s: int, until_s: int) -> Sequence[tuple[int, int]]:
    """Open times by routing's rules, as the engine will hand them to a calendar."""
    spans, now_ms = [], from_s * 1_000
    while now_ms < until_s * 1_000:
        next_ms = min(next_opening_or_closing_ms(hours, now_ms), NEVER_MS)
        until_ms = min(next_ms, until_s * 1_000)
        if not closed_for(hours, now_ms):
            spans.append((now_ms // 1_000, until_ms // 1_000))
        now_ms = until_ms
    return spans


@pytest.mark.parametrize(
    ("zone", "near"),
    [
        ("Europe/Berlin", (2026, 3, 28, 12)),  # forward on the 29th: 23 hours
        ("Europe/Berlin", (2026, 10, 24, 12)),  # back on the 25th: 25 hours
        ("America/St_Johns", (2026, 6, 1, 0)),  # half hours
        ("Asia/Kathmandu", (2026, 6, 1, 0)),  # quarters
        ("Australia/Lord_Howe", (2026, 4, 4, 1)),  # set by half an hour
    ],
)
def test_slots_are_those_of_the_clock_on_the_wall(
    zone: str, near: tuple[int, int, int, int]
) -> None:
    """A queue's busy hour is at the same slot all year, whatever clocks do."""
    calendars = CalendarRows()
    row = calendars.add(Calendar(zone))
    first = bucket_of(*near)
    calendars.lay_out(row, first)
    columns = calendars.columns
    for place in range(CALENDAR_BUCKETS):
        second = (int(columns.first_bucket[row]) + place) * BUCKET_S
        local = datetime.fromtimestamp(second, ZoneInfo(zone))
        shifted = local.replace(tzinfo=None) - timedelta(hours=4)
        assert columns.slot[row, place] == (shifted.hour * 60 + shifted.minute) // 5
        assert columns.day[row, place] == shifted.toordinal() - date(1970, 1, 1).toordinal()


def test_day_with_clocks_set_has_fewer_or_more_buckets() -> None:
    """23 and 25 hours; slots are skipped or come twice."""
    for near, buckets in (((2026, 3, 28, 1), 276), ((2026, 10, 24, 1), 300)):
        calendars = CalendarRows()
        row = calendars.add(Calendar("Europe/Berlin"))
        calendars.lay_out(row, bucket_of(*near))
        day = calendars.columns.day[row]
        counts = np.bincount(day - day[0])
        assert buckets in counts.tolist()


def test_night_shift_is_one_day() -> None:
    """A queue open from 22:00 to 06:00 must not have its day cut in the middle."""
    hours = Hours("Europe/Berlin", (OpeningPeriod("22:00", "06:00", WEEKDAYS),))
    calendars = CalendarRows()
    row = calendars.add(Calendar("Europe/Berlin", lambda begin, end: open_by(hours, begin, end)))
    calendars.lay_out(row, bucket_of(2026, 6, 1))
    columns = calendars.columns
    assert calendars.slot_begins_s(row) == 14 * 3_600
    night = columns.open_share[row] > 0.0
    starts = np.flatnonzero(np.diff(night.astype(int)) == 1) + 1
    for start in starts[:-1].tolist():
        assert len(set(columns.day[row, start : start + 96].tolist())) == 1


def test_bucket_open_in_part_has_that_share() -> None:
    """A queue that opens at 08:02 is open for three fifths of its first bucket."""
    hours = Hours("UTC", (OpeningPeriod("08:02", "08:13", WEEKDAYS),))
    calendars = CalendarRows()
    row = calendars.add(Calendar("UTC", lambda begin, end: open_by(hours, begin, end)))
    calendars.lay_out(row, bucket_of(2026, 6, 1, 8))
    place = bucket_of(2026, 6, 1, 8) - int(calendars.columns.first_bucket[row])
    found = calendars.columns.open_share[row, place - 1 : place + 4]
    assert found == pytest.approx([0.0, 0.6, 1.0, 0.6, 0.0])


def test_special_day_is_marked_and_bad_definitions_are_refused() -> None:
    """A holiday is forecast by its kind, so the kind must be one there is room for."""
    calendars = CalendarRows()
    row = calendars.add(Calendar(special_days={date(2026, 12, 25): 2}))
    calendars.lay_out(row, bucket_of(2026, 12, 25, 10))
    kind, day = calendars.columns.kind[row], calendars.columns.day[row]
    assert set(day[kind == 2].tolist()) == {(date(2026, 12, 25) - date(1970, 1, 1)).days}
    with pytest.raises(BadConfiguration, match=r"calendar\.time_zone"):
        Calendar("Mars/Olympus")
    with pytest.raises(BadConfiguration, match="special_days"):
        Calendar(special_days={date(2026, 12, 25): 9})


def test_equal_calendars_share_a_row_and_are_laid_out_when_due() -> None:
    """Ten thousand queues have a handful of calendars, each laid out every day and a half."""
    calendars = CalendarRows()
    first, again = calendars.add(Calendar("Asia/Tokyo")), calendars.add(Calendar("Asia/Tokyo"))
    assert first == again
    bucket = bucket_of(2026, 6, 1)
    assert first in calendars.due(bucket)
    calendars.lay_out(first, bucket)
    assert first not in calendars.due(bucket)
    assert first not in calendars.due(bucket + 400)
    assert first in calendars.due(bucket + 450)
    calendars.replace(first, Calendar("Asia/Seoul"))
    assert first in calendars.due(bucket)


def by_shift(from_s: int, until_s: int) -> Sequence[tuple[int, int]]:
    """Open from 22:00 to 06:00 UTC, every day."""
    days = np.arange(from_s // 86_400 - 1, until_s // 86_400 + 1) * 86_400
    return [(day + 79_200, day + 108_000) for day in days.tolist()]
