"""Policies whose target is in another cell decide by what that cell tells, and by nothing else."""

import numpy as np
import pytest

from engine.commands import Route
from engine.deciding.elsewhere import FRESH_MS, LADDER_PER_S, Reading
from engine.deciding.explaining import explain
from engine.deciding.telling import read_queue
from engine.lifecycle import Channel
from engine.policy.actions import Target
from engine.policy.signals import RISK_HORIZONS
from engine.steering import Steer
from tests.deciding.deciding_played import DecidingPlayed, a_policy

SOUTH = Target("b", "south")
TO_SOUTH = "[{overflow: {queue: b, cell: south}}]"
RUNGS, HORIZONS = len(LADDER_PER_S), len(RISK_HORIZONS)


def told(played: DecidingPlayed, risk: float | np.ndarray, **signals: float | str) -> Reading:
    """What south tells now; `_` of signals for `.`."""
    named = {f"target.{name}": value for name, value in signals.items()}
    risks = np.broadcast_to(risk, (HORIZONS, RUNGS)).T.astype(np.float64)
    return Reading(1_000 * played.second + 1_000, named, risks)


def wait(played: DecidingPlayed, contacts: int) -> None:
    """Have contacts come to queue a."""
    for number in range(contacts):
        played.do(Route(f"c{number}", "a", Channel.VOICE))


def share(steer: Steer) -> float:
    """The share of the one order there is, 0 for none."""
    return steer.orders[0].share if steer.orders else 0.0


@pytest.fixture
def played() -> DecidingPlayed:
    """Two contacts wait in queue a, and a policy sends half of them to queue b of south."""
    found = DecidingPlayed()
    found.queues("a")
    more = "share: {fixed: 0.5}\nguards: {dwell_on: 0s, dwell_off: 0s, share_max: 1.0, "
    budget = "target: {risk_max: 0.3, horizon: 10m}}"
    found.use(a_policy(more=more + budget, actions=TO_SOUTH))
    wait(found, 2)
    return found


def test_nothing_is_moved_to_where_nothing_is_known(played: DecidingPlayed) -> None:
    assert share(played.decide()) == 0.0
    played.deciding.readings = {SOUTH: told(played, 0.1)}
    assert share(played.decide()) == pytest.approx(0.5)
    for _ in range(FRESH_MS // 1_000):
        last = played.decide()
    assert share(last) == 0.0, "what was told last is too old"
    (book, _) = played.deciding.books()
    (found,) = explain(book, "surge", "a", 1_000 * played.second)
    assert found.reasons[0] == ("moves nothing: what queue b of cell south can bear is not known")


def test_share_is_what_the_other_cell_can_bear(played: DecidingPlayed) -> None:
    """Its risk at more contacts a second is told in steps, and bounds the share between two."""
    risks = np.minimum(0.2 + np.array(LADDER_PER_S), 1.0)
    played.decide_for(3)
    played.deciding.readings = {SOUTH: told(played, risks)}
    assert share(played.decide()) == pytest.approx(0.5)
    played.deciding.readings = {SOUTH: told(played, 0.3)}
    assert share(played.decide()) == 0.0
    assert told(played, risks).risk_at(0.05, 1) == pytest.approx(0.25)
    assert told(played, risks).risk_at(-1.0, 1) == pytest.approx(0.2)
    assert told(played, risks).risk_at(LADDER_PER_S[-1] + 0.1, 1) == 1.0
    assert np.isnan(told(played, np.nan).risk_at(0.0, 1))


def test_where_the_risk_is_not_known_so_many_go_as_agents_are_free(
    played: DecidingPlayed,
) -> None:
    played.deciding.readings = {SOUTH: told(played, np.nan)}
    assert share(played.decide()) == 0.0
    played.deciding.readings = {SOUTH: told(played, np.nan, spare_capacity=0.5)}
    # Of two who wait.
    assert share(played.decide()) == pytest.approx(0.25)
    played.deciding.readings = {SOUTH: told(played, np.nan, spare_capacity=9.0)}
    assert share(played.decide()) == pytest.approx(0.5)


def test_the_same_holds_for_a_queue_of_this_cell() -> None:
    """Nobody is signed in for b, and nothing ever came there."""
    played = DecidingPlayed()
    played.queues("a", "b")
    more = "guards: {dwell_on: 0s, dwell_off: 0s, share_max: 1.0}"
    played.use(a_policy(more=more))
    wait(played, 2)
    assert share(played.decide_for(2)[-1]) == 0.0
    (book, _) = played.deciding.books()
    assert book.held_back == {"surge"}
    played.agent("ann", "b")
    assert share(played.decide()) == pytest.approx(0.5)
    assert book.held_back == set()


def test_conditions_read_what_the_other_cell_tells() -> None:
    played = DecidingPlayed()
    played.queues("a")
    enter = 'target.waiting < 3 && target.busyness == "idle" && target.oldest_wait < duration("9s")'
    played.use(a_policy(enter.replace("'", '"'), actions=TO_SOUTH))
    wait(played, 1)
    assert played.decide().shifts == ()
    fine = {"waiting": 2, "busyness": "idle", "oldest_wait": 8_999}
    for wrong in ({"waiting": 3}, {"busyness": "busy"}, {"oldest_wait": 9_000}):
        played.deciding.readings = {SOUTH: told(played, 0.0, **(fine | wrong))}  # type: ignore[arg-type]
        assert played.decide().shifts == ()
    without = {name: value for name, value in fine.items() if name != "waiting"}
    played.deciding.readings = {SOUTH: told(played, 0.0, **without)}  # type: ignore[arg-type]
    assert played.decide().shifts == (), "an unknown signal is neither"
    played.deciding.readings = {SOUTH: told(played, 0.0, **fine)}  # type: ignore[arg-type]
    (shift,) = played.decide().shifts
    assert shift.is_on


def test_a_cell_tells_of_its_own_queue() -> None:
    played = DecidingPlayed()
    played.queues("a", "b")
    played.agent("ann", "b")
    wait(played, 1)
    played.decide_for(3)
    assert read_queue(played.sensing, "nowhere", 1_000 * played.second) is None
    found = read_queue(played.sensing, "a", 1_000 * played.second)
    assert found is not None
    assert found.signals["target.waiting"] == 1
    free = read_queue(played.sensing, "b", 1_000 * played.second)
    assert free is not None
    assert (free.signals["target.is_open"], free.signals["target.agents_available"]) == (1, 1)
    assert free.signals["target.spare_capacity"] == 1.0
    assert free.risks.shape == (RUNGS, HORIZONS)
