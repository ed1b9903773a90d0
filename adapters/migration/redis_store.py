"""
A cell in Redis, as a source and as a target.

A source is only read. Nobody can be kept from acquiring it meanwhile without writing there, so it
is looked at again in the end: who owned it in between has raised its epoch.
"""

import contextlib
import os
import secrets
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

from redis.exceptions import ResponseError

from adapters.collection import collection_paused
from adapters.commit_log import CommitLogError, LogCorrupt, LogFull, LogHeld, SchemaTooNew
from adapters.migration.redis_scripts import ABANDON, BEGIN, FINISH, PUT_ENTRIES, PUT_ROWS
from adapters.migration.stores import Head, KeptGroup, KeptReplies
from adapters.redis_log.commits import evaluated
from adapters.redis_log.connection import (
    Answer,
    RedisConnection,
    RedisRefused,
    RedisUnreachable,
    code_of,
)
from adapters.redis_log.log import REPLIES_OUTLIVE_MS
from adapters.redis_log.primary import RedisPrimary
from adapters.redis_log.reading import nothing, read_rows
from adapters.redis_log.rows import pack_changes, pack_strings
from adapters.redis_log.scripts import LAYOUT_VERSION, Keys, Script
from adapters.redis_log.server_check import Tier, check_server
from engine.state.rows import SCHEMA_VERSION, RowDelta

# While a page is on its way a migration still owns its target.
_LEASE_MS: Final = 10_000
# How long replicas may take for the last page; a migration is in no hurry.
_WAIT_MS: Final = 10_000
_PAGE_ROWS: Final = 2_000
_PAGE_GROUPS: Final = 100
_META: Final = (b"epoch", b"token", b"sequence", b"schema", b"layout", b"migration")


class _Redis:
    """A cell's keys, read page by page over one connection to the primary."""

    def __init__(self, primary: RedisPrimary, keys: Keys) -> None:
        self._primary = primary
        self._keys = keys
        self._connection: RedisConnection | None = None

    def __str__(self) -> str:
        return f"{self._primary} {self._keys.meta.decode().removesuffix(':meta')}"

    async def rows(self) -> AsyncIterator[Sequence[RowDelta]]:
        """Every row."""
        with self._told(), collection_paused():
            found = await read_rows(self._connected(), self._keys, nothing)
        for start in range(0, len(found), _PAGE_ROWS):
            yield found[start : start + _PAGE_ROWS]

    async def groups(self) -> AsyncIterator[Sequence[KeptGroup]]:
        """Every group."""
        async for page in self._pages(self._keys.log):
            yield [_group(self, entry) for entry in page]

    async def replies(self) -> AsyncIterator[Sequence[KeptReplies]]:
        """Every reply."""
        async for page in self._pages(self._keys.replies):
            yield [_replies(self, entry) for entry in page]

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _connect(self) -> None:
        with self._told():
            self._connection = await self._primary.connect(0.0)

    async def _pages(self, key: bytes) -> AsyncIterator[list[Answer]]:
        after = b"-"
        count = b"%d" % _PAGE_GROUPS
        while True:
            page = await self._asked(b"XRANGE", key, after, b"+", b"COUNT", count)
            if not (isinstance(page, list) and page):
                return
            yield [*page]
            match page[-1]:
                case [bytes(last), _]:
                    after = b"(" + last
                case entry:
                    raise _unreadable(self, entry)

    async def _asked(self, *command: bytes) -> Answer:
        with self._told():
            answer = await self._connected().ask_one(*command)
        if isinstance(answer, ResponseError):
            raise self._refused(answer)
        return answer

    def _refused(self, error: ResponseError) -> CommitLogError:
        code = code_of(error)
        text = str(error).removeprefix(f"{code} ")
        if code == "TAKEN":
            return CommitLogError(f"{self}: {text}; name another prefix, or delete the keys")
        if code in ("OOM", "MISCONF"):
            return LogFull(f"{self}: no room: {text}; make room")
        return CommitLogError(f"{self}: {code} {text}")

    def _connected(self) -> RedisConnection:
        assert self._connection is not None, f"{self} is not open"
        return self._connection

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Say what a lost connection means."""
        try:
            yield
        except (RedisUnreachable, RedisRefused) as error:
            raise CommitLogError(f"{self}: {error}; check the address and the server") from error


class RedisSource(_Redis):
    """
    Keys to move a cell from.

    Parameters
    ----------
    primary
        Finds the server.
    keys
        Keys of the cell.
    """

    def __init__(self, primary: RedisPrimary, keys: Keys) -> None:
        super().__init__(primary, keys)
        self._first: Head | None = None

    async def open(self) -> Head:
        """See that nobody owns it, and read where it stands."""
        await self._connect()
        self._first = await self._head()
        return self._first

    async def check_unchanged(self) -> None:
        """See that nobody has owned it since."""
        if await self._head() != self._first:
            raise LogHeld(f"{self}: acquired by an engine meanwhile; stop it, and begin again")

    async def _head(self) -> Head:
        holder = await self._asked(b"GET", self._keys.lease)
        if isinstance(holder, bytes):
            name = holder.decode(errors="replace")
            raise LogHeld(f"{self}: held by {name}; stop it, or let its lease lapse")
        match await self._asked(b"HMGET", self._keys.meta, *_META):
            case [None, _, _, _, _, None]:
                raise CommitLogError(f"{self}: no such keys, so no cell there")
            case [None, *_]:
                raise CommitLogError(f"{self}: a migration into it has not finished")
            case [bytes(epoch), bytes(token), bytes(sequence), bytes(schema), bytes(layout), _]:
                self._check_versions(int(schema), int(layout))
                return Head(int(schema), int(epoch), bytes.fromhex(token.decode()), int(sequence))
            case found:
                raise LogCorrupt(f"{self}: meta came as {found!r}; restore a copy")

    def _check_versions(self, schema: int, layout: int) -> None:
        if schema > SCHEMA_VERSION or layout > LAYOUT_VERSION:
            raise SchemaTooNew(
                f"{self}: written with schema {schema}, layout {layout}; this version reads up to "
                f"{SCHEMA_VERSION} and {LAYOUT_VERSION}"
            )


class RedisTarget(_Redis):
    """
    Keys to move a cell to.

    Parameters
    ----------
    primary
        Finds the server.
    keys
        Keys of the cell; none of them may be there.
    tier
        What is promised; the server is checked for it.
    wait_replicas
        Replicas that must have all of it.
    reply_window_ms
        How long replies are kept, milliseconds.
    """

    def __init__(
        self,
        primary: RedisPrimary,
        keys: Keys,
        *,
        tier: Tier,
        wait_replicas: int,
        reply_window_ms: int,
    ) -> None:
        super().__init__(primary, keys)
        self._tier: Tier = tier
        self._wait_replicas = wait_replicas
        self._reply_window_ms = reply_window_ms
        self._migration = secrets.token_hex(16).encode()
        self._owner = f"headgate migrate on {socket.gethostname()}, process {os.getpid()}".encode()
        self._events_bytes = 0

    async def begin(self, source: str) -> None:
        """Have the server checked, and mark the cell as one that is being put together."""
        await self._connect()
        with self._told():
            found = await check_server(self._connected(), self._tier, self._wait_replicas)
        if found.refusals:
            raise CommitLogError(
                f"{self._primary} cannot give durability {self._tier}: "
                + "; ".join(f"it {text}" for text in found.refusals)
            )
        match await self._run(BEGIN, self._keys, source.encode()):
            case [0, int(left_ms), bytes(holder)]:
                name = holder.decode(errors="replace")
                raise LogHeld(f"{self}: held by {name} for another {left_ms} ms; let it finish")

    async def put_rows(self, rows: Sequence[RowDelta]) -> None:
        """Add rows."""
        keys = self._keys
        await self._run(
            PUT_ROWS, (keys.meta, keys.lease, keys.rows, keys.payloads), pack_changes(rows)
        )

    async def put_groups(self, groups: Sequence[KeptGroup]) -> None:
        """Add groups, each with the bytes of events up to it."""
        strings: list[bytes] = []
        for sequence, token, events in groups:
            self._events_bytes += len(events)
            total = b"%d" % self._events_bytes
            fields = (b"t", token.hex().encode(), b"n", total, b"e", events)
            strings += (b"%d-0" % sequence, *fields)
        await self._put_entries(self._keys.log, 7, strings)

    async def put_replies(self, replies: Sequence[KeptReplies]) -> None:
        """Add replies."""
        strings = [
            part for sequence, packed in replies for part in (b"%d-0" % sequence, b"r", packed)
        ]
        await self._put_entries(self._keys.replies, 3, strings)

    async def settle(self) -> None:
        """Have replicas take all of it."""
        await self._await_replicas("nothing was moved")

    async def finish(self, head: Head) -> None:
        """Write where it stands, and let go of the lease."""
        keys = self._keys
        await self._run(
            FINISH,
            (keys.meta, keys.lease, keys.replies),
            b"%d" % (self._reply_window_ms + REPLIES_OUTLIVE_MS),
            *(b"epoch", b"%d" % head.epoch, b"token", head.token.hex().encode()),
            *(b"sequence", b"%d" % head.sequence, b"bytes", b"%d" % self._events_bytes),
            *(b"schema", b"%d" % head.schema_version, b"layout", b"%d" % LAYOUT_VERSION),
            *(b"owner", self._owner),
        )
        await self._await_replicas("the cell is on the primary, complete")

    async def abandon(self) -> None:
        """Delete the keys."""
        await self._run(ABANDON, self._keys)

    async def _put_entries(self, key: bytes, width: int, strings: list[bytes]) -> None:
        packed = pack_strings(strings)
        place = (self._keys.meta, self._keys.lease, key)
        await self._run(PUT_ENTRIES, place, b"%d" % width, packed)

    async def _run(self, script: Script, keys: Sequence[bytes], *arguments: bytes) -> Answer:
        ours = (self._migration, self._owner, b"%d" % _LEASE_MS)
        return await self._asked(*evaluated(script, keys, (*ours, *arguments)))

    async def _await_replicas(self, otherwise: str) -> None:
        count = b"%d" % self._wait_replicas
        with self._told():
            command = (b"WAIT", count, b"%d" % _WAIT_MS)
            (found,) = await self._connected().ask([command], _WAIT_MS / 1_000)
        if not (isinstance(found, int) and found >= self._wait_replicas):
            raise CommitLogError(
                f"{self}: {found!r} replicas have it, expected {self._wait_replicas}; {otherwise}"
            )


def _group(cell: _Redis, entry: Answer) -> KeptGroup:
    match entry:
        case [bytes(entry_id), [b"t", bytes(token), b"n", _, b"e", bytes(events)]]:
            return KeptGroup(_sequence(entry_id), bytes.fromhex(token.decode()), events)
        case _:
            raise _unreadable(cell, entry)


def _replies(cell: _Redis, entry: Answer) -> KeptReplies:
    match entry:
        case [bytes(entry_id), [b"r", bytes(packed)]]:
            return KeptReplies(_sequence(entry_id), packed)
        case _:
            raise _unreadable(cell, entry)


def _sequence(entry_id: bytes) -> int:
    return int(entry_id.partition(b"-")[0])


def _unreadable(cell: _Redis, entry: Answer) -> LogCorrupt:
    return LogCorrupt(f"{cell}: an entry came as {entry!r}; restore a copy")
