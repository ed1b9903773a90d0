"""Rows of what is sensed: queues, and groups of queues that are forecast together."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.definitions import Hours
from engine.forecasting.columns import Array
from engine.refusals import BadConfiguration
from engine.sensing.texts import text_as_array, text_of_array

_FIRST_ROWS: Final = 16


class Sensed(NamedTuple):
    """
    What sensing knows of a queue by its definition.

    Attributes
    ----------
    within_ms, ratio
        Service-level target.
    group
        Queues it is forecast together with, "" = none.
    hours
        None for always open.
    priority, max_length
        As defined.
    """

    within_ms: int
    ratio: float
    group: str = ""
    hours: Hours | None = None
    priority: int = 0
    max_length: int = 0


class Key(NamedTuple):
    """A queue, or a group of them."""

    name: str
    is_group: bool = False


def keys_as_array(keys: Sequence[Key | None]) -> Array:
    """Keys as an array, for a file of arrays."""
    return text_as_array([list(key) if key is not None else None for key in keys])


def keys_of_array(array: Array | None) -> list[Key | None]:
    """
    Keys from what `keys_as_array` gave.

    Raises
    ------
    BadConfiguration
        The array is of another version.
    """
    found = text_of_array("sensing.keys", array)
    keys: list[Key | None] = []
    for item in found if isinstance(found, list) else [0]:
        if item is not None and not (isinstance(item, list) and len(item) == 2):
            raise BadConfiguration("sensing.keys", item, "the name of a queue or group")
        keys.append(Key(str(item[0]), bool(item[1])) if item is not None else None)
    return keys


@dataclass(slots=True)
class SensedRows:
    """
    Rows by key; those of queues that are gone are given anew, the lowest first.

    Attributes
    ----------
    keys
        By row; None where nothing is sensed.
    profiles
        By row of queue.
    changes
        Counts changes.
    """

    keys: list[Key | None]
    profiles: dict[int, Sensed]
    changes: int
    _row_of: dict[Key, int]
    _free: list[int]
    # Made of the others, as of so many changes.
    _groups: list[tuple[int, NDArray[np.int64]]]
    _grouped_at: int
    _told: tuple[Key | None, ...]
    _told_at: int
    _asked: Sequence[str]
    _asked_at: int
    _answered: NDArray[np.int64]

    def __init__(self) -> None:
        self.keys, self.profiles, self.changes = [], {}, 0
        self._row_of, self._free = {}, []
        self._groups, self._grouped_at = [], -1
        self._told, self._told_at = (), -1
        self._asked, self._asked_at, self._answered = (), -1, np.zeros(0, np.int64)

    def row_of(self, key: Key) -> int:
        """Row of a key, -1 where there is none."""
        return self._row_of.get(key, -1)

    def queue_row(self, queue_id: str) -> int:
        """Row of a queue, -1 where there is none."""
        return self._row_of.get(Key(queue_id), -1)

    def rows_of(self, queue_ids: Sequence[str]) -> NDArray[np.int64]:
        """
        Rows of queues, -1 where there is none.

        The very tuple that was asked for last is not looked up again: who tells of many queues
        tells of the same ones every second.
        """
        if queue_ids is not self._asked or self._asked_at != self.changes:
            found = map(self.queue_row, queue_ids)
            self._answered = np.fromiter(found, np.int64, len(queue_ids))
            self._asked, self._asked_at = tuple(queue_ids), self.changes
        return self._answered

    def take(self, key: Key) -> int:
        """Give a key a row."""
        row = heapq.heappop(self._free) if self._free else len(self.keys)
        if row == len(self.keys):
            self.keys.append(None)
        self.keys[row] = key
        self._row_of[key] = row
        self.changes += 1
        return row

    def drop(self, row: int) -> None:
        """Take a row back."""
        key = self.keys[row]
        assert key is not None
        del self._row_of[key]
        self.keys[row] = None
        self.profiles.pop(row, None)
        heapq.heappush(self._free, row)
        self.changes += 1

    def place(self, keys: list[Key | None]) -> None:
        """Give keys the rows they had; only while nothing has a row."""
        assert not self.keys
        self.keys = list(keys)
        self._row_of = {key: row for row, key in enumerate(keys) if key is not None}
        self._free = [row for row, key in enumerate(keys) if key is None]
        self.changes += 1

    def all_keys(self) -> tuple[Key | None, ...]:
        """Keys by row; the same object until they change."""
        if self._told_at != self.changes:
            self._told, self._told_at = tuple(self.keys), self.changes
        return self._told

    def queue_rows(self) -> NDArray[np.int64]:
        """Rows of queues, ascending."""
        return np.array(sorted(self.profiles), np.int64)

    def groups(self) -> list[tuple[int, NDArray[np.int64]]]:
        """Rows of groups, each with those of its queues, ascending; looked for once a change."""
        if self._grouped_at != self.changes:
            members: dict[str, list[int]] = {}
            for row in sorted(self.profiles):
                members.setdefault(self.profiles[row].group, []).append(row)
            self._groups = [
                (row, np.array(members.get(key.name, ()), np.int64))
                for row, key in enumerate(self.keys)
                if key is not None and key.is_group
            ]
            self._grouped_at = self.changes
        return self._groups

    def members(self, group_row: int) -> NDArray[np.int64]:
        """Rows of the queues of a group, ascending."""
        return dict(self.groups())[group_row]

    def rows_needed(self) -> int:
        """Rows that arrays must have: some doubling of the first."""
        rows = _FIRST_ROWS
        while rows < len(self.keys):
            rows *= 2
        return rows
