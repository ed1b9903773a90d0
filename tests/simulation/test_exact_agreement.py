"""The judge of exactness: a verdict is only as good as the error it divides by."""

import math

import numpy as np
import pytest

from benchmarks import exactness_runs
from benchmarks.exactness_runs import in_steps, merged
from engine.simulation.simulator import run
from tests.simulation.exact_agreement import Agreement, agreements
from tests.simulation.exact_cases import checked

pytestmark = pytest.mark.compiled_only


@pytest.mark.parametrize(
    ("exact", "simulated", "error", "exact_error", "z"),
    [
        (1.0, 1.2, 0.1, 0.0, 2.0),
        (1.0, 0.5, 0.3, 0.4, -1.0),  # an exact value that was itself simulated
        (0.0, 0.0, 0.0, 0.0, 0.0),  # nobody can abandon, and nobody did
        (0.0, 0.1, 0.0, 0.0, math.inf),  # nobody can abandon, yet somebody did
    ],
)
def test_z_counts_errors_of_both_sides(
    exact: float, simulated: float, error: float, exact_error: float, z: float
) -> None:
    """What may not vary is held to the letter, the rest to its error."""
    assert Agreement("E01", "x", exact, simulated, error, exact_error).z == pytest.approx(z)


def test_rare_thing_never_seen_still_has_an_error() -> None:
    """A thing of one in ten million that a short run never sees is no disagreement."""
    results = run(checked("A08", length="30h", warm_up="1h", batches=10))
    found = {value.measure: value for value in agreements(results, "A08")}
    rare = found["p_offered_wait_gt_60s"]
    assert rare.simulated == 0.0
    assert -1.0 < rare.z < 0.0


def test_merged_runs_are_sums_of_both() -> None:
    """Pooling loses no contact, and independent halves shrink the error by the root of two."""
    one, other = (
        run(checked("E05", seed, length="600h", warm_up="10h", batches=40)) for seed in (1, 2)
    )
    both = merged(one, other)
    assert np.array_equal(both.count.sum(axis=0), one.count.sum(axis=0) + other.count.sum(axis=0))
    assert both.runs == 2
    errors = [results.measure("p_wait").error for results in (one, other)]
    assert both.measure("p_wait").error == pytest.approx(math.hypot(*errors) / 2, rel=0.1)


def test_steps_add_up_and_keep_parts_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a case runs, memory stays bounded and every contact stays counted."""
    monkeypatch.setattr(exactness_runs, "_PARTS_MAX", 16)
    seen = []
    for results in in_steps("E05", 100_000):
        seen.append(results.count.sum())
        assert results.length_ms.size <= 16
        assert results.length_ms.sum() == pytest.approx(results.runs * 100_000 / 0.8 * 60_000)
        if len(seen) == 8:
            break
    assert np.diff(seen).min() > 0
