"""GatewayService.Connect over a real channel: frames in, replies and events out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from headgate.client import Client, CommandFailed, Session
from headgate.v1.agent_pb2 import Agent, Presence
from headgate.v1.agent_service_pb2 import (
    DrainAgentRequest,
    HeartbeatRequest,
    SetPresenceRequest,
    UpsertAgentRequest,
)
from headgate.v1.event_pb2 import Event, EventKind
from headgate.v1.gateway_service_pb2 import ConnectRequest, SessionCommand, SessionWatch
from headgate.v1.offer_service_pb2 import (
    AcceptOfferRequest,
    CompleteAssignmentRequest,
    DeclineOfferRequest,
    EndWrapUpRequest,
    ReleaseAssignmentRequest,
)
from headgate.v1.queue_pb2 import WrapUpMode
from headgate.v1.routing_service_pb2 import (
    CancelContactRequest,
    CancelReason,
    RequeueContactRequest,
    RouteRequest,
    UpdateContactRequest,
)
from tests.end_to_end.floor import (
    AVAILABLE,
    VOICE,
    all_of,
    contact_of,
    offer_to,
    open_queue,
    refused,
    route,
    sign_in,
    told,
)

TIMEOUT_S = 30
WITHDRAWN = CancelReason.CANCEL_REASON_WITHDRAWN


@asynccontextmanager
async def stream_of(client: Client, *frames: ConnectRequest) -> AsyncIterator[Any]:
    """A session stream with its first frames sent."""
    stream = client.gateway.Connect(timeout=TIMEOUT_S)
    for frame in frames:
        await stream.write(frame)
    yield stream
    stream.cancel()


async def events_of(session: Session, count: int) -> list[Event]:
    """Next events of a session."""
    async with asyncio.timeout(10):
        return [await session.events.get() for _ in range(count)]


def words(events: list[Event]) -> list[str]:
    """Kinds of events, in words."""
    return [EventKind.Name(event.kind).removeprefix("EVENT_KIND_") for event in events]


async def test_session_offers_every_command_and_answers_each_by_its_name(
    client: Client, name: str
) -> None:
    """A gateway needs no second connection for a contact's whole life."""
    until_ended = WrapUpMode.WRAP_UP_MODE_UNTIL_ENDED
    await open_queue(client, name, wrap_up_mode=until_ended, reoffer_delay_only_agent_ms=-1)
    agent = Agent(agent_id=name, queue_ids=[name], lease_ms=60_000)
    whose = {"contact_id": f"{name}-1", "agent_id": name}
    async with client.session() as session:
        made = await session.ask(upsert_agent=UpsertAgentRequest(agent=agent))
        assert made.agent.agent_id == name
        available = SetPresenceRequest(agent_id=name, presence=AVAILABLE)
        assert (await session.ask(set_presence=available)).presence == AVAILABLE
        beat = HeartbeatRequest(agent_ids=[name, f"{name}-none"])
        left_out = (await session.ask(heartbeat=beat)).not_renewed_agent_ids
        assert list(left_out) == [f"{name}-none"]
        routed = RouteRequest(queue_id=name, contact_id=f"{name}-1", channel=VOICE)
        offer = (await session.ask(route=routed)).offer
        assert offer.agent_id == name
        decline = DeclineOfferRequest(offer_id=offer.offer_id, agent_id=name, retry_after_ms=1)
        assert (await session.ask(decline_offer=decline)).state > 0
        accept = AcceptOfferRequest(offer_id=await offer_to(client, name), agent_id=name)
        assert (await session.ask(accept_offer=accept)).contact_id == f"{name}-1"
        release = ReleaseAssignmentRequest(**whose)
        assert (await session.ask(release_assignment=release)).state > 0
        accept = AcceptOfferRequest(offer_id=await offer_to(client, name), agent_id=name)
        await session.ask(accept_offer=accept)
        update = UpdateContactRequest(contact_id=f"{name}-1", priority=4)
        assert (await session.ask(update_contact=update)).contact.priority == 4
        complete = CompleteAssignmentRequest(
            contact_id=whose["contact_id"], agent_id=whose["agent_id"]
        )
        assert (await session.ask(complete_assignment=complete)).state > 0
        assert (await session.ask(end_wrap_up=EndWrapUpRequest(**whose))).handle_ms >= 0
        drain = DrainAgentRequest(agent_id=name)
        drained = await session.ask(drain_agent=drain)
        assert drained.presence == Presence.PRESENCE_OFFLINE
        second = RouteRequest(queue_id=name, contact_id=f"{name}-2", channel=VOICE)
        await session.ask(route=second)
        requeue = RequeueContactRequest(contact_id=f"{name}-2", priority=1)
        assert (await session.ask(requeue_contact=requeue)).route.position == 1
        cancel = CancelContactRequest(contact_id=f"{name}-2", reason=WITHDRAWN)
        assert (await session.ask(cancel_contact=cancel)).state > 0


async def test_session_frame_of_many_commands_is_answered_command_by_command(
    client: Client, name: str
) -> None:
    """One refused command of a full frame costs the others nothing."""
    await open_queue(client, name)
    commands = [
        SessionCommand(
            route=RouteRequest(
                request_id=f"{name}-{number}",
                contact_id=f"{name}-{number}",
                queue_id=name if number % 100 else f"{name}-none",
                channel=VOICE,
            )
        )
        for number in range(1_024)
    ]
    async with client.session() as session:
        async with asyncio.timeout(TIMEOUT_S):
            futures = await session.send(commands)
            replies = await asyncio.gather(*futures, return_exceptions=True)
    failed = {
        place: reply.error.reason
        for place, reply in enumerate(replies)
        if isinstance(reply, CommandFailed)
    }
    assert failed == dict.fromkeys(range(0, 1_024, 100), "UNKNOWN_QUEUE")
    positions = [reply.position for reply in replies if not isinstance(reply, BaseException)]
    assert positions == list(range(1, 1_024 - len(failed) + 1))


async def test_session_of_more_commands_than_a_frame_holds_is_refused(
    client: Client, name: str
) -> None:
    """The bound of a frame is told, and none of its commands is applied."""
    await open_queue(client, name)
    commands = [
        SessionCommand(
            route=RouteRequest(request_id=f"{name}-{number}", queue_id=name, channel=VOICE)
        )
        for number in range(1_025)
    ]
    async with stream_of(client, ConnectRequest(commands=commands)) as stream:
        found = await refused(all_of(stream))
    assert (found.code, found.fields) == (
        "INVALID_ARGUMENT",
        {"commands": "got 1025, expected at most 1,024"},
    )
    assert (await route(client, name)).position == 1


async def test_session_command_refused_carries_what_the_unary_call_would_say(
    client: Client, name: str
) -> None:
    """Code, reason and every broken rule are inside the frame."""
    await open_queue(client, name)
    async with client.session() as session:
        with pytest.raises(CommandFailed) as caught:
            await session.ask(route=RouteRequest(queue_id=name, priority=5_000))
    error = caught.value.error
    assert (error.code, error.reason) == (3, "INVALID_FIELD")
    assert [item.field for item in error.field_violations] == ["channel", "priority"]


async def test_session_repeats_the_stored_reply_of_a_unary_call(client: Client, name: str) -> None:
    """A retry may take another way than the first try."""
    await open_queue(client, name)
    request = RouteRequest(request_id=name, queue_id=name, channel=VOICE)
    first = await client.route(request)
    async with client.session() as session:
        assert await session.ask(route=request) == first


async def test_session_is_told_of_its_own_contacts_and_agents_only(
    client: Client, name: str
) -> None:
    """What its commands name it follows; what others do elsewhere it does not hear."""
    await open_queue(client, name)
    await open_queue(client, f"{name}-other")
    async with client.session() as session:
        agent = Agent(agent_id=f"{name}-a", queue_ids=[name, f"{name}-other"])
        await session.ask(upsert_agent=UpsertAgentRequest(agent=agent))
        routed = RouteRequest(queue_id=name, channel=VOICE)
        own = (await session.ask(route=routed)).contact_id
        await route(client, f"{name}-other", f"{name}-foreign")
        available = SetPresenceRequest(agent_id=f"{name}-a", presence=AVAILABLE)
        await client.call(client.agents.SetPresence, available)
        events = await events_of(session, 5)
        assert words(events) == [
            "AGENT_UPSERTED", "CONTACT_RECEIVED", "CONTACT_QUEUED",
            "AGENT_PRESENCE_CHANGED", "OFFER_ISSUED",
        ]  # fmt: skip
        assert [event.contact_id for event in events] == ["", own, own, "", own]
        # An offer to its own agent is news, whoever routed the contact.
        decline = DeclineOfferRequest(
            offer_id=events[-1].offer_id, agent_id=f"{name}-a", retry_after_ms=60_000
        )
        await session.ask(decline_offer=decline)
        events = await events_of(session, 3)
        assert words(events) == ["OFFER_DECLINED", "CONTACT_REQUEUED", "OFFER_ISSUED"]
        assert events[-1].contact_id == f"{name}-foreign"


async def test_session_without_events_gets_replies_only(client: Client, name: str) -> None:
    """A gateway that follows the event stream elsewhere pays for nothing twice."""
    await open_queue(client, name)
    async with client.session(watch=SessionWatch(replies_only=True)) as session:
        for _ in range(3):
            await session.ask(route=RouteRequest(queue_id=name, channel=VOICE))
        assert session.events.empty()


async def test_session_of_all_events_is_told_what_others_do(client: Client, name: str) -> None:
    """A recorder beside the gateways sees the whole cell."""
    await open_queue(client, name)
    async with client.session(watch=SessionWatch(all_events=True)) as session:
        await session.ask(heartbeat=HeartbeatRequest(agent_ids=[name]))
        await route(client, name, f"{name}-c")
        events = await events_of(session, 2)
    assert words(events) == ["CONTACT_RECEIVED", "CONTACT_QUEUED"]
    assert {event.contact_id for event in events} == {f"{name}-c"}


async def test_session_resumes_where_the_last_one_broke_off(client: Client, name: str) -> None:
    """What happened between two connections comes first, each event once."""
    await open_queue(client, name)
    async with client.session() as session:
        await session.ask(route=RouteRequest(queue_id=name, contact_id=f"{name}-c", channel=VOICE))
        before = await events_of(session, 2)
        cursor = session.cursor
    assert cursor == before[-1].cursor
    await sign_in(client, f"{name}-a", name)
    await route(client, name, f"{name}-foreign")
    watch = SessionWatch(contact_ids=[f"{name}-c"], cursor=cursor)
    async with client.session(watch=watch) as session:
        missed = await events_of(session, 1)
        cancel = CancelContactRequest(contact_id=f"{name}-c", reason=WITHDRAWN)
        await session.ask(cancel_contact=cancel)
        after = await events_of(session, 2)
    assert words(before + missed + after) == [
        "CONTACT_RECEIVED", "CONTACT_QUEUED", "OFFER_ISSUED",
        "OFFER_RESCINDED", "CONTACT_CANCELLED",
    ]  # fmt: skip
    assert {event.contact_id for event in before + missed + after} == {f"{name}-c"}


async def test_session_that_breaks_before_its_first_event_is_resumed(
    client: Client, name: str
) -> None:
    """The first frame holds a cursor: what happened before anything was read is not lost."""
    await open_queue(client, name)
    watch = SessionWatch(contact_ids=[f"{name}-c"])
    async with stream_of(client, ConnectRequest(watch=watch)) as stream:
        first = await told(stream)
    assert (first.cursor != "", list(first.events), list(first.replies)) == (True, [], [])
    await route(client, name, f"{name}-c")
    watch.cursor = first.cursor
    async with client.session(watch=watch) as session:
        assert words(await events_of(session, 2)) == ["CONTACT_RECEIVED", "CONTACT_QUEUED"]


@pytest.mark.parametrize(
    ("watch", "code"),
    [
        (SessionWatch(cursor="yesterday"), "INVALID_ARGUMENT"),
        (SessionWatch(cursor="999999999.1"), "OUT_OF_RANGE"),
    ],
)
async def test_session_from_a_cursor_of_no_place_is_refused(
    client: Client, watch: SessionWatch, code: str
) -> None:
    """A gateway whose place is gone must read its contacts anew, and is told so."""
    async with stream_of(client, ConnectRequest(watch=watch)) as stream:
        assert (await refused(all_of(stream))).code == code


async def test_session_of_an_unknown_cell_is_not_found(client: Client, name: str) -> None:
    """A misrouted gateway finds out at once."""
    async with stream_of(client, ConnectRequest(cell="elsewhere")) as stream:
        found = await refused(all_of(stream))
    assert (found.code, found.reason, set(found.fields)) == ("NOT_FOUND", "UNKNOWN_CELL", {"cell"})


async def test_session_frame_of_another_cell_is_refused(client: Client, name: str) -> None:
    """The first frame decides the cell of the session."""
    frames = ConnectRequest(), ConnectRequest(cell="elsewhere")
    async with stream_of(client, *frames) as stream:
        found = await refused(all_of(stream))
    assert (found.code, set(found.fields)) == ("INVALID_ARGUMENT", {"cell"})


async def test_session_command_of_another_cell_is_refused_alone(client: Client, name: str) -> None:
    """The command is answered with its error, the session goes on."""
    await open_queue(client, name)
    async with client.session() as session:
        wrong = RouteRequest(queue_id=name, channel=VOICE, cell="elsewhere")
        with pytest.raises(CommandFailed, match="empty, or the session's cell"):
            await session.ask(route=wrong)
        right = RouteRequest(queue_id=name, channel=VOICE, cell="default")
        assert (await session.ask(route=right)).position == 1


async def test_session_command_that_is_empty_is_refused_alone(client: Client) -> None:
    """A command of a newer version, which we cannot read, gets an answer as well."""
    frame = ConnectRequest(commands=[SessionCommand()])
    async with stream_of(client, frame) as stream:
        await told(stream)
        (reply,) = (await told(stream)).replies
    assert (reply.error.code, reply.error.field_violations[0].field) == (3, "command")


async def test_session_ends_when_the_gateway_has_said_all(client: Client, name: str) -> None:
    """Every reply is written before the stream ends with OK."""
    await open_queue(client, name)
    commands = [
        SessionCommand(
            route=RouteRequest(request_id=f"{name}-{number}", queue_id=name, channel=VOICE)
        )
        for number in range(500)
    ]
    async with stream_of(client, ConnectRequest(commands=commands)) as stream:
        await stream.done_writing()
        frames = await all_of(stream)
        assert (await stream.code()).name == "OK"
    assert sum(len(frame.replies) for frame in frames) == 500


async def test_session_that_breaks_leaves_its_commands_applied(client: Client, name: str) -> None:
    """What was sent may have been applied; the retry on a new session settles it."""
    await open_queue(client, name)
    request = RouteRequest(request_id=name, queue_id=name, contact_id=f"{name}-c", channel=VOICE)
    async with stream_of(
        client, ConnectRequest(commands=[SessionCommand(route=request)])
    ) as stream:
        await told(stream)
        await told(stream)
    async with client.session() as session:
        again = await session.ask(route=request)
    assert (again.position, again.already_known) == (1, False)
    assert (await contact_of(client, f"{name}-c")).queue_id == name
