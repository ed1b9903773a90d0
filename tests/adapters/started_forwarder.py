"""A forwarder in the test's own process, between an event stream and an endpoint of the test's."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from adapters.courier import Courier, FailurePolicy
from adapters.cursor_file import CursorFile, Progress
from adapters.endpoint import Endpoint, trusting
from adapters.event_source import EventSource
from adapters.forward_metrics import ForwardMetrics
from adapters.forwarding import Bounds, Forwarder
from adapters.retrying import RetryPolicy
from headgate.client import Client
from headgate.v1.event_service_pb2 import SubscribeRequest
from tests.adapters.stand_in_log import StandInLog
from tests.adapters.webhook_endpoint import StandInEndpoint, answering
from tests.end_to_end.stand_in import serving

MANY = Bounds(events_max=1_000, bytes_max=1_000_000)
QUICK = RetryPolicy(pause_first_s=0.01, pause_max_s=0.02, retry_after_max_s=2, give_up_after_s=30)


class Run:
    """
    A forwarder that runs, and what is around it.

    Attributes
    ----------
    log, endpoint
        What it forwards from and to.
    path
        Its cursor file.
    task
        The run, to be awaited or cancelled: a cancelled one did no more than a killed one would.
    """

    def __init__(self, log: StandInLog, endpoint: StandInEndpoint, path: Path) -> None:
        self.log = log
        self.endpoint = endpoint
        self.path = path
        self.metrics = ForwardMetrics()
        self.forwarder: Forwarder
        self.task: asyncio.Task[None]

    async def stopped(self) -> None:
        """Ask it to stop, and wait for its end."""
        self.forwarder.stop()
        await asyncio.wait_for(self.task, 5)

    def progress(self) -> Progress:
        """What the cursor file says now."""
        fields = json.loads(self.path.read_text())
        return Progress(fields["cursor"], fields["sending"])

    async def until(self, progress: Progress) -> None:
        """Wait until the cursor file says so."""
        async with asyncio.timeout(5):
            while not self.path.exists() or self.progress() != progress:
                await asyncio.sleep(0.005)

    async def has_read(self, cursor: str) -> None:
        """Wait until the forwarder has read the log up to a place."""
        async with asyncio.timeout(5):
            while self.forwarder._source.cursor != cursor:
                await asyncio.sleep(0.005)

    def count(self, name: str, **labels: str) -> float:
        """A metric's value; 0 where there is none."""
        return self.metrics.registry.get_sample_value(f"headgate_forward_{name}", labels) or 0.0


@asynccontextmanager
async def running(
    run: Run,
    bounds: Bounds = MANY,
    retries: RetryPolicy = QUICK,
    failures: FailurePolicy | None = None,
) -> AsyncIterator[Run]:
    """Run a forwarder until the test is done with it."""
    cursor_file = CursorFile(run.path, "default", "all")
    try:
        async with (
            answering(run.endpoint) as port,
            serving(run.log) as address,
            Client(address) as client,
            Endpoint(f"http://127.0.0.1:{port}/", [b"s" * 32], trusting(None), 5.0) as endpoint,
        ):
            wanted = SubscribeRequest(cursor=cursor_file.progress.cursor or "0")
            source = EventSource(client, wanted, run.metrics)
            courier = Courier(endpoint, retries, failures or FailurePolicy(), run.metrics)
            run.forwarder = Forwarder(source, courier, cursor_file, bounds)
            run.task = asyncio.create_task(run.forwarder.run())
            try:
                yield run
            finally:
                run.task.cancel()
                await asyncio.wait((run.task,))
    finally:
        cursor_file.close()


def bodies(endpoint: StandInEndpoint) -> list[list[str]]:
    """Cursors of the events of each request."""
    return [
        [event["cursor"] for event in json.loads(taken.body)["events"]] for taken in endpoint.taken
    ]
