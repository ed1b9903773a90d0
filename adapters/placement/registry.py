"""Where engines that share cells tell each other that they live: a few keys in their Redis."""

import secrets
from collections.abc import Sequence
from typing import Final

import structlog
from redis.exceptions import ResponseError

from adapters.placement.fleet import FOREVER, Fleet, Heartbeat, Move
from adapters.placement.scripts import BEAT, LEAVE, LOOK, PUT, SLOT, PlacementKeys
from adapters.redis_log.address import RedisAddress
from adapters.redis_log.commits import evaluated
from adapters.redis_log.connection import (
    Answer,
    Command,
    RedisConnection,
    RedisRefused,
    RedisUnreachable,
    code_of,
)
from adapters.redis_log.primary import RedisPrimary

_log = structlog.get_logger(__name__)

_RUN_BYTES: Final = 16
_RUN_CHARACTERS: Final = 2 * _RUN_BYTES


class RegistryFailed(Exception):
    """The keys cannot be read or written now; the message names the server and what it said."""


class Replaced(Exception):
    """Another engine goes by our name; it came later."""


class EngineRegistry:
    """
    Heartbeats, and what people have said about where cells go. One task uses it at a time.

    Parameters
    ----------
    address
        The Redis.
    prefix
        Beginning of every key.
    answer_within_s
        How long a server may take to connect, and to answer, seconds.
    """

    def __init__(self, address: RedisAddress, prefix: str, answer_within_s: float) -> None:
        self._keys = PlacementKeys.of(prefix)
        self._primary = RedisPrimary(address, SLOT, answer_within_s)
        self._connection: RedisConnection | None = None
        self._run = secrets.token_hex(_RUN_BYTES).encode()
        self._has_begun = False

    async def beat(self, heartbeat: Heartbeat, expiry_ms: int) -> Fleet:
        """
        Tell the others that we live, for so many milliseconds; returns what is known now.

        Raises
        ------
        RegistryFailed
            Nobody knows whether they were told.
        Replaced
            Another engine has our name.
        """
        is_first = b"0" if self._has_begun else b"1"
        name, until = heartbeat.engine.encode(), b"%d" % expiry_ms
        arguments = (name, self._run, heartbeat.packed(), until, is_first)
        answer = await self._ask(evaluated(BEAT, self._keys, arguments))
        self._has_begun = True
        return _fleet(answer)

    async def leave(self, engine: str) -> None:
        """Tell the others that we live no more; raises RegistryFailed."""
        await self._ask(evaluated(LEAVE, self._keys, (engine.encode(), self._run)))

    async def look(self) -> Fleet:
        """What is known now; raises RegistryFailed."""
        return _fleet(await self._ask(evaluated(LOOK, self._keys, ())))

    async def move(self, cell: str, engine: str, for_ms: int = FOREVER) -> None:
        """Put a cell on an engine, for a time or until that is undone; raises RegistryFailed."""
        arguments = (cell.encode(), b"%d" % for_ms, b" " + engine.encode())
        await self._ask(evaluated(PUT, (self._keys.moves,), arguments))

    async def undo_move(self, cell: str) -> bool:
        """Undo that; whether there was anything to undo. Raises RegistryFailed."""
        return await self._ask((b"HDEL", self._keys.moves, cell.encode())) == 1

    async def drain(self, engine: str, for_ms: int = FOREVER) -> None:
        """Have an engine give its cells away, as `move` does."""
        arguments = (engine.encode(), b"%d" % for_ms, b"")
        await self._ask(evaluated(PUT, (self._keys.drains,), arguments))

    async def undo_drain(self, engine: str) -> bool:
        """Undo that, as `undo_move` does."""
        return await self._ask((b"HDEL", self._keys.drains, engine.encode())) == 1

    async def close(self) -> None:
        """Close the connection; may be called twice."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _ask(self, command: Command) -> Answer:
        try:
            if self._connection is None:
                self._connection = await self._primary.connect(0)
            answer = await self._connection.ask_one(*command)
        except (RedisUnreachable, RedisRefused) as error:
            await self.close()
            raise RegistryFailed(f"{self._primary}: {error}") from error
        except BaseException:
            await self.close()
            raise
        if isinstance(answer, ResponseError):
            # The server may be no primary any more.
            await self.close()
            if code_of(answer) == "REPLACED":
                raise Replaced(str(answer).removeprefix("REPLACED "))
            raise RegistryFailed(f"{self._primary}: {code_of(answer)} {answer}")
        return answer


def _fleet(answer: Answer) -> Fleet:
    """What the scripts tell."""
    match answer:
        case [int(now_ms), list(engines), list(beats), list(moves), list(drains)]:
            pass
        case _:
            raise RegistryFailed(f"the keys of placement gave {answer!r}")
    until_ms = {name: int(score) for name, score in _pairs(beats)}
    found: dict[str, Heartbeat] = {}
    for name, packed in _pairs(engines):
        if until_ms.get(name, 0) > now_ms:
            try:
                found[name] = Heartbeat.unpacked(name, packed[_RUN_CHARACTERS:])
            except ValueError as error:
                _log.warning("heartbeat_not_read", engine=name, error=str(error))
    return Fleet(
        found,
        {name: until_ms[name] - now_ms for name in found},
        {cell: move for cell, packed in _pairs(moves) if _lasts(move := _move(packed), now_ms)},
        {
            name: move.until_ms
            for name, packed in _pairs(drains)
            if _lasts(move := _move(packed), now_ms)
        },
        now_ms,
    )


def _move(packed: bytes) -> Move:
    until, _, engine = packed.decode().partition(" ")
    return Move(engine, int(until))


def _lasts(move: Move, now_ms: int) -> bool:
    return move.until_ms == FOREVER or move.until_ms > now_ms


def _pairs(flat: Sequence[Answer]) -> list[tuple[str, bytes]]:
    """Names and values that come by turns."""
    texts = [item for item in flat if isinstance(item, bytes)]
    return [(name.decode(), value) for name, value in zip(texts[::2], texts[1::2], strict=True)]
