"""Rows as the commit log keeps them."""

from collections.abc import Iterable, Mapping
from enum import IntEnum
from functools import partial
from types import MappingProxyType
from typing import Final, NamedTuple

from engine.kernels.columns import AGENT_ROWS, CONTACT_ROWS, ESTIMATE_ROWS, OFFER_ROWS, QUEUE_ROWS

# Version of every record and payload below, up to which they are read; raise it with any change of
# their meaning. What older versions wrote is read as well.
# 1: as first released. 2: relaxation of contacts, in their payload and beside their failed offers.
# 3: occupancy and estimates of agents, outcomes of queues, several offers of one contact, and where
# decisions are numbered from. 4: scheduled and interrupted contacts, consults, and totals of
# matching windows. 5: plans. 6: policies, activations, choices and diversions.
# 7: policies that have acted on a contact; agents opened, in what an activation counts.
# 8: contacts that cross to other cells.
SCHEMA_VERSION: Final = 8
# Version that reads what is written where nothing of a later one is used: the release before this
# one can take a cell back until then.
SCHEMA_WRITTEN: Final = 7


class RowTable(IntEnum):
    """What a durable row describes."""

    # Row 0: the cell's own scalars.
    CELL = 0
    CONTACT = CONTACT_ROWS
    AGENT = AGENT_ROWS
    QUEUE = QUEUE_ROWS
    # What was learned of an agent, by its row.
    ESTIMATES = ESTIMATE_ROWS
    # An outstanding offer beside the leading one of its contact.
    OFFER = OFFER_ROWS
    # An event, agents planned or a business volume, with its etag and order as the record.
    PLAN = 6
    # A policy with its draft, one of its versions, or what is said of policies.
    POLICY = 7
    # A period in which a policy acted on a queue, by number.
    ACTIVATION = 8
    # How often what policies offer in a queue is taken.
    ACCEPTANCE = 9
    # A contact on its way to another cell.
    CROSSING = 10
    # What was said of the crossings of another cell, by its name.
    RECEIVED = 11


# Version with which the rows of a table came, of those after SCHEMA_WRITTEN.
SCHEMA_OF: Final[Mapping[RowTable, int]] = MappingProxyType(
    {RowTable.CROSSING: 8, RowTable.RECEIVED: 8}
)


class DamagedRow(ValueError):
    """A stored row does not say what a row of its table says."""


class RowDelta(NamedTuple):
    """
    One durable row to be written or deleted.

    Attributes
    ----------
    table
        What the row describes.
    row
        Row index, >= 0; with `table` the identity of the row.
    external_id
        Id of the contact, agent or queue; empty for CELL.
    record
        The row's moving columns, little-endian int64; None deletes the row.
    payload
        The row's definition as JSON; None leaves what is stored.
    """

    table: RowTable
    row: int
    external_id: str
    record: bytes | None
    payload: bytes | None


def deltas_of(
    tables: Iterable[RowTable],
    rows: Iterable[int],
    external_ids: Iterable[str],
    records: Iterable[bytes | None],
    payloads: Iterable[bytes | None],
) -> list[RowDelta]:
    """Deltas of so many of each: half the time of making one after the other."""
    fields = zip(tables, rows, external_ids, records, payloads, strict=True)
    return list(map(partial(tuple.__new__, RowDelta), fields))
