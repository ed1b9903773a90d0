"""
Arrivals that the live forecast does not allow: too many at once, or none for too long.

Over the last 15 s, 1, 5 and 10 minutes, with Y contacts counted where L were forecast, and V the
squared relative error of the forecast rate,

    k = L^2 / (L + V L^2)        z = 3 sqrt(k) ((Y / L)^(1/3) - 1 + 1 / (9 k))

is close to standard normal for a gamma-Poisson count (Wilson and Hilferty 1931). Without V, on a
real log, wandering rates add up until no threshold tells a surge from an ordinary day. The shortest
window counts where it expects `FEW` contacts: before, it sees the same as the others, less surely.
Far below one contact the cube root says far too much, of one that came and even of none: L is taken
for `LEAST` at least. A second that nothing was forecast for counts in neither Y nor L.

A silence is judged by itself: nothing comes in a time in which L contacts were forecast with
probability exp(-L).
"""

import math
from typing import Annotated, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.kernels.compilation import sensing_entry, sensing_kernel
from engine.kernels.sensing_columns import ROWS, Absent, Count, Extent, Real

# Seconds of a step; steps of the windows; and steps that are kept.
STEP_S: Final = 5
WINDOW_STEPS: Final = (3, 12, 60, 120)
WINDOWS: Final = len(WINDOW_STEPS)
STEPS: Final = WINDOW_STEPS[-1]
FEW: Final = 3.0
LEAST: Final = 0.25
# Seconds that the excess of contacts is told for.
EXCESS_S: Final = 900.0

# What a queue is in, and what one that is in nothing asks for.
CALM: Final = 0
CANDIDATE: Final = 1
SURGING: Final = 2

_Ring = Annotated[NDArray[np.float32], Extent(np.float32, 0.0, (ROWS, STEPS))]
_PerWindow = Annotated[NDArray[np.float64], Extent(np.float64, 0.0, (ROWS, WINDOWS))]


class Scans(NamedTuple):
    """
    What the scan keeps, by row.

    Attributes
    ----------
    came, forecast
        (n, STEPS) contacts counted and forecast by step, a ring.
    came_sum, forecast_sum
        (n, WINDOWS) their sums.
    step_came, step_forecast
        (n,) of the running step.
    state
        (n,) CALM, CANDIDATE or SURGING.
    window, z, excess
        (n,) place of the window that says most, its z, and how many contacts more than forecast
        that would be in `EXCESS_S`.
    calm_s
        (n,) seconds for which a surge has been over.
    quiet
        (n,) contacts forecast since the last one came.
    """

    came: _Ring
    forecast: _Ring
    came_sum: _PerWindow
    forecast_sum: _PerWindow
    step_came: Real
    step_forecast: Real
    state: Count
    window: Absent
    z: Real
    excess: Real
    calm_s: Count
    quiet: Real


class Second(NamedTuple):
    """
    One second of all rows.

    Attributes
    ----------
    offered
        (n,) contacts, >= 0; of no matter where the second is not covered.
    is_covered
        (n,) 1 where every source has told of the second, 0 in a gap.
    rate_per_s
        (n,) forecast contacts, >= 0.
    variance
        (n,) squared relative error of the rate, >= 0.
    """

    offered: NDArray[np.int64]
    is_covered: NDArray[np.int64]
    rate_per_s: NDArray[np.float64]
    variance: NDArray[np.float64]


class Thresholds(NamedTuple):
    """
    When a surge begins and ends.

    Attributes
    ----------
    raise_z, clear_z
        z from which it begins, and below which it is over.
    excess_min
        Contacts more than forecast in `EXCESS_S` without which it is of no matter.
    """

    raise_z: float
    clear_z: float
    excess_min: float


@sensing_kernel
def deviate(came: float, forecast: float, variance: float) -> float:
    """z of a window; see the module's docstring. 0 where nothing was forecast. O(1)."""
    if forecast <= 0.0:
        return 0.0
    mean = max(forecast, LEAST)
    k = mean / (1.0 + variance * mean)
    return 3.0 * math.sqrt(k) * ((came / mean) ** (1.0 / 3.0) - 1.0 + 1.0 / (9.0 * k))


@sensing_kernel
def _end_step(scans: Scans, row: int, place: int) -> None:
    """Put the running step of a row into its windows. O(windows)."""
    came, forecast = scans.step_came[row], np.float32(scans.step_forecast[row])
    for window in range(WINDOWS):
        oldest = (place - WINDOW_STEPS[window]) % STEPS
        scans.came_sum[row, window] += came - scans.came[row, oldest]
        scans.forecast_sum[row, window] += forecast - scans.forecast[row, oldest]
    scans.came[row, place] = came
    scans.forecast[row, place] = forecast
    scans.step_came[row] = scans.step_forecast[row] = 0.0


@sensing_kernel
def _scan_row(scans: Scans, row: int, variance: float) -> None:
    """Find the window of a row that says most. O(windows)."""
    scans.z[row], scans.excess[row], scans.window[row] = 0.0, 0.0, -1
    for window in range(WINDOWS):
        came, forecast = scans.came_sum[row, window], scans.forecast_sum[row, window]
        if window == 0 and forecast < FEW:
            continue
        z = deviate(came, forecast, variance)
        if scans.window[row] < 0 or z > scans.z[row]:
            scans.z[row], scans.window[row] = z, window
            share = EXCESS_S / (WINDOW_STEPS[window] * STEP_S)
            scans.excess[row] = (came - forecast) * share


@sensing_kernel
def _judge(scans: Scans, row: int, thresholds: Thresholds) -> None:
    """Bring the state of a row in line with its z. O(1)."""
    if scans.state[row] == SURGING:
        if scans.z[row] < thresholds.clear_z:
            scans.calm_s[row] += STEP_S
        else:
            scans.calm_s[row] = 0
        return
    is_surge = scans.z[row] >= thresholds.raise_z and scans.excess[row] >= thresholds.excess_min
    scans.state[row] = CANDIDATE if is_surge else CALM


@sensing_entry
def observe_second(scans: Scans, second: Second, number: int, thresholds: Thresholds) -> None:
    """
    Take a second in, by its number since the Unix epoch; at the end of a step, look.

    A second in a gap was neither forecast nor seen. O(rows), with windows at the end of a step.
    """
    is_step_end = number % STEP_S == STEP_S - 1
    place = number // STEP_S % STEPS
    for row in range(second.offered.shape[0]):
        if second.is_covered[row] != 0:
            if second.rate_per_s[row] > 0.0:
                scans.step_came[row] += second.offered[row]
                scans.step_forecast[row] += second.rate_per_s[row]
            scans.quiet[row] += second.rate_per_s[row]
            if second.offered[row] > 0:
                scans.quiet[row] = 0.0
        if is_step_end:
            _end_step(scans, row, place)
            _scan_row(scans, row, second.variance[row])
            _judge(scans, row, thresholds)
