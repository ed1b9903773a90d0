"""
A cell's log in one SQLite file, for a cell that lives on one machine.

Theory of operation. Each commit is one transaction: it takes SQLite's write lock, compares epoch
and chain token with what is stored, writes, and syncs. The lock file beside the database is the
lease that keeps a second process out; the epoch is what fences where the lock file was deleted or
lies on a disk that ignores locks. Two owners are put in order by the write lock, and the later
epoch wins.

Groups go through the write-ahead log (`-wal`). Its checksums cut a torn tail off after the last
whole transaction, so a crash loses at most groups nobody was told about. With durability `full`
every commit is synced; with `normal` only checkpoints are: a killed process loses nothing, a
machine that loses power may lose the last groups.

Everything runs inline, on one connection. A thread that commits was slower: it must win the GIL
back after each sync. A thread that only checkpoints nearly doubled `normal` in groups of 8, but a
busy owner outran it until the `-wal` had 300 MB, and SQLite before 3.51.3 can corrupt a file that
one connection checkpoints while another starts its `-wal` afresh.
"""

import contextlib
import sqlite3
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from adapters.commit_log import (
    CommitGroup,
    CommitLogError,
    CursorOutOfRange,
    Fenced,
    LoadedState,
    LoggedGroup,
    Ownership,
    StoredReply,
    TokenConflict,
)
from adapters.sqlite_file import (
    Durability,
    corrupt,
    failure,
    free_lease,
    leave_transaction,
    open_database,
    pack_replies,
    take_lease,
    too_new,
    unpack_replies,
)
from adapters.sqlite_rows import READ_ROWS, rows_of, write_rows
from engine.state.rows import SCHEMA_VERSION, SCHEMA_WRITTEN

# Every 16th commit deletes what is too old; doing it in each cost 40 of 110 us. No commit is to pay
# for a long idle night, so it ends after 256 groups, or after 4 MiB because long values are freed
# page by page; but not before twice the groups that came in, or the bounds would not be reached.
PRUNE_EVERY: Final = 16
PRUNE_GROUPS_MIN: Final = 2 * PRUNE_EVERY
PRUNE_GROUPS_MAX: Final = 256
PRUNE_BYTES: Final = 4_194_304

_READ_META: Final = """SELECT epoch, token, sequence, first_sequence, events_bytes, replies_count,
    newest_at_ms FROM meta WHERE id = 1"""
_WRITE_META: Final = """UPDATE meta SET token = ?, sequence = ?, first_sequence = ?,
    events_bytes = ?, replies_count = ?, newest_at_ms = ? WHERE id = 1"""
_OLDEST_EVENTS: Final = "SELECT sequence, length(events) FROM log ORDER BY sequence LIMIT ?"
_OLDEST_REPLIES: Final = """SELECT sequence, length(packed), at_ms, count FROM replies
    ORDER BY sequence LIMIT ?"""


class _Meta(NamedTuple):
    """Where the log stands; read and written in every commit, never kept in memory."""

    epoch: int
    token: bytes
    sequence: int
    first_sequence: int
    events_bytes: int
    replies_count: int
    newest_at_ms: int


class SqliteLog:
    """
    A `CommitLog` in one file.

    Parameters
    ----------
    path
        The database; `<path>-wal`, `<path>-shm` and `<path>.lock` appear beside it. Its directory
        must exist, on a local disk.
    durability
        "full" syncs every commit, "normal" only checkpoints.
    cell
        Name of the cell; a file that belongs to another cell is refused.
    reply_window_ms
        How much older than the newest reply a reply may be to be kept, milliseconds, > 0.
    replies_max
        Replies kept, > 0; the oldest are dropped first.
    groups_kept
        Groups `tail` can return, > 0; the oldest are dropped first.
    events_bytes_max
        Bytes of events kept, the last group whatever its size.

    Attributes
    ----------
    answers_at_once
        True: no method suspends.
    """

    answers_at_once = True

    def __init__(  # noqa: PLR0913  every bound is a setting of its own
        self,
        path: Path,
        durability: Durability,
        cell: str,
        *,
        reply_window_ms: int = 600_000,
        replies_max: int = 1_000_000,
        groups_kept: int = 100_000,
        events_bytes_max: int = 268_435_456,
    ) -> None:
        self._path = path
        self._durability = durability
        self._cell = cell
        self._reply_window_ms = reply_window_ms
        self._replies_max = replies_max
        self._groups_kept = groups_kept
        self._events_bytes_max = events_bytes_max
        self._lease: int | None = None
        self._connection: sqlite3.Connection | None = None
        self._epoch = 0
        # As stored when the cell was acquired.
        self._schema = 0

    async def acquire(self, owner: str) -> Ownership:
        """Take the lock file, open or make the database and begin a new epoch."""
        # After Fenced our lock may be on a file that was deleted since: begin from nothing.
        self._close()
        try:
            self._lease = take_lease(self._path, owner)
            connection = open_database(self._path, self._durability, self._cell)
            self._connection = connection
            meta = self._begin_epoch(connection, owner)
        except sqlite3.Error as error:
            self._close()
            raise failure(error, self._path, in_commit=False) from error
        except BaseException:
            self._close()
            raise
        self._epoch = meta.epoch
        return Ownership(meta.epoch, meta.token, meta.sequence)

    async def load(self) -> LoadedState:
        """Read rows and replies; 1,000,000 of each take 3 s and 1.5 s."""
        connection = self._open_connection()
        try:
            (version,) = connection.execute("SELECT schema_version FROM meta").fetchone()
            rows = rows_of(connection.execute(READ_ROWS))
            return LoadedState(version, rows, self._read_replies(connection))
        except sqlite3.Error as error:
            raise failure(error, self._path, in_commit=False) from error
        except (KeyError, UnicodeDecodeError, struct.error) as error:
            raise corrupt(self._path, f"unreadable row, {error!r}") from error

    async def commit(self, expected_token: bytes, new_token: bytes, group: CommitGroup) -> int:
        """Append a group in one transaction; `sqlite_file.failure` says what is InDoubt."""
        connection = self._open_connection()
        try:
            connection.execute("BEGIN IMMEDIATE")
            sequence = self._append(connection, expected_token, new_token, group)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise failure(error, self._path, in_commit=True) from error
        finally:
            leave_transaction(connection)
        return sequence

    async def tail(self, after_sequence: int, groups_max: int) -> Sequence[LoggedGroup]:
        """Read groups by sequence number."""
        connection = self._open_connection()
        try:
            meta = self._read_meta(connection)
            if not (meta.first_sequence - 1 <= after_sequence <= meta.sequence):
                raise CursorOutOfRange(
                    f"{self._path}: keeps groups {meta.first_sequence} to {meta.sequence}, none "
                    f"can follow {after_sequence}; load the state and read on from its end"
                )
            found = connection.execute(
                "SELECT sequence, events FROM log WHERE sequence > ? ORDER BY sequence LIMIT ?",
                (after_sequence, max(0, groups_max)),
            )
            return [LoggedGroup(sequence, events) for sequence, events in found]
        except sqlite3.Error as error:
            raise failure(error, self._path, in_commit=False) from error

    async def oldest_sequence(self) -> int:
        """Read where the kept groups begin."""
        connection = self._open_connection()
        try:
            return self._read_meta(connection).first_sequence
        except sqlite3.Error as error:
            raise failure(error, self._path, in_commit=False) from error

    async def release(self) -> None:
        """Fold the `-wal` into the database, close it and free the lock file."""
        if self._connection is not None:
            # What cannot be folded in now, on a full disk say, is read from the -wal next time.
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._close()

    def _begin_epoch(self, connection: sqlite3.Connection, owner: str) -> _Meta:
        connection.execute("BEGIN IMMEDIATE")
        try:
            found = connection.execute("SELECT cell, schema_version FROM meta").fetchone()
            cell, version = found or (self._cell, 0)
            if cell != self._cell:
                raise CommitLogError(
                    f"{self._path}: holds cell {cell!r}, not {self._cell!r}; name another path"
                )
            if version > SCHEMA_VERSION:
                raise too_new(self._path, f"schema {version}", SCHEMA_VERSION)
            # Rows of that form may follow from now on, which an older version would misread.
            statement = "UPDATE meta SET epoch = epoch + 1, owner = ?, schema_version = ?"
            self._schema = max(version, SCHEMA_WRITTEN)
            connection.execute(statement, (owner, self._schema))
            meta = self._read_meta(connection)
            connection.execute("COMMIT")
        finally:
            leave_transaction(connection)
        return meta

    def _append(
        self,
        connection: sqlite3.Connection,
        expected_token: bytes,
        new_token: bytes,
        group: CommitGroup,
    ) -> int:
        meta = self._read_meta(connection)
        if meta.epoch != self._epoch:
            raise Fenced(
                f"{self._path}: acquired again since (epoch {meta.epoch}, ours {self._epoch}); "
                "drop the cell's state"
            )
        if meta.token == new_token:
            # Being told "committed" is a promise whoever wrote it. The group may have been read
            # back from a -wal whose sync failed; a commit that changes a page syncs it again.
            connection.execute("UPDATE meta SET resends = resends + 1 WHERE id = 1")
            return meta.sequence
        if meta.token != expected_token:
            raise TokenConflict(
                f"{self._path}: ends with group {meta.sequence}, token {meta.token.hex()}, not "
                f"with {expected_token.hex()}; it was rolled back or written by someone else"
            )
        self._write(connection, meta, new_token, group)
        return meta.sequence + 1

    def _write(
        self, connection: sqlite3.Connection, meta: _Meta, token: bytes, group: CommitGroup
    ) -> None:
        sequence = meta.sequence + 1
        connection.execute("INSERT INTO log VALUES (?, ?, ?)", (sequence, token, group.events))
        write_rows(connection, group.row_deltas)
        events_bytes = meta.events_bytes + len(group.events)
        meta = meta._replace(token=token, sequence=sequence, events_bytes=events_bytes)
        if group.replies:
            meta = _write_replies(connection, meta, group.replies)
        if sequence % PRUNE_EVERY == 0:
            meta = self._prune_replies(connection, meta)
            meta = self._prune_log(connection, meta)
        connection.execute(_WRITE_META, meta[1:])
        if group.schema > self._schema:
            connection.execute("UPDATE meta SET schema_version = ?", (group.schema,))

    def _prune_replies(self, connection: sqlite3.Connection, meta: _Meta) -> _Meta:
        since_ms = meta.newest_at_ms - self._reply_window_ms
        count, keep_from = meta.replies_count, 0
        for sequence, _, at_ms, group_count in _oldest(connection, _OLDEST_REPLIES):
            # A group goes whole, so one needed in part stays; `load` leaves out the rest.
            if at_ms >= since_ms and count - group_count < self._replies_max:
                break
            count -= group_count
            keep_from = sequence + 1
        if keep_from:
            connection.execute("DELETE FROM replies WHERE sequence < ?", (keep_from,))
        return meta._replace(replies_count=count)

    def _prune_log(self, connection: sqlite3.Connection, meta: _Meta) -> _Meta:
        keep_from, kept_bytes = meta.first_sequence, meta.events_bytes
        for sequence, size in _oldest(connection, _OLDEST_EVENTS):
            if not self._is_log_excess(meta._replace(events_bytes=kept_bytes), sequence):
                break
            kept_bytes -= size
            keep_from = sequence + 1
        if keep_from > meta.first_sequence:
            connection.execute("DELETE FROM log WHERE sequence < ?", (keep_from,))
        return meta._replace(first_sequence=keep_from, events_bytes=kept_bytes)

    def _is_log_excess(self, meta: _Meta, oldest: int) -> bool:
        """Whether the group `oldest` is more than is to be kept; the last group never is."""
        return oldest < meta.sequence and (
            meta.sequence - oldest >= self._groups_kept
            or meta.events_bytes > self._events_bytes_max
        )

    def _read_meta(self, connection: sqlite3.Connection) -> _Meta:
        found = connection.execute(_READ_META).fetchone()
        if found is None:
            raise corrupt(self._path, "its meta row is gone")
        return _Meta._make(found)

    def _read_replies(self, connection: sqlite3.Connection) -> list[StoredReply]:
        since_ms = self._read_meta(connection).newest_at_ms - self._reply_window_ms
        found = connection.execute(
            "SELECT packed FROM replies WHERE at_ms >= ? ORDER BY sequence", (since_ms,)
        )
        replies = [
            reply
            for (packed,) in found
            for reply in unpack_replies(packed)
            if reply.at_ms >= since_ms
        ]
        return replies[-self._replies_max :]

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise CommitLogError(f"{self._path}: not acquired; acquire it first")
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lease is not None:
            free_lease(self._lease)
            self._lease = None


def _oldest(connection: sqlite3.Connection, query: str) -> Iterator[tuple[int, ...]]:
    """Oldest groups, as many as one commit may delete: sequence, bytes, then the query's own."""
    freed_bytes = 0
    with contextlib.closing(connection.execute(query, (PRUNE_GROUPS_MAX,))) as found:
        for count, row in enumerate(found, start=1):
            yield row
            freed_bytes += row[1]
            if count >= PRUNE_GROUPS_MIN and freed_bytes >= PRUNE_BYTES:
                break


def _write_replies(
    connection: sqlite3.Connection, meta: _Meta, replies: Sequence[StoredReply]
) -> _Meta:
    # All replies of a group carry the time of its turn.
    at_ms = replies[-1].at_ms
    connection.execute(
        "INSERT INTO replies VALUES (?, ?, ?, ?)",
        (meta.sequence, at_ms, len(replies), pack_replies(replies)),
    )
    return meta._replace(
        replies_count=meta.replies_count + len(replies),
        newest_at_ms=max(meta.newest_at_ms, at_ms),
    )
