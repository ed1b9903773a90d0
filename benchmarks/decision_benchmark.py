"""
One decision: the best of many agents for a contact, by the engine and by plainer means.

Every way is asked for the same contacts and must name the same agents before it is timed. The
plain ways get what they need ready-made: whether each agent has room, whom it serves, its levels
and since when it is idle. They know the strategy LONGEST_IDLE only and no ties.
"""

import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from benchmarks.population import Population, populate, queue_id
from benchmarks.settings import Settings
from benchmarks.tables import Goals, Table, figure, ratio
from benchmarks.timing import compare, one_by_one, percentile, pin, repeated
from engine.commands import CancelContact, Route, SetIntake
from engine.engine import Engine
from engine.kernels.boundary import Table as AddressTable
from engine.kernels.boundary import bind, open_cell
from engine.kernels.columns import NOW_MS
from engine.kernels.matching import best_agent
from engine.kernels.requests import IN_CONTACT
from engine.lifecycle import CancelReason, Channel, Intake
from engine.limits import Limits

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

_CONTACTS: Final = 64
_MINUTE_MS: Final = 60_000.0
_APPLIED: Final = 2_000
_PYTHON_AGENTS_MAX: Final = 10_000


@njit(cache=True, error_model="numpy")
def decide(table: AddressTable, contacts: NDArray[np.int64], chosen: NDArray[np.int64]) -> None:
    """Choose an agent for each contact with the engine's own kernel."""
    for place in range(contacts.shape[0]):
        chosen[place] = best_agent(table, contacts[place])


@njit(cache=True, error_model="numpy")
def decide_one(table: AddressTable) -> int:
    """Choose an agent for the contact named in the request."""
    return best_agent(table, open_cell(table).request[IN_CONTACT])


@njit(cache=True, error_model="numpy")
def scan(
    now_ms: int,
    floor: tuple[NDArray[Any], ...],
    asked: tuple[NDArray[np.int64], ...],
    chosen: NDArray[np.int64],
) -> None:
    """Choose an agent for each contact by looking at every agent."""
    has_room, serves, level, idle_since_ms = floor
    queues, skills, levels = asked
    for place in range(queues.shape[0]):
        best = -1
        best_score = -np.inf
        for agent in range(has_room.shape[0]):
            if not has_room[agent] or not serves[agent, queues[place]]:
                continue
            is_skilled = True
            for item in range(skills.shape[1]):
                if level[agent, skills[place, item]] < levels[place, item]:
                    is_skilled = False
                    break
            if not is_skilled:
                continue
            score = math.log(1.0 + (now_ms - idle_since_ms[agent]) / _MINUTE_MS)
            if score > best_score:
                best = agent
                best_score = score
        chosen[place] = best


@dataclass(frozen=True, slots=True)
class Floor:
    """
    A populated engine with waiting contacts, and the same in the form the plain ways want.

    Attributes
    ----------
    contact_rows
        (contacts,), rows of the waiting contacts.
    agents
        Has room (agents,), serves (agents, queues), level (agents, skills) and idle since (agents,)
        in milliseconds.
    asked
        Queue row (contacts,), skill numbers and levels (contacts, 3).
    """

    engine: Engine
    now_ms: int
    contacts: list[Route]
    contact_rows: NDArray[np.int64]
    agents: tuple[NDArray[Any], ...]
    asked: tuple[NDArray[np.int64], ...]


def make_floor(agents: int, available_share: float) -> Floor:
    """A floor with a queue per ten agents, 100 at most, of which each agent serves a tenth."""
    queues = min(100, agents // 10)
    population = Population(agents, queues, max(1, queues // 10), available_share)
    engine = Engine(Limits(agents_max=agents))
    populate(engine, population.queue_commands())
    populate(engine, population.agent_commands())
    # Paused, so that contacts wait although agents are free.
    populate(engine, _intakes(queues, Intake.PAUSED))
    populate(engine, population.presence_commands())
    contacts = population.contacts(_CONTACTS)
    known = [item for item in contacts if _is_known(engine, item)]
    now_ms = populate(engine, known)
    rows = np.array([engine.cell.contacts.slots.row_of(item.contact_id) for item in known])
    return Floor(engine, now_ms, known, rows, _agents_of(engine), _asked_of(engine, known))


def numpy_decision(floor: Floor) -> Callable[[int], int]:
    """Choose by masks over all agents; returns place of the contact -> agent."""
    has_room, serves, level, idle_since_ms = floor.agents
    queues, skills, levels = floor.asked

    def decide_by_masks(place: int) -> int:
        found = np.flatnonzero(has_room & serves[:, queues[place]])
        for skill, least in zip(skills[place], levels[place], strict=True):
            found = found[level[found, skill] >= least]
        if not len(found):
            return -1
        score = np.log(1.0 + (floor.now_ms - idle_since_ms[found]) / _MINUTE_MS)
        return int(found[score.argmax()])

    return decide_by_masks


def python_decision(floor: Floor) -> Callable[[int], int]:
    """Choose in a loop over dictionaries; returns place of the contact -> agent."""
    has_room, serves, level, idle_since_ms = floor.agents
    agents = [
        (
            bool(has_room[agent]),
            frozenset(np.flatnonzero(serves[agent]).tolist()),
            {skill: int(level[agent, skill]) for skill in np.flatnonzero(level[agent]).tolist()},
            int(idle_since_ms[agent]),
        )
        for agent in range(len(has_room))
    ]
    queues = floor.asked[0].tolist()
    items = [
        list(zip(skills, levels, strict=True))
        for skills, levels in zip(floor.asked[1].tolist(), floor.asked[2].tolist(), strict=True)
    ]

    def decide_in_python(place: int) -> int:
        queue, asked = queues[place], items[place]
        best, best_score = -1, -math.inf
        for row, (is_free, served, held, since_ms) in enumerate(agents):
            if not is_free or queue not in served:
                continue
            if any(held.get(skill, 0) < least for skill, least in asked):
                continue
            score = math.log(1.0 + (floor.now_ms - since_ms) / _MINUTE_MS)
            if score > best_score:
                best, best_score = row, score
        return best

    return decide_in_python


def run(settings: Settings) -> list[Table]:
    """Measure every size."""
    pin(0)
    goals = Goals()
    rows = []
    seconds: dict[str, list[float]] = {}
    for agents in settings.numbers("agents"):
        for available_share in settings.shares("available_share"):
            floor = make_floor(agents, available_share)
            seconds = _compare(floor, settings)
            applied = _apply_routes(floor)
            rows.append(_row(floor, agents, available_share, seconds, applied))
            limit = settings.goals.get(f"agents_{agents}")
            if limit and available_share < 0.1:
                what = f"decision in the core, {agents:,} agents, 256 skills, 5 % available"
                goals.at_most(what, limit, [value * 1e6 for value in seconds["kernel"]], "µs")
    columns = (
        "agents", "available", "eligible", "kernel", "same, called from Python", "Numba scan",
        "NumPy masks", "Python loop", "Engine.apply(Route) p50 / p99", "same, group sealed",
    )  # fmt: skip
    note = (
        "µs per decision, × how often the kernel goes into it. 256 skills, 3 required at level 2; "
        "eligible: mean number of available agents that meet a contact. The last two columns are "
        "whole commands: refusals, ids, offer, effects; and their share of `take_group` in groups "
        "of 32."
    )
    return [Table("Best agent for a contact", columns, rows, note), goals.table()]


def _compare(floor: Floor, settings: Settings) -> dict[str, list[float]]:
    store = floor.engine.cell.store
    count = len(floor.contact_rows)
    chosen = np.empty(count, np.int64)
    call_one = bind(decide_one, store.table)
    request = store.request
    by_masks = numpy_decision(floor)
    by_python = python_decision(floor) if len(floor.agents[0]) <= _PYTHON_AGENTS_MAX else None
    _assert_all_agree(floor, by_masks, by_python)
    places = cycle(range(count))
    contacts = cycle(floor.contact_rows.tolist())

    def from_python() -> None:
        request[IN_CONTACT] = next(contacts)
        call_one()

    cases = {
        "kernel": repeated(lambda: decide(store.table, floor.contact_rows, chosen)),
        "scan": repeated(lambda: scan(floor.now_ms, floor.agents, floor.asked, chosen)),
        "called": repeated(from_python),
        "numpy": repeated(lambda: by_masks(next(places))),
    }
    if by_python is not None:
        cases["python"] = repeated(lambda: by_python(next(places)))
    seconds = compare(cases, settings.rounds, settings.round_s)
    for name in ("kernel", "scan"):
        seconds[name] = [value / count for value in seconds[name]]
    return seconds


def _assert_all_agree(
    floor: Floor, by_masks: Callable[[int], int], by_python: Callable[[int], int] | None
) -> None:
    store = floor.engine.cell.store
    store.scalar[NOW_MS] = floor.now_ms
    chosen = np.empty(len(floor.contact_rows), np.int64)
    decide(store.table, floor.contact_rows, chosen)
    scanned = np.empty_like(chosen)
    scan(floor.now_ms, floor.agents, floor.asked, scanned)
    assert chosen.tolist() == scanned.tolist()
    places = range(len(chosen))
    assert chosen.tolist() == [by_masks(place) for place in places]
    assert by_python is None or chosen.tolist() == [by_python(place) for place in places]


def _apply_routes(floor: Floor) -> tuple[list[float], float]:
    """
    Whole Route commands, each undone by a cancel: sorted seconds, and mean seconds of sealing.

    The first round of them must be offered to the agents the scan names.
    """
    engine = floor.engine
    populate(engine, (CancelContact(c.contact_id, CancelReason.WITHDRAWN) for c in floor.contacts))
    now_ms = populate(engine, _intakes(len(engine.cell.queues.slots), Intake.OPEN))
    expected = np.empty(len(floor.contacts), np.int64)
    scan(now_ms, floor.agents, floor.asked, expected)
    commands = [
        floor.contacts[number % len(floor.contacts)]._replace(contact_id=f"applied-{number}")
        for number in range(_APPLIED)
    ]
    names = engine.cell.agents.slots.ids

    def apply(number: int) -> None:
        agent = engine.apply(commands[number], now_ms).agent_id
        wanted = expected[number % len(expected)]
        assert agent == (names[wanted] if wanted >= 0 else "")

    def undo(number: int) -> None:
        contact_id = commands[number].contact_id
        engine.apply(CancelContact(contact_id, CancelReason.WITHDRAWN), now_ms)
        engine.take_group()

    taken = one_by_one(apply, undo, _APPLIED)
    return taken, _time_sealing(engine, commands, now_ms)


def _time_sealing(engine: Engine, commands: list[Route], now_ms: int) -> float:
    """Seconds per Route of `take_group`, in groups of 32."""
    sealed = []
    for first in range(0, 512, 32):
        group = [
            command._replace(contact_id=f"sealed-{first}-{place}")
            for place, command in enumerate(commands[first : first + 32])
        ]
        for command in group:
            engine.apply(command, now_ms)
        sealed += one_by_one(lambda _: engine.take_group(), lambda _: None, 1)
        for command in group:
            engine.apply(CancelContact(command.contact_id, CancelReason.WITHDRAWN), now_ms)
        engine.take_group()
    return statistics.median(sealed) / 32


def _row(
    floor: Floor,
    agents: int,
    available_share: float,
    seconds: dict[str, list[float]],
    applied: tuple[list[float], float],
) -> list[str]:
    kernel = seconds["kernel"]

    def against(name: str) -> str:
        if name not in seconds:
            return "not run"
        times = statistics.median(ratio(seconds[name], kernel))
        return f"{figure(seconds[name], 1e6)} (× {times:,.0f})"

    taken, sealing_s = applied
    return [
        f"{agents:,}",
        f"{available_share:.0%}",
        f"{_eligible(floor):.1f}",
        figure(kernel, 1e6),
        figure(seconds["called"], 1e6),
        against("scan"),
        against("numpy"),
        against("python"),
        f"{percentile(taken, 0.5) * 1e6:.1f} / {percentile(taken, 0.99) * 1e6:.1f}",
        f"{sealing_s * 1e6:.1f}",
    ]


def _eligible(floor: Floor) -> float:
    """Mean number of agents that could take a contact."""
    has_room, serves, level, _ = floor.agents
    counts = []
    for queue, skills, levels in zip(*floor.asked, strict=True):
        meets = (level[:, skills] >= levels).all(axis=1)
        counts.append(int((has_room & serves[:, queue] & meets).sum()))
    return statistics.fmean(counts)


def _agents_of(engine: Engine) -> tuple[NDArray[Any], ...]:
    columns = engine.cell.store.columns
    agents = len(engine.cell.agents.slots.ids)
    queues = len(engine.cell.queues.slots.ids)
    free = columns.bitsets.free_agents[Channel.VOICE].view(np.uint8)
    has_room = np.unpackbits(free, bitorder="little")[:agents].astype(np.bool_)
    served = columns.bitsets.agent_queues[:agents].view(np.uint8)
    serves = np.unpackbits(served, axis=1, bitorder="little")[:, :queues].astype(np.bool_)
    level = columns.agents.proficiency[:agents].copy()
    return has_room, serves, level, columns.agents.idle_since_ms[:agents].copy()


def _asked_of(engine: Engine, contacts: list[Route]) -> tuple[NDArray[np.int64], ...]:
    numbers = engine.cell.names.skills.number_of
    queues = [engine.cell.queues.slots.row_of(contact.queue_id) for contact in contacts]
    asked = [contact.requirements.skills for contact in contacts]
    skills = [[numbers(item.skill) for item in items] for items in asked]
    levels = [[item.proficiency_min for item in items] for items in asked]
    return np.array(queues), np.array(skills), np.array(levels)


def _is_known(engine: Engine, contact: Route) -> bool:
    """Whether some agent holds every skill asked for; on a small floor, not always."""
    skills = contact.requirements.skills
    return all(engine.cell.names.skills.number_of(item.skill) >= 0 for item in skills)


def _intakes(queues: int, intake: Intake) -> Iterator[SetIntake]:
    return (SetIntake(queue_id(queue), intake) for queue in range(queues))


def test_best_agent(benchmark: "BenchmarkFixture") -> None:
    """For `pytest benchmarks/decision_benchmark.py`: 64 decisions among 10,000 agents."""
    floor = make_floor(10_000, 0.05)
    _assert_all_agree(floor, numpy_decision(floor), None)
    chosen = np.empty(len(floor.contact_rows), np.int64)
    benchmark(decide, floor.engine.cell.store.table, floor.contact_rows, chosen)
