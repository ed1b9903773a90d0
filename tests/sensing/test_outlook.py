"""What lies ahead of the floor as it is: agents shared and told of, and risks that are learned."""

import numpy as np
import pytest

from engine.commands import Route, SetPresence, UpsertAgent
from engine.kernels.sensing_columns import BUCKET_S
from engine.lifecycle import Channel, Presence
from tests.sensing.played import Played, values_of

RANDOM = np.random.default_rng(5)


def busy_second(played: Played, queue_id: str, *, is_late: bool) -> None:
    """A second in which a gateway answers two contacts, in time or not."""
    agents = 4 + int(RANDOM.integers(0, 3))
    of_second = values_of(
        offered=2,
        answered=2,
        answered_within=0 if is_late else 2,
        handled=2,
        handle_ms=10_000 + int(RANDOM.integers(0, 1_000)),
        handling=agents,
        waiting=9 if is_late else 0,
    )
    played.end_second(("pbx", [queue_id], of_second))


def test_shared_agents_are_counted_once() -> None:
    """Four agents who serve two queues are four, however they fall to them."""
    played = Played()
    played.queues("a", "b")
    for name in "klmn":
        played.agent(name, "a", "b")
    played.pass_s(10)
    rows = [played.row("a"), played.row("b")]
    agents = played.picture.agents_expected[rows]
    assert agents.sum() == pytest.approx(4.0, rel=0.05)
    assert (agents > 0).all()
    # One more for b alone is there at the next look.
    played.agent("o", "b")
    played.pass_s(10)
    assert played.picture.agents_expected[rows].sum() == pytest.approx(5.0, rel=0.05)


def test_agents_who_leave_are_no_longer_expected() -> None:
    """Presence is what it is now, not what it was."""
    played = Played()
    played.queues("a")
    played.agent("k", "a")
    played.agent("l", "a")
    played.pass_s(10)
    played.do(SetPresence("l", Presence.OFFLINE))
    played.pass_s(10)
    assert played.picture.agents_expected[played.row("a")] == pytest.approx(1.0, rel=0.05)


@pytest.mark.compiled_only
def test_contacts_without_any_agent_are_sure_to_wait() -> None:
    """Nobody is there and nobody is planned: no model is asked."""
    played = Played()
    played.queues("a")
    played.do(Route("c1", "a", Channel.VOICE))
    for number in range(BUCKET_S + 10):
        if number % 10 == 0:
            played.do(Route(f"d{number}", "a", Channel.VOICE))
        played.end_second()
    picture, row = played.picture, played.row("a")
    assert picture.risk[row].tolist() == [1.0] * 4
    assert picture.agents_expected[row] == 0.0
    assert np.isnan(picture.load_ratio[row])


def test_queue_of_others_has_the_agents_they_tell_of() -> None:
    """Free, handling and in wrap-up; the engine's own agents are not mixed with them."""
    played = Played()
    played.queues("theirs", "ours")
    played.agent("k", "ours")
    for number in range(10):
        values = values_of(available=2, handling=3 + number % 2, wrap_up=2 - number % 2)
        played.end_second(("pbx", ["theirs"], values))
    picture = played.picture
    assert picture.agents_expected[played.row("theirs")] == pytest.approx(7.0, rel=0.05)
    assert picture.agents_expected[played.row("ours")] == pytest.approx(1.0, rel=0.05)


def test_queue_that_nobody_tells_of_has_no_risk() -> None:
    """What is not known is neither safe nor lost."""
    played = Played()
    played.queues("a")
    played.pass_s(10)
    assert np.isnan(played.picture.risk[played.row("a")]).all()


@pytest.mark.compiled_only
def test_risks_are_scored_by_what_came_of_them() -> None:
    """Told now, compared in five minutes, by contacts that were late; the nearest horizon first."""
    played = Played()
    played.queues("a")
    calibration = played.sensing.parts.outlook.calibration
    for _ in range(2 * BUCKET_S):
        busy_second(played, "a", is_late=True)
    assert np.isnan(calibration.quality().brier[played.row("a"), 3])
    for _ in range(2 * BUCKET_S):
        busy_second(played, "a", is_late=True)
    found = calibration.quality().brier[played.row("a")]
    assert 0.0 <= found[0] <= 1.0
    # Half an hour has not passed since anything was told.
    assert np.isnan(found[3])


@pytest.mark.compiled_only
def test_handle_times_follow_what_ends() -> None:
    """Two contacts a second of some five seconds each: that is the handling time in force."""
    played = Played()
    played.queues("a")
    before = played.picture.aht_ms[played.row("a")]
    for _ in range(BUCKET_S + 1):
        busy_second(played, "a", is_late=False)
    row = played.row("a")
    assert 5_000 < played.picture.aht_ms[row] < before / 2
    assert played.picture.aht_contacts[row] > 100


def test_bots_of_any_capacity_do_not_end_sensing() -> None:
    """Twenty of a million contacts each are more agents than a pool is reckoned with."""
    played = Played()
    played.queues("q")
    for number in range(20):
        bot = UpsertAgent(f"bot{number}", queue_ids=("q",), capacity=1_000_000)
        played.do(bot)
        played.do(SetPresence(f"bot{number}", Presence.AVAILABLE))
    for second in range(8):
        played.do(Route(f"c{second}", "q", Channel.CHAT))
        played.end_second()
    picture = played.picture
    assert picture.second == played.second - 1
    assert picture.agents_expected[played.row("q")] == 1e6
