"""
The exact cases as scenarios: which floor each one is, and how its values are measured on it.

Rates of the cases are per minute, times are minutes; `tests/data/exact_queue.json` holds them with
their exact values and a vocabulary of the measures.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine.simulation.checking import read
from engine.simulation.scenario import Scenario
from tests.simulation.exact_floors import (
    Declared,
    callbacks,
    longer_queue_first,
    one_class,
    own_groups,
    priorities,
    skill_lists,
    skills,
    two_pools,
    unequal_agents,
)
from tests.simulation.exact_starts import busy_days, day, transient

CASES: Mapping[str, Any] = {
    case["id"]: case
    for case in json.loads(
        (Path(__file__).parent.parent / "data" / "exact_queue.json").read_text(encoding="utf-8")
    )["cases"]
}


Layout = Callable[[Declared], Declared]
LAYOUTS: Mapping[str, Layout] = {
    "E10": own_groups,
    **{f"P0{n}": priorities for n in range(1, 5)},
    **{f"K0{n}": skills for n in range(1, 7)},
    "K07": two_pools,
    "K08": two_pools,
    "K09": two_pools,
    "K10": longer_queue_first,
    "D05": callbacks,
    **{f"K1{n}": unequal_agents for n in range(1, 4)},
    "X01": busy_days,
    "X02": skill_lists,
    "X03": skill_lists,
    **{f"T0{n}": transient for n in range(1, 10)},
    **{f"F0{n}": day for n in range(1, 4)},
}


def scenario_of(case_id: str, seed: int = 1, **horizon: float | str) -> Declared:
    """A case as a scenario; `horizon` says how long, in how many batches or replications."""
    case = CASES[case_id]
    declared = LAYOUTS.get(case_id, one_class)(case)
    declared.setdefault("thresholds", ["20s", "30s", "60s"])
    declared["name"] = case_id
    declared["seed"] = seed
    declared["horizon"] = declared.get("horizon", {}) | horizon
    return declared


def is_of_runs(case_id: str) -> bool:
    """Whether a case is about runs from a given start, not about the long run."""
    return case_id[0] in "TF" or case_id == "X01"


def checked(case_id: str, seed: int = 1, **horizon: float | str) -> Scenario:
    """The case's scenario, read and checked."""
    return read(scenario_of(case_id, seed, **horizon))
