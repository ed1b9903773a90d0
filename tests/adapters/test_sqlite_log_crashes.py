"""What the file survives: a full disk, a failing disk, kill -9, and a torn write-ahead log."""

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest

from adapters import sqlite_file
from adapters.commit_log import InDoubt, LogFull
from adapters.sqlite_file import Durability
from adapters.sqlite_log import SqliteLog
from engine.state.rows import RowDelta
from tests.adapters.commit_log_contract import answered, contact, group, reply, token

NoRoom = Callable[[SqliteLog, Path], AbstractContextManager[None]]

ROOT = Path(__file__).resolve().parents[2]

STDOUT = 1
KILLS = 20
NURSERY = """
import os, pathlib, sys
from tests.adapters.test_sqlite_log_crashes import commit_until_killed

for _ in sys.stdin:
    child = os.fork()
    if child == 0:
        commit_until_killed(pathlib.Path(sys.argv[1]), sys.argv[2])
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), status
    print("killed", flush=True)
"""
# Rows are written again and again, so that a group that came back in part would show.
CONTACTS = 10


def nth_group(sequence: int, size: int = 300) -> tuple[bytes, list[RowDelta]]:
    """Events that name both ends of the group's link in the chain, and the rows of the group."""
    rows = [
        contact(row, sequence.to_bytes(8, "little") * 28, b"p" * 120) for row in range(CONTACTS)
    ]
    return (token(sequence - 1) + token(sequence)).ljust(size, b"."), rows


def commit_nth(log: SqliteLog, sequence: int, size: int = 300) -> int:
    """Commit the `sequence`-th group."""
    events, rows = nth_group(sequence, size)
    one = group(events, rows, [reply(f"q{sequence}")])
    return answered(log.commit(token(sequence - 1), token(sequence), one))


def assert_whole(log: SqliteLog, sequence: int, token_now: bytes) -> None:
    """Check that exactly groups 1 to `sequence` are there, each whole and each after the other."""
    assert token_now == token(sequence)
    logged = answered(log.tail(0, sequence + 1))
    assert [one.sequence for one in logged] == list(range(1, sequence + 1))
    for one in logged:
        assert one.events.startswith(token(one.sequence - 1) + token(one.sequence))
    loaded = answered(log.load())
    assert list(loaded.rows) == (nth_group(sequence)[1] if sequence else [])
    assert [one.request_id for one in loaded.replies] == [f"q{n}" for n in range(1, sequence + 1)]


def commit_until_full(log: SqliteLog, after: int) -> tuple[int, LogFull]:
    """Commit large groups; returns the last one that went in and what the next one met."""
    for sequence in range(after + 1, after + 1_000):
        try:
            commit_nth(log, sequence, size=20_000)
        except LogFull as refused:
            return sequence - 1, refused
    raise AssertionError("expected LogFull, there was room for 1,000 groups")


@contextmanager
def page_limit(log: SqliteLog, path: Path) -> Iterator[None]:
    """Let SQLite itself find that the file may not grow."""
    connection = log._connection
    assert connection is not None
    connection.execute("PRAGMA max_page_count = 40")
    yield
    connection.execute("PRAGMA max_page_count = 1000000")


@contextmanager
def filled_disk(log: SqliteLog, path: Path) -> Iterator[None]:
    """Fill the small disk the file is on, but for a few pages."""
    filler = path.with_name("filler")
    with filler.open("wb", buffering=0) as file:
        room = os.statvfs(path.parent)
        file.write(bytes(room.f_bavail * room.f_frsize - 40 * 4_096))
    yield
    filler.unlink()


def mount_small_disk(directory: Path) -> bool:
    """Mount 4 MiB of memory there; False where this process may not."""
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "headgate-test", str(directory)]
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture(params=["page limit", "disk"])
def cell_without_room(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[SqliteLog, Path, NoRoom]]:
    """Make a log, and the way to leave it no room; a page limit again where nothing can mount."""
    has_disk = request.param == "disk" and mount_small_disk(tmp_path)
    path = tmp_path / "cell.db"
    log = SqliteLog(path, "full", "cell")
    yield log, path, filled_disk if has_disk else page_limit
    answered(log.release())
    if has_disk:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_full_disk_refuses_whole_groups_and_recovers(
    cell_without_room: tuple[SqliteLog, Path, NoRoom],
) -> None:
    """A full disk may stop a cell, but not cost it a group, nor need a restart afterwards."""
    log, path, no_room = cell_without_room
    answered(log.acquire("a"))
    commit_nth(log, 1)
    with no_room(log, path):
        sequence, refused = commit_until_full(log, after=1)
        assert str(refused).startswith(f"{path}: no room on the disk, nothing was written; make")
        # Refused again, not broken: what is there can still be read.
        with pytest.raises(LogFull):
            commit_nth(log, sequence + 1, size=400_000)
        assert_whole(log, sequence, token(sequence))
    assert commit_nth(log, sequence + 1) == sequence + 1
    answered(log.release())
    owned = answered(log.acquire("a"))
    assert_whole(log, sequence + 1, owned.token)


def test_failing_disk_leaves_the_commit_in_doubt(tmp_path: Path) -> None:
    """After an I/O error nobody knows; the same group again must settle it, once."""
    log = SqliteLog(tmp_path / "cell.db", "full", "cell")
    answered(log.acquire("a"))
    commit_nth(log, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Past this size the kernel refuses to write, with an error that is not "disk full".
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "cell.db-wal").stat().st_size, hard))
    try:
        with pytest.raises(InDoubt, match=r"disk I/O error \(SQLITE_IOERR_WRITE\)"):
            commit_nth(log, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert commit_nth(log, 2) == 2
    assert commit_nth(log, 2) == 2
    assert_whole(log, 2, token(2))
    answered(log.release())


def commit_until_killed(path: Path, durability: Durability) -> None:
    """Commit on and on, printing each sequence number once its commit returned."""
    # So that checkpoints are among what is interrupted.
    sqlite_file.CHECKPOINT_PAGES = 20  # type: ignore[misc]
    log = SqliteLog(path, durability, "cell")
    sequence = answered(log.acquire("child")).sequence
    # One write for each line: `print` takes two, and the kill would come between them.
    os.write(STDOUT, b"%d\n" % os.getpid())
    while True:
        sequence = commit_nth(log, sequence + 1)
        os.write(STDOUT, b"%d\n" % sequence)


@contextmanager
def nursery(path: Path, durability: Durability) -> Iterator[subprocess.Popen[str]]:
    """
    Run a process that forks a committing child for each line it reads.

    Importing takes a second, so that 20 processes from nothing would take half a minute; and this
    one has no threads, unlike the process that runs the tests.
    """
    command = [sys.executable, "-c", NURSERY, str(path), durability]
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def acknowledged_by_killed_child(process: subprocess.Popen[str], alive_s: float) -> int:
    """Last sequence number a child printed before it was killed; 0 when none."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("next\n")
    process.stdin.flush()
    child = int(process.stdout.readline())
    time.sleep(alive_s)
    os.kill(child, signal.SIGKILL)
    acknowledged = 0
    for line in process.stdout:
        if line == "killed\n":
            return acknowledged
        acknowledged = int(line)
    raise AssertionError("expected a child that is killed, it ended by itself")


@pytest.mark.parametrize("durability", ["full", "normal"])
def test_killed_process_loses_no_acknowledged_group(tmp_path: Path, durability: Durability) -> None:
    """An engine may be killed at any moment; what it answered for must be there."""
    path = tmp_path / "cell.db"
    with nursery(path, durability) as process:
        for kill in range(KILLS):
            acknowledged = acknowledged_by_killed_child(process, alive_s=kill * 0.003)
            log = SqliteLog(path, durability, "cell")
            owned = answered(log.acquire("parent"))
            assert acknowledged <= owned.sequence
            assert_whole(log, owned.sequence, owned.token)
            answered(log.release())


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Leave a file and its -wal as a crash after 30 groups would."""
    running = tmp_path_factory.mktemp("running") / "cell.db"
    log = SqliteLog(running, "normal", "cell")
    answered(log.acquire("a"))
    for sequence in range(1, 31):
        commit_nth(log, sequence)
    left = tmp_path_factory.mktemp("crashed") / "cell.db"
    for end in ("", "-wal"):
        shutil.copy(f"{running}{end}", f"{left}{end}")
    answered(log.release())
    return left


def reopened_after(crashed: Path, directory: Path, damage: Callable[[bytearray], None]) -> int:
    """Number of groups left when the -wal was damaged; checks that they are whole."""
    path = directory / "cell.db"
    shutil.copy(crashed, path)
    wal = bytearray(Path(f"{crashed}-wal").read_bytes())
    damage(wal)
    Path(f"{path}-wal").write_bytes(wal)
    log = SqliteLog(path, "full", "cell")
    owned = answered(log.acquire("a"))
    assert_whole(log, owned.sequence, owned.token)
    assert commit_nth(log, owned.sequence + 1) == owned.sequence + 1
    answered(log.release())
    return owned.sequence


@pytest.mark.parametrize("lost_ratio", [0.0, 0.0001, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.999, 1.0])
def test_truncated_wal_loses_only_its_last_groups(
    crashed: Path, tmp_path: Path, lost_ratio: float
) -> None:
    """A machine that loses power may not have written the tail; the rest must stand, in order."""

    def truncate(wal: bytearray) -> None:
        del wal[round(len(wal) * (1 - lost_ratio)) :]

    kept_count = reopened_after(crashed, tmp_path, truncate)
    assert abs(kept_count - 30 * (1 - lost_ratio)) <= 1.5


@pytest.mark.parametrize("from_end", [1, 100, 4_097, 4_120, 10_000, 33_333, 100_000])
def test_flipped_bit_in_the_wal_loses_only_what_follows(
    crashed: Path, tmp_path: Path, from_end: int
) -> None:
    """Half-written sectors hold anything; checksums must keep them out of the cell."""

    def flip(wal: bytearray) -> None:
        wal[-from_end] ^= 0x10

    group_bytes = Path(f"{crashed}-wal").stat().st_size / 30
    kept_count = reopened_after(crashed, tmp_path, flip)
    assert abs(kept_count - (30 - from_end / group_bytes)) <= 1.5


def test_file_without_its_wal_is_still_a_log_of_the_cell(crashed: Path, tmp_path: Path) -> None:
    """The file itself says whose it is, so that it is never made anew over what was there."""
    alone = tmp_path / "alone.db"
    shutil.copy(crashed, alone)
    with closing(sqlite3.connect(alone)) as connection:
        assert connection.execute("SELECT cell FROM meta").fetchone() == ("cell",)
    assert reopened_after(crashed, tmp_path, bytearray.clear) == 0
