"""
A cell in an sqlite file, as a source and as a target.

A target is put together in a file beside, `<path>.migrating`, and takes its name in one step when
it is complete and synced; `sqlite_file.open_database` refuses to begin an empty cell next to one.
"""

import contextlib
import os
import sqlite3
import struct
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Final

from adapters.commit_log import CommitLogError, LogCorrupt
from adapters.migration.stores import Head, KeptGroup, KeptReplies
from adapters.sqlite_file import (
    corrupt,
    create_tables,
    failure,
    free_lease,
    is_empty,
    staging_of,
    sync_folder,
    take_lease,
    too_new,
    unpack_replies,
)
from adapters.sqlite_rows import READ_ROWS, rows_of, write_rows
from engine.state.rows import SCHEMA_VERSION, RowDelta

_PAGE_ROWS: Final = 2_000
# A group's events may be long.
_PAGE_GROUPS: Final = 100
_OWNER: Final = "headgate migrate"

_READ_HEAD: Final = "SELECT cell, schema_version, epoch, token, sequence FROM meta WHERE id = 1"
_READ_GROUPS: Final = "SELECT sequence, token, events FROM log ORDER BY sequence"
_READ_REPLIES: Final = "SELECT sequence, packed FROM replies ORDER BY sequence"
_FINISH: Final = """UPDATE meta SET schema_version = ?, epoch = ?, token = ?, sequence = ?,
    first_sequence = (SELECT coalesce(min(sequence), 1) FROM log),
    events_bytes = (SELECT coalesce(sum(length(events)), 0) FROM log),
    replies_count = (SELECT coalesce(sum(count), 0) FROM replies),
    newest_at_ms = (SELECT coalesce(max(at_ms), 0) FROM replies)"""


class _File:
    """A database that is read page by page, and the lease on it."""

    def __init__(self, path: Path, cell: str) -> None:
        self._path = path
        self._cell = cell
        self._lease: int | None = None
        self._connection: sqlite3.Connection | None = None

    def __str__(self) -> str:
        return str(self._path)

    async def rows(self) -> AsyncIterator[Sequence[RowDelta]]:
        """Every row."""
        for page in self._pages(READ_ROWS, _PAGE_ROWS):
            try:
                yield rows_of(page)
            except KeyError as error:
                raise corrupt(self._path, f"unreadable row, {error!r}") from error

    async def groups(self) -> AsyncIterator[Sequence[KeptGroup]]:
        """Every group."""
        for page in self._pages(_READ_GROUPS, _PAGE_GROUPS):
            yield [KeptGroup(*entry) for entry in page]

    async def replies(self) -> AsyncIterator[Sequence[KeptReplies]]:
        """Every reply."""
        for page in self._pages(_READ_REPLIES, _PAGE_GROUPS):
            yield [KeptReplies(*entry) for entry in page]

    async def close(self) -> None:
        """Close the database, then free the lease."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lease is not None:
            free_lease(self._lease)
            self._lease = None

    def _pages(self, query: str, size: int) -> Iterator[list[tuple]]:  # type: ignore[type-arg]
        with self._told():
            found = self._opened().execute(query)
            while page := found.fetchmany(size):
                yield page

    def _opened(self) -> sqlite3.Connection:
        assert self._connection is not None, f"{self._path} is not open"
        return self._connection

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Say what SQLite's errors mean."""
        try:
            yield
        except sqlite3.Error as error:
            raise failure(error, self._path, in_commit=False) from error


class FileSource(_File):
    """
    A file to move a cell from: locked against engines while it is read, and only ever read.

    Parameters
    ----------
    path
        The database; `<path>-wal` belongs to it.
    cell
        Name of the cell; a file that belongs to another cell is refused.
    """

    async def open(self) -> Head:
        """Lock it, and read where it stands."""
        if not self._path.is_file():
            raise CommitLogError(f"{self._path}: no such file, so no cell {self._cell!r} there")
        self._lease = take_lease(self._path, _OWNER)
        with self._told():
            # What was committed may lie in the -wal still. It stays there: whoever may write would
            # fold it in when closing.
            place = f"{self._path.absolute().as_uri()}?mode=ro"
            self._connection = sqlite3.connect(place, uri=True, isolation_level=None)
            self._connection.execute("BEGIN")
            if is_empty(self._connection, self._path):
                raise corrupt(self._path, "it has no tables")
            found = self._connection.execute(_READ_HEAD).fetchone()
        if found is None:
            raise corrupt(self._path, "its meta row is gone")
        cell, *numbers = found
        if cell != self._cell:
            raise CommitLogError(f"{self._path}: holds cell {cell!r}, not {self._cell!r}")
        head = Head(*numbers)
        if head.schema_version > SCHEMA_VERSION:
            raise too_new(self._path, f"schema {head.schema_version}", SCHEMA_VERSION)
        return head

    async def check_unchanged(self) -> None:
        """Nothing to check: it is locked, and what is read is of one moment."""


class FileTarget(_File):
    """
    A file to move a cell to.

    Parameters
    ----------
    path
        The database; it must not be there, its folder is made when absent.
    cell
        Name of the cell.
    """

    async def begin(self, source: str) -> None:
        """Lock the name, and open the file beside it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._lease = take_lease(self._path, _OWNER)
        for taken in (self._path, Path(f"{self._path}-wal")):
            if taken.exists():
                raise CommitLogError(
                    f"{taken}: is there already; name another folder, or move it away"
                )
        self._remove_staging()
        with self._told():
            # One transaction, however much: an incomplete file is worth nothing.
            create_tables(self._opened_staging(), self._cell)

    async def put_rows(self, rows: Sequence[RowDelta]) -> None:
        """Add rows."""
        with self._told():
            write_rows(self._opened(), rows)

    async def put_groups(self, groups: Sequence[KeptGroup]) -> None:
        """Add groups."""
        with self._told():
            self._opened().executemany("INSERT INTO log VALUES (?, ?, ?)", groups)

    async def put_replies(self, replies: Sequence[KeptReplies]) -> None:
        """Add replies, with the counts that a file has beside them."""
        entries = []
        for sequence, packed in replies:
            try:
                unpacked = unpack_replies(packed)
                entries.append((sequence, unpacked[-1].at_ms, len(unpacked), packed))
            except (IndexError, UnicodeDecodeError, struct.error) as error:
                raise LogCorrupt(
                    f"replies of group {sequence} are unreadable, {error!r}"
                ) from error
        with self._told():
            self._opened().executemany("INSERT INTO replies VALUES (?, ?, ?, ?)", entries)

    async def settle(self) -> None:
        """Sync the file, and open it anew."""
        with self._told():
            self._opened().execute("COMMIT")
            self._opened().close()
            self._opened_staging()

    async def finish(self, head: Head) -> None:
        """Say where it stands, sync that, and give the file its name."""
        with self._told():
            connection = self._opened()
            connection.execute(_FINISH, head)
            connection.execute("COMMIT")
            connection.close()
        self._connection = None
        os.rename(staging_of(self._path), self._path)
        sync_folder(self._path.parent)

    async def abandon(self) -> None:
        """Remove the file beside."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._remove_staging()

    def _opened_staging(self) -> sqlite3.Connection:
        """The file beside, in a transaction."""
        self._connection = sqlite3.connect(staging_of(self._path), isolation_level=None)
        self._connection.execute("PRAGMA synchronous = full")
        self._connection.execute("BEGIN IMMEDIATE")
        return self._connection

    def _remove_staging(self) -> None:
        for end in ("", "-journal", "-wal", "-shm"):
            Path(f"{staging_of(self._path)}{end}").unlink(missing_ok=True)
