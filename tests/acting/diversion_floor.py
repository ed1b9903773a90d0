"""
A queue with customers who give up, agents, and a policy that offers them another way, in earnest.

Everything that decides is the product's own: conditions are evaluated, triggers stepped and shares
moved by `Book`, contacts offered and moved by the desk, matched and counted by the engine. Only
chance is ours: the next event is drawn from the rates of what the engine itself says is going on,
so that the floor is a Markov chain whose exact figures are known (tests/data/exact_queue.json).
Triggers are stepped after every event that changes the queue, not each second: the exact rule
knows no delay.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from engine.acting.rulebook import Rulebook
from engine.choices import AcceptChoice, RefuseChoice
from engine.commands import (
    CancelContact,
    Command,
    CompleteAssignment,
    OfferContact,
    Route,
    SetPresence,
    UpsertAgent,
    UpsertQueue,
)
from engine.deciding.book import Book
from engine.deciding.moment import Moment, Queues, Whole, queues_of
from engine.effects import Effect, EffectKind
from engine.engine import Engine, Outcome
from engine.lifecycle import CancelReason, Channel, Presence
from engine.limits import FORTNIGHT_MS
from engine.policies import PolicyStage
from engine.policy.guards import Switches
from engine.policy.in_force import InForce
from engine.sensing.sampling import ChangeReader, take_sample
from engine.sensing.sensing import Sensing
from engine.steering import Order
from tests.policy.written import relief

BEGIN_MS: Final = 1_790_000_000_000
# Long enough that a millisecond is nothing beside the time between events.
MINUTE_MS: Final = 600_000
QUEUE: Final = "a"
LATER: Final = "later"


def policy_text(enter: str, exit_at: str, share: float, offer: str) -> str:
    """
    A policy that offers those who come and must wait another way, never those who wait already.

    Parameters
    ----------
    exit_at
        "" = as soon as it would not enter.
    offer
        What `offer_choice` says.
    """
    leave = f"  exit: {{when: {exit_at}}}\n" if exit_at else ""
    return f"""\
apiVersion: headgate/v1
kind: DiversionPolicy
metadata: {{name: surge}}
spec:
  mode: auto
  match: {{queues: [{QUEUE}]}}
  enter: {{when: {enter}}}
{leave}  eligible: contact.wait == duration("0s")
  actions: [{{offer_choice: {{{offer}}}}}]
  share: {{fixed: {share}}}
  guards: {{dwell_on: 0s, dwell_off: 0s, share_max: 1.0, target: null}}
"""


class Rates(NamedTuple):
    """What happens in a minute: contacts come; one contact ends; one that waits gives up."""

    arrivals: float
    endings: float
    patience: float


@dataclass(slots=True)
class Tally:
    """
    What happened in a stretch of time; times are in minutes.

    Attributes
    ----------
    waiting, busy, on, later
        Integrals over time of those who wait, agents who are busy, whether it is on, and of
        callbacks that are due.
    waits
        Of those who were answered or gave up, as the engine tells them.
    """

    minutes: float = 0.0
    waiting: float = 0.0
    busy: float = 0.0
    on: float = 0.0
    later: float = 0.0
    waits: float = 0.0
    arrivals: int = 0
    queued: int = 0
    abandoned: int = 0
    diverted: int = 0
    begun: int = 0


class DiversionFloor:
    """
    One queue, its agents and its policy.

    Parameters
    ----------
    accepts
        Probability with which one who is offered a choice accepts its first option.
    kept_free
        Agents that callbacks leave free: one is dialled when nobody waits and more are.

    Attributes
    ----------
    waiting, assigned, later
        Contacts that wait; those that agents have, with the agent; callbacks, the oldest first.
    free
        Agents without a contact.
    """

    def __init__(
        self, agents: int, rates: Rates, text: str, *, accepts: float = 0.0, kept_free: int = 0
    ) -> None:
        self.engine = Engine()
        self.now_ms = BEGIN_MS
        self.tally = Tally()
        self.waiting: list[str] = []
        self.assigned: dict[str, str] = {}
        self.later: list[str] = []
        self._rates, self._accepts, self._kept_free = rates, accepts, kept_free
        self.free = {f"g{number}" for number in range(agents)}
        for name in (QUEUE, LATER):
            self._do(UpsertQueue(name, max_wait_ms=FORTNIGHT_MS))
        for agent_id in sorted(self.free):
            self._do(UpsertAgent(agent_id, queue_ids=(QUEUE,), auto_accept=True))
            self._do(SetPresence(agent_id, Presence.AVAILABLE))
        policy = InForce(relief(text), 1, PolicyStage.ACTIVE)
        self.engine.desk.use(Rulebook([policy]))
        self._sensing = Sensing()
        self._sensing.define(ChangeReader().take(self.engine.cell))
        self._book = Book([policy], queues_of(self._sensing))
        self._random = np.random.default_rng(1)
        self._come = 0
        self._seen = -1
        self._orders: tuple[Order, ...] = ()

    def run(self, minutes: float) -> Tally:
        """Let so much time pass; returns what happened in it."""
        self.tally = Tally()
        while self.tally.minutes < minutes:
            self._happen()
        return self.tally

    def _happen(self) -> None:
        """Let the next thing happen: when and what, what is going on alone decides."""
        ending = len(self.assigned) * self._rates.endings
        leaving = len(self.waiting) * self._rates.patience
        total = self._rates.arrivals + ending + leaving
        self._pass(self._random.exponential(1.0 / total))
        drawn = total * self._random.random()
        if drawn < ending:
            # One as well as another, for they remember nothing.
            self._do(CompleteAssignment(*next(iter(self.assigned.items()))))
        elif drawn < ending + leaving:
            contact_id = self.waiting[self._random.integers(len(self.waiting))]
            self._do(CancelContact(contact_id, CancelReason.ABANDONED))
        else:
            self._arrive()
        if self.later and not self.waiting and len(self.free) > self._kept_free:
            self._do(OfferContact(self.later[0], min(self.free)))
        self._decide()

    def _pass(self, minutes: float) -> None:
        # Each event has a time of its own: who comes has not waited, all others have.
        self.now_ms += max(round(minutes * MINUTE_MS), 1)
        tally = self.tally
        tally.minutes += minutes
        tally.waiting += minutes * len(self.waiting)
        tally.busy += minutes * len(self.assigned)
        tally.later += minutes * len(self.later)
        tally.on += minutes * bool(self._book.machines.pairs.is_on[0])

    def _arrive(self) -> None:
        self._come += 1
        self.tally.arrivals += 1
        contact_id = f"c{self._come}"
        outcome = self._do(Route(contact_id, QUEUE, Channel.VOICE))
        if outcome.choice is not None:
            is_taken = self._random.random() < self._accepts
            self._do(AcceptChoice(contact_id, 1) if is_taken else RefuseChoice(contact_id))

    def _decide(self) -> None:
        """Step the triggers where what they read has changed, and bring what they say."""
        if len(self.waiting) == self._seen:
            return
        self._seen = len(self.waiting)
        steer = self._book.step(_Now(self, self._sensing, self._book.queues), Switches())
        if steer.shifts or steer.orders != self._orders:
            self._orders = steer.orders
            self.tally.begun += sum(shift.is_on for shift in steer.shifts)
            self._do(steer)

    def _do(self, command: Command) -> Outcome:
        """Run a command now, and note whom it brought where."""
        outcome = self.engine.apply(command, self.now_ms)
        for fields in self.engine.take_group().effects:
            effect = Effect(*fields)  # type: ignore[arg-type]
            note = _NOTES.get(effect.kind)
            if note is not None:
                note(self, effect)
        return outcome


class _Now(Moment):
    """What the engine's own columns say now; sensing says what they said as the second ended."""

    def __init__(self, floor: DiversionFloor, sensing: Sensing, queues: Queues) -> None:
        super().__init__(sensing, queues, floor.now_ms)
        self._sample = take_sample(floor.engine.cell, floor.now_ms // 1_000).queues

    def sample(self, column: int) -> Whole:
        """As it is now."""
        return self._sample[self.queues.own, column]

    def either(self, of_sample: Whole, column: int) -> Whole:
        """The engine tells of all queues."""
        return of_sample

    @property
    def age_ms(self) -> Whole:
        """Nothing is out of date."""
        return np.zeros(self.count, np.int64)


def _queued(floor: DiversionFloor, effect: Effect) -> None:
    floor.tally.queued += 1
    floor.waiting.append(effect.contact_id)


def _assigned(floor: DiversionFloor, effect: Effect) -> None:
    if effect.contact_id in floor.later:
        floor.later.remove(effect.contact_id)
    else:
        floor.tally.waits += effect.wait_ms / MINUTE_MS
        _leaves(floor, effect)
    floor.assigned[effect.contact_id] = effect.agent_id
    floor.free.discard(effect.agent_id)


def _completed(floor: DiversionFloor, effect: Effect) -> None:
    floor.free.add(floor.assigned.pop(effect.contact_id))


def _abandoned(floor: DiversionFloor, effect: Effect) -> None:
    floor.tally.abandoned += 1
    floor.tally.waits += effect.wait_ms / MINUTE_MS
    _leaves(floor, effect)


def _diverted(floor: DiversionFloor, effect: Effect) -> None:
    floor.tally.diverted += 1
    _leaves(floor, effect)


def _called_back_later(floor: DiversionFloor, effect: Effect) -> None:
    _diverted(floor, effect)
    floor.later.append(effect.contact_id)


def _leaves(floor: DiversionFloor, effect: Effect) -> None:
    if effect.contact_id in floor.waiting:
        floor.waiting.remove(effect.contact_id)


_NOTES: Final[Mapping[int, Callable[[DiversionFloor, Effect], None]]] = {
    EffectKind.CONTACT_QUEUED: _queued,
    EffectKind.CONTACT_ASSIGNED: _assigned,
    EffectKind.CONTACT_COMPLETED: _completed,
    EffectKind.CONTACT_ABANDONED: _abandoned,
    EffectKind.CONTACT_DIVERTED: _diverted,
    EffectKind.CONTACT_REQUEUED: _called_back_later,
}
