"""
Events of a cell in their order, read ahead into a bounded buffer, from one connection after
another.
"""

import asyncio
import random
from collections import deque
from typing import Final

import grpc
import grpc.aio
import structlog

from adapters.cursors import parse_cursor
from adapters.forward_metrics import ForwardMetrics
from adapters.webhook import RenderedEvent, render
from headgate.client import Client
from headgate.errors import named_delay_s
from headgate.v1 import event_service_pb2

_log = structlog.get_logger(__name__)

# Read ahead before the engine is left waiting; one message more may come, of 512 events at most.
BUFFERED_EVENTS_MAX: Final = 1_000
OLDEST: Final = "0"
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 2.0
# The engine answers so whatever is done about it here.
_FINAL: Final = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)


class EventsLost(Exception):
    """The log does not reach the cursor: events after it are gone, or it is of another log."""


class SubscriptionRefused(Exception):
    """The engine refuses the subscription, and would again."""


class EventSource:
    """
    Events after a cursor. Nothing is read before `start`, nor after `stop`; both may be called
    again and again.

    Parameters
    ----------
    client
        Connection to the engine.
    wanted
        Which events, after which cursor.
    metrics
        Told whether the subscription stands.
    skip_lost
        Go on from the oldest event there is where the log does not reach the cursor.

    Attributes
    ----------
    cursor
        Everything up to this place was taken, is buffered, or is not wanted.
    begins_at
        The first cursor, where none was wanted once the engine has named it; "" before.
    is_subscribed
        The engine sends events now.
    """

    def __init__(
        self,
        client: Client,
        wanted: event_service_pb2.SubscribeRequest,
        metrics: ForwardMetrics,
        *,
        skip_lost: bool = False,
    ) -> None:
        self._client = client
        self._wanted = event_service_pb2.SubscribeRequest()
        self._wanted.CopyFrom(wanted)
        self._metrics = metrics
        self._skip_lost = skip_lost
        self._events: deque[RenderedEvent] = deque()
        self._changed = asyncio.Event()
        self._has_room = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._error: BaseException | None = None
        self._has_stood = False
        self._breaks = 0
        self._lost_after = ""
        self.cursor = wanted.cursor
        self.begins_at = wanted.cursor
        self.is_subscribed = False

    def start(self) -> None:
        """Read on, from where reading ended."""
        if self._reader is None and self._error is None:
            self._reader = asyncio.create_task(self._read())
            self._reader.add_done_callback(self._note_end)

    async def stop(self) -> None:
        """Hold no stream open: the engine keeps nothing for whoever does not read."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.cancel()
            await asyncio.wait((reader,))

    async def changed(self) -> None:
        """
        Wait until there may be something new: events, a later cursor, a subscription.

        Raises
        ------
        EventsLost, SubscriptionRefused
            Nothing will come any more, and all that came was taken.
        """
        if self._error is not None and not self._events:
            raise self._error
        await self._changed.wait()
        self._changed.clear()

    def wake(self) -> None:
        """Have `changed` return, for a reason of the caller's."""
        self._changed.set()

    def take(self, events_max: int, bytes_max: int) -> list[RenderedEvent]:
        """The next events, as many as there are within the bounds; one, if it alone is larger."""
        taken: list[RenderedEvent] = []
        size = 0
        while self._events and len(taken) < events_max:
            # A comma each.
            size += len(self._events[0].json) + 1
            if taken and size > bytes_max:
                break
            taken.append(self._events.popleft())
        self._make_room()
        return taken

    def take_up_to(self, place: tuple[int, int]) -> list[RenderedEvent]:
        """The next events up to a place of the log."""
        taken: list[RenderedEvent] = []
        while self._events and (parse_cursor(self._events[0].cursor) or place) <= place:
            taken.append(self._events.popleft())
        self._make_room()
        return taken

    def has_reached(self, place: tuple[int, int]) -> bool:
        """Whether no event up to a place of the log is still to come."""
        reached = parse_cursor(self.cursor)
        return reached is not None and reached >= place

    @property
    def has_events(self) -> bool:
        """Whether there are events to take."""
        return bool(self._events)

    def _make_room(self) -> None:
        if len(self._events) < BUFFERED_EVENTS_MAX:
            self._has_room.set()

    async def _read(self) -> None:
        """Subscribe, again after each break, until that cannot help."""
        pause_s = _FIRST_PAUSE_S
        while True:
            self._has_stood = False
            try:
                await self._follow()
                named_s = 0.0
            except grpc.aio.AioRpcError as error:
                named_s = named_delay_s(error)
                self._tell_break(error)
            except EventsLost as lost:
                if not self._skip_lost:
                    raise
                named_s = 0.0
                self._skip(lost)
            finally:
                self._show(is_subscribed=False)
            pause_s = _FIRST_PAUSE_S if self._has_stood else min(2 * pause_s, _LONGEST_PAUSE_S)
            await asyncio.sleep(named_s or pause_s * random.uniform(0.5, 1.0))

    async def _follow(self) -> None:
        """Read one stream to its end."""
        self._wanted.cursor = self.cursor
        engines, cell = self._client.engines, self._wanted.cell
        address = engines.address_of(cell)
        stream = engines.stubs_of(cell).events.Subscribe(self._wanted)
        try:
            await self._until_room()
            async for response in stream:
                self._put(response)
                await self._until_room()
        except grpc.aio.AioRpcError as error:
            engines.turn(error, address, cell)
            raise _meaning(error) from None
        finally:
            stream.cancel()

    async def _until_room(self) -> None:
        if len(self._events) >= BUFFERED_EVENTS_MAX:
            self._has_room.clear()
            await self._has_room.wait()

    def _put(self, response: event_service_pb2.SubscribeResponse) -> None:
        if not self.is_subscribed:
            _log.info("subscribed", cursor=response.cursor)
            self._show(is_subscribed=True)
        self._has_stood = True
        self._breaks = 0
        if self._lost_after and response.cursor != OLDEST:
            before = response.events[0].cursor if response.events else response.cursor
            _log.error("events_lost", after=self._lost_after, before=before)
            self._lost_after = ""
        self._events.extend(render(event) for event in response.events)
        self.cursor = response.cursor
        self.begins_at = self.begins_at or response.cursor
        self._changed.set()

    def _show(self, *, is_subscribed: bool) -> None:
        self.is_subscribed = is_subscribed
        self._metrics.subscribed.set(is_subscribed)

    def _tell_break(self, error: grpc.aio.AioRpcError) -> None:
        """Log a break; one alone is usual, a second without a message between is not, nor news."""
        self._breaks += 1
        if self._breaks <= 2:
            tell = _log.info if self._breaks == 1 else _log.warning
            tell("subscription_broke", code=error.code().name, message=error.details())

    def _skip(self, lost: EventsLost) -> None:
        """Go on with the oldest event; up to which one they are lost is told once it is here."""
        if not self._lost_after:
            self._metrics.losses.inc()
            _log.error("cursor_out_of_range", cursor=self.cursor, message=str(lost))
        self._lost_after = self._lost_after or self.cursor
        self.cursor = OLDEST

    def _note_end(self, reader: "asyncio.Task[None]") -> None:
        if not reader.cancelled():
            self._error = reader.exception()
            self._changed.set()


def _meaning(error: grpc.aio.AioRpcError) -> Exception:
    """What a broken stream means for whoever reads it."""
    if error.code() == grpc.StatusCode.OUT_OF_RANGE:
        return EventsLost(error.details())
    if error.code() in _FINAL:
        return SubscriptionRefused(f"{error.code().name}: {error.details()}")
    return error
