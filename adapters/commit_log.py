"""
The commit log: the one place where what the engine decided becomes durable.

A cell has one owner at a time. The owner acquires the log, loads the rows, then commits one group
after another; each commit is a compare-and-append on a chain of random tokens, so that a deposed
owner, a retry after a lost answer and a store that was rolled back are all told apart. Nothing is
acknowledged to anyone before its group is committed.

Row deltas are the durable state: loading reads rows and replays nothing. The groups' events serve
watchers, audit and standby, and are kept within a bound.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from engine.state.rows import SCHEMA_WRITTEN, RowDelta


class StoredReply(NamedTuple):
    """
    The reply to one request, kept so that a retry gets the same answer.

    Attributes
    ----------
    request_id
        The caller's idempotency key.
    digest
        16 bytes over method and body; another digest under the same id is another request.
    reply
        The serialised reply.
    at_ms
        Engine time of the commit, milliseconds since the Unix epoch; replies are kept for the
        idempotency window.
    """

    request_id: str
    digest: bytes
    reply: bytes
    at_ms: int


@dataclass(frozen=True, slots=True)
class CommitGroup:
    """
    What is committed together: all of it or nothing.

    Attributes
    ----------
    events
        Encoded events of the group; empty when nothing happened that a watcher could see.
    row_deltas
        Rows to write or delete, at most one per row.
    replies
        Replies to keep.
    schema
        Version that reads the rows: versions before it are kept from the cell from then on.
    """

    events: bytes
    row_deltas: Sequence[RowDelta]
    replies: Sequence[StoredReply]
    schema: int = SCHEMA_WRITTEN


@dataclass(frozen=True, slots=True)
class Ownership:
    """
    The right to commit to a cell, until someone else acquires it.

    Attributes
    ----------
    epoch
        Counts owners; higher is later.
    token
        Token of the last committed group, 16 bytes; the next commit must name it.
    sequence
        Sequence number of the last committed group, 0 when there is none.
    """

    epoch: int
    token: bytes
    sequence: int


@dataclass(frozen=True, slots=True)
class LoadedState:
    """
    The durable state of a cell.

    Attributes
    ----------
    schema_version
        Version that reads all the rows.
    rows
        Every row, in order of table, then row; `record` is never None, `payload` is b"" where none
        was written.
    replies
        Replies still within the window, oldest first.
    """

    schema_version: int
    rows: Sequence[RowDelta]
    replies: Sequence[StoredReply]


class LoggedGroup(NamedTuple):
    """One committed group as `tail` returns it."""

    sequence: int
    events: bytes


class CommitLogError(Exception):
    """The log refused or failed; the message names the path or address and the remedy."""


class LogHeld(CommitLogError):
    """Another owner holds the log."""


class LogUnfit(CommitLogError):
    """Its servers cannot keep what durability promises, for now; nothing was acquired."""


class SchemaTooNew(CommitLogError):
    """The rows were written by a newer version."""


class Fenced(CommitLogError):
    """Another owner acquired the log: drop all in-memory state of the cell."""


class CellGone(Fenced):
    """Nobody owns the cell: what was stored of it is gone. Restore it before it starts again."""


class TokenConflict(CommitLogError):
    """
    The log does not end where this owner left it: it was rolled back or written behind the owner's
    back.
    """


class InDoubt(CommitLogError):
    """The outcome of a commit is not known; commit the same group with the same token again."""


class DoubtRemains(InDoubt):
    """
    The log itself tried the same token for as long as it may; trying once more settles nothing.
    """


class LogFull(CommitLogError):
    """There is no room to write; nothing of the group was written."""


class LogCorrupt(CommitLogError):
    """What is stored cannot be read."""


class CursorOutOfRange(CommitLogError):
    """The groups asked for are no longer, or not yet, kept."""


class CommitLog(Protocol):
    """
    A cell's log. One task uses it at a time.

    An owner whose state has run ahead of the log, because a commit failed, may acquire again and
    load.

    Attributes
    ----------
    answers_at_once
        True when no method ever suspends, as with sqlite and memory: a commit is then one plain
        call.
    """

    answers_at_once: bool

    async def acquire(self, owner: str) -> Ownership:
        """
        Become the owner; no owner of an earlier epoch can commit from here on.

        Raises LogHeld, SchemaTooNew or LogCorrupt.
        """
        ...

    async def load(self) -> LoadedState:
        """Read the durable state; only between `acquire` and the first commit."""
        ...

    async def commit(self, expected_token: bytes, new_token: bytes, group: CommitGroup) -> int:
        """
        Append a group if the log still ends with `expected_token`; returns its sequence number.

        A log that already ends with `new_token` has the group: the number is returned again and
        nothing is applied twice. Raises Fenced, TokenConflict, InDoubt or LogFull.
        """
        ...

    async def tail(self, after_sequence: int, groups_max: int) -> Sequence[LoggedGroup]:
        """
        Up to `groups_max` groups after a sequence number, oldest first; empty at the end of the
        log.

        Raises CursorOutOfRange when a group after it is no longer kept, or it lies beyond the end.
        """
        ...

    async def oldest_sequence(self) -> int:
        """Sequence number of the oldest group kept, or of the next one when none is."""
        ...

    async def release(self) -> None:
        """Give the right up and close; may be called twice."""
        ...


@runtime_checkable
class LeasedLog(CommitLog, Protocol):
    """
    A log whose right lapses unless it is renewed; each commit renews it as well.

    Until another owner acquires, the epoch stays ours, so that a lapsed right may be renewed.
    """

    def expect_cell(self) -> None:
        """
        Have `acquire` raise CellGone where the cell is not there, since somebody has had it.

        Where this log has had it, or has seen that another owner has, it does so anyway.
        """
        ...

    def foresee(self, use: Callable[[LoadedState | None], None]) -> None:
        """
        Have something done with what `load` is likely to return, as soon as that is known: while
        `acquire` still waits for another owner who has fallen silent.

        Where it comes true `load` returns the same rows and replies, not equal ones; where it is
        known that it does not, `use` is told None.
        """
        ...

    @property
    def renew_every_s(self) -> float:
        """How long at most may pass between renewals, seconds."""
        ...

    @property
    def is_stalled(self) -> bool:
        """Whether a renewal is overdue: no work should be taken in until commits come through."""
        ...

    @property
    def is_nearly_full(self) -> bool:
        """Whether what is left should be kept for the contacts that are there already."""
        ...

    @property
    def is_lapsed(self) -> bool:
        """
        Whether another owner may have acquired meanwhile, by our own clock.

        Then nothing is to leave the process, neither answers to reads nor offers, until `renew` has
        returned.
        """
        ...

    async def renew(self) -> None:
        """
        Renew the right while no commit is under way.

        Raises Fenced or InDoubt.
        """
        ...
