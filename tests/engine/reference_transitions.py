"""
The reference router's transitions: what one command does to contacts and agents.

Compare `engine.kernels.contact_transitions` and `assignment_transitions`.
"""

from engine.commands import Relaxation, Requirements, UpsertAgent
from engine.effects import EffectKind
from engine.engine import Outcome
from engine.kernels.columns import OUTCOME_SUM, RATED, RECEIVED, SHORT_ABANDONED
from engine.lifecycle import (
    TRANSITIONS,
    ContactState,
    Intake,
    Presence,
    RejectionReason,
    Trigger,
    WrapUpMode,
)
from engine.limits import ESTIMATE_MEMORY, NEVER_MS, SKILLS_MAX, TAGS_MAX
from engine.refusals import Refusal
from tests.engine.reference_floor import Floor, Refused
from tests.engine.reference_interrupting import go_on
from tests.engine.reference_matching import (
    match_new,
    match_returned,
)
from tests.engine.reference_moves import (
    assign,
    bring_forward,
    complete,
    end,
    end_consult,
    fall_back,
    issue,
    moved_mean,
    part,
    pass_over,
    postpone,
    release_from_state,
    return_to_queue,
    start_wait,
)
from tests.engine.reference_recording import record_agent, record_contact
from tests.engine.reference_subjects import PUT_ASIDE, Kind, RefAgent, RefContact, RefQueue
from tests.engine.reference_time import renew_lease, schedule_lease, settle_agent


def where_it_stands(floor: Floor, contact: RefContact) -> Outcome:
    is_waiting = contact.state is ContactState.QUEUED
    is_put_aside = contact.state in PUT_ASIDE
    is_asked = contact.state in (ContactState.QUEUED, ContactState.OFFERED)
    return Outcome(
        state=contact.state,
        contact_id=contact.contact_id,
        queue_id=contact.queue_id,
        agent_id=contact.agent_id if contact.is_open else "",
        offer_id=contact.offer_id,
        until_ms=contact.until_ms if contact.offer or is_put_aside else 0,
        position=floor.position(contact) if is_waiting else 0,
        rejection=contact.rejection,
        choice=contact.choice if is_asked else None,
        other_offers=tuple(
            (f"o{one.sequence:x}.{contact.row:x}", one.agent_id) for one in contact.others
        ),
    )


def receive(floor: Floor, contact: RefContact, queue: RefQueue) -> None:
    contact.row = floor.contact_rows.take(floor.limits.contacts_max)
    floor.next_contact += 1
    floor.contacts[contact.contact_id] = contact
    floor.open_count += 1
    start_wait(floor, contact)
    queue.totals[RECEIVED] += 1
    record_contact(floor, EffectKind.CONTACT_RECEIVED, contact)


def admit_later(
    floor: Floor, contact: RefContact, due_ms: int, closed_then: RejectionReason
) -> Outcome:
    if floor.queue_of(contact).intake is Intake.CLOSED:
        closed_then = RejectionReason.QUEUE_CLOSED
    contact.rejection = closed_then
    if closed_then:
        end(floor, contact, ContactState.REJECTED, EffectKind.CONTACT_REJECTED)
    else:
        postpone(floor, contact, due_ms)
    return where_it_stands(floor, contact)


def admit(floor: Floor, contact: RefContact, queue: RefQueue) -> Outcome:
    if queue.intake is Intake.CLOSED:
        turn_away(floor, contact, RejectionReason.QUEUE_CLOSED)
    elif queue.closed_for is not RejectionReason.NONE:
        turn_away(floor, contact, queue.closed_for)
    else:
        floor.join(contact)
        match_new(floor, contact)
        is_waiting = contact.state is ContactState.QUEUED
        if is_waiting and 0 < queue.definition.max_length < floor.length(queue):
            floor.leave(contact)
            turn_away(floor, contact, RejectionReason.QUEUE_FULL)
    if contact.state is ContactState.QUEUED:
        record_contact(floor, EffectKind.CONTACT_QUEUED, contact, floor.position(contact))
    return where_it_stands(floor, contact)


def turn_away(floor: Floor, contact: RefContact, reason: RejectionReason) -> None:
    if floor.can_fall_back(contact):
        fall_back(floor, contact)
        return_to_queue(floor, contact, reason.name.lower())
        match_new(floor, contact)
        return
    contact.rejection = reason
    end(floor, contact, ContactState.REJECTED, EffectKind.CONTACT_REJECTED)


def move(floor: Floor, contact: RefContact, queue: RefQueue, asked: RefContact) -> Outcome:
    if Trigger.REQUEUE not in TRANSITIONS[contact.state]:
        raise Refused(Refusal.ILLEGAL_TRANSITION)
    was_assigned = contact.state in (ContactState.ASSIGNED, ContactState.INTERRUPTED)
    has_moved = contact.queue_id != queue.queue_id
    agent = release_from_state(floor, contact)
    contact.queue_id, contact.priority = queue.queue_id, asked.priority
    contact.requirements = asked.requirements
    contact.relaxation, contact.taken = asked.relaxation, asked.taken
    contact.plan()
    if was_assigned or has_moved:
        start_wait(floor, contact)
    if was_assigned and agent:
        agent.ends_contact(floor.now_ms)
        pass_over(floor, contact, agent, 0)
    return_to_queue(floor, contact, "moved")
    match_returned(floor, contact)
    if agent:
        settle_agent(floor, agent)
    return where_it_stands(floor, contact)


def withdraw(floor: Floor, contact: RefContact, is_by_customer: bool) -> Outcome:
    if Trigger.ABANDON not in TRANSITIONS[contact.state]:
        raise Refused(Refusal.ILLEGAL_TRANSITION)
    agent = release_from_state(floor, contact)
    contact.agent_id = ""
    wait_ms = floor.now_ms - contact.queued_ms
    if is_by_customer:
        queue = floor.queue_of(contact)
        is_short = wait_ms < queue.definition.short_abandon_ms
        queue.totals[SHORT_ABANDONED] += is_short
        reason = "short_abandon" if is_short else ""
        end(floor, contact, ContactState.ABANDONED, EffectKind.CONTACT_ABANDONED, reason)
    else:
        end(floor, contact, ContactState.CANCELLED, EffectKind.CONTACT_CANCELLED, "cancelled")
    if agent:
        settle_agent(floor, agent)
    return Outcome(state=contact.state, contact_id=contact.contact_id, wait_ms=wait_ms)


def offered(floor: Floor, offer_id: str, agent: RefAgent) -> RefContact:
    """Contact of an outstanding offer, which must be the agent's and leads from now on."""
    for contact in floor.contacts.values():
        if contact.offer and contact.offer_id == offer_id:
            if contact.agent_id != agent.agent_id:
                raise Refused(Refusal.NOT_YOURS)
            return contact
        for offer in contact.others:
            if f"o{offer.sequence:x}.{contact.row:x}" == offer_id:
                if offer.agent_id != agent.agent_id:
                    raise Refused(Refusal.NOT_YOURS)
                bring_forward(floor, offer)
                return contact
    raise Refused(Refusal.OFFER_GONE)


def own(floor: Floor, contact: RefContact, agent: RefAgent, trigger: Trigger) -> RefContact:
    """A contact whose state allows the trigger, which must be the agent's."""
    if trigger not in TRANSITIONS[contact.state]:
        raise Refused(Refusal.ILLEGAL_TRANSITION)
    if contact.agent_id != agent.agent_id:
        raise Refused(Refusal.NOT_YOURS)
    return contact


def pick(floor: Floor, contact: RefContact, agent: RefAgent, ignores_capacity: bool) -> Outcome:
    if Trigger.PICK not in TRANSITIONS[contact.state]:
        raise Refused(Refusal.ILLEGAL_TRANSITION)
    if agent.presence is not Presence.AVAILABLE:
        raise Refused(Refusal.AGENT_NOT_AVAILABLE)
    is_theirs = floor.is_offered_to(contact, agent)
    if not (is_theirs or agent.has_room(contact.channel) or ignores_capacity):
        raise Refused(Refusal.AGENT_HAS_NO_ROOM)
    if not is_theirs or contact.others:
        loser = release_from_state(floor, contact, "picked")
        issue(floor, contact, agent, max(1, agent.cost(contact.channel)), "picked")
        if agent.definition.auto_accept:
            assign(floor, contact)
        if loser:
            settle_agent(floor, loser)
    return where_it_stands(floor, contact)


def end_handling(floor: Floor, contact: RefContact, outcome: float | None) -> Outcome:
    if contact.state is ContactState.INTERRUPTED:
        go_on(floor, contact)
    end_consult(floor, contact)
    part(contact)
    if outcome is not None:
        rate(floor, contact, round(outcome * 1_000))
    definition = floor.queue_of(contact).definition
    ends_ms = 0
    if definition.wrap_up_mode is WrapUpMode.NONE:
        settle_agent(floor, complete(floor, contact))
    else:
        contact.state = ContactState.WRAP_UP
        if definition.wrap_up_mode is WrapUpMode.TIMED:
            ends_ms = floor.now_ms + definition.wrap_up_ms
        contact.until_ms = contact.due_ms = ends_ms or NEVER_MS
        record_contact(floor, EffectKind.CONTACT_WRAP_UP_STARTED, contact)
    return Outcome(state=contact.state, contact_id=contact.contact_id, until_ms=ends_ms)


def rate(floor: Floor, contact: RefContact, outcome: int) -> None:
    """Learn how well a contact went."""
    totals = floor.queue_of(contact).totals
    totals[RATED] += 1
    totals[OUTCOME_SUM] += outcome
    learned = floor.agents[contact.agent_id].learning_in(contact.queue_id)
    learned.rated = min(learned.rated + 1, ESTIMATE_MEMORY)
    learned.outcome = moved_mean(learned.outcome, outcome, learned.rated)


def redefine(floor: Floor, agent: RefAgent) -> Outcome:
    renew_lease(floor, agent)
    schedule_lease(floor, agent)
    record_agent(floor, EffectKind.AGENT_UPSERTED, agent)
    settle_agent(floor, agent)
    return Outcome(agent_id=agent.agent_id)


def named_queue(floor: Floor, queue_id: str) -> RefQueue:
    if queue_id not in floor.queues:
        raise Refused(Refusal.UNKNOWN_QUEUE)
    return floor.queues[queue_id]


def named_agent(floor: Floor, agent_id: str) -> RefAgent:
    if agent_id not in floor.agents:
        raise Refused(Refusal.UNKNOWN_AGENT)
    return floor.agents[agent_id]


def open_contact(floor: Floor, contact_id: str, etag: str = "") -> RefContact:
    contact = floor.contacts.get(contact_id)
    if contact is None:
        raise Refused(Refusal.UNKNOWN_CONTACT)
    if not contact.is_open:
        raise Refused(Refusal.ILLEGAL_TRANSITION)
    check_etag(etag, contact.version)
    return contact


def require_names(floor: Floor, asked: Requirements, relaxation: Relaxation = ()) -> None:
    for place, one in enumerate((asked, *(step.requirements for step in relaxation))):
        required = {item.skill for item in one.skills}
        preferred = {item.skill for item in one.preferred_skills}
        if (required | preferred) - floor.skills:
            raise Refused(Refusal.UNKNOWN_SKILL)
        if set(one.tags + one.tags_any) - floor.tags:
            raise Refused(Refusal.UNKNOWN_TAG)
        is_last = place == len(relaxation)
        if is_last and one.agent_ids and not set(one.agent_ids) & floor.agents.keys():
            raise Refused(Refusal.UNKNOWN_AGENT)


def require_names_of(floor: Floor, agent: UpsertAgent) -> None:
    """The cell can know so many skills and tags at a time."""
    asked = floor.asked
    skills = floor.skills | {item.skill for item in agent.skills if item.proficiency}
    skills |= {item.skill for one in asked for item in one.skills}
    skills |= {item.skill for one in asked for item in one.preferred_skills}
    tags = floor.tags | set(agent.tags)
    tags |= {tag for one in asked for tag in one.tags + one.tags_any + one.tags_none}
    if len(skills) > SKILLS_MAX or len(tags) > TAGS_MAX:
        raise Refused(Refusal.LIMIT_REACHED)


def require_row(floor: Floor) -> None:
    """There is room for one more contact."""
    if len(floor.contact_rows.used) >= floor.limits.contacts_max:
        raise Refused(Refusal.LIMIT_REACHED)


def require_class(floor: Floor, wanted: Kind) -> None:
    """Open contacts may be of so many kinds at a time, with those they relax and fall back to."""
    if len(floor.kinds_open() | floor.kinds_of(wanted)) > floor.limits.classes_max:
        raise Refused(Refusal.LIMIT_REACHED)


def check_etag(etag: str, version: int) -> None:
    """Refuse an etag that is not the present one."""
    if etag and etag != str(version):
        raise Refused(Refusal.ETAG_MISMATCH)
