"""Staffing: who is here, who is planned, and how the one goes over into the other."""

import numpy as np
import pytest

from engine.forecasting.staffing import (
    AGENTS_MAX,
    PLAN_BUCKETS_MAX,
    Staffing,
    StaffingSettings,
)
from engine.kernels.sensing_columns import BUCKET_S
from engine.refusals import BadConfiguration

NOON = 1_000_000 * BUCKET_S
HOUR_S = 3_600


def plan_of(*agents: float) -> np.ndarray:
    """Agents by interval."""
    return np.array(agents, np.float64)


def watch(staffing: Staffing, seconds: int, *present: float, from_s: int = NOON) -> int:
    """Let presence be told every ten seconds for a while; the last second."""
    for second in range(from_s, from_s + seconds + 1, 10):
        staffing.observe(second, plan_of(*present))
    return from_s + seconds


def test_presence_goes_on_where_nothing_is_planned() -> None:
    """Without a plan the best guess is who is here, for ever or fading as one says."""
    staffing = Staffing(2)
    staffing.observe(NOON, plan_of(7.0, np.nan))
    found = staffing.expected(NOON, 3, BUCKET_S)
    assert found[0].tolist() == [7.0, 7.0, 7.0]
    assert np.isnan(found[1]).all()
    fading = Staffing(1, StaffingSettings(unplanned_half_life_s=HOUR_S))
    fading.observe(NOON, plan_of(8.0))
    later = fading.expected(NOON, 2, 2 * HOUR_S)[0]
    assert later.tolist() == pytest.approx([4.0, 1.0])
    assert staffing.age_s(NOON + 30).tolist() == [30, -1]


def test_presence_goes_over_into_the_plan() -> None:
    """Two of ten are missing: nearly all of that in five minutes, little of it in three hours."""
    staffing = Staffing(1)
    staffing.put_plan(0, NOON - HOUR_S, np.full(60, 10.0))
    staffing.observe(NOON, plan_of(8.0))
    found = staffing.expected(NOON, 36, BUCKET_S)[0]
    by_hand = [10.0 * (1.0 - 0.2 * 0.5 ** ((n + 0.5) * BUCKET_S / 1_800)) for n in range(36)]
    assert found.tolist() == pytest.approx(by_hand, rel=1e-6)
    # A shift that ends does end, whoever is missing.
    staffing.put_plan(0, NOON + HOUR_S, plan_of(0.0, 20.0), HOUR_S)
    found = staffing.expected(NOON, 3, HOUR_S)[0]
    assert found[1] == 0.0
    assert 18.0 < found[2] < 20.0


def test_segments_average_what_is_planned_within_them() -> None:
    """Plans by five minutes, asked for by seven minutes, from the middle of a bucket."""
    staffing = Staffing(1)
    agents = np.arange(40.0)
    staffing.put_plan(0, NOON, agents)
    now_s, segment_s = NOON + 130, 420
    found = staffing.expected(now_s, 5, segment_s)[0]
    per_second = np.repeat(agents, BUCKET_S)[130:]
    by_hand = [per_second[n * segment_s : (n + 1) * segment_s].mean() for n in range(5)]
    assert found.tolist() == pytest.approx(by_hand, rel=1e-5)


def test_plan_that_begins_later_takes_over_from_presence() -> None:
    """Half of a segment without a plan is who is here, the other half who is planned."""
    staffing = Staffing(1)
    staffing.put_plan(0, NOON + HOUR_S, np.full(12, 30.0))
    staffing.observe(NOON, plan_of(10.0))
    assert staffing.expected(NOON, 1, 2 * HOUR_S)[0, 0] == pytest.approx(20.0)
    # With nobody planned now, nothing says that agents of the plan will be missing.
    assert staffing.expected(NOON, 4, 1_800)[0].tolist() == pytest.approx([10.0, 10.0, 30.0, 30.0])


def test_those_who_stay_over_fade() -> None:
    """Nobody is planned and three are here: they are counted, and not for the night."""
    staffing = Staffing(1)
    staffing.put_plan(0, NOON - HOUR_S, np.zeros(100))
    staffing.observe(NOON, plan_of(3.0))
    found = staffing.expected(NOON, 24, BUCKET_S)[0]
    assert 2.5 < found[0] < 3.0
    assert found[-1] < 0.25


def test_change_of_shift_is_not_taken_for_absence() -> None:
    """Ten go over to twenty on the hour, and at five past the hour eleven are not half missing."""
    staffing = Staffing(1)
    staffing.put_plan(0, NOON - HOUR_S, plan_of(10.0, 20.0), HOUR_S)
    watch(staffing, 600, 10.0, from_s=NOON - 600)
    staffing.observe(NOON + 5, plan_of(11.0))
    assert staffing.expected(NOON + 5, 1, BUCKET_S)[0, 0] == pytest.approx(20.0, rel=0.03)
    staffing.observe(NOON + 900, plan_of(11.0))
    assert staffing.expected(NOON + 900, 1, BUCKET_S)[0, 0] < 13.0


def test_shrinkage_is_learned_and_bounded() -> None:
    """Of ten planned nine come, day by day: a plan of twenty means eighteen; of none, some do."""
    staffing = Staffing(2, StaffingSettings(prior_s=HOUR_S))
    for row in (0, 1):
        staffing.put_plan(row, NOON, np.full(24, 10.0), HOUR_S)
        staffing.put_plan(row, NOON + 48 * HOUR_S, plan_of(20.0), HOUR_S)
    assert staffing.ratio().tolist() == [1.0, 1.0]
    watch(staffing, 20 * HOUR_S, 9.0, 0.0)
    staffed = 20 * HOUR_S
    decayed = 5 * 36_000 / np.log(2) * (1 - 0.5 ** (staffed / (5 * 36_000)))
    expected = (HOUR_S + decayed * 0.9) / (HOUR_S + decayed)
    assert staffing.ratio()[0] == pytest.approx(expected, rel=1e-3)
    assert staffing.ratio()[1] == 0.5
    found = staffing.expected(NOON + 48 * HOUR_S, 1, HOUR_S)
    assert found[:, 0].tolist() == pytest.approx([20.0 * expected, 10.0], rel=1e-3)


def test_stale_presence_says_nothing_of_who_is_missing() -> None:
    """A feed that stopped while four were away must not keep them away."""
    staffing = Staffing(1)
    staffing.put_plan(0, NOON, np.full(12, 10.0))
    staffing.observe(NOON, plan_of(6.0))
    assert staffing.expected(NOON + 100, 1, 60)[0, 0] < 6.5
    assert staffing.expected(NOON + 200, 1, 60)[0, 0] == pytest.approx(10.0)


def test_plans_are_replaced_where_they_overlap_and_removed() -> None:
    """The newest word counts, for the time it is about."""
    staffing = Staffing(1)
    staffing.put_plan(0, NOON, np.full(6, 5.0))
    staffing.put_plan(0, NOON + 2 * BUCKET_S, plan_of(8.0, 9.0))
    found = staffing.expected(NOON, 6, BUCKET_S)[0]
    assert found.tolist() == pytest.approx([5.0, 5.0, 8.0, 9.0, 5.0, 5.0])
    assert staffing.remove_plan(0)
    assert not staffing.remove_plan(0)
    assert np.isnan(staffing.expected(NOON, 1, BUCKET_S)).all()
    # A plan that is over makes room for one a year on.
    staffing.put_plan(0, NOON, np.full(6, 5.0))
    later = NOON + 365 * 24 * HOUR_S
    staffing.observe(later, plan_of(1.0))
    staffing.put_plan(0, later, plan_of(4.0))
    assert staffing.expected(later + 200, 1, 60)[0, 0] == pytest.approx(4.0)


def test_what_is_exported_goes_on_where_it_was() -> None:
    """A restart must not lose tomorrow's plan, nor what was learned of plans."""
    staffing = Staffing(3)
    staffing.put_plan(1, NOON, np.full(48, 10.0))
    staffing.put_plan(2, NOON + HOUR_S, plan_of(3.0, 4.0), HOUR_S)
    last = watch(staffing, 2 * HOUR_S, 1.0, 8.0, np.nan)
    again = Staffing(3)
    again.load(staffing.export())
    for one in (staffing, again):
        one.require(4)
    np.testing.assert_array_equal(
        again.expected(last, 12, BUCKET_S), staffing.expected(last, 12, BUCKET_S)
    )
    arrays = staffing.export()
    for name in ("seen_s", "plan_agents"):
        with pytest.raises(BadConfiguration, match=name):
            Staffing(4).load({key: value for key, value in arrays.items() if key != name})
    arrays["plan_row"] = arrays["plan_row"] + 10
    with pytest.raises(BadConfiguration, match="plan_row"):
        Staffing(4).load(arrays)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"row": 5}, "row"),  # no such queue
        ({"begins_s": NOON + 7}, "begins_s"),  # between two buckets
        ({"begins_s": -300}, "begins_s"),  # before time began
        ({"interval_s": 100}, "interval_s"),  # no whole buckets
        ({"interval_s": 0}, "interval_s"),  # no time at all
        ({"agents": plan_of(3.0, -1.0)}, r"agents\[1\]"),  # fewer than none
        ({"agents": plan_of(np.nan)}, r"agents\[0\]"),  # no number
        ({"agents": plan_of(AGENTS_MAX + 1.0)}, r"agents\[0\]"),  # a slip of the keyboard
        ({"agents": plan_of()}, "agents"),  # nothing
        ({"agents": np.zeros(PLAN_BUCKETS_MAX + 1)}, "agents"),  # for years
    ],
)
def test_plan_that_cannot_be_is_refused_and_changes_nothing(
    change: dict[str, object], field: str
) -> None:
    """A slip in a plan is told by its field, and the plan before it stays."""
    staffing = Staffing(1)
    staffing.put_plan(0, NOON, plan_of(5.0))
    fields: dict = {"row": 0, "begins_s": NOON, "agents": plan_of(9.0), "interval_s": BUCKET_S}
    with pytest.raises(BadConfiguration, match=rf"staffing\.{field}"):
        staffing.put_plan(**(fields | change))
    assert staffing.expected(NOON, 1, BUCKET_S)[0, 0] == pytest.approx(5.0)


def test_far_apart_plans_of_a_row_are_refused() -> None:
    """A year typed wrong must not make the engine keep a year of buckets."""
    staffing = Staffing(1)
    staffing.put_plan(0, NOON, plan_of(5.0))
    with pytest.raises(BadConfiguration, match="62 days"):
        staffing.put_plan(0, NOON + 365 * 24 * HOUR_S, plan_of(5.0))


def test_presence_that_cannot_be_is_refused() -> None:
    """Negative agents, other rows, and seconds that have passed."""
    staffing = Staffing(1)
    with pytest.raises(ValueError, match="present: expected 0"):
        staffing.observe(NOON, plan_of(-1.0))
    with pytest.raises(ValueError, match="present: expected float64"):
        staffing.observe(NOON, plan_of(1.0, 2.0))
    staffing.observe(NOON, plan_of(1.0))
    with pytest.raises(ValueError, match="second: expected"):
        staffing.observe(NOON - 1, plan_of(1.0))
    with pytest.raises(ValueError, match="segments"):
        staffing.expected(NOON, 289, BUCKET_S)
    with pytest.raises(BadConfiguration, match=r"staffing\.ratio_max"):
        StaffingSettings(ratio_max=float("nan"))
