"""What would be learned of a file, in words."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final, NamedTuple

from adapters.history.counting import UNKNOWN, QueuePast
from adapters.history.layout import BUCKET_S

_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_GAPS_TOLD: Final = 5
_DAY_S: Final = 86_400


class _Day(NamedTuple):
    """Steps of a local day that are known, and their contacts."""

    steps: int
    contacts: int


def summary_lines(queue_id: str, past: QueuePast, zone: tzinfo | None) -> Iterator[str]:
    """Days, gaps and contacts per weekday of one queue, a line each."""
    clock = zone or UTC
    first, steps = past.steps()
    known = sum(count != UNKNOWN for count in steps)
    total = sum(count for count in steps if count != UNKNOWN)
    until = first + len(steps) * BUCKET_S
    named = getattr(clock, "key", "UTC")
    span = f"{_shown(first, clock)} to {_shown(until, clock)} {named}"
    yield f"{queue_id}: {total:,} contacts, {span}"
    days = _days(first, steps, clock)
    yield f"  {len(days):,} days with something known; {known:,} steps of 5 minutes"
    yield from _gap_lines(first, steps, clock)
    yield from _weekday_lines(days)
    yield from _never_known(first, steps, clock)
    yield from (f"  note: {note}" for note in past.notes)


def _days(first: int, steps: Sequence[int], clock: tzinfo) -> dict[date, _Day]:
    found: dict[date, _Day] = defaultdict(lambda: _Day(0, 0))
    for place, count in enumerate(steps):
        if count != UNKNOWN:
            day = _local(first + place * BUCKET_S, clock).date()
            before = found[day]
            found[day] = _Day(before.steps + 1, before.contacts + count)
    return found


def _weekday_lines(days: dict[date, _Day]) -> Iterator[str]:
    by_weekday: dict[int, list[_Day]] = defaultdict(list)
    for day, told in days.items():
        by_weekday[day.weekday()].append(told)
    for weekday, alike in sorted(by_weekday.items()):
        mean = sum(day.contacts for day in alike) / len(alike)
        hours = sum(day.steps for day in alike) / len(alike) * BUCKET_S / 3_600
        known = f"{hours:.1f} h known, {len(alike)} day{'s' if len(alike) > 1 else ''}"
        yield f"  {_WEEKDAYS[weekday]}  {mean:>10,.0f} contacts a day, {known}"


def _gap_lines(first: int, steps: Sequence[int], clock: tzinfo) -> Iterator[str]:
    gaps = list(_gaps(steps))
    if not gaps:
        yield "  no gaps"
        return
    missing = sum(end - begin for begin, end in gaps)
    hours = missing * BUCKET_S / 3_600
    yield f"  {len(gaps):,} gaps, {hours:,.1f} h in all, not learned from; the longest:"
    for begin, end in sorted(sorted(gaps, key=lambda gap: gap[0] - gap[1])[:_GAPS_TOLD]):
        since, until = first + begin * BUCKET_S, first + end * BUCKET_S
        yield f"    {_shown(since, clock)} to {_shown(until, clock)}"


def _gaps(steps: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Stretches of steps that are not known: (begin, end)."""
    begin = -1
    for place, count in enumerate(steps):
        if count == UNKNOWN and begin < 0:
            begin = place
        elif count != UNKNOWN and begin >= 0:
            yield begin, place
            begin = -1


def _never_known(first: int, steps: Sequence[int], clock: tzinfo) -> Iterator[str]:
    """Times of day at which nothing is known on any day: hours that the queue should have."""
    known = {
        _clock_s(_local(first + place * BUCKET_S, clock))
        for place, count in enumerate(steps)
        if count != UNKNOWN
    }
    unknown = [second not in known for second in range(0, _DAY_S, BUCKET_S)]
    if len(steps) * BUCKET_S < _DAY_S or not any(unknown) or all(unknown):
        return
    times = ", ".join(
        f"{_time(begin)} to {_time(end)}"
        for begin, end in _gaps([*(UNKNOWN if off else 0 for off in unknown), 0])
    )
    yield (
        f"  note: on no day is anything known of {times}. If the queue is closed then, give it "
        "hours before this is imported; if it is open and nobody came, say --missing zero"
    )


def _time(slot: int) -> str:
    minutes = slot * BUCKET_S // 60
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _clock_s(moment: datetime) -> int:
    return (3_600 * moment.hour + 60 * moment.minute) // BUCKET_S * BUCKET_S


def _local(second: int, clock: tzinfo) -> datetime:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second)).astimezone(clock)


def _shown(second: int, clock: tzinfo) -> str:
    return f"{_local(second, clock):%a %Y-%m-%d %H:%M}"
