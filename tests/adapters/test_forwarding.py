"""A forwarder between an event stream and an endpoint that both do as the test says."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from adapters import forwarding
from adapters.courier import Courier, EndpointFailed, FailurePolicy, OnFailure
from adapters.cursor_file import CursorFile, Progress
from adapters.dead_letters import DeadLetters
from adapters.endpoint import Endpoint, trusting
from adapters.event_source import EventSource
from adapters.forward_metrics import ForwardMetrics
from adapters.forwarding import Bounds, Forwarder
from adapters.retrying import RetryPolicy
from headgate.client import Client
from headgate.v1.event_service_pb2 import SubscribeRequest
from tests.adapters.stand_in_log import StandInLog
from tests.adapters.webhook_endpoint import Reply, StandInEndpoint, answering
from tests.end_to_end.stand_in import serving

MANY = Bounds(events_max=1_000, bytes_max=1_000_000)
QUICK = RetryPolicy(pause_first_s=0.01, pause_max_s=0.02, retry_after_max_s=2, give_up_after_s=30)
ONCE = replace(QUICK, give_up_after_s=0)
DEAD_LETTER = OnFailure.DEAD_LETTER


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


@pytest.fixture
async def run(tmp_path: Path) -> Run:
    """A log, an endpoint that takes everything, and no progress yet."""
    return Run(StandInLog(), StandInEndpoint(), tmp_path / "cursor")


def bodies(endpoint: StandInEndpoint) -> list[list[str]]:
    """Cursors of the events of each request."""
    return [
        [event["cursor"] for event in json.loads(taken.body)["events"]] for taken in endpoint.taken
    ]


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


async def test_failed_attempt_is_made_again_with_the_same_id_and_body(run: Run) -> None:
    """A receiver that did its work and could not say so knows the delivery again."""
    unwell = [Reply(503), None, Reply(429), Reply(408)]
    run.endpoint = StandInEndpoint(*unwell)
    async with running(run):
        await run.log.write(1)
        await run.until(Progress("1.1"))
        async with asyncio.timeout(5):
            while run.forwarder.why_not_ready:
                await asyncio.sleep(0.01)
    assert len(run.endpoint.taken) == 5
    assert len({(item.headers["webhook-id"], item.body) for item in run.endpoint.taken}) == 1
    for why in ("503", "429", "408", "connection"):
        assert run.count("retries_total", why=why) == 1
    assert run.count("deliveries_total", outcome="delivered") == 1
    assert run.count("attempt_seconds_count") == 5


async def test_endpoint_is_left_alone_for_as_long_as_it_asks(run: Run) -> None:
    """One that is overloaded names the time it needs."""
    run.endpoint = StandInEndpoint(Reply(503, {"retry-after": "1"}))
    loop = asyncio.get_running_loop()
    async with running(run):
        await run.log.write(1)
        await run.endpoint.has_taken(1)
        begun_s = loop.time()
        await run.endpoint.has_taken(2)
        assert loop.time() - begun_s >= 0.95


async def test_engine_holds_nothing_for_an_endpoint_that_is_down(run: Run) -> None:
    """A dead receiver must never touch the engine; readiness says what is wrong."""
    slow = replace(QUICK, pause_first_s=0.5, pause_max_s=0.5)
    run.endpoint = StandInEndpoint(*[Reply(500)] * 3)
    async with running(run, retries=slow):
        await run.log.write(1)
        await run.endpoint.has_taken(1)
        async with asyncio.timeout(5):
            while run.log.streams_open:
                await asyncio.sleep(0.01)
        assert run.forwarder.why_not_ready == "the endpoint does not take deliveries: 500"
        assert run.count("waiting_seconds") > 0
        await run.log.write(1)
        await run.until(Progress("2.1"))
        assert run.count("waiting_seconds") == 0
        assert run.count("subscribed") == 1
    assert bodies(run.endpoint)[-1] == ["2.1"]


@pytest.mark.parametrize("status", [400, 401, 404, 413, 301])
async def test_refusal_ends_the_run_with_the_delivery_still_to_be_made(
    run: Run, status: int
) -> None:
    """A wrong secret or path is mended, and then nothing is missing."""
    run.endpoint = StandInEndpoint(Reply(status))
    async with running(run):
        await run.log.write(1)
        with pytest.raises(
            EndpointFailed, match=rf"refuses a delivery: .* default-1-1-\w+, {status}"
        ):
            await asyncio.wait_for(asyncio.shield(run.task), 5)
    assert run.progress() == Progress("0", sending="1.1")
    assert run.count("deliveries_total", outcome="refused") == 1


async def test_endpoint_that_is_gone_ends_the_run_whatever_the_policy(
    run: Run, tmp_path: Path
) -> None:
    """410 is the receiver's word that it wants no more: a person must look."""
    letters = DeadLetters(tmp_path / "dead")
    run.endpoint = StandInEndpoint(Reply(410))
    async with running(run, failures=FailurePolicy(DEAD_LETTER, DEAD_LETTER, letters)):
        await run.log.write(1)
        with pytest.raises(EndpointFailed, match="gone for good"):
            await asyncio.wait_for(asyncio.shield(run.task), 5)
    letters.close()
    assert (tmp_path / "dead").read_text() == ""
    assert run.progress().cursor == "0"


@pytest.mark.parametrize(("status", "outcome"), [(422, "refused"), (503, "gave_up")])
async def test_delivery_that_cannot_be_made_is_kept_and_the_next_one_made(
    run: Run, tmp_path: Path, status: int, outcome: str
) -> None:
    """One event that a receiver chokes on does not hold up all that follow, and is not lost."""
    letters = DeadLetters(tmp_path / "dead")
    run.endpoint = StandInEndpoint(Reply(status))
    policy = FailurePolicy(DEAD_LETTER, DEAD_LETTER, letters)
    async with running(run, Bounds(2, 1_000_000), ONCE, policy):
        await run.log.write(3)
        await run.until(Progress("1.3"))
    letters.close()
    assert bodies(run.endpoint) == [["1.1", "1.2"], ["1.3"]]
    (line,) = (tmp_path / "dead").read_text().splitlines()
    kept = json.loads(line)
    assert (kept["webhook_id"], kept["why"]) == (run.endpoint.ids()[0], str(status))
    assert kept["body"] == json.loads(run.endpoint.taken[0].body)
    assert run.count("deliveries_total", outcome=outcome) == 1
    assert run.count("dead_lettered_events_total") == 2
    assert run.count("events_total") == 1


async def test_delivery_that_is_given_up_ends_the_run_unless_it_may_be_kept(
    run: Run, tmp_path: Path
) -> None:
    """Each of the two policies decides about its own kind of failure."""
    letters = DeadLetters(tmp_path / "dead")
    run.endpoint = StandInEndpoint(*[Reply(500)] * 99)
    some_s = replace(QUICK, give_up_after_s=0.2)
    policy = FailurePolicy(on_refusal=DEAD_LETTER, dead_letters=letters)
    async with running(run, retries=some_s, failures=policy):
        await run.log.write(1)
        with pytest.raises(EndpointFailed, match="did not take a delivery in time"):
            await asyncio.wait_for(asyncio.shield(run.task), 5)
    letters.close()
    assert len(run.endpoint.taken) > 2
    assert run.progress() == Progress("0", sending="1.1")


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
