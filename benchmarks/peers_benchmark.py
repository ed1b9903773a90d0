"""
The simulator beside simpy and ciw: the same exact cases, in the same process, by turns.

Every system draws its own numbers, and what each found is held against the exact value before
speeds are compared. Speed is contacts that arrived per second of CPU time, laying out the floor
and collecting what was seen included. ciw knows no skills; a `–` stands where it has no way.
"""

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks import ciw_floors, simpy_floors
from benchmarks.exactness_runs import length_for, merged
from benchmarks.peer_calls import Call, Parts, pooled, z_of
from benchmarks.settings import Settings
from benchmarks.tables import Goals, Table, figure, ratio
from benchmarks.timing import pin
from engine.simulation import simulator
from engine.simulation.results import Estimate, Results
from engine.simulation.simulator import compile_simulation
from tests.simulation.exact_agreement import HALF_WIDTH
from tests.simulation.exact_cases import CASES, checked
from tests.simulation.exact_measures import measured

_MINUTE_MS: Final = 60_000.0
_Model = Callable[[Mapping[str, Any], float, int], Sequence[Call]]

# Case -> what it is, and who can simulate it, besides ourselves.
_WHAT: Final[Mapping[str, str]] = {
    "E03": "12 agents alike",
    "A02": "50 agents, patience",
    "P01": "10 agents, 2 priorities",
    "K02": "6 agents, 2 skills",
    "X02": "90 agents, 6 types, 2 skills each",
}
_PEERS: Final[Mapping[str, Mapping[str, _Model]]] = {
    "E03": {"simpy": simpy_floors.one_pool, "ciw": ciw_floors.one_pool},
    "A02": {"simpy": simpy_floors.impatient, "ciw": ciw_floors.impatient},
    "P01": {"simpy": simpy_floors.priorities, "ciw": ciw_floors.priorities},
    "K02": {"simpy": simpy_floors.skills},
    "X02": {"simpy": simpy_floors.skill_lists},
}
_NAMES: Final = ("Headgate", "simpy", "ciw")


@dataclass(slots=True)
class Compared:
    """One case: contacts per second of each system by round, and what each estimates."""

    case_id: str
    per_s: dict[str, list[float]] = field(default_factory=dict)
    measured: dict[str, Callable[[str], Estimate | None]] = field(default_factory=dict)


def run(settings: Settings) -> list[Table]:
    """Compare on every case; fails where a system disagrees with the exact value."""
    pin(0)
    compile_simulation()
    found = [_compare(case_id, settings) for case_id in _PEERS]
    agreement = _agreement(found, settings.value("z_max"))
    return [agreement, _speeds(found), _goals(found, settings)]


def _compare(case_id: str, settings: Settings) -> Compared:
    compared = Compared(case_id, {name: [] for name in ("Headgate", *_PEERS[case_id])})
    ours: list[Results] = []
    theirs: dict[str, list[Parts]] = {name: [] for name in _PEERS[case_id]}
    for seed in range(1, settings.rounds + 1):
        per_s, results = _ours(case_id, settings.value("contacts"), seed)
        compared.per_s["Headgate"].append(per_s)
        ours.append(results)
        for name, model in _PEERS[case_id].items():
            per_s, parts = _theirs(case_id, model, settings.value("peer_contacts"), seed)
            compared.per_s[name].append(per_s)
            theirs[name].append(parts)
    together = ours[0]
    for results in ours[1:]:
        together = merged(together, results)
    compared.measured["Headgate"] = lambda measure: measured(together, case_id, measure)
    for name, runs in theirs.items():
        compared.measured[name] = pooled(runs).measured
    return compared


def _ours(case_id: str, contacts: int, seed: int) -> tuple[float, Results]:
    scenario = checked(case_id, seed, **length_for(case_id, contacts))
    begun_s = time.process_time()
    results = simulator.run(scenario)
    taken_s = time.process_time() - begun_s
    minutes = scenario.horizon.length * scenario.horizon.replications / _MINUTE_MS
    return _per_minute(case_id) * minutes / taken_s, results


def _theirs(case_id: str, model: _Model, contacts: int, seed: int) -> tuple[float, Parts]:
    minutes = contacts / _per_minute(case_id)
    # The collector costs simpy and ciw a fifth; nothing here needs it.
    gc.collect()
    gc.disable()
    begun_s = time.process_time()
    calls = model(CASES[case_id]["params"], minutes, seed)
    taken_s = time.process_time() - begun_s
    gc.enable()
    kinds = len(checked(case_id, length="1h").streams)
    return contacts / taken_s, Parts.of(calls, minutes, kinds)


def _per_minute(case_id: str) -> float:
    streams = checked(case_id, length="1h").streams.items()
    return sum(stream.arrivals.per_minute or 0.0 for name, stream in streams if name != "probe")


def _agreement(found: Sequence[Compared], z_max: float) -> Table:
    rows = []
    for compared in found:
        case = CASES[compared.case_id]
        for measure, exact in case["values"].items():
            estimates = {name: of(measure) for name, of in compared.measured.items()}
            if any(estimate is None for estimate in estimates.values()):
                continue
            exact_error = case.get("hw", {}).get(measure, 0.0) / HALF_WIDTH
            cells = [compared.case_id, measure, f"{exact:.6g}"]
            for name in _NAMES:
                estimate = estimates.get(name)
                cells.append("–" if estimate is None else _cell(estimate, exact, exact_error))
                if estimate is not None:
                    z = z_of(estimate, exact, exact_error)
                    assert abs(z) <= z_max, (compared.case_id, measure, name, exact, estimate)
            rows.append(cells)
    note = "Standard errors from the exact value in brackets; the runs of all rounds together."
    return Table("Agreement", ("case", "measure", "exact", *_NAMES), rows, note)


def _cell(estimate: Estimate, exact: float, exact_error: float) -> str:
    z = z_of(estimate, exact, exact_error)
    return f"{estimate.value:.5g} ± {estimate.error:.1g} ({z:+.1f})"


def _speeds(found: Sequence[Compared]) -> Table:
    columns = ("case", "what", *_NAMES, "× simpy", "× ciw")
    rows = []
    for compared in found:
        per_s = compared.per_s
        cells = [compared.case_id, _WHAT[compared.case_id]]
        cells += [figure(per_s[name]) if name in per_s else "–" for name in _NAMES]
        cells += [
            figure(ratio(per_s["Headgate"], per_s[name])) if name in per_s else "–"
            for name in _NAMES[1:]
        ]
        rows.append(cells)
    return Table("Contacts per second of one core", columns, rows)


def _goals(found: Sequence[Compared], settings: Settings) -> Table:
    goals = Goals()
    for compared in found:
        per_s = compared.per_s
        for name in _PEERS[compared.case_id]:
            times = ratio(per_s["Headgate"], per_s[name])
            what = f"{compared.case_id}, beside {name}"
            goals.at_least(what, settings.goals["ratio"], times, f"× {name}")
    (large,) = (compared for compared in found if compared.case_id == "X02")
    limit = settings.goals["X02_per_s"]
    goals.at_least("X02, 90 skilled agents", limit, large.per_s["Headgate"], "contacts/s")
    return goals.table()
