"""What makes a contact one of a queue, its class and its wait, and what it falls back to."""

from engine.kernels.boundary import Table, open_cell, open_classes, open_contacts, open_queues
from engine.kernels.columns import FALLBACKS, NOW_MS
from engine.kernels.compilation import kernel
from engine.kernels.recording import mark_queue
from engine.lifecycle import Intake
from engine.limits import NEVER_MS

_CLOSED = int(Intake.CLOSED)


@kernel
def refer_to_class(table: Table, contact: int, class_row: int) -> None:
    """Make the contact one of a class, -1 for none; it must not be waiting in the old one. O(1)."""
    contacts = open_contacts(table)
    classes = open_classes(table)
    old_class = contacts.class_row[contact]
    if old_class >= 0:
        classes.references[old_class] -= 1
    contacts.class_row[contact] = class_row
    if class_row >= 0:
        classes.references[class_row] += 1
        contacts.queue[contact] = classes.queue[class_row]
        contacts.priority[contact] = classes.priority[class_row]


@kernel
def set_expiry(table: Table, contact: int) -> None:
    """
    Set when a contact's wait ends if nobody takes it: the end of its window, or else its own or its
    queue's longest wait after it joined the queue. So does who comes back from an agent that took
    it within the window. O(1).
    """
    contacts = open_contacts(table)
    if contacts.window_ms[contact] > contacts.queued_ms[contact]:
        contacts.expires_ms[contact] = contacts.window_ms[contact]
        return
    max_wait_ms = contacts.max_wait_ms[contact]
    if max_wait_ms == 0:
        max_wait_ms = open_queues(table).max_wait_ms[contacts.queue[contact]]
    is_bounded = max_wait_ms < NEVER_MS
    expires_ms = contacts.queued_ms[contact] + max_wait_ms if is_bounded else NEVER_MS
    contacts.expires_ms[contact] = expires_ms


@kernel
def start_wait(table: Table, contact: int) -> None:
    """Begin a wait in the contact's queue now; its routing age goes on. O(1)."""
    contacts = open_contacts(table)
    now_ms = open_cell(table).scalar[NOW_MS]
    contacts.queued_ms[contact] = now_ms
    contacts.estimated_ms[contact] = 0
    contacts.accepted_ms[contact] = 0
    contacts.handled_ms[contact] = 0
    contacts.interrupted_ms[contact] = 0
    set_expiry(table, contact)


@kernel
def can_fall_back(table: Table, contact: int) -> bool:
    """Whether the contact's class has a fallback, in a queue that would take it in. O(1)."""
    classes = open_classes(table)
    queues = open_queues(table)
    fallback = classes.fallback[open_contacts(table).class_row[contact]]
    if fallback < 0:
        return False
    queue = classes.queue[fallback]
    is_full = 0 < queues.max_length[queue] <= queues.waiting[queue]
    is_open = queues.intake[queue] != _CLOSED and queues.closed_for[queue] == 0
    return is_open and not is_full


@kernel
def fall_back(table: Table, contact: int) -> None:
    """
    Make a contact that neither waits nor is held one of its queue's fallback queue; its wait begins
    there, and its routing age goes on. O(1).
    """
    contacts = open_contacts(table)
    queue = contacts.queue[contact]
    open_queues(table).totals[queue, FALLBACKS] += 1
    mark_queue(table, queue)
    refer_to_class(table, contact, open_classes(table).fallback[contacts.class_row[contact]])
    contacts.fell_back[contact] = 1
    # There it waits for as long as others do.
    contacts.window_ms[contact] = 0
    start_wait(table, contact)
