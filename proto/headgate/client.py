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
"""

import asyncio
import random
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self

import grpc
import grpc.aio

from headgate.access import Access
from headgate.engines import Engines
from headgate.errors import CommandFailed, SessionEnded, details_of, named_delay_s, reason_of
from headgate.v1 import event_pb2, event_service_pb2, gateway_service_pb2, routing_service_pb2

__all__ = [
    "Access",
    "Client",
    "CommandFailed",
    "Session",
    "SessionEnded",
    "SessionEvents",
    "details_of",
    "reason_of",
]

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
    """

    def __init__(
        self, address: str, access: Access | grpc.ChannelCredentials | None = None
    ) -> None:
        self.engines = Engines(address, access)
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
        request = _with_ids(request)
        cell = getattr(request, "cell", "")
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + timeout_s
        pause_s, hops = _FIRST_PAUSE_S, 0
        while True:
            left_s = give_up_at - loop.time()
            address = self.engines.address_of(cell)
            try:
                chosen = self.engines.method_of(method, cell)
                return await chosen(request, timeout=max(left_s, 0.001))
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
    ) -> "Session":
        """
        A session stream: many commands per frame, and everything that happens to their contacts and
        agents.
        """
        return Session(self, cell, watch or gateway_service_pb2.SessionWatch())


class SessionEvents:
    """What a session was told; what came before its end can still be got after it."""

    def __init__(self, queue: asyncio.Queue[event_pb2.Event | SessionEnded]) -> None:
        self._queue = queue

    async def get(self) -> event_pb2.Event:
        """
        The next event.

        Raises
        ------
        SessionEnded
            There will be none: the session is over, and all its events were taken.
        """
        event = await self._queue.get()
        if isinstance(event, SessionEnded):
            # It stays, for every other waiter and every later call.
            self._queue.put_nowait(event)
            raise SessionEnded(event.cause)
        return event

    def empty(self) -> bool:
        """Whether `get` would have to wait."""
        return self._queue.empty()


class Session:
    """
    One session stream; use it as an async context manager.

    When the stream breaks, everybody who waits for a reply or an event gets SessionEnded, and so
    does every later call. To go on, open another session with `SessionWatch(cursor=...,
    contact_ids=..., agent_ids=...)`: it begins with what happened after that cursor. Whether a
    command without a reply was applied is not known: send it again with the same request id, one of
    your own. deploy/examples/python/session.py does all that.

    Attributes
    ----------
    events
        What happened to the contacts and agents this session named, in order.
    cursor
        Place after the last event that came. Each event carries its own: resume from that of the
        last one you have handled, or from here when you have handled all.
    """

    def __init__(self, client: Client, cell: str, watch: gateway_service_pb2.SessionWatch) -> None:
        self._client = client
        self._first = gateway_service_pb2.ConnectRequest(cell=cell, watch=watch)
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self._heartbeats: deque[asyncio.Future[Any]] = deque()
        self._told: asyncio.Queue[event_pb2.Event | SessionEnded] = asyncio.Queue()
        self.events = SessionEvents(self._told)
        self.cursor = watch.cursor
        self._address = ""
        self._stream: Any = None
        self._reader: asyncio.Task[None] | None = None
        self._ended: SessionEnded | None = None
        self._write_lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._address = self._client.engines.address_of(self._first.cell)
        self._stream = self._client.engines.stubs_of(self._first.cell).gateway.Connect()
        self._reader = asyncio.create_task(self._read())
        try:
            await self._write(self._first)
        except asyncio.CancelledError:
            self._stream.cancel()
            raise
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
        CommandFailed or SessionEnded.

        Commands without a request id are sent with one.

        Raises
        ------
        SessionEnded
            The session is over; whether these commands were applied is not known.
        ValueError
            A request id is awaited already, or a command is empty; nothing was sent.
        """
        # The frame holds copies.
        frame = gateway_service_pb2.ConnectRequest(commands=commands)
        async with self._write_lock:
            if self._ended is not None:
                raise SessionEnded(self._ended.cause)
            futures = self._await_replies(frame)
            await self._write(frame)
        return futures

    async def ask(self, **command: Any) -> Any:
        """Send one command and wait for its reply, for example `ask(route=RouteRequest(...))`."""
        (future,) = await self.send([gateway_service_pb2.SessionCommand(**command)])
        return await future

    def _await_replies(
        self, frame: gateway_service_pb2.ConnectRequest
    ) -> list[asyncio.Future[Any]]:
        """Name the commands of a frame, and note who waits for their replies: all, or none."""
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[Any]] = []
        named: dict[str, asyncio.Future[Any]] = {}
        heartbeats: list[asyncio.Future[Any]] = []
        for place, command in enumerate(frame.commands):
            kind = command.WhichOneof("command")
            if kind is None:
                raise ValueError(f"commands[{place}] is empty")
            future: asyncio.Future[Any] = loop.create_future()
            futures.append(future)
            if kind == "heartbeat":
                heartbeats.append(future)
                continue
            request = getattr(command, kind)
            _ensure_id(request)
            before = named.get(request.request_id) or self._waiting.get(request.request_id)
            # One that nobody waits for any more may be asked again: the reply is the same.
            if before is not None and not before.done():
                raise ValueError(f"request id {request.request_id!r} is awaited already")
            named[request.request_id] = future
        self._waiting.update(named)
        self._heartbeats.extend(heartbeats)
        return futures

    async def _write(self, frame: gateway_service_pb2.ConnectRequest) -> None:
        try:
            await self._stream.write(frame)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, asyncio.CancelledError):
            task = asyncio.current_task()
            if self._reader is None or (task is not None and task.cancelling()):
                raise
            # The stream is done; its reader learns why, and has told the others by then.
            await asyncio.wait((self._reader,))
            raise SessionEnded(self._ended.cause if self._ended else None) from None

    async def _read(self) -> None:
        cause: grpc.aio.AioRpcError | None = None
        try:
            async for frame in self._stream:
                for reply in frame.replies:
                    self._settle(reply)
                for event in frame.events:
                    self._told.put_nowait(event)
                self.cursor = frame.cursor or self.cursor
        except grpc.aio.AioRpcError as error:
            cause = error
            # The next session of the client begins where this one could have gone on.
            self._client.engines.turn(error, self._address, self._first.cell)
        finally:
            self._end(SessionEnded(cause))

    def _end(self, ended: SessionEnded) -> None:
        self._ended = ended
        self._told.put_nowait(ended)
        for future in (*self._waiting.values(), *self._heartbeats):
            if not future.done():
                future.set_exception(SessionEnded(ended.cause))
                # A caller that never looks at its future is not told twice.
                future.exception()

    def _settle(self, reply: gateway_service_pb2.SessionReply) -> None:
        if reply.request_id:
            future = self._waiting.pop(reply.request_id, None)
        else:
            # Heartbeats alone have no request id on the wire: theirs come in order.
            future = self._heartbeats.popleft() if self._heartbeats else None
        if future is None or future.done():
            return
        name = reply.WhichOneof("result")
        if name is None or name == "error":
            future.set_exception(CommandFailed(reply.error))
        else:
            future.set_result(getattr(reply, name))


def _ensure_id(request: Any) -> None:
    if "request_id" in request.DESCRIPTOR.fields_by_name and not request.request_id:
        request.request_id = uuid.uuid4().hex


def _with_ids(request: Any) -> Any:
    """A copy in which every write has a request id, those of a batch as well."""
    copy = type(request)()
    copy.CopyFrom(request)
    _ensure_id(copy)
    if isinstance(copy, routing_service_pb2.RouteBatchRequest):
        for item in copy.requests:
            _ensure_id(item)
    return copy


def _wait_s(error: grpc.aio.AioRpcError, pause_s: float) -> float | None:
    """Seconds after which to try again, the pause where none are named; None to give up."""
    named_s = named_delay_s(error)
    if error.code() == grpc.StatusCode.UNAVAILABLE:
        return named_s or pause_s * random.uniform(0.5, 1.0)
    if error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and named_s > 0:
        return named_s
    return None
