"""Several engines that share cells: where cells are, and what callers feel when they move."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from headgate.client import Client, Session, SessionEnded
from headgate.v1.event_pb2 import Event, EventKind
from headgate.v1.event_service_pb2 import SubscribeRequest
from headgate.v1.gateway_service_pb2 import SessionWatch
from headgate.v1.queue_pb2 import Queue
from headgate.v1.queue_service_pb2 import UpsertQueueRequest
from headgate.v1.routing_service_pb2 import RouteRequest
from tests.end_to_end.fleet import Callers, Engines
from tests.end_to_end.floor import VOICE, refused
from tests.end_to_end.forwarders import Forward, Place, Receiver, in_thread
from tests.end_to_end.redis_servers import RedisServer
from tests.end_to_end.serving import headgate

pytestmark = pytest.mark.needs_redis

CELLS = ("north", "east", "south", "west")
EXIT_SETTINGS = 2
EXIT_CELL_LOST = 4


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[Engines]:
    """Engines over a Redis of the test's own."""
    server = RedisServer(tmp_path / "redis")
    made = Engines(tmp_path, server.url, CELLS)
    try:
        yield made
    finally:
        made.kill()
        server.kill()


@pytest.fixture
async def callers() -> AsyncIterator[Callers]:
    """Callers who know no engine yet."""
    made = Callers()
    yield made
    await made.close()


@pytest.mark.slow
async def test_cells_that_move_under_load_lose_nothing_and_double_nothing(
    engines: Engines, callers: Callers
) -> None:
    """An engine joins, one is stopped, one is killed: each contact is there once all the same."""
    first = await asyncio.to_thread(engines.start, "one")
    engines.await_cells("one")
    callers.addresses = [first.address]
    for cell in CELLS:
        await callers.open_floor(cell)
    load = asyncio.gather(*map(callers.route_on, CELLS))
    await asyncio.sleep(0)
    await callers.route_more(20)
    second = await asyncio.to_thread(engines.start, "two")
    callers.addresses = [first.address, second.address]
    await asyncio.to_thread(engines.await_cells, "one", "two")
    await callers.route_more(20)
    third = await asyncio.to_thread(engines.start, "three")
    callers.addresses.append(third.address)
    await asyncio.to_thread(engines.await_cells, "one", "two", "three")
    await callers.route_more(20)
    # Stopped in good order: the others have its cells before it goes.
    callers.waits_s.clear()
    assert await asyncio.to_thread(first.terminate) == 0
    callers.addresses.remove(first.address)
    assert engines.have("one") == set()
    await asyncio.to_thread(engines.await_cells, "two", "three")
    print(f"stopped: the longest Route took {max(callers.waits_s):.3f} s")
    callers.waits_s.clear()
    second.kill()
    callers.addresses.remove(second.address)
    await asyncio.to_thread(engines.await_cells, "three")
    await callers.route_more(20)
    print(f"killed: the longest Route took {max(callers.waits_s):.3f} s")
    callers.is_over = True
    await load
    for cell in CELLS:
        await callers.check(cell)


async def test_paused_engine_loses_its_cells_and_lives(engines: Engines, callers: Callers) -> None:
    """A stall costs an engine its cells, not its life; what it would have committed is refused."""
    first = await asyncio.to_thread(engines.start, "one")
    second = await asyncio.to_thread(engines.start, "two")
    await asyncio.to_thread(engines.await_cells, "one", "two")
    callers.addresses = [first.address, second.address]
    for cell in CELLS:
        await callers.open_floor(cell)
    first.process.send_signal(signal.SIGSTOP)
    await asyncio.to_thread(engines.await_cells, "two")
    first.process.send_signal(signal.SIGCONT)
    # Back again, it takes its share as if it had just come.
    async with asyncio.timeout(20):
        while len(engines.told("one", "cell_opened")) < 2 or len(engines.have("two")) == len(CELLS):
            await asyncio.sleep(0.02)
    await asyncio.to_thread(engines.await_cells, "one", "two")
    assert engines.told("one", "cell_lost")
    for cell in CELLS:
        await callers.open_floor(cell)


async def test_engine_without_cells_is_ready_and_tells_so(engines: Engines) -> None:
    """Whoever asks the wrong engine hears something useful, from every engine."""
    engines.cells = ("only",)
    first = await asyncio.to_thread(engines.start, "one")
    second = await asyncio.to_thread(engines.start, "two")
    await settled_on_one(engines)
    idle = second if engines.have("one") else first
    status, _ = await asyncio.to_thread(idle.get, "/readyz")
    assert status == 200
    async with Client(idle.address) as client:
        subscription = client.events.Subscribe(SubscribeRequest(cell="only"))
        told = await refused(subscription.read())
        assert (told.code, told.reason) == ("UNAVAILABLE", "NOT_OWNER")
        unknown = client.events.Subscribe(SubscribeRequest(cell="nowhere"))
        assert (await refused(unknown.read())).reason == "UNKNOWN_CELL"
    _, page = await asyncio.to_thread(idle.get, "/metrics")
    assert "headgate_placement_engines 2.0" in page
    assert "headgate_cell_ready{" not in page


async def test_second_engine_of_a_name_ends_the_first(engines: Engines, tmp_path: Path) -> None:
    """Whoever copies a file of settings and forgets the name sees which engine went, and why."""
    first = await asyncio.to_thread(engines.start, "one")
    await asyncio.to_thread(engines.start, "one")
    assert await asyncio.to_thread(first.exit_code) == EXIT_CELL_LOST


async def test_client_finds_the_owner_and_follows_cells_that_move(engines: Engines) -> None:
    """Whoever knows one engine reaches every cell, and a stream misses no event of a move."""
    first = await asyncio.to_thread(engines.start, "one")
    second = await asyncio.to_thread(engines.start, "two")
    await asyncio.to_thread(engines.await_cells, "one", "two")
    async with Client(first.address) as client:
        for cell in CELLS:
            queue = UpsertQueueRequest(cell=cell, queue=Queue(queue_id="q", max_wait_ms=-1))
            await client.call(client.queues.UpsertQueue, queue)
        homes = {cell: client.engines.address_of(cell) for cell in CELLS}
        assert set(homes.values()) == {first.address, second.address}
        cell = next(name for name in CELLS if homes[name] == second.address)
        seen: list[str] = []
        following = asyncio.create_task(follow(client, cell, seen))
        async with client.session(cell) as session:
            for number in range(20):
                await session.ask(route=routing(cell, f"before-{number}"))
            assert await asyncio.to_thread(second.terminate) == 0
            ended = await end_of(session)
        assert ended.may_resume
        async with client.session(cell, SessionWatch(cursor=session.cursor)) as resumed:
            # What was answered before is not done again.
            reply = await resumed.ask(route=routing(cell, "before-0"))
            assert reply.contact_id == "before-0"
            await resumed.ask(route=routing(cell, "after"))
        assert client.engines.address_of(cell) == first.address
        async with asyncio.timeout(10):
            while "after" not in seen:
                await asyncio.sleep(0.01)
        assert seen == [*(f"before-{number}" for number in range(20)), "after"]
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


@pytest.mark.parametrize(
    ("flags", "metadata", "reason"),
    [
        ((), (), "NOT_OWNER"),  # nobody asks
        ((), (("headgate-relay", "1"),), ""),
        (("--set", "relay=on"), (), ""),
        (("--set", "relay=on"), (("headgate-relayed", "1"),), "NOT_OWNER"),  # once is enough
        (("--set", "relay=off"), (("headgate-relay", "1"),), "NOT_OWNER"),
    ],
)
async def test_call_at_the_wrong_engine_is_passed_on_once(
    engines: Engines, flags: tuple[str, ...], metadata: tuple[tuple[str, str], ...], reason: str
) -> None:
    """A caller that knows one address and cannot follow is served all the same."""
    engines.cells = ("only",)
    first = await asyncio.to_thread(engines.start, "one", *flags)
    second = await asyncio.to_thread(engines.start, "two", *flags)
    await settled_on_one(engines)
    owner, other = (first, second) if engines.have("one") else (second, first)
    async with Client(owner.address) as client, Client(other.address) as wrong:
        queue = UpsertQueueRequest(cell="only", queue=Queue(queue_id="q", max_wait_ms=-1))
        await client.call(client.queues.UpsertQueue, queue)
        call = wrong.routing.Route(routing("only", "c"), metadata=metadata, timeout=10)
        if reason:
            assert (await refused(call)).reason == reason
            return
        assert (await call).contact_id == "c"
        assert (await client.route(routing("only", "c"))).contact_id == "c"
        # What the owner refuses is refused in its words.
        nowhere = RouteRequest(cell="only", request_id="n", queue_id="nowhere", channel=VOICE)
        told = await refused(wrong.routing.Route(nowhere, metadata=metadata, timeout=10))
        assert (told.code, told.reason) == ("NOT_FOUND", "UNKNOWN_QUEUE")
        assert "queue_id" in told.fields
        owner.process.send_signal(signal.SIGSTOP)
        late = wrong.routing.Route(routing("only", "late"), metadata=metadata, timeout=0.5)
        assert (await refused(late)).code in ("DEADLINE_EXCEEDED", "UNAVAILABLE")
        owner.process.send_signal(signal.SIGCONT)
    _, page = await asyncio.to_thread(other.get, "/metrics")
    assert 'headgate_placement_relayed_total{grpc_code="OK"} ' in page
    assert 'headgate_placement_relayed_total{grpc_code="NOT_FOUND"} 1.0' in page


async def settled_on_one(engines: Engines) -> None:
    """Wait until the only cell is where it should be: nobody waits for it."""
    async with asyncio.timeout(20):
        while len(engines.have("one") | engines.have("two")) != 1 or (
            engines.have("one") and engines.have("two")
        ):
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.5)


async def end_of(session: Session) -> SessionEnded:
    """Read events until there are no more; returns why."""
    while True:
        try:
            await session.events.get()
        except SessionEnded as ended:
            return ended


async def test_forwarder_follows_a_cell_that_moves(
    engines: Engines, place: Place, receiver: Receiver, forward: Forward
) -> None:
    """A webhook is told each event once, whichever engine has the cell."""
    first = await asyncio.to_thread(engines.start, "one")
    second = await asyncio.to_thread(engines.start, "two")
    await asyncio.to_thread(engines.await_cells, "one", "two")
    cell = sorted(engines.have("two"))[0]
    async with Client(first.address) as client:
        queue = UpsertQueueRequest(cell=cell, queue=Queue(queue_id="q", max_wait_ms=-1))
        await client.call(client.queues.UpsertQueue, queue)
        forward(first.address, receiver.port, "--cell", cell, "--from-beginning")
        await client.route(routing(cell, "before"))
        await in_thread(lambda: len(receiver.cursors()) >= 3, "events of the first engine")
        assert await asyncio.to_thread(second.terminate) == 0
        await client.route(routing(cell, "after"))
        expected = [event.cursor async for event in all_of(client, cell, "after")]
    await in_thread(lambda: receiver.cursors()[-1:] == expected[-1:], "events of the second")
    assert receiver.cursors() == expected


async def all_of(client: Client, cell: str, last: str) -> AsyncIterator[Event]:
    """Events of a cell up to the queueing of one contact."""
    async for event in client.subscribe(SubscribeRequest(cell=cell, cursor="0")):
        yield event
        if (event.contact_id, event.kind) == (last, EventKind.EVENT_KIND_CONTACT_QUEUED):
            return


async def follow(client: Client, cell: str, seen: list[str]) -> None:
    """Note the contacts that come in."""
    kinds = [EventKind.EVENT_KIND_CONTACT_RECEIVED]
    async for event in client.subscribe(SubscribeRequest(cell=cell, cursor="0", kinds=kinds)):
        seen.append(event.contact_id)


def routing(cell: str, name: str) -> RouteRequest:
    """Make a request that is the same whenever it is made."""
    return RouteRequest(cell=cell, request_id=name, contact_id=name, queue_id="q", channel=VOICE)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ((), "headgate: log: expected the URL of a Redis or Valkey, where placement is true"),
        (
            ("--log", "redis://127.0.0.1:1", "--address", "0.0.0.0:0", "--insecure"),
            "headgate: advertised_address: expected HOST:PORT that others can reach",
        ),
    ],
)
def test_settings_that_cannot_be_shared_by_are_refused(
    flags: tuple[str, ...], expected: str
) -> None:
    """Before anything is opened."""
    done = headgate("serve", "--set", "placement=true", *flags)
    assert done.returncode == EXIT_SETTINGS
    assert expected in done.stderr
