"""How choices and diversions end: answered, in silence, with the contact, or reported."""

from typing import Final

from engine.choices import DiversionOutcome, Steered
from engine.effects import EffectColumn, EffectKind
from engine.handlers.running import run
from engine.kernels.columns import EFFECT_COUNT, NOW_MS
from engine.kernels.requests import IN_CONTACT, IN_REASON, IN_ROW, IN_VALUE, Operation
from engine.lifecycle import ContactState
from engine.limits import EFFECTS_PER_CALL, NEVER_MS
from engine.state.cell import CellState
from engine.steering import Counted

# Looked up once: an enum's members are slow to reach.
_DIVERTED: Final = int(ContactState.DIVERTED)
# Effects with which a contact leaves the place its choice lies over.
_ENDS: Final = frozenset({
    int(EffectKind.CONTACT_COMPLETED),
    int(EffectKind.CONTACT_ABANDONED),
    int(EffectKind.CONTACT_EXPIRED),
    int(EffectKind.CONTACT_CANCELLED),
})  # fmt: skip
_LEAVES: Final = _ENDS | {int(EffectKind.CONTACT_ASSIGNED), int(EffectKind.CONTACT_SCHEDULED)}
_COUNTED: Final = {
    EffectKind.CHOICE_REFUSED: Counted.REFUSED,
    EffectKind.CHOICE_UNANSWERED: Counted.UNANSWERED,
    EffectKind.CHOICE_LAPSED: Counted.LAPSED,
}
_COLUMNS: Final = [EffectColumn.KIND, EffectColumn.CONTACT]


def record(cell: CellState, kind: EffectKind, row: int, detail: int, text: str) -> None:
    """Tell of a contact's choice or diversion; there is room for the effect."""
    request = cell.store.request
    request[IN_VALUE] = kind
    request[IN_ROW] = detail
    request[IN_REASON] = cell.agents.reason_code(text)
    cell.run_on(Operation.RECORD_CONTACT, IN_CONTACT, row)


def keep_steered(cell: CellState, row: int, steered: Steered, due_ms: int = NEVER_MS) -> None:
    """
    Keep what policies made of a contact, whose row the open commit group writes.

    `due_ms` is when a diversion is over; an open choice is due when it says so itself.
    """
    if steered.choice is not None:
        due_ms = steered.choice.until_ms
    cell.contacts.write(row, cell.contacts.said(row)._replace(steered=steered))
    cell.choices.keep(row, steered, due_ms)


def close_choice(cell: CellState, row: int, kind: EffectKind) -> None:
    """Close a contact's open choice, which was not accepted."""
    steered = cell.contacts.said(row).steered
    assert steered.choice is not None
    choice = steered.choice.choice
    cell.make_effect_room(1)
    record(cell, kind, row, 0, choice.text)
    cell.activations.count_named(choice.activation, _COUNTED[kind])
    if kind is not EffectKind.CHOICE_LAPSED:
        learn_acceptance(cell, row, is_taken=False)
    keep_steered(cell, row, steered._replace(choice=None))


def learn_acceptance(cell: CellState, row: int, *, is_taken: bool) -> None:
    """Learn from a customer's answer, before the contact moves."""
    contacts = cell.store.columns.contacts
    queue_id = cell.queues.slots.ids[int(contacts.queue[row])]
    wait_ms = cell.store.scalar[NOW_MS] - int(contacts.queued_ms[row])
    cell.acceptance.learn(queue_id, int(contacts.channel[row]), wait_ms, is_taken=is_taken)


def end_diversion(cell: CellState, row: int, outcome: DiversionOutcome) -> None:
    """End a diverted contact."""
    steered = cell.contacts.said(row).steered
    assert steered.diversion is not None
    cell.make_effect_room()
    request = cell.store.request
    request[IN_CONTACT] = row
    request[IN_VALUE] = outcome
    request[IN_REASON] = cell.agents.reason_code(steered.diversion.text)
    run(cell, Operation.END_DIVERSION)
    cell.activations.count_named(steered.diversion.activation, Counted[outcome.name])
    diversion = steered.diversion._replace(outcome=outcome)
    keep_steered(cell, row, steered._replace(diversion=diversion))


def close_due(cell: CellState) -> None:
    """
    Close the choices nobody answered in time, and end the diversions nobody reported on.

    Many leave the rest due at once, so that no call is long.
    """
    began = cell.store.scalar[EFFECT_COUNT]
    state = cell.store.columns.contacts.state
    for row in cell.choices.due(cell.store.scalar[NOW_MS], EFFECTS_PER_CALL):
        if cell.choices.is_open(row):
            close_choice(cell, row, EffectKind.CHOICE_UNANSWERED)
        elif state[row] == _DIVERTED:
            end_diversion(cell, row, DiversionOutcome.NOT_REPORTED)
    close_left(cell, began)


def close_left(cell: CellState, began: int) -> None:
    """
    Close the choices of contacts that an agent took, that ended or were put off since there were
    `began` effects; and forget the diversions that ended.
    """
    if not cell.choices:
        return
    count = cell.store.scalar[EFFECT_COUNT]
    records = cell.store.columns.cell.effects[began:count, _COLUMNS].tolist()
    for kind, row in records:
        if kind not in _LEAVES:
            continue
        if cell.choices.is_open(row):
            close_choice(cell, row, EffectKind.CHOICE_LAPSED)
        elif kind in _ENDS:
            cell.choices.close(row)
