"""What came lately, beside what had been forecast."""

import math

import numpy as np
import pytest

from engine.kernels.sensing_columns import BUCKET_S, HORIZON, Observed
from engine.refusals import BadConfiguration
from engine.sensing.recent import Recent

FIRST = 6_000_000


def came(*contacts: int, covered_s: int = BUCKET_S) -> Observed:
    """A bucket."""
    rows = len(contacts)
    return Observed(np.array(contacts), np.full(rows, covered_s), np.zeros(rows, np.int64))


def test_last_buckets_are_told_the_oldest_first() -> None:
    """With what had been forecast, and as not known where a part was not seen."""
    recent = Recent(2)
    recent.note(FIRST, came(3, 4), np.array([2.5, 4.5]))
    recent.note(FIRST + 2, came(7, 8, covered_s=200))
    steps = recent.steps(1, FIRST + 3, 4)
    assert [step.bucket for step in steps] == [FIRST - 1, FIRST, FIRST + 1, FIRST + 2]
    assert [step.contacts for step in steps] == [-1, 4, -1, -1]
    assert steps[1].forecast == 4.5
    assert all(math.isnan(step.forecast) for step in steps if step.bucket != FIRST)


def test_places_are_used_again_without_what_was_there() -> None:
    """Twelve hours later another bucket stands there; an older one does not come back."""
    recent = Recent(1)
    recent.note(FIRST, came(3), np.array([9.0]))
    recent.note(FIRST + HORIZON, came(5))
    (step,) = recent.steps(0, FIRST + HORIZON + 1, 1)
    assert step.contacts == 5
    assert math.isnan(step.forecast)
    recent.note(FIRST, came(3))
    recent.put(0, FIRST, 3)
    assert recent.steps(0, FIRST + HORIZON + 1, 1)[0].contacts == 5


def test_what_was_seen_is_not_said_again() -> None:
    """A history tells of hours nobody watched, and of no others."""
    recent = Recent(2)
    recent.note(FIRST, came(3, 4))
    recent.put(0, FIRST, 99)
    recent.put(0, FIRST + 1, 6)
    assert [step.contacts for step in recent.steps(0, FIRST + 2, 2)] == [3, 6]
    assert [step.contacts for step in recent.steps(1, FIRST + 2, 2)] == [4, -1]


def test_rows_grow_and_are_forgotten() -> None:
    """A queue that takes the row of another has no past."""
    recent = Recent(1)
    recent.note(FIRST, came(3))
    recent.require(4)
    assert recent.steps(0, FIRST + 1, 1)[0].contacts == 3
    recent.clear(0)
    assert recent.steps(0, FIRST + 1, 1)[0].contacts == -1


def test_restart_keeps_what_came() -> None:
    """The page after a restart is the page before it."""
    recent, other = Recent(1), Recent(1)
    recent.note(FIRST, came(3), np.array([2.0]))
    other.load(recent.export())
    assert other.steps(0, FIRST + 1, 1) == recent.steps(0, FIRST + 1, 1)
    with pytest.raises(BadConfiguration, match="contacts"):
        other.load({})
    with pytest.raises(BadConfiguration, match=r"recent\.buckets"):
        other.load({name: a for name, a in recent.export().items() if name != "buckets"})
    assert other.steps(0, FIRST + 1, 1) == recent.steps(0, FIRST + 1, 1)
