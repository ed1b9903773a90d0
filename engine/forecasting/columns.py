"""Groups of columns: made, grown with the number of queues, taken out and put back as arrays."""

from collections.abc import Mapping
from functools import cache
from typing import TypeVar, cast, get_type_hints

import numpy as np
from numpy.typing import NDArray

from engine.kernels.sensing_columns import ROWS, Extent
from engine.refusals import BadConfiguration

Array = (
    NDArray[np.int32] | NDArray[np.int64] | NDArray[np.uint16] | NDArray[np.uint64]
    | NDArray[np.float32] | NDArray[np.float64]
)  # fmt: skip
Group = TypeVar("Group", bound=tuple[object, ...])


@cache
def extents_of(layout: type[tuple[object, ...]]) -> Mapping[str, Extent]:
    """Extents of a layout's columns, by field, in order."""
    hints = get_type_hints(layout, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items()}


def allocate(layout: type[Group], rows: int, before: Group | None = None) -> Group:
    """
    Make the columns of a layout; rows that `before` holds are copied, others are as never used.
    """
    arrays: list[Array] = []
    for place, extent in enumerate(extents_of(layout).values()):
        shape = tuple(rows if size == ROWS else size for size in extent.dimensions)
        array = cast(Array, np.full(shape, extent.fill, extent.dtype))
        if before is not None:
            old = cast(Array, before[place])
            array[tuple(slice(min(a, b)) for a, b in zip(old.shape, shape, strict=True))] = old
        arrays.append(array)
    return _made(layout, arrays)


def clear_row(columns: tuple[object, ...], row: int) -> None:
    """Make one row as never used, as its queue is removed."""
    for name, extent in extents_of(type(columns)).items():
        array = cast(Array, getattr(columns, name))
        axis = extent.dimensions.index(ROWS)
        place = (slice(None),) * axis + (row,)
        array[place] = np.asarray(extent.fill, extent.dtype)


def copy_row(columns: tuple[object, ...], row: int, source: tuple[object, ...]) -> None:
    """Make one row of columns, of which rows are the first dimension, as row 0 of others is."""
    for name in extents_of(type(columns)):
        cast(Array, getattr(columns, name))[row] = cast(Array, getattr(source, name))[0]


def exported(columns: tuple[object, ...]) -> dict[str, Array]:
    """Copies of the columns, by name."""
    return {name: cast(Array, getattr(columns, name)).copy() for name in extents_of(type(columns))}


def imported(layout: type[Group], arrays: Mapping[str, Array], rows: int) -> Group:
    """
    Columns from what `exported` gave.

    Raises
    ------
    BadConfiguration
        An array is missing, or has another type or shape: it comes from another version.
    """
    found: list[Array] = []
    for name, extent in extents_of(layout).items():
        shape = tuple(rows if size == ROWS else size for size in extent.dimensions)
        expected = f"an array of {np.dtype(extent.dtype)} of shape {shape}"
        array = arrays.get(name)
        path = f"{layout.__name__.lower()}.{name}"
        if array is None:
            raise BadConfiguration(path, None, expected)
        if array.dtype != extent.dtype or array.shape != shape:
            raise BadConfiguration(path, f"{array.dtype} of shape {array.shape}", expected)
        found.append(cast(Array, np.ascontiguousarray(array).copy()))
    return _made(layout, found)


def _made(layout: type[Group], arrays: list[Array]) -> Group:
    return layout.__new__(layout, *arrays)


def with_prefixes(parts: Mapping[str, Mapping[str, Array]]) -> dict[str, Array]:
    """Arrays of several parts in one mapping, as PART.NAME."""
    return {f"{part}.{name}": array for part, of in parts.items() for name, array in of.items()}


def arrays_of(part: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Those of one part that `with_prefixes` gave, by their names in it."""
    prefix = f"{part}."
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def ratio(above: Array, below: Array) -> NDArray[np.float64]:
    """One over the other, NaN where that is not above 0."""
    result = np.full(above.shape, np.nan)
    np.divide(above, below, out=result, where=below > 0)
    return result
