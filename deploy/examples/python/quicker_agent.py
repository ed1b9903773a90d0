"""
A queue whose contacts go to whoever handles them quicker, as the engine learns it; until its author
wants turns instead, and changes the weights while it runs.
"""

import asyncio
import os
from typing import Final

from headgate.client import Client
from headgate.v1.agent_pb2 import Agent, Presence
from headgate.v1.agent_service_pb2 import (
    ResetEstimatesRequest,
    SetPresenceRequest,
    UpsertAgentRequest,
)
from headgate.v1.contact_pb2 import Channel
from headgate.v1.offer_service_pb2 import AcceptOfferRequest, CompleteAssignmentRequest
from headgate.v1.queue_pb2 import Queue, ScoreWeights, Strategy
from headgate.v1.queue_service_pb2 import UpsertQueueRequest
from headgate.v1.routing_service_pb2 import RouteRequest

ADDRESS: Final = os.environ.get("HEADGATE_ADDRESS", "127.0.0.1:7443")
# How long each agent takes.
HANDLING_S: Final = {"quinn": 0.02, "sloan": 0.2}


async def main() -> None:
    """Run the example."""
    async with Client(ADDRESS) as client:
        await define(client, ScoreWeights(handle_time=1, idle=0))
        for agent_id in HANDLING_S:
            agent = Agent(agent_id=agent_id, queue_ids=["claims"])
            await client.call(client.agents.UpsertAgent, UpsertAgentRequest(agent=agent))
            forget = ResetEstimatesRequest(agent_id=agent_id)
            await client.call(client.agents.ResetEstimates, forget)
        for agent_id in HANDLING_S:
            await set_presence(client, agent_id, Presence.PRESENCE_AVAILABLE)
            await serve(client)
            await set_presence(client, agent_id, Presence.PRESENCE_AWAY)
        for agent_id in HANDLING_S:
            await set_presence(client, agent_id, Presence.PRESENCE_AVAILABLE)
        print("learned, both free:", *[await serve(client) for _ in range(4)])
        await define(client, ScoreWeights(turn=1, idle=0))
        print("in turn:", *[await serve(client) for _ in range(4)])


async def define(client: Client, weights: ScoreWeights) -> None:
    """Define the queue, or change its weights."""
    strategy = Strategy.STRATEGY_LONGEST_IDLE
    queue = Queue(queue_id="claims", strategy=strategy, weights=weights)
    await client.call(client.queues.UpsertQueue, UpsertQueueRequest(queue=queue))


async def set_presence(client: Client, agent_id: str, presence: "Presence.ValueType") -> None:
    """Make an agent available, or away."""
    request = SetPresenceRequest(agent_id=agent_id, presence=presence)
    await client.call(client.agents.SetPresence, request)


async def serve(client: Client) -> str:
    """Route one contact, and have its agent handle it; returns the agent."""
    routed = await client.route(RouteRequest(queue_id="claims", channel=Channel.CHANNEL_VOICE))
    agent_id = routed.agent_id
    accept = AcceptOfferRequest(offer_id=routed.offer.offer_id, agent_id=agent_id)
    await client.call(client.offers.AcceptOffer, accept)
    await asyncio.sleep(HANDLING_S[agent_id])
    request = CompleteAssignmentRequest(contact_id=routed.contact_id, agent_id=agent_id, outcome=1)
    await client.call(client.offers.CompleteAssignment, request)
    return agent_id


if __name__ == "__main__":
    asyncio.run(main())
