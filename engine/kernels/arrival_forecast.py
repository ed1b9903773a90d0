"""
Forecasts from the state: means, variances and quantiles of buckets to come, and of their sums.

k buckets ahead, with d the departure and V its variance then,

    mean = expected[k] * exp(d)        variance = c * (mean + mean^2 V)

where c is learned per lead class. Quantiles are those of a negative binomial by its skewness,

    q = mean + sd (z + g (z^2 - 1) / 6),   g = (2 variance / mean - 1) / sd, within 1 / sd to 2.5

(Cornish and Fisher 1938), z shifted by what was learned of each quantile. In the next local day
only part of today's slow departure goes on, with the variance that a day begins with.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.kernels.arrival_model import (
    CLASS_BELOW,
    CLASS_NEAREST,
    CLASS_WEIGHT,
    FAST_KEPT,
    SLOW_KEPT,
    UNEXPLAINED,
    State,
    departure_ahead,
    live_state_of,
    variance_ahead,
)
from engine.kernels.compilation import sensing_entry, sensing_kernel
from engine.kernels.sensing_columns import (
    HALF_HOUR,
    HORIZON,
    MODEL,
    NORMAL_QUANTILES,
    QUANTILE_COUNT,
    Model,
)

_NORMAL: Final = np.array(NORMAL_QUANTILES)
# Share of a day's departure that the next one begins with.
CARRIED: Final = 0.6
# Variance is at least this share of the mean: counts are hardly ever more regular than chance.
_DISPERSION_MIN: Final = 0.7
_SKEW_MAX: Final = 2.5
# Fewer contacts expected, and the shift of quantiles is left alone: between whole numbers there is
# nothing to learn, and unbounded it once made intervals a thousand times the mean.
OFFSET_MEAN_MIN: Final = 5.0


class Outlook(NamedTuple):
    """Mean of one bucket to come, the variance of its relative error, and the method."""

    mean: float
    relative_variance: float
    method: int


@sensing_kernel
def model_outlook(model: Model, row: int, state: State, ahead: int) -> Outlook:
    """What the model says of a bucket. O(1)."""
    arrivals = model.arrivals
    fast_variance = arrivals.fast_variance[row]
    below, weight = CLASS_BELOW[ahead], CLASS_WEIGHT[ahead]
    bias = (1.0 - weight) * arrivals.bias[row, below] + weight * arrivals.bias[row, below + 1]
    if ahead < arrivals.next_day[row]:
        departure = departure_ahead(state, ahead)
        variance = variance_ahead(state, fast_variance, ahead)
    else:
        start = arrivals.start_variance[row]
        counted = max(arrivals.day_expected[row], 1.0)
        departure = CARRIED * departure_ahead(state, ahead) * start / (start + 1.0 / counted)
        variance = start + fast_variance + UNEXPLAINED
    mean = np.float64(arrivals.expected[row, ahead]) * math.exp(departure + bias)
    return Outlook(mean, variance + np.float64(arrivals.uncertain[row, ahead]), MODEL)


@sensing_kernel
def outlook(model: Model, row: int, state: State, ahead: int) -> Outlook:
    """What the method in force says of a bucket. O(1)."""
    of_model = model_outlook(model, row, state, ahead)
    method = model.arrivals.in_force[row, CLASS_NEAREST[ahead]]
    if method == MODEL:
        return of_model
    other = np.float64(model.arrivals.other[row, ahead])
    return Outlook(other, of_model.relative_variance, method)


@sensing_kernel
def scaled_variance(model: Model, row: int, what: Outlook, ahead: int) -> float:
    """Variance of a count, with the learned factor between the lead classes. O(1)."""
    scale = model.arrivals.scale[row, what.method]
    below, weight = CLASS_BELOW[ahead], CLASS_WEIGHT[ahead]
    factor = (1.0 - weight) * scale[below] + weight * scale[below + 1]
    variance = factor * (what.mean + what.mean * what.mean * what.relative_variance)
    return max(variance, _DISPERSION_MIN * what.mean)


@sensing_kernel
def quantile(mean: float, variance: float, normal: float) -> float:
    """Quantile of a negative binomial of mean > 0, by a normal deviate; 0 at least. O(1)."""
    deviation = math.sqrt(variance)
    skew = min(max((2.0 * variance / mean - 1.0) / deviation, 1.0 / deviation), _SKEW_MAX)
    return max(mean + deviation * (normal + skew * (normal * normal - 1.0) / 6.0), 0.0)


@sensing_kernel
def deviate(model: Model, row: int, ahead: int, number: int) -> float:
    """Normal deviate of a quantile, with what was learned of it between the lead classes. O(1)."""
    offset = model.arrivals.offset[row]
    below, weight = CLASS_BELOW[ahead], CLASS_WEIGHT[ahead]
    shift = (1.0 - weight) * offset[below, number] + weight * offset[below + 1, number]
    return _NORMAL[number] + shift


@sensing_entry
def forecast(
    model: Model, rows: NDArray[np.int64], mean: NDArray[np.float32], told: NDArray[np.float32]
) -> None:
    """
    Forecast the running bucket, of which what has come is known, and those after it.

    O(rows × buckets × quantiles).

    Parameters
    ----------
    rows
        (m,) rows.
    mean
        (m, buckets) contacts, filled in; buckets up to 144.
    told
        (m, buckets, 4) quantiles 2.5, 10, 90 and 97.5 %, contacts, filled in.
    """
    live = model.live
    for place in range(rows.shape[0]):
        row = rows[place]
        state = live_state_of(live, row)
        for ahead in range(mean.shape[1]):
            what = outlook(model, row, state, ahead)
            counted = 0.0
            if ahead == 0:
                counted = live.counted[row]
                what = Outlook(what.mean * live.left[row], what.relative_variance, what.method)
            mean[place, ahead] = counted + what.mean
            if what.mean <= 0.0:
                told[place, ahead, :] = counted
                continue
            variance = scaled_variance(model, row, what, ahead)
            for number in range(QUANTILE_COUNT):
                normal = deviate(model, row, ahead, number)
                told[place, ahead, number] = counted + quantile(what.mean, variance, normal)


class Demand(NamedTuple):
    """
    Contacts over a stretch of buckets.

    Attributes
    ----------
    mean, variance
        (m,) contacts; contacts squared.
    told
        (m, 4) quantiles 2.5, 10, 90 and 97.5 %, contacts.
    """

    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    told: NDArray[np.float64]


@sensing_kernel
def sum_ahead(model: Model, row: int, first: int, until: int) -> tuple[float, float]:
    """
    Mean and variance of the contacts of some buckets, scaling included.

    Departures of two buckets vary together as the states decay: with V the variance of a departure
    in the earlier bucket, split into what is slow and what is fast, d buckets later
    `V_slow a^d + V_fast b^d` of it is shared. Summed in one pass. O(buckets).
    """
    arrivals, live = model.arrivals, model.live
    state = live_state_of(live, row)
    total = 0.0
    variance = 0.0
    slow_shared, fast_shared = 0.0, 0.0
    for ahead in range(first, until):
        what = outlook(model, row, state, ahead)
        mean = what.mean * (live.left[row] if ahead == 0 else 1.0)
        total += mean + (live.counted[row] if ahead == 0 else 0.0)
        single = scaled_variance(
            model, row, Outlook(mean, what.relative_variance, what.method), ahead
        )
        scale = single / max(mean + mean * mean * what.relative_variance, 1e-12)
        variance += single + 2.0 * scale * mean * (slow_shared + fast_shared)
        explained = what.relative_variance - UNEXPLAINED
        fast_part = min(arrivals.fast_variance[row], explained)
        slow_shared = SLOW_KEPT * (slow_shared + mean * (explained - fast_part))
        fast_shared = FAST_KEPT * (fast_shared + mean * fast_part)
    return total, variance


@sensing_entry
def demand(model: Model, rows: NDArray[np.int64], first: int, until: int, over: Demand) -> None:
    """
    Forecast the contacts of buckets `first` to `until`, that not included, as one number.

    `first` 0 is the running bucket. O(rows × buckets).
    """
    last = min(max(until, 1), HORIZON) - 1
    # The factor is that of half an hour; single buckets have their own already.
    learned = min((last - first) / (HALF_HOUR - 1.0), 1.0)
    for place in range(rows.shape[0]):
        row = rows[place]
        mean, variance = sum_ahead(model, row, first, min(until, HORIZON))
        variance *= 1.0 + learned * (model.arrivals.sum_scale[row] - 1.0)
        counted = model.live.counted[row] if first == 0 else 0.0
        over.mean[place] = mean
        over.variance[place] = variance
        for number in range(QUANTILE_COUNT):
            normal = deviate(model, row, last, number)
            more = mean - counted
            over.told[place, number] = counted
            if more > 0.0:
                variance = max(variance, _DISPERSION_MIN * more)
                over.told[place, number] += quantile(more, variance, normal)
