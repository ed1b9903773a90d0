"""
A call that waits, and why: nobody speaks well enough, until somebody who does comes back. The same
words are to be had from `headgate explain CONTACT`.
"""

import asyncio
import os
from typing import Final

from headgate.client import Client
from headgate.v1.agent_pb2 import Agent, AgentSkill, Presence
from headgate.v1.agent_service_pb2 import SetPresenceRequest, UpsertAgentRequest
from headgate.v1.contact_pb2 import Channel, Requirements, SkillRequirement
from headgate.v1.decision_service_pb2 import ExplainRequest
from headgate.v1.queue_pb2 import Queue
from headgate.v1.queue_service_pb2 import UpsertQueueRequest
from headgate.v1.routing_service_pb2 import CancelContactRequest, CancelReason, RouteRequest

ADDRESS: Final = os.environ.get("HEADGATE_ADDRESS", "127.0.0.1:7443")


async def main() -> None:
    """Run the example."""
    async with Client(ADDRESS) as client:
        queue = Queue(queue_id="lisbon")
        await client.call(client.queues.UpsertQueue, UpsertQueueRequest(queue=queue))
        await sign_in(client, "rui", 5, Presence.PRESENCE_AWAY)
        await sign_in(client, "tess", 2, Presence.PRESENCE_AVAILABLE)
        fluent = SkillRequirement(skill="portuguese", proficiency_min=4)
        routed = await client.route(
            RouteRequest(
                queue_id="lisbon",
                channel=Channel.CHANNEL_VOICE,
                requirements=Requirements(skills=[fluent]),
            )
        )
        print("\n".join(await explain(client, routed.contact_id, "tess")), end="\n\n")
        await sign_in(client, "rui", 5, Presence.PRESENCE_AVAILABLE)
        print("\n".join(await explain(client, routed.contact_id, "")))
        reason = CancelReason.CANCEL_REASON_WITHDRAWN
        cancel = CancelContactRequest(contact_id=routed.contact_id, reason=reason)
        await client.call(client.routing.CancelContact, cancel)


async def sign_in(
    client: Client, agent_id: str, level: int, presence: "Presence.ValueType"
) -> None:
    """Define an agent who speaks Portuguese at a level, and set its presence."""
    skills = [AgentSkill(skill="portuguese", proficiency=level)]
    agent = Agent(agent_id=agent_id, queue_ids=["lisbon"], skills=skills)
    await client.call(client.agents.UpsertAgent, UpsertAgentRequest(agent=agent))
    request = SetPresenceRequest(agent_id=agent_id, presence=presence)
    await client.call(client.agents.SetPresence, request)


async def explain(client: Client, contact_id: str, agent_id: str) -> list[str]:
    """Ask why a contact is where it is, and why not with an agent."""
    request = ExplainRequest(contact_id=contact_id, agent_id=agent_id)
    return list((await client.call(client.decisions.Explain, request)).sentences)


if __name__ == "__main__":
    asyncio.run(main())
