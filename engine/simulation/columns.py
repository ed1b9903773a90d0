"""Floor columns from Python values, and their growth."""

from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from engine.kernels.boundary import shapes_of

Layout = TypeVar("Layout", bound=tuple[object, ...])


def laid_out(layout: type[Layout], rows: int, **values: ArrayLike) -> Layout:
    """
    Columns of one layout with `rows` rows, filled, and where values are given set to them.

    An empty layout gets one row that nothing refers to: kernels may look at a first row before they
    know that there is none.
    """
    columns = []
    for name, shape in shapes_of(layout).items():
        size = max(rows, 1)
        extent = (size,) if shape.width == 1 else (size, shape.width)
        column = np.full(extent, shape.fill, shape.dtype)
        if name in values:
            column[:rows] = values.pop(name)
        columns.append(column)
    assert not values, f"{layout.__name__} has no {', '.join(values)}"
    return layout(*columns)


def grown(columns: Layout, rows: int) -> Layout:
    """The same columns with more rows."""
    layout = type(columns)
    larger = laid_out(layout, rows)
    for old, new in zip(columns, larger, strict=True):
        assert isinstance(old, np.ndarray)
        assert isinstance(new, np.ndarray)
        new[tuple(slice(extent) for extent in old.shape)] = old
    return larger
