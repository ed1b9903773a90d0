"""How figures are written, and the width of their intervals."""

import math

import pytest

from adapters.simulation_figures import (
    Unit,
    duration_text,
    listed,
    t95,
    written_in_line,
)


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262), (29, 2.045), (99, 1.984)],
)
def test_interval_is_as_wide_as_students(freedom: int, quantile: float) -> None:
    """With few batches 1.96 standard errors hold far fewer than 95 % of truths."""
    assert t95(freedom) == pytest.approx(quantile, rel=1.5e-3)


def test_interval_of_a_single_part_is_unknown() -> None:
    """Nothing scatters, so nothing can be said."""
    assert math.isnan(t95(0))


@pytest.mark.parametrize(
    ("value", "half", "unit", "text"),
    [
        (0.8123, 0.0045, "share", "81.23 ± 0.45 %"),
        (0.8123, math.nan, "share", "81.23 %"),
        (23_456.0, 500.0, "time", "23.46 ± 0.50 s"),
        (3_600e3, 60e3, "time", "60.00 ± 1.00 min"),  # an error in the unit of its value
        (36_000e3, 3_600e3, "time", "10.00 ± 1.00 h"),
        (1_234.5, 1.0, "number", "1,234.50 ± 1.00"),
        (math.nan, math.nan, "time", "–"),  # nothing was seen
    ],
)
def test_estimate_is_written_for_people(value: float, half: float, unit: Unit, text: str) -> None:
    """Value, half of the interval and one unit for both."""
    assert written_in_line(value, half, unit) == text


@pytest.mark.parametrize(
    ("duration_ms", "text"),
    [
        (250, "250 ms"),
        (1_500, "1.5 s"),
        (20_000, "20 s"),
        (60_000, "1 min"),
        (90_000, "1 min 30 s"),
        (90_500, "90.5 s"),  # never rounded
        (5_400e3, "1 h 30 min"),
        (26 * 3_600e3, "1 d 2 h"),
    ],
)
def test_duration_is_written_without_loss(duration_ms: float, text: str) -> None:
    """A threshold of 90 s must not be called 1 min or 2."""
    assert duration_text(duration_ms) == text


def test_words_are_listed_as_in_a_sentence() -> None:
    """None, one, two, many."""
    assert [listed(words, "or") for words in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a or b",
        "a, b or c",
    ]
