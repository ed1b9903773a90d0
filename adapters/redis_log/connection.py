"""
One connection to one Redis server, with nothing between: no pool, no retry, no cluster map.

Commits need exactly that. WAIT speaks of the writes of the connection it is sent on, so a client
that picks a connection, or a node, by itself would have it answer for somebody else's writes; and
one that silently sends a script again would hide that an outcome was in doubt.

A server is given up when it has been silent for too long, not when its answer is long: what has
begun to come may take its time. And silence counts only while the loop listens. One that was kept
from it finds its timers due before it has looked into its sockets, where the answer may have lain
all the while.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Final

from redis._parsers import _AsyncHiredisParser
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from adapters.redis_log.address import RedisAddress, shown

Command = Sequence[bytes]
Reply = bytes | int | list["Reply"] | None
# A reply, or the error the server answered with.
Answer = Reply | ResponseError

# Besides the time to answer: a slow line still carries so much.
_BYTES_PER_S: Final = 10_000_000
_CLOSE_WITHIN_S: Final = 0.5
# In so many parts, each listened through, silence is waited out; parts are looked at no more often
# than this, however late the loop always is.
_PARTS: Final = 4
_LOOKS_MAX: Final = 8
# Of a part: how late a loop looks that has listened.
_LATE_BY: Final = 0.25


class RedisUnreachable(Exception):
    """No answer: the connection could not be made, broke, or stayed silent for too long."""


class RedisRefused(Exception):
    """The server will not talk to us: credentials or permissions are wrong."""


class RedisConnection:
    """
    A connection. One task uses it at a time; after RedisUnreachable it is closed.

    Attributes
    ----------
    host
        HOST:PORT it leads to.
    """

    def __init__(
        self, connection: Connection, heard: "_Heard", host: str, answer_within_s: float
    ) -> None:
        self._connection = connection
        self._heard = heard
        self._answer_within_s = answer_within_s
        self.host = host

    @classmethod
    async def open(
        cls, address: RedisAddress, host: tuple[str, int], answer_within_s: float
    ) -> "RedisConnection":
        """
        Connect to one of the servers and say who we are.

        Raises
        ------
        RedisUnreachable, RedisRefused
            There is no connection.
        """
        heard = _Heard()
        connection = _made(address, host, heard)
        name = shown(*host)
        try:
            async with _Patience(heard, 2 * answer_within_s):
                await connection.connect()  # type: ignore[no-untyped-call]
        except (AuthenticationError, NoPermissionError) as error:
            await _drop(connection)
            raise RedisRefused(f"{name}: {error}") from None
        except ResponseError as error:
            await _drop(connection)
            raise RedisRefused(f"{name}: {error}") from None
        except (RedisError, OSError) as error:
            await _drop(connection)
            raise RedisUnreachable(f"{name}: {_told(error)}") from None
        except BaseException:
            await _drop(connection)
            raise
        return cls(connection, heard, name, answer_within_s)

    async def ask(self, commands: Sequence[Command], longer_s: float = 0.0) -> list[Answer]:
        """
        Send commands in one write; returns the answer to each.

        Parameters
        ----------
        commands
            What to send.
        longer_s
            How much longer than usual the server may take, seconds; for WAIT.

        Raises
        ------
        RedisUnreachable
            Nothing came for too long before every answer was there; what was sent may have been
            done.
        """
        packed = pack(commands)
        connection = self._connection
        if not connection.is_connected:
            # redis-py would connect again without a word.
            raise RedisUnreachable(f"{self.host}: the connection is closed")
        answers: list[Answer] = []
        try:
            within_s = self._answer_within_s + longer_s + len(packed) / _BYTES_PER_S
            async with _Patience(self._heard, within_s):
                await connection.send_packed_command(packed, check_health=False)
                while len(answers) < len(commands):
                    try:
                        answers.append(await connection.read_response())
                    except ResponseError as error:
                        answers.append(error)
        except (RedisError, OSError) as error:
            await _drop(connection)
            raise RedisUnreachable(f"{self.host}: {_told(error)}") from None
        except BaseException:
            # Half an answer may be in the socket: the next one would be read in its place.
            await _drop(connection)
            raise
        return answers

    async def ask_one(self, *command: bytes) -> Answer:
        """Send one command; see `ask`."""
        return (await self.ask((command,)))[0]

    async def close(self) -> None:
        """Close it; may be called twice."""
        await _drop(self._connection)


class _Heard:
    """
    What came over a connection.

    Attributes
    ----------
    reads
        How many times something was read from it.
    """

    __slots__ = ("reads",)

    def __init__(self) -> None:
        self.reads = 0


class _Listener(_AsyncHiredisParser):
    """redis-py's reader of answers, which tells when something came."""

    def __init__(self, heard: _Heard, socket_read_size: int) -> None:
        super().__init__(socket_read_size)
        self._heard = heard

    async def read_from_socket(self) -> bool:
        """Wait for more of an answer."""
        await super().read_from_socket()  # type: ignore[no-untyped-call]
        self._heard.reads += 1
        return True


class _Patience:
    """
    Raises TimeoutError in its body once nothing was heard for so long, as `asyncio.timeout` does.

    Parameters
    ----------
    heard
        What came over the connection.
    within_s
        How long it may be silent, seconds.
    """

    __slots__ = (
        "_due_s",
        "_heard",
        "_listened",
        "_looks",
        "_part_s",
        "_reads",
        "_timeout",
        "_timer",
    )

    def __init__(self, heard: _Heard, within_s: float) -> None:
        self._heard = heard
        self._part_s = within_s / _PARTS
        self._reads = heard.reads
        self._looks = self._listened = 0
        self._timeout = asyncio.timeout(None)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()
        self._wait()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        await self._timeout.__aexit__(kind, error, trace)

    def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        self._due_s = loop.time() + self._part_s
        self._timer = loop.call_at(self._due_s, self._look)

    def _look(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if self._heard.reads != self._reads:
            self._reads = self._heard.reads
            self._looks = self._listened = 0
        else:
            self._looks += 1
            self._listened += now_s - self._due_s <= _LATE_BY * self._part_s
        if self._listened == _PARTS or self._looks == _LOOKS_MAX:
            self._timeout.reschedule(now_s)
        else:
            self._wait()


def pack(commands: Sequence[Command]) -> bytes:
    """Put commands on the wire's form."""
    parts: list[bytes] = []
    for command in commands:
        parts.append(b"*%d\r\n" % len(command))
        for argument in command:
            parts += (b"$%d\r\n" % len(argument), argument, b"\r\n")
    return b"".join(parts)


def code_of(error: ResponseError) -> str:
    """The word an error reply begins with, which redis-py takes off those it knows."""
    known = _CODES.get(type(error).__name__)
    return known or str(error).partition(" ")[0]


_CODES: Final = {
    "NoScriptError": "NOSCRIPT",
    "ReadOnlyError": "READONLY",
    "OutOfMemoryError": "OOM",
    "NoPermissionError": "NOPERM",
    "AuthenticationError": "NOAUTH",
    "AuthenticationWrongNumberOfArgsError": "NOAUTH",
    "MovedError": "MOVED",
    "AskError": "ASK",
    "TryAgainError": "TRYAGAIN",
    "ClusterDownError": "CLUSTERDOWN",
    "MasterDownError": "MASTERDOWN",
    "ClusterCrossSlotError": "CROSSSLOT",
}


def _made(address: RedisAddress, host: tuple[str, int], heard: _Heard) -> Connection:
    tls = address.tls
    make = partial(Connection)
    if tls is not None:
        make = partial(  # type: ignore[assignment]
            SSLConnection,
            ssl_ca_certs=tls.ca or None,
            ssl_certfile=tls.certificate or None,
            ssl_keyfile=tls.key or None,
            ssl_min_version=ssl.TLSVersion.TLSv1_2,
        )
    # No timeouts of redis-py's own: it makes a task for every write that has one.
    return make(
        host=host[0],
        port=host[1],
        db=address.database,
        username=address.username or None,
        password=address.password or None,
        socket_timeout=None,
        socket_connect_timeout=None,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        parser_class=partial(_Listener, heard),
        client_name="headgate",
    )


def without_credentials(address: RedisAddress) -> RedisAddress:
    """The address as Sentinels are asked: their users are not those of the data."""
    return replace(address, username="", password="", database=0)


async def _drop(connection: Connection) -> None:
    """Close at once; how the other side takes it does not matter."""
    with contextlib.suppress(RedisError, OSError):
        async with asyncio.timeout(_CLOSE_WITHIN_S):
            await connection.disconnect(nowait=True)


def _told(error: Exception) -> str:
    return str(error) or type(error).__name__
