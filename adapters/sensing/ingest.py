"""
TelemetryService.Ingest: readings of a stream into what senses.

Messages are parsed in the sensing thread: a second of ten thousand queues is a megabyte, and the
loop's thread has calls to answer.
"""

import uuid
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from adapters.calls import Cells, ask, parse
from adapters.dispatch_loop import DispatchLoop
from adapters.errors import CallRefused, invalid, refused_by_engine
from adapters.queue_service import METHODS as QUEUE_METHODS
from adapters.sensing.thread import SensingThread
from engine.kernels.windows import ACCEPTED, READING_COLUMNS, REFUSED_DUPLICATE, REFUSED_LATE
from engine.limits import ID_BYTES_MAX
from engine.refusals import CommandRefused, violation
from engine.sensing.sensing import Batch, Sensing
from headgate.v1 import queue_service_pb2, telemetry_pb2
from headgate.v1 import telemetry_service_pb2 as pb

_SECONDS_MAX: Final = 60
_QUEUES_MAX: Final = 10_000
_REFUSALS_TOLD: Final = 16
# Fields of ReadingColumns in the order of the columns of `engine.kernels.windows`.
_FIELDS: Final = (
    "offered", "answered", "answered_within", "abandoned", "answer_wait_ms", "handled",
    "handle_ms", "waiting", "available", "handling", "wrap_up", "oldest_wait_ms",
)  # fmt: skip
assert len(_FIELDS) == READING_COLUMNS
_UPSERT: Final = next(method for method in QUEUE_METHODS if method.name == "UpsertQueue")


class Feed:
    """
    One stream of readings.

    Parameters
    ----------
    cells
        Cells of this process.
    makes_queues
        Whether a queue that is not known is made, with every default.
    """

    def __init__(self, cells: Cells, *, makes_queues: bool) -> None:
        self._cells = cells
        self._makes_queues = makes_queues
        self._cell = ""
        self._thread: SensingThread | None = None
        self._source = ""
        self._queue_ids: tuple[str, ...] = ()

    async def answer(self, frame: bytes) -> bytes:
        """
        Take one message in; returns its answer.

        Raises
        ------
        CallRefused
            The message is not one; nothing of it was taken.
        """
        request: pb.IngestRequest | None = None
        if self._thread is None:
            request = parse(pb.IngestRequest, frame)
            self._thread = self._cells.find_sensing(request.cell)
            self._cell, self._source = request.cell, _checked_source(request.source)
        thread = self._thread
        if thread.cell.is_open:
            # A queue that was defined a moment ago is known; where nothing was, this costs nothing.
            thread.tell_changes()
        if self._makes_queues:
            request, unknown = await thread.ask(partial(self._unknown, request or frame))
            if unknown:
                await _make_queues(self._cells.find(self._cell), thread, unknown)
        now_ms = thread.cell.now_ms()
        return await thread.ask(partial(self._take, request or frame, now_ms))

    def _take(self, told: pb.IngestRequest | bytes, now_ms: int, sensing: Sensing) -> bytes:
        """In the sensing thread."""
        request = self._checked(told)
        reply = pb.IngestResponse(sequence=request.sequence)
        # All are read before the first is taken: a message that is not sound changes nothing.
        batches = [self._batch(item, place) for place, item in enumerate(request.readings)]
        try:
            for batch in batches:
                _count(reply, batch, sensing.accept(self._source, batch, now_ms))
        except CommandRefused as refused:
            raise refused_by_engine(refused) from None
        if batches:
            reply.skew_ms = sensing.sources.by_name[self._source].skew_ms
        reply.closed_second = sensing.parts.windows.closed_s
        return reply.SerializeToString()

    def _unknown(
        self, told: pb.IngestRequest | bytes, sensing: Sensing
    ) -> tuple[pb.IngestRequest, list[str]]:
        """A message, and its queues that are not known, each once; in the sensing thread."""
        request = self._checked(told)
        named = (queue_id for item in request.readings for queue_id in item.queue_ids)
        row_of = sensing.directory.rows.queue_row
        return request, [name for name in dict.fromkeys(named) if row_of(name) < 0]

    def _checked(self, told: pb.IngestRequest | bytes) -> pb.IngestRequest:
        """A message, parsed where it has not been, and checked against the stream's first."""
        request = parse(pb.IngestRequest, told) if isinstance(told, bytes) else told
        for field, given, first in (
            ("cell", request.cell, self._cell),
            ("source", request.source, self._source),
        ):
            if given not in ("", first):
                raise invalid(violation(field, given, "empty, or as on the stream's first message"))
        if len(request.readings) > _SECONDS_MAX:
            expected = f"at most {_SECONDS_MAX} seconds"
            raise invalid(violation("readings", len(request.readings), expected))
        return request

    def _batch(self, columns: telemetry_pb2.ReadingColumns, place: int) -> Batch:
        """Readings of one second; its queues are those of the stream from now on."""
        path = f"readings[{place}]"
        if columns.queue_ids:
            names = tuple(columns.queue_ids)
            if names != self._queue_ids:
                self._queue_ids = _checked_queues(names, path)
        count = len(self._queue_ids)
        if count == 0:
            raise invalid(violation(f"{path}.queue_ids", "", "the queues that columns are of"))
        values = np.zeros((count, READING_COLUMNS), np.int64)
        for column, field in enumerate(_FIELDS):
            given = getattr(columns, field)
            if len(given) == count:
                values[:, column] = np.array(given[:], np.int64)
            elif len(given) > 0:
                expected = f"none, or one for each of the {count} queues"
                raise invalid(violation(f"{path}.{field}", f"{len(given)} values", expected))
        return Batch(columns.second, self._queue_ids, values)


def _checked_source(name: str) -> str:
    if not (0 < len(name.encode()) <= ID_BYTES_MAX and name.isprintable()):
        raise invalid(violation("source", name, f"1 to {ID_BYTES_MAX} printable bytes"))
    return name


def _checked_queues(names: tuple[str, ...], path: str) -> tuple[str, ...]:
    if len(names) > _QUEUES_MAX:
        expected = f"at most {_QUEUES_MAX:,} queues"
        raise invalid(violation(f"{path}.queue_ids", len(names), expected))
    if len(set(names)) < len(names):
        repeated = next(name for name, times in Counter(names).items() if times > 1)
        raise invalid(violation(f"{path}.queue_ids", repeated, "each queue only once"))
    return names


def _count(reply: pb.IngestResponse, batch: Batch, outcome: NDArray[np.int8]) -> None:
    """Count what became of readings, and name the first that were not taken."""
    reply.accepted += int((outcome == ACCEPTED).sum())
    reply.late += int((outcome == REFUSED_LATE).sum())
    reply.duplicate += int((outcome == REFUSED_DUPLICATE).sum())
    is_refused = (outcome != ACCEPTED) & (outcome != REFUSED_LATE) & (outcome != REFUSED_DUPLICATE)
    reply.refused += int(is_refused.sum())
    is_told = is_refused | (outcome == REFUSED_LATE)
    for place in np.flatnonzero(is_told)[: _REFUSALS_TOLD - len(reply.refusals)].tolist():
        reply.refusals.add(
            queue_id=batch.queue_ids[place],
            second=batch.second,
            refusal=int(outcome[place]),
        )


async def _make_queues(cell: DispatchLoop, thread: SensingThread, names: Sequence[str]) -> None:
    """Make queues, and have them sensed before what is asked next."""
    for name in names:
        request = queue_service_pb2.UpsertQueueRequest(cell=cell.cell)
        request.request_id = uuid.uuid4().hex
        request.queue.queue_id, request.queue.etag = name, "0"
        try:
            await ask(cell, _UPSERT, request)
        except CallRefused as refused:
            if refused.retry_after_ms:
                raise
            # Made by another meanwhile, or no queue can be made of it: its readings are refused.
    thread.tell_changes()
