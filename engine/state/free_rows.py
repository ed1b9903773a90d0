"""Rows of values that come and go, the ones given back first to be taken again."""


class FreeRows:
    """Which rows nobody has."""

    def __init__(self) -> None:
        self._free: list[int] = []
        self._next = 0

    def take(self) -> int:
        """A row that nobody has."""
        if self._free:
            return self._free.pop()
        self._next += 1
        return self._next - 1

    def give_back(self, row: int) -> None:
        """Let a row be taken again."""
        self._free.append(row)

    def hold(self, row: int) -> None:
        """Take a row that somebody has had; in any order."""
        self._free += range(self._next, row)
        self._free = [item for item in self._free if item != row]
        self._next = max(self._next, row + 1)
