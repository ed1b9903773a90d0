"""
Floors of which a gateway tells every second, and policies that decide by what is told.

Contacts come, wait in order, give up and are handled by chance, second by second; queues are those
of an engine that only knows their names. What is told is sensed in earnest, and policies decide in
earnest; what they order is done here, some time later if that is wanted.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.kernels import windows
from engine.steering import Shift, Steer
from tests.deciding.deciding_played import DecidingPlayed

# Of those who are offered another way.
ACCEPTED: Final = 0.37

Rates = NDArray[np.float64]
Counts = NDArray[np.int64]


class Pools(NamedTuple):
    """
    Who works, and what for; times in seconds.

    Attributes
    ----------
    agents
        (n,) of each queue.
    own_s, foreign_s
        Mean handling time of the queue's own contacts, and of those that came from another.
    patience_s
        Mean time after which one who waits gives up.
    within_s
        Wait that is within the service level.
    """

    agents: Counts
    own_s: float = 300.0
    foreign_s: float = 300.0
    patience_s: float = 180.0
    within_s: int = 20


class ToldFloor:
    """
    Queues of one floor.

    Parameters
    ----------
    moves
        Queue that each policy's contacts go on to, by the policy's name and their queue; -1 for
        another channel, which only those take who accept it.
    delay_s
        From what policies order to its being done.

    Attributes
    ----------
    shifts
        What went on or off, with the second.
    ended, late, gave_up
        (n,) contacts that were answered or gave up; those of them not answered in time; and those
        that gave up.
    waiting
        Those who wait in each queue: when they came in, and whether from another queue.
    busy
        (2, n) own contacts in hand, and those from other queues.
    """

    def __init__(
        self,
        names: Sequence[str],
        pools: Pools,
        moves: Callable[[str, str], int] = lambda policy, queue: -1,
        *,
        delay_s: int = 0,
        seed: int = 1,
    ) -> None:
        self.names, self.pools = tuple(names), pools
        self.played = DecidingPlayed()
        self.played.queues(*names, service_level_within_ms=1_000 * pools.within_s)
        count = len(names)
        self.shifts: list[tuple[int, Shift]] = []
        self.ended, self.late, self.gave_up = (np.zeros(count, np.int64) for _ in range(3))
        self._moves = moves
        self._random = np.random.default_rng(seed)
        self.waiting: list[deque[tuple[int, bool]]] = [deque() for _ in names]
        self.busy = np.zeros((2, count), np.int64)
        self._orders: deque[Steer] = deque([Steer()] * (delay_s + 1), delay_s + 1)
        self.second = 0

    def use(self, *texts: str) -> None:
        """Have policies in force."""
        self.played.use(*texts)

    def run(self, seconds: int, rates: Callable[[int], Rates]) -> None:
        """Let time pass; `rates` says how many contacts come each second, by second."""
        for _ in range(seconds):
            self._second(rates(self.second))

    def forget(self) -> None:
        """Count from here on."""
        self.shifts.clear()
        for counts in (self.ended, self.late, self.gave_up):
            counts[:] = 0

    @property
    def waits(self) -> Counts:
        """(n,) contacts that wait."""
        return np.array([len(queue) for queue in self.waiting], np.int64)

    def risk(self, queue: int, horizon: int = 1) -> float:
        """Risk that is told of a queue; 10 minutes where nothing else is said."""
        ahead = self.played.sensing.ahead
        row = self.played.row(self.names[queue])
        return float("nan") if ahead is None else float(ahead.risk[row, horizon])

    def _second(self, rates: Rates) -> None:
        told = np.zeros((len(self.names), windows.READING_COLUMNS), np.int64)
        self._end(told)
        self._give_up(told)
        self._come(self._random.poisson(rates), told)
        self._answer(told)
        self.ended += told[:, windows.ANSWERED] + told[:, windows.ABANDONED]
        self.late += told[:, windows.ANSWERED] - told[:, windows.ANSWERED_WITHIN]
        self.late += told[:, windows.ABANDONED]
        self.gave_up += told[:, windows.ABANDONED]
        told[:, windows.WAITING] = self.waits
        told[:, windows.HANDLING] = self.busy.sum(axis=0)
        told[:, windows.AVAILABLE] = self.pools.agents - self.busy.sum(axis=0)
        self.played.end_second(("gateway", self.names, told))
        steer = self.played.deciding.step(self.played.sensing, 1_000 * self.played.second + 20)
        self.shifts += [(self.second, shift) for shift in steer.shifts]
        self._orders.append(steer)
        self.second += 1

    def _end(self, told: Counts) -> None:
        for kind, mean_s in enumerate((self.pools.own_s, self.pools.foreign_s)):
            ended = self._random.binomial(self.busy[kind], -np.expm1(-1.0 / mean_s))
            self.busy[kind] -= ended
            told[:, windows.HANDLED] += ended
            told[:, windows.HANDLE_MS] += (1_000 * mean_s * ended).astype(np.int64)

    def _give_up(self, told: Counts) -> None:
        waits = self.waits
        leaving = self._random.binomial(waits, -np.expm1(-1.0 / self.pools.patience_s))
        for queue in np.flatnonzero(leaving).tolist():
            for _ in range(int(leaving[queue])):
                del self.waiting[queue][int(self._random.integers(len(self.waiting[queue])))]
        told[:, windows.ABANDONED] += leaving

    def _come(self, came: Counts, told: Counts) -> None:
        """Those who would have to wait are moved where an order says so, each by its chance."""
        told[:, windows.OFFERED] += came
        share_of = {order.subject.queue_id: order for order in self._orders[0].orders}
        for queue in np.flatnonzero(came).tolist():
            order = share_of.get(self.names[queue])
            free = int(self.pools.agents[queue] - self.busy[:, queue].sum())
            for place in range(int(came[queue])):
                target = queue
                if order is not None and place + len(self.waiting[queue]) >= free:
                    to = self._moves(order.subject.policy, self.names[queue])
                    share = order.share * (ACCEPTED if to < 0 else 1.0)
                    target = to if self._random.random() < share else queue
                if target >= 0:
                    self.waiting[target].append((self.second, target != queue))

    def _answer(self, told: Counts) -> None:
        free = self.pools.agents - self.busy.sum(axis=0)
        for queue in np.flatnonzero((free > 0) & (self.waits > 0)).tolist():
            for _ in range(min(int(free[queue]), len(self.waiting[queue]))):
                came, is_foreign = self.waiting[queue].popleft()
                self.busy[int(is_foreign), queue] += 1
                told[queue, windows.ANSWERED] += 1
                told[queue, windows.ANSWERED_WITHIN] += self.second - came <= self.pools.within_s
