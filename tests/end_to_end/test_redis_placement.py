"""Engines that share cells, while the servers that tell them of each other fail over."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from redis.crc import key_slot

from adapters.placement.scripts import SLOT
from tests.end_to_end.fleet import Callers, Engines
from tests.end_to_end.redis_servers import RedisServer, move_slot, replicated
from tests.end_to_end.redis_topologies import cluster, cluster_info, settled, watched

pytestmark = [pytest.mark.needs_redis, pytest.mark.slow]

CELLS = ("north", "east", "south", "west")
# While no server takes writes calls are refused, or wait for longer than their caller does.
AGAIN = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)


@contextlib.asynccontextmanager
async def routing(engines: Engines) -> AsyncIterator[Callers]:
    """Callers of two engines who go on all the while; each of their contacts is there once."""
    callers = Callers(again=AGAIN)
    try:
        for name in ("one", "two"):
            served = await asyncio.to_thread(engines.start, name)
            callers.addresses.append(served.address)
        await asyncio.to_thread(engines.await_cells, "one", "two")
        for cell in CELLS:
            await callers.open_floor(cell)
        load = asyncio.gather(*map(callers.route_on, CELLS))
        await asyncio.sleep(0.5)
        yield callers
        callers.is_over = True
        await load
        print(f"{sum(map(len, callers.routed.values()))} contacts, ", end="")
        print(f"the longest Route took {max(callers.waits_s):.2f} s")
        for cell in CELLS:
            await callers.check(cell)
    finally:
        await callers.close()
        engines.kill()


async def stop_one(engines: Engines, callers: Callers) -> None:
    """Have an engine end; its cells go to the other, which knows of that."""
    await asyncio.sleep(1.0)
    stopped = callers.addresses.pop(0)
    assert await asyncio.to_thread(engines.stop, "one") == 0, stopped
    await asyncio.to_thread(engines.await_cells, "two")
    await asyncio.sleep(0.5)


def has_primary(nodes: list[RedisServer]) -> bool:
    """Whether one of some replicas takes writes now."""
    return any(node.info("role") == "master" for node in nodes)


def is_up(node: RedisServer) -> bool:
    """Whether a node knows that every slot has a primary again."""
    return b"cluster_state:ok" in cluster_info(node)


async def test_cells_on_a_cluster_go_on_while_the_node_of_their_engines_fails_over(
    tmp_path: Path,
) -> None:
    """Cells lie on other nodes than what engines tell each other; one moves to another node."""
    with cluster(tmp_path, SLOT) as nodes:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        engines = Engines(tmp_path, f"redis+cluster://{hosts}", CELLS)
        async with routing(engines) as callers:
            nodes[0].kill()
            await asyncio.to_thread(settled, lambda: has_primary(nodes[3:]), "failover")
            await asyncio.to_thread(settled, lambda: all(map(is_up, nodes[1:])), "the cluster")
            source, target = nodes[1], nodes[2]
            slot = key_slot(b"north")
            if not source.run("CLUSTER", "COUNTKEYSINSLOT", slot):
                source, target = target, source
            await asyncio.to_thread(move_slot, slot, source, target, nodes[1:])
            await stop_one(engines, callers)


async def test_cells_by_sentinel_go_on_when_their_primary_is_killed(tmp_path: Path) -> None:
    """Cells and what engines tell each other are on one server, and are found again on the next."""
    with (
        replicated(tmp_path / "redis", 2) as servers,
        watched(tmp_path / "sentinel", servers[0].port, 2) as sentinel,
    ):
        url = f"redis+sentinel://127.0.0.1:{sentinel.port}/main"
        engines = Engines(tmp_path, url, CELLS, "replicated")
        async with routing(engines) as callers:
            servers[0].kill()
            await asyncio.to_thread(settled, lambda: has_primary(servers[1:]), "failover")
            await stop_one(engines, callers)
