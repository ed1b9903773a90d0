"""What the file adds to the contract: locks, strangers, versions, full disks and damage."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from adapters.commit_log import (
    CommitLogError,
    Fenced,
    InDoubt,
    LogCorrupt,
    LogHeld,
    SchemaTooNew,
)
from adapters.sqlite_log import SqliteLog
from engine.state.rows import SCHEMA_VERSION, SCHEMA_WRITTEN, RowDelta
from tests.adapters.commit_log_contract import (
    NOW_MS,
    answered,
    commit_all,
    contact,
    group,
    reply,
    token,
)

NOBODY = 65_534
HOLDER = """
import asyncio, pathlib, sys, time
from adapters.sqlite_log import SqliteLog

asyncio.run(SqliteLog(pathlib.Path(sys.argv[1]), "full", "cell").acquire("the-holder"))
print("acquired", flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the cell's file is, or will be."""
    return tmp_path / "cell.db"


@pytest.fixture
def log(path: Path) -> Iterator[SqliteLog]:
    """Make a log that is released at the end."""
    made = SqliteLog(path, "full", "cell")
    yield made
    answered(made.release())


def execute(path: Path, statement: str) -> None:
    """Run a statement as a stranger's connection would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)


async def test_second_log_in_the_process_is_refused_with_the_holder(
    log: SqliteLog, path: Path
) -> None:
    """Two owners in one process would overwrite each other; the message must say who is there."""
    await log.acquire("first-owner")
    with pytest.raises(LogHeld, match=rf"{path}: held by first-owner \(process {os.getpid()}\); "):
        await SqliteLog(path, "full", "cell").acquire("second-owner")


async def test_log_held_by_another_process_is_free_once_that_is_killed(
    log: SqliteLog, path: Path
) -> None:
    """A crashed engine must not leave a lock behind that an operator has to remove."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "acquired\n"
        with pytest.raises(LogHeld, match=rf"the-holder \(process {holder.pid}\)"):
            await log.acquire("a")
        holder.kill()
    assert (await log.acquire("a")).epoch == 2


async def test_commit_after_a_stranger_raised_the_epoch_is_fenced(
    log: SqliteLog, path: Path
) -> None:
    """Where the lock file does not hold, the epoch in the same transaction still must."""
    owned = await log.acquire("a")
    execute(path, "UPDATE meta SET epoch = epoch + 1")
    with pytest.raises(Fenced, match=f"{path}: acquired again since"):
        await log.commit(owned.token, token(1), group(rows=[contact(1, b"r", b"p")]))
    assert list((await log.load()).rows) == []


async def test_commit_during_a_stranger_s_transaction_is_in_doubt(
    log: SqliteLog, path: Path
) -> None:
    """Someone's open SQL prompt may not end the cell: the same group goes in afterwards."""
    owned = await log.acquire("a")
    with closing(sqlite3.connect(path, isolation_level=None)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        with pytest.raises(InDoubt, match="another program is writing"):
            await log.commit(owned.token, token(1), group())
    assert await log.commit(owned.token, token(1), group()) == 1


async def test_reader_beside_the_owner_does_not_stop_it(log: SqliteLog, path: Path) -> None:
    """Looking into the file with the sqlite3 shell is allowed while the engine runs."""
    owned = await log.acquire("a")
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM rows").fetchone()
        await commit_all(log, owned, [group(rows=[contact(1, b"r", b"p")])])
        await log.release()


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (f"UPDATE meta SET schema_version = {SCHEMA_VERSION + 1}", f"schema {SCHEMA_VERSION + 1}"),
        ("PRAGMA user_version = 7", "table layout 7"),
    ],
)
async def test_file_of_a_newer_version_is_refused(
    log: SqliteLog, path: Path, statement: str, message: str
) -> None:
    """A downgrade must stop before it misreads the cell, and say which version is wanted."""
    await log.acquire("a")
    await log.release()
    execute(path, statement)
    with pytest.raises(SchemaTooNew, match=f"{path}: written with {message}, .*; run the version"):
        await log.acquire("a")


async def test_file_of_an_older_version_is_taken_over(log: SqliteLog, path: Path) -> None:
    """And marked, or the older version would misread what is written from now on."""
    await log.acquire("a")
    await log.release()
    execute(path, "UPDATE meta SET schema_version = 1")
    await log.acquire("a")
    assert (await log.load()).schema_version == SCHEMA_WRITTEN
    await log.release()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT schema_version FROM meta").fetchone()[0] == SCHEMA_WRITTEN


async def test_file_of_another_cell_is_refused(log: SqliteLog, path: Path) -> None:
    """A mixed-up volume must not serve one cell's contacts to another cell's agents."""
    await log.acquire("a")
    await log.release()
    with pytest.raises(CommitLogError, match=f"{path}: holds cell 'cell', not 'other'"):
        await SqliteLog(path, "full", "other").acquire("a")


async def test_database_of_another_program_is_refused(log: SqliteLog, path: Path) -> None:
    """A mistyped path must not add our tables to someone's accounts."""
    execute(path, "CREATE TABLE accounts (id)")
    with pytest.raises(CommitLogError, match=f"{path}: another program's database"):
        await log.acquire("a")


@contextmanager
def unprivileged() -> Iterator[None]:
    """Run as nobody where we are root, whom no permission stops."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


async def test_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A volume mounted for the wrong user is the most common first start; say what to change."""
    directory = tmp_path / "read-only"
    directory.mkdir(mode=0o555)
    with (
        unprivileged(),
        pytest.raises(CommitLogError, match=f"denied; make {directory} writable"),
    ):
        await SqliteLog(directory / "cell.db", "full", "cell").acquire("a")


async def test_directory_that_is_missing_is_named(tmp_path: Path) -> None:
    """Making directories up would hide a volume that was not mounted."""
    with pytest.raises(CommitLogError, match=f"{tmp_path}/none: no such directory; make it"):
        await SqliteLog(tmp_path / "none" / "cell.db", "full", "cell").acquire("a")


async def test_path_that_is_a_directory_is_named(tmp_path: Path) -> None:
    """The setting wants a file; SQLite's own message would not say so."""
    with pytest.raises(CommitLogError, match=f"{tmp_path}: is a directory; name a file"):
        await SqliteLog(tmp_path, "full", "cell").acquire("a")


async def test_file_that_is_no_database_is_corrupt(log: SqliteLog, path: Path) -> None:
    """Nothing may be guessed from, or written into, a file that cannot be read."""
    path.write_bytes(b"not a database, " * 1_000)
    with pytest.raises(LogCorrupt, match=f"{path}: file is not a database; restore a copy"):
        await log.acquire("a")
    assert path.read_bytes() == b"not a database, " * 1_000


def loaded_or_refused(path: Path) -> list[RowDelta] | LogCorrupt:
    """Rows of a damaged file, or what was said against it."""
    log = SqliteLog(path, "full", "cell")
    try:
        answered(log.acquire("a"))
        return list(answered(log.load()).rows)
    except LogCorrupt as refused:
        return refused
    finally:
        answered(log.release())


async def test_damaged_pages_are_refused_or_not_needed(
    log: SqliteLog, path: Path, tmp_path: Path
) -> None:
    """Where a page was overwritten, loading fails with a name and a remedy, or is not affected."""
    rows = [contact(row, b"r" * 224, b"p" * 120) for row in range(200)]
    groups = [group(bytes(300), rows, [reply("q")])]
    await commit_all(log, await log.acquire("a"), groups)
    await log.release()
    refused_count = 0
    for page in range(path.stat().st_size // 4_096):
        damaged = tmp_path / f"damaged-{page}.db"
        shutil.copy(path, damaged)
        with damaged.open("r+b") as file:
            file.seek(4_096 * page)
            file.write(b"\xff" * 4_096)
        outcome = loaded_or_refused(damaged)
        if isinstance(outcome, LogCorrupt):
            assert str(outcome).startswith(f"{damaged}: ")
            assert "restore a copy" in str(outcome)
            refused_count += 1
        else:
            assert outcome == rows
    assert refused_count > 20


async def test_file_cut_short_is_refused(log: SqliteLog, path: Path) -> None:
    """A copy that was not finished must not come up as a smaller cell."""
    rows = [contact(row, b"r" * 224, b"p" * 120) for row in range(200)]
    await commit_all(log, await log.acquire("a"), [group(rows=rows)])
    await log.release()
    os.truncate(path, path.stat().st_size // 2)
    assert isinstance(loaded_or_refused(path), LogCorrupt)


async def test_wal_without_its_file_is_corrupt(log: SqliteLog, path: Path) -> None:
    """SQLite would delete such a -wal and begin empty: everything acknowledged would be gone."""
    path.touch()
    wal = Path(f"{path}-wal")
    wal.write_bytes(b"frames")
    with pytest.raises(LogCorrupt, match=f"{path}: empty or gone, while {wal} is not"):
        await log.acquire("a")
    assert wal.read_bytes() == b"frames"


async def test_replies_of_an_idle_night_are_deleted_step_by_step(path: Path) -> None:
    """What is too old leaves the file as well, and no single commit pays for all of it."""
    log = SqliteLog(path, "normal", "cell", reply_window_ms=50)
    night = [group(replies=[reply(f"q{n}")]) for n in range(1, 1_001)]
    morning = [group(replies=[reply(f"m{n}", NOW_MS + 10_000)]) for n in range(1_001, 1_201)]
    await commit_all(log, await log.acquire("a"), night)
    with closing(sqlite3.connect(path)) as reader:
        counts = []
        last = token(1_000)
        for sequence, one in enumerate(morning, start=1_001):
            await log.commit(last, token(sequence), one)
            last = token(sequence)
            counts += reader.execute("SELECT count(*) FROM replies").fetchone()
    assert counts[0] == 1_001
    assert counts[-1] == 200
    assert max(before - after for before, after in pairwise(counts)) < 300
    await log.release()


async def test_repeated_commit_is_synced_again(log: SqliteLog, path: Path) -> None:
    """A group read back from a -wal whose sync failed is no promise until it is synced itself."""
    owned = await log.acquire("a")
    await log.commit(owned.token, token(1), group())
    wal = Path(f"{path}-wal")
    size = wal.stat().st_size
    await log.commit(owned.token, token(1), group())
    assert wal.stat().st_size > size
