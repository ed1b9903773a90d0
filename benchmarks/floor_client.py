"""Brings a population into a running server, over its own contract."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import grpc

from benchmarks.population import Population
from engine.commands import Route, UpsertAgent
from headgate.v1 import (
    agent_pb2,
    agent_service_pb2,
    contact_pb2,
    queue_pb2,
    queue_service_pb2,
    queue_service_pb2_grpc,
    routing_service_pb2,
)
from headgate.v1.gateway_service_pb2 import (
    ConnectRequest,
    ConnectResponse,
    SessionCommand,
    SessionWatch,
)

_FRAME: Final = 32
SetUp = (
    queue_service_pb2.UpsertQueueRequest
    | agent_service_pb2.UpsertAgentRequest
    | agent_service_pb2.SetPresenceRequest
)

_OPTIONS: Final = [("grpc.max_receive_message_length", 64 << 20)]


def set_up(address: str, population: Population) -> None:
    """Create queues and agents, and make the available ones available."""
    with grpc.insecure_channel(address, options=_OPTIONS) as channel:
        queues = queue_service_pb2_grpc.QueueServiceStub(channel)
        commands = []
        for request in set_up_requests(population):
            if isinstance(request, queue_service_pb2.UpsertQueueRequest):
                queues.UpsertQueue(request)
            elif isinstance(request, agent_service_pb2.UpsertAgentRequest):
                commands.append(SessionCommand(upsert_agent=request))
            else:
                commands.append(SessionCommand(set_presence=request))
        _run(channel, commands)


def set_up_requests(population: Population) -> Iterator[SetUp]:
    """What brings a population into an engine, in order."""
    for queue in population.queue_commands():
        yield queue_service_pb2.UpsertQueueRequest(
            request_id=f"set-up-{queue.queue_id}",
            queue=queue_pb2.Queue(queue_id=queue.queue_id, offer_timeout_ms=queue.offer_timeout_ms),
        )
    for agent in population.agent_commands():
        yield agent_service_pb2.UpsertAgentRequest(
            request_id=f"set-up-{agent.agent_id}", agent=_agent_message(agent)
        )
    for presence in population.presence_commands():
        yield agent_service_pb2.SetPresenceRequest(
            request_id=f"set-up-{presence.agent_id}-presence",
            agent_id=presence.agent_id,
            presence=presence.presence,  # type: ignore[arg-type]
        )


def route_request(command: Route) -> routing_service_pb2.RouteRequest:
    """A Route as a gateway sends it, without ids."""
    return routing_service_pb2.RouteRequest(
        queue_id=command.queue_id,
        channel=command.channel,  # type: ignore[arg-type]
        requirements=contact_pb2.Requirements(
            skills=[
                contact_pb2.SkillRequirement(skill=item.skill, proficiency_min=item.proficiency_min)
                for item in command.requirements.skills
            ]
        ),
        attributes=command.attributes,
    )


def _run(channel: grpc.Channel, commands: Sequence[SessionCommand]) -> None:
    """Send commands over one session and see that none is refused."""
    connect: Any = channel.stream_stream(
        "/headgate.v1.GatewayService/Connect",
        request_serializer=ConnectRequest.SerializeToString,
        response_deserializer=ConnectResponse.FromString,
    )
    answered = 0
    for response in connect(_frames(commands)):
        for reply in response.replies:
            assert reply.WhichOneof("result") != "error", reply
            answered += 1
    assert answered == len(commands), (answered, len(commands))


def _frames(commands: Sequence[SessionCommand]) -> Iterator[ConnectRequest]:
    watch = SessionWatch(replies_only=True)
    for first in range(0, len(commands), _FRAME):
        part = commands[first : first + _FRAME]
        yield ConnectRequest(commands=part, watch=watch)


def _agent_message(command: UpsertAgent) -> agent_pb2.Agent:
    return agent_pb2.Agent(
        agent_id=command.agent_id,
        queue_ids=command.queue_ids,
        skills=[
            agent_pb2.AgentSkill(skill=item.skill, proficiency=item.proficiency)
            for item in command.skills
        ],
        capacity=command.capacity,
    )
