"""
Times of a file as moments.

A time with an offset, or a number of seconds since the Unix epoch, is a moment. One without is what
the clock of a zone shows: it may have shown it twice, where clocks were set back, or never, where
they were set forward.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH: Final = datetime(1970, 1, 1)
_QUARTER_S: Final = 900
_REMEMBERED: Final = 65_536
# A number of so many digits is seconds since the epoch; years have fewer.
_DIGITS_MIN: Final = 9
_DIGITS_MAX: Final = 19


class Moment(NamedTuple):
    """
    When something was.

    Attributes
    ----------
    second
        Since the Unix epoch; the first of two.
    again_s
        Seconds after which the clock showed the same again, 0 for never.
    clock_s
        Seconds since midnight on the clock that the text is of.
    """

    second: int
    again_s: int
    clock_s: int


def moment_of(text: str, zone: ZoneInfo | None) -> Moment:
    """
    The moment that a text tells.

    Raises
    ------
    ValueError
        It is no time, no zone says which clock it is of, or the clock never showed it; in words for
        people.
    """
    if text.isascii() and text.isdigit() and _DIGITS_MIN <= len(text) < _DIGITS_MAX:
        return Moment(int(text), 0, int(text) % 86_400)
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        expected = "2026-03-02 07:05, with or without an offset, or seconds since 1970"
        raise ValueError(f"{text!r} is no time: expected {expected}") from None
    clock_s = 3_600 * told.hour + 60 * told.minute + told.second
    if told.tzinfo is not None:
        return Moment((told - _EPOCH) // timedelta(seconds=1), 0, clock_s)
    if zone is None:
        raise ValueError(f"{text!r} has no offset: say by --zone which clock it is of")
    local_s = (told - _NAIVE_EPOCH) // timedelta(seconds=1)
    offset_s, again_s, is_skipped = _offset(zone.key, local_s // _QUARTER_S)
    if is_skipped:
        raise ValueError(
            f"{text!r} was never shown in {zone.key}: clocks were set forward over it; is it "
            "another zone?"
        )
    return Moment(local_s - offset_s, again_s, clock_s)


@lru_cache(_REMEMBERED)
def _offset(zone: str, quarter: int) -> tuple[int, int, bool]:
    """
    Of a quarter of an hour of the clock: offset from UTC, seconds until it was shown again, and
    whether it was never shown.
    """
    local = _NAIVE_EPOCH + timedelta(seconds=quarter * _QUARTER_S)
    first = local.replace(tzinfo=ZoneInfo(zone), fold=0)
    second = first.replace(fold=1)
    before, after = first.utcoffset(), second.utcoffset()
    assert before is not None
    assert after is not None
    offset_s = round(before.total_seconds())
    again_s = offset_s - round(after.total_seconds())
    return offset_s, max(again_s, 0), again_s < 0
