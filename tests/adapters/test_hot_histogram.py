"""The hot histogram beside prometheus-client's own, which it stands in for."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import generate_latest

from adapters.hot_histogram import HotHistogramFamily

BOUNDS = (0.0005, 0.001, 0.25, 1.0, 2.5)
VALUES = st.one_of(
    st.floats(0, 10), st.sampled_from((0.0, *BOUNDS)), st.integers(0, 600).map(float)
)


def page(registry: CollectorRegistry) -> list[str]:
    """What is scraped, without the times of making, which the hot one does not tell."""
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if not re.search(r"_created[ {]", line)]


@given(st.lists(st.tuples(st.sampled_from("ab"), VALUES), max_size=60))
def test_page_equals_that_of_prometheus_client(observed: list[tuple[str, float]]) -> None:
    """Dashboards must not see which kind they read: every bucket, count and sum, to the letter."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    family = HotHistogramFamily("seconds", "How long.", ("cell",), BOUNDS, ours)
    model = Histogram("seconds", "How long.", ("cell",), buckets=BOUNDS, registry=theirs)
    for cell, value in observed:
        family.labels(cell).observe(value)
        model.labels(cell).observe(value)
    assert page(ours) == page(theirs)


def test_bounds_that_are_whole_numbers_read_as_prometheus_client_writes_them() -> None:
    """`le="1"` and `le="1.0"` would be two series."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    HotHistogramFamily("calls", "Calls.", (), (0, 1, 512), ours).labels().observe(1)
    Histogram("calls", "Calls.", buckets=(0, 1, 512), registry=theirs).observe(1)
    assert page(ours) == page(theirs)
    assert 'calls_bucket{le="1.0"} 1.0' in page(ours)


def test_value_on_a_bound_counts_within_it() -> None:
    """A bucket holds what is less than or equal to its bound."""
    family = HotHistogramFamily("seconds", "How long.", (), BOUNDS, CollectorRegistry())
    child = family.labels()
    child.observe(0.001)
    child.observe(0.0010001)
    child.observe(9)
    assert dict(child.buckets()) == {
        "0.0005": 0, "0.001": 1, "0.25": 2, "1.0": 2, "2.5": 2, "+Inf": 3,
    }  # fmt: skip
    assert child.sum == pytest.approx(9.0020001)


def test_labels_give_one_histogram_for_good() -> None:
    """Who holds a child observes into what is scraped."""
    family = HotHistogramFamily("seconds", "How long.", ("a", "b"), BOUNDS, CollectorRegistry())
    assert family.labels("x", "y") is family.labels("x", "y")
    assert family.labels("x", "y") is not family.labels("y", "x")
    with pytest.raises(AssertionError):
        family.labels("x")
