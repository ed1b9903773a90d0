"""Bit sets over rows, 64 to a word."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from engine.kernels.compilation import kernel

if config.DISABLE_JIT:

    def lowest_bit(word: np.uint64) -> int:
        """Place of the lowest set bit, 0 to 63; the word must not be 0."""
        value = int(word)
        return (value & -value).bit_length() - 1

    def bit_count(word: np.uint64) -> int:
        """Number of set bits."""
        return int(word).bit_count()

else:

    @intrinsic
    def lowest_bit(typingctx: Any, word: Any) -> Any:
        """Place of the lowest set bit, 0 to 63; the word must not be 0. One instruction."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

        return types.int64(types.uint64), codegen

    @intrinsic
    def bit_count(typingctx: Any, word: Any) -> Any:
        """Number of set bits. One instruction."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.ctpop(arguments[0])

        return types.int64(types.uint64), codegen


@kernel
def has_bit(bits: NDArray[np.uint64], place: int) -> bool:
    """Whether `place` is in the set. O(1)."""
    return (bits[place >> 6] >> np.uint64(place & 63)) & np.uint64(1) != np.uint64(0)


@kernel
def set_bit(bits: NDArray[np.uint64], place: int, is_member: bool) -> None:
    """Put `place` into the set or take it out. O(1)."""
    mask = np.uint64(1) << np.uint64(place & 63)
    if is_member:
        bits[place >> 6] |= mask
    else:
        bits[place >> 6] &= ~mask
