"""A cell from the rows of the log: what was not kept is derived, what is damaged is refused."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.choices import NOT_STEERED, Steered
from engine.commands import Requirements
from engine.effects import FIRST_TEXT_REASON
from engine.kernels.columns import (
    FIRST_DECISION,
    FREE_OFFER,
    NEXT_CONTACT,
    NEXT_OFFER,
    NOW_MS,
    OFFER_ROWS_USED,
)
from engine.kernels.packing import (
    AGENT_WIDTH,
    CONTACT_WIDTH,
    ESTIMATE_WIDTH,
    OFFER_WIDTH,
    QUEUE_WIDTH,
    unpack_rows,
)
from engine.kernels.requests import IN_AGENT, IN_CONTACT, IN_ROW, Operation
from engine.lifecycle import HAS_ENDED, HELD_STATES, Channel, ContactState
from engine.limits import ESTIMATE_MEMORY, NEVER_MS
from engine.state import agents as agent_rows
from engine.state import contacts as contact_rows
from engine.state import queues as queue_rows
from engine.state.cell import CellState
from engine.state.deltas import CELL_WIDTH
from engine.state.rows import DamagedRow, RowDelta, RowTable

_UNPACKED_TOGETHER: Final = 1_024
_WIDTHS: Final = {
    RowTable.CELL: CELL_WIDTH,
    RowTable.QUEUE: QUEUE_WIDTH,
    RowTable.AGENT: AGENT_WIDTH,
    RowTable.CONTACT: CONTACT_WIDTH,
    RowTable.ESTIMATES: ESTIMATE_WIDTH,
    RowTable.OFFER: OFFER_WIDTH,
}
# Widths of older versions, which wrote the same columns in the same order and then no more.
_OLDER_WIDTHS: Final = {
    RowTable.CELL: (3,),
    RowTable.QUEUE: (15, 17, 24),
    RowTable.AGENT: (8,),
    RowTable.CONTACT: (36,),
}


def load_rows(cell: CellState, rows: Sequence[RowDelta]) -> None:
    """
    Fill an empty cell from its durable rows.

    Deadlines that have passed come due with the next command.

    Raises
    ------
    DamagedRow
        A row cannot be one that a cell wrote.
    """
    by_table: dict[RowTable, list[RowDelta]] = {table: [] for table in RowTable}
    for delta in rows:
        by_table[delta.table].append(delta)
    # The time first: it tells delays that have run out from those that have not.
    for now_ms, next_contact, next_offer, next_decision in _records(
        RowTable.CELL, by_table[RowTable.CELL]
    ):
        cell.store.scalar[NOW_MS] = int(now_ms)
        cell.store.scalar[NEXT_CONTACT] = int(next_contact)
        cell.store.scalar[NEXT_OFFER] = int(next_offer)
        cell.store.scalar[FIRST_DECISION] = max(1, int(next_decision))
    _load_queues(cell, by_table[RowTable.QUEUE])
    _load_agents(cell, by_table[RowTable.AGENT])
    _load_estimates(cell, by_table[RowTable.ESTIMATES])
    _load_contacts(cell, by_table[RowTable.CONTACT])
    _load_offers(cell, by_table[RowTable.OFFER])
    _restore(cell.plans, by_table[RowTable.PLAN])
    _restore(cell.policies, by_table[RowTable.POLICY])
    _restore(cell.activations, by_table[RowTable.ACTIVATION])
    _restore(cell.acceptance, by_table[RowTable.ACCEPTANCE])
    _restore(cell.crossings, by_table[RowTable.CROSSING])
    _restore(cell.received, by_table[RowTable.RECEIVED])
    cell.received.restored()
    cell.crossings.after(cell.store.scalar[NOW_MS])
    _check_crossings(cell)
    if (broken := cell.policies.broken()) is not None:
        raise DamagedRow(f"policy {broken!r}: a row of it is missing")


class _Values(Protocol):
    """Rows that are values as a whole, without columns."""

    def restore(self, delta: RowDelta) -> None:
        """Take one row of the log."""
        ...


def _restore(subject: _Values, deltas: Sequence[RowDelta]) -> None:
    for delta in deltas:
        with _naming(delta):
            subject.restore(delta)


def _check_crossings(cell: CellState) -> None:
    """Refuse a crossing without its contact, and a contact that crosses without its crossing."""
    contacts = cell.store.columns.contacts
    crossing = {item.contact_id for item in cell.crossings.open() if not item.has_left}
    for row in np.flatnonzero(contacts.state == ContactState.DIVERTED).tolist():
        diversion = cell.contacts.said(row).steered.diversion
        contact_id = cell.contacts.slots.ids[row]
        if (diversion is not None and diversion.cell != "") != (contact_id in crossing):
            raise DamagedRow(f"contact {contact_id!r}, row {row}: it and its crossing disagree")
        crossing.discard(contact_id)
    if crossing:
        raise DamagedRow(f"crossing of {min(crossing)!r}: the contact is not on its way")


def _load_queues(cell: CellState, deltas: Sequence[RowDelta]) -> None:
    queues = cell.queues
    queues.slots.place_all([(delta.row, delta.external_id) for delta in deltas])
    for delta in deltas:
        with _naming(delta):
            definition = queue_rows.definition_of(delta.payload or b"")
        queues.write(delta.row, definition)
        cell.hours.set(delta.row, definition.hours)
        fallback_row = queues.slots.row_of(definition.fallback_queue_id)
        cell.store.columns.queues.fallback[delta.row] = fallback_row
    _unpack(cell, RowTable.QUEUE, deltas)
    queues.payload_is_new.clear()


def _load_agents(cell: CellState, deltas: Sequence[RowDelta]) -> None:
    agents = cell.agents
    agents.slots.place_all([(delta.row, delta.external_id) for delta in deltas])
    reasons = []
    for delta in deltas:
        with _naming(delta):
            definition, reason = agent_rows.definition_of(delta.payload or b"")
        cell.require_names_of(definition)
        served = [cell.queues.slots.row_of(queue_id) for queue_id in definition.queue_ids]
        agents.write(delta.row, definition, served)
        agents.keep_payload(delta.row, delta.payload or b"")
        reasons.append(reason)
    _unpack(cell, RowTable.AGENT, deltas)
    presence_reason = cell.store.columns.agents.presence_reason
    for delta, reason in zip(deltas, reasons, strict=True):
        if presence_reason[delta.row] >= FIRST_TEXT_REASON:
            presence_reason[delta.row] = agents.reason_code(reason)
        cell.run_on(Operation.RESTORE_AGENT, IN_AGENT, delta.row)
    agents.payload_is_new.clear()


def _load_estimates(cell: CellState, deltas: Sequence[RowDelta]) -> None:
    """Read what was learned of agents; of agents and queues that are there."""
    rows = _unpack(cell, RowTable.ESTIMATES, deltas)
    estimates = cell.store.columns.estimates
    is_sound = np.isin(rows, cell.agents.slots.rows())
    is_sound &= np.isin(estimates.queue[rows], [-1, *cell.queues.slots.rows()]).all(axis=1)
    for column in (estimates.handled, estimates.rated):
        is_sound &= ((column[rows] >= 0) & (column[rows] <= ESTIMATE_MEMORY)).all(axis=1)
    if not is_sound.all():
        message = f"{_name(deltas[int(np.argmin(is_sound))])}: agent, queue or count"
        raise DamagedRow(message)


def _load_contacts(cell: CellState, deltas: Sequence[RowDelta]) -> None:
    cell.contacts.slots.place_all([(delta.row, delta.external_id) for delta in deltas])
    cell.contacts.keep_payloads((delta.row, delta.payload or b"") for delta in deltas)
    rows = _unpack(cell, RowTable.CONTACT, deltas)
    _check_references(cell, rows)
    contacts = cell.store.columns.contacts
    for place in np.flatnonzero(contacts.relaxed[rows]).tolist():
        _check_steps(cell, deltas[place])
    is_ended = HAS_ENDED[contacts.state[rows]]
    contacts.class_row[rows] = -1
    _load_classes(cell, [deltas[place] for place in np.flatnonzero(~is_ended).tolist()])
    age = np.where(is_ended, contacts.ended_ms[rows], contacts.since_ms[rows])
    in_order = rows[np.lexsort((contacts.sequence[rows], age))].tolist()
    cell.run_on_each(Operation.RESTORE_CONTACT, IN_CONTACT, in_order)


def _load_offers(cell: CellState, deltas: Sequence[RowDelta]) -> None:
    """Link the further offers of contacts that are offered to agents who are there."""
    if not deltas:
        return
    highest = max(delta.row for delta in deltas)
    cell.store.require_loaded("offers", highest + 1)
    rows = _unpack(cell, RowTable.OFFER, deltas)
    columns = cell.store.columns
    offers, contacts = columns.offers, columns.contacts
    contact = offers.contact[rows]
    is_sound = (contact >= 0) & (contact < contacts.state.size)
    is_sound &= contacts.state[np.where(is_sound, contact, 0)] == ContactState.OFFERED
    is_sound &= np.isin(offers.agent[rows], cell.agents.slots.rows())
    is_sound &= (offers.sequence[rows] > 0) & (offers.cost[rows] > 0)
    if not is_sound.all():
        message = f"{_name(deltas[int(np.argmin(is_sound))])}: contact, agent or cost"
        raise DamagedRow(message)
    in_order = rows[np.argsort(offers.sequence[rows])].tolist()
    cell.run_on_each(Operation.RESTORE_OFFER, IN_ROW, in_order)
    scalar = cell.store.scalar
    scalar[OFFER_ROWS_USED] = highest + 1
    for row in np.flatnonzero(offers.contact[: highest + 1] < 0).tolist():
        offers.contact_following[row] = scalar[FREE_OFFER]
        scalar[FREE_OFFER] = row


def _check_steps(cell: CellState, delta: RowDelta) -> None:
    """Refuse a contact that took more relaxation steps than it came with."""
    taken = int(cell.store.columns.contacts.relaxed[delta.row])
    with _naming(delta):
        steps = len(contact_rows.said_in(delta.payload or b"").relaxation)
    if not (0 <= taken <= steps):
        message = f"{_name(delta)}: {taken} relaxation steps taken of {steps}"
        raise DamagedRow(message)


def _load_classes(cell: CellState, deltas: Sequence[RowDelta]) -> None:
    """
    Give open contacts their classes; what they ask for may be held by no agent any more.

    Most ask for the same in the same queues: of those that nothing else is kept of, one is looked
    at, and the others go with it.
    """
    contacts = cell.store.columns.contacts
    rows = np.array([delta.row for delta in deltas], np.int64)
    alike = (contacts.queue, contacts.channel, contacts.priority, contacts.fell_back)
    facts = zip(*(column[rows].tolist() for column in alike), strict=True)
    is_diverted = (contacts.state[rows] == ContactState.DIVERTED).tolist()
    known: set[Requirements] = set()
    class_of: dict[tuple[bytes, ...], int] = {}
    found: list[int] = []
    repeats: list[int] = []
    alone = contact_rows.asked_alone([delta.payload or b"" for delta in deltas])
    for delta, with_what, fact, must_say in zip(deltas, alone, facts, is_diverted, strict=True):
        if with_what is None or must_say:
            found.append(_load_class(cell, delta, known))
            continue
        key = (with_what, *fact)
        class_row = class_of.get(key)
        if class_row is None:
            class_of[key] = class_row = _load_class(cell, delta, known)
        else:
            repeats.append(class_row)
        found.append(class_row)
    contacts.class_row[rows] = found
    np.add.at(cell.store.columns.classes.references, repeats, 1)


def _load_class(cell: CellState, delta: RowDelta, known: set[Requirements]) -> int:
    """The class of one contact, which refers to it from now on."""
    contacts, row = cell.store.columns.contacts, delta.row
    with _naming(delta):
        said = contact_rows.said_in(delta.payload or b"")
    _restore_steered(cell, row, said.steered)
    requirements = contact_rows.asked_after(said, int(contacts.relaxed[row]))
    to_come = cell.contacts.steps_to_come(row, said)
    asked = {requirements, *(step.requirements for step in to_come)}
    if not asked <= known:
        cell.require_names_asked(asked)
        known |= asked
    class_row = cell.classes.row_of(
        int(contacts.queue[row]),
        requirements,
        Channel(int(contacts.channel[row])),
        int(contacts.priority[row]),
        to_come,
        fell_back=bool(contacts.fell_back[row]),
    )
    # At once, or making room for the next one's class might sweep this one.
    cell.store.columns.classes.references[class_row] += 1
    return class_row


def _restore_steered(cell: CellState, row: int, steered: Steered) -> None:
    """Note an open choice, a diversion, and when they are due."""
    contacts = cell.store.columns.contacts
    is_diverted = contacts.state[row] == ContactState.DIVERTED
    if is_diverted and steered.diversion is None:
        message = f"contact {cell.contacts.slots.ids[row]!r}, row {row}: diverted to nowhere"
        raise DamagedRow(message)
    if steered is NOT_STEERED:
        return
    due_ms = NEVER_MS
    if steered.choice is not None:
        due_ms = steered.choice.until_ms
    elif is_diverted:
        due_ms = int(contacts.until_ms[row])
    cell.choices.keep(row, steered, due_ms)


def _check_references(cell: CellState, rows: NDArray[np.int64]) -> None:
    """Refuse loaded contacts whose queue or agent is not there: kernels trust rows."""
    contacts = cell.store.columns.contacts
    queue, agent, state = contacts.queue[rows], contacts.agent[rows], contacts.state[rows]
    has_queue = np.isin(queue, cell.queues.slots.rows())
    has_agent = np.isin(agent, [-1, *cell.agents.slots.rows()])
    is_held = np.isin(state, HELD_STATES)
    is_sound = has_queue & has_agent & (state > ContactState.FREE) & (state < len(ContactState))
    is_sound &= ~is_held | (agent >= 0)
    is_sound &= np.isin(contacts.past_agent[rows], [-1, *cell.agents.slots.rows()]).all(axis=1)
    is_sound &= _refer_to_each_other(rows, contacts.consult, contacts.consults_for)
    is_sound &= _refer_to_each_other(rows, contacts.consults_for, contacts.consult)
    if not is_sound.all():
        row = int(rows[np.argmin(is_sound)])
        message = f"contact {cell.contacts.slots.ids[row]!r}, row {row}: state or references"
        raise DamagedRow(message)


def _refer_to_each_other(
    rows: NDArray[np.int64], there: NDArray[np.int64], back: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """(rows,): where a row refers to another of them, that one refers back to it."""
    others = there[rows]
    is_link = others >= 0
    is_known = np.isin(others, rows)
    refers_back = back[np.where(is_known, others, 0)] == rows
    sound: NDArray[np.bool_] = ~is_link | (is_known & refers_back)
    return sound


def _unpack(cell: CellState, table: RowTable, deltas: Sequence[RowDelta]) -> NDArray[np.int64]:
    """Read records into their rows, all at once; returns the rows."""
    rows = np.array([delta.row for delta in deltas], np.int64)
    # A part at a time, in memory that is there: to be given as much again took as long as the rest.
    for first in range(0, len(deltas), _UNPACKED_TOGETHER):
        part = slice(first, first + _UNPACKED_TOGETHER)
        # By a plain int, for an enum is another signature.
        unpack_rows(cell.store.table, int(table), rows[part], _records(table, deltas[part]))
    return rows


def _records(table: RowTable, deltas: Sequence[RowDelta]) -> NDArray[np.int64]:
    """Records as numbers, (rows, width); writable, since a read-only array is another signature."""
    width = _WIDTHS[table]
    sizes = [8 * size for size in (width, *_OLDER_WIDTHS.get(table, ()))]
    records = [delta.record or b"" for delta in deltas]
    found = set(map(len, records))
    if not found <= set(sizes):
        delta = next(delta for delta in deltas if len(delta.record or b"") not in sizes)
        size = len(delta.record or b"")
        message = f"{_name(delta)}: a record of {size} bytes, expected {sizes[0]}"
        raise DamagedRow(message)
    if found - {sizes[0]}:
        records = [record.ljust(sizes[0], b"\0") for record in records]
    return np.frombuffer(bytearray().join(records), np.int64).reshape(-1, width)


@contextmanager
def _naming(delta: RowDelta) -> Iterator[None]:
    """Say which row it is whose definition cannot be read."""
    try:
        yield
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise DamagedRow(f"{_name(delta)}: its definition cannot be read ({error})") from error


def _name(delta: RowDelta) -> str:
    return f"{RowTable(delta.table).name.lower()} {delta.external_id!r}, row {delta.row}"
