"""
What is coming: agents, load, and how likely contacts wait too long.

    handling times, presence and plans → agents by queue, shared ones by load → pools
    forecast rates, contacts in the system, patience → risk of each pool → calibrated by outcomes

Risks are told every few seconds; once a minute they are kept, to be compared with what came of
them.
"""

from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.forecasting import service_level
from engine.forecasting.arrivals import ArrivalModel
from engine.forecasting.breach import HORIZONS_S, BreachCalibration, wait_risk
from engine.forecasting.columns import Array, arrays_of, ratio, with_prefixes
from engine.forecasting.handle_time import HandleTimes
from engine.forecasting.pools import Membership, Shares, pooled, share_agents
from engine.forecasting.service_level import IntervalServiceLevel
from engine.forecasting.staffing import AGENTS_MAX, Staffing
from engine.forecasting.windows import QueueWindows
from engine.kernels.breach import Pools
from engine.kernels.calibration import Outcomes
from engine.kernels.projection import Projection
from engine.kernels.sensing_columns import BUCKET_S
from engine.kernels.windows import (
    ABANDONED,
    ANSWERED,
    ANSWERED_WITHIN,
    DAY_WINDOW,
    HANDLE_MS,
    HANDLED,
    WAITING,
)

# Segments of five minutes that agents and rates are looked at for.
SEGMENTS: Final = 6
# Time in which what waits now should be worked off, where agents are shared by load.
_BACKLOG_S: Final = 600.0
# One who waits gives up after five minutes in the mean, until some have.
_PATIENCE_PRIOR: Final = 2.0
_PATIENCE_PRIOR_S: Final = 600.0
_MINUTE_S: Final = 60
# The window of a minute in the sums, and seconds of it without which nothing is learned.
_MINUTE_WINDOW: Final = 1
_SEEN_S: Final = 30
_LOAD_MAX: Final = 100.0
# Moments at which waits are looked at: now, which is a second from now, and the horizons.
_SOON_S: Final = np.array([1.0, *HORIZONS_S])
_MOMENTS_S: Final = np.array([0.0, *HORIZONS_S])
_VARIANCE_MAX: Final = 4.0
# Contacts, agents and rates of a pool beyond which more say no more: bots may have any capacity.
_CONTACTS_MAX: Final = 1e7
_PROBABLE: Final = 1e-7
# Parts that are kept over a restart.
_LEARNED: Final = ("handle_times", "staffing", "calibration", "service_level")


class Floor(NamedTuple):
    """
    Who and what is on the floor now.

    Attributes
    ----------
    serving
        Which queues each set of agents serves, by row.
    agents
        (sets,) contacts that the agents of each may have at a time, all together.
    in_system
        (n,) contacts waiting, handled and in wrap-up.
    waiting
        (n,) those waiting.
    moved_in_per_s
        (n,) contacts that policies move there, which no forecast has.
    is_known
        (n,) whether there is a reading that is not too old.
    within_s, target
        (n,) service-level time, and the share of contacts that it is to hold for.
    """

    serving: Membership
    agents: NDArray[np.float64]
    in_system: NDArray[np.float64]
    waiting: NDArray[np.float64]
    moved_in_per_s: NDArray[np.float64]
    is_known: NDArray[np.bool_]
    within_s: NDArray[np.float64]
    target: NDArray[np.float64]


class Coming(NamedTuple):
    """
    Arrivals ahead.

    Attributes
    ----------
    rates
        (n, SEGMENTS) contacts per second, from now on.
    mean, variance
        (n,) contacts of the running bucket and the five after it.
    """

    rates: NDArray[np.float64]
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]


class Ahead(NamedTuple):
    """
    What is coming, by row.

    Attributes
    ----------
    agents
        (n, SEGMENTS) expected, 0 where nobody was ever seen or planned.
    load_ratio
        (n,) forecast load over agents in the next half hour; NaN without agents.
    risk
        (n, 4) at `HORIZONS_S`; NaN where nothing is known of the present.
    raw, load
        (n, 4), (n,) before calibration, and what it goes by.
    coming
        Arrivals that are forecast, without what policies move.
    projection
        What the running half hour will end with; NaN likewise.
    pools
        Each queue with its pool, which risks are of.
    """

    agents: NDArray[np.float64]
    load_ratio: NDArray[np.float64]
    risk: NDArray[np.float64]
    raw: NDArray[np.float64]
    load: NDArray[np.float64]
    coming: Coming
    projection: Projection
    pools: Pools


class Outlook:
    """
    Keeps what looking ahead rests on.

    Attributes
    ----------
    handle_times, staffing, calibration, service_level
        Its parts.
    """

    def __init__(self, rows: int) -> None:
        self.handle_times = HandleTimes(rows)
        self.staffing = Staffing(rows)
        self.calibration = BreachCalibration(rows)
        self.service_level = IntervalServiceLevel(rows)
        self._shares: Shares | None = None
        self._told: deque[tuple[int, NDArray[np.float64], NDArray[np.float64]]] = deque()

    def require(self, rows: int) -> None:
        """Make room for rows."""
        for part in (self.handle_times, self.staffing, self.calibration, self.service_level):
            part.require(rows)

    def clear(self, row: int) -> None:
        """Forget a queue."""
        for part in (self.handle_times, self.staffing, self.calibration, self.service_level):
            part.clear(row)
        self._forget_told(row)

    def observe(self, second: int, windows: QueueWindows) -> None:
        """Take in a second that was closed."""
        columns = windows.columns
        counts = columns.latest_s == second
        handled = np.where(counts, columns.latest[:, HANDLED], 0)
        self.handle_times.observe(handled, np.where(counts, columns.latest[:, HANDLE_MS], 0))
        ended = columns.latest[:, ANSWERED] + columns.latest[:, ABANDONED]
        within = np.where(counts, columns.latest[:, ANSWERED_WITHIN], 0)
        self.service_level.observe(second, within, np.where(counts, ended, 0))

    def ahead(self, second: int, floor: Floor, model: ArrivalModel, windows: QueueWindows) -> Ahead:
        """Look half an hour ahead from a second."""
        aht_s = self.handle_times.columns.mean_ms / 1_000.0
        coming = _coming(model)
        arriving = coming._replace(rates=coming.rates + floor.moved_in_per_s[:, None])
        rates = arriving.rates
        erlangs = rates.mean(axis=1) * aht_s + floor.waiting * aht_s / _BACKLOG_S
        load = np.minimum(np.maximum(erlangs, 0.0), 1e8)
        self._shares = share_agents(floor.serving, floor.agents, load, self._shares)
        there = np.minimum(self._shares.agents, AGENTS_MAX)
        present = np.where(floor.is_known, there, np.nan)
        self.staffing.observe(second, present)
        agents = self.staffing.expected(second, SEGMENTS, BUCKET_S)
        expected = np.nan_to_num(agents)
        load_ratio = ratio(rates.mean(axis=1) * aht_s, expected.mean(axis=1))
        pools = self._pools(floor, arriving, expected, windows)
        raw = wait_risk(pools, BUCKET_S, _SOON_S)
        busy = np.clip(np.nan_to_num(ratio(load, pools.agents.mean(axis=1)), nan=1.0), 0, _LOAD_MAX)
        told = self.calibration.calibrate(raw[:, 1:], busy)
        # Nobody is there and nobody will be: no outcome is needed to know that.
        told[(expected <= 0.0).all(axis=1)] = 1.0
        whole = np.concatenate([raw[:, :1], told], axis=1)
        projection = self._project(floor, arriving, pools, whole)
        is_unknown = ~floor.is_known | np.isnan(agents).all(axis=1) | ~is_known(model)
        for part in (told, projection.mean, projection.risk):
            part[is_unknown] = np.nan
        return Ahead(expected, load_ratio, told, raw[:, 1:], busy, coming, projection, pools)

    def risk_without(
        self, ahead: Ahead, rows: NDArray[np.int64], fewer_per_s: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """
        Risks of some rows (m, 4) if so many contacts less, (m,), came to their pools each second.

        Less than none are more. NaN where the risk is not known as it is.
        """
        known = ahead.pools
        pools = Pools(*(column[rows] for column in known))
        left = np.maximum(pools.arrivals_per_s - fewer_per_s[:, None], 0.0)
        raw = wait_risk(pools._replace(arrivals_per_s=left), BUCKET_S)
        told = self.calibration.calibrate(raw, ahead.load[rows], rows)
        told[(ahead.agents[rows] <= 0.0).all(axis=1)] = 1.0
        told[np.isnan(ahead.risk[rows])] = np.nan
        return told

    def learn(self, second: int, ahead: Ahead, windows: QueueWindows) -> None:
        """Once a minute: learn from risks told before, and keep those told now."""
        sums = windows.columns.sums[:, _MINUTE_WINDOW]
        ended = sums[:, ANSWERED] + sums[:, ABANDONED]
        covered_s = windows.figures("1m").covered_s
        is_told = (ended > 0) & (covered_s >= _SEEN_S)
        late = (ended - sums[:, ANSWERED_WITHIN]) / np.maximum(ended, 1)
        for told_s, raw, load in self._told:
            for place, horizon_s in enumerate(HORIZONS_S):
                # What came in the last minute, of what was told for its middle.
                if abs(second - _MINUTE_S / 2 - told_s - horizon_s) > _MINUTE_S / 2:
                    continue
                rows = np.flatnonzero(is_told[: len(load)] & ~np.isnan(raw[:, place]))
                came = np.clip(late[rows], 0.0, 1.0)
                of_horizon = np.full(len(rows), place)
                self.calibration.learn(
                    Outcomes(rows, of_horizon, raw[rows, place], load[rows], came)
                )
        known = np.where(np.isnan(ahead.risk), np.nan, ahead.raw)
        self._told.append((second, known, ahead.load))
        while self._told and self._told[0][0] < second - HORIZONS_S[-1] - 2 * _MINUTE_S:
            self._told.popleft()

    def _forget_told(self, row: int) -> None:
        """What was told of a row is no longer to be learned from."""
        for _, raw, _ in self._told:
            if row < len(raw):
                raw[row] = np.nan

    def export(self) -> dict[str, Array]:
        """What is learned, as arrays, for `load`."""
        return with_prefixes({name: getattr(self, name).export() for name in _LEARNED})

    def load(self, arrays: Mapping[str, Array]) -> None:
        """
        Take what `export` gave, of as many rows.

        Raises
        ------
        BadConfiguration
            The arrays are of another version.
        """
        for name in _LEARNED:
            getattr(self, name).load(arrays_of(name, arrays))

    def _project(
        self, floor: Floor, coming: Coming, pools: Pools, risk: NDArray[np.float64]
    ) -> Projection:
        """What the running half hour will end with."""
        rest_s = self.service_level.rest_s()
        parts_s = np.clip(rest_s - BUCKET_S * np.arange(SEGMENTS), 0, BUCKET_S)
        contacts = np.maximum(coming.rates @ parts_s, 0.0)
        fading = (1.0 - risk[:, 1]) * pools.handled_per_s + risk[:, 1] * pools.abandoned_per_s
        return self.service_level.project(
            service_level.Outlook(
                contacts=contacts,
                variance=contacts + pools.rate_variance * contacts**2,
                waiting=floor.waiting,
                risk=np.clip(risk, 0.0, 1.0),
                fading_per_s=fading,
                load=coming.rates.mean(axis=1) / pools.handled_per_s,
                rate_variance=pools.rate_variance,
                target=floor.target,
            ),
            _MOMENTS_S,
        )

    def _pools(
        self,
        floor: Floor,
        coming: Coming,
        agents: NDArray[np.float64],
        windows: QueueWindows,
    ) -> Pools:
        """Each queue with its pool: sums of the pool, means by rate, its own target."""
        assert self._shares is not None
        shares, rates = self._shares, coming.rates
        aht_s = self.handle_times.columns.mean_ms / 1_000.0
        rate = np.maximum(rates.mean(axis=1), _PROBABLE)
        whole = pooled(shares, rate)
        mean = np.maximum(pooled(shares, coming.mean), _PROBABLE)
        beyond = np.maximum(pooled(shares, coming.variance) - mean, 0.0)
        sums = windows.columns.sums[:, DAY_WINDOW]
        gives_up = (sums[:, ABANDONED] + _PATIENCE_PRIOR) / (sums[:, WAITING] + _PATIENCE_PRIOR_S)
        return Pools(
            in_system=np.clip(pooled(shares, floor.in_system), 0.0, _CONTACTS_MAX),
            arrivals_per_s=np.clip(pooled(shares, rates), 0.0, _CONTACTS_MAX),
            agents=np.clip(pooled(shares, agents), 0.0, _CONTACTS_MAX),
            handled_per_s=np.clip(whole / pooled(shares, rate * aht_s), 1e-6, 10.0),
            abandoned_per_s=np.clip(pooled(shares, rate * gives_up) / whole, 0.0, 10.0),
            rate_variance=np.minimum(beyond / mean**2, _VARIANCE_MAX),
            target_s=floor.within_s,
        )


def is_known(model: ArrivalModel) -> NDArray[np.bool_]:
    """(n,) where anything has come yet, or a profile says what is usual."""
    profiles, arrivals = model.columns.profiles, model.columns.arrivals
    return (profiles.level > 0.0) | (profiles.days > 0) | (arrivals.cold_open > 0.0)


def _coming(model: ArrivalModel) -> Coming:
    """What the model says from now on."""
    mean = model.forecast(buckets=SEGMENTS + 1).mean.astype(np.float64)
    live = model.columns.live
    left = live.left
    # Of the running bucket only what is still to come, at the rate it comes at.
    to_come = np.maximum(mean[:, 0] - live.counted, 0.0)
    mean[:, 0] = np.where(left > 0.05, to_come / np.maximum(left, 0.05), mean[:, 1])
    rates = (left[:, None] * mean[:, :-1] + (1.0 - left[:, None]) * mean[:, 1:]) / BUCKET_S
    told = model.demand(0, SEGMENTS)
    return Coming(rates, told.mean, told.variance)
