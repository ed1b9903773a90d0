"""
The gateway's side of a session: commands out in frames, replies and events in.

Commands that come up in one turn of the loop travel in one frame, so that the engine commits them
together. Every command has a request id of its own, so one that the engine was too busy for is sent
again as it was.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

import grpc

from deploy.examples.bank_day.together import until_first
from headgate.v1.error_pb2 import Error
from headgate.v1.event_pb2 import Event
from headgate.v1.gateway_service_pb2 import (
    ConnectRequest,
    ConnectResponse,
    SessionCommand,
    SessionReply,
)

if TYPE_CHECKING:
    # The stubs are typed apart for asyncio; at run time both are one class.
    from headgate.v1.gateway_service_pb2_grpc import GatewayServiceAsyncStub

FRAME_COMMANDS_MAX: Final = 1_024
# An engine that has not answered a command for this long will not.
REPLY_S_MAX: Final = 30.0
BUSY_CODES: Final = {
    grpc.StatusCode.RESOURCE_EXHAUSTED.value[0],
    grpc.StatusCode.UNAVAILABLE.value[0],
}
FAILED_PRECONDITION: Final = grpc.StatusCode.FAILED_PRECONDITION.value[0]
# Commands that may cross with what the engine decided meanwhile: the customer hangs up in the very
# moment in which an agent accepts, or the other way round. One of the two is then refused, and
# nothing is wrong.
MAY_CROSS: Final = {"accept_offer", "cancel_contact"}

Call = grpc.aio.StreamStreamCall[ConnectRequest, ConnectResponse]


class SessionEnded(Exception):
    """The engine refused a command or ended the session; the message says which and why."""


class GatewaySession:
    """
    One session stream.

    Attributes
    ----------
    route_latencies_ms
        Time from writing a frame to the reply, per `route` command, in the order of the replies.
    crossed
        Commands that were refused because the engine had decided otherwise meanwhile.
    """

    def __init__(self, stub: "GatewayServiceAsyncStub") -> None:
        self.route_latencies_ms: list[float] = []
        self.crossed = 0
        self._stub = stub
        self._outgoing: list[SessionCommand] = []
        self._has_outgoing = asyncio.Event()
        # Request id -> (command, when its frame was written).
        self._unanswered: dict[str, tuple[SessionCommand, float]] = {}

    def send(self, command: SessionCommand) -> None:
        """Put a command into the next frame."""
        self._outgoing.append(command)
        self._has_outgoing.set()

    async def run(self, on_events: Callable[[Iterable[Event]], None]) -> None:
        """Hold the session; returns never, raises `SessionEnded` or `grpc.aio.AioRpcError`."""
        call = self._stub.Connect()
        try:
            await until_first(self._read(call, on_events), self._write(call), self._watch())
        finally:
            call.cancel()

    async def _write(self, call: Call) -> None:
        while True:
            await self._has_outgoing.wait()
            commands = self._outgoing[:FRAME_COMMANDS_MAX]
            del self._outgoing[:FRAME_COMMANDS_MAX]
            if not self._outgoing:
                self._has_outgoing.clear()
            written_s = time.perf_counter()
            for command in commands:
                self._unanswered[_request_id(command)] = (command, written_s)
            await call.write(ConnectRequest(commands=commands))

    async def _read(self, call: Call, on_events: Callable[[Iterable[Event]], None]) -> None:
        async for frame in call:
            for reply in frame.replies:
                self._take(reply)
            on_events(frame.events)
        message = "the engine ended the session"
        raise SessionEnded(message)

    async def _watch(self) -> None:
        """Notice an engine that is there but answers no more."""
        while True:
            await asyncio.sleep(1.0)
            oldest = next(iter(self._unanswered.values()), None)
            if oldest and time.perf_counter() - oldest[1] > REPLY_S_MAX:
                message = f"no reply to {_request_id(oldest[0])} within {REPLY_S_MAX:.0f} s"
                raise SessionEnded(message)

    def _take(self, reply: SessionReply) -> None:
        command, written_s = self._unanswered.pop(reply.request_id)
        kind = command.WhichOneof("command")
        if reply.HasField("error"):
            self._refused(command, kind or "", reply.error)
        elif kind == "route":
            self.route_latencies_ms.append((time.perf_counter() - written_s) * 1_000)

    def _refused(self, command: SessionCommand, kind: str, error: Error) -> None:
        if error.code in BUSY_CODES:
            delay_s = max(error.retry_after_ms, 1) / 1_000
            asyncio.get_running_loop().call_later(delay_s, self.send, command)
        elif error.code == FAILED_PRECONDITION and kind in MAY_CROSS:
            self.crossed += 1
        else:
            message = f"the engine refused {_request_id(command)}: {error.message} ({error.reason})"
            raise SessionEnded(message)


def _request_id(command: SessionCommand) -> str:
    """The idempotency key of whatever the command is."""
    kind = command.WhichOneof("command")
    assert kind is not None
    request_id = getattr(command, kind).request_id
    assert isinstance(request_id, str)
    return request_id
