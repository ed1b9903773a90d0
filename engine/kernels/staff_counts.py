"""
How many agents of each queue do what, each counted in every queue that it serves.

Agents who serve the same queues make a set, and are counted as one: of 1,000 agents with 1,000
queues each a million links are gone through, some 3 ms.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.kernels.compilation import sensing_entry
from engine.kernels.sampling import ABSENT, AVAILABLE, DOING, IN_WRAP_UP, SLOTS


class Serving(NamedTuple):
    """
    Who serves what.

    Attributes
    ----------
    set_of
        (agents,) number of each agent's set.
    sets, queues
        (links,) each queue that a set serves: number of the set, engine's row of the queue.
    """

    set_of: NDArray[np.int64]
    sets: NDArray[np.int64]
    queues: NDArray[np.int64]


class Counts(NamedTuple):
    """
    Agents, counted; all zeros at first.

    Attributes
    ----------
    by_set, by_queue
        (sets, 5), (queues, 5) by what they do, as `engine.kernels.sampling` numbers it.
    slots
        (sets,) contacts that those at work may have at a time, all together.
    """

    by_set: NDArray[np.int64]
    by_queue: NDArray[np.int64]
    slots: NDArray[np.int64]


@sensing_entry
def count_staff(serving: Serving, agents: NDArray[np.int64], counts: Counts) -> None:
    """
    Count agents by their sample, (agents, 2). O(agents + links).

    Links to queues beyond the rows of `counts` count for nothing.
    """
    for agent in range(agents.shape[0]):
        doing, members = agents[agent, DOING], serving.set_of[agent]
        counts.by_set[members, doing] += 1
        if AVAILABLE <= doing <= IN_WRAP_UP:
            counts.slots[members] += agents[agent, SLOTS]
    queues = counts.by_queue.shape[0]
    for link in range(serving.queues.shape[0]):
        queue, members = serving.queues[link], serving.sets[link]
        if queue < queues:
            for doing in range(ABSENT, counts.by_queue.shape[1]):
                counts.by_queue[queue, doing] += counts.by_set[members, doing]
