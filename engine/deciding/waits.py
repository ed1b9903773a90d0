"""How long newcomers will wait, for many queues at once; see `engine.routing.wait_estimate`."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.routing.wait_estimate import Z_90

Real = NDArray[np.float64]

# Terms that are summed one by one; the rest is an integral.
_SUMMED: Final = 32


class Waits(NamedTuple):
    """
    Waits of contacts that come now, milliseconds; (n,), NaN where nothing is known.

    Attributes
    ----------
    mean
        Expected.
    high
        That one in ten exceeds.
    """

    mean: Real
    high: Real


class Standing(NamedTuple):
    """
    What waits depend on; (n,).

    Attributes
    ----------
    waiting
        Contacts ahead.
    available
        Agents who are free.
    agents
        Contacts that agents take at a time; of shared agents the queue's part.
    aht_ms
        Mean handling time, > 0.
    gives_up_per_ms
        Rate at which one who waits gives up, >= 0.
    """

    waiting: Real
    available: Real
    agents: Real
    aht_ms: Real
    gives_up_per_ms: Real


def waits_of(standing: Standing) -> Waits:
    """
    Waits in M/M/c+M behind what waits, quantiles by a gamma distribution (Wilson, Hilferty 1931).

    The first 32 terms are summed, the rest integrated by the midpoint rule: within 0.1 % of
    `engine.routing.wait_estimate.wait_moments`. O(queues).
    """
    served = standing.agents / standing.aht_ms
    leaving = np.maximum(standing.gives_up_per_ms, 1e-12)
    ahead = np.maximum(standing.waiting, 0.0)
    mean, variance = np.zeros_like(ahead), np.zeros_like(ahead)
    with np.errstate(divide="ignore", invalid="ignore"):
        for term in range(_SUMMED):
            rate = served + leaving * term
            counts = ahead >= term
            mean += np.where(counts, 1.0 / rate, 0.0)
            variance += np.where(counts, 1.0 / rate**2, 0.0)
        first = served + leaving * (_SUMMED - 0.5)
        last = served + leaving * (ahead + 0.5)
        is_more = ahead >= _SUMMED
        mean += np.where(is_more, np.log(last / first) / leaving, 0.0)
        variance += np.where(is_more, (1.0 / first - 1.0 / last) / leaving, 0.0)
        ninth = variance / (9.0 * mean**2)
        high = mean * np.maximum(0.0, 1.0 - ninth + Z_90 * np.sqrt(ninth)) ** 3
    is_free = (standing.available > 0.0) & (standing.waiting <= 0.0)
    is_unknown = ~(served > 0.0) & ~is_free
    return Waits(
        *(np.where(is_free, 0.0, np.where(is_unknown, np.nan, found)) for found in (mean, high))
    )
