"""
The reference router's commands that define agents and queues, and set what they do.

Compare `engine.handlers.agents` and `queues`.
"""

from engine.commands import (
    DeleteAgent,
    DeleteQueue,
    Heartbeat,
    ResetEstimates,
    SetIntake,
    SetPresence,
    UpsertAgent,
    UpsertQueue,
)
from engine.effects import EffectKind
from engine.engine import Outcome
from engine.lifecycle import ContactState, Intake, Presence
from engine.limits import NEVER_MS
from engine.plans import DeletePlan, PlannedEvent, PutPlan
from engine.refusals import Refusal
from tests.engine.reference_floor import Floor, Refused
from tests.engine.reference_moves import forget
from tests.engine.reference_recording import record_agent, record_queue
from tests.engine.reference_subjects import RefAgent, RefQueue
from tests.engine.reference_time import (
    call,
    change_presence,
    follow_hours,
    look_at_backlog,
    settle_agent,
)
from tests.engine.reference_transitions import (
    check_etag,
    named_agent,
    named_queue,
    redefine,
    require_names_of,
)


def upsert_agent(floor: Floor, command: UpsertAgent) -> Outcome:
    agent = floor.agents.get(command.agent_id)
    check_etag(command.etag, agent.version if agent else 0)
    for queue_id in command.queue_ids:
        named_queue(floor, queue_id)
    require_names_of(floor, command)
    if agent is None:
        row = floor.agent_rows.take(floor.limits.agents_max)
        now_ms = floor.now_ms
        agent = RefAgent(command, row, now_ms, now_ms, occupancy_ms=now_ms)
        floor.agents[command.agent_id] = agent
    agent.definition = command
    agent.version += 1
    return call(floor, lambda: redefine(floor, agent))


def reset_estimates(floor: Floor, command: ResetEstimates) -> Outcome:
    agent = named_agent(floor, command.agent_id)
    if command.queue_id:
        named_queue(floor, command.queue_id)

    def reset() -> Outcome:
        agent.forget(command.queue_id)
        record_agent(floor, EffectKind.AGENT_ESTIMATES_RESET, agent)
        return Outcome(agent_id=agent.agent_id)

    return call(floor, reset)


def delete_agent(floor: Floor, command: DeleteAgent) -> Outcome:
    agent = named_agent(floor, command.agent_id)
    check_etag(command.etag, agent.version)
    if agent.hands:
        raise Refused(Refusal.AGENT_HOLDS_CONTACTS)

    def remove() -> Outcome:
        record_agent(floor, EffectKind.AGENT_DELETED, agent)
        del floor.agents[agent.agent_id]
        floor.agent_rows.retire(agent.row)
        return Outcome(agent_id=agent.agent_id)

    outcome = call(floor, remove)
    for contact in floor.contacts.values():
        if contact.agent_id == agent.agent_id:
            contact.agent_id = ""
        names = (("" if one == agent.agent_id else one) for one in contact.past_agents)
        contact.past_agents = list(names)
        for entry in contact.passed_over:
            if entry.agent_id == agent.agent_id:
                entry.agent_id, entry.until_ms = "", 0
    return outcome


def set_presence(floor: Floor, command: SetPresence) -> Outcome:
    agent = named_agent(floor, command.agent_id)

    def set_it() -> Outcome:
        is_handling = any(one.state is not ContactState.OFFERED for one in agent.held)
        if command.presence is Presence.OFFLINE and is_handling:
            raise Refused(Refusal.AGENT_HOLDS_CONTACTS)
        if (agent.presence, agent.reason) != (command.presence, command.reason):
            change_presence(floor, agent, command.presence, command.reason)
            settle_agent(floor, agent)
        return Outcome(state=agent.presence, agent_id=agent.agent_id, count=len(agent.hands))

    return call(floor, set_it)


def heartbeat(floor: Floor, command: Heartbeat) -> Outcome:
    agent = floor.agents.get(command.agent_id)
    if agent is None:
        return Outcome(agent_id=command.agent_id)

    def renew() -> Outcome:
        if agent.is_leased:
            agent.lease_until_ms = floor.now_ms + agent.definition.lease_ms
        return Outcome(agent_id=agent.agent_id, count=int(agent.is_leased))

    return call(floor, renew)


def upsert_queue(floor: Floor, command: UpsertQueue) -> Outcome:
    queue = floor.queues.get(command.queue_id)
    check_etag(command.etag, queue.version if queue else 0)
    check_fallback(floor, command)
    if queue is not None:
        before, queue.definition = queue.definition, command
        if len(floor.kinds_open()) > floor.limits.classes_max:
            queue.definition = before
            raise Refused(Refusal.LIMIT_REACHED)
    else:
        queue = RefQueue(command, floor.queue_rows.take(floor.limits.queues_max))
        floor.queues[command.queue_id] = queue
    queue.definition = command
    queue.version += 1

    def redefine() -> Outcome:
        record_queue(floor, EffectKind.QUEUE_UPSERTED, command.queue_id, 0)
        if queue.is_window_open and not queue.has_windows:
            queue.window_ends_ms = NEVER_MS
            look_at_backlog(floor, queue)
        return Outcome(queue_id=command.queue_id)

    outcome = call(floor, redefine)
    follow_hours(floor, queue)
    return outcome


def check_fallback(floor: Floor, command: UpsertQueue) -> None:
    """A fallback queue must be there, and lead nowhere from which it came."""
    queue_id = command.fallback_queue_id
    while queue_id:
        if queue_id == command.queue_id:
            raise Refused(Refusal.INVALID_FIELD)
        queue_id = named_queue(floor, queue_id).definition.fallback_queue_id


def delete_queue(floor: Floor, command: DeleteQueue) -> Outcome:
    queue = named_queue(floor, command.queue_id)
    check_etag(command.etag, queue.version)
    own = [one for one in floor.contacts.values() if one.queue_id == queue.queue_id]
    if any(contact.is_open for contact in own):
        raise Refused(Refusal.QUEUE_HOLDS_CONTACTS)
    if any(queue.queue_id in agent.definition.queue_ids for agent in floor.agents.values()):
        raise Refused(Refusal.QUEUE_HAS_AGENTS)
    if any(other.definition.fallback_queue_id == queue.queue_id for other in floor.queues.values()):
        raise Refused(Refusal.QUEUE_IS_FALLBACK)

    def remove() -> Outcome:
        for agent in floor.agents.values():
            agent.forget(queue.queue_id)
        queue.window_ends_ms = NEVER_MS
        record_queue(floor, EffectKind.QUEUE_DELETED, queue.queue_id, 0)
        return Outcome(queue_id=queue.queue_id)

    outcome = call(floor, remove)
    for contact in list(floor.ended):
        if contact.queue_id == queue.queue_id:
            forget(floor, contact)
    del floor.queues[queue.queue_id]
    floor.queue_rows.retire(queue.row)
    return outcome


def set_intake(floor: Floor, command: SetIntake) -> Outcome:
    queue = named_queue(floor, command.queue_id)

    def set_it() -> Outcome:
        was_paused = queue.intake is Intake.PAUSED
        queue.intake = command.intake
        record_queue(floor, EffectKind.QUEUE_INTAKE_CHANGED, queue.queue_id, int(command.intake))
        if was_paused and command.intake is not Intake.PAUSED:
            look_at_backlog(floor, queue)
        return Outcome(queue_id=queue.queue_id)

    return call(floor, set_it)


def put_plan(floor: Floor, command: PutPlan) -> Outcome:
    plan = command.plan
    key = plan.KIND, plan.plan_id
    check_etag(command.etag, floor.plans.get(key, 0))
    for queue_id in plan.queue_ids if isinstance(plan, PlannedEvent) else (plan.queue_id,):
        named_queue(floor, queue_id)
    floor.plans[key] = floor.plans.get(key, 0) + 1
    return Outcome()


def delete_plan(floor: Floor, command: DeletePlan) -> Outcome:
    key = command.kind, command.plan_id
    if key not in floor.plans:
        raise Refused(Refusal.UNKNOWN_PLAN)
    check_etag(command.etag, floor.plans[key])
    del floor.plans[key]
    return Outcome()
