"""Shapes of columns: element type, width and fill value, carried by their annotations."""

from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.lifecycle import CHANNEL_SLOTS

Element = np.int8 | np.uint8 | np.int64 | np.uint64 | np.float64


class Shape(NamedTuple):
    """
    How one column is laid out.

    Attributes
    ----------
    dtype
        Element type.
    width
        Columns of a matrix; 1 for a plain column; 0 where the width is set at allocation (bitsets,
        buffers).
    fill
        Value of rows never used.
    """

    dtype: type[Element]
    width: int = 1
    fill: int = 0


I8 = Annotated[NDArray[np.int8], Shape(np.int8)]
# A link or a reference to another row: -1 when empty.
Row = Annotated[NDArray[np.int64], Shape(np.int64, 1, -1)]
I64 = Annotated[NDArray[np.int64], Shape(np.int64)]
F64 = Annotated[NDArray[np.float64], Shape(np.float64)]
PerChannel = Annotated[NDArray[np.int64], Shape(np.int64, CHANNEL_SLOTS)]
Bits = Annotated[NDArray[np.uint64], Shape(np.uint64, 0)]
Records = Annotated[NDArray[np.int64], Shape(np.int64, 0)]
