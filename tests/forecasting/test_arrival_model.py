"""The model's equations against matrices, exact distributions and dense covariances."""

import numpy as np
import pytest

from engine.forecasting.arrivals import ArrivalModel
from engine.forecasting.calendar import Calendar, CalendarRows
from engine.kernels.arrival_forecast import quantile
from engine.kernels.arrival_model import (
    State,
    corrected,
    departure_ahead,
    propagated,
    variance_ahead,
)
from engine.kernels.ledger import poisson_floor
from engine.kernels.profile import smooth
from engine.kernels.sensing_columns import NORMAL_QUANTILES, QUANTILES, SLOTS, Observed
from tests.forecasting.reference import kalman, later, negative_binomial_quantile

NORMAL = dict(zip(QUANTILES, NORMAL_QUANTILES, strict=True))


def as_matrices(state: State) -> tuple[np.ndarray, np.ndarray]:
    """A state as vector and matrix."""
    cover = [[state.var_slow, state.covariance], [state.covariance, state.var_fast]]
    return np.array([state.slow, state.fast]), np.array(cover)


def test_filter_agrees_with_matrices() -> None:
    """Correction and propagation are a Kalman filter's, written out."""
    draw = np.random.default_rng(1)
    state = State(0.1, -0.05, 0.02, 0.0, 0.01)
    for _ in range(200):
        expected, count = float(draw.gamma(1.0, 30.0)) + 0.1, float(draw.poisson(30.0))
        vector, cover = kalman(*as_matrices(state), count, expected)
        state = corrected(state, count, expected)
        assert np.allclose(as_matrices(state)[0], vector, rtol=1e-12)
        assert np.allclose(as_matrices(state)[1], cover, rtol=1e-9, atol=1e-15)
        vector, cover = later(vector, cover, 0.01)
        state = propagated(state, 0.01)
        assert np.allclose(as_matrices(state)[0], vector, rtol=1e-12)
        assert np.allclose(as_matrices(state)[1], cover, rtol=1e-9, atol=1e-15)


def test_closed_forms_ahead_agree_with_repeated_steps() -> None:
    """Forecasts of twelve hours do not step through them."""
    state = State(0.2, -0.1, 0.03, -0.004, 0.02)
    stepped = state
    for ahead in range(144):
        assert departure_ahead(state, ahead) == pytest.approx(stepped.slow + stepped.fast)
        total = stepped.var_slow + 2.0 * stepped.covariance + stepped.var_fast + 0.003
        assert variance_ahead(state, 0.012, ahead) == pytest.approx(total)
        stepped = propagated(stepped, 0.012)


@pytest.mark.parametrize("mean", [2.0, 8.0, 50.0, 400.0])
@pytest.mark.parametrize("dispersion", [1.1, 2.0, 4.0])
def test_quantiles_are_near_those_of_the_negative_binomial(mean: float, dispersion: float) -> None:
    """Within one contact, or 3 % of a deviation, of the exact quantile."""
    variance = dispersion * mean
    for probability, normal in NORMAL.items():
        exact = negative_binomial_quantile(mean, variance, probability)
        assert abs(quantile(mean, variance, normal) - exact) <= 1.0 + 0.05 * variance**0.5


def test_floor_is_the_mean_absolute_deviation_of_a_poisson_count() -> None:
    """The least error there is, summed over every count."""
    for mean in (0.3, 1.0, 7.4, 60.0):
        share, total = np.exp(-mean), 0.0
        for count in range(400):
            total += share * abs(count - mean)
            share *= mean / (count + 1)
        assert poisson_floor(mean) == pytest.approx(total, rel=1e-9)
    assert poisson_floor(0.0) == 0.0


def test_smoothing_is_a_weighted_mean_of_what_is_open() -> None:
    """Closed slots neither pull the edge of the day down nor are zeros."""
    draw = np.random.default_rng(2)
    values = draw.gamma(2.0, 3.0, SLOTS).astype(np.float32)
    values[:80] = -1.0
    smoothed = np.empty(SLOTS)
    smooth(values, 2.5, np.zeros(SLOTS), smoothed)
    slots = np.arange(SLOTS)
    for slot in (80, 90, 200, 287):
        weight = np.exp(-0.5 * ((slots - slot) / 2.5) ** 2)
        weight[(values < 0) | (abs(slots - slot) > 10)] = 0.0
        assert smoothed[slot] == pytest.approx((weight * values).sum() / weight.sum())
    assert smoothed[0] == pytest.approx(values[values >= 0].mean())


def test_sums_vary_as_their_parts_and_what_they_share() -> None:
    """The one-pass variance of a sum is that of the full covariance matrix of its buckets."""
    calendars = CalendarRows()
    model = ArrivalModel(1, calendars)
    model.set_calendar(0, calendars.add(Calendar()))
    weekly = np.full((7, SLOTS), 40.0)
    model.set_template(0, weekly)
    observed = Observed(np.array([52]), np.array([300]), np.array([0]))
    for bucket in range(5_000_100, 5_000_108):
        model.close(bucket, observed)
        model.learn(1)
    arrivals = model.columns.arrivals
    state = State(*(float(arrivals[place][0]) for place in range(5)))
    fast_variance = float(arrivals.fast_variance[0])
    mean = model.forecast(buckets=12).mean[0].astype(float)
    cover = np.zeros((12, 12))
    for i in range(12):
        total = variance_ahead(state, fast_variance, i) - 0.003
        fast = min(fast_variance, total)
        for j in range(i, 12):
            shared = (total - fast) * 0.995 ** (j - i) + fast * 0.95 ** (j - i)
            cover[i, j] = cover[j, i] = mean[i] * mean[j] * shared
        cover[i, i] += mean[i] + 0.003 * mean[i] ** 2
    told = model.demand(0, 12)
    assert told.mean[0] == pytest.approx(mean.sum(), rel=1e-5)
    assert told.variance[0] == pytest.approx(cover.sum(), rel=0.05)
    assert told.told[0, 0] < told.told[0, 1] < told.mean[0] < told.told[0, 2] < told.told[0, 3]
