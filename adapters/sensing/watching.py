"""TelemetryService.WatchBusyness: the picture as it changes."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import numpy as np
from google.protobuf.message import Message

from adapters.calls import Cells
from adapters.errors import invalid
from adapters.sensing.messages import outlook_message
from adapters.sensing.reads import rows_asked
from engine.refusals import violation
from engine.sensing.picture import Picture
from engine.sensing.rows import Key
from headgate.v1 import telemetry_service_pb2 as pb

_QUEUES_MAX: Final = 10_000
_INTERVAL_MS: Final = 60_000
_INTERVAL_MS_MIN, _INTERVAL_MS_MAX = 1_000, 3_600_000
# Queues of one message, so that a peer with gRPC's usual bound of 4 MiB can read it.
_QUEUES_PER_MESSAGE: Final = 2_000


async def watch_busyness(cells: Cells, request: pb.WatchBusynessRequest) -> AsyncIterator[Message]:
    """Tell of all queues at once and at an interval, and between of those whose grade changed."""
    thread = cells.find_sensing(request.cell)
    interval_ms = request.interval_ms or _INTERVAL_MS
    if not (_INTERVAL_MS_MIN <= interval_ms <= _INTERVAL_MS_MAX):
        expected = f"{_INTERVAL_MS_MIN:,} to {_INTERVAL_MS_MAX:,}"
        raise invalid(violation("interval_ms", request.interval_ms, expected))
    loop = asyncio.get_running_loop()
    due_s = loop.time()
    keys: tuple[Key | None, ...] | None = None
    rows = told = np.zeros(0, np.int64)
    asked: dict[str, int] = {}
    while True:
        picture = thread.picture
        if picture.keys is not keys:
            keys = picture.keys
            told_of = dict(zip(asked, told.tolist(), strict=True))
            asked = rows_asked(keys, request.queue_ids, _QUEUES_MAX)
            rows = np.array(list(asked.values()), np.int64)
            told = np.array([told_of.get(name, -1) for name in asked], np.int64)
        grades = picture.busyness[rows]
        is_whole = loop.time() >= due_s
        chosen = rows if is_whole else rows[grades != told]
        if is_whole:
            due_s = max(due_s + interval_ms / 1_000, loop.time())
        for message in _messages(picture, chosen.tolist(), is_whole=is_whole):
            yield message
        told = grades
        await thread.told.wait()


def _messages(picture: Picture, rows: list[int], *, is_whole: bool) -> list[Message]:
    """Outlooks of some rows; where there are none, nothing, but for a whole picture."""
    starts = range(0, len(rows), _QUEUES_PER_MESSAGE) or range(int(is_whole))
    return [
        pb.WatchBusynessResponse(
            outlooks=[
                outlook_message(picture, row, with_windows=False)
                for row in rows[start : start + _QUEUES_PER_MESSAGE]
            ],
            is_whole=is_whole,
        )
        for start in starts
    ]
