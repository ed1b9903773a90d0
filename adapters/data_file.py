"""The file of a cell as its owner began with it."""

import os
from collections.abc import Callable
from pathlib import Path


class DataFile:
    """
    A path and the file that was there at first: one that is removed or replaced takes commits on,
    and nobody would find them again.

    Parameters
    ----------
    path
        The file; it is there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._first = path.stat()

    def is_in_place(self) -> bool:
        """Whether the path still leads to the same file."""
        try:
            return os.path.samestat(self._first, self.path.stat())
        except FileNotFoundError:
            return False
        except OSError:  # not to be looked at just now, which says nothing about it
            return True

    def sizes(self) -> dict[str, Callable[[], float]]:
        """Bytes of the database and of its write-ahead log, by name of the metric."""
        return {
            "database_bytes": lambda: _size(self.path),
            "wal_bytes": lambda: _size(Path(f"{self.path}-wal")),
        }


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
