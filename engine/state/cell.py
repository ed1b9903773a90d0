"""Everything a cell holds, and its way to and from the rows of the commit log."""

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from engine.commands import Requirements, UpsertAgent
from engine.effects import encode_effects
from engine.kernels.columns import EFFECT_COUNT
from engine.kernels.requests import IN_AGENT, IN_CONTACT, IN_OPERATION, IN_QUEUE, IN_ROW, Operation
from engine.lifecycle import HAS_ENDED, ContactState
from engine.limits import EFFECTS_PER_CALL, Limits
from engine.refusals import CommandRefused, Refusal, violation
from engine.state import agents as agent_rows
from engine.state import contacts as contact_rows
from engine.state import queues as queue_rows
from engine.state.acceptance import AcceptanceRows
from engine.state.activations import ActivationRows
from engine.state.choices import ChoiceRows
from engine.state.classes import ContactClasses
from engine.state.crossings import CrossingRows, ReceivedRows
from engine.state.decisions import DecisionRows, Owners
from engine.state.deltas import DeltaTaker
from engine.state.hours import HoursRows
from engine.state.names import Names
from engine.state.plans import PlanRows
from engine.state.policies import PolicyRows
from engine.state.rows import SCHEMA_OF, SCHEMA_WRITTEN, RowDelta
from engine.state.slots import Slots
from engine.state.store import Store

# Looked up once: an enum's members are slow to reach.
_FREE: Final = int(ContactState.FREE)

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
    schema
        Version that reads them, SCHEMA_WRITTEN at the least.
    """

    effects: list[tuple[int | str, ...]]
    events: bytes
    row_deltas: list[RowDelta]
    schema: int = SCHEMA_WRITTEN


class CellState:
    """Columns, ids, definitions and classes of one cell."""

    def __init__(self, limits: Limits) -> None:
        self.store = Store(limits)
        self.queues = queue_rows.QueueRows(self.store)
        agents = Slots(self.store, "agents")
        self.names = Names(self.store, agents)
        self.hours = HoursRows()
        self.plans = PlanRows()
        self.choices = ChoiceRows()
        self.activations = ActivationRows()
        self.acceptance = AcceptanceRows()
        self.policies = PolicyRows()
        self.crossings = CrossingRows()
        self.received = ReceivedRows()
        # Rows that are values as a whole, without columns.
        self._values = (
            self.plans,
            self.policies,
            self.activations,
            self.acceptance,
            self.crossings,
            self.received,
        )
        self.agents = agent_rows.AgentRows(self.store, self.names, agents)
        self.contacts = contact_rows.ContactRows(self.store)
        self.classes = ContactClasses(self.store, self.names, agents)
        owners = Owners(self.contacts, self.queues.slots, agents, self.classes.requirements_at)
        self.decisions = DecisionRows(self.store, owners)
        self._deltas = DeltaTaker(self.store, self.queues, self.agents, self.contacts)

    def make_effect_room(self, more: int = 0) -> None:
        """
        Make room for the effects of one more command, and `more` before it; a large one leaves the
        rest due at once.
        """
        self.store.require_effects(_CALLS_PER_COMMAND * EFFECTS_PER_CALL + more)

    def make_recovery_room(self) -> None:
        """Make room for the effects of rescinding every outstanding offer."""
        columns = self.store.columns
        offered = int((columns.contacts.state == ContactState.OFFERED).sum())
        offered += int((columns.offers.contact >= 0).sum())
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

    def require_names_asked(self, asked: Iterable[Requirements]) -> None:
        """Make room for the names of requirements together; as for definitions."""
        skills, tags = set(), set()
        for one in asked:
            skills |= {item.skill for item in one.skills}
            skills |= {item.skill for item in one.preferred_skills}
            tags |= {*one.tags, *one.tags_any}
        self._require_names(skills, tags)

    def _require_names(self, skills: set[str], tags: set[str]) -> None:
        if not self.names.has_room(skills, tags):
            self.classes.sweep()
            self.names.give_back(self.classes.requirement_rows())
        self.names.require(skills, tags)

    def open_contacts_in(self, queue_row: int) -> int:
        """Open contacts of a queue."""
        queues = self.store.columns.queues
        in_hand = queues.offered[queue_row] + queues.assigned[queue_row]
        in_hand += queues.interrupted[queue_row] + queues.wrapping_up[queue_row]
        aside = queues.scheduled[queue_row] + queues.diverted[queue_row]
        return int(queues.waiting[queue_row] + aside + in_hand)

    def remove_agent(self, row: int) -> None:
        """Remove an agent that holds no contacts; contacts no longer name it or pass it over."""
        contacts = self.store.columns.contacts
        is_passed_over = contacts.excluded_agent == row
        had_it = contacts.past_agent == row
        names_it = (contacts.agent == row) | is_passed_over.any(axis=1) | had_it.any(axis=1)
        for contact in np.flatnonzero(names_it & (contacts.state > 0)):
            self.run_on(Operation.MARK_CONTACT, IN_CONTACT, int(contact))
        contacts.excluded_agent[is_passed_over] = -1
        contacts.excluded_until_ms[is_passed_over] = 0
        contacts.past_agent[had_it] = -1
        contacts.agent[contacts.agent == row] = -1
        self.agents.remove(row)
        self.classes.agent_moved(self.agents.slots.ids[row])

    def remove_queue(self, row: int) -> None:
        """Remove a queue without open contacts; its ended contacts are forgotten."""
        columns = self.store.columns
        ended = (columns.contacts.queue == row) & HAS_ENDED[columns.contacts.state]
        for contact in np.flatnonzero(ended):
            self.run_on(Operation.FORGET_CONTACT, IN_CONTACT, int(contact))
        for queue_row, tag in self.agents.lent:
            if queue_row == row:
                self.agents.recall(row, tag)
        self.classes.drop_queue(row)
        self.hours.set(row, None)
        self.queues.retire(row)

    def take_group(self) -> Group:
        """Hand over effects and changed rows; free the rows of what is gone."""
        effects = self._take_effects() + self.policies.take_effects()
        deltas = self._deltas.take()
        schema = SCHEMA_WRITTEN
        for values in self._values:
            if found := values.take_deltas():
                schema = max(schema, SCHEMA_OF.get(found[0].table, SCHEMA_WRITTEN))
                deltas += found
        for rows in (self.queues, self.agents, self.contacts):
            rows.slots.reclaim()
        return Group(effects, encode_effects(effects), deltas, schema)

    def mark_all(self) -> None:
        """Have the next group write every row."""
        for values in self._values:
            values.mark_all()
        for row in self.queues.slots.rows():
            self.queues.payload_is_new.add(row)
            self.run_on(Operation.MARK_QUEUE, IN_QUEUE, row)
        for row in self.agents.slots.rows():
            self.agents.payload_is_new.add(row)
            self.run_on(Operation.MARK_AGENT, IN_AGENT, row)
            if (self.store.columns.estimates.queue[row] >= 0).any():
                self.run_on(Operation.MARK_ESTIMATES, IN_AGENT, row)
        for row in np.flatnonzero(self.store.columns.offers.contact >= 0).tolist():
            self.run_on(Operation.MARK_OFFER, IN_ROW, row)
        for row in self.contacts.slots.rows():
            self.contacts.payload_is_new.add(row)
            self.run_on(Operation.MARK_CONTACT, IN_CONTACT, row)

    def run_on(self, operation: Operation, place: int, row: int) -> None:
        """Run an operation on one row, which stands at `place` of the request."""
        self.store.request[IN_OPERATION] = operation
        self.store.request[place] = row
        self.store.run()

    def run_on_each(self, operation: Operation, place: int, rows: Iterable[int]) -> None:
        """Run an operation on rows, one after the other."""
        request, run = self.store.request, self.store.run
        request[IN_OPERATION] = operation
        for row in rows:
            request[place] = row
            run()

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
