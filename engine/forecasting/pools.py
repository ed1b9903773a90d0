"""
Agents shared by queues: each queue's share of them, and the pools that queues form.

Shares make the load ratios, forecast erlangs over agents, as equal as who serves what allows
(`engine.kernels.filling`). Queues that share agents at nearly one level wait alike: they are one
pool, of which breach risk is told. To divide agents by the number of their queues instead is
harmful where they have many.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.kernels.filling import (
    Floor,
    fill,
    is_shared_out,
    join_pools,
    share_by_load,
    shares_given,
)
from engine.refusals import BadConfiguration

# Links gone through before shares stay as they are, some 7 ms; sweeps that are made of it; and how
# even levels must be to stop before. From nothing 2,000 random groups of 2 to 20 of 10,000 queues
# come within 1 % of the exact answer on average, from the shares of the second before within less.
_LINKS_MAX: Final = 350_000
_SWEEPS_MIN, _SWEEPS_MAX = 4, 400
_EVEN: Final = 1e-3
# Share by which levels in a pool may differ: 0.06, measured against simulated floors.
POOL_LEVELS: Final = 0.06
_LARGEST: Final = 1e9


@dataclass(frozen=True, slots=True)
class Membership:
    """
    Which queues each group of agents serves; agents who serve the same queues make a group.

    Attributes
    ----------
    first
        (g + 1,) int64, where each group's queues begin in `queue`, ascending from 0.
    queue
        (links,) int64 rows of queues, none twice in a group.
    queues
        Rows of queues there are.
    """

    first: NDArray[np.int64]
    queue: NDArray[np.int64]
    queues: int

    def __post_init__(self) -> None:
        first, queue = self.first, self.queue
        if first.dtype != np.int64 or queue.dtype != np.int64:
            raise BadConfiguration("membership", f"{first.dtype}, {queue.dtype}", "int64")
        is_whole = len(first) > 0 and first[0] == 0 and first[-1] == len(queue)
        if not (is_whole and (np.diff(first) >= 0).all()):
            raise BadConfiguration("membership.first", first, f"0, ascending, to {len(queue)}")
        if len(queue) and not (queue.min() >= 0 and queue.max() < self.queues):
            shown = f"{queue.min()} to {queue.max()}"
            raise BadConfiguration("membership.queue", shown, f"rows 0 to {self.queues - 1}")
        # Sorting lets go of Python's lock; looking for the unique ones does not.
        links = np.sort(self.group * self.queues + queue)
        if (links[1:] == links[:-1]).any():
            raise BadConfiguration("membership.queue", "a queue twice", "each once in a group")

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return len(self.first) - 1

    @property
    def group(self) -> NDArray[np.int64]:
        """(links,) group of each link."""
        return np.repeat(np.arange(self.groups), np.diff(self.first))


def membership(served: Sequence[Sequence[int]], queues: int) -> Membership:
    """
    Membership from the queues of each group.

    Raises
    ------
    BadConfiguration
        A row is out of range, or twice in a group.
    """
    first = np.cumsum([0, *(len(rows) for rows in served)], dtype=np.int64)
    rows = np.array([row for group in served for row in group], np.int64)
    return Membership(first, rows, queues)


class Shares(NamedTuple):
    """
    How agents are shared.

    Attributes
    ----------
    link
        (links,) share of its group's agents that goes over each link, 0 to 1.
    agents
        (n,) agents of each queue.
    level
        (n,) load over agents; inf where there is load and nobody, 0 without either.
    pool
        (n,) lowest row of the queue's pool.
    """

    link: NDArray[np.float64]
    agents: NDArray[np.float64]
    level: NDArray[np.float64]
    pool: NDArray[np.int64]


def share_agents(
    serving: Membership,
    agents: NDArray[np.float64],
    load: NDArray[np.float64],
    before: Shares | None = None,
) -> Shares:
    """
    Share agents (g,) over queues by their load (n,), erlangs: forecast rate × AHT, and backlog.

    Parameters
    ----------
    before
        What was found for the same membership lately, to go on from.

    Raises
    ------
    ValueError
        An array has another shape, or holds what is negative, NaN or huge.
    """
    _check("agents", agents, serving.groups)
    _check("load", load, serving.queues)
    floor = Floor(serving.first, serving.queue, agents, load)
    # By load alone, as all begins, and as a group stays that has nobody now and may have later.
    link, capacity = np.empty(len(serving.queue)), np.empty(serving.queues)
    share_by_load(floor, link)
    given = link.copy()
    if before is not None and before.link.shape == link.shape and is_shared_out(floor, before.link):
        given = before.link.copy()
    sweeps = min(max(_LINKS_MAX // max(len(link), 1), _SWEEPS_MIN), _SWEEPS_MAX)
    fill(floor, sweeps, _EVEN, given, capacity)
    pool = np.empty(serving.queues, np.int64)
    join_pools(floor, capacity, POOL_LEVELS, pool)
    shares_given(floor, given, link)
    level = np.where(load > 0.0, np.inf, 0.0)
    np.divide(load, capacity, out=level, where=capacity > 0.0)
    return Shares(link, capacity, level, pool)


def pooled(shares: Shares, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over each queue's pool, of values (n,) or (n, segments), told for every member."""
    sums = np.zeros_like(values)
    np.add.at(sums, shares.pool, values)
    whole: NDArray[np.float64] = sums[shares.pool]
    return whole


def _check(name: str, array: NDArray[np.float64], rows: int) -> None:
    if array.dtype != np.float64 or array.shape != (rows,):
        raise ValueError(f"{name}: expected float64 of shape ({rows},), got {array.shape}")
    if not ((array >= 0.0) & (array <= _LARGEST)).all():
        raise ValueError(f"{name}: expected 0 to {_LARGEST:g} everywhere")
