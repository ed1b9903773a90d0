"""Rows to and from records, column by column."""

import numpy as np

from engine.effects import FIRST_TEXT_REASON
from engine.kernels.columns import (
    AGENT_DIRTY_COUNT,
    AGENT_ROWS,
    CONTACT_DIRTY_COUNT,
    CONTACT_ROWS,
    ESTIMATE_DIRTY_COUNT,
    ESTIMATE_ROWS,
    OFFER_DIRTY_COUNT,
    OFFER_ROWS,
    QUEUE_DIRTY_COUNT,
    QUEUE_ROWS,
)
from engine.kernels.estimates import mark_estimates
from engine.kernels.offering import mark_offer
from engine.kernels.packing import (
    AGENT_WIDTH,
    CONTACT_WIDTH,
    ESTIMATE_WIDTH,
    OFFER_WIDTH,
    QUEUE_WIDTH,
    pack_dirty,
    pack_seldom_dirty,
    unpack_rows,
)
from engine.kernels.recording import mark_agent, mark_contact, mark_queue
from engine.lifecycle import Presence
from engine.limits import ESTIMATES_MAX, Limits
from engine.state.store import Store


def test_packed_rows_are_what_was_unpacked() -> None:
    """What is read from the log is what is written back, column by column."""
    store = Store(Limits())
    generator = np.random.default_rng(11)
    records = {
        CONTACT_ROWS: generator.integers(1, 100, (5, CONTACT_WIDTH)),
        AGENT_ROWS: generator.integers(1, 100, (5, AGENT_WIDTH)),
        QUEUE_ROWS: generator.integers(1, 100, (5, QUEUE_WIDTH)),
        ESTIMATE_ROWS: generator.integers(1, 100, (5, ESTIMATE_WIDTH)),
        OFFER_ROWS: generator.integers(1, 100, (5, OFFER_WIDTH)),
    }
    # The number of places that know something is counted anew.
    records[ESTIMATE_ROWS][:, 0] = ESTIMATES_MAX
    marks = {
        CONTACT_ROWS: mark_contact,
        AGENT_ROWS: mark_agent,
        QUEUE_ROWS: mark_queue,
        ESTIMATE_ROWS: mark_estimates,
        OFFER_ROWS: mark_offer,
    }
    for subject, packed in records.items():
        unpack_rows(store.table, subject, np.arange(len(packed)), packed)
        for row in range(len(packed)):
            marks[subject](store.table, row)
            marks[subject](store.table, row)
    scalar = store.scalar
    assert [
        scalar[place]
        for place in (
            CONTACT_DIRTY_COUNT,
            AGENT_DIRTY_COUNT,
            QUEUE_DIRTY_COUNT,
            ESTIMATE_DIRTY_COUNT,
            OFFER_DIRTY_COUNT,
        )
    ] == [5] * 5
    again = {subject: np.empty_like(packed) for subject, packed in records.items()}
    pack_dirty(store.table, again[CONTACT_ROWS], again[AGENT_ROWS], again[QUEUE_ROWS])
    pack_seldom_dirty(store.table, again[OFFER_ROWS], again[ESTIMATE_ROWS])
    for subject, packed in records.items():
        assert (again[subject] == packed).all()
    assert not store.columns.contacts.is_dirty.any()


def test_packed_presence_reason_is_the_same_for_every_text() -> None:
    """Numbers of texts differ from cell to cell; a row that held one could not be compared."""
    store = Store(Limits())
    store.columns.agents.presence[0] = Presence.AWAY
    store.columns.agents.presence_reason[0] = FIRST_TEXT_REASON + 17
    mark_agent(store.table, 0)
    packed = np.empty((1, AGENT_WIDTH), np.int64)
    contacts = np.empty((0, CONTACT_WIDTH), np.int64)
    pack_dirty(store.table, contacts, packed, np.empty((0, QUEUE_WIDTH), np.int64))
    assert packed[0, 5] == FIRST_TEXT_REASON
