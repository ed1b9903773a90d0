"""
How good forecasts are on real arrivals: rolling origin at every bucket, scored on days held out.

The series goes through the engine's model bucket by bucket, as it would live, with parameters that
are the same for every queue and not fitted here. At each origin the forecast is taken before the
bucket is known. Targets lie within the same local day, and in the days held out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.arrival_data import Series
from engine.forecasting.arrivals import ArrivalModel
from engine.forecasting.calendar import Calendar, CalendarRows
from engine.kernels.sensing_columns import BUCKET_S, SLOTS, WEEKDAYS, Observed

# Views: buckets from the origin, the end not included.
FIVE_MINUTES: Final = ((0, 1), (5, 6), (23, 24), (143, 144))
HALF_HOURS: Final = ((0, 6), (18, 24), (138, 144))
NEXT: Final = ((0, 6), (0, 12), (0, 24))


@dataclass(frozen=True, slots=True)
class Issued:
    """
    Forecasts of every view at every origin; NaN where the queues were closed.

    Attributes
    ----------
    counts
        (buckets, queues) what came, 0 while closed.
    is_open
        (buckets,)
    mean
        (buckets, views, queues)
    quantiles
        (buckets, views, queues, 4)
    """

    model: ArrivalModel
    views: Sequence[tuple[int, int]]
    first: int
    counts: NDArray[np.int64]
    is_open: NDArray[np.bool_]
    mean: NDArray[np.float64]
    quantiles: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Score:
    """
    Of one view; (queues,) each.

    Attributes
    ----------
    wape, floor, bias
        Per cent of the contacts: absolute error, the least that chance leaves, mean error.
    rmse, mean_rmse
        Contacts; the second of the weekday's slot mean in the model's place.
    in_80, in_95, above_90
        Share of counts within the intervals, rounded outwards, and above the upper 90 % bound.
    """

    wape: NDArray[np.float64]
    floor: NDArray[np.float64]
    bias: NDArray[np.float64]
    rmse: NDArray[np.float64]
    mean_rmse: NDArray[np.float64]
    in_80: NDArray[np.float64]
    in_95: NDArray[np.float64]
    above_90: NDArray[np.float64]


def issue(
    series: Series, views: Sequence[tuple[int, int]], group: int = -1, every: int = 1
) -> Issued:
    """
    Run a series through the model, and keep what it forecasts.

    Parameters
    ----------
    group
        Place of the queue whose shape sparse others borrow, -1 for none.
    every
        Buckets from one origin to the next.
    """
    queues = series.counts.shape[1]
    calendars = CalendarRows()
    calendar = calendars.add(Calendar(open_times=series.open_times))
    model = ArrivalModel(queues, calendars)
    for row in range(queues):
        model.set_calendar(row, calendar)
        if group not in (-1, row):
            model.set_group(row, group)
    first = int(series.buckets[0])
    length = int(series.buckets[-1]) - first + 1
    counts = np.zeros((length, queues), np.int64)
    counts[series.buckets - first] = series.counts
    is_open = np.zeros(length, np.bool_)
    is_open[series.buckets - first] = True
    mean = np.full((length, len(views), queues), np.nan)
    quantiles = np.full((length, len(views), queues, 4), np.nan)
    covered, quiet = np.full(queues, BUCKET_S), np.zeros(queues, np.int64)
    for place in range(length):
        if model.bucket >= 0 and is_open[place] and (first + place) % every == 0:
            for number, (begin, end) in enumerate(views):
                told = model.demand(begin, end)
                mean[place, number], quantiles[place, number] = told.mean, told.told
        model.close(first + place, Observed(counts[place], covered, quiet))
        model.learn(queues)
    return Issued(model, views, first, counts, is_open, mean, quantiles)


def score(issued: Issued, held_out_from: int) -> list[Score]:
    """Scores of the views, of targets from a bucket on."""
    means = slot_means(issued.counts, issued.is_open, issued.first)
    scores = []
    for number, (begin, end) in enumerate(issued.views):
        origins = np.arange(len(issued.counts) - end)
        last = origins + end - 1
        chosen = issued.is_open[origins] & issued.is_open[origins + begin] & issued.is_open[last]
        chosen &= (origins + issued.first) // SLOTS == (last + issued.first) // SLOTS
        chosen &= origins + begin >= held_out_from - issued.first
        chosen &= ~np.isnan(issued.mean[origins, number, 0])
        at = origins[chosen]
        ahead = at[:, None] + np.arange(begin, end)
        count, plain = issued.counts[ahead].sum(axis=1), means[ahead].sum(axis=1)
        scores.append(_score(count, issued.mean[at, number], issued.quantiles[at, number], plain))
    return scores


def slot_means(
    counts: NDArray[np.int64], is_open: NDArray[np.bool_], first: int, gain: float = 0.1
) -> NDArray[np.float64]:
    """Exponential mean of the weekday's slot, before each bucket; what the model must beat."""
    means = np.full(counts.shape, np.nan)
    known = np.full((WEEKDAYS, SLOTS, counts.shape[1]), np.nan)
    weeks = np.zeros((WEEKDAYS, SLOTS))
    for place in np.flatnonzero(is_open):
        weekday, slot = (place + first) // SLOTS % WEEKDAYS, (place + first) % SLOTS
        means[place] = known[weekday, slot]
        weeks[weekday, slot] += 1
        if weeks[weekday, slot] == 1:
            known[weekday, slot] = counts[place]
        else:
            share = max(gain, 1.0 / weeks[weekday, slot])
            known[weekday, slot] += share * (counts[place] - known[weekday, slot])
    return means


def _score(
    count: NDArray[np.int64],
    mean: NDArray[np.float64],
    quantiles: NDArray[np.float64],
    plain: NDArray[np.float64],
) -> Score:
    total = count.sum(axis=0) / 100.0
    low_95, low_80, high_80, high_95 = np.moveaxis(quantiles, -1, 0)
    return Score(
        wape=np.abs(count - mean).sum(axis=0) / total,
        floor=_poisson_floor(mean).sum(axis=0) / total,
        bias=(mean - count).sum(axis=0) / total,
        rmse=np.sqrt(((count - mean) ** 2).mean(axis=0)),
        mean_rmse=np.sqrt(np.nanmean((count - plain) ** 2, axis=0)),
        in_80=((count >= np.floor(low_80)) & (count <= np.ceil(high_80))).mean(axis=0),
        in_95=((count >= np.floor(low_95)) & (count <= np.ceil(high_95))).mean(axis=0),
        above_90=(count > np.ceil(high_80)).mean(axis=0),
    )


@np.vectorize
def _poisson_floor(mean: float) -> float:
    if mean <= 0.0:
        return 0.0
    whole = math.floor(mean)
    return 2.0 * math.exp(-mean + (whole + 1) * math.log(mean) - math.lgamma(whole + 1))
