"""Reads of a cell by external id; they change nothing and see what the last command left."""

from collections.abc import Collection
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.kernels.columns import NOW_MS
from engine.lifecycle import HAS_ENDED, ContactState, Presence
from engine.limits import NEVER_MS
from engine.routing.hours import next_opening_or_closing_ms
from engine.state.agents import AgentView
from engine.state.cell import CellState
from engine.state.contacts import ContactView
from engine.state.queues import QueueSnapshot, QueueView

# Looked up once: an enum's members are slow to reach.
_FREE: Final = int(ContactState.FREE)


class CellReader:
    """Views of what a cell holds. Unknown ids raise CommandRefused."""

    def __init__(self, cell: CellState) -> None:
        self._cell = cell

    def contact(self, contact_id: str, now_ms: int) -> ContactView:
        """A contact, open or recently ended, with ages as of `now_ms`."""
        return self._cell.contacts.view(self._cell.contact_row(contact_id), now_ms)

    def has_open_contact(self, contact_id: str) -> bool:
        """Whether a contact is known and has not ended."""
        row = self._cell.contacts.slots.row_of(contact_id)
        state = self._cell.store.columns.contacts.state
        return row >= 0 and state[row] != _FREE and not HAS_ENDED[state[row]]

    def agent(self, agent_id: str) -> AgentView:
        """An agent."""
        return self._cell.agents.view(self.agent_row(agent_id))

    def names_of_agents(self) -> tuple[set[str], set[str]]:
        """Skills that some agent holds, and tags that some agent carries. O(agents × skills)."""
        return self._cell.names.of_agents()

    def offered_rows(self, agent_row: int) -> NDArray[np.int64]:
        """Rows of contacts that an agent has on offer beside another whose offer leads."""
        offers = self._cell.store.columns.offers
        is_theirs = (offers.contact >= 0) & (offers.agent == agent_row)
        rows: NDArray[np.int64] = offers.contact[is_theirs]
        return rows

    def queue(self, queue_id: str) -> QueueView:
        """A queue's definition, intake, and whether it is open."""
        row = self.queue_row(queue_id)
        view = self._cell.queues.view(row)
        hours = self._cell.hours.of(row)
        if hours is None:
            return view
        is_open = bool(self._cell.store.columns.queues.closed_for[row] == 0)
        change_ms = next_opening_or_closing_ms(hours, self._cell.store.scalar[NOW_MS])
        next_change_ms = change_ms if change_ms < NEVER_MS else 0
        return replace(view, is_open=is_open, next_change_ms=next_change_ms)

    def snapshot(self, queue_id: str, now_ms: int) -> QueueSnapshot:
        """A queue's live state, with waits as of `now_ms`."""
        return self._cell.queues.snapshot(self.queue_row(queue_id), now_ms)

    def queue_ids(self) -> Collection[str]:
        """Ids of all queues, in no order."""
        return self._cell.queues.slots.names()

    def agent_ids(self, queue_id: str, presences: Collection[Presence]) -> Collection[str]:
        """
        Ids of agents, in no order.

        Of a queue, "" = of all, and with one of the presences, none = with any.
        """
        slots = self._cell.agents.slots
        rows = slots.rows()
        columns = self._cell.store.columns
        if queue_id:
            members = columns.bitsets.queue_agents[self.queue_row(queue_id)]
            rows = [row for row in rows if int(members[row >> 6]) >> (row & 63) & 1]
        if presences:
            rows = [row for row in rows if int(columns.agents.presence[row]) in presences]
        return [slots.ids[row] for row in rows]

    def queue_row(self, queue_id: str) -> int:
        """Row of a queue."""
        return self._cell.queue_row(queue_id)

    def agent_row(self, agent_id: str) -> int:
        """Row of an agent."""
        return self._cell.agent_row(agent_id)
