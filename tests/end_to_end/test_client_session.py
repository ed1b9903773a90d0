"""The Python client's session: how it ends, and which reply belongs to which command."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from headgate.client import Client, CommandFailed, Session, SessionEnded, TooFarBehind
from headgate.v1.agent_service_pb2 import HeartbeatRequest, HeartbeatResponse
from headgate.v1.error_pb2 import Error
from headgate.v1.event_pb2 import Event
from headgate.v1.gateway_service_pb2 import ConnectResponse, SessionCommand, SessionReply
from headgate.v1.routing_service_pb2 import RouteRequest, RouteResponse
from tests.end_to_end.conftest import Serve
from tests.end_to_end.floor import VOICE, open_queue
from tests.end_to_end.stand_in import Refusal, StandIn, refuse, serving

TOO_OLD = Refusal(grpc.StatusCode.OUT_OF_RANGE, "CURSOR_OUT_OF_RANGE")


def route_command(request_id: str = "", **fields: Any) -> SessionCommand:
    """A command that routes a contact."""
    return SessionCommand(route=RouteRequest(request_id=request_id, channel=VOICE, **fields))


def heartbeat_command() -> SessionCommand:
    """A command without a request id."""
    return SessionCommand(heartbeat=HeartbeatRequest(agent_ids=["a"]))


@asynccontextmanager
async def session_with(stand_in: StandIn) -> AsyncIterator[Session]:
    """A session whose other end is the test's."""
    async with (
        serving(stand_in) as address,
        Client(address) as client,
        client.session() as session,
    ):
        yield session


async def commands_from(context: Any, count: int) -> list[SessionCommand]:
    """Next commands that a stand-in is sent."""
    found: list[SessionCommand] = []
    while len(found) < count:
        found += (await context.read()).commands
    return found


async def code_of_end(waits: Any) -> grpc.StatusCode:
    """What a waiter is told when the session ends."""
    with pytest.raises(SessionEnded) as caught:
        await asyncio.wait_for(waits, 5)
    assert caught.value.may_resume == (caught.value.code != grpc.StatusCode.OUT_OF_RANGE)
    return caught.value.code


async def test_server_that_dies_ends_the_session_for_every_waiter(serve: Serve) -> None:
    """A gateway that is told nothing more must know it, or it waits for ever."""
    served = serve("--durability", "memory")
    async with Client(served.address) as client:
        await open_queue(client, "q")
        async with client.session() as session:
            await session.ask(route=RouteRequest(queue_id="q", channel=VOICE))
            for _ in range(2):
                await session.events.get()
            waits = [asyncio.create_task(session.events.get()) for _ in range(3)]
            await asyncio.sleep(0)
            served.kill()
            codes = {await code_of_end(wait) for wait in waits}
            assert codes <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL}
            assert await code_of_end(session.events.get()) in codes
            request = RouteRequest(queue_id="q", channel=VOICE)
            assert await code_of_end(session.ask(route=request)) in codes


async def test_session_that_ends_gives_the_events_it_had_first() -> None:
    """What was told counts, and the cursor to resume from is that of the last event."""

    async def events_then_end(context: Any) -> None:
        await commands_from(context, 1)
        await context.write(ConnectResponse(events=[Event(cursor="1.0")], cursor="1.0"))
        await refuse(context, TOO_OLD)

    stand_in = StandIn(session=events_then_end)
    async with session_with(stand_in) as session:
        (reply,) = await session.send([route_command()])
        assert await code_of_end(reply) == grpc.StatusCode.OUT_OF_RANGE
        assert (await session.events.get()).cursor == session.cursor == "1.0"
        for wait in (session.events.get(), session.events.get()):
            assert await code_of_end(wait) == grpc.StatusCode.OUT_OF_RANGE
        assert not session.events.empty()
        sent = session.ask(route=RouteRequest())
        assert await code_of_end(sent) == grpc.StatusCode.OUT_OF_RANGE


@pytest.fixture
def few_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions that keep three events for whoever takes them."""
    monkeypatch.setattr("headgate.session.EVENTS_WAITING_MAX", 3)


async def tell_two_with_every_reply(context: Any) -> None:
    """Answer routes, each in a frame with the next two of the events 1.0, 2.0 and so on."""
    number = 1
    while (frame := await context.read()) is not grpc.aio.EOF:
        for command in frame.commands:
            reply = SessionReply(request_id=command.route.request_id, route=RouteResponse())
            events = [Event(cursor=f"{n}.0") for n in (number, number + 1)]
            cursor = events[-1].cursor
            await context.write(ConnectResponse(replies=[reply], events=events, cursor=cursor))
            number += 2


@pytest.mark.usefixtures("few_events")
async def test_session_that_nobody_reads_events_of_keeps_answering() -> None:
    """A gateway that only asks must not fill its memory, nor lose its replies for it."""
    async with session_with(StandIn(session=tell_two_with_every_reply)) as session:
        for _ in range(10):
            await asyncio.wait_for(session.ask(route=RouteRequest()), 5)
        told = [(await session.events.get()).cursor for _ in range(3)]
        assert told == ["1.0", "2.0", "3.0"]
        for _ in range(2):
            with pytest.raises(TooFarBehind, match=r"SessionWatch\(cursor='3\.0'\)") as caught:
                await asyncio.wait_for(session.events.get(), 5)
            assert caught.value.may_resume
            assert caught.value.cursor == session.cursor == "3.0"
        # The events do not begin again with a gap, though there is room.
        await asyncio.wait_for(session.ask(route=RouteRequest()), 5)
        assert session.cursor == "3.0"
    with pytest.raises(TooFarBehind):
        await session.events.get()
    assert await code_of_end(session.ask(route=RouteRequest())) == grpc.StatusCode.OK


@pytest.mark.usefixtures("few_events")
async def test_session_whose_events_are_taken_may_tell_any_number() -> None:
    """The bound is of those that wait."""
    async with session_with(StandIn(session=tell_two_with_every_reply)) as session:
        told = []
        for _ in range(10):
            await session.ask(route=RouteRequest())
            told += [(await session.events.get()).cursor for _ in range(2)]
    assert told == [f"{number}.0" for number in range(1, 21)]


async def test_session_ended_in_good_order_says_so() -> None:
    """An end without an error is an end as well, before and after the session is left."""

    async def end(context: Any) -> None:
        await commands_from(context, 1)

    async with session_with(StandIn(session=end)) as session:
        assert await code_of_end(session.ask(route=RouteRequest())) == grpc.StatusCode.OK
        assert await code_of_end(session.events.get()) == grpc.StatusCode.OK
        await session.__aexit__(None, None, None)
        assert await code_of_end(session.ask(route=RouteRequest())) == grpc.StatusCode.OK


async def test_session_to_nobody_is_ended() -> None:
    """A loop that reconnects has one error to catch, not two."""
    async with serving(StandIn()) as address:
        pass
    async with Client(address) as client:
        opening = client.session().__aenter__()
        assert await code_of_end(opening) == grpc.StatusCode.UNAVAILABLE


async def test_send_that_is_stuck_when_the_session_is_left_is_told_so() -> None:
    """A peer that stopped reading blocks writers; leaving must free them."""
    is_over = asyncio.Event()

    async def read_nothing(context: Any) -> None:
        await is_over.wait()

    large = [route_command(attributes={"a": "x" * 1_000_000}) for _ in range(4)]
    async with serving(StandIn(session=read_nothing)) as address, Client(address) as client:
        session = await client.session().__aenter__()
        stuck = [asyncio.create_task(session.send(large)) for _ in range(3)]
        await asyncio.sleep(0.3)
        assert not all(task.done() for task in stuck)
        await session.__aexit__(KeyError, KeyError(), None)
        results = await asyncio.wait_for(asyncio.gather(*stuck, return_exceptions=True), 5)
        is_over.set()
    assert isinstance(results[-1], SessionEnded)
    assert all(isinstance(result, list | SessionEnded) for result in results)


async def answer_in_turn(context: Any) -> None:
    """Answer the second of two heartbeats with an error, a stranger in between."""
    first, _, _ = await commands_from(context, 3)
    reply = SessionReply(request_id=first.route.request_id, route=RouteResponse(position=7))
    stranger = SessionReply(request_id="of nobody", route=RouteResponse(position=9))
    renewed = SessionReply(heartbeat=HeartbeatResponse(not_renewed_agent_ids=["a"]))
    failed = SessionReply(error=Error(code=3, reason="INVALID_FIELD"))
    await context.write(ConnectResponse(replies=[stranger, renewed, failed, reply]))
    await context.read()


async def test_reply_without_request_id_is_a_heartbeats() -> None:
    """Heartbeats are answered in order; no other reply is taken for one of theirs."""
    commands = [route_command(), heartbeat_command(), heartbeat_command()]
    async with session_with(StandIn(session=answer_in_turn)) as session:
        routed, first, second = await session.send(commands)
        assert (await routed).position == 7
        assert list((await first).not_renewed_agent_ids) == ["a"]
        with pytest.raises(CommandFailed, match="INVALID_FIELD"):
            await second
    assert commands[0].route.request_id == ""


async def refuse_to_send(session: Session, *commands: SessionCommand) -> str:
    """Why commands are not sent."""
    with pytest.raises(ValueError, match=r"is awaited already|is empty") as caught:
        await session.send(commands)
    return str(caught.value)


async def test_request_id_that_is_awaited_is_not_sent_twice(client: Client, name: str) -> None:
    """Two commands of one id cannot tell their replies apart; the first keeps its own."""
    await open_queue(client, name)
    command = route_command(name, queue_id=name)
    other = route_command(f"{name}-other", queue_id=name)
    async with client.session() as session:
        why = f"request id {name!r} is awaited already"
        assert await refuse_to_send(session, command, command) == why
        assert await refuse_to_send(session, other, SessionCommand()) == "commands[1] is empty"
        (first,) = await session.send([command])
        assert await refuse_to_send(session, heartbeat_command(), other, command) == why
        assert (await asyncio.wait_for(first, 5)).position == 1
        # Answered, so it may be repeated; and what was refused above was not sent in part.
        assert (await session.ask(route=command.route)).position == 1
        assert (await session.ask(heartbeat=HeartbeatRequest(agent_ids=[name]))) is not None
        assert (await session.ask(route=other.route)).position == 2


async def test_request_id_that_was_given_up_may_be_sent_again(client: Client, name: str) -> None:
    """A caller whose patience ended may retry on the same session."""
    await open_queue(client, name)
    command = route_command(name, queue_id=name)
    async with client.session() as session:
        (first,) = await session.send([command])
        first.cancel()
        assert (await session.ask(route=command.route)).position == 1
        assert (await session.ask(route=route_command("", queue_id=name).route)).position == 2
