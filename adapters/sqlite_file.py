"""The file behind a `SqliteLog`: its lease, its tables, and what SQLite's errors mean to a cell."""

import contextlib
import errno
import fcntl
import os
import sqlite3
import struct
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final, Literal

from adapters.commit_log import (
    CommitLogError,
    InDoubt,
    LogCorrupt,
    LogFull,
    LogHeld,
    SchemaTooNew,
    StoredReply,
)
from engine.state.rows import SCHEMA_WRITTEN

Durability = Literal["full", "normal"]

# "HGLG": tells our file from any other SQLite database.
APPLICATION_ID: Final = 0x48474C47
# Version of the tables below; what the records in them mean is SCHEMA_VERSION.
LAYOUT_VERSION: Final = 1
# Stands for the last group's token while there is no group.
EMPTY_TOKEN: Final = bytes(16)

# How long a commit may wait for a stranger's transaction: the event loop stands still meanwhile.
BUSY_TIMEOUT_S: Final = 0.25
# A checkpoint is a stall inside a commit. Groups of 64, "full", decisions/s and p99: 1,000 pages
# 16,300 and 17 ms; 2,000 pages 19,100 and 19 ms; 4,000 pages 21,900 and 23 ms; 8,000 no faster.
CHECKPOINT_PAGES: Final = 2_000

# Replies of a group are packed into one value: nobody looks one up here, `load` reads them all. A
# row for each cost about 10 % more per commit in groups of 64, rows keyed by request id 15-20 %.
_TABLES: Final = (
    """CREATE TABLE meta (
        id INTEGER PRIMARY KEY, cell TEXT NOT NULL, schema_version INTEGER NOT NULL,
        epoch INTEGER NOT NULL, owner TEXT NOT NULL, token BLOB NOT NULL, sequence INTEGER NOT NULL,
        first_sequence INTEGER NOT NULL, events_bytes INTEGER NOT NULL,
        replies_count INTEGER NOT NULL, newest_at_ms INTEGER NOT NULL, resends INTEGER NOT NULL)""",
    """CREATE TABLE rows (
        key INTEGER PRIMARY KEY, external_id TEXT NOT NULL, record BLOB NOT NULL, payload BLOB)""",
    "CREATE TABLE log (sequence INTEGER PRIMARY KEY, token BLOB NOT NULL, events BLOB NOT NULL)",
    """CREATE TABLE replies (
        sequence INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, count INTEGER NOT NULL,
        packed BLOB NOT NULL)""",
)
# Of a packed reply: time, and the lengths of what follows: id, digest, reply.
_REPLY_HEAD: Final = struct.Struct("<qHHI")
_FIRST_META: Final = "INSERT INTO meta VALUES (1, ?, ?, 0, '', ?, 0, 1, 0, 0, 0, 0)"


def take_lease(path: Path, owner: str) -> int:
    """
    Lock `<path>.lock` for this process; returns the descriptor whose closing frees it.

    The kernel frees the lock when the process dies, so the file itself is never deleted: whoever
    finds it may hold no lock. Raises LogHeld, or CommitLogError when no file can be made there.
    """
    lock = f"{path}.lock"
    if os.path.isdir(path):  # unlike Path.is_dir, it does not raise where it may not look
        raise CommitLogError(f"{path}: is a directory; name a file in it")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except FileNotFoundError as error:
        raise CommitLogError(f"{path.parent}: no such directory; make it first") from error
    except OSError as error:
        raise _no_lock_file(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 400, 0).decode(errors="replace") or "an unknown process"
        os.close(descriptor)
        raise LogHeld(f"{path}: held by {holder}; stop it or name another path") from error
    except OSError as error:
        os.close(descriptor)
        raise CommitLogError(f"{lock}: {error.strerror}; use a local disk") from error
    # The name is for the message above only; a full disk must not keep a cell from starting.
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{owner} (process {os.getpid()})".encode(), 0)
    return descriptor


def free_lease(descriptor: int) -> None:
    """Give the lock up; the descriptor is closed."""
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
    os.close(descriptor)


def open_database(path: Path, durability: Durability, cell: str) -> sqlite3.Connection:
    """
    Open a log, making it where there is none.

    Raises LogCorrupt, SchemaTooNew, CommitLogError for a stranger's file, or sqlite3.Error.
    """
    wal = Path(f"{path}-wal")
    if _size(path) == 0 and staging_of(path).exists():
        raise CommitLogError(
            f"{path}: a migration into it has not finished; run `headgate migrate` again, or "
            f"remove {staging_of(path)}"
        )
    if _size(path) == 0 and _size(wal) > 0:
        # SQLite would start afresh and delete the -wal, and what was acknowledged with it.
        raise corrupt(path, f"empty or gone, while {wal} is not")
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    try:
        is_new = is_empty(connection, path)
        _set_pragmas(connection, path, durability)
        if is_new:
            _create(connection, path, cell)
    except BaseException:
        connection.close()
        raise
    return connection


def staging_of(path: Path) -> Path:
    """Where a cell is put together that is moved to `path`; gone once it is complete."""
    return Path(f"{path}.migrating")


def create_tables(connection: sqlite3.Connection, cell: str) -> None:
    """Make the tables of an empty log, within the caller's transaction."""
    for statement in _TABLES:
        connection.execute(statement)
    connection.execute(_FIRST_META, (cell, SCHEMA_WRITTEN, EMPTY_TOKEN))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {LAYOUT_VERSION}")


def sync_folder(folder: Path) -> None:
    """Have the disk know the names in a folder."""
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def leave_transaction(connection: sqlite3.Connection) -> None:
    """Undo what is open, if anything is; SQLite has undone some failures itself."""
    with contextlib.suppress(sqlite3.Error):
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def pack_replies(replies: Sequence[StoredReply]) -> bytes:
    """Put the replies of a group into one value."""
    parts: list[bytes] = []
    for request_id, digest, reply, at_ms in replies:
        name = request_id.encode()
        parts += (_REPLY_HEAD.pack(at_ms, len(name), len(digest), len(reply)), name, digest, reply)
    return b"".join(parts)


def unpack_replies(packed: bytes) -> list[StoredReply]:
    """Take them out again; struct.error or UnicodeDecodeError where the value is damaged."""
    replies: list[StoredReply] = []
    start, size = 0, len(packed)
    head_size, read_head = _REPLY_HEAD.size, _REPLY_HEAD.unpack_from
    # A third of the time of calling the class.
    make = partial(tuple.__new__, StoredReply)
    while start < size:
        at_ms, name_size, digest_size, reply_size = read_head(packed, start)
        name = start + head_size
        digest = name + name_size
        reply = digest + digest_size
        start = reply + reply_size
        replies.append(
            make((packed[name:digest].decode(), packed[digest:reply], packed[reply:start], at_ms))
        )
    return replies


def failure(error: sqlite3.Error, path: Path, *, in_commit: bool) -> CommitLogError:
    """
    What an error of SQLite means to the owner of a cell.

    In a commit an I/O error is InDoubt: the group may already be whole in the -wal and come back
    after a crash, so nothing but the same group may follow. Being kept waiting by a stranger's
    transaction is InDoubt as well: nothing was written, and trying again is right.
    """
    if isinstance(error, sqlite3.OperationalError) and not hasattr(error, "sqlite_errorcode"):
        # The one error Python itself raises while reading: text that is not UTF-8.
        return corrupt(path, str(error))
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    match code & 0xFF:
        case sqlite3.SQLITE_FULL:
            return LogFull(f"{path}: no room on the disk, nothing was written; make room")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return corrupt(path, str(error))
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED if in_commit:
            return InDoubt(f"{path}: another program is writing to it; stop that program")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return CommitLogError(f"{path}: another program is writing to it; stop that program")
        case sqlite3.SQLITE_IOERR if in_commit:
            return InDoubt(f"{path}: {error} ({_name(error)}); check the disk and its free space")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return CommitLogError(f"{path}: {error}; make it and its directory writable")
        case _:
            return CommitLogError(f"{path}: {error} ({_name(error)}); check the disk")


def corrupt(path: Path, what: str) -> LogCorrupt:
    """Say what is wrong with a file that cannot be read."""
    return LogCorrupt(f"{path}: {what}; restore a copy, or move it away to begin empty")


def too_new(path: Path, found: str, known: int) -> SchemaTooNew:
    """Say which version wrote the file and which this is."""
    return SchemaTooNew(
        f"{path}: written with {found}, this version reads up to {known}; "
        "run the version that wrote it, or a later one"
    )


def is_empty(connection: sqlite3.Connection, path: Path) -> bool:
    """
    Whether nothing is in a database yet.

    Raises CommitLogError for a stranger's file, SchemaTooNew for a newer layout.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (layout,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and application != APPLICATION_ID:
        raise CommitLogError(f"{path}: another program's database; name another path")
    if layout > LAYOUT_VERSION:
        raise too_new(path, f"table layout {layout}", LAYOUT_VERSION)
    return not tables


def _set_pragmas(connection: sqlite3.Connection, path: Path, durability: Durability) -> None:
    for pragma in (
        f"synchronous = {durability}",
        f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
        "temp_store = memory",
        "mmap_size = 0",
        "cache_size = -65536",
        # Debian's SQLite zeroes what it frees, so that every pruned page is written once more.
        "secure_delete = fast",
        # A group of 20,000 rows must not leave its -wal behind for good.
        "journal_size_limit = 67108864",
    ):
        connection.execute(f"PRAGMA {pragma}")
    (mode,) = connection.execute("PRAGMA journal_mode = wal").fetchone()
    if mode != "wal":
        raise CommitLogError(f"{path}: no write-ahead log is possible here; use a local disk")


def _create(connection: sqlite3.Connection, path: Path, cell: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        create_tables(connection, cell)
        connection.execute("COMMIT")
    finally:
        leave_transaction(connection)
    # The tables go into the file itself: without them a torn -wal would make it look new.
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    sync_folder(path.parent)


def _no_lock_file(path: Path, error: OSError) -> CommitLogError:
    if error.errno == errno.ENOSPC:
        return LogFull(f"{path}.lock: no room on the disk, nothing was written; make room")
    return CommitLogError(f"{path}.lock: {error.strerror}; make {path.parent} writable")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _name(error: sqlite3.Error) -> str:
    name: str = getattr(error, "sqlite_errorname", type(error).__name__)
    return name
