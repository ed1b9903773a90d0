"""
One process that serves the cell, from its start to its end: the production's dispatch loop, streams
and sessions on an event loop of their own, over a log that may fail.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final, Protocol

from google.protobuf.message import Message

from adapters import streams
from adapters.calls import DEFAULT_CELL, METHOD_BY_NAME, Cells, ask, parse
from adapters.clock import Clock
from adapters.commit_log import CommitGroup, CommitLogError
from adapters.dispatch_loop import DispatchLoop
from adapters.errors import CallRefused
from adapters.event_hub import Subscription
from adapters.memory_log import (
    CommitStep,
    CrashInjected,
    Fault,
    FaultPlan,
    MemoryLog,
    MemoryStore,
)
from adapters.metrics import Metrics
from adapters.session import FrameStream, Session
from adapters.turn import Call, LoopSettings
from engine.engine import Engine
from engine.limits import Limits
from headgate.v1 import event_service_pb2, offer_service_pb2, routing_service_pb2
from headgate.v1.event_pb2 import Event
from tests.faults.faults import CRASH_IN_COMMIT, CrashPoint, Faults
from tests.faults.virtual_loop import VirtualLoop, VirtualTime

SETTINGS: Final = LoopSettings(
    Limits(contacts_max=4_000, agents_max=50, queues_max=20, ended_max=3_000), inbox_max=64
)
# Wall clock at the beginning of a run, milliseconds since the Unix epoch.
_WALL_MS: Final = 1_800_000_000_000

_SERVER_STREAMS: Final[dict[str, tuple[type[Message], Callable[..., AsyncIterator[Message]]]]] = {
    "Subscribe": (event_service_pb2.SubscribeRequest, streams.subscribe),
    "WatchContact": (routing_service_pb2.WatchContactRequest, streams.watch_contact),
    "WatchOffers": (offer_service_pb2.WatchOffersRequest, streams.watch_offers),
}


class NotingStore(MemoryStore):
    """A store that notes when each group was committed."""

    def __init__(self, time: VirtualTime) -> None:
        self.committed_s: list[float] = []
        self._time = time
        super().__init__()

    def append(self, token: bytes, group: CommitGroup) -> None:
        """Write a group, and take a note."""
        super().append(token, group)
        self.committed_s.append(self._time.now_s)


class SlowLog(MemoryLog):
    """A log as over a network: a commit takes a while each way."""

    answers_at_once = False

    def __init__(self, faults: FaultPlan, around: "Surroundings") -> None:
        super().__init__(around.store, faults)
        self._around = around

    async def commit(self, expected_token: bytes, new_token: bytes, group: CommitGroup) -> int:
        """Commit after a while, and tell of it after another."""
        await asyncio.sleep(self._delay_s())
        sequence = await super().commit(expected_token, new_token, group)
        await asyncio.sleep(self._delay_s())
        return sequence

    def _delay_s(self) -> float:
        around = self._around
        return 0.0 if around.is_calm else around.random.expovariate(1 / around.faults.commit_s)


@dataclass
class Surroundings:
    """
    What a process stands in.

    Attributes
    ----------
    is_calm
        No more faults from here on.
    is_disk_full
        Whether commits find no room.
    wall_ahead_ms
        How far the wall clock has been set ahead of the time that has passed, milliseconds.
    bugs
        What no fault explains.
    struck
        How often each fault struck.
    """

    time: VirtualTime
    random: Random
    faults: Faults
    store: NotingStore
    bugs: list[str]
    struck: dict[str, int]
    is_calm: bool = False
    is_disk_full: bool = False
    wall_ahead_ms: int = 0

    def wall_ms(self) -> int:
        """The time by a clock that nobody sets, milliseconds since the Unix epoch."""
        return _WALL_MS + int(self.time.now_s * 1_000)

    def strike(self, fault: str) -> None:
        """Count a fault."""
        self.struck[fault] = self.struck.get(fault, 0) + 1


class Peer(Protocol):
    """The other end of a stream, as the process sees it."""

    def send(self, frame: bytes) -> None:
        """Send a frame to the client."""

    def end(self) -> None:
        """Tell the client that nothing more comes."""

    def cut(self) -> None:
        """Break the connection."""


class Process:
    """
    One life of the server.

    Parameters
    ----------
    name
        Owner's name in the log.
    around
        What it stands in.
    crash
        Point at whose n-th passing the process ends; None for none.
    """

    def __init__(
        self, name: str, around: Surroundings, crash: tuple[CrashPoint, int] | None
    ) -> None:
        self.loop = VirtualLoop(around.time, self._on_error)  # type: ignore[abstract]
        self.is_over = False
        self.wires: list[Peer] = []
        self.when_over: Callable[[], None] = lambda: None
        self._name = name
        self._around = around
        self._crash = crash
        self._passed = 0
        self.cell = _CrashingCell(self, self._log(), self._clock)
        self._cells = Cells({DEFAULT_CELL: self.cell})
        self.loop.create_task(self._live())

    def crash_here(self, point: CrashPoint) -> None:
        """End at this point if it is the planned one."""
        if self._crash is None or self._crash[0] is not point or self._around.is_calm:
            return
        self._passed += 1
        if self._passed == self._crash[1]:
            self.end(point.value)
            raise CrashInjected(point.value)

    def end(self, why: str) -> None:
        """Be gone: nothing of the process runs any more."""
        if not self.is_over:
            self._around.strike(why)
            self.is_over = True
            self.loop.is_stopped = True
            for wire in self.wires:
                wire.cut()
            self.when_over()

    async def stop(self) -> None:
        """Finish what is in the inbox and end, as after SIGTERM."""
        await self.cell.stop()
        self.end("stopped in good order")

    def receive(
        self, method_name: str, raw: bytes, timeout_s: float, answer: Callable[[Any], None]
    ) -> None:
        """Take a unary call in."""
        self.loop.create_task(self._serve_call(method_name, raw, timeout_s, answer))

    def open_stream(self, method_name: str, raw: bytes, peer: Peer) -> "asyncio.Task[None]":
        """Serve a server stream."""
        request_type, stream = _SERVER_STREAMS[method_name]

        async def serve() -> None:
            async for message in stream(self._cells, parse(request_type, raw)):
                peer.send(message.SerializeToString())

        return self.loop.create_task(self._serve_stream(serve, peer))

    def open_session(self, frames: FrameStream, peer: Peer) -> "asyncio.Task[None]":
        """Serve a gateway's session."""
        return self.loop.create_task(self._serve_stream(Session(self._cells, frames).run, peer))

    async def _live(self) -> None:
        try:
            await self.cell.start(self._name)
        except CommitLogError:
            self.end("could not start")
            return
        await self.cell.lost.wait()
        await self.cell.stop()
        self.end("lost the cell")

    async def _serve_call(
        self, method_name: str, raw: bytes, timeout_s: float, answer: Callable[[Any], None]
    ) -> None:
        method = METHOD_BY_NAME[method_name]
        try:
            request: Any = parse(method.request, raw)
            answer(await ask(self._cells.find(request.cell), method, request, timeout_s))
        except CallRefused as refused:
            answer(refused)

    async def _serve_stream(self, serve: Callable[[], Any], peer: Peer) -> None:
        try:
            await serve()
        except CallRefused:
            pass
        finally:
            peer.end()

    def _log(self) -> MemoryLog:
        around = self._around
        if around.faults.commit_s == 0:
            return MemoryLog(around.store, self._commit_fault)
        return SlowLog(self._commit_fault, around)

    def _clock(self, not_before_ms: int) -> Clock:
        around = self._around
        return Clock(
            not_before_ms,
            lambda: around.wall_ms() + around.wall_ahead_ms,
            lambda: int(around.time.now_s * 1e9),
        )

    def _commit_fault(self, _: int, step: CommitStep) -> Fault | None:
        around = self._around
        try:
            self.crash_here(CRASH_IN_COMMIT[step])
        except CrashInjected:
            return Fault.CRASH
        if around.is_calm:
            return None
        if around.is_disk_full and step is CommitStep.AFTER_CHECK:
            around.strike("disk full")
            return Fault.FULL
        can_lose = step in (CommitStep.BEFORE_CHECK, CommitStep.AFTER_WRITE_BEFORE_REPLY)
        if can_lose and around.random.random() < around.faults.doubt:
            around.strike(f"commit in doubt, {step.name.lower()}")
            return Fault.LOSE_REPLY
        return None

    def _on_error(self, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), CrashInjected):
            self._around.bugs.append(f"{self._name}: {context}")


class _CrashingCell(DispatchLoop):
    """The production's loop, whose process may end at each numbered step."""

    def __init__(self, process: Process, log: MemoryLog, clock: Callable[[int], Clock]) -> None:
        super().__init__(DEFAULT_CELL, log, SETTINGS, Metrics().cell(DEFAULT_CELL), clock)
        self._process = process
        self.hub.subscribe(_Tap(process))

    def submit(self, call: Call) -> None:
        """Take a call whose way leads past the points."""
        crash_here = self._process.crash_here

        def is_wanted() -> bool:
            crash_here(CrashPoint.BEFORE_LOOK_UP)
            return call.is_wanted()

        def run(engine: Engine, request: Any, now_ms: int) -> Message:
            crash_here(CrashPoint.BEFORE_RUN)
            reply = call.method.run(engine, request, now_ms)
            crash_here(CrashPoint.AFTER_RUN)
            return reply

        def answer(result: bytes | CallRefused) -> None:
            crash_here(CrashPoint.BEFORE_ANSWER)
            call.answer(result)
            crash_here(CrashPoint.AFTER_ANSWER)

        super().submit(Call(replace(call.method, run=run), call.request, answer, is_wanted))


class _Tap(Subscription):
    """The first to be told of events."""

    def __init__(self, process: Process) -> None:
        super().__init__(wants_all=True)
        self._process = process

    def push(self, event: Event) -> None:
        """Take none, but perhaps end the process."""
        self._process.crash_here(CrashPoint.BEFORE_PUBLISH)
