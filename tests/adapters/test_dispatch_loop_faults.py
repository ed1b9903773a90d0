"""
The dispatch loop when the log fails or the process ends, at every step that its docstring numbers.

The promise: what was acknowledged is there, what was not is there whole or not at all, and the
caller's retry with the same request id settles which.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from google.protobuf.message import Message

from adapters.commit_log import CommitGroup
from adapters.dispatch_loop import DispatchLoop
from adapters.errors import CallRefused
from adapters.event_hub import Subscription
from adapters.memory_log import (
    CommitStep,
    CrashInjected,
    Fault,
    FaultPlan,
    MemoryLog,
    MemoryStore,
    planned,
)
from adapters.methods import Method
from adapters.routing_service import route
from adapters.turn import Call
from engine.engine import Engine
from headgate.v1.contact_pb2 import ContactState
from headgate.v1.event_pb2 import Event, EventKind
from headgate.v1.queue_service_pb2 import GetSnapshotRequest
from headgate.v1.routing_service_pb2 import RouteRequest
from tests.adapters.started_cell import (
    contact_in,
    floor,
    put,
    reopened,
    routing,
    send,
    started,
)

# The floor's commits come first; what a test does is the next one.
FLOOR_COMMITS = 1
RECEIVED = EventKind.EVENT_KIND_CONTACT_RECEIVED
QUEUED = ContactState.CONTACT_STATE_QUEUED


class TokenLog(MemoryLog):
    """A log that notes the token of every try."""

    def __init__(self, store: MemoryStore, faults: FaultPlan | None = None) -> None:
        super().__init__(store, faults)
        self.tokens: list[bytes] = []

    async def commit(self, expected_token: bytes, new_token: bytes, group: CommitGroup) -> int:
        """Commit, and take a note."""
        self.tokens.append(new_token)
        return await super().commit(expected_token, new_token, group)


class SuspendingLog(TokenLog):
    """The same, but a commit takes a while, as over a network."""

    answers_at_once = False

    async def commit(self, expected_token: bytes, new_token: bytes, group: CommitGroup) -> int:
        """Commit after a while."""
        await asyncio.sleep(0)
        return await super().commit(expected_token, new_token, group)


class Doubt:
    """A plan by which no commit is answered for as long as it is on."""

    def __init__(self, step: CommitStep) -> None:
        self._step = step
        self.is_on = False

    def __call__(self, commit: int, step: CommitStep) -> Fault | None:
        """Lose the answer."""
        return Fault.LOSE_REPLY if self.is_on and step is self._step else None


def faults(step: CommitStep, fault: Fault, tries: int = 1) -> FaultPlan:
    """Plan a fault for the first tries of the commit after the floor's."""
    first = FLOOR_COMMITS + 1
    return planned({(first + number, step): fault for number in range(tries)})


async def stands(log: MemoryLog) -> DispatchLoop:
    """Start a cell whose floor took its commits."""
    cell = await started(log)
    await floor(cell)
    return cell


async def outcome(future: "asyncio.Future[Any]") -> str:
    """Whether a call was answered, refused, or left alone because the process ended."""
    try:
        await asyncio.wait_for(asyncio.shield(future), 0.2)
    except CallRefused as refused:
        return refused.reason
    except TimeoutError:
        return "no answer"
    return "answered"


async def is_applied_once(cell: DispatchLoop, count: int) -> None:
    """Check that contacts c0, c1, … are in the queue, each once, and nothing else is."""
    snapshot = (await send(cell, GetSnapshotRequest(queue_ids=["q"]))).snapshots[0]
    assert (snapshot.received_total, snapshot.waiting) == (count, count)
    for number in range(count):
        assert (await contact_in(cell, f"c{number}")).state == QUEUED


async def retried(store: MemoryStore, acknowledged: Mapping[str, bytes]) -> None:
    """Begin anew over what is stored, retry everything, and check what comes of it."""
    cell = await started(MemoryLog(store))
    for number in range(3):
        request = routing(f"c{number}")
        reply: Message = await send(cell, request)
        if request.request_id in acknowledged:
            assert reply.SerializeToString() == acknowledged[request.request_id]
    await is_applied_once(cell, 3)
    await cell.stop()


def crashing(before: bool) -> Callable[[Engine, RouteRequest, int], Message]:
    """Route, where the process ends before or after the engine has run."""

    def run(engine: Engine, request: RouteRequest, now_ms: int) -> Message:
        if before:
            raise CrashInjected("step 1")
        route(engine, request, now_ms)
        raise CrashInjected("step 2")

    return run


class CrashingWatcher(Subscription):
    """A watcher at whom the process ends."""

    def push(self, event: Event) -> None:
        """End the process."""
        raise CrashInjected("step 6")


def noted_crashes() -> list[str]:
    """Collect what ended the simulated process, in callbacks of the present event loop."""
    found: list[str] = []

    def note(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        assert isinstance(error, CrashInjected), context
        found.append(str(error))

    asyncio.get_running_loop().set_exception_handler(note)
    return found


@pytest.mark.parametrize("step", [1, 2, 5, 6])
async def test_crash_at_a_step_of_the_loop_loses_nothing_acknowledged(step: int) -> None:
    """Before the commit nothing has happened; after it everything has, answered or not."""
    crashes = noted_crashes()
    store = MemoryStore()
    cell = await stands(MemoryLog(store))
    if step == 6:
        cell.hub.subscribe(CrashingWatcher(wants_all=True))
    first = put(cell, routing("c0"))
    method, second = Method("RoutingService", "Route", RouteRequest, route, True), []
    if step <= 2:
        run = crashing(before=step == 1)
        method = Method("RoutingService", "Route", RouteRequest, run, True)

    def answer(result: bytes | CallRefused) -> None:
        if step == 5:
            raise CrashInjected("step 5")
        second.append(result)

    cell.submit(Call(method, routing("c1"), answer, lambda: True))
    third = put(cell, routing("c2"))
    found = [await outcome(first), len(second), await outcome(third)]
    assert crashes == [f"step {step}"]
    assert (
        found
        == {
            1: ["no answer", 0, "no answer"],
            2: ["no answer", 0, "no answer"],
            5: ["answered", 0, "no answer"],
            6: ["answered", 1, "answered"],
        }[step]
    )
    replies = [future.result() for future in (first, third) if future.done()]
    await retried(store, {reply.contact_id: reply.SerializeToString() for reply in replies})


@pytest.mark.parametrize("step", CommitStep)
async def test_crash_at_a_step_of_the_commit_acknowledges_nothing(step: CommitStep) -> None:
    """No caller is answered before the group is whole in the log; the retry finds it or not."""
    crashes = noted_crashes()
    store = MemoryStore()
    cell = await stands(MemoryLog(store, faults(step, Fault.CRASH)))
    futures = [put(cell, routing(f"c{number}")) for number in range(3)]
    assert [await outcome(future) for future in futures] == ["no answer"] * 3
    assert len(crashes) == 1
    await retried(store, {})


@pytest.mark.parametrize("log_type", [TokenLog, SuspendingLog])
@pytest.mark.parametrize("step", CommitStep)
async def test_commit_in_doubt_is_tried_again_with_the_same_token(
    step: CommitStep, log_type: type[TokenLog]
) -> None:
    """Whether request or answer was lost, the callers notice nothing and nothing is doubled."""
    log = log_type(MemoryStore(), faults(step, Fault.LOSE_REPLY, tries=2))
    cell = await stands(log)
    log.tokens.clear()
    futures = [put(cell, routing(f"c{number}")) for number in range(3)]
    assert [await outcome(future) for future in futures] == ["answered"] * 3
    assert (len(log.tokens), len(set(log.tokens))) == (3, 1)
    await is_applied_once(cell, 3)
    await cell.stop()


@pytest.mark.parametrize("step", CommitStep)
async def test_commit_that_stays_in_doubt_is_settled_by_the_retry(step: CommitStep) -> None:
    """Callers are told to try again; the reload finds out what the log holds."""
    doubt = Doubt(step)
    cell = await stands(MemoryLog(MemoryStore(), doubt))
    doubt.is_on = True
    futures = [put(cell, routing(f"c{number}")) for number in range(3)]
    assert [await outcome(future) for future in futures] == ["UNAVAILABLE"] * 3
    doubt.is_on = False
    await reopened(cell)
    for number in range(3):
        assert (await send(cell, routing(f"c{number}"))).position == number + 1
    await is_applied_once(cell, 3)
    await cell.stop()


@pytest.mark.parametrize("step", CommitStep)
async def test_commit_that_stays_in_doubt_leaves_no_gap_in_the_events(step: CommitStep) -> None:
    """A watcher sees every contact once, whichever way its commit went."""
    doubt = Doubt(step)
    cell = await stands(MemoryLog(MemoryStore(), doubt))
    watched = Subscription(wants_all=True)
    cell.hub.subscribe(watched)
    doubt.is_on = True
    futures = [put(cell, routing(f"c{number}")) for number in range(3)]
    assert [await outcome(future) for future in futures] == ["UNAVAILABLE"] * 3
    doubt.is_on = False
    await reopened(cell)
    for number in range(4):
        await send(cell, routing(f"c{number}"))
    received = [event.contact_id for event in watched.events if event.kind == RECEIVED]
    assert received == ["c0", "c1", "c2", "c3"]
    cursors = [tuple(map(int, event.cursor.split("."))) for event in watched.events]
    assert cursors == sorted(set(cursors))
    await cell.stop()


@pytest.mark.parametrize("log_type", [TokenLog, SuspendingLog])
@pytest.mark.parametrize(
    "step", [CommitStep.BEFORE_CHECK, CommitStep.AFTER_CHECK, CommitStep.HALF_WRITTEN]
)
async def test_full_log_refuses_the_callers_and_keeps_what_was_acknowledged(
    step: CommitStep, log_type: type[TokenLog]
) -> None:
    """The state that ran ahead of the log is dropped; once there is room, all goes on."""
    plan = planned({(FLOOR_COMMITS + 2, step): Fault.FULL})
    cell = await stands(log_type(MemoryStore(), plan))
    await send(cell, routing("c0"))
    futures = [put(cell, routing(f"c{number}")) for number in (1, 2)]
    assert [await outcome(future) for future in futures] == ["UNAVAILABLE"] * 2
    await reopened(cell)
    await is_applied_once(cell, 1)
    for number in range(3):
        await send(cell, routing(f"c{number}"))
    await is_applied_once(cell, 3)
    await cell.stop()


@pytest.mark.parametrize("log_type", [TokenLog, SuspendingLog])
async def test_fenced_cell_is_lost_for_good(log_type: type[TokenLog]) -> None:
    """A deposed owner does not take the cell back: two owners in turn would be no owner."""
    store = MemoryStore()
    cell = await stands(log_type(store))
    futures = [put(cell, routing("c0"))]
    assert await outcome(futures[0]) == "answered"
    other = await started(MemoryLog(store))
    assert await outcome(put(cell, routing("c1"))) == "UNAVAILABLE"
    await asyncio.sleep(0.05)
    assert (cell.lost.is_set(), cell.is_open) == (True, False)
    with pytest.raises(CallRefused):
        put(cell, routing("c1"))
    for number in range(3):
        await send(other, routing(f"c{number}"))
    await is_applied_once(other, 3)
    await other.stop()
    await cell.stop()


class BrokenPipe:
    """A logger whose reader has gone."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Any method fails."""

        def fail(*_arguments: object, **_values: object) -> None:
            raise BrokenPipeError

        return fail


async def test_failed_commit_whose_log_line_cannot_be_written_does_not_wedge_the_cell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A full volume refuses the commit and the log line alike; the cell must open again."""
    log = MemoryLog(MemoryStore(), faults(CommitStep.AFTER_CHECK, Fault.FULL))
    cell = await stands(log)
    monkeypatch.setattr("adapters.dispatch_loop._log", BrokenPipe())
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    future = put(cell, routing("c0"))
    assert await outcome(future) == "UNAVAILABLE"
    monkeypatch.undo()
    await reopened(cell)
    await send(cell, routing("c0"))
    await is_applied_once(cell, 1)
    await cell.stop()


async def test_stop_does_not_wait_for_a_turn_that_never_ends() -> None:
    """Whatever holds a turn up, the process must be able to end within its grace."""
    cell = await stands(MemoryLog(MemoryStore()))
    cell._turn_runs = True
    async with asyncio.timeout(5):
        await cell.stop(timeout_s=0.05)
