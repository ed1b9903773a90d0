"""What engines that share cells tell each other, over a real Redis."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from adapters.placement.fleet import Heartbeat, Held, Move
from adapters.placement.registry import EngineRegistry, RegistryFailed, Replaced
from adapters.placement.scripts import PlacementKeys
from adapters.redis_log.address import parse_redis_url
from tests.end_to_end.redis_servers import RedisServer

pytestmark = pytest.mark.needs_redis

NewRegistry = Callable[..., EngineRegistry]


def registry(server: RedisServer, prefix: str = "p") -> EngineRegistry:
    """Make another engine's way to the keys."""
    return EngineRegistry(parse_redis_url(server.url), prefix, 1.0)


@pytest.fixture
async def registered(server: RedisServer) -> AsyncIterator[NewRegistry]:
    """Make ways to the keys; their connections are closed at the end."""
    made: list[EngineRegistry] = []

    def make(prefix: str = "p") -> EngineRegistry:
        made.append(registry(server, prefix))
        return made[-1]

    yield make
    for one in made:
        await one.close()


def told(engine: str, **fields: object) -> Heartbeat:
    """What an engine tells."""
    return Heartbeat(engine, f"{engine}:1", "1", 6, **fields)  # type: ignore[arg-type]


async def test_engines_see_each_other_until_they_fall_silent(
    server: RedisServer, registered: NewRegistry
) -> None:
    """Only the server's clock decides who lives, and the dead leave nothing behind."""
    first, second = registered(), registered()
    held = told("one", cells={"x": Held(3, 5)}, waits=frozenset({"y"}))
    await first.beat(held, 200)
    fleet = await second.beat(told("two"), 60_000)
    assert fleet.engines == {"one": held, "two": told("two")}
    assert 0 < fleet.left_ms["one"] <= 200
    await asyncio.sleep(0.25)
    assert (await second.look()).engines.keys() == {"two"}
    await second.beat(told("two"), 60_000)
    assert server.run("HKEYS", PlacementKeys.of("p").engines) == [b"two"]
    assert (await registered("q").look()).engines == {}


async def test_engine_that_leaves_is_gone_at_once(
    server: RedisServer, registered: NewRegistry
) -> None:
    """Its cells need not wait for it to be taken for dead."""
    first, second = registered(), registered()
    await first.beat(told("one"), 60_000)
    await first.leave("one")
    assert (await second.look()).engines == {}
    # Not what came later under the same name.
    await second.beat(told("one"), 60_000)
    await first.leave("one")
    assert (await second.look()).engines.keys() == {"one"}


async def test_name_belongs_to_whoever_took_it_last(
    server: RedisServer, registered: NewRegistry
) -> None:
    """A pod that comes back has its name at once; of two by mistake, one must end."""
    first, second = registered(), registered()
    await first.beat(told("one"), 60_000)
    await second.beat(told("one", is_draining=True), 60_000)
    with pytest.raises(Replaced):
        await first.beat(told("one"), 60_000)
    assert (await second.look()).engines["one"].is_draining


async def test_moves_and_drains_last_as_long_as_was_said(
    server: RedisServer, registered: NewRegistry
) -> None:
    """What somebody did in a night shift must not surprise others a month later."""
    keys = registered()
    await keys.move("x", "pod 1")
    await keys.move("y", "pod-2", 60_000)
    await keys.move("z", "pod-3", 1)
    await keys.drain("pod-4")
    await keys.drain("pod-5", 1)
    await asyncio.sleep(0.01)
    fleet = await keys.look()
    assert fleet.moves["x"] == Move("pod 1", 0)
    assert fleet.now_ms < fleet.moves["y"].until_ms <= fleet.now_ms + 60_000
    assert fleet.moves.keys() == {"x", "y"}
    assert fleet.drained == {"pod-4": 0}
    assert await keys.undo_move("x")
    assert not await keys.undo_move("x")
    assert await keys.undo_drain("pod-4")
    assert not await keys.undo_drain("pod-4")
    assert (await keys.look()).moves.keys() == {"y"}


async def test_what_cannot_be_read_is_left_alone(
    server: RedisServer, registered: NewRegistry
) -> None:
    """One broken heartbeat must not blind all the others."""
    keys = registered()
    await keys.beat(told("one"), 60_000)
    names = PlacementKeys.of("p")
    server.run("HSET", names.engines, "broken", "x" * 40)
    server.run("ZADD", names.beats, "99999999999999", "broken")
    assert (await keys.look()).engines.keys() == {"one"}


async def test_server_that_does_not_answer_is_named(
    server: RedisServer, registered: NewRegistry
) -> None:
    """An operator reads this line first."""
    keys = registered()
    await keys.look()
    server.kill()
    with pytest.raises(RegistryFailed, match=f"^{server.url}: "):
        await keys.beat(told("one"), 60_000)
    server.start()
    await keys.beat(told("one"), 60_000)
    server.run("SET", PlacementKeys.of("p").moves, "x")
    with pytest.raises(RegistryFailed, match="WRONGTYPE"):
        await keys.look()
