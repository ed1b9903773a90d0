"""A copy of the data that is taken while the engine runs, and put in place later."""

import asyncio
import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from headgate.client import Client
from headgate.v1.event_service_pb2 import SubscribeRequest
from headgate.v1.routing_service_pb2 import RouteRequest
from tests.end_to_end.conftest import Serve
from tests.end_to_end.floor import VOICE, contact_of, open_queue, refused, route, snapshot_of, told
from tests.end_to_end.redis_servers import replicated

# Fields of INFO: a copy is whole once they are 0.
_BUSY = ("aof_rewrite_in_progress", "aof_rewrite_scheduled", "aof_buffer_length")


@pytest.mark.parametrize("way", ["VACUUM INTO", ".backup"])
async def test_copy_taken_under_load_is_whole_and_can_be_put_in_place(
    serve: Serve, tmp_path: Path, way: str
) -> None:
    """What the README tells operators to do at night has to work in the morning."""
    data, copy = tmp_path / "data", tmp_path / "copy.sqlite"
    served = serve("--data-dir", str(data))

    def take() -> None:
        with contextlib.closing(sqlite3.connect(data / "default.sqlite")) as source:
            if way == ".backup":
                with contextlib.closing(sqlite3.connect(copy)) as target:
                    source.backup(target)
            else:
                source.execute("VACUUM INTO ?", (str(copy),))

    async with Client(served.address) as client:
        await open_queue(client, "q")
        requests = [
            RouteRequest(
                request_id=f"r{number}", contact_id=f"c{number}", queue_id="q", channel=VOICE
            )
            for number in range(300)
        ]
        calls = [asyncio.ensure_future(client.route(request)) for request in requests[:200]]
        await calls[20]
        await asyncio.to_thread(take)
        await asyncio.gather(*calls, *(client.route(request) for request in requests[200:]))
        stream = client.events.Subscribe(SubscribeRequest(), timeout=30)
        last = (await told(stream)).cursor
        stream.cancel()
    assert served.terminate() == 0

    for path in data.glob("default.sqlite*"):
        path.unlink()
    copy.rename(data / "default.sqlite")
    again = serve("--data-dir", str(data))
    async with Client(again.address) as client:
        waiting = (await snapshot_of(client, "q")).waiting
        assert 21 <= waiting < 300
        # A cursor of the time after the copy is refused, not passed over in silence.
        stream = client.events.Subscribe(SubscribeRequest(cursor=last), timeout=30)
        assert (await refused(told(stream))).code == "OUT_OF_RANGE"
        await client.route(RouteRequest(request_id="new", queue_id="q", channel=VOICE))
        assert (await snapshot_of(client, "q")).waiting == waiting + 1


@pytest.mark.needs_redis
async def test_copy_of_a_replica_can_be_put_in_place(serve: Serve, tmp_path: Path) -> None:
    """A cell in Redis comes back, too, by the steps that the README tells."""
    copy = tmp_path / "copy"
    with replicated(tmp_path / "redis", 1) as (primary, replica):
        flags = ("--log", primary.url, "--set", "lease_ms=1000")
        served = serve(*flags)
        async with Client(served.address) as client:
            await open_queue(client, "q")
            for number in range(20):
                await route(client, "q", contact_id=f"before-{number}")
            later = [asyncio.create_task(route(client, "q")) for _ in range(100)]
            await later[0]
            await asyncio.to_thread(primary.await_acknowledgement, 1)
            replica.run("CONFIG", "SET", "auto-aof-rewrite-percentage", 0)
            with replica.client() as asked:
                while any(map(asked.info("persistence").get, _BUSY)):
                    await asyncio.sleep(0.01)
            shutil.copytree(replica.directory / "appendonlydir", copy)
            replica.run("CONFIG", "SET", "auto-aof-rewrite-percentage", 100)
            await asyncio.gather(*later)
            await route(client, "q", contact_id="after")
        assert served.terminate() == 0
        for server in (primary, replica):
            server.kill()
        shutil.rmtree(primary.directory / "appendonlydir")
        copy.rename(primary.directory / "appendonlydir")
        primary.start()
        replica.start()
        await asyncio.to_thread(primary.await_replicas, 1)
        again = serve(*flags)
        async with Client(again.address) as client:
            assert 21 <= (await snapshot_of(client, "q")).waiting <= 120
            for number in range(20):
                await contact_of(client, f"before-{number}")
            assert (await refused(contact_of(client, "after"))).code == "NOT_FOUND"
            await route(client, "q")
