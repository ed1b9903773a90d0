"""
The engine against exact queueing theory: its own transitions, made-up callers, known answers.

A fast part of what `make bench` runs in full. Each value must lie within 4.2 standard errors, which
one in 37,000 misses by chance; seeds are fixed, so that a test that passes goes on passing.
"""

import pytest

from engine.simulation.results import Results
from engine.simulation.simulator import run
from tests.simulation.exact_agreement import agreements
from tests.simulation.exact_cases import checked, is_of_runs

Z_MAX = 4.2
RUNS = 2_000
LONG_RUN = ("E01", "E02", "E03", "E05", "E06", "E08", "E09", "E10", "A01", "A03", "A05", "A07",
            "S01", "S02", "S03", "S04", "S05", "P01", "P02", "P03", "P04", "K01", "K02", "K03",
            "K04", "K05", "K06", "K07", "K08", "K09", "K10", "K11", "K12", "K13", "D01", "D02",
            "D03", "D04", "D05", "C01", "X02", "X03")  # fmt: skip
FROM_A_START = ("T01", "T02", "T04", "T05", "T07", "T08", "F01", "F02", "F03", "X01")


def _simulated(case_id: str) -> Results:
    if is_of_runs(case_id):
        return run(checked(case_id, replications=400 if case_id[0] in "FX" else RUNS))
    return run(checked(case_id, length="1500h", warm_up="50h", batches=40))


@pytest.mark.compiled_only
@pytest.mark.parametrize("case_id", LONG_RUN + FROM_A_START)
def test_simulation_agrees_with_the_exact_answer(case_id: str) -> None:
    """A router that were wrong in who waits, who is served or when would be wrong here."""
    found = agreements(_simulated(case_id), case_id)
    assert [value for value in found if not abs(value.z) <= Z_MAX] == []
