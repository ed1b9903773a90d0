"""When policies are on: the machine against its description, and each guard by itself."""

from collections.abc import Sequence

import numpy as np
import pytest

from engine.kernels.policy_steps import FORCED_ON, FREE, FROZEN, KILLED, UNSCHEDULED, Seen
from engine.policy.compiled import CompiledRelief
from engine.policy.trigger import Cause, TriggerMachines, matched_pairs, trigger_rows
from engine.policy.values import Truth
from engine.refusals import BadConfiguration
from tests.policy.plain_machine import PlainMachine, Settings
from tests.policy.written import OVERFLOW, relief

QUEUES = ("lisbon", "porto", "gold")


def policy_of(settings: Settings, name: str = "p", spec: str = "") -> CompiledRelief:
    """A policy for `lisbon` with some settings; conditions are not evaluated here."""
    leave = f"\n  exit: {{when: queue.waiting < 2, for: {settings.exit_for}ms}}"
    return relief(
        OVERFLOW.replace("lisbon-to-porto", name).replace(
            "  enter: {when: queue.waiting > 4}\n",
            f"  enter: {{when: queue.waiting > 4, for: {settings.enter_for}ms}}"
            f"{leave if settings.has_exit else ''}\n"
            f"  guards: {{dwell_on: {settings.dwell_on}ms, dwell_off: {settings.dwell_off}ms, "
            f"cool_down: {settings.cool_down}ms}}\n"
            f"  stale: {{policy: {settings.stale}, after: {settings.stale_after}ms, "
            f"hold_for: {settings.hold_for}ms}}\n{spec}",
        )
    )


def seen(truths: Sequence[Truth], said: int = FREE, age_ms: int = 0) -> Seen:
    """The same for every queue."""
    columns = np.repeat(np.array(truths, np.int8)[:, None], len(QUEUES), axis=1)
    return Seen(
        np.ascontiguousarray(columns), np.full(len(QUEUES), age_ms), np.full(1, said, np.int64)
    )


def states(settings: Settings, story: str, said: str = "", ages_s: str = "") -> str:
    """
    On (`#`) or off (`.`) at each second of a story.

    Parameters
    ----------
    story
        `e` enter is met, `x` exit is met, `-` neither, `?` neither can be told.
    said
        `k` killed, `o` forced on, `f` frozen, `s` outside the schedule; blank for nothing.
    ages_s
        Age of telemetry, a digit per second.
    """
    words = {"e": (1, 0), "x": (0, 1), "-": (0, 0), "?": (2, 2)}
    codes = {" ": FREE, "k": KILLED, "o": FORCED_ON, "f": FROZEN, "s": UNSCHEDULED}
    machines = TriggerMachines([policy_of(settings)], QUEUES)
    told = ""
    for second, word in enumerate(story):
        truths = [Truth(code) for code in words[word]][: 2 if settings.has_exit else 1]
        code = codes[(said + " " * len(story))[second]]
        age_ms = 1_000 * int((ages_s + "0" * len(story))[second])
        machines.step(seen(truths, code, age_ms), 1_000 * second)
        told += "#" if machines.pairs.is_on[0] else "."
    return told


@pytest.mark.parametrize(
    ("settings", "story", "expected"),
    [
        (Settings(), "-e-x-", ".##.."),
        (Settings(), "ex", "#."),
        (Settings(enter_for=2_000), "-ee-eee-", "......##"),  # held without a break
        (Settings(exit_for=2_000), "exx-xxx-", "######.."),
        (Settings(dwell_on=3_000), "exxxx", "###.."),
        (Settings(dwell_off=3_000), "exeeeee", "#...###"),
        (Settings(cool_down=4_000), "exeeeee", "#....##"),
        (Settings(has_exit=False), "e-e-", "#.#."),
        (Settings(enter_for=2_000), "ee?eee", ".....#"),  # what cannot be told breaks a hold
        (Settings(hold_for=3_000), "e??????", "####..."),
        (Settings(hold_for=3_000), "e??-???x", "#######."),  # what can be told ends the wait
        (Settings(hold_for=3_000), "?????e", ".....#"),
        (Settings(stale="exit"), "e?e", "#.#"),
        (Settings(stale="exit", cool_down=3_000), "e?eee", "#...#"),
        (Settings(stale="ignore"), "e?x", "##."),
        (Settings(stale="ignore", has_exit=False), "e?-", "##."),
    ],
)  # fmt: skip
def test_a_story(settings: Settings, story: str, expected: str) -> None:
    """Each rule by itself, second by second."""
    assert states(settings, story) == expected


def test_old_telemetry_is_not_acted_upon() -> None:
    """Conditions may still be told, of values that nobody believes any more."""
    settings = Settings(stale_after=3_000, hold_for=2_000)
    assert states(settings, "eeeeee", ages_s="456320") == "...###"
    assert states(settings, "exxxxx", ages_s="045678") == "###..."
    assert states(Settings(stale_after=3_000, stale="ignore"), "ex", ages_s="99") == "#."


def test_what_is_said_counts_at_once() -> None:
    """A kill switch waits for no dwell; holds begin anew when it is taken off."""
    long = Settings(dwell_on=60_000, enter_for=2_000, dwell_off=4_000)
    assert states(long, "eeeeeeeeee", "    k") == "..##....##"
    assert states(Settings(), "xxxx", " oo ") == ".##."
    assert states(Settings(), "exxx-ee", " ff  f") == "###...#"
    assert states(Settings(dwell_on=60_000), "eeeee", "  ss ") == "##..#"


def test_a_gap_breaks_what_was_being_held() -> None:
    """A pause of the process is not a minute in which a condition was met."""
    machines = TriggerMachines([policy_of(Settings(enter_for=10_000))], QUEUES)
    met = seen([Truth.TRUE, Truth.FALSE])
    for at_ms in (0, 5_000, 60_000, 65_000, 69_999):
        assert machines.step(met, at_ms) == []
    (change,) = machines.step(met, 70_000)
    assert (change.is_on, change.cause, change.queue) == (True, Cause.ENTER, 0)


def test_only_one_direction_is_on() -> None:
    """Of two policies that move contacts back and forth the one that goes first is on."""
    back = relief(
        OVERFLOW.replace("lisbon-to-porto", "back").replace("queue: porto", "queue: lisbon")
        .replace("[lisbon]", "[porto]").replace("spec:", "spec:\n  precedence: 1")
    )  # fmt: skip
    there = policy_of(Settings(has_exit=False))
    machines = TriggerMachines([there, back], QUEUES)
    assert machines.pairs.policy.tolist() == [1, 0]
    said = np.zeros(2, np.int64)
    ages = np.zeros(3, np.int64)
    both = np.full((2, 3), Truth.TRUE, np.int8)
    assert [item.policy for item in machines.step(Seen(both, ages, said), 0)] == [1]
    assert machines.step(Seen(both, ages, said), 1_000) == []
    only_there = both.copy()
    only_there[1] = Truth.FALSE
    machines.step(Seen(only_there, ages, said), 400_000)
    assert machines.pairs.is_on.tolist() == [0, 1]
    assert machines.step(Seen(both, ages, said), 401_000) == []


def test_two_that_do_not_mind_may_both_be_on() -> None:
    """Where neither guard asks for it, contacts may go both ways."""
    free = "  guards: {one_direction: false}\n"
    there = relief(OVERFLOW + free)
    back = relief(
        OVERFLOW.replace("lisbon-to-porto", "back").replace("queue: porto", "queue: lisbon")
        .replace("[lisbon]", "[porto]") + free
    )  # fmt: skip
    machines = TriggerMachines([there, back], QUEUES)
    both = np.full((2, 3), Truth.TRUE, np.int8)
    machines.step(Seen(both, np.zeros(3, np.int64), np.zeros(2, np.int64)), 0)
    assert machines.pairs.is_on.tolist() == [1, 1]


def drawn_settings(generator: np.random.Generator) -> Settings:
    """Any settings; times are such that a walk of minutes meets all of them."""
    seconds = [int(value) * 1_000 for value in generator.integers(0, 6, 5)]
    has_exit = bool(generator.random() < 0.7)
    return Settings(
        enter_for=seconds[0],
        exit_for=seconds[1] if has_exit else 0,
        dwell_on=seconds[2],
        dwell_off=seconds[3],
        cool_down=seconds[4],
        stale=("hold", "exit", "ignore")[int(generator.integers(3))],
        stale_after=int(generator.integers(0, 5)) * 1_000,
        hold_for=int(generator.integers(0, 8)) * 1_000,
        has_exit=has_exit,
    )


@pytest.mark.parametrize("seed", range(20))
def test_machines_agree_with_their_description(seed: int) -> None:
    """Random settings and stories, with gaps, blindness and interventions."""
    generator = np.random.default_rng(seed)
    settings = [drawn_settings(generator) for _ in range(8)]
    policies = [policy_of(item, f"p{row}") for row, item in enumerate(settings)]
    machines = TriggerMachines(policies, QUEUES)
    plain = [PlainMachine(item) for item in settings]
    rows = trigger_rows(policies)
    truths = np.zeros((16, 3), np.int8)
    now_ms = int(generator.integers(0, 1 << 40))
    for _ in range(400):
        now_ms += 1_000 if generator.random() < 0.97 else int(generator.integers(1, 9_000))
        moved = generator.random((16, 1)) < 0.3
        drawn = generator.choice(3, (16, 1), p=(0.45, 0.45, 0.1))
        truths = np.where(moved, drawn, truths).astype(np.int8)
        age_ms = int(generator.choice((0, 1_000, 6_000), p=(0.8, 0.15, 0.05)))
        said = generator.choice(6, 8, p=(0.95, 0.01, 0.01, 0.01, 0.01, 0.01)).astype(np.int64)
        machines.step(Seen(truths, np.full(3, age_ms), said), now_ms)
        for row, machine in enumerate(plain):
            enter, leave = rows[row]
            told = Truth(int(truths[enter, 0])), Truth(int(truths[max(leave, 0), 0]))
            machine.step(told, age_ms, int(said[row]), now_ms, False)
        assert machines.pairs.is_on.tolist() == [machine.is_on for machine in plain]
        assert machines.pairs.cause.tolist() == [machine.cause for machine in plain]


def test_machines_go_on_after_a_restart() -> None:
    """What was on is on, with its dwell; a policy that is new begins off."""
    names = {"policies": ["p0", "p1"], "queues": QUEUES}
    policies = [policy_of(Settings(dwell_on=9_000), name) for name in names["policies"]]
    machines = TriggerMachines(policies, QUEUES)
    truths = np.zeros((4, 3), np.int8)
    truths[0] = Truth.TRUE
    said, ages = np.zeros(2, np.int64), np.zeros(3, np.int64)
    machines.step(Seen(truths, ages, said), 0)
    after = TriggerMachines(list(reversed(policies)), QUEUES)
    after.load(machines.export(names), {"policies": ["p1", "p0"], "queues": QUEUES})
    assert after.pairs.is_on.tolist() == [1, 0]
    assert after.pairs.policy.tolist() == [1, 0]
    leave = np.full((4, 3), Truth.TRUE, np.int8)
    leave[0] = leave[2] = Truth.FALSE
    assert after.step(Seen(leave, ages, said), 8_000) == []
    assert [item.is_on for item in after.step(Seen(leave, ages, said), 9_000)] == [False]
    with pytest.raises(BadConfiguration, match=r"triggers\.p0/lisbon"):
        after.load({"p0/lisbon": [1, 2]}, names)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"truths": np.zeros((1, 3), np.int8)}, "truths: expected at least"),
        ({"telemetry_age_ms": np.full(3, -1)}, "telemetry_age_ms: expected at least 1 ages"),
        ({"said": np.zeros(2, np.int64)}, r"said: expected \(1,\)"),
    ],
)
def test_what_is_seen_must_fit(change: dict[str, np.ndarray], message: str) -> None:
    """A kernel reads where it is told to: it is told once, here."""
    machines = TriggerMachines([policy_of(Settings())], QUEUES)
    with pytest.raises(ValueError, match=message):
        machines.step(seen([Truth.FALSE, Truth.FALSE])._replace(**change), 0)


def test_time_does_not_go_back() -> None:
    """A step in the past would make dwell and holds negative."""
    machines = TriggerMachines([policy_of(Settings())], QUEUES)
    machines.step(seen([Truth.FALSE, Truth.FALSE]), 10)
    with pytest.raises(ValueError, match="now_ms: expected 11"):
        machines.step(seen([Truth.TRUE, Truth.FALSE]), 10)
    assert machines.pairs.is_on.tolist() == [0]


def test_no_policies_and_no_queues_are_fine() -> None:
    """A set may be empty, and match nothing."""
    nothing = Seen(np.zeros((2, 3), np.int8), np.zeros(3, np.int64), np.zeros(0, np.int64))
    assert TriggerMachines([], QUEUES).step(nothing, 0) == []
    assert TriggerMachines([policy_of(Settings())], ("gold",)).step(nothing, 0) == []
    assert matched_pairs([policy_of(Settings())], QUEUES) == [(0, 0)]
