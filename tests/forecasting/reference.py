"""Slow, obvious twins of the sensing kernels: lists, matrices and sums over everything."""

import math
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from engine.kernels.arrival_model import FAST_KEPT, SLOW_GAINED, SLOW_KEPT, UNEXPLAINED
from engine.kernels.windows import OLDEST_WAIT_MS, READING_COLUMNS, STEP_S


class PlainWindows:
    """Every second ever told, kept; windows are sums over them."""

    def __init__(self) -> None:
        self.told: dict[tuple[int, int], dict[int, list[int]]] = defaultdict(dict)
        self.whole: dict[tuple[int, int], list[int]] = {}
        self.sources: dict[int, set[int]] = defaultdict(set)

    def tell(self, queue: int, source: int, second: int, values: list[int]) -> None:
        """Take a reading that counts."""
        self.told[queue, second].setdefault(source, values)
        self.sources[queue].add(source)

    def close(self, queues: int, second: int) -> None:
        """Close a second: it counts where every source has told."""
        for queue in range(queues):
            told = self.told[queue, second]
            if not told or set(told) != self.sources[queue]:
                continue
            total = [sum(column) for column in zip(*told.values(), strict=True)]
            total[OLDEST_WAIT_MS] = max(values[OLDEST_WAIT_MS] for values in told.values())
            self.whole[queue, second] = total

    def sums(self, queue: int, first: int, last: int) -> list[int]:
        """Sums over seconds, and how many count."""
        held = [self.whole[queue, s] for s in range(first, last + 1) if (queue, s) in self.whole]
        columns = [sum(column) for column in zip(*held, strict=True)] or [0] * READING_COLUMNS
        return [*columns, len(held)]

    def window(self, queue: int, length_s: int, closed_s: int) -> list[int]:
        """Sums of a window as the engine cuts it: tens of seconds, and what has begun of one."""
        if length_s == STEP_S:
            return self.sums(queue, closed_s - STEP_S + 1, closed_s)
        begun = closed_s // STEP_S * STEP_S
        return self.sums(queue, begun - length_s + STEP_S, closed_s)


def kalman(
    state: NDArray[np.float64], cover: NDArray[np.float64], count: float, expected: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One correction in matrices: state (2,), its covariance (2, 2)."""
    lam = expected * math.exp(state.sum())
    total = cover.sum() + 1.0 / lam + UNEXPLAINED
    error = min((count - lam) / lam, 4.0 * math.sqrt(total))
    gain = cover.sum(axis=1) / total
    return state + gain * error, cover - np.outer(gain, cover.sum(axis=0))


def later(
    state: NDArray[np.float64], cover: NDArray[np.float64], fast_variance: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A bucket later, in matrices."""
    keep = np.diag([SLOW_KEPT, FAST_KEPT])
    gained = np.diag([SLOW_GAINED, fast_variance * (1.0 - FAST_KEPT**2)])
    return keep @ state, keep @ cover @ keep + gained


def negative_binomial_quantile(mean: float, variance: float, probability: float) -> int:
    """Smallest count that is not exceeded with a probability, from the probabilities themselves."""
    size = mean * mean / (variance - mean)
    log_share = size * math.log(size / (size + mean))
    count, below = 0, math.exp(log_share)
    while below < probability:
        log_share += math.log((size + count) / (count + 1) * mean / (size + mean))
        count += 1
        below += math.exp(log_share)
    return count


def chain_distribution(
    begin: int, rates: tuple[float, float, float, float], seconds: float, states: int = 150
) -> NDArray[np.float64]:
    """
    Number in the system after a time, by uniformisation; rates are arrivals, agents, handled,
    abandoned.
    """
    arrivals, agents, handled, abandoned = rates
    n = np.arange(states)
    leave = handled * np.minimum(n, agents) + abandoned * np.maximum(n - agents, 0.0)
    enter = np.where(n < states - 1, arrivals, 0.0)
    fastest = (leave + enter).max()
    step = np.diag(1.0 - (leave + enter) / fastest)
    step[n[:-1], n[:-1] + 1] = enter[:-1] / fastest
    step[n[1:], n[1:] - 1] = leave[1:] / fastest
    share = np.zeros(states)
    share[begin] = 1.0
    log_weight = -fastest * seconds
    result = np.zeros(states)
    for count in range(int(fastest * seconds + 12 * math.sqrt(fastest * seconds) + 30)):
        result += math.exp(log_weight) * share
        share = share @ step
        log_weight += math.log(fastest * seconds) - math.log(count + 1)
    return result
