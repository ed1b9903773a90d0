"""
What an agent holds: capacity in use, the list of its contacts, and the sets that say who has room.
"""

import math
from typing import Final

from engine.kernels.bits import set_bit
from engine.kernels.boundary import Table, open_agents, open_bitsets, open_cell, open_contacts
from engine.kernels.columns import NOW_MS
from engine.kernels.compilation import kernel
from engine.kernels.recording import mark_agent
from engine.kernels.requests import OUT_OCCUPANCY_PPB
from engine.lifecycle import CHANNEL_SLOTS, ContactState, Presence
from engine.limits import OCCUPANCY_WINDOW_MS

_AVAILABLE = int(Presence.AVAILABLE)
_AWAY = int(Presence.AWAY)
_OFFERED = int(ContactState.OFFERED)
_ASSIGNED = int(ContactState.ASSIGNED)
_INTERRUPTED = int(ContactState.INTERRUPTED)

# AVAILABLE, BUSY and AWAY are the presences of an agent who may have room sooner or later.
assert _AWAY - _AVAILABLE == 2


_ONE_PPB: Final = 1e9


@kernel
def load_ratio(table: Table, agent: int) -> float:
    """Capacity used / capacity, 0 to 1, or above 1 after capacity was lowered. O(1)."""
    agents = open_agents(table)
    return agents.used[agent] / agents.capacity[agent]


@kernel
def occupancy(table: Table, agent: int) -> float:
    """
    An agent's load ratio over the last while: its mean over the past, in which a moment weighs less
    by a factor of e for every OCCUPANCY_WINDOW_MS that it lies back.

    0 to 1, or above as load ratios. Time signed out counts as rest. O(1).
    """
    agents = open_agents(table)
    past_ms = open_cell(table).scalar[NOW_MS] - agents.occupancy_ms[agent]
    kept = math.exp(-past_ms / OCCUPANCY_WINDOW_MS)
    return agents.occupancy_ppb[agent] / _ONE_PPB * kept + load_ratio(table, agent) * (1.0 - kept)


@kernel
def report_agent(table: Table, agent: int) -> None:
    """Write an agent's occupancy, in thousand-millionths, into the outcome. O(1)."""
    ppb = math.floor(occupancy(table, agent) * _ONE_PPB + 0.5)
    open_cell(table).outcome[OUT_OCCUPANCY_PPB] = ppb


@kernel
def note_occupancy(table: Table, agent: int) -> None:
    """Account for the time at the present load, which is about to change. O(1)."""
    agents = open_agents(table)
    agents.occupancy_ppb[agent] = math.floor(occupancy(table, agent) * _ONE_PPB + 0.5)
    agents.occupancy_ms[agent] = open_cell(table).scalar[NOW_MS]


@kernel
def _interruptible(table: Table, agent: int, channel: int) -> int:
    """Units in use by contacts that one of a channel may interrupt. O(channels)."""
    agents = open_agents(table)
    units = 0
    for other in range(1, CHANNEL_SLOTS):
        if agents.interrupted_by[agent, other] >> channel & 1:
            units += agents.channel_handled[agent, other]
    return units


@kernel
def has_room(table: Table, agent: int, channel: int) -> bool:
    """
    Whether an available agent who does not rest has capacity for one more contact, or handles
    others that it may interrupt. O(1), or channels.
    """
    agents = open_agents(table)
    cost = agents.channel_cost[agent, channel]
    used = agents.used[agent]
    if agents.interruptors[agent] >> channel & 1:
        used -= _interruptible(table, agent, channel)
    return (
        agents.presence[agent] == _AVAILABLE
        and agents.rests_until_ms[agent] == 0
        and cost > 0
        and used + cost <= agents.capacity[agent]
        and agents.channel_used[agent, channel] < agents.channel_max[agent, channel]
    )


@kernel
def refresh_room(table: Table, agent: int) -> None:
    """Bring the sets of free, working and available agents up to date for one. O(channels)."""
    bitsets = open_bitsets(table)
    for channel in range(1, CHANNEL_SLOTS):
        set_bit(bitsets.free_agents[channel], agent, has_room(table, agent, channel))
    presence = open_agents(table).presence[agent]
    is_working = _AVAILABLE <= presence <= _AWAY
    set_bit(bitsets.working_agents[0], agent, is_working)
    set_bit(bitsets.available_agents[0], agent, presence == _AVAILABLE)


@kernel
def _use(table: Table, contact: int, sign: int) -> None:
    """Take what a contact costs from its agent's capacity, or give it back, by its state. O(1)."""
    contacts = open_contacts(table)
    agents = open_agents(table)
    agent = contacts.agent[contact]
    state = contacts.state[contact]
    units = sign * contacts.cost[contact]
    if state == _INTERRUPTED:
        agents.interrupted[agent] += sign
        return
    agents.used[agent] += units
    if state != _OFFERED:
        agents.accepted[agent] += units
    if state == _ASSIGNED:
        agents.channel_handled[agent, contacts.channel[contact]] += units


@kernel
def set_state_in_hand(table: Table, contact: int, state: int) -> None:
    """
    Give a contact that stays with its agent another state.

    Who interrupts it or has it go on notes the agent's occupancy first. O(channels).
    """
    contacts = open_contacts(table)
    _use(table, contact, -1)
    contacts.state[contact] = state
    _use(table, contact, 1)
    agent = contacts.agent[contact]
    if open_agents(table).interruptors[agent] != 0:
        refresh_room(table, agent)


@kernel
def hold_contact(table: Table, agent: int, contact: int) -> None:
    """
    Give a contact to an agent: link it and take its cost from the agent's capacity.

    Who does not restore what was before notes the agent's occupancy first. O(channels).
    """
    contacts = open_contacts(table)
    agents = open_agents(table)
    channel = contacts.channel[contact]
    contacts.agent[contact] = agent
    first = agents.first_contact[agent]
    contacts.agent_following[contact] = first
    contacts.agent_preceding[contact] = -1
    if first >= 0:
        contacts.agent_preceding[first] = contact
    agents.first_contact[agent] = contact
    agents.contact_count[agent] += 1
    _use(table, contact, 1)
    agents.channel_used[agent, channel] += 1
    refresh_room(table, agent)
    mark_agent(table, agent)


@kernel
def let_go(table: Table, contact: int) -> int:
    """Take a contact from its agent and give the capacity back; returns the agent. O(channels)."""
    contacts = open_contacts(table)
    agents = open_agents(table)
    agent = contacts.agent[contact]
    note_occupancy(table, agent)
    before = contacts.agent_preceding[contact]
    after = contacts.agent_following[contact]
    if before < 0:
        agents.first_contact[agent] = after
    else:
        contacts.agent_following[before] = after
    if after >= 0:
        contacts.agent_preceding[after] = before
    contacts.agent_preceding[contact] = -1
    contacts.agent_following[contact] = -1
    agents.contact_count[agent] -= 1
    _use(table, contact, -1)
    agents.channel_used[agent, contacts.channel[contact]] -= 1
    contacts.cost[contact] = 0
    refresh_room(table, agent)
    mark_agent(table, agent)
    return agent


@kernel
def is_worn(table: Table, agent: int) -> bool:
    """Whether an agent's occupancy has reached what it may be for long. O(1)."""
    limit = open_agents(table).occupancy_max[agent]
    return limit > 0.0 and occupancy(table, agent) >= limit


@kernel
def rest_begins(table: Table, agent: int) -> None:
    """
    Note that the agent has just finished with a contact: its idle time starts again, and its rest
    where it has been occupied for too long.

    Who calls it settles the agent, which makes it due when the rest ends. O(channels).
    """
    agents = open_agents(table)
    now_ms = open_cell(table).scalar[NOW_MS]
    agents.idle_since_ms[agent] = now_ms
    if agents.rest_ms[agent] > 0 and is_worn(table, agent):
        agents.rests_until_ms[agent] = now_ms + agents.rest_ms[agent]
        refresh_room(table, agent)
        mark_agent(table, agent)
