"""Which engine the client calls: what it makes of what engines say, and of their silence."""

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_status import rpc_status

from adapters.errors import as_status, not_owner, unavailable
from headgate.access import Access
from headgate.client import Client
from headgate.engines import Engines
from headgate.v1.error_pb2 import NotOwner
from headgate.v1.routing_service_pb2 import RouteRequest, RouteResponse
from tests.end_to_end import stand_in as engine_of_streams
from tests.end_to_end.floor import refused
from tests.end_to_end.test_client_session import tell_two_with_every_reply

SERVICE = "headgate.v1.RoutingService"


class StandIn:
    """
    What stands for an engine.

    Attributes
    ----------
    address
        Where it listens.
    says
        What it answers Route with: a refusal, or None for a reply with its address.
    waits_for
        Where each call takes the same from instead, once it is there; None to say it at once.
    calls
        How often it was called.
    """

    def __init__(self) -> None:
        self.says: Any = None
        self.waits_for: asyncio.Queue[Any] | None = None
        self.calls = 0
        self._server = grpc.aio.server()
        method = grpc.unary_unary_rpc_method_handler(
            self._route, RouteRequest.FromString, RouteResponse.SerializeToString
        )
        handler = grpc.method_handlers_generic_handler(SERVICE, {"Route": method})
        self._server.add_generic_rpc_handlers((handler,))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    async def start(self) -> "StandIn":
        """Listen."""
        await self._server.start()
        return self

    async def stop(self) -> None:
        """Listen no more."""
        await self._server.stop(0)

    async def _route(self, _request: RouteRequest, context: Any) -> RouteResponse:
        self.calls += 1
        says = self.says if self.waits_for is None else await self.waits_for.get()
        if says is not None:
            await context.abort_with_status(rpc_status.to_status(as_status(says)))
        return RouteResponse(contact_id=self.address)


NewStandIn = Callable[[], Any]


@pytest.fixture
async def stand_in() -> AsyncIterator[NewStandIn]:
    """Make engines that end with the test."""
    made: list[StandIn] = []

    async def make() -> StandIn:
        made.append(await StandIn().start())
        return made[-1]

    yield make
    for one in made:
        await one.stop()


def owned_by(engine: StandIn, cell: str = "default", epoch: int = 1) -> Any:
    """The refusal that names an engine."""
    return not_owner(NotOwner(cell=cell, engine="e", address=engine.address, epoch=epoch))


async def routed(client: Client, cell: str = "", timeout_s: float = 5.0) -> str:
    """Route; returns who answered."""
    return (await client.route(RouteRequest(cell=cell, queue_id="q"), timeout_s)).contact_id


async def test_owner_that_is_named_is_called_at_once_and_from_then_on(
    stand_in: NewStandIn,
) -> None:
    """The detour is made once for each cell."""
    home, owner = await stand_in(), await stand_in()
    home.says = owned_by(owner)
    async with Client(home.address) as client:
        assert await routed(client) == owner.address
        assert await routed(client, "default") == owner.address
        assert (home.calls, owner.calls) == (1, 2)
        # Another cell is another question.
        home.says = None
        assert await routed(client, "other") == home.address


async def test_engines_that_name_each_other_are_not_followed_for_ever(
    stand_in: NewStandIn,
) -> None:
    """Each believes that the other has the cell: the client waits, and gives up in time."""
    home, other = await stand_in(), await stand_in()
    home.says, other.says = owned_by(other), owned_by(home)
    async with Client(home.address) as client:
        told = await refused(routed(client, timeout_s=1.0))
    assert told.reason == "NOT_OWNER"
    assert home.calls + other.calls < 30


async def test_engine_that_has_not_noticed_does_not_lead_back(stand_in: NewStandIn) -> None:
    """Of two that are named the later owner counts."""
    home, early, late = await stand_in(), await stand_in(), await stand_in()
    home.says = owned_by(late, epoch=5)
    late.says = owned_by(early, epoch=4)
    async with Client(home.address) as client:
        call = asyncio.create_task(routed(client))
        while not late.calls:
            await asyncio.sleep(0.01)
        late.says = None
        assert await call == late.address
    assert early.calls == 0


async def test_owner_that_is_gone_is_left_for_one_that_is_known(stand_in: NewStandIn) -> None:
    """Whoever is left knows who has the cell now."""
    home, owner, heir = await stand_in(), await stand_in(), await stand_in()
    home.says = owned_by(owner)
    async with Client(home.address) as client:
        assert await routed(client) == owner.address
        home.says = owned_by(heir, epoch=3)
        await owner.stop()
        assert await routed(client) == heir.address


async def test_first_engine_may_go_when_another_is_known(stand_in: NewStandIn) -> None:
    """The address that the client was given is a beginning, not a single point of failure."""
    home, owner = await stand_in(), await stand_in()
    home.says = owned_by(owner, "north")
    async with Client(home.address) as client:
        assert await routed(client, "north") == owner.address
        await home.stop()
        assert await routed(client, "south") == owner.address


async def test_heir_is_asked_often_while_it_takes_the_cell_over(stand_in: NewStandIn) -> None:
    """Pauses that grow for the engine that is gone would outlast the takeover."""
    home, owner = await stand_in(), await stand_in()
    home.says = owned_by(owner, "north")
    async with Client(home.address) as client:
        assert await routed(client, "north") == owner.address
        await home.stop()
        owner.says = unavailable("opening", 10)
        call = asyncio.create_task(routed(client, "south"))
        while owner.calls < 13:
            await asyncio.sleep(0.01)
        owner.says = None
        assert await call == owner.address


async def test_engine_alone_is_asked_again(stand_in: NewStandIn) -> None:
    """As ever: there is nobody else."""
    home = await stand_in()
    home.says = unavailable("closing", 10)
    async with Client(home.address) as client:
        call = asyncio.create_task(routed(client))
        while home.calls < 3:
            await asyncio.sleep(0.01)
        home.says = None
        assert await call == home.address


async def test_method_of_a_stub_of_one_s_own_is_called_as_it_is(stand_in: NewStandIn) -> None:
    """Whoever makes a stub chooses its engine."""
    home, owner = await stand_in(), await stand_in()
    home.says = owned_by(owner)
    async with Client(home.address) as client, grpc.aio.insecure_channel(owner.address) as channel:
        method = channel.unary_unary(
            f"/{SERVICE}/Route",
            request_serializer=RouteRequest.SerializeToString,
            response_deserializer=RouteResponse.FromString,
        )
        assert (await client.call(method, RouteRequest(queue_id="q"))).contact_id == owner.address
    assert home.calls == 0


def named(address: str, cell: str = "default", epoch: int = 1) -> grpc.aio.AioRpcError:
    """The error of a call that was refused with the name of an engine."""
    refusal = not_owner(NotOwner(cell=cell, engine="e", address=address, epoch=epoch))
    status = rpc_status.to_status(as_status(refusal))
    metadata = grpc.aio.Metadata(*status.trailing_metadata)
    return grpc.aio.AioRpcError(status.code, grpc.aio.Metadata(), metadata, status.details)


@pytest.mark.parametrize("access", [Access(), Access(token="hgt_x")])
async def test_engine_that_no_cell_is_at_any_more_is_forgotten(access: Access) -> None:
    """Each rollout brings new addresses; a connection to each that ever was grows for ever."""
    engines = Engines("127.0.0.1:1", access, 1)
    channels = []
    for epoch in range(1, 100):
        for cell in ("default", "north"):
            engines.turn(named(f"127.0.0.1:{1 + epoch}", cell, epoch), "", cell)
            channels.append(weakref.ref(engines.stubs_of(cell).channel))
    # Those of the last rollout alone, and of the one that the client was given.
    assert set(engines._stubs) == {"127.0.0.1:1", "127.0.0.1:99", "127.0.0.1:100"}
    assert len({channel() for channel in channels} - {None}) == 2
    assert engines.stubs_of("other") is engines.home
    await engines.close()


async def test_engines_that_are_known_are_asked_in_turn_over_the_same_connections() -> None:
    """While a cell is without an engine, each try anew would be a handshake with the others."""
    engines = Engines("127.0.0.1:1", Access(), 1)
    for cell in ("north", "south"):
        engines.turn(named(f"127.0.0.1:{len(cell)}", cell), "", cell)
    engines.turn(named("127.0.0.1:9", "north", 2), "", "north")
    before = {engines.stubs_of("north")}
    for _ in range(20):
        gone = grpc.aio.AioRpcError(
            grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata()
        )
        engines.turn(gone, engines.address_of("north"), "north")
        before.add(engines.stubs_of("north"))
        engines.turn(named("127.0.0.1:9", "north", 2), "", "north")
        before.add(engines.stubs_of("north"))
    assert len(before) == 2
    await engines.close()


async def test_calls_to_an_engine_that_is_forgotten_are_answered(stand_in: NewStandIn) -> None:
    """Those in flight, and those that waited for their turn when its cell went elsewhere."""
    home, before, owner = await stand_in(), await stand_in(), await stand_in()
    home.says = owned_by(before)
    async with Client(home.address, in_flight_max=2) as client:
        assert await routed(client) == before.address
        before.waits_for = asyncio.Queue()
        calls = [asyncio.create_task(routed(client)) for _ in range(3)]
        while before.calls < 3:
            await asyncio.sleep(0.01)
        before.waits_for.put_nowait(owned_by(owner, epoch=2))
        while before.calls < 4:
            await asyncio.sleep(0.01)
        assert set(client.engines._stubs) == {home.address, owner.address}
        for _ in range(2):
            before.waits_for.put_nowait(None)
        answered = sorted([await call for call in calls])
    assert answered == sorted([owner.address, before.address, before.address])


async def test_session_with_an_engine_that_is_forgotten_goes_on() -> None:
    """The engine that closes the cell ends it, and says where to go on."""
    session_of = engine_of_streams.StandIn(session=tell_two_with_every_reply)
    async with (
        engine_of_streams.serving(session_of) as address,
        Client("127.0.0.1:1") as client,
    ):
        client.engines.turn(named(address), "", "")
        async with client.session() as session:
            await session.ask(route=RouteRequest())
            client.engines.turn(named("127.0.0.1:2", epoch=2), "", "")
            assert address not in client.engines._stubs
            await session.ask(route=RouteRequest())
            assert [(await session.events.get()).cursor for _ in range(4)][-1] == "4.0"
