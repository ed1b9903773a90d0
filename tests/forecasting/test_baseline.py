"""What arrivals are held against: a forecast of two buckets before, and what it may err by."""

import numpy as np
import pytest

from engine.forecasting.arrivals import ArrivalModel
from engine.forecasting.baseline import LAG, Baseline, Held
from engine.forecasting.calendar import Calendar, CalendarRows
from engine.forecasting.events import Event
from engine.kernels.arrival_model import state_of, variance_ahead
from engine.kernels.sensing_columns import BUCKET_S, SLOTS, WEEKDAYS, Observed

BEGIN = 5_000_112  # 04:00 UTC, when a day begins


def live(model: ArrivalModel, count: int) -> None:
    """End the running bucket with a count in every row."""
    counts = np.full(model.rows, count)
    seen, quiet = np.full(model.rows, BUCKET_S), np.zeros(model.rows, np.int64)
    model.close(max(model.bucket, BEGIN - 1), Observed(counts, seen, quiet))
    model.learn(model.rows)


@pytest.fixture
def model() -> ArrivalModel:
    """A queue of 30 contacts a bucket, as a day begins."""
    calendars = CalendarRows()
    made = ArrivalModel(1, calendars)
    made.set_calendar(0, calendars.add(Calendar()))
    made.set_template(0, np.full((WEEKDAYS, SLOTS), 30.0))
    live(made, 30)
    return made


def test_bucket_is_held_against_what_was_forecast_before_it(model: ArrivalModel) -> None:
    """A forecast that has seen a surge expects it; the one before does not."""
    baseline = Baseline()
    forecast, against = {}, {}
    for count in [30, 30, 30, 30, 90, 90, 90, 90]:
        held = baseline.begin(model)
        against[model.bucket] = float(held.rate_per_s[0]) * BUCKET_S
        forecast[model.bucket] = model.forecast(buckets=LAG + 1).mean[0]
        live(model, count)
    for bucket in range(BEGIN + LAG, BEGIN + 8):
        assert against[bucket] == pytest.approx(forecast[bucket - LAG][LAG], rel=1e-5)
    # The first ones of all are held against the newest.
    assert against[BEGIN] == pytest.approx(forecast[BEGIN][0], rel=1e-5)
    # Four buckets in at three times the rate: still held against less than was forecast by then.
    assert against[BEGIN + 6] < 0.8 * forecast[BEGIN + 6][0]


def test_variance_is_that_of_the_state_and_of_events(model: ArrivalModel) -> None:
    """What intervals have learned does not hide a surge; what is announced does."""
    for _ in range(5):
        live(model, 33)
    baseline = Baseline()
    arrivals = model.columns.arrivals
    begins_s = (model.bucket + LAG) * BUCKET_S
    model.events.put("sale", Event((0,), begins_s, begins_s + BUCKET_S, uplift=1.0, deviation=0.6))
    live(model, 33)
    arrivals.scale[:] = 5.0
    expected = {LAG: variance_ahead(state_of(arrivals, 0), float(arrivals.fast_variance[0]), LAG)}
    uncertain = float(arrivals.uncertain[0, LAG - 1])
    baseline.begin(model)
    live(model, 33)
    baseline.begin(model)
    live(model, 33)
    assert baseline.begin(model).variance[0] == pytest.approx(expected[LAG], rel=1e-6)
    assert uncertain == pytest.approx((0.5 * 0.6) ** 2, rel=1e-5)
    announced = Baseline()
    model.events.put("sale", Event((0,), begins_s, begins_s + 86_400, uplift=1.0, deviation=0.6))
    live(model, 60)
    assert announced.begin(model).variance[0] > 0.3**2


def test_rows_that_are_new_and_pauses_are_held_against_the_newest(model: ArrivalModel) -> None:
    """A queue made a minute ago, and the first bucket after an hour without any, are not blind."""
    baseline = Baseline()
    for _ in range(3):
        baseline.begin(model)
        live(model, 30)
    model.require(2)
    held = baseline.begin(model)
    assert isinstance(held, Held)
    assert [len(part) for part in held] == [2, 2]
    assert held.rate_per_s[1] == 0.0
    live(model, 30)
    for _ in range(12):
        live(model, 30)
    after = baseline.begin(model)
    assert after.rate_per_s[0] * BUCKET_S == pytest.approx(model.forecast().mean[0, 0], rel=1e-5)
