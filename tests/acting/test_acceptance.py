"""What is learned of customers' answers, kept, and used for shares."""

import pytest

from engine.choices import AcceptChoice, RefuseChoice
from engine.commands import Expire
from engine.engine import Engine
from engine.lifecycle import Channel
from engine.sensing.sampling import take_sample
from engine.state.acceptance import BANDS_MS, PRIOR_LEFT, PRIOR_TAKEN, AcceptanceRows, band_of
from engine.steering import Order, Steer
from tests.acting.desk_played import DeskPlayed
from tests.acting.test_offering import CHAT, WAIT, A, offering

PRIOR = PRIOR_TAKEN / (PRIOR_TAKEN + PRIOR_LEFT)
VOICE = int(Channel.VOICE)


@pytest.fixture
def played() -> DeskPlayed:
    """A policy that is on for queue a, and contact `c` that has been offered a choice."""
    found = DeskPlayed()
    found.use(offering())
    found.on(A)
    found.route("c")
    return found


def mean_of(played: DeskPlayed, wait_ms: int = 0) -> float:
    """Acceptance of those who wait in queue a."""
    return played.engine.cell.acceptance.mean("a", VOICE, wait_ms)


def test_before_any_answer_it_is_what_others_saw(played: DeskPlayed) -> None:
    assert mean_of(played) == pytest.approx(PRIOR) == pytest.approx(0.37)


def test_what_is_taken_raises_it_and_what_is_left_lowers_it(played: DeskPlayed) -> None:
    played.do(AcceptChoice("c", CHAT))
    assert mean_of(played) == pytest.approx((PRIOR_TAKEN + 1) / 11)
    played.route("waits")
    played.do(AcceptChoice("waits", WAIT))
    played.route("refuses")
    played.do(RefuseChoice("refuses"))
    played.route("silent")
    played.now_ms += 20_000
    played.do(Expire())
    assert mean_of(played) == pytest.approx((PRIOR_TAKEN + 1) / 14, rel=0.01)


def test_an_agent_who_comes_first_says_nothing(played: DeskPlayed) -> None:
    from engine.commands import AcceptOffer

    played.agent("agent", "a")
    played.do(AcceptOffer(played.contact("c").offer_id, "agent"))
    assert mean_of(played) == pytest.approx(PRIOR)


def test_forced_options_say_nothing(played: DeskPlayed) -> None:
    played.use(offering("{self_service: {queue: b}}", ", forced: true"))
    played.do(Steer((), (Order(A, 1.0),)))
    played.route("forced")
    assert mean_of(played) == pytest.approx(PRIOR)


def test_bands_of_wait_are_learned_apart() -> None:
    rows = AcceptanceRows()
    for _ in range(40):
        rows.learn("q", VOICE, 5_000, is_taken=False)
        rows.learn("q", VOICE, 400_000, is_taken=True)
    assert rows.mean("q", VOICE, 0) < 0.2 < 0.8 < rows.mean("q", VOICE, 10**9)
    assert rows.mean("q", int(Channel.CHAT), 0) == pytest.approx(PRIOR)
    assert [band_of(wait_ms) for wait_ms in (0, *BANDS_MS)] == [0, 1, 2, 3]
    assert 0.4 < rows.means()["q"] < 0.6


def test_old_answers_fade() -> None:
    rows = AcceptanceRows()
    for _ in range(3_000):
        rows.learn("q", VOICE, 0, is_taken=False)
    for _ in range(1_500):
        rows.learn("q", VOICE, 0, is_taken=True)
    assert rows.mean("q", VOICE, 0) > 0.9


def test_it_outlives_the_process(played: DeskPlayed) -> None:
    played.do(RefuseChoice("c"))
    again = Engine()
    again.load(list(played.rows.values()))
    assert again.cell.acceptance.means() == played.engine.cell.acceptance.means() != {}


def test_samples_tell_it_and_who_is_on_the_way(played: DeskPlayed) -> None:
    played.do(AcceptChoice("c", CHAT))
    sample = take_sample(played.engine.cell, 1)
    assert sample.acceptance == {"a": pytest.approx((PRIOR_TAKEN + 1) / 11)}
    assert sample.on_their_way == {"b": 1}
    again = Engine()
    again.load(list(played.rows.values()))
    assert take_sample(again.cell, 1).on_their_way == {"b": 1}
    played.now_ms += 1_800_000
    played.do(Expire())
    assert take_sample(played.engine.cell, 1).on_their_way == {}
