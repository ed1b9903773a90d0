"""Everything a cell holds, and its way to and from the rows of the commit log."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.commands import UpsertAgent
from engine.effects import FIRST_TEXT_REASON, encode_effects
from engine.kernels.columns import (
    EFFECT_COUNT,
    NEXT_CONTACT,
    NEXT_OFFER,
    NOW_MS,
)
from engine.kernels.packing import AGENT_WIDTH, CONTACT_WIDTH, QUEUE_WIDTH, unpack_row
from engine.kernels.requests import IN_AGENT, IN_CONTACT, IN_OPERATION, IN_QUEUE, Operation
from engine.lifecycle import FIRST_ENDED_STATE, Channel, ContactState, Intake
from engine.limits import EFFECTS_PER_CALL, Limits
from engine.refusals import CommandRefused, Refusal, violation
from engine.state import agents as agent_rows
from engine.state import contacts as contact_rows
from engine.state import queues as queue_rows
from engine.state.classes import ContactClasses
from engine.state.deltas import CELL_WIDTH, DeltaTaker
from engine.state.names import Names
from engine.state.rows import DamagedRow, RowDelta, RowTable
from engine.state.store import Store

# Looked up once: an enum's members are slow to reach.
_FREE: Final = int(ContactState.FREE)
_QUEUED: Final = int(ContactState.QUEUED)

# Effects that recovery records for one outstanding offer: rescinded, requeued.
_RECOVERY_EFFECTS: Final = 2
# Kernel calls that record effects in one command: deadlines that came before it, and its own.
_CALLS_PER_COMMAND: Final = 2


class Group(NamedTuple):
    """
    What happened since the last group, to be committed before anyone is told.

    Attributes
    ----------
    effects
        One tuple per effect, fields of `engine.effects.Effect`, in order.
    events
        The same, encoded for the log; b"" when there are none.
    row_deltas
        Changed rows, at most one per row.
    """

    effects: list[tuple[int | str, ...]]
    events: bytes
    row_deltas: list[RowDelta]


class CellState:
    """Columns, ids, definitions and classes of one cell."""

    def __init__(self, limits: Limits) -> None:
        self.store = Store(limits)
        self.queues = queue_rows.QueueRows(self.store)
        self.names = Names(self.store)
        self.agents = agent_rows.AgentRows(self.store, self.names)
        self.contacts = contact_rows.ContactRows(self.store)
        self.classes = ContactClasses(self.store, self.names)
        self._deltas = DeltaTaker(self.store, self.queues, self.agents, self.contacts)

    def make_effect_room(self) -> None:
        """
        Make room for the effects of one more command; a large one leaves the rest due at once.
        """
        self.store.require_effects(_CALLS_PER_COMMAND * EFFECTS_PER_CALL)

    def make_recovery_room(self) -> None:
        """Make room for the effects of rescinding every outstanding offer."""
        offered = int((self.store.columns.contacts.state == ContactState.OFFERED).sum())
        self.store.require_effects(_RECOVERY_EFFECTS * offered + EFFECTS_PER_CALL)

    def contact_row(self, contact_id: str) -> int:
        """
        Row of a contact, open or recently ended.

        Raises
        ------
        CommandRefused
            UNKNOWN_CONTACT.
        """
        row = self.contacts.slots.row_of(contact_id)
        if row < 0 or self.store.columns.contacts.state[row] == _FREE:
            expected = "the id of a contact that is open or ended less than ten minutes ago"
            refused = violation("contact_id", contact_id, expected)
            raise CommandRefused(Refusal.UNKNOWN_CONTACT, refused)
        return row

    def queue_row(self, queue_id: str, field: str = "queue_id") -> int:
        """
        Row of a queue, which a command named in `field`.

        Raises
        ------
        CommandRefused
            UNKNOWN_QUEUE.
        """
        row = self.queues.slots.row_of(queue_id)
        if row < 0:
            refused = violation(field, queue_id, "the id of a queue that exists")
            raise CommandRefused(Refusal.UNKNOWN_QUEUE, refused)
        return row

    def agent_row(self, agent_id: str) -> int:
        """
        Row of an agent.

        Raises
        ------
        CommandRefused
            UNKNOWN_AGENT.
        """
        row = self.agents.slots.row_of(agent_id)
        if row < 0:
            refused = violation("agent_id", agent_id, "the id of an agent that exists")
            raise CommandRefused(Refusal.UNKNOWN_AGENT, refused)
        return row

    def require_names_of(self, agent: UpsertAgent) -> None:
        """
        Make room for the skills and tags of a definition.

        Raises
        ------
        CommandRefused
            LIMIT_REACHED, when the cell knows as many as it may; nothing changed.
        """
        skills = {item.skill for item in agent.skills if item.proficiency > 0}
        self._require_names(skills, set(agent.tags))

    def _require_names(self, skills: set[str], tags: set[str]) -> None:
        if not self.names.has_room(skills, tags):
            self.classes.sweep()
            self.names.give_back(self.classes.requirement_rows())
        self.names.require(skills, tags)

    def open_contacts_in(self, queue_row: int) -> int:
        """Open contacts of a queue."""
        queues = self.store.columns.queues
        counts = (queues.waiting, queues.offered, queues.assigned, queues.wrapping_up)
        return int(sum(count[queue_row] for count in counts))

    def remove_agent(self, row: int) -> None:
        """Remove an agent that holds no contacts; contacts no longer name it or pass it over."""
        contacts = self.store.columns.contacts
        is_passed_over = contacts.excluded_agent == row
        names_it = (contacts.agent == row) | is_passed_over.any(axis=1)
        for contact in np.flatnonzero(names_it & (contacts.state > 0)):
            self._run(Operation.MARK_CONTACT, IN_CONTACT, int(contact))
        contacts.excluded_agent[is_passed_over] = -1
        contacts.excluded_until_ms[is_passed_over] = 0
        contacts.agent[contacts.agent == row] = -1
        self.agents.remove(row)

    def remove_queue(self, row: int) -> None:
        """Remove a queue without open contacts; its ended contacts are forgotten."""
        columns = self.store.columns
        ended = (columns.contacts.queue == row) & (columns.contacts.state >= FIRST_ENDED_STATE)
        for contact in np.flatnonzero(ended):
            self._run(Operation.FORGET_CONTACT, IN_CONTACT, int(contact))
        self.classes.drop_queue(row)
        columns.queues.intake[row] = Intake.NONE
        self.queues.slots.retire(row)

    def take_group(self) -> Group:
        """Hand over effects and changed rows; free the rows of what is gone."""
        effects = self._take_effects()
        deltas = self._deltas.take()
        for rows in (self.queues, self.agents, self.contacts):
            rows.slots.reclaim()
        return Group(effects, encode_effects(effects), deltas)

    def mark_all(self) -> None:
        """Have the next group write every row."""
        for row in self.queues.slots.rows():
            self.queues.payload_is_new.add(row)
            self._run(Operation.MARK_QUEUE, IN_QUEUE, row)
        for row in self.agents.slots.rows():
            self.agents.payload_is_new.add(row)
            self._run(Operation.MARK_AGENT, IN_AGENT, row)
        for row in self.contacts.slots.rows():
            self.contacts.payload_is_new.add(row)
            self._run(Operation.MARK_CONTACT, IN_CONTACT, row)

    def load(self, rows: Sequence[RowDelta]) -> None:
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
            by_table[RowTable(delta.table)].append(delta)
        # The time first: it tells delays that have run out from those that have not.
        for delta in by_table[RowTable.CELL]:
            now_ms, next_contact, next_offer = _values(delta)
            self.store.scalar[NOW_MS] = int(now_ms)
            self.store.scalar[NEXT_CONTACT] = int(next_contact)
            self.store.scalar[NEXT_OFFER] = int(next_offer)
        self._load_queues(by_table[RowTable.QUEUE])
        self._load_agents(by_table[RowTable.AGENT])
        self._load_contacts(by_table[RowTable.CONTACT])

    def _run(self, operation: Operation, place: int, row: int) -> None:
        """Run an operation on one row, which stands at `place` of the request."""
        self.store.request[IN_OPERATION] = operation
        self.store.request[place] = row
        self.store.run()

    def _take_effects(self) -> list[tuple[int | str, ...]]:
        count = self.store.scalar[EFFECT_COUNT]
        if count == 0:
            return []
        self.store.scalar[EFFECT_COUNT] = 0
        contact_ids = self.contacts.slots.ids
        queue_ids = self.queues.slots.ids
        agent_ids = self.agents.slots.ids
        reason_text = self.agents.reason_text
        return [
            (
                kind,
                at_ms,
                contact_ids[contact] if contact >= 0 else "",
                queue_ids[queue] if queue >= 0 else "",
                agent_ids[agent] if agent >= 0 else "",
                contact_rows.offer_id_of(offer, contact) if offer else "",
                offer_expires_ms,
                wait_ms,
                detail,
                reason_text(reason) if reason else "",
            )
            for (
                kind,
                at_ms,
                contact,
                queue,
                agent,
                offer,
                offer_expires_ms,
                wait_ms,
                detail,
                reason,
            ) in self.store.columns.cell.effects[:count].tolist()
        ]

    def _check_references(self, rows: NDArray[np.int64]) -> None:
        """Refuse loaded contacts whose queue or agent is not there: kernels trust rows."""
        contacts = self.store.columns.contacts
        queue, agent, state = contacts.queue[rows], contacts.agent[rows], contacts.state[rows]
        has_queue = np.isin(queue, self.queues.slots.rows())
        has_agent = np.isin(agent, [-1, *self.agents.slots.rows()])
        is_held = (state > _QUEUED) & (state < FIRST_ENDED_STATE)
        is_sound = has_queue & has_agent & (state > _FREE) & (state < len(ContactState))
        is_sound &= ~is_held | (agent >= 0)
        if not is_sound.all():
            row = int(rows[np.argmin(is_sound)])
            message = f"contact {self.contacts.slots.ids[row]!r}, row {row}: state or references"
            raise DamagedRow(message)

    def _unpack(self, delta: RowDelta) -> None:
        """Read a row into its columns; by a plain int, for an enum is another signature."""
        unpack_row(self.store.table, int(delta.table), delta.row, _values(delta))

    def _load_queues(self, deltas: Sequence[RowDelta]) -> None:
        self.queues.slots.place_all([(delta.row, delta.external_id) for delta in deltas])
        for delta in deltas:
            with _naming(delta):
                self.queues.write(delta.row, queue_rows.definition_of(delta.payload or b""))
            self._unpack(delta)
        self.queues.payload_is_new.clear()

    def _load_agents(self, deltas: Sequence[RowDelta]) -> None:
        agents = self.agents
        agents.slots.place_all([(delta.row, delta.external_id) for delta in deltas])
        for delta in deltas:
            with _naming(delta):
                definition, reason = agent_rows.definition_of(delta.payload or b"")
            self.require_names_of(definition)
            served = [self.queues.slots.row_of(queue_id) for queue_id in definition.queue_ids]
            agents.write(delta.row, definition, served)
            self._unpack(delta)
            columns = self.store.columns.agents
            if columns.presence_reason[delta.row] >= FIRST_TEXT_REASON:
                columns.presence_reason[delta.row] = agents.reason_code(reason)
            agents.keep_payload(delta.row, delta.payload or b"")
            self._run(Operation.RESTORE_AGENT, IN_AGENT, delta.row)
        agents.payload_is_new.clear()

    def _load_contacts(self, deltas: Sequence[RowDelta]) -> None:
        self.contacts.slots.place_all([(delta.row, delta.external_id) for delta in deltas])
        for delta in deltas:
            self._unpack(delta)
            self.contacts.keep_payload(delta.row, delta.payload or b"")
        rows = np.array([delta.row for delta in deltas], np.int64)
        self._check_references(rows)
        for delta in deltas:
            with _naming(delta):
                self._load_class(delta.row, delta.payload or b"")
        columns = self.store.columns.contacts
        is_ended = columns.state[rows] >= FIRST_ENDED_STATE
        age = np.where(is_ended, columns.ended_ms[rows], columns.since_ms[rows])
        for place in np.lexsort((columns.sequence[rows], age)):
            self._run(Operation.RESTORE_CONTACT, IN_CONTACT, int(rows[place]))

    def _load_class(self, row: int, payload: bytes) -> None:
        """
        Give a loaded contact its class; skills and tags it names may be held by no agent any more.
        """
        columns = self.store.columns.contacts
        columns.class_row[row] = -1
        if columns.state[row] >= FIRST_ENDED_STATE:
            return
        requirements, _ = contact_rows.definition_of(payload)
        skills = {item.skill for item in requirements.skills}
        skills |= {item.skill for item in requirements.preferred_skills}
        self._require_names(skills, set(requirements.tags))
        class_row = self.classes.row_of(
            int(columns.queue[row]),
            requirements,
            Channel(int(columns.channel[row])),
            int(columns.priority[row]),
        )
        self.store.columns.contacts.class_row[row] = class_row


_WIDTHS: Final = {
    RowTable.CELL: CELL_WIDTH,
    RowTable.QUEUE: QUEUE_WIDTH,
    RowTable.AGENT: AGENT_WIDTH,
    RowTable.CONTACT: CONTACT_WIDTH,
}


def _values(delta: RowDelta) -> NDArray[np.int64]:
    """Record of a loaded row as numbers; writable, since a read-only array is another signature."""
    record = delta.record or b""
    expected = 8 * _WIDTHS[RowTable(delta.table)]
    if len(record) != expected:
        message = f"{_name(delta)}: a record of {len(record)} bytes, expected {expected}"
        raise DamagedRow(message)
    return np.frombuffer(bytearray(record), np.int64)


@contextmanager
def _naming(delta: RowDelta) -> Iterator[None]:
    """Say which row it is whose definition cannot be read."""
    try:
        yield
    except (ValueError, TypeError, KeyError, IndexError) as error:
        message = f"{_name(delta)}: its definition cannot be read ({error})"
        raise DamagedRow(message) from error


def _name(delta: RowDelta) -> str:
    return f"{RowTable(delta.table).name.lower()} {delta.external_id!r}, row {delta.row}"
