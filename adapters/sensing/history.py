"""
TelemetryService.ImportHistory: a queue's past, of which nothing counts before all of it is learned.

Learning takes a second for some months. It is done in slices beside the loop and beside what
senses, one history at a time, so that neither waits for it; only the finished row is taken over in
the sensing thread. Whoever hangs up meanwhile has changed nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar

import numpy as np
import structlog

from adapters.calls import Cells, parse
from adapters.errors import CallRefused, invalid, refused_by_engine
from adapters.sensing.thread import SensingThread
from engine.refusals import CommandRefused, violation
from engine.sensing.history import HistoryDraft, adopt_history, begin_history
from engine.sensing.sensing import Sensing
from headgate.v1 import telemetry_service_pb2 as pb

_log = structlog.get_logger(__name__)

T = TypeVar("T")
ReadFrame = Callable[[], Awaitable[bytes | None]]

# Buckets that are learned from between two looks at whether anybody still waits: some 10 ms.
_SLICE: Final = 288
_REST_S: Final = 1.0
_METHOD: Final = "TelemetryService/ImportHistory"


class HistoryImports:
    """Takes histories in, one at a time."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(1)

    async def take(self, read: ReadFrame, cells: Cells) -> bytes:
        """
        Take one history in, from its first message to its answer.

        Parameters
        ----------
        cells
            Those the caller may use.

        Raises
        ------
        CallRefused
            It cannot be the queue's past, or was cut off; nothing has changed.
        """
        first = _parsed(await read())
        told = pb.ImportHistoryRequest(
            cell=first.cell,
            queue_id=first.queue_id,
            begins_at_s=first.begins_at_s,
            replace=first.replace,
        )
        try:
            reply = await self._take(first, read, cells)
        except CallRefused as refused:
            cells.note(_METHOD, told, refused)
            await _read_rest(read)
            raise
        cells.note(_METHOD, told, None)
        return reply

    async def _take(self, request: pb.ImportHistoryRequest, read: ReadFrame, cells: Cells) -> bytes:
        thread = cells.find_sensing(request.cell)
        # A queue that was made a moment ago is known from here on.
        thread.tell_changes()
        now_ms, replaces = thread.cell.now_ms(), request.replace
        draft = await _asked(
            thread,
            lambda sensing: begin_history(sensing, request.queue_id, now_ms, replaces=replaces),
        )
        await _read_all(draft, request, read)
        days = await self._learn(thread, draft)
        _log.info(
            "history_imported", cell=thread.cell.cell, queue=draft.queue_id, steps=draft.steps,
            days=days, replaces=replaces,
        )  # fmt: skip
        return pb.ImportHistoryResponse(steps=draft.steps, days=days).SerializeToString()

    async def _learn(self, thread: SensingThread, draft: HistoryDraft) -> int:
        try:
            past = draft.past()
        except CommandRefused as refused:
            raise refused_by_engine(refused) from None
        async with self._turn:
            while await asyncio.to_thread(past.advance, draft.running, _SLICE):
                pass
        days = await _asked(thread, lambda sensing: adopt_history(sensing, draft, past))
        await thread.save()
        return days


async def _read_rest(read: ReadFrame) -> None:
    """
    Read what is still under way before a refusal, for a moment.

    grpc.aio's client tells an internal error in the place of a status that comes while it writes.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(_REST_S):
            while await read() is not None:
                pass


async def _read_all(draft: HistoryDraft, request: pb.ImportHistoryRequest, read: ReadFrame) -> None:
    """Add every message to the draft."""
    _add(draft, request)
    first = request
    while not request.is_last:
        request = _parsed(await read())
        for field, given, expected in (
            ("cell", request.cell, first.cell),
            ("queue_id", request.queue_id, first.queue_id),
            ("replace", request.replace, first.replace),
        ):
            if given not in ("", False, expected):
                raise invalid(violation(field, given, "empty, or as on the first message"))
        _add(draft, request)
    if await read() is not None:
        raise invalid(violation("is_last", True, "no message after it"))


def _add(draft: HistoryDraft, request: pb.ImportHistoryRequest) -> None:
    try:
        draft.add(request.begins_at_s, np.array(request.contacts[:], np.int64))
    except CommandRefused as refused:
        raise refused_by_engine(refused) from None


def _parsed(frame: bytes | None) -> pb.ImportHistoryRequest:
    if frame is None:
        raise invalid(violation("is_last", False, "true on the last message: this was cut off"))
    return parse(pb.ImportHistoryRequest, frame)


async def _asked(thread: SensingThread, work: Callable[[Sensing], T]) -> T:
    try:
        return await thread.ask(work)
    except CommandRefused as refused:
        raise refused_by_engine(refused) from None
