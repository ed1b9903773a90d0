"""
Two callers in the same moment: one would do best with Ann, the other can be helped by nobody else.

Offered at once, the first gets her and the second waits. With a matching window of a fifth of a
second both have an agent; Explain says why the first has not got the better one.
"""

import asyncio
import os
from typing import Final

from headgate.client import Client
from headgate.v1.agent_pb2 import Agent, AgentSkill, Presence
from headgate.v1.agent_service_pb2 import SetPresenceRequest, UpsertAgentRequest
from headgate.v1.contact_pb2 import Channel, Requirements, SkillPreference, SkillRequirement
from headgate.v1.decision_service_pb2 import ExplainRequest
from headgate.v1.queue_pb2 import Queue, Strategy
from headgate.v1.queue_service_pb2 import UpsertQueueRequest
from headgate.v1.routing_service_pb2 import (
    CancelContactRequest,
    CancelReason,
    GetContactRequest,
    RouteRequest,
)

ADDRESS: Final = os.environ.get("HEADGATE_ADDRESS", "127.0.0.1:7443")
SKILLS: Final = {"ann": {"french": 5, "cards": 4}, "bob": {"cards": 3}}
ASKED: Final = (
    Requirements(preferred_skills=[SkillPreference(skill="cards", weight=5)]),
    Requirements(skills=[SkillRequirement(skill="french", proficiency_min=3)]),
)


async def main() -> None:
    """Run the example."""
    async with Client(ADDRESS) as client:
        await define(client, 0)
        for agent_id, levels in SKILLS.items():
            await sign_in(client, agent_id, levels)
        print("offered at once:", *await call_twice(client))
        await define(client, 200)
        print("together:", *await call_twice(client, explain=True))


async def define(client: Client, window_ms: int) -> None:
    """Define the queue, or change its window."""
    queue = Queue(
        queue_id="branch", strategy=Strategy.STRATEGY_BEST_SCORE, matching_window_ms=window_ms
    )
    await client.call(client.queues.UpsertQueue, UpsertQueueRequest(queue=queue))


async def sign_in(client: Client, agent_id: str, levels: dict[str, int]) -> None:
    """Define an agent and make it available."""
    skills = [AgentSkill(skill=skill, proficiency=level) for skill, level in levels.items()]
    agent = Agent(agent_id=agent_id, queue_ids=["branch"], skills=skills)
    await client.call(client.agents.UpsertAgent, UpsertAgentRequest(agent=agent))
    available = SetPresenceRequest(agent_id=agent_id, presence=Presence.PRESENCE_AVAILABLE)
    await client.call(client.agents.SetPresence, available)


async def call_twice(client: Client, *, explain: bool = False) -> list[str]:
    """Route two contacts; the agents they are offered to, or "nobody", then they are gone again."""
    voice = Channel.CHANNEL_VOICE
    routed = [
        await client.route(RouteRequest(queue_id="branch", channel=voice, requirements=asked))
        for asked in ASKED
    ]
    await asyncio.sleep(0.5)
    agent_ids = []
    for number, one in enumerate(routed):
        request = GetContactRequest(contact_id=one.contact_id)
        contact = (await client.call(client.routing.GetContact, request)).contact
        agent_ids.append(contact.agent_id or "nobody")
        if explain and number == 0:
            why = ExplainRequest(contact_id=one.contact_id, agent_id="ann")
            print("why:", *(await client.call(client.decisions.Explain, why)).sentences[1:])
    for one in routed:
        gone = CancelContactRequest(
            contact_id=one.contact_id, reason=CancelReason.CANCEL_REASON_WITHDRAWN
        )
        await client.call(client.routing.CancelContact, gone)
    return agent_ids


if __name__ == "__main__":
    asyncio.run(main())
