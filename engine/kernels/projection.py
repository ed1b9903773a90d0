"""
The service level an interval will end with, of what has come and what is still to come.

Of K contacts to come, of mean D and variance V, each misses the target with probability p; two of
them together more often than by chance, for they meet the same queue. So p hangs on a normal
factor Y, of which they share a part r (one-factor model: Vasicek 2002; integrated over `NODES`
values of Y of equal probability):

    p(Y) = Phi((Phi^-1(p) + sqrt(r) Y) / sqrt(1 - r))

Given Y, with `within` of `ended` contacts so far, what is within the target less what should be,

    within + hits - target (ended + K)

is taken as normal, of mean  within - target ended + D (1 - p - target)
and variance  V (1 - p - target)^2 + D p (1 - p).
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.kernels.compilation import sensing_entry, sensing_kernel
from engine.kernels.drawing import normal_quantile

NODES: Final = 24
# Standard deviations beyond which a tail is 0 or 1: 1e-7.
_FAR: Final = 5.2
_MISS_MIN: Final = 1e-6
_SHARED_MAX: Final = 0.995
# Halvings by which a quantile of the service level is found: to 0.004.
_HALVINGS: Final = 8
# Probabilities of the interval's ends.
LOW: Final = 0.1
HIGH: Final = 0.9


class SoFar(NamedTuple):
    """Contacts answered within the target, and answered or abandoned, since the interval began."""

    within: NDArray[np.float64]
    ended: NDArray[np.float64]


class ToCome(NamedTuple):
    """
    What is still to come in the interval; (n,) each.

    Attributes
    ----------
    contacts, variance
        Mean and variance of the contacts that will be answered or abandoned.
    miss
        Probability that one of them is not answered within the target.
    shared
        Part of the chance of that which they share, 0 to 1.
    target
        Service level to be reached, 0 to 1.
    """

    contacts: NDArray[np.float64]
    variance: NDArray[np.float64]
    miss: NDArray[np.float64]
    shared: NDArray[np.float64]
    target: NDArray[np.float64]


class Projection(NamedTuple):
    """
    Service level at the end of the interval; (n,) each, NaN where nothing has come nor will.

    Attributes
    ----------
    mean, low, high
        Ratios: mean, and 10 and 90 % quantiles.
    risk
        Probability that it is below its target.
    """

    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    risk: NDArray[np.float64]


@sensing_kernel
def _below(normal: float) -> float:
    """
    Standard normal distribution function.

    Abramowitz and Stegun 26.2.17: within 7.5e-8, and a third of the cost of erfc. O(1).
    """
    if normal > _FAR:
        return 1.0
    if normal < -_FAR:
        return 0.0
    t = 1.0 / (1.0 + 0.2316419 * abs(normal))
    series = -1.821255978 + t * 1.330274429
    series = 0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * series))
    tail = 0.3989422804014327 * math.exp(-0.5 * normal * normal) * t * series
    return 1.0 - tail if normal >= 0.0 else tail


@sensing_kernel
def _short_of(level: float, so_far: tuple[float, float], to_come: tuple[float, float],
              misses: NDArray[np.float64]) -> float:  # fmt: skip
    """P(service level < level), given the misses at each node. O(nodes)."""
    within, ended = so_far
    contacts, variance = to_come
    total = 0.0
    for node in range(NODES):
        hits = 1.0 - misses[node]
        spare = within - level * ended + contacts * (hits - level)
        spread = variance * (hits - level) ** 2 + contacts * hits * misses[node]
        if spread < 1e-12:
            total += 1.0 if spare < -1e-9 else 0.0
        else:
            total += _below(-spare / math.sqrt(spread))
    return total / NODES


@sensing_kernel
def _quantile(probability: float, so_far: tuple[float, float], to_come: tuple[float, float],
              misses: NDArray[np.float64]) -> float:  # fmt: skip
    """Service level that is not reached with a probability. O(nodes × halvings)."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        if _short_of(middle, so_far, to_come, misses) < probability:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


@sensing_entry
def project(
    so_far: SoFar, to_come: ToCome, factor: NDArray[np.float64], misses: NDArray[np.float64],
    told: Projection,
) -> None:  # fmt: skip
    """
    Project the service level of all queues. O(n × nodes × halvings), some µs each.

    Parameters
    ----------
    factor
        (NODES,) values of Y.
    misses
        (NODES,) scratch space.
    """
    for row in range(so_far.within.shape[0]):
        done = so_far.within[row], so_far.ended[row]
        left = to_come.contacts[row], to_come.variance[row]
        if done[1] + left[0] <= 0.0:
            told.mean[row] = told.low[row] = told.high[row] = told.risk[row] = np.nan
            continue
        miss = min(max(to_come.miss[row], _MISS_MIN), 1.0 - _MISS_MIN)
        shared = min(max(to_come.shared[row], 0.0), _SHARED_MAX)
        normal = normal_quantile(miss)
        for node in range(NODES):
            at = (normal + math.sqrt(shared) * factor[node]) / math.sqrt(1.0 - shared)
            misses[node] = _below(at)
        told.mean[row] = (done[0] + left[0] * (1.0 - miss)) / (done[1] + left[0])
        told.risk[row] = _short_of(to_come.target[row], done, left, misses)
        told.low[row] = _quantile(LOW, done, left, misses)
        told.high[row] = _quantile(HIGH, done, left, misses)
