"""
How good forecasts have been, per queue and lead class, half of the evidence a week old or less.

    WAPE  = sum |count - forecast| / sum count          bias = sum (forecast - count) / sum count
    floor = what WAPE chance leaves, were every forecast the true rate of a Poisson count

Coverage is the share of counts within the 80 and 95 % intervals, rounded outwards to whole
contacts, and above the upper 90 % bound. Lead classes are 5 minutes, 30 minutes, 2 hours and 12
hours.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.forecasting.columns import ratio
from engine.kernels.sensing_columns import (
    ABOVE_90,
    IN_80,
    IN_95,
    MODEL,
    QUANTILE_COUNT,
    SCORED,
    SUM_ABSOLUTE,
    SUM_COUNT,
    SUM_ERROR,
    SUM_FLOOR,
    SUM_PINBALL,
    SUM_SQUARE,
    Model,
)

# Methods in the order of their numbers.
METHOD_NAMES: Final = ("model", "slot_mean", "week_before")


class Accuracy(NamedTuple):
    """
    Figures of every queue and lead class, (n, 4) each; NaN where nothing has been scored.

    Attributes
    ----------
    scored
        Forecasts, decayed.
    wape, floor, bias
        Ratios to the contacts, of the model.
    in_80, in_95, above_90
        Shares of the counts, of what was told.
    pinball
        Mean over the quantiles, ratio to the contacts.
    rmse
        (n, 4, 3) contacts, by method.
    in_force
        Number of the method in force.
    drifts, faults
        (n,) alarms of drift, and buckets that were not learned from, so far.
    """

    scored: NDArray[np.float64]
    wape: NDArray[np.float64]
    floor: NDArray[np.float64]
    bias: NDArray[np.float64]
    in_80: NDArray[np.float64]
    in_95: NDArray[np.float64]
    above_90: NDArray[np.float64]
    pinball: NDArray[np.float64]
    rmse: NDArray[np.float64]
    in_force: NDArray[np.int64]
    drifts: NDArray[np.int64]
    faults: NDArray[np.int64]


def accuracy(model: Model) -> Accuracy:
    """Figures as of now, the running day included."""
    sums = model.ledger.totals + model.ledger.today
    of_model = sums[:, :, MODEL]
    scored, contacts = of_model[..., SCORED], of_model[..., SUM_COUNT]
    return Accuracy(
        scored=scored.copy(),
        wape=ratio(of_model[..., SUM_ABSOLUTE], contacts),
        floor=ratio(of_model[..., SUM_FLOOR], contacts),
        bias=ratio(-of_model[..., SUM_ERROR], contacts),
        in_80=ratio(of_model[..., IN_80], scored),
        in_95=ratio(of_model[..., IN_95], scored),
        above_90=ratio(of_model[..., ABOVE_90], scored),
        pinball=ratio(of_model[..., SUM_PINBALL] / QUANTILE_COUNT, contacts),
        rmse=np.sqrt(ratio(sums[..., SUM_SQUARE], sums[..., SCORED])),
        in_force=model.arrivals.in_force.copy(),
        drifts=model.arrivals.drifts.copy(),
        faults=model.arrivals.faults.copy(),
    )
