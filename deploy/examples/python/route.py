"""Route one contact: define a queue and an agent, ask where a call goes, accept it, finish it."""

import asyncio
import os

from headgate.client import Client
from headgate.v1.agent_pb2 import Agent, Presence
from headgate.v1.agent_service_pb2 import SetPresenceRequest, UpsertAgentRequest
from headgate.v1.contact_pb2 import Channel, ContactState
from headgate.v1.offer_service_pb2 import AcceptOfferRequest, CompleteAssignmentRequest
from headgate.v1.queue_pb2 import Queue
from headgate.v1.queue_service_pb2 import UpsertQueueRequest
from headgate.v1.routing_service_pb2 import RouteRequest

ADDRESS = os.environ.get("HEADGATE_ADDRESS", "127.0.0.1:7443")


async def main() -> None:
    """Run the example."""
    async with Client(ADDRESS) as client:
        await client.call(
            client.queues.UpsertQueue, UpsertQueueRequest(queue=Queue(queue_id="billing"))
        )
        agent = Agent(agent_id="ada", queue_ids=["billing"])
        await client.call(client.agents.UpsertAgent, UpsertAgentRequest(agent=agent))
        await client.call(
            client.agents.SetPresence,
            SetPresenceRequest(agent_id="ada", presence=Presence.PRESENCE_AVAILABLE),
        )

        routed = await client.route(
            RouteRequest(
                queue_id="billing", channel=Channel.CHANNEL_VOICE, attributes={"line": "42"}
            )
        )
        print(f"contact {routed.contact_id}: {ContactState.Name(routed.state)}", end=" ")
        print(f"to {routed.agent_id}" if routed.agent_id else f"at position {routed.position}")

        if routed.agent_id:
            accept = AcceptOfferRequest(offer_id=routed.offer.offer_id, agent_id=routed.agent_id)
            await client.call(client.offers.AcceptOffer, accept)
            done = CompleteAssignmentRequest(contact_id=routed.contact_id, agent_id=routed.agent_id)
            finished = await client.call(client.offers.CompleteAssignment, done)
            print(f"then {ContactState.Name(finished.state)}")


asyncio.run(main())
