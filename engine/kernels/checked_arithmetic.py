"""Numbers as CEL has them: overflow is an error, whole division goes towards zero. O(1) each."""

import math
from typing import Final

from engine.kernels.compilation import sensing_kernel

_INT_MIN: Final = -(1 << 63)


@sensing_kernel
def sum_overflows(left: int, right: int) -> bool:
    """Whether left + right is beyond int64."""
    if right > 0:
        return left > 9_223_372_036_854_775_807 - right
    return left < _INT_MIN - right


@sensing_kernel
def difference_overflows(left: int, right: int) -> bool:
    """Whether left - right is beyond int64."""
    if right > 0:
        return left < _INT_MIN + right
    return left > 9_223_372_036_854_775_807 + right


@sensing_kernel
def product_overflows(left: int, right: int) -> bool:
    """Whether left × right is beyond int64."""
    if left == 0 or right == 0:
        return False
    if left == -1 or right == -1:
        return left == _INT_MIN or right == _INT_MIN
    # Neither divisor is 0 or -1, so that no quotient overflows.
    if (left > 0) == (right > 0):
        if left > 0:
            return left > quotient(9_223_372_036_854_775_807, right)
        return left < quotient(9_223_372_036_854_775_807, right)
    if left > 0:
        return right < quotient(_INT_MIN, left)
    return left < quotient(_INT_MIN, right)


@sensing_kernel
def quotient_fails(left: int, right: int) -> bool:
    """Whether left / right, and the remainder, are an error of CEL."""
    return right == 0 or (left == _INT_MIN and right == -1)


@sensing_kernel
def quotient(left: int, right: int) -> int:
    """left / right towards zero; `quotient_fails` has said that it is no error."""
    found = left // right
    return found + 1 if found < 0 and left % right != 0 else found


@sensing_kernel
def remainder(left: int, right: int) -> int:
    """What division towards zero leaves, with the sign of `left`; as for `quotient`."""
    return left - right * quotient(left, right)


@sensing_kernel
def ratio(left: float, right: float) -> float:
    """left / right as IEEE 754 has it, also where Python would refuse to divide."""
    if right != 0.0:
        return left / right
    if left == 0.0 or left != left:
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)
