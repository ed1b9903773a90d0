"""Tell of a queue that another system routes, a second at a time, and see what is sensed of it."""

import asyncio
import os
import time
from collections.abc import AsyncIterator

from headgate.client import Client
from headgate.v1.queue_pb2 import Queue
from headgate.v1.queue_service_pb2 import UpsertQueueRequest
from headgate.v1.telemetry_pb2 import ReadingColumns
from headgate.v1.telemetry_service_pb2 import GetOutlookRequest, IngestRequest

ADDRESS = os.environ.get("HEADGATE_ADDRESS", "127.0.0.1:7443")
SECONDS = 6


async def readings() -> AsyncIterator[IngestRequest]:
    """A message for each second as it ends; the first names source and queues for all of them."""
    for number in range(SECONDS):
        second = int(time.time())
        await asyncio.sleep(second + 1 - time.time())
        columns = ReadingColumns(
            second=second, offered=[number % 3], answered=[1], waiting=[4], handling=[9]
        )
        if number == 0:
            columns.queue_ids.append("hotline")
        yield IngestRequest(source="pbx-1", sequence=number, readings=[columns])


async def main() -> None:
    """Run the example."""
    async with Client(ADDRESS) as client:
        queue = Queue(queue_id="hotline")
        await client.call(client.queues.UpsertQueue, UpsertQueueRequest(queue=queue))
        async for answer in client.telemetry.Ingest(readings()):
            told = f"accepted {answer.accepted}, late {answer.late}, refused {answer.refused}"
            print(f"second {answer.sequence}: {told}, clock {answer.skew_ms:+d} ms")
        # A second counts once readings of it can no longer come.
        await asyncio.sleep(3)
        request = GetOutlookRequest(queue_ids=["hotline"], with_windows=True)
        (outlook,) = (await client.call(client.telemetry.GetOutlook, request)).outlooks
        minute = next(item for item in outlook.windows if item.window == "1m")
        print(f"hotline: {minute.offered} contacts in the {minute.covered_s} s that were told of")


asyncio.run(main())
