"""
The forecast that arrivals are held against: made some buckets before, with what it may err by.

The newest forecast soon expects a surge, one much older misses what wanders: two buckets before is
best on a real log. Its variance is the state's alone. The factor that intervals learn is not in it,
for it has learned from what surges there were.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.forecasting.arrivals import ArrivalModel
from engine.kernels.arrival_model import FAST_AHEAD, GAINED_AHEAD, SLOW_AHEAD, UNEXPLAINED
from engine.kernels.sensing_columns import BUCKET_S

# Buckets that the forecast was made before.
LAG: Final = 2


class Held(NamedTuple):
    """Rate of a bucket, contacts per second, and the square of its relative error; (n,) each."""

    rate_per_s: NDArray[np.float64]
    variance: NDArray[np.float64]


class Baseline:
    """Forecasts of the next `LAG` buckets, kept as each bucket begins."""

    def __init__(self) -> None:
        self._held: dict[int, Held] = {}

    def begin(self, model: ArrivalModel) -> Held:
        """
        What the bucket that has begun is held against; call it once for each, before looking in.

        Where no forecast is old enough, as after a start, and for rows that are new, it is the
        newest.
        """
        bucket = model.bucket
        held = self._held.pop(bucket, None)
        self._held = {number: kept for number, kept in self._held.items() if number > bucket}
        self._held[bucket + LAG] = _made(model, LAG)
        newest = _made(model, 0)
        if held is None:
            return newest
        known = len(held.rate_per_s)
        return Held(
            np.concatenate([held.rate_per_s, newest.rate_per_s[known:]]),
            np.concatenate([held.variance, newest.variance[known:]]),
        )

    def renew(self, model: ArrivalModel, rows: NDArray[np.int64], running: Held) -> None:
        """Hold some rows, of which other is known now, against what is forecast of them now."""
        for bucket, kept in ((model.bucket, running), *self._held.items()):
            made = _made(model, bucket - model.bucket)
            known = rows[rows < len(kept.rate_per_s)]
            kept.rate_per_s[known] = made.rate_per_s[known]
            kept.variance[known] = made.variance[known]


def _made(model: ArrivalModel, ahead: int) -> Held:
    """Forecast of a bucket some buckets ahead, as the state stands; O(n)."""
    arrivals = model.columns.arrivals
    slow, fast = SLOW_AHEAD[ahead], FAST_AHEAD[ahead]
    variance = (
        slow * slow * arrivals.var_slow
        + GAINED_AHEAD[ahead]
        + 2.0 * slow * fast * arrivals.covariance
        + fast * fast * arrivals.var_fast
        + arrivals.fast_variance * (1.0 - fast * fast)
        + arrivals.uncertain[:, ahead]
        + UNEXPLAINED
    )
    mean = model.demand(ahead, ahead + 1).mean
    return Held(mean / BUCKET_S, np.maximum(variance, 0.0))
