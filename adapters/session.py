"""
GatewayService.Connect: one stream for everything a gateway does and everything that happens to its
contacts.

Replies are put on the wire as the bytes the cell answered with, under their field numbers, and
never parsed again: a protobuf message may be written as its fields one after the other.
"""

import asyncio
from collections import deque
from typing import Any, Final, Protocol

from google.protobuf.message import Message

from adapters.calls import METHODS, Cells, parse, request_field
from adapters.dispatch_loop import DispatchLoop
from adapters.errors import CallRefused, as_error, invalid
from adapters.event_hub import BUFFERED_EVENTS_MAX, Subscription
from adapters.streams import cut_off, replay
from adapters.turn import Call
from engine.refusals import violation
from headgate.v1 import agent_service_pb2, routing_service_pb2
from headgate.v1 import gateway_service_pb2 as pb

FRAME_COMMANDS_MAX: Final = 1_024
# Commands taken in whose replies are not written yet; beyond it the session stops reading.
UNANSWERED_MAX: Final = 8_192
# Replies of one frame, so that a peer with gRPC's usual bound of 4 MiB can read it; a reply that is
# larger by itself goes alone.
REPLY_BYTES_MAX: Final = 1_048_576
_EVENTS_PER_FRAME: Final = 512

_REPLY_FIELDS: Final = {
    field.name: field.number for field in pb.SessionReply.DESCRIPTOR.oneofs_by_name["result"].fields
}
_METHODS: Final = {method.session_field: method for method in METHODS if method.session_field}
assert set(_METHODS) == {
    field.name for field in pb.SessionCommand.DESCRIPTOR.oneofs_by_name["command"].fields
}


class FrameStream(Protocol):
    """A bidirectional stream of raw frames."""

    async def read(self) -> bytes | None:
        """Next frame; None at the end."""
        ...

    async def write(self, frame: bytes) -> None:
        """Send a frame; waits while the peer does not keep up."""
        ...


def embedded(number: int, payload: bytes) -> bytes:
    """A length-delimited protobuf field."""
    length = len(payload)
    if number < 16 and length < 0x80:
        return bytes((number << 3 | 2, length)) + payload
    header = bytearray(
        (number << 3 | 2,) if number < 16 else (number << 3 & 0x7F | 0x82, number >> 4)
    )
    while length > 0x7F:
        header.append(length & 0x7F | 0x80)
        length >>= 7
    header.append(length)
    return bytes(header) + payload


class Session:
    """One open stream."""

    def __init__(self, cells: Cells, stream: FrameStream) -> None:
        self._cells = cells
        self._stream = stream
        self._cell: DispatchLoop | None = None
        self._wake = asyncio.Event()
        self._subscription = Subscription(wants_all=False, wake=self._wake)
        self._replies_only = False
        self._replies: deque[bytes] = deque()
        self._unanswered = 0
        self._drained = asyncio.Event()
        self._is_reading = True
        self._is_replaying = False

    async def run(self) -> None:
        """
        Serve the stream until the gateway ends it and its last reply is written.

        Raises
        ------
        CallRefused
            A frame is malformed, or the gateway fell too far behind.
        """
        loop = asyncio.get_running_loop()
        halves = (loop.create_task(self._read()), loop.create_task(self._write()))
        try:
            # Whichever half fails ends the other: a peer may have stopped reading or sending.
            done, _ = await asyncio.wait(halves, return_when=asyncio.FIRST_EXCEPTION)
            for half in done:
                half.result()
        finally:
            for half in halves:
                half.cancel()
            await asyncio.gather(*halves, return_exceptions=True)
            if self._cell is not None:
                self._cell.hub.unsubscribe(self._subscription)

    async def _read(self) -> None:
        """Take frames until the gateway sends no more."""
        while (frame := await self._stream.read()) is not None:
            request = parse(pb.ConnectRequest, frame)
            cell = self._cell
            if cell is None:
                cell = await self._open(request)
            else:
                self._watch(cell, request.watch)
            if len(request.commands) > FRAME_COMMANDS_MAX:
                raise invalid(
                    violation("commands", len(request.commands), f"at most {FRAME_COMMANDS_MAX:,}")
                )
            if request.cell and request.cell != cell.cell:
                raise invalid(violation("cell", request.cell, "empty, or the first frame's cell"))
            for command in request.commands:
                self._unanswered += 1
                self._submit(cell, command)
            while self._unanswered > UNANSWERED_MAX:
                self._drained.clear()
                await self._drained.wait()
        self._is_reading = False
        self._wake.set()

    async def _open(self, first: pb.ConnectRequest) -> DispatchLoop:
        """
        Settle the cell, begin the subscription, and put what came after the cursor before what
        comes now.
        """
        cell = self._cells.find(first.cell)
        self._cell = cell
        cell.hub.subscribe(self._subscription)
        self._watch(cell, first.watch)
        if first.watch.cursor:
            await self._replay(cell, first.watch.cursor)
        return cell

    async def _replay(self, cell: DispatchLoop, cursor: str) -> None:
        """Put what came after the cursor before what comes now, as much as a session may hold."""
        self._is_replaying = True
        missed = []
        async for event in replay(cell, cursor, self._subscription.since):
            if self._subscription.wants(event.contact_id, event.agent_id):
                missed.append(event)
            if len(missed) == BUFFERED_EVENTS_MAX:
                break
        self._subscription.begin_with(missed)
        self._is_replaying = False
        self._wake.set()

    def _watch(self, cell: DispatchLoop, watch: pb.SessionWatch) -> None:
        self._replies_only |= watch.replies_only
        if watch.all_events and not self._subscription.wants_all:
            self._subscription.wants_all = True
            cell.hub.subscribe(self._subscription)
        for contact_id in watch.contact_ids:
            cell.hub.watch_contact(self._subscription, contact_id)
        for agent_id in watch.agent_ids:
            cell.hub.watch_agent(self._subscription, agent_id)

    def _submit(self, cell: DispatchLoop, command: pb.SessionCommand) -> None:
        name = command.WhichOneof("command")
        if name is None:
            self._reply("", 2, as_error(invalid(violation("command", None, "one command"))))
            return
        method = _METHODS[name]
        request: Any = getattr(command, name)
        request_id = request_field(request, "request_id")
        if request.cell and request.cell != cell.cell:
            wrong = violation("cell", request.cell, "empty, or the session's cell")
            self._reply(request_id, 2, as_error(invalid(wrong)))
            return
        if not self._replies_only and not self._subscription.wants_all:
            self._watch_own(cell, request)
        field = _REPLY_FIELDS[name]
        is_unnamed = name == "route" and not request.contact_id

        def answer(result: bytes | CallRefused) -> None:
            if isinstance(result, bytes):
                if is_unnamed:
                    made = routing_service_pb2.RouteResponse.FromString(result).contact_id
                    cell.hub.watch_contact(self._subscription, made)
                self._put(request_id, field, result)
            else:
                self._reply(request_id, 2, as_error(result))

        try:
            cell.submit(Call(method, request, answer, self._is_open))
        except CallRefused as refused:
            answer(refused)

    def _watch_own(self, cell: DispatchLoop, request: Any) -> None:
        """Tell the session what happens to the contacts and agents its commands name."""
        contact_id = request_field(request, "contact_id")
        if contact_id:
            cell.hub.watch_contact(self._subscription, contact_id)
        is_upsert = isinstance(request, agent_service_pb2.UpsertAgentRequest)
        agent_id = request.agent.agent_id if is_upsert else request_field(request, "agent_id")
        if agent_id:
            cell.hub.watch_agent(self._subscription, agent_id)

    def _is_open(self) -> bool:
        return True

    def _reply(self, request_id: str, field: int, message: Message) -> None:
        self._put(request_id, field, message.SerializeToString())

    def _put(self, request_id: str, field: int, payload: bytes) -> None:
        reply = embedded(field, payload)
        if request_id:
            reply = embedded(1, request_id.encode()) + reply
        self._replies.append(embedded(1, reply))
        self._wake.set()

    async def _write(self) -> None:
        """Write replies and events as they come, one frame at a time."""
        while self._is_reading or self._unanswered:
            await self._wake.wait()
            self._wake.clear()
            while self._replies:
                await self._write_replies()
            await self._write_events()

    async def _write_replies(self) -> None:
        """Write a frame of replies."""
        parts = [self._replies.popleft()]
        size = len(parts[0])
        while self._replies and size + len(self._replies[0]) <= REPLY_BYTES_MAX:
            parts.append(self._replies.popleft())
            size += len(parts[-1])
        await self._stream.write(b"".join(parts))
        self._unanswered -= len(parts)
        if self._unanswered <= UNANSWERED_MAX:
            self._drained.set()

    async def _write_events(self) -> None:
        if self._is_replaying:
            return
        events = self._subscription.take()
        if self._replies_only:
            return
        for start in range(0, len(events), _EVENTS_PER_FRAME):
            part = events[start : start + _EVENTS_PER_FRAME]
            frame = pb.ConnectResponse(events=part, cursor=part[-1].cursor)
            await self._stream.write(frame.SerializeToString())
        if self._subscription.is_cut_off:
            raise cut_off(self._subscription)
