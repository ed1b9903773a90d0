"""The same commands at the same times give the same effects and rows, bit for bit."""

from contextlib import suppress

import numpy as np

from engine.commands import (
    AcceptOffer,
    CompleteAssignment,
    EndWrapUp,
    Requirements,
    Route,
    SetPresence,
    SkillPreference,
    SkillRequirement,
    UpsertAgent,
    UpsertQueue,
)
from engine.definitions import AgentSkill
from engine.effects import Effect, decode_effects
from engine.engine import Engine
from engine.lifecycle import Channel, ContactState, Presence, Strategy, WrapUpMode
from engine.limits import Limits
from engine.refusals import CommandRefused
from engine.state.cell import Group
from tests.engine import invariants
from tests.engine.choices import STEPS_MS, SeededDraw
from tests.engine.comparing import Pair
from tests.engine.drawing import draw_command
from tests.engine.reference_floor import Floor
from tests.engine.reference_time import next_deadline_ms


def _groups(seed: int, steps: int) -> list[Group]:
    """Groups of an engine that runs the commands of a seed; the reference tells what to draw."""
    draw = SeededDraw(seed)
    pair = Pair(Limits(contacts_max=40, ended_max=10))
    again = Engine(pair.limits)
    groups, now_ms = [], 1_000
    for _ in range(steps):
        command = draw_command(draw, pair.reference.floor)
        pair.apply(command, now_ms)
        with suppress(CommandRefused):
            again.apply(command, now_ms)
        groups.append(again.take_group())
        pair.seal()
        now_ms += draw(STEPS_MS)
    return groups


def test_same_commands_give_the_same_bytes() -> None:
    """A replay, a standby and a second attempt must all arrive where the first one did."""
    first, second = _groups(21, 800), _groups(21, 800)
    assert first == second
    assert sum(len(group.effects) for group in first) > 300


def test_effects_of_a_group_survive_their_encoding() -> None:
    """Watchers and audits read what was encoded; nothing may be lost on the way."""
    for group in _groups(22, 200):
        told = [Effect(*effect) for effect in group.effects]  # type: ignore[arg-type]
        assert decode_effects(group.events) == told


def test_growth_across_doublings_changes_nothing() -> None:
    """Every column moves to a larger array now and then, in the middle of a busy day."""
    pair = Pair()
    generator = np.random.default_rng(23)
    now_ms = 1_000
    for number in range(130):
        pair.apply(
            UpsertQueue(
                f"q{number}",
                strategy=list(Strategy)[number % 4],
                wrap_up_mode=WrapUpMode.TIMED if number % 3 == 0 else WrapUpMode.NONE,
                wrap_up_ms=20_000 if number % 3 == 0 else 0,
            ),
            now_ms,
        )
    for number in range(300):
        served = generator.integers(0, 130, 12).tolist()
        pair.apply(
            UpsertAgent(
                f"a{number}",
                queue_ids=tuple(f"q{queue}" for queue in sorted(set(served))),
                skills=(AgentSkill(f"s{number % 40}", 1 + number % 5), AgentSkill("common", 3)),
                tags=(f"t{number % 70}",),
                capacity=1 + number % 3,
                missed_offers_max=-1,
            ),
            now_ms,
        )
        pair.apply(SetPresence(f"a{number}", Presence.AVAILABLE), now_ms)
    for number in range(1_500):
        now_ms += int(generator.integers(0, 60))
        kind = number % 10
        asked = Requirements()
        if kind == 0:
            asked = Requirements((SkillRequirement("common", 2),), (SkillPreference("s7", 2.0),))
        elif kind == 1:
            asked = Requirements((SkillRequirement(f"s{number % 40}"),), (), (f"t{number % 70}",))
        queue_id = f"q{int(generator.integers(130))}"
        pair.apply(Route(f"c{number}", queue_id, Channel.CHAT, kind, asked), now_ms)
        if number % 2:
            _serve(pair, pair.reference.floor, generator, now_ms)
        if number % 500 == 499:
            pair.seal()
            pair.compare()
    _look_over(pair, now_ms)


def _serve(pair: Pair, floor: Floor, generator: np.random.Generator, now_ms: int) -> None:
    """Some agent does the next thing with the contact it holds longest."""
    agent = floor.agents[f"a{int(generator.integers(300))}"]
    if not agent.held:
        return
    contact = agent.held[-1]
    names = contact.contact_id, agent.agent_id
    if contact.state is ContactState.OFFERED:
        pair.apply(AcceptOffer(contact.offer_id, agent.agent_id), now_ms)
    elif contact.state is ContactState.ASSIGNED:
        pair.apply(CompleteAssignment(*names), now_ms)
    else:
        pair.apply(EndWrapUp(*names), now_ms)


def _look_over(pair: Pair, now_ms: int) -> None:
    """The pair is large by now; it must agree, hold, and come back after a restart."""
    sizes = pair.engine.cell.store.sizes
    assert sizes["contacts"] >= 2_048
    assert sizes["agents"] == 512
    assert sizes["queues"] == 256
    assert sizes["classes"] >= 512
    pair.seal()
    invariants.check(pair.engine)
    pair.compare()
    pair.recover(now_ms)
    pair.compare()
    assert next_deadline_ms(pair.reference.floor) == pair.engine.next_deadline_ms()


def test_more_effects_than_one_call_may_record_come_in_the_order_of_the_reference() -> None:
    """Work that is put off is put off by state alone, so the reference puts off the same."""
    pair = Pair()
    pair.apply(UpsertQueue("q1"), 1_000)
    for agent_id in ("a1", "a2", "a3"):
        pair.apply(UpsertAgent(agent_id, queue_ids=("q1",), capacity=700), 1_000)
    pair.apply(SetPresence("a1", Presence.AVAILABLE), 1_000)
    for number in range(700):
        pair.apply(Route(f"c{number}", "q1", Channel.CHAT), 1_000 + number // 7)
    pair.seal()
    pair.apply(SetPresence("a2", Presence.AVAILABLE), 2_000)
    pair.apply(SetPresence("a1", Presence.AWAY), 2_000)
    calls = 0
    while pair.engine.next_deadline_ms() <= 2_000:
        pair.apply(SetPresence("a3", Presence.AVAILABLE), 2_000)
        pair.compare()
        calls += 1
    assert calls > 0
    pair.seal()
    invariants.check(pair.engine)
