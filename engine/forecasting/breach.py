"""
Breach risk per pool: how likely contacts wait too long some minutes from now, calibrated by
outcomes.

The raw risk comes from the forecast, the agents on duty and what is in the system
(`engine.kernels.breach`). The forecast rate is first corrected by what has come lately: with a the
inverse of its squared relative error, a Gamma prior makes the factor

    (a + observed) / (a + forecast)        and leaves the variance 1 / (a + forecast).

On a real log a raw risk is off by 0.16 to 0.19, a calibrated one by 0.03: calibration is not
optional.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.forecasting.columns import Array, allocate, clear_row, exported, imported
from engine.kernels import breach as kernels
from engine.kernels import calibration
from engine.kernels.breach import CHAIN_ROWS, CHAIN_STATES, Pools, Times
from engine.kernels.calibration import HORIZONS, Calibrators, Outcomes

# Seconds ahead that risks are told for.
HORIZONS_S: Final = (300.0, 600.0, 900.0, 1_800.0)

assert len(HORIZONS_S) == HORIZONS


class RateFactor(NamedTuple):
    """Factor on a forecast rate, (n,), and its variance that is left, (n,)."""

    factor: NDArray[np.float64]
    variance: NDArray[np.float64]


class Quality(NamedTuple):
    """
    How good probabilities have been lately; (n, h) each, NaN before the first outcome.

    Attributes
    ----------
    brier_raw, brier
        Mean squared error before and after calibration.
    ece
        Expected calibration error: how far what was told lies from what came, over ten bins.
    """

    brier_raw: NDArray[np.float64]
    brier: NDArray[np.float64]
    ece: NDArray[np.float64]


def rate_factor(
    forecast: NDArray[np.float64], observed: NDArray[np.float64], deviation: NDArray[np.float64]
) -> RateFactor:
    """
    Correct a forecast rate by the contacts of the last 30 to 45 minutes.

    Parameters
    ----------
    forecast, observed
        (n,) contacts in that time, as forecast before it and as counted.
    deviation
        (n,) relative standard error of the forecast, > 0.
    """
    if not (deviation > 0.0).all() or not ((forecast >= 0.0) & (observed >= 0.0)).all():
        raise ValueError("rate_factor: expected contacts >= 0 and deviations > 0")
    prior = 1.0 / deviation**2
    return RateFactor((prior + observed) / (prior + forecast), 1.0 / (prior + forecast))


def wait_risk(
    pools: Pools, segment_s: float, horizons_s: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """
    P(wait > target) of each pool at each horizon, not yet calibrated; (n, h).

    Raises
    ------
    ValueError
        A field has another shape, is NaN or out of range; the message names it.
    """
    chosen = np.array(HORIZONS_S) if horizons_s is None else np.asarray(horizons_s, np.float64)
    if not (len(chosen) and (np.diff(chosen, prepend=0.0) > 0.0).all() and segment_s > 0.0):
        raise ValueError(f"horizons: expected ascending seconds > 0, got {chosen}")
    rows, segments = pools.agents.shape
    for name, array in zip(Pools._fields, pools, strict=True):
        shape = (rows, segments) if name in ("arrivals_per_s", "agents") else (rows,)
        low = 1e-7 if name == "handled_per_s" else 0.0
        if array.dtype != np.float64 or array.shape != shape or segments == 0:
            raise ValueError(f"pools.{name}: expected float64 of shape {shape}, got {array.shape}")
        if not ((array >= low) & (array <= 1e7)).all():
            raise ValueError(f"pools.{name}: expected {low:g} to 1e7 everywhere")
    risk = np.empty((rows, len(chosen)))
    chain = np.zeros((CHAIN_ROWS, CHAIN_STATES))
    ready = Pools(*map(np.ascontiguousarray, pools))
    kernels.wait_risk(ready, Times(chosen, float(segment_s)), chain, risk)
    return risk


class BreachCalibration:
    """
    Calibration of each pool's risks.

    Attributes
    ----------
    columns
        The arrays; replaced as they grow.
    """

    def __init__(self, rows: int) -> None:
        self.columns = allocate(Calibrators, rows)

    def require(self, rows: int) -> None:
        """Make room for rows of pools."""
        if rows > len(self.columns.outcomes):
            self.columns = allocate(Calibrators, rows, self.columns)

    def clear(self, row: int) -> None:
        """Forget a pool."""
        clear_row(self.columns, row)

    def calibrate(
        self,
        risk: NDArray[np.float64],
        load: NDArray[np.float64],
        rows: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float64]:
        """
        Risks (n, 4) as they should be told; `load` (n,) is forecast load over capacity.

        Of all rows, or of some.
        """
        columns = self.columns
        if rows is not None:
            columns = Calibrators(*(np.ascontiguousarray(column[rows]) for column in columns))
        count = len(columns.outcomes)
        if risk.shape != (count, HORIZONS) or load.shape != (count,):
            raise ValueError(f"risk: expected ({count}, {HORIZONS}), got {risk.shape}")
        told = np.empty((count, HORIZONS))
        calibration.calibrate(columns, np.ascontiguousarray(risk), np.ascontiguousarray(load), told)
        return told

    def learn(self, outcomes: Outcomes) -> None:
        """
        Learn from outcomes, in order.

        Raises
        ------
        ValueError
            One is NaN or out of range; nothing is learned.
        """
        rows = len(self.columns.outcomes)
        bounds = {"row": rows - 1, "horizon": HORIZONS - 1, "risk": 1.0, "load": 100.0, "came": 1.0}
        for name, array in zip(Outcomes._fields, outcomes, strict=True):
            most = bounds[name]
            if array.shape != outcomes.row.shape or not ((array >= 0) & (array <= most)).all():
                raise ValueError(f"outcomes.{name}: expected 0 to {most:g} everywhere")
        calibration.learn_outcomes(self.columns, outcomes)

    def quality(self) -> Quality:
        """How good probabilities have been lately."""
        columns = self.columns
        with np.errstate(invalid="ignore"):
            gaps = np.abs(columns.bin_told - columns.bin_came).sum(axis=2)
            return Quality(
                columns.square_raw / columns.outcomes,
                columns.square / columns.outcomes,
                gaps / columns.outcomes,
            )

    def export(self) -> dict[str, Array]:
        """Everything as arrays, for `load`."""
        return exported(self.columns)

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take what `export` gave, of as many rows."""
        self.columns = imported(Calibrators, arrays, len(self.columns.outcomes))
