"""Transitions of agents and queues, whose columns `engine.state` writes before."""

import numpy as np

from engine.effects import EffectKind, Reason
from engine.kernels.agent_life import change_presence, renew_lease, schedule_lease, settle_agent
from engine.kernels.bits import lowest_bit
from engine.kernels.boundary import (
    Table,
    open_agents,
    open_bitsets,
    open_cell,
    open_contacts,
    open_queues,
)
from engine.kernels.capacity import refresh_room
from engine.kernels.columns import NOW_MS
from engine.kernels.compilation import kernel
from engine.kernels.deadlines import schedule_agent, schedule_window
from engine.kernels.estimates import forget_estimates, forget_queue
from engine.kernels.matching_windows import is_window_open
from engine.kernels.recording import record_agent, record_queue
from engine.kernels.requests import IN_AGENT, IN_QUEUE, IN_REASON, IN_VALUE, OUT_COUNT, OUT_STATE
from engine.kernels.waiting import refresh_waiting_queue
from engine.lifecycle import ContactState, Intake, Presence
from engine.limits import NEVER_MS
from engine.refusals import Refusal

_APPLIED = int(Refusal.NONE)
_HOLDS_CONTACTS = int(Refusal.AGENT_HOLDS_CONTACTS)
_OFFERED = int(ContactState.OFFERED)
_E_AGENT = int(EffectKind.AGENT_UPSERTED)
_E_AGENT_DELETED = int(EffectKind.AGENT_DELETED)
_E_QUEUE_DELETED = int(EffectKind.QUEUE_DELETED)
_E_QUEUE = int(EffectKind.QUEUE_UPSERTED)
_E_INTAKE = int(EffectKind.QUEUE_INTAKE_CHANGED)
_E_HOURS = int(EffectKind.QUEUE_HOURS_CHANGED)
_R_NONE = int(Reason.NONE)
_PAUSED = int(Intake.PAUSED)
_NO_AGENT = int(Presence.NONE)
_OFFLINE = int(Presence.OFFLINE)


@kernel
def agent_changed(table: Table) -> int:
    """
    Take note of an agent's new definition, written to its columns and sets before.

    O(log agents) and `settle_agent`.
    """
    agent = open_cell(table).request[IN_AGENT]
    refresh_room(table, agent)
    renew_lease(table, agent)
    schedule_lease(table, agent)
    record_agent(table, _E_AGENT, agent, 0, _R_NONE)
    settle_agent(table, agent)
    return _APPLIED


@kernel
def agent_lent(table: Table) -> int:
    """
    Let an agent with room take what waits in the queues that they serve now.

    `settle_agent`.
    """
    settle_agent(table, open_cell(table).request[IN_AGENT])
    return _APPLIED


@kernel
def delete_agent(table: Table) -> int:
    """
    Take an agent without contacts out of matching and time; `engine.state` does the rest.

    O(log agents).
    """
    agent = open_cell(table).request[IN_AGENT]
    forget_estimates(table, agent, -1)
    record_agent(table, _E_AGENT_DELETED, agent, 0, _R_NONE)
    open_agents(table).presence[agent] = _NO_AGENT
    refresh_room(table, agent)
    schedule_agent(table, agent, NEVER_MS)
    return _APPLIED


@kernel
def set_presence(table: Table) -> int:
    """Set an agent's presence as asked. O(contacts held) and `settle_agent`."""
    cell = open_cell(table)
    agents = open_agents(table)
    contacts = open_contacts(table)
    agent = cell.request[IN_AGENT]
    presence = cell.request[IN_VALUE]
    in_hand = 0
    contact = agents.first_contact[agent]
    while contact >= 0:
        if contacts.state[contact] != _OFFERED:
            in_hand += 1
        contact = contacts.agent_following[contact]
    if presence == _OFFLINE and in_hand > 0:
        return _HOLDS_CONTACTS
    reason = cell.request[IN_REASON]
    if presence != agents.presence[agent] or reason != agents.presence_reason[agent]:
        change_presence(table, agent, presence, reason)
        settle_agent(table, agent)
    cell.outcome[OUT_STATE] = agents.presence[agent]
    cell.outcome[OUT_COUNT] = agents.contact_count[agent]
    return _APPLIED


@kernel
def heartbeat(table: Table) -> int:
    """Renew an agent's lease; outcome's count is 1 when there was one to renew. O(1)."""
    cell = open_cell(table)
    agents = open_agents(table)
    agent = cell.request[IN_AGENT]
    cell.outcome[OUT_COUNT] = 0
    if agents.lease_ms[agent] > 0 and agents.presence[agent] != _OFFLINE:
        renew_lease(table, agent)
        cell.outcome[OUT_COUNT] = 1
    return _APPLIED


@kernel
def queue_changed(table: Table) -> int:
    """
    Take note of a queue's new definition, written before.

    Where it has no matching windows any more, what waits for one is offered at once. O(log queues),
    and `_look_at_backlog`.
    """
    queue = open_cell(table).request[IN_QUEUE]
    refresh_waiting_queue(table, queue)
    record_queue(table, _E_QUEUE, queue, 0)
    if is_window_open(table, queue) and open_queues(table).matching_window_ms[queue] == 0:
        schedule_window(table, queue, NEVER_MS)
        _look_at_backlog(table, queue)
    return _APPLIED


@kernel
def _look_at_backlog(table: Table, queue: int) -> None:
    """Make a queue's agents due at once. O(agents / 64 + agents of the queue x log agents)."""
    bitsets = open_bitsets(table)
    now_ms = open_cell(table).scalar[NOW_MS]
    for word in range(bitsets.queue_agents.shape[1]):
        members = bitsets.queue_agents[queue, word] & bitsets.working_agents[0, word]
        while members != np.uint64(0):
            schedule_agent(table, (word << 6) + lowest_bit(members), now_ms)
            members &= members - np.uint64(1)


@kernel
def delete_queue(table: Table) -> int:
    """
    Forget what was learned in a queue that holds no open contacts, and tell of its end;
    `engine.state` does the rest.

    O(agents).
    """
    queue = open_cell(table).request[IN_QUEUE]
    forget_queue(table, queue)
    schedule_window(table, queue, NEVER_MS)
    record_queue(table, _E_QUEUE_DELETED, queue, 0)
    return _APPLIED


@kernel
def set_hours(table: Table) -> None:
    """
    Open or close a queue as its hours say; those who wait in it are offered as before. O(1).
    """
    cell = open_cell(table)
    queues = open_queues(table)
    queue = cell.request[IN_QUEUE]
    was_open = queues.closed_for[queue] == 0
    queues.closed_for[queue] = cell.request[IN_VALUE]
    if was_open != (queues.closed_for[queue] == 0):
        record_queue(table, _E_HOURS, queue, queues.closed_for[queue])


@kernel
def set_intake(table: Table) -> int:
    """
    Open, pause or close a queue.

    Once it may offer again its agents are made due at once, to look at the backlog.
    As `_look_at_backlog`.
    """
    cell = open_cell(table)
    queues = open_queues(table)
    queue = cell.request[IN_QUEUE]
    was_paused = queues.intake[queue] == _PAUSED
    queues.intake[queue] = cell.request[IN_VALUE]
    refresh_waiting_queue(table, queue)
    record_queue(table, _E_INTAKE, queue, queues.intake[queue])
    if was_paused and queues.intake[queue] != _PAUSED:
        _look_at_backlog(table, queue)
    return _APPLIED
