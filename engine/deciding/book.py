"""
The policies in force, second by second: conditions are evaluated, triggers stepped, shares moved.

Active versions and those on trial are two books: a policy may be in both, with other parameters and
another state, and what is on trial must not hold back what acts.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.deciding.elsewhere import Reading
from engine.deciding.moment import Moment, Queues
from engine.deciding.shares import bears_unknown, wanted_shares
from engine.deciding.signals import fill
from engine.deciding.words import signals_in_words
from engine.kernels.policy_steps import Seen
from engine.kernels.windows import ABANDONED, ANSWER_WAIT_MS, ANSWERED, ANSWERED_WITHIN
from engine.policies import PolicyStage
from engine.policy.columns import PlainEvaluator, measured
from engine.policy.compiled import CompiledRelief, values_in_force
from engine.policy.guards import Switches
from engine.policy.in_force import InForce
from engine.policy.program import Evaluator, Frame, Program, Trigger, key_of
from engine.policy.share import PolicyShares
from engine.policy.trigger import GAP_MS, Change, TriggerMachines, triggers_of
from engine.policy.vocabulary import Vocabulary
from engine.steering import ActivationCause, Order, PhaseFigures, Shift, Steer, Subject


class Book:
    """
    Some policies over some queues.

    Attributes
    ----------
    machines, shares
        Their state.
    program
        Their conditions, compiled apart by who wants to: set `evaluator`.
    frame, said
        What conditions read, and what people and schedules said of each pair, in the last second.
    held_back
        Policies that moved nothing then, for it was not known what their target can bear.
    """

    def __init__(self, policies: Sequence[InForce], queues: Queues) -> None:
        self.policies = tuple(policies)
        self.queues = queues
        self._compiled = compiled = [item.compiled for item in policies]
        measures = [
            Trigger(item.policy.name, item.ramp) for item in compiled if item.ramp is not None
        ]
        self.program = Program(triggers_of(compiled), Vocabulary(), measures)
        self.evaluator: Evaluator = PlainEvaluator(self.program)
        self.machines = TriggerMachines(compiled, queues.ids)
        self.shares = PolicyShares(compiled, self.machines.pairs, len(queues.ids))
        self.frame: Frame | None = None
        self.said = np.zeros(0, np.int64)
        self.held_back: set[str] = set()
        self._targets: dict[str, int | Reading] = _targets(compiled, queues)
        # Of policies whose target is in another cell, where it is.
        self._elsewhere = {
            item.policy.name: target
            for item in compiled
            if (target := item.policy.spec.target) is not None and target.cell
        }
        self._names = {"policies": [item.name for item in self.policies], "queues": queues.ids}
        self._versions = self._names | {
            "policies": [f"{item.name}/{item.version}" for item in self.policies]
        }

    def step(self, moment: Moment, switches: Switches) -> Steer:
        """Step to a second; returns what went on or off, and every share that is not 0."""
        frame = fill(self.program, moment, self._targets | self._told_of(moment))
        for item in self.policies:
            for name, value in values_in_force(item.compiled.policy):
                frame.set_param(key_of(item.name, name), value)
        self.frame = frame
        truths = self.evaluator.evaluate(frame)
        self.said = switches.said(
            self.machines.pairs, self._names, self._is_scheduled(moment), moment.now_ms
        )
        passed_ms = min(max(moment.now_ms - self.machines.stepped_ms, 0), GAP_MS)
        changes = self.machines.step(Seen(truths, moment.age_ms, self.said), moment.now_ms)
        shifts = tuple(self._shift(change, moment) for change in changes)
        measures, pairs = measured(self.program, frame), self.machines.pairs
        columns = self.shares.columns
        columns.wanted[:] = wanted_shares(self._compiled, pairs, measures, moment, columns.share)
        self.shares.move(pairs, passed_ms / 1_000)
        at_work = {int(policy) for policy in pairs.policy[pairs.is_on == 1]}
        self.held_back = {
            item.policy.name
            for place, item in enumerate(self._compiled)
            if place in at_work and bears_unknown(item, moment)
        }
        return Steer(shifts, self._orders())

    def resume(self, begun: Mapping[Subject, int]) -> None:
        """Take up activations that were on when the process ended, and when each began."""
        for pair in range(self.machines.count):
            began_ms = begun.get(self.subject(pair))
            if began_ms is not None:
                self.machines.pairs.is_on[pair] = 1
                self.machines.pairs.changed_ms[pair] = began_ms

    def take_over(self, other: "Book") -> list[Shift]:
        """
        Take over what another book's machines remember, of the same versions and queues.

        Returns the end of what was on there and is not here.
        """
        self.machines.load(other.machines.export(other._versions), self._versions)
        self.machines.stepped_ms = other.machines.stepped_ms
        mine, theirs = self._pair_of(), other._pair_of()
        for subject in mine.keys() & theirs.keys():
            share = other.shares.columns.share[theirs[subject]]
            self.shares.columns.share[mine[subject]] = share
        return [
            other._shift_of(pair, is_on=False, cause=ActivationCause.WITHDRAWN)
            for subject, pair in theirs.items()
            if subject not in mine and other.machines.pairs.is_on[pair]
        ]

    def subjects_on(self) -> set[Subject]:
        """What is on."""
        return {self.subject(int(pair)) for pair in np.flatnonzero(self.machines.pairs.is_on)}

    def _told_of(self, moment: Moment) -> dict[str, Reading]:
        """What other cells tell of the targets of policies that have them there."""
        found: dict[str, Reading] = {}
        for name, target in self._elsewhere.items():
            reading = moment.reading_of(target)
            if reading is not None:
                found[name] = reading
        return found

    def _pair_of(self) -> dict[Subject, int]:
        return {self.subject(pair): pair for pair in range(self.machines.count)}

    def _is_scheduled(self, moment: Moment) -> NDArray[np.bool_]:
        pairs = self.machines.pairs
        found = np.ones(self.machines.count, np.bool_)
        for pair, (policy, queue) in enumerate(
            zip(pairs.policy.tolist(), pairs.queue.tolist(), strict=True)
        ):
            schedule = self.policies[policy].compiled.policy.spec.schedule
            if schedule is not None:
                local = moment.local[queue]
                found[pair] = schedule.includes(local.moment.date(), local.minute_of_day)
        return found

    def _orders(self) -> tuple[Order, ...]:
        is_on = (self.machines.pairs.is_on == 1) & (self.shares.columns.share > 0.0)
        share = self.shares.columns.share
        return tuple(
            Order(self.subject(pair), float(share[pair])) for pair in np.flatnonzero(is_on).tolist()
        )

    def _shift(self, change: Change, moment: Moment) -> Shift:
        """What a machine did; with what was before, where it begins."""
        cause = ActivationCause(int(change.cause))
        shift = self._shift_of(change.pair, is_on=change.is_on, cause=cause)
        if not shift.is_on:
            return shift
        sums = moment.window_sums("15m")[change.queue]
        columns = (ANSWERED, ANSWERED_WITHIN, ABANDONED, ANSWER_WAIT_MS)
        return shift._replace(before=PhaseFigures(*(int(sums[column]) for column in columns)))

    def _shift_of(self, pair: int, *, is_on: bool, cause: ActivationCause) -> Shift:
        subject = self.subject(pair)
        item = self.policies[int(self.machines.pairs.policy[pair])]
        signals: tuple[tuple[str, str], ...] = ()
        if self.frame is not None and cause is not ActivationCause.WITHDRAWN:
            queue = int(self.machines.pairs.queue[pair])
            expression = item.compiled.enter if is_on else item.compiled.exit or item.compiled.enter
            signals = signals_in_words(
                self.program, self.frame, Trigger(item.name, expression), queue
            )
        needs_approval = (
            item.compiled.policy.spec.mode == "advise" and item.stage is not PolicyStage.SHADOW
        )
        return Shift(subject, item.stage, is_on, cause, needs_approval, signals)

    def subject(self, pair: int) -> Subject:
        """What a pair is about."""
        pairs = self.machines.pairs
        item = self.policies[int(pairs.policy[pair])]
        return Subject(item.name, item.version, self.queues.ids[int(pairs.queue[pair])])


def _targets(policies: Sequence[CompiledRelief], queues: Queues) -> dict[str, int | Reading]:
    """Place of each policy's target among the queues of this cell."""
    place_of = {queue_id: place for place, queue_id in enumerate(queues.ids)}
    found: dict[str, int | Reading] = {}
    for compiled in policies:
        target = compiled.policy.spec.target
        if target is not None and not target.cell and target.queue in place_of:
            found[compiled.policy.name] = place_of[target.queue]
    return found
