"""What every client of a run can do: ask until there is an answer, and watch across connections."""

import sys
from asyncio import sleep
from typing import Any, NamedTuple

from google.protobuf.message import Message

from adapters.calls import METHOD_BY_NAME
from adapters.errors import CallRefused
from headgate.v1 import event_service_pb2
from tests.faults.history import History, Operation
from tests.faults.network import RETRYABLE, Answer, Network, Wire
from tests.faults.process import Surroundings

_RETRY_S = 0.2


def reply_type(request: Message) -> type[Message]:
    """Type of the reply to a request."""
    name = request.DESCRIPTOR.name.removesuffix("Request") + "Response"
    found: type[Message] = getattr(sys.modules[type(request).__module__], name)
    return found


def is_final(answer: Answer) -> bool:
    """Whether a caller need not ask again."""
    return isinstance(answer, bytes) or answer.code not in RETRYABLE


class Site(NamedTuple):
    """What every client stands in."""

    around: Surroundings
    network: Network
    history: History


class Client:
    """
    One caller.

    Parameters
    ----------
    name
        Begins the request ids.
    """

    def __init__(self, name: str, site: Site) -> None:
        self.name = name
        self.around, self.network, self.history = site
        self.random = self.around.random
        self._asked = 0

    def begin(self, request: Any) -> Operation:
        """Note a request before it is sent for the first time."""
        method = request.DESCRIPTOR.name.removesuffix("Request")
        if METHOD_BY_NAME[method].is_write:
            self._asked += 1
            request.request_id = f"{self.name} {self._asked}"
        return self.history.invoke(method, request)

    async def ask(self, request: Message) -> Any:
        """Ask until there is an answer; returns the reply, or None where it was refused."""
        operation = self.begin(request)
        raw = request.SerializeToString()

        def told(answer: Answer, reached_s: float) -> None:
            if is_final(answer):
                self.history.answer(operation, answer, reached_s)

        while True:
            timeout_s = self.random.uniform(0.2, 2.0)
            answer = await self.network.call(operation.method, raw, timeout_s, told)
            if answer is not None and is_final(answer):
                break
            await self.pause(_RETRY_S)
        if isinstance(answer, CallRefused):
            return None
        return reply_type(request).FromString(answer)

    async def pause(self, mean_s: float) -> None:
        """Wait for about so long."""
        await sleep(self.random.expovariate(1 / mean_s))

    async def open(self, method: str, request: Message) -> Wire:
        """Open a server stream, however long that takes."""
        raw = request.SerializeToString()
        while True:
            wire = self.network.connect(
                lambda process, wire: process.open_stream(method, raw, wire)
            )
            if wire is not None:
                return wire
            await self.pause(_RETRY_S)

    async def subscribe(self) -> None:
        """Watch everything that happens, for ever, without a gap."""
        watch = self.history.watch(self.name, wants_all=True)
        while True:
            request = event_service_pb2.SubscribeRequest(cursor=watch.cursor)
            wire = await self.open("Subscribe", request)
            while (frame := await wire.receive()) is not None:
                response = event_service_pb2.SubscribeResponse.FromString(frame)
                watch.take(response.events, response.cursor)
            wire.cut()
            await self.pause(_RETRY_S)
