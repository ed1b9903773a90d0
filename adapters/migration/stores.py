"""
Where a cell is moved from, and where to.

A source is read and never written. A target is empty at first, and no engine can begin with it
before `finish`: what a killed migration leaves behind is refused, and the next migration starts
over.
"""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol

from engine.state.rows import RowDelta


class Head(NamedTuple):
    """
    Where a cell's log stands.

    Attributes
    ----------
    schema_version
        Version whose form the rows have, or an older one's.
    epoch
        Of its last owner.
    token
        Of its last group, 16 bytes.
    sequence
        Of its last group, 0 when there is none.
    """

    schema_version: int
    epoch: int
    token: bytes
    sequence: int


class KeptGroup(NamedTuple):
    """A group of the log: its sequence number, its token and its events."""

    sequence: int
    token: bytes
    events: bytes


class KeptReplies(NamedTuple):
    """Replies of one group, packed as both stores have them."""

    sequence: int
    packed: bytes


class StoredCell(Protocol):
    """What a cell consists of, page by page, each kind in its order."""

    def rows(self) -> AsyncIterator[Sequence[RowDelta]]:
        """Every row, by table, then row; payloads are b"" where there is none."""
        ...

    def groups(self) -> AsyncIterator[Sequence[KeptGroup]]:
        """Groups that are kept, oldest first."""
        ...

    def replies(self) -> AsyncIterator[Sequence[KeptReplies]]:
        """Replies that are kept, oldest first."""
        ...


class Source(StoredCell, Protocol):
    """Where a cell is moved from; `str` names it without credentials."""

    async def open(self) -> Head:
        """
        Begin to read.

        Raises
        ------
        CommitLogError
            An engine owns the cell, it is not there, or it cannot be read.
        """
        ...

    async def check_unchanged(self) -> None:
        """Raise CommitLogError if anybody has owned the cell since `open`."""
        ...

    async def close(self) -> None:
        """End reading; may be called twice."""
        ...


class Target(StoredCell, Protocol):
    """Where a cell is moved to; `str` names it without credentials."""

    async def begin(self, source: str) -> None:
        """
        Make room, removing what a migration left that was killed.

        Raises
        ------
        CommitLogError
            There is a cell already, somebody owns it, or the store is not fit for one.
        """
        ...

    async def put_rows(self, rows: Sequence[RowDelta]) -> None:
        """Add rows."""
        ...

    async def put_groups(self, groups: Sequence[KeptGroup]) -> None:
        """Add groups."""
        ...

    async def put_replies(self, replies: Sequence[KeptReplies]) -> None:
        """Add replies."""
        ...

    async def settle(self) -> None:
        """Have disks and replicas hold all that was put; what is read from now on is theirs."""
        ...

    async def finish(self, head: Head) -> None:
        """Let engines begin with it, in one step."""
        ...

    async def abandon(self) -> None:
        """Remove what was put; only before `finish`."""
        ...

    async def close(self) -> None:
        """Let go of it; may be called twice."""
        ...
