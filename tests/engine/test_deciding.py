"""Decision records: what they say is what the rules say, and they are as many as may be kept."""

import math
from collections import Counter

import numpy as np
import pytest

from engine.commands import (
    DeclineOffer,
    OfferContact,
    Requirements,
    Route,
    SetPresence,
    UpdateContact,
    UpsertAgent,
    UpsertQueue,
)
from engine.engine import Engine
from engine.lifecycle import Channel, DecisionKind, Presence, RefusalReason, Strategy
from engine.limits import Limits
from engine.routing.explanation import reasons_against, refusals_now
from engine.state.decisions import decision_id_of, decision_number
from tests.engine.choices import SeededDraw
from tests.engine.comparing import Pair
from tests.engine.drawing import draw_command


def _engine(limits: Limits | None = None) -> Engine:
    """A queue with two agents, and one contact."""
    engine = Engine(limits)
    engine.apply(UpsertQueue("q", strategy=Strategy.BEST_SCORE), 1_000)
    engine.apply(UpsertAgent("a", queue_ids=("q",)), 1_000)
    engine.apply(UpsertAgent("b", queue_ids=("q",)), 1_000)
    engine.apply(SetPresence("a", Presence.AVAILABLE), 1_000)
    engine.apply(SetPresence("b", Presence.AVAILABLE), 61_000)
    return engine


def test_route_records_who_was_chosen_who_came_second_and_why() -> None:
    """The terms are those of the formula, and their sums are what was compared."""
    engine = _engine()
    outcome = engine.apply(Route("c", "q", Channel.VOICE, routing_age_ms=10_000), 121_000)
    view = engine.cell.decisions.view(outcome.decision)
    assert (view.kind, view.contact_id, view.queue_id) == (DecisionKind.ROUTED, "c", "q")
    assert (view.agent_id, view.runner_up_id, view.offer_id) == ("a", "b", outcome.offer_id)
    assert (view.eligible, view.refused, view.waiting) == (2, {}, 1)
    assert view.terms is not None
    assert view.runner_up_terms is not None
    assert view.terms.idle == pytest.approx(0.1 * math.log(3.0))
    assert view.runner_up_terms.idle == pytest.approx(0.1 * math.log(2.0))
    assert sum(view.terms) > sum(view.runner_up_terms)
    assert (view.routing_age_ms, view.wait_ms) == (10_000, 0)


def test_contact_that_nobody_can_have_is_recorded_with_every_reason() -> None:
    """Each agent of the queue is counted once, for the first reason."""
    engine = Engine()
    engine.apply(UpsertQueue("q"), 1_000)
    for agent_id, presence, tags in (
        ("out", Presence.OFFLINE, ("gold",)),
        ("away", Presence.AWAY, ("gold",)),
        ("plain", Presence.AVAILABLE, ()),
        ("new", Presence.AVAILABLE, ("gold", "new")),
        ("other", Presence.AVAILABLE, ("gold",)),
    ):
        engine.apply(UpsertAgent(agent_id, queue_ids=("q",), tags=tags), 1_000)
        engine.apply(SetPresence(agent_id, presence), 1_000)
    asked = Requirements(tags=("gold",), tags_none=("new",), agent_ids=("out",))
    outcome = engine.apply(Route("c", "q", Channel.VOICE, requirements=asked), 1_000)
    view = engine.cell.decisions.view(outcome.decision)
    assert (view.agent_id, view.terms, view.eligible) == ("", None, 0)
    assert view.requirements == asked
    assert view.refused == {
        RefusalReason.NOT_SIGNED_IN: 1,
        RefusalReason.NOT_AVAILABLE: 1,
        RefusalReason.LACKS_TAG: 1,
        RefusalReason.HAS_EXCLUDED_TAG: 1,
        RefusalReason.NOT_NAMED: 1,
    }


def test_freed_agents_declined_offers_and_picks_have_records_of_their_kind() -> None:
    """The latest first, of one contact."""
    engine = _engine()
    engine.apply(UpsertQueue("q", reoffer_delay_ms=-1, reoffer_delay_only_agent_ms=-1), 61_000)
    for agent_id in ("a", "b"):
        engine.apply(SetPresence(agent_id, Presence.AWAY), 62_000)
    engine.apply(Route("c", "q", Channel.VOICE), 63_000)
    engine.apply(UpdateContact("c", priority=1), 64_000)
    engine.apply(SetPresence("a", Presence.AVAILABLE), 65_000)
    offer_id = engine.read.contact("c", 65_000).offer_id
    engine.apply(DeclineOffer(offer_id, "a"), 66_000)
    engine.apply(SetPresence("b", Presence.AVAILABLE), 67_000)
    engine.apply(OfferContact("c", "b"), 68_000)
    decisions = engine.cell.decisions
    kinds = [decisions.view(number).kind for number in decisions.matching("c", "", "")]
    assert kinds == [
        DecisionKind.PICKED,
        DecisionKind.RETURNED,
        DecisionKind.FREED,
        DecisionKind.UPDATED,
        DecisionKind.ROUTED,
    ]
    assert len(decisions.matching("", "q", "a")) == 2
    assert decisions.matching("", "", "nobody") == []


def test_the_ring_keeps_the_latest_and_no_more() -> None:
    """What is overwritten is found by no list and no number."""
    engine = _engine(Limits(decisions_max=3))
    numbers = []
    for place in range(5):
        outcome = engine.apply(Route(f"c{place}", "q", Channel.VOICE), 70_000)
        numbers.append(outcome.decision)
    decisions = engine.cell.decisions
    assert numbers == [1, 2, 3, 4, 5]
    assert list(decisions.numbers()) == [3, 4, 5]
    assert decisions.matching("", "q", "") == [5, 4, 3]
    assert decisions.matching("c1", "", "") == []
    assert decisions.view(4).contact_id == "c3"
    assert decisions.latest_of("c0") == 0


def test_no_records_are_kept_where_none_are_wanted() -> None:
    """Simulations run so."""
    engine = _engine(Limits(decisions_max=0))
    assert engine.apply(Route("c", "q", Channel.VOICE), 70_000).decision == 0
    assert list(engine.cell.decisions.numbers()) == []
    assert engine.cell.decisions.matching("c", "", "") == []


def test_numbers_go_on_after_a_restart() -> None:
    """So that no id ever means another decision."""
    pair = Pair()
    pair.apply(UpsertQueue("q"), 1_000)
    pair.apply(Route("c", "q", Channel.VOICE), 1_000)
    pair.seal()
    again = pair.load()
    assert list(again.cell.decisions.numbers()) == []
    assert again.apply(Route("d", "q", Channel.VOICE), 2_000).decision == 2


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("d1", 1),
        ("dff", 255),
        ("d0", -1),
        ("d", -1),
        ("x1", -1),
        ("d01", -1),
        ("d-1", -1),
        ("", -1),
    ],
)
def test_only_our_own_spelling_of_an_id_is_one(text: str, number: int) -> None:
    """As with offers."""
    assert decision_number(text) == number
    assert number < 1 or decision_id_of(number) == text


def test_counts_agree_with_the_rules_one_agent_at_a_time() -> None:
    """Counting by sets, and asking of each agent: the first reason is the same, for all."""
    assert sum(_compare_counts(seed) for seed in range(29, 33)) > 300


def _compare_counts(seed: int) -> int:
    """Compare after every command of a walk; returns how many counts were above 0."""
    pair = Pair(Limits(contacts_max=60, ended_max=10, decisions_max=50))
    draw = SeededDraw(seed)
    now_ms = 1_000
    compared = 0
    for _ in range(400):
        pair.apply(draw_command(draw, pair.reference.floor), now_ms)
        now_ms += draw((0, 0, 50, 500))
        cell = pair.engine.cell
        waiting = np.flatnonzero(cell.store.columns.contacts.state == 1).tolist()
        for row in waiting[:2]:
            counted, eligible = refusals_now(cell, row)
            reasons = [
                reasons_against(cell, row, agent_row) for agent_row in cell.agents.slots.rows()
            ]
            own = [against for against in reasons if RefusalReason.NOT_IN_QUEUE not in against]
            first = Counter(against[0] for against in own if against)
            assert (counted, eligible) == (first, len(own) - first.total())
            compared += len(first)
    return compared
