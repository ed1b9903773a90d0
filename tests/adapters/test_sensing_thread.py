"""The thread that senses, over a cell of this process: a bug costs a second, not sensing."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.rpc import code_pb2
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from adapters.calls import Cells
from adapters.errors import CallRefused
from adapters.sensing.ingest import Feed
from adapters.sensing.metrics import SensingFamilies
from adapters.sensing.opening import warn_where_nothing_is_kept
from adapters.sensing.thread import SensingThread
from adapters.settings import load
from engine.sensing.sampling import take_sample
from engine.sensing.sensing import Sensing, SensingSettings
from headgate.v1.queue_pb2 import Queue
from headgate.v1.queue_service_pb2 import UpsertQueueRequest
from headgate.v1.telemetry_service_pb2 import IngestRequest, IngestResponse
from tests.adapters.started_cell import send, started

REGISTRY_NAME = "headgate_sensing_failures_total"


@pytest.fixture
async def sensed() -> AsyncIterator[tuple[SensingThread, CollectorRegistry]]:
    """A cell with a queue, and what senses it."""
    registry = CollectorRegistry()
    cell = await started()
    await send(cell, UpsertQueueRequest(queue=Queue(queue_id="desk")))
    settings = SensingSettings(lateness_s=0)
    thread = SensingThread(cell, settings, SensingFamilies(registry).of("default"))
    await thread.start()
    yield thread, registry
    await thread.stop()
    await cell.stop()


async def told_twice(thread: SensingThread) -> int:
    """Wait for two pictures; returns the second of the last."""
    for _ in range(2):
        await asyncio.wait_for(thread.told.wait(), 30)
    return thread.picture.second


def failures(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value(REGISTRY_NAME, {"cell": "default"})


async def test_sample_that_fails_costs_its_second(
    sensed: tuple[SensingThread, CollectorRegistry], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sensing must not end in silence because one sample met a bug."""
    thread, registry = sensed
    calls = 0

    def fails_once(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("a bug put in on purpose")
        return take_sample(*arguments)

    monkeypatch.setattr("adapters.sensing.thread.take_sample", fails_once)
    before = thread.picture.second
    assert await told_twice(thread) > before
    assert calls >= 2
    assert failures(registry) == 1


async def test_work_that_fails_is_told_to_whoever_asked(
    sensed: tuple[SensingThread, CollectorRegistry],
) -> None:
    """The caller gets the error; the thread goes on with what comes next."""
    thread, _ = sensed

    def fails(_: Sensing) -> None:
        raise RuntimeError("a bug put in on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        await thread.ask(fails)
    assert await thread.ask(lambda sensing: sensing.directory.rows.queue_row("desk")) >= 0


async def test_feed_of_a_cell_that_takes_no_calls_is_put_off(
    sensed: tuple[SensingThread, CollectorRegistry], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue that cannot be made just now is not one that is unknown: readings would be lost."""
    thread, _ = sensed
    feed = Feed(Cells({"default": thread.cell}, {"default": thread}), makes_queues=True)
    request = IngestRequest(source="pbx", sequence=7)
    request.readings.add(second=thread.cell.now_ms() // 1_000, queue_ids=["new"], offered=[1])
    with monkeypatch.context() as patched:
        patched.setattr(thread.cell, "_is_open", False)
        with pytest.raises(CallRefused) as caught:
            await feed.answer(request.SerializeToString())
    assert (caught.value.code, caught.value.retry_after_ms > 0) == (code_pb2.UNAVAILABLE, True)
    reply = IngestResponse.FromString(await feed.answer(request.SerializeToString()))
    assert (reply.sequence, reply.accepted) == (7, 1)


@pytest.mark.parametrize(
    ("flags", "is_told"),
    [
        ({"log": "redis://h:1"}, True),
        ({"log": "redis://h:1", "data_dir": "{here}"}, False),
        ({"log": "redis://h:1", "sensing": "false"}, False),
        ({}, False),  # beside the cells, in a folder that is made
    ],
)
def test_forgetting_is_told_at_the_start(
    tmp_path: Path, flags: dict[str, str], is_told: bool
) -> None:
    """Whose cells are in Redis believes that all is kept there."""
    given = {"data_dir": str(tmp_path / "none")} | flags
    loaded, _ = load({k: v.format(here=tmp_path) for k, v in given.items()}, None, {})
    with capture_logs() as lines:
        warn_where_nothing_is_kept(loaded)
    assert [line["event"] for line in lines] == ["learned_not_kept"] * is_told
