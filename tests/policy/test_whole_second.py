"""From files to shares, second by second: a surge comes and goes, one queue has no telemetry."""

import numpy as np

from engine.kernels.policy_steps import Seen
from engine.policy.arms import is_taken
from engine.policy.columns import PlainEvaluator, measured
from engine.policy.compiled import values_in_force
from engine.policy.guards import Scope, Switches
from engine.policy.lowering import CompiledEvaluator
from engine.policy.program import Program, Trigger, key_of
from engine.policy.share import PolicyShares, ramp
from engine.policy.trigger import Cause, TriggerMachines, triggers_of
from engine.policy.values import condition
from engine.policy.vocabulary import Vocabulary
from tests.policy.written import DIVERSION, relief

QUEUES = ("billing", "sales-north", "porto", "sales-south")
RAMPED = DIVERSION.replace(
    "{just_enough: {risk_max: 0.2}}",
    "{ramp: {value: breach_risk_5m, from: 0.2, to: 0.7}, slew_per_s: 0.2}",
)


def test_a_surge_is_met_and_left_alone_again() -> None:
    """Held for 30 s, ramped up, on for two minutes at least, killed in the end."""
    policies = [relief(RAMPED)]
    (compiled,) = policies
    name = compiled.policy.name
    assert compiled.ramp is not None
    vocabulary = Vocabulary()
    program = Program(triggers_of(policies), vocabulary, [Trigger(name, compiled.ramp)])
    machines = TriggerMachines(policies, QUEUES)
    shares = PolicyShares(policies, machines.pairs, len(QUEUES))
    switches = Switches()
    names = {"policies": (name,), "queues": QUEUES}
    evaluators = PlainEvaluator(program), CompiledEvaluator(program)
    told: list[tuple[int, int, bool, Cause]] = []
    most = 0.0
    for second in range(400):
        if second == 390:
            switches.kill(Scope(policy=name))
        frame = program.frame(len(QUEUES))
        # A surge of 100 s in billing, of 300 s in the north; the south has no telemetry at all.
        risk = np.array([0.6 if 10 <= second < 110 else 0.1, 0.9, 0.9, np.nan])
        column = frame.column("breach_risk_5m")
        wait = frame.column("queue.estimated_wait")
        assert column is not None
        assert wait is not None
        column[:] = risk
        wait[:3] = 20_000
        for param, value in values_in_force(compiled.policy):
            frame.set_param(key_of(name, param), value)
        truths = evaluators[0].evaluate(frame)
        assert (truths == evaluators[1].evaluate(frame)).all()
        said = switches.said(machines.pairs, names, np.full(machines.count, True), second * 1_000)
        ages_ms = np.zeros(len(QUEUES), np.int64)
        for change in machines.step(Seen(truths, ages_ms, said), second * 1_000):
            told.append((second, change.queue, change.is_on, change.cause))
        wanted = ramp(measured(program, frame)[0], 0.2, 0.7)
        shares.columns.wanted[:] = wanted[machines.pairs.queue]
        most = max(most, float(shares.move(machines.pairs, 1.0).max()))
    assert told == [
        (30, 1, True, Cause.ENTER),
        (40, 0, True, Cause.ENTER),
        # Met since 110 for a minute, and on for two: both are over at 170.
        (170, 0, False, Cause.EXIT),
        (390, 1, False, Cause.KILL),
    ]
    # The guard's bound, although the ramp asked for all.
    assert most == 0.5
    assert shares.columns.share.tolist() == [0.0, 0.0, 0.0]


def test_a_contact_is_eligible_and_taken_or_not() -> None:
    """What is asked of one contact, as a gateway's command will ask it."""
    compiled = relief(DIVERSION)
    assert compiled.eligible is not None
    eligible = condition(compiled.eligible)
    assert eligible({"contact.tier": "basic", "contact.wait": 13_000}) == 1
    assert eligible({"contact.tier": "vip", "contact.wait": 13_000}) == 0
    assert eligible({"contact.tier": "basic"}) == 2
    taken = sum(is_taken(f"c{number}", compiled.policy.name, 0.25) for number in range(4_000))
    assert abs(taken - 1_000) < 4 * (4_000 * 0.25 * 0.75) ** 0.5
