"""
A desk whose agents are rung together: the first to pick up has the call. And a supervisor who gives
the next one to whom she likes.
"""

import asyncio
import os
from typing import Final

from headgate.client import Client
from headgate.v1.agent_pb2 import Agent, Presence
from headgate.v1.agent_service_pb2 import SetPresenceRequest, UpsertAgentRequest
from headgate.v1.contact_pb2 import Channel, ContactState
from headgate.v1.offer_service_pb2 import (
    AcceptOfferRequest,
    CompleteAssignmentRequest,
    OfferContactRequest,
)
from headgate.v1.queue_pb2 import Queue
from headgate.v1.queue_service_pb2 import UpsertQueueRequest
from headgate.v1.routing_service_pb2 import RouteRequest, RouteResponse

ADDRESS: Final = os.environ.get("HEADGATE_ADDRESS", "127.0.0.1:7443")
AGENTS: Final = ("iris", "jude", "kim")


async def main() -> None:
    """Run the example."""
    async with Client(ADDRESS) as client:
        queue = Queue(queue_id="reception", broadcast_max=len(AGENTS))
        await client.call(client.queues.UpsertQueue, UpsertQueueRequest(queue=queue))
        for agent_id in AGENTS:
            await sign_in(client, agent_id)
        routed = await call(client)
        offers = [routed.offer, *routed.other_offers]
        print("ringing:", *sorted(offer.agent_id for offer in offers))
        (jude,) = (offer for offer in offers if offer.agent_id == "jude")
        print(await pick_up(client, routed.contact_id, jude.offer_id, "jude"))
        routed = await call(client)
        request = OfferContactRequest(contact_id=routed.contact_id, agent_id="kim")
        picked = (await client.call(client.offers.OfferContact, request)).route
        print(ContactState.Name(picked.state), "to", picked.agent_id, "alone")
        print(await pick_up(client, picked.contact_id, picked.offer.offer_id, "kim"))


async def sign_in(client: Client, agent_id: str) -> None:
    """Define an agent, and make it available."""
    agent = Agent(agent_id=agent_id, queue_ids=["reception"])
    await client.call(client.agents.UpsertAgent, UpsertAgentRequest(agent=agent))
    presence = Presence.PRESENCE_AVAILABLE
    request = SetPresenceRequest(agent_id=agent_id, presence=presence)
    await client.call(client.agents.SetPresence, request)


async def call(client: Client) -> RouteResponse:
    """Somebody calls."""
    voice = Channel.CHANNEL_VOICE
    return await client.route(RouteRequest(queue_id="reception", channel=voice))


async def pick_up(client: Client, contact_id: str, offer_id: str, agent_id: str) -> str:
    """Accept an offer, and end the contact at once; says who did."""
    accept = AcceptOfferRequest(offer_id=offer_id, agent_id=agent_id)
    await client.call(client.offers.AcceptOffer, accept)
    complete = CompleteAssignmentRequest(contact_id=contact_id, agent_id=agent_id)
    await client.call(client.offers.CompleteAssignment, complete)
    return f"{agent_id} picked up"


if __name__ == "__main__":
    asyncio.run(main())
