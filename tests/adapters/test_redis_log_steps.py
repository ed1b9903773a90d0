"""
A dispatch loop over Redis whose process ends, or whose connection breaks, at each step of a commit.

The promise is that of any log: what was acknowledged is there, what was not is there whole or not
at all, and a retry with the same request id settles which.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from enum import IntEnum
from typing import Any

import pytest

from adapters.commit_chain import STALLED_AFTER_S
from adapters.dispatch_loop import DispatchLoop
from adapters.errors import CallRefused
from adapters.memory_log import CrashInjected
from adapters.redis_log.commits import boot_s
from adapters.redis_log.connection import Answer, Command, RedisConnection, RedisUnreachable
from headgate.v1.agent_pb2 import Presence
from headgate.v1.agent_service_pb2 import SetPresenceRequest
from headgate.v1.queue_pb2 import Queue
from headgate.v1.queue_service_pb2 import GetSnapshotRequest, UpsertQueueRequest
from tests.adapters.redis_cell import TERMS, NewCell, RedisCell
from tests.adapters.started_cell import floor, put, reopened, routing, send, started
from tests.end_to_end.redis_servers import RedisServer

pytestmark = pytest.mark.needs_redis


class Step(IntEnum):
    """Where in a commit something happens, in order."""

    BEFORE_SENDING = 1
    # The server runs the script while nobody waits for its answer.
    SENT = 2
    SCRIPT_ANSWERED = 3
    REPLICAS_ANSWERED = 4


class Strike:
    """
    Something that happens to commits, in the place of `RedisConnection.ask`.

    Attributes
    ----------
    left
        How many commits it still happens to.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step: Step, error: BaseException) -> None:
        self.left = 0
        self._step = step
        self._error = error
        asks = RedisConnection.ask

        async def ask(
            connection: RedisConnection, commands: Sequence[Command], longer_s: float = 0.0
        ) -> list[Answer]:
            if commands[0][0] != b"EVALSHA" or not self.left:
                return await asks(connection, commands, longer_s)
            self.left -= 1
            if step >= Step.SENT:
                sent = commands if step is Step.REPLICAS_ANSWERED else commands[:1]
                await asks(connection, sent, longer_s)
            await connection.close()
            raise self._error

        monkeypatch.setattr(RedisConnection, "ask", ask)


async def outcome(future: "asyncio.Future[Any]", within_s: float = 1.0) -> str:
    """Whether a call was answered, refused, or left alone because the process ended."""
    try:
        await asyncio.wait_for(asyncio.shield(future), within_s)
    except CallRefused as refused:
        return refused.reason
    except TimeoutError:
        return "no answer"
    return "answered"


async def is_applied_once(cell: DispatchLoop) -> None:
    """Check that contacts c0 to c2 are in the queue, each once, and nothing else is."""
    snapshot = (await send(cell, GetSnapshotRequest(queue_ids=["q"]))).snapshots[0]
    assert (snapshot.received_total, snapshot.waiting) == (3, 3)


async def stands(cell: RedisCell) -> DispatchLoop:
    """Start a dispatch loop over a cell, with a queue."""
    loop = await started(cell.log())
    await floor(loop)
    return loop


@pytest.mark.parametrize("step", Step)
async def test_engine_that_dies_at_a_step_acknowledges_nothing(
    new_cell: NewCell, pair: list[RedisServer], monkeypatch: pytest.MonkeyPatch, step: Step
) -> None:
    """The group is whole in the log or not at all, and the retry finds it or not."""
    cell = new_cell(pair[0].url)
    loop = await stands(cell)
    crashes: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: crashes.append(context["exception"])
    )
    strike = Strike(monkeypatch, step, CrashInjected(step.name))
    strike.left = 1
    futures = [put(loop, routing(f"c{number}")) for number in range(3)]
    assert [await outcome(future, 0.2) for future in futures] == ["no answer"] * 3
    assert len(crashes) == 1
    again = await started(cell.log())
    assert again.engine.read.has_open_contact("c0") == (step >= Step.SENT)
    for number in range(3):
        assert (await send(again, routing(f"c{number}"))).position == number + 1
    await is_applied_once(again)
    await again.stop()
    # What is left of the dead one must not be asked at exit.
    for task in loop._tasks:
        task.cancel()


@pytest.mark.parametrize("step", Step)
async def test_connection_that_breaks_at_a_step_is_not_noticed(
    new_cell: NewCell, pair: list[RedisServer], monkeypatch: pytest.MonkeyPatch, step: Step
) -> None:
    """The same token settles it, however often; the callers see a moment's delay."""
    cell = new_cell(pair[0].url)
    loop = await stands(cell)
    strike = Strike(monkeypatch, step, RedisUnreachable(step.name))
    strike.left = 2
    futures = [put(loop, routing(f"c{number}")) for number in range(3)]
    assert [await outcome(future) for future in futures] == ["answered"] * 3
    assert cell.tallies.commits_in_doubt.value == 2
    await is_applied_once(loop)
    await loop.stop()


@pytest.mark.parametrize("step", Step)
async def test_commit_given_up_in_doubt_is_settled_by_the_retry(
    new_cell: NewCell, pair: list[RedisServer], monkeypatch: pytest.MonkeyPatch, step: Step
) -> None:
    """Callers are told to try again; the reload finds out what the log holds."""
    cell = new_cell(pair[0].url, replace(TERMS, in_doubt_s=0.1))
    loop = await stands(cell)
    strike = Strike(monkeypatch, step, RedisUnreachable(step.name))
    strike.left = 1_000
    futures = [put(loop, routing(f"c{number}")) for number in range(3)]
    assert [await outcome(future) for future in futures] == ["UNAVAILABLE"] * 3
    strike.left = 0
    await reopened(loop)
    assert loop.engine.read.has_open_contact("c0") == (step >= Step.SENT)
    for number in range(3):
        assert (await send(loop, routing(f"c{number}"))).position == number + 1
    await is_applied_once(loop)
    await loop.stop()


async def test_cell_that_another_engine_took_is_lost(
    new_cell: NewCell, pair: list[RedisServer]
) -> None:
    """An idle owner notices by its renewals, without a call to tell it."""
    cell = new_cell(pair[0].url)
    loop = await started(cell.log(lease_ms=300))
    cell.break_lease(pair[0])
    other = cell.log()
    await other.acquire("b")
    await asyncio.wait_for(loop.lost.wait(), 2)
    assert not loop.is_open
    await loop.stop()


async def test_owner_that_was_held_up_asks_before_it_answers(
    new_cell: NewCell, pair: list[RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it remembers must not leave a process whose cell may be another's."""
    cell = new_cell(pair[0].url)
    loop = await stands(cell)
    cell.break_lease(pair[0])
    await cell.log().acquire("b")
    # As after SIGSTOP: more time has passed than the loop has had turns.
    now_s = boot_s()
    monkeypatch.setattr("adapters.redis_log.commits.boot_s", lambda: now_s + 60)
    assert not loop.is_open
    with pytest.raises(CallRefused, match="cell 'default': its log does not answer"):
        put(loop, GetSnapshotRequest(queue_ids=["q"]))
    queue = UpsertQueueRequest(queue=Queue(queue_id="q2"))
    assert await outcome(put(loop, queue), 2.0) == "UNAVAILABLE"
    assert loop.lost.is_set()
    await loop.stop()


async def test_commit_that_takes_long_keeps_new_work_out(
    new_cell: NewCell, server: RedisServer
) -> None:
    """Long before the lease tells anything: what came in behind it would wait as long."""
    loop = await started(new_cell(server.url).log(lease_ms=60_000, answer_within_s=30.0))
    await floor(loop)
    server.pause()
    try:
        waiting = put(loop, routing("c0"))
        await asyncio.sleep(STALLED_AFTER_S / 5)
        behind = put(loop, routing("c1"))
        await asyncio.sleep(STALLED_AFTER_S)
        with pytest.raises(CallRefused, match="its log does not answer") as caught:
            put(loop, routing("c2"))
        assert (caught.value.reason, caught.value.retry_after_ms) == ("OVERLOADED", 50)
        assert loop.is_open
    finally:
        server.resume()
    await asyncio.wait_for(asyncio.gather(waiting, behind), 5)
    assert (await send(loop, routing("c2"))).position == 3
    await loop.stop()


async def test_stalled_log_takes_no_new_work_and_lets_agents_go_on(
    new_cell: NewCell, server: RedisServer
) -> None:
    """While commits do not come through, contacts are told to come back; agents may wait."""
    loop = await started(new_cell(server.url).log(lease_ms=400, answer_within_s=0.1))
    await floor(loop, agents=1)
    server.pause()
    try:
        waiting = put(loop, routing("c0"))
        async with asyncio.timeout(5):
            while loop.is_open:
                await asyncio.sleep(0.02)
        with pytest.raises(CallRefused) as caught:
            put(loop, routing("c1"))
        assert (caught.value.reason, caught.value.retry_after_ms) == ("OVERLOADED", 50)
        away = SetPresenceRequest(agent_id="a0", presence=Presence.PRESENCE_AWAY)
        gone = put(loop, away)
    finally:
        server.resume()
    await asyncio.wait_for(asyncio.gather(waiting, gone), 5)
    assert loop.is_open
    await loop.stop()
