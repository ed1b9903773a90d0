"""Two scenarios on one seed: their difference is known far better than on two seeds."""

from pathlib import Path

import numpy as np
import pytest

from adapters.scenario_file import read_scenario
from engine.kernels import floor_columns as c
from engine.simulation.results import Floats
from engine.simulation.scenario import Scenario
from engine.simulation.simulator import run

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples" / "scenarios"
RUNS = 80


def _days(scenario: Scenario) -> Scenario:
    """The scenario as so many days of eleven hours, measured one by one."""
    several = {"replications": RUNS, "batches": 1, "length": 11 * 3_600e3, "warm_up": 0.0}
    return scenario.model_copy(update={"horizon": scenario.horizon.model_copy(update=several)})


def _one_more(scenario: Scenario, group: str) -> Scenario:
    agents = scenario.groups[group].agents
    assert agents is not None
    larger = scenario.groups[group].model_copy(update={"agents": agents + 1})
    return scenario.model_copy(update={"groups": {**scenario.groups, group: larger}})


def _service_levels(scenario: Scenario) -> Floats:
    """Answered within the first threshold, all streams together, by run."""
    results = run(scenario)
    assert results.length_ms.size == RUNS
    return np.asarray(results.counted(c.ANSWERED_WITHIN) / results.accepted())


@pytest.mark.compiled_only
@pytest.mark.parametrize(
    ("scenario", "group", "gain"),
    [
        ("bank.yaml", "loan desk", 40),  # measured 94
        ("service_line.yaml", "first line", 10),  # measured 21
    ],
)
def test_one_more_agent_is_known_better_on_one_seed(scenario: str, group: str, gain: float) -> None:
    """What an agent is worth shows in a few paired runs; unpaired ones take many times more."""
    before = _days(read_scenario(EXAMPLES / scenario))
    after = _one_more(before, group)
    other_draws = after.model_copy(update={"seed": before.seed + 1})

    level = _service_levels(before)
    paired = _service_levels(after) - level
    unpaired = _service_levels(other_draws) - level

    error = paired.std(ddof=1) / np.sqrt(RUNS)
    told = f"{paired.mean():.4f} ± {error:.4f}, unpaired {unpaired.std(ddof=1) / np.sqrt(RUNS):.4f}"
    assert paired.mean() > 10 * error, told
    assert unpaired.var(ddof=1) > gain * paired.var(ddof=1), told


@pytest.mark.compiled_only
def test_same_scenario_on_one_seed_differs_by_nothing() -> None:
    """Pairing is exact: where nothing is decided otherwise, nothing comes out otherwise."""
    scenario = _days(read_scenario(EXAMPLES / "bank.yaml"))
    assert _service_levels(scenario).tolist() == _service_levels(scenario).tolist()
