"""The engine's outcomes, views and effects as messages of the contract."""

from collections.abc import Mapping
from typing import Final

from adapters.choice_messages import choice_message, diversion_message
from adapters.definitions import agent_definition, queue_definition, weights_message
from engine.commands import Relaxation, Requirements
from engine.effects import Effect, EffectKind
from engine.engine import Engine, Outcome
from engine.kernels import columns
from engine.lifecycle import ContactState, Intake
from engine.state.agents import AgentView
from engine.state.contacts import ContactView
from engine.state.decisions import decision_id_of
from engine.state.queues import QueueSnapshot, QueueView
from engine.state.weights import weights_in_force
from engine.steering import activation_name
from headgate.v1 import agent_pb2, contact_pb2, event_pb2, queue_pb2, routing_service_pb2

# Fields of an event that an effect's detail is told in, by kind.
_DETAIL_FIELDS: Final[Mapping[int, str]] = {
    EffectKind.CONTACT_QUEUED: "position",
    EffectKind.AGENT_PRESENCE_CHANGED: "presence",
    EffectKind.CONTACT_REJECTED: "rejection_reason",
    EffectKind.QUEUE_INTAKE_CHANGED: "intake",
    EffectKind.CONTACT_RELAXED: "relaxation_step",
    EffectKind.CONTACT_SCHEDULED: "due_at_ms",
    EffectKind.CHOICE_ACCEPTED: "option",
    EffectKind.CONTACT_DIVERTED: "option",
    EffectKind.CONTACT_RETURNED: "option",
    EffectKind.DIVERSION_ENDED: "diversion_outcome",
    EffectKind.POLICY_PUBLISHED: "policy_version",
    EffectKind.POLICY_ROLLED_BACK: "policy_version",
    EffectKind.POLICY_RETIRED: "policy_version",
    EffectKind.POLICY_OVERRIDDEN: "policy_switch",
}
_OF_ACTIVATIONS: Final = frozenset({
    EffectKind.ACTIVATION_BEGAN, EffectKind.ACTIVATION_ENDED, EffectKind.ACTIVATION_APPROVED,
    EffectKind.POLICY_NOTIFIED,
})  # fmt: skip


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
        decision_id=decision_id_of(outcome.decision),
    )
    if outcome.state == ContactState.SCHEDULED:
        response.due_at_ms = outcome.until_ms
    if outcome.offer_id:
        offer = response.offer
        offer.offer_id = outcome.offer_id
        offer.contact_id = outcome.contact_id
        offer.agent_id = outcome.agent_id
        offer.queue_id = outcome.queue_id
        offer.expires_at_ms = outcome.until_ms
    for offer_id, agent_id in outcome.other_offers:
        response.other_offers.add(
            offer_id=offer_id,
            contact_id=outcome.contact_id,
            agent_id=agent_id,
            queue_id=outcome.queue_id,
            expires_at_ms=outcome.until_ms,
        )
    if outcome.choice is not None:
        response.choice.CopyFrom(choice_message(outcome.choice))
    return response


def requirements_message(asked: Requirements) -> contact_pb2.Requirements:
    """What a contact asks of agents."""
    return contact_pb2.Requirements(
        skills=[
            contact_pb2.SkillRequirement(skill=item.skill, proficiency_min=item.proficiency_min)
            for item in asked.skills
        ],
        preferred_skills=[
            contact_pb2.SkillPreference(skill=item.skill, weight=item.weight)
            for item in asked.preferred_skills
        ],
        tags=asked.tags,
        tags_any=asked.tags_any,
        tags_none=asked.tags_none,
        agent_ids=asked.agent_ids,
        preferred_agent_ids=asked.preferred_agent_ids,
    )


def relaxation_messages(steps: Relaxation) -> list[contact_pb2.RelaxationStep]:
    """What a contact asks for instead, step by step."""
    return [
        contact_pb2.RelaxationStep(
            after_ms=step.after_ms,
            requirements=requirements_message(step.requirements),
            priority=step.priority,
        )
        for step in steps
    ]


def contact_message(engine: Engine, view: ContactView) -> contact_pb2.Contact:
    """A contact as it stands."""
    cell = engine.cell
    message = contact_pb2.Contact(
        contact_id=view.contact_id,
        etag=view.etag,
        state=view.state.value,  # type: ignore[arg-type]
        queue_id=cell.queues.slots.ids[view.queue_row],
        channel=view.channel.value,  # type: ignore[arg-type]
        priority=view.priority,
        requirements=requirements_message(view.requirements),
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
        relaxation=relaxation_messages(view.relaxation),
        relaxation_steps_taken=view.relaxation_steps_taken,
        offers=[
            contact_pb2.Offer(
                offer_id=offer_id,
                contact_id=view.contact_id,
                agent_id=cell.agents.slots.ids[agent_row],
                queue_id=cell.queues.slots.ids[view.queue_row],
                expires_at_ms=view.offer_expires_at_ms,
            )
            for offer_id, agent_row in view.offers
        ],
        attempts_failed=view.attempts,
        interrupted_ms=view.interrupted_ms,
        consult_id=view.consult_id,
        consults_for_contact_id=view.consults_for_id,
        past_agent_ids=[cell.agents.slots.ids[row] for row in view.past_agent_rows],
        hops=view.hops,
        continues_contact_id=view.continues_contact_id,
        from_cell=view.from_cell,
    )
    if view.choice is not None:
        message.choice.CopyFrom(choice_message(view.choice))
    if view.diversion is not None:
        message.diversion.CopyFrom(diversion_message(view.diversion))
    if view.schedule.attempts_max:
        message.schedule.CopyFrom(contact_pb2.Schedule(**view.schedule._asdict()))
    return message


def agent_message(engine: Engine, view: AgentView) -> agent_pb2.Agent:
    """An agent as it stands."""
    ids = engine.cell.contacts.slots.ids
    agent = agent_definition(view.definition)
    agent.presence = view.presence.value  # type: ignore[assignment]
    agent.presence_reason = view.presence_reason
    agent.presence_since_ms = view.presence_since_ms
    agent.capacity_used = view.capacity_used
    agent.contact_ids.extend(sorted(ids[row] for row in view.contact_rows))
    agent.idle_since_ms = view.idle_since_ms
    agent.missed_offers = view.missed_offers
    agent.lease_until_ms = view.lease_until_ms
    agent.occupancy = view.occupancy
    agent.rests_until_ms = view.rests_until_ms
    for item in view.estimates:
        agent.estimates.add(
            queue_id=engine.cell.queues.slots.ids[item.queue_row],
            handled=item.handled,
            handle_time_ms=item.handle_time_ms,
            rated=item.rated,
            outcome=item.outcome if item.rated else None,
        )
    return agent


def queue_message(view: QueueView) -> queue_pb2.Queue:
    """A queue as it stands."""
    queue = queue_definition(view.definition)
    queue.intake = view.intake.value  # type: ignore[assignment]
    queue.is_open = view.is_open
    queue.next_change_at_ms = view.next_change_ms
    in_force = weights_in_force(view.definition.strategy, view.definition.weights)
    queue.weights_in_force.CopyFrom(weights_message(in_force))
    return queue


def snapshot_message(snapshot: QueueSnapshot, now_ms: int) -> queue_pb2.QueueSnapshot:
    """Live state of a queue."""
    totals = snapshot.totals.tolist()
    windows = snapshot.window_totals.tolist()
    answered_within = totals[columns.ANSWERED_WITHIN]
    counted = totals[columns.ANSWERED] + totals[columns.ABANDONED] - totals[columns.SHORT_ABANDONED]
    message = queue_pb2.QueueSnapshot(
        queue_id=snapshot.queue_id,
        at_ms=now_ms,
        waiting=snapshot.waiting,
        offered=snapshot.offered,
        assigned=snapshot.assigned,
        wrap_up=snapshot.wrapping_up,
        scheduled=snapshot.scheduled,
        interrupted=snapshot.interrupted,
        diverted=snapshot.diverted,
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
        fallbacks_total=totals[columns.FALLBACKS],
        intake=Intake(snapshot.intake).value,  # type: ignore[arg-type]
        estimated_total=totals[columns.ESTIMATED],
        estimate_error_ms_sum=totals[columns.ESTIMATE_ERROR_MS_SUM],
        estimates_exceeded_total=totals[columns.ESTIMATES_EXCEEDED],
        window_batches_total=windows[columns.WINDOW_BATCHES],
        window_contacts_total=windows[columns.WINDOW_CONTACTS],
        window_agents_total=windows[columns.WINDOW_AGENTS],
        window_matched_total=windows[columns.WINDOW_MATCHED],
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
        policy=effect.policy,
    )
    if kind == EffectKind.OFFER_ISSUED:
        event.offer_expires_at_ms = effect.offer_expires_ms
    elif kind == EffectKind.QUEUE_HOURS_CHANGED:
        event.is_open = effect.detail == 0
    elif kind in _DETAIL_FIELDS:
        setattr(event, _DETAIL_FIELDS[kind], effect.detail)
    elif kind in _OF_ACTIVATIONS:
        event.activation_id = activation_name(effect.detail)
    return event
