"""Changed rows, taken from the columns once per commit group."""

import struct
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.kernels.columns import (
    AGENT_DIRTY_COUNT,
    CONTACT_DIRTY_COUNT,
    DECISION_COUNT,
    ESTIMATE_DIRTY_COUNT,
    FIRST_DECISION,
    NEXT_CONTACT,
    NEXT_OFFER,
    NOW_MS,
    OFFER_DIRTY_COUNT,
    QUEUE_DIRTY_COUNT,
)
from engine.kernels.packing import (
    AGENT_WIDTH,
    CONTACT_WIDTH,
    ESTIMATE_WIDTH,
    OFFER_WIDTH,
    QUEUE_WIDTH,
    pack_dirty,
    pack_seldom_dirty,
)
from engine.state.agents import AgentRows
from engine.state.contacts import ContactRows
from engine.state.queues import QueueRows
from engine.state.rows import RowDelta, RowTable
from engine.state.store import Store

# Looked up once: an enum's members are slow to reach.
_CELL: Final = RowTable.CELL
_QUEUE: Final = RowTable.QUEUE
_AGENT: Final = RowTable.AGENT
_CONTACT: Final = RowTable.CONTACT
_ESTIMATES: Final = RowTable.ESTIMATES
_OFFER: Final = RowTable.OFFER

# State, presence or intake, first in a record, is 0 where the row holds nothing any more.
_GONE: Final = bytes(8)
CELL_WIDTH: Final = 4
_CELL_RECORD: Final = struct.Struct(f"<{CELL_WIDTH}q")


class DeltaTaker:
    """
    Packs changed rows into records.

    The packed records are written into arrays that live as long as the cell: making three small
    arrays for every group cost 5 µs of the 35 µs a group took.
    """

    def __init__(
        self, store: Store, queues: QueueRows, agents: AgentRows, contacts: ContactRows
    ) -> None:
        self._store = store
        self._queues = queues
        self._agents = agents
        self._contacts = contacts
        self._queue_records = np.empty((8, QUEUE_WIDTH), np.int64)
        self._agent_records = np.empty((64, AGENT_WIDTH), np.int64)
        self._contact_records = np.empty((64, CONTACT_WIDTH), np.int64)

    def take(self) -> list[RowDelta]:
        """Every row changed since the last call, queues first, then agents, contacts,
        offers, estimates, the cell."""
        scalar = self._store.scalar
        queue_count = scalar[QUEUE_DIRTY_COUNT]
        agent_count = scalar[AGENT_DIRTY_COUNT]
        contact_count = scalar[CONTACT_DIRTY_COUNT]
        estimate_count = scalar[ESTIMATE_DIRTY_COUNT]
        offer_count = scalar[OFFER_DIRTY_COUNT]
        if not (queue_count or agent_count or contact_count or estimate_count):
            return []
        self._queue_records = _grown(self._queue_records, queue_count)
        self._agent_records = _grown(self._agent_records, agent_count)
        self._contact_records = _grown(self._contact_records, contact_count)
        queue_records = self._queue_records[:queue_count]
        agent_records = self._agent_records[:agent_count]
        contact_records = self._contact_records[:contact_count]
        columns = self._store.columns
        queue_rows = columns.queues.dirty[:queue_count].tolist()
        agent_rows = columns.agents.dirty[:agent_count].tolist()
        contact_rows = columns.contacts.dirty[:contact_count].tolist()
        pack_dirty(self._store.table, contact_records, agent_records, queue_records)
        deltas: list[RowDelta] = []
        if queue_count:
            _append(deltas, _QUEUE, self._queues, queue_rows, queue_records)
        if agent_count:
            _append(deltas, _AGENT, self._agents, agent_rows, agent_records)
        if contact_count:
            _append(deltas, _CONTACT, self._contacts, contact_rows, contact_records)
        if estimate_count or offer_count:
            deltas += self._take_seldom(estimate_count, offer_count)
        # Numbers of decisions go on after a restart, so that none ever means another.
        next_decision = scalar[FIRST_DECISION] + scalar[DECISION_COUNT]
        cell = _CELL_RECORD.pack(
            scalar[NOW_MS], scalar[NEXT_CONTACT], scalar[NEXT_OFFER], next_decision
        )
        deltas.append(RowDelta(_CELL, 0, "", cell, None))
        return deltas

    def _take_seldom(self, estimate_count: int, offer_count: int) -> Iterator[RowDelta]:
        """Changed rows of what most groups have none of."""
        columns = self._store.columns
        estimate_rows = columns.estimates.dirty[:estimate_count].tolist()
        offer_rows = columns.offers.dirty[:offer_count].tolist()
        estimates = np.empty((estimate_count, ESTIMATE_WIDTH), np.int64)
        offers = np.empty((offer_count, OFFER_WIDTH), np.int64)
        pack_seldom_dirty(self._store.table, offers, estimates)
        ids = self._agents.slots.ids
        yield from _without_payload(_OFFER, offer_rows, offers, repeat(""))
        names = [ids[row] for row in estimate_rows]
        yield from _without_payload(_ESTIMATES, estimate_rows, estimates, names)


def _grown(records: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The array, or a larger one when it has too few rows."""
    if count <= records.shape[0]:
        return records
    return np.empty((2 * count, records.shape[1]), np.int64)


def _without_payload(
    table: RowTable, rows: list[int], records: NDArray[np.int64], ids: Iterable[str]
) -> Iterator[RowDelta]:
    """Deltas of rows that are columns only."""
    for row, record, external_id in zip(rows, records, ids, strict=False):
        yield RowDelta(table, row, external_id, record.tobytes() if record[0] else None, None)


def _append(
    deltas: list[RowDelta],
    table: RowTable,
    subject: QueueRows | AgentRows | ContactRows,
    rows: list[int],
    records: NDArray[np.int64],
) -> None:
    """Append a subject's deltas, and end the ids' claim on contact rows that were forgotten."""
    ids, payloads, payload_is_new = subject.slots.ids, subject.payloads, subject.payload_is_new
    encoded = records.tobytes()
    width = records.shape[1] * records.itemsize
    start = 0
    for row in rows:
        record: bytes | None = encoded[start : start + width]
        start += width
        payload = payloads[row] if row in payload_is_new else None
        if encoded.startswith(_GONE, start - width):
            record = payload = None
            payloads[row] = b""
            if table is _CONTACT:
                subject.slots.retire(row)
        deltas.append(RowDelta(table, row, ids[row], record, payload))
    if payload_is_new:
        payload_is_new.clear()
