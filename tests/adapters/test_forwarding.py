"""A forwarder while all goes well, and over stops and crashes of its own."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from adapters import forwarding
from adapters.cursor_file import CursorFile, Progress
from adapters.forwarding import Bounds
from tests.adapters.stand_in_log import StandInLog
from tests.adapters.started_forwarder import QUICK, Run, bodies, running
from tests.adapters.webhook_endpoint import Reply, StandInEndpoint


@pytest.fixture
async def run(tmp_path: Path) -> Run:
    """A log, an endpoint that takes everything, and no progress yet."""
    return Run(StandInLog(), StandInEndpoint(), tmp_path / "cursor")


async def test_events_arrive_in_order_one_delivery_at_a_time(run: Run) -> None:
    """What happened to a contact is told in the order in which it happened."""

    async def dawdle() -> None:
        await asyncio.sleep(0.03)

    run.endpoint = StandInEndpoint(*[Reply(before=dawdle)] * 5)
    async with running(run, Bounds(events_max=4, bytes_max=1_000_000)):
        written = await run.log.write(3, 1, 2, 5, 1)
        await run.until(Progress(written[-1]))
    arrived = bodies(run.endpoint)
    assert [cursor for body in arrived for cursor in body] == written
    assert run.endpoint.underway_max == 1
    assert max(map(len, arrived)) == 4
    assert [json.loads(taken.body)["cursor"] for taken in run.endpoint.taken] == [
        body[-1] for body in arrived
    ]


async def test_what_gathers_while_one_is_under_way_is_the_next(run: Run) -> None:
    """A quiet floor is told at once, a busy one in few requests."""
    release = asyncio.Event()
    run.endpoint = StandInEndpoint(Reply(before=release.wait))  # type: ignore[arg-type]
    async with running(run):
        await run.log.write(1)
        await run.endpoint.has_taken(1)
        written = await run.log.write(*[1] * 200)
        await run.has_read(written[-1])
        release.set()
        await run.until(Progress(written[-1]))
    assert [len(body) for body in bodies(run.endpoint)] == [1, 200]


async def test_one_event_a_delivery_is_possible(run: Run) -> None:
    """A receiver that handles one event at a time need not know of lists."""
    async with running(run, Bounds(events_max=1, bytes_max=1_024)):
        written = await run.log.write(3)
        await run.until(Progress(written[-1]))
    assert bodies(run.endpoint) == [[cursor] for cursor in written]


async def test_cursor_moves_only_once_the_endpoint_has_taken_the_events(run: Run) -> None:
    """At least once: what nobody answered for is sent again by the next process."""
    release = asyncio.Event()
    run.endpoint = StandInEndpoint(Reply(), Reply(before=release.wait))  # type: ignore[arg-type]
    async with running(run):
        await run.log.write(2)
        await run.until(Progress("1.2"))
        await run.log.write(1)
        await run.endpoint.has_taken(2)
        assert run.progress() == Progress("1.2", sending="2.1")
        release.set()
        await run.until(Progress("2.1"))


async def test_delivery_that_was_under_way_at_a_crash_comes_again_as_it_was(run: Run) -> None:
    """Another process, other bounds, more events meanwhile: the same id, and the same bytes."""
    never = asyncio.Event()
    run.endpoint = StandInEndpoint(Reply(before=never.wait))  # type: ignore[arg-type]
    await run.log.write(3)
    async with running(run):
        await run.endpoint.has_taken(1)
    # The process is gone; whether the receiver had it, it does not know.
    first = run.endpoint.taken[0]
    sent_then = bodies(run.endpoint)[0]
    more = await run.log.write(4, 1)
    run.endpoint = StandInEndpoint()
    async with running(run, Bounds(events_max=2, bytes_max=1_024)):
        await run.until(Progress(more[-1]))
    again = run.endpoint.taken[0]
    assert (again.headers["webhook-id"], again.body) == (first.headers["webhook-id"], first.body)
    later = [cursor for body in bodies(run.endpoint)[1:] for cursor in body]
    assert sent_then == ["1.1", "1.2", "1.3"]
    assert [*sent_then, *later] == [*sent_then, *more]
    assert len(set(run.endpoint.ids())) == len(run.endpoint.taken)


async def test_rest_of_a_delivery_that_the_log_no_longer_holds_is_not_waited_for(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a restore from a backup the log ends before what was being sent."""
    monkeypatch.setattr(forwarding, "_REST_WITHIN_S", 0.2)
    file = CursorFile(run.path, "default", "all")
    file.save(Progress("1", sending="9.1"))
    file.close()
    await run.log.write(1, 1)
    async with running(run):
        await run.until(Progress("2.1"))
    assert bodies(run.endpoint) == [["2.1"]]


async def test_stop_while_the_rest_is_awaited_forgets_nothing(run: Run) -> None:
    """Two restarts in a row must not make another delivery of it."""
    file = CursorFile(run.path, "default", "all")
    file.save(Progress("1", sending="3.1"))
    file.close()
    await run.log.write(1, 1)
    async with running(run):
        async with asyncio.timeout(5):
            while not run.log.streams_open:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        await run.stopped()
    assert run.progress() == Progress("1", sending="3.1")
    assert run.endpoint.taken == []


async def test_stop_in_a_pause_leaves_at_once(run: Run) -> None:
    """An orchestrator does not wait a minute for an endpoint that is down."""
    patient = replace(QUICK, pause_first_s=60, pause_max_s=60, retry_after_max_s=60)
    run.endpoint = StandInEndpoint(Reply(503, {"retry-after": "60"}))
    async with running(run, retries=patient):
        await run.log.write(1)
        await run.endpoint.has_taken(1)
        await asyncio.sleep(0.1)
        await asyncio.wait_for(run.stopped(), 1)
    assert run.progress() == Progress("0", sending="1.1")


async def test_stop_waits_for_the_answer_under_way_and_notes_it(run: Run) -> None:
    """An orderly restart sends nothing twice."""
    release = asyncio.Event()
    run.endpoint = StandInEndpoint(Reply(before=release.wait))  # type: ignore[arg-type]
    async with running(run, Bounds(events_max=1, bytes_max=1_024)):
        await run.log.write(1, 1)
        await run.endpoint.has_taken(1)
        run.forwarder.stop()
        await asyncio.sleep(0.05)
        assert not run.task.done()
        assert run.forwarder.why_not_ready == "closing"
        release.set()
        await asyncio.wait_for(run.task, 5)
    assert run.progress() == Progress("1.1")
    assert bodies(run.endpoint) == [["1.1"]]


async def test_progress_past_events_that_are_not_wanted_is_noted(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a forwarder of rare events finds its cursor forgotten after its first restart."""
    monkeypatch.setattr(forwarding, "_SAVE_EVERY_S", 0.0)
    async with running(run):
        await run.log.write(0, 0, 0)
        await run.until(Progress("3"))
        monkeypatch.setattr(forwarding, "_SAVE_EVERY_S", 60.0)
        await run.log.write(0)
        await run.has_read("4")
        # Not at every message, but when it leaves.
        assert run.progress() == Progress("3")
        await run.stopped()
    assert run.progress() == Progress("4")
    assert run.endpoint.taken == []


async def test_lag_and_last_success_are_of_the_last_delivery(run: Run) -> None:
    """Alerts on a stuck webhook are written against these."""
    async with running(run):
        assert run.count("last_success_timestamp_seconds") == 0
        await run.log.write(2)
        await run.until(Progress("1.2"))
    assert 0 <= run.count("lag_seconds") < 5
    assert run.count("last_success_timestamp_seconds") > 1_700_000_000
    assert run.count("events_total") == 2
