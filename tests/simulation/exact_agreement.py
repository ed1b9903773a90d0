"""Whether a simulated value agrees with the exact one: how many standard errors lie between."""

import math
from typing import NamedTuple

from engine.kernels import floor_columns as c
from engine.simulation.results import Estimate, Results
from tests.simulation.exact_cases import CASES
from tests.simulation.exact_measures import measured

# What these say of the moment before a change of staffing, the exact model says without the change.
ANOTHER_FLOOR = {("T04", "t10:p_wait_gt_20s")}
# A share this near to 0 or 1 may not be seen at all, and then knows nothing of its own error.
RARE = 1e-4
# Of a normal law, 95 % lie within so many standard errors.
HALF_WIDTH = 1.96


class Agreement(NamedTuple):
    """
    A value of a case beside what was simulated.

    Attributes
    ----------
    exact, simulated
        In the unit of the measure; times are minutes.
    error
        Standard error of `simulated`.
    exact_error
        Standard error of `exact`, where that was simulated as well; else 0.
    """

    case_id: str
    measure: str
    exact: float
    simulated: float
    error: float
    exact_error: float

    @property
    def error_share(self) -> float:
        """Standard error / exact value; 0 where there is no error."""
        if self.error == 0.0:
            return 0.0
        return self.error / abs(self.exact) if self.exact else math.inf

    @property
    def z(self) -> float:
        """Standard errors from the exact value to the simulated one."""
        apart = self.simulated - self.exact
        error = math.hypot(self.error, self.exact_error)
        if error == 0.0:
            return (
                0.0 if math.isclose(self.simulated, self.exact) else math.copysign(math.inf, apart)
            )
        return apart / error


def agreements(results: Results, case_id: str) -> list[Agreement]:
    """Every value of a case that its floor can answer, beside its exact value."""
    case = CASES[case_id]
    found = []
    for name, exact in case["values"].items():
        if (case_id, name) in ANOTHER_FLOOR:
            continue
        estimate = measured(results, case_id, name)
        assert estimate is not None, (case_id, name)
        error = _error(results, name, exact, estimate)
        exact_error = case.get("hw", {}).get(name, 0.0) / HALF_WIDTH
        found.append(Agreement(case_id, name, exact, estimate.value, error, exact_error))
    return found


def _error(results: Results, name: str, exact: float, estimate: Estimate) -> float:
    """Standard error of an estimate; of rare things, no less than that of independent trials."""
    if ":p_" in name:
        return math.sqrt(exact * (1.0 - exact) / results.runs)
    if ":mean_q" in name and exact < 1.0:
        # Of whole numbers, the mean square is no less than the mean.
        return max(estimate.error, math.sqrt(exact * (1.0 - exact) / results.runs))
    if not 0.0 < min(exact, 1.0 - exact) < RARE:
        return estimate.error
    probe = results.scenario.horizon.probe
    rows = [results.stream(probe)] if "offered_wait" in name and probe is not None else None
    trials = float(results.counted(c.OFFERED, rows).sum())
    return max(estimate.error, math.sqrt(exact * (1.0 - exact) / trials))
