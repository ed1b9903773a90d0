"""
Contacts that others interrupt: an email that waits with its agent while the agent takes a call.

Which channels interrupt which is part of an agent's definition. Contacts of a channel that may be
interrupted count as room for those that may interrupt them; once such a one is accepted, as many of
the former as must are INTERRUPTED: first those that most others may interrupt, one after the other,
then the latest accepted. They stay with their agent, take none of its capacity, and go on in the
opposite order, before the agent is offered anything else.
"""

from engine.effects import EffectKind, Reason
from engine.kernels.boundary import Table, open_agents, open_cell, open_contacts
from engine.kernels.capacity import note_occupancy, refresh_room, set_state_in_hand
from engine.kernels.columns import NOW_MS
from engine.kernels.compilation import kernel
from engine.kernels.contact_life import count_in_hand
from engine.kernels.recording import has_effect_room, mark_agent, mark_queue, record_contact
from engine.lifecycle import ContactState

_ASSIGNED = int(ContactState.ASSIGNED)
_WRAP_UP = int(ContactState.WRAP_UP)
_INTERRUPTED = int(ContactState.INTERRUPTED)
_E_INTERRUPTED = int(EffectKind.CONTACT_INTERRUPTED)
_E_RESUMED = int(EffectKind.CONTACT_RESUMED)
_NONE = int(Reason.NONE)


@kernel
def _change_state(table: Table, contact: int, state: int) -> None:
    """Move a contact between ASSIGNED and INTERRUPTED. O(channels)."""
    contacts = open_contacts(table)
    agent = contacts.agent[contact]
    note_occupancy(table, agent)
    count_in_hand(table, contact, -1)
    set_state_in_hand(table, contact, state)
    count_in_hand(table, contact, 1)
    refresh_room(table, agent)
    mark_agent(table, agent)
    mark_queue(table, contacts.queue[contact])


@kernel
def end_interruption(table: Table, contact: int) -> None:
    """Have an interrupted contact go on; nobody is told. O(channels)."""
    contacts = open_contacts(table)
    now_ms = open_cell(table).scalar[NOW_MS]
    contacts.interrupted_ms[contact] += now_ms - contacts.handled_ms[contact]
    contacts.handled_ms[contact] = 0
    _change_state(table, contact, _ASSIGNED)


@kernel
def _gives_way(table: Table, left: int, right: int) -> bool:
    """
    Whether contact `left` is interrupted before `right` of the same agent: of a channel that more
    may interrupt, one after the other, or accepted later, ties by arrival. O(1).
    """
    contacts = open_contacts(table)
    depth = open_agents(table).depth[contacts.agent[left]]
    left_depth, right_depth = depth[contacts.channel[left]], depth[contacts.channel[right]]
    if left_depth != right_depth:
        return left_depth > right_depth
    if contacts.accepted_ms[left] != contacts.accepted_ms[right]:
        return contacts.accepted_ms[left] > contacts.accepted_ms[right]
    return contacts.sequence[left] > contacts.sequence[right]


@kernel
def _channels_at_work(table: Table, agent: int) -> int:
    """Channels of the contacts an agent handles or wraps up, a bit each. O(contacts held)."""
    contacts = open_contacts(table)
    channels = 0
    contact = open_agents(table).first_contact[agent]
    while contact >= 0:
        if contacts.state[contact] == _ASSIGNED or contacts.state[contact] == _WRAP_UP:
            channels |= 1 << contacts.channel[contact]
        contact = contacts.agent_following[contact]
    return channels


@kernel
def _next_interrupted(table: Table, agent: int) -> int:
    """
    Contact that what the agent took on beyond its capacity interrupts next, -1 for none.

    O(contacts held).
    """
    contacts = open_contacts(table)
    agents = open_agents(table)
    at_work = _channels_at_work(table, agent)
    chosen = -1
    contact = agents.first_contact[agent]
    while contact >= 0:
        interruptors = agents.interrupted_by[agent, contacts.channel[contact]]
        is_open_to = contacts.state[contact] == _ASSIGNED and interruptors & at_work != 0
        if is_open_to and (chosen < 0 or _gives_way(table, contact, chosen)):
            chosen = contact
        contact = contacts.agent_following[contact]
    return chosen


@kernel
def _next_resumed(table: Table, agent: int) -> int:
    """Interrupted contact that the agent has capacity for again, -1 for none. O(contacts held)."""
    contacts = open_contacts(table)
    agents = open_agents(table)
    room = agents.capacity[agent] - agents.used[agent]
    chosen = -1
    contact = agents.first_contact[agent]
    while contact >= 0:
        # Who holds nothing else goes on whatever became of the capacity.
        fits = contacts.cost[contact] <= room or agents.used[agent] == 0
        is_held_up = contacts.state[contact] == _INTERRUPTED and fits
        if is_held_up and (chosen < 0 or _gives_way(table, chosen, contact)):
            chosen = contact
        contact = contacts.agent_following[contact]
    return chosen


@kernel
def interrupt_and_resume(table: Table, agent: int) -> bool:
    """
    Have contacts of an agent interrupted that what it accepted leaves no capacity for, and go on
    that it has capacity for again.

    False when effects ran out of room: call again. O(1), or contacts held for each of them.
    """
    contacts = open_contacts(table)
    agents = open_agents(table)
    while agents.interruptors[agent] != 0 and agents.accepted[agent] > agents.capacity[agent]:
        contact = _next_interrupted(table, agent)
        if contact < 0:
            break
        if not has_effect_room(table):
            return False
        contacts.handled_ms[contact] = open_cell(table).scalar[NOW_MS]
        _change_state(table, contact, _INTERRUPTED)
        record_contact(table, _E_INTERRUPTED, contact, 0, _NONE)
    while agents.interrupted[agent] > 0:
        contact = _next_resumed(table, agent)
        if contact < 0:
            break
        if not has_effect_room(table):
            return False
        end_interruption(table, contact)
        record_contact(table, _E_RESUMED, contact, 0, _NONE)
    return True
