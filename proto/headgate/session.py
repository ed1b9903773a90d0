"""A session stream: many commands per frame, and what happens to their contacts and agents."""

import asyncio
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

import grpc
import grpc.aio

from headgate.engines import Engines
from headgate.errors import CommandFailed, SessionEnded, TooFarBehind
from headgate.request_ids import ensure_id
from headgate.v1 import event_pb2, gateway_service_pb2

# Events kept for whoever takes them: as many as an engine keeps for a session that does not read.
EVENTS_WAITING_MAX: Final = 10_000


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
        TooFarBehind
            One of those as well: all were taken that were kept, and commands are answered still.
        """
        event = await self._queue.get()
        if isinstance(event, SessionEnded):
            # It stays, for every other waiter and every later call.
            self._queue.put_nowait(event)
            if isinstance(event, TooFarBehind):
                raise TooFarBehind(event.cursor)
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

    Take the events as they come, or ask for none with `SessionWatch(replies_only=True)`: at most
    EVENTS_WAITING_MAX of them are kept. With the next one the events are over, and whoever takes
    them gets TooFarBehind after the last that was kept: a SessionEnded to go on from in just that
    way. Replies come as before, for one who only asks.

    Attributes
    ----------
    events
        What happened to the contacts and agents this session named, in order.
    cursor
        Place after the last event that came and was kept. Each carries its own: resume from that of
        the last one you have handled, or from here when you have handled all.
    """

    def __init__(
        self, engines: Engines, cell: str, watch: gateway_service_pb2.SessionWatch
    ) -> None:
        self._engines = engines
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
        self._is_behind = False
        self._write_lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._address = self._engines.address_of(self._first.cell)
        self._stream = self._engines.stubs_of(self._first.cell).gateway.Connect()
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
            ensure_id(request)
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
                if not self._is_behind:
                    self._keep_events(frame)
        except grpc.aio.AioRpcError as error:
            cause = error
            # The next session of the client begins where this one could have gone on.
            self._engines.turn(error, self._address, self._first.cell)
        finally:
            self._end(SessionEnded(cause))

    def _end(self, ended: SessionEnded) -> None:
        self._ended = ended
        if not self._is_behind:
            self._told.put_nowait(ended)
        for future in (*self._waiting.values(), *self._heartbeats):
            if not future.done():
                future.set_exception(SessionEnded(ended.cause))
                # A caller that never looks at its future is not told twice.
                future.exception()

    def _keep_events(self, frame: gateway_service_pb2.ConnectResponse) -> None:
        """Keep what a frame tells, unless nobody takes events: replies must not wait for that."""
        for event in frame.events:
            if self._told.qsize() >= EVENTS_WAITING_MAX:
                self._is_behind = True
                self._told.put_nowait(TooFarBehind(self.cursor))
                return
            self._told.put_nowait(event)
            self.cursor = event.cursor or self.cursor
        self.cursor = frame.cursor or self.cursor

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
