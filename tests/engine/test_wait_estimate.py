"""Estimates of waits: the formula, what it is fed with, and how it compares with what comes."""

import numpy as np
import pytest

from engine.commands import (
    AcceptOffer,
    CancelContact,
    CompleteAssignment,
    Requirements,
    Route,
    SetIntake,
    SetPresence,
    UpsertAgent,
    UpsertQueue,
)
from engine.engine import Engine
from engine.kernels.columns import ESTIMATE_ERROR_MS_SUM, ESTIMATED, ESTIMATES_EXCEEDED
from engine.lifecycle import CancelReason, Channel, EstimateStatus, Intake, Presence
from engine.refusals import CommandRefused, Refusal
from engine.routing.wait_estimate import (
    WaitEstimate,
    estimate_contact,
    estimate_newcomer,
    gamma_quantiles,
    note_estimate,
    wait_moments,
)

VOICE = Channel.VOICE
HANDLE_MS = 60_000


def _floor(agents: int = 1, contacts: int = 10) -> tuple[Engine, int]:
    """A queue whose agents have handled contacts of a minute each, one after the other."""
    engine = Engine()
    engine.apply(UpsertQueue("q"), 1_000)
    for number in range(agents):
        engine.apply(UpsertAgent(f"a{number}", queue_ids=("q",), missed_offers_max=-1), 1_000)
        engine.apply(SetPresence(f"a{number}", Presence.AVAILABLE), 1_000)
    now_ms = 1_000
    for number in range(contacts):
        now_ms = _serve(engine, f"past-{number}", now_ms)
    return engine, now_ms


def _serve(engine: Engine, contact_id: str, now_ms: int) -> int:
    """One contact from its arrival to its end; returns the time."""
    outcome = engine.apply(Route(contact_id, "q", VOICE), now_ms)
    engine.apply(AcceptOffer(outcome.offer_id, outcome.agent_id), now_ms)
    engine.apply(CompleteAssignment(contact_id, outcome.agent_id), now_ms + HANDLE_MS)
    return now_ms + HANDLE_MS


def _keep_busy(engine: Engine, now_ms: int) -> None:
    """Have every agent hold a contact."""
    number = 0
    while (outcome := engine.apply(Route(f"busy-{number}", "q", VOICE), now_ms)).offer_id:
        engine.apply(AcceptOffer(outcome.offer_id, outcome.agent_id), now_ms)
        number += 1
    engine.apply(CancelContact(f"busy-{number}", CancelReason.WITHDRAWN), now_ms)


def _estimate(engine: Engine, contact_id: str) -> WaitEstimate:
    return estimate_contact(engine.cell, engine.cell.contact_row(contact_id))


def test_moments_are_those_of_the_sums() -> None:
    """Term by term as far as that is cheap, as integrals beyond; who gives up shortens the wait."""
    mean, variance = wait_moments(0.5, 0.0, 3)
    assert (mean, variance) == pytest.approx((8.0, 16.0))
    for left in (0.0, 1e-4, 0.05):
        rates = 0.5 + left * np.arange(50_001)
        exact = (1.0 / rates).sum(), (1.0 / rates**2).sum()
        assert wait_moments(0.5, left, 50_000) == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("shape", [1.0, 2.5, 30.0])
def test_bounds_are_quantiles_of_a_gamma_distribution(shape: float) -> None:
    """One draw in ten below, one in ten above; within what the approximation is known for."""
    low, high = gamma_quantiles(shape * 7.0, shape * 49.0)
    drawn = np.random.default_rng(3).gamma(shape, 7.0, 200_000)
    assert (drawn < low).mean() == pytest.approx(0.1, abs=0.015)
    assert (drawn > high).mean() == pytest.approx(0.1, abs=0.005)


def test_wait_grows_with_the_place_and_shrinks_with_agents() -> None:
    """A minute each and one agent: a minute per place; two agents, half of it."""
    expected = {}
    for agents in (1, 2):
        engine, now_ms = _floor(agents)
        _keep_busy(engine, now_ms)
        for number in range(3):
            engine.apply(Route(f"w{number}", "q", VOICE), now_ms)
        estimates = [_estimate(engine, f"w{number}") for number in range(3)]
        assert [one.position for one in estimates] == [1, 2, 3]
        assert all(one.status is EstimateStatus.ESTIMATED for one in estimates)
        assert {(one.samples, one.agents) for one in estimates} == {(10, agents)}
        expected[agents] = [one.expected_ms for one in estimates]
        for one in estimates:
            assert one.low_ms < one.expected_ms < one.high_ms
    assert expected == {1: [60_000, 120_000, 180_000], 2: [30_000, 60_000, 90_000]}


def test_estimate_does_not_grow_while_a_contact_waits_behind_the_same() -> None:
    """The wait from now on depends on who is ahead, not on how long one has waited already."""
    engine, now_ms = _floor()
    _keep_busy(engine, now_ms)
    engine.apply(Route("w", "q", VOICE), now_ms)
    first = _estimate(engine, "w")
    engine.apply(SetPresence("a0", Presence.AVAILABLE), now_ms + 300_000)
    assert _estimate(engine, "w") == first


def test_those_who_give_up_count() -> None:
    """Half of the past gave up after half a minute each: the line moves sooner."""
    engine, now_ms = _floor()
    _keep_busy(engine, now_ms)
    for number in range(10):
        engine.apply(Route(f"left-{number}", "q", VOICE), now_ms)
        now_ms += 30_000
        engine.apply(CancelContact(f"left-{number}", CancelReason.ABANDONED), now_ms)
    for number in range(3):
        engine.apply(Route(f"w{number}", "q", VOICE), now_ms)
    served, left = 1 / 60_000, 1 / 30_000
    exact = sum(1 / (served + place * left) for place in range(3))
    assert _estimate(engine, "w2").expected_ms == round(exact)


def test_without_agents_data_or_offers_nothing_is_made_up() -> None:
    """Never 0, never endless: the status says what is wrong."""
    engine, now_ms = _floor(contacts=9)
    _keep_busy(engine, now_ms)
    engine.apply(Route("w", "q", VOICE), now_ms)
    short = _estimate(engine, "w")
    assert short == WaitEstimate(EstimateStatus.INSUFFICIENT_DATA, 1, samples=9, agents=1)
    engine.apply(SetIntake("q", Intake.PAUSED), now_ms)
    assert _estimate(engine, "w").status is EstimateStatus.PAUSED
    engine.apply(SetIntake("q", Intake.OPEN), now_ms)
    engine.apply(SetPresence("a0", Presence.AWAY), now_ms)
    gone = _estimate(engine, "w")
    assert gone == WaitEstimate(EstimateStatus.NO_AGENTS, 1, samples=9)


def test_newcomer_is_told_what_it_would_find() -> None:
    """Behind all that are older, before those of lower priority; no wait while somebody is free."""
    engine, now_ms = _floor()
    new = Route("new", "q", VOICE)
    assert estimate_newcomer(engine.cell, new, now_ms).status is EstimateStatus.NO_WAIT
    _keep_busy(engine, now_ms)
    for number in range(4):
        engine.apply(Route(f"w{number}", "q", VOICE), now_ms)
    assert estimate_newcomer(engine.cell, new, now_ms).position == 5
    urgent = new._replace(priority=5)
    assert estimate_newcomer(engine.cell, urgent, now_ms).position == 1
    old = new._replace(routing_age_ms=1)
    assert estimate_newcomer(engine.cell, old, now_ms).position == 1
    with pytest.raises(CommandRefused) as caught:
        estimate_newcomer(engine.cell, new._replace(queue_id="nowhere"), now_ms)
    assert caught.value.reason is Refusal.UNKNOWN_QUEUE
    named = new._replace(requirements=Requirements(agent_ids=("a0",)))
    assert estimate_newcomer(engine.cell, named, now_ms).agents == 1


def test_agents_of_several_queues_count_in_part() -> None:
    """One who serves two queues where contacts wait is half an agent to each."""
    engine, now_ms = _floor()
    engine.apply(UpsertQueue("other"), now_ms)
    engine.apply(UpsertAgent("a0", queue_ids=("q", "other"), missed_offers_max=-1), now_ms)
    _keep_busy(engine, now_ms)
    engine.apply(Route("w", "q", VOICE), now_ms)
    assert _estimate(engine, "w").expected_ms == HANDLE_MS
    engine.apply(Route("x", "other", VOICE), now_ms)
    assert _estimate(engine, "w").expected_ms == 2 * HANDLE_MS


def test_estimates_are_compared_with_what_came() -> None:
    """Early or late, by how much, and beyond the bound or not; of the latest one asked for."""
    engine, now_ms = _floor()
    _keep_busy(engine, now_ms)
    engine.apply(Route("w", "q", VOICE), now_ms)
    row = engine.cell.contact_row("w")
    note_estimate(engine.cell, row, _estimate(engine, "w"), now_ms)
    late_ms = now_ms + 5 * HANDLE_MS
    engine.apply(CompleteAssignment("busy-0", "a0"), late_ms)
    engine.apply(AcceptOffer(engine.read.contact("w", late_ms).offer_id, "a0"), late_ms)
    totals = engine.read.snapshot("q", late_ms).totals
    assert totals[[ESTIMATED, ESTIMATE_ERROR_MS_SUM, ESTIMATES_EXCEEDED]].tolist() == [
        1, 4 * HANDLE_MS, 1,
    ]  # fmt: skip
