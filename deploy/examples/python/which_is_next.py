"""
An agent who serves three queues, and which contact is next: of the queue with the highest priority,
then of the oldest contact's; there the oldest, or the newest. And a queue that is full, whose
contacts go to another.
"""

import asyncio
import os
from typing import Final

from headgate.client import Client
from headgate.v1.agent_pb2 import Agent, Presence
from headgate.v1.agent_service_pb2 import GetAgentRequest, SetPresenceRequest, UpsertAgentRequest
from headgate.v1.contact_pb2 import Channel
from headgate.v1.offer_service_pb2 import CompleteAssignmentRequest
from headgate.v1.queue_pb2 import Queue, QueueOrder
from headgate.v1.queue_service_pb2 import UpsertQueueRequest
from headgate.v1.routing_service_pb2 import CancelContactRequest, CancelReason, RouteRequest

ADDRESS: Final = os.environ.get("HEADGATE_ADDRESS", "127.0.0.1:7443")
QUEUES: Final = (
    Queue(queue_id="overflow"),
    Queue(queue_id="orders", max_length=1, fallback_queue_id="overflow"),
    Queue(queue_id="posts", order=QueueOrder.QUEUE_ORDER_LIFO),
    Queue(queue_id="premium", priority=1),
)


async def main() -> None:
    """Run the example."""
    async with Client(ADDRESS) as client:
        for queue in QUEUES:
            await client.call(client.queues.UpsertQueue, UpsertQueueRequest(queue=queue))
        names = {}
        for name, queue_id, age_ms in (
            ("old order", "orders", 50_000),
            ("old post", "posts", 40_000),
            ("new post", "posts", 10_000),
            ("premium", "premium", 0),
        ):
            names[(await route(client, queue_id, age_ms))[0]] = name
        one_too_many, where = await route(client, "orders", 0)
        print("one order too many waits in", where)
        await sign_in(client, "lou")
        for _ in range(len(names)):
            print("next:", names[await finish(client, "lou")])
        cancel = CancelContactRequest(
            contact_id=one_too_many, reason=CancelReason.CANCEL_REASON_WITHDRAWN
        )
        await client.call(client.routing.CancelContact, cancel)
        await set_presence(client, "lou", Presence.PRESENCE_OFFLINE)


async def route(client: Client, queue_id: str, age_ms: int) -> tuple[str, str]:
    """A contact comes, having waited elsewhere for a while; its id, and the queue it is in."""
    voice = Channel.CHANNEL_VOICE
    request = RouteRequest(queue_id=queue_id, channel=voice, routing_age_ms=age_ms)
    routed = await client.route(request)
    return routed.contact_id, routed.queue_id


async def sign_in(client: Client, agent_id: str) -> None:
    """Define an agent who takes whatever comes, and make it available."""
    serves = [queue.queue_id for queue in QUEUES[1:]]
    agent = Agent(agent_id=agent_id, queue_ids=serves, auto_accept=True)
    await client.call(client.agents.UpsertAgent, UpsertAgentRequest(agent=agent))
    await set_presence(client, agent_id, Presence.PRESENCE_AVAILABLE)


async def set_presence(client: Client, agent_id: str, presence: "Presence.ValueType") -> None:
    """Say whether an agent is there."""
    request = SetPresenceRequest(agent_id=agent_id, presence=presence)
    await client.call(client.agents.SetPresence, request)


async def finish(client: Client, agent_id: str) -> str:
    """End what an agent has in hand; returns the contact's id."""
    request = GetAgentRequest(agent_id=agent_id)
    (contact_id,) = (await client.call(client.agents.GetAgent, request)).agent.contact_ids
    complete = CompleteAssignmentRequest(contact_id=contact_id, agent_id=agent_id)
    await client.call(client.offers.CompleteAssignment, complete)
    return contact_id


if __name__ == "__main__":
    asyncio.run(main())
