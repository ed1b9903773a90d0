"""
Rows counted by five minutes.

An interval longer than five minutes is spread evenly over its five-minute steps. What the clock
showed twice, where it was set back, is told apart by the order of the rows where a time stands
twice; where it stands once it holds both, and half goes to each. Contacts one by one go to the two
in turn.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, NamedTuple

from adapters.history.layout import BUCKET_S, HistoryRefused, Layout, Problems
from adapters.history.moments import Moment, moment_of
from adapters.history.table import Row

UNKNOWN: Final = -1
_CONTACTS_MAX: Final = 1_000_000
# Longer ones are no number that Python would read.
_DIGITS_MAX: Final = 1_000
_ID_BYTES_MAX: Final = 128


@dataclass(slots=True)
class QueuePast:
    """
    What a file says of one queue.

    Attributes
    ----------
    contacts
        By second at which a step of five minutes begins; a step that is missing is not known.
    notes
        What was decided where the file leaves it open, for people.
    """

    contacts: dict[int, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def steps(self) -> tuple[int, list[int]]:
        """Where the first step begins, and contacts of every step from there on, -1 = not known."""
        first, last = min(self.contacts), max(self.contacts)
        whole = range(first, last + 1, BUCKET_S)
        return first, [self.contacts.get(second, UNKNOWN) for second in whole]


class _Read(NamedTuple):
    line: int
    moment: Moment
    contacts: int


def count_rows(rows: Iterable[Row], layout: Layout) -> dict[str, QueuePast]:
    """
    Count the rows of a file by queue and five minutes.

    Raises
    ------
    HistoryRefused
        Some row is not as it must be; every one is told, with its line.
    """
    problems = Problems()
    read: dict[str, list[_Read]] = defaultdict(list)
    for row in rows:
        found = _read_row(row, layout, problems)
        if found is not None:
            read[row.queue or layout.queue_id].append(found)
    problems.raise_any()
    if not read:
        raise HistoryRefused("there is no row below the first line")
    counted = {
        queue: _count_events(items) if layout.is_events else _count(items, layout, problems)
        for queue, items in sorted(read.items())
    }
    problems.raise_any()
    for past in counted.values():
        if layout.is_events or layout.fills_zero:
            _fill(past)
    return counted


def _read_row(row: Row, layout: Layout, problems: Problems) -> _Read | None:
    """One row, or None with a problem noted."""
    if layout.queue_column and not (0 < len(row.queue.encode()) <= _ID_BYTES_MAX):
        problems.add(row.line, f"{row.queue!r} is no id of a queue")
        return None
    try:
        moment = moment_of(row.time, layout.zone)
        contacts = 1 if layout.is_events else _number(row.contacts)
    except ValueError as error:
        problems.add(row.line, str(error))
        return None
    if not layout.is_events and (moment.clock_s % layout.interval_s or moment.second % BUCKET_S):
        minutes = layout.interval_s // 60
        what = f"{row.time!r} is not on a multiple of {minutes} minutes; is --interval another?"
        problems.add(row.line, what)
        return None
    return _Read(row.line, moment, contacts)


def _number(text: str) -> int:
    """A count; an empty cell is not known. Raises ValueError for what is none."""
    if not text:
        return UNKNOWN
    whole = text.removesuffix(".0")
    is_number = whole.isascii() and whole.isdigit() and len(whole) < _DIGITS_MAX
    if not is_number or int(whole) > _CONTACTS_MAX:
        raise ValueError(f"{text!r} is no count: expected 0 to {_CONTACTS_MAX:,}, whole")
    return int(whole)


def _count_events(items: list[_Read]) -> QueuePast:
    past = QueuePast()
    again = 0
    counts: Counter[int] = Counter()
    for _, moment, _ in items:
        second = moment.second
        if moment.again_s:
            second += moment.again_s * (again % 2)
            again += 1
        counts[second // BUCKET_S * BUCKET_S] += 1
    past.contacts = dict(counts)
    if again:
        past.notes.append(
            f"{again:,} contacts lie in an hour that the clock showed twice: they are given to the "
            "two in turn"
        )
    return past


def _count(items: list[_Read], layout: Layout, problems: Problems) -> QueuePast:
    past = QueuePast()
    by_second: dict[int, list[_Read]] = defaultdict(list)
    for item in items:
        by_second[item.moment.second].append(item)
    _check_interval(sorted(by_second), layout, items[0].line, problems)
    halved = 0
    for second, alike in by_second.items():
        again_s = alike[0].moment.again_s
        if len(alike) > (2 if again_s else 1):
            extra = alike[-1]
            problems.add(extra.line, f"the same interval stands in line {alike[0].line}")
        elif again_s and len(alike) == 1:
            halved += 1
            first, other = _shares(alike[0].contacts, 2)
            _spread(past, second, first, layout)
            _spread(past, second + again_s, other, layout)
        else:
            for place, item in enumerate(alike):
                _spread(past, second + place * again_s, item.contacts, layout)
    _note(past, items, halved)
    if not past.contacts:
        problems.add(items[0].line, "no row of this queue has a count")
    return past


def _check_interval(seconds: list[int], layout: Layout, line: int, problems: Problems) -> None:
    """Refuse rows that always lie further apart than an interval is long."""
    apart = [after - before for before, after in pairwise(seconds)]
    least_s = min(apart, default=layout.interval_s)
    if least_s > layout.interval_s:
        what = (
            f"rows lie {least_s // 60} minutes apart or more, and intervals are "
            f"{layout.interval_s // 60} minutes long: is --interval another?"
        )
        problems.add(line, what)


def _note(past: QueuePast, items: list[_Read], halved: int) -> None:
    """Tell what was decided where the file left it open."""
    if halved:
        past.notes.append(
            f"{halved} intervals in an hour that the clock showed twice stand once: half of each "
            "goes to either"
        )
    pairs = pairwise(items)
    back = next((b.line for a, b in pairs if b.moment.second < a.moment.second), 0)
    if back:
        past.notes.append(f"rows are not in order of time, first in line {back}: they are sorted")
    empty = sum(1 for item in items if item.contacts == UNKNOWN)
    if empty:
        past.notes.append(f"{empty:,} rows have no count: not known")


def _spread(past: QueuePast, second: int, contacts: int, layout: Layout) -> None:
    """Spread an interval evenly over its steps; one that is not known is left out."""
    if contacts == UNKNOWN:
        return
    count = layout.interval_s // BUCKET_S
    for place, share in enumerate(_shares(contacts, count)):
        past.contacts[second + place * BUCKET_S] = share


def _shares(contacts: int, parts: int) -> list[int]:
    """Whole numbers as even as can be that add up; not known in every part where it is not."""
    if contacts == UNKNOWN:
        return [UNKNOWN] * parts
    ends = [contacts * (place + 1) // parts for place in range(parts)]
    return [end - begin for begin, end in zip([0, *ends], ends, strict=False)]


def _fill(past: QueuePast) -> None:
    """Count steps without a row, between the first and the last, as without a contact."""
    for second in range(min(past.contacts), max(past.contacts), BUCKET_S):
        past.contacts.setdefault(second, 0)
