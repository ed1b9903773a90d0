"""Moving one cell: copy, read back, compare, and only then let engines have it."""

import contextlib
import hashlib
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from adapters.commit_log import CommitLogError, LogCorrupt
from adapters.migration.stores import Head, KeptGroup, KeptReplies, Source, StoredCell, Target
from engine.state.rows import RowDelta

# Table, row, and the lengths of id, record and payload.
_ROW: Final = struct.Struct("<BQIII")
# Sequence number and length of what follows.
_ENTRY: Final = struct.Struct("<QI")


class Contents(NamedTuple):
    """
    What a cell consists of.

    Attributes
    ----------
    rows, groups, replies
        How many; replies by group.
    digest
        SHA-256 over all of them, in hexadecimal.
    """

    rows: int
    groups: int
    replies: int
    digest: str


async def move(source: Source, target: Target) -> Contents:
    """
    Copy a cell; the source is left as it is, the target is complete or not there.

    Raises
    ------
    CommitLogError
        Either side refused, the source was owned meanwhile, or what arrived is not what was sent.
    """
    head = await source.open()
    await target.begin(str(source))
    try:
        sent = await _copied(source, target, head)
        await source.check_unchanged()
        await target.settle()
        found = await _read_back(target)
        if found != sent:
            raise LogCorrupt(f"{target}: has {found}, expected {sent}; nothing was moved")
        await target.finish(head)
    except BaseException:
        # What cannot be removed is refused by engines and removed by the next migration.
        with contextlib.suppress(CommitLogError, OSError):
            await target.abandon()
        raise
    return sent


async def _copied(source: Source, target: Target, head: Head) -> Contents:
    counted = _Counted()
    async for rows in source.rows():
        counted.add_rows(rows)
        # To a store a payload that is empty is none.
        await target.put_rows([row._replace(payload=row.payload or None) for row in rows])
    last: KeptGroup | None = None
    async for groups in source.groups():
        for group in groups:
            if last is not None and group.sequence != last.sequence + 1:
                raise _gap(source, f"group {last.sequence + 1} is not there")
            last = group
        counted.add_groups(groups)
        await target.put_groups(groups)
    if (last.sequence, last.token) != (head.sequence, head.token) if last else head.sequence:
        raise _gap(source, f"its last group is not group {head.sequence}")
    async for replies in source.replies():
        counted.add_replies(replies)
        await target.put_replies(replies)
    return counted.contents()


def _gap(source: Source, what: str) -> LogCorrupt:
    return LogCorrupt(f"{source}: {what}; restore a copy")


async def _read_back(cell: StoredCell) -> Contents:
    counted = _Counted()
    async for rows in cell.rows():
        counted.add_rows(rows)
    async for groups in cell.groups():
        counted.add_groups(groups)
    async for replies in cell.replies():
        counted.add_replies(replies)
    return counted.contents()


class _Counted:
    """Counts and digest of what went by."""

    def __init__(self) -> None:
        self._rows = self._groups = self._replies = 0
        self._digest = hashlib.sha256()

    def add_rows(self, rows: Sequence[RowDelta]) -> None:
        """Count rows in."""
        for table, row, external_id, record, payload in rows:
            parts = external_id.encode(), record or b"", payload or b""
            self._digest.update(_ROW.pack(table, row, *map(len, parts)) + b"".join(parts))
        self._rows += len(rows)

    def add_groups(self, groups: Sequence[KeptGroup]) -> None:
        """Count groups in."""
        for sequence, token, events in groups:
            self._digest.update(_ENTRY.pack(sequence, len(events)) + token + events)
        self._groups += len(groups)

    def add_replies(self, replies: Sequence[KeptReplies]) -> None:
        """Count replies in."""
        for sequence, packed in replies:
            self._digest.update(_ENTRY.pack(sequence, len(packed)) + packed)
        self._replies += len(replies)

    def contents(self) -> Contents:
        """All that went by."""
        return Contents(self._rows, self._groups, self._replies, self._digest.hexdigest())
