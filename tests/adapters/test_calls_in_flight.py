"""Whom a full process lets in, whom it refuses, and what it counts."""

import pytest

from adapters.calls_in_flight import CallsInFlight
from adapters.errors import CallRefused
from adapters.metrics import Metrics

MOST = 16


def flooded(metrics: Metrics, calls: int) -> CallsInFlight:
    """With so many calls of one tenant, of which none has ended."""
    found = CallsInFlight({"shop": 2.0}, metrics)
    for _ in range(calls):
        found.enter(MOST)
        found.begin("storm", MOST)
    return found


def refusals(metrics: Metrics) -> dict[str, float]:
    """How many there were, by what was full."""
    name = "headgate_refused_over_limit_total"
    return {
        sample.labels["limit"]: sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == name
    }


def test_who_floods_is_refused_and_others_have_their_part() -> None:
    """Where it is full: of those with weights 1 and 2, two thirds are of the second."""
    metrics = Metrics()
    calls = flooded(metrics, MOST)
    for _ in range(10):
        calls.enter(MOST)
        calls.begin("shop", MOST)
    calls.enter(MOST)
    with pytest.raises(CallRefused, match="calls are in flight"):
        calls.begin("shop", MOST)
    calls.enter(MOST)
    with pytest.raises(CallRefused, match="calls are in flight"):
        calls.begin("storm", MOST)
    assert refusals(metrics) == {"calls_in_flight_max": 2}


def test_who_has_more_than_its_part_is_refused_before_it_is_full() -> None:
    metrics = Metrics()
    calls = flooded(metrics, 10)
    calls.enter(MOST)
    calls.begin("shop", MOST)
    calls.enter(MOST)
    with pytest.raises(CallRefused, match="tenant 'storm' has more than its part of 12 calls"):
        calls.begin("storm", MOST)
    assert refusals(metrics) == {"tenant_weights": 1}


def test_far_more_are_refused_without_asking_who_they_are() -> None:
    metrics = Metrics()
    calls = CallsInFlight({}, metrics)
    for _ in range(3 * MOST):
        calls.enter(MOST)
    with pytest.raises(CallRefused, match="49 calls are in flight"):
        calls.enter(MOST)
    for _ in range(3 * MOST + 1):
        calls.leave()
    assert calls.count == 0
    calls.enter(MOST)
