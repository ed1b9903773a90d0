"""
Between the thread that routes and the thread that senses: policies and switches go over, a second's
decisions come back.

The engine keeps texts and switches. When they change they are compiled beside the loop; the desk
gets what acts on contacts, deciding what is evaluated. What deciding says is brought to the
engine as one command a second; what could not be brought is brought with the next.
"""

import asyncio
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from functools import partial
from typing import Final

import structlog
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from adapters.dispatch_loop import DispatchLoop
from adapters.errors import CallRefused
from adapters.methods import Method
from adapters.policies.compiling import PolicyCompiler, Prepared
from adapters.policies.metrics import PolicyMetrics
from adapters.turn import Call
from engine.acting.rulebook import Rulebook
from engine.deciding.deciding import Deciding
from engine.engine import Engine
from engine.policy.actions import Target
from engine.policy.guards import Switches
from engine.steering import Shift, Steer

_log = structlog.get_logger(__name__)

# Decisions that wait to be brought to the engine; older ones are dropped beyond.
_WAITING_MAX: Final = 10_000
_FOLLOW_S: Final = 0.5
# Gives work on deciding to the thread that owns it.
Hand = Callable[[Callable[[Deciding], None]], None]


class PolicyFollower:
    """
    Policies of one cell, followed in the loop's thread.

    Parameters
    ----------
    cell
        Whose policies they are.
    metrics
        Where policies are counted.
    hand
        How deciding is reached, in the thread that owns it; None where nothing is sensed. Then
        contacts are classified, and nothing else is decided.
    """

    def __init__(
        self, cell: DispatchLoop, metrics: PolicyMetrics, hand: Hand | None = None
    ) -> None:
        self._cell = cell
        self._metrics = metrics
        self._hand = hand if hand is not None else _let_be
        # Used beside the loop, one piece of work at a time.
        self._compiler = PolicyCompiler()
        self._seen: tuple[Engine | None, int] = (None, -1)
        self._following = asyncio.Lock()
        self._has_resumed = False
        self._targets: Collection[Target] = ()
        # What has not reached the engine yet, whether some of it is on its way there, and whether
        # anything was on when it last did.
        self._shifts: list[Shift] = []
        self._is_bringing = False
        self._was_on = False

    async def run(self) -> None:
        """Follow for as long as the process lives."""
        while True:
            await asyncio.sleep(_FOLLOW_S)
            if self._cell.is_open:
                await self.follow()

    async def follow(self) -> None:
        """Have policies and switches known that have changed."""
        async with self._following:
            engine = self._cell.engine
            policies = engine.cell.policies
            if self._seen == (engine, policies.changes):
                return
            self._seen = engine, policies.changes
            switches = Switches()
            switches.load(policies.switches())
            self._hand(partial(_set_switches, switches))
            await self._compile(engine)

    def targets(self) -> Collection[Target]:
        """Queues of other cells that policies in force would move contacts to."""
        return self._targets

    def show_compiled(self, *, are_compiled: bool) -> None:
        """Show whether kernels evaluate the conditions in force."""
        self._metrics.compiled.set(are_compiled)

    def timed(self) -> AbstractContextManager[None]:
        """Measure the time that deciding takes."""
        return self._metrics.timed()

    def steer(self, steer: Steer) -> None:
        """
        Bring a second's decisions to the engine; in the loop's thread. While those of a second
        before are on their way, they wait for the next.
        """
        self._wait([*self._shifts, *steer.shifts])
        is_quiet = not (self._shifts or steer.orders or self._was_on)
        if self._is_bringing or (is_quiet and not self._cell.engine.desk.has_more_to_close):
            return
        command = Steer(tuple(self._shifts), steer.orders)
        self._shifts, self._is_bringing = [], True

        def answer(reply: bytes | CallRefused) -> None:
            self._is_bringing = False
            if isinstance(reply, CallRefused):
                self._wait([*command.shifts, *self._shifts])
                return
            self._was_on = bool(steer.orders)
            for shift in command.shifts:
                self._tell(shift)

        def run(engine: Engine, request: Message, now_ms: int) -> Message:
            engine.apply(command, now_ms)
            return request

        method = Method("Policies", "Steer", Empty, run)
        try:
            self._cell.submit(Call(method, Empty(), answer, lambda: True))
        except CallRefused as refused:
            # The cell is not open just now: with the next second's.
            answer(refused)

    def _wait(self, shifts: list[Shift]) -> None:
        self._shifts = shifts[-_WAITING_MAX:]

    async def _compile(self, engine: Engine) -> None:
        texts = engine.cell.policies.in_force()
        try:
            prepared = await asyncio.to_thread(self._compiler.prepare, texts)
        except Exception:
            # A bug of ours: what was in force stays.
            self._metrics.failures.inc()
            _log.exception("policies_not_compiled", cell=self._cell.cell)
            return
        self._use(prepared)

    def _use(self, prepared: Prepared) -> None:
        engine = self._cell.engine
        engine.desk.use(Rulebook(prepared.policies, prepared.routing))
        found = (item.compiled.policy.spec.target for item in prepared.policies)
        self._targets = {target for target in found if target is not None and target.cell}
        self._metrics.show(prepared)
        begun = {item.subject: item.began_ms for item in engine.cell.activations.open()}
        resumes, self._has_resumed = not self._has_resumed, True

        def use(deciding: Deciding) -> None:
            if resumes:
                deciding.resume(begun)
            deciding.use(prepared.policies)

        self._hand(use)

    def _tell(self, shift: Shift) -> None:
        """Log an activation that began or ended, and count it."""
        self._metrics.shifted(shift)
        subject = shift.subject
        _log.info(
            "activation_began" if shift.is_on else "activation_ended",
            cell=self._cell.cell,
            policy=subject.policy,
            version=subject.version,
            queue=subject.queue_id,
            stage=shift.stage.name.lower(),
            cause=shift.cause.name.lower(),
            **{name.replace(".", "_"): value for name, value in shift.signals},
        )


def _set_switches(switches: Switches, deciding: Deciding) -> None:
    deciding.switches = switches


def _let_be(work: Callable[[Deciding], None]) -> None:
    """Where nothing is sensed nothing is decided."""
