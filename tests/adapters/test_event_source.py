"""Reading ahead of a forwarder: cursors over breaks, bounds, gaps, and what ends it."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from adapters.event_source import (
    BUFFERED_EVENTS_MAX,
    EventsLost,
    EventSource,
    SubscriptionRefused,
)
from adapters.forward_metrics import ForwardMetrics
from adapters.webhook import RenderedEvent
from headgate.client import Client
from headgate.v1.event_pb2 import Event, EventKind
from headgate.v1.event_service_pb2 import SubscribeRequest, SubscribeResponse
from tests.end_to_end.stand_in import Refusal, StandIn, serving

TOO_OLD = Refusal(grpc.StatusCode.OUT_OF_RANGE, "CURSOR_OUT_OF_RANGE")
BEHIND = Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_FAR_BEHIND", 1)
STARTING = Refusal(grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE", 1)
LARGE = 1_000_000


def told(*cursors: str, at: str = "") -> SubscribeResponse:
    """One message: events at these places, and the cursor after it."""
    kind = EventKind.EVENT_KIND_CONTACT_RECEIVED
    events = [Event(cursor=cursor, kind=kind, at_ms=5) for cursor in cursors]
    return SubscribeResponse(events=events, cursor=at or cursors[-1])


async def endless(messages: Iterable[SubscribeResponse] = ()) -> AsyncIterator[Any]:
    """Some messages, then silence, as of an engine on which nothing happens."""
    for message in messages:
        yield message
    await asyncio.Event().wait()


class LiveStandIn(StandIn):
    """A stand-in whose outcome for a stream may also be one that goes on."""

    async def answer_all(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """Answer a call for a stream."""
        outcome = await self.answer(request, context)
        if isinstance(outcome, list):
            for response in outcome:
                yield response
            return
        async for response in outcome:
            yield response


@asynccontextmanager
async def source_of(
    stand_in: StandIn, wanted: SubscribeRequest | None = None, **settings: bool
) -> AsyncIterator[EventSource]:
    """A source that reads from a stand-in."""
    async with serving(stand_in) as address, Client(address) as client:
        source = EventSource(client, wanted or SubscribeRequest(), ForwardMetrics(), **settings)
        source.start()
        try:
            yield source
        finally:
            await source.stop()


def cursors(events: list[RenderedEvent]) -> list[str]:
    """Places of events."""
    return [event.cursor for event in events]


async def read(source: EventSource, count: int) -> list[str]:
    """Places of the next events, so many."""
    found: list[str] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            found += cursors(source.take(LARGE, LARGE))
            if len(found) < count:
                await source.changed()
    return found


async def test_reading_goes_on_behind_the_last_message_after_every_break() -> None:
    """Whether the engine restarts, is slow to start or cuts us off, nothing is left out."""
    stand_in = LiveStandIn(
        [told(at="4"), told("5.1", "5.2", at="5.7")],
        STARTING,
        BEHIND,
        [told(at="5.7"), told("6.1")],
        endless([told(at="6.1"), told("7.1")]),
    )
    with capture_logs() as logged:
        async with source_of(stand_in) as source:
            assert await read(source, 4) == ["5.1", "5.2", "6.1", "7.1"]
            assert (source.begins_at, source.cursor) == ("4", "7.1")
            assert source.is_subscribed
    asked = [request.cursor for request in stand_in.requests]
    assert asked == ["", "5.7", "5.7", "5.7", "6.1"]
    # One break is usual: every engine closes old connections. A second in a row is not.
    breaks = [line["log_level"] for line in logged if line["event"] == "subscription_broke"]
    assert breaks == ["info", "warning"]
    assert not source.is_subscribed


async def test_what_is_asked_for_is_asked_for_again() -> None:
    """After a break the choice of events is the same; the caller's request stays as it was."""
    kinds = [EventKind.EVENT_KIND_OFFER_ISSUED]
    wanted = SubscribeRequest(cell="c", cursor="3.1", kinds=kinds, queue_ids=["q"], agent_ids=["a"])
    stand_in = LiveStandIn([told("4.1")], endless([told("5.1")]))
    async with source_of(stand_in, wanted) as source:
        await read(source, 2)
    again = SubscribeRequest()
    again.CopyFrom(wanted)
    again.cursor = "4.1"
    assert stand_in.requests == [wanted, again]
    assert source.begins_at == "3.1"


async def test_no_more_is_read_ahead_than_fits_the_buffer() -> None:
    """An engine with millions of events to tell must not fill the forwarder's memory."""
    messages = [told(*(f"{group}.{index}" for index in range(1, 101))) for group in range(1, 101)]
    async with source_of(LiveStandIn(endless(messages))) as source:
        async with asyncio.timeout(10):
            while len(source._events) < BUFFERED_EVENTS_MAX:
                await source.changed()
        await asyncio.sleep(0.2)
        assert len(source._events) < BUFFERED_EVENTS_MAX + 100
        found = await read(source, 10_000)
    assert found == [event.cursor for message in messages for event in message.events]


async def test_events_are_taken_within_both_bounds_and_one_at_least() -> None:
    """A receiver says how much it takes at once; an event that alone is more must still go."""
    async with source_of(LiveStandIn(endless([told("1.1", "1.2", "1.3", "1.4")]))) as source:
        while not source.has_events:
            await source.changed()
        size = len(source._events[0].json) + 1
        assert cursors(source.take(LARGE, 2 * size)) == ["1.1", "1.2"]
        assert cursors(source.take(1, LARGE)) == ["1.3"]
        assert cursors(source.take(LARGE, 1)) == ["1.4"]
        assert source.take(LARGE, LARGE) == []
        assert not source.has_events


async def test_events_up_to_a_place_are_told_from_those_behind_it() -> None:
    """What was being sent before a crash is made up again, no less and no more."""
    messages = [told("1.1"), told("2.1", "2.2", "3.1")]
    async with source_of(LiveStandIn(endless(messages))) as source:
        while not source.has_reached((2, 2)):
            await source.changed()
        assert not source.has_reached((3, 2))
        assert cursors(source.take_up_to((2, 2))) == ["1.1", "2.1", "2.2"]
        assert cursors(source.take_up_to((2, 2))) == []
        assert cursors(source.take(LARGE, LARGE)) == ["3.1"]


async def test_stopped_source_holds_no_stream_and_goes_on_when_started() -> None:
    """While an endpoint is down the engine must not buffer for it."""
    ended = asyncio.Event()

    async def watched() -> AsyncIterator[Any]:
        try:
            yield told("1.1")
            await asyncio.Event().wait()
        finally:
            ended.set()

    stand_in = LiveStandIn(watched(), endless([told("2.1")]))
    async with source_of(stand_in) as source:
        assert await read(source, 1) == ["1.1"]
        await source.stop()
        await source.stop()
        await asyncio.wait_for(ended.wait(), 5)
        assert len(stand_in.requests) == 1
        source.start()
        source.start()
        assert await read(source, 1) == ["2.1"]
    assert [request.cursor for request in stand_in.requests] == ["", "1.1"]


async def test_gap_in_the_log_ends_reading_once_all_before_it_was_taken() -> None:
    """Events that nobody can tell any more are a person's to decide about."""
    stand_in = LiveStandIn([told("1.1")], TOO_OLD)
    async with source_of(stand_in) as source:
        async with asyncio.timeout(5):
            while len(stand_in.requests) < 2:
                await asyncio.sleep(0.01)
            await source.changed()
        assert await read(source, 1) == ["1.1"]
        with pytest.raises(EventsLost, match="CURSOR_OUT_OF_RANGE"):
            await read(source, 1)


async def test_gap_in_the_log_is_skipped_where_that_is_asked_for() -> None:
    """Reading goes on with the oldest event, and the loss is counted once."""
    stand_in = LiveStandIn(
        TOO_OLD, STARTING, TOO_OLD, endless([told(at="0"), told("9.1"), told("9.2")])
    )
    wanted = SubscribeRequest(cursor="3.1")
    async with source_of(stand_in, wanted, skip_lost=True) as source:
        assert await read(source, 2) == ["9.1", "9.2"]
        losses = source._metrics.registry.get_sample_value("headgate_forward_losses_total")
    assert losses == 1
    assert [request.cursor for request in stand_in.requests] == ["3.1", "0", "0", "0"]


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED"])
async def test_refusal_that_would_come_again_ends_reading(code: str) -> None:
    """A cell that is misspelt is told, not asked for every two seconds for ever."""
    stand_in = LiveStandIn(Refusal(grpc.StatusCode[code], "UNKNOWN_CELL"))
    async with source_of(stand_in) as source:
        with pytest.raises(SubscriptionRefused, match=f"{code}: UNKNOWN_CELL"):
            await read(source, 1)


async def test_engine_that_is_not_there_is_waited_for() -> None:
    """Forwarder and engine start in any order."""
    stand_in = LiveStandIn(endless([told("1.1")]))
    async with serving(StandIn()) as address:
        port = int(address.rpartition(":")[2])
    async with Client(address) as client:
        source = EventSource(client, SubscribeRequest(), ForwardMetrics())
        source.start()
        await asyncio.sleep(0.3)
        assert not source.is_subscribed
        async with serving(stand_in, port):
            assert await read(source, 1) == ["1.1"]
            await source.stop()


async def test_fault_of_our_own_ends_reading_instead_of_stopping_it_in_silence() -> None:
    """A forwarder that waits for a reader that is no more would look healthy."""
    async with source_of(LiveStandIn(endless([told("1.1")]))) as source:
        await read(source, 1)
        await source.stop()
        source._client = None  # type: ignore[assignment]
        source.start()
        with pytest.raises(AttributeError):
            await read(source, 1)
