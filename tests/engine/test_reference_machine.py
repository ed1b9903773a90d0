"""
Engine and reference, side by side, under whatever comes.

Hypothesis finds short sequences that break something and shrinks them; the long walks reach states
that only thousands of commands lead to. After every command outcome, refusal, next deadline and
every view must agree, and every invariant must hold.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from engine.commands import (
    Command,
    CompleteAssignment,
    OfferContact,
    Recover,
    SetPresence,
    UpsertAgent,
    UpsertQueue,
)
from engine.definitions import AgentSkill
from engine.lifecycle import ContactState, Presence, Strategy, Trigger
from engine.limits import Limits
from tests.engine import invariants
from tests.engine.choices import SKILLS, STEPS_MS, TAGS, Draw, SeededDraw, seldom
from tests.engine.comparing import Pair
from tests.engine.drawing import KINDS, draw_choosing, draw_command, draw_in_hand
from tests.engine.drawing_definitions import CALLS_FIRST
from tests.engine.reference_floor import Floor

T = TypeVar("T")

SMALL = Limits(
    contacts_max=14,
    agents_max=5,
    queues_max=3,
    classes_max=7,
    ended_max=4,
    ended_retention_ms=30_000,
)
ROOMY = Limits(contacts_max=60, ended_max=10, ended_retention_ms=100_000)
# Ended contacts are forgotten with the call that ends them, or with the next moment.
FORGETFUL = Limits(contacts_max=20, ended_max=0)
FLEETING = Limits(contacts_max=20, ended_max=20, ended_retention_ms=0)


class Run:
    """A pair at some time, and everything that is checked after a command."""

    def __init__(self, limits: Limits) -> None:
        self.pair = Pair(limits)
        self.now_ms = 1_000
        self._excess: dict[str, int] = {}

    def step(self, command: Command) -> None:
        """Run a command on both sides; whatever they were given must not be exceeded by it."""
        if isinstance(command, Recover):
            self.pair.recover(self.now_ms)
        else:
            self.pair.apply(command, self.now_ms)
        excess = invariants.excess(self.pair.engine)
        for agent_id, over in excess.items():
            # Wrap-up cannot be interrupted.
            may_grow = (
                isinstance(command, (UpsertAgent, CompleteAssignment))
                or (isinstance(command, OfferContact) and command.ignores_capacity)
            ) and command.agent_id == agent_id
            assert may_grow or over <= self._excess.get(agent_id, 0), (agent_id, command)
        self._excess = excess
        self.pair.compare()

    def seal(self) -> None:
        """Seal the open group; then every invariant must hold."""
        self.pair.seal()
        invariants.check(self.pair.engine)

    def walk(
        self, draw: Draw, steps: int, choose: Callable[[Draw, Floor], Command] = draw_command
    ) -> None:
        """Take many random steps."""
        for number in range(steps):
            self.step(choose(draw, self.pair.reference.floor))
            if not seldom(draw, 3):
                self.seal()
                if number % 16 == 0:
                    self.pair.load()
            if number % 8 == 0:
                self.pair.compare_positions()
            self.now_ms += draw(STEPS_MS)


class HypothesisDraw:
    """Choices of Hypothesis, which shrinks them towards the first item."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data

    def __call__(self, items: Sequence[T], /) -> T:
        """One of the items."""
        return items[self._data.draw(st.integers(0, len(items) - 1))]


class RouterMachine(RuleBasedStateMachine):
    """Any commands on a small floor, of which two queues and two agents stand ready."""

    def __init__(self) -> None:
        super().__init__()
        self.run = Run(SMALL)

    @initialize(strategy=st.sampled_from(Strategy))
    def open_floor(self, strategy: Strategy) -> None:
        """Two queues of one strategy, two agents available."""
        for queue_id in ("q0", "q1"):
            self.run.step(UpsertQueue(queue_id, strategy=strategy))
        for agent_id in ("a0", "a1"):
            self.run.step(UpsertAgent(agent_id, queue_ids=("q0", "q1"), capacity=2))
            self.run.step(SetPresence(agent_id, Presence.AVAILABLE))

    @rule(data=st.data(), kind=st.sampled_from(KINDS), pass_ms=st.sampled_from(STEPS_MS))
    def command(self, data: st.DataObject, kind: object, pass_ms: int) -> None:
        """Some time passes, then any command comes."""
        assert callable(kind)
        self.run.now_ms += pass_ms
        self.run.step(kind(HypothesisDraw(data), self.run.pair.reference.floor))

    @rule()
    def seal(self) -> None:
        """The open group is committed."""
        self.run.seal()

    @rule()
    def restart(self) -> None:
        """The open group is committed, and a fresh engine reads what the log holds."""
        self.run.seal()
        self.run.pair.load()

    def teardown(self) -> None:
        """Whatever is still open is committed, and holds."""
        self.run.seal()
        self.run.pair.compare_positions()
        self.run.pair.load()


TestRouterMachine = RouterMachine.TestCase
TestRouterMachine.settings = settings(
    max_examples=30,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize(
    ("limits", "seed", "steps"),
    [
        (SMALL, 1, 2_000),  # every limit is met again and again
        (ROOMY, 2, 1_000),  # long queues
        (FORGETFUL, 3, 500),  # rows are free as soon as contacts end
        (FLEETING, 4, 500),  # ended contacts come due in the call that ends them
    ],
)
def test_walk_of_random_commands_agrees_with_the_reference(
    limits: Limits, seed: int, steps: int
) -> None:
    """Long lives lead where short ones do not: recycled rows, worn-out names, deep backlogs."""
    Run(limits).walk(SeededDraw(seed), steps)


def test_walk_among_agents_with_full_hands_agrees_with_the_reference() -> None:
    """Consults, transfers and interruptions need offers that are accepted, one after another."""
    run = Run(ROOMY)
    for queue_id in ("q0", "q1"):
        run.step(UpsertQueue(queue_id, broadcast_max=1 + (queue_id == "q1")))
    for agent_id in ("a0", "a1", "a2", "a3", "a4"):
        run.step(
            UpsertAgent(
                agent_id,
                queue_ids=("q0", "q1"),
                skills=tuple(AgentSkill(skill, 4) for skill in SKILLS),
                tags=TAGS,
                capacity=3,
                channels=CALLS_FIRST,
                missed_offers_max=-1,
            )
        )
        run.step(SetPresence(agent_id, Presence.AVAILABLE))
    run.walk(SeededDraw(11), 1_500, draw_in_hand)
    seen = run.pair.tracer.seen
    assert {Trigger.CONSULT, Trigger.TRANSFER, Trigger.END_CONSULT} <= {one for _, one in seen}
    assert {Trigger.INTERRUPT, Trigger.RESUME} <= {one for _, one in seen}


def test_walk_among_customers_who_are_asked_agrees_with_the_reference() -> None:
    """Choices, diversions and returns need contacts that wait long enough to be asked."""
    run = Run(ROOMY)
    for queue_id in ("q0", "q1"):
        run.step(UpsertQueue(queue_id, offer_timeout_ms=2_000))
    for agent_id in ("a0", "a1"):
        run.step(UpsertAgent(agent_id, queue_ids=("q0", "q1"), missed_offers_max=-1))
        run.step(SetPresence(agent_id, Presence.AVAILABLE))
    run.walk(SeededDraw(12), 1_000, draw_choosing)
    diverted = ContactState.DIVERTED
    assert {
        (ContactState.QUEUED, Trigger.DIVERT),
        (ContactState.OFFERED, Trigger.DIVERT),
        *((diverted, trigger) for trigger in (Trigger.RETURN, Trigger.END_DIVERSION)),
        *((diverted, trigger) for trigger in (Trigger.ABANDON, Trigger.WITHDRAW, Trigger.UPDATE)),
    } <= run.pair.tracer.seen
