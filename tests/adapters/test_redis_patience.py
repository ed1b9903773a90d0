"""How long a server is waited for: while it says something, and by a loop that could listen."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest
import uvloop

from adapters.commit_log import StoredReply
from adapters.redis_log import reading
from adapters.redis_log.address import parse_redis_url
from adapters.redis_log.connection import Answer, Command, RedisConnection, RedisUnreachable
from adapters.redis_log.reading import nothing, read_cell
from adapters.redis_log.terms import Kept
from adapters.sqlite_file import unpack_replies
from tests.adapters.commit_log_contract import commit_all, contact, group, reply
from tests.adapters.redis_cell import NewCell
from tests.adapters.stand_in_redis import stand_in
from tests.end_to_end.redis_servers import RedisServer

WITHIN_S = 0.1

Ping = Callable[[asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def opened(server: RedisServer) -> AsyncIterator[RedisConnection]:
    """A connection to a server."""
    address = parse_redis_url(server.url)
    connection = await RedisConnection.open(address, address.hosts[0], WITHIN_S)
    try:
        yield connection
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def connected_to(ping: Ping) -> AsyncIterator[RedisConnection]:
    """A connection to a server that has its own way to answer PING."""

    async def answer(words: Sequence[bytes], writer: asyncio.StreamWriter) -> None:
        if words == [b"PING"]:
            await ping(writer)
        else:
            writer.write(b"+OK\r\n")

    async with stand_in(answer) as port:
        address = parse_redis_url(f"redis://127.0.0.1:{port}")
        connection = await RedisConnection.open(address, address.hosts[0], WITHIN_S)
        try:
            yield connection
        finally:
            await connection.close()


async def test_long_answer_is_read_as_long_as_it_goes_on() -> None:
    """A large page over a slow line takes its time, and is no sign of a dead server."""

    async def in_pieces(writer: asyncio.StreamWriter) -> None:
        writer.write(b"$12\r\n")
        for _ in range(12):
            writer.write(b"x")
            await asyncio.sleep(WITHIN_S / 4)
        writer.write(b"\r\n")

    async with connected_to(in_pieces) as connection:
        assert await connection.ask_one(b"PING") == b"x" * 12


async def test_answer_that_stops_half_way_is_given_up() -> None:
    """What has begun must go on: else a server that dies in its answer would be waited for."""

    async def half(writer: asyncio.StreamWriter) -> None:
        writer.write(b"$12\r\nxxxx")

    async with connected_to(half) as connection:
        begun_s = time.monotonic()
        with pytest.raises(RedisUnreachable):
            await connection.ask_one(b"PING")
        assert time.monotonic() - begun_s >= WITHIN_S
        with pytest.raises(RedisUnreachable, match="the connection is closed"):
            await connection.ask_one(b"PING")


async def test_silent_server_is_given_up_even_by_a_busy_loop() -> None:
    """A loop that is always late must come to an end with it, too."""

    async def nothing_at_all(_: asyncio.StreamWriter) -> None:
        pass

    async with connected_to(nothing_at_all) as connection:
        asking = asyncio.create_task(connection.ask_one(b"PING"))
        begun_s = time.monotonic()
        while not asking.done():
            assert time.monotonic() - begun_s < 30 * WITHIN_S
            time.sleep(WITHIN_S / 2)
            await asyncio.sleep(0)
        with pytest.raises(RedisUnreachable):
            await asking


@pytest.mark.needs_redis
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
@pytest.mark.parametrize("blocked_after_s", [0.0, WITHIN_S / 2, WITHIN_S * 0.7])
def test_loop_that_was_blocked_looks_before_it_gives_up(
    server: RedisServer, run: Callable[..., object], blocked_after_s: float
) -> None:
    """The answer was there all the while: a process that stood still says nothing of a server."""

    async def ask_and_be_blocked() -> None:
        async with opened(server) as connection:
            asking = asyncio.create_task(connection.ask((b"WAIT 1 75".split(), (b"PING",))))
            await asyncio.sleep(blocked_after_s)
            time.sleep(3 * WITHIN_S)
            assert (await asking)[1] == b"PONG"

    run(ask_and_be_blocked())


@pytest.mark.needs_redis
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_connection_is_made_by_a_loop_that_was_blocked(
    server: RedisServer, run: Callable[..., object]
) -> None:
    """It takes several answers, and each may have come long ago."""

    async def connect_and_be_blocked() -> None:
        async with opened(server) as connection:
            assert await connection.ask_one(b"PING") == b"PONG"

    async def block() -> None:
        connecting = asyncio.create_task(connect_and_be_blocked())
        for _ in range(3):
            await asyncio.sleep(0)
            time.sleep(3 * WITHIN_S)
        await connecting

    run(block())


class Turns:
    """
    What is done in one turn of the loop.

    Attributes
    ----------
    most
        Most that was counted in one of them.
    """

    def __init__(self) -> None:
        self.most = 0
        self._now = 0
        self._loop = asyncio.get_running_loop()
        self._next = self._loop.call_soon(self._begin)

    def count(self, number: int) -> None:
        """Count so many more in this turn."""
        self._now += number
        self.most = max(self.most, self._now)

    def end(self) -> None:
        """Count no longer."""
        self._next.cancel()

    def _begin(self) -> None:
        self._now = 0
        self._next = self._loop.call_soon(self._begin)


@pytest.mark.needs_redis
async def test_cell_with_large_groups_of_replies_is_read(
    new_cell: NewCell, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes over after a bulk upload can load what it left, and goes on with the rest."""
    cell = new_cell(server.url)
    log = cell.log()
    replies = [[reply(f"{number}-{n}") for n in range(400)] for number in range(1_100)]
    # Small ones first, so that many are asked for at once when the large ones come.
    replies = [[reply(f"first-{number}")] for number in range(1_000)] + replies
    bulk = [group(b"", [contact(row, b"r", b"p")], some) for row, some in enumerate(replies)]
    await commit_all(log, await log.acquire("a"), bulk)
    turns = Turns()

    def unpack(packed: bytes) -> list[StoredReply]:
        found = unpack_replies(packed)
        turns.count(len(found))
        return found

    monkeypatch.setattr(reading, "unpack_replies", unpack)
    async with opened(server) as connection:
        stored = await read_cell(connection, cell.keys, Kept(), nothing)
    turns.end()
    assert (len(stored.state.rows), stored.replies_count) == (2_100, 441_000)
    assert stored.state.replies[-1].request_id == "1099-399"
    # Some milliseconds.
    assert turns.most < 10_000


@pytest.mark.needs_redis
@pytest.mark.parametrize("size", [10, 20_000])
async def test_pages_are_as_large_as_others_can_wait_for(
    new_cell: NewCell, server: RedisServer, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Many small rows at once are quick; as many large payloads would hold the server up."""
    cell = new_cell(server.url)
    log = cell.log()
    rows = [contact(row, b"r", b"p" * size) for row in range(10_000_000 // (size + 1_000))]
    groups = [group(rows=rows[at::20]) for at in range(20)]
    await commit_all(log, await log.acquire("a"), groups)
    asks = RedisConnection.ask
    pages: list[int] = []

    async def ask(
        connection: RedisConnection, commands: Sequence[Command], longer_s: float = 0.0
    ) -> list[Answer]:
        answers = await asks(connection, commands, longer_s)
        if commands[0][:2] == (b"HSCAN", cell.keys.payloads):
            match answers:
                case [[_, list(fields)]]:
                    pages.append(sum(len(value) for value in fields if isinstance(value, bytes)))
        return answers

    monkeypatch.setattr(RedisConnection, "ask", ask)
    assert list((await log.load()).rows) == rows
    assert max(pages) < 2_000_000
    assert len(pages) < 60
