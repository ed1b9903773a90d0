"""Reading what a cell has in Redis: rows, replies and groups of events."""

import asyncio
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, NamedTuple

from redis.exceptions import ResponseError

from adapters.commit_log import (
    CommitLogError,
    CursorOutOfRange,
    LoadedState,
    LogCorrupt,
    LoggedGroup,
    StoredReply,
)
from adapters.redis_log.connection import Command, RedisConnection, Reply
from adapters.redis_log.rows import joined_rows, part_row
from adapters.redis_log.scripts import Keys
from adapters.redis_log.terms import Kept
from adapters.sqlite_file import unpack_replies
from engine.state.rows import RowDelta

# A page takes the server and the loop a few milliseconds; all at once would keep every other cell
# waiting.
_PAGE_BYTES: Final = 1_048_576
# What is unpacked before the loop has its turn.
_SLICE_BYTES: Final = 262_144
# Of the first page, and of any: no more, for what comes next may be larger than what came before.
_FIELDS: Final = (50, 2_000)
_GROUPS: Final = (50, 1_000)

# Awaited before each page but the first, so that a lease can be renewed in time.
BetweenPages = Callable[[], Awaitable[None]]

_Items = Sequence[tuple[bytes, bytes]]


class ReplyGroup(NamedTuple):
    """Replies of one group, as far as their end of life depends on them."""

    sequence: int
    at_ms: int
    replies_count: int


class _Page(NamedTuple):
    """Items of a stream or a hash, and where the next page begins: b"" after the last."""

    items: _Items
    cursor: bytes


class _Way(NamedTuple):
    """
    How the pages of a key are read.

    Attributes
    ----------
    command_at
        What asks for about so many items from a cursor on.
    page_of
        Takes an answer apart; raises ValueError where it is damaged.
    start
        Cursor of the first page.
    counts
        Items of the first page, and of any at the most.
    """

    command_at: Callable[[bytes, int], Command]
    page_of: Callable[[Reply], _Page]
    start: bytes
    counts: tuple[int, int]


@dataclass(frozen=True, slots=True)
class StoredCell:
    """
    All that a cell has stored behind one token, where nobody commits while it is read.

    Attributes
    ----------
    token
        With which the log ended before anything was read, 32 hexadecimal digits.
    state
        Rows, and the replies that are still wanted.
    reply_groups
        Groups of every reply that is stored, oldest first.
    """

    token: bytes
    state: LoadedState
    reply_groups: list[ReplyGroup]

    @property
    def replies_count(self) -> int:
        """How many replies are stored."""
        return sum(group.replies_count for group in self.reply_groups)


async def read_cell(
    connection: RedisConnection,
    keys: Keys,
    kept: Kept,
    between_pages: BetweenPages,
) -> StoredCell:
    """All that a cell has stored; raises LogCorrupt, or RedisUnreachable."""
    match await _asked(connection, (b"HMGET", keys.meta, b"token", b"schema")):
        case [bytes(token), bytes(schema)]:
            pass
        case found:
            raise LogCorrupt(f"{connection.host}: its log ends with {found!r}; restore a copy")
    rows = await read_rows(connection, keys, between_pages)
    replies, groups = await _read_replies(connection, keys, between_pages)
    since_ms = max((group.at_ms for group in groups), default=0) - kept.reply_window_ms
    wanted = [reply for reply in replies if reply.at_ms >= since_ms][-kept.replies_max :]
    return StoredCell(token, LoadedState(int(schema), rows, wanted), groups)


async def nothing() -> None:
    """What is done between pages where nobody's lease depends on it."""


async def read_rows(
    connection: RedisConnection, keys: Keys, between_pages: BetweenPages
) -> list[RowDelta]:
    """Every row, in order; raises LogCorrupt, or RedisUnreachable."""
    try:
        rows: dict[bytes, tuple[str, bytes]] = {}
        payloads: dict[bytes, bytes] = {}

        def take_rows(fields: _Items) -> None:
            rows.update((field, part_row(value)) for field, value in fields)

        await _scan(connection, keys.rows, between_pages, take_rows)
        await _scan(connection, keys.payloads, between_pages, payloads.update)
        return await asyncio.to_thread(joined_rows, rows, payloads)
    except (ValueError, KeyError, IndexError, struct.error) as error:
        raise LogCorrupt(f"{connection.host}: unreadable row, {error!r}; restore a copy") from error


async def _read_replies(
    connection: RedisConnection, keys: Keys, between_pages: BetweenPages
) -> tuple[list[StoredReply], list[ReplyGroup]]:
    """Every reply that is stored, oldest first, and the groups they lie in."""
    replies: list[StoredReply] = []
    groups: list[ReplyGroup] = []

    def at(entry: bytes, count: int) -> Command:
        return (b"XRANGE", keys.replies, entry, b"+", b"COUNT", b"%d" % count)

    way = _Way(at, _entries_of, b"-", _GROUPS)
    try:
        async with aclosing(_pages(connection, way, between_pages)) as pages:
            async for entries in pages:
                await _take_replies(replies, groups, entries)
    except (ValueError, IndexError, struct.error) as error:
        raise LogCorrupt(
            f"{connection.host}: unreadable reply, {error!r}; restore a copy"
        ) from error
    return replies, groups


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


async def _scan(
    connection: RedisConnection,
    key: bytes,
    between_pages: BetweenPages,
    take: Callable[[_Items], None],
) -> None:
    """Read a hash; a field may come twice while it grows or shrinks."""

    def at(cursor: bytes, count: int) -> Command:
        return (b"HSCAN", key, cursor, b"COUNT", b"%d" % count)

    way = _Way(at, _fields_of, b"0", _FIELDS)
    async with aclosing(_pages(connection, way, between_pages)) as pages:
        async for fields in pages:
            take(fields)


def _fields_of(answer: Reply) -> _Page:
    """Fields and values of a hash."""
    match answer:
        case [bytes(cursor), [*found]] if set(map(type, found)) <= {bytes}:
            items = list(zip(found[::2], found[1::2], strict=True))
            return _Page(items, b"" if cursor == b"0" else cursor)  # type: ignore[arg-type]
        case _:
            raise ValueError("expected fields and values")


def _entries_of(answer: Reply) -> _Page:
    """Identifiers and packed replies of groups."""
    items: list[tuple[bytes, bytes]] = []
    for entry in _entries(answer):
        match entry:
            case [bytes(entry_id), [_, bytes(packed)]]:
                items.append((entry_id, packed))
            case _:
                raise ValueError(f"{entry!r}, expected an entry")
    return _Page(items, b"(" + items[-1][0] if items else b"")


async def _pages(
    connection: RedisConnection, way: _Way, between_pages: BetweenPages
) -> AsyncGenerator[_Items, None]:
    """Items, page by page; the next page is asked for before one is given out."""
    count, count_max = way.counts
    asking = asyncio.create_task(_asked(connection, way.command_at(way.start, count)))
    try:
        while True:
            items, cursor = way.page_of(await asking)
            if cursor:
                await between_pages()
                count = min(2 * count, _fitting(items), count_max)
                asking = asyncio.create_task(_asked(connection, way.command_at(cursor, count)))
                # Has it sent before this page is used, which takes a while.
                await asyncio.sleep(0)
            yield items
            if not cursor:
                return
    finally:
        asking.cancel()


def _fitting(items: _Items) -> int:
    """How many such items make a page."""
    return 1 + _PAGE_BYTES * len(items) // (1 + sum(len(value) for _, value in items))


async def _asked(connection: RedisConnection, command: Command) -> Reply:
    answer = await connection.ask_one(*command)
    if isinstance(answer, ResponseError):
        raise CommitLogError(f"{connection.host}: cannot be read: {answer}")
    return answer


async def _take_replies(
    replies: list[StoredReply], groups: list[ReplyGroup], entries: _Items
) -> None:
    """Unpack replies; the loop has its turn where there are many."""
    unpacked = 0
    for entry_id, packed in entries:
        found = unpack_replies(packed)
        groups.append(ReplyGroup(int(entry_id.partition(b"-")[0]), found[-1].at_ms, len(found)))
        replies.extend(found)
        unpacked += len(packed)
        if unpacked >= _SLICE_BYTES:
            await asyncio.sleep(0)
            unpacked = 0


def _entries(answer: Reply) -> list[Reply]:
    return answer if isinstance(answer, list) else []


def _group_of(entry: Reply) -> LoggedGroup:
    match entry:
        case [bytes(entry_id), [b"t", _, b"n", _, b"e", bytes(events)]]:
            return LoggedGroup(int(entry_id.partition(b"-")[0]), events)
        case _:
            raise LogCorrupt(f"a group came as {entry!r}; restore a copy")
