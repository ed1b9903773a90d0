"""
A customer calls again: the agent they know is waited for, then anybody who speaks French well, then
anybody.
"""

import asyncio
import os
from typing import Final
from uuid import uuid4

from headgate.client import Client
from headgate.v1.agent_pb2 import Agent, AgentSkill, Presence
from headgate.v1.agent_service_pb2 import SetPresenceRequest, UpsertAgentRequest
from headgate.v1.contact_pb2 import (
    Channel,
    Contact,
    ContactState,
    RelaxationStep,
    Requirements,
    SkillRequirement,
)
from headgate.v1.queue_pb2 import Queue
from headgate.v1.queue_service_pb2 import UpsertQueueRequest
from headgate.v1.routing_service_pb2 import (
    CancelContactRequest,
    CancelReason,
    GetContactRequest,
    RouteRequest,
)

ADDRESS: Final = os.environ.get("HEADGATE_ADDRESS", "127.0.0.1:7443")
FRENCH: Final = Requirements(skills=[SkillRequirement(skill="french", proficiency_min=4)])


async def main() -> None:
    """Run the example."""
    async with Client(ADDRESS) as client:
        await open_desk(client)
        routed = await client.route(
            RouteRequest(
                contact_id=uuid4().hex,
                queue_id="desk",
                channel=Channel.CHANNEL_VOICE,
                requirements=Requirements(agent_ids=["marie"]),
                relaxation=[
                    RelaxationStep(after_ms=500, requirements=FRENCH),
                    RelaxationStep(after_ms=1_000, priority=10),
                ],
            )
        )
        print(f"{ContactState.Name(routed.state)} for marie, who is away")
        while not (contact := await read(client, routed.contact_id)).agent_id:
            await asyncio.sleep(0.05)
        steps = contact.relaxation_steps_taken
        print(f"{ContactState.Name(contact.state)} to {contact.agent_id} after {steps} steps")
        reason = CancelReason.CANCEL_REASON_ABANDONED
        cancel = CancelContactRequest(contact_id=contact.contact_id, reason=reason)
        await client.call(client.routing.CancelContact, cancel)


async def open_desk(client: Client) -> None:
    """Define the queue, Marie, who is away, and Paul, whose French is middling."""
    await client.call(client.queues.UpsertQueue, UpsertQueueRequest(queue=Queue(queue_id="desk")))
    for agent_id, level, presence in (
        ("marie", 5, Presence.PRESENCE_AWAY),
        ("paul", 2, Presence.PRESENCE_AVAILABLE),
    ):
        skills = [AgentSkill(skill="french", proficiency=level)]
        agent = Agent(agent_id=agent_id, queue_ids=["desk"], skills=skills)
        await client.call(client.agents.UpsertAgent, UpsertAgentRequest(agent=agent))
        present = SetPresenceRequest(agent_id=agent_id, presence=presence)
        await client.call(client.agents.SetPresence, present)


async def read(client: Client, contact_id: str) -> Contact:
    """Read a contact."""
    found = await client.call(client.routing.GetContact, GetContactRequest(contact_id=contact_id))
    contact: Contact = found.contact
    return contact


asyncio.run(main())
