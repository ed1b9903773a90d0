"""Hours of queues: kept, as JSON and back, and when the next of them changes."""

from typing import Final

from engine.definitions import Hours, HoursException, OpeningPeriod
from engine.lifecycle import Day
from engine.limits import NEVER_MS

# A period and a whole definition as JSON has them.
_Period = tuple[list[int], str, str]
EncodedHours = tuple[str, list[_Period], list[tuple[str, str, list[_Period]]]]

_NONE: Final[EncodedHours | None] = None


class HoursRows:
    """
    Hours by row of their queue.

    Attributes
    ----------
    next_ms
        When the first of them changes, milliseconds since the Unix epoch; NEVER_MS for never.
    """

    def __init__(self) -> None:
        self._hours: dict[int, Hours] = {}
        self._changes_ms: dict[int, int] = {}
        self.next_ms = NEVER_MS

    def set(self, row: int, hours: Hours | None) -> None:
        """Keep a queue's hours, None for always open; `schedule` comes next where there are any."""
        self._hours.pop(row, None)
        self._changes_ms.pop(row, None)
        if hours is not None:
            self._hours[row] = hours
        self._refresh()

    def of(self, row: int) -> Hours | None:
        """Hours of a queue, None for always open."""
        return self._hours.get(row)

    def rows(self) -> list[int]:
        """Rows of queues that have hours, ascending."""
        return sorted(self._hours)

    def schedule(self, row: int, at_ms: int) -> None:
        """Note when a queue's hours change next."""
        self._changes_ms[row] = at_ms
        self._refresh()

    def due(self, now_ms: int) -> list[int]:
        """Rows whose hours have changed by now, ascending."""
        return sorted(row for row, at_ms in self._changes_ms.items() if at_ms <= now_ms)

    def _refresh(self) -> None:
        self.next_ms = min(self._changes_ms.values(), default=NEVER_MS)


def encoded(hours: Hours | None) -> EncodedHours | None:
    """Hours in types that JSON has."""
    if hours is None:
        return _NONE
    exceptions = [(item.date, item.name, _periods(item.periods)) for item in hours.exceptions]
    return hours.time_zone, _periods(hours.weekly), exceptions


def decoded(kept: EncodedHours | None) -> Hours | None:
    """Hours from what JSON gave."""
    if kept is None:
        return None
    time_zone, weekly, exceptions = kept
    return Hours(
        time_zone,
        _read(weekly),
        tuple(HoursException(date, name, _read(periods)) for date, name, periods in exceptions),
    )


def _periods(periods: tuple[OpeningPeriod, ...]) -> list[_Period]:
    return [([int(day) for day in item.days], item.opens, item.closes) for item in periods]


def _read(periods: list[_Period]) -> tuple[OpeningPeriod, ...]:
    return tuple(
        OpeningPeriod(opens, closes, tuple(map(Day, days))) for days, opens, closes in periods
    )
