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
    AgentSkill,
    ChannelCapacity,
    RequeueContact,
    Requirements,
    Route,
    SkillPreference,
    SkillRequirement,
    UpdateContact,
    UpsertAgent,
    UpsertQueue,
)
from engine.effects import Effect, EffectKind
from engine.engine import Engine, Outcome
from engine.kernels import columns
from engine.lifecycle import AgentKind, Channel, Intake, Strategy, WrapUpMode
from engine.limits import (
    MAX_WAIT_MS,
    MISSED_OFFERS_MAX,
    OFFER_TIMEOUT_MS,
    PRIORITY_AGE_MS,
    REOFFER_DELAY_MS,
    REOFFER_DELAY_ONLY_AGENT_MS,
    SERVICE_LEVEL_RATIO,
    SERVICE_LEVEL_WITHIN_MS,
)
from engine.refusals import one_of, violation
from engine.state.agents import AgentView
from engine.state.contacts import ContactView
from engine.state.queues import QueueSnapshot, QueueView
from headgate.v1 import (
    agent_pb2,
    contact_pb2,
    event_pb2,
    queue_pb2,
    routing_service_pb2,
)

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
            )
            for item in agent.channels
        ),
        missed_offers_max=agent.missed_offers_max or MISSED_OFFERS_MAX,
        lease_ms=agent.lease_ms,
        etag=agent.etag,
    )


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
        offer_timeout_ms=queue.offer_timeout_ms or OFFER_TIMEOUT_MS,
        wrap_up_mode=member(WrapUpMode, queue.wrap_up_mode, WrapUpMode.NONE),
        wrap_up_ms=queue.wrap_up_ms,
        max_wait_ms=queue.max_wait_ms or MAX_WAIT_MS,
        max_length=queue.max_length,
        reoffer_delay_ms=reoffer_delay_ms,
        reoffer_delay_only_agent_ms=only_agent_ms,
        priority_age_ms=queue.priority_age_ms or PRIORITY_AGE_MS,
        short_abandon_ms=queue.short_abandon_ms,
        etag=queue.etag,
    )


def route_response(outcome: Outcome) -> routing_service_pb2.RouteResponse:
    """Where a contact went."""
    response = routing_service_pb2.RouteResponse(
        contact_id=outcome.contact_id,
        state=outcome.state,  # type: ignore[arg-type]
        queue_id=outcome.queue_id,
        position=outcome.position,
        rejection_reason=outcome.rejection,  # type: ignore[arg-type]
        already_known=outcome.already_known,
        agent_id=outcome.agent_id,
    )
    if outcome.offer_id:
        offer = response.offer
        offer.offer_id = outcome.offer_id
        offer.contact_id = outcome.contact_id
        offer.agent_id = outcome.agent_id
        offer.queue_id = outcome.queue_id
        offer.expires_at_ms = outcome.until_ms
    return response


def contact_message(engine: Engine, view: ContactView) -> contact_pb2.Contact:
    """A contact as it stands."""
    cell = engine.cell
    skills, preferred, tags = view.requirements
    return contact_pb2.Contact(
        contact_id=view.contact_id,
        etag=view.etag,
        state=view.state.value,  # type: ignore[arg-type]
        queue_id=cell.queues.slots.ids[view.queue_row],
        channel=view.channel.value,  # type: ignore[arg-type]
        priority=view.priority,
        requirements=contact_pb2.Requirements(
            skills=[
                contact_pb2.SkillRequirement(skill=item.skill, proficiency_min=item.proficiency_min)
                for item in skills
            ],
            preferred_skills=[
                contact_pb2.SkillPreference(skill=item.skill, weight=item.weight)
                for item in preferred
            ],
            tags=tags,
        ),
        attributes=view.attributes,
        received_at_ms=view.received_at_ms,
        routing_age_ms=view.routing_age_ms,
        wait_ms=view.wait_ms,
        agent_id=cell.agents.slots.ids[view.agent_row] if view.agent_row >= 0 else "",
        offer_id=view.offer_id,
        offer_expires_at_ms=view.offer_expires_at_ms,
        accepted_at_ms=view.accepted_at_ms,
        ended_at_ms=view.ended_at_ms,
        rejection_reason=view.rejection_reason.value,  # type: ignore[arg-type]
        offers_failed=view.offers_failed,
        expires_at_ms=view.expires_at_ms,
    )


def agent_message(engine: Engine, view: AgentView) -> agent_pb2.Agent:
    """An agent as it stands."""
    definition = view.definition
    ids = engine.cell.contacts.slots.ids
    return agent_pb2.Agent(
        agent_id=definition.agent_id,
        etag=definition.etag,
        kind=definition.kind.value,  # type: ignore[arg-type]
        queue_ids=definition.queue_ids,
        skills=[
            agent_pb2.AgentSkill(skill=item.skill, proficiency=item.proficiency)
            for item in definition.skills
        ],
        tags=definition.tags,
        capacity=definition.capacity,
        channels=[
            agent_pb2.ChannelCapacity(
                channel=item.channel.value,  # type: ignore[arg-type]
                cost=item.cost,
                contacts_max=item.contacts_max,
            )
            for item in definition.channels
        ],
        missed_offers_max=definition.missed_offers_max,
        lease_ms=definition.lease_ms,
        presence=view.presence.value,  # type: ignore[arg-type]
        presence_reason=view.presence_reason,
        presence_since_ms=view.presence_since_ms,
        capacity_used=view.capacity_used,
        contact_ids=sorted(ids[row] for row in view.contact_rows),
        idle_since_ms=view.idle_since_ms,
        missed_offers=view.missed_offers,
        lease_until_ms=view.lease_until_ms,
    )


def queue_message(view: QueueView) -> queue_pb2.Queue:
    """A queue as it stands."""
    definition = view.definition
    return queue_pb2.Queue(
        queue_id=definition.queue_id,
        etag=definition.etag,
        service_level=queue_pb2.ServiceLevelTarget(
            ratio=definition.service_level_ratio, within_ms=definition.service_level_within_ms
        ),
        strategy=definition.strategy.value,  # type: ignore[arg-type]
        offer_timeout_ms=definition.offer_timeout_ms,
        wrap_up_mode=definition.wrap_up_mode.value,  # type: ignore[arg-type]
        wrap_up_ms=definition.wrap_up_ms,
        max_wait_ms=definition.max_wait_ms,
        max_length=definition.max_length,
        reoffer_delay_ms=definition.reoffer_delay_ms,
        reoffer_delay_only_agent_ms=definition.reoffer_delay_only_agent_ms,
        priority_age_ms=definition.priority_age_ms,
        short_abandon_ms=definition.short_abandon_ms,
        intake=view.intake.value,  # type: ignore[arg-type]
    )


def snapshot_message(snapshot: QueueSnapshot, now_ms: int) -> queue_pb2.QueueSnapshot:
    """Live state of a queue."""
    totals = snapshot.totals.tolist()
    answered_within = totals[columns.ANSWERED_WITHIN]
    counted = totals[columns.ANSWERED] + totals[columns.ABANDONED] - totals[columns.SHORT_ABANDONED]
    message = queue_pb2.QueueSnapshot(
        queue_id=snapshot.queue_id,
        at_ms=now_ms,
        waiting=snapshot.waiting,
        offered=snapshot.offered,
        assigned=snapshot.assigned,
        wrap_up=snapshot.wrapping_up,
        oldest_wait_ms=snapshot.oldest_wait_ms,
        agents_free=snapshot.agents_free,
        agents_signed_in=snapshot.agents_signed_in,
        received_total=totals[columns.RECEIVED],
        answered_total=totals[columns.ANSWERED],
        answered_within_total=answered_within,
        abandoned_total=totals[columns.ABANDONED],
        short_abandoned_total=totals[columns.SHORT_ABANDONED],
        expired_total=totals[columns.EXPIRED],
        rejected_total=totals[columns.REJECTED],
        completed_total=totals[columns.COMPLETED],
        wait_ms_sum=totals[columns.WAIT_MS_SUM],
        handle_ms_sum=totals[columns.HANDLE_MS_SUM],
        offers_total=totals[columns.OFFERS],
        offers_failed_total=totals[columns.OFFERS_FAILED],
        intake=Intake(snapshot.intake).value,  # type: ignore[arg-type]
    )
    if counted > 0:
        message.service_level = answered_within / counted
    return message


def event_message(effect: Effect, cursor: str) -> event_pb2.Event:
    """An effect as watchers see it."""
    kind = effect.kind
    event = event_pb2.Event(
        cursor=cursor,
        kind=kind,  # type: ignore[arg-type]
        at_ms=effect.at_ms,
        contact_id=effect.contact_id,
        queue_id=effect.queue_id,
        agent_id=effect.agent_id,
        offer_id=effect.offer_id,
        wait_ms=effect.wait_ms,
        reason=effect.reason,
    )
    if kind == EffectKind.OFFER_ISSUED:
        event.offer_expires_at_ms = effect.offer_expires_ms
    elif kind == EffectKind.CONTACT_QUEUED:
        event.position = effect.detail
    elif kind == EffectKind.AGENT_PRESENCE_CHANGED:
        event.presence = effect.detail  # type: ignore[assignment]
    elif kind == EffectKind.CONTACT_REJECTED:
        event.rejection_reason = effect.detail  # type: ignore[assignment]
    elif kind == EffectKind.QUEUE_INTAKE_CHANGED:
        event.intake = effect.detail  # type: ignore[assignment]
    return event
