"""Streams against a cell in the same process, where a test decides what shares a turn."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, cast

import pytest
from google.protobuf.message import Message
from google.rpc import code_pb2

from adapters.calls import Cells
from adapters.commit_log import CommitLogError, LoggedGroup
from adapters.dispatch_loop import DispatchLoop
from adapters.errors import CallRefused
from adapters.event_hub import BUFFERED_EVENTS_MAX
from adapters.memory_log import MemoryLog, MemoryStore
from adapters.streams import subscribe, watch_contact, watch_offers
from engine.limits import Limits
from headgate.v1.agent_pb2 import Agent, Presence
from headgate.v1.agent_service_pb2 import SetPresenceRequest, UpsertAgentRequest
from headgate.v1.contact_pb2 import ContactState
from headgate.v1.event_pb2 import EventKind
from headgate.v1.event_service_pb2 import SubscribeRequest
from headgate.v1.offer_service_pb2 import WatchOffersRequest
from headgate.v1.routing_service_pb2 import (
    CancelContactRequest,
    CancelReason,
    UpdateContactRequest,
    WatchContactRequest,
)
from tests.adapters.started_cell import floor, put, routing, send, started

WITHDRAWN = CancelReason.CANCEL_REASON_WITHDRAWN
ENDLESS = Limits(contacts_max=20_000, ended_max=0)
FORGETFUL = Limits(contacts_max=1_000, agents_max=10, queues_max=10, classes_max=10, ended_max=0)


def watching(stream: AsyncIterator[Message]) -> AsyncGenerator[Any, None]:
    """A stream as what it is, a generator of messages of one type."""
    return cast(AsyncGenerator[Any, None], stream)


async def begin(stream: AsyncIterator[Any]) -> "asyncio.Task[Any]":
    """Let a stream come as far as its first call to the cell, which waits for its turn."""
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    return first


async def rest(stream: AsyncIterator[Any], messages: int | None = None) -> list[Any]:
    """Messages that are still to come, all or some."""
    found: list[Any] = []
    async with asyncio.timeout(5):
        while messages is None or len(found) < messages:
            try:
                found.append(await anext(stream))
            except StopAsyncIteration:
                break
    return found


def cancelling(contact_id: str) -> CancelContactRequest:
    """Request that ends a contact."""
    return CancelContactRequest(contact_id=contact_id, reason=WITHDRAWN)


async def test_watched_contact_that_ends_in_the_turn_of_its_reading_is_told_so() -> None:
    """Calls of one turn are answered together: what came after the reading must not be dropped."""
    cell = await started()
    await floor(cell)
    await send(cell, routing("c"))
    stream = watching(watch_contact(Cells({"default": cell}), WatchContactRequest(contact_id="c")))
    first = await begin(stream)
    put(cell, cancelling("c"))
    assert (await first).contact.state == ContactState.CONTACT_STATE_QUEUED
    events = [event.kind for message in await rest(stream) for event in message.events]
    assert events == [EventKind.EVENT_KIND_CONTACT_CANCELLED]
    await cell.stop()


async def test_watched_contact_that_changes_around_its_reading_is_told_what_came_after() -> None:
    """What the contact already shows is not an event since."""
    cell = await started()
    await floor(cell)
    await send(cell, routing("c"))
    stream = watching(watch_contact(Cells({"default": cell}), WatchContactRequest(contact_id="c")))
    first = asyncio.ensure_future(anext(stream))
    # The stream takes its first step before this, and the turn comes after: 7, the reading, 8.
    later = UpdateContactRequest(contact_id="c", priority=8)
    asyncio.get_running_loop().call_soon(put, cell, later)
    put(cell, UpdateContactRequest(contact_id="c", priority=7))
    assert (await first).contact.priority == 7
    await send(cell, cancelling("c"))
    kinds = [event.kind for message in await rest(stream) for event in message.events]
    assert kinds == [
        EventKind.EVENT_KIND_CONTACT_UPDATED,
        EventKind.EVENT_KIND_CONTACT_CANCELLED,
    ]
    await cell.stop()


async def test_watched_contact_that_ends_while_a_message_is_sent_is_told_so() -> None:
    """A watcher who reads slowly sees the end as well, not a stream that just stops."""
    cell = await started()
    await floor(cell)
    await send(cell, routing("c"))
    stream = watching(watch_contact(Cells({"default": cell}), WatchContactRequest(contact_id="c")))
    await anext(stream)
    await send(cell, UpdateContactRequest(contact_id="c", priority=7))
    await anext(stream)
    await send(cell, cancelling("c"))
    kinds = [event.kind for message in await rest(stream) for event in message.events]
    assert kinds == [EventKind.EVENT_KIND_CONTACT_CANCELLED]
    await cell.stop()


async def test_watched_offers_survive_a_contact_that_is_gone_when_it_is_read() -> None:
    """One contact that came and went must not end the stream of a desk of ten thousand agents."""
    cell = await started(limits=FORGETFUL)
    await floor(cell, agents=1)
    stream = watching(watch_offers(Cells({"default": cell}), WatchOffersRequest(agent_ids=["a0"])))
    first = await begin(stream)
    await asyncio.sleep(0.01)
    requests = [routing("gone"), cancelling("gone"), routing("stays")]
    await asyncio.gather(*(put(cell, request) for request in requests))
    message = await asyncio.wait_for(first, 5)
    while message.is_over:
        (message,) = await rest(stream, 1)
    assert message.contact.contact_id == "stays"
    await stream.aclose()
    await cell.stop()


async def fill(cell: DispatchLoop, contacts: int, name: str = "early") -> None:
    """Route contacts, two events each."""
    requests = [routing(f"{name}{number}") for number in range(contacts)]
    for start in range(0, contacts, 500):
        await asyncio.gather(*(put(cell, request) for request in requests[start : start + 500]))


async def test_subscriber_that_does_not_read_is_cut_off_with_its_cursor() -> None:
    """A slow consumer costs a bounded buffer, and resumes without loss."""
    cell = await started(limits=ENDLESS)
    await floor(cell)
    cells = Cells({"default": cell})
    stream = watching(subscribe(cells, SubscribeRequest()))
    await anext(stream)
    await fill(cell, 100)
    seen = [event.cursor for event in (await anext(stream)).events]
    # Overtaken while a message is on its way: what is buffered by then must still be sent.
    contacts = BUFFERED_EVENTS_MAX // 2 + 100
    await fill(cell, contacts, "late")
    refusal = await cut_off_after(stream, seen)
    assert refusal.reason == "TOO_FAR_BEHIND"
    assert len(seen) == 200 + BUFFERED_EVENTS_MAX
    assert repr(seen[-1]) in str(refusal)
    resumed = watching(subscribe(cells, SubscribeRequest(cursor=seen[-1])))
    while len(seen) < 2 * (100 + contacts):
        (message,) = await rest(resumed, 1)
        seen += [event.cursor for event in message.events]
    assert len(set(seen)) == len(seen) == 2 * (100 + contacts)
    await resumed.aclose()
    await cell.stop()


async def test_replay_of_a_long_log_lets_others_have_their_turns() -> None:
    """One consumer that was away for hours must not stall every caller of the cell."""
    cell = await started(limits=ENDLESS)
    await floor(cell)
    # Many events in few groups, then a few each in many.
    await fill(cell, 2_000)
    for number in range(1_000):
        await send(cell, routing(f"late{number}"))
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.ensure_future(take_turns())
    request = SubscribeRequest(cursor="0", queue_ids=["another"])
    stream = watching(subscribe(Cells({"default": cell}), request))
    last = str(cell.hub.sequence)
    async with asyncio.timeout(30):
        while (await anext(stream)).cursor.partition(".")[0] != last:
            pass
    assert turns >= 6_000 // 128
    others.cancel()
    await stream.aclose()
    await cell.stop()


async def test_messages_of_a_subscriber_who_fell_behind_stay_readable() -> None:
    """A peer with gRPC's usual bound of 4 MiB must be able to read every message."""
    cell = await started(limits=ENDLESS)
    await floor(cell)
    stream = watching(subscribe(Cells({"default": cell}), SubscribeRequest()))
    await anext(stream)
    await fill(cell, 2_000)
    sizes: list[int] = []
    while sum(sizes) < 4_000:
        sizes += [len(message.events) for message in await rest(stream, 1)]
    assert max(sizes) <= 512
    await stream.aclose()
    await cell.stop()


async def test_watched_offers_of_an_agent_with_many_large_contacts_are_all_shown() -> None:
    """They come in pages, and the second page counts as well."""
    cell = await started()
    await floor(cell)
    agent = Agent(agent_id="a", queue_ids=["q"], capacity=1_000)
    await send(cell, UpsertAgentRequest(agent=agent))
    present = SetPresenceRequest(agent_id="a", presence=Presence.PRESENCE_AVAILABLE)
    await send(cell, present)
    routed = [f"c{number}" for number in range(200)]
    for contact_id in routed:
        request = routing(contact_id)
        request.attributes["large"] = "x" * 16_000
        await send(cell, request)
    stream = watching(watch_offers(Cells({"default": cell}), WatchOffersRequest(agent_ids=["a"])))
    shown = await rest(stream, len(routed))
    assert [message.contact.contact_id for message in shown] == routed
    await stream.aclose()
    await cell.stop()


async def test_subscriber_whose_cursor_the_log_has_forgotten_is_refused() -> None:
    """There is a gap before whatever comes: it must know, and not go on as if nothing were."""
    cell = await started(MemoryLog(MemoryStore(groups_kept=5)))
    await floor(cell)
    for number in range(20):
        await send(cell, routing(f"c{number}"))
    oldest = await cell.oldest_sequence()
    assert oldest > 2
    cells = Cells({"default": cell})
    forgotten = watching(subscribe(cells, SubscribeRequest(cursor=f"{oldest - 1}.1")))
    with pytest.raises(CallRefused) as refused:
        await anext(forgotten)
    assert (refused.value.code, refused.value.reason) == (
        code_pb2.OUT_OF_RANGE,
        "CURSOR_OUT_OF_RANGE",
    )
    held = watching(subscribe(cells, SubscribeRequest(cursor=f"{oldest}.1")))
    _, first = await rest(held, 2)
    assert first.events[0].cursor == f"{oldest}.2"
    await held.aclose()
    await cell.stop()


async def cut_off_after(stream: AsyncIterator[Any], seen: list[str]) -> CallRefused:
    """Read a stream that must be refused in the end, and note the cursors of its events."""
    try:
        async for message in stream:
            seen += [event.cursor for event in message.events]
    except CallRefused as refused:
        return refused
    raise AssertionError("the stream ended without a refusal")


async def test_ended_stream_leaves_nothing_behind_in_the_hub() -> None:
    """Watchers come and go all day; the hub must not keep them."""
    cell = await started()
    await floor(cell, agents=1)
    await send(cell, routing("c"))
    cells = Cells({"default": cell})
    streams = [
        watching(watch_contact(cells, WatchContactRequest(contact_id="c"))),
        watching(watch_offers(cells, WatchOffersRequest(agent_ids=["a0"]))),
        watching(subscribe(cells, SubscribeRequest())),
    ]
    for stream in streams:
        await anext(stream)
    for stream in streams:
        await stream.aclose()
    assert cell.hub.subscriber_count == 0
    assert not cell.hub._of_contact
    assert not cell.hub._of_agent
    await cell.stop()


async def test_watched_contact_of_an_unwatched_kind_is_not_kept() -> None:
    """A refused watch must not leave its subscription behind either."""
    cell = await started()
    stream = watching(
        watch_contact(Cells({"default": cell}), WatchContactRequest(contact_id="nobody"))
    )
    with pytest.raises(CallRefused):
        await anext(stream)
    assert not cell.hub._of_contact
    await cell.stop()


async def test_log_that_cannot_be_read_is_told_as_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A consumer tries again on UNAVAILABLE; Python's words about our insides it cannot use."""
    cell = await started()
    await floor(cell)

    async def fail(_after: int, _groups_max: int) -> list[LoggedGroup]:
        raise CommitLogError("the file is locked")

    monkeypatch.setattr(cell, "tail", fail)
    stream = watching(subscribe(Cells({"default": cell}), SubscribeRequest(cursor="0")))
    with pytest.raises(CallRefused, match="the file is locked") as refused:
        await rest(stream)
    assert refused.value.reason == "UNAVAILABLE"
    await cell.stop()
