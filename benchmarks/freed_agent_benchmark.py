"""
A freed agent: the best of many waiting contacts, by the engine and by a scan over all of them.

10,000 queues, of which each of 32 agents serves 500, and holds half of the skills. Every contact
asks for one skill. With 100 classes all of them lie in queues that every agent serves; with 10,000
there is one per queue, so that an agent meets 500, half of which it has no skill for.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from benchmarks.population import START_MS, populate, queue_id, skill_name
from benchmarks.settings import Settings
from benchmarks.tables import Goals, Table, figure, ratio
from benchmarks.timing import compare, median_of, one_by_one, percentile, pin, repeated
from engine.commands import (
    AcceptOffer,
    CompleteAssignment,
    Requirements,
    Route,
    SetPresence,
    SkillRequirement,
    UpsertAgent,
    UpsertQueue,
)
from engine.definitions import AgentSkill
from engine.engine import Engine
from engine.kernels.boundary import Table as AddressTable
from engine.kernels.columns import NOW_MS
from engine.kernels.matching import best_contact
from engine.lifecycle import Channel, ContactState, Presence
from engine.limits import DAY_MS, SKILLS_MAX, Limits

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

_QUEUES: Final = 10_000
_SERVED: Final = 500
_AGENTS: Final = 32
_ARRIVALS_PER_MS: Final = 8
_FREED: Final = 500


@njit(cache=True, error_model="numpy")
def choose(table: AddressTable, agents: NDArray[np.int64], chosen: NDArray[np.int64]) -> None:
    """Choose a contact for each agent with the engine's own kernel."""
    for place in range(agents.shape[0]):
        chosen[place] = best_contact(table, agents[place])


@njit(cache=True, error_model="numpy")
def scan(
    agents: NDArray[np.int64],
    offered: tuple[NDArray[Any], ...],
    waiting: tuple[NDArray[Any], ...],
    claim_per_ms: NDArray[np.float64],
    chosen: NDArray[np.int64],
) -> None:
    """Choose a contact for each agent by looking at every contact."""
    serves, level = offered
    states, queues, skills, ages_ms = waiting
    for place in range(agents.shape[0]):
        agent = agents[place]
        best = -1
        best_claim = -np.inf
        for contact in range(states.shape[0]):
            queue = queues[contact]
            if states[contact] != 1 or not serves[agent, queue]:
                continue
            if level[agent, skills[contact]] == 0:
                continue
            claim = ages_ms[contact] * claim_per_ms[queue]
            # Rows are in order of arrival, so the first of equals is the right one.
            if claim > best_claim:
                best = contact
                best_claim = claim
        chosen[place] = best


@dataclass(frozen=True, slots=True)
class Backlog:
    """
    An engine with waiting contacts and agents who take none yet, and the same for the scan.

    Attributes
    ----------
    offered
        What agents serve (agents, queues) and hold (agents, skills).
    waiting
        State, queue row, skill and age in milliseconds, (contacts,) each.
    """

    engine: Engine
    agent_rows: NDArray[np.int64]
    offered: tuple[NDArray[Any], ...]
    waiting: tuple[NDArray[Any], ...]


def make_backlog(contacts: int, classes: int) -> Backlog:
    """Contacts spread over classes at random, in order of arrival."""
    engine = Engine(Limits())
    draw = np.random.default_rng(1)
    populate(engine, _queues(draw))
    busy = draw.permutation(_QUEUES)[:classes]
    shared = busy if classes <= _SERVED else busy[:0]
    populate(engine, _agents(draw, shared))
    store = engine.cell.store
    store.require("contacts", contacts)
    now_ms = max(engine.now_ms(), START_MS)
    for number, chosen in enumerate(draw.integers(0, classes, contacts).tolist()):
        now_ms += number % _ARRIVALS_PER_MS == 0
        engine.apply(_contact(number, int(busy[chosen])), now_ms)
        if number % 512 == 511:
            engine.take_group()
    engine.take_group()
    columns = store.columns
    rows = np.arange(_AGENTS)
    # Set past the engine: told properly, each agent would be offered a contact at once.
    columns.agents.presence[rows] = Presence.AVAILABLE
    served = columns.bitsets.agent_queues[rows].view(np.uint8)
    serves = np.unpackbits(served, axis=1, bitorder="little")[:, :_QUEUES].astype(np.bool_)
    known = columns.contacts.class_row[:contacts]
    skills = columns.requirements.skill[columns.classes.requirement[known], 0]
    waiting = (
        columns.contacts.state[:contacts].copy(),
        columns.contacts.queue[:contacts].copy(),
        skills,
        store.scalar[NOW_MS] - columns.contacts.since_ms[:contacts],
    )
    return Backlog(engine, rows, (serves, columns.agents.proficiency[rows]), waiting)


def run(settings: Settings) -> list[Table]:
    """Measure every size."""
    pin(0)
    goals = Goals()
    rows = []
    for contacts in settings.numbers("contacts"):
        for classes in settings.numbers("classes"):
            if classes > contacts:
                continue
            backlog = make_backlog(contacts, classes)
            seconds = _compare(backlog, settings)
            times = median_of(ratio(seconds["scan"], seconds["kernel"]))
            taken = _free_agents(backlog)
            rows.append(
                [
                    f"{contacts:,}",
                    f"{classes:,}",
                    figure(seconds["kernel"], 1e6),
                    f"{figure(seconds['scan'], 1e6)} (× {times:,.0f})",
                    f"{percentile(taken, 0.5) * 1e6:.1f} / {percentile(taken, 0.99) * 1e6:.1f}",
                ]
            )
            limit = settings.goals.get(f"contacts_{contacts}")
            if limit:
                what = f"freed agent, {contacts:,} waiting contacts, {classes:,} classes"
                goals.at_most(what, limit, [value * 1e6 for value in seconds["kernel"]], "µs")
    columns = (
        "waiting", "classes", "kernel", "Numba scan", "Engine.apply(CompleteAssignment) p50 / p99",
    )  # fmt: skip
    note = (
        "µs per freed agent, × how often the kernel goes into the scan. The last column is the "
        "whole command, with the offer of the next contact it leads to."
    )
    return [Table("Best waiting contact for a freed agent", columns, rows, note), goals.table()]


def _compare(backlog: Backlog, settings: Settings) -> dict[str, list[float]]:
    store = backlog.engine.cell.store
    agents = backlog.agent_rows
    chosen, scanned = np.empty(len(agents), np.int64), np.empty(len(agents), np.int64)
    claim_per_ms = store.columns.queues.per_target_ms

    def choose_by_scan() -> None:
        scan(agents, backlog.offered, backlog.waiting, claim_per_ms, scanned)

    choose(store.table, agents, chosen)
    choose_by_scan()
    assert chosen.tolist() == scanned.tolist()
    assert (chosen >= 0).all()
    cases = {
        "kernel": repeated(lambda: choose(store.table, agents, chosen)),
        "scan": repeated(choose_by_scan),
    }
    seconds = compare(cases, settings.rounds, settings.round_s)
    return {name: [value / len(agents) for value in values] for name, values in seconds.items()}


def _free_agents(backlog: Backlog) -> list[float]:
    """Seconds of single completions, sorted; each frees an agent who is offered the next one."""
    engine = backlog.engine
    columns = engine.cell.store.columns
    columns.agents.presence[backlog.agent_rows] = Presence.OFFLINE
    now_ms = engine.now_ms() + 1
    engine.apply(SetPresence("agent-0", Presence.AVAILABLE), now_ms)
    held = [_accept_offered(engine, now_ms)]
    count = min(_FREED, int(columns.queues.waiting.sum()) // 4)

    def complete(_: int) -> None:
        engine.apply(CompleteAssignment(held[0], "agent-0"), now_ms)

    def accept_next(_: int) -> None:
        engine.take_group()
        held[0] = _accept_offered(engine, now_ms)

    return one_by_one(complete, accept_next, count)


def _accept_offered(engine: Engine, now_ms: int) -> str:
    """Accept the one offer that agent 0 has; returns the contact."""
    columns = engine.cell.store.columns
    row = int(columns.agents.first_contact[0])
    assert columns.contacts.state[row] == ContactState.OFFERED
    contact_id = engine.cell.contacts.slots.ids[row]
    view = engine.read.contact(contact_id, now_ms)
    engine.apply(AcceptOffer(view.offer_id, "agent-0"), now_ms)
    return contact_id


def _queues(draw: np.random.Generator) -> list[UpsertQueue]:
    within_ms = draw.integers(10, 90, _QUEUES) * 1_000
    return [
        UpsertQueue(
            queue_id=queue_id(queue),
            service_level_within_ms=int(within_ms[queue]),
            max_wait_ms=DAY_MS,
            offer_timeout_ms=DAY_MS,
        )
        for queue in range(_QUEUES)
    ]


def _agents(draw: np.random.Generator, shared: NDArray[np.int64]) -> list[UpsertAgent]:
    """Agents who all serve the shared queues, and others at random."""
    others = np.setdiff1d(np.arange(_QUEUES), shared)
    agents = []
    for number in range(_AGENTS):
        served = [*shared, *draw.choice(others, _SERVED - len(shared), replace=False)]
        held = draw.permutation(SKILLS_MAX)[: SKILLS_MAX // 2]
        agents.append(
            UpsertAgent(
                agent_id=f"agent-{number}",
                queue_ids=tuple(queue_id(queue) for queue in served),
                skills=tuple(AgentSkill(skill_name(skill), 3) for skill in held),
            )
        )
    return agents


def _contact(number: int, queue: int) -> Route:
    skill = SkillRequirement(skill_name(queue % SKILLS_MAX))
    return Route(f"c{number}", queue_id(queue), Channel.VOICE, 0, Requirements((skill,)))


def test_best_contact(benchmark: "BenchmarkFixture") -> None:
    """For `pytest benchmarks/freed_agent_benchmark.py`: 32 agents, 100,000 waiting contacts."""
    backlog = make_backlog(100_000, 10_000)
    chosen = np.empty(_AGENTS, np.int64)
    benchmark(choose, backlog.engine.cell.store.table, backlog.agent_rows, chosen)
    assert (chosen >= 0).all()
