"""Handle times: the mean of what can be, shrunk where there is little, and deaf to junk."""

import numpy as np
import pytest

from engine.forecasting.handle_time import HandleTimes, HandleTimeSettings
from engine.refusals import BadConfiguration


def feed(times: HandleTimes, row: int, handle_ms: np.ndarray, per_bucket: int = 20) -> None:
    """Hand contacts in one a second, some to a bucket."""
    rows = len(times.columns.weight)
    for place, value in enumerate(handle_ms.tolist()):
        handled, total = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
        handled[row], total[row] = 1, int(value)
        times.observe(handled, total)
        if place % per_bucket == per_bucket - 1:
            times.close()
    times.close()


def lognormal(mean_ms: float, cv: float, size: int, seed: int = 3) -> np.ndarray:
    """Handle times as real ones are distributed."""
    sigma = np.sqrt(np.log1p(cv * cv))
    draw = np.random.default_rng(seed)
    return draw.lognormal(np.log(mean_ms) - 0.5 * sigma**2, sigma, size)


def plain_mean(handle_ms: np.ndarray, per_bucket: int, half_life: float) -> float:
    """The same mean without shrinkage, contact by contact."""
    above = below = 0.0
    last = (len(handle_ms) - 1) // per_bucket
    for place, value in enumerate(handle_ms.tolist()):
        weight = 0.5 ** ((last - place // per_bucket) / half_life)
        above, below = above + weight * int(value), below + weight
    return above / below


def test_mean_is_the_weighted_mean_where_contacts_abound() -> None:
    """Screening takes nothing from what is as usual."""
    times = HandleTimes(1, HandleTimeSettings(between_cv=2.0))
    handle_ms = lognormal(240_000.0, 0.6, 3_000)
    feed(times, 0, handle_ms)
    found = times.estimate()
    expected = plain_mean(handle_ms, 20, 24.0)
    assert found.mean_ms[0] == pytest.approx(expected, rel=0.01)
    assert found.deviation_ms[0] / found.mean_ms[0] == pytest.approx(0.6, abs=0.1)
    # Twenty a bucket, of which each bucket counts 2^(-1/24) of the next.
    kept = 0.5 ** (1 / 24)
    assert found.samples[0] == pytest.approx(20 * (1 + kept) / (1 - kept), rel=0.05)
    assert times.columns.refused[0] <= 3


def test_long_tail_of_an_exponential_is_no_junk() -> None:
    """Handle times of a spread no machine made count in full."""
    times = HandleTimes(1)
    feed(times, 0, np.random.default_rng(7).exponential(200_000.0, 20_000) + 1_000.0, 500)
    assert times.estimate().mean_ms[0] == pytest.approx(201_000.0, rel=0.02)


@pytest.mark.parametrize("junk_ms", [0, 300, 7_200_000, 20_000_000])
def test_junk_among_twenty_moves_the_mean_by_no_more_than_chance(junk_ms: int) -> None:
    """Readings of nothing or of hours are of the machine, not of the contact."""
    clean = lognormal(300_000.0, 0.8, 2_000)
    dirty = clean.copy()
    dirty[::20] = junk_ms
    without, with_junk = HandleTimes(1), HandleTimes(1)
    feed(without, 0, clean)
    feed(with_junk, 0, dirty)
    before, after = without.estimate().mean_ms[0], with_junk.estimate().mean_ms[0]
    assert after == pytest.approx(before, rel=0.04)
    assert with_junk.columns.refused[0] >= 100


def test_queue_that_has_changed_is_followed() -> None:
    """Voice that becomes casework: fifteen times as long is not junk when it is all there is."""
    times = HandleTimes(1)
    feed(times, 0, lognormal(120_000.0, 0.4, 1_000))
    feed(times, 0, lognormal(1_800_000.0, 0.4, 2_000))
    assert times.estimate().mean_ms[0] == pytest.approx(1_800_000.0, rel=0.1)


def test_few_contacts_borrow_from_template_then_group_then_stand_alone() -> None:
    """Three contacts are no handle time; three hundred are."""
    times = HandleTimes(4, HandleTimeSettings(prior_ms=100_000.0))
    for member in (0, 1, 2):
        times.set_group(member, 3)
    times.set_template(2, 500_000.0)
    assert times.estimate().mean_ms.tolist() == [100_000.0, 100_000.0, 500_000.0, 100_000.0]
    feed(times, 0, lognormal(200_000.0, 0.5, 1_000))
    found = times.estimate()
    # The group is what its members brought, and the second queue, which had none, is as the group.
    assert found.mean_ms[3] == pytest.approx(found.mean_ms[0], rel=0.03)
    assert found.mean_ms[1] == found.mean_ms[3]
    assert found.mean_ms[2] == 500_000.0
    assert found.error[0] < found.error[1]
    assert found.samples.tolist()[1:3] == [0.0, 0.0]
    feed(times, 1, np.full(3, 400_000.0))
    few = times.estimate().mean_ms[1]
    feed(times, 1, np.full(300, 400_000.0))
    assert few < 240_000.0 < 380_000.0 < times.estimate().mean_ms[1]


def test_rows_that_change_are_settled_as_the_whole_would_be() -> None:
    """A change settles the rows it touches alone: the next bucket's end finds nothing to mend."""
    draw = np.random.default_rng(4)
    times = HandleTimes(6)
    for row in range(5):
        feed(times, row, lognormal(100_000.0 * (row + 1), 0.5, 20 * row))
    for change in (
        lambda: times.set_group(0, 5),
        lambda: times.set_group(1, 5),
        lambda: times.set_template(5, 400_000.0),
        lambda: times.set_template(2, float(draw.uniform(10_000.0, 90_000.0))),
        lambda: times.clear(5),
        lambda: times.set_group(1, -1),
    ):
        change()
        told = times.estimate()
        times.observe(np.zeros(6, np.int64), np.zeros(6, np.int64))
        times.close()
        for found, expected in zip(told, times.estimate(), strict=True):
            assert found.tolist() == expected.tolist()


def test_what_is_exported_goes_on_where_it_was() -> None:
    """A restart in the middle of a bucket loses no contact."""
    times = HandleTimes(2)
    feed(times, 0, lognormal(200_000.0, 0.5, 100))
    times.observe(np.array([3, 0]), np.array([600_000, 0]))
    again = HandleTimes(2)
    again.load(times.export())
    for one in (times, again):
        one.observe(np.array([1, 1]), np.array([100_000, 50_000]))
        one.close()
    assert again.estimate().mean_ms.tolist() == times.estimate().mean_ms.tolist()
    arrays = times.export()
    arrays["cv"] = arrays["cv"].astype(np.float32)
    with pytest.raises(BadConfiguration, match=r"handletimecolumns\.cv"):
        again.load(arrays)


def test_grown_and_cleared_rows_begin_as_new() -> None:
    """A row that another queue had must not tell of its contacts."""
    times = HandleTimes(1, HandleTimeSettings(prior_ms=60_000.0))
    feed(times, 0, lognormal(200_000.0, 0.5, 100))
    times.require(2)
    times.clear(0)
    assert times.estimate().mean_ms.tolist() == [60_000.0, 60_000.0]


@pytest.mark.parametrize(
    ("handled", "handle_ms", "told"),
    [
        ([-1], [5], "handled: expected at least 0"),  # fewer than none
        ([1], [-5], "handle_ms: expected at least 0"),  # before it began
        ([1, 1], [5, 5], "handled: expected int64 of shape"),  # of other queues
    ],
)
def test_second_that_cannot_be_is_refused(
    handled: list[int], handle_ms: list[int], told: str
) -> None:
    """One bad second must not spoil a mean of hours."""
    times = HandleTimes(1)
    with pytest.raises(ValueError, match=told):
        times.observe(np.array(handled), np.array(handle_ms))
    times.close()
    assert times.estimate().samples[0] == 0.0


def test_bad_settings_are_told_by_their_name() -> None:
    """A slip in a setting is told at once."""
    with pytest.raises(BadConfiguration, match=r"handle_time\.half_life_buckets"):
        HandleTimeSettings(half_life_buckets=float("nan"))
    with pytest.raises(BadConfiguration, match=r"handle_time\.shortest_ms"):
        HandleTimeSettings(shortest_ms=10.0, longest_ms=5.0)
    times = HandleTimes(3)
    with pytest.raises(BadConfiguration, match="template_ms"):
        times.set_template(0, 0.0)
    times.set_group(0, 1)
    for row, group in ((1, 2), (2, 0), (2, 2), (2, 7)):
        with pytest.raises(ValueError, match="expected a row without a group"):
            times.set_group(row, group)
