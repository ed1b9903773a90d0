"""Events: laid on the forecast, taken out of what is learned, corrected when they do not come."""

import json
from dataclasses import replace

import numpy as np
import pytest

from engine.forecasting.arrivals import ArrivalModel
from engine.forecasting.calendar import Calendar, CalendarRows
from engine.forecasting.events import CURVE_MAX, EVENTS_MAX, Event, Events, Override
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


def campaign(first: int, buckets: int, **fields: object) -> Event:
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


def test_percents_and_response_are_laid_on_bucket_by_bucket() -> None:
    """A plan drawn by hand is laid on as drawn; a mailing goes on after its end."""
    model = model_at(40.0)
    begins_s = (BEGIN + 4) * BUCKET_S
    sale = Event(
        (0,), begins_s, begins_s + 3 * BUCKET_S, percents=(10.0, 50.0, -50.0, 900.0),
        response=(0.0, 5.0, 0.0, 3.0, 1.0), deviation=0.0,
    )  # fmt: skip
    assert sale.over_s() == begins_s + 5 * BUCKET_S
    model.events.put("mailing", sale)
    live(model, BEGIN, 40.0)
    expected = model.columns.arrivals.expected[0] / model.columns.arrivals.expected[0, 0]
    by_hand = [1.0, 1.1, 1.5 + 5 / 40, 0.5, 1.0 + 3 / 40, 1.0 + 1 / 40, 1.0]
    assert expected[2:9].tolist() == pytest.approx(by_hand, rel=1e-3)


@pytest.mark.parametrize(
    ("override", "level", "told"),
    [
        (Override.SET, 100.0, 100.0),  # whatever is usual
        (Override.MIN, 25.0, 40.0),  # at least, and it is more
        (Override.MIN, 55.0, 55.0),
        (Override.MAX, 55.0, 40.0),  # at most, and it is less
        (Override.MAX, 25.0, 25.0),
        (Override.SET, 0.0, 0.0),  # nothing at all
    ],
)
def test_override_is_what_is_forecast_and_nothing_learns_from_it(
    override: Override, level: float, told: float
) -> None:
    """A planner's order holds where it was given, and leaves no trace in what is learned."""
    ordered, plain = model_at(40.0), model_at(40.0)
    ordered.events.put("order", campaign(6, 24, override=override, level=level))
    for number in range(20):
        for model in (ordered, plain):
            live(model, BEGIN + number, 44.0)
        if number == 3:
            mean = ordered.forecast().mean[0]
            assert mean[4:26].tolist() == pytest.approx([told if told != 40.0 else mean[3]] * 22,
                                                        rel=0.02)  # fmt: skip
            assert mean[1] == pytest.approx(plain.forecast().mean[0, 1])
            assert mean[27] == pytest.approx(plain.forecast().mean[0, 27])
    for _ in range(30):
        number += 1
        for model in (ordered, plain):
            live(model, BEGIN + number, 44.0)
    for name, array in ordered.export().items():
        np.testing.assert_array_equal(array, plain.export()[name], err_msg=name)


def run_event(model: ArrivalModel, first: int, kind: str, brought: float) -> None:
    """An event of two hours, planned to bring half as much again, of which a share comes."""
    begin = BEGIN + first
    model.events.put(f"{kind} {first}", campaign(first, 24, uplift=0.5, kind=kind))
    for number in range(40):
        inside = 1 <= number < 25
        live(model, begin - 1 + number, 40.0 + (20.0 * brought if inside else 0.0))


def test_what_events_brought_is_kept_and_scales_the_next_plan() -> None:
    """Sales that bring half of their plan three times over are not believed in full again."""
    model = model_at(40.0)
    ratios = []
    for number in range(3):
        run_event(model, 2 + 40 * number, "sale", 0.5)
        ratios.append(model.events.uplifts.ratio("sale"))
    realised = model.events.realised()
    assert [one.is_over for one in realised] == [True] * 3
    assert [round(one.planned) for one in realised] == pytest.approx([480] * 3, rel=0.1)
    assert [one.ratio for one in realised] == pytest.approx([0.5] * 3, abs=0.2)
    assert 1.0 > ratios[0] > ratios[1] > ratios[2]
    # Each tells some n / (n + 4) of what it differed by.
    mean = np.mean([one.ratio for one in realised])
    assert ratios[2] == pytest.approx(1.0 - (1.0 - mean) * 3 / 7, abs=0.04)
    assert model.events.uplifts.ratio("mailing") == model.events.uplifts.ratio("") == 1.0
    # The next one is laid on so much lower.
    model.events.put("next", campaign(130, 24, uplift=1.0, kind="sale"))
    live(model, BEGIN + 122, 40.0)
    expected = model.columns.arrivals.expected[0]
    assert expected[10] / expected[0] == pytest.approx(1.0 + ratios[2], rel=0.01)


def test_events_that_overlap_teach_nothing() -> None:
    """Nobody can tell what brought what."""
    model = model_at(40.0)
    model.events.put("one", campaign(2, 12, uplift=0.5, kind="sale"))
    model.events.put("two", campaign(2, 12, uplift=0.5, kind="news"))
    for number in range(20):
        live(model, BEGIN + number, 90.0 if 2 <= number < 14 else 40.0)
    assert model.events.uplifts.kinds() == {}
    assert model.events.known() == {}


def test_events_are_restored_from_json_with_what_was_learned() -> None:
    """A restart forgets neither next week's sale nor that sales bring half of their plan."""
    model = model_at(40.0)
    run_event(model, 2, "sale", 0.4)
    model.events.put("soon", campaign(38, 30, uplift=1.0, kind="sale", percents=(1.0, 2.0)))
    model.events.put("order", replace(campaign(50, 5), override=Override.MIN, level=3.0))
    for number in range(38, 45):
        live(model, BEGIN + number + 3, 40.0)
    saved = json.loads(json.dumps(model.events.export()))
    again = Events()
    again.load(saved)
    assert again.known() == model.events.known()
    assert again.uplifts.kinds() == model.events.uplifts.kinds()
    assert again.export() == model.events.export()
    for change in (
        {"kinds": {"sale": {"precision": 0.0, "ratio": 1.0, "events": 1}}},
        {"kinds": {"sale": {"precision": 20.0, "ratio": "1", "events": 1}}},
        {"events": {"x": {"rows": [0]}}},
        {"events": {"x": saved["events"]["soon"] | {"ends_s": -1}}},
        {"events": {"x": saved["events"]["soon"] | {"percents": 3.0}}},
        {"events": {"x": saved["events"]["soon"] | {"ratio": None}}},
        {"running": {"soon": [1.0, 2.0, 3.0, 4.0]}},
        {"events": 5},
    ):
        with pytest.raises(BadConfiguration, match=r"events?"):
            again.load(saved | change)
    assert again.export() == model.events.export()


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"percents": (5.0, -101.0)}, r"percents\[1\]"),  # fewer than none
        ({"response": (-1.0,)}, r"response\[0\]"),  # the same
        ({"response": (float("nan"),)}, r"response\[0\]"),  # no number
        ({"percents": (1.0,) * (CURVE_MAX + 1)}, "percents"),  # for ever
        ({"level": -1.0}, "level"),  # an order that nobody can follow
        ({"kind": "x" * 200}, "kind"),  # a story
    ],
)
def test_impossible_curve_or_order_is_refused(fields: dict[str, object], path: str) -> None:
    """A slip in a list is told by its place."""
    with pytest.raises(BadConfiguration, match=rf"event\.{path}"):
        campaign(0, 12, **fields)
