"""What sensing reads of the floor each second, in one call on the thread that routes."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.kernels.boundary import Table, open_agents, open_cell, open_classes, open_contacts
from engine.kernels.boundary import open_queues as _open_queues
from engine.kernels.columns import NOW_MS
from engine.kernels.compilation import entry, kernel
from engine.lifecycle import CHANNEL_SLOTS, Intake, Presence

# Columns of a queue's sample.
WAITING: Final = 0
OFFERED: Final = 1
ASSIGNED: Final = 2
WRAPPING_UP: Final = 3
SCHEDULED: Final = 4
OLDEST_WAIT_MS: Final = 5
IS_OPEN: Final = 6
# That of most contacts waiting; 0 where none waits.
CHANNEL: Final = 7
QUEUE_SAMPLE: Final = 8
# Columns of an agent's sample, and what an agent may be doing.
DOING: Final = 0
SLOTS: Final = 1
AGENT_SAMPLE: Final = 2
ABSENT: Final = 0
AVAILABLE: Final = 1
HANDLING: Final = 2
IN_WRAP_UP: Final = 3
# Signed in, but takes nothing.
AWAY: Final = 4

_OFFLINE = int(Presence.OFFLINE)
_AVAILABLE = int(Presence.AVAILABLE)
_NONE = int(Presence.NONE)
_OPEN = int(Intake.OPEN)


@kernel
def _oldest_wait_ms(table: Table, queue: int) -> int:
    """Longest wait among the heads of a queue's classes. O(classes of the queue)."""
    classes, contacts = open_classes(table), open_contacts(table)
    now_ms = open_cell(table).scalar[NOW_MS]
    oldest_ms = 0
    row = _open_queues(table).first_class[queue]
    while row >= 0:
        oldest_ms = max(oldest_ms, now_ms - contacts.queued_ms[classes.head[row]])
        row = classes.following[row]
    return oldest_ms


@kernel
def _main_channel(table: Table, queue: int) -> int:
    """
    Channel of most contacts that wait in a queue, the lower one of equals, 0 for none.
    O(classes of the queue × channels).
    """
    classes = open_classes(table)
    most, main = 0, 0
    for channel in range(1, CHANNEL_SLOTS):
        waiting = 0
        row = _open_queues(table).first_class[queue]
        while row >= 0:
            if classes.channel[row] == channel:
                waiting += classes.waiting[row]
            row = classes.following[row]
        if waiting > most:
            most, main = waiting, channel
    return main


@kernel
def _doing(table: Table, agent: int) -> int:
    """What an agent is doing. O(channels)."""
    agents = open_agents(table)
    presence = agents.presence[agent]
    if presence in (_NONE, _OFFLINE):
        return ABSENT
    for channel in range(CHANNEL_SLOTS):
        if agents.channel_handled[agent, channel] > 0:
            return HANDLING
    if agents.accepted[agent] > 0:
        return IN_WRAP_UP
    return AVAILABLE if presence == _AVAILABLE else AWAY


@kernel
def _slots(table: Table, agent: int) -> int:
    """Contacts an agent may have at a time, of the channel that lets it have most. O(channels)."""
    agents = open_agents(table)
    most = 0
    for channel in range(CHANNEL_SLOTS):
        cost = agents.channel_cost[agent, channel]
        if cost > 0:
            room = agents.capacity[agent] // cost
            most = max(most, min(room, agents.channel_max[agent, channel]))
    return most


@entry
def sample_floor(
    table: Table, queue_sample: NDArray[np.int64], agent_sample: NDArray[np.int64]
) -> None:
    """
    Read queues and agents. O(classes with waiting contacts + agents × channels).

    Parameters
    ----------
    queue_sample
        (queues, 8) contacts waiting, not on offer; on offer; handled; in wrap-up; scheduled; the
        longest wait, milliseconds; whether contacts are taken in; channel of most that wait.
    agent_sample
        (agents, 2) what each is doing; contacts it may have at a time.
    """
    queues = _open_queues(table)
    for queue in range(queue_sample.shape[0]):
        queue_sample[queue, WAITING] = queues.waiting[queue]
        queue_sample[queue, OFFERED] = queues.offered[queue]
        queue_sample[queue, ASSIGNED] = queues.assigned[queue]
        queue_sample[queue, WRAPPING_UP] = queues.wrapping_up[queue]
        queue_sample[queue, SCHEDULED] = queues.scheduled[queue]
        queue_sample[queue, OLDEST_WAIT_MS] = _oldest_wait_ms(table, queue)
        is_open = queues.intake[queue] == _OPEN and queues.closed_for[queue] == 0
        queue_sample[queue, IS_OPEN] = is_open
        queue_sample[queue, CHANNEL] = _main_channel(table, queue)
    for agent in range(agent_sample.shape[0]):
        agent_sample[agent, DOING] = _doing(table, agent)
        agent_sample[agent, SLOTS] = _slots(table, agent)
