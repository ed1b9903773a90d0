"""Events: laid on the forecast, taken out of what is learned, corrected when they do not come."""

import numpy as np
import pytest

from engine.forecasting.arrivals import ArrivalModel
from engine.forecasting.calendar import Calendar, CalendarRows
from engine.forecasting.events import EVENTS_MAX, Event, Events
from engine.kernels.sensing_columns import BUCKET_S, SLOTS, Observed
from engine.refusals import BadConfiguration

BEGIN = 5_000_112  # 04:00 UTC, when a day begins


def model_at(mean: float) -> ArrivalModel:
    """One queue with a flat profile, at the beginning of a day."""
    calendars = CalendarRows()
    model = ArrivalModel(1, calendars)
    model.set_calendar(0, calendars.add(Calendar()))
    model.set_template(0, np.full((7, SLOTS), mean))
    live(model, BEGIN - 1, mean)
    return model


def live(model: ArrivalModel, bucket: int, count: float) -> None:
    """One bucket with a count."""
    observed = Observed(np.array([round(count)]), np.array([BUCKET_S]), np.array([0]))
    model.close(bucket, observed)
    model.learn(1)


def campaign(first: int, buckets: int, **fields: float) -> Event:
    """An event over some buckets from the first on."""
    begins_s = (BEGIN + first) * BUCKET_S
    return Event((0,), begins_s, begins_s + buckets * BUCKET_S, **fields)  # type: ignore[arg-type]


def test_shape_rises_stays_and_halves() -> None:
    """What is planned is what is laid on."""
    event = Event((0,), 1_000, 2_000, rise_s=500, half_life_s=100)
    found = event.shape(np.array([999.0, 1_250.0, 1_600.0, 2_000.0, 2_100.0, 2_200.0, 3_000.0]))
    assert found.tolist() == [0.0, 0.5, 1.0, 1.0, 0.5, 0.25, 0.0]


def test_event_lifts_the_forecast_and_widens_it() -> None:
    """Half as many again where it is on, and nothing before; less certain while it lasts."""
    model = model_at(40.0)
    plain = model.forecast()
    model.events.put("sale", campaign(12, 12, uplift=0.5, added=4.0, deviation=0.5))
    live(model, BEGIN, 40.0)
    lifted = model.forecast()
    assert lifted.mean[0, 5] == pytest.approx(plain.mean[0, 5], rel=0.02)
    assert lifted.mean[0, 15] == pytest.approx(1.6 * plain.mean[0, 15], rel=0.02)
    # 24 of 64 contacts are the event's, and those by a half.
    uncertain = model.columns.arrivals.uncertain[0]
    assert uncertain[15] == pytest.approx((0.5 * 24.0 / 64.0) ** 2, rel=1e-3)
    assert uncertain[5] == 0.0
    model.events.put("sale", campaign(12, 12, uplift=0.5, added=4.0, deviation=0.0))
    live(model, BEGIN + 1, 40.0)
    sure = model.forecast()
    assert np.ptp(sure.quantiles[0, 14]) < 0.97 * np.ptp(lifted.quantiles[0, 15])


def test_profile_learns_what_would_have_come_without() -> None:
    """A sale on one day must not be expected on the same day a week later."""
    model = model_at(40.0)
    model.events.put("sale", campaign(1, SLOTS - 1, uplift=0.5))
    for number in range(SLOTS + 1):
        live(model, BEGIN + number, 40.0 if number == 0 or number == SLOTS else 60.0)
    assert model.columns.profiles.rate[0].mean() == pytest.approx(40.0, rel=0.03)
    assert model.events.known() == {}


def test_event_that_does_not_come_is_corrected_within_the_hour() -> None:
    """Announced and absent: after twelve buckets the next is forecast within 10 %."""
    model = model_at(40.0)
    model.events.put("sale", campaign(1, 100, uplift=0.5, deviation=0.3))
    for number in range(13):
        live(model, BEGIN + number, 40.0)
    assert model.forecast(buckets=1).mean[0, 0] == pytest.approx(40.0, rel=0.10)


@pytest.mark.parametrize(
    "fields",
    [
        {"uplift": -1.5},  # fewer than none
        {"uplift": float("nan")},  # no number
        {"added": -1.0},  # negative
        {"deviation": 3.0},  # no knowledge at all
        {"rise_s": 10_000},  # rises for longer than it lasts
    ],
)
def test_impossible_event_is_refused(fields: dict[str, float]) -> None:
    """A slip in a plan is told at once, by its field."""
    with pytest.raises(BadConfiguration, match=next(iter(fields))):
        campaign(0, 12, **fields)
    with pytest.raises(BadConfiguration, match=r"(ends|begins)_s"):
        Event((0,), 2_000, 1_000)


def test_events_are_bounded_and_removed() -> None:
    """Plans pile up; the engine says so instead of growing."""
    events = Events()
    for number in range(EVENTS_MAX):
        events.put(str(number), campaign(0, 1))
    with pytest.raises(BadConfiguration, match="at most"):
        events.put("one more", campaign(0, 1))
    events.put("0", campaign(0, 2))
    assert events.remove("0")
    assert not events.remove("0")
