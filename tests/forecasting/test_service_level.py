"""Service level of the running interval: sums, formulas drawn by lot, and simulated half hours."""

import heapq

import numpy as np
import pytest
from scipy.stats import norm

from engine.forecasting.breach import wait_risk
from engine.forecasting.service_level import (
    IntervalServiceLevel,
    Outlook,
    mean_risk,
    project,
)
from engine.kernels.breach import Pools
from engine.kernels.projection import Projection, SoFar
from engine.refusals import BadConfiguration

MOMENTS_S = np.array([0.0, 300.0, 600.0, 900.0, 1_800.0])
TARGET = 0.8


def outlook(**fields: float) -> Outlook:
    """One queue's outlook, with nothing to come unless said otherwise."""
    whole = {
        "contacts": 0.0, "variance": fields.get("contacts", 0.0), "waiting": 0.0, "risk": 0.0,
        "fading_per_s": 0.003, "load": 0.0, "rate_variance": 0.0, "target": TARGET,
    } | fields  # fmt: skip
    arrays = {name: np.array([float(value)]) for name, value in whole.items()}
    return Outlook(**(arrays | {"risk": np.full((1, len(MOMENTS_S)), whole["risk"])}))


def told(within: float, ended: float, rest_s: float = 900.0, **fields: float) -> Projection:
    """Projection of one queue."""
    so_far = SoFar(np.array([float(within)]), np.array([float(ended)]))
    return project(so_far, outlook(**fields), MOMENTS_S, rest_s)


def test_interval_that_is_over_is_what_it_was() -> None:
    """With nothing to come there is nothing to guess."""
    found = told(70, 100)
    assert (found.mean[0], found.risk[0]) == (0.7, 1.0)
    assert found.low[0] == pytest.approx(0.7, abs=0.004)
    assert found.high[0] == pytest.approx(0.7, abs=0.004)
    assert told(80, 100).risk[0] == 0.0
    assert np.isnan(told(0, 0).risk[0])


def test_projection_mixes_what_came_with_what_comes() -> None:
    """Sixty of eighty so far, and twenty more of which each is within by nine in ten."""
    found = told(60, 80, contacts=20.0, risk=0.1)
    assert found.mean[0] == pytest.approx((60 + 18) / 100)
    assert found.low[0] < 0.78 < found.high[0]
    # Even if all of some thirty more are within, it is lost; if none is missed, it is won.
    assert told(20, 80, contacts=30.0, risk=0.1).risk[0] > 0.999
    assert told(80, 80, contacts=10.0, risk=0.1).risk[0] < 0.05
    waiting = told(60, 80, waiting=20.0, risk=0.9)
    assert waiting.mean[0] == pytest.approx((60 + 2) / 100)


@pytest.mark.parametrize("miss", [0.05, 0.2, 0.6])
@pytest.mark.parametrize("shared", [0.0, 0.2, 0.9])
def test_risk_and_interval_are_those_of_the_model_drawn_by_lot(miss: float, shared: float) -> None:
    """A hundred thousand intervals of contacts that share a factor."""
    draw = np.random.default_rng(4)
    size = 100_000
    # All that is shared comes from the forecast: load * variance = r / (1 - r), in a long rest.
    rate_variance = shared / (1.0 - shared) / 50.0
    fields = {"contacts": 40.0, "variance": 50.0, "risk": miss, "load": 50.0, "fading_per_s": 1.0}
    found = told(40, 50, 80_000.0, rate_variance=rate_variance, **fields)
    factor = draw.normal(size=size)
    # Contacts by a negative binomial; of those the factor lets each miss on its own.
    at = norm.cdf((norm.ppf(miss) + np.sqrt(shared) * factor) / np.sqrt(1.0 - shared))
    contacts = draw.negative_binomial(160, 0.8, size)
    hits = contacts - draw.binomial(contacts, at)
    level = (40 + hits) / (50 + contacts)
    assert found.risk[0] == pytest.approx((level < TARGET).mean(), abs=0.035)
    assert found.mean[0] == pytest.approx(level.mean(), abs=0.01)
    low, high = np.quantile(level, (0.1, 0.9))
    assert found.low[0] == pytest.approx(low, abs=0.03)
    assert found.high[0] == pytest.approx(high, abs=0.03)


def test_mean_risk_goes_straight_between_moments() -> None:
    """Risks of moments become one of the rest."""
    risk = np.array([[0.0, 0.3, 0.3, 0.6, 0.6]])
    assert mean_risk(risk, MOMENTS_S, 300.0)[0] == pytest.approx(0.15)
    assert mean_risk(risk, MOMENTS_S, 150.0)[0] == pytest.approx(0.075)
    by_hand = (0.15 * 300 + 0.3 * 300 + 0.45 * 300 + 0.6 * 900) / 1_800
    assert mean_risk(risk, MOMENTS_S, 1_800.0)[0] == pytest.approx(by_hand)
    beyond = (by_hand * 1_800 + 0.6 * 1_800) / 3_600
    assert mean_risk(risk, MOMENTS_S, 3_600.0)[0] == pytest.approx(beyond)
    assert mean_risk(risk, MOMENTS_S, 0.0)[0] == pytest.approx(0.0)
    assert mean_risk(risk[:, 1:2], np.zeros(1), 60.0)[0] == 0.3


class HalfHours:
    """Half hours of M/M/c+M queues, each contact with when it came, ended and left."""

    warm_s, length_s, handled_per_s, target_s = 2_700.0, 1_800.0, 1 / 300, 20.0

    def __init__(self, agents: int, erlangs: float, abandoned_per_s: float, cv: float) -> None:
        self.agents, self.abandoned_per_s, self.cv = agents, abandoned_per_s, cv
        self.rate = erlangs * self.handled_per_s

    def drawn(self, draw: np.random.Generator) -> np.ndarray:
        """(contacts, 5): came, answered or abandoned, whether within, left; of one half hour."""
        rate = self.rate
        if self.cv:
            rate *= draw.gamma(1 / self.cv**2, self.cv**2)
        free = [0.0] * self.agents
        now, rows = 0.0, []
        while (now := now + draw.exponential(1 / rate)) < self.warm_s + self.length_s:
            begin = max(now, free[0])
            patience = draw.exponential(1 / self.abandoned_per_s)
            if patience < begin - now:
                rows.append((now, now + patience, 0.0, now + patience))
                continue
            end = begin + draw.exponential(1 / self.handled_per_s)
            heapq.heapreplace(free, end)
            rows.append((now, begin, float(begin - now <= self.target_s), end))
        return np.array(rows)

    def projected(self, halves: list[np.ndarray], elapsed_s: float) -> Projection:
        """What is told so many seconds into each."""
        at = self.warm_s + elapsed_s
        rest_s = self.length_s - elapsed_s
        sums = []
        for contacts in halves:
            came, ended, within, left = contacts.T
            done = (ended >= self.warm_s) & (ended < at)
            in_system = ((came <= at) & (left > at)).sum()
            waiting = ((came <= at) & (ended > at)).sum()
            lately = ((came > at - 1_800.0) & (came <= at)).sum()
            sums.append((within[done].sum(), done.sum(), waiting, in_system, lately))
        within, ended, waiting, in_system, lately = np.array(sums, np.float64).T
        one = np.ones(len(halves))
        factor, variance = one, 0.0 * one
        if self.cv:
            prior = 1 / self.cv**2
            factor = (prior + lately) / (prior + 1_800.0 * self.rate)
            variance = one / (prior + 1_800.0 * self.rate)
        rate, handled, abandoned = self.rate * factor, self.handled_per_s, self.abandoned_per_s
        pools = Pools(in_system, rate[:, None], self.agents * one[:, None], handled * one,
                      abandoned * one, variance, self.target_s * one)  # fmt: skip
        risk = wait_risk(pools, 300.0, np.maximum(MOMENTS_S, 1.0))
        mean = rate * rest_s
        fading = handled + (abandoned - handled) * risk.mean(axis=1)
        coming = Outlook(mean, mean + mean**2 * variance, waiting, risk, fading, rate / handled,
                         variance, TARGET * one)  # fmt: skip
        return project(SoFar(within, ended), coming, MOMENTS_S, rest_s)

    def levels(self, halves: list[np.ndarray]) -> np.ndarray:
        """Service level that each ended with."""
        return np.array([row[row[:, 1] >= self.warm_s, 2].mean() for row in halves])


@pytest.mark.parametrize(
    ("agents", "erlangs", "patience_s", "cv"),
    [
        (20, 18.5, 180.0, 0.15),  # critical, and the forecast is off
        (20, 17.0, 180.0, 0.0),  # the forecast is right: only the queue wanders
    ],
)
def test_told_probabilities_come_true_in_simulated_half_hours(
    agents: int, erlangs: float, patience_s: float, cv: float
) -> None:
    """Of intervals told to miss by three in ten, some three in ten do; and sooner than by guess."""
    floor = HalfHours(agents, erlangs, 1 / patience_s, cv)
    draw = np.random.default_rng(2)
    halves = [floor.drawn(draw) for _ in range(300)]
    level = floor.levels(halves)
    missed = (level < TARGET).astype(np.float64)
    chance = missed.mean() * (1.0 - missed.mean())
    scores = []
    for elapsed_s in (60.0, 900.0):
        found = floor.projected(halves, elapsed_s)
        bins = np.minimum((found.risk * 5).astype(np.int64), 4)
        gap = np.bincount(bins, found.risk - missed, 5)
        assert np.abs(gap).sum() / len(halves) < 0.09
        assert found.risk.mean() == pytest.approx(missed.mean(), abs=0.07)
        assert found.mean.mean() == pytest.approx(level.mean(), abs=0.03)
        inside = (level >= found.low - 0.004) & (level <= found.high + 0.004)
        assert 0.68 < inside.mean() < 0.95
        scores.append(((found.risk - missed) ** 2).mean())
    assert scores[1] < 0.7 * chance
    assert scores[1] < scores[0] < chance


def test_intervals_begin_with_the_clock_and_are_handed_over() -> None:
    """What is scored afterwards is the half hour that people report."""
    running = IntervalServiceLevel(2)
    begin = 1_000_000 * 1_800
    assert running.rest_s() == 0
    assert running.observe(begin + 1_700, np.array([1, 0]), np.array([2, 0])) is None
    assert running.rest_s() == 99
    running.observe(begin + 1_799, np.array([3, 1]), np.array([3, 1]))
    assert running.rest_s() == 0
    over = running.observe(begin + 1_800, np.array([0, 5]), np.array([0, 5]))
    assert over is not None
    assert (over.begins_s, over.within.tolist(), over.ended.tolist()) == (begin, [4, 1], [5, 1])
    assert running.columns.ended.tolist() == [0, 5]
    assert running.begins_s == begin + 1_800
    again = IntervalServiceLevel(2)
    again.load(running.export())
    for one in (running, again):
        one.require(3)
        one.clear(1)
        assert one.columns.ended.tolist() == [0, 0, 0]
        assert one.rest_s() == 1_799
    with pytest.raises(BadConfiguration, match=r"service_level\.seconds"):
        IntervalServiceLevel(3, 900).load(
            running.export() | {"seconds": np.array([begin, begin + 1_000])}
        )


def test_seconds_and_outlooks_that_cannot_be_are_refused() -> None:
    """Each by its name, and nothing changes."""
    for interval_s in (7_000, 0):
        with pytest.raises(BadConfiguration, match=r"service_level\.interval_s"):
            IntervalServiceLevel(1, interval_s)
    running = IntervalServiceLevel(1)
    one, two = np.array([1]), np.array([2])
    running.observe(10, one, two)
    with pytest.raises(ValueError, match="second: expected 11"):
        running.observe(10, one, two)
    with pytest.raises(ValueError, match="within: expected 0"):
        running.observe(11, two, one)
    with pytest.raises(ValueError, match="expected shape"):
        running.observe(11, np.array([1, 1]), np.array([1, 1]))
    assert running.columns.ended.tolist() == [2]
    for fields in ({"risk": np.nan}, {"target": 1.5}, {"contacts": -1.0}, {"load": np.inf}):
        with pytest.raises(ValueError, match=f"outlook.{next(iter(fields))}"):
            running.project(outlook(**fields), MOMENTS_S)
    with pytest.raises(ValueError, match="moments_s"):
        running.project(outlook(), MOMENTS_S[::-1].copy())
    with pytest.raises(ValueError, match=r"outlook\.risk"):
        running.project(outlook(), MOMENTS_S[:2])
