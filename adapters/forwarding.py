"""
The loop of a forwarder: take events, write down what is sent, send it, write down that it arrived.

One delivery is under way at a time, so events arrive in the order of the log. What gathers
meanwhile is the next delivery; no timer holds anything back.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from adapters.courier import Courier
from adapters.cursor_file import CursorFile, Progress
from adapters.cursors import parse_cursor
from adapters.event_source import BUFFERED_EVENTS_MAX, EventSource
from adapters.webhook import RenderedEvent, delivery_of

EVENTS_PER_DELIVERY_MAX: Final = 1_000
# What was being sent must fit the buffer, or it could not be sent again as it was.
assert EVENTS_PER_DELIVERY_MAX <= BUFFERED_EVENTS_MAX
# How often progress past events that are not wanted is written down.
_SAVE_EVERY_S: Final = 5.0
# How long the rest of what was being sent may take to come: a restored log may not hold it.
_REST_WITHIN_S: Final = 60.0


class Bounds(NamedTuple):
    """
    Size of a delivery.

    Attributes
    ----------
    events_max
        Most events, 1 to `EVENTS_PER_DELIVERY_MAX`.
    bytes_max
        Most bytes of events; a single larger event goes alone.
    """

    events_max: int
    bytes_max: int


class Forwarder:
    """
    Forwards the events of a source to an endpoint.

    Parameters
    ----------
    source
        Events after the cursor of the file, or wherever they are to begin; started and stopped
        here.
    courier
        Who makes the deliveries.
    cursor_file
        Where progress is written down.
    bounds
        Size of the deliveries.
    """

    def __init__(
        self, source: EventSource, courier: Courier, cursor_file: CursorFile, bounds: Bounds
    ) -> None:
        self._source = source
        self._courier = courier
        self._cursor_file = cursor_file
        self._bounds = bounds
        self._delivered = ""
        self._saved_at_s = time.monotonic()
        self._stopping = asyncio.Event()

    @property
    def why_not_ready(self) -> str:
        """Why no events are delivered now; "" when they are, or would be."""
        if self._stopping.is_set():
            return "closing"
        if trouble := self._courier.trouble:
            return f"the endpoint does not take deliveries: {trouble}"
        return "" if self._source.is_subscribed else "not subscribed to the engine"

    def stop(self) -> None:
        """Begin nothing more; an attempt under way is waited for."""
        self._stopping.set()
        self._courier.stop()
        self._source.wake()

    async def run(self) -> None:
        """
        Forward until stopped.

        Raises
        ------
        EndpointFailed, CursorFileRefused, DeadLettersRefused
            A delivery cannot be made, or what became of it not written down.
        EventsLost, SubscriptionRefused
            Nothing more will come.
        """
        self._source.start()
        try:
            await self._until(lambda: bool(self._source.begins_at))
            self._delivered = self._source.begins_at
            events = await self._what_was_being_sent()
            if not self._stopping.is_set() and await self._send(events):
                await self._send_all()
        finally:
            await self._source.stop()

    async def _send_all(self) -> None:
        """Send events as they come, until stopped."""
        while not self._stopping.is_set():
            events = self._source.take(*self._bounds)
            if not events:
                self._move_on(at_once=not self._cursor_file.progress.cursor)
                await self._source.changed()
            elif not await self._send(events):
                return
        self._move_on(at_once=True)

    async def _send(self, events: list[RenderedEvent]) -> bool:
        """Send some events, or none, and note it; False when stopped before they were sent."""
        if not events:
            return True
        delivery = delivery_of(self._cursor_file.cell, events)
        self._write(Progress(self._delivered, sending=delivery.cursor))
        # While the endpoint fails no stream is held open: the engine keeps nothing for us.
        if not await self._courier.deliver(delivery, on_trouble=self._source.stop):
            return False
        self._delivered = delivery.cursor
        if not self._source.has_events:
            self._move_on(at_once=True)
        self._source.start()
        return True

    async def _what_was_being_sent(self) -> list[RenderedEvent]:
        """Just the events that a former process was sending when it ended."""
        place = parse_cursor(self._cursor_file.progress.sending)
        if place is None:
            return []
        await self._until(lambda: self._source.is_subscribed)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_REST_WITHIN_S):
                await self._until(lambda: self._source.has_reached(place))
        return self._source.take_up_to(place) if self._source.has_reached(place) else []

    async def _until(self, is_so: Callable[[], bool]) -> None:
        """Wait until the source has come as far as that, or for a stop."""
        while not (is_so() or self._stopping.is_set()):
            await self._source.changed()

    def _move_on(self, *, at_once: bool) -> None:
        """With no delivery under way, note progress past events that are not wanted."""
        if not self._source.has_events:
            self._delivered = self._source.cursor
        if at_once or time.monotonic() - self._saved_at_s >= _SAVE_EVERY_S:
            self._write(Progress(self._delivered))

    def _write(self, progress: Progress) -> None:
        if progress.cursor and progress != self._cursor_file.progress:
            self._cursor_file.save(progress)
            self._saved_at_s = time.monotonic()
