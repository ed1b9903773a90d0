"""The server streams: events, one contact, offers, snapshots."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from itertools import islice
from typing import Final

from google.protobuf.message import Message
from google.rpc import code_pb2

from adapters.calls import METHOD_BY_NAME, Cells, ask
from adapters.commit_log import CommitLogError, CursorOutOfRange, LoggedGroup
from adapters.cursors import cursor_of, parse_cursor
from adapters.dispatch_loop import DispatchLoop
from adapters.errors import CallRefused, invalid, unavailable
from adapters.event_hub import GROUPS_PER_READ, Subscription
from adapters.messages import event_message
from adapters.methods import PAGE_SIZE_MAX
from adapters.routing_service import get_contact
from engine.effects import decode_effects
from engine.engine import Engine
from engine.kernels.columns import EFFECT_COUNT
from engine.limits import DAY_MS
from engine.refusals import violation
from headgate.v1 import (
    contact_pb2,
    event_pb2,
    event_service_pb2,
    offer_service_pb2,
    queue_service_pb2,
    routing_service_pb2,
)

# Events made of the log before others have their turn.
_EVENTS_PER_STEP: Final = 128
_WATCHED_AGENTS_MAX: Final = 10_000
_OFFER_ISSUED: Final = event_pb2.EventKind.EVENT_KIND_OFFER_ISSUED
_OFFER_OVER: Final = (
    event_pb2.EventKind.EVENT_KIND_OFFER_EXPIRED,
    event_pb2.EventKind.EVENT_KIND_OFFER_RESCINDED,
)


def cut_off(subscription: Subscription) -> CallRefused:
    """Refusal of a consumer that fell too far behind."""
    return CallRefused(
        code_pb2.RESOURCE_EXHAUSTED,
        "TOO_FAR_BEHIND",
        f"this consumer fell too far behind; resume from cursor {subscription.cursor!r}",
        retry_after_ms=1,
    )


async def find_place(cell: DispatchLoop, cursor: str) -> tuple[int, int]:
    """
    Group and place in it that a cursor names; what comes after can be replayed.

    Raises
    ------
    CallRefused
        INVALID_ARGUMENT for what is no cursor, OUT_OF_RANGE for one the log does not reach.
    """
    place = parse_cursor(cursor)
    if place is None:
        raise invalid(violation("cursor", cursor, "a cursor sent by this service"))
    sequence, _ = place
    if sequence == 0:
        return await cell.oldest_sequence(), 0
    if sequence > cell.hub.sequence:
        raise _out_of_range(f"cursor {cursor!r} lies beyond group {cell.hub.sequence}, the last")
    await _read_log(cell, sequence - 1, 0)
    return place


async def replay(
    cell: DispatchLoop, place: tuple[int, int], until: int
) -> AsyncIterator[list[event_pb2.Event]]:
    """
    Events after a place of the log up to group `until`, a few at a time.

    Raises
    ------
    CallRefused
        OUT_OF_RANGE; the log forgot them meanwhile.
    """
    # The group of the place itself may hold events after it.
    after = place[0] - 1
    while after < until:
        groups = await _read_log(cell, after, min(GROUPS_PER_READ, until - after))
        events = _events_after(groups, place)
        while step := list(islice(events, _EVENTS_PER_STEP)):
            yield step
            await asyncio.sleep(0)
        after = groups[-1].sequence if groups else until
        await asyncio.sleep(0)


async def _read_log(cell: DispatchLoop, after: int, groups_max: int) -> Sequence[LoggedGroup]:
    try:
        return await cell.tail(after, groups_max)
    except CursorOutOfRange as error:
        raise _out_of_range(str(error)) from None
    except CommitLogError as error:
        raise unavailable(f"the log cannot be read now: {error}") from None


def _events_after(
    groups: Sequence[LoggedGroup], place: tuple[int, int]
) -> Iterator[event_pb2.Event]:
    for group in groups:
        for number, effect in enumerate(decode_effects(group.events), start=1):
            if (group.sequence, number) > place:
                yield event_message(effect, cursor_of(group.sequence, number))


def _out_of_range(message: str) -> CallRefused:
    return CallRefused(code_pb2.OUT_OF_RANGE, "CURSOR_OUT_OF_RANGE", message)


async def subscribe(
    cells: Cells, request: event_service_pb2.SubscribeRequest
) -> AsyncIterator[Message]:
    """EventService.Subscribe."""
    cell = cells.find(request.cell)
    wanted = _EventFilter(request)
    place = await find_place(cell, request.cursor) if request.cursor else None
    subscription = Subscription(wants_all=True)
    cell.hub.subscribe(subscription)
    try:
        yield event_service_pb2.SubscribeResponse(cursor=request.cursor or subscription.cursor)
        if place is not None:
            async for events in replay(cell, place, subscription.since):
                yield wanted.message(events)
        while True:
            await subscription.wake.wait()
            subscription.wake.clear()
            for events in subscription.take_in_parts():
                yield wanted.message(events)
            if subscription.is_cut_off:
                raise cut_off(subscription)
    finally:
        cell.hub.unsubscribe(subscription)


class _EventFilter:
    """The filter of a Subscribe request; raises CallRefused for a kind that is none."""

    def __init__(self, request: event_service_pb2.SubscribeRequest) -> None:
        known = event_pb2.EventKind.values()
        for place, kind in enumerate(request.kinds):
            if kind == 0 or kind not in known:
                raise invalid(violation(f"kinds[{place}]", kind, "an EventKind other than 0"))
        self._kinds = frozenset(request.kinds)
        self._contacts = frozenset(request.contact_ids)
        self._queues = frozenset(request.queue_ids)
        self._agents = frozenset(request.agent_ids)

    def message(self, events: Sequence[event_pb2.Event]) -> Message:
        """What the subscriber is told of some events, one at least."""
        passing = [event for event in events if self._passes(event)]
        return event_service_pb2.SubscribeResponse(events=passing, cursor=events[-1].cursor)

    def _passes(self, event: event_pb2.Event) -> bool:
        return (
            (not self._kinds or event.kind in self._kinds)
            and (not self._contacts or event.contact_id in self._contacts)
            and (not self._queues or event.queue_id in self._queues)
            and (not self._agents or event.agent_id in self._agents)
        )


async def watch_contact(
    cells: Cells, request: routing_service_pb2.WatchContactRequest
) -> AsyncIterator[Message]:
    """RoutingService.WatchContact."""
    cell = cells.find(request.cell)
    subscription = Subscription(wants_all=False)
    cell.hub.subscribe(subscription)
    cell.hub.watch_contact(subscription, request.contact_id)
    try:
        contact, place = await _read_with_place(cell, request.contact_id)
        yield routing_service_pb2.WatchContactResponse(contact=contact)
        while contact.ended_at_ms == 0:
            await subscription.wake.wait()
            subscription.wake.clear()
            events = [item for item in subscription.take() if _is_after(item, place)]
            if events:
                yield routing_service_pb2.WatchContactResponse(events=events)
            if subscription.is_cut_off:
                raise cut_off(subscription)
            if not (subscription.contact_ids or subscription.events):
                return
    finally:
        cell.hub.unsubscribe(subscription)


async def _read_with_place(
    cell: DispatchLoop, contact_id: str
) -> tuple[contact_pb2.Contact, tuple[int, int]]:
    """
    Read a contact, and tell after which event: group, and place in the group.

    Calls of one turn are committed and told together, so events that the watcher gets with this
    reply may lie before the reading or after it.
    """
    place = 0, 0

    def read(
        engine: Engine, request: routing_service_pb2.GetContactRequest, now_ms: int
    ) -> Message:
        nonlocal place
        place = cell.hub.sequence + 1, engine.cell.store.scalar[EFFECT_COUNT]
        return get_contact(engine, request, now_ms)

    get = replace(METHOD_BY_NAME["GetContact"], run=read)
    request = routing_service_pb2.GetContactRequest(contact_id=contact_id)
    reply = await ask(cell, get, request)
    return routing_service_pb2.GetContactResponse.FromString(reply).contact, place


def _is_after(event: event_pb2.Event, place: tuple[int, int]) -> bool:
    found = parse_cursor(event.cursor)
    return found is not None and found > place


async def watch_offers(
    cells: Cells, request: offer_service_pb2.WatchOffersRequest
) -> AsyncIterator[Message]:
    """OfferService.WatchOffers."""
    cell = cells.find(request.cell)
    if not (1 <= len(request.agent_ids) <= _WATCHED_AGENTS_MAX):
        expected = f"1 to {_WATCHED_AGENTS_MAX:,} agents"
        raise invalid(violation("agent_ids", len(request.agent_ids), expected))
    subscription = Subscription(wants_all=False)
    cell.hub.subscribe(subscription)
    try:
        for agent_id in request.agent_ids:
            cell.hub.watch_agent(subscription, agent_id)
        standing = await _offers_standing(cell, set(request.agent_ids))
        sent = set(standing)
        for made in standing.values():
            yield made
        while True:
            for event in subscription.take():
                if event.kind == _OFFER_ISSUED and event.offer_id not in sent:
                    issued = await _offer_made(cell, event)
                    if issued is not None:
                        yield issued
                elif event.kind in _OFFER_OVER:
                    yield offer_service_pb2.WatchOffersResponse(
                        offer=_offer_of(event), is_over=True
                    )
            sent.clear()
            if subscription.is_cut_off:
                raise cut_off(subscription)
            await subscription.wake.wait()
            subscription.wake.clear()
    finally:
        cell.hub.unsubscribe(subscription)


async def _offers_standing(
    cell: DispatchLoop, agent_ids: AbstractSet[str]
) -> dict[str, offer_service_pb2.WatchOffersResponse]:
    """Outstanding offers to agents, by id."""
    return {
        offer.offer_id: offer_service_pb2.WatchOffersResponse(offer=offer, contact=contact)
        for contact in await _offered_contacts(cell, sorted(agent_ids))
        for offer in contact.offers
        if offer.agent_id in agent_ids
    }


async def _offer_made(cell: DispatchLoop, event: event_pb2.Event) -> Message | None:
    """
    An offer just made; None when it was answered or is over meanwhile: its end follows, so it is
    not worth showing.
    """
    try:
        contact, _ = await _read_with_place(cell, event.contact_id)
    except CallRefused as refused:
        if refused.code != code_pb2.NOT_FOUND:
            raise
        return None
    for offer in contact.offers:
        if offer.offer_id == event.offer_id:
            return offer_service_pb2.WatchOffersResponse(offer=offer, contact=contact)
    return None


async def _offered_contacts(
    cell: DispatchLoop, agent_ids: Sequence[str]
) -> list[contact_pb2.Contact]:
    found: list[contact_pb2.Contact] = []
    for agent_id in agent_ids:
        request = routing_service_pb2.ListContactsRequest(
            agent_id=agent_id,
            states=[contact_pb2.ContactState.CONTACT_STATE_OFFERED],
            page_size=PAGE_SIZE_MAX,
        )
        is_last = False
        while not is_last:
            reply = await ask(cell, METHOD_BY_NAME["ListContacts"], request)
            page = routing_service_pb2.ListContactsResponse.FromString(reply)
            found += page.contacts
            request.page_token = page.next_page_token
            is_last = not page.next_page_token
    return found


def _offer_of(event: event_pb2.Event) -> contact_pb2.Offer:
    return contact_pb2.Offer(
        offer_id=event.offer_id,
        contact_id=event.contact_id,
        agent_id=event.agent_id,
        queue_id=event.queue_id,
    )


async def watch_snapshots(
    cells: Cells, request: queue_service_pb2.WatchSnapshotsRequest
) -> AsyncIterator[Message]:
    """QueueService.WatchSnapshots."""
    cell = cells.find(request.cell)
    interval_ms = request.interval_ms or 1_000
    if not (100 <= interval_ms <= DAY_MS // 24):
        raise invalid(violation("interval_ms", request.interval_ms, "100 to 3,600,000"))
    read = queue_service_pb2.GetSnapshotRequest(queue_ids=request.queue_ids)
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        reply = await ask(cell, METHOD_BY_NAME["GetSnapshot"], read)
        # Both responses are the one field `snapshots`.
        yield queue_service_pb2.WatchSnapshotsResponse.FromString(reply)
        due = max(due + interval_ms / 1_000, loop.time())
        await asyncio.sleep(due - loop.time())
