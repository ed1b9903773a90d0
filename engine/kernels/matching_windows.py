"""
Matching windows: while one is open, a queue offers nothing, so that at its end contacts and agents
are assigned to each other as a whole (`engine.kernels.batching`).

A queue that has windows opens one as soon as a contact of it waits beside an agent who may take it,
and only then: so no contact is kept from an agent for longer than one lasts, and where nobody has
room none opens. A window is a deadline of its queue, in a heap of its own, so that it depends on no
contact or agent, which may be gone when it ends.
"""

import numpy as np

from engine.kernels.bits import lowest_bit
from engine.kernels.boundary import (
    Table,
    open_bitsets,
    open_cell,
    open_classes,
    open_contacts,
    open_queues,
)
from engine.kernels.columns import NOW_MS, WINDOWED_COUNT
from engine.kernels.compilation import kernel
from engine.kernels.deadlines import schedule_window
from engine.kernels.eligibility import first_allowed, meets_class


@kernel
def is_windowed(table: Table, contact: int) -> bool:
    """Whether a contact's queue has matching windows. O(1)."""
    return open_queues(table).matching_window_ms[open_contacts(table).queue[contact]] > 0


@kernel
def is_window_open(table: Table, queue: int) -> bool:
    """Whether a queue gathers a batch now. O(1)."""
    return open_queues(table).window_position[queue] >= 0


@kernel
def open_window(table: Table, queue: int) -> None:
    """Begin a window of a queue that has them, unless one is open. O(log queues)."""
    if not is_window_open(table, queue):
        now_ms = open_cell(table).scalar[NOW_MS]
        schedule_window(table, queue, now_ms + open_queues(table).matching_window_ms[queue])


@kernel
def _has_work(table: Table, queue: int, agent: int) -> bool:
    """Whether a contact of a queue waits that an agent with room may take. O(its classes)."""
    classes = open_classes(table)
    class_row = open_queues(table).first_class[queue]
    while class_row >= 0:
        if meets_class(table, agent, class_row) and first_allowed(table, class_row, agent) >= 0:
            return True
        class_row = classes.following[class_row]
    return False


@kernel
def open_windows_for(table: Table, agent: int) -> None:
    """
    Begin a window of every queue that has them and a contact that waits for an agent with room.

    O(queues / 64 + classes with waiting contacts in the agent's windowed queues), O(1) where no
    queue has windows.
    """
    if open_cell(table).scalar[WINDOWED_COUNT] == 0:
        return
    bitsets = open_bitsets(table)
    for word in range(bitsets.windowed_queues.shape[1]):
        served = bitsets.windowed_queues[0, word] & bitsets.agent_queues[agent, word]
        while served != np.uint64(0):
            queue = (word << 6) + lowest_bit(served)
            served &= served - np.uint64(1)
            if not is_window_open(table, queue) and _has_work(table, queue, agent):
                open_window(table, queue)
