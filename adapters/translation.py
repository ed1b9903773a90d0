"""
Between wire messages and the engine's types: requests to commands, outcomes and views to messages.

Checks nothing that the engine checks. Where the contract says that 0 or an unset enum is read as a
default, it becomes the default here; any other value goes to the engine as it came.
"""

import uuid
from collections.abc import Iterable, Mapping
from enum import IntEnum
from functools import cache, lru_cache
from typing import Final, TypeVar, cast

from adapters.errors import invalid
from engine.commands import (
    NO_REQUIREMENTS,
    Consult,
    RelaxationStep,
    RequeueContact,
    Requirements,
    Route,
    Schedule,
    ScheduleContact,
    SkillPreference,
    SkillRequirement,
    UpdateContact,
    UpsertAgent,
    UpsertQueue,
)
from engine.definitions import (
    AgentSkill,
    ChannelCapacity,
    Hours,
    HoursException,
    OpeningPeriod,
    ScoreWeights,
)
from engine.lifecycle import AgentKind, Channel, Day, QueueOrder, Strategy, WrapUpMode
from engine.limits import (
    MAX_WAIT_MS,
    MISSED_OFFERS_MAX,
    OFFER_TIMEOUT_MS,
    PRIORITY_AGE_MS,
    REOFFER_DELAY_MS,
    REOFFER_DELAY_ONLY_AGENT_MS,
    RETRY_DELAY_MS,
    SERVICE_LEVEL_RATIO,
    SERVICE_LEVEL_WITHIN_MS,
)
from engine.refusals import one_of, violation
from headgate.v1 import agent_pb2, contact_pb2, offer_service_pb2, queue_pb2, routing_service_pb2

E = TypeVar("E", bound=IntEnum)

_REQUIREMENTS_REMEMBERED: Final = 4_096
_REMEMBERED_BYTES_MAX: Final = 1_024


def member(kind: type[E], value: int, default: E | None = None) -> E:
    """
    Enum member of a wire value; 0 gives the default where there is one.

    Any other value is passed on as it came: the engine refuses it together with whatever else is
    wrong.
    """
    if value == 0 and default is not None:
        return default
    return cast(E, _members(kind).get(value, value))


@cache
def _members(kind: type[IntEnum]) -> Mapping[int, IntEnum]:
    """Members by value: a look-up costs a third of a call of the type."""
    return {item.value: item for item in kind}


def known_members(kind: type[E], field: str, values: Iterable[int]) -> list[E]:
    """
    Enum members of a filter.

    Raises
    ------
    CallRefused
        INVALID_ARGUMENT, for a value that is none.
    """
    found = []
    for place, value in enumerate(values):
        chosen = member(kind, value)
        if not isinstance(chosen, kind) or chosen == 0:
            raise invalid(violation(f"{field}[{place}]", value, one_of(kind)))
        found.append(chosen)
    return found


def requirements_of(message: contact_pb2.Requirements) -> Requirements:
    """What a contact asks of agents; often what others asked, so the last few are remembered."""
    encoded = message.SerializeToString()
    if len(encoded) > _REMEMBERED_BYTES_MAX:
        return _read_requirements.__wrapped__(encoded)
    return _read_requirements(encoded)


@lru_cache(_REQUIREMENTS_REMEMBERED)
def _read_requirements(encoded: bytes) -> Requirements:
    message = contact_pb2.Requirements.FromString(encoded)
    return Requirements(
        tuple(SkillRequirement(item.skill, item.proficiency_min or 1) for item in message.skills),
        tuple(SkillPreference(item.skill, item.weight or 1.0) for item in message.preferred_skills),
        tuple(message.tags),
        tuple(message.tags_any),
        tuple(message.tags_none),
        tuple(message.agent_ids),
        tuple(message.preferred_agent_ids),
    )


def relaxation_step(message: contact_pb2.RelaxationStep) -> RelaxationStep:
    """A step of a contact's relaxation."""
    return RelaxationStep(
        message.after_ms,
        requirements_of(message.requirements),
        message.priority if message.HasField("priority") else None,
    )


def route_command(request: routing_service_pb2.RouteRequest) -> Route:
    """Command of a Route request; makes the contact id where the client gave none."""
    return Route(
        contact_id=request.contact_id or uuid.uuid4().hex,
        queue_id=request.queue_id,
        channel=member(Channel, request.channel),
        priority=request.priority,
        requirements=requirements_of(request.requirements)
        if request.HasField("requirements")
        else NO_REQUIREMENTS,
        attributes=dict(request.attributes),
        routing_age_ms=request.routing_age_ms,
        max_wait_ms=request.max_wait_ms,
        relaxation=tuple(map(relaxation_step, request.relaxation)),
        schedule=schedule_of(request.schedule) if request.HasField("schedule") else None,
        continues_contact_id=request.continues_contact_id,
    )


def schedule_of(message: contact_pb2.Schedule) -> Schedule:
    """When a contact is to be dealt with."""
    return Schedule(
        message.due_at_ms,
        message.window_ends_at_ms,
        message.attempts_max or 1,
        message.retry_delay_ms or RETRY_DELAY_MS,
    )


def schedule_command(request: routing_service_pb2.ScheduleContactRequest) -> ScheduleContact:
    """Command of a ScheduleContact request."""
    return ScheduleContact(
        contact_id=request.contact_id,
        schedule=schedule_of(request.schedule),
        channel=member(Channel, request.channel) if request.channel else None,
        queue_id=request.queue_id,
        attributes=dict(request.attributes),
        etag=request.etag,
    )


def consult_command(request: offer_service_pb2.ConsultRequest) -> Consult:
    """Command of a Consult request; makes the consult's id where the client gave none."""
    return Consult(
        contact_id=request.contact_id,
        agent_id=request.agent_id,
        consult_id=request.consult_id or uuid.uuid4().hex,
        queue_id=request.queue_id,
        priority=request.priority if request.HasField("priority") else None,
        requirements=requirements_of(request.requirements),
        relaxation=tuple(map(relaxation_step, request.relaxation)),
        attributes=dict(request.attributes),
    )


def update_command(request: routing_service_pb2.UpdateContactRequest) -> UpdateContact:
    """Command of an UpdateContact request; fields not set stay as they are."""
    return UpdateContact(
        contact_id=request.contact_id,
        etag=request.etag,
        priority=request.priority if request.HasField("priority") else None,
        routing_age_ms=request.routing_age_ms if request.HasField("routing_age_ms") else None,
        requirements=requirements_of(request.requirements)
        if request.HasField("requirements")
        else None,
        attributes=dict(request.attributes),
    )


def requeue_command(request: routing_service_pb2.RequeueContactRequest) -> RequeueContact:
    """Command of a RequeueContact request."""
    return RequeueContact(
        contact_id=request.contact_id,
        queue_id=request.queue_id,
        priority=request.priority if request.HasField("priority") else None,
        etag=request.etag,
        requirements=requirements_of(request.requirements)
        if request.HasField("requirements")
        else None,
        relaxation=tuple(map(relaxation_step, request.relaxation)),
        attributes=dict(request.attributes),
    )


def agent_command(agent: agent_pb2.Agent) -> UpsertAgent:
    """Command of an agent's definition."""
    return UpsertAgent(
        agent_id=agent.agent_id,
        kind=member(AgentKind, agent.kind, AgentKind.PERSON),
        queue_ids=tuple(agent.queue_ids),
        skills=tuple(AgentSkill(item.skill, item.proficiency) for item in agent.skills),
        tags=tuple(agent.tags),
        capacity=agent.capacity or 1,
        channels=tuple(
            ChannelCapacity(
                member(Channel, item.channel),
                item.cost or 1,
                item.contacts_max,
                tuple(member(Channel, channel) for channel in item.interrupted_by),
            )
            for item in agent.channels
        ),
        missed_offers_max=agent.missed_offers_max or MISSED_OFFERS_MAX,
        lease_ms=agent.lease_ms,
        auto_accept=agent.auto_accept,
        occupancy_max=agent.occupancy_max,
        rest_ms=agent.rest_ms,
        etag=agent.etag,
    )


def score_weights(message: queue_pb2.ScoreWeights) -> ScoreWeights:
    """Weights that a queue sets itself; None for those that are not set."""
    return ScoreWeights(
        *(
            getattr(message, name) if message.HasField(name) else None  # type: ignore[arg-type]
            for name in ScoreWeights._fields
        )
    )


def hours_of(message: queue_pb2.Hours) -> Hours:
    """When a queue takes contacts in."""
    return Hours(
        message.time_zone,
        tuple(map(_period, message.weekly)),
        tuple(
            HoursException(item.date, item.name, tuple(map(_period, item.periods)))
            for item in message.exceptions
        ),
    )


def _period(message: queue_pb2.OpeningPeriod) -> OpeningPeriod:
    days = tuple(member(Day, day) for day in message.days)
    return OpeningPeriod(message.opens, message.closes, days)


def queue_command(queue: queue_pb2.Queue) -> UpsertQueue:
    """Command of a queue's definition."""
    reoffer_delay_ms = queue.reoffer_delay_ms or REOFFER_DELAY_MS
    # A queue that sets only the longer delay, below the shorter one's default, means both.
    only_agent_ms = queue.reoffer_delay_only_agent_ms or max(
        min(REOFFER_DELAY_ONLY_AGENT_MS, reoffer_delay_ms), -1
    )
    return UpsertQueue(
        queue_id=queue.queue_id,
        service_level_ratio=queue.service_level.ratio or SERVICE_LEVEL_RATIO,
        service_level_within_ms=queue.service_level.within_ms or SERVICE_LEVEL_WITHIN_MS,
        strategy=member(Strategy, queue.strategy, Strategy.LONGEST_IDLE),
        weights=score_weights(queue.weights),
        starvation_bound_ms=queue.starvation_bound_ms,
        offer_timeout_ms=queue.offer_timeout_ms or OFFER_TIMEOUT_MS,
        broadcast_max=queue.broadcast_max or 1,
        wrap_up_mode=member(WrapUpMode, queue.wrap_up_mode, WrapUpMode.NONE),
        wrap_up_ms=queue.wrap_up_ms,
        max_wait_ms=queue.max_wait_ms or MAX_WAIT_MS,
        max_length=queue.max_length,
        reoffer_delay_ms=reoffer_delay_ms,
        reoffer_delay_only_agent_ms=only_agent_ms,
        priority_age_ms=queue.priority_age_ms or PRIORITY_AGE_MS,
        order=member(QueueOrder, queue.order, QueueOrder.FIFO),
        priority=queue.priority,
        fallback_queue_id=queue.fallback_queue_id,
        hours=hours_of(queue.hours) if queue.HasField("hours") else None,
        short_abandon_ms=queue.short_abandon_ms,
        matching_window_ms=queue.matching_window_ms,
        forecast_group=queue.forecast_group,
        etag=queue.etag,
    )
