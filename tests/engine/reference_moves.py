"""
The reference router's moves of contacts, in the order the engine records them.

Compare `engine.kernels.contact_life` and `matching`.
"""

import math
from fractions import Fraction

from engine.effects import EffectKind
from engine.kernels.columns import (
    ABANDONED,
    ABANDONED_MS_SUM,
    ANSWERED,
    ANSWERED_WITHIN,
    CANCELLED,
    COMPLETED,
    EXPIRED,
    FALLBACKS,
    HANDLE_MS_SUM,
    OFFERS,
    OFFERS_FAILED,
    REJECTED,
    WAIT_MS_SUM,
)
from engine.lifecycle import ContactState
from engine.limits import ESTIMATE_MEMORY, NEVER_MS
from tests.engine.reference_floor import Floor
from tests.engine.reference_recording import record_contact, record_other
from tests.engine.reference_subjects import PUT_ASIDE, RefAgent, RefContact, RefOffer

_TOTAL_OF_END = {
    ContactState.COMPLETED: COMPLETED,
    ContactState.ABANDONED: ABANDONED,
    ContactState.EXPIRED: EXPIRED,
    ContactState.CANCELLED: CANCELLED,
    ContactState.REJECTED: REJECTED,
}


def start_wait(floor: Floor, contact: RefContact) -> None:
    contact.queued_ms = floor.now_ms
    contact.accepted_ms = 0
    contact.interrupted_ms = 0
    set_expiry(floor, contact)


def set_expiry(floor: Floor, contact: RefContact) -> None:
    longest_ms = contact.max_wait_ms or floor.queue_of(contact).definition.max_wait_ms
    is_endless = longest_ms < 0 or longest_ms >= NEVER_MS
    contact.expires_ms = NEVER_MS if is_endless else contact.queued_ms + longest_ms
    if contact.window_ms > contact.queued_ms:
        contact.expires_ms = contact.window_ms


def postpone(floor: Floor, contact: RefContact, due_ms: int, reason: str = "") -> None:
    remember_agent(contact)
    contact.agent_id = ""
    start_wait(floor, contact)
    contact.state = ContactState.SCHEDULED
    contact.until_ms = contact.due_ms = due_ms
    record_contact(floor, EffectKind.CONTACT_SCHEDULED, contact, due_ms, reason)


def take_up(floor: Floor, contact: RefContact) -> None:
    contact.since_ms += floor.now_ms - contact.queued_ms
    start_wait(floor, contact)
    is_diverted = contact.state is ContactState.DIVERTED
    if not is_diverted and 0 < contact.window_ms <= floor.now_ms:
        contact.expires_ms = contact.window_ms


def take_from_agent(floor: Floor, contact: RefContact) -> RefAgent:
    agent = floor.agents[contact.agent_id]
    agent.note_occupancy(floor.now_ms)
    agent.held.remove(contact)
    end_consult(floor, contact)
    contact.cost = 0
    contact.offer = 0
    return agent


def take_back_offer(floor: Floor, contact: RefContact, reason: str) -> RefAgent:
    record_contact(floor, EffectKind.OFFER_RESCINDED, contact, 0, reason)
    contact.offers_failed += 1
    return take_from_agent(floor, contact)


def add_other(floor: Floor, offer: RefOffer) -> None:
    agent = floor.agents[offer.agent_id]
    agent.note_occupancy(floor.now_ms)
    agent.asked.append(offer)
    agent.asked.sort(key=lambda one: -one.sequence)
    offer.contact.others.append(offer)
    offer.contact.others.sort(key=lambda one: one.sequence)


def remove_other(floor: Floor, offer: RefOffer) -> None:
    agent = floor.agents[offer.agent_id]
    agent.note_occupancy(floor.now_ms)
    agent.asked.remove(offer)
    offer.contact.others.remove(offer)


def rescind_others(floor: Floor, contact: RefContact, reason: str) -> None:
    for offer in list(contact.others):
        record_other(floor, EffectKind.OFFER_RESCINDED, offer, reason)
        remove_other(floor, offer)
        floor.agents[offer.agent_id].due_ms = floor.now_ms


def lead(floor: Floor, offer: RefOffer) -> None:
    contact = offer.contact
    remove_other(floor, offer)
    contact.agent_id, contact.offer, contact.cost = offer.agent_id, offer.sequence, offer.cost
    floor.agents[offer.agent_id].held.insert(0, contact)


def bring_forward(floor: Floor, offer: RefOffer) -> None:
    contact = offer.contact
    leading = RefOffer(contact, contact.agent_id, contact.offer, contact.cost)
    take_from_agent(floor, contact)
    lead(floor, offer)
    add_other(floor, leading)


def release_from_state(floor: Floor, contact: RefContact, reason: str = "") -> RefAgent | None:
    if contact.state is ContactState.QUEUED:
        floor.leave(contact)
        return None
    if contact.state in PUT_ASIDE:
        take_up(floor, contact)
        return None
    if contact.state is ContactState.OFFERED:
        agent = take_back_offer(floor, contact, reason)
        rescind_others(floor, contact, reason)
        return agent
    return take_from_agent(floor, contact)


def end_consult(floor: Floor, contact: RefContact) -> None:
    asked = contact.consult
    if asked:
        contact.consult = asked.consults_for = None
        asked.is_over, asked.due_ms = True, floor.now_ms


def part(asked: RefContact) -> None:
    if asked.consults_for:
        asked.consults_for.consult = None
    asked.consults_for, asked.is_over = None, False


def remember_agent(contact: RefContact) -> None:
    if contact.state in (ContactState.ASSIGNED, ContactState.INTERRUPTED):
        contact.past_agents = [contact.agent_id, *contact.past_agents][:4]


def return_to_queue(floor: Floor, contact: RefContact, reason: str) -> None:
    remember_agent(contact)
    contact.agent_id = ""
    if contact.expires_ms <= floor.now_ms:
        if not floor.can_fall_back(contact):
            end(floor, contact, ContactState.EXPIRED, EffectKind.CONTACT_EXPIRED, "max_wait")
            return
        fall_back(floor, contact)
        reason = "max_wait"
    contact.state = ContactState.QUEUED
    floor.join(contact)
    record_contact(floor, EffectKind.CONTACT_REQUEUED, contact, 0, reason)
    relax(floor, contact)
    contact.due_ms = floor.now_ms


def fall_back(floor: Floor, contact: RefContact) -> None:
    queue = floor.queue_of(contact)
    queue.totals[FALLBACKS] += 1
    contact.queue_id, contact.fell_back = queue.definition.fallback_queue_id, True
    contact.window_ms = 0
    start_wait(floor, contact)


def rescind(floor: Floor, contact: RefContact, reason: str) -> None:
    take_back_offer(floor, contact, reason)
    give_back(floor, contact, reason)


def give_back(floor: Floor, contact: RefContact, reason: str) -> None:
    if contact.others:
        lead(floor, contact.others[0])
    else:
        return_to_queue(floor, contact, reason)


def pass_over(floor: Floor, contact: RefContact, agent: RefAgent, retry_after_ms: int) -> None:
    definition = floor.queue_of(contact).definition
    delay_ms = retry_after_ms
    if delay_ms == 0:
        delay_ms = max(definition.reoffer_delay_ms, 0)
        if floor.is_only_agent(contact, agent):
            delay_ms = min(delay_ms, max(definition.reoffer_delay_only_agent_ms, 0))
    if delay_ms == 0:
        return
    rest_ms = definition.reoffer_delay_only_agent_ms
    if floor.is_crowded(contact) and rest_ms > 0:
        contact.rests_until_ms = floor.now_ms + rest_ms
    exclude(contact, agent, floor.now_ms + delay_ms)


def exclude(contact: RefContact, agent: RefAgent, until_ms: int) -> None:
    entries = contact.passed_over
    own = [entry for entry in entries if entry.agent_id == agent.agent_id]
    # Where none is free, the entry that ends first makes room.
    entry = own[0] if own else min(entries, key=lambda entry: entry.until_ms)
    entry.agent_id, entry.until_ms = agent.agent_id, until_ms


def fail_offer(floor: Floor, contact: RefContact, reason: str, retry_after_ms: int = 0) -> RefAgent:
    agent = take_from_agent(floor, contact)
    contact.offers_failed += 1
    floor.queue_of(contact).totals[OFFERS_FAILED] += 1
    pass_over(floor, contact, agent, retry_after_ms)
    give_back(floor, contact, reason)
    return agent


def end(
    floor: Floor, contact: RefContact, state: ContactState, kind: EffectKind, reason: str = ""
) -> None:
    close(floor, contact, state)
    totals = floor.queue_of(contact).totals
    totals[_TOTAL_OF_END[state]] += 1
    if state is ContactState.ABANDONED:
        totals[ABANDONED_MS_SUM] += floor.now_ms - contact.queued_ms
    record_contact(floor, kind, contact, contact.rejection, reason)


def close(floor: Floor, contact: RefContact, state: ContactState) -> None:
    contact.state = state
    part(contact)
    contact.ended_ms = floor.now_ms
    floor.open_count -= 1
    floor.ended.append(contact)
    floor.ended.sort(key=lambda one: (one.ended_ms, one.row))
    contact.due_ms = floor.now_ms + floor.limits.ended_retention_ms


def complete(floor: Floor, contact: RefContact) -> RefAgent:
    handle_ms = floor.now_ms - contact.accepted_ms - contact.interrupted_ms
    floor.queue_of(contact).totals[HANDLE_MS_SUM] += handle_ms
    agent = take_from_agent(floor, contact)
    learned = agent.learning_in(contact.queue_id)
    learned.handled = min(learned.handled + 1, ESTIMATE_MEMORY)
    learned.handle_ms = moved_mean(learned.handle_ms, handle_ms, learned.handled)
    agent.ends_contact(floor.now_ms)
    end(floor, contact, ContactState.COMPLETED, EffectKind.CONTACT_COMPLETED)
    return agent


def moved_mean(mean: int, value: int, count: int) -> int:
    """Mean after one more value, of which it makes 1/count; halves go up."""
    return mean + math.floor(Fraction(value - mean, count) + Fraction(1, 2))


def forget(floor: Floor, contact: RefContact) -> None:
    floor.ended.remove(contact)
    contact.due_ms = NEVER_MS
    del floor.contacts[contact.contact_id]
    floor.contact_rows.retire(contact.row)


def offer(floor: Floor, contact: RefContact, agent: RefAgent) -> None:
    offer_to_one(floor, contact, agent)
    offer_to_more(floor, contact)


def offer_to_one(floor: Floor, contact: RefContact, agent: RefAgent) -> None:
    floor.leave(contact)
    issue(floor, contact, agent, agent.cost(contact.channel))
    if agent.definition.auto_accept:
        assign(floor, contact)


def offer_to_more(floor: Floor, contact: RefContact) -> None:
    if contact.state is ContactState.ASSIGNED:
        return
    for _ in range(1, floor.queue_of(contact).definition.broadcast_max):
        another = floor.best_agent(contact)
        if another is None:
            break
        another.last_offer = floor.next_offer
        cost = another.cost(contact.channel)
        further = RefOffer(contact, another.agent_id, floor.next_offer, cost)
        floor.next_offer += 1
        add_other(floor, further)
        floor.queue_of(contact).totals[OFFERS] += 1
        record_other(floor, EffectKind.OFFER_ISSUED, further)


def issue(floor: Floor, contact: RefContact, agent: RefAgent, cost: int, reason: str = "") -> None:
    queue = floor.queue_of(contact)
    contact.state = ContactState.OFFERED
    contact.agent_id = agent.agent_id
    agent.note_occupancy(floor.now_ms)
    agent.held.insert(0, contact)
    contact.cost = cost
    contact.offer = agent.last_offer = floor.next_offer
    floor.next_offer += 1
    contact.until_ms = contact.due_ms = floor.now_ms + queue.definition.offer_timeout_ms
    queue.totals[OFFERS] += 1
    record_contact(floor, EffectKind.OFFER_ISSUED, contact, 0, reason)


def assign(floor: Floor, contact: RefContact) -> int:
    queue = floor.queue_of(contact)
    wait_ms = floor.now_ms - contact.queued_ms
    contact.accepted_ms = floor.now_ms
    record_contact(floor, EffectKind.OFFER_ACCEPTED, contact)
    rescind_others(floor, contact, "answered")
    contact.state = ContactState.ASSIGNED
    contact.offer = 0
    contact.due_ms = NEVER_MS
    agent = floor.agents[contact.agent_id]
    if any(item.interrupted_by for item in agent.definition.channels):
        agent.due_ms = floor.now_ms
    queue.totals[ANSWERED] += 1
    queue.totals[WAIT_MS_SUM] += wait_ms
    queue.totals[ANSWERED_WITHIN] += wait_ms <= queue.definition.service_level_within_ms
    floor.agents[contact.agent_id].missed = 0
    record_contact(floor, EffectKind.CONTACT_ASSIGNED, contact)
    return wait_ms


def keep_waiting(floor: Floor, contact: RefContact) -> None:
    ends = [entry.until_ms for entry in contact.passed_over if entry.until_ms > floor.now_ms]
    if contact.rests_until_ms > floor.now_ms:
        ends.append(contact.rests_until_ms)
    contact.due_ms = min([contact.expires_ms, contact.relaxes_ms, *ends])


def relax(floor: Floor, contact: RefContact) -> None:
    while contact.relaxes_ms <= floor.now_ms:
        floor.leave(contact)
        step, *rest = contact.to_come
        assert step.priority is not None
        contact.requirements, contact.priority = step.requirements, step.priority
        contact.to_come = tuple(rest)
        contact.taken += 1
        floor.join(contact)
        record_contact(floor, EffectKind.CONTACT_RELAXED, contact, contact.taken)
