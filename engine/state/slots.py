"""External ids and the rows they stand for."""

import heapq
from collections.abc import Collection, Iterable, KeysView, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.state.store import Store


class Slots:
    """
    Rows of one subject by external id.

    Rows are taken lowest first, so that which row an id gets does not depend on the order in which
    others were freed: ties broken by row come out alike before and after a restart.
    """

    def __init__(self, store: Store, subject: str) -> None:
        self._store = store
        self._subject = subject
        self._row_of: dict[str, int] = {}
        self.ids: list[str] = []
        self._free: list[int] = []
        self._retired: list[int] = []

    def __len__(self) -> int:
        return len(self._row_of)

    def row_of(self, external_id: str) -> int:
        """Row of an id, -1 when there is none."""
        return self._row_of.get(external_id, -1)

    def take(self, external_id: str) -> int:
        """
        Give an id a row.

        Raises
        ------
        CommandRefused
            LIMIT_REACHED, when the cell is full.
        """
        if self._free:
            row = heapq.heappop(self._free)
            self.ids[row] = external_id
        else:
            row = len(self.ids)
            self._store.require(self._subject, row + 1)
            self.ids.append(external_id)
        self._row_of[external_id] = row
        return row

    def place_all(self, placed: Sequence[tuple[int, str]]) -> None:
        """
        Give ids the rows they had; rows left out on the way are free.

        Only while nothing has a row.
        """
        assert not self.ids
        if not placed:
            return
        rows = 1 + max(row for row, _ in placed)
        self._store.require_loaded(self._subject, rows)
        self.ids = [""] * rows
        for row, external_id in placed:
            self.ids[row] = external_id
            self._row_of[external_id] = row
        # Ascending, hence already a heap.
        self._free = [row for row, external_id in enumerate(self.ids) if not external_id]

    def retire(self, row: int) -> None:
        """
        End an id's claim on its row.

        The row keeps the name until `reclaim`, for effects not yet handed over.
        """
        self.disown(row)
        self._retired.append(row)

    def disown(self, row: int) -> None:
        """Let a row's id be taken anew, for a row about to be retired; again changes nothing."""
        external_id = self.ids[row]
        if self._row_of.get(external_id) == row:
            del self._row_of[external_id]

    def reclaim(self) -> None:
        """Free the rows of retired ids."""
        for row in self._retired:
            self.ids[row] = ""
            heapq.heappush(self._free, row)
        self._retired.clear()

    def rows(self) -> list[int]:
        """Every row in use, ascending."""
        return sorted(self._row_of.values())

    def names(self) -> KeysView[str]:
        """Every id in use, in no order."""
        return self._row_of.keys()


class Vocabulary:
    """Names to small numbers, for skills, tags and texts."""

    def __init__(self) -> None:
        self._number_of: dict[str, int] = {}
        self.names: list[str] = []
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._number_of)

    def number_of(self, name: str) -> int:
        """Number of a name, -1 when it has none."""
        return self._number_of.get(name, -1)

    def count_with(self, names: Iterable[str]) -> int:
        """How many numbers there would be with these names added, freed ones not counted."""
        return len(self._number_of) + sum(name not in self._number_of for name in set(names))

    def intern(self, name: str) -> int:
        """Number of a name, given now when it had none: the lowest that is free."""
        number = self._number_of.get(name)
        if number is None:
            if self._free:
                number = heapq.heappop(self._free)
                self.names[number] = name
            else:
                number = len(self.names)
                self.names.append(name)
            self._number_of[name] = number
        return number

    def keep_only(self, numbers: Collection[int]) -> None:
        """Free every other number."""
        kept = {name: number for name, number in self._number_of.items() if number in numbers}
        for name, number in self._number_of.items():
            if name not in kept:
                self.names[number] = ""
                heapq.heappush(self._free, number)
        self._number_of = kept


def set_member(bits: NDArray[np.uint64], row: int, *, is_member: bool = True) -> None:
    """Put a row into a bit set, or take it out."""
    mask = np.uint64(1 << (row & 63))
    bits[row >> 6] = bits[row >> 6] | mask if is_member else bits[row >> 6] & ~mask


def members_of(bits: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Rows in a bit set, ascending."""
    return np.flatnonzero(np.unpackbits(bits.view(np.uint8), bitorder="little"))
