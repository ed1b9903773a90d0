"""
Random walks of two cells that lose messages and memory: each contact is in one of them, once.

What was ever sent may arrive at any time later and any number of times, which covers an owner that
was deposed and does not know it: it reads and sends, and can commit nothing.
"""

import random
from collections.abc import Callable

import pytest

from engine.commands import AcceptOffer, CancelContact, CompleteAssignment, SetIntake
from engine.crossing import RecallContact, ReceiveContact, SettleCrossing
from engine.lifecycle import HAS_ENDED, CancelReason, ContactState, Intake
from tests.acting.two_cells import TO_SOUTH, Brought, TwoCells, restarted

_STEPS = 40
_CONTACTS = 3


class _Walk:
    """A walk, with everything that was ever on its way."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.cells = TwoCells()
        self.cells.south.agent("ann", "b")
        self.messages: list[ReceiveContact | RecallContact] = []
        self.answers: list[Brought] = []
        self.came = 0
        self.left: set[str] = set()
        self.served: set[str] = set()

    def run(self) -> None:
        """Take some steps, then have everything arrive."""
        steps: list[Callable[[], None]] = [
            self.come, self.send, self.send, self.arrive, self.arrive, self.arrive_in_vain,
            self.answer, self.answer, self.answer_in_vain, self.leave, self.work, self.turn_intake,
            self.restart,
        ]  # fmt: skip
        for _ in range(_STEPS):
            self.cells.north.now_ms += 10
            self.cells.south.now_ms += 10
            self.random.choice(steps)()
            self.check()
        while self.cells.sent():
            self.cells.bring_all()
            self.check()
        self.check_at_rest()

    def come(self) -> None:
        if self.came < _CONTACTS:
            self.cells.route(f"c{self.came}")
            self.came += 1

    def send(self) -> None:
        self.messages += self.cells.sent(recalls=self.random.random() < 0.3)

    def arrive(self) -> None:
        if self.messages:
            self.answers.append(self.cells.receive(self.random.choice(self.messages)))

    def arrive_in_vain(self) -> None:
        """South ends before it has committed."""
        if self.messages:
            south = self.cells.south
            south.engine.apply(self.random.choice(self.messages), south.now_ms)
            restarted(south)

    def answer(self) -> None:
        if self.answers:
            self.cells.settle(self.random.choice(self.answers))

    def answer_in_vain(self) -> None:
        """North ends before it has committed."""
        if self.answers:
            north = self.cells.north
            command = SettleCrossing(*self.random.choice(self.answers))
            north.engine.apply(command, north.now_ms)
            restarted(north, TO_SOUTH)

    def leave(self) -> None:
        waiting = [name for name in self.names() if not self.has_ended(name)]
        if waiting and self.random.random() < 0.3:
            name = self.random.choice(waiting)
            self.cells.north.do(CancelContact(name, CancelReason.ABANDONED))
            self.left.add(name)

    def work(self) -> None:
        """Ann takes what she is offered, or is done."""
        south = self.cells.south
        for name in self.names():
            if self.cells.state(south, name) is ContactState.OFFERED:
                south.do(AcceptOffer(south.contact(name).offer_id, "ann"))
                return
            if self.cells.state(south, name) is ContactState.ASSIGNED:
                south.do(CompleteAssignment(name, "ann"))
                assert name not in self.served
                self.served.add(name)
                return

    def turn_intake(self) -> None:
        intake = self.random.choice((Intake.OPEN, Intake.CLOSED))
        self.cells.south.do(SetIntake("b", intake))

    def restart(self) -> None:
        if self.random.random() < 0.5:
            restarted(self.cells.north, TO_SOUTH)
        else:
            restarted(self.cells.south)

    def names(self) -> list[str]:
        return [f"c{place}" for place in range(self.came)]

    def has_ended(self, name: str) -> bool:
        """Whether a contact has ended in north, where it came."""
        state = self.cells.state(self.cells.north, name)
        assert state is not None
        return bool(HAS_ENDED[state])

    def check(self) -> None:
        """Each contact is in one cell at most; nobody who waits is in none."""
        cells = self.cells
        crossings = cells.north.engine.cell.crossings.open()
        on_their_way = {item.contact_id for item in crossings if not item.has_left}
        for name in self.names():
            is_here, is_there = cells.is_in(cells.north, name), cells.is_in(cells.south, name)
            assert not (is_here and is_there), name
            if name in self.left or name in self.served:
                assert not is_here
                assert not (is_there and name in self.served), "served twice"
                continue
            assert is_here or is_there or name in on_their_way, f"{name} is lost"

    def check_at_rest(self) -> None:
        """Who left is nowhere, unless an agent had them."""
        for name in self.left - self.served:
            state = self.cells.state(self.cells.south, name)
            assert state in (None, ContactState.ASSIGNED) or HAS_ENDED[state], (name, state)


@pytest.mark.parametrize("seed", range(200))
def test_walk(seed: int) -> None:
    _Walk(seed).run()
