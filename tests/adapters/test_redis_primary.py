"""Who is taken for the primary where those who are asked do not agree, or do not know."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from adapters.redis_log.address import parse_redis_url
from adapters.redis_log.connection import RedisRefused, RedisUnreachable
from adapters.redis_log.primary import RedisPrimary
from tests.adapters.stand_in_redis import Answers, Spoken, stand_in, table
from tests.end_to_end.redis_servers import free_port

WITHIN_S = 0.5
MASTER = table({b"ROLE": [b"master", 0, []]})
REPLICA = table({b"ROLE": [b"slave", b"127.0.0.1", 1, b"connected", 0]})
DENIED = Exception("NOPERM this user has no permissions to run the command")


def sentinel(port: int, epoch: int | None) -> Answers:
    """A Sentinel that names a primary, as of an election where it tells that."""
    detail: Spoken = DENIED
    if epoch is not None:
        detail = [b"name", b"main", b"config-epoch", b"%d" % epoch, b"quorum", b"2"]
    address: Spoken = [b"127.0.0.1", b"%d" % port]
    return table(
        {b"SENTINEL GET-MASTER-ADDR-BY-NAME MAIN": address, b"SENTINEL MASTER MAIN": detail}
    )


def node(port: int, epoch: int | None) -> Answers:
    """A node of a cluster, likewise."""
    name = b"%040d" % port
    lines = b"%b 127.0.0.1:1@2 myself,slave %b 0 0 99 connected\n" % (b"f" * 40, name)
    lines += b"%b 127.0.0.1:%d@3 master - 0 0 %d connected 0-16383\n" % (name, port, epoch or 0)
    slots: Spoken = [[0, 16_383, [b"127.0.0.1", port, name]]]
    return table({b"CLUSTER SLOTS": slots, b"CLUSTER NODES": DENIED if epoch is None else lines})


KINDS = pytest.mark.parametrize(
    ("kind", "names"), [("sentinel", sentinel), ("cluster", node)], ids=["sentinel", "cluster"]
)
Names = Callable[[int, int | None], Answers]
KNOWS_NOTHING = {
    "sentinel": table({b"SENTINEL G": None, b"SENTINEL M": Exception("ERR No such master")}),
    "cluster": table({b"CLUSTER": Exception("ERR This instance has cluster support disabled")}),
}


@contextlib.asynccontextmanager
async def started(*all_answers: Answers) -> AsyncIterator[list[int]]:
    """Servers; their ports."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(stand_in(answers)) for answers in all_answers]


@contextlib.asynccontextmanager
async def asking(kind: str, *all_answers: Answers) -> AsyncIterator[RedisPrimary]:
    """Who asks servers that answer so, in this order."""
    async with started(*all_answers) as ports:
        yield of(kind, ports)


def of(kind: str, ports: Sequence[int], user: str = "") -> RedisPrimary:
    """Who asks servers at these ports."""
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    service = "/main" if kind == "sentinel" else ""
    return RedisPrimary(parse_redis_url(f"redis+{kind}://{user}{hosts}{service}"), "cell", WITHIN_S)


async def found(primary: RedisPrimary) -> int:
    """Port of the server that is found."""
    connection = await primary.connect(0.0)
    await connection.close()
    return int(connection.host.rpartition(":")[2])


@KINDS
async def test_one_that_was_cut_off_before_an_election_is_not_believed(
    kind: str, names: Names
) -> None:
    """The old primary still says that it is one, to an engine that can reach both sides."""
    async with started(MASTER, MASTER) as (old, new):
        answers = names(old, 3), names(new, 4), names(old, 3)
        for turn in range(3):
            async with asking(kind, *answers[turn:], *answers[:turn]) as primary:
                assert await found(primary) == new


@KINDS
async def test_most_are_believed_where_nobody_tells_of_elections(kind: str, names: Names) -> None:
    """A user may be allowed to ask who is primary, and no more."""
    async with started(MASTER, MASTER) as (old, new):
        answers = names(old, None), names(new, None), names(new, None)
        async with asking(kind, *answers) as primary:
            assert await found(primary) == new


@KINDS
async def test_others_are_believed_the_next_time_where_as_many_say_either(
    kind: str, names: Names
) -> None:
    """What the wrong one makes doubtful must come to an end."""
    async with (
        started(MASTER, MASTER) as (old, new),
        asking(kind, names(old, None), names(new, None)) as primary,
    ):
        assert {await found(primary), await found(primary)} == {old, new}


@KINDS
async def test_all_are_asked_in_the_end(kind: str, names: Names) -> None:
    """However many were cut off together, and come first in the URL."""
    async with started(MASTER, MASTER) as (old, new):
        answers = [names(old, 3)] * 4 + [names(new, 4)] * 2
        async with asking(kind, *answers) as primary:
            assert new in [await found(primary) for _ in range(3)]


@KINDS
async def test_one_that_forgot_everything_is_passed_over(kind: str, names: Names) -> None:
    """A server that comes back without its file refuses; the others know."""
    async with started(MASTER) as (new,):
        nothing = KNOWS_NOTHING[kind]
        async with asking(kind, *[nothing] * 4, names(new, 1)) as primary:
            assert await found(primary) == new


@KINDS
async def test_refusal_of_all_is_told_at_once(kind: str, names: Names) -> None:
    """Trying on helps nobody whose URL is wrong."""
    told = {"sentinel": "watches no service 'main'", "cluster": "is not a node of a cluster"}
    async with asking(kind, *[KNOWS_NOTHING[kind]] * 2) as primary:
        with pytest.raises(RedisRefused, match=told[kind]):
            await primary.connect(60.0)
    async with started(KNOWS_NOTHING[kind]) as (alive,):
        with pytest.raises(RedisUnreachable, match=told[kind]):
            await of(kind, [alive, free_port()]).connect(0.0)


@KINDS
async def test_primary_that_refuses_us_is_told_whoever_else_is_down(
    kind: str, names: Names
) -> None:
    """A wrong password is not tried again because a Sentinel is being restarted as well."""
    refusing = table({b"AUTH": Exception("WRONGPASS invalid username-password pair")})
    async with started(refusing) as (primary,), started(names(primary, 1)) as (alive,):
        with pytest.raises(RedisRefused, match=f":{primary}: invalid username-password pair"):
            await of(kind, [free_port(), alive], "user:wrong@").connect(60.0)


@KINDS
async def test_next_best_is_taken_where_the_best_is_gone(kind: str, names: Names) -> None:
    """Somebody's word of a server that is no primary must not stand in the way of the rest."""
    async with started(REPLICA, MASTER) as (gone, good):
        async with asking(kind, names(free_port(), 9), names(gone, 8), names(good, 1)) as primary:
            assert await found(primary) == good
        async with asking(kind, names(gone, 8)) as primary:
            with pytest.raises(RedisUnreachable, match="a replica of 127"):
                await primary.connect(0.0)


@KINDS
async def test_silent_one_holds_nobody_up_for_long(kind: str, names: Names) -> None:
    """A machine that is gone takes every packet and says nothing; a failover is short."""

    async def silent(_: Sequence[bytes], __: asyncio.StreamWriter) -> None:
        pass

    async with (
        started(MASTER) as (new,),
        asking(kind, silent, names(new, 1), silent) as primary,
    ):
        begun_s = time.monotonic()
        assert await found(primary) == new
        assert time.monotonic() - begun_s < WITHIN_S
