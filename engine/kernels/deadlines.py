"""
Deadlines: binary heaps over contacts, over agents, and over queues whose matching window is open,
each row at most once.

A row's place in its heap is a column, so moving or removing a deadline costs O(log n) and leaves
nothing behind. Equal deadlines come in the order of their rows.
"""

import numpy as np
from numpy.typing import NDArray

from engine.kernels.boundary import Table, open_agents, open_cell, open_contacts, open_queues
from engine.kernels.columns import (
    AGENT_HEAP_COUNT,
    CONTACT_HEAP_COUNT,
    WINDOW_HEAP_COUNT,
)
from engine.kernels.compilation import kernel
from engine.limits import NEVER_MS


@kernel
def is_sooner(due_ms: NDArray[np.int64], left: int, right: int) -> bool:
    """Whether row `left` comes before row `right`. O(1)."""
    if due_ms[left] != due_ms[right]:
        return due_ms[left] < due_ms[right]
    return left < right


@kernel
def sift_up(
    heap: NDArray[np.int64], position: NDArray[np.int64], due_ms: NDArray[np.int64], place: int
) -> None:
    """Move the row at `place` towards the root until its parent is sooner. O(log n)."""
    row = heap[place]
    while place > 0:
        parent = (place - 1) >> 1
        if not is_sooner(due_ms, row, heap[parent]):
            break
        heap[place] = heap[parent]
        position[heap[place]] = place
        place = parent
    heap[place] = row
    position[row] = place


@kernel
def sift_down(
    heap: NDArray[np.int64],
    position: NDArray[np.int64],
    due_ms: NDArray[np.int64],
    place: int,
    count: int,
) -> None:
    """Move the row at `place` away from the root until both children are later. O(log n)."""
    row = heap[place]
    while True:
        child = 2 * place + 1
        if child >= count:
            break
        if child + 1 < count and is_sooner(due_ms, heap[child + 1], heap[child]):
            child += 1
        if not is_sooner(due_ms, heap[child], row):
            break
        heap[place] = heap[child]
        position[heap[place]] = place
        place = child
    heap[place] = row
    position[row] = place


@kernel
def reschedule(
    heap: NDArray[np.int64],
    position: NDArray[np.int64],
    due_ms: NDArray[np.int64],
    count: int,
    row: int,
) -> int:
    """
    Bring a heap of `count` rows in line with a row's new deadline, NEVER_MS for none. O(log n).

    Returns the heap's new length.
    """
    place = position[row]
    if due_ms[row] >= NEVER_MS:
        if place < 0:
            return count
        position[row] = -1
        count -= 1
        if place < count:
            moved = heap[count]
            heap[place] = moved
            position[moved] = place
            sift_down(heap, position, due_ms, place, count)
            sift_up(heap, position, due_ms, position[moved])
        return count
    if place < 0:
        heap[count] = row
        position[row] = count
        sift_up(heap, position, due_ms, count)
        return count + 1
    sift_down(heap, position, due_ms, place, count)
    sift_up(heap, position, due_ms, position[row])
    return count


@kernel
def schedule_contact(table: Table, contact: int, at_ms: int) -> None:
    """Set a contact's next deadline; NEVER_MS takes it away. O(log contacts)."""
    contacts = open_contacts(table)
    scalar = open_cell(table).scalar
    contacts.due_ms[contact] = at_ms
    scalar[CONTACT_HEAP_COUNT] = reschedule(
        contacts.heap,
        contacts.heap_position,
        contacts.due_ms,
        scalar[CONTACT_HEAP_COUNT],
        contact,
    )


@kernel
def schedule_agent(table: Table, agent: int, at_ms: int) -> None:
    """Set an agent's next deadline; NEVER_MS takes it away. O(log agents)."""
    agents = open_agents(table)
    scalar = open_cell(table).scalar
    agents.due_ms[agent] = at_ms
    scalar[AGENT_HEAP_COUNT] = reschedule(
        agents.heap,
        agents.heap_position,
        agents.due_ms,
        scalar[AGENT_HEAP_COUNT],
        agent,
    )


@kernel
def schedule_window(table: Table, queue: int, at_ms: int) -> None:
    """Set when a queue's matching window ends; NEVER_MS for none open. O(log queues)."""
    queues = open_queues(table)
    scalar = open_cell(table).scalar
    queues.window_ends_ms[queue] = at_ms
    scalar[WINDOW_HEAP_COUNT] = reschedule(
        queues.window_heap,
        queues.window_position,
        queues.window_ends_ms,
        scalar[WINDOW_HEAP_COUNT],
        queue,
    )


@kernel
def next_deadline(table: Table) -> int:
    """Time of the earliest deadline, milliseconds, NEVER_MS when there is none. O(1)."""
    contacts = open_contacts(table)
    agents = open_agents(table)
    cell = open_cell(table)
    earliest_ms = NEVER_MS
    if cell.scalar[CONTACT_HEAP_COUNT] > 0:
        earliest_ms = contacts.due_ms[contacts.heap[0]]
    if cell.scalar[AGENT_HEAP_COUNT] > 0:
        earliest_ms = min(earliest_ms, agents.due_ms[agents.heap[0]])
    if cell.scalar[WINDOW_HEAP_COUNT] > 0:
        queues = open_queues(table)
        earliest_ms = min(earliest_ms, queues.window_ends_ms[queues.window_heap[0]])
    return earliest_ms
