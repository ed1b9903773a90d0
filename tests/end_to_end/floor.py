"""What tests arrange over the wire: queues, agents who are signed in, contacts; and refusals."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

import grpc
import grpc.aio
import pytest

from headgate.client import Client, details_of, reason_of
from headgate.v1.agent_pb2 import Agent, Presence
from headgate.v1.agent_service_pb2 import GetAgentRequest, SetPresenceRequest, UpsertAgentRequest
from headgate.v1.contact_pb2 import Channel, Contact
from headgate.v1.event_pb2 import Event, EventKind
from headgate.v1.event_service_pb2 import SubscribeRequest
from headgate.v1.offer_service_pb2 import AcceptOfferRequest
from headgate.v1.queue_pb2 import Queue, QueueSnapshot
from headgate.v1.queue_service_pb2 import GetSnapshotRequest, UpsertQueueRequest
from headgate.v1.routing_service_pb2 import GetContactRequest, RouteRequest, RouteResponse

VOICE = Channel.CHANNEL_VOICE
AVAILABLE = Presence.PRESENCE_AVAILABLE
STREAM_TIMEOUT_S = 30

T = TypeVar("T")


class Refused(NamedTuple):
    """How a call was refused: canonical code, fixed word, and the fields at fault."""

    code: str
    reason: str
    fields: dict[str, str]


async def refused(call: Awaitable[Any]) -> Refused:
    """Make a call that must be refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = caught.value
    return Refused(error.code().name, reason_of(error), dict(details_of(error)))


async def open_queue(client: Client, queue_id: str, **fields: Any) -> Queue:
    """Create a queue, or replace its definition."""
    queue = Queue(queue_id=queue_id, **fields)
    response = await client.call(client.queues.UpsertQueue, UpsertQueueRequest(queue=queue))
    return response.queue


async def sign_in(client: Client, agent_id: str, *queue_ids: str, **fields: Any) -> Agent:
    """Create an agent for some queues, and make it available."""
    agent = Agent(agent_id=agent_id, queue_ids=queue_ids, **fields)
    response = await client.call(client.agents.UpsertAgent, UpsertAgentRequest(agent=agent))
    await set_presence(client, agent_id, AVAILABLE)
    return response.agent


async def set_presence(client: Client, agent_id: str, presence: "Presence.ValueType") -> None:
    """Set an agent's presence."""
    request = SetPresenceRequest(agent_id=agent_id, presence=presence)
    await client.call(client.agents.SetPresence, request)


async def route(
    client: Client, queue_id: str, contact_id: str = "", **fields: Any
) -> RouteResponse:
    """Route a voice contact."""
    fields.setdefault("channel", VOICE)
    return await client.route(RouteRequest(queue_id=queue_id, contact_id=contact_id, **fields))


async def assign(client: Client, queue_id: str, contact_id: str, **fields: Any) -> str:
    """Route a contact to a free agent, who accepts; returns the agent."""
    offer = (await route(client, queue_id, contact_id, **fields)).offer
    request = AcceptOfferRequest(offer_id=offer.offer_id, agent_id=offer.agent_id)
    await client.call(client.offers.AcceptOffer, request)
    return offer.agent_id


async def contact_of(client: Client, contact_id: str) -> Contact:
    """Read a contact."""
    request = GetContactRequest(contact_id=contact_id)
    return (await client.call(client.routing.GetContact, request)).contact


async def agent_of(client: Client, agent_id: str) -> Agent:
    """Read an agent."""
    return (await client.call(client.agents.GetAgent, GetAgentRequest(agent_id=agent_id))).agent


async def snapshot_of(client: Client, queue_id: str) -> QueueSnapshot:
    """Read a queue's live state."""
    request = GetSnapshotRequest(queue_ids=[queue_id])
    return (await client.call(client.queues.GetSnapshot, request)).snapshots[0]


async def offer_to(client: Client, agent_id: str) -> str:
    """Wait for an offer to an agent who holds nothing else; returns its id."""

    async def outstanding() -> str:
        held = (await agent_of(client, agent_id)).contact_ids
        return (await contact_of(client, held[0])).offer_id if held else ""

    return await until(outstanding)


async def told(stream: Any) -> Any:
    """Read the next message of a stream, which must not have ended."""
    message = await stream.read()
    assert message is not grpc.aio.EOF
    return message


async def all_of(stream: Any) -> list[Any]:
    """Read every message that is still to come until the stream ends."""
    messages = []
    while (message := await stream.read()) is not grpc.aio.EOF:
        messages.append(message)
    return messages


async def until(read: Callable[[], Awaitable[T]], within_s: float = 10.0) -> T:
    """Read again and again until something comes of it."""
    async with asyncio.timeout(within_s):
        while not (found := await read()):
            await asyncio.sleep(0.01)
    return found


async def events_until(client: Client, request: SubscribeRequest, last: str) -> list[Event]:
    """Events of a subscription up to the first of a kind."""
    stream = client.events.Subscribe(request, timeout=STREAM_TIMEOUT_S)
    events: list[Event] = []
    while True:
        for event in (await told(stream)).events:
            events.append(event)
            if event.kind == EventKind.Value(f"EVENT_KIND_{last}"):
                stream.cancel()
                return events


async def cursor_of_now(client: Client) -> str:
    """Where the events are now."""
    stream = client.events.Subscribe(SubscribeRequest(), timeout=STREAM_TIMEOUT_S)
    cursor: str = (await told(stream)).cursor
    stream.cancel()
    return cursor
