"""Sessions against a cell in the same process, with a peer that reads and writes as told."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from adapters.calls import Cells
from adapters.cursors import parse_cursor
from adapters.dispatch_loop import DispatchLoop
from adapters.errors import CallRefused
from adapters.event_hub import BUFFERED_EVENTS_MAX
from adapters.session import (
    FRAME_COMMANDS_MAX,
    REPLY_BYTES_MAX,
    UNANSWERED_MAX,
    Session,
    embedded,
)
from engine.limits import Limits
from headgate.v1.agent_service_pb2 import HeartbeatRequest
from headgate.v1.event_pb2 import Event, EventKind
from headgate.v1.gateway_service_pb2 import (
    ConnectRequest,
    ConnectResponse,
    SessionCommand,
    SessionReply,
    SessionWatch,
)
from headgate.v1.routing_service_pb2 import (
    CancelContactRequest,
    CancelReason,
    RouteRequest,
    UpdateContactRequest,
)
from tests.adapters.started_cell import floor, put, routing, send, started

WITHDRAWN = CancelReason.CANCEL_REASON_WITHDRAWN


class Peer:
    """The gateway's end of a stream: frames are taken from `sent`, and put into `received`."""

    def __init__(self, *frames: ConnectRequest) -> None:
        self.sent: asyncio.Queue[ConnectRequest | None] = asyncio.Queue()
        for frame in frames:
            self.sent.put_nowait(frame)
        self.taken = 0
        self.received: list[ConnectResponse] = []
        self.reads = asyncio.Event()
        self.reads.set()

    async def read(self) -> bytes | None:
        """Next frame; None at the end."""
        frame = await self.sent.get()
        self.taken += 1
        return None if frame is None else frame.SerializeToString()

    async def write(self, frame: bytes) -> None:
        """Take a frame, as soon as the gateway reads."""
        await self.reads.wait()
        self.received.append(ConnectResponse.FromString(frame))

    def replies(self) -> list[SessionReply]:
        """Replies received."""
        return [reply for frame in self.received for reply in frame.replies]

    def events(self) -> list[Event]:
        """Events received."""
        return [event for frame in self.received for event in frame.events]


def opened(cell: DispatchLoop, peer: Peer) -> "asyncio.Task[None]":
    """Serve a peer."""
    return asyncio.ensure_future(Session(Cells({"default": cell}), peer).run())


def frame_of(*requests: RouteRequest, **fields: Any) -> ConnectRequest:
    """A frame that routes."""
    return ConnectRequest(commands=[SessionCommand(route=item) for item in requests], **fields)


async def settled(condition: Callable[[], bool]) -> None:
    """Let the session work until a condition holds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("number", [1, 2, 15, 16, 31, 2_047])
@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 2_100_000])
def test_embedded_field_is_what_protobuf_writes(number: int, size: int) -> None:
    """Replies go out as bytes under their field number; a wrong length would garble the frame."""
    file = descriptor_pb2.FileDescriptorProto(name=f"embedded_{number}.proto", syntax="proto3")
    file.message_type.add(name=f"M{number}").field.add(
        name="payload", number=number, type=12, label=1
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"M{number}"))
    payload = b"x" * size
    message: Any = kind.FromString(embedded(number, payload))
    assert message.payload == payload
    if size:
        assert embedded(number, payload) == kind(payload=payload).SerializeToString()


async def test_replies_of_a_frame_carry_their_request_ids() -> None:
    """Replies may come in any order, so each says whose it is."""
    cell = await started()
    await floor(cell)
    peer = Peer(frame_of(*(routing(f"c{number}") for number in range(100))))
    session = opened(cell, peer)
    peer.sent.put_nowait(None)
    await session
    replies = {reply.request_id: reply.route.contact_id for reply in peer.replies()}
    assert replies == {f"c{number}": f"c{number}" for number in range(100)}
    await cell.stop()


async def test_peer_that_reads_nothing_is_not_read_from_without_end() -> None:
    """Replies that cannot be written must not pile up in our memory: we stop taking commands."""
    cell = await started(limits=Limits(contacts_max=1_000, ended_max=10))
    await floor(cell)
    again = frame_of(*[routing("c")] * FRAME_COMMANDS_MAX, watch=SessionWatch(replies_only=True))
    frames = 4 * UNANSWERED_MAX // FRAME_COMMANDS_MAX
    peer = Peer(*[again] * frames)
    peer.reads.clear()
    session = opened(cell, peer)
    bound = UNANSWERED_MAX // FRAME_COMMANDS_MAX
    await settled(lambda: peer.taken >= bound)
    await asyncio.sleep(0.3)
    # One more read may be under way, and one frame may be in the writer's hands.
    assert peer.taken <= bound + 2
    peer.reads.set()
    peer.sent.put_nowait(None)
    await session
    assert len(peer.replies()) == frames * FRAME_COMMANDS_MAX
    await cell.stop()


async def test_peer_that_fell_too_far_behind_is_told_without_sending_anything() -> None:
    """A gateway that only listens must learn that it was cut off, and where to resume."""
    cell = await started(limits=Limits(contacts_max=10_000, ended_max=0))
    await floor(cell)
    peer = Peer(ConnectRequest(watch=SessionWatch(all_events=True)))
    session = opened(cell, peer)
    await settled(lambda: peer.taken == 1)
    await asyncio.sleep(0.01)
    peer.reads.clear()
    requests = [routing(f"c{number}") for number in range(BUFFERED_EVENTS_MAX // 2 + 1_000)]
    for start in range(0, len(requests), 500):
        await asyncio.gather(*(put(cell, request) for request in requests[start : start + 500]))
    peer.reads.set()
    with pytest.raises(CallRefused, match="resume from cursor") as caught:
        await asyncio.wait_for(session, 10)
    assert caught.value.reason == "TOO_FAR_BEHIND"
    assert repr(peer.received[-1].cursor) in str(caught.value)
    assert not cell.hub.subscriber_count
    await cell.stop()


async def test_session_whose_peer_cannot_be_written_to_ends() -> None:
    """A broken connection ends the session though nothing more is read from it."""
    cell = await started()
    await floor(cell)

    class Broken(Peer):
        async def write(self, frame: bytes) -> None:
            raise ConnectionError("gone")

    session = opened(cell, Broken(frame_of(routing("c"))))
    with pytest.raises(ConnectionError, match="gone"):
        await asyncio.wait_for(session, 5)
    await cell.stop()


async def test_session_resumes_from_its_cursor_in_bounded_steps() -> None:
    """However long a gateway was away, it gets all of it, and never all of it at once."""
    cell = await started(limits=Limits(contacts_max=10_000, ended_max=0))
    await floor(cell)
    contacts = BUFFERED_EVENTS_MAX // 2 + 1_000
    requests = [routing(f"c{number}") for number in range(contacts)]
    for start in range(0, contacts, 500):
        await asyncio.gather(*(put(cell, request) for request in requests[start : start + 500]))
    seen: list[str] = []
    cursor = "1"
    async with asyncio.timeout(30):
        for _ in range(3):
            peer = Peer(ConnectRequest(watch=SessionWatch(all_events=True, cursor=cursor)))
            session = opened(cell, peer)
            left = 2 * contacts - len(seen)
            while not session.done() and len(peer.events()) < left:
                await asyncio.sleep(0.01)
            seen += [event.cursor for event in peer.events()]
            assert len(peer.events()) <= BUFFERED_EVENTS_MAX
            if not session.done():
                peer.sent.put_nowait(None)
                await session
                break
            with pytest.raises(CallRefused, match="resume from cursor"):
                await session
            cursor = peer.received[-1].cursor
    assert len(seen) == len(set(seen)) == 2 * contacts
    await cell.stop()


async def test_first_frame_without_a_cell_and_a_later_one_for_the_default_agree() -> None:
    """An empty cell means "default", in whichever frame it stands."""
    cell = await started()
    await floor(cell)
    for first, later in (("", "default"), ("default", ""), ("default", "default")):
        peer = Peer(ConnectRequest(cell=first), frame_of(routing(f"{first}-{later}"), cell=later))
        session = opened(cell, peer)
        peer.sent.put_nowait(None)
        await session
        assert [reply.WhichOneof("result") for reply in peer.replies()] == ["route"]
    await cell.stop()


async def test_events_between_cursor_and_resumption_come_before_new_ones() -> None:
    """A resumed session tells the contact's story in its order, each event once."""
    cell = await started()
    await floor(cell)
    await send(cell, routing("c"))
    before = str(cell.hub.sequence)
    for number in range(1, 4):
        request = UpdateContactRequest(contact_id="c", priority=number)
        await send(cell, request, f"update {number}")
    cancel = CancelContactRequest(request_id="x", contact_id="c", reason=WITHDRAWN)
    peer = Peer(
        ConnectRequest(watch=SessionWatch(contact_ids=["c"], cursor=before)),
        ConnectRequest(commands=[SessionCommand(cancel_contact=cancel)]),
    )
    session = opened(cell, peer)
    await settled(lambda: len(peer.events()) == 4)
    updated = EventKind.EVENT_KIND_CONTACT_UPDATED
    kinds = [event.kind for event in peer.events()]
    assert kinds == [updated, updated, updated, EventKind.EVENT_KIND_CONTACT_CANCELLED]
    assert len({event.cursor for event in peer.events()}) == 4
    peer.sent.put_nowait(None)
    await session
    await cell.stop()


async def test_first_frame_is_a_cursor_before_any_event() -> None:
    """A session that breaks before its first event can be resumed without loss."""
    cell = await started()
    await floor(cell)
    before = str(cell.hub.sequence)
    for cursor in ("", "1"):
        peer = Peer(ConnectRequest(watch=SessionWatch(all_events=True, cursor=cursor)))
        session = opened(cell, peer)
        peer.sent.put_nowait(None)
        await session
        assert peer.received[0] == ConnectResponse(cursor=cursor or before)
    await cell.stop()


async def test_cursor_of_a_quiet_session_moves_on_with_its_replies() -> None:
    """The log forgets: a session that only ever gets replies must not fall out of it."""
    cell = await started()
    await floor(cell, agents=1)
    beat = SessionCommand(heartbeat=HeartbeatRequest(agent_ids=["a0"]))
    peer = Peer(ConnectRequest())
    session = opened(cell, peer)
    await settled(lambda: len(peer.received) == 1)
    await send(cell, routing("somebody else's"))
    peer.sent.put_nowait(ConnectRequest(commands=[beat]))
    await settled(lambda: len(peer.received) == 2)
    assert peer.received[-1].cursor == str(cell.hub.sequence)
    peer.sent.put_nowait(None)
    await session
    await cell.stop()


async def test_cursor_of_a_frame_never_passes_an_event_that_is_still_to_come() -> None:
    """A session may break after any frame; whatever its cursor passed must have been in it."""
    cell = await started()
    await floor(cell)

    class Slow(Peer):
        async def write(self, frame: bytes) -> None:
            for _ in range(3):
                await asyncio.sleep(0)
            await super().write(frame)

    peer = Slow(ConnectRequest(watch=SessionWatch(all_events=True)))
    session = opened(cell, peer)
    await settled(lambda: len(peer.received) == 1)
    for number in range(20):
        peer.sent.put_nowait(frame_of(*(routing(f"c{number}.{place}") for place in range(20))))
        await send(cell, routing(f"foreign{number}"))
    await settled(lambda: len(peer.events()) == 2 * 20 * 21)
    peer.sent.put_nowait(None)
    await session
    order = [event.cursor for event in peer.events()]
    places = {cursor: place for place, cursor in enumerate(order)}
    written = 0
    for frame in peer.received:
        written += len(frame.events)
        if frame.cursor:
            reached = parse_cursor(frame.cursor)
            assert reached is not None
            following = [parse_cursor(cursor) for cursor in order[written:]]
            assert all(place is not None and place > reached for place in following)
    assert len(places) == len(order)
    await cell.stop()


async def test_resumed_session_is_told_of_a_contact_that_ends_during_the_replay() -> None:
    """What a contact's end takes off the watch list is its future, not its past."""
    cell = await started()
    await floor(cell)
    await send(cell, routing("c"))
    before = str(cell.hub.sequence)
    for number in range(1, 4):
        await send(cell, UpdateContactRequest(contact_id="c", priority=number))
    for number in range(200):
        await send(cell, routing(f"other{number}"))
    await send(cell, UpdateContactRequest(contact_id="c", priority=9))
    peer = Peer(ConnectRequest(watch=SessionWatch(contact_ids=["c"], cursor=before)))
    session = opened(cell, peer)
    await settled(lambda: peer.taken == 1)
    put(cell, CancelContactRequest(request_id="x", contact_id="c", reason=WITHDRAWN))
    await settled(lambda: len(peer.events()) == 5)
    updated = EventKind.EVENT_KIND_CONTACT_UPDATED
    kinds = [event.kind for event in peer.events()]
    assert kinds == [*[updated] * 4, EventKind.EVENT_KIND_CONTACT_CANCELLED]
    peer.sent.put_nowait(None)
    await session
    await cell.stop()


async def test_large_replies_are_spread_over_frames() -> None:
    """A peer with gRPC's usual bound of 4 MiB must be able to read every frame."""
    cell = await started()
    await floor(cell)
    request = routing("c")
    request.attributes["large"] = "x" * 16_000
    await send(cell, request)
    updates = [
        UpdateContactRequest(request_id=f"u{number}", contact_id="c", priority=number)
        for number in range(300)
    ]
    commands = [SessionCommand(update_contact=update) for update in updates]
    peer = Peer(ConnectRequest(commands=commands, watch=SessionWatch(replies_only=True)))
    session = opened(cell, peer)
    peer.sent.put_nowait(None)
    await session
    assert [reply.update_contact.contact.priority for reply in peer.replies()] == [*range(300)]
    assert max(frame.ByteSize() for frame in peer.received) <= REPLY_BYTES_MAX
    await cell.stop()
