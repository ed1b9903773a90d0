"""Surges and silences: the scan against plain sums, its z against exact tails, and what is told."""

import math

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from engine.forecasting.anomaly import (
    CERTAINLY_SILENT,
    SILENT,
    Anomaly,
    AnomalyKind,
    AnomalySettings,
    AnomalyWatch,
)
from engine.kernels.scan import FEW, STEP_S, WINDOW_STEPS, Second, deviate
from engine.refusals import BadConfiguration

MINUTE_S = 60


def second_of(
    offered: ArrayLike, rate: ArrayLike, covered: ArrayLike = 1, variance: ArrayLike = 0.0
) -> Second:
    """One second of as many rows as there are counts."""
    counts = np.atleast_1d(np.asarray(offered, np.int64))
    shape = counts.shape
    return Second(
        counts,
        np.broadcast_to(np.asarray(covered, np.int64), shape).copy(),
        np.broadcast_to(np.asarray(rate, np.float64), shape).copy(),
        np.broadcast_to(np.asarray(variance, np.float64), shape).copy(),
    )


def run(
    watch: AnomalyWatch, counts: NDArray[np.int64], rate: float, **more: float
) -> list[Anomaly]:
    """Let one row's seconds pass, from where the watch stands; all that was told."""
    told = []
    for count in counts.tolist():
        told += watch.observe(watch.second + 1, second_of(count, rate, **more))
    return told


@pytest.mark.parametrize("mean", [4.0, 20.0, 300.0])
@pytest.mark.parametrize("variance", [0.0, 0.02, 0.1])
@pytest.mark.parametrize("tail", [1e-2, 1e-4])
def test_z_is_near_the_tail_of_a_gamma_poisson_count(
    mean: float, variance: float, tail: float
) -> None:
    """A threshold means a probability, whatever the queue's size and its forecast's error."""
    if variance:
        size = 1.0 / variance
        count = stats.nbinom(size, size / (size + mean))
    else:
        count = stats.poisson(mean)
    came = float(count.isf(tail))
    exact = stats.norm.isf(0.5 * (count.sf(came) + count.sf(came - 1)))
    # Of few contacts far out it says less than it could, never much more.
    assert exact - 0.6 <= deviate(came, mean, variance) <= exact + 0.35


@pytest.mark.parametrize("mean", [1e-6, 1e-3, 0.05])
def test_single_contact_where_hardly_one_was_forecast_is_no_surge(mean: float) -> None:
    """A queue that is called twice a day is called sometime; three in a minute are something."""
    assert deviate(1.0, mean, 0.0) < AnomalySettings().clear_z + 0.25
    assert deviate(9.0, mean, 0.0) > AnomalySettings().raise_z
    rate = mean / MINUTE_S
    counts = np.zeros(3_600, np.int64)
    counts[[600, 1_800]] = 1
    assert run(AnomalyWatch(1), counts, rate) == []


def test_surge_of_a_quiet_queue_is_over_when_nothing_comes() -> None:
    """Of few contacts forecast, none that come are not more than was forecast."""
    rate = 0.02 / MINUTE_S
    watch = AnomalyWatch(1)
    counts = np.zeros(3_600, np.int64)
    counts[300:330:3] = 1
    began, ended = run(watch, counts, rate)
    assert began.kind is AnomalyKind.SURGE
    assert (ended.number, ended.ended_s >= 0) == (began.number, True)


def test_contacts_that_nothing_was_forecast_for_are_held_against_no_later_forecast() -> None:
    """A queue that is taught its past while it runs has not surged in the ten minutes before."""
    watch = AnomalyWatch(1)
    rate = 10 / MINUTE_S
    counts = np.random.default_rng(5).poisson(rate, 1_200)
    assert run(watch, counts[:600], 0.0) == []
    assert run(watch, counts[600:], rate) == []


def test_windows_hold_what_plain_sums_hold() -> None:
    """Rings that are added to and taken from may not drift from what they stand for."""
    draw = np.random.default_rng(3)
    rows, seconds = 3, 2_000
    counts = draw.poisson(0.4, (seconds, rows))
    rates = draw.random((seconds, rows))
    covered = (draw.random((seconds, rows)) < 0.9).astype(np.int64)
    watch = AnomalyWatch(rows)
    numbers = np.cumsum(draw.choice([1, 1, 1, 1, 7], seconds))
    for place, number in enumerate(numbers.tolist()):
        watch.observe(number, second_of(counts[place], rates[place], covered[place]))
    last_step = (int(numbers[-1]) + 1) // STEP_S - 1
    step = numbers // STEP_S
    for window, steps in enumerate(WINDOW_STEPS):
        inside = (step > last_step - steps) & (step <= last_step)
        came = (counts * covered)[inside].sum(axis=0)
        assert watch.columns.came_sum[:, window].tolist() == came.tolist()
        forecast = (rates * covered)[inside].sum(axis=0)
        np.testing.assert_allclose(watch.columns.forecast_sum[:, window], forecast, rtol=1e-5)


def test_surge_is_told_once_with_its_size_and_ends_when_it_is_over() -> None:
    """Begins within minutes of what triples, and not again while it lasts."""
    draw = np.random.default_rng(5)
    watch = AnomalyWatch(1)
    rate = 10 / MINUTE_S
    assert run(watch, draw.poisson(rate, 3_600), rate) == []
    told = run(watch, draw.poisson(3 * rate, 1_200), rate)
    assert [found.kind for found in told] == [AnomalyKind.SURGE]
    began = told[0]
    assert began.began_s - 3_600 <= 120
    assert (began.ended_s, began.row) == (-1, 0)
    (lasting,) = watch.open()
    # Twenty more a minute, for a quarter of an hour.
    assert 200 < lasting.excess < 500
    assert lasting.confidence > 0.999
    told = run(watch, draw.poisson(rate, 3_600), rate)
    assert [found.number for found in told] == [began.number]
    assert 4_800 < told[0].ended_s < 4_800 + 1_800
    assert watch.open() == []


def test_forecast_that_errs_raises_no_alarm_that_its_variance_allows() -> None:
    """What made plain statistics fail on a real log: rates wander, and are a fifth too low."""
    draw = np.random.default_rng(7)
    rate = 60 / MINUTE_S
    counts = draw.poisson(1.25 * rate, 4 * 3_600)
    assert run(AnomalyWatch(1), counts, rate, variance=0.02) == []
    assert run(AnomalyWatch(1), counts, rate, variance=0.0) != []


def test_surge_of_no_matter_is_not_told() -> None:
    """Eight calls where one was expected are unlikely, and nobody needs to act."""
    rate = 0.2 / MINUTE_S
    watch = AnomalyWatch(1, AnomalySettings(excess_min=200.0))
    counts = np.zeros(600, np.int64)
    counts[300:308] = 1
    assert run(watch, counts, rate) == []
    assert run(AnomalyWatch(1), counts, rate) != []


def test_budget_goes_to_the_greatest_and_counts_the_others() -> None:
    """Ten thousand queues that are each right must not bury the one that matters."""
    watch = AnomalyWatch(3, AnomalySettings(budget_per_day=24.0))
    told = []
    for number in range(300):
        came = np.array([3, 9, 5]) * (number % 10 == 0)
        told += watch.observe(number, second_of(came, 0.05))
    assert [found.row for found in told] == [1]
    assert watch.suppressed > 0


def test_silence_is_told_by_what_was_forecast_and_ends_with_a_contact() -> None:
    """A dead feed of a busy queue is known in seconds, of a quiet one in an hour; never a gap."""
    watch = AnomalyWatch(1)
    rate = 1.0
    told = run(watch, np.zeros(60, np.int64), rate)
    assert [(found.kind, found.began_s) for found in told] == [
        (AnomalyKind.SILENCE, math.ceil(SILENT) - 1)
    ]
    (open_now,) = watch.open()
    assert open_now.excess == 60.0 > CERTAINLY_SILENT
    assert open_now.confidence == pytest.approx(1.0)
    ended = run(watch, np.array([1]), rate)
    assert [(found.number, found.ended_s) for found in ended] == [(told[0].number, 60)]
    gap = AnomalyWatch(1)
    assert run(gap, np.zeros(600, np.int64), rate, covered=0) == []


def test_windows_too_short_for_a_queue_are_left_out() -> None:
    """One call in 15 s says nothing of a queue that has one in an hour."""
    watch = AnomalyWatch(1)
    run(watch, np.array([0, 0, 0, 0, 2]), (FEW - 1) / 15)
    assert watch.columns.window[0] == 1


def test_what_is_exported_goes_on_where_it_was() -> None:
    """A restart costs no quarter of an hour of blindness."""
    draw = np.random.default_rng(9)
    rate = 0.5
    first = AnomalyWatch(2)
    for number in range(1_000):
        first.observe(number, second_of(draw.poisson(rate, 2), rate))
    second = AnomalyWatch(2)
    second.load(first.export())
    for number in range(1_000, 1_400):
        seen = second_of(draw.poisson(3 * rate, 2), rate)
        told, again = first.observe(number, seen), second.observe(number, seen)
        assert [found[1:] for found in told] == [found[1:] for found in again]
    assert first.open()
    arrays = first.export()
    for wrong in ({**arrays, "z": arrays["z"][:1]}, {k: v for k, v in arrays.items() if k != "z"}):
        with pytest.raises(BadConfiguration, match=r"scans\.z"):
            second.load(wrong)


def test_grown_and_cleared_rows_begin_as_new() -> None:
    """A row that another queue had must not alarm for it."""
    watch = AnomalyWatch(1)
    run(watch, np.full(600, 1), 0.1)
    assert watch.open()
    watch.require(2)
    watch.clear(0)
    assert watch.open() == []
    assert watch.columns.came_sum.tolist() == [[0.0] * 4] * 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("offered", -1),  # fewer than none
        ("rate_per_s", math.nan),  # not known
        ("rate_per_s", math.inf),  # without end
        ("variance", -0.1),  # of nothing
    ],
)
def test_second_that_cannot_be_is_refused_and_changes_nothing(field: str, value: float) -> None:
    """One bad forecast must not poison a quarter of an hour."""
    watch = AnomalyWatch(1)
    seen = second_of(1, 0.5)
    array = getattr(seen, field)
    wrong = seen._replace(**{field: np.full(1, value, array.dtype)})
    with pytest.raises(ValueError, match=f"second.{field}"):
        watch.observe(5, wrong)
    with pytest.raises(ValueError, match=r"second.offered: expected \(1,\)"):
        watch.observe(5, second_of([1, 2], 0.5))
    watch.observe(5, seen)
    with pytest.raises(ValueError, match="second: expected 6"):
        watch.observe(5, seen)
    with pytest.raises(BadConfiguration, match="clear_z < raise_z"):
        AnomalyWatch(1, AnomalySettings(raise_z=1.0))


def surging(
    watch: AnomalyWatch, seconds: int, rates: list[float], factors: list[float], seed: int = 3
) -> list[Anomaly]:
    """Let seconds pass in which members come at factors of their rates, and the group with them."""
    draw = np.random.default_rng(seed)
    told = []
    forecast = np.array([*rates, sum(rates)])
    for _ in range(seconds):
        came = draw.poisson(np.array(rates) * factors)
        seen = second_of([*came.tolist(), int(came.sum())], forecast)
        told += watch.observe(watch.second + 1, seen)
    return told


def grouped(members: int, **settings: float) -> AnomalyWatch:
    """A watch over members, and the group they make, in the last row."""
    watch = AnomalyWatch(members + 1, AnomalySettings(**settings))
    for row in range(members):
        watch.set_group(row, members)
    return watch


def test_surge_of_a_group_and_its_members_is_one_anomaly() -> None:
    """A marketing mail that floods five queues is one thing to act on, and one of the budget."""
    watch = grouped(5, budget_per_day=24.0)
    rates = [0.1, 0.2, 0.1, 0.3, 0.1]
    assert surging(watch, 1_200, rates, [1.0] * 5) == []
    told = surging(watch, 600, rates, [3.0, 3.0, 3.0, 3.0, 1.0])
    lasting = watch.open()
    assert [(one.row, one.kind) for one in lasting] == [(5, AnomalyKind.SURGE)]
    assert {0, 1, 2, 3} >= set(lasting[0].members) >= {1, 3}
    assert watch.suppressed == 0
    # Whatever began before the group did has become part of it.
    group = lasting[0].number
    others = [one for one in told if one.row != 5]
    assert {one.part_of for one in others if one.ended_s >= 0} <= {group}
    assert lasting[0].began_s == min(one.began_s for one in told)


def test_member_that_surged_first_becomes_part_of_its_group() -> None:
    """What was told of a queue ends as part of what it turns out to be."""
    watch = grouped(4)
    rates = [0.5, 0.5, 0.5, 2.0]
    surging(watch, 1_200, rates, [1.0] * 4)
    first = surging(watch, 120, rates, [5.0, 1.0, 1.0, 1.0])
    began = [one for one in first if one.row == 0 and one.ended_s < 0]
    assert len(began) == 1
    told = surging(watch, 300, rates, [5.0, 3.0, 3.0, 3.0], seed=4)
    ended = next(one for one in [*first, *told] if one.row == 0 and one.ended_s >= 0)
    group = next(one for one in watch.open() if one.row == 4)
    assert (ended.number, ended.part_of) == (began[0].number, group.number)
    assert 0 in group.members
    assert group.began_s == began[0].began_s
    # The group is over; the one that goes on begins by itself.
    told = surging(watch, 3_600, rates, [4.0, 0.5, 0.5, 0.3], seed=5)
    assert any(one.row == 4 and one.ended_s >= 0 for one in told)
    assert [one.row for one in watch.open()] == [0]
    assert watch.open()[0].part_of == 0


def test_silence_of_a_group_names_its_members_apart_from_surges() -> None:
    """One dead feed of ten queues is one silence; a queue that is dead alone is its own."""
    watch = grouped(3)
    rates = [0.5, 0.5, 0.5]
    surging(watch, 60, rates, [1.0] * 3)
    told = surging(watch, 120, rates, [0.0] * 3)
    assert [(one.row, one.kind) for one in told] == [(3, AnomalyKind.SILENCE)]
    assert watch.open()[0].members == (0, 1, 2)
    told = surging(watch, 120, rates, [0.0, 1.0, 1.0])
    assert (told[0].row, told[0].part_of) == (3, 0)
    assert [one.row for one in watch.open()] == [0]


def test_groups_that_cannot_be_are_refused() -> None:
    """A group of groups would roll up nothing."""
    watch = AnomalyWatch(3)
    watch.set_group(0, 1)
    for row, group in ((1, 2), (2, 0), (2, 2), (2, 3), (2, -2)):
        with pytest.raises(ValueError, match="expected a row without a group"):
            watch.set_group(row, group)
    watch.clear(1)
    watch.require(4)
    watch.set_group(3, 0)
