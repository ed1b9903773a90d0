"""A queue's past, learned apart, against a model that lived through it."""

import numpy as np
import pytest

from engine.forecasting.arrivals import ArrivalModel
from engine.forecasting.calendar import Calendar, CalendarRows
from engine.forecasting.history import UNKNOWN, Counts, Past, learn_group
from engine.kernels.sensing_columns import BUCKET_S, SLOTS, Observed

# Thousands of buckets each; the kernels have their twins elsewhere.
pytestmark = pytest.mark.compiled_only

# A Monday at 04:00 UTC, when days without hours begin.
MONDAY = (18_000 - 18_000 % 7 + 4) * SLOTS + 48
DAYS = 4


def curve(days: int, base: float = 12.0) -> np.ndarray:
    """What is usual in each bucket."""
    wave = 1.0 + 0.6 * np.sin(2.0 * np.pi * np.arange(days * SLOTS) / SLOTS)
    usual: np.ndarray = base * wave
    return usual


def drawn(days: int = DAYS, seed: int = 1, base: float = 12.0) -> np.ndarray:
    """Poisson counts on that curve."""
    counts: np.ndarray = np.random.default_rng(seed).poisson(curve(days, base)).astype(np.int64)
    return counts


def learned(contacts: np.ndarray, until: int | None = None) -> Past:
    """A past that has been learned."""
    past = Past(CalendarRows(), Counts(MONDAY, contacts))
    end = MONDAY + len(contacts) if until is None else until
    while past.advance(end, SLOTS):
        pass
    return past


def live(rows: int, bucket: int) -> ArrivalModel:
    """A model that has seen nothing up to a bucket."""
    model = ArrivalModel(rows, CalendarRows())
    none = np.zeros(rows, np.int64)
    model.close(bucket - 1, Observed(none, none, none))
    return model


def test_past_learns_what_living_through_it_learns() -> None:
    """Else an import would make forecasts that nobody has measured."""
    contacts = drawn()
    model = ArrivalModel(1, CalendarRows())
    for place, count in enumerate(contacts.tolist()):
        model.close(MONDAY + place, Observed(*(np.array([n]) for n in (count, BUCKET_S, 0))))
        model.learn(1)
    past = learned(contacts)
    for name, array in model.export().items():
        assert np.array_equal(array, past.model.export()[name], equal_nan=True), name
    assert past.days == DAYS


def test_slices_make_no_difference() -> None:
    """Learning is cut up only so that nobody waits."""
    past = Past(CalendarRows(), Counts(MONDAY, drawn()))
    slices = 1
    while past.advance(MONDAY + DAYS * SLOTS, 37):
        slices += 1
    assert slices == -(-DAYS * SLOTS // 37)
    whole = learned(drawn()).model.export()
    assert all(
        np.array_equal(array, whole[name], equal_nan=True)
        for name, array in past.model.export().items()
    )


def test_unknown_steps_are_gaps_and_not_zeros() -> None:
    """An outage of the telephony must not teach that nobody calls in the morning."""
    contacts = drawn(6)
    holed = contacts.copy()
    for day in range(6):
        holed[day * SLOTS + 60 : day * SLOTS + 100 : 2] = UNKNOWN
    zeros = np.where(holed == UNKNOWN, 0, holed)
    level = [learned(item).model.columns.profiles.level[0] for item in (contacts, holed, zeros)]
    assert level[1] == pytest.approx(level[0], rel=0.03)
    assert level[2] < 0.95 * level[0]


def test_day_that_is_mostly_unknown_is_not_learned_from() -> None:
    """Half a day tells too little of the other half."""
    contacts = drawn(5)
    contacts[SLOTS : SLOTS + 250] = UNKNOWN
    assert learned(contacts).days == 4
    assert learned(drawn(5)).days == 5


def test_past_goes_on_as_a_gap_up_to_now() -> None:
    """What lies between the last count and now is not known: it changes the level by nothing."""
    past = learned(drawn(), until=MONDAY + (DAYS + 9) * SLOTS + 30)
    assert past.model.bucket == MONDAY + (DAYS + 9) * SLOTS + 30
    assert past.days == DAYS
    first = learned(drawn(), until=MONDAY + (DAYS + 1) * SLOTS)
    assert past.model.columns.profiles.level[0] == first.model.columns.profiles.level[0]
    assert abs(past.model.columns.arrivals.slow[0]) < 1e-9, "no departure outlives the gap"


def test_row_is_adopted_whole_and_forecasts_the_same() -> None:
    """Calendar and group are the queue's own; all that is learned is the past's."""
    past = learned(drawn())
    model = live(3, past.model.bucket)
    model.set_group(1, 2)
    model.adopt(1, past.model)
    row = np.array([1])
    assert np.array_equal(model.forecast(row).mean[0], past.model.forecast().mean[0])
    assert model.columns.profiles.parent[1] == 2
    assert model.columns.profiles.days.tolist() == [0, past.days, 0]
    fresh = live(3, past.model.bucket).export()
    for name, array in model.export().items():
        if array.ndim and len(array) == 3:
            assert np.array_equal(array[0], fresh[name][0], equal_nan=True), name


def test_row_of_another_moment_is_refused() -> None:
    """Days and buckets would not fit together."""
    past = learned(drawn())
    model = live(1, past.model.bucket + 1)
    before = model.export()
    with pytest.raises(ValueError, match="bucket: expected"):
        model.adopt(0, past.model)
    assert all(np.array_equal(before[n], a, equal_nan=True) for n, a in model.export().items())


def test_group_learns_the_sum_of_its_members_once_all_have_learned() -> None:
    """A part of a group would set a level that what comes for all of it lies far above."""
    pasts = [learned(drawn(seed=seed, base=base)) for seed, base in ((2, 10.0), (3, 20.0))]
    model = live(3, pasts[0].model.bucket)
    members = np.array([0, 1])
    model.adopt(0, pasts[0].model)
    assert not learn_group(model, 2, members)
    assert model.columns.profiles.days[2] == 0
    model.adopt(1, pasts[1].model)
    assert learn_group(model, 2, members)
    mean = model.forecast().mean.sum(axis=1)
    assert mean[2] == pytest.approx(mean[0] + mean[1], rel=0.05)
    assert not learn_group(model, 2, members), "it knows as much as they do"


def test_group_of_queues_with_other_days_is_left_alone() -> None:
    """Slots of two calendars are not the same time of day."""
    past = learned(drawn())
    model = live(3, past.model.bucket)
    model.adopt(0, past.model)
    model.adopt(1, past.model)
    model.set_calendar(1, model.calendars.add(Calendar("Europe/Berlin")))
    assert not learn_group(model, 2, np.array([0, 1]))
    assert not learn_group(model, 2, np.array([], np.int64))


def test_long_pause_leaves_no_forecast_of_another_bucket() -> None:
    """The rings of forecasts as issued are places modulo the lead: what is old must go."""
    model = learned(drawn()).model
    totals = model.columns.ledger.today[0, 3, 0, 0]
    model.close(model.bucket + 10 * SLOTS + 5, Observed(*(np.array([n]) for n in (12, 300, 0))))
    assert model.columns.ledger.today[0, 3, 0, 0] == 0.0 <= totals


def test_calendar_alone_has_the_same_days() -> None:
    """A day that began at another slot would teach every slot the count of another time."""

    def by_day(from_s: int, until_s: int) -> list[tuple[int, int]]:
        days = range(from_s // 86_400 - 1, until_s // 86_400 + 1)
        return [(day * 86_400 + 8 * 3_600, day * 86_400 + 18 * 3_600) for day in days]

    calendars = CalendarRows()
    row = calendars.add(Calendar("America/New_York", by_day))
    now_s = MONDAY * BUCKET_S
    alone = calendars.alone(row, now_s)
    long_ago = MONDAY - 200 * SLOTS
    alone.lay_out(0, long_ago)
    calendars.lay_out(row, long_ago)
    assert alone.slot_begins_s(0) == calendars.slot_begins_s(row)
    for name, column in alone.columns._asdict().items():
        assert np.array_equal(column[0], getattr(calendars.columns, name)[row]), name
