"""Ruth handles a call, asks Omar about it, and hands it over once he is on the line."""

import asyncio
import os
from typing import Final
from uuid import uuid4

from headgate.client import Client
from headgate.v1.agent_pb2 import Agent, Presence
from headgate.v1.agent_service_pb2 import SetPresenceRequest, UpsertAgentRequest
from headgate.v1.contact_pb2 import Channel, Contact, Requirements
from headgate.v1.offer_service_pb2 import (
    AcceptOfferRequest,
    CompleteAssignmentRequest,
    CompleteTransferRequest,
    ConsultRequest,
)
from headgate.v1.queue_pb2 import Queue
from headgate.v1.queue_service_pb2 import UpsertQueueRequest
from headgate.v1.routing_service_pb2 import GetContactRequest, RouteRequest, RouteResponse

ADDRESS: Final = os.environ.get("HEADGATE_ADDRESS", "127.0.0.1:7443")


async def main() -> None:
    """Run the example."""
    async with Client(ADDRESS) as client:
        await open_office(client)
        call = RouteRequest(
            contact_id=uuid4().hex,
            queue_id="office",
            channel=Channel.CHANNEL_VOICE,
            attributes={"name": "Ada"},
            requirements=Requirements(agent_ids=["ruth"]),
        )
        routed = await accept(client, await client.route(call))
        print(f"{routed.agent_id} speaks with {routed.attributes['name']}")
        ask = ConsultRequest(
            contact_id=routed.contact_id,
            agent_id="ruth",
            requirements=Requirements(agent_ids=["omar"]),
            attributes={"question": "may she have a refund?"},
        )
        asked = await accept(client, (await client.call(client.offers.Consult, ask)).route)
        print(f"{asked.agent_id} is asked: {asked.attributes['question']}")
        transfer = CompleteTransferRequest(contact_id=routed.contact_id, agent_id="ruth")
        await client.call(client.offers.CompleteTransfer, transfer)
        contact = await read(client, routed.contact_id)
        print(f"{contact.agent_id} has the call now, after {', '.join(contact.past_agent_ids)}")
        done = CompleteAssignmentRequest(contact_id=contact.contact_id, agent_id="omar")
        await client.call(client.offers.CompleteAssignment, done)


async def open_office(client: Client) -> None:
    """Define the queue, and Ruth and Omar."""
    queue = UpsertQueueRequest(queue=Queue(queue_id="office"))
    await client.call(client.queues.UpsertQueue, queue)
    for agent_id in ("ruth", "omar"):
        agent = Agent(agent_id=agent_id, queue_ids=["office"])
        await client.call(client.agents.UpsertAgent, UpsertAgentRequest(agent=agent))
        present = SetPresenceRequest(agent_id=agent_id, presence=Presence.PRESENCE_AVAILABLE)
        await client.call(client.agents.SetPresence, present)


async def accept(client: Client, routed: RouteResponse) -> Contact:
    """Accept the offer of a contact that was routed."""
    offer = AcceptOfferRequest(offer_id=routed.offer.offer_id, agent_id=routed.offer.agent_id)
    await client.call(client.offers.AcceptOffer, offer)
    return await read(client, routed.contact_id)


async def read(client: Client, contact_id: str) -> Contact:
    """Read a contact."""
    found = await client.call(client.routing.GetContact, GetContactRequest(contact_id=contact_id))
    contact: Contact = found.contact
    return contact


asyncio.run(main())
