"""
What features cost a decision: the same contacts and agents, in engines that differ in what they do.

In the core a decision is the search for an agent and, where records are kept, its record. As a
whole command a contact is routed and cancelled, outside of what is timed. Engines take turns, so
that a busy spell of the machine hits them alike.
"""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from benchmarks.population import Population, populate, queue_id
from benchmarks.settings import Settings
from benchmarks.tables import Goals, Table, figure, ratio
from benchmarks.timing import compare, pin, repeated
from engine.commands import (
    CancelContact,
    RelaxationStep,
    Requirements,
    Route,
    SetIntake,
    UpsertQueue,
)
from engine.definitions import STRATEGY_WEIGHTS, ScoreWeights
from engine.engine import Engine
from engine.kernels.boundary import Table as AddressTable
from engine.kernels.boundary import open_cell
from engine.kernels.columns import DECISION_COUNT, NOW_MS, RUNNER_UP
from engine.kernels.deciding import decide
from engine.kernels.matching import best_agent
from engine.lifecycle import CancelReason, DecisionKind, Intake
from engine.limits import Limits

_CONTACTS: Final = 64
_ROUTED: Final = int(DecisionKind.ROUTED)
_ALL_WEIGHTS: Final = ScoreWeights(
    skill=0.5, handle_time=1.0, outcome=0.5, idle=0.1, load=0.2, turn=0.1, versatility=1.0,
    occupancy=0.2, urgency=1.0, lateness=0.1,
)  # fmt: skip


@njit(cache=True, error_model="numpy")
def decide_all(table: AddressTable, contacts: NDArray[np.int64]) -> int:
    """Choose an agent for each contact as `match_new` does, and record it; the last one."""
    agent = -1
    scalar = open_cell(table).scalar
    for place in range(contacts.shape[0]):
        agent = best_agent(table, contacts[place])
        decide(table, contacts[place], agent, scalar[RUNNER_UP], _ROUTED)
        # The ring is not grown here, and one record costs what the next does.
        scalar[DECISION_COUNT] = 0
    return agent


@dataclass(frozen=True, slots=True)
class Case:
    """
    What one engine does beside finding an agent.

    Attributes
    ----------
    decisions_max
        Decision records kept.
    weights
        Of every queue's score.
    asks_more
        Whether contacts ask for tags and prefer agents too, and for less step by step.
    """

    decisions_max: int = 0
    weights: ScoreWeights = STRATEGY_WEIGHTS
    asks_more: bool = False


CASES: Final[Mapping[str, Case]] = {
    "bare": Case(),
    "recorded": Case(decisions_max=20_000),
    "all weights": Case(weights=_ALL_WEIGHTS),
    "asks more": Case(asks_more=True),
    "everything": Case(20_000, _ALL_WEIGHTS, asks_more=True),
}


class Floor:
    """An engine of one case, with its contacts."""

    def __init__(self, case: Case, agents: int, available_share: float) -> None:
        queues = min(100, agents // 10)
        population = Population(agents, queues, max(1, queues // 10), available_share)
        self.engine = Engine(Limits(agents_max=agents, decisions_max=case.decisions_max))
        populate(self.engine, population.queue_commands())
        populate(self.engine, population.agent_commands())
        self.now_ms = populate(self.engine, population.presence_commands())
        for queue in range(queues):
            definition = self.engine.read.queue(queue_id(queue)).definition
            self._apply(definition._replace(weights=case.weights, etag=""))
        # Contacts that an agent is found for, known once they are decided on.
        self.found = 0
        self.contacts = population.contacts(_CONTACTS)
        if case.asks_more:
            self.contacts = [_asking_more(contact) for contact in self.contacts]

    def decisions(self) -> Callable[[], int]:
        """
        A call that decides in the core, for every contact somebody can be found for; they wait from
        now on.
        """
        store = self.engine.cell.store
        queues = range(len(self.engine.cell.queues.slots))
        for queue in queues:
            self.engine.apply(SetIntake(queue_id(queue), Intake.PAUSED), self.now_ms)
        populate(self.engine, self.contacts)
        store.scalar[NOW_MS] = self.now_ms
        rows = [self.engine.cell.contact_row(contact.contact_id) for contact in self.contacts]
        found = [row for row in rows if decide_all(store.table, np.array([row])) >= 0]
        self.found = len(found)
        contacts = np.array(found)
        return lambda: decide_all(store.table, contacts)

    def _apply(self, command: UpsertQueue) -> None:
        self.engine.apply(command, self.now_ms)
        self.engine.take_group()

    def route(self, number: int) -> tuple[float, str]:
        """Seconds of one Route, and the agent found; it is undone."""
        command = self.contacts[number % _CONTACTS]._replace(contact_id=f"timed-{number}")
        begun_ns = time.perf_counter_ns()
        agent_id = self.engine.apply(command, self.now_ms).agent_id
        taken_s = (time.perf_counter_ns() - begun_ns) * 1e-9
        self.engine.apply(CancelContact(command.contact_id, CancelReason.WITHDRAWN), self.now_ms)
        self.engine.take_group()
        return taken_s, agent_id


def _asking_more(contact: Route) -> Route:
    """The same agents can take it, which takes more looking."""
    asked = contact.requirements._replace(
        tags_none=("trainee",), preferred_agent_ids=("agent-1", "agent-2")
    )
    steps = (
        RelaxationStep(30_000, contact.requirements),
        RelaxationStep(60_000, Requirements(), priority=5),
    )
    return contact._replace(requirements=asked, relaxation=steps)


def run(settings: Settings) -> list[Table]:
    """Measure every size."""
    pin(0)
    goals = Goals()
    in_core, commands = [], []
    for agents in settings.numbers("agents"):
        share = float(settings.value("available_share"))
        floors = {name: Floor(case, agents, share) for name, case in CASES.items()}
        seconds = _take_turns(floors, int(settings.value("routes")))
        commands.append(_row(agents, {name: [statistics.median(v)] for name, v in seconds.items()}))
        decisions = {name: floor.decisions() for name, floor in floors.items()}
        cases = {name: repeated(call) for name, call in decisions.items()}
        taken = compare(cases, settings.rounds, settings.round_s)
        found = floors["bare"].found
        core = {name: [value / found for value in values] for name, values in taken.items()}
        in_core.append(_row(agents, core))
        for name in ("recorded", "everything"):
            limit = settings.goals.get(name)
            if limit:
                what = f"decision in the core, {name}, {agents:,} agents"
                goals.at_most(what, limit, ratio(core[name], core["bare"]), "× bare")
    note = (
        "µs, median; × the bare one. 256 skills, 3 required at level 2. recorded: a decision "
        "record each; all weights: every term of the score counts; asks more: a tag ruled out, two "
        "preferred agents, two relaxation steps."
    )
    columns = ("agents", *CASES)
    return [
        Table("What features cost a decision in the core", columns, in_core, note),
        Table("The same, whole `Engine.apply(Route)`", columns, commands),
        goals.table(),
    ]


def _row(agents: int, seconds: Mapping[str, list[float]]) -> list[str]:
    bare = statistics.median(seconds["bare"])
    return [
        f"{agents:,}",
        *(
            f"{figure(values, 1e6)} (× {statistics.median(values) / bare:.2f})"
            for values in seconds.values()
        ),
    ]


def _take_turns(floors: Mapping[str, Floor], routes: int) -> dict[str, list[float]]:
    """Seconds of every Route by case; the first round of them must find the same."""
    seconds: dict[str, list[float]] = {name: [] for name in floors}
    for number in range(_CONTACTS):
        found = {name: floor.route(number)[1] for name, floor in floors.items()}
        assert found["bare"] == found["recorded"]
        assert bool(found["bare"]) == bool(found["everything"])
    gc.collect()
    gc.disable()
    try:
        for number in range(_CONTACTS, _CONTACTS + routes):
            for name, floor in floors.items():
                seconds[name].append(floor.route(number)[0])
    finally:
        gc.enable()
    return seconds
