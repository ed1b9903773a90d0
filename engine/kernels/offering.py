"""
Offers: a contact proposed to one agent, or to several of whom the first to accept has it.

The leading offer stands in the contact's own columns; further ones are rows of `Offers`, listed by
sequence. Whatever ends an offer ends the leading one: another is brought forward before, and when
the leading one fails the next one takes its place.
"""

from engine.effects import EffectKind, Reason
from engine.kernels.boundary import (
    Table,
    open_agents,
    open_cell,
    open_contacts,
    open_offers,
    open_queues,
)
from engine.kernels.capacity import (
    hold_contact,
    let_go,
    note_occupancy,
    refresh_room,
    set_state_in_hand,
)
from engine.kernels.columns import (
    ANSWERED,
    ANSWERED_WITHIN,
    ESTIMATE_ERROR_MS_SUM,
    ESTIMATED,
    ESTIMATES_EXCEEDED,
    FREE_OFFER,
    NEXT_OFFER,
    NOW_MS,
    OFFER_DIRTY_COUNT,
    OFFER_ROWS_USED,
    OFFERS,
    WAIT_MS_SUM,
)
from engine.kernels.compilation import kernel
from engine.kernels.deadlines import schedule_agent, schedule_contact
from engine.kernels.recording import mark, mark_agent, mark_queue, record_contact, record_offer
from engine.kernels.shapes import Row
from engine.lifecycle import ContactState
from engine.limits import NEVER_MS

_OFFERED = int(ContactState.OFFERED)
_ASSIGNED = int(ContactState.ASSIGNED)
_ISSUED = int(EffectKind.OFFER_ISSUED)
_ACCEPTED = int(EffectKind.OFFER_ACCEPTED)
_RESCINDED = int(EffectKind.OFFER_RESCINDED)
_CONTACT_ASSIGNED = int(EffectKind.CONTACT_ASSIGNED)
_NONE = int(Reason.NONE)
_ANSWERED = int(Reason.ANSWERED)


@kernel
def next_sequence(table: Table, agent: int) -> int:
    """Sequence number of an offer that an agent is about to get. O(1)."""
    scalar = open_cell(table).scalar
    sequence = scalar[NEXT_OFFER]
    scalar[NEXT_OFFER] = sequence + 1
    open_agents(table).last_offer[agent] = sequence
    return sequence


@kernel
def issue(table: Table, contact: int, agent: int, cost: int, reason: int) -> None:
    """
    Offer a contact that nobody holds, and that has left its class. O(channels + log contacts).
    """
    contacts = open_contacts(table)
    queues = open_queues(table)
    queue = contacts.queue[contact]
    contacts.state[contact] = _OFFERED
    contacts.cost[contact] = cost
    note_occupancy(table, agent)
    hold_contact(table, agent, contact)
    contacts.offer[contact] = next_sequence(table, agent)
    now_ms = open_cell(table).scalar[NOW_MS]
    contacts.until_ms[contact] = now_ms + queues.offer_timeout_ms[queue]
    queues.offered[queue] += 1
    queues.totals[queue, OFFERS] += 1
    schedule_contact(table, contact, contacts.until_ms[contact])
    record_contact(table, _ISSUED, contact, 0, reason)
    mark_queue(table, queue)


@kernel
def mark_offer(table: Table, offer: int) -> None:
    """Put a further offer into the list of rows to be written, once. O(1)."""
    offers = open_offers(table)
    mark(table, OFFER_DIRTY_COUNT, offers.is_dirty, offers.dirty, offer)


@kernel
def _insert(first: Row, following: Row, owner: int, before: int, item: int) -> None:
    """Put an item into its owner's list behind another, -1 for at its head. O(1)."""
    if before < 0:
        following[item] = first[owner]
        first[owner] = item
    else:
        following[item] = following[before]
        following[before] = item


@kernel
def _take_out(first: Row, following: Row, owner: int, item: int) -> None:
    """Take an item out of its owner's list. O(list)."""
    after = following[item]
    if first[owner] == item:
        first[owner] = after
    else:
        before = first[owner]
        while following[before] != item:
            before = following[before]
        following[before] = after


@kernel
def link_offer(table: Table, offer: int) -> None:
    """
    Put a further offer into its contact's list, lowest sequence first, and its agent's, highest
    first, and take its cost from the agent's capacity.

    O(offers of the contact and of the agent + channels).
    """
    offers, contacts, agents = open_offers(table), open_contacts(table), open_agents(table)
    contact, agent = offers.contact[offer], offers.agent[offer]
    before, after = -1, contacts.first_offer[contact]
    while after >= 0 and offers.sequence[after] < offers.sequence[offer]:
        before, after = after, offers.contact_following[after]
    _insert(contacts.first_offer, offers.contact_following, contact, before, offer)
    before, after = -1, agents.first_offer[agent]
    while after >= 0 and offers.sequence[after] > offers.sequence[offer]:
        before, after = after, offers.agent_following[after]
    _insert(agents.first_offer, offers.agent_following, agent, before, offer)
    agents.contact_count[agent] += 1
    agents.used[agent] += offers.cost[offer]
    agents.channel_used[agent, contacts.channel[contact]] += 1
    refresh_room(table, agent)


@kernel
def _unlink_offer(table: Table, offer: int) -> None:
    """Undo `link_offer`. As there."""
    offers, contacts, agents = open_offers(table), open_contacts(table), open_agents(table)
    contact, agent = offers.contact[offer], offers.agent[offer]
    _take_out(contacts.first_offer, offers.contact_following, contact, offer)
    _take_out(agents.first_offer, offers.agent_following, agent, offer)
    agents.contact_count[agent] -= 1
    agents.used[agent] -= offers.cost[offer]
    agents.channel_used[agent, contacts.channel[contact]] -= 1
    refresh_room(table, agent)


@kernel
def _add(table: Table, contact: int, agent: int, sequence: int, cost: int) -> int:
    """
    Make a further offer in a free row, of which Python made sure; returns the row.

    As `link_offer`.
    """
    offers = open_offers(table)
    scalar = open_cell(table).scalar
    offer = scalar[FREE_OFFER]
    if offer >= 0:
        scalar[FREE_OFFER] = offers.contact_following[offer]
    else:
        offer = scalar[OFFER_ROWS_USED]
        scalar[OFFER_ROWS_USED] = offer + 1
    offers.contact[offer] = contact
    offers.agent[offer] = agent
    offers.sequence[offer] = sequence
    offers.cost[offer] = cost
    note_occupancy(table, agent)
    link_offer(table, offer)
    mark_agent(table, agent)
    mark_offer(table, offer)
    return offer


@kernel
def _remove(table: Table, offer: int) -> None:
    """End a further offer and free its row. As `link_offer`."""
    offers = open_offers(table)
    scalar = open_cell(table).scalar
    agent = offers.agent[offer]
    note_occupancy(table, agent)
    _unlink_offer(table, offer)
    mark_agent(table, agent)
    mark_offer(table, offer)
    offers.contact[offer] = -1
    offers.contact_following[offer] = scalar[FREE_OFFER]
    scalar[FREE_OFFER] = offer


@kernel
def offer_to_another(table: Table, contact: int, agent: int) -> None:
    """Offer a contact that is offered already to one more agent with room. As `link_offer`."""
    contacts = open_contacts(table)
    sequence = next_sequence(table, agent)
    cost = open_agents(table).channel_cost[agent, contacts.channel[contact]]
    offer = _add(table, contact, agent, sequence, cost)
    open_queues(table).totals[contacts.queue[contact], OFFERS] += 1
    record_offer(table, _ISSUED, offer, _NONE)


@kernel
def is_offered_to(table: Table, contact: int, agent: int) -> bool:
    """Whether an agent has an outstanding offer of a contact that is offered. O(offers of it)."""
    offers, contacts = open_offers(table), open_contacts(table)
    if contacts.agent[contact] == agent:
        return True
    offer = contacts.first_offer[contact]
    while offer >= 0:
        if offers.agent[offer] == agent:
            return True
        offer = offers.contact_following[offer]
    return False


@kernel
def further_offer(table: Table, contact: int, sequence: int) -> int:
    """Row of a contact's further offer with a sequence number, -1 for none. O(offers of it)."""
    offers = open_offers(table)
    offer = open_contacts(table).first_offer[contact]
    while offer >= 0 and offers.sequence[offer] != sequence:
        offer = offers.contact_following[offer]
    return offer


@kernel
def _lead(table: Table, contact: int, offer: int) -> None:
    """Make a further offer the leading one of a contact that nobody holds. As `link_offer`."""
    offers, contacts = open_offers(table), open_contacts(table)
    agent, sequence, cost = offers.agent[offer], offers.sequence[offer], offers.cost[offer]
    _remove(table, offer)
    contacts.cost[contact] = cost
    contacts.offer[contact] = sequence
    hold_contact(table, agent, contact)


@kernel
def bring_forward(table: Table, offer: int) -> None:
    """Have a further offer change places with the leading one. As `link_offer`."""
    contacts = open_contacts(table)
    contact = open_offers(table).contact[offer]
    sequence, cost = contacts.offer[contact], contacts.cost[contact]
    agent = let_go(table, contact)
    _lead(table, contact, offer)
    _add(table, contact, agent, sequence, cost)


@kernel
def lead_next(table: Table, contact: int) -> bool:
    """
    Have the next of a contact's offers take the place of the leading one, which has failed; False
    where there is none.

    As `link_offer`.
    """
    contacts = open_contacts(table)
    offer = contacts.first_offer[contact]
    if offer < 0:
        return False
    _lead(table, contact, offer)
    open_queues(table).offered[contacts.queue[contact]] += 1
    return True


@kernel
def withdraw_offer(table: Table, offer: int, reason: int) -> None:
    """End a further offer by the engine's own word. As `link_offer`."""
    offers = open_offers(table)
    record_offer(table, _RESCINDED, offer, reason)
    open_contacts(table).offers_failed[offers.contact[offer]] += 1
    _remove(table, offer)


@kernel
def rescind_others(table: Table, contact: int, reason: int) -> None:
    """
    Take back all of a contact's offers but the leading one; their agents look at the backlog at
    once. O(offers of it x log agents).
    """
    offers = open_offers(table)
    contacts = open_contacts(table)
    while contacts.first_offer[contact] >= 0:
        offer = contacts.first_offer[contact]
        agent = offers.agent[offer]
        record_offer(table, _RESCINDED, offer, reason)
        _remove(table, offer)
        schedule_agent(table, agent, open_cell(table).scalar[NOW_MS])


@kernel
def _check_estimate(table: Table, contact: int) -> None:
    """Count how far the latest estimate of a contact's wait was off. O(1)."""
    contacts = open_contacts(table)
    totals = open_queues(table).totals[contacts.queue[contact]]
    now_ms = open_cell(table).scalar[NOW_MS]
    totals[ESTIMATED] += 1
    totals[ESTIMATE_ERROR_MS_SUM] += abs(now_ms - contacts.expected_by_ms[contact])
    if now_ms > contacts.expected_until_ms[contact]:
        totals[ESTIMATES_EXCEEDED] += 1


@kernel
def assign(table: Table, contact: int) -> int:
    """
    Give an offered contact to the agent of the leading offer; returns its wait, milliseconds.

    O(log contacts), and `rescind_others`.
    """
    contacts = open_contacts(table)
    queues = open_queues(table)
    queue = contacts.queue[contact]
    agent = contacts.agent[contact]
    now_ms = open_cell(table).scalar[NOW_MS]
    wait_ms = now_ms - contacts.queued_ms[contact]
    contacts.accepted_ms[contact] = now_ms
    record_contact(table, _ACCEPTED, contact, 0, _NONE)
    rescind_others(table, contact, _ANSWERED)
    set_state_in_hand(table, contact, _ASSIGNED)
    contacts.offer[contact] = 0
    schedule_contact(table, contact, NEVER_MS)
    agents = open_agents(table)
    if agents.interruptors[agent] != 0:
        # In the same call: what it interrupts, or what waited to interrupt it.
        schedule_agent(table, agent, now_ms)
    queues.offered[queue] -= 1
    queues.assigned[queue] += 1
    queues.totals[queue, ANSWERED] += 1
    queues.totals[queue, WAIT_MS_SUM] += wait_ms
    if wait_ms <= queues.service_level_within_ms[queue]:
        queues.totals[queue, ANSWERED_WITHIN] += 1
    if contacts.estimated_ms[contact] > 0:
        _check_estimate(table, contact)
    agents.missed[agent] = 0
    mark_agent(table, agent)
    mark_queue(table, queue)
    record_contact(table, _CONTACT_ASSIGNED, contact, 0, _NONE)
    return wait_ms
