"""
What a cell holds, read while the lease of an owner that has fallen silent still runs.

An owner renews every quarter of its lease's life. Where two renewals did not come it is probably
dead, and whoever waits for the cell has the rest of that life to read what it will need.

Safety does not rest on the guess. Every commit changes the token at the log's end, so that what was
read behind one token is all there is wherever the log, once it is acquired, ends with the same. For
that the log must have ended with it before the first row was read and after the last, on a server
that was primary all the while: one that lost its role may have been given another log in between,
and the first one back.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog

from adapters.collection import collection_paused
from adapters.commit_log import CommitLogError, LoadedState
from adapters.redis_log.connection import RedisConnection, RedisRefused, RedisUnreachable
from adapters.redis_log.primary import RedisPrimary
from adapters.redis_log.reading import BetweenPages, StoredCell, nothing, read_cell
from adapters.redis_log.scripts import Keys
from adapters.redis_log.server_check import parse_info
from adapters.redis_log.terms import Kept, Terms

_log = structlog.get_logger(__name__)

# Of the lease's life left: from there on its owner counts as silent.
_SILENT_BELOW: Final = 0.6
# What a load that nothing was read ahead for meets as well, and tells in words.
_FAILURES: Final = (RedisUnreachable, RedisRefused, CommitLogError)


class Foresight:
    """
    Reads a cell ahead, over a connection of its own.

    Parameters
    ----------
    primary
        Finds the server.
    keys
        Keys of the cell.
    terms
        How long the lease lasts, and how long a server may take.
    kept
        Which replies are still wanted.

    Attributes
    ----------
    use
        Told what was read, and None where that did not come true.
    """

    def __init__(self, primary: RedisPrimary, keys: Keys, terms: Terms, kept: Kept) -> None:
        self.use: Callable[[LoadedState | None], None] = lambda _: None
        self._primary = primary
        self._keys = keys
        self._terms = terms
        self._kept = kept
        self._reading: asyncio.Task[StoredCell | None] | None = None
        self._between_pages: BetweenPages = nothing

    async def see(self, left_ms: int) -> None:
        """Begin to read, or forget what was read, by how much is left of another owner's lease."""
        is_silent = 0 <= left_ms < _SILENT_BELOW * self._terms.lease_ms
        if not is_silent:
            await self.forget()
        elif self._reading is None:
            self._reading = asyncio.create_task(self._read())

    async def recall(self, token: bytes, between_pages: BetweenPages) -> StoredCell | None:
        """
        What was read behind a token, once it has all been read; None where it was another or none.

        Parameters
        ----------
        token
            With which the log ends that was acquired, 32 hexadecimal digits.
        between_pages
            Awaited before each page that is still to be read.
        """
        reading, self._reading = self._reading, None
        if reading is None:
            return None
        self._between_pages = between_pages
        try:
            stored = await reading
        finally:
            reading.cancel()
            self._between_pages = nothing
        if stored is not None and stored.token == token:
            return stored
        self.use(None)
        return None

    async def forget(self) -> None:
        """Read no further, and keep nothing of it."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            self.use(None)

    async def _read(self) -> StoredCell | None:
        begun_s = time.monotonic()
        connection = None
        try:
            connection = await self._primary.connect(self._terms.answer_within_s)
            with collection_paused():
                stored = await self._read_over(connection)
        except _FAILURES as error:
            _log.info("not_read_ahead", key=self._keys.meta.decode(), why=str(error))
            return None
        finally:
            if connection is not None:
                await connection.close()
        _log.info(
            "read_ahead",
            key=self._keys.meta.decode(),
            rows=len(stored.state.rows),
            took_s=round(time.monotonic() - begun_s, 3),
        )
        self.use(stored.state)
        return stored

    async def _read_over(self, connection: RedisConnection) -> StoredCell:
        history = await _history(connection)
        stored = await read_cell(connection, self._keys, self._kept, self._before_page)
        token = await connection.ask_one(b"HGET", self._keys.meta, b"token")
        if token != stored.token or await _history(connection) != history:
            raise CommitLogError(f"{connection.host}: its log went on meanwhile")
        return stored

    async def _before_page(self) -> None:
        await self._between_pages()


async def _history(connection: RedisConnection) -> str:
    """What a server that is promoted gets a new one of; raises CommitLogError on any other."""
    told = await connection.ask_one(b"INFO", b"replication")
    info = parse_info(told) if isinstance(told, bytes) else {}
    if info.get("role") != "master" or "master_replid" not in info:
        raise CommitLogError(f"{connection.host}: does not say that it is primary")
    return info["master_replid"]
