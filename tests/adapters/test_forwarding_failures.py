"""A forwarder whose endpoint fails, refuses, or is gone."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.courier import EndpointFailed, FailurePolicy, OnFailure
from adapters.cursor_file import Progress
from adapters.dead_letters import DeadLetters
from adapters.forwarding import Bounds
from tests.adapters.stand_in_log import StandInLog
from tests.adapters.started_forwarder import QUICK, Run, bodies, running
from tests.adapters.webhook_endpoint import Reply, StandInEndpoint

ONCE = replace(QUICK, give_up_after_s=0)
DEAD_LETTER = OnFailure.DEAD_LETTER


@pytest.fixture
async def run(tmp_path: Path) -> Run:
    """A log, an endpoint that takes everything, and no progress yet."""
    return Run(StandInLog(), StandInEndpoint(), tmp_path / "cursor")


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
