"""Reading what a cell has in Redis: rows, replies and groups of events."""

import gc
import struct
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from redis.exceptions import ResponseError

from adapters.commit_log import (
    CommitLogError,
    CursorOutOfRange,
    LogCorrupt,
    LoggedGroup,
    StoredReply,
)
from adapters.redis_log.commits import evaluated
from adapters.redis_log.connection import Command, RedisConnection, Reply
from adapters.redis_log.rows import joined_rows, unpack_fields, unpack_strings
from adapters.redis_log.scripts import READ_REPLIES, SCAN, Keys
from adapters.sqlite_file import unpack_replies
from engine.state.rows import RowDelta

# A page takes the server a few milliseconds; all at once would keep every other cell waiting.
_PAGE_FIELDS: Final = b"2000"
_PAGE_GROUPS: Final = 1_000


class ReplyGroup(NamedTuple):
    """Replies of one group, as far as their end of life depends on them."""

    sequence: int
    at_ms: int
    replies_count: int


@dataclass(frozen=True, slots=True)
class StoredReplies:
    """Every reply that is stored, oldest first, and the groups they lie in."""

    replies: list[StoredReply]
    groups: list[ReplyGroup]


async def read_rows(
    connection: RedisConnection, keys: Keys, between_pages: Callable[[], Awaitable[None]]
) -> list[RowDelta]:
    """Every row, in order; raises LogCorrupt, or RedisUnreachable."""
    was_collecting = gc.isenabled()
    # A million rows are not garbage; looking for it among them would double the time.
    gc.disable()
    try:
        rows = await _scanned(connection, keys.rows, between_pages)
        payloads = await _scanned(connection, keys.payloads, between_pages)
        return joined_rows(rows, payloads)
    except (ValueError, KeyError, IndexError, struct.error) as error:
        raise LogCorrupt(f"{connection.host}: unreadable row, {error!r}; restore a copy") from error
    finally:
        if was_collecting:
            gc.enable()


async def read_replies(
    connection: RedisConnection, keys: Keys, between_pages: Callable[[], Awaitable[None]]
) -> StoredReplies:
    """Every reply; raises LogCorrupt, or RedisUnreachable."""
    stored = StoredReplies([], [])
    after = b"-"
    while True:
        arguments = (after, b"%d" % _PAGE_GROUPS)
        page = await _asked(connection, evaluated(READ_REPLIES, [keys.replies], arguments))
        match page:
            case [bytes(last), bytes(ids), bytes(packed)]:
                _take_replies(stored, connection.host, ids, packed)
            case _:
                raise LogCorrupt(f"{connection.host}: replies came as {page!r}")
        if not last:
            return stored
        await between_pages()
        after = b"(" + last


async def read_groups(
    connection: RedisConnection, keys: Keys, after_sequence: int, until: int, groups_max: int
) -> Sequence[LoggedGroup]:
    """
    Groups after a sequence number, up to another one.

    Raises CursorOutOfRange as `CommitLog.tail` does, or CommitLogError where the server has fewer
    groups than were committed: it is not the primary any more.
    """
    oldest = await read_oldest(connection, keys, until)
    if not (oldest - 1 <= after_sequence <= until):
        raise CursorOutOfRange(
            f"{connection.host}: keeps groups {oldest} to {until}, none can follow "
            f"{after_sequence}; load the state and read on from its end"
        )
    count = min(groups_max, until - after_sequence)
    if count <= 0:
        return ()
    command = (
        b"XRANGE",
        keys.log,
        b"%d-0" % (after_sequence + 1),
        b"%d-0" % until,
        b"COUNT",
        b"%d" % count,
    )
    found = [_group_of(entry) for entry in _entries(await _asked(connection, command))]
    if [group.sequence for group in found] != list(
        range(after_sequence + 1, after_sequence + 1 + count)
    ):
        raise CommitLogError(
            f"{connection.host}: groups {after_sequence + 1} to {after_sequence + count} are not "
            "all there; read again"
        )
    return found


async def read_oldest(connection: RedisConnection, keys: Keys, confirmed: int) -> int:
    """Sequence number of the oldest group kept, or of the next one when none is."""
    found = _entries(await _asked(connection, (b"XRANGE", keys.log, b"-", b"+", b"COUNT", b"1")))
    return _group_of(found[0]).sequence if found else confirmed + 1


async def _scanned(
    connection: RedisConnection, key: bytes, between_pages: Callable[[], Awaitable[None]]
) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    cursor = b"0"
    while True:
        page = await _asked(connection, evaluated(SCAN, [key], (cursor, _PAGE_FIELDS)))
        match page:
            case [bytes(cursor), bytes(packed)]:
                # A field may come twice while the hash grows or shrinks.
                found.update(unpack_fields(packed))
            case _:
                raise ValueError(f"{key.decode()} came as {page!r}")
        if cursor == b"0":
            return found
        await between_pages()


async def _asked(connection: RedisConnection, command: Command) -> Reply:
    answer = await connection.ask_one(*command)
    if isinstance(answer, ResponseError):
        raise CommitLogError(f"{connection.host}: cannot be read: {answer}")
    return answer


def _take_replies(stored: StoredReplies, host: str, ids: bytes, packed: bytes) -> None:
    try:
        for entry_id, group in zip(unpack_strings(ids), unpack_strings(packed), strict=True):
            replies = unpack_replies(group)
            sequence = int(entry_id.partition(b"-")[0])
            stored.groups.append(ReplyGroup(sequence, replies[-1].at_ms, len(replies)))
            stored.replies.extend(replies)
    except (ValueError, IndexError, struct.error) as error:
        raise LogCorrupt(f"{host}: unreadable reply, {error!r}; restore a copy") from error


def _entries(answer: Reply) -> list[Reply]:
    return answer if isinstance(answer, list) else []


def _group_of(entry: Reply) -> LoggedGroup:
    match entry:
        case [bytes(entry_id), [b"t", _, b"n", _, b"e", bytes(events)]]:
            return LoggedGroup(int(entry_id.partition(b"-")[0]), events)
        case _:
            raise LogCorrupt(f"a group came as {entry!r}; restore a copy")
