"""Commands on choices and on what was accepted: offer, accept, refuse, return, report."""

from typing import Final

from engine.choices import (
    CHANNEL_OF,
    DIVERTING,
    NO_RETURN_MS,
    AcceptChoice,
    Choice,
    Diversion,
    DiversionOutcome,
    OfferChoice,
    OpenChoice,
    Option,
    OptionKind,
    RefuseChoice,
    ReportDiversionOutcome,
    ReturnContact,
)
from engine.commands import Schedule
from engine.effects import EffectKind
from engine.handlers.closing import (
    close_choice,
    end_diversion,
    keep_steered,
    learn_acceptance,
    record,
)
from engine.handlers.outcome import Outcome, where_it_stands
from engine.handlers.running import open_contact_row, run
from engine.handlers.scheduling import request_schedule
from engine.kernels.columns import NOW_MS
from engine.kernels.requests import (
    IN_ATTEMPTS_MAX,
    IN_CLASS,
    IN_CONTACT,
    IN_DUE_MS,
    IN_REASON,
    IN_RETRY_MS,
    IN_ROW,
    IN_WINDOW_MS,
    OUT_STATE,
    Operation,
)
from engine.lifecycle import Channel, ContactState
from engine.limits import NEVER_MS
from engine.refusals import CommandRefused, Refusal, violation
from engine.state.cell import CellState
from engine.steering import Counted

# Effects recorded by hand in one command, beside those of its transition.
_OWN_EFFECTS: Final = 2
# Where a contact that accepted a callback can come back from.
_CALLED_BACK_LATER: Final = (ContactState.QUEUED, ContactState.OFFERED, ContactState.SCHEDULED)

_COUNTED: Final = {
    OptionKind.WAIT: Counted.ACCEPTED_WAIT,
    OptionKind.CALLBACK: Counted.ACCEPTED_CALLBACK,
    OptionKind.OTHER_CHANNEL: Counted.ACCEPTED_CHANNEL,
    OptionKind.SELF_SERVICE: Counted.ACCEPTED_SELF_SERVICE,
    OptionKind.OTHER_QUEUE: Counted.ACCEPTED_QUEUE,
}


def offer_choice(cell: CellState, command: OfferChoice) -> Outcome:
    """Lay a choice over a queued contact, or have it go on at once where it is forced."""
    row = open_contact_row(cell, command.contact_id)
    choice = command.choice
    require_customer_waits(cell, row, command.contact_id)
    if cell.choices.is_open(row):
        expected = "a contact without an open choice"
        refused = violation("contact_id", command.contact_id, expected)
        raise CommandRefused(Refusal.CHOICE_OPEN, refused)
    for place, option in enumerate(choice.options):
        if option.queue_id:
            cell.queue_row(option.queue_id, f"choice.options[{place}].queue_id")
    if choice.forced:
        return _go_on(cell, row, choice, 1)
    cell.make_effect_room(_OWN_EFFECTS)
    record(cell, EffectKind.CHOICE_OFFERED, row, len(choice.options), choice.text)
    until_ms = cell.store.scalar[NOW_MS] + choice.answer_within_ms
    steered = cell.contacts.said(row).steered._replace(choice=OpenChoice(choice, until_ms))
    keep_steered(cell, row, steered)
    return _read(cell, row)


def require_customer_waits(cell: CellState, row: int, contact_id: str) -> None:
    """See that a contact waits, and that it is a customer's; raises ILLEGAL_TRANSITION."""
    contacts = cell.store.columns.contacts
    state = ContactState(int(contacts.state[row]))
    if state is ContactState.QUEUED and contacts.consults_for[row] == -1:
        return
    found = "a consult" if state is ContactState.QUEUED else state.name
    refused = violation("contact_id", contact_id, f"a customer who waits; it is {found}")
    raise CommandRefused(Refusal.ILLEGAL_TRANSITION, refused)


def accept_choice(cell: CellState, command: AcceptChoice) -> Outcome:
    """Have a contact go on as an option of its open choice says."""
    row = open_contact_row(cell, command.contact_id, command.etag)
    choice = _open_choice(cell, row, command.contact_id)
    if command.option > len(choice.options):
        expected = f"1 to {len(choice.options)}, an option of the open choice"
        refused = violation("option", command.option, expected)
        raise CommandRefused(Refusal.INVALID_FIELD, refused)
    return _go_on(cell, row, choice, command.option)


def refuse_choice(cell: CellState, command: RefuseChoice) -> Outcome:
    """Close a contact's open choice; it stays in its place."""
    row = open_contact_row(cell, command.contact_id)
    _open_choice(cell, row, command.contact_id)
    close_choice(cell, row, EffectKind.CHOICE_REFUSED)
    return _read(cell, row)


def _open_choice(cell: CellState, row: int, contact_id: str) -> Choice:
    opened = cell.contacts.said(row).steered.choice
    if opened is None:
        expected = "a contact with an open choice; answered, timed out or lapsed ones are closed"
        refused = violation("contact_id", contact_id, expected)
        raise CommandRefused(Refusal.NO_OPEN_CHOICE, refused)
    return opened.choice


def _read(cell: CellState, row: int) -> Outcome:
    cell.run_on(Operation.READ_CONTACT, IN_CONTACT, row)
    return where_it_stands(cell, cell.contacts.slots.ids[row])


def _go_on(cell: CellState, row: int, choice: Choice, place: int) -> Outcome:
    """Do what an option says; whatever could be refused is asked for before anything is told."""
    option = choice.options[place - 1]
    steered = cell.contacts.said(row).steered
    class_row = _class_after(cell, row, option)
    diversion = _diversion(cell, row, choice, place) or steered.diversion
    cell.make_effect_room(_OWN_EFFECTS)
    if choice.forced:
        record(cell, EffectKind.CHOICE_OFFERED, row, len(choice.options), choice.text)
    record(cell, EffectKind.CHOICE_ACCEPTED, row, place, choice.text)
    cell.activations.count_named(choice.activation, _COUNTED[option.kind])
    if not choice.forced:
        learn_acceptance(cell, row, is_taken=option.kind is not OptionKind.WAIT)
    cell.choices.close(row)
    steered = steered._replace(choice=None)
    if option.kind is OptionKind.WAIT:
        keep_steered(cell, row, steered)
        return _read(cell, row)
    due_ms = NEVER_MS
    cell.store.request[IN_CONTACT] = row
    cell.store.request[IN_CLASS] = class_row
    if option.kind is OptionKind.OTHER_QUEUE:
        run(cell, Operation.REQUEUE)
    elif option.kind is OptionKind.CALLBACK:
        _request_callback(cell, option.within_ms)
        run(cell, Operation.SCHEDULE)
    else:
        due_ms = cell.store.scalar[NOW_MS] + (choice.return_within_ms or NO_RETURN_MS)
        _request_diversion(cell, due_ms, place, choice.text)
        run(cell, Operation.DIVERT)
    outcome = where_it_stands(cell, cell.contacts.slots.ids[row])
    if option.queue_id and option.kind not in DIVERTING:
        cell.choices.count_move(option.queue_id)
    steered = steered._replace(diversion=diversion, hops=steered.hops + 1)
    keep_steered(cell, row, steered, due_ms)
    return outcome


def _class_after(cell: CellState, row: int, option: Option) -> int:
    """Class a contact waits in after an option; its own where it waits on or is diverted."""
    old_class = int(cell.store.columns.contacts.class_row[row])
    if option.kind not in (OptionKind.CALLBACK, OptionKind.OTHER_QUEUE):
        return old_class
    channel = Channel(int(cell.store.columns.classes.channel[old_class]))
    return _class_in(cell, row, option.queue_id, CHANNEL_OF.get(option.kind, channel))


def _class_in(cell: CellState, row: int, queue_id: str, channel: Channel) -> int:
    """Class of a contact in another queue, "" for its own, on a channel."""
    contacts, classes = cell.store.columns.contacts, cell.store.columns.classes
    old_class = int(contacts.class_row[row])
    return cell.classes.row_of(
        cell.queue_row(queue_id) if queue_id else int(classes.queue[old_class]),
        cell.classes.requirements_of(old_class),
        channel,
        int(classes.priority[old_class]),
        cell.contacts.steps_to_come(row, cell.contacts.said(row)),
        fell_back=bool(contacts.fell_back[row]),
    )


def _diversion(cell: CellState, row: int, choice: Choice, place: int) -> Diversion | None:
    """Where a contact goes on from which it may come back, None for where it may not."""
    option = choice.options[place - 1]
    if option.kind not in (OptionKind.CALLBACK, *DIVERTING):
        return None
    before = cell.contacts.said(row).steered.diversion
    contacts = cell.store.columns.contacts
    now_ms = cell.store.scalar[NOW_MS]
    queue_id = cell.queues.slots.ids[int(contacts.queue[row])]
    return Diversion(
        choice.policy,
        choice.version,
        choice.activation,
        option.kind,
        place,
        option.queue_id or queue_id,
        option.channel or CHANNEL_OF[option.kind],
        before.from_queue_id if before else queue_id,
        before.from_channel if before else Channel(int(contacts.channel[row])),
        now_ms,
        now_ms + choice.return_within_ms if choice.return_within_ms else 0,
    )


def _request_callback(cell: CellState, within_ms: int) -> None:
    ends_ms = cell.store.scalar[NOW_MS] + within_ms if within_ms else 0
    request_schedule(cell, Schedule(window_ends_at_ms=ends_ms))


def _request_diversion(cell: CellState, due_ms: int, place: int, text: str) -> None:
    request = cell.store.request
    request[IN_DUE_MS] = due_ms
    request[IN_ROW] = place
    request[IN_REASON] = cell.agents.reason_code(text)


def return_contact(cell: CellState, command: ReturnContact) -> Outcome:
    """Have a contact wait again on its first channel, with the age it has."""
    # An ended one as well, for it may be told why it comes too late.
    row = cell.contact_row(command.contact_id)
    cell.crossings.require_none(command.contact_id)
    steered = cell.contacts.said(row).steered
    diversion = _require_return(cell, row, command.contact_id, steered.diversion)
    queue_id = command.queue_id or diversion.from_queue_id
    class_row = _class_in(cell, row, queue_id, diversion.from_channel)
    cell.make_effect_room(_OWN_EFFECTS)
    record(cell, EffectKind.CONTACT_RETURNED, row, diversion.option, diversion.text)
    cell.activations.count_named(diversion.activation, Counted.RETURNED)
    request = cell.store.request
    request[IN_CLASS] = class_row
    if cell.store.columns.contacts.state[row] == ContactState.DIVERTED:
        run(cell, Operation.RETURN)
    else:
        # Now, for as long as others wait, and tried no more.
        request[IN_DUE_MS] = request[IN_WINDOW_MS] = 0
        request[IN_ATTEMPTS_MAX] = request[IN_RETRY_MS] = 0
        run(cell, Operation.SCHEDULE)
    outcome = where_it_stands(cell, command.contact_id)
    steered = steered._replace(diversion=None, returns=steered.returns + 1)
    keep_steered(cell, row, steered)
    return outcome


def _require_return(
    cell: CellState, row: int, contact_id: str, diversion: Diversion | None
) -> Diversion:
    """
    Diversion that a contact can come back from.

    Raises
    ------
    CommandRefused
        ILLEGAL_TRANSITION or RETURN_WINDOW_OVER.
    """
    state = ContactState(int(cell.store.columns.contacts.state[row]))
    if diversion is None or not _is_away(state, diversion):
        expected = f"one that is diverted, or waits to be called back; it is {state.name}"
        refused = violation("contact_id", contact_id, expected)
        raise CommandRefused(Refusal.ILLEGAL_TRANSITION, refused)
    now_ms = cell.store.scalar[NOW_MS]
    if now_ms >= diversion.return_until_ms:
        until_ms = diversion.return_until_ms
        allowed = f"one that came back before {until_ms}; it is {now_ms}"
        expected = allowed if until_ms else "one whose choice let it come back"
        refused = violation("contact_id", contact_id, expected)
        raise CommandRefused(Refusal.RETURN_WINDOW_OVER, refused)
    return diversion


def _is_away(state: ContactState, diversion: Diversion) -> bool:
    """Whether a contact is where it can come back from, or was until its time there was over."""
    if diversion.kind is OptionKind.CALLBACK:
        return state in _CALLED_BACK_LATER
    return state is ContactState.DIVERTED or diversion.outcome == DiversionOutcome.NOT_REPORTED


def report_outcome(cell: CellState, command: ReportDiversionOutcome) -> Outcome:
    """End a diverted contact."""
    row = open_contact_row(cell, command.contact_id)
    cell.crossings.require_none(command.contact_id)
    state = ContactState(int(cell.store.columns.contacts.state[row]))
    if state is not ContactState.DIVERTED:
        expected = f"a contact that is diverted; it is {state.name}"
        refused = violation("contact_id", command.contact_id, expected)
        raise CommandRefused(Refusal.ILLEGAL_TRANSITION, refused)
    end_diversion(cell, row, command.outcome)
    return Outcome(state=cell.store.outcome[OUT_STATE], contact_id=command.contact_id)
