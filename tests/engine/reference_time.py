"""
The reference router's agents and deadlines.

Compare `engine.kernels.agent_life` and `time_transitions`.
"""

from collections.abc import Callable
from typing import TypeVar

from engine.effects import EffectKind
from engine.lifecycle import ContactState, Presence, RejectionReason
from engine.limits import EFFECTS_PER_CALL, NEVER_MS
from tests.engine.reference_batch import end_window
from tests.engine.reference_floor import Floor, order_in_class
from tests.engine.reference_hours import MINUTE_MS, closed_in, next_change_ms
from tests.engine.reference_interrupting import interrupt_and_resume
from tests.engine.reference_matching import (
    match_backlog,
    match_freed,
    match_returned,
)
from tests.engine.reference_moves import (
    complete,
    end,
    fail_offer,
    forget,
    keep_waiting,
    relax,
    release_from_state,
    remove_other,
    rescind,
    return_to_queue,
    start_wait,
    take_from_agent,
    take_up,
)
from tests.engine.reference_recording import (
    has_effect_room,
    record_agent,
    record_contact,
    record_other,
    record_queue,
)
from tests.engine.reference_subjects import WORKING, RefAgent, RefContact, RefQueue

T = TypeVar("T")


def call(floor: Floor, transition: Callable[[], T]) -> T:
    """Run a transition, refused or not, then what came due; effects are limited per call."""
    begin_call(floor)
    try:
        return transition()
    finally:
        run_due(floor)


def begin_call(floor: Floor) -> None:
    floor.effects_max = len(floor.effects) + EFFECTS_PER_CALL


def look_at_backlog(floor: Floor, queue: RefQueue) -> None:
    for agent in floor.agents.values():
        if queue.queue_id in agent.definition.queue_ids and agent.presence in WORKING:
            agent.due_ms = floor.now_ms


def renew_lease(floor: Floor, agent: RefAgent) -> None:
    if agent.definition.lease_ms > 0:
        agent.lease_until_ms = floor.now_ms + agent.definition.lease_ms


def schedule_lease(floor: Floor, agent: RefAgent) -> None:
    agent.due_ms = agent.lease_until_ms if agent.is_leased else NEVER_MS
    if agent.rests_until_ms:
        agent.due_ms = min(agent.due_ms, agent.rests_until_ms)


def change_presence(floor: Floor, agent: RefAgent, presence: Presence, reason: str) -> None:
    was = agent.presence
    agent.presence, agent.reason = presence, reason
    agent.presence_since_ms = floor.now_ms
    if presence is Presence.AVAILABLE and was is not Presence.AVAILABLE:
        agent.idle_since_ms = floor.now_ms
        agent.missed = 0
    if was is Presence.OFFLINE:
        renew_lease(floor, agent)
    schedule_lease(floor, agent)
    record_agent(floor, EffectKind.AGENT_PRESENCE_CHANGED, agent, int(presence), reason)


def count_miss(floor: Floor, agent: RefAgent) -> None:
    agent.missed += 1
    missed_max = agent.definition.missed_offers_max
    if agent.presence is Presence.AVAILABLE and 0 < missed_max <= agent.missed:
        change_presence(floor, agent, Presence.AWAY, "missed_offers")


def return_contacts(floor: Floor, agent: RefAgent, reason: str) -> bool:
    is_gone = agent.presence is Presence.OFFLINE
    for offer in list(agent.asked):
        if not has_effect_room(floor):
            return False
        record_other(floor, EffectKind.OFFER_RESCINDED, offer, reason)
        offer.contact.offers_failed += 1
        remove_other(floor, offer)
    for contact in list(agent.held):
        if not has_effect_room(floor):
            return False
        if contact.state is ContactState.OFFERED:
            rescind(floor, contact, reason)
        elif is_gone and contact.state is ContactState.WRAP_UP:
            complete(floor, contact)
        elif is_gone:
            take_from_agent(floor, contact)
            start_wait(floor, contact)
            return_to_queue(floor, contact, reason)
    return True


def settle_agent(floor: Floor, agent: RefAgent) -> None:
    if agent.rests_until_ms:
        schedule_lease(floor, agent)
    if agent.presence is not Presence.OFFLINE and not interrupt_and_resume(floor, agent):
        is_settled = False
    elif agent.presence is Presence.AVAILABLE:
        is_settled = match_freed(floor, agent)
    else:
        own_words = ("lease_lost", "missed_offers")
        reason = agent.reason if agent.reason in own_words else "presence_changed"
        is_settled = return_contacts(floor, agent, reason)
        if agent.presence is Presence.DRAINING and not agent.hands:
            change_presence(floor, agent, Presence.OFFLINE, "drained")
    if not is_settled:
        agent.due_ms = floor.now_ms


def follow_hours(floor: Floor, queue: RefQueue) -> None:
    """Open or close a queue as its hours say now."""
    hours = queue.definition.hours
    was, queue.closed_for = queue.closed_for, RejectionReason.NONE
    queue.hours_change_ms = NEVER_MS
    if hours is not None:
        queue.closed_for = closed_in(hours, floor.now_ms // MINUTE_MS)
        queue.hours_change_ms = next_change_ms(hours, floor.now_ms)
    if (was is RejectionReason.NONE) != (queue.closed_for is RejectionReason.NONE):
        detail = int(queue.closed_for)
        record_queue(floor, EffectKind.QUEUE_HOURS_CHANGED, queue.queue_id, detail)


def follow_due_hours(floor: Floor) -> None:
    """Open and close the queues whose hours have changed, by row."""
    for queue in sorted(floor.queues.values(), key=lambda one: one.row):
        if queue.hours_change_ms <= floor.now_ms:
            follow_hours(floor, queue)


def next_due_ms(floor: Floor) -> int:
    """When something comes due, hours of queues and choices too; NEVER_MS for nothing."""
    hours = (queue.hours_change_ms for queue in floor.queues.values())
    choices = (answer_due_ms(contact) for contact in floor.contacts.values())
    return min(next_deadline_ms(floor), *(min(due, default=NEVER_MS) for due in (hours, choices)))


def answer_due_ms(contact: RefContact) -> int:
    """When a contact's choice is no longer open, or its diversion over; NEVER_MS for neither."""
    if contact.choice:
        return contact.choice.until_ms
    return contact.until_ms if contact.state is ContactState.DIVERTED else NEVER_MS


def next_deadline_ms(floor: Floor) -> int:
    """When a contact or an agent comes due, or a window ends; NEVER_MS for none."""
    contacts = (contact.due_ms for contact in floor.contacts.values())
    agents = (agent.due_ms for agent in floor.agents.values())
    windows = (queue.window_ends_ms for queue in floor.queues.values())
    return min(min(due, default=NEVER_MS) for due in (contacts, agents, windows))


def run_due(floor: Floor) -> None:
    """Handle what came due: by time, contacts, then agents, then windows, then by row."""
    while (due_ms := next_deadline_ms(floor)) <= floor.now_ms and has_effect_room(floor):
        contact = min(floor.contacts.values(), key=lambda one: (one.due_ms, one.row), default=None)
        agent = min(floor.agents.values(), key=lambda one: (one.due_ms, one.row), default=None)
        if contact and contact.due_ms == due_ms:
            is_over = contact.state is ContactState.QUEUED and contact.expires_ms <= floor.now_ms
            if is_over and floor.queue_of(contact).is_window_open:
                end_window(floor, floor.queue_of(contact))
            else:
                contact_due(floor, contact)
        elif agent and agent.due_ms == due_ms:
            agent_due(floor, agent)
        else:
            end_window(
                floor, min(floor.queues.values(), key=lambda one: (one.window_ends_ms, one.row))
            )
    while len(floor.ended) > floor.limits.ended_max:
        forget(floor, floor.ended[0])


def leave_consult(floor: Floor, contact: RefContact) -> None:
    was_held = contact.state in (ContactState.ASSIGNED, ContactState.INTERRUPTED)
    agent = release_from_state(floor, contact, "consult_over")
    kind = EffectKind.CONTACT_CANCELLED
    end(floor, contact, ContactState.CANCELLED, kind, "consult_over")
    if agent and was_held:
        agent.ends_contact(floor.now_ms)
    if not was_held:
        contact.agent_id = ""
    if agent:
        settle_agent(floor, agent)


def end_window_of_full(floor: Floor, queue: RefQueue) -> None:
    """Before a contact comes to a full queue: who waits for a window alone keeps nobody out."""
    if 0 < queue.definition.max_length <= floor.length(queue) and queue.is_window_open:
        queue.window_ends_ms = floor.now_ms
        run_due(floor)


def contact_due(floor: Floor, contact: RefContact) -> None:
    if not contact.is_open:
        forget(floor, contact)
    elif contact.is_over:
        leave_consult(floor, contact)
    elif contact.state is ContactState.OFFERED:
        record_contact(floor, EffectKind.OFFER_EXPIRED, contact, 0, "offer_expired")
        agent = fail_offer(floor, contact, "offer_expired")
        count_miss(floor, agent)
        match_returned(floor, contact)
        settle_agent(floor, agent)
    elif contact.state is ContactState.WRAP_UP:
        settle_agent(floor, complete(floor, contact))
    elif contact.state is ContactState.SCHEDULED:
        take_up(floor, contact)
        return_to_queue(floor, contact, "due")
        match_returned(floor, contact)
    elif contact.expires_ms <= floor.now_ms:
        floor.leave(contact)
        return_to_queue(floor, contact, "max_wait")
        match_returned(floor, contact)
    else:
        relax(floor, contact)
        match_returned(floor, contact)


def agent_due(floor: Floor, agent: RefAgent) -> None:
    if agent.is_leased and agent.lease_until_ms <= floor.now_ms:
        record_agent(floor, EffectKind.AGENT_LEASE_LOST, agent, 0, "lease_lost")
        change_presence(floor, agent, Presence.OFFLINE, "lease_lost")
    if 0 < agent.rests_until_ms <= floor.now_ms:
        agent.rests_until_ms = 0
    schedule_lease(floor, agent)
    if agent.presence is not Presence.AVAILABLE:
        settle_agent(floor, agent)
    elif not (interrupt_and_resume(floor, agent) and match_backlog(floor, agent)):
        agent.due_ms = floor.now_ms


def recover_floor(floor: Floor) -> None:
    for contact in sorted(floor.contacts.values(), key=lambda one: one.row):
        is_waiting = contact.state is ContactState.QUEUED
        while contact.state is ContactState.OFFERED:
            rescind(floor, contact, "restarted")
        if contact.is_over:
            contact.due_ms = floor.now_ms
        elif is_waiting:
            keep_waiting(floor, contact)
    for agent in floor.agents_by_row():
        renew_lease(floor, agent)
        schedule_lease(floor, agent)
        if agent.presence is not Presence.OFFLINE or agent.hands:
            agent.due_ms = floor.now_ms
    for queue in floor.queues.values():
        queue.window_ends_ms = NEVER_MS
    begin_call(floor)


def forget_what_no_row_tells(floor: Floor) -> None:
    """After a restart lists stand in the order of loading."""
    for agent in floor.agents.values():
        agent.held.sort(key=order_in_class, reverse=True)
