"""The dispatch loop over a log in memory: turns, retries, refusals, timers, and its end."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest
from google.protobuf.message import Message

from adapters.calls import METHOD_BY_NAME, WRITES, ask
from adapters.commit_log import CommitGroup
from adapters.dispatch_loop import DispatchLoop
from adapters.errors import CallRefused
from adapters.event_hub import Subscription
from adapters.memory_log import MemoryLog, MemoryStore
from adapters.methods import Method
from adapters.metrics import Metrics
from adapters.turn import Call, LoopSettings, room_for
from engine.engine import Engine
from headgate.v1.agent_pb2 import Presence
from headgate.v1.agent_service_pb2 import SetPresenceRequest
from headgate.v1.contact_pb2 import ContactState
from headgate.v1.queue_pb2 import Queue
from headgate.v1.queue_service_pb2 import GetSnapshotRequest, UpsertQueueRequest
from headgate.v1.routing_service_pb2 import GetContactRequest, RouteRequest
from tests.adapters.started_cell import (
    LIMITS,
    contact_in,
    floor,
    put,
    reopened,
    routing,
    send,
    started,
)

ROUTE = METHOD_BY_NAME["Route"]


class CountingLog(MemoryLog):
    """A log that notes the replies of each group."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.groups: list[Sequence[str]] = []

    async def commit(self, expected_token: bytes, new_token: bytes, group: CommitGroup) -> int:
        """Commit, and take a note."""
        self.groups.append([reply.request_id for reply in group.replies])
        return await super().commit(expected_token, new_token, group)


class SuspendingLog(CountingLog):
    """The same, but a commit takes a while, as over a network."""

    answers_at_once = False

    async def commit(self, expected_token: bytes, new_token: bytes, group: CommitGroup) -> int:
        """Commit after a while."""
        await asyncio.sleep(0.005)
        return await super().commit(expected_token, new_token, group)


async def refusal(future: "asyncio.Future[Any]") -> CallRefused:
    """How a call that must be refused was refused."""
    with pytest.raises(CallRefused) as caught:
        await asyncio.wait_for(future, 10)
    return caught.value


class HangingLog(CountingLog):
    """A log whose commits never come to their end, once it hangs."""

    answers_at_once = False
    hangs = False

    async def commit(self, expected_token: bytes, new_token: bytes, group: CommitGroup) -> int:
        """Commit, or hang."""
        if self.hangs:
            await asyncio.Event().wait()
        return await super().commit(expected_token, new_token, group)


async def test_whoever_waits_is_told_when_a_cell_closes_over_a_log_that_hangs() -> None:
    """In the turn as well as behind it: whoever was left alone would wait without end."""
    log = HangingLog(MemoryStore())
    cell = await started(log)
    await floor(cell)
    log.hangs = True
    first = put(cell, routing("c1"))
    await asyncio.sleep(0.01)
    behind = put(cell, routing("c2"))
    await cell.stop(timeout_s=0.05)
    for future in (first, behind):
        refused = await refusal(future)
        assert refused.reason == "UNAVAILABLE"
        assert "is closing" in str(refused)


async def test_calls_that_gather_are_committed_together() -> None:
    """One commit serves all that came while the one before was under way."""
    log = CountingLog(MemoryStore())
    cell = await started(log)
    await floor(cell)
    log.groups.clear()
    replies = await asyncio.gather(*(put(cell, routing(f"c{number}")) for number in range(10)))
    assert [reply.position for reply in replies] == [*range(1, 11)]
    assert log.groups == [[f"c{number}" for number in range(10)]]
    await cell.stop()


async def test_calls_during_a_commit_wait_for_the_next_group() -> None:
    """Turns do not overlap: nothing is answered from a state that is not committed."""
    log = SuspendingLog(MemoryStore())
    cell = await started(log)
    await floor(cell)
    log.groups.clear()
    first = put(cell, routing("first"))
    await asyncio.sleep(0.001)
    later = [put(cell, routing(f"c{number}")) for number in range(3)]
    assert not first.done()
    await asyncio.gather(first, *later)
    assert log.groups == [["first"], ["c0", "c1", "c2"]]
    await cell.stop()


async def test_read_is_answered_without_a_commit() -> None:
    """Looking costs no write to the disk."""
    log = CountingLog(MemoryStore())
    cell = await started(log)
    await floor(cell)
    await send(cell, routing("c"))
    log.groups.clear()
    assert (await contact_in(cell, "c")).contact_id == "c"
    with pytest.raises(CallRefused, match="expected the id of a contact"):
        await contact_in(cell, "nobody")
    assert log.groups == []
    await cell.stop()


async def test_refused_call_changes_nothing_and_keeps_no_reply() -> None:
    """What was refused may be sent again under its id once it can succeed."""
    cell = await started()
    request = routing("c")
    found = await refusal(put(cell, request))
    assert found.reason == "UNKNOWN_QUEUE"
    await floor(cell)
    assert (await send(cell, request)).position == 1
    await cell.stop()


async def test_call_beyond_the_inbox_is_shed_with_a_delay() -> None:
    """A cell that is behind says so at once, instead of growing."""
    settings = LoopSettings(LIMITS, inbox_max=2)
    log = SuspendingLog(MemoryStore())
    cell = DispatchLoop("default", log, settings, Metrics().cell("x"))
    await cell.start("test")
    await floor(cell)
    kept = [put(cell, routing(f"c{number}")) for number in range(2)]
    with pytest.raises(CallRefused) as caught:
        put(cell, routing("shed"))
    assert (caught.value.reason, caught.value.retry_after_ms > 0) == ("OVERLOADED", True)
    await asyncio.gather(*kept)
    assert (await send(cell, routing("shed"))).position == 3
    await cell.stop()


async def test_full_inbox_takes_in_longest_what_frees_agents() -> None:
    """New contacts can come again; an engine that refused to hear of agents would stay full."""
    settings = LoopSettings(LIMITS, inbox_max=4)
    log = SuspendingLog(MemoryStore())
    cell = DispatchLoop("default", log, settings, Metrics().cell("x"))
    await cell.start("test")
    await floor(cell, agents=1)
    away = SetPresenceRequest(agent_id="a0", presence=Presence.PRESENCE_AWAY)
    read = GetSnapshotRequest(queue_ids=["q"])
    waiting = []
    for taken, request in ((4, routing("")), (1, read), (3, away)):
        for _ in range(taken):
            waiting.append(put(cell, request))
        with pytest.raises(CallRefused, match="cell 'default': its inbox holds"):
            put(cell, request)
    with pytest.raises(CallRefused):
        put(cell, read)
    await asyncio.gather(*waiting)
    await cell.stop()


@pytest.mark.parametrize(
    ("name", "room"),
    [
        ("Route", 100),
        ("RouteBatch", 100),
        ("GetContact", 125),
        ("GetForecast", 125),
        ("AcceptOffer", 200),
        ("CompleteAssignment", 200),
        ("SetPresence", 200),
    ],
)
def test_calls_are_shed_in_an_order(name: str, room: int) -> None:
    """The same one in the inbox as for calls in flight, or the first would undo the other."""
    assert room_for(name, 100, is_write=name in WRITES) == room


async def test_call_whose_deadline_has_passed_is_not_applied() -> None:
    """Its caller has gone on without us; doing it now would surprise everyone."""
    log = SuspendingLog(MemoryStore())
    cell = await started(log)
    await floor(cell)
    put(cell, routing("before"))
    await asyncio.sleep(0.001)
    late = asyncio.ensure_future(ask(cell, ROUTE, routing("late"), timeout_s=0.0))
    found = await refusal(late)
    assert (found.reason, "not applied" in str(found)) == ("DEADLINE_PASSED", True)
    with pytest.raises(CallRefused):
        await contact_in(cell, "late")
    assert (await send(cell, routing("late"))).position == 2
    await cell.stop()


async def test_call_whose_caller_has_gone_is_not_applied() -> None:
    """A cancelled call that still waits for its turn leaves no trace."""
    log = SuspendingLog(MemoryStore())
    cell = await started(log)
    await floor(cell)
    before = put(cell, routing("before"))
    await asyncio.sleep(0.001)
    gone = asyncio.ensure_future(ask(cell, ROUTE, routing("gone")))
    await asyncio.sleep(0)
    gone.cancel()
    await before
    with pytest.raises(CallRefused):
        await contact_in(cell, "gone")
    await cell.stop()


async def test_stored_reply_outlives_a_restart_byte_for_byte() -> None:
    """A caller whose answer was lost with the process gets that answer from the next one."""
    store = MemoryStore()
    cell = await started(MemoryLog(store))
    await floor(cell)
    request = RouteRequest(request_id="r", queue_id="q", channel=1)  # type: ignore[arg-type]
    first = await ask(cell, ROUTE, request)
    await cell.stop()
    restarted = await started(MemoryLog(store))
    assert await ask(restarted, ROUTE, request) == first
    await restarted.stop()


async def test_offer_is_taken_back_by_a_restart_and_the_contact_keeps_its_place() -> None:
    """Nobody knows whether an agent saw an offer made before a crash, so it is made again."""
    store = MemoryStore()
    cell = await started(MemoryLog(store))
    await floor(cell, agents=1)
    old = (await send(cell, routing("c"))).offer
    await cell.stop()
    restarted = await started(MemoryLog(store))
    contact = await contact_in(restarted, "c")
    assert contact.offers_failed == 1
    assert contact.offer_id != old.offer_id
    await restarted.stop()


async def test_deadline_is_handled_without_any_call() -> None:
    """An offer expires on time though nobody asks anything."""
    cell = await started()
    await floor(cell, agents=1)
    queue = Queue(queue_id="q", offer_timeout_ms=100)
    await send(cell, UpsertQueueRequest(queue=queue), "short")
    watched = Subscription(wants_all=True)
    cell.hub.subscribe(watched)
    begun_s = time.monotonic()
    await send(cell, routing("c"))
    async with asyncio.timeout(5):
        while not any(event.reason == "offer_expired" for event in watched.events):
            await watched.wake.wait()
            watched.wake.clear()
    assert 0.1 <= time.monotonic() - begun_s < 1
    assert (await contact_in(cell, "c")).state == ContactState.CONTACT_STATE_QUEUED
    await cell.stop()


async def test_stop_answers_what_waits_and_takes_nothing_more() -> None:
    """Shutting down costs no caller its answer."""
    cell = await started(SuspendingLog(MemoryStore()))
    await floor(cell)
    waiting = [put(cell, routing(f"c{number}")) for number in range(5)]
    await cell.stop()
    assert [future.done() for future in waiting] == [True] * 5
    assert [future.result().position for future in waiting] == [1, 2, 3, 4, 5]
    with pytest.raises(CallRefused) as caught:
        put(cell, routing("late"))
    assert caught.value.reason == "UNAVAILABLE"


def failing(_engine: Engine, _request: Message, _now_ms: int) -> Message:
    """A method with a bug."""
    raise ZeroDivisionError("a bug")


async def test_bug_in_a_method_costs_one_turn_and_no_state() -> None:
    """The state may be half changed, so all of it comes from the log again."""
    cell = await started()
    await floor(cell)
    await send(cell, routing("kept"))
    buggy = Method("RoutingService", "GetContact", GetContactRequest, failing)
    answers: list[Any] = []
    shared = put(cell, routing("shared"))
    cell.submit(Call(buggy, GetContactRequest(), answers.append, lambda: True))
    assert (await refusal(shared)).reason == "UNAVAILABLE"
    # Which clients do not try again.
    assert [answer.reason for answer in answers] == ["INTERNAL"]
    await reopened(cell)
    assert (await contact_in(cell, "kept")).state == ContactState.CONTACT_STATE_QUEUED
    with pytest.raises(CallRefused):
        await contact_in(cell, "shared")
    assert (await send(cell, routing("shared"))).position == 2
    await cell.stop()


@pytest.mark.parametrize("log_type", [CountingLog, SuspendingLog])
async def test_bug_in_the_log_does_not_leave_callers_waiting(log_type: type[CountingLog]) -> None:
    """An error nobody foresaw is handled like a commit that failed."""

    class Buggy(log_type):  # type: ignore[valid-type, misc]
        is_buggy = False

        async def commit(self, expected: bytes, new: bytes, group: CommitGroup) -> int:
            if self.is_buggy:
                self.is_buggy = False
                raise ZeroDivisionError("a bug")
            return int(await super().commit(expected, new, group))

    log = Buggy(MemoryStore())
    cell = await started(log)
    await floor(cell)
    log.is_buggy = True
    assert (await refusal(put(cell, routing("c")))).reason == "UNAVAILABLE"
    await reopened(cell)
    assert (await send(cell, routing("c"))).position == 1
    await cell.stop()


async def test_reload_that_fails_is_tried_again() -> None:
    """A cell stays closed while its state cannot be read, and opens when it can."""

    class Unreadable(CountingLog):
        failures = 0

        async def commit(self, expected_token: bytes, new_token: bytes, group: CommitGroup) -> int:
            if self.failures:
                raise ZeroDivisionError("a bug")
            return await super().commit(expected_token, new_token, group)

        async def load(self) -> Any:
            if self.failures:
                self.failures -= 1
                raise ValueError("a row that cannot be read")
            return await super().load()

    log = Unreadable(MemoryStore())
    cell = await started(log)
    await floor(cell)
    log.failures = 1
    assert (await refusal(put(cell, routing("c")))).reason == "UNAVAILABLE"
    await asyncio.sleep(0.1)
    assert not cell.is_open
    await reopened(cell)
    assert (await send(cell, routing("c"))).position == 1
    await cell.stop()
