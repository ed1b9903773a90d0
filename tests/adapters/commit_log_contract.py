"""
What the contract of `CommitLog` is run over, and the groups it commits.

A new implementation joins by a harness here and a line in `HARNESSES`.
"""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from adapters.commit_log import CommitGroup, CommitLog, Ownership, StoredReply
from adapters.memory_log import MemoryLog, MemoryStore
from adapters.sqlite_file import Durability
from adapters.sqlite_log import SqliteLog
from engine.state.rows import RowDelta, RowTable

Value = TypeVar("Value")

NOW_MS = 1_700_000_000_000


@dataclass(frozen=True)
class Bounds:
    """How much a log keeps."""

    reply_window_ms: int = 600_000
    replies_max: int = 1_000
    groups_kept: int = 1_000
    events_bytes_max: int = 1_000_000


class LogHarness(Protocol):
    """One stored cell and the logs opened over it."""

    # Groups by which a log may overshoot its bounds before it prunes.
    groups_over: int

    def log(self) -> CommitLog:
        """Make another log over the same stored cell, as a restarted process would."""
        ...

    def break_lease(self) -> None:
        """Let the next owner acquire while the present one lives."""
        ...

    async def close(self) -> None:
        """Release every log that was made."""
        ...


NewStoredCell = Callable[[Bounds], LogHarness]


class SqliteHarness:
    """A cell in a file."""

    groups_over = 16

    def __init__(self, directory: Path, durability: Durability, bounds: Bounds) -> None:
        self._path = directory / "cell.db"
        self._durability: Durability = durability
        self._bounds = bounds
        self._logs: list[SqliteLog] = []

    def log(self) -> CommitLog:
        """Make another log over the same file."""
        made = SqliteLog(
            self._path,
            self._durability,
            "cell",
            reply_window_ms=self._bounds.reply_window_ms,
            replies_max=self._bounds.replies_max,
            groups_kept=self._bounds.groups_kept,
            events_bytes_max=self._bounds.events_bytes_max,
        )
        self._logs.append(made)
        return made

    def break_lease(self) -> None:
        """Delete the lock file, so that the next owner locks another one."""
        Path(f"{self._path}.lock").unlink()

    async def close(self) -> None:
        """Release every log."""
        for log in self._logs:
            await log.release()


class MemoryHarness:
    """A cell in memory."""

    groups_over = 0

    def __init__(self, bounds: Bounds) -> None:
        self._store = MemoryStore(
            reply_window_ms=bounds.reply_window_ms,
            replies_max=bounds.replies_max,
            groups_kept=bounds.groups_kept,
            events_bytes_max=bounds.events_bytes_max,
        )

    def log(self) -> CommitLog:
        """Make another log over the same store."""
        return MemoryLog(self._store)

    def break_lease(self) -> None:
        """Nothing keeps an owner of memory from acquiring."""

    async def close(self) -> None:
        """Nothing is open."""


# Those that need no program; `test_commit_log_contract` adds Redis.
HARNESSES: dict[str, Callable[[Path, Bounds], LogHarness]] = {
    "sqlite-full": lambda directory, bounds: SqliteHarness(directory, "full", bounds),
    "sqlite-normal": lambda directory, bounds: SqliteHarness(directory, "normal", bounds),
    "memory": lambda _, bounds: MemoryHarness(bounds),
}


def answered(call: Coroutine[Any, Any, Value]) -> Value:
    """Result of a coroutine that never suspends, for code without an event loop."""
    try:
        call.send(None)
    except StopIteration as stop:
        result: Value = stop.value
        return result
    call.close()
    raise AssertionError("expected an answer at once, the call suspended")


def token(number: int) -> bytes:
    """Chain token of the `number`-th group; its own bytes, so that no two are alike."""
    return number.to_bytes(16, "little")


def group(
    events: bytes = b"",
    rows: Sequence[RowDelta] = (),
    replies: Sequence[StoredReply] = (),
) -> CommitGroup:
    """Make a group of what is given."""
    return CommitGroup(events, rows, replies)


def contact(row: int, record: bytes | None, payload: bytes | None = None) -> RowDelta:
    """Make a delta of contact `c<row>`."""
    return RowDelta(RowTable.CONTACT, row, f"c{row}", record, payload)


def reply(name: str, at_ms: int = NOW_MS) -> StoredReply:
    """Make the reply to request `name`."""
    return StoredReply(name, name.encode().ljust(16, b"."), b"reply to " + name.encode(), at_ms)


async def commit_all(log: CommitLog, after: Ownership, groups: Sequence[CommitGroup]) -> bytes:
    """Commit one group after another with tokens counted up; returns the last token."""
    last = after.token
    for sequence, one in enumerate(groups, start=after.sequence + 1):
        assert await log.commit(last, token(sequence), one) == sequence
        last = token(sequence)
    return last
