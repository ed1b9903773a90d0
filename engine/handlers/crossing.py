"""Commands on contacts that cross to another cell: sent, received, settled; and what is brought."""

from typing import Final

from engine.choices import Diversion, DiversionOutcome, OptionKind, Steered
from engine.commands import CancelContact, Route, Schedule
from engine.crossing import (
    Crossing,
    CrossingAnswer,
    NameOrigin,
    RecallContact,
    ReceiveContact,
    Sender,
    SettleCrossing,
)
from engine.effects import EffectKind
from engine.handlers.choices import require_customer_waits
from engine.handlers.closing import end_diversion, keep_steered, record
from engine.handlers.contacts import cancel, take_in
from engine.handlers.outcome import Outcome, where_it_stands
from engine.handlers.running import run
from engine.kernels.columns import NOW_MS
from engine.kernels.requests import (
    IN_CLASS,
    IN_CONTACT,
    IN_DUE_MS,
    IN_REASON,
    IN_ROW,
    Operation,
)
from engine.lifecycle import (
    HAS_ENDED,
    CancelReason,
    Channel,
    ContactState,
    Intake,
    RejectionReason,
)
from engine.limits import FORTNIGHT_MS, NEVER_MS
from engine.refusals import CommandRefused, Refusal, violation
from engine.routing.validation import validate
from engine.state.activations import Activation
from engine.state.cell import CellState
from engine.state.contacts import asked_after
from engine.steering import Counted

# Looked up once: an enum's members are slow to reach.
_FREE: Final = int(ContactState.FREE)
_REJECTED: Final = int(ContactState.REJECTED)
_CANCELLABLE: Final = (
    ContactState.QUEUED,
    ContactState.OFFERED,
    ContactState.SCHEDULED,
    ContactState.DIVERTED,
)
# Effects recorded by hand in one command, beside those of its transition.
_OWN_EFFECTS: Final = 1


def send(cell: CellState, row: int, to_cell: str, queue_id: str, activation: Activation) -> Outcome:
    """
    Have a queued contact leave for a queue of another cell.

    Raises
    ------
    CommandRefused
        It does not wait, or too many are on their way; nothing changed.
    """
    contact_id = cell.contacts.slots.ids[row]
    require_customer_waits(cell, row, contact_id)
    contacts = cell.store.columns.contacts
    now_ms = cell.store.scalar[NOW_MS]
    subject = activation.subject
    diversion = Diversion(
        subject.policy,
        subject.version,
        activation.name,
        OptionKind.OTHER_CELL,
        0,
        queue_id,
        Channel(int(contacts.channel[row])),
        cell.queues.slots.ids[int(contacts.queue[row])],
        Channel(int(contacts.channel[row])),
        now_ms,
        0,
        cell=to_cell,
    )
    cell.crossings.begin(to_cell, queue_id, contact_id, now_ms)
    request = cell.store.request
    request[IN_CONTACT] = row
    request[IN_DUE_MS] = NEVER_MS
    request[IN_ROW] = 0
    request[IN_REASON] = cell.agents.reason_code(diversion.text)
    run(cell, Operation.DIVERT)
    outcome = where_it_stands(cell, contact_id)
    steered = cell.contacts.said(row).steered
    keep_steered(cell, row, steered._replace(diversion=diversion, hops=steered.hops + 1))
    return outcome


def settle(cell: CellState, command: SettleCrossing) -> Outcome:
    """End a contact that has crossed, or have one that was refused wait again in its place."""
    crossing = cell.crossings.find(command.number)
    if crossing is None or command.answer is CrossingAnswer.FORGOTTEN:
        # Of what was settled and is asked again, nobody knows but who looks: it stays open.
        return Outcome()
    if crossing.has_left and command.answer is CrossingAnswer.TAKEN and not command.knew:
        # Its customer left while the answer was on its way: the receiving cell is still to know.
        return Outcome(contact_id=crossing.contact_id)
    cell.crossings.settle(command.number)
    if crossing.has_left:
        return Outcome(contact_id=crossing.contact_id)
    row = cell.contact_row(crossing.contact_id)
    if command.answer is CrossingAnswer.TAKEN:
        end_diversion(cell, row, DiversionOutcome.CONTINUED)
        return Outcome(state=ContactState.COMPLETED, contact_id=crossing.contact_id)
    return _come_back(cell, row)


def _come_back(cell: CellState, row: int) -> Outcome:
    """Have a contact wait again that its cell never let go of, as old as if it had not left."""
    contacts = cell.store.columns.contacts
    steered = cell.contacts.said(row).steered
    diversion = steered.diversion
    assert diversion is not None
    cell.make_effect_room(_OWN_EFFECTS)
    record(cell, EffectKind.CONTACT_RETURNED, row, diversion.option, diversion.text)
    cell.activations.count_named(diversion.activation, Counted.FAILED)
    # Age stands still for those who are away; this one has waited on.
    contacts.since_ms[row] -= cell.store.scalar[NOW_MS] - contacts.queued_ms[row]
    request = cell.store.request
    request[IN_CONTACT] = row
    request[IN_CLASS] = contacts.class_row[row]
    run(cell, Operation.RETURN)
    outcome = where_it_stands(cell, cell.contacts.slots.ids[row])
    keep_steered(cell, row, steered._replace(diversion=None, hops=max(steered.hops - 1, 0)))
    return outcome


def receive(cell: CellState, command: ReceiveContact) -> Outcome:
    """
    Take a contact in that crosses to this cell, or not; what was said of it before is said again.

    What keeps it out is no error of the caller's: it is the answer, and kept.
    """
    outcome = Outcome(contact_id=command.contact.contact_id)
    if not _was_answered(cell, command, outcome.contact_id):
        outcome = _taken_in(cell, command)
        is_in = outcome.state not in (_FREE, _REJECTED)
        answer = CrossingAnswer.TAKEN if is_in else CrossingAnswer.REFUSED
        cell.received.keep(command.sender, command.number, answer, outcome.contact_id)
    cell.received.settle(command.sender, command.settled_below, cell.store.scalar[NOW_MS])
    return outcome


def recall(cell: CellState, command: RecallContact) -> Outcome:
    """Have a crossing that was not taken yet never be taken."""
    sender, number, contact_id = command.sender, command.number, command.contact_id
    if not _was_answered(cell, command, contact_id):
        cell.received.keep(sender, number, CrossingAnswer.REFUSED, contact_id)
    elif command.left and cell.received.find(sender, number) is CrossingAnswer.TAKEN:
        _end(cell, command)
    cell.received.settle(sender, command.settled_below, cell.store.scalar[NOW_MS])
    return Outcome(contact_id=contact_id)


def _was_answered(
    cell: CellState, command: ReceiveContact | RecallContact, contact_id: str
) -> bool:
    """Whether something was said of a crossing; raises CommandRefused where nothing may be."""
    cell.received.require_room(command.sender, command.number, contact_id)
    return cell.received.find(command.sender, command.number) is not None


def name_origin(cell: CellState, command: NameOrigin) -> Outcome:
    """Give the numbers of this cell's crossings their name."""
    cell.crossings.name(command.origin)
    return Outcome()


def _taken_in(cell: CellState, command: ReceiveContact) -> Outcome:
    """Take a contact in; without a state where that is refused."""
    contact_id = command.contact.contact_id
    row = cell.contacts.slots.row_of(contact_id)
    try:
        if row >= 0 and cell.store.columns.contacts.state[row] != _FREE:
            refused = violation("contact_id", contact_id, "an id that this cell does not know")
            raise CommandRefused(Refusal.CONTACT_EXISTS, refused)
        validate(command.contact)
        if (rejection := _turned_away(cell, command.contact)) is not RejectionReason.NONE:
            return Outcome(state=_REJECTED, contact_id=contact_id, rejection=rejection)
        outcome = take_in(cell, command.contact, row)
    except CommandRefused as refusal:
        return Outcome(contact_id=contact_id, refusal=refusal.reason)
    if outcome.state != _REJECTED:
        row = cell.contacts.slots.row_of(contact_id)
        cell.choices.count_move(command.contact.queue_id)
        keep_steered(cell, row, Steered(hops=command.hops, from_cell=command.sender.cell))
    return outcome


def _turned_away(cell: CellState, contact: Route) -> RejectionReason:
    """
    Why a contact would be rejected at the door, NONE where it may be let in.

    It never came here, so that nothing is to be told or counted of it.
    """
    queues, queue = cell.store.columns.queues, cell.queue_row(contact.queue_id)
    if queues.fallback[queue] >= 0:
        return RejectionReason.NONE
    if queues.intake[queue] == Intake.CLOSED:
        return RejectionReason.QUEUE_CLOSED
    if queues.closed_for[queue] > 0:
        return RejectionReason(int(queues.closed_for[queue]))
    is_full = 0 < queues.max_length[queue] <= queues.waiting[queue]
    return RejectionReason.QUEUE_FULL if is_full else RejectionReason.NONE


def _end(cell: CellState, command: RecallContact) -> None:
    """End a contact whose customer left while it crossed, unless an agent has it already."""
    row = cell.contacts.slots.row_of(command.contact_id)
    if row < 0 or cell.contacts.said(row).steered.from_cell != command.sender.cell:
        return
    if int(cell.store.columns.contacts.state[row]) in _CANCELLABLE:
        cancel(cell, CancelContact(command.contact_id, CancelReason(command.left)))


def to_bring(
    cell: CellState, crossing: Crossing, from_cell: str, now_ms: int, *, recalls: bool = False
) -> ReceiveContact | RecallContact:
    """What the receiving cell is asked as of `now_ms`; it is recalled where its customer left."""
    settled_below = cell.crossings.settled_below(crossing.cell)
    asked = Sender(from_cell, cell.crossings.origin), crossing.number, settled_below
    if recalls or crossing.has_left:
        left = CancelReason(crossing.left) if crossing.left else 0
        return RecallContact(*asked, crossing.contact_id, left)
    row = cell.contact_row(crossing.contact_id)
    contacts = cell.store.columns.contacts
    said = cell.contacts.said(row)
    own_max_ms = int(contacts.max_wait_ms[row])
    contact = Route(
        crossing.contact_id,
        crossing.queue_id,
        Channel(int(contacts.channel[row])),
        int(contacts.priority[row]),
        asked_after(said, int(contacts.relaxed[row])),
        said.attributes,
        routing_age_ms=min(max(now_ms - int(contacts.since_ms[row]), 0), FORTNIGHT_MS),
        max_wait_ms=-1 if own_max_ms >= NEVER_MS else own_max_ms,
        relaxation=cell.contacts.steps_to_come(row, said),
        schedule=_schedule(cell, row),
    )
    return ReceiveContact(*asked, contact, said.steered.hops)


def _schedule(cell: CellState, row: int) -> Schedule | None:
    """Window and attempts that are left of a contact that has any."""
    contacts = cell.store.columns.contacts
    if not (contacts.attempts_max[row] or contacts.window_ms[row]):
        return None
    left = max(int(contacts.attempts_max[row] - contacts.attempts[row]), 1)
    return Schedule(0, int(contacts.window_ms[row]), left, int(contacts.retry_ms[row]))


assert all(not HAS_ENDED[state] for state in _CANCELLABLE)
