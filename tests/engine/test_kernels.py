"""
Kernels that stand alone, each beside a slow twin; they run compiled and plain.

Links, bits and heaps are compared with lists, sets and sorting; matching and scoring with the
reference's floor, bit for bit.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numba import njit
from numpy.typing import NDArray

from engine import kernels
from engine.commands import (
    Requirements,
    Route,
    SetPresence,
    SkillPreference,
    SkillRequirement,
    UpsertAgent,
    UpsertQueue,
)
from engine.definitions import AgentSkill
from engine.kernels.bits import bit_count, has_bit, lowest_bit, set_bit
from engine.kernels.boundary import COMPILED
from engine.kernels.capacity import refresh_room
from engine.kernels.column_type import ColumnType
from engine.kernels.deadlines import reschedule
from engine.kernels.eligibility import (
    exclude,
    is_excluded,
    is_only_agent,
    meets_class,
    skilled_word,
)
from engine.kernels.matching import best_agent, best_contact
from engine.kernels.scoring import claim_of, fit, is_starving, score_agent, write_terms
from engine.kernels.side_columns import SCORE_TERMS
from engine.kernels.transitions import apply
from engine.kernels.waiting import join_class, leave_class, position_of
from engine.lifecycle import Channel, Presence, Strategy
from engine.limits import EXCLUSIONS_MAX, NEVER_MS, Limits
from engine.state.store import Store
from tests.engine import invariants
from tests.engine.comparing import Pair

AGENTS = 130
QUEUES = 70
CONTACTS = 90


def test_lowest_bit_and_bit_count_agree_with_arithmetic() -> None:
    """Both are single instructions when compiled; which bit is meant must not depend on that."""

    def both(word: np.uint64) -> tuple[int, int]:
        return lowest_bit(word), bit_count(word)

    called: Callable[[np.uint64], tuple[int, int]] = njit(error_model="numpy")(both)
    generator = np.random.default_rng(5)
    words = [1 << place for place in range(64)] + [(1 << 64) - 1]
    words += [int(word) for word in generator.integers(1, 1 << 63, 200)]
    for word in words:
        expected = bin(word)[::-1].index("1"), bin(word).count("1")
        assert called(np.uint64(word)) == expected


def test_set_bit_agrees_with_a_set() -> None:
    """A place beside the edge of a word is where a shift goes wrong."""
    bits = np.zeros(3, np.uint64)
    members: set[int] = set()
    generator = np.random.default_rng(6)
    for place in [0, 63, 64, 127, 128, 191, *generator.integers(0, 192, 300).tolist()]:
        is_member = bool(generator.random() < 0.6)
        set_bit(bits, place, is_member)
        members = members | {place} if is_member else members - {place}
        assert [row for row in range(192) if has_bit(bits, row)] == sorted(members)


def test_reschedule_agrees_with_sorting() -> None:
    """Deadlines come in order of time, then of row, however they were moved about."""
    rows = 40
    heap = np.full(rows, -1, np.int64)
    position = np.full(rows, -1, np.int64)
    due_ms = np.full(rows, NEVER_MS, np.int64)
    twin: dict[int, int] = {}
    count = 0
    generator = np.random.default_rng(7)
    for _ in range(1_500):
        row = int(generator.integers(rows))
        at_ms = NEVER_MS if generator.random() < 0.3 else int(generator.integers(12))
        due_ms[row] = at_ms
        count = reschedule(heap, position, due_ms, count, row)
        twin[row] = at_ms
        waiting = sorted((at_ms, row) for row, at_ms in twin.items() if at_ms < NEVER_MS)
        assert count == len(waiting)
        assert not waiting or heap[0] == waiting[0][1]
        invariants.check_heap(heap, due_ms, position, count)


@pytest.fixture
def store() -> Store:
    """Columns with two queues and three classes: two of the first queue, one of the second."""
    store = Store(Limits())
    queues, classes = store.columns.queues, store.columns.classes
    queues.intake[:2] = 1
    queues.priority_age_ms[:2] = 10
    classes.queue[:3] = (0, 0, 1)
    classes.priority[:3] = (0, 3, 0)
    return store


def test_join_and_leave_class_agree_with_sorted_lists(store: Store) -> None:
    """A contact that comes back stands where its age puts it, and place numbers follow."""
    columns = store.columns
    contacts = columns.contacts
    generator = np.random.default_rng(8)
    waiting: list[int] = []
    for sequence in range(600):
        row = int(generator.integers(40))
        if row in waiting:
            waiting.remove(row)
            leave_class(store.table, row)
        else:
            waiting.append(row)
            contacts.class_row[row] = generator.integers(3)
            contacts.queue[row] = columns.classes.queue[contacts.class_row[row]]
            contacts.since_ms[row] = generator.integers(60)
            contacts.sequence[row] = sequence
            join_class(store.table, row)
        for class_row in range(3):
            own = [one for one in waiting if contacts.class_row[one] == class_row]
            own.sort(key=lambda one: (contacts.since_ms[one], contacts.sequence[one]))
            assert _following(contacts.following, int(columns.classes.head[class_row])) == own
            assert columns.classes.waiting[class_row] == len(own)
        for one in waiting:
            assert position_of(store.table, one) == _place(store, waiting, one)


def _following(following: NDArray[np.int64], row: int) -> list[int]:
    rows = []
    while row >= 0:
        rows.append(row)
        row = int(following[row])
    return rows


def _place(store: Store, waiting: list[int], row: int) -> int:
    contacts, classes = store.columns.contacts, store.columns.classes

    def key(one: int) -> tuple[int, int]:
        worth_ms = int(classes.priority[contacts.class_row[one]]) * 10
        return int(contacts.since_ms[one]) - worth_ms, int(contacts.sequence[one])

    rivals = [one for one in waiting if contacts.queue[one] == contacts.queue[row]]
    return sorted(rivals, key=key).index(row) + 1


def test_exclude_keeps_the_entries_that_last_longest(store: Store) -> None:
    """With more failures than there is memory for, the one that ends first is forgotten."""
    generator = np.random.default_rng(9)
    places = EXCLUSIONS_MAX - 1
    twin: list[tuple[int, int]] = [(-1, 0)] * places
    for _ in range(300):
        agent, until_ms = int(generator.integers(12)), int(generator.integers(1, 50))
        exclude(store.table, 0, agent, until_ms)
        own = [place for place, entry in enumerate(twin) if entry[0] == agent]
        soonest = min(range(places), key=lambda place: (twin[place][1], place))
        twin[own[0] if own else soonest] = agent, until_ms
        for other in range(12):
            expected = any(entry[0] == other and entry[1] > 20 for entry in twin)
            assert is_excluded(store.table, 0, other, 20) == expected


@pytest.fixture
def crowd() -> Pair:
    """Many agents, queues and waiting contacts of every kind, over several words of every set."""
    pair = Pair()
    generator = np.random.default_rng(10)
    skills, tags = ("s0", "s1", "s2"), ("t0", "t1")
    for number in range(QUEUES):
        strategy = list(Strategy)[number % 4]
        within_ms = int(generator.choice((10_000, 20_000)))
        pair.apply(
            UpsertQueue(f"q{number}", strategy=strategy, service_level_within_ms=within_ms), 1_000
        )
    for number in range(AGENTS):
        served = np.flatnonzero(generator.random(QUEUES) < 0.4)
        levels = generator.integers(0, 6, len(skills)).tolist()
        held = tuple(AgentSkill(skill, level) for skill, level in zip(skills, levels, strict=True))
        agent = UpsertAgent(
            f"a{number}",
            queue_ids=tuple(f"q{queue}" for queue in served),
            skills=held,
            tags=tags[: int(generator.integers(3))],
            capacity=int(generator.integers(1, 4)),
        )
        pair.apply(agent, 1_000)
        pair.apply(SetPresence(f"a{number}", Presence.BUSY), 1_000)
    for number in range(CONTACTS):
        required = tuple(
            SkillRequirement(skill, int(generator.integers(1, 4)))
            for skill in skills
            if generator.random() < 0.3
        )
        preferred = (SkillPreference("s1", 0.7),) if generator.random() < 0.3 else ()
        wanted = tags[: int(generator.integers(2))]
        any_of = tags if generator.random() < 0.2 else ()
        none_of = tags[1:] if generator.random() < 0.2 else ()
        named = generator.integers(AGENTS, size=5) if generator.random() < 0.2 else ()
        only = tuple({f"a{int(agent)}": None for agent in named})
        pair.apply(
            Route(
                f"c{number}",
                f"q{int(generator.integers(QUEUES))}",
                Channel.CHAT,
                int(generator.integers(3)),
                Requirements(required, preferred, wanted, any_of, none_of, only),
            ),
            1_000 + 37 * int(number),
        )
    _sit_down(pair, generator)
    return pair


def _sit_down(pair: Pair, generator: np.random.Generator) -> None:
    """Half of the agents become available, with some contacts passing them over; nobody matches."""
    floor, store = pair.reference.floor, pair.engine.cell.store
    agents = floor.agents_by_row()
    for agent in agents:
        if generator.random() < 0.5:
            agent.presence = Presence.AVAILABLE
            store.columns.agents.presence[agent.row] = Presence.AVAILABLE
        agent.idle_since_ms = int(generator.integers(1_000))
        store.columns.agents.idle_since_ms[agent.row] = agent.idle_since_ms
        refresh_room(store.table, agent.row)
    for contact in floor.contacts.values():
        for entry in contact.passed_over[: int(generator.integers(EXCLUSIONS_MAX - 1))]:
            agent = agents[int(generator.integers(AGENTS))]
            entry.agent_id, entry.until_ms = agent.agent_id, 1 << 40
            exclude(store.table, contact.row, agent.row, entry.until_ms)


def test_best_agent_agrees_with_the_reference(crowd: Pair) -> None:
    """One pick in a million that differs would be a contact with the wrong agent."""
    floor, table = crowd.reference.floor, crowd.engine.cell.store.table
    picks = set()
    for contact in floor.contacts.values():
        expected = floor.best_agent(contact)
        picks.add(expected.row if expected else -1)
        assert best_agent(table, contact.row) == (expected.row if expected else -1)
    assert len(picks) > 10


def test_best_contact_agrees_with_the_reference(crowd: Pair) -> None:
    """The head of a class bounds it, so that a freed agent looks at few: the pick is the same."""
    floor, table = crowd.reference.floor, crowd.engine.cell.store.table
    picks = set()
    for agent in floor.agents.values():
        expected = floor.best_contact(agent)
        picks.add(expected.row if expected else -1)
        assert best_contact(table, agent.row) == (expected.row if expected else -1)
    assert len(picks) > 10


def test_eligibility_agrees_with_the_reference(crowd: Pair) -> None:
    """Filtering by sets, by one agent's columns and by definition are three ways to one answer."""
    floor, store = crowd.reference.floor, crowd.engine.cell.store
    words = store.columns.bitsets.free_agents.shape[1]
    everybody = np.uint64((1 << 64) - 1)
    for contact in list(floor.contacts.values())[:30]:
        class_row = int(store.columns.contacts.class_row[contact.row])
        suited = np.array(
            [skilled_word(store.table, class_row, word, everybody) for word in range(words)],
            np.uint64,
        )
        for agent in floor.agents.values():
            meets = agent.meets(contact)
            assert has_bit(suited, agent.row) == meets
            may_take = meets and agent.has_room(contact.channel)
            # Of the class only: serving its queue is asked before.
            serves = contact.queue_id in agent.definition.queue_ids
            assert (meets_class(store.table, agent.row, class_row) and serves) == may_take
            is_only = floor.is_only_agent(contact, agent)
            assert is_only_agent(store.table, contact.row, agent.row) == is_only


def test_score_and_claim_agree_with_the_reference_bit_for_bit(crowd: Pair) -> None:
    """A replay repeats a live day only if scores are the same numbers, not nearly the same."""
    floor, store = crowd.reference.floor, crowd.engine.cell.store
    for alike in floor.waiting.values():
        class_row = int(store.columns.contacts.class_row[alike[0].row])
        for agent in floor.agents_by_row()[::7]:
            assert score_agent(store.table, agent.row, class_row) == floor.score(agent, alike[0])
            starves, claim = floor.claim(agent, alike[0])
            its_fit = fit(store.table, agent.row, class_row)
            assert is_starving(store.table, alike[0].row) == starves
            assert claim_of(store.table, alike[0].row, its_fit) == claim


def test_terms_sum_up_to_the_score(crowd: Pair) -> None:
    """Two ways to one formula; rounding alone may differ."""
    floor, store = crowd.reference.floor, crowd.engine.cell.store
    term = np.zeros(SCORE_TERMS)
    for alike in list(floor.waiting.values())[:20]:
        class_row = int(store.columns.contacts.class_row[alike[0].row])
        for agent in floor.agents_by_row()[::5]:
            write_terms(store.table, agent.row, class_row, term, 0)
            assert term.sum() == pytest.approx(floor.score(agent, alike[0]), abs=1e-12)


# Modules whose kernels other entries call: rows of the log, and simulated floors.
NOT_OF_TRANSITIONS = (
    "packing", "drawing", "distributions", "arrivals", "deeds", "callers", "handling", "staffing",
    "overflowing", "measuring", "floor_events", "simulated_time",
)  # fmt: skip


def _all_kernels() -> Iterator[tuple[str, object]]:
    for module_info in pkgutil.iter_modules(kernels.__path__):
        module = importlib.import_module(f"engine.kernels.{module_info.name}")
        for name, value in vars(module).items():
            if callable(value) and getattr(value, "__module__", "") == module.__name__:
                yield f"{module_info.name}.{name}", value


def test_each_kernel_is_compiled_for_one_signature() -> None:
    """Every further signature compiles all it calls again: 75 kernels once took 78 s that way."""
    found = dict(_all_kernels())
    if not COMPILED:
        assert not [name for name, value in found.items() if hasattr(value, "nopython_signatures")]
        assert found["matching.best_agent"] is best_agent
        return
    signatures = {
        name: [
            any(isinstance(argument, ColumnType) for argument in signature.args)
            for signature in value.nopython_signatures
        ]
        for name, value in found.items()
        if hasattr(value, "nopython_signatures")
    }
    assert len(signatures) > 90
    # Kernels pass columns on, the tests of heaps plain arrays.
    for is_of_columns in (True, False):
        counts = {name: of_kernel.count(is_of_columns) for name, of_kernel in signatures.items()}
        assert {name: count for name, count in counts.items() if count > 1} == {}
    # Whoever loads the entry from the cache compiles nothing that it calls; whoever compiled it,
    # compiled every kernel of the transitions.
    if apply.stats.cache_misses:  # type: ignore[attr-defined]
        idle = {name for name, of_kernel in signatures.items() if not of_kernel}
        assert {name for name in idle if name.partition(".")[0] not in NOT_OF_TRANSITIONS} == set()
