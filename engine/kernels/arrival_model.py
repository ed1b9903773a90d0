"""
The two-state dynamic Poisson model: how arrivals now differ from what is usual.

Counts are Poisson around `expected * exp(slow + fast)`, `slow` a departure that lasts for the day,
`fast` one of some minutes; both are first-order autoregressive. One step of an extended Kalman
filter on the relative error follows them, in constant time, with one set of parameters for every
queue:

    lam  = expected * exp(slow + fast)         R = 1 / lam + r
    v    = Pxx + 2 Pxu + Puu                   e = min((count - lam) / lam, 4 sqrt(v + R))
    gain = (Pxx + Pxu, Pxu + Puu) / (v + R)    state += gain e,  P -= gain (Pxx + Pxu, Pxu + Puu)'
    next bucket: slow *= a, fast *= b, P propagated, with variances q and s (1 - b^2)

(gamma-distributed rates by exponential smoothing: Taylor 2012; measured here against nine other
methods.) s, the stationary variance of `fast`, is learned per queue from e^2 - (v + R).
"""

import math
from typing import Final, NamedTuple

import numpy as np

from engine.kernels.compilation import sensing_kernel
from engine.kernels.sensing_columns import HORIZON, LEADS, Arrivals, Live

# Per bucket: how much of either departure remains; variance the slow one gains; what no state
# explains.
SLOW_KEPT: Final = 0.995
FAST_KEPT: Final = 0.95
SLOW_GAINED: Final = 2e-4
UNEXPLAINED: Final = 0.003
# Standard deviations beyond which an excess counts no more.
_EXCESS_MAX: Final = 4.0
# Logarithms of factors stay within this.
_DEPARTURE_MAX: Final = 5.0

# The same, k buckets ahead.
SLOW_AHEAD: Final = SLOW_KEPT ** np.arange(HORIZON + 1)
FAST_AHEAD: Final = FAST_KEPT ** np.arange(HORIZON + 1)
GAINED_AHEAD: Final = SLOW_GAINED * (1.0 - SLOW_AHEAD**2) / (1.0 - SLOW_KEPT**2)

_LOG_LEADS: Final = np.log(np.array(LEADS, np.float64))
_PLACE: Final = np.interp(np.log(np.arange(1, HORIZON + 1)), _LOG_LEADS, np.arange(len(LEADS)))
# Of k buckets ahead: the lead class below, how much the one above it counts, and the nearest.
CLASS_BELOW: Final = np.minimum(_PLACE.astype(np.int64), len(LEADS) - 2)
CLASS_WEIGHT: Final = _PLACE - CLASS_BELOW
CLASS_NEAREST: Final = np.rint(_PLACE).astype(np.int64)


class State(NamedTuple):
    """Departures of one queue, logarithms of factors, and their variances."""

    slow: float
    fast: float
    var_slow: float
    covariance: float
    var_fast: float


class Surprise(NamedTuple):
    """Squared relative error less its variance, bounded, and the weight it has."""

    excess: float
    weight: float


@sensing_kernel
def state_of(columns: Arrivals, row: int) -> State:
    """State of a queue as its last bucket left it. O(1)."""
    return State(
        columns.slow[row],
        columns.fast[row],
        columns.var_slow[row],
        columns.covariance[row],
        columns.var_fast[row],
    )


@sensing_kernel
def live_state_of(columns: Live, row: int) -> State:
    """State of a queue as its running bucket shows it. O(1)."""
    return State(
        columns.slow[row],
        columns.fast[row],
        columns.var_slow[row],
        columns.covariance[row],
        columns.var_fast[row],
    )


@sensing_kernel
def keep_state(columns: Arrivals, row: int, state: State) -> None:
    """Set the state of a queue. O(1)."""
    columns.slow[row] = state.slow
    columns.fast[row] = state.fast
    columns.var_slow[row] = state.var_slow
    columns.covariance[row] = state.covariance
    columns.var_fast[row] = state.var_fast


@sensing_kernel
def keep_live_state(columns: Live, row: int, state: State) -> None:
    """Set the live state of a queue. O(1)."""
    columns.slow[row] = state.slow
    columns.fast[row] = state.fast
    columns.var_slow[row] = state.var_slow
    columns.covariance[row] = state.covariance
    columns.var_fast[row] = state.var_fast


@sensing_kernel
def corrected(state: State, count: float, expected: float) -> State:
    """State after a count came where `expected`, > 0, was usual. O(1)."""
    lam = expected * math.exp(state.slow + state.fast)
    variance = state.var_slow + 2.0 * state.covariance + state.var_fast
    total = variance + 1.0 / lam + UNEXPLAINED
    error = min((count - lam) / lam, _EXCESS_MAX * math.sqrt(total))
    to_slow = state.var_slow + state.covariance
    to_fast = state.covariance + state.var_fast
    step = error / total
    slow = state.slow + to_slow * step
    fast = state.fast + to_fast * step
    return State(
        min(max(slow, -_DEPARTURE_MAX), _DEPARTURE_MAX),
        min(max(fast, -_DEPARTURE_MAX), _DEPARTURE_MAX),
        max(state.var_slow - to_slow * to_slow / total, 1e-12),
        state.covariance - to_slow * to_fast / total,
        max(state.var_fast - to_fast * to_fast / total, 1e-12),
    )


@sensing_kernel
def surprise(state: State, count: float, expected: float) -> Surprise:
    """How far a count lies from what the state allows, for learning its variance. O(1)."""
    lam = expected * math.exp(state.slow + state.fast)
    total = state.var_slow + 2.0 * state.covariance + state.var_fast + 1.0 / lam + UNEXPLAINED
    error = (count - lam) / lam
    weight = 1.0 / (total * total)
    return Surprise(weight * (min(error * error, 9.0 * total) - total), weight)


@sensing_kernel
def propagated(state: State, fast_variance: float) -> State:
    """State a bucket later. O(1)."""
    return State(
        state.slow * SLOW_KEPT,
        state.fast * FAST_KEPT,
        state.var_slow * SLOW_KEPT * SLOW_KEPT + SLOW_GAINED,
        state.covariance * SLOW_KEPT * FAST_KEPT,
        state.var_fast * FAST_KEPT * FAST_KEPT + fast_variance * (1.0 - FAST_KEPT * FAST_KEPT),
    )


@sensing_kernel
def departure_ahead(state: State, ahead: int) -> float:
    """Expected logarithm of the factor some buckets ahead. O(1)."""
    return SLOW_AHEAD[ahead] * state.slow + FAST_AHEAD[ahead] * state.fast


@sensing_kernel
def variance_ahead(state: State, fast_variance: float, ahead: int) -> float:
    """Its variance, with what no state explains. O(1)."""
    slow, fast = SLOW_AHEAD[ahead], FAST_AHEAD[ahead]
    return (
        slow * slow * state.var_slow
        + GAINED_AHEAD[ahead]
        + 2.0 * slow * fast * state.covariance
        + fast * fast * state.var_fast
        + fast_variance * (1.0 - fast * fast)
        + UNEXPLAINED
    )
