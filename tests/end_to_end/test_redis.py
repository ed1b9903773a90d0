"""Servers whose cells are in Redis: who owns a cell, and what happens when somebody is gone."""

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.client import Client
from headgate.v1.event_service_pb2 import SubscribeRequest
from headgate.v1.offer_service_pb2 import AcceptOfferRequest, CompleteAssignmentRequest
from headgate.v1.routing_service_pb2 import RouteRequest
from tests.end_to_end.conftest import Serve
from tests.end_to_end.floor import (
    VOICE,
    contact_of,
    open_queue,
    refused,
    route,
    sign_in,
    snapshot_of,
)
from tests.end_to_end.redis_servers import RedisServer, replicated
from tests.end_to_end.serving import Served, headgate, start

pytestmark = pytest.mark.needs_redis

EXIT_ENVIRONMENT = 3
EXIT_CELL_LOST = 4
EXIT_CELL_GONE = 9


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[list[RedisServer]]:
    """A primary with a replica."""
    with replicated(tmp_path / "redis", 1) as servers:
        yield servers


def flags(server: RedisServer, lease_ms: int = 1_000) -> tuple[str, ...]:
    """Flags of an engine that waits for the cell as long as a test may take."""
    return ("--log", server.url, "--set", f"lease_ms={lease_ms}", "--set", "lease_wait_s=30")


async def routed(client: Client, name: str, count: int) -> dict[str, bytes]:
    """Route so many contacts at once; returns the replies by request id."""
    requests = [
        RouteRequest(
            request_id=f"{name}-{number}",
            contact_id=f"{name}-{number}",
            queue_id="q",
            channel=VOICE,
        )
        for number in range(count)
    ]
    replies = await asyncio.gather(*(client.route(request, 20) for request in requests))
    return {
        request.request_id: reply.SerializeToString(deterministic=True)
        for request, reply in zip(requests, replies, strict=True)
    }


async def has_everything(client: Client, replies: dict[str, bytes]) -> None:
    """Check that each contact is there once, and that each retry gets the reply that was given."""
    assert (await snapshot_of(client, "q")).received_total == len(replies)
    for name in replies:
        assert (await contact_of(client, name)).contact_id == name
    for name, reply in list(replies.items())[::10]:
        request = RouteRequest(request_id=name, contact_id=name, queue_id="q", channel=VOICE)
        assert (await client.route(request)).SerializeToString(deterministic=True) == reply


def waits_for_the_lease(standby: Served) -> None:
    """Wait until a server has found the cell held."""
    give_up_at = time.monotonic() + 60
    while not any(line["event"] == "waiting_for_cell" for line in standby.log()):
        assert time.monotonic() < give_up_at, standby.told()
        time.sleep(0.02)


async def test_standby_takes_over_from_a_killed_engine(
    pair: list[RedisServer], tmp_path: Path, serve: Serve
) -> None:
    """The machine of an engine is gone: its contacts are not, nor the answers to retries."""
    first = serve(*flags(pair[0]))
    async with Client(first.address) as client:
        await open_queue(client, "q", max_wait_ms=-1)
        replies = await routed(client, "before", 200)
        cursor = ""
        async for event in client.subscribe(SubscribeRequest(cursor="0")):
            cursor = event.cursor
            if event.contact_id == "before-199":
                break
    standby = start(tmp_path, *flags(pair[0]), name="standby")
    try:
        waits_for_the_lease(standby)
        begun_s = time.monotonic()
        first.kill()
        await asyncio.to_thread(standby.until_ready)
        print(f"took over in {time.monotonic() - begun_s:.2f} s")
        async with Client(standby.address) as client:
            replies |= await routed(client, "after", 10)
            await has_everything(client, replies)
            async for event in client.subscribe(SubscribeRequest(cursor=cursor)):
                if event.contact_id == "after-9":
                    break
    finally:
        standby.kill()


async def test_engine_that_stops_hands_its_cell_over_at_once(
    pair: list[RedisServer], tmp_path: Path, serve: Serve
) -> None:
    """A roll-out must not wait for leases to lapse."""
    first = serve(*flags(pair[0], lease_ms=60_000))
    standby = start(tmp_path, *flags(pair[0]), name="standby")
    try:
        waits_for_the_lease(standby)
        assert await asyncio.to_thread(first.terminate) == 0
        begun_s = time.monotonic()
        await asyncio.to_thread(standby.until_ready)
        assert time.monotonic() - begun_s < 10
    finally:
        standby.kill()


async def test_paused_engine_finds_its_cell_taken_and_leaves(
    pair: list[RedisServer], tmp_path: Path, serve: Serve
) -> None:
    """An engine that wakes up late must neither commit nor answer from what it remembers."""
    first = serve(*flags(pair[0]))
    standby = start(tmp_path, *flags(pair[0]), name="standby")
    try:
        async with Client(first.address) as client:
            await open_queue(client, "q", max_wait_ms=-1)
            await sign_in(client, "a", "q", capacity=1_000)
            replies = await routed(client, "before", 20)
            waits_for_the_lease(standby)
            late = asyncio.create_task(routed(client, "late", 20))
            first.process.send_signal(signal.SIGSTOP)
            await asyncio.to_thread(standby.until_ready)
            async with Client(standby.address) as other:
                replies |= await routed(other, "meanwhile", 20)
                first.process.send_signal(signal.SIGCONT)
                assert await asyncio.to_thread(first.exit_code) == EXIT_CELL_LOST
                late.cancel()
                # What it had taken in and not committed is asked of its successor, once.
                replies |= await routed(other, "late", 20)
                await has_everything(other, replies)
    finally:
        standby.kill()
    told = [line for line in first.log() if line["event"] == "cell_lost"]
    assert len(told) == 1
    assert "acquired again since (epoch 2, ours 1)" in str(told[0]["error"])


async def test_server_that_is_emptied_ends_the_engine(
    pair: list[RedisServer], serve: Serve
) -> None:
    """Whoever watches exit codes must restore the cell, and not start an empty one."""
    engine = serve(*flags(pair[0]))
    pair[0].run("FLUSHALL")
    assert await asyncio.to_thread(engine.exit_code) == EXIT_CELL_GONE
    (leaving,) = [line for line in engine.log() if line["event"] == "leaving"]
    assert leaving["why"] == "the cell's data are gone"
    assert "keys are gone: the server was emptied" in str(leaving["error"])


async def test_second_engine_is_refused_while_the_first_lives(
    pair: list[RedisServer], serve: Serve, tmp_path: Path
) -> None:
    """Whoever starts one by mistake is told who has the cell, and the first feels nothing."""
    first = serve(*flags(pair[0]), "--set", "engine_name=pod-0")
    standby = start(tmp_path, *flags(pair[0]), name="standby")
    second = await asyncio.to_thread(
        headgate, "serve", "--log", pair[0].url, "--set", "lease_wait_s=1", "--address",
        "127.0.0.1:0", "--metrics-address", "", "--pin", "off",
    )  # fmt: skip
    assert second.returncode == EXIT_ENVIRONMENT
    assert f"headgate: {pair[0].url}: held by pod-0 for another" in second.stderr
    async with Client(first.address) as client:
        await open_queue(client, "q")
    waits_for_the_lease(standby)
    assert await asyncio.to_thread(standby.terminate) == 0


async def test_server_that_cannot_keep_the_promise_is_refused(tmp_path: Path) -> None:
    """A Redis that would lose acknowledged contacts is refused in words, and no password shows."""
    server = RedisServer(
        tmp_path / "server", "--appendonly", "no", "--maxmemory-policy", "allkeys-lru",
        "--requirepass", "s3cret",
    )  # fmt: skip
    try:
        url = f"redis://:s3cret@127.0.0.1:{server.port}"
        refused = await asyncio.to_thread(headgate, "serve", env={"HEADGATE_LOG": url})
    finally:
        server.kill()
    assert refused.returncode == EXIT_ENVIRONMENT
    told = refused.stderr.splitlines()[-1]
    assert told.startswith(f"headgate: redis://127.0.0.1:{server.port} cannot give durability ")
    for why in (
        "it appendonly is no: ",
        "it maxmemory-policy is allkeys-lru",
        "it has 0 replicas, replicated waits for 1; start them, or choose durability relaxed",
    ):
        assert why in told
    assert "s3cret" not in refused.stderr


async def test_redis_that_is_killed_and_comes_back_costs_nothing_acknowledged(
    pair: list[RedisServer], serve: Serve
) -> None:
    """Calls wait, or are told to come back, and everything that was answered is there."""
    served = serve(*flags(pair[0]))
    async with Client(served.address) as client:
        await open_queue(client, "q", max_wait_ms=-1)
        replies = await routed(client, "before", 50)
        pair[0].kill()
        during = asyncio.create_task(routed(client, "during", 50))
        await asyncio.sleep(1.2)
        status, told = await asyncio.to_thread(served.get, "/readyz")
        assert (status, told.strip()) == (503, "not open: cell default")
        await asyncio.to_thread(pair[0].start)
        replies |= await during
        await has_everything(client, replies)
        await route(client, "q")
    _, page = await asyncio.to_thread(served.get, "/metrics")
    doubts = [line for line in page.splitlines() if "commits_in_doubt_total{" in line]
    assert float(doubts[0].rpartition(" ")[2]) > 0
    assert 'headgate_acknowledged_lost_total{cell="default"} 0.0' in page


async def memory_used(served: Served) -> float:
    """Share of the memory of Redis that is in use, as the engine tells."""
    _, page = await asyncio.to_thread(served.get, "/metrics")
    used = (line for line in page.splitlines() if line.startswith("headgate_redis_memory_used_r"))
    return float(next(used).rpartition(" ")[2])


async def test_nearly_full_redis_takes_no_new_contact_and_lets_the_others_end(
    pair: list[RedisServer], serve: Serve
) -> None:
    """What would fill it up is put off; what makes room goes on."""
    served = serve(*flags(pair[0]))
    async with Client(served.address) as client:
        await open_queue(client, "q", wrap_up_ms=0)
        await sign_in(client, "ana", "q")
        offered = await route(client, "q", "c1")
        used = int(str(pair[0].info("used_memory")))
        pair[0].run("CONFIG", "SET", "maxmemory", int(used / 0.93))
        async with asyncio.timeout(20):
            while await memory_used(served) < 0.85:
                await asyncio.sleep(0.1)
        refusal = await refused(
            client.routing.Route(RouteRequest(request_id="r2", queue_id="q", channel=VOICE))
        )
        assert refusal.code == "RESOURCE_EXHAUSTED"
        accept = AcceptOfferRequest(agent_id="ana", offer_id=offered.offer.offer_id)
        await client.call(client.offers.AcceptOffer, accept)
        done = CompleteAssignmentRequest(agent_id="ana", contact_id="c1")
        await client.call(client.offers.CompleteAssignment, done)
        pair[0].run("CONFIG", "SET", "maxmemory", 0)
        # The client comes again by itself, as the refusal says.
        assert (await route(client, "q", "c2")).agent_id == "ana"
