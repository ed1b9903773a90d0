"""What deeds on a simulated floor come down to: a request to the cell, and when to act next."""

from engine.kernels.boundary import Table, open_cell, open_contacts
from engine.kernels.columns import NOW_MS
from engine.kernels.compilation import kernel
from engine.kernels.deadlines import reschedule
from engine.kernels.floor_columns import CONTACT_HEAP, NOW, open_floor_contacts, open_run
from engine.kernels.requests import IN_AGENT, IN_CONTACT, IN_OPERATION
from engine.kernels.transitions import apply_request
from engine.limits import NEVER_MS


@kernel
def run_operation(table: Table, floor: Table, operation: int) -> None:
    """Have the cell run a request at the floor's time. As the transition."""
    cell = open_cell(table)
    cell.scalar[NOW_MS] = open_run(floor).scalar[NOW]
    cell.request[IN_OPERATION] = operation
    apply_request(table)


@kernel
def request_agent(table: Table, contact: int) -> None:
    """Name the contact and its agent in the request. O(1)."""
    request = open_cell(table).request
    request[IN_CONTACT] = contact
    request[IN_AGENT] = open_contacts(table).agent[contact]


@kernel
def schedule(floor: Table, contact: int, due_ms: int) -> None:
    """Set when the floor next does something for a contact; NEVER_MS for not. O(log contacts)."""
    contacts = open_floor_contacts(floor)
    scalar = open_run(floor).scalar
    contacts.due_ms[contact] = due_ms
    scalar[CONTACT_HEAP] = reschedule(
        contacts.heap, contacts.heap_position, contacts.due_ms, scalar[CONTACT_HEAP], contact
    )


@kernel
def draws_of(floor: Table, contact: int) -> int:
    """Number that the draws of a contact's present attempt belong to. O(1)."""
    contacts = open_floor_contacts(floor)
    return numbered(contacts.number[contact], contacts.attempt[contact])


@kernel
def numbered(number: int, time: int) -> int:
    """Number of what happens to `number` for the `time`-th time, 0 the first. O(1)."""
    return number + (time << 40)


@kernel
def rounded(now_ms: int, duration_ms: float) -> int:
    """Time a duration from now, to the millisecond; NEVER_MS for one without end. O(1)."""
    if not duration_ms < NEVER_MS:
        return NEVER_MS
    return now_ms + int(duration_ms + 0.5)
