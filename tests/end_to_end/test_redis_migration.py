"""An engine whose cell is moved from its disk to Redis, and back, with everybody away meanwhile."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.client import Client
from headgate.v1.event_service_pb2 import SubscribeRequest
from headgate.v1.routing_service_pb2 import RouteRequest, RouteResponse
from tests.end_to_end.conftest import Serve
from tests.end_to_end.floor import VOICE, contact_of, open_queue, sign_in, snapshot_of
from tests.end_to_end.redis_servers import RedisServer, replicated
from tests.end_to_end.serving import headgate

pytestmark = pytest.mark.needs_redis


@pytest.fixture
def primary(tmp_path: Path) -> Iterator[RedisServer]:
    """A primary with a replica."""
    with replicated(tmp_path / "redis", 1) as servers:
        yield servers[0]


def asked(name: str) -> RouteRequest:
    """A contact that is named after its request."""
    return RouteRequest(request_id=name, contact_id=name, queue_id="q", channel=VOICE)


async def goes_on(client: Client, replies: dict[str, RouteResponse], cursor: str) -> str:
    """Check that nothing is missing, and let more happen; returns where events end then."""
    assert (await snapshot_of(client, "q")).received_total == len(replies)
    for name, reply in replies.items():
        # A retry of before the move.
        assert await client.route(asked(name)) == reply
        assert (await contact_of(client, name)).contact_id == name
    more = f"c{len(replies)}"
    replies[more] = await client.route(asked(more))
    # A watcher of before the move: what came while it was away, and what comes now.
    async for event in client.subscribe(SubscribeRequest(cursor=cursor)):
        if event.contact_id == more:
            return event.cursor
    raise AssertionError("the stream ended")


async def test_cell_goes_to_redis_and_back_and_nobody_notices(
    serve: Serve, primary: RedisServer, tmp_path: Path
) -> None:
    """Contacts, agents, retries and cursors of watchers outlive both moves."""
    data, back = str(tmp_path / "data"), str(tmp_path / "back")
    served = serve("--data-dir", data)
    owned = await asyncio.to_thread(headgate, "migrate", data, primary.url)
    assert owned.returncode == 3
    assert "default.sqlite: held by " in owned.stderr
    replies: dict[str, RouteResponse] = {}
    async with Client(served.address) as client:
        await open_queue(client, "q", max_wait_ms=-1)
        await open_queue(client, "elsewhere")
        await sign_in(client, "a", "elsewhere")
        for number in range(20):
            replies[f"c{number}"] = await client.route(asked(f"c{number}"))
        cursor = await goes_on(client, replies, "0")
    assert served.terminate() == 0
    places = (
        (data, primary.url, ("--log", primary.url)),
        (primary.url, back, ("--data-dir", back)),
    )
    for source, target, flags in places:
        moved = await asyncio.to_thread(headgate, "migrate", source, target)
        assert (moved.returncode, moved.stderr) == (0, "")
        again = await asyncio.to_thread(headgate, "migrate", source, target)
        assert again.returncode == 3
        assert "is there already; name another" in again.stderr
        served = serve(*flags)
        async with Client(served.address) as client:
            cursor = await goes_on(client, replies, cursor)
        assert served.terminate() == 0
