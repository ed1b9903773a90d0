"""Engines of the release before and of this one share cells, in both directions of an upgrade."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from engine.state.rows import SCHEMA_VERSION, SCHEMA_WRITTEN
from headgate.client import Client
from headgate.v1.contact_pb2 import Channel
from headgate.v1.crossing_service_pb2 import ReceiveContactRequest
from headgate.v1.routing_service_pb2 import RouteRequest
from tests.end_to_end.fleet import Callers, Engines
from tests.end_to_end.redis_servers import RedisServer
from tests.end_to_end.release_before import checked_out

pytestmark = [pytest.mark.needs_redis, pytest.mark.slow]

CELLS = ("north", "south")


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Source of the release before."""
    found = checked_out(tmp_path_factory.mktemp("release"))
    if found is None:
        pytest.skip("the history of this checkout does not have the release before")
    return found


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own."""
    made = RedisServer(tmp_path / "redis")
    yield made
    made.kill()


@pytest.fixture
def engines(tmp_path: Path, server: RedisServer) -> Iterator[Engines]:
    """Engines over it."""
    made = Engines(tmp_path, server.url, CELLS)
    yield made
    made.kill()


@pytest.fixture
async def callers() -> AsyncIterator[Callers]:
    """Callers who know no engine yet."""
    made = Callers()
    yield made
    await made.close()


def schemas(server: RedisServer) -> set[int]:
    """What versions the cells are kept for."""
    with server.client() as client:
        return {int(client.hget(f"headgate:{{{cell}}}:meta", "schema") or 0) for cell in CELLS}


async def test_upgrade_and_way_back_under_load(
    engines: Engines, callers: Callers, before: Path, server: RedisServer
) -> None:
    """Old, mixed, new, mixed, old: each contact is there once, whoever had its cell."""
    old = await asyncio.to_thread(engines.start, "old", before=before)
    engines.await_cells("old")
    callers.addresses = [old.address]
    for cell in CELLS:
        await callers.open_floor(cell)
    load = asyncio.gather(*map(callers.route_on, CELLS))
    await asyncio.sleep(0)
    await callers.route_more(20)
    new = await asyncio.to_thread(engines.start, "new")
    callers.addresses = [old.address, new.address]
    assert await asyncio.to_thread(old.terminate) == 0
    callers.addresses = [new.address]
    await asyncio.to_thread(engines.await_cells, "new")
    await callers.route_more(20)
    assert schemas(server) == {SCHEMA_WRITTEN}
    back = await asyncio.to_thread(engines.start, "back", before=before)
    callers.addresses = [new.address, back.address]
    assert await asyncio.to_thread(new.terminate) == 0
    callers.addresses = [back.address]
    await asyncio.to_thread(engines.await_cells, "back")
    await callers.route_more(20)
    callers.is_over = True
    await load
    print("routed:", {cell: len(found) for cell, found in callers.routed.items()})
    for cell in CELLS:
        await callers.check(cell)


async def test_what_the_release_before_cannot_read_it_leaves_alone(
    engines: Engines, callers: Callers, before: Path, server: RedisServer
) -> None:
    """Once a contact has crossed its cell is for this release; the others go on to be for both."""
    new = await asyncio.to_thread(engines.start, "new")
    engines.await_cells("new")
    callers.addresses = [new.address]
    await callers.open_floor("north")
    contact = RouteRequest(contact_id="c", queue_id="q", channel=Channel.CHANNEL_VOICE)
    request = ReceiveContactRequest(
        cell="north", from_cell="far", origin="o", number=1, contact=contact
    )
    async with Client(new.address) as client:
        await client.call(client.crossings.ReceiveContact, request)
    assert schemas(server) == {SCHEMA_WRITTEN, SCHEMA_VERSION}
    old = await asyncio.to_thread(engines.start, "old", before=before)
    assert await asyncio.to_thread(new.terminate) == 0
    async with asyncio.timeout(30):
        while not (told := engines.told("old", "cell_not_opened")):
            await asyncio.sleep(0.1)
    assert {line["cell"] for line in told} == {"north"}
    assert f"written with schema {SCHEMA_VERSION}" in str(told[0]["error"])
    assert engines.have("old") == {"south"}
    assert old.process.poll() is None
