"""How full the memory of a cell's primary is: new contacts stop before commits do."""

import asyncio
import contextlib
import itertools
from collections.abc import Mapping
from typing import Final

import structlog

from adapters.redis_log.connection import RedisConnection, RedisRefused, RedisUnreachable
from adapters.redis_log.primary import RedisPrimary
from adapters.redis_log.server_check import parse_info
from adapters.redis_log.terms import CommitCounts, Terms

_log = structlog.get_logger(__name__)

# Of maxmemory: from where on no new contact is taken in, and below where they come again. What is
# left lets the contacts that are there be handled to their end, which is what makes room.
_CLOSES_AT: Final = 0.85
_OPENS_BELOW: Final = 0.80
_ASK_EVERY_S: Final = 1.0
# After so many, who is primary is looked up again: slots move, primaries become replicas.
_ASKS_OF_ONE: Final = 30


class RedisRoom:
    """
    Asks the primary once a second.

    Parameters
    ----------
    primary
        Whom to ask.
    terms
        How long it may take to answer.
    counts
        Where the share in use is shown.

    Attributes
    ----------
    is_nearly_full
        Whether 85 % are in use, until less than 80 % are.
    """

    def __init__(self, primary: RedisPrimary, terms: Terms, counts: CommitCounts) -> None:
        self.is_nearly_full = False
        self._primary = primary
        self._terms = terms
        self._counts = counts
        self._connection: RedisConnection | None = None
        self._task: asyncio.Task[None] | None = None

    def watch(self) -> None:
        """Begin to ask."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._ask_each_second())

    async def close(self) -> None:
        """Ask no more; may be called twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))
            # Who has the cell next tells of its memory.
            self._counts.memory_used.set(0.0)
        await self._drop()

    async def _ask_each_second(self) -> None:
        for number in itertools.count(1):
            try:
                if self._connection is None:
                    self._connection = await self._primary.connect(self._terms.answer_within_s)
                told = await self._connection.ask_one(b"INFO", b"MEMORY")
            except (RedisUnreachable, RedisRefused):
                # Commits tell of that; who is primary next is found anew.
                await self._drop()
            else:
                if not isinstance(told, bytes):
                    return
                self._note(used_share(parse_info(told)))
            if number % _ASKS_OF_ONE == 0:
                await self._drop()
            await asyncio.sleep(_ASK_EVERY_S)

    def _note(self, share: float) -> None:
        self._counts.memory_used.set(share)
        was_nearly_full = self.is_nearly_full
        self.is_nearly_full = share >= (_OPENS_BELOW if was_nearly_full else _CLOSES_AT)
        if self.is_nearly_full != was_nearly_full:
            event = "redis_nearly_full" if self.is_nearly_full else "redis_has_room_again"
            _log.warning(event, primary=str(self._primary), used=round(share, 3))

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(RedisUnreachable):
                await connection.close()


def used_share(info: Mapping[str, str]) -> float:
    """
    Share of maxmemory in use as the server counts it before it refuses writes; 0 without a bound.
    """
    most = int(info.get("maxmemory", 0))
    used = int(info.get("used_memory", 0)) - int(info.get("mem_not_counted_for_evict", 0))
    return used / most if most > 0 else 0.0
