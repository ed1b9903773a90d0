"""What loading derives anew of a contact: links, counts and deadlines."""

from engine.kernels.boundary import Table, open_cell, open_contacts, open_queues
from engine.kernels.capacity import hold_contact
from engine.kernels.columns import ENDED_RETENTION_MS, OPEN_COUNT
from engine.kernels.compilation import kernel
from engine.kernels.contact_life import count_in_hand
from engine.kernels.deadlines import schedule_contact
from engine.kernels.matching import schedule_wait
from engine.kernels.waiting import join_class, join_ended
from engine.lifecycle import HAS_ENDED, ContactState

_QUEUED = int(ContactState.QUEUED)
_OFFERED = int(ContactState.OFFERED)
_WRAP_UP = int(ContactState.WRAP_UP)
_SCHEDULED = int(ContactState.SCHEDULED)
_DIVERTED = int(ContactState.DIVERTED)


@kernel
def restore_contact(table: Table, contact: int) -> None:
    """
    Link a contact whose own columns were loaded back into its class, which counts it already, and
    into agents, counts and deadlines.

    O(log contacts).
    """
    contacts = open_contacts(table)
    scalar = open_cell(table).scalar
    state = contacts.state[contact]
    if HAS_ENDED[state]:
        join_ended(table, contact)
        schedule_contact(table, contact, contacts.ended_ms[contact] + scalar[ENDED_RETENTION_MS])
        return
    scalar[OPEN_COUNT] += 1
    if state == _QUEUED:
        join_class(table, contact)
        schedule_wait(table, contact)
        return
    if state == _SCHEDULED:
        open_queues(table).scheduled[contacts.queue[contact]] += 1
        schedule_contact(table, contact, contacts.until_ms[contact])
        return
    if state == _DIVERTED:
        # When it ends, is for Python to see, which knows what it is to be told with.
        open_queues(table).diverted[contacts.queue[contact]] += 1
        return
    count_in_hand(table, contact, 1)
    hold_contact(table, contacts.agent[contact], contact)
    if state in (_OFFERED, _WRAP_UP):
        schedule_contact(table, contact, contacts.until_ms[contact])
