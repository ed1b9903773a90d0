"""Hours of a queue: what the clock on the wall says, when it is set, and on dates of their own."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from engine.commands import Route, Schedule, ScheduleContact, UpsertQueue
from engine.definitions import Hours, HoursException, OpeningPeriod
from engine.engine import Engine
from engine.lifecycle import Channel, Day, RejectionReason
from engine.limits import NEVER_MS
from engine.refusals import CommandRefused, Refusal
from engine.routing.hours import closed_for, next_change_ms, next_opening_or_closing_ms
from tests.engine.reference_hours import MINUTE_MS, change_after, closed_in

DAILY = tuple(Day)
OPEN = RejectionReason.NONE
OUTSIDE = RejectionReason.OUTSIDE_HOURS
HOLIDAY = RejectionReason.HOLIDAY


def at(text: str, zone: str = "UTC") -> int:
    """Time as the clocks of a zone show it; the first of two."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 1_000


def daily(zone: str, *periods: str) -> Hours:
    """Hours that are alike every day, as `09:00-17:00`."""
    return Hours(zone, tuple(OpeningPeriod(item[:5], item[6:], DAILY) for item in periods))


def changes(hours: Hours, begin_ms: int, end_ms: int) -> list[str]:
    """When a queue opens and closes between two times, UTC."""
    told = []
    while (begin_ms := next_opening_or_closing_ms(hours, begin_ms)) < end_ms:
        is_open = closed_for(hours, begin_ms) is OPEN
        moment = datetime.fromtimestamp(begin_ms / 1_000, UTC)
        told.append(f"{'opens' if is_open else 'closes'} {moment:%d %H:%M:%S}")
    return told


@pytest.mark.parametrize(
    ("zone", "periods", "begin", "told"),
    [
        # New York, 2026-03-08: 2:00 EST is 3:00 EDT, 07:00 UTC.
        ("America/New_York", ("01:00-02:30",), "2026-03-08T05:00",
         ["opens 08 06:00:00", "closes 08 07:00:00"]),  # ends in the gap
        ("America/New_York", ("02:30-05:00",), "2026-03-08T05:00",
         ["opens 08 07:00:00", "closes 08 09:00:00"]),  # begins in it
        ("America/New_York", ("02:10-02:50",), "2026-03-08T05:00", []),  # lies in it
        ("America/New_York", ("01:00-04:00",), "2026-03-08T05:00",
         ["opens 08 06:00:00", "closes 08 08:00:00"]),  # runs across: an hour less
        # New York, 2026-11-01: 2:00 EDT is 1:00 EST, 06:00 UTC.
        ("America/New_York", ("01:30-03:00",), "2026-11-01T04:00",
         ["opens 01 05:30:00", "closes 01 08:00:00"]),  # begins at what is shown twice: once
        ("America/New_York", ("00:30-01:30",), "2026-11-01T04:00",
         ["opens 01 04:30:00", "closes 01 05:30:00"]),  # ends there: once
        ("America/New_York", ("00:00-01:30", "01:30-24:00"), "2026-11-01T04:30", []),  # no hole
        # Lord Howe, 2026-10-04: 2:00 is 2:30, half an hour only; 15:30 UTC the day before.
        ("Australia/Lord_Howe", ("02:15-03:00",), "2026-10-03T12:00",
         ["opens 03 15:30:00", "closes 03 16:00:00"]),
        # Apia skips 2011-12-30, a Friday, at 10:00 UTC.
        ("Pacific/Apia", ("09:00-17:00",), "2011-12-30T04:00", []),
        ("Pacific/Apia", ("22:00-06:00",), "2011-12-30T05:00",
         ["opens 30 08:00:00", "closes 30 16:00:00"]),
        # A leap day is a day.
        ("UTC", ("23:00-01:00",), "2028-02-29T12:00", ["opens 29 23:00:00"]),
    ],
)  # fmt: skip
def test_period_meets_the_clock_that_is_set(
    zone: str, periods: tuple[str, ...], begin: str, told: list[str]
) -> None:
    """Twelve hours around: never open twice, never in the gap, no hole where two periods meet."""
    begin_ms = at(begin)
    assert changes(daily(zone, *periods), begin_ms, begin_ms + 12 * 60 * MINUTE_MS) == told


@pytest.mark.parametrize(
    ("zone", "begin"),
    [
        ("America/New_York", "2026-03-07T12:00"),
        ("America/New_York", "2026-10-31T12:00"),
        ("Australia/Lord_Howe", "2026-10-03T00:00"),
        ("Australia/Lord_Howe", "2026-04-04T00:00"),
        ("Pacific/Apia", "2011-12-29T12:00"),
        ("America/St_Johns", "2010-11-06T12:00"),  # set back a minute past midnight
        ("Africa/Monrovia", "1972-01-06T12:00"),  # set by 44 minutes and 30 seconds
        ("UTC", "2028-02-28T12:00"),
    ],
)
def test_every_minute_is_as_a_clock_looked_at_every_minute_has_it(zone: str, begin: str) -> None:
    """Brute force over two days, with nights, exceptions, overlaps and periods that meet."""
    begin_ms = at(begin)
    day = datetime.fromtimestamp(begin_ms / 1_000 + 86_400, UTC).date().isoformat()
    weekly = (
        OpeningPeriod("22:00", "02:15", DAILY),
        OpeningPeriod("02:15", "03:30", DAILY),
        OpeningPeriod("09:00", "17:00", DAILY[:5]),
        OpeningPeriod("16:00", "18:00", DAILY),
    )
    for exceptions in (
        (),
        (HoursException(day),),
        (HoursException(day, periods=(OpeningPeriod("12:00", "01:00"),)),),
    ):
        hours = Hours(zone, weekly, exceptions)
        first, last = begin_ms // MINUTE_MS, begin_ms // MINUTE_MS + 2 * 24 * 60
        now_ms, minute = begin_ms, first
        for minute in range(first, last):
            assert closed_for(hours, minute * MINUTE_MS) is closed_in(hours, minute)
        while (change := change_after(hours, minute, last)) is not None:
            now_ms = next_change_ms(hours, now_ms)
            minute = -(-now_ms // MINUTE_MS)
            assert minute == change


def test_exception_rules_its_date_from_midnight_to_midnight() -> None:
    """A holiday ends the night before, and the next day begins as ever."""
    hours = Hours(
        "Europe/Berlin",
        (OpeningPeriod("20:00", "04:00", DAILY),),
        (
            HoursException("2026-12-25", "Christmas"),
            HoursException("2026-12-31", periods=(OpeningPeriod("10:00", "01:00"),)),
        ),
    )
    begin_ms, end_ms = at("2026-12-24T12:00"), at("2026-12-26T12:00")
    assert changes(hours, begin_ms, end_ms) == [
        "opens 24 19:00:00", "closes 24 23:00:00",
    ]  # fmt: skip
    assert closed_for(hours, at("2026-12-24T23:00") - 1) is OPEN
    assert closed_for(hours, at("2026-12-24T23:00")) is HOLIDAY
    assert closed_for(hours, at("2026-12-25T23:00") - 1) is HOLIDAY
    assert closed_for(hours, at("2026-12-25T23:00")) is OUTSIDE
    assert next_change_ms(hours, at("2026-12-25T12:00")) == at("2026-12-25T23:00")
    assert next_opening_or_closing_ms(hours, at("2026-12-25T12:00")) == at("2026-12-26T19:00")
    assert changes(hours, at("2026-12-30T22:00"), at("2027-01-01T12:00")) == [
        "closes 30 23:00:00", "opens 31 09:00:00", "closes 01 00:00:00",
    ]  # fmt: skip


def test_hours_that_never_change_say_so() -> None:
    """Always open, always closed, and closed after the last exception."""
    always = daily("UTC", "00:00-24:00")
    assert closed_for(always, 0) is OPEN
    assert next_change_ms(always, at("2026-11-22T10:00")) == NEVER_MS
    assert next_change_ms(Hours("UTC"), at("2026-11-22T10:00")) == NEVER_MS
    far = Hours("UTC", exceptions=(HoursException("2030-05-01", "", always.weekly[:1]),))
    assert next_change_ms(far, at("2026-11-22T10:00")) == at("2030-05-01T00:00")
    assert next_change_ms(far, at("2030-05-01T10:00")) == at("2030-05-02T00:00")
    assert next_change_ms(far, at("2030-05-02T00:00")) == NEVER_MS


@pytest.mark.parametrize("due_at_ms", [1_790_003_600_000_000, 1 << 61])
def test_a_time_in_the_wrong_unit_is_refused_by_a_queue_with_hours(due_at_ms: int) -> None:
    """No calendar reaches as far."""
    engine = Engine()
    engine.apply(UpsertQueue("q", hours=daily("Europe/Lisbon", "09:00-17:00")), 1_790_000_000_000)
    engine.apply(UpsertQueue("always"), 1_790_000_000_000)
    engine.apply(Route("c", "always", Channel.VOICE), 1_790_000_000_000)
    later = ScheduleContact("c", Schedule(due_at_ms), queue_id="q")
    with pytest.raises(CommandRefused) as refused:
        engine.apply(later, 1_790_000_001_000)
    assert refused.value.reason is Refusal.INVALID_FIELD
    assert "31 days from now" in str(refused.value)
