"""Messages between clients and whichever process serves: late, lost, doubled, out of order."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from google.rpc import code_pb2

from adapters.errors import CallRefused, unavailable
from tests.faults.process import Process, Surroundings
from tests.faults.virtual_loop import VirtualLoop

_LATE_S: Final = 20.0
Answer = bytes | CallRefused
RETRYABLE: Final = (
    code_pb2.UNAVAILABLE,
    code_pb2.RESOURCE_EXHAUSTED,
    code_pb2.DEADLINE_EXCEEDED,
)


class Network:
    """
    Carries calls and streams.

    Parameters
    ----------
    loop
        Where clients live.
    around
        Faults, and the run's random numbers.

    Attributes
    ----------
    process
        Where the service's address leads; None for nowhere.
    """

    def __init__(self, loop: VirtualLoop, around: Surroundings) -> None:
        self._loop = loop
        self._around = around
        self.process: Process | None = None

    async def call(
        self, method: str, raw: bytes, timeout_s: float, told: Callable[[Answer, float], None]
    ) -> Answer | None:
        """
        Send a unary call; returns its first answer, or None when none came in time.

        `told` gets every answer that arrives, also those to copies and after the time, with the
        time at which that copy reached the process.
        """
        first: asyncio.Future[Answer] = self._loop.create_future()

        def arrived(answer: Answer, reached_s: float) -> None:
            told(answer, reached_s)
            if not first.done():
                first.set_result(answer)

        def send_back(reached_s: float, answer: Answer) -> None:
            for _ in range(self._copies()):
                self._loop.call_later(self._delay_s(), arrived, answer, reached_s)

        def deliver() -> None:
            process = self.process
            reached_s = self._loop.time()
            if process is None or process.is_over:
                send_back(reached_s, unavailable("nobody listens"))
            else:
                process.receive(method, raw, timeout_s, partial(send_back, reached_s))

        for _ in range(self._copies()):
            self._loop.call_later(self._delay_s(), deliver)
        try:
            async with asyncio.timeout(timeout_s):
                return await first
        except TimeoutError:
            return None

    def connect(self, open_on: Callable[[Process, "Wire"], "asyncio.Task[None]"]) -> "Wire | None":
        """Open a stream to the process that serves now; None where none does."""
        process = self.process
        if process is None or process.is_over:
            return None
        wire = Wire(self._loop, self._usual_delay_s)
        wire.serving = open_on(process, wire)
        cuts_every_s = self._around.faults.cuts_every_s
        if cuts_every_s and not self._around.is_calm:
            self._loop.call_later(
                self._around.random.expovariate(1 / cuts_every_s), self._cut, wire
            )
        process.wires.append(wire)
        return wire

    def _cut(self, wire: "Wire") -> None:
        if not (wire.is_cut or self._around.is_calm):
            self._around.strike("stream cut")
            wire.cut()

    def _copies(self) -> int:
        faults, random = self._around.faults, self._around.random
        if self._around.is_calm:
            return 1
        if random.random() < faults.loss:
            self._around.strike("message lost")
            return 0
        if random.random() < faults.duplication:
            self._around.strike("message doubled")
            return 2
        return 1

    def _delay_s(self) -> float:
        around = self._around
        if not around.is_calm and around.random.random() < around.faults.lateness:
            around.strike("message late")
            return around.random.uniform(0.0, _LATE_S)
        return self._usual_delay_s()

    def _usual_delay_s(self) -> float:
        if self._around.is_calm:
            return 0.0
        return self._around.random.expovariate(1 / self._around.faults.delay_s)


class Wire:
    """
    One connection that carries a stream: in order, or not at all.

    Attributes
    ----------
    serving
        The process's side.
    is_cut
        Nothing passes any more.
    """

    def __init__(self, loop: VirtualLoop, delay_s: Callable[[], float]) -> None:
        self._loop = loop
        self._delay_s = delay_s
        self._to_server: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._to_client: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._last_s = [0.0, 0.0]
        self.serving: asyncio.Task[None] | None = None
        self.is_cut = False

    async def receive(self) -> bytes | None:
        """Next frame at the client; None when the stream has ended or the connection is gone."""
        return await self._to_client.get()

    def send_frame(self, frame: bytes | None) -> None:
        """Send a frame from the client; None for the end."""
        self._pass(0, self._to_server, frame)

    def cut(self) -> None:
        """Break, as when a cable is pulled: each end finds out by itself."""
        if not self.is_cut:
            self.is_cut = True
            self._loop.call_later(self._delay_s(), self._to_client.put_nowait, None)
            if self.serving is not None:
                self._loop.call_later(self._delay_s(), self.serving.cancel)

    def send(self, frame: bytes) -> None:
        """Send a frame from the server."""
        self._pass(1, self._to_client, frame)

    def end(self) -> None:
        """End the stream from the server."""
        self._pass(1, self._to_client, None)

    async def read(self) -> bytes | None:
        """Next frame at the server, as a session reads it."""
        return await self._to_server.get()

    async def write(self, frame: bytes) -> None:
        """Send a frame from the server, as a session writes it."""
        self.send(frame)

    def _pass(self, way: int, queue: "asyncio.Queue[bytes | None]", frame: bytes | None) -> None:
        at_s = self._last_s[way] = max(self._last_s[way], self._loop.time() + self._delay_s())
        self._loop.call_at(at_s, self._arrive, queue, frame)

    def _arrive(self, queue: "asyncio.Queue[bytes | None]", frame: bytes | None) -> None:
        if not self.is_cut:
            queue.put_nowait(frame)
