"""
Agents shared by queues, filled like water: load over agents as equal as who serves what allows.

With x the agents of group g given to queue q, c = sum of x over groups, and

    level of a queue = load / c

the greatest level is made as small as can be, then the next greatest, and so on (max-min fairness:
Megiddo 1974; on such a base any other fair measure has the same answer: Fujishige 1980). There
every group serves only those of its queues whose level is the highest. That is reached by filling
one group at a time exactly, the others as they are, over and over: each filling raises the concave
sum load * log(c), so the sweeps converge.

Filling one group is a projection: with c' what the others give, find t so that
sum max(0, load * t - c') is its agents; those with c' above load * t get nothing, and are left out
until none more are (Michelot 1986).
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.kernels.compilation import sensing_entry, sensing_kernel

# What counts as load where there is none, so that idle queues share evenly what nobody else needs.
_LOAD_MIN: Final = 1e-9
_CAPACITY_MIN: Final = 1e-12
# How near to 1 shares sum.
_SHARED_OUT: Final = 1e-5
# In place of agents given over a link, while its queue is left out.
_LEFT_OUT: Final = -1.0


class Floor(NamedTuple):
    """
    Groups of agents and the queues they serve.

    Attributes
    ----------
    first
        (g + 1,) where each group's links begin.
    queue
        (links,) rows of the queues served.
    agents
        (g,) agents of each group, >= 0.
    load
        (n,) erlangs of each queue, >= 0.
    """

    first: NDArray[np.int64]
    queue: NDArray[np.int64]
    agents: NDArray[np.float64]
    load: NDArray[np.float64]


@sensing_kernel
def _take_back(
    floor: Floor, group: int, given: NDArray[np.float64], capacity: NDArray[np.float64]
) -> float:
    """
    Take a group's agents back, and find to which level they fill its queues; agents per erlang.

    Links to queues that are above it already are marked as left out. O(links^2) at worst.
    """
    first, last = floor.first[group], floor.first[group + 1]
    others, load = 0.0, 0.0
    for link in range(first, last):
        queue = floor.queue[link]
        capacity[queue] = max(capacity[queue] - given[link], 0.0)
        given[link] = 0.0
        others += capacity[queue]
        load += max(floor.load[queue], _LOAD_MIN)
    level = (floor.agents[group] + others) / load
    was_left_out = True
    while was_left_out:
        was_left_out = False
        for link in range(first, last):
            queue = floor.queue[link]
            weight = max(floor.load[queue], _LOAD_MIN)
            # What is left out cannot come back: the level only falls.
            if given[link] != _LEFT_OUT and capacity[queue] > weight * level:
                given[link] = _LEFT_OUT
                others -= capacity[queue]
                load -= weight
                was_left_out = True
        if was_left_out:
            level = (floor.agents[group] + others) / load
    return level


@sensing_kernel
def _give(
    floor: Floor, group: int, level: float, given: NDArray[np.float64],
    capacity: NDArray[np.float64],
) -> None:  # fmt: skip
    """Give a group's agents out to the queues that were not left out. O(links)."""
    first, last = floor.first[group], floor.first[group + 1]
    for link in range(first, last):
        queue = floor.queue[link]
        more = 0.0
        if given[link] != _LEFT_OUT:
            more = max(max(floor.load[queue], _LOAD_MIN) * level - capacity[queue], 0.0)
        given[link] = more
        capacity[queue] += more


@sensing_kernel
def _begin(floor: Floor, given: NDArray[np.float64], capacity: NDArray[np.float64]) -> None:
    """Give each group's agents out by the shares that `given` holds. O(links)."""
    capacity[:] = 0.0
    for group in range(floor.agents.shape[0]):
        for link in range(floor.first[group], floor.first[group + 1]):
            given[link] *= floor.agents[group]
            capacity[floor.queue[link]] += given[link]


@sensing_kernel
def _level(floor: Floor, queue: int, capacity: NDArray[np.float64]) -> float:
    """Load over agents. O(1)."""
    return max(floor.load[queue], _LOAD_MIN) / max(capacity[queue], _CAPACITY_MIN)


@sensing_kernel
def _unevenness(
    floor: Floor, group: int, given: NDArray[np.float64], capacity: NDArray[np.float64]
) -> float:
    """
    How far below the highest level among a group's queues the lowest is that it gives to. O(links).
    """
    lowest, highest = np.inf, 0.0
    for link in range(floor.first[group], floor.first[group + 1]):
        level = _level(floor, floor.queue[link], capacity)
        if given[link] > 0.0:
            lowest = min(lowest, level)
        highest = max(highest, level)
    return 1.0 - lowest / highest


@sensing_entry
def fill(
    floor: Floor, sweeps_max: int, tolerance: float, given: NDArray[np.float64],
    capacity: NDArray[np.float64],
) -> int:  # fmt: skip
    """
    Give every group's agents out; returns sweeps taken. O(sweeps × links).

    Parameters
    ----------
    sweeps_max, tolerance
        Sweeps, there and back in turn, end when within every group's queues levels of those it
        gives to differ by no more than this share from the highest.
    given
        (links,) shares of each group to begin with, that sum to 1 by group; agents given over each
        link in their place.
    capacity
        (n,) agents given to each queue, filled in.
    """
    _begin(floor, given, capacity)
    groups = floor.agents.shape[0]
    for sweep in range(sweeps_max):
        worst = 0.0
        for number in range(groups):
            group = number if sweep % 2 == 0 else groups - 1 - number
            first, last = floor.first[group], floor.first[group + 1]
            if last - first < 2 or floor.agents[group] <= 0.0:
                continue
            uneven = _unevenness(floor, group, given, capacity)
            worst = max(worst, uneven)
            if uneven > tolerance:
                level = _take_back(floor, group, given, capacity)
                _give(floor, group, level, given, capacity)
        if worst <= tolerance:
            return sweep
    return sweeps_max


@sensing_entry
def share_by_load(floor: Floor, link: NDArray[np.float64]) -> None:
    """
    Share each group out by its queues' loads alone. O(links).

    Parameters
    ----------
    link
        (links,) share of its group's agents that goes over each link, filled in.
    """
    for group in range(floor.agents.shape[0]):
        first, last = floor.first[group], floor.first[group + 1]
        load = 0.0
        for place in range(first, last):
            link[place] = max(floor.load[floor.queue[place]], _LOAD_MIN)
            load += link[place]
        for place in range(first, last):
            link[place] /= load


@sensing_entry
def is_shared_out(floor: Floor, link: NDArray[np.float64]) -> bool:
    """Whether the shares of every group that serves a queue sum to 1. O(links)."""
    for group in range(floor.agents.shape[0]):
        first, last = floor.first[group], floor.first[group + 1]
        shared = 0.0
        for place in range(first, last):
            shared += link[place]
        if last > first and abs(shared - 1.0) > _SHARED_OUT:
            return False
    return True


@sensing_entry
def shares_given(floor: Floor, given: NDArray[np.float64], link: NDArray[np.float64]) -> None:
    """Put what is given in place of shares, but where a group has nobody to give. O(links)."""
    for group in range(floor.agents.shape[0]):
        if floor.agents[group] > 0.0:
            for place in range(floor.first[group], floor.first[group + 1]):
                link[place] = given[place] / floor.agents[group]


@sensing_kernel
def _root(pool: NDArray[np.int64], queue: int) -> int:
    """Lowest row of a queue's pool so far, with the way to it shortened. O(1) amortised."""
    while pool[queue] != queue:
        pool[queue] = pool[pool[queue]]
        queue = pool[queue]
    return queue


@sensing_entry
def join_pools(
    floor: Floor, capacity: NDArray[np.float64], near: float, pool: NDArray[np.int64]
) -> None:
    """
    Join queues that share agents at one level; O(links).

    Parameters
    ----------
    near
        Share by which levels may differ from the highest that the group serves.
    pool
        (n,) lowest row of each queue's pool, filled in.
    """
    for queue in range(pool.shape[0]):
        pool[queue] = queue
    for group in range(floor.agents.shape[0]):
        first, last = floor.first[group], floor.first[group + 1]
        if floor.agents[group] <= 0.0:
            continue
        highest = 0.0
        for link in range(first, last):
            highest = max(highest, _level(floor, floor.queue[link], capacity))
        joined = -1
        for link in range(first, last):
            queue = floor.queue[link]
            if _level(floor, queue, capacity) < (1.0 - near) * highest:
                continue
            here = _root(pool, queue)
            if joined >= 0:
                pool[max(joined, here)] = min(joined, here)
                here = min(joined, here)
            joined = here
    for queue in range(pool.shape[0]):
        pool[queue] = _root(pool, queue)
