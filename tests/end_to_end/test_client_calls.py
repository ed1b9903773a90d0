"""The Python client's unary calls and subscriptions: request ids, retries and reconnects."""

import asyncio
import socket
import time
from typing import Any

import grpc
import grpc.aio
import pytest

from headgate.client import Client, reason_of
from headgate.v1.event_pb2 import Event
from headgate.v1.event_service_pb2 import SubscribeRequest, SubscribeResponse
from headgate.v1.routing_service_pb2 import RouteBatchRequest, RouteRequest, RouteResponse
from tests.end_to_end.floor import VOICE, open_queue
from tests.end_to_end.stand_in import Refusal, StandIn, serving

DELAY_MS = 300
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
# Waiting does not cure it.
LIMIT_REACHED = Refusal(EXHAUSTED, "LIMIT_REACHED")


async def test_message_sent_twice_is_two_contacts(client: Client, name: str) -> None:
    """A caller who keeps a message as a template must not merge two customers into one."""
    await open_queue(client, name)
    request = RouteRequest(queue_id=name, channel=VOICE)
    before = RouteRequest()
    before.CopyFrom(request)
    first, second = await client.route(request), await client.route(request)
    assert first.contact_id != second.contact_id
    assert request == before


async def test_request_id_of_the_caller_is_kept(client: Client, name: str) -> None:
    """Who names a request may repeat it."""
    await open_queue(client, name)
    request = RouteRequest(request_id=name, queue_id=name, channel=VOICE)
    assert await client.route(request) == await client.route(request)


async def test_requests_of_a_batch_get_ids_of_their_own(client: Client, name: str) -> None:
    """A batch is many writes, and every write gets an id."""
    await open_queue(client, name)
    plain = RouteRequest(queue_id=name, channel=VOICE)
    own = RouteRequest(request_id=name, queue_id=name, channel=VOICE)
    batch = RouteBatchRequest(requests=[plain, plain, own])
    results = (await client.call(client.routing.RouteBatch, batch)).results
    assert [item.response.position for item in results] == [1, 2, 3]
    assert [item.request_id for item in batch.requests] == ["", "", name]
    assert await client.route(own) == results[2].response


async def test_call_is_sent_again_with_its_id_after_the_delay_that_was_named() -> None:
    """The engine knows when it will have room; a client that asks sooner makes things worse."""
    overloaded = Refusal(EXHAUSTED, "OVERLOADED", DELAY_MS)
    unavailable = Refusal(grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE", 100)
    stand_in = StandIn(overloaded, unavailable, RouteResponse(contact_id="c"))
    async with serving(stand_in) as address, Client(address) as client:
        began = time.monotonic()
        assert (await client.route(RouteRequest(queue_id="q"))).contact_id == "c"
        assert time.monotonic() - began >= (DELAY_MS + 100) / 1_000
    assert len({request.request_id for request in stand_in.requests}) == 1
    assert len(stand_in.requests) == 3


async def test_refusal_without_a_delay_is_final() -> None:
    """A limit does not go away while the caller waits out its timeout."""
    stand_in = StandIn(LIMIT_REACHED, RouteResponse())
    async with serving(stand_in) as address, Client(address) as client:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.route(RouteRequest(queue_id="q"))
    assert reason_of(caught.value) == "LIMIT_REACHED"
    assert len(stand_in.requests) == 1


async def test_message_that_is_too_large_is_final() -> None:
    """It would be as large the next time."""
    options = (("grpc.max_receive_message_length", 100),)
    async with serving(StandIn(), options=options) as address, Client(address) as client:
        with pytest.raises(grpc.aio.AioRpcError, match="larger than max"):
            async with asyncio.timeout(3):
                await client.route(RouteRequest(queue_id="q" * 1_000))


async def test_subscription_resumes_after_a_delay_and_ends_where_none_is_named() -> None:
    """Who fell behind goes on from its cursor; who may not have the events is told so."""
    page = SubscribeResponse(events=[Event(cursor="1.0")], cursor="1.0")
    behind = Refusal(EXHAUSTED, "TOO_FAR_BEHIND", 1)
    stand_in = StandIn([page], behind, [page], LIMIT_REACHED)
    async with serving(stand_in) as address, Client(address) as client:
        events = aiter(client.subscribe(SubscribeRequest()))
        assert [(await anext(events)).cursor for _ in range(2)] == ["1.0", "1.0"]
        with pytest.raises(grpc.aio.AioRpcError, match="LIMIT_REACHED"):
            await anext(events)
    assert [request.cursor for request in stand_in.requests] == ["", "1.0", "1.0", "1.0"]


async def test_channel_connects_soon_after_the_server_is_back() -> None:
    """An engine starts in two seconds; its clients must not add seconds of their own."""
    lags = [await reconnect_lag_s() for _ in range(3)]
    # Left to itself, the channel tries again no sooner than 0.8 s after the first refusal.
    assert min(lags) < 0.4


async def reconnect_lag_s() -> float:
    """How long after its server came a channel is ready that was refused before."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    async with Client(f"127.0.0.1:{port}") as client:
        client.channel.get_state(try_to_connect=True)
        await asyncio.sleep(0.3)
        async with serving(StandIn(), port):
            began = time.monotonic()
            await asyncio.wait_for(client.channel.channel_ready(), 10)
            return time.monotonic() - began


class Busy(StandIn):
    """Answers when the test says so, and knows how many wait for that."""

    def __init__(self) -> None:
        super().__init__()
        self.in_flight = self.most = 0
        self.may_answer = asyncio.Event()

    async def answer(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        await self.may_answer.wait()
        self.in_flight -= 1
        return RouteResponse(contact_id=request.contact_id)

    async def holds(self, count: int) -> None:
        """Wait until so many calls have come."""
        async with asyncio.timeout(5):
            while self.in_flight < count:
                await asyncio.sleep(0.005)


async def test_calls_beyond_those_in_flight_wait_for_their_turn() -> None:
    """An engine that gets more than it can do would have each wait behind all the others."""
    busy = Busy()
    async with serving(busy) as address, Client(address, in_flight_max=2) as client:
        names = [f"c{number}" for number in range(7)]
        calls = [asyncio.create_task(client.route(RouteRequest(contact_id=name))) for name in names]
        await busy.holds(2)
        calls[3].cancel()
        busy.may_answer.set()
        replies = await asyncio.gather(*calls, return_exceptions=True)
    assert busy.most == 2
    came = [reply.contact_id for reply in replies if isinstance(reply, RouteResponse)]
    assert came == names[:3] + names[4:]
    assert isinstance(replies[3], asyncio.CancelledError)
    # Two at a time, which may overtake each other on the way.
    assert sorted(request.contact_id for request in busy.requests) == came


async def test_call_whose_time_is_up_before_its_turn_is_never_sent() -> None:
    """Nobody waits for its answer, and the engine has enough to do."""
    busy = Busy()
    async with serving(busy) as address, Client(address, in_flight_max=1) as client:
        first = asyncio.create_task(client.route(RouteRequest(contact_id="first")))
        await busy.holds(1)
        with pytest.raises(grpc.aio.AioRpcError, match="this one was not sent") as caught:
            await client.route(RouteRequest(contact_id="late"), timeout_s=0.1)
        busy.may_answer.set()
        await first
        assert (await client.route(RouteRequest(contact_id="next"))).contact_id == "next"
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert [request.contact_id for request in busy.requests] == ["first", "next"]


async def test_client_without_room_is_refused() -> None:
    """It could never call."""
    with pytest.raises(ValueError, match="in_flight_max: got 0, expected > 0"):
        Client("127.0.0.1:1", in_flight_max=0)
