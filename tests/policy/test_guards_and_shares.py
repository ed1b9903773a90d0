"""Switches, budgets and shares: each bound by itself, and against trying out."""

import math

import numpy as np
import pytest

from engine.kernels.policy_steps import FORCED_OFF, FORCED_ON, FREE, FROZEN, KILLED, UNSCHEDULED
from engine.policy.guards import MinuteBudgets, Override, Scope, Switches
from engine.policy.share import PolicyShares, just_enough, ramp, within_budget
from engine.policy.trigger import TriggerMachines
from engine.refusals import BadConfiguration
from tests.policy.written import OVERFLOW, relief

QUEUES = ("lisbon", "porto", "gold")
NAMES = {"policies": ("a", "b"), "queues": QUEUES}


def machines_of(share: str = "", guards: str = "") -> TriggerMachines:
    """Policies `a` and `b` for `lisbon` and `gold`: four pairs, in this order."""
    return TriggerMachines(_policies(share, guards), QUEUES)


def _policies(share: str = "", guards: str = "") -> list:
    text = OVERFLOW.replace("[lisbon]", "[lisbon, gold]") + share + guards
    return [relief(text.replace("lisbon-to-porto", name)) for name in ("a", "b")]


def said(switches: Switches, now_ms: int = 0, is_scheduled: bool = True) -> list[int]:
    """What is said of the four pairs."""
    pairs = machines_of().pairs
    return switches.said(pairs, NAMES, np.full(4, is_scheduled), now_ms).tolist()


def test_nothing_is_said_unless_somebody_does() -> None:
    """But for the schedule."""
    assert said(Switches()) == [FREE] * 4
    assert said(Switches(), is_scheduled=False) == [UNSCHEDULED] * 4


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (Scope(), [KILLED] * 4),
        (Scope(policy="a"), [KILLED, KILLED, FREE, FREE]),
        (Scope(queue="gold"), [FREE, KILLED, FREE, KILLED]),
        (Scope("b", "lisbon"), [FREE, FREE, KILLED, FREE]),
        (Scope(policy="c"), [FREE] * 4),
        (Scope(queue="porto"), [FREE] * 4),
    ],
)
def test_a_kill_switch_covers_its_scope(scope: Scope, expected: list[int]) -> None:
    """Of everything, a policy, a queue, or one for the other; until it is taken off."""
    switches = Switches()
    switches.kill(scope)
    assert said(switches) == expected
    assert said(switches, 1 << 50) == expected
    switches.revive(scope)
    assert said(switches) == [FREE] * 4


def test_overrides_expire_and_the_narrower_one_counts() -> None:
    """What is said of one queue goes before what is said of all; the kill switch before both."""
    switches = Switches()
    switches.override(Scope("a", "gold"), Override.ON, until_ms=2_000)
    switches.override(Scope("a"), Override.OFF, until_ms=3_000)
    switches.override(Scope("b"), Override.FREEZE, until_ms=1_000)
    assert said(switches, 999) == [FORCED_OFF, FORCED_ON, FROZEN, FROZEN]
    assert said(switches, 1_000) == [FORCED_OFF, FORCED_ON, FREE, FREE]
    assert said(switches, 2_000, is_scheduled=False) == [FORCED_OFF] * 2 + [UNSCHEDULED] * 2
    switches.override(Scope("a", "gold"), Override.ON, until_ms=9_000)
    switches.kill(Scope(queue="gold"))
    assert said(switches, 2_500) == [FORCED_OFF, KILLED, FREE, KILLED]
    switches.override(Scope("a"), None, 0)
    assert said(switches, 2_500) == [FREE, KILLED, FREE, KILLED]
    with pytest.raises(BadConfiguration, match=r"override\.policy"):
        switches.override(Scope(queue="gold"), Override.ON, 9)


def test_switches_survive_a_restart() -> None:
    """A policy that was killed at night is dead in the morning."""
    switches = Switches()
    switches.kill(Scope("a"))
    switches.override(Scope("b", "gold"), Override.ON, 5_000)
    after = Switches()
    after.load(switches.export())
    assert (after.killed, after.overrides) == (switches.killed, switches.overrides)
    with pytest.raises(BadConfiguration, match="switches"):
        after.load({"killed": []})
    with pytest.raises(BadConfiguration, match="switches"):
        after.load({"killed": [], "overrides": [["a", "", 77, 0]]})
    assert after.killed == {Scope("a")}


def test_no_more_than_so_many_in_any_minute() -> None:
    """At random times, counted over every minute that ends with one that was let through."""
    generator = np.random.default_rng(3)
    budgets = MinuteBudgets(np.array([7, 0]))
    let: list[int] = []
    now_ms = 1_000_000
    for _ in range(3_000):
        now_ms += int(generator.exponential(900))
        if budgets.take(0, now_ms):
            let.append(now_ms)
        assert budgets.take(1, now_ms)
    most = max(sum(now - 60_000 < at <= now for at in let) for now in let)
    assert most == 7
    # Nearly what is allowed is let through: a slot holds its place for up to 61 s.
    assert len(let) > 0.9 * 7 * (now_ms - 1_000_000) / 60_000


def test_a_clock_that_goes_back_does_not_fill_the_budget() -> None:
    """What was moved is not forgotten."""
    budgets = MinuteBudgets(np.array([1]))
    assert budgets.take(0, 100_000)
    assert not budgets.take(0, 10_000)
    assert not budgets.take(0, 160_999)
    assert budgets.take(0, 161_000)


def test_a_ramp_is_a_scaled_trigger() -> None:
    """0 below, 1 above, in proportion between; what is not known moves nobody."""
    values = np.array([-math.inf, 0.3, 0.4, 0.55, 0.8, 1.0, math.nan])
    assert ramp(values, 0.3, 0.8) == pytest.approx([0.0, 0.0, 0.2, 0.5, 1.0, 1.0, 0.0])


def test_just_enough_is_enough_and_little_more() -> None:
    """Against the share that can be worked out: risk falls in a straight line here."""
    top = np.array([0.1, 0.2, 0.5, 0.9, 1.0, math.nan])
    found = just_enough(lambda share: top * (1.0 - 0.5 * share), np.full(6, 0.2))
    least = np.array([0.0, 0.0, 1.2, 1.0, 1.0, 0.0])
    assert (found[[0, 1, 5]] == 0.0).all()
    assert found[[3, 4]].tolist() == [1.0, 1.0]
    found = just_enough(lambda share: top * (1.0 - share), np.full(6, 0.2))
    least = np.array([0.0, 0.0, 0.6, 1.0 - 0.2 / 0.9, 0.8, 0.0])
    assert (found >= least).all()
    assert (found <= least + 1 / 128).all()


def test_the_target_s_budget_bounds_the_share() -> None:
    """Risk of the target rises with what goes there; at its bound nothing does."""
    base = np.array([0.0, 0.1, 0.29, 0.3, math.nan])
    share = np.array([0.4, 1.0, 1.0, 1.0, 1.0])
    found = within_budget(lambda moved: base + 0.5 * moved, np.full(5, 0.3), share)
    assert found[0] == 0.4
    assert found[3:].tolist() == [0.0, 0.0]
    for place, most in ((1, 0.4), (2, 0.02)):
        assert most - 1 / 128 <= found[place] < most


def test_shares_move_slowly_up_and_down_and_stop_at_once() -> None:
    """Slewed while on; a policy that is off acts on nobody."""
    machines = machines_of("  share: {ramp: {value: breach_risk_5m, from: 0.2, to: 0.6}}\n",
                           "  guards: {share_max: 1.0}\n")  # fmt: skip
    shares = PolicyShares(_policies("  share: {ramp: {value: breach_risk_5m, from: 0.2, to: 0.6}}\n"
                                    "  guards: {share_max: 1.0}\n"), machines.pairs, 3)  # fmt: skip
    machines.pairs.is_on[0] = 1
    shares.columns.wanted[:] = 0.05
    told = [round(float(shares.move(machines.pairs, 2.0)[0]), 9) for _ in range(3)]
    assert told == [0.02, 0.04, 0.05]
    shares.columns.wanted[:] = 0.0
    assert float(shares.move(machines.pairs, 1.0)[0]) == pytest.approx(0.04)
    machines.pairs.is_on[0] = 0
    assert shares.move(machines.pairs, 0.0).tolist() == [0.0] * 4


def test_a_queue_loses_no_more_than_its_bound_to_all_policies() -> None:
    """Those that go first take first; a fixed share is there at once."""
    guards = "  share: {fixed: 0.4}\n  guards: {share_max: 0.5}\n"
    machines = machines_of(guards)
    shares = PolicyShares(_policies(guards), machines.pairs, 3)
    machines.pairs.is_on[:] = 1
    assert shares.move(machines.pairs, 0.0).tolist() == pytest.approx([0.4, 0.4, 0.1, 0.1])
    machines.pairs.is_on[0] = 0
    assert shares.move(machines.pairs, 0.0).tolist() == pytest.approx([0.0, 0.4, 0.4, 0.1])


@pytest.mark.parametrize("wanted", [-0.01, 1.01, math.nan])
def test_a_share_that_is_none_is_refused(wanted: float) -> None:
    """A wrong prediction moves nobody to nowhere."""
    machines = machines_of()
    shares = PolicyShares(_policies(), machines.pairs, 3)
    shares.columns.wanted[0] = wanted
    with pytest.raises(ValueError, match="expected 0 to 1"):
        shares.move(machines.pairs, 1.0)


def test_shares_of_more_queues_than_there_are_are_refused() -> None:
    """A kernel writes where it is told to: it is told once, here."""
    with pytest.raises(ValueError, match="queues: expected more than 2"):
        PolicyShares(_policies(), machines_of().pairs, 2)
