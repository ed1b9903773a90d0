"""Busyness: graded as a state machine written out by hand grades it, and steady."""

import math
from dataclasses import replace

import numpy as np
import pytest

from engine.forecasting.busyness import (
    Busyness,
    BusynessSettings,
    BusynessWatch,
    Levels,
    Signals,
)
from engine.refusals import BadConfiguration

NAN = math.nan


def signals(
    occupancy: float = 0.5, wait: float = 0.0, load: float = 0.6, risk: float = 0.0, age: float = 0
) -> Signals:
    """One queue's signals; a normal one unless said otherwise."""
    return Signals(*(np.array([float(value)]) for value in (occupancy, wait, load, risk, age)))


def of_rows(values: np.ndarray, ages: np.ndarray) -> Signals:
    """Signals of many queues, (4, n) and their ages."""
    return Signals(values[0], values[1], values[2], values[3], ages)


class PlainGrade:
    """One queue's grade, one rule after the other."""

    def __init__(self, settings: BusynessSettings) -> None:
        self.settings = settings
        self.grade, self.since = 0, -1
        self.run: list[tuple[int, int]] = []

    def observe(self, second: int, told: Signals) -> int:
        """Grade of the next second."""
        settings = self.settings
        values = {name: float(array[0]) for name, array in zip(told._fields, told, strict=True)}
        age = values.pop("age_s")
        known = {name: value for name, value in values.items() if not math.isnan(value)}
        if not known or not age <= settings.stale_s:
            return self.become(0, second)
        called = kept = 1
        for name, value in known.items():
            levels = getattr(settings, name)
            for grade in (2, 3, 4):
                if value >= levels.enter[grade - 2]:
                    called = max(called, grade)
                if value >= levels.leave[grade - 2]:
                    kept = max(kept, grade)
        if self.grade == 0:
            return self.become(called, second)
        if called > self.grade:
            self.follow(second, called, up=True)
            target, hold = min(grade for _, grade in self.run), settings.rise_hold_s
        elif kept < self.grade:
            self.follow(second, kept, up=False)
            target, hold = max(grade for _, grade in self.run), settings.fall_hold_s
        else:
            self.run = []
            return self.grade
        if second - self.run[0][0] >= hold and second - self.since >= settings.least_s:
            return self.become(target, second)
        return self.grade

    def follow(self, second: int, wanted: int, *, up: bool) -> None:
        """Add to the run of seconds in which the grade should go one way."""
        if self.run and (self.run[0][1] > self.grade) != up:
            self.run = []
        self.run.append((second, wanted))

    def become(self, grade: int, second: int) -> int:
        """Take a grade on."""
        if grade != self.grade:
            self.grade, self.since, self.run = grade, second, []
        return grade


@pytest.mark.parametrize("seed", range(4))
def test_grades_are_those_of_the_plain_machine(seed: int) -> None:
    """Two thousand seconds of wandering signals with holes, of many queues at once."""
    draw = np.random.default_rng(seed)
    rows, seconds = 12, 2_000
    settings = BusynessSettings(rise_hold_s=3, fall_hold_s=8, least_s=5)
    watch = BusynessWatch(rows, settings)
    twins = [PlainGrade(settings) for _ in range(rows)]
    common = draw.normal(0.0, 0.08, (seconds, 1, rows)).cumsum(axis=0)
    values = 0.55 + 0.55 * np.sin(common) + draw.normal(0.0, 0.03, (seconds, 4, rows))
    values[:, 1] -= 0.3
    values[:, 3] -= 0.3
    values[draw.random(values.shape) < 0.02] = NAN
    ages = np.where(draw.random((seconds, rows)) < 0.01, 60.0, 1.0)
    second, seen = 0, set()
    for place in range(seconds):
        second += int(draw.choice([1, 1, 1, 4]))
        told = of_rows(np.clip(values[place], 0.0, None), ages[place])
        before = watch.columns.grade.copy()
        changes = watch.observe(second, told)
        by_hand = [
            twin.observe(second, Signals(*(array[row : row + 1] for array in told)))
            for row, twin in enumerate(twins)
        ]
        assert watch.columns.grade.tolist() == by_hand
        assert changes.row.tolist() == np.flatnonzero(before != by_hand).tolist()
        assert changes.after.tolist() == [by_hand[row] for row in changes.row]
        assert changes.before.tolist() == before[changes.row].tolist()
        seen.update(by_hand)
    assert seen == set(Busyness)


def test_forecast_alone_makes_a_queue_busy_before_anybody_waits() -> None:
    """The present is calm; what is coming is not."""
    watch = BusynessWatch(1)
    watch.observe(0, signals())
    assert watch.columns.grade[0] == Busyness.NORMAL
    for second in range(1, 60):
        watch.observe(second, signals(load=1.1, risk=0.7))
    assert watch.columns.grade[0] == Busyness.OVERLOADED


def test_flicker_around_a_threshold_changes_nothing() -> None:
    """A queue that is at 85 % every other second is not busy twice a second."""
    watch = BusynessWatch(1)
    watch.observe(0, signals())
    changes = [
        len(watch.observe(second, signals(load=0.86 if second % 2 else 0.84)).row)
        for second in range(1, 400)
    ]
    assert sum(changes) == 0
    for second in range(400, 460):
        watch.observe(second, signals(load=0.86))
    # Between the thresholds it stays what it has become.
    for second in range(460, 800):
        watch.observe(second, signals(load=0.80))
    assert watch.columns.grade[0] == Busyness.BUSY


def test_stale_or_missing_inputs_are_unknown_at_once() -> None:
    """A queue nobody hears of is not idle."""
    watch = BusynessWatch(1)
    watch.observe(0, signals(load=1.2))
    assert watch.columns.grade[0] == Busyness.OVERLOADED
    changes = watch.observe(1, signals(age=16.0))
    assert (changes.before.tolist(), changes.after.tolist()) == ([4], [0])
    watch.observe(2, signals(age=NAN))
    watch.observe(3, signals(NAN, NAN, NAN, NAN))
    assert watch.columns.grade[0] == Busyness.UNKNOWN
    assert watch.observe(4, signals(0.1, NAN, NAN, NAN)).after.tolist() == [Busyness.IDLE]


def test_full_agents_without_anybody_waiting_are_busy_and_no_more() -> None:
    """A desk that works at its best is not overloaded."""
    watch = BusynessWatch(1)
    for second in range(100):
        watch.observe(second, signals(occupancy=1.0))
    assert watch.columns.grade[0] == Busyness.BUSY


def test_what_is_exported_goes_on_where_it_was() -> None:
    """A restart neither forgets a grade nor begins its hold anew."""
    watch = BusynessWatch(2)
    both = np.tile([0.5, 0.9], (4, 1))
    for second in range(5):
        watch.observe(second, of_rows(both, np.zeros(2)))
    again = BusynessWatch(2)
    again.load(watch.export())
    for one in (watch, again):
        one.require(3)
        one.clear(0)
    assert again.columns.grade.tolist() == watch.columns.grade.tolist() == [0, 4, 0]
    arrays = watch.export()
    for name in ("second", "towards_s"):
        with pytest.raises(BadConfiguration, match=name):
            BusynessWatch(3).load({key: value for key, value in arrays.items() if key != name})


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"load_ratio": Levels((0.9, 0.8, 1.0), (0.1, 0.2, 0.3))}, "load_ratio.enter"),  # falls
        ({"load_ratio": Levels((0.5, NAN, 1.0), (0.1, 0.2, 0.3))}, "load_ratio.enter"),  # no number
        ({"breach_risk": Levels((0.1, 0.2, 0.3), (0.2, 0.2, 0.2))}, "breach_risk.leave"),  # above
        ({"fall_hold_s": -1}, "fall_hold_s"),  # before it began
        ({"stale_s": NAN}, "stale_s"),  # never
    ],
)
def test_bad_settings_are_told_by_their_path(fields: dict[str, object], path: str) -> None:
    """A threshold that is left above where it is entered would flicker for ever."""
    with pytest.raises(BadConfiguration, match=rf"busyness\.{path}"):
        replace(BusynessSettings(), **fields)  # type: ignore[arg-type]


def test_second_that_cannot_be_is_refused_and_changes_nothing() -> None:
    """Time does not go back, and nothing is negative."""
    watch = BusynessWatch(1)
    watch.observe(5, signals())
    with pytest.raises(ValueError, match="second: expected 6"):
        watch.observe(5, signals())
    with pytest.raises(ValueError, match=r"signals\.wait_ratio: expected at least 0"):
        watch.observe(6, signals(wait=-1.0))
    with pytest.raises(ValueError, match=r"signals\.age_s: expected float64"):
        watch.observe(6, signals()._replace(age_s=np.zeros(2)))
    assert watch.columns.grade[0] == Busyness.NORMAL
