"""
A thin asyncio client: the generated stubs, plus what every caller would write around them.

    async with Client("127.0.0.1:7443") as client:
        reply = await client.route(RouteRequest(queue_id="billing", channel=CHANNEL_VOICE))

Every write that has no request id is sent with one of its own, in a copy: a message of the caller's
is never changed. A retry repeats the id, so that a call may be tried again without harm: the engine
answers a request it has seen with the reply it gave.

Unary calls are retried until their timeout: on UNAVAILABLE, after the delay the engine names or
else with growing, jittered pauses; on RESOURCE_EXHAUSTED only where the engine names a delay.
Without one, a limit is reached or a message is too large, and the same call would fail again.
Commands of a session and requests of a batch are not retried here; for them the same rule reads
`error.retry_after_ms > 0`. A refusal that names another engine as the owner of the cell is followed
at once, and later calls for the cell go there.

To one engine `in_flight_max` of them are under way at once. More wait here for their turn, so that
those that are sent are answered soon however many there are.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Final, Self

import grpc
import grpc.aio

from headgate.access import Access
from headgate.engines import Engines
from headgate.errors import (
    CommandFailed,
    SessionEnded,
    TooFarBehind,
    details_of,
    named_delay_s,
    reason_of,
)
from headgate.request_ids import with_ids
from headgate.session import Session, SessionEvents
from headgate.v1 import event_pb2, event_service_pb2, gateway_service_pb2, routing_service_pb2

__all__ = [
    "Access",
    "Client",
    "CommandFailed",
    "Session",
    "SessionEnded",
    "SessionEvents",
    "TooFarBehind",
    "details_of",
    "reason_of",
]

# Half as many again as keep an engine busy, over a line of some milliseconds.
IN_FLIGHT_MAX: Final = 48
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 2.0
_TIMEOUT_S: Final = 10.0
# Engines that a call is sent on to before it waits: more lead in a circle.
_HOPS_MAX: Final = 3


class Client:
    """
    A connection to an engine, and to those it names as owners of other cells.

    Parameters
    ----------
    address
        HOST:PORT of the engine.
    access
        Whom to trust and what to show, or gRPC's own credentials; None for what the environment
        says (`Access.from_environment`), which is an unprotected connection where it says nothing.
    in_flight_max
        Unary calls by `call` and `route` that are under way to one engine at once, > 0.

    Raises
    ------
    ValueError
        `in_flight_max` is not > 0.
    """

    def __init__(
        self,
        address: str,
        access: Access | grpc.ChannelCredentials | None = None,
        in_flight_max: int = IN_FLIGHT_MAX,
    ) -> None:
        if in_flight_max <= 0:
            raise ValueError(f"in_flight_max: got {in_flight_max}, expected > 0")
        self.engines = Engines(address, access, in_flight_max)
        home = self.engines.home
        self.channel = home.channel
        self.routing, self.offers, self.choices = home.routing, home.offers, home.choices
        self.agents, self.queues, self.decisions = home.agents, home.queues, home.decisions
        self.events, self.telemetry, self.gateway = home.events, home.telemetry, home.gateway
        self.policies, self.crossings = home.policies, home.crossings

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        await self.engines.close()

    async def route(
        self, request: routing_service_pb2.RouteRequest, timeout_s: float = _TIMEOUT_S
    ) -> routing_service_pb2.RouteResponse:
        """Route one contact, retrying with the same request id until the timeout."""
        reply: routing_service_pb2.RouteResponse
        reply = await self.call(self.routing.Route, request, timeout_s)
        return reply

    async def call(
        self, method: Callable[..., Any], request: Any, timeout_s: float = _TIMEOUT_S
    ) -> Any:
        """
        Call any unary method of a stub, for example `client.call(client.agents.SetPresence, ...)`.

        Raises
        ------
        grpc.aio.AioRpcError
            The engine refused, or the time was up; `details()` says why.
        """
        request = with_ids(request)
        cell = getattr(request, "cell", "")
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + timeout_s
        pause_s, hops = _FIRST_PAUSE_S, 0
        while True:
            address = self.engines.address_of(cell)
            try:
                return await self._once(method, request, cell, give_up_at)
            except grpc.aio.AioRpcError as error:
                is_named = self.engines.turn(error, address, cell)
                if is_named and hops < _HOPS_MAX and loop.time() < give_up_at:
                    hops += 1
                    continue
                wait_s = _wait_s(error, self.engines.pause_s(address, cell, pause_s))
                if wait_s is None or loop.time() + wait_s >= give_up_at:
                    raise
            hops = 0
            await asyncio.sleep(wait_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _once(
        self, method: Callable[..., Any], request: Any, cell: str, give_up_at: float
    ) -> Any:
        """One try, once there is room among the calls in flight to that engine."""
        chosen = self.engines.method_of(method, cell)
        room = self.engines.stubs_of(cell).room
        await room.enter(give_up_at)
        try:
            left_s = give_up_at - asyncio.get_running_loop().time()
            return await chosen(request, timeout=max(left_s, 0.001))
        finally:
            room.leave()

    async def subscribe(
        self, request: event_service_pb2.SubscribeRequest
    ) -> AsyncIterator[event_pb2.Event]:
        """
        Every event the request asks for; resumes from the last one when the connection breaks.
        """
        resumed = event_service_pb2.SubscribeRequest()
        resumed.CopyFrom(request)
        pause_s, hops = _FIRST_PAUSE_S, 0
        while True:
            wait_s = pause_s
            address = self.engines.address_of(request.cell)
            try:
                async for response in self.engines.stubs_of(request.cell).events.Subscribe(resumed):
                    pause_s, hops = _FIRST_PAUSE_S, 0
                    for event in response.events:
                        yield event
                    resumed.cursor = response.cursor
            except grpc.aio.AioRpcError as error:
                if self.engines.turn(error, address, request.cell) and hops < _HOPS_MAX:
                    hops += 1
                    continue
                named_s = _wait_s(error, self.engines.pause_s(address, request.cell, pause_s))
                if named_s is None:
                    raise
                wait_s = named_s
            await asyncio.sleep(wait_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def session(
        self, cell: str = "", watch: gateway_service_pb2.SessionWatch | None = None
    ) -> Session:
        """
        A session stream: many commands per frame, and everything that happens to their contacts and
        agents.
        """
        return Session(self.engines, cell, watch or gateway_service_pb2.SessionWatch())


def _wait_s(error: grpc.aio.AioRpcError, pause_s: float) -> float | None:
    """Seconds after which to try again, the pause where none are named; None to give up."""
    named_s = named_delay_s(error)
    if error.code() == grpc.StatusCode.UNAVAILABLE:
        return named_s or pause_s * random.uniform(0.5, 1.0)
    if error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and named_s > 0:
        return named_s
    return None
