"""Hours of queues as calendars: where days begin is kept with what is learned of them."""

import json

import pytest

from engine.definitions import Hours, HoursException, OpeningPeriod
from engine.forecasting.calendar import CalendarRows
from engine.kernels.sensing_columns import SLOTS
from engine.lifecycle import Day
from engine.refusals import BadConfiguration
from engine.sensing.calendars import QueueCalendars

WEEKLY = (OpeningPeriod("09:00", "17:00", tuple(Day)),)
HOURS = Hours("Europe/Berlin", WEEKLY)
BUCKET = 20_000 * SLOTS


def laid_out(*hours: Hours) -> QueueCalendars:
    """Calendars of some hours around a day."""
    rows = CalendarRows()
    calendars = QueueCalendars(rows)
    for item in hours:
        rows.lay_out(calendars.row_of(item), BUCKET)
    return calendars


def test_where_days_begin_is_kept_in_text_that_json_holds() -> None:
    """It goes into the file with what was learned, by time zone and weekly hours."""
    kept = laid_out(HOURS, Hours("Asia/Tokyo", WEEKLY)).export()
    assert len(kept) == 2
    assert set(kept.values()) == {3_600}, "in the middle of the night that is closed"
    after = laid_out()
    after.load(json.loads(json.dumps(kept)))
    assert after.export() == kept


def test_dates_of_their_own_do_not_move_the_days() -> None:
    """A holiday that is entered must not shift every slot that was learned."""
    holiday = HOURS._replace(exceptions=(HoursException("2026-12-25", "Christmas", ()),))
    assert laid_out(HOURS).export() == laid_out(HOURS, holiday).export()


def test_what_is_no_such_text_is_refused() -> None:
    """It is of another version."""
    with pytest.raises(BadConfiguration, match=r"sensing\.days"):
        laid_out().load({"x": "y"})
