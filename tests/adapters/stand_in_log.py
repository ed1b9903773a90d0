"""An event stream in the test's own process: a log that the test writes and subscribers follow."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from typing import Any

from adapters.cursors import cursor_of, parse_cursor
from headgate.v1.event_pb2 import Event, EventKind
from headgate.v1.event_service_pb2 import SubscribeResponse
from tests.end_to_end.stand_in import StandIn


class StandInLog(StandIn):
    """
    Sends what was written after the cursor, one message a group, and then what is written.

    Attributes
    ----------
    streams_open
        Subscribers of now.
    """

    def __init__(self) -> None:
        super().__init__()
        self._groups: list[list[Event]] = []
        self._written = asyncio.Condition()
        self.streams_open = 0

    async def write(self, *counts: int) -> list[str]:
        """Write groups of so many events; returns the cursors."""
        written = []
        for count in counts:
            sequence = len(self._groups) + 1
            events = [
                Event(
                    cursor=cursor_of(sequence, index),
                    kind=EventKind.EVENT_KIND_CONTACT_RECEIVED,
                    at_ms=time.time_ns() // 1_000_000,
                    contact_id=f"c{sequence}-{index}",
                )
                for index in range(1, count + 1)
            ]
            self._groups.append(events)
            written += [event.cursor for event in events]
        async with self._written:
            self._written.notify_all()
        return written

    async def answer_all(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """Answer Subscribe."""
        self.requests.append(request)
        self.streams_open += 1
        try:
            async for response in self._told_after(request.cursor):
                yield response
        finally:
            self.streams_open -= 1

    async def _told_after(self, cursor: str) -> AsyncIterator[SubscribeResponse]:
        place = parse_cursor(cursor or str(len(self._groups)))
        assert place is not None
        yield SubscribeResponse(cursor=cursor or str(len(self._groups)))
        for sequence in itertools.count(max(place[0], 1)):
            group = await self._group(sequence)
            after = [event for event in group if (parse_cursor(event.cursor) or place) > place]
            if cursor == "0":
                after = group
            if after or not group:
                at = group[-1].cursor if group else str(sequence)
                yield SubscribeResponse(events=after, cursor=at)

    async def _group(self, sequence: int) -> list[Event]:
        async with self._written:
            await self._written.wait_for(lambda: len(self._groups) >= sequence)
        return self._groups[sequence - 1]
