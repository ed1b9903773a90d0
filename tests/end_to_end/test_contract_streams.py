"""Server streams over a real channel: one contact, offers of agents, every event of a cell."""

import asyncio
from pathlib import Path

import pytest

from headgate.client import Client
from headgate.v1.agent_pb2 import Presence
from headgate.v1.contact_pb2 import ContactState
from headgate.v1.event_pb2 import Event, EventKind
from headgate.v1.event_service_pb2 import SubscribeRequest
from headgate.v1.offer_service_pb2 import (
    AcceptOfferRequest,
    CompleteAssignmentRequest,
    DeclineOfferRequest,
    EndWrapUpRequest,
    WatchOffersRequest,
)
from headgate.v1.queue_pb2 import Intake, WrapUpMode
from headgate.v1.queue_service_pb2 import PauseQueueRequest
from headgate.v1.routing_service_pb2 import (
    CancelContactRequest,
    CancelReason,
    WatchContactRequest,
)
from tests.end_to_end.conftest import Serve
from tests.end_to_end.floor import (
    all_of,
    offer_to,
    open_queue,
    refused,
    route,
    set_presence,
    sign_in,
    told,
)

TIMEOUT_S = 30
WITHDRAWN = CancelReason.CANCEL_REASON_WITHDRAWN


def words(events: list[Event]) -> list[str]:
    """Kinds of events, in words."""
    return [EventKind.Name(event.kind).removeprefix("EVENT_KIND_") for event in events]


async def live_and_end(client: Client, name: str) -> list[str]:
    """Take a contact through a decline, an accept and wrap-up; returns the kinds that promises."""
    mode = WrapUpMode.WRAP_UP_MODE_UNTIL_ENDED
    await open_queue(client, name, wrap_up_mode=mode)
    await sign_in(client, f"{name}-a", name)
    offer = (await route(client, name, f"{name}-c")).offer
    answer = {"offer_id": offer.offer_id, "agent_id": f"{name}-a"}
    decline = DeclineOfferRequest(**answer, retry_after_ms=1)
    await client.call(client.offers.DeclineOffer, decline)
    answer["offer_id"] = await offer_to(client, f"{name}-a")
    await client.call(client.offers.AcceptOffer, AcceptOfferRequest(**answer))
    whose = {"contact_id": f"{name}-c", "agent_id": f"{name}-a"}
    await client.call(
        client.offers.CompleteAssignment,
        CompleteAssignmentRequest(contact_id=whose["contact_id"], agent_id=whose["agent_id"]),
    )
    await client.call(client.offers.EndWrapUp, EndWrapUpRequest(**whose))
    return [
        "CONTACT_RECEIVED",
        "OFFER_ISSUED",
        "OFFER_DECLINED",
        "CONTACT_REQUEUED",
        "OFFER_ISSUED",
        "OFFER_ACCEPTED",
        "CONTACT_ASSIGNED",
        "CONTACT_WRAP_UP_STARTED",
        "CONTACT_COMPLETED",
    ]


async def test_watched_contact_is_told_to_its_end(client: Client, name: str) -> None:
    """First the contact as it is, then each event, then the stream ends by itself."""
    await open_queue(client, name)
    await route(client, name, f"{name}-c")
    request = WatchContactRequest(contact_id=f"{name}-c")
    stream = client.routing.WatchContact(request, timeout=TIMEOUT_S)
    first = await told(stream)
    assert (first.contact.contact_id, list(first.events)) == (f"{name}-c", [])
    await sign_in(client, f"{name}-a", name)
    whose = {"contact_id": f"{name}-c", "agent_id": f"{name}-a"}
    accept = AcceptOfferRequest(offer_id=await offer_to(client, f"{name}-a"), agent_id=f"{name}-a")
    await client.call(client.offers.AcceptOffer, accept)
    await client.call(
        client.offers.CompleteAssignment,
        CompleteAssignmentRequest(contact_id=whose["contact_id"], agent_id=whose["agent_id"]),
    )
    messages = await all_of(stream)
    events = [event for message in messages for event in message.events]
    assert words(events) == [
        "OFFER_ISSUED", "OFFER_ACCEPTED", "CONTACT_ASSIGNED", "CONTACT_COMPLETED",
    ]  # fmt: skip
    assert {event.contact_id for event in events} == {f"{name}-c"}
    assert not any(message.HasField("contact") for message in messages)


async def test_watched_contact_that_has_ended_is_told_once(client: Client, name: str) -> None:
    """There is nothing to wait for."""
    await open_queue(client, name)
    await route(client, name, f"{name}-c")
    cancel = CancelContactRequest(contact_id=f"{name}-c", reason=WITHDRAWN)
    await client.call(client.routing.CancelContact, cancel)
    request = WatchContactRequest(contact_id=f"{name}-c")
    (message,) = await all_of(client.routing.WatchContact(request, timeout=TIMEOUT_S))
    assert message.contact.state == ContactState.CONTACT_STATE_CANCELLED


async def test_watched_contact_nobody_knows_is_not_found(client: Client, name: str) -> None:
    """A watch that can never say anything is refused."""
    request = WatchContactRequest(contact_id=name)
    found = await refused(client.routing.WatchContact(request, timeout=TIMEOUT_S).read())
    assert (found.code, found.reason) == ("NOT_FOUND", "UNKNOWN_CONTACT")


async def test_watched_offers_tell_the_outstanding_then_every_new_one(
    client: Client, name: str
) -> None:
    """A desk that connects late misses nothing, and sees the contact's attributes."""
    await open_queue(client, name)
    await sign_in(client, f"{name}-a", name)
    await sign_in(client, f"{name}-b", name)
    first = (await route(client, name, f"{name}-1", attributes={"k": "v"})).offer
    request = WatchOffersRequest(agent_ids=[f"{name}-a", f"{name}-b"])
    stream = client.offers.WatchOffers(request, timeout=TIMEOUT_S)
    shown = await told(stream)
    assert (shown.offer, shown.is_over) == (first, False)
    assert dict(shown.contact.attributes) == {"k": "v"}
    second = (await route(client, name, f"{name}-2")).offer
    shown = await told(stream)
    assert (shown.offer, shown.contact.contact_id) == (second, f"{name}-2")
    stream.cancel()


async def test_watched_offer_that_is_taken_back_is_over(client: Client, name: str) -> None:
    """The desk stops ringing for what the agent did not end, and only for that."""
    once = {"reoffer_delay_ms": 60_000, "reoffer_delay_only_agent_ms": 60_000}
    await open_queue(client, name, **once)
    await sign_in(client, name, name, missed_offers_max=-1)
    stream = client.offers.WatchOffers(WatchOffersRequest(agent_ids=[name]), timeout=TIMEOUT_S)
    # Answered by the agent itself: made, but never over.
    declined = (await route(client, name, f"{name}-1")).offer
    assert (await told(stream)).offer == declined
    answer = DeclineOfferRequest(offer_id=declined.offer_id, agent_id=name, retry_after_ms=60_000)
    await client.call(client.offers.DeclineOffer, answer)
    rescinded = (await route(client, name, f"{name}-2")).offer
    assert (await told(stream)).offer == rescinded
    cancel = CancelContactRequest(contact_id=f"{name}-2", reason=WITHDRAWN)
    await client.call(client.routing.CancelContact, cancel)
    over = await told(stream)
    assert (over.offer.offer_id, over.is_over, over.HasField("contact")) == (
        rescinded.offer_id,
        True,
        False,
    )
    await open_queue(client, name, offer_timeout_ms=100, **once)
    expired = (await route(client, name, f"{name}-3")).offer
    assert (await told(stream)).offer == expired
    over = await told(stream)
    assert (over.offer.offer_id, over.is_over) == (expired.offer_id, True)
    stream.cancel()


@pytest.mark.parametrize(
    ("agent_ids", "code", "reason"),
    [
        ([], "INVALID_ARGUMENT", "INVALID_FIELD"),
        (["a"] * 10_001, "INVALID_ARGUMENT", "INVALID_FIELD"),
        (["nobody knows me"], "NOT_FOUND", "UNKNOWN_AGENT"),
    ],
)
async def test_watched_offers_of_wrong_agents_are_refused(
    client: Client, agent_ids: list[str], code: str, reason: str
) -> None:
    """A desk that watches nobody would wait for ever."""
    request = WatchOffersRequest(agent_ids=agent_ids)
    found = await refused(client.offers.WatchOffers(request, timeout=TIMEOUT_S).read())
    assert (found.code, found.reason) == (code, reason)


async def test_subscriber_is_told_everything_in_order(client: Client, name: str) -> None:
    """The first message says that the subscription stands; what happens after it is all there."""
    request = SubscribeRequest(contact_ids=[f"{name}-c"])
    stream = client.events.Subscribe(request, timeout=TIMEOUT_S)
    first = await told(stream)
    assert (list(first.events), first.cursor != "") == ([], True)
    expected = await live_and_end(client, name)
    events: list[Event] = []
    while len(events) < len(expected):
        events += (await told(stream)).events
    stream.cancel()
    assert words(events) == expected
    assert [event.at_ms for event in events] == sorted(event.at_ms for event in events)
    issued = [event for event in events if event.kind == EventKind.EVENT_KIND_OFFER_ISSUED]
    assert all(event.offer_expires_at_ms == event.at_ms + 20_000 for event in issued)
    assert len({event.cursor for event in events}) == len(events)


async def test_subscriber_is_told_what_it_asked_for_only(client: Client, name: str) -> None:
    """Filters of one kind widen, filters of several kinds narrow."""
    requests = [
        SubscribeRequest(queue_ids=[name], kinds=[EventKind.EVENT_KIND_OFFER_ISSUED]),
        SubscribeRequest(agent_ids=[f"{name}-a", f"{name}-b"]),
        SubscribeRequest(queue_ids=[name, f"{name}-other"], agent_ids=[f"{name}-b"]),
    ]
    streams = [client.events.Subscribe(request, timeout=TIMEOUT_S) for request in requests]
    for stream in streams:
        await told(stream)
    await open_queue(client, name)
    await sign_in(client, f"{name}-a", name)
    await set_presence(client, f"{name}-a", Presence.PRESENCE_AWAY)
    await sign_in(client, f"{name}-b", name)
    await route(client, name)
    wanted = [
        ["OFFER_ISSUED"],
        [
            *("AGENT_UPSERTED", "AGENT_PRESENCE_CHANGED", "AGENT_PRESENCE_CHANGED"),
            *("AGENT_UPSERTED", "AGENT_PRESENCE_CHANGED", "OFFER_ISSUED"),
        ],
        ["OFFER_ISSUED"],
    ]
    for stream, expected in zip(streams, wanted, strict=True):
        events: list[Event] = []
        while len(events) < len(expected):
            events += (await told(stream)).events
        stream.cancel()
        assert words(events) == expected


async def test_subscriber_resumes_without_loss_or_double(client: Client, name: str) -> None:
    """Whatever message a connection broke after, its cursor leads to the very next event."""
    stream = client.events.Subscribe(SubscribeRequest(), timeout=TIMEOUT_S)
    start = (await told(stream)).cursor
    count = len(await live_and_end(client, name))
    seen: list[Event] = []
    cursors = [start]
    while sum(event.contact_id == f"{name}-c" for event in seen) < count:
        message = await told(stream)
        seen += message.events
        cursors += [event.cursor for event in message.events]
        assert message.cursor == cursors[-1]
    stream.cancel()
    for place, cursor in enumerate(cursors[:-1]):
        resumed = client.events.Subscribe(SubscribeRequest(cursor=cursor), timeout=TIMEOUT_S)
        again: list[Event] = []
        while len(again) < len(seen) - place:
            again += (await told(resumed)).events
        resumed.cancel()
        # What other tests left to time may have happened since.
        assert again[: len(seen) - place] == seen[place:]


async def test_subscriber_from_zero_reads_all_the_log_holds_after_a_restart(
    serve: Serve, tmp_path: Path
) -> None:
    """Audit and reports start from the beginning, and the log outlives the process."""
    flags = ("--durability", "normal", "--data-dir", str(tmp_path / "data"))
    first = serve(*flags)
    async with Client(first.address) as client:
        expected = await live_and_end(client, "zero")
    first.terminate()
    second = serve(*flags)
    async with Client(second.address) as client:
        request = SubscribeRequest(cursor="0", contact_ids=["zero-c"])
        events: list[Event] = []
        async for event in client.subscribe(request):
            events.append(event)
            if len(events) == len(expected):
                break
    assert words(events) == expected


@pytest.mark.parametrize(
    ("cursor", "code"),
    [
        ("999999999", "OUT_OF_RANGE"),
        ("999999999.1", "OUT_OF_RANGE"),
        ("yesterday", "INVALID_ARGUMENT"),
        ("-1", "INVALID_ARGUMENT"),
        ("1.x", "INVALID_ARGUMENT"),
        ("1.2.3", "INVALID_ARGUMENT"),
        ("٣", "INVALID_ARGUMENT"),
        ("9" * 40, "INVALID_ARGUMENT"),
    ],
)
async def test_subscriber_with_a_cursor_of_no_place_is_refused(
    client: Client, cursor: str, code: str
) -> None:
    """A subscriber that cannot be served from where it left off must know, and start over."""
    stream = client.events.Subscribe(SubscribeRequest(cursor=cursor), timeout=TIMEOUT_S)
    # Before the first message, which says that the subscription stands.
    assert (await refused(told(stream))).code == code


@pytest.mark.parametrize("kind", [0, 25, 99])
async def test_subscriber_of_a_kind_that_is_none_is_refused(client: Client, kind: int) -> None:
    """Whoever waits for what cannot happen would wait for ever."""
    issued = EventKind.EVENT_KIND_OFFER_ISSUED
    request = SubscribeRequest(kinds=[issued, kind])  # type: ignore[list-item]
    found = await refused(told(client.events.Subscribe(request, timeout=TIMEOUT_S)))
    assert (found.code, set(found.fields)) == ("INVALID_ARGUMENT", {"kinds[1]"})


async def test_subscriber_is_told_the_intake_of_a_queue(client: Client, name: str) -> None:
    """Who follows the events need not ask what a queue does now."""
    stream = client.events.Subscribe(SubscribeRequest(queue_ids=[name]), timeout=TIMEOUT_S)
    await told(stream)
    await open_queue(client, name)
    intakes = [Intake.INTAKE_PAUSED, Intake.INTAKE_CLOSED, Intake.INTAKE_OPEN]
    for intake in intakes:
        request = PauseQueueRequest(queue_id=name, intake=intake)
        await client.call(client.queues.PauseQueue, request)
    events: list[Event] = []
    while len(events) < 1 + len(intakes):
        events += (await told(stream)).events
    stream.cancel()
    assert words(events) == ["QUEUE_UPSERTED", *["QUEUE_INTAKE_CHANGED"] * 3]
    assert [event.intake for event in events] == [0, *intakes]


async def test_watched_offers_with_one_unknown_agent_are_refused_whole(
    client: Client, name: str
) -> None:
    """A desk that misses one of its agents must learn it, not find out by silence."""
    await sign_in(client, name)
    request = WatchOffersRequest(agent_ids=[name, f"{name}-none"])
    found = await refused(told(client.offers.WatchOffers(request, timeout=TIMEOUT_S)))
    assert (found.code, found.reason) == ("NOT_FOUND", "UNKNOWN_AGENT")


async def test_subscriber_beyond_the_last_event_is_refused(serve: Serve) -> None:
    """A cursor of a log that was lost must not wait for the new log to catch up with it."""
    served = serve("--durability", "memory")
    async with Client(served.address) as client:
        stream = client.events.Subscribe(SubscribeRequest(), timeout=TIMEOUT_S)
        await told(stream)
        await open_queue(client, "q")
        last = (await told(stream)).cursor
        stream.cancel()
        following = str(int(last.partition(".")[0]) + 1)
        for cursor in (following, f"{following}.1"):
            stream = client.events.Subscribe(SubscribeRequest(cursor=cursor), timeout=TIMEOUT_S)
            found = await refused(asyncio.wait_for(all_of(stream), 5))
            assert found.code == "OUT_OF_RANGE"
