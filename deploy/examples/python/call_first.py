"""Noor writes an email; a call comes, the email is put aside and goes on when the call is over."""

import asyncio
import os
from typing import Final
from uuid import uuid4

from headgate.client import Client
from headgate.v1.agent_pb2 import Agent, ChannelCapacity, Presence
from headgate.v1.agent_service_pb2 import SetPresenceRequest, UpsertAgentRequest
from headgate.v1.contact_pb2 import Channel, ContactState
from headgate.v1.offer_service_pb2 import AcceptOfferRequest, CompleteAssignmentRequest
from headgate.v1.queue_pb2 import Queue
from headgate.v1.queue_service_pb2 import UpsertQueueRequest
from headgate.v1.routing_service_pb2 import GetContactRequest, RouteRequest

ADDRESS: Final = os.environ.get("HEADGATE_ADDRESS", "127.0.0.1:7443")


async def main() -> None:
    """Run the example."""
    async with Client(ADDRESS) as client:
        await open_counter(client)
        email = await take(client, Channel.CHANNEL_EMAIL)
        print(f"the email is {await state_of(client, email)}")
        call = await take(client, Channel.CHANNEL_VOICE)
        print(f"with a call the email is {await state_of(client, email)}")
        await complete(client, call)
        print(f"after it the email is {await state_of(client, email)}")
        await complete(client, email)


async def open_counter(client: Client) -> None:
    """Define the queue and Noor, who does one thing at a time, calls before emails."""
    queue = UpsertQueueRequest(queue=Queue(queue_id="counter"))
    await client.call(client.queues.UpsertQueue, queue)
    channels = [
        ChannelCapacity(channel=Channel.CHANNEL_VOICE),
        ChannelCapacity(channel=Channel.CHANNEL_EMAIL, interrupted_by=[Channel.CHANNEL_VOICE]),
    ]
    noor = Agent(agent_id="noor", queue_ids=["counter"], channels=channels)
    await client.call(client.agents.UpsertAgent, UpsertAgentRequest(agent=noor))
    present = SetPresenceRequest(agent_id="noor", presence=Presence.PRESENCE_AVAILABLE)
    await client.call(client.agents.SetPresence, present)


async def take(client: Client, channel: "Channel.ValueType") -> str:
    """Route a contact, which Noor accepts."""
    request = RouteRequest(contact_id=uuid4().hex, queue_id="counter", channel=channel)
    routed = await client.route(request)
    accept = AcceptOfferRequest(offer_id=routed.offer.offer_id, agent_id="noor")
    await client.call(client.offers.AcceptOffer, accept)
    contact_id: str = routed.contact_id
    return contact_id


async def state_of(client: Client, contact_id: str) -> str:
    """Where a contact is in its life."""
    found = await client.call(client.routing.GetContact, GetContactRequest(contact_id=contact_id))
    return ContactState.Name(found.contact.state)


async def complete(client: Client, contact_id: str) -> None:
    """Noor is done with a contact."""
    request = CompleteAssignmentRequest(contact_id=contact_id, agent_id="noor")
    await client.call(client.offers.CompleteAssignment, request)


asyncio.run(main())
