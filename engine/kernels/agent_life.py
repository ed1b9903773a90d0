"""Presence, leases, and what follows when an agent's room changes."""

from engine.effects import EffectKind, Reason
from engine.kernels.boundary import Table, open_agents, open_cell, open_contacts
from engine.kernels.capacity import refresh_room
from engine.kernels.columns import NOW_MS
from engine.kernels.compilation import kernel
from engine.kernels.contact_life import complete, rescind, return_to_queue, take_from_agent
from engine.kernels.deadlines import schedule_agent
from engine.kernels.interrupting import interrupt_and_resume
from engine.kernels.joining import start_wait
from engine.kernels.matching import match_backlog, match_freed
from engine.kernels.offering import withdraw_offer
from engine.kernels.recording import has_effect_room, mark_agent, record_agent
from engine.lifecycle import ContactState, Presence
from engine.limits import NEVER_MS

_OFFERED = int(ContactState.OFFERED)
_WRAP_UP = int(ContactState.WRAP_UP)
_AVAILABLE = int(Presence.AVAILABLE)
_AWAY = int(Presence.AWAY)
_DRAINING = int(Presence.DRAINING)
_OFFLINE = int(Presence.OFFLINE)
_PRESENCE_CHANGED = int(EffectKind.AGENT_PRESENCE_CHANGED)
_LEASE_LOST_EFFECT = int(EffectKind.AGENT_LEASE_LOST)
_REASON_PRESENCE = int(Reason.PRESENCE_CHANGED)
_REASON_LEASE_LOST = int(Reason.LEASE_LOST)
_REASON_MISSED = int(Reason.MISSED_OFFERS)
_REASON_DRAINED = int(Reason.DRAINED)


@kernel
def renew_lease(table: Table, agent: int) -> None:
    """
    Start the agent's lease anew.

    Its deadline moves only when the old one comes due, so this is O(1).
    """
    agents = open_agents(table)
    if agents.lease_ms[agent] > 0:
        agents.lease_until_ms[agent] = open_cell(table).scalar[NOW_MS] + agents.lease_ms[agent]


@kernel
def schedule_lease(table: Table, agent: int) -> None:
    """
    Set the agent's deadline to the end of its lease or of its rest, whichever comes first, or take
    it away. O(log agents).
    """
    agents = open_agents(table)
    has_lease = agents.lease_ms[agent] > 0 and agents.presence[agent] != _OFFLINE
    due_ms = agents.lease_until_ms[agent] if has_lease else NEVER_MS
    rests_until_ms = agents.rests_until_ms[agent]
    if rests_until_ms > 0:
        due_ms = min(due_ms, rests_until_ms)
    schedule_agent(table, agent, due_ms)


@kernel
def change_presence(table: Table, agent: int, presence: int, reason: int) -> None:
    """Set presence; what follows for its contacts is left to `settle_agent`. O(log agents)."""
    agents = open_agents(table)
    now_ms = open_cell(table).scalar[NOW_MS]
    was = agents.presence[agent]
    agents.presence[agent] = presence
    agents.presence_reason[agent] = reason
    agents.presence_since_ms[agent] = now_ms
    if presence == _AVAILABLE and was != _AVAILABLE:
        agents.idle_since_ms[agent] = now_ms
        agents.missed[agent] = 0
    if was == _OFFLINE:
        renew_lease(table, agent)
    schedule_lease(table, agent)
    refresh_room(table, agent)
    record_agent(table, _PRESENCE_CHANGED, agent, presence, reason)


@kernel
def count_miss(table: Table, agent: int) -> None:
    """Count a missed offer; the agent goes away after too many in a row. O(log agents)."""
    agents = open_agents(table)
    agents.missed[agent] += 1
    missed_max = agents.missed_max[agent]
    if agents.presence[agent] == _AVAILABLE and 0 < missed_max <= agents.missed[agent]:
        change_presence(table, agent, _AWAY, _REASON_MISSED)


@kernel
def return_contacts(table: Table, agent: int, reason: int) -> bool:
    """
    Take back what the agent may not keep: its offers, and once it is offline everything it holds.

    Returns False when effects ran out of room: call again. O(contacts held x log contacts).
    """
    agents = open_agents(table)
    contacts = open_contacts(table)
    is_gone = agents.presence[agent] == _OFFLINE
    while agents.first_offer[agent] >= 0:
        if not has_effect_room(table):
            return False
        withdraw_offer(table, agents.first_offer[agent], reason)
    contact = agents.first_contact[agent]
    while contact >= 0:
        if not has_effect_room(table):
            return False
        following = contacts.agent_following[contact]
        state = contacts.state[contact]
        if state == _OFFERED:
            rescind(table, contact, reason)
        elif is_gone and state == _WRAP_UP:
            complete(table, contact)
        elif is_gone:
            take_from_agent(table, contact)
            start_wait(table, contact)
            return_to_queue(table, contact, reason)
        contact = following
    return True


@kernel
def settle_agent(table: Table, agent: int) -> None:
    """
    Bring an agent's contacts in line with its presence and fill its room from the backlog.

    Derived from state alone: when effects run out of room the agent is made due at once and the
    rest follows there. O(contacts held x log contacts), or one search per offer made.
    """
    agents = open_agents(table)
    if agents.rests_until_ms[agent] > 0:
        schedule_lease(table, agent)
    if agents.presence[agent] != _OFFLINE and not interrupt_and_resume(table, agent):
        is_settled = False
    elif agents.presence[agent] == _AVAILABLE:
        is_settled = match_freed(table, agent)
    else:
        reason = agents.presence_reason[agent]
        if reason != _REASON_LEASE_LOST and reason != _REASON_MISSED:
            reason = _REASON_PRESENCE
        is_settled = return_contacts(table, agent, reason)
        if agents.presence[agent] == _DRAINING and agents.contact_count[agent] == 0:
            change_presence(table, agent, _OFFLINE, _REASON_DRAINED)
    if not is_settled:
        schedule_agent(table, agent, open_cell(table).scalar[NOW_MS])


@kernel
def agent_due(table: Table, agent: int) -> None:
    """
    Handle an agent whose deadline has come: its lease lapsed, or settling it was put off.

    As `settle_agent`.
    """
    agents = open_agents(table)
    now_ms = open_cell(table).scalar[NOW_MS]
    is_leased = agents.lease_ms[agent] > 0 and agents.presence[agent] != _OFFLINE
    if is_leased and agents.lease_until_ms[agent] <= now_ms:
        record_agent(table, _LEASE_LOST_EFFECT, agent, 0, _REASON_LEASE_LOST)
        change_presence(table, agent, _OFFLINE, _REASON_LEASE_LOST)
    if 0 < agents.rests_until_ms[agent] <= now_ms:
        agents.rests_until_ms[agent] = 0
        refresh_room(table, agent)
        mark_agent(table, agent)
    schedule_lease(table, agent)
    if agents.presence[agent] != _AVAILABLE:
        settle_agent(table, agent)
    elif not (interrupt_and_resume(table, agent) and match_backlog(table, agent)):
        schedule_agent(table, agent, now_ms)
