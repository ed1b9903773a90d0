"""Forecasts of arrivals as they live: learning, gaps, faults, cold starts, restarts."""

import numpy as np
import pytest

from engine.forecasting.accuracy import accuracy
from engine.forecasting.arrivals import ArrivalModel
from engine.forecasting.calendar import Calendar, CalendarRows
from engine.forecasting.compiling import compile_forecasting
from engine.kernels.sensing_columns import (
    BUCKET_S,
    HORIZON,
    LEADS,
    SLOT_MEAN,
    SLOTS,
    Observed,
)
from engine.refusals import BadConfiguration

# A Monday at 04:00 UTC, when days without hours begin.
MONDAY = (18_000 - 18_000 % 7 + 4) * SLOTS + 48


def told(counts: list[int], covered_s: int = BUCKET_S, quiet_s: int = 0) -> Observed:
    """What a bucket brought, the same coverage for all."""
    rows = len(counts)
    return Observed(np.array(counts), np.full(rows, covered_s), np.full(rows, quiet_s))


def started(queues: int) -> ArrivalModel:
    """A model without hours."""
    calendars = CalendarRows()
    row = calendars.add(Calendar())
    model = ArrivalModel(queues, calendars)
    for queue in range(queues):
        model.set_calendar(queue, row)
    return model


def templated(mean: float, queues: int = 1) -> ArrivalModel:
    """A model whose queues begin from a flat template, at a Monday's first bucket."""
    model = started(queues)
    for queue in range(queues):
        model.set_template(queue, np.full((7, SLOTS), mean))
    model.close(MONDAY - 1, told([round(mean)] * queues))
    model.learn(queues)
    return model


def usual(bucket: int, base: float = 30.0) -> float:
    """A day's curve, with quiet weekends."""
    wave = 1.0 + 0.6 * np.sin(2.0 * np.pi * (bucket % SLOTS) / SLOTS)
    return float(base * wave * (0.5 if bucket // SLOTS % 7 in (2, 3) else 1.0))


def lived(model: ArrivalModel, days: int, seed: int, factor: float = 1.0) -> None:
    """Some days of Poisson counts on that curve, for every queue."""
    draw = np.random.default_rng(seed)
    first = max(model.bucket, MONDAY)
    for bucket in range(first, first + days * SLOTS):
        counts = draw.poisson(factor * usual(bucket), model.rows)
        model.close(bucket, told(counts.tolist()))
        model.learn(model.rows)


@pytest.mark.compiled_only
def test_weeks_teach_the_profile_and_intervals_hold() -> None:
    """On pure chance the model must come close to the least error there is, and say how far off."""
    model = started(2)
    lived(model, 35, seed=1)
    found = accuracy(model.columns)
    assert (found.wape < 1.06 * found.floor).all()
    assert (np.abs(found.bias) < 0.02).all()
    assert ((found.in_80 > 0.77) & (found.in_80 < 0.90)).all()
    assert ((found.in_95 > 0.93) & (found.in_95 < 0.985)).all()
    assert (found.in_force == 0).all()
    forecast = model.forecast().mean[0]
    expected = [usual(model.bucket + ahead) for ahead in range(HORIZON)]
    assert np.abs(forecast / expected - 1.0).mean() < 0.06


def test_ledger_agrees_with_forecasts_kept_beside_it() -> None:
    """Figures come from forecasts as issued, not as they look afterwards."""
    model = templated(20.0)
    draw = np.random.default_rng(2)
    kept: list[dict[int, float]] = [{} for _ in LEADS]
    errors = [[0.0, 0.0] for _ in LEADS]
    # A week, so that the week before has something to say, then some hours.
    for bucket in range(MONDAY, MONDAY + 7 * SLOTS + 200):
        mean = model.forecast().mean[0]
        count = int(draw.poisson(20.0))
        for place, lead in enumerate(LEADS):
            kept[place][bucket + lead - 1] = float(mean[lead - 1])
            if bucket >= MONDAY + 7 * SLOTS and bucket in kept[place]:
                errors[place][0] += abs(count - kept[place][bucket])
                errors[place][1] += count
        model.close(bucket, told([count]))
        model.learn(1)
    totals = model.columns.ledger.today[0, :, 0]
    assert totals[:, 2].tolist() == pytest.approx([error for error, _ in errors], rel=1e-4)
    assert totals[:, 1].tolist() == [count for _, count in errors]


def test_surge_is_followed_within_half_an_hour() -> None:
    """Half as many again from one bucket on: after six the next is forecast within 12 %."""
    model = templated(40.0)
    for bucket in range(MONDAY, MONDAY + 60):
        model.close(bucket, told([40 if bucket < MONDAY + 50 else 60]))
        if bucket == MONDAY + 49:
            assert model.forecast(buckets=1).mean[0, 0] == pytest.approx(40.0, rel=0.03)
    assert model.forecast(buckets=1).mean[0, 0] == pytest.approx(60.0, rel=0.12)


def test_gap_teaches_nothing() -> None:
    """Missing telemetry leaves the forecast where it was; only its uncertainty grows."""
    model = templated(40.0)
    for bucket in range(MONDAY, MONDAY + 20):
        model.close(bucket, told([52]))
    before = model.forecast(buckets=1)
    for bucket in range(MONDAY + 20, MONDAY + 24):
        model.close(bucket, told([0], covered_s=0))
    after = model.forecast(buckets=1)
    assert after.mean[0, 0] == pytest.approx(before.mean[0, 0], rel=0.05)
    assert np.ptp(after.quantiles[0, 0]) > np.ptp(before.quantiles[0, 0])
    assert model.columns.profiles.day_missing[0].sum() == pytest.approx(4 * 40.0, rel=0.01)


def test_half_seen_bucket_counts_for_its_half() -> None:
    """Twenty contacts in half a bucket of forty are what was expected."""
    model = templated(40.0)
    model.close(MONDAY, told([20], covered_s=150))
    assert model.forecast(buckets=1).mean[0, 0] == pytest.approx(40.0, rel=0.02)


def test_silent_feed_is_a_fault_not_a_quiet_day() -> None:
    """A feed that goes on saying zero must not teach that nobody calls."""
    model = templated(40.0)
    for bucket in range(MONDAY, MONDAY + 30):
        model.close(bucket, told([40]))
    for number, bucket in enumerate(range(MONDAY + 30, MONDAY + 50), 1):
        model.close(bucket, told([0], quiet_s=BUCKET_S * number))
    assert model.forecast(buckets=1).mean[0, 0] == pytest.approx(40.0, rel=0.1)
    assert model.columns.arrivals.faults[0] == 20
    assert accuracy(model.columns).faults[0] == 20


def test_spike_leaves_the_profile_alone() -> None:
    """A million calls in five minutes are a fault or a catastrophe, not a Monday."""
    model = templated(40.0)
    for bucket in range(MONDAY, MONDAY + SLOTS):
        model.close(bucket, told([1_000_000 if bucket == MONDAY + 100 else 40]))
        model.learn(1)
    assert model.columns.arrivals.today[0] == model.columns.profiles.rate_day[0].min()
    rates = model.columns.profiles.rate[0]
    assert rates.max() < 60.0
    assert np.isfinite(model.forecast().quantiles).all()


def test_contacts_outside_hours_teach_nothing() -> None:
    """What comes while a queue is closed is another matter."""
    calendars = CalendarRows()
    row = calendars.add(Calendar(open_times=lambda begin, end: ()))
    model = ArrivalModel(1, calendars)
    model.set_calendar(0, row)
    for bucket in range(MONDAY, MONDAY + 10):
        model.close(bucket, told([50]))
    assert model.forecast().mean.sum() == 0.0
    assert model.columns.profiles.day_count.sum() == 0.0


def test_new_queue_forecasts_its_mean_until_it_has_a_day() -> None:
    """Nothing is known but what has come; a day later there is a profile."""
    model = started(1)
    for bucket in range(MONDAY, MONDAY + 24):
        model.close(bucket, told([12]))
        model.learn(1)
    assert model.forecast(buckets=2).mean[0] == pytest.approx([12.0, 12.0], rel=0.1)
    for bucket in range(MONDAY + 24, MONDAY + SLOTS + 1):
        model.close(bucket, told([12]))
        model.learn(1)
    assert model.columns.profiles.days[0] == 1
    assert model.forecast().mean[0] == pytest.approx(np.full(HORIZON, 12.0), rel=0.1)


def test_sparse_queue_takes_the_shape_of_its_group() -> None:
    """One contact an hour says nothing of mornings; its group does."""
    model = started(2)
    model.set_group(1, 0)
    for bucket in range(MONDAY, MONDAY + 2 * SLOTS):
        is_morning = bucket % SLOTS < 144
        model.close(bucket, told([60 if is_morning else 20, int(bucket % 24 == 0)]))
        model.learn(2)
    rates = model.columns.profiles.rate[1, 0]
    slots = (np.arange(SLOTS) + 48) % SLOTS
    morning, evening = rates[(slots > 20) & (slots < 124)], rates[(slots > 164) & (slots < 268)]
    assert morning.mean() / evening.mean() > 2.0
    assert rates.sum() == pytest.approx(12.0, rel=0.2)
    with pytest.raises(ValueError, match="group of row 0"):
        model.set_group(0, 0)


def test_running_bucket_shows_before_it_ends() -> None:
    """Twice as many in a third of the bucket move the forecast, and teach nothing yet."""
    model = templated(60.0)
    model.look(100, told([40], covered_s=100))
    shown = model.forecast(buckets=2)
    assert shown.mean[0, 0] > 80.0
    assert shown.mean[0, 1] > 62.0
    assert (shown.quantiles[0, 0] >= 40.0).all()
    model.look(0, told([0], covered_s=0))
    assert model.forecast(buckets=1).mean[0, 0] == pytest.approx(60.0, rel=0.01)


def test_special_day_is_learned_apart() -> None:
    """A holiday at a fifth of the usual neither lowers the profile nor surprises next time."""
    from datetime import date

    tuesday = date.fromordinal(date(1970, 1, 1).toordinal() + MONDAY // SLOTS + 1)
    calendars = CalendarRows()
    row = calendars.add(Calendar(special_days={tuesday: 1}))
    model = ArrivalModel(1, calendars)
    model.set_calendar(0, row)
    model.set_template(0, np.full((7, SLOTS), 50.0))
    for bucket in range(MONDAY - 1, MONDAY + 2 * SLOTS + 1):
        is_special = MONDAY + SLOTS <= bucket < MONDAY + 2 * SLOTS
        model.close(bucket, told([10 if is_special else 50]))
        model.learn(1)
    profiles = model.columns.profiles
    assert profiles.special_factor[0, 1] == pytest.approx(0.2, rel=0.05)
    assert model.forecast().mean[0, 10] == pytest.approx(50.0, rel=0.1)


@pytest.mark.compiled_only
def test_plain_mean_takes_over_where_it_is_better() -> None:
    """
    Counts that swing to and fro punish whoever follows them; the ledger notices and says so.
    """
    model = started(1)
    for bucket in range(MONDAY, MONDAY + 21 * SLOTS):
        swing = 30 if bucket // 12 % 2 else -30
        model.close(bucket, told([100 + swing * (1 if (bucket // SLOTS) % 3 else -1)]))
        model.learn(1)
    found = accuracy(model.columns)
    assert found.in_force[0].max() >= SLOT_MEAN
    chosen = found.rmse[0, np.arange(4), found.in_force[0]]
    assert (chosen <= 1.03 * found.rmse[0].min(axis=1)).all()


@pytest.mark.compiled_only
def test_level_that_triples_raises_the_drift_alarm() -> None:
    """A queue that grows threefold is followed within days, not weeks."""
    model = started(1)
    lived(model, 21, seed=5)
    before = int(model.columns.arrivals.drifts[0])
    lived(model, 10, seed=6, factor=3.0)
    assert model.columns.arrivals.drifts[0] > before
    rate = model.columns.profiles.rate[0].sum(axis=1).mean()
    usual_day = sum(usual(MONDAY + slot) for slot in range(SLOTS))
    assert rate > 2.0 * usual_day


def test_exported_model_goes_on_as_if_nothing_had_happened() -> None:
    """A restart must not cost a day's learning; another version's arrays are refused."""
    model = templated(30.0, 2)
    lived(model, 1, seed=3)
    again = started(2)
    again.load(model.export())
    for either in (model, again):
        either.close(either.bucket, told([33, 21]))
        either.learn(2)
    assert np.array_equal(model.forecast().quantiles, again.forecast().quantiles)
    arrays = model.export()
    del arrays["arrivals.slow"]
    with pytest.raises(BadConfiguration, match=r"arrivals\.slow"):
        again.load(arrays)
    with pytest.raises(BadConfiguration, match="profiles"):
        started(3).load(model.export())


def test_rows_are_added_and_forgotten() -> None:
    """A removed queue leaves nothing to whoever gets its row."""
    model = templated(30.0)
    model.require(3)
    model.close(model.bucket, told([30, 0, 0]))
    assert model.forecast(buckets=1).mean[0, 0] == pytest.approx(30.0, rel=0.05)
    model.clear(0)
    assert model.columns.profiles.days[0] == 0
    assert np.isnan(model.columns.ledger.issued[0, :, 0]).all()


def test_pause_is_bridged_and_a_long_one_begins_anew() -> None:
    """Hours without the process are gaps; days of it are a new beginning, from the profile."""
    model = templated(30.0)
    model.close(MONDAY + 20, told([30]))
    assert model.bucket == MONDAY + 21
    assert model.columns.profiles.day_missing[0].sum() == pytest.approx(20 * 30.0, rel=0.02)
    model.close(MONDAY + 30 * SLOTS, told([30]))
    model.learn(1)
    assert model.forecast(buckets=1).mean[0, 0] == pytest.approx(30.0, rel=0.05)
    with pytest.raises(ValueError, match="bucket: expected at least"):
        model.close(MONDAY, told([30]))


def test_bad_calls_are_refused_and_change_nothing() -> None:
    """The caller hears what was expected; the state stays as it was."""
    model = templated(30.0)
    before = model.export()
    with pytest.raises(ValueError, match=r"observed\.contacts"):
        model.close(model.bucket, told([-1]))
    with pytest.raises(ValueError, match=r"observed\.contacts"):
        model.close(model.bucket, told([1, 2]))
    with pytest.raises(ValueError, match="elapsed_s"):
        model.look(301, told([1]))
    with pytest.raises(ValueError, match="buckets"):
        model.demand(6, 6)
    with pytest.raises(ValueError, match="rows"):
        model.forecast(np.array([1]))
    for weekly in (np.full((7, SLOTS), np.nan), np.zeros((7, SLOTS)), np.ones((7, 12))):
        with pytest.raises(ValueError, match="template"):
            model.set_template(0, weekly)
    after = model.export()
    assert all(np.array_equal(before[name], after[name], equal_nan=True) for name in before)


def test_every_kernel_of_sensing_can_be_compiled_ahead() -> None:
    """`headgate warm` calls this, so that the first second of a new process is not its slowest."""
    compile_forecasting()
