"""
A thin asyncio client: the generated stubs, plus what every caller would write around them.

    async with Client("127.0.0.1:7443") as client:
        reply = await client.route(RouteRequest(queue_id="billing", channel=CHANNEL_VOICE))

Every write gets a request id, and a retry repeats it, so that a call may be tried again without
harm: the engine answers a request it has seen with the reply it gave. Retried are UNAVAILABLE and
RESOURCE_EXHAUSTED, after the delay the engine names or else with growing, jittered pauses, until
the call's timeout.
"""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import grpc
import grpc.aio
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from headgate.v1 import (
    agent_service_pb2,
    agent_service_pb2_grpc,
    error_pb2,
    event_pb2,
    event_service_pb2,
    event_service_pb2_grpc,
    gateway_service_pb2,
    gateway_service_pb2_grpc,
    offer_service_pb2_grpc,
    queue_service_pb2_grpc,
    routing_service_pb2,
    routing_service_pb2_grpc,
)

_RETRIED: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 2.0
_TIMEOUT_S: Final = 10.0

# Largest message either way: the engine's own bound is 1 MiB in, lists and snapshots out may be
# larger.
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.keepalive_time_ms", 30_000),
)

R = TypeVar("R")


class CommandFailed(Exception):
    """
    The engine refused a command of a session frame.

    Attributes
    ----------
    error
        Code, message, reason and field violations.
    """

    def __init__(self, error: error_pb2.Error) -> None:
        super().__init__(f"{error.reason}: {error.message}")
        self.error = error


class Client:
    """
    One connection to an engine.

    Parameters
    ----------
    address
        HOST:PORT of the engine.
    credentials
        Channel credentials; None for an unprotected connection.
    """

    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None = None) -> None:
        if credentials is None:
            self.channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        else:
            self.channel = grpc.aio.secure_channel(address, credentials, options=_OPTIONS)
        self.routing = routing_service_pb2_grpc.RoutingServiceStub(self.channel)
        self.offers = offer_service_pb2_grpc.OfferServiceStub(self.channel)
        self.agents = agent_service_pb2_grpc.AgentServiceStub(self.channel)
        self.queues = queue_service_pb2_grpc.QueueServiceStub(self.channel)
        self.events = event_service_pb2_grpc.EventServiceStub(self.channel)
        self.gateway = gateway_service_pb2_grpc.GatewayServiceStub(self.channel)

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
        """Close the connection."""
        await self.channel.close()

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
        if "request_id" in request.DESCRIPTOR.fields_by_name and not request.request_id:
            request.request_id = uuid.uuid4().hex
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + timeout_s
        pause_s = _FIRST_PAUSE_S
        while True:
            left_s = give_up_at - loop.time()
            try:
                return await method(request, timeout=max(left_s, 0.001))
            except grpc.aio.AioRpcError as error:
                if error.code() not in _RETRIED:
                    raise
                wait_s = _named_delay_s(error) or pause_s * random.uniform(0.5, 1.0)
                if loop.time() + wait_s >= give_up_at:
                    raise
            await asyncio.sleep(wait_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def subscribe(
        self, request: event_service_pb2.SubscribeRequest
    ) -> AsyncIterator[event_pb2.Event]:
        """
        Every event the request asks for; resumes from the last one when the connection breaks.
        """
        resumed = event_service_pb2.SubscribeRequest()
        resumed.CopyFrom(request)
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                async for response in self.events.Subscribe(resumed):
                    pause_s = _FIRST_PAUSE_S
                    for event in response.events:
                        yield event
                    resumed.cursor = response.cursor
            except grpc.aio.AioRpcError as error:
                if error.code() not in _RETRIED:
                    raise
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def session(
        self, cell: str = "", watch: gateway_service_pb2.SessionWatch | None = None
    ) -> "Session":
        """
        A session stream: many commands per frame, and everything that happens to their contacts and
        agents.
        """
        return Session(self, cell, watch or gateway_service_pb2.SessionWatch())


class Session:
    """
    One session stream; use it as an async context manager.

    Attributes
    ----------
    events
        What happened to the contacts and agents this session named, in order.
    cursor
        Place to resume from: pass it in `SessionWatch.cursor`, with the ids to watch, to the next
        session.
    """

    def __init__(self, client: Client, cell: str, watch: gateway_service_pb2.SessionWatch) -> None:
        self._client = client
        self._first = gateway_service_pb2.ConnectRequest(cell=cell, watch=watch)
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self._heartbeats: list[asyncio.Future[Any]] = []
        self.events: asyncio.Queue[event_pb2.Event] = asyncio.Queue()
        self.cursor = watch.cursor
        self._stream: Any = None
        self._reader: asyncio.Task[None] | None = None
        self._write_lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._stream = self._client.gateway.Connect()
        await self._stream.write(self._first)
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            await self._stream.done_writing()
        else:
            self._stream.cancel()
        if self._reader is not None:
            await asyncio.gather(self._reader, return_exceptions=True)

    async def send(
        self, commands: Sequence[gateway_service_pb2.SessionCommand]
    ) -> list[asyncio.Future[Any]]:
        """
        Send commands in one frame; returns a future per command, which gives its reply or raises
        CommandFailed.

        Commands without a request id get one.
        """
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[Any]] = []
        for command in commands:
            request = getattr(command, command.WhichOneof("command") or "route")
            future: asyncio.Future[Any] = loop.create_future()
            if isinstance(request, agent_service_pb2.HeartbeatRequest):
                self._heartbeats.append(future)
            else:
                request.request_id = request.request_id or uuid.uuid4().hex
                self._waiting[request.request_id] = future
            futures.append(future)
        frame = gateway_service_pb2.ConnectRequest(commands=commands)
        async with self._write_lock:
            await self._stream.write(frame)
        return futures

    async def ask(self, **command: Any) -> Any:
        """Send one command and wait for its reply, for example `ask(route=RouteRequest(...))`."""
        (future,) = await self.send([gateway_service_pb2.SessionCommand(**command)])
        return await future

    async def _read(self) -> None:
        failure: BaseException = ConnectionError("the session has ended")
        try:
            async for frame in self._stream:
                for reply in frame.replies:
                    self._settle(reply)
                for event in frame.events:
                    self.events.put_nowait(event)
                self.cursor = frame.cursor or self.cursor
        except grpc.aio.AioRpcError as error:
            failure = error
            raise
        finally:
            for future in (*self._waiting.values(), *self._heartbeats):
                if not future.done():
                    future.set_exception(failure)
                    # A caller that never looks at its future is not told twice.
                    future.exception()

    def _settle(self, reply: gateway_service_pb2.SessionReply) -> None:
        name = reply.WhichOneof("result")
        future = self._waiting.pop(reply.request_id, None)
        if future is None and self._heartbeats:
            future = self._heartbeats.pop(0)
        if future is None or future.done():
            return
        if name == "error":
            future.set_exception(CommandFailed(reply.error))
        else:
            future.set_result(getattr(reply, name or ""))


def details_of(error: grpc.aio.AioRpcError) -> Mapping[str, str]:
    """Broken rules of a refused request: what was expected, by field."""
    found: dict[str, str] = {}
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        bad_request = error_details_pb2.BadRequest()
        if detail.Unpack(bad_request):
            for item in bad_request.field_violations:
                found[item.field] = item.description
    return found


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """The fixed word of a refusal, for example OFFER_GONE; "" where the engine gave none."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return ""


def _named_delay_s(error: grpc.aio.AioRpcError) -> float:
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(retry):
            return float(retry.retry_delay.ToMilliseconds()) / 1_000
    return 0.0
