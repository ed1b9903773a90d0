"""What a matching window assigns: the best there is, whatever the order of things."""

from collections.abc import Iterator, Sequence
from itertools import combinations, permutations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from engine.commands import (
    Expire,
    Requirements,
    Route,
    SetPresence,
    SkillPreference,
    SkillRequirement,
    UpsertAgent,
    UpsertQueue,
)
from engine.definitions import AgentSkill, ScoreWeights
from engine.engine import Engine
from engine.kernels.columns import OFFERS, WINDOW_BATCHES, WINDOW_CONTACTS, WINDOW_MATCHED
from engine.kernels.solving import VALUE_STEPS
from engine.lifecycle import (
    Channel,
    DecisionKind,
    Presence,
    QueueOrder,
    Strategy,
)
from engine.limits import BATCH_CONTACTS_MAX, EFFECTS_PER_CALL
from tests.engine import invariants
from tests.engine.choices import SeededDraw
from tests.engine.comparing import Pair
from tests.engine.drawing import BY_NAME
from tests.engine.reference_batch import gathered, pair_of, ranks
from tests.engine.reference_floor import Floor
from tests.engine.reference_subjects import RefContact
from tests.engine.test_reference_machine import ROOMY, Run

WINDOW_MS = 500
SKILLS = ("french", "cards", "loans")
BEST_FIT = ScoreWeights(preferred_skills=1, skill=1, idle=0, load=0, versatility=0, occupancy=0)

# What happens to a crowd.
REST = (
    *("accept", "complete") * 6, "end_wrap_up", "decline", "cancel", "expire", "set_presence",
)  # fmt: skip

# Contacts with their agents, by id.
Assignment = list[tuple[str, str]]


def sign_in(engine: Engine | Pair, agent_id: str, **levels: int) -> None:
    """Define an agent who is available."""
    skills = tuple(AgentSkill(skill, level) for skill, level in levels.items())
    engine.apply(UpsertAgent(agent_id, queue_ids=("q",), skills=skills), 0)
    engine.apply(SetPresence(agent_id, Presence.AVAILABLE), 0)


def held_by(engine: Engine, *contact_ids: str) -> list[str]:
    """Agents that contacts are offered to, "" for none."""
    ids = engine.cell.agents.slots.ids
    views = (engine.read.contact(contact_id, engine.now_ms()) for contact_id in contact_ids)
    return [ids[view.agent_row] if view.agent_row >= 0 else "" for view in views]


def prefers(**weights: float) -> Requirements:
    """What asks for nothing, but suits some better than others."""
    preferred = (SkillPreference(skill, weight) for skill, weight in weights.items())
    return Requirements(preferred_skills=tuple(preferred))


@pytest.mark.parametrize(
    ("window_ms", "expected"),
    [(0, ["ann", ""]), (WINDOW_MS, ["bob", "ann"])],
)
def test_window_serves_two_where_greed_serves_one(window_ms: int, expected: list[str]) -> None:
    """The first suits Ann a little better; the second has nobody but Ann."""
    engine = Engine()
    engine.apply(UpsertQueue("q", weights=BEST_FIT, matching_window_ms=window_ms), 0)
    sign_in(engine, "ann", french=5, cards=2)
    sign_in(engine, "bob", cards=1)
    engine.apply(Route("c1", "q", Channel.VOICE, requirements=prefers(cards=1.0)), 1_000)
    french = Requirements(skills=(SkillRequirement("french", 3),))
    engine.apply(Route("c2", "q", Channel.VOICE, requirements=french), 1_100)
    engine.apply(Expire(), 1_000 + WINDOW_MS)
    assert held_by(engine, "c1", "c2") == expected


@pytest.mark.parametrize(
    ("window_ms", "expected"),
    [(0, ["ann", "bob"]), (WINDOW_MS, ["bob", "ann"])],
)
def test_window_finds_the_better_sum(window_ms: int, expected: list[str]) -> None:
    """Ann is a little better for the first, and much better for the second."""
    engine = Engine()
    engine.apply(UpsertQueue("q", weights=BEST_FIT, matching_window_ms=window_ms), 0)
    sign_in(engine, "ann", french=5, cards=3)
    sign_in(engine, "bob", french=1, cards=2)
    for number, asked in enumerate((prefers(cards=1.0), prefers(french=1.0))):
        engine.apply(
            Route(f"c{number}", "q", Channel.VOICE, requirements=asked), 1_000 + 100 * number
        )
    engine.apply(Expire(), 1_000 + WINDOW_MS)
    assert held_by(engine, "c0", "c1") == expected


def test_decision_tells_the_agent_that_another_contact_had_more_use_for() -> None:
    """Why not the best of all? The record says who that was, and what it was worth."""
    engine = Engine()
    engine.apply(UpsertQueue("q", weights=BEST_FIT, matching_window_ms=WINDOW_MS), 0)
    sign_in(engine, "ann", french=5, cards=3)
    sign_in(engine, "bob", french=1, cards=2)
    outcome = engine.apply(Route("c0", "q", Channel.VOICE, requirements=prefers(cards=1.0)), 1_000)
    held = engine.cell.decisions.view(outcome.decision)
    assert (held.kind, held.agent_id, held.eligible) == (DecisionKind.ROUTED, "", 2)
    engine.apply(Route("c1", "q", Channel.VOICE, requirements=prefers(french=1.0)), 1_100)
    engine.apply(Expire(), 1_500)
    made = engine.cell.decisions.view(engine.cell.decisions.latest_of("c0"))
    assert (made.kind, made.agent_id, made.runner_up_id) == (DecisionKind.WINDOW, "bob", "ann")
    assert made.terms is not None
    assert made.runner_up_terms is not None
    assert sum(made.runner_up_terms) > sum(made.terms)
    assert (made.eligible, made.waiting, made.wait_ms) == (2, 2, 500)


class Judge:
    """What assignments of a batch are compared by, as the floor stands when it is made."""

    def __init__(self, floor: Floor, batch: Sequence[RefContact]) -> None:
        self.contact_ids = [contact.contact_id for contact in batch]
        self.agent_ids = list(floor.agents)
        self.rank = dict(zip(self.contact_ids, ranks(floor, list(batch)), strict=True))
        self.worth = {
            (contact.contact_id, agent.agent_id): pair_of(floor, contact, agent)
            for contact in batch
            for agent in floor.takers(contact)
        }
        values = [value for _, value in self.worth.values()]
        self.tolerance = len(batch) * (max(values) - min(values)) / VALUE_STEPS + 1e-9

    def assignments(self) -> Iterator[Assignment]:
        """Every one there is."""
        for count in range(1, min(len(self.contact_ids), len(self.agent_ids)) + 1):
            for contacts in combinations(self.contact_ids, count):
                for agents in permutations(self.agent_ids, count):
                    pairs = list(zip(contacts, agents, strict=True))
                    if all(pair in self.worth for pair in pairs):
                        yield pairs

    def objective(self, pairs: Assignment) -> tuple[float, ...]:
        """Contacts in all and down to each rank, agents not to be spared, and the sum of values."""
        placed = [self.rank[contact_id] for contact_id, _ in pairs]
        least = range(max(self.rank.values()), 0, -1)
        by_rank = (sum(own >= rank for own in placed) for rank in least)
        worth = [self.worth[pair] for pair in pairs]
        spared, values = sum(worn for worn, _ in worth), sum(value for _, value in worth)
        return (len(pairs), *by_rank, -spared, values)


@pytest.mark.parametrize("seed", range(60))
def test_batch_is_the_best_of_all_assignments(seed: int) -> None:
    """Against every assignment there is, one by one, on floors small enough to list them."""
    draw = SeededDraw(seed)
    pair = Pair()
    queue = UpsertQueue(
        "q",
        strategy=draw(tuple(Strategy)),
        weights=draw((ScoreWeights(), BEST_FIT, ScoreWeights(wait=0.0, skill=1.0))),
        order=draw((QueueOrder.FIFO, QueueOrder.FIFO, QueueOrder.LIFO)),
        starvation_bound_ms=draw((0, 0, 30_000)),
        priority_age_ms=draw((1_000, 60_000)),
        matching_window_ms=WINDOW_MS,
    )
    pair.apply(queue, 0)
    for number in range(draw((2, 3, 4))):
        skills = tuple(AgentSkill(skill, draw((0, 0, 1, 2, 4, 5))) for skill in SKILLS)
        limit = draw((0.0, 0.0, 0.000_001))
        agent = UpsertAgent(f"a{number}", queue_ids=("q",), skills=skills, occupancy_max=limit)
        pair.apply(agent, number * 5_000)
        pair.apply(SetPresence(f"a{number}", Presence.AVAILABLE), number * 5_000 + draw((0, 4_999)))
    # A skill nobody holds cannot be asked for.
    pair.apply(UpsertAgent("all", skills=tuple(AgentSkill(one, 5) for one in SKILLS)), 20_000)
    now_ms = 100_000
    contacts = [f"c{number}" for number in range(draw((2, 3, 4, 5)))]
    for contact_id in contacts:
        asked = draw((
            Requirements(), prefers(cards=1.0), prefers(french=2.0, loans=1.0),
            Requirements(skills=(SkillRequirement("french"),)),
            Requirements(skills=(SkillRequirement("cards", 2),)),
        ))  # fmt: skip
        age_ms = draw((0, 0, 2_000, 29_900, 45_000))
        priority = draw((0, 0, 1, 3))
        pair.apply(
            Route(contact_id, "q", Channel.VOICE, priority, asked, routing_age_ms=age_ms), now_ms
        )
        now_ms += 20
    pair.seal()
    assert len(pair.engine.read.agent_ids("", ())) > 2
    if pair.engine.next_deadline_ms() > now_ms + WINDOW_MS:
        assert not any(held_by(pair.engine, *contacts))
        return
    floor = pair.reference.floor
    floor.now_ms = pair.engine.next_deadline_ms()
    batch = gathered(floor, floor.queues["q"])
    judge = Judge(floor, batch)
    best = max(map(judge.objective, judge.assignments()))
    pair.apply(Expire(), floor.now_ms)
    pair.seal()
    pair.compare()
    invariants.check(pair.engine)
    offered = zip(judge.contact_ids, held_by(pair.engine, *judge.contact_ids), strict=True)
    found = judge.objective([item for item in offered if item[1]])
    assert found[:-1] == best[:-1]
    assert found[-1] == pytest.approx(best[-1], abs=judge.tolerance)


def test_large_batch_is_the_best_of_all_assignments() -> None:
    """More contacts and agents than a batch takes: to look at each contact's best is enough."""
    draw = SeededDraw(7)
    pair = Pair()
    pair.apply(UpsertQueue("q", weights=BEST_FIT, matching_window_ms=WINDOW_MS), 0)
    for number in range(60):
        skills = tuple(AgentSkill(skill, draw((0, 1, 2, 4, 5))) for skill in SKILLS)
        pair.apply(UpsertAgent(f"a{number}", queue_ids=("q",), skills=skills), number)
        pair.apply(SetPresence(f"a{number}", Presence.AVAILABLE), number)
    contacts = [f"c{number}" for number in range(40)]
    for contact_id in contacts:
        wanted = {skill: draw((0.5, 1.0, 3.25)) for skill in SKILLS}
        command = Route(
            contact_id,
            "q",
            Channel.VOICE,
            draw((0, 1)),
            prefers(**wanted),
            routing_age_ms=draw((0, 1, 2)),
        )
        pair.apply(command, 100)
    floor = pair.reference.floor
    floor.now_ms = 100 + WINDOW_MS
    batch = gathered(floor, floor.queues["q"])
    assert len(batch) == BATCH_CONTACTS_MAX
    judge = Judge(floor, batch)
    worth = np.array([
        [judge.worth[contact_id, agent_id][1] for agent_id in judge.agent_ids]
        for contact_id in judge.contact_ids
    ])  # fmt: skip
    best = worth[linear_sum_assignment(worth, maximize=True)].sum()
    pair.apply(Expire(), floor.now_ms)
    pair.seal()
    pair.compare()
    offered = zip(judge.contact_ids, held_by(pair.engine, *judge.contact_ids), strict=True)
    found = judge.objective(list(offered))
    assert found[-1] == pytest.approx(best, abs=judge.tolerance)
    totals = pair.engine.read.snapshot("q", floor.now_ms).window_totals
    assert totals[[WINDOW_BATCHES, WINDOW_CONTACTS, WINDOW_MATCHED]].tolist() == [2, 40, 40]


def test_many_matches_go_on_in_the_next_call_where_effects_have_no_room() -> None:
    """However many were gathered, no call is long; and none is forgotten."""
    pair = Pair()
    window = UpsertQueue("q", strategy=Strategy.BEST_SCORE, matching_window_ms=WINDOW_MS)
    pair.apply(window._replace(broadcast_max=8), 0)
    for number in range(12):
        pair.apply(UpsertAgent(f"a{number}", queue_ids=("q",), capacity=100), 0)
        pair.apply(SetPresence(f"a{number}", Presence.AVAILABLE), 0)
    for number in range(155):
        pair.apply(Route(f"c{number}", "q", Channel.VOICE), 1 + number // 10)
        pair.seal()
    now_ms = 1 + WINDOW_MS
    pair.apply(Expire(), now_ms)
    # The command makes two calls: for what came due before it, and its own.
    assert EFFECTS_PER_CALL < len(pair.seal()) <= 2 * EFFECTS_PER_CALL
    pair.compare()
    invariants.check(pair.engine)
    snapshot = pair.engine.read.snapshot("q", now_ms)
    # Everybody has one offer before anybody has more.
    assert (snapshot.offered, snapshot.waiting) == (155, 0)
    assert snapshot.totals[OFFERS] == 1_200


@pytest.mark.parametrize("seed", range(6))
def test_walk_among_windows_agrees_with_the_reference(seed: int) -> None:
    """Every queue has windows, contacts come in crowds, and agents have room for some of them."""
    draw = SeededDraw(1_000 + seed)
    run = Run(ROOMY)
    for number in range(3):
        definition = BY_NAME["upsert_queue"](draw, run.pair.reference.floor)
        assert isinstance(definition, UpsertQueue)
        run.step(
            definition._replace(
                queue_id=f"q{number}", etag="", fallback_queue_id="", hours=None,
                matching_window_ms=draw((1, 200, 1_000, 1_000)), offer_timeout_ms=20_000,
            )
        )  # fmt: skip
    for _ in range(12):
        run.step(BY_NAME["upsert_agent"](draw, run.pair.reference.floor))
    for number in range(3):
        agent_id, queue_ids = f"b{number}", ("q0", "q1", "q2")[number % 2 :]
        skills = tuple(AgentSkill(skill, draw((0, 1, 3, 5))) for skill in ("s0", "s1", "s2"))
        run.step(UpsertAgent(agent_id, queue_ids=queue_ids, skills=skills, capacity=2))
        run.step(SetPresence(agent_id, Presence.AVAILABLE))
    for _ in range(40):
        crowd = ("set_presence",) * draw((1, 4)) + ("route",) * draw((1, 5, 9))
        for name in crowd:
            run.step(BY_NAME[name](draw, run.pair.reference.floor))
            run.now_ms += draw((0, 0, 10, 50))
        run.seal()
        for _ in range(draw((6, 12, 20))):
            run.step(BY_NAME[draw(REST)](draw, run.pair.reference.floor))
            run.now_ms += draw((0, 50, 300, 1_000))
        run.seal()
    columns = run.pair.engine.cell.store.columns.queues
    assert columns.window_totals[:, WINDOW_BATCHES].sum() > 10
