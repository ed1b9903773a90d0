"""A request with many mistakes over a real channel."""

import asyncio

from headgate.client import Client
from headgate.v1.agent_pb2 import Agent, AgentSkill
from headgate.v1.agent_service_pb2 import UpsertAgentRequest
from tests.end_to_end.floor import refused


async def test_request_with_many_mistakes_is_told_so(client: Client, name: str) -> None:
    """A wrong import of skills is the caller's mistake; read as overload, it would be retried."""
    skills = [AgentSkill(skill=f"skill {number}", proficiency=9) for number in range(256)]
    request = UpsertAgentRequest(agent=Agent(agent_id=name, skills=skills))
    found = await asyncio.wait_for(refused(client.call(client.agents.UpsertAgent, request)), 20)
    assert (found.code, found.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert "agent.skills[0].proficiency" in found.fields
