"""More than the server takes, over a real channel: refused with a delay, never cancelled."""

import asyncio
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from headgate.access import Access
from headgate.client import Client, reason_of
from headgate.v1.agent_pb2 import Presence
from headgate.v1.agent_service_pb2 import SetPresenceRequest
from headgate.v1.event_service_pb2 import SubscribeRequest
from headgate.v1.gateway_service_pb2 import ConnectRequest, SessionCommand, SessionWatch
from headgate.v1.routing_service_pb2 import RouteBatchRequest, RouteRequest
from tests.end_to_end.conftest import Serve
from tests.end_to_end.credentials import CallersFile
from tests.end_to_end.floor import VOICE, open_queue, refused, sign_in, snapshot_of, told
from tests.end_to_end.redis_servers import replicated
from tests.end_to_end.serving import Served


def requests(count: int) -> list[RouteRequest]:
    """Requests that route, each once."""
    return [
        RouteRequest(request_id=f"r{number}", queue_id="q", channel=VOICE)
        for number in range(count)
    ]


def has_delay(error: grpc.aio.AioRpcError) -> bool:
    """Whether a refusal says when to try again."""
    status = rpc_status.from_call(error)
    assert status is not None
    retry = error_details_pb2.RetryInfo()
    return any(detail.Unpack(retry) and retry.retry_delay.nanos > 0 for detail in status.details)


def storm_of(client: Client, count: int) -> list[Any]:
    """Send many calls at once, without retries."""
    return [client.routing.Route(request, timeout=20) for request in requests(count)]


async def outcome_of(calls: list[Any]) -> tuple[int, list[grpc.aio.AioRpcError]]:
    """How many calls were answered, and the failures of the rest."""
    answers: list[Any] = await asyncio.gather(*calls, return_exceptions=True)
    failed = [answer for answer in answers if isinstance(answer, BaseException)]
    return len(calls) - len(failed), failed  # type: ignore[return-value]


async def storm(client: Client, count: int) -> tuple[int, list[grpc.aio.AioRpcError]]:
    """Send many calls at once, and wait for the outcome of all."""
    return await outcome_of(storm_of(client, count))


async def check_overload(client: Client) -> None:
    """Storm a server, and check that refusals are clear and nothing else suffers."""
    await open_queue(client, "q")
    answered, failed = await storm(client, 1_000)
    assert {error.code().name for error in failed} == {"RESOURCE_EXHAUSTED"}
    assert all(has_delay(error) for error in failed)
    assert answered >= 1
    assert (await snapshot_of(client, "q")).received_total == answered
    # Retried with the same ids and the delays that were named, every one of them gets through.
    async with asyncio.timeout(60):
        await asyncio.gather(*(client.route(request, 50) for request in requests(300)))
    health = health_pb2_grpc.HealthStub(client.channel)
    status = (await health.Check(health_pb2.HealthCheckRequest(), timeout=10)).status
    assert status == health_pb2.HealthCheckResponse.SERVING


async def test_calls_beyond_those_in_flight_are_refused_with_a_delay(serve: Serve) -> None:
    """A full server says so at once and stays healthy."""
    served = serve("--durability", "memory", "--set", "calls_in_flight_max=2")
    async with Client(served.address) as client:
        await check_overload(client)


async def test_calls_beyond_the_inbox_are_refused_with_a_delay(serve: Serve) -> None:
    """The same where the cell is the bottleneck, and inside batches and sessions."""
    served = serve("--durability", "memory", "--set", "inbox_max=1")
    async with Client(served.address) as client:
        await check_overload(client)
        batch = RouteBatchRequest(requests=[RouteRequest(request_id=f"b{number}", queue_id="q", channel=VOICE) for number in range(10)])  # noqa: E501  # fmt: skip
        results = (await client.call(client.routing.RouteBatch, batch)).results
        assert [item.WhichOneof("result") for item in results] == ["response"] + ["error"] * 9
        assert all(item.error.retry_after_ms > 0 for item in results[1:])
        commands = [SessionCommand(route=item) for item in requests(10)]
        stream = client.gateway.Connect(timeout=20)
        await stream.write(ConnectRequest(commands=commands, watch=SessionWatch(replies_only=True)))
        await stream.done_writing()
        replies = []
        while (frame := await stream.read()) is not grpc.aio.EOF:
            replies += frame.replies  # type: ignore[attr-defined]
        assert len(replies) == 10
        assert {reply.error.reason for reply in replies} == {"", "OVERLOADED"}


async def test_streams_beyond_the_bound_are_refused_with_a_delay(serve: Serve) -> None:
    """Open streams are bounded; the next one gets in when one has ended."""
    served = serve("--durability", "memory", "--set", "streams_max=2")
    async with Client(served.address) as client:
        open_streams = [client.events.Subscribe(SubscribeRequest(), timeout=30) for _ in range(2)]
        for stream in open_streams:
            await told(stream)
        found = await refused(told(client.events.Subscribe(SubscribeRequest(), timeout=30)))
        assert (found.code, found.reason) == ("RESOURCE_EXHAUSTED", "OVERLOADED")
        await open_queue(client, "q")
        open_streams[0].cancel()
        async with asyncio.timeout(10):
            while True:
                stream = client.events.Subscribe(SubscribeRequest(), timeout=30)
                try:
                    await told(stream)
                    break
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.01)
        stream.cancel()
        open_streams[1].cancel()


async def test_tenant_beyond_its_rate_is_refused_with_a_delay_and_others_are_not(
    serve: Serve, tmp_path: Path
) -> None:
    """One customer's storm must not cost the others their contacts, nor its own agents."""
    callers = CallersFile(tmp_path / "callers")
    tokens = [callers.add(name, "gateway author", "*", tenant=name) for name in ("storm", "shop")]
    served = serve(
        "--durability", "memory", "--callers-file", str(callers.path),
        "--set", "tenant_contacts_per_s=20",
    )  # fmt: skip
    async with (
        Client(served.address, Access(token=tokens[0])) as client,
        Client(served.address, Access(token=tokens[1])) as other,
    ):
        await open_queue(client, "q")
        answered, failed = await storm(client, 200)
        assert 20 <= answered < 150
        assert {reason_of(error) for error in failed} == {"OVERLOADED"}
        assert all(has_delay(error) for error in failed)
        assert "tenant 'storm' brings more than 20 contacts a second" in str(failed[0].details())
        batch = RouteBatchRequest(requests=requests(200)[150:])
        results = (await client.call(client.routing.RouteBatch, batch)).results
        errors = [item.error for item in results if item.WhichOneof("result") == "error"]
        assert errors
        assert all(error.retry_after_ms > 0 for error in errors)
        stream = client.gateway.Connect(timeout=20)
        commands = [SessionCommand(route=item) for item in requests(100)]
        await stream.write(ConnectRequest(commands=commands, watch=SessionWatch(replies_only=True)))
        await stream.done_writing()
        reasons = set()
        while (frame := await stream.read()) is not grpc.aio.EOF:
            reasons |= {reply.error.reason for reply in frame.replies}  # type: ignore[attr-defined]
        assert "OVERLOADED" in reasons
        for number in range(10):
            await other.routing.Route(
                RouteRequest(request_id=f"o{number}", queue_id="q", channel=VOICE), timeout=10
            )
            # Neither reads nor what agents say is held back.
            await sign_in(client, f"a{number}", "q")
            await snapshot_of(client, "q")
    told_of = await page(served)
    assert 'headgate_tenant_contacts_refused_total{tenant="storm"}' in told_of
    assert 'tenant="shop"' not in told_of


@pytest.mark.needs_redis
async def test_tenant_that_floods_leaves_others_their_part(serve: Serve, tmp_path: Path) -> None:
    """Of the calls in flight: here they wait for a log that does not answer for a while."""
    callers = CallersFile(tmp_path / "callers")
    tokens = [callers.add(name, "gateway author", "*", tenant=name) for name in ("storm", "shop")]
    with replicated(tmp_path / "redis", 0) as (redis,):
        served = serve(
            "--log", redis.url, "--durability", "relaxed", "--callers-file", str(callers.path),
            "--set", "calls_in_flight_max=16", "--set", "tenant_weights=shop=2",
            "--set", "lease_ms=30000",
        )  # fmt: skip
        async with (
            Client(served.address, Access(token=tokens[0])) as client,
            Client(served.address, Access(token=tokens[1])) as other,
        ):
            await open_queue(client, "q")
            for number in range(20):
                await sign_in(other, f"a{number}", "q")
            redis.pause()
            # Each that there is no room for is refused; the others wait for the log.
            storming = storm_of(client, 200)
            while sum(call.done() for call in storming) < 200 - 16:
                await asyncio.sleep(0.01)
            # Of room for 32 of these two thirds are theirs, and 16 calls are in flight already.
            away = [
                SetPresenceRequest(
                    request_id=f"p{number}", agent_id=f"a{number}", presence=Presence.PRESENCE_AWAY
                )
                for number in range(20)
            ]
            shopping = [other.agents.SetPresence(request, timeout=20) for request in away]
            while "\nheadgate_calls_in_flight 36.0\n" not in await page(served):
                await asyncio.sleep(0.01)
            redis.resume()
            answered, failed = await outcome_of(storming)
            assert answered == 16
            assert {reason_of(error) for error in failed} == {"OVERLOADED"}
            assert len(await asyncio.gather(*shopping)) == 20
        told_of = await page(served)
        assert 'headgate_tenant_contacts_refused_total{tenant="storm"}' in told_of
        assert 'headgate_tenant_contacts_refused_total{tenant="shop"}' not in told_of


async def page(served: Served) -> str:
    """What the monitoring port tells now."""
    return (await asyncio.to_thread(served.get, "/metrics"))[1]
