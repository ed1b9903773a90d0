"""The demo's session stream, against a scripted gateway service."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc
import pytest

from deploy.examples.bank_day import session as session_module
from deploy.examples.bank_day.session import GatewaySession, SessionEnded
from deploy.examples.bank_day.together import until_first
from headgate.v1.agent_service_pb2 import DrainAgentRequest, DrainAgentResponse
from headgate.v1.error_pb2 import Error
from headgate.v1.event_pb2 import Event
from headgate.v1.gateway_service_pb2 import (
    ConnectRequest,
    ConnectResponse,
    SessionCommand,
    SessionReply,
)
from headgate.v1.gateway_service_pb2_grpc import (
    GatewayServiceServicer,
    GatewayServiceStub,
    add_GatewayServiceServicer_to_server,
)
from headgate.v1.routing_service_pb2 import CancelContactRequest, RouteRequest, RouteResponse

ROUTE = SessionCommand(route=RouteRequest(request_id="c1:route", contact_id="c1"))
CANCEL = SessionCommand(cancel_contact=CancelContactRequest(request_id="c1:hang-up"))
DRAIN = SessionCommand(drain_agent=DrainAgentRequest(request_id="a1:drain"))
ROUTED = SessionReply(request_id="c1:route", route=RouteResponse(contact_id="c1"))
DRAINED = SessionReply(request_id="a1:drain", drain_agent=DrainAgentResponse())


class ScriptedGateway(GatewayServiceServicer):
    """Answers each frame with the next of its responses, and keeps the frames."""

    def __init__(self, *responses: ConnectResponse) -> None:
        self.frames: list[ConnectRequest] = []
        self._responses = list(responses)

    async def Connect(
        self, request_iterator: AsyncIterator[ConnectRequest], context: object
    ) -> AsyncIterator[ConnectResponse]:
        async for frame in request_iterator:
            self.frames.append(frame)
            if not self._responses:
                return
            yield self._responses.pop(0)


@asynccontextmanager
async def connected(gateway: ScriptedGateway) -> AsyncIterator[GatewaySession]:
    """A session with the scripted gateway."""
    server = grpc.aio.server()
    add_GatewayServiceServicer_to_server(gateway, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield GatewaySession(GatewayServiceStub(channel))
    await server.stop(None)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds; the test's own timeout bounds it."""
    while not condition():
        await asyncio.sleep(0.005)


async def test_commands_of_one_turn_share_a_frame() -> None:
    """The engine commits a frame at once: what belongs together arrives together."""
    event = Event(cursor="1")
    gateway = ScriptedGateway(ConnectResponse(replies=[ROUTED, DRAINED], events=[event]))
    told: list[Event] = []
    async with connected(gateway) as session:
        session.send(ROUTE)
        session.send(DRAIN)
        await until_first(session.run(told.extend), until(lambda: bool(told)))

    assert [list(frame.commands) for frame in gateway.frames] == [[ROUTE, DRAIN]]
    assert told == [event]
    assert len(session.route_latencies_ms) == 1


@pytest.mark.parametrize("code", [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE])
async def test_command_that_the_engine_was_too_busy_for_is_sent_again(
    code: grpc.StatusCode,
) -> None:
    """Under the same request id, so that it is never done twice."""
    busy = SessionReply(request_id="c1:route", error=Error(code=code.value[0], retry_after_ms=5))
    gateway = ScriptedGateway(ConnectResponse(replies=[busy]), ConnectResponse(replies=[ROUTED]))
    async with connected(gateway) as session:
        session.send(ROUTE)
        has_reply = until(lambda: bool(session.route_latencies_ms))
        await until_first(session.run(lambda _: None), has_reply)

    assert [list(frame.commands) for frame in gateway.frames] == [[ROUTE], [ROUTE]]


async def test_hang_up_that_crossed_with_an_answer_is_no_fault() -> None:
    """The customer left in the very moment in which an agent accepted."""
    crossed = Error(code=grpc.StatusCode.FAILED_PRECONDITION.value[0], reason="ILLEGAL_TRANSITION")
    gateway = ScriptedGateway(
        ConnectResponse(replies=[SessionReply(request_id="c1:hang-up", error=crossed)])
    )
    async with connected(gateway) as session:
        session.send(CANCEL)
        await until_first(session.run(lambda _: None), until(lambda: session.crossed == 1))


async def test_refused_command_ends_the_play_and_is_named() -> None:
    """Anything else that is refused means that demo and engine disagree about the contract."""
    refused = Error(code=5, message="no such agent", reason="UNKNOWN_AGENT")
    gateway = ScriptedGateway(
        ConnectResponse(replies=[SessionReply(request_id="a1:drain", error=refused)])
    )
    async with connected(gateway) as session:
        session.send(DRAIN)
        with pytest.raises(
            SessionEnded, match=r"refused a1:drain: no such agent \(UNKNOWN_AGENT\)"
        ):
            await session.run(lambda _: None)


async def test_session_that_the_engine_ends_is_reported() -> None:
    """A stream that stops must not leave the demo waiting for ever."""
    async with connected(ScriptedGateway()) as session:
        session.send(ROUTE)
        with pytest.raises(SessionEnded, match="the engine ended the session"):
            await session.run(lambda _: None)


async def test_engine_that_answers_no_more_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that lives but hangs would otherwise leave the board standing still."""
    monkeypatch.setattr(session_module, "REPLY_S_MAX", 0.1)
    async with connected(ScriptedGateway(ConnectResponse())) as session:
        session.send(ROUTE)
        with pytest.raises(SessionEnded, match="no reply to c1:route within 0 s"):
            await session.run(lambda _: None)


async def test_first_failure_ends_all_and_is_the_one_raised() -> None:
    """What follows from a failure must not hide it."""
    ended: list[str] = []

    async def wait_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("waiting")

    async def fail() -> None:
        await asyncio.sleep(0)
        message = "first"
        raise SessionEnded(message)

    with pytest.raises(SessionEnded, match="first"):
        await until_first(wait_for_ever(), fail(), wait_for_ever())
    assert ended == ["waiting", "waiting"]
