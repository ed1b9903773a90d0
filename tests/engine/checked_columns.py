"""
Columns that refuse what compiled kernels must never do.

A kernel's index is a place: compiled code does not count -1 from the end but writes before the
column. Where kernels are plain Python, -1 would pass unseen.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np

from engine.kernels.boundary import ColumnSet
from engine.state.store import Store


class CheckedColumn(np.ndarray[Any, Any]):
    """A column whose elements are named by places alone."""

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401 - as of arrays
        """Read, but not before the first."""
        _check(index)
        return super().__getitem__(index)

    def __setitem__(self, index: Any, value: Any) -> None:  # noqa: ANN401 - as of arrays
        """Write, but not before the first."""
        _check(index)
        super().__setitem__(index, value)


def _check(index: object) -> None:
    for place in index if isinstance(index, tuple) else (index,):
        if isinstance(place, (int, np.integer)) and place < 0:
            message = f"place {place} of a column"
            raise IndexError(message)


@contextmanager
def checked_columns() -> Iterator[None]:
    """Let every cell made meanwhile have such columns."""
    allocate = Store._allocate

    def checked(self: Store, old: ColumnSet | None) -> ColumnSet:
        groups = allocate(self, old)
        return ColumnSet._make(
            type(group)._make(column.view(CheckedColumn) for column in group) for group in groups
        )

    with mock.patch.object(Store, "_allocate", checked):
        yield
