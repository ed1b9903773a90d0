"""
Calibration of probabilities by what came: logistic regression, one outcome at a time.

The calibrated probability is logistic(w0 + w1 logit(p) + w2 load), weights beginning at (0, 1, 0).
Each outcome moves them by one diagonal Newton step, with old outcomes forgotten slowly.
"""

import math
from typing import Annotated, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.kernels.compilation import sensing_entry, sensing_kernel
from engine.kernels.sensing_columns import ROWS, Extent

FEATURES: Final = 3
HORIZONS: Final = 4
BINS: Final = 10
# Precision with which the first weights are believed, and what is left of precision an outcome on.
_PRECISION: Final = 25.0
_KEPT: Final = 0.9995
_LOGIT_MAX: Final = 6.0
# What is left of the sums of scores an outcome on.
_SCORE_KEPT: Final = 0.999


class Calibrators(NamedTuple):
    """
    Weights and scores, by pool and horizon.

    Attributes
    ----------
    weight, precision
        (n, 4, 3) of features 1, logit of the raw probability, load ratio less 1; weight of the
        logit is kept as what it differs from 1 by.
    outcomes, square_raw, square
        (n, 4) decayed outcomes, and squared errors of the raw and the calibrated probability.
    bin_outcomes, bin_told, bin_came
        (n, 4, 10) decayed outcomes by tenth of the calibrated probability, what was told, and what
        came.
    """

    weight: Annotated[NDArray[np.float64], Extent(np.float64, 0.0, (ROWS, HORIZONS, FEATURES))]
    precision: Annotated[
        NDArray[np.float64], Extent(np.float64, _PRECISION, (ROWS, HORIZONS, FEATURES))
    ]
    outcomes: Annotated[NDArray[np.float64], Extent(np.float64, 0.0, (ROWS, HORIZONS))]
    square_raw: Annotated[NDArray[np.float64], Extent(np.float64, 0.0, (ROWS, HORIZONS))]
    square: Annotated[NDArray[np.float64], Extent(np.float64, 0.0, (ROWS, HORIZONS))]
    bin_outcomes: Annotated[NDArray[np.float64], Extent(np.float64, 0.0, (ROWS, HORIZONS, BINS))]
    bin_told: Annotated[NDArray[np.float64], Extent(np.float64, 0.0, (ROWS, HORIZONS, BINS))]
    bin_came: Annotated[NDArray[np.float64], Extent(np.float64, 0.0, (ROWS, HORIZONS, BINS))]


class Outcomes(NamedTuple):
    """
    What became of predictions.

    Attributes
    ----------
    row, horizon
        (m,) pool, and place of the horizon.
    risk
        (m,) raw probability that was told, 0 to 1.
    load
        (m,) load ratio of the pool then.
    came
        (m,) share of contacts that waited too long, 0 to 1.
    """

    row: NDArray[np.int64]
    horizon: NDArray[np.int64]
    risk: NDArray[np.float64]
    load: NDArray[np.float64]
    came: NDArray[np.float64]


@sensing_kernel
def logit(probability: float) -> float:
    """Logarithm of the odds, within -6 to 6. O(1)."""
    least = 1.0 / (1.0 + math.exp(_LOGIT_MAX))
    inside = min(max(probability, least), 1.0 - least)
    return math.log(inside / (1.0 - inside))


@sensing_kernel
def calibrated(weight: NDArray[np.float64], risk: float, load: float) -> float:
    """Calibrated probability. O(1)."""
    told = logit(risk)
    return 1.0 / (
        1.0 + math.exp(-(weight[0] + (1.0 + weight[1]) * told + weight[2] * (load - 1.0)))
    )


@sensing_entry
def calibrate(
    columns: Calibrators, risk: NDArray[np.float64], load: NDArray[np.float64],
    told: NDArray[np.float64],
) -> None:  # fmt: skip
    """Calibrate the risks of all pools at all horizons, (n, h) each; `load` is (n,). O(n h)."""
    for row in range(risk.shape[0]):
        for horizon in range(risk.shape[1]):
            weight = columns.weight[row, horizon]
            told[row, horizon] = calibrated(weight, risk[row, horizon], load[row])


@sensing_kernel
def _note(columns: Calibrators, row: int, horizon: int, told: float, came: float) -> None:
    """Add an outcome to the scores. O(1)."""
    place = min(int(told * BINS), BINS - 1)
    for number in range(BINS):
        columns.bin_outcomes[row, horizon, number] *= _SCORE_KEPT
        columns.bin_told[row, horizon, number] *= _SCORE_KEPT
        columns.bin_came[row, horizon, number] *= _SCORE_KEPT
    columns.bin_outcomes[row, horizon, place] += 1.0
    columns.bin_told[row, horizon, place] += told
    columns.bin_came[row, horizon, place] += came
    columns.square[row, horizon] *= _SCORE_KEPT
    columns.square[row, horizon] += (told - came) ** 2


@sensing_entry
def learn_outcomes(columns: Calibrators, outcomes: Outcomes) -> None:
    """Learn from outcomes, in order. O(outcomes)."""
    for place in range(outcomes.row.shape[0]):
        row, horizon = outcomes.row[place], outcomes.horizon[place]
        risk, load, came = outcomes.risk[place], outcomes.load[place], outcomes.came[place]
        weight, precision = columns.weight[row, horizon], columns.precision[row, horizon]
        told = calibrated(weight, risk, load)
        _note(columns, row, horizon, told, came)
        columns.outcomes[row, horizon] = columns.outcomes[row, horizon] * _SCORE_KEPT + 1.0
        columns.square_raw[row, horizon] *= _SCORE_KEPT
        columns.square_raw[row, horizon] += (risk - came) ** 2
        certain = max(told * (1.0 - told), 0.01)
        for number in range(FEATURES):
            feature = 1.0
            if number == 1:
                feature = logit(risk)
            elif number == 2:
                feature = load - 1.0
            precision[number] = max(precision[number] * _KEPT, _PRECISION)
            precision[number] += certain * feature * feature
            weight[number] += feature * (came - told) / precision[number]
