"""
Waiting contacts: per class a doubly linked list ordered by routing age, in queues of either order.

Heads are exact, so a freed agent looks at one contact per class whatever the number waiting. A
contact that comes back with its age finds its place by walking from both ends at once: those that
come back are old or new, seldom in the middle.
"""

from engine.kernels.bits import set_bit
from engine.kernels.boundary import (
    Table,
    open_bitsets,
    open_cell,
    open_classes,
    open_contacts,
    open_queues,
)
from engine.kernels.columns import (
    ENDED_COUNT,
    ENDED_HEAD,
    ENDED_TAIL,
)
from engine.kernels.compilation import kernel
from engine.lifecycle import Intake, QueueOrder

_PAUSED = int(Intake.PAUSED)
_LIFO = int(QueueOrder.LIFO)


@kernel
def is_before(table: Table, left: int, right: int) -> bool:
    """
    Whether contact `left` stands before `right` in a class: older, or of like age and earlier.

    O(1).
    """
    contacts = open_contacts(table)
    if contacts.since_ms[left] != contacts.since_ms[right]:
        return contacts.since_ms[left] < contacts.since_ms[right]
    return contacts.sequence[left] < contacts.sequence[right]


@kernel
def key_offset_ms(table: Table, class_row: int) -> int:
    """Milliseconds of routing age that the class's priority is worth. O(1)."""
    classes = open_classes(table)
    queues = open_queues(table)
    return classes.priority[class_row] * queues.priority_age_ms[classes.queue[class_row]]


@kernel
def refresh_waiting_queue(table: Table, queue: int) -> None:
    """Bring the sets of queues with contacts to offer up to date. O(1)."""
    queues = open_queues(table)
    bitsets = open_bitsets(table)
    is_waiting = queues.waiting[queue] > 0 and queues.intake[queue] != _PAUSED
    is_windowed = queues.matching_window_ms[queue] > 0
    set_bit(bitsets.waiting_queues[0], queue, is_waiting and not is_windowed)
    set_bit(bitsets.windowed_queues[0], queue, is_waiting and is_windowed)


@kernel
def _successor(table: Table, class_row: int, contact: int) -> int:
    """
    Contact of the class before which `contact` belongs, -1 for the end.

    O(distance from the nearer end).
    """
    contacts = open_contacts(table)
    classes = open_classes(table)
    front = classes.head[class_row]
    back = classes.tail[class_row]
    if back < 0 or is_before(table, back, contact):
        return -1
    while True:
        if is_before(table, contact, front):
            return front
        before = contacts.preceding[back]
        if before < 0 or is_before(table, before, contact):
            return back
        front = contacts.following[front]
        back = before


@kernel
def join_class(table: Table, contact: int) -> None:
    """
    Put a contact into its class at the place of its routing age.

    O(distance from the nearer end).
    """
    contacts = open_contacts(table)
    classes = open_classes(table)
    queues = open_queues(table)
    class_row = contacts.class_row[contact]
    after = _successor(table, class_row, contact)
    before = classes.tail[class_row] if after < 0 else contacts.preceding[after]
    contacts.following[contact] = after
    contacts.preceding[contact] = before
    if after < 0:
        classes.tail[class_row] = contact
    else:
        contacts.preceding[after] = contact
    if before < 0:
        classes.head[class_row] = contact
    else:
        contacts.following[before] = contact
    classes.waiting[class_row] += 1
    if classes.waiting[class_row] == 1:
        _link_class(table, class_row)
    queue = classes.queue[class_row]
    queues.waiting[queue] += 1
    if queues.waiting[queue] == 1:
        refresh_waiting_queue(table, queue)


@kernel
def leave_class(table: Table, contact: int) -> None:
    """Take a waiting contact out of its class. O(1)."""
    contacts = open_contacts(table)
    classes = open_classes(table)
    queues = open_queues(table)
    class_row = contacts.class_row[contact]
    before = contacts.preceding[contact]
    after = contacts.following[contact]
    if before < 0:
        classes.head[class_row] = after
    else:
        contacts.following[before] = after
    if after < 0:
        classes.tail[class_row] = before
    else:
        contacts.preceding[after] = before
    contacts.preceding[contact] = -1
    contacts.following[contact] = -1
    classes.waiting[class_row] -= 1
    if classes.waiting[class_row] == 0:
        _unlink_class(table, class_row)
    queue = classes.queue[class_row]
    queues.waiting[queue] -= 1
    if queues.waiting[queue] == 0:
        refresh_waiting_queue(table, queue)


@kernel
def _link_class(table: Table, class_row: int) -> None:
    """Put a class that has a first contact at the front of its queue's list. O(1)."""
    classes = open_classes(table)
    queues = open_queues(table)
    queue = classes.queue[class_row]
    first = queues.first_class[queue]
    classes.following[class_row] = first
    classes.preceding[class_row] = -1
    if first >= 0:
        classes.preceding[first] = class_row
    queues.first_class[queue] = class_row


@kernel
def _unlink_class(table: Table, class_row: int) -> None:
    """Take a class without contacts out of its queue's list. O(1)."""
    classes = open_classes(table)
    queues = open_queues(table)
    before = classes.preceding[class_row]
    after = classes.following[class_row]
    if before < 0:
        queues.first_class[classes.queue[class_row]] = after
    else:
        classes.following[before] = after
    if after >= 0:
        classes.preceding[after] = before
    classes.preceding[class_row] = -1
    classes.following[class_row] = -1


@kernel
def position_of(table: Table, contact: int) -> int:
    """Place of a waiting contact in its queue, 1 is the head. As `count_ahead`."""
    contacts = open_contacts(table)
    queue, priority = contacts.queue[contact], contacts.priority[contact]
    key_ms = contacts.since_ms[contact] - key_offset_ms(table, contacts.class_row[contact])
    ahead = count_ahead(table, queue, priority, key_ms, contacts.sequence[contact])
    # Among the newest first it has counted itself.
    return ahead if open_queues(table).order[queue] == _LIFO else ahead + 1


@kernel
def count_ahead(table: Table, queue: int, priority: int, key_ms: int, sequence: int) -> int:
    """
    Contacts of a queue that go before one of a priority, an order key and a place among arrivals.

    Those whose order key is lower, ties by arrival; in a LIFO queue those of a higher priority, and
    of its own those that are no older. O(classes of the queue + distance of the place from the
    nearer end of each).
    """
    classes = open_classes(table)
    is_lifo = open_queues(table).order[queue] == _LIFO
    ahead = 0
    class_row = open_queues(table).first_class[queue]
    while class_row >= 0:
        if not is_lifo:
            ahead += _count_before(table, class_row, key_ms, sequence)
        elif classes.priority[class_row] > priority:
            ahead += classes.waiting[class_row]
        elif classes.priority[class_row] == priority:
            older = _count_before(table, class_row, key_ms, sequence)
            ahead += classes.waiting[class_row] - older
        class_row = classes.following[class_row]
    return ahead


@kernel
def _count_before(table: Table, class_row: int, key_ms: int, sequence: int) -> int:
    """
    Contacts of the class that stand before the order key, ties by arrival.

    O(distance from the nearer end).
    """
    contacts = open_contacts(table)
    classes = open_classes(table)
    since_ms = key_ms + key_offset_ms(table, class_row)
    front = classes.head[class_row]
    back = classes.tail[class_row]
    walked = 0
    while walked < classes.waiting[class_row]:
        front_ms = contacts.since_ms[front]
        if front_ms > since_ms or (front_ms == since_ms and contacts.sequence[front] >= sequence):
            return walked
        back_ms = contacts.since_ms[back]
        if back_ms < since_ms or (back_ms == since_ms and contacts.sequence[back] < sequence):
            return classes.waiting[class_row] - walked
        front = contacts.following[front]
        back = contacts.preceding[back]
        walked += 1
    return walked


@kernel
def join_ended(table: Table, contact: int) -> None:
    """
    Put a contact into the list of ended contacts, by time and, within a millisecond, by row.

    By row, because the order within a millisecond is not kept: a restart must find the same list.
    O(contacts that ended in the same millisecond).
    """
    contacts = open_contacts(table)
    scalar = open_cell(table).scalar
    before = scalar[ENDED_TAIL]
    after = -1
    while before > contact and contacts.ended_ms[before] == contacts.ended_ms[contact]:
        after = before
        before = contacts.preceding[before]
    contacts.preceding[contact] = before
    contacts.following[contact] = after
    if before >= 0:
        contacts.following[before] = contact
    else:
        scalar[ENDED_HEAD] = contact
    if after >= 0:
        contacts.preceding[after] = contact
    else:
        scalar[ENDED_TAIL] = contact
    scalar[ENDED_COUNT] += 1


@kernel
def leave_ended(table: Table, contact: int) -> None:
    """Take a contact out of the list of ended contacts. O(1)."""
    contacts = open_contacts(table)
    scalar = open_cell(table).scalar
    before = contacts.preceding[contact]
    after = contacts.following[contact]
    if before < 0:
        scalar[ENDED_HEAD] = after
    else:
        contacts.following[before] = after
    if after < 0:
        scalar[ENDED_TAIL] = before
    else:
        contacts.preceding[after] = before
    contacts.preceding[contact] = -1
    contacts.following[contact] = -1
    scalar[ENDED_COUNT] -= 1
