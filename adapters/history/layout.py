"""How a file of history is to be read, and what is wrong with one."""

from collections.abc import Sequence
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

BUCKET_S: Final = 300
# Lengths of an interval, by how they are written.
INTERVALS_S: Final = {"5m": 300, "15m": 900, "30m": 1_800, "60m": 3_600}
# Problems that are told; of more only how many there are.
_TOLD_MAX: Final = 20


class Layout(NamedTuple):
    """
    How to read a file.

    Attributes
    ----------
    queue_id, queue_column
        The queue that all of it is of, or the column that names it; the other one is "".
    time_column, count_column
        Columns of times and of counts; there are no counts where every row is a contact.
    zone
        Clock of times without an offset; None where all have one.
    interval_s
        Length of an interval, seconds.
    is_events
        Whether every row is one contact.
    fills_zero
        Whether an interval between the first and the last that has no row had no contact; else it
        is not known.
    """

    queue_id: str
    queue_column: str
    time_column: str
    count_column: str
    zone: ZoneInfo | None
    interval_s: int
    is_events: bool
    fills_zero: bool

    def columns(self) -> list[str]:
        """Columns that a file must have."""
        counts = [] if self.is_events else [self.count_column]
        queues = [self.queue_column] if self.queue_column else []
        return [self.time_column, *counts, *queues]


class HistoryRefused(ValueError):
    """A file cannot be read as asked; `problems` says where and why, for people."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def zone_of(name: str) -> ZoneInfo | None:
    """
    A time zone by its name; None for "".

    Raises
    ------
    HistoryRefused
        There is none of that name.
    """
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        expected = "a name of the time-zone database, such as Europe/Berlin"
        raise HistoryRefused(f"--zone: got {name!r}, expected {expected}") from None


class Problems:
    """Gathers what is wrong with the rows of a file, so that all of it is told at once."""

    def __init__(self) -> None:
        self._told: list[str] = []
        self._count = 0

    def add(self, line: int, what: str) -> None:
        """Note what is wrong with a line."""
        self._count += 1
        if len(self._told) < _TOLD_MAX:
            self._told.append(f"line {line}: {what}")

    def raise_any(self) -> None:
        """
        Refuse the file if anything is wrong with it.

        Raises
        ------
        HistoryRefused
            Something is.
        """
        if self._count:
            raise HistoryRefused(*self._told, *self._more())

    def _more(self) -> Sequence[str]:
        more = self._count - len(self._told)
        return [f"and {more:,} more lines"] if more else []
