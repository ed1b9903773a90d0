"""
What features cost a decision: the same contacts routed by engines that differ in what they do.

Every engine holds the same floor. A contact is routed, timed as a whole command, and cancelled; the
engines take turns contact by contact, so that a busy spell of the machine hits them alike.
"""

import gc
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.population import Population, populate, queue_id
from benchmarks.settings import Settings
from benchmarks.tables import Goals, Table
from benchmarks.timing import pin
from engine.commands import (
    STRATEGY_WEIGHTS,
    CancelContact,
    RelaxationStep,
    Requirements,
    Route,
    ScoreWeights,
    UpsertQueue,
)
from engine.engine import Engine
from engine.lifecycle import CancelReason
from engine.limits import Limits

_CONTACTS: Final = 64
_ALL_WEIGHTS: Final = ScoreWeights(
    skill=0.5, handle_time=1.0, outcome=0.5, idle=0.1, load=0.2, turn=0.1, versatility=1.0,
    occupancy=0.2, urgency=1.0, lateness=0.1,
)  # fmt: skip


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
        self.contacts = population.contacts(_CONTACTS)
        if case.asks_more:
            self.contacts = [_asking_more(contact) for contact in self.contacts]

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
    rows = []
    for agents in settings.numbers("agents"):
        share = float(settings.value("available_share"))
        floors = {name: Floor(case, agents, share) for name, case in CASES.items()}
        seconds = _take_turns(floors, int(settings.value("routes")))
        medians = {name: statistics.median(values) for name, values in seconds.items()}
        rows.append([
            f"{agents:,}",
            *(f"{value * 1e6:.1f} (× {value / medians['bare']:.2f})" for value in medians.values()),
        ])  # fmt: skip
        for name, goal in (("recorded", "recorded"), ("everything", "everything")):
            limit = settings.goals.get(goal)
            if limit:
                times = [medians[name] / medians["bare"]]
                goals.at_most(f"Route, {name}, {agents:,} agents", limit, times, "× bare")
    note = (
        "µs per `Engine.apply(Route)`, median; × the bare one. 256 skills, 3 required at level 2. "
        "recorded: a decision record each; all weights: every term of the score counts; asks more: "
        "a tag ruled out, two preferred agents, two relaxation steps."
    )
    return [Table("What features cost", ("agents", *CASES), rows, note), goals.table()]


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
