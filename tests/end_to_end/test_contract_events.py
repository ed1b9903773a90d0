"""What the contract says of single events, against an engine: their queue and their wait."""

import asyncio

from headgate.client import Client
from headgate.v1.event_pb2 import Event, EventKind
from headgate.v1.event_service_pb2 import SubscribeRequest
from headgate.v1.offer_service_pb2 import CompleteAssignmentRequest
from headgate.v1.queue_pb2 import WrapUpMode
from headgate.v1.routing_service_pb2 import RequeueContactRequest
from tests.end_to_end.floor import (
    assign,
    cursor_of_now,
    events_until,
    open_queue,
    route,
    sign_in,
    told,
)

TIMEOUT_S = 30


async def test_contact_that_moves_is_told_under_the_queue_it_moved_to(
    client: Client, name: str
) -> None:
    """Whoever follows one queue sees who comes; who left for another is told to its followers."""
    old, new = f"{name}-old", f"{name}-new"
    start = await cursor_of_now(client)
    await open_queue(client, old)
    await open_queue(client, new)
    await route(client, old, f"{name}-c")
    move = RequeueContactRequest(contact_id=f"{name}-c", queue_id=new)
    await client.call(client.routing.RequeueContact, move)
    await route(client, old, f"{name}-last")
    of_new = SubscribeRequest(cursor=start, queue_ids=[new])
    moved = (await events_until(client, of_new, "CONTACT_REQUEUED"))[-1]
    assert (moved.contact_id, moved.queue_id, moved.reason) == (f"{name}-c", new, "moved")
    of_old = SubscribeRequest(cursor=start, queue_ids=[old])
    stream = client.events.Subscribe(of_old, timeout=TIMEOUT_S)
    told_of_old: list[Event] = []
    while f"{name}-last" not in {event.contact_id for event in told_of_old}:
        told_of_old += (await told(stream)).events
    stream.cancel()
    assert EventKind.EVENT_KIND_CONTACT_REQUEUED not in {event.kind for event in told_of_old}


async def test_wait_of_an_event_stops_when_an_agent_accepts(client: Client, name: str) -> None:
    """Reports add waits up: handling time must not be in them."""
    start = await cursor_of_now(client)
    await open_queue(client, name, wrap_up_mode=WrapUpMode.WRAP_UP_MODE_UNTIL_ENDED)
    await sign_in(client, f"{name}-a", name)
    await assign(client, name, f"{name}-c")
    await asyncio.sleep(0.3)
    done = CompleteAssignmentRequest(contact_id=f"{name}-c", agent_id=f"{name}-a")
    await client.call(client.offers.CompleteAssignment, done)
    request = SubscribeRequest(cursor=start, contact_ids=[f"{name}-c"])
    events = await events_until(client, request, "CONTACT_WRAP_UP_STARTED")
    accepted, ended = events[-2], events[-1]
    assert accepted.kind == EventKind.EVENT_KIND_CONTACT_ASSIGNED
    assert ended.at_ms - accepted.at_ms >= 300
    assert ended.wait_ms == accepted.wait_ms < 300
