"""AgentService: what its unary methods do."""

from dataclasses import replace
from typing import Final

from google.protobuf.message import Message

from adapters.errors import invalid
from adapters.messages import agent_message
from adapters.methods import Method, fitting, ids_after, page_bounds
from adapters.translation import agent_command, known_members, member
from engine.commands import DeleteAgent, Heartbeat, ResetEstimates, SetPresence
from engine.engine import Engine
from engine.lifecycle import Presence
from engine.refusals import CommandRefused, violation
from engine.routing.validation import validate
from headgate.v1 import agent_service_pb2 as pb

HEARTBEAT_AGENTS_MAX: Final = 10_000


def upsert_agent(engine: Engine, request: pb.UpsertAgentRequest, now_ms: int) -> Message:
    """Create an agent or replace its definition."""
    engine.apply(agent_command(request.agent), now_ms)
    view = engine.read.agent(request.agent.agent_id)
    return pb.UpsertAgentResponse(agent=agent_message(engine, view))


def get_agent(engine: Engine, request: pb.GetAgentRequest, now_ms: int) -> Message:
    """Read one agent."""
    del now_ms
    return pb.GetAgentResponse(agent=agent_message(engine, engine.read.agent(request.agent_id)))


def list_agents(engine: Engine, request: pb.ListAgentsRequest, now_ms: int) -> Message:
    """List agents by id."""
    del now_ms
    presences = known_members(Presence, "presences", request.presences)
    ids = ids_after(engine.read.agent_ids(request.queue_id, presences), request.page_token)
    count = page_bounds(request.page_size)
    page = fitting(agent_message(engine, engine.read.agent(agent_id)) for agent_id in ids[:count])
    token = page[-1].agent_id if len(page) < len(ids) else ""
    return pb.ListAgentsResponse(agents=page, next_page_token=token)


def delete_agent(engine: Engine, request: pb.DeleteAgentRequest, now_ms: int) -> Message:
    """Delete an agent."""
    engine.apply(DeleteAgent(request.agent_id, request.etag), now_ms)
    return pb.DeleteAgentResponse()


def set_presence(engine: Engine, request: pb.SetPresenceRequest, now_ms: int) -> Message:
    """Set presence."""
    presence = member(Presence, request.presence)
    outcome = engine.apply(SetPresence(request.agent_id, presence, request.reason), now_ms)
    return pb.SetPresenceResponse(presence=outcome.state)  # type: ignore[arg-type]


def drain_agent(engine: Engine, request: pb.DrainAgentRequest, now_ms: int) -> Message:
    """Let the agent finish, then take it offline."""
    command = SetPresence(request.agent_id, Presence.DRAINING, request.reason)
    outcome = engine.apply(command, now_ms)
    return pb.DrainAgentResponse(
        presence=outcome.state,  # type: ignore[arg-type]
        contacts_in_hand=outcome.count,
    )


def reset_estimates(engine: Engine, request: pb.ResetEstimatesRequest, now_ms: int) -> Message:
    """Forget what was learned of an agent."""
    engine.apply(ResetEstimates(request.agent_id, request.queue_id), now_ms)
    view = engine.read.agent(request.agent_id)
    return pb.ResetEstimatesResponse(agent=agent_message(engine, view))


def heartbeat(engine: Engine, request: pb.HeartbeatRequest, now_ms: int) -> Message:
    """Renew the leases of many agents."""
    if not (1 <= len(request.agent_ids) <= HEARTBEAT_AGENTS_MAX):
        expected = f"1 to {HEARTBEAT_AGENTS_MAX:,} agents"
        raise invalid(violation("agent_ids", len(request.agent_ids), expected))
    beats = [Heartbeat(agent_id) for agent_id in request.agent_ids]
    # All before the first is applied: a refused call has renewed nothing.
    for place, beat in enumerate(beats):
        _check(beat, f"agent_ids[{place}]")
    response = pb.HeartbeatResponse()
    for beat in beats:
        if engine.apply(beat, now_ms).count == 0:
            response.not_renewed_agent_ids.append(beat.agent_id)
    return response


def _check(beat: Heartbeat, field: str) -> None:
    try:
        validate(beat)
    except CommandRefused as refused:
        found = [replace(item, field=field) for item in refused.violations]
        raise CommandRefused(refused.reason, *found) from None


METHODS: Final = (
    Method(
        "AgentService", "UpsertAgent", pb.UpsertAgentRequest, upsert_agent, True, "upsert_agent"
    ),
    Method("AgentService", "GetAgent", pb.GetAgentRequest, get_agent),
    Method("AgentService", "ListAgents", pb.ListAgentsRequest, list_agents),
    Method("AgentService", "DeleteAgent", pb.DeleteAgentRequest, delete_agent, True),
    Method(
        "AgentService", "SetPresence", pb.SetPresenceRequest, set_presence, True, "set_presence"
    ),
    Method("AgentService", "DrainAgent", pb.DrainAgentRequest, drain_agent, True, "drain_agent"),
    Method("AgentService", "ResetEstimates", pb.ResetEstimatesRequest, reset_estimates, True),
    Method("AgentService", "Heartbeat", pb.HeartbeatRequest, heartbeat, False, "heartbeat"),
)
