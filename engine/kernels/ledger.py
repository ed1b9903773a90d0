"""
The accuracy ledger: every forecast is kept as issued, and meets what came.

Per lead class and method: count, absolute, plain and squared error, and the least absolute error
that chance leaves, E|Y - m| of a Poisson count (`2 e^-m m^(n+1) / n!`, n the whole part of m). Of
what was told also: how often counts lay within the intervals, and the pinball loss. From the same
errors the factor on the variance and the shifts of quantiles are learned (adaptive conformal: Gibbs
and Candès 2021), bounded.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.kernels.arrival_forecast import (
    OFFSET_MEAN_MIN,
    Outlook,
    deviate,
    model_outlook,
    outlook,
    quantile,
    scaled_variance,
    sum_ahead,
)
from engine.kernels.arrival_model import state_of
from engine.kernels.compilation import sensing_kernel
from engine.kernels.sensing_columns import (
    ABOVE_90,
    HALF_COUNTED,
    HALF_HOUR,
    HALF_MEAN,
    HALF_SEEN,
    HALF_VARIANCE,
    IN_80,
    IN_95,
    ISSUED_MEAN,
    ISSUED_QUANTILE,
    ISSUED_TOLD,
    ISSUED_VARIANCE,
    LEAD_CLASSES,
    LEADS,
    LEDGER_SUMS,
    METHODS,
    MODEL,
    QUANTILE_COUNT,
    QUANTILES,
    SCORED,
    SUM_ABSOLUTE,
    SUM_COUNT,
    SUM_ERROR,
    SUM_FLOOR,
    SUM_FORECAST,
    SUM_PINBALL,
    SUM_SQUARE,
    Model,
)

_SCALE_GAIN: Final = 0.01
_SUM_SCALE_GAIN: Final = 0.02
_OFFSET_GAIN: Final = 0.02
_OFFSET_MAX: Final = 1.0
# Squared error, in variances, beyond which it counts no more.
_SQUARE_MAX: Final = 16.0
# What is left of the sums after a day: half after a week.
_KEPT_PER_DAY: Final = 0.5 ** (1.0 / 7.0)
# Buckets of evidence and margin without which the method in force stays.
_EVIDENCE_MIN: Final = 400.0
_BETTER: Final = 0.97
_BIAS_GAIN: Final = 0.1
_BIAS_MAX: Final = 0.15
# First lead class whose bias is corrected, and contacts at which the correction counts half.
_BIAS_FROM: Final = 2
_BIAS_CONTACTS: Final = 500.0


@sensing_kernel
def poisson_floor(mean: float) -> float:
    """Mean absolute error of a Poisson count around its own mean. O(1)."""
    if mean <= 0.0:
        return 0.0
    whole = math.floor(mean)
    return 2.0 * math.exp(-mean + (whole + 1.0) * math.log(mean) - math.lgamma(whole + 1.0))


@sensing_kernel
def _ring_of(lead_class: int) -> int:
    """Where the ring of a lead class begins. O(classes)."""
    first = 0
    for earlier in range(lead_class):
        first += LEADS[earlier]
    return first


@sensing_kernel
def issue_row(model: Model, row: int, bucket: int) -> None:
    """Keep the forecasts of one queue as they stand when `bucket` begins. O(classes)."""
    arrivals, ledger = model.arrivals, model.ledger
    state = state_of(arrivals, row)
    for lead_class in range(LEAD_CLASSES):
        ahead = LEADS[lead_class] - 1
        record = ledger.issued[row, _ring_of(lead_class) + (bucket + ahead) % LEADS[lead_class]]
        record[ISSUED_MEAN] = np.nan
        if arrivals.expected[row, ahead] <= 0.0:
            continue
        by_model = model_outlook(model, row, state, ahead)
        told = outlook(model, row, state, ahead)
        if told.mean <= 0.0:
            continue
        record[ISSUED_MEAN] = by_model.mean
        record[ISSUED_TOLD] = told.mean
        record[ISSUED_VARIANCE] = by_model.relative_variance
        variance = scaled_variance(model, row, told, ahead)
        for number in range(QUANTILE_COUNT):
            normal = deviate(model, row, ahead, number)
            record[ISSUED_QUANTILE + number] = quantile(told.mean, variance, normal)


@sensing_kernel
def begin_half_hour(model: Model, row: int, bucket: int) -> None:
    """Keep the forecast of half an hour of the clock as it begins. O(buckets)."""
    if bucket % HALF_HOUR == 0:
        half_hour = model.ledger.half_hour[row]
        mean, variance = sum_ahead(model, row, 0, HALF_HOUR)
        half_hour[HALF_MEAN] = mean if mean > 0.0 else np.nan
        half_hour[HALF_VARIANCE] = variance
        half_hour[HALF_COUNTED] = half_hour[HALF_SEEN] = 0.0


@sensing_kernel
def score_half_hour(model: Model, row: int, bucket: int, count: float) -> None:
    """
    Learn how much half hours vary, from one of which every bucket was seen. O(1).

    What single buckets hide in chance adds up over more of them.
    """
    half_hour = model.ledger.half_hour[row]
    half_hour[HALF_COUNTED] += count
    half_hour[HALF_SEEN] += 1.0
    is_whole = half_hour[HALF_SEEN] == HALF_HOUR and not np.isnan(half_hour[HALF_MEAN])
    if bucket % HALF_HOUR == HALF_HOUR - 1 and is_whole:
        error = half_hour[HALF_COUNTED] - half_hour[HALF_MEAN]
        square = error * error / max(half_hour[HALF_VARIANCE], 0.05)
        scale = model.arrivals.sum_scale[row]
        model.arrivals.sum_scale[row] += _SUM_SCALE_GAIN * (min(square, _SQUARE_MAX) - scale)


@sensing_kernel
def _moved_scale(scale: float, what: Outlook, count: float) -> float:
    """Factor on a method's variance, moved towards the square just seen. O(1)."""
    variance = what.mean + what.mean * what.mean * what.relative_variance
    square = (count - what.mean) ** 2 / max(variance, 0.05)
    return scale + _SCALE_GAIN * (min(square, _SQUARE_MAX) - scale)


@sensing_kernel
def _learn_offsets(told: NDArray[np.float32], offset: NDArray[np.float64], count: float) -> None:
    """Shift each quantile by how often counts lay beyond it. O(quantiles)."""
    for number in range(QUANTILE_COUNT):
        limit = np.float64(told[ISSUED_QUANTILE + number])
        probability = QUANTILES[number]
        # A count on the limit is within: above for the upper, below for the lower ones.
        is_below = count <= math.floor(limit) if probability > 0.5 else count < math.ceil(limit)
        moved = offset[number] + _OFFSET_GAIN * (probability - (1.0 if is_below else 0.0))
        offset[number] = min(max(moved, -_OFFSET_MAX), _OFFSET_MAX)


@sensing_kernel
def _score_told(told: NDArray[np.float32], sums: NDArray[np.float64], count: float) -> None:
    """Note whether a count lay where it was told to. O(quantiles)."""
    low_95, low_80 = np.float64(told[ISSUED_QUANTILE]), np.float64(told[ISSUED_QUANTILE + 1])
    high_80, high_95 = np.float64(told[ISSUED_QUANTILE + 2]), np.float64(told[ISSUED_QUANTILE + 3])
    sums[IN_80] += 1.0 if math.floor(low_80) <= count <= math.ceil(high_80) else 0.0
    sums[IN_95] += 1.0 if math.floor(low_95) <= count <= math.ceil(high_95) else 0.0
    sums[ABOVE_90] += 1.0 if count > math.ceil(high_80) else 0.0
    for number in range(QUANTILE_COUNT):
        over = count - np.float64(told[ISSUED_QUANTILE + number])
        sums[SUM_PINBALL] += max(QUANTILES[number] * over, (QUANTILES[number] - 1.0) * over)


@sensing_kernel
def _score_method(sums: NDArray[np.float64], what: Outlook, count: float) -> None:
    """Add one forecast's error to its method's sums. O(1)."""
    error = count - what.mean
    sums[SCORED] += 1.0
    sums[SUM_COUNT] += count
    sums[SUM_FORECAST] += what.mean
    sums[SUM_ABSOLUTE] += abs(error)
    sums[SUM_ERROR] += error
    sums[SUM_SQUARE] += error * error
    sums[SUM_FLOOR] += poisson_floor(what.mean)


@sensing_kernel
def score_row(
    model: Model, row: int, bucket: int, count: float, plain: tuple[float, float]
) -> None:
    """
    Compare a bucket with every forecast that was issued for it. O(classes × methods).

    Parameters
    ----------
    plain
        What the weekday's slot mean and the week before said, -1 for nothing; neither changes
        within a day, so that they need not be kept.
    """
    scale = model.arrivals.scale[row]
    for lead_class in range(LEAD_CLASSES):
        record = model.ledger.issued[row, _ring_of(lead_class) + bucket % LEADS[lead_class]]
        sums = model.ledger.today[row, lead_class]
        mean = np.float64(record[ISSUED_MEAN])
        if np.isnan(mean):
            continue
        relative_variance = np.float64(record[ISSUED_VARIANCE])
        # Methods are compared where all have something to say.
        if plain[0] >= 0.0 and plain[1] >= 0.0:
            for method in range(1, METHODS):
                what = Outlook(plain[method - 1], relative_variance, method)
                _score_method(sums[method], what, count)
                scale[method, lead_class] = _moved_scale(scale[method, lead_class], what, count)
            _score_method(sums[MODEL], Outlook(mean, relative_variance, MODEL), count)
            _score_told(record, sums[MODEL], count)
        by_model = Outlook(mean, relative_variance, MODEL)
        scale[MODEL, lead_class] = _moved_scale(scale[MODEL, lead_class], by_model, count)
        if mean >= OFFSET_MEAN_MIN:
            _learn_offsets(record, model.arrivals.offset[row, lead_class], count)
        record[ISSUED_MEAN] = np.nan


@sensing_kernel
def _chosen_method(totals: NDArray[np.float64], chosen: int) -> int:
    """Method to be in force: another one where it has clearly been better. O(methods)."""
    if chosen != MODEL and totals[MODEL, SUM_SQUARE] <= totals[chosen, SUM_SQUARE]:
        chosen = MODEL
    if totals[MODEL, SCORED] >= _EVIDENCE_MIN:
        best = chosen
        for method in range(METHODS):
            if totals[method, SUM_SQUARE] < totals[best, SUM_SQUARE]:
                best = method
        if totals[best, SUM_SQUARE] < _BETTER * totals[chosen, SUM_SQUARE]:
            chosen = best
    return chosen


@sensing_kernel
def _moved_bias(sums: NDArray[np.float64], bias: float) -> float:
    """Correction of a lead class, moved by how far off the day that ends has been. O(1)."""
    counted, forecast = sums[SUM_COUNT], sums[SUM_FORECAST]
    if counted <= 0.0 or forecast <= 0.0:
        return bias
    trust = forecast / (forecast + _BIAS_CONTACTS)
    moved = bias + _BIAS_GAIN * trust * math.log(counted / forecast)
    return min(max(moved, -_BIAS_MAX), _BIAS_MAX)


@sensing_kernel
def end_day_of_ledger(model: Model, row: int) -> None:
    """Add the day to the totals, and learn from it. O(classes × methods)."""
    today, totals = model.ledger.today[row], model.ledger.totals[row]
    bias, in_force = model.arrivals.bias[row], model.arrivals.in_force[row]
    for lead_class in range(LEAD_CLASSES):
        if today[lead_class, MODEL, SCORED] == 0.0:
            continue
        if lead_class >= _BIAS_FROM:
            bias[lead_class] = _moved_bias(today[lead_class, MODEL], bias[lead_class])
        for method in range(METHODS):
            for number in range(LEDGER_SUMS):
                totals[lead_class, method, number] *= _KEPT_PER_DAY
                totals[lead_class, method, number] += today[lead_class, method, number]
                today[lead_class, method, number] = 0.0
        in_force[lead_class] = _chosen_method(totals[lead_class], in_force[lead_class])
