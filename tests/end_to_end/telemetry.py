"""What tests do with TelemetryService: streams of readings, and reads of what is sensed."""

import time
from collections.abc import Sequence
from typing import Any, Self

import grpc.aio

from headgate.client import Client
from headgate.v1 import telemetry_service_pb2 as pb
from headgate.v1.telemetry_pb2 import QueueOutlook, ReadingColumns, ReadingRefusal
from tests.end_to_end.floor import open_queue, told, until

STREAM_TIMEOUT_S = 60


def now_s() -> int:
    """The second that runs."""
    return int(time.time())


def columns(second: int, queue_ids: Sequence[str] = (), **values: Any) -> ReadingColumns:
    """Readings of one second."""
    return ReadingColumns(second=second, queue_ids=queue_ids, **values)


class Stream:
    """
    An Ingest stream.

    Parameters
    ----------
    client
        Over whose connection.
    source
        Named in the first message.
    """

    def __init__(self, client: Client, source: str, cell: str = "") -> None:
        self._call = client.telemetry.Ingest(timeout=STREAM_TIMEOUT_S)
        self._head = {"source": source, "cell": cell}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._call.cancel()

    async def write(self, *readings: ReadingColumns, **fields: Any) -> None:
        """Send one message, and wait for nothing."""
        head, self._head = self._head, {}
        await self._call.write(pb.IngestRequest(readings=readings, **{**head, **fields}))

    async def send(self, *readings: ReadingColumns, **fields: Any) -> pb.IngestResponse:
        """Send one message; returns its answer."""
        await self.write(*readings, **fields)
        response: pb.IngestResponse = await told(self._call)
        return response

    async def refused(self, *readings: ReadingColumns, **fields: Any) -> None:
        """Send one message that ends the stream; raises its status."""
        await self.write(*readings, **fields)
        found = await self._call.read()
        assert found is grpc.aio.EOF, found
        raise AssertionError(f"the stream ended with {await self._call.code()}")


def refusals(response: pb.IngestResponse) -> list[tuple[str, int, str]]:
    """What was refused, and why."""
    return [
        (item.queue_id, item.second, ReadingRefusal.Name(item.refusal)[len("READING_REFUSAL_") :])
        for item in response.refusals
    ]


async def outlooks(client: Client, *queue_ids: str, **fields: Any) -> list[QueueOutlook]:
    """What is sensed of queues now."""
    request = pb.GetOutlookRequest(queue_ids=queue_ids, **fields)
    return list((await client.call(client.telemetry.GetOutlook, request)).outlooks)


async def sensed_queues(client: Client, *queue_ids: str, **fields: Any) -> None:
    """Create queues, and wait until they are sensed, which is looked at once a second."""
    for queue_id in queue_ids:
        await open_queue(client, queue_id, **fields)

    async def are_known() -> bool:
        try:
            return len(await outlooks(client, *queue_ids)) == len(queue_ids)
        except grpc.aio.AioRpcError:
            return False

    await until(are_known)


async def source_of(client: Client, name: str) -> pb.TelemetrySource:
    """One source of readings."""
    found = await client.call(client.telemetry.ListSources, pb.ListSourcesRequest())
    (source,) = [item for item in found.sources if item.source == name]
    return source
