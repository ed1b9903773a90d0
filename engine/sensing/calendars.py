"""Hours of queues as calendars of forecasts."""

from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import Final

import orjson

from engine.definitions import Hours
from engine.forecasting.calendar import Calendar, CalendarRows
from engine.refusals import BadConfiguration
from engine.routing.hours import open_spans

# Kind of a date that has hours of its own, as `engine.forecasting.calendar` counts them. Dates on
# which a queue stays closed need none: nothing is forecast and nothing learned.
_OWN_HOURS: Final = 1
_REMEMBERED: Final = 1_024


class QueueCalendars:
    """
    Rows of calendars by hours: queues with the same hours have the same.

    Where the days of weekly hours begin is kept over restarts and changes of single dates, for
    what is learned of a slot of the day is learned of that one.
    """

    def __init__(self, calendars: CalendarRows) -> None:
        self._calendars = calendars
        self._rows: dict[Hours | None, int] = {None: calendars.add(Calendar())}
        # Local second at which days begin, by time zone and weekly hours.
        self._begins_s: dict[str, int] = {}

    def row_of(self, hours: Hours | None) -> int:
        """Row of the calendar of some hours, None for always open."""
        if hours is not None and hours not in self._rows:
            begins_s = self._days_begin().get(_week_of(hours))
            row = self._rows[hours] = self._calendars.add(_calendar_of(hours))
            if begins_s is not None:
                self._calendars.begin_days_at(row, begins_s)
        return self._rows[hours]

    def export(self) -> dict[str, int]:
        """Where days begin, for `load`; JSON can hold it."""
        return self._days_begin()

    def load(self, saved: object) -> None:
        """
        Take what `export` gave, before anything else.

        Raises
        ------
        BadConfiguration
            It is something else.
        """
        if not isinstance(saved, dict) or not all(type(item) is int for item in saved.values()):
            raise BadConfiguration("sensing.days", saved, "where days begin, by hours")
        self._begins_s = saved

    def _days_begin(self) -> dict[str, int]:
        laid_out = {
            _week_of(hours): self._calendars.slot_begins_s(row)
            for hours, row in self._rows.items()
            if hours is not None and self._calendars.is_laid_out(row)
        }
        return self._begins_s | laid_out


def _week_of(hours: Hours) -> str:
    """Time zone and weekly hours, as text."""
    weekly = [[item.opens, item.closes, list(map(int, item.days))] for item in hours.weekly]
    return orjson.dumps([hours.time_zone, weekly]).decode()


def _calendar_of(hours: Hours) -> Calendar:

    def open_times(from_s: int, until_s: int) -> Sequence[tuple[int, int]]:
        spans = open_spans(hours, 1_000 * from_s, 1_000 * until_s)
        return [(span.opens_ms // 1_000, span.closes_ms // 1_000) for span in spans]

    return Calendar(hours.time_zone, open_times, _special_days(hours))


@lru_cache(_REMEMBERED)
def _special_days(hours: Hours) -> dict[date, int]:
    return {date.fromisoformat(item.date): _OWN_HOURS for item in hours.exceptions if item.periods}
