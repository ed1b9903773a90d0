"""Cursors read back as they were made, and nothing else reads as one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.cursors import cursor_of, parse_cursor


@given(st.integers(0, 10**18 - 1), st.integers(0, 10**18 - 1))
def test_cursor_reads_back_as_the_place_it_names(sequence: int, index: int) -> None:
    """A consumer resumes exactly behind the event it saw last."""
    assert parse_cursor(cursor_of(sequence, index)) == (sequence, index)


@given(st.integers(0, 10**18 - 1), st.integers(0, 10**18 - 1))
def test_cursor_of_a_group_alone_lies_behind_all_of_the_group(sequence: int, index: int) -> None:
    """A subscription that begins after a group must not be told of it again."""
    place = parse_cursor(str(sequence))
    assert place is not None
    assert (sequence, index) < place < (sequence + 1, 0)


@pytest.mark.parametrize(
    "cursor",
    [
        "",  # nothing
        ".",  # no number on either side
        ".1",  # no group
        "-1",  # a sign
        "+1.1",  # another
        "1.1.1",  # three parts
        "1,1",  # another separator
        " 1.1",  # a space
        "1.1\n",  # a line's end
        "one",  # a word
        "1.x",  # half a cursor
        "²",  # a digit to Python that is no number
        "٣",  # a number in another script
        "1" * 19,  # more than int64 holds
        "1." + "1" * 19,  # the same behind the point
    ],
)
def test_text_that_is_no_cursor_is_none(cursor: str) -> None:
    """A cursor is sent back by programs that may have cut or mixed it up."""
    assert parse_cursor(cursor) is None


@given(st.text())
def test_any_text_is_a_cursor_or_none(cursor: str) -> None:
    """What comes over the wire never raises here."""
    place = parse_cursor(cursor)
    assert place is None or min(place) >= 0
