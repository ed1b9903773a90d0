"""Whole numbers at the edges of 64 bits against Python's own, which have no bounds."""

import itertools
import math

from engine.kernels import checked_arithmetic as kernels

LEAST, MOST = -(1 << 63), (1 << 63) - 1
EDGES = sorted(
    {
        *(base + step for base in (LEAST + 2, -(1 << 62), -(1 << 31), 0, 1 << 31, 1 << 62, MOST - 2)
          for step in (-2, -1, 0, 1, 2)),
        3_037_000_499, 3_037_000_500, -3_037_000_500, 7, -7,
    }
)  # fmt: skip


def test_whole_numbers_fail_where_python_leaves_64_bits() -> None:
    """Overflow is told before it happens, and quotients go towards zero."""
    for left, right in itertools.product(EDGES, EDGES):
        pair = (left, right)
        assert kernels.sum_overflows(*pair) == (not LEAST <= left + right <= MOST)
        assert kernels.difference_overflows(*pair) == (not LEAST <= left - right <= MOST)
        assert kernels.product_overflows(*pair) == (not LEAST <= left * right <= MOST)
        fails = right == 0 or (left, right) == (LEAST, -1)
        assert kernels.quotient_fails(*pair) == fails
        if not fails:
            quotient = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
            assert kernels.quotient(*pair) == quotient
            assert kernels.remainder(*pair) == left - right * quotient


def test_ratios_are_those_of_ieee_754() -> None:
    """Zero divides into infinities and NaN."""
    assert kernels.ratio(1.0, 0.0) == math.inf
    assert kernels.ratio(1.0, -0.0) == -math.inf
    assert kernels.ratio(-1.0, 0.0) == -math.inf
    assert math.isnan(kernels.ratio(0.0, 0.0))
    assert math.isnan(kernels.ratio(math.nan, 0.0))
    assert kernels.ratio(3.0, 2.0) == 1.5
