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
from adapters.streams import cut_off, find_place, replay
from adapters.turn import Call
from engine.refusals import violation
from headgate.v1 import agent_service_pb2, routing_service_pb2
from headgate.v1 import gateway_service_pb2 as pb
from headgate.v1.event_pb2 import Event

FRAME_COMMANDS_MAX: Final = 1_024
# Commands taken in whose replies are not written yet; beyond it the session stops reading.
UNANSWERED_MAX: Final = 8_192
# Replies of one frame, so that a peer with gRPC's usual bound of 4 MiB can read it; a reply that is
# larger by itself goes alone.
REPLY_BYTES_MAX: Final = 1_048_576

_CURSOR_FIELD: Final = pb.ConnectResponse.DESCRIPTOR.fields_by_name["cursor"].number

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
        self._begins_at = ""
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
        cursor = first.watch.cursor
        place = await find_place(cell, cursor) if cursor else None
        self._cell = cell
        cell.hub.subscribe(self._subscription)
        self._begins_at = cursor or self._subscription.cursor
        self._watch(cell, first.watch)
        self._wake.set()
        if place is not None:
            await self._replay(cell, place)
        return cell

    async def _replay(self, cell: DispatchLoop, place: tuple[int, int]) -> None:
        """Put what came after the cursor before what comes now, as much as a session may hold."""
        self._is_replaying = True
        watch = self._subscription
        # What is watched now: contacts that end meanwhile are watched no more, and have a past as
        # well. An empty id names nothing.
        contact_ids, agent_ids = watch.contact_ids - {""}, watch.agent_ids - {""}
        missed: list[Event] = []
        async for events in replay(cell, place, watch.since):
            missed += (
                event
                for event in events
                if watch.wants_all or event.contact_id in contact_ids or event.agent_id in agent_ids
            )
            if len(missed) >= BUFFERED_EVENTS_MAX:
                break
        watch.begin_with(missed[:BUFFERED_EVENTS_MAX])
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
        field = _REPLY_FIELDS[name]
        contact_id = request_field(request, "contact_id")
        is_watched = contact_id in self._subscription.contact_ids
        if not self._replies_only and not self._subscription.wants_all:
            self._watch_own(cell, request)
        is_unnamed = name == "route" and not request.contact_id

        def answer(result: bytes | CallRefused) -> None:
            is_open = name == "route" and isinstance(result, bytes)
            if contact_id and not is_watched and not is_open:
                # Once its events are told: the command may have come after the contact's end.
                asyncio.get_running_loop().call_soon(self._unwatch_ended, cell, contact_id)
            refused = result if isinstance(result, CallRefused) else None
            self._cells.note(method.full_name, request, refused)
            if isinstance(result, bytes):
                if is_unnamed:
                    made = routing_service_pb2.RouteResponse.FromString(result).contact_id
                    cell.hub.watch_contact(self._subscription, made)
                self._put(request_id, field, result)
            else:
                self._reply(request_id, 2, as_error(result))

        try:
            self._cells.require(method.full_name)
            self._cells.spend(method.name)
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

    def _unwatch_ended(self, cell: DispatchLoop, contact_id: str) -> None:
        """Watch a contact no longer that has ended or never was: nothing will happen to it."""
        if not cell.engine.read.has_open_contact(contact_id):
            cell.hub.unwatch_contact(self._subscription, contact_id)

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
        """Write where the session begins, then replies and events as they come, frame by frame."""
        await self._wake.wait()
        if self._cell is not None:
            first = pb.ConnectResponse(cursor=self._begins_at)
            await self._stream.write(first.SerializeToString())
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
        await self._stream.write(b"".join(parts) + self._cursor_if_even())
        self._unanswered -= len(parts)
        if self._unanswered <= UNANSWERED_MAX:
            self._drained.set()

    def _cursor_if_even(self) -> bytes:
        """The cursor of a frame written now; b"" while there are events before it to be written."""
        watch = self._subscription
        if self._cell is None or self._is_replaying or watch.events or watch.is_behind:
            return b""
        return embedded(_CURSOR_FIELD, str(self._cell.hub.sequence).encode())

    async def _write_events(self) -> None:
        if self._is_replaying:
            return
        parts = self._subscription.take_in_parts()
        if self._replies_only:
            return
        for part in parts:
            frame = pb.ConnectResponse(events=part, cursor=part[-1].cursor)
            await self._stream.write(frame.SerializeToString())
        if self._subscription.is_cut_off:
            raise cut_off(self._subscription)
