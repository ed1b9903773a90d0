"""Policies at work, second by second, on a cell that routes."""

import numpy as np
import pytest

from engine.commands import Route, UpsertQueue
from engine.deciding.moment import Moment, queues_of
from engine.deciding.signals import Signals
from engine.deciding.waits import Standing, waits_of
from engine.forecasting.anomaly import Anomaly, AnomalyKind
from engine.lifecycle import Channel
from engine.policies import PolicyStage
from engine.policy.checked import Kind
from engine.policy.guards import Override, Scope
from engine.policy.signals import QUEUE_SIGNALS, Signal
from engine.policy.vocabulary import Vocabulary
from engine.routing.wait_estimate import gamma_quantiles, wait_moments
from engine.steering import ActivationCause, Order, Steer, Subject
from tests.deciding.deciding_played import DecidingPlayed, a_policy, in_force
from tests.policy.written import relief

NO_DWELL = "guards: {dwell_on: 0s, dwell_off: 0s, share_max: 1.0, target: null}"
A = Subject("surge", 1, "a")


def waiting(played: DecidingPlayed, count: int, queue_id: str = "a") -> None:
    """Have contacts wait."""
    for number in range(count):
        played.do(Route(f"{queue_id}{played.second}-{number}", queue_id, Channel.VOICE))


@pytest.fixture
def played() -> DecidingPlayed:
    """Queues a and b, nobody there, sampled once: what comes is told from then on."""
    found = DecidingPlayed()
    found.queues("a", "b")
    found.end_second()
    return found


def test_a_policy_goes_on_with_its_share_and_says_what_it_read(played: DecidingPlayed) -> None:
    played.use(a_policy(more=NO_DWELL))
    assert played.decide().shifts == ()
    waiting(played, 3)
    steer = played.decide()
    (shift,) = steer.shifts
    assert (shift.subject, shift.is_on, shift.cause) == (A, True, ActivationCause.ENTER)
    assert shift.signals == (("queue.waiting", "3"),)
    assert steer.orders == (Order(A, 1.0),)
    # It stays on, and is not told of again.
    assert played.decide() == steer._replace(shifts=())


def test_what_was_on_is_taken_up_after_a_restart(played: DecidingPlayed) -> None:
    played.use(a_policy(more=NO_DWELL))
    played.deciding.resume({A: 1_000 * played.second, Subject("gone", 2, "a"): 5})
    waiting(played, 3)
    steer = played.decide()
    assert [(item.subject.policy, item.is_on, item.cause) for item in steer.shifts] == [
        ("gone", False, ActivationCause.WITHDRAWN)
    ]
    assert steer.orders == (Order(A, 1.0),)


def test_what_was_on_ends_where_nothing_is_in_force_after_a_restart(played: DecidingPlayed) -> None:
    """Retired just before: nobody else would ever say that it is over."""
    played.deciding.resume({A: 1_000 * played.second})
    played.deciding.use([])
    steer = played.decide()
    assert [(item.subject, item.is_on, item.cause) for item in steer.shifts] == [
        (A, False, ActivationCause.WITHDRAWN)
    ]
    assert played.decide() == Steer()


def test_a_version_that_is_replaced_ends_and_the_next_begins(played: DecidingPlayed) -> None:
    """Another version is another policy: what it holds is not taken over."""
    waiting(played, 3)
    compiled = relief(a_policy(more=NO_DWELL))
    played.deciding.use([in_force(compiled)])
    assert played.decide().orders
    played.deciding.use([in_force(compiled, version=2)])
    steer = played.decide()
    assert [(item.subject.version, item.is_on, item.cause) for item in steer.shifts] == [
        (1, False, ActivationCause.WITHDRAWN),
        (2, True, ActivationCause.ENTER),
    ]
    played.deciding.use([])
    (shift,) = played.decide().shifts
    assert (shift.subject.version, shift.is_on) == (2, False)


def test_a_new_queue_does_not_disturb_what_is_on(played: DecidingPlayed) -> None:
    played.use(a_policy(more=NO_DWELL))
    waiting(played, 3)
    before = played.decide()
    played.queues("0-first", "z-last")
    after = played.decide()
    assert after.shifts == ()
    assert after.orders == before.orders


def test_active_and_trial_versions_do_not_hold_each_other_back(played: DecidingPlayed) -> None:
    waiting(played, 3)
    compiled = relief(a_policy(more=NO_DWELL))
    played.deciding.use([in_force(compiled), in_force(compiled, PolicyStage.SHADOW, 2)])
    steer = played.decide()
    assert [(item.subject.version, item.stage) for item in steer.shifts] == [
        (1, PolicyStage.ACTIVE),
        (2, PolicyStage.SHADOW),
    ]
    assert [item.subject.version for item in steer.orders] == [1, 2]


def test_kill_switch_and_overrides_count_at_the_next_second(played: DecidingPlayed) -> None:
    played.use(a_policy(more=NO_DWELL))
    waiting(played, 3)
    assert played.decide().orders
    played.deciding.switches.kill(Scope(queue="a"))
    (shift,) = played.decide().shifts
    assert (shift.is_on, shift.cause) == (False, ActivationCause.KILL)
    played.deciding.switches.revive(Scope(queue="a"))
    assert played.decide().orders
    played.deciding.switches.override(Scope("surge"), Override.OFF, 1 << 50)
    (shift,) = played.decide().shifts
    assert shift.cause is ActivationCause.OVERRIDE


def test_advise_asks_and_shadow_does_not(played: DecidingPlayed) -> None:
    waiting(played, 3)
    compiled = relief(a_policy(more=NO_DWELL).replace("mode: auto", "mode: advise"))
    played.deciding.use([in_force(compiled), in_force(compiled, PolicyStage.SHADOW, 2)])
    assert [item.needs_approval for item in played.decide().shifts] == [True, False]


@pytest.mark.parametrize("signal", QUEUE_SIGNALS, ids=lambda signal: signal.name)
def test_every_signal_can_be_read(signal: Signal, played: DecidingPlayed) -> None:
    """Of a cell with traffic, and before anything was sensed."""
    reads = {
        Kind.BOOL: f"{signal.name} || true",
        Kind.STRING: f'{signal.name} != "-"',
        Kind.DURATION: f'{signal.name} > duration("0s") || true',
        Kind.INT: f"{signal.name} >= 0 || true",
        Kind.DOUBLE: f"{signal.name} >= 0.0 || true",
    }
    text = a_policy(reads[signal.kind].replace("'", '"'), more=NO_DWELL)
    played.use(text)
    played.agent("agent", "a", "b")
    waiting(played, 3)
    steers = played.decide_for(3)
    told = [name for steer in steers for shift in steer.shifts for name, _ in shift.signals]
    # What is not known is an error of the condition, unless its other side decides.
    assert set(told) == {signal.name}


def test_present_signals_are_those_of_the_queue(played: DecidingPlayed) -> None:
    """As the snapshot of the engine has them, with no delay."""
    played.queues("a", priority=7, max_length=50, service_level_within_ms=15_000)
    played.agent("free", "b")
    played.agent("busy", "a")
    waiting(played, 4)
    played.end_second()
    moment = Moment(played.sensing, queues_of(played.sensing), 1_000 * played.second)
    signals = Signals(moment, Vocabulary())
    read = {
        name: signals.column(name).tolist()
        for name in (
            "queue.waiting", "queue.offered", "queue.assigned", "queue.scheduled",
            "queue.priority", "queue.max_length", "queue.service_level_within",
            "queue.agents_signed_in", "queue.is_open", "queue.oldest_wait",
        )
    }  # fmt: skip
    assert moment.queues.ids == ("a", "b")
    snapshot = played.engine.read.snapshot("a", 1_000 * played.second)
    assert read["queue.waiting"][0] == snapshot.waiting == 3
    assert read["queue.offered"][0] == snapshot.offered == 1
    assert read["queue.agents_signed_in"] == [snapshot.agents_signed_in, 1] == [1, 1]
    assert read["queue.priority"] == [7, 0]
    assert read["queue.max_length"] == [50, 0]
    assert read["queue.service_level_within"] == [15_000, 20_000]
    assert read["queue.is_open"] == [1, 1]
    assert signals.column("queue.channel").tolist() != signals.column("queue.id").tolist()


def test_schedule_is_on_the_clock_of_the_queue(played: DecidingPlayed) -> None:
    """The day begins on a Thursday at a full hour in UTC."""
    played.use(
        a_policy(
            more=NO_DWELL
            + "\nschedule: {periods: [{days: [friday], begins: '00:00', ends: '24:00'}]}"
        )
    )
    waiting(played, 3)
    assert played.decide().orders == ()


def test_expected_waits_are_those_of_the_engine() -> None:
    """Sums and integral against the sums alone."""
    rng = np.random.default_rng(3)
    ahead = rng.integers(0, 400, 200).astype(np.float64)
    agents, aht_ms = rng.uniform(0.5, 90, 200), rng.uniform(1e4, 1e6, 200)
    gives_up = rng.choice([0.0, 1e-6, 1e-5], 200)
    found = waits_of(Standing(ahead, np.zeros(200), agents, aht_ms, gives_up))
    for place in range(200):
        served = agents[place] / aht_ms[place]
        mean, variance = wait_moments(served, gives_up[place], int(ahead[place]))
        assert found.mean[place] == pytest.approx(mean, rel=2e-3)
        assert found.high[place] == pytest.approx(gamma_quantiles(mean, variance)[1], rel=3e-3)
    nobody = Standing(*(np.array([value]) for value in (2.0, 0.0, 0.0, 1e5, 0.0)))
    assert np.isnan(waits_of(nobody).mean).all()


def test_a_surge_of_the_group_is_one_of_the_queues_it_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The group's takes the place of theirs; without names all surge a little."""
    played = DecidingPlayed()
    for name, group in (("a", "g"), ("b", "g"), ("c", "")):
        played.do(UpsertQueue(name, forecast_group=group))
    played.define()
    played.use(a_policy("anomaly.surge && anomaly.excess > 10.0"))
    played.decide_for(2)
    rows = played.sensing.directory.rows
    ((whole, _),) = rows.groups()
    surge = Anomaly(1, AnomalyKind.SURGE, whole, played.second, -1, 300, 20.0, 0.999)
    monkeypatch.setattr(played.sensing.parts.watch, "open", lambda: [surge])
    moment = Moment(played.sensing, queues_of(played.sensing), 1_000 * played.second)
    signals = Signals(moment, Vocabulary())
    assert signals.column("anomaly.surge").tolist() == [1.0, 1.0, 0.0]
    assert signals.column("anomaly.excess").tolist() == [20.0, 20.0, 0.0]
    assert signals.column("anomaly.silence").tolist() == [0.0, 0.0, 0.0]
    own = surge._replace(number=2, row=played.row("a"), excess=7.0)
    monkeypatch.setattr(played.sensing.parts.watch, "open", lambda: [surge, own])
    assert Signals(moment, Vocabulary()).column("anomaly.excess").tolist() == [7.0, 20.0, 0.0]
    named = surge._replace(members=(played.row("b"),))
    monkeypatch.setattr(played.sensing.parts.watch, "open", lambda: [named])
    assert Signals(moment, Vocabulary()).column("anomaly.surge").tolist() == [0.0, 1.0, 0.0]
