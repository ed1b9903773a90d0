"""
Rows to and from fixed-width records of int64: what the commit log keeps of a row's moving columns.

The two halves of each pair list the same columns in the same order. Links, counts and deadlines are
not kept: loading derives them anew, so they cannot disagree.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.effects import FIRST_TEXT_REASON
from engine.kernels.boundary import (
    Table,
    open_agents,
    open_cell,
    open_contacts,
    open_estimates,
    open_offers,
    open_queues,
)
from engine.kernels.columns import (
    AGENT_DIRTY_COUNT,
    AGENT_ROWS,
    CONTACT_DIRTY_COUNT,
    CONTACT_ROWS,
    ESTIMATE_DIRTY_COUNT,
    ESTIMATE_ROWS,
    OFFER_DIRTY_COUNT,
    QUEUE_DIRTY_COUNT,
    QUEUE_ROWS,
    TOTALS,
    WINDOW_TOTALS,
)
from engine.kernels.compilation import entry, kernel
from engine.limits import ATTEMPTS_MAX, ESTIMATES_MAX, EXCLUSIONS_MAX, PAST_AGENTS_MAX

_CONTACT_PLAIN: Final = 20
# Failed offers, relaxation steps and the fallback share a place: rows written before there were
# such read as 0.
_RELAXED_SHIFT: Final = 32
_FELL_BACK_SHIFT: Final = 48
_RELAXED_MAX: Final = (1 << (_FELL_BACK_SHIFT - _RELAXED_SHIFT)) - 1
_SCHEDULE: Final = _CONTACT_PLAIN + 2 * EXCLUSIONS_MAX
_CONSULT: Final = _SCHEDULE + 3
CONTACT_WIDTH: Final = _CONSULT + 2 + PAST_AGENTS_MAX
# Attempts, how many there may be, and the pause between them share a place.
_ATTEMPTS_MAX_SHIFT: Final = 8
_RETRY_SHIFT: Final = 16
_ATTEMPTS_MASK: Final = (1 << _ATTEMPTS_MAX_SHIFT) - 1
assert ATTEMPTS_MAX <= _ATTEMPTS_MASK
AGENT_WIDTH: Final = 11
OFFER_WIDTH: Final = 4
ESTIMATE_WIDTH: Final = 1 + 5 * ESTIMATES_MAX
_QUEUE_PLAIN: Final = 2 + TOTALS
_QUEUE_WINDOWS: Final = _QUEUE_PLAIN + 2
QUEUE_WIDTH: Final = _QUEUE_WINDOWS + WINDOW_TOTALS


@kernel
def _pack_contacts(table: Table, out: NDArray[np.int64]) -> None:
    """
    Write the dirty contacts into `out`, (count, CONTACT_WIDTH), and clear their marks.

    O(count).
    """
    c = open_contacts(table)
    for place in range(out.shape[0]):
        row = c.dirty[place]
        c.is_dirty[row] = 0
        record = out[place]
        record[0] = c.state[row]
        record[1] = c.channel[row]
        record[2] = c.rejection[row]
        record[3] = c.queue[row]
        record[4] = c.priority[row]
        record[5] = c.agent[row]
        record[6] = c.sequence[row]
        record[7] = c.received_ms[row]
        record[8] = c.since_ms[row]
        record[9] = c.queued_ms[row]
        record[10] = c.accepted_ms[row]
        record[11] = c.handled_ms[row]
        record[12] = c.ended_ms[row]
        record[13] = c.max_wait_ms[row]
        record[14] = c.expires_ms[row]
        record[15] = c.offer[row]
        record[16] = c.until_ms[row]
        record[17] = c.cost[row]
        steps = c.relaxed[row] << _RELAXED_SHIFT
        record[18] = c.offers_failed[row] | steps | np.int64(c.fell_back[row]) << _FELL_BACK_SHIFT
        record[19] = c.version[row]
        for item in range(EXCLUSIONS_MAX):
            record[_CONTACT_PLAIN + item] = c.excluded_agent[row, item]
            record[_CONTACT_PLAIN + EXCLUSIONS_MAX + item] = c.excluded_until_ms[row, item]
        attempts = c.attempts[row] | c.attempts_max[row] << _ATTEMPTS_MAX_SHIFT
        record[_SCHEDULE] = c.window_ms[row]
        record[_SCHEDULE + 1] = attempts | c.retry_ms[row] << _RETRY_SHIFT
        record[_SCHEDULE + 2] = c.interrupted_ms[row]
        # Rows count from 1, for who was written before there were such has 0.
        record[_CONSULT] = c.consult[row] + 1
        record[_CONSULT + 1] = c.consults_for[row] + 1
        for item in range(PAST_AGENTS_MAX):
            record[_CONSULT + 2 + item] = c.past_agent[row, item] + 1


@kernel
def _unpack_contact(table: Table, row: int, record: NDArray[np.int64]) -> None:
    """Read one contact's record, (CONTACT_WIDTH,), into its row. O(1)."""
    c = open_contacts(table)
    c.state[row] = record[0]
    c.channel[row] = record[1]
    c.rejection[row] = record[2]
    c.queue[row] = record[3]
    c.priority[row] = record[4]
    c.agent[row] = record[5]
    c.sequence[row] = record[6]
    c.received_ms[row] = record[7]
    c.since_ms[row] = record[8]
    c.queued_ms[row] = record[9]
    c.accepted_ms[row] = record[10]
    c.handled_ms[row] = record[11]
    c.ended_ms[row] = record[12]
    c.max_wait_ms[row] = record[13]
    c.expires_ms[row] = record[14]
    c.offer[row] = record[15]
    c.until_ms[row] = record[16]
    c.cost[row] = record[17]
    c.offers_failed[row] = record[18] & ((1 << _RELAXED_SHIFT) - 1)
    c.relaxed[row] = (record[18] >> _RELAXED_SHIFT) & _RELAXED_MAX
    c.fell_back[row] = record[18] >> _FELL_BACK_SHIFT
    c.version[row] = record[19]
    for item in range(EXCLUSIONS_MAX):
        c.excluded_agent[row, item] = record[_CONTACT_PLAIN + item]
        c.excluded_until_ms[row, item] = record[_CONTACT_PLAIN + EXCLUSIONS_MAX + item]
    c.window_ms[row] = record[_SCHEDULE]
    c.attempts[row] = record[_SCHEDULE + 1] & _ATTEMPTS_MASK
    c.attempts_max[row] = record[_SCHEDULE + 1] >> _ATTEMPTS_MAX_SHIFT & _ATTEMPTS_MASK
    c.retry_ms[row] = record[_SCHEDULE + 1] >> _RETRY_SHIFT
    c.interrupted_ms[row] = record[_SCHEDULE + 2]
    c.consult[row] = record[_CONSULT] - 1
    c.consults_for[row] = record[_CONSULT + 1] - 1
    for item in range(PAST_AGENTS_MAX):
        c.past_agent[row, item] = record[_CONSULT + 2 + item] - 1


@kernel
def _pack_agents(table: Table, out: NDArray[np.int64]) -> None:
    """Write the dirty agents into `out`, (count, AGENT_WIDTH), and clear their marks. O(count)."""
    a = open_agents(table)
    for place in range(out.shape[0]):
        row = a.dirty[place]
        a.is_dirty[row] = 0
        record = out[place]
        record[0] = a.presence[row]
        record[1] = a.idle_since_ms[row]
        record[2] = a.last_offer[row]
        record[3] = a.missed[row]
        record[4] = a.presence_since_ms[row]
        # Numbers of texts differ from cell to cell; the text itself is in the payload.
        record[5] = min(a.presence_reason[row], FIRST_TEXT_REASON)
        record[6] = a.lease_until_ms[row]
        record[7] = a.version[row]
        record[8] = a.occupancy_ppb[row]
        record[9] = a.occupancy_ms[row]
        record[10] = a.rests_until_ms[row]


@kernel
def _unpack_agent(table: Table, row: int, record: NDArray[np.int64]) -> None:
    """Read one agent's record, (AGENT_WIDTH,), into its row. O(1)."""
    a = open_agents(table)
    a.presence[row] = record[0]
    a.idle_since_ms[row] = record[1]
    a.last_offer[row] = record[2]
    a.missed[row] = record[3]
    a.presence_since_ms[row] = record[4]
    a.presence_reason[row] = record[5]
    a.lease_until_ms[row] = record[6]
    a.version[row] = record[7]
    a.occupancy_ppb[row] = record[8]
    a.occupancy_ms[row] = record[9]
    a.rests_until_ms[row] = record[10]


@kernel
def _pack_estimates(table: Table, out: NDArray[np.int64]) -> None:
    """
    Write the dirty estimates into `out`, (count, ESTIMATE_WIDTH), and clear their marks.

    O(count).
    """
    e = open_estimates(table)
    for place in range(out.shape[0]):
        row = e.dirty[place]
        e.is_dirty[row] = 0
        record = out[place]
        # Places that know something; 0 deletes the row.
        record[0] = 0
        for item in range(ESTIMATES_MAX):
            at = 1 + 5 * item
            record[0] += e.queue[row, item] >= 0
            record[at] = e.queue[row, item]
            record[at + 1] = e.handled[row, item]
            record[at + 2] = e.handle_ms[row, item]
            record[at + 3] = e.rated[row, item]
            record[at + 4] = e.outcome[row, item]


@kernel
def _unpack_estimates(table: Table, row: int, record: NDArray[np.int64]) -> None:
    """Read the record of one agent's estimates, (ESTIMATE_WIDTH,), into its row. O(1)."""
    e = open_estimates(table)
    for item in range(ESTIMATES_MAX):
        at = 1 + 5 * item
        e.queue[row, item] = record[at]
        e.handled[row, item] = record[at + 1]
        e.handle_ms[row, item] = record[at + 2]
        e.rated[row, item] = record[at + 3]
        e.outcome[row, item] = record[at + 4]


@kernel
def _pack_offers(table: Table, out: NDArray[np.int64]) -> None:
    """Write the dirty offers into `out`, (count, OFFER_WIDTH), and clear their marks. O(count)."""
    o = open_offers(table)
    for place in range(out.shape[0]):
        row = o.dirty[place]
        o.is_dirty[row] = 0
        record = out[place]
        # 0 deletes the row.
        record[0] = o.contact[row] + 1
        record[1] = o.agent[row]
        record[2] = o.sequence[row]
        record[3] = o.cost[row]


@kernel
def _unpack_offer(table: Table, row: int, record: NDArray[np.int64]) -> None:
    """Read one offer's record, (OFFER_WIDTH,), into its row. O(1)."""
    o = open_offers(table)
    o.contact[row] = record[0] - 1
    o.agent[row] = record[1]
    o.sequence[row] = record[2]
    o.cost[row] = record[3]


@kernel
def _pack_queues(table: Table, out: NDArray[np.int64]) -> None:
    """Write the dirty queues into `out`, (count, QUEUE_WIDTH), and clear their marks. O(count)."""
    q = open_queues(table)
    for place in range(out.shape[0]):
        row = q.dirty[place]
        q.is_dirty[row] = 0
        record = out[place]
        record[0] = q.intake[row]
        record[1] = q.version[row]
        for item in range(TOTALS):
            record[2 + item] = q.totals[row, item]
        record[_QUEUE_PLAIN] = q.recent_handled[row]
        record[_QUEUE_PLAIN + 1] = q.recent_handle_ms[row]
        for item in range(WINDOW_TOTALS):
            record[_QUEUE_WINDOWS + item] = q.window_totals[row, item]


@kernel
def _unpack_queue(table: Table, row: int, record: NDArray[np.int64]) -> None:
    """Read one queue's record, (QUEUE_WIDTH,), into its row. O(1)."""
    q = open_queues(table)
    q.intake[row] = record[0]
    q.version[row] = record[1]
    for item in range(TOTALS):
        q.totals[row, item] = record[2 + item]
    q.recent_handled[row] = record[_QUEUE_PLAIN]
    q.recent_handle_ms[row] = record[_QUEUE_PLAIN + 1]
    for item in range(WINDOW_TOTALS):
        q.window_totals[row, item] = record[_QUEUE_WINDOWS + item]


@entry
def pack_dirty(
    table: Table,
    contacts_out: NDArray[np.int64],
    agents_out: NDArray[np.int64],
    queues_out: NDArray[np.int64],
) -> None:
    """
    Write every dirty contact, agent and queue and clear the marks. O(rows).

    Each output has as many rows as the subject has dirty ones, and the subject's `_WIDTH` columns.
    """
    scalar = open_cell(table).scalar
    _pack_contacts(table, contacts_out)
    _pack_agents(table, agents_out)
    _pack_queues(table, queues_out)
    scalar[CONTACT_DIRTY_COUNT] = 0
    scalar[AGENT_DIRTY_COUNT] = 0
    scalar[QUEUE_DIRTY_COUNT] = 0


@entry
def pack_seldom_dirty(
    table: Table, offers_out: NDArray[np.int64], estimates_out: NDArray[np.int64]
) -> None:
    """As `pack_dirty`, of what most groups have none of: further offers and estimates."""
    scalar = open_cell(table).scalar
    _pack_offers(table, offers_out)
    _pack_estimates(table, estimates_out)
    scalar[OFFER_DIRTY_COUNT] = 0
    scalar[ESTIMATE_DIRTY_COUNT] = 0


@entry
def unpack_rows(
    table: Table, subject: int, rows: NDArray[np.int64], records: NDArray[np.int64]
) -> None:
    """
    Read records, (rows, the subject's width), into their rows, (rows,); `subject` is a RowTable
    code. O(rows).
    """
    for place in range(rows.shape[0]):
        if subject == CONTACT_ROWS:
            _unpack_contact(table, rows[place], records[place])
        elif subject == AGENT_ROWS:
            _unpack_agent(table, rows[place], records[place])
        elif subject == QUEUE_ROWS:
            _unpack_queue(table, rows[place], records[place])
        elif subject == ESTIMATE_ROWS:
            _unpack_estimates(table, rows[place], records[place])
        else:
            _unpack_offer(table, rows[place], records[place])
