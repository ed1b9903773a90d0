"""
Contacts that are to be dealt with later: at a time, within a window, when they are tried again, or
when their customer comes back from elsewhere.

A scheduled or diverted contact stands in no class and no agent holds it. Its routing age stands
still: it joins its queue with the age it had, so that it neither loses what it has waited nor
overtakes those who waited meanwhile.
"""

from engine.effects import EffectKind
from engine.kernels.boundary import Table, open_cell, open_contacts, open_queues
from engine.kernels.columns import NOW_MS
from engine.kernels.compilation import kernel
from engine.kernels.consulting import remember_agent
from engine.kernels.deadlines import schedule_contact
from engine.kernels.joining import start_wait
from engine.kernels.recording import mark_queue, record_contact
from engine.kernels.requests import IN_ATTEMPTS_MAX, IN_RETRY_MS, IN_WINDOW_MS
from engine.lifecycle import ContactState
from engine.limits import NEVER_MS, RETRY_DELAY_MS_MAX

_SCHEDULED = int(ContactState.SCHEDULED)
_DIVERTED = int(ContactState.DIVERTED)
_CONTACT_SCHEDULED = int(EffectKind.CONTACT_SCHEDULED)


@kernel
def set_schedule(table: Table, contact: int) -> None:
    """Take over what the request says of a contact's window and attempts. O(1)."""
    contacts = open_contacts(table)
    request = open_cell(table).request
    contacts.window_ms[contact] = request[IN_WINDOW_MS]
    contacts.attempts[contact] = 0
    contacts.attempts_max[contact] = request[IN_ATTEMPTS_MAX]
    contacts.retry_ms[contact] = request[IN_RETRY_MS]


@kernel
def back_off_ms(table: Table, contact: int) -> int:
    """
    Pause before a contact's next attempt: its first delay, doubled with every further attempt, at
    most RETRY_DELAY_MS_MAX. O(attempts).
    """
    contacts = open_contacts(table)
    delay_ms = contacts.retry_ms[contact]
    for _ in range(1, contacts.attempts[contact]):
        delay_ms = min(2 * delay_ms, RETRY_DELAY_MS_MAX)
    return delay_ms


@kernel
def postpone(table: Table, contact: int, due_ms: int, reason: int) -> None:
    """Schedule a contact that neither waits nor is held. O(log contacts)."""
    contacts = open_contacts(table)
    remember_agent(table, contact)
    contacts.agent[contact] = -1
    # Age runs on from here once it is due.
    start_wait(table, contact)
    contacts.state[contact] = _SCHEDULED
    contacts.until_ms[contact] = due_ms
    open_queues(table).scheduled[contacts.queue[contact]] += 1
    mark_queue(table, contacts.queue[contact])
    schedule_contact(table, contact, due_ms)
    record_contact(table, _CONTACT_SCHEDULED, contact, due_ms, reason)


@kernel
def put_aside(table: Table, contact: int, until_ms: int) -> None:
    """
    Divert a contact that neither waits nor is held. Who commands the kernels sees to it that it
    ends at `until_ms`. O(log contacts).
    """
    contacts = open_contacts(table)
    contacts.agent[contact] = -1
    # Age runs on from here once it is back.
    start_wait(table, contact)
    contacts.state[contact] = _DIVERTED
    contacts.until_ms[contact] = until_ms
    open_queues(table).diverted[contacts.queue[contact]] += 1
    mark_queue(table, contacts.queue[contact])
    schedule_contact(table, contact, NEVER_MS)


@kernel
def unschedule(table: Table, contact: int) -> None:
    """
    Take a scheduled or diverted contact up again, which from then on neither waits nor is held.

    O(1).
    """
    contacts = open_contacts(table)
    queues = open_queues(table)
    is_diverted = contacts.state[contact] == _DIVERTED
    if is_diverted:
        queues.diverted[contacts.queue[contact]] -= 1
    else:
        queues.scheduled[contacts.queue[contact]] -= 1
    mark_queue(table, contacts.queue[contact])
    stood_still_ms = open_cell(table).scalar[NOW_MS] - contacts.queued_ms[contact]
    contacts.since_ms[contact] += stood_still_ms
    start_wait(table, contact)
    if not is_diverted and 0 < contacts.window_ms[contact] <= contacts.queued_ms[contact]:
        # The engine was down while it was due.
        contacts.expires_ms[contact] = contacts.window_ms[contact]
