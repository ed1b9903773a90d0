"""
Readings of the cell's own queues, from one sample to the next.

    offered    contacts taken in, those rejected at the door among them
    abandoned  without short abandons, as the service level has it
    agents     each counts in every queue that it serves

A queue that has had no contact and that nobody serves is not reported on: others may.
"""

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.kernels import columns, sampling, windows
from engine.kernels.staff_counts import Counts, Serving, count_staff
from engine.sensing.sampling import Sample

# Seconds between samples over which a difference is still told; after a longer pause it is not
# known when what came came.
_PAUSE_S: Final = 5
_WORD: Final = 64
# What an agent may be doing: how many, and which of it is work.
_DOINGS: Final = sampling.AWAY + 1
_AT_WORK: Final = slice(sampling.AVAILABLE, sampling.IN_WRAP_UP + 1)
# Over how long what policies move is smoothed; and what is as good as nothing.
_MOVES_S: Final = 60.0
_HARDLY_PER_S: Final = 1e-5


class Staff(NamedTuple):
    """
    Agents by set.

    Attributes
    ----------
    present
        (sets,) agents who are free, handle contacts or are in wrap-up.
    slots
        (sets,) contacts that those may have at a time, all together.
    """

    present: NDArray[np.int64]
    slots: NDArray[np.int64]


class OwnQueues:
    """
    Follows the samples of a cell.

    Attributes
    ----------
    memberships, staff
        Who serves what, and who is there.
    latest
        (queues, 8) the last sample, by engine's row, as `engine.kernels.sampling` names it.
    signed_in
        (queues,) agents who serve it and are not offline, likewise.
    acceptance, on_their_way
        As of the last sample.
    moved_in_per_s
        By queue, contacts that policies move there each second, over the last minute or so. They do
        not come anew, so no forecast of arrivals has them.
    is_told
        (queues,) whether the engine tells of the queue.
    """

    def __init__(self) -> None:
        none = np.zeros(0, np.int64)
        self.memberships = Serving(none, none, none)
        self.staff = Staff(none, none)
        self.latest = np.zeros((0, sampling.QUEUE_SAMPLE), np.int64)
        self.signed_in = none
        self.acceptance: Mapping[str, float] = {}
        self.on_their_way: Mapping[str, int] = {}
        self.moved_in_per_s: dict[str, float] = {}
        self.is_told = np.zeros(0, np.bool_)
        self._memberships_seen = (-1, -1)
        self._totals = np.zeros((0, columns.TOTALS), np.int64)
        self._second = -1
        # As of the last sample, None before the first.
        self._moved_to: Mapping[str, int] | None = None

    def follow(self, sample: Sample) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """
        Take the next sample in.

        Returns the engine's rows of queues (n,) and their values (seconds, n, 12), of the seconds
        since the sample before; none after a pause.
        """
        seen = sample.memberships, len(sample.agents)
        if seen != self._memberships_seen:
            self.memberships, self._memberships_seen = memberships_of(sample.agent_queues), seen
        counts = self._count_agents(sample)
        self._follow_moves(sample)
        values = self._values(sample, counts)
        self.latest = sample.queues
        self.acceptance, self.on_their_way = sample.acceptance, sample.on_their_way
        self.is_told = (sample.totals[:, columns.RECEIVED] > 0) | (counts.sum(axis=1) > 0)
        rows = np.flatnonzero(self.is_told)
        return rows, values[:, rows]

    def _follow_moves(self, sample: Sample) -> None:
        before = sample.moved_to if self._moved_to is None else self._moved_to
        self._moved_to = sample.moved_to
        passed_s = max(sample.second - self._second, 1)
        fading = math.exp(-passed_s / _MOVES_S)
        rates: dict[str, float] = {}
        for name, moved in sample.moved_to.items():
            # An engine that was loaded anew counts from 0 again.
            since = before.get(name, 0)
            came = moved - since if moved >= since else moved
            rate = self.moved_in_per_s.get(name, 0.0)
            rate = fading * rate + (1.0 - fading) * came / passed_s
            if rate > _HARDLY_PER_S:
                rates[name] = rate
        self.moved_in_per_s = rates

    def in_service(self) -> NDArray[np.int64]:
        """(queues,) contacts handled or in wrap-up, by engine's row."""
        served: NDArray[np.int64] = self.latest[:, sampling.ASSIGNED : sampling.SCHEDULED].sum(
            axis=1
        )
        return served

    def _count_agents(self, sample: Sample) -> NDArray[np.int64]:
        """Agents of each queue by what they are doing, (queues, 3)."""
        found = self._counts(len(sample.totals))
        count_staff(self.memberships, sample.agents, found)
        self.staff = Staff(found.by_set[:, _AT_WORK].sum(axis=1), found.slots)
        self.signed_in = found.by_queue[:, sampling.AVAILABLE :].sum(axis=1)
        return found.by_queue[:, _AT_WORK]

    def _counts(self, queues: int) -> Counts:
        sets = int(self.memberships.set_of.max(initial=-1)) + 1
        by_set, by_queue = (np.zeros((rows, _DOINGS), np.int64) for rows in (sets, queues))
        return Counts(by_set, by_queue, np.zeros(sets, np.int64))

    def _values(self, sample: Sample, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Values by second since the sample before: what came, all in the last of them."""
        passed_s = sample.second - self._second
        is_known = self._second >= 0 and 1 <= passed_s <= _PAUSE_S
        seconds = passed_s if is_known else 0
        came = self._came(sample) if is_known else None
        self._second, self._totals = sample.second, sample.totals
        values = np.zeros((seconds, len(sample.totals), windows.READING_COLUMNS), np.int64)
        if came is not None:
            values[-1] = came
        waiting = sample.queues[:, [sampling.WAITING, sampling.OFFERED]].sum(axis=1)
        values[:, :, windows.WAITING] = waiting
        values[:, :, windows.OLDEST_WAIT_MS] = sample.queues[:, sampling.OLDEST_WAIT_MS]
        values[:, :, windows.AVAILABLE] = counts[:, 0]
        values[:, :, windows.HANDLING] = counts[:, 1]
        values[:, :, windows.WRAP_UP] = counts[:, 2]
        longest = (windows.ANSWER_WAIT_MS, windows.HANDLE_MS, windows.OLDEST_WAIT_MS)
        for column in range(windows.READING_COLUMNS):
            most = windows.DURATION_MS_MAX if column in longest else windows.COUNT_MAX
            np.minimum(values[:, :, column], most, out=values[:, :, column])
        return values

    def _came(self, sample: Sample) -> NDArray[np.int64]:
        """What happened since the sample before, (queues, 12)."""
        before = np.zeros_like(sample.totals)
        known = min(len(before), len(self._totals))
        before[:known] = self._totals[:known]
        # Totals that went down are those of another queue in the same row.
        is_other = (sample.totals < before).any(axis=1)
        before[is_other] = sample.totals[is_other]
        more = sample.totals - before
        came = np.zeros((len(before), windows.READING_COLUMNS), np.int64)
        came[:, windows.OFFERED] = more[:, columns.RECEIVED]
        came[:, windows.ANSWERED] = more[:, columns.ANSWERED]
        came[:, windows.ANSWERED_WITHIN] = more[:, columns.ANSWERED_WITHIN]
        came[:, windows.ABANDONED] = more[:, columns.ABANDONED] - more[:, columns.SHORT_ABANDONED]
        came[:, windows.ANSWER_WAIT_MS] = more[:, columns.WAIT_MS_SUM]
        came[:, windows.HANDLED] = more[:, columns.COMPLETED]
        came[:, windows.HANDLE_MS] = more[:, columns.HANDLE_MS_SUM]
        return np.maximum(came, 0)


def memberships_of(agent_queues: NDArray[np.uint64]) -> Serving:
    """
    Sets of agents by the queues they serve.

    Rows are told apart by a 64-bit hash: two different ones of 100,000 share one with a probability
    of 3e-10, and then agents are counted for the wrong queues until somebody is defined anew.
    """
    agents, words = agent_queues.shape
    odd = np.random.default_rng(1).integers(0, 1 << 63, words, np.uint64) * 2 + 1
    hashed = (agent_queues * odd).sum(axis=1, dtype=np.uint64)
    _, first, set_of = np.unique(hashed, return_index=True, return_inverse=True)
    bits = np.unpackbits(agent_queues[first].view(np.uint8), axis=1, bitorder="little")
    links = np.nonzero(bits.reshape(len(first), words * _WORD))
    # Copies: what `nonzero` returns are columns of one array, dense only where there is one link.
    sets, queues = map(np.ascontiguousarray, links)
    return Serving(set_of.reshape(agents), sets, queues)
