"""
What the cell's own engine tells of its queues, second by second.

Samples are taken on the thread that routes and are made of copies, so that sensing reads them at
leisure. Who serves what is read where it lies: rows of it change while agents are defined, which a
count of agents survives. Definitions and plans go along when they have changed.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.kernels.sampling import AGENT_SAMPLE, QUEUE_SAMPLE, sample_floor
from engine.plans import Plan
from engine.state.cell import CellState

_NOTHING: Final[Mapping[str, int]] = MappingProxyType({})


class Sample(NamedTuple):
    """
    A cell at the end of one second.

    Attributes
    ----------
    second
        The second that has ended, since the Unix epoch.
    totals
        (queues, TOTALS) as `engine.kernels.columns` names them.
    queues, agents
        (queues, 8), (agents, 2) as `engine.kernels.sampling` names them.
    agent_queues
        (agents, words) bits of the queues each agent serves; not a copy.
    memberships
        Counts changes of who serves what.
    acceptance
        By queue, how often what policies offer is taken; none of queues without answers.
    on_their_way
        By queue, contacts that policies have sent there and that have not arrived.
    moved_to
        By queue, contacts that policies have moved there, since the engine was loaded.
    """

    second: int
    totals: NDArray[np.int64]
    queues: NDArray[np.int64]
    agents: NDArray[np.int64]
    agent_queues: NDArray[np.uint64]
    memberships: int
    acceptance: Mapping[str, float] = _NOTHING
    on_their_way: Mapping[str, int] = _NOTHING
    moved_to: Mapping[str, int] = _NOTHING


class Changes(NamedTuple):
    """
    What has been defined since it was last asked for.

    Attributes
    ----------
    definitions
        Changed definitions of queues as JSON, by row; b"" for a row without.
    plans
        Every plan where any has changed, those put last at the end; None where none has.
    """

    definitions: Mapping[int, bytes]
    plans: tuple[Plan, ...] | None


def take_sample(cell: CellState, second: int) -> Sample:
    """Read queues and agents as a second ends."""
    queue_count, agent_count = len(cell.queues.slots.ids), len(cell.agents.slots.ids)
    queues = np.empty((queue_count, QUEUE_SAMPLE), np.int64)
    agents = np.empty((agent_count, AGENT_SAMPLE), np.int64)
    sample_floor(cell.store.table, queues, agents)
    columns = cell.store.columns
    return Sample(
        second,
        columns.queues.totals[:queue_count].copy(),
        queues,
        agents,
        columns.bitsets.agent_queues[:agent_count],
        cell.agents.changes,
        cell.acceptance.means(),
        cell.choices.on_their_way(),
        cell.choices.moved_to(),
    )


class ChangeReader:
    """Tells what changed in a cell, whose engine may be replaced by one loaded anew."""

    def __init__(self) -> None:
        self._cell: CellState | None = None
        self._payloads: list[bytes] = []
        self._definitions_seen = self._plans_seen = -1

    def take(self, cell: CellState) -> Changes:
        """What has changed since the last call; everything the first time."""
        if cell is not self._cell:
            self._cell, self._definitions_seen, self._plans_seen = cell, -1, -1
        return Changes(self._definitions(cell), self._plans(cell))

    def _definitions(self, cell: CellState) -> dict[int, bytes]:
        """What has changed, told by the bytes being others."""
        if cell.queues.changes == self._definitions_seen:
            return {}
        self._definitions_seen = cell.queues.changes
        before = self._payloads
        ids = cell.queues.slots.ids
        self._payloads = [
            payload if queue_id else b""
            for queue_id, payload in zip(ids, cell.queues.payloads, strict=True)
        ]
        before += [b""] * (len(self._payloads) - len(before))
        changed = zip(self._payloads, before, strict=False)
        return {row: now for row, (now, then) in enumerate(changed) if now is not then}

    def _plans(self, cell: CellState) -> tuple[Plan, ...] | None:
        if cell.plans.changes == self._plans_seen:
            return None
        self._plans_seen = cell.plans.changes
        return tuple(cell.plans.all())
