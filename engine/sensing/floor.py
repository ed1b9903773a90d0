"""Who and what is on the floor now: the engine's own agents, and those that others tell of."""

import numpy as np
from numpy.typing import NDArray

from engine.forecasting.pools import Membership
from engine.forecasting.windows import QueueWindows
from engine.kernels.staff_counts import Serving
from engine.kernels.windows import AVAILABLE, HANDLING, WAITING, WRAP_UP
from engine.sensing.directory import Directory
from engine.sensing.outlook import Floor
from engine.sensing.own_queues import OwnQueues


class FloorReader:
    """Puts a floor together; keeps who serves what until it changes."""

    def __init__(self) -> None:
        self._serving: Membership | None = None
        self._known: Serving | None = None
        self._made_of: tuple[object, ...] = ()

    def read(
        self,
        own: OwnQueues,
        directory: Directory,
        windows: QueueWindows,
        is_known: NDArray[np.bool_],
    ) -> Floor:
        """
        The floor as of the last second.

        Parameters
        ----------
        is_known
            (n,) where there is a reading that is not too old.
        """
        row_of_own = directory.row_of_own
        rows = len(is_known)
        latest = windows.columns.latest
        is_own = np.zeros(rows, np.bool_)
        in_service = (latest[:, HANDLING] + latest[:, WRAP_UP]).astype(np.float64)
        served = own.in_service()
        count = min(len(served), len(row_of_own))
        told = np.flatnonzero(own.is_told[:count] & (row_of_own[:count] >= 0))
        is_own[row_of_own[told]] = True
        in_service[row_of_own[told]] = served[told]
        others = np.flatnonzero(is_known & ~is_own)
        there = latest[others][:, [AVAILABLE, HANDLING, WRAP_UP]].sum(axis=1)
        agents = np.concatenate([own.staff.slots, there]).astype(np.float64)
        waiting = latest[:, WAITING].astype(np.float64)
        serving = self._serving_of(own, row_of_own, others, rows)
        moved_in_per_s = np.zeros(rows)
        for name, rate in own.moved_in_per_s.items():
            row = directory.rows.queue_row(name)
            if row >= 0:
                moved_in_per_s[row] = rate
        return Floor(
            serving,
            agents,
            waiting + in_service,
            waiting,
            moved_in_per_s,
            is_known,
            directory.within_s,
            directory.ratio,
        )

    def _serving_of(
        self,
        own: OwnQueues,
        row_of_own: NDArray[np.int64],
        others: NDArray[np.int64],
        rows: int,
    ) -> Membership:
        """Sets of the engine's agents, then one set for each queue that others tell of."""
        known = own.memberships
        made_of = row_of_own.tobytes(), others.tobytes(), rows
        if self._serving is not None and known is self._known and made_of == self._made_of:
            return self._serving
        inside = known.queues < len(row_of_own)
        sets, queues = known.sets[inside], row_of_own[known.queues[inside]]
        sets, queues = sets[queues >= 0], queues[queues >= 0]
        sizes = np.concatenate(
            [np.bincount(sets, minlength=len(own.staff.slots)), np.ones(len(others))]
        )
        first = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self._serving = Membership(first, np.concatenate([queues, others]), rows)
        self._known, self._made_of = known, made_of
        return self._serving
