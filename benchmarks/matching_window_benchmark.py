"""
What a matching window gains and costs: the same contacts and the same customers' patience on the
same floors, with windows of different lengths and with none.

The gain is in handling time, for agents who are good at a kind of contact handle it sooner, and a
window finds who should have what. The cost is the wait for its end. Both are told beside the run
without a window, with errors of the difference by parts of the run. Then what the end of a window
takes in the engine, beside offering the same contacts one by one.
"""

import gc
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from benchmarks.settings import Settings
from benchmarks.tables import Table, figure
from benchmarks.timing import pin
from engine.commands import (
    CancelContact,
    Expire,
    Requirements,
    Route,
    SetPresence,
    SkillRequirement,
    UpsertAgent,
    UpsertQueue,
)
from engine.definitions import AgentSkill, ScoreWeights
from engine.engine import Engine
from engine.kernels.columns import WINDOW_BATCHES, WINDOW_CONTACTS
from engine.kernels.floor_columns import OFFERED
from engine.kernels.solving import prepare
from engine.lifecycle import CancelReason, Channel, ContactState, Presence
from engine.limits import Limits
from engine.simulation.floor import Floor
from engine.simulation.results import MEASURES, Gathering, Results
from engine.simulation.scenario import Scenario
from engine.simulation.simulator import compile_simulation

_KINDS: Final = ("cards", "loans", "travel", "claims")
# Agents who are alike, so that floors of hundreds are laid out soon.
_GROUPS_MAX: Final = 100
_EVENTS_PER_RUN: Final = 1_000_000
_WINDOW_MS: Final = 1_000
_PATIENCE_MS: Final = 180_000.0
_RUSH_EVERY_MS: Final = 20_000.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    One run.

    Attributes
    ----------
    cpu_us
        Of the simulation, per contact.
    per_batch
        Contacts that a batch took, mean; 0 without windows.
    """

    results: Results
    cpu_us: float
    per_batch: float

    def by_part(self, measure: str) -> np.ndarray:
        """A measure in each part, milliseconds or a share."""
        above, below = MEASURES[measure](self.results, None)
        return above / below


def scenario_of(
    floor: Mapping[str, Any], load: float, window_ms: int, settings: Settings
) -> Scenario:
    """A floor with levels and handling times drawn once, the same for every window and load."""
    generator = np.random.default_rng(2_026)
    agents, usual_ms = int(floor["agents"]), 1_000.0 * float(floor["handle_s"])
    best = float(settings.value("best_share"))
    per_minute = load * agents / usual_ms * 60_000.0
    groups = {}
    for number in range(min(agents, _GROUPS_MAX)):
        levels = generator.integers(1, 6, len(_KINDS)).tolist()
        # From 1 + (1 - best) at level 1 to best at level 5, 1 at level 3.
        mean_ms = [usual_ms * (1.0 + (1.0 - best) * (3 - level) / 2) for level in levels]
        groups[f"g{number}"] = {
            "agents": agents // min(agents, _GROUPS_MAX),
            "queues": ["desk"],
            "skills": dict(zip(_KINDS, levels, strict=True)),
            "handle_time": {
                kind: {"lognormal": {"mean": mean, "cv": 0.6}}
                for kind, mean in zip(_KINDS, mean_ms, strict=True)
            },
        }
    length_ms = int(settings.value("contacts")) / per_minute * 60_000.0
    parts = int(settings.value("parts"))
    return Scenario.model_validate({
        "seed": 7,
        "horizon": {"length": length_ms, "warm_up": length_ms / (parts + 1), "batches": parts},
        "queues": {
            "desk": {
                "strategy": "best_score",
                "weights": {"skill": 5.0, "handle_time": 0.0, "versatility": 0.0},
                "matching_window": window_ms,
            }
        },
        "groups": groups,
        "streams": {
            kind: {
                "queue": "desk",
                "skills": [{"skill": kind}],
                "arrivals": _arrivals(per_minute / len(_KINDS), int(floor.get("rush_ms", 0))),
                "handle_time": {"lognormal": {"mean": usual_ms, "cv": 0.6}},
                "patience": {"lognormal": {"mean": _PATIENCE_MS, "cv": 1.0}},
            }
            for kind in _KINDS
        },
    })  # fmt: skip


def _arrivals(per_minute: float, rush_ms: int) -> dict[str, Any]:
    """At a constant rate, or half of all in the first `rush_ms` of every cycle."""
    if rush_ms == 0:
        return {"per_minute": per_minute}
    half = per_minute * _RUSH_EVERY_MS / 2.0
    return {
        "repeat": _RUSH_EVERY_MS,
        "steps": [
            {"until": rush_ms, "per_minute": half / rush_ms},
            {"until": _RUSH_EVERY_MS, "per_minute": half / (_RUSH_EVERY_MS - rush_ms)},
        ],
    }


def simulated(scenario: Scenario) -> Outcome:
    """Run a scenario."""
    gc.collect()
    floor = Floor(scenario)
    gathering = Gathering(scenario, floor)
    begun_s = time.process_time()
    while floor.run(_EVENTS_PER_RUN):
        pass
    cpu_s = time.process_time() - begun_s
    gathering.add(floor)
    results = gathering.ended()
    totals = floor.engine.cell.store.columns.queues.window_totals[0]
    batches = int(totals[WINDOW_BATCHES])
    # One part more is simulated and not measured.
    parts = scenario.horizon.batches
    contacts = float(results.counted(OFFERED).sum()) * (parts + 1) / parts
    per_batch = int(totals[WINDOW_CONTACTS]) / batches if batches else 0.0
    return Outcome(results, cpu_s / contacts * 1e6, per_batch)


def _with_error(values: np.ndarray, form: str) -> str:
    """Mean over parts with its standard error."""
    error = float(values.std(ddof=1)) / len(values) ** 0.5
    return f"{float(values.mean()):{form}} ± {error:{form.lstrip('+')}}"


def _row(name: str, window_ms: int, outcome: Outcome, greedy: Outcome) -> list[str]:
    handle, handle_0 = outcome.by_part("handle_time"), greedy.by_part("handle_time")
    wait, wait_0 = outcome.by_part("wait_all"), greedy.by_part("wait_all")
    gone = outcome.by_part("p_abandon") - greedy.by_part("p_abandon")
    is_greedy = outcome is greedy
    return [
        name,
        str(window_ms),
        f"{handle.mean() / 1e3:.2f}",
        "" if is_greedy else _with_error(100.0 * (handle / handle_0 - 1.0), "+.2f"),
        f"{wait.mean() / 1e3:.2f}",
        "" if is_greedy else _with_error((wait - wait_0) / 1e3, "+.2f"),
        f"{outcome.results.wait_quantile_ms(0.99).value / 1e3:.1f}",
        f"{100.0 * outcome.by_part('p_abandon').mean():.2f}" if is_greedy
        else _with_error(100.0 * gone, "+.2f"),
        f"{100.0 * outcome.results.occupancy().value:.1f}",
        f"{outcome.per_batch:.2f}" if outcome.per_batch else "",
        f"{outcome.cpu_us:.1f}",
    ]  # fmt: skip


def _trade_off(settings: Settings) -> Table:
    rows = []
    for floor in settings.value("floors"):
        for load in settings.shares("loads"):
            name = f"{floor['name']}, load {load:g}"
            greedy: Outcome | None = None
            for window_ms in settings.numbers("windows_ms"):
                outcome = simulated(scenario_of(floor, load, window_ms, settings))
                greedy = greedy or outcome
                rows.append(_row(name, window_ms, outcome, greedy))
    columns = (
        "floor", "window, ms", "handling, s", "against none, %", "wait, s", "against none, s",
        "p99 wait, s", "given up, %", "busy, %", "contacts a batch", "CPU µs/contact",
    )  # fmt: skip
    note = (
        "Four kinds of contact in one queue; agents hold each kind at a level of 1 to 5 and handle "
        f"it in 120 % to {100 * settings.value('best_share'):g} % of the usual time. Waits are of "
        "all contacts, p99 of those answered. ± is the standard error of the difference over "
        f"{settings.value('parts')} parts of {settings.value('contacts'):,} contacts; *given up* "
        "is a difference, too, but in the rows without a window."
    )
    return Table("What a matching window gains and costs", columns, rows, note)


def _engine(window_ms: int, agents: int) -> Engine:
    """A floor of agents with drawn levels, all with room."""
    engine = Engine(Limits(decisions_max=0))
    weights = ScoreWeights(skill=5.0)
    engine.apply(UpsertQueue("desk", weights=weights, matching_window_ms=window_ms), 0)
    generator = np.random.default_rng(1)
    for number in range(agents):
        levels = generator.integers(1, 6, len(_KINDS)).tolist()
        skills = tuple(AgentSkill(*item) for item in zip(_KINDS, levels, strict=True))
        engine.apply(UpsertAgent(f"a{number}", queue_ids=("desk",), skills=skills), 0)
        engine.apply(SetPresence(f"a{number}", Presence.AVAILABLE), 0)
    engine.take_group()
    return engine


def _round_s(engine: Engine, contacts: int, now_ms: int) -> float:
    """Seconds to offer so many contacts, with the end of their window where they have one."""
    kinds = [Requirements(skills=(SkillRequirement(kind, 1),)) for kind in _KINDS]
    routes = [
        Route(f"{now_ms}-{number}", "desk", Channel.VOICE, requirements=kinds[number % 4])
        for number in range(contacts)
    ]
    begun_s = time.perf_counter()
    for command in routes:
        engine.apply(command, now_ms)
    engine.apply(Expire(), now_ms + _WINDOW_MS)
    taken_s = time.perf_counter() - begun_s
    for command in routes:
        view = engine.read.contact(command.contact_id, now_ms + _WINDOW_MS)
        assert view.state is ContactState.OFFERED
        engine.apply(CancelContact(command.contact_id, CancelReason.WITHDRAWN), now_ms + _WINDOW_MS)
    engine.take_group()
    return taken_s


def _batches(settings: Settings) -> Table:
    prepare()
    rows = []
    times = 5 if settings.is_quick else 60
    for contacts, agents in settings.value("batches"):
        engines = {"greedy": _engine(0, agents), "window": _engine(_WINDOW_MS, agents)}
        taken: dict[str, list[float]] = {name: [] for name in engines}
        for number in range(1, times + 6):
            for name, engine in engines.items():
                seconds = _round_s(engine, contacts, number * 10_000)
                if number > 5:
                    taken[name].append(seconds / contacts)
        rows.append([
            f"{contacts:,} × {agents:,}",
            *(figure([statistics.median(values)], 1e6) for values in taken.values()),
        ])  # fmt: skip
    columns = ("contacts × agents", "one by one, µs/contact", "as a batch, µs/contact")
    note = "`Engine.apply` of every Route, and of the Expire that ends the window."
    return Table("What the end of a window takes", columns, rows, note)


def run(settings: Settings) -> Sequence[Table]:
    """Measure every floor, load and window, then batches of several sizes."""
    pin(0)
    compile_simulation()
    return [_trade_off(settings), _batches(settings)]
