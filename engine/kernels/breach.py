"""
How likely a contact that arrives some minutes from now waits longer than the target.

A pool of c(t) agents is M(t)/M/c(t)+M. The number in the system, waiting and handled, is taken as
normal with mean m and variance v, and s its covariance with the factor on the forecast rate, whose
variance is f (Gaussian closure: Massey and Pender 2013):

    z = (c - m) / sd,  e = E(N - c)+ = sd phi(z) - (c - m) P(N > c),  P(N > c) = Phibar(z)
    out = mu (m - e) + theta e                  r = mu + (theta - mu) P(N > c)
    dm = lam - out      dv = lam + out - 2 r v + 2 lam s      ds = lam f - r s

Up to seven agents, where a normal number is a poor picture, the birth-death chain itself is solved
(Crank and Nicolson). With the departures in T seconds from c busy agents negative binomial, a
contact that finds k before it in the queue waits longer than T with probability
P(departures <= k), exactly.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.kernels.compilation import sensing_entry, sensing_kernel

# Steps of the closure, as shares of the time in which departures fade now; the first is a quarter
# of it, each of the next longer. Against steps of 0.02 risks differ by at most 0.012, and by 0.009
# where steps went by the shortest time constant, which cost a third more.
_STEP_SHARE: Final = 0.35
_STEP_GROWS: Final = 1.6
_STEP_S_MAX: Final = 150.0
_VARIANCE_MIN: Final = 1e-4
# Standard deviations beyond which a tail is 0 or 1: 1e-9.
_FAR: Final = 6.0
# Agents up to which the chain is solved, its states, and seconds of its steps.
CHAIN_AGENTS: Final = 7
CHAIN_STATES: Final = 96
_CHAIN_STEP_S: Final = 30.0
_CHAIN_ROOM: Final = 40
CHAIN_ROWS: Final = 3


class Pools(NamedTuple):
    """
    Pools of agents with the contacts that only they take; rates are per second.

    Attributes
    ----------
    in_system
        (n,) contacts waiting and handled now.
    arrivals_per_s, agents
        (n, segments) forecast rate, and agents on duty, real numbers, by segment from now on.
    handled_per_s
        (n,) 1 / AHT, > 0.
    abandoned_per_s
        (n,) rate at which one who waits gives up, >= 0.
    rate_variance
        (n,) squared relative error of the forecast rate.
    target_s
        (n,) wait that is still within the service level.
    """

    in_system: NDArray[np.float64]
    arrivals_per_s: NDArray[np.float64]
    agents: NDArray[np.float64]
    handled_per_s: NDArray[np.float64]
    abandoned_per_s: NDArray[np.float64]
    rate_variance: NDArray[np.float64]
    target_s: NDArray[np.float64]


class Times(NamedTuple):
    """
    When risks are asked for.

    Attributes
    ----------
    horizon_s
        (h,) seconds from now, ascending, > 0.
    segment_s
        Seconds of one segment; the last one goes on.
    """

    horizon_s: NDArray[np.float64]
    segment_s: float


class Moments(NamedTuple):
    """
    Mean and variance of the number in the system, its covariance with the rate's factor, and the
    rate at which departures from the mean fade; or their slopes, and that rate.
    """

    mean: float
    variance: float
    shared: float
    fading: float


class Rates(NamedTuple):
    """Rates of one pool within a segment, per second, and its agents."""

    arrivals: float
    agents: float
    handled: float
    abandoned: float
    factor_variance: float


@sensing_kernel
def _density_and_tail(normal: float) -> tuple[float, float]:
    """
    Density and upper tail of a standard normal deviate.

    Abramowitz and Stegun 26.2.17: within 7.5e-8, and a third of the cost of erfc. O(1).
    """
    density = 0.3989422804014327 * math.exp(-0.5 * normal * normal)
    t = 1.0 / (1.0 + 0.2316419 * abs(normal))
    series = -1.821255978 + t * 1.330274429
    series = 0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * series))
    tail = density * t * series
    return density, tail if normal >= 0.0 else 1.0 - tail


@sensing_kernel
def _slopes(at: Moments, rates: Rates) -> Moments:
    """Time derivatives of the moments. O(1)."""
    deviation = math.sqrt(at.variance)
    spare = (rates.agents - at.mean) / deviation
    density, busy = 0.0, 1.0 if spare < 0.0 else 0.0
    # Far from full, or far beyond, there is nothing to ask the normal distribution.
    if abs(spare) < _FAR:
        density, busy = _density_and_tail(spare)
    waiting = max(deviation * density - (rates.agents - at.mean) * busy, 0.0)
    out = rates.handled * (at.mean - waiting) + rates.abandoned * waiting
    pull = rates.handled + (rates.abandoned - rates.handled) * busy
    return Moments(
        rates.arrivals - out,
        rates.arrivals + out - 2.0 * pull * at.variance + 2.0 * rates.arrivals * at.shared,
        rates.arrivals * rates.factor_variance - pull * at.shared,
        pull,
    )


@sensing_kernel
def _stepped(at: Moments, rates: Rates, step_s: float) -> Moments:
    """Moments a step later (Heun). O(1)."""
    first = _slopes(at, rates)
    ahead = Moments(
        at.mean + step_s * first.mean,
        max(at.variance + step_s * first.variance, _VARIANCE_MIN),
        at.shared + step_s * first.shared,
        first.fading,
    )
    second = _slopes(ahead, rates)
    half = 0.5 * step_s
    return Moments(
        at.mean + half * (first.mean + second.mean),
        max(at.variance + half * (first.variance + second.variance), _VARIANCE_MIN),
        at.shared + half * (first.shared + second.shared),
        second.fading,
    )


@sensing_kernel
def _rates_at(pools: Pools, pool: int, segment: int) -> Rates:
    """Rates of a pool in a segment; the last one goes on. O(1)."""
    place = min(segment, pools.agents.shape[1] - 1)
    return Rates(
        pools.arrivals_per_s[pool, place],
        pools.agents[pool, place],
        pools.handled_per_s[pool],
        pools.abandoned_per_s[pool],
        pools.rate_variance[pool],
    )


@sensing_kernel
def drained(rates: Rates, target_s: float) -> float:
    """Mean departures in the target's time while all agents are busy. O(1)."""
    served = rates.agents * rates.handled
    if rates.abandoned < 1e-9:
        return served * target_s
    return served / rates.abandoned * math.expm1(rates.abandoned * target_s)


@sensing_kernel
def _wait_tail(at: Moments, rates: Rates, target_s: float) -> float:
    """
    P(offered wait > target): more are ahead than leave within it.

    Departures vary about as much as their mean. O(1).
    """
    leave = drained(rates, target_s)
    above = rates.agents + leave - at.mean - 0.5
    return _density_and_tail(above / math.sqrt(at.variance + leave))[1]


@sensing_kernel
def _closure(pools: Pools, pool: int, times: Times, risk: NDArray[np.float64]) -> None:
    """Wait risks of one pool by the closure. O(horizon / step)."""
    fastest = max(pools.handled_per_s[pool], pools.abandoned_per_s[pool])
    at = Moments(pools.in_system[pool], _VARIANCE_MIN, 0.0, fastest)
    step_s = 0.25 * min(_STEP_SHARE / fastest, _STEP_S_MAX)
    passed_s = 0.0
    segment = 0
    rates = _rates_at(pools, pool, 0)
    for number in range(times.horizon_s.shape[0]):
        while passed_s < times.horizon_s[number] - 1e-6:
            ends_s = min(times.horizon_s[number], (segment + 1) * times.segment_s)
            taken_s = min(step_s, ends_s - passed_s)
            at = _stepped(at, rates, taken_s)
            passed_s += taken_s
            step_s = min(_STEP_SHARE / max(at.fading, 1e-9), _STEP_S_MAX, step_s * _STEP_GROWS)
            if passed_s >= (segment + 1) * times.segment_s - 1e-6:
                segment += 1
                rates = _rates_at(pools, pool, segment)
        # What is asked at the end of a segment is of that segment.
        ended = _rates_at(pools, pool, max(int((passed_s - 1e-6) / times.segment_s), 0))
        risk[number] = _wait_tail(at, ended, pools.target_s[pool])


@sensing_kernel
def _chain_step(states: int, rates: Rates, step_s: float, chain: NDArray[np.float64]) -> None:
    """
    Move the chain's distribution, `chain[0]`, on by one step of Crank and Nicolson.

    Tridiagonal, by Thomas's algorithm; `chain[1:]` is scratch space. O(states).
    """
    share, right, upper = chain[0], chain[1], chain[2]
    half = 0.5 * step_s
    last = states - 1
    for n in range(states):
        birth = rates.arrivals if n < last else 0.0
        death = rates.handled * min(n, rates.agents)
        death += rates.abandoned * max(n - rates.agents, 0.0)
        flow = -(birth + death) * share[n]
        if n > 0:
            flow += rates.arrivals * share[n - 1]
        if n < last:
            more = rates.handled * min(n + 1, rates.agents)
            flow += (more + rates.abandoned * max(n + 1 - rates.agents, 0.0)) * share[n + 1]
        right[n] = share[n] + half * flow
    for n in range(states):
        birth = rates.arrivals if n < last else 0.0
        death = rates.handled * min(n, rates.agents)
        death += rates.abandoned * max(n - rates.agents, 0.0)
        more = rates.handled * min(n + 1, rates.agents)
        more += rates.abandoned * max(n + 1 - rates.agents, 0.0)
        diagonal = 1.0 + half * (birth + death)
        below = half * rates.arrivals
        if n > 0:
            diagonal -= below * upper[n - 1]
            right[n] = (right[n] + below * right[n - 1]) / diagonal
        else:
            right[n] /= diagonal
        upper[n] = half * more / diagonal
    share[last] = right[last]
    for n in range(last - 1, -1, -1):
        share[n] = right[n] + upper[n] * share[n + 1]


@sensing_kernel
def _chain_wait_tail(
    states: int, rates: Rates, target_s: float, share: NDArray[np.float64]
) -> float:
    """
    P(offered wait > target) from the chain's distribution.

    With k before it in the queue, k + 1 must leave: P(departures <= k), term by term. O(states).
    """
    agents = int(rates.agents + 0.5)
    served = agents * rates.handled
    kept = math.exp(-rates.abandoned * target_s)
    term = math.exp(-served * target_s)
    below = 0.0
    risk = 0.0
    for ahead in range(states - agents):
        below += term
        risk += share[agents + ahead] * below
        if rates.abandoned < 1e-9:
            term *= served * target_s / (ahead + 1.0)
        else:
            term *= (served / rates.abandoned + ahead) / (ahead + 1.0) * (1.0 - kept)
    return min(max(risk, 0.0), 1.0)


@sensing_kernel
def _chain(
    pools: Pools, pool: int, times: Times, chain: NDArray[np.float64], risk: NDArray[np.float64]
) -> None:
    """Wait risks of one pool by the chain. O(states × horizon / step)."""
    begin = int(pools.in_system[pool] + 0.5)
    states = min(max(begin, CHAIN_AGENTS) + _CHAIN_ROOM, CHAIN_STATES)
    chain[0, :] = 0.0
    chain[0, begin] = 1.0
    passed_s = 0.0
    for number in range(times.horizon_s.shape[0]):
        while passed_s < times.horizon_s[number] - 1e-6:
            segment = int((passed_s + 1e-6) / times.segment_s)
            ends_s = times.horizon_s[number]
            if segment < pools.agents.shape[1] - 1:
                ends_s = min(ends_s, (segment + 1) * times.segment_s)
            # From where it is known, the first steps are short.
            step_s = min(0.25 * _CHAIN_STEP_S + 0.25 * passed_s, _CHAIN_STEP_S, ends_s - passed_s)
            _chain_step(states, _rates_at(pools, pool, segment), step_s, chain)
            passed_s += step_s
        ended = _rates_at(pools, pool, max(int((passed_s - 1e-6) / times.segment_s), 0))
        risk[number] = _chain_wait_tail(states, ended, pools.target_s[pool], chain[0])


@sensing_entry
def wait_risk(
    pools: Pools, times: Times, chain: NDArray[np.float64], risk: NDArray[np.float64]
) -> None:
    """
    P(offered wait > target) of each pool at each horizon.

    O(pools × horizon / step), 2 to 3 µs a pool up to 30 minutes; the chain some 50 µs.

    Parameters
    ----------
    chain
        (3, 96) scratch space.
    risk
        (n, h) filled in.
    """
    for pool in range(pools.in_system.shape[0]):
        agents = 0.0
        for segment in range(pools.agents.shape[1]):
            agents = max(agents, pools.agents[pool, segment])
        fits = pools.in_system[pool] + _CHAIN_ROOM // 2 < CHAIN_STATES
        if agents <= 0.0:
            # Nobody is there and nobody will be.
            risk[pool, :] = 1.0
        elif agents <= CHAIN_AGENTS and fits:
            _chain(pools, pool, times, chain, risk[pool])
        else:
            _closure(pools, pool, times, risk[pool])
