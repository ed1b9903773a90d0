"""The way from a transport's call to a cell: parsing, finding the cell, deadlines, cancellation."""

import asyncio

import pytest
from google.rpc import code_pb2
from structlog.testing import capture_logs

from adapters.calls import METHOD_BY_NAME, METHODS, Cells, ask, parse, request_field
from adapters.commit_log import CommitGroup
from adapters.dispatch_loop import DispatchLoop
from adapters.errors import CallRefused
from adapters.memory_log import MemoryLog, MemoryStore
from adapters.methods import PAGE_SIZE, PAGE_SIZE_MAX, page_bounds
from adapters.metrics import Metrics
from adapters.turn import LoopSettings, digest_of
from headgate.v1.queue_service_pb2 import GetQueueRequest
from headgate.v1.routing_service_pb2 import (
    GetContactRequest,
    GetContactResponse,
    RouteRequest,
    RouteResponse,
)
from tests.adapters.started_cell import LIMITS, contact_in, floor, routing, started

ROUTE = METHOD_BY_NAME["Route"]
GET_CONTACT = METHOD_BY_NAME["GetContact"]


class GatedLog(MemoryLog):
    """A log whose commits wait at a gate that a test opens and closes."""

    answers_at_once = False

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.gate = asyncio.Event()
        self.gate.set()
        self.begun = asyncio.Event()

    async def commit(self, expected_token: bytes, new_token: bytes, group: CommitGroup) -> int:
        """Commit once the gate is open."""
        self.begun.set()
        await self.gate.wait()
        return await super().commit(expected_token, new_token, group)


class Hand:
    """The event loop's clock, which stands still until a test moves it."""

    def __init__(self) -> None:
        self.now_s = 1_000.0


@pytest.fixture
async def hand(monkeypatch: pytest.MonkeyPatch) -> Hand:
    """The clock that deadlines are measured by."""
    found = Hand()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: found.now_s)
    return found


async def test_answer_in_time_is_the_serialised_reply() -> None:
    """The listener sends these very bytes."""
    cell = await started()
    await floor(cell)
    reply = await ask(cell, ROUTE, routing("c"), timeout_s=10)
    assert RouteResponse.FromString(reply).contact_id == "c"
    reply = await ask(cell, GET_CONTACT, GetContactRequest(contact_id="c"))
    assert GetContactResponse.FromString(reply).contact.queue_id == "q"
    await cell.stop()


@pytest.mark.parametrize(
    ("timeout_s", "passed_s", "is_applied"),
    [
        (5.0, 4.9, True),  # just in time
        (5.0, 5.0, True),  # the last moment still counts
        (5.0, 5.1, False),  # too late
        (-0.1, 0.0, False),  # too late before it came
        (None, 1e9, True),  # a caller without a deadline waits for ever
    ],
)
async def test_deadline_is_judged_when_the_turn_comes(
    hand: Hand, timeout_s: float | None, passed_s: float, is_applied: bool
) -> None:
    """Between the call and its turn a queue of others may have passed."""
    cell = await started()
    await floor(cell)
    asked = asyncio.ensure_future(ask(cell, ROUTE, routing("c"), timeout_s))
    # The call is in the inbox now, and its turn comes with the next round of the loop.
    await asyncio.sleep(0)
    hand.now_s += passed_s
    if is_applied:
        assert RouteResponse.FromString(await asked).position == 1
    else:
        with pytest.raises(CallRefused) as caught:
            await asked
        assert caught.value.code == code_pb2.DEADLINE_EXCEEDED
        with pytest.raises(CallRefused):
            await contact_in(cell, "c")
    await cell.stop()


async def test_deadline_of_one_call_leaves_the_others_of_its_turn_alone(hand: Hand) -> None:
    """Calls share turns, never their fate."""
    cell = await started()
    await floor(cell)
    late, patient = (
        asyncio.ensure_future(ask(cell, ROUTE, routing(name), timeout_s))
        for name, timeout_s in (("late", 1.0), ("patient", 60.0))
    )
    await asyncio.sleep(0)
    hand.now_s += 2
    assert RouteResponse.FromString(await patient).position == 1
    with pytest.raises(CallRefused):
        await late
    await cell.stop()


async def test_caller_who_goes_during_the_commit_harms_nobody() -> None:
    """The call is applied by then; its answer goes nowhere, and the next turn runs."""
    log = GatedLog()
    cell = await started(log)
    await floor(cell)
    log.gate.clear()
    log.begun.clear()
    gone = asyncio.ensure_future(ask(cell, ROUTE, routing("gone")))
    stays = asyncio.ensure_future(ask(cell, ROUTE, routing("stays")))
    await asyncio.wait_for(log.begun.wait(), 10)
    gone.cancel()
    with capture_logs() as lines:
        log.gate.set()
        assert RouteResponse.FromString(await stays).position == 2
    assert lines == []
    assert (await contact_in(cell, "gone")).contact_id == "gone"
    assert gone.cancelled()
    await cell.stop()


async def test_refusal_by_a_cell_that_is_not_open_is_raised() -> None:
    """Nothing waits for an answer that will not come."""
    cell = DispatchLoop(
        "default", MemoryLog(MemoryStore()), LoopSettings(LIMITS), Metrics().cell("x")
    )
    with pytest.raises(CallRefused) as caught:
        await asyncio.wait_for(ask(cell, ROUTE, routing("c")), 5)
    assert caught.value.code == code_pb2.UNAVAILABLE


async def test_refusal_by_the_engine_is_raised() -> None:
    """The listener makes a status of it."""
    cell = await started()
    with pytest.raises(CallRefused) as caught:
        await ask(cell, ROUTE, routing("c"), timeout_s=10)
    assert (caught.value.code, caught.value.reason) == (code_pb2.NOT_FOUND, "UNKNOWN_QUEUE")
    await cell.stop()


def test_bytes_that_are_no_message_are_refused_with_its_name() -> None:
    """A client that sends another type learns which one was expected."""
    assert parse(RouteRequest, b"") == RouteRequest()
    for raw in (b"\xff", RouteRequest(queue_id="q").SerializeToString()[:-1], b"\x12\x01\xff"):
        with pytest.raises(CallRefused, match=f"the {len(raw)} bytes.*RouteRequest") as caught:
            parse(RouteRequest, raw)
        assert (caught.value.code, caught.value.reason) == (
            code_pb2.INVALID_ARGUMENT,
            "MALFORMED_MESSAGE",
        )


def test_cell_is_found_by_name_and_the_default_by_none() -> None:
    """A caller of a small installation need not know of cells."""
    settings = LoopSettings(LIMITS)
    loops = {
        name: DispatchLoop(name, MemoryLog(MemoryStore()), settings, Metrics().cell(name))
        for name in ("west", "default", "east")
    }
    cells = Cells(loops)
    assert cells.find("") is cells.find("default") is loops["default"]
    assert cells.find("east") is loops["east"]
    del loops["default"]
    for name in ("", "nowhere", "East"):
        with pytest.raises(CallRefused, match=f"no cell '{name}' here") as caught:
            cells.find(name)
        assert (caught.value.code, caught.value.reason) == (code_pb2.NOT_FOUND, "UNKNOWN_CELL")
        (item,) = caught.value.violations
        assert (item.field, item.expected) == ("cell", "one of east, west")


def test_field_that_only_some_requests_have_reads_as_empty_elsewhere() -> None:
    """Sessions ask every command for its ids."""
    assert request_field(routing("c"), "contact_id") == "c"
    assert request_field(GetQueueRequest(queue_id="q"), "contact_id") == ""


def test_every_method_has_the_fields_that_the_loop_reads() -> None:
    """A write without a request id could not be retried, a request without a cell not be sent."""
    assert len(METHOD_BY_NAME) == len(METHODS)
    for method in METHODS:
        fields = method.request.DESCRIPTOR.fields_by_name
        assert "cell" in fields, method.name
        assert ("request_id" in fields) == method.is_write, method.name
        assert method.path == f"/headgate.v1.{method.service}/{method.name}"


def test_digest_tells_methods_and_bodies_apart_but_not_their_encodings() -> None:
    """A retry may be encoded anew; another method with the same bytes is another request."""
    first, second = routing("c"), routing("c")
    for number in range(60):
        first.attributes[f"k{number}"] = second.attributes[f"k{59 - number}"] = "v"
    assert digest_of(ROUTE, first) == digest_of(ROUTE, second)
    assert len(digest_of(ROUTE, first)) == 16
    second.priority = 1
    assert digest_of(ROUTE, first) != digest_of(ROUTE, second)
    writes = [method for method in METHODS if method.is_write]
    assert len({digest_of(method, first) for method in writes}) == len(writes)


@pytest.mark.parametrize(("size", "expected"), [(0, PAGE_SIZE), (1, 1), (1_000, PAGE_SIZE_MAX)])
def test_page_size_within_bounds_is_taken(size: int, expected: int) -> None:
    """0 is read as the default."""
    assert page_bounds(size) == expected


@pytest.mark.parametrize("size", [-1, PAGE_SIZE_MAX + 1])
def test_page_size_out_of_bounds_is_refused(size: int) -> None:
    """A page of everything would stop the loop."""
    with pytest.raises(CallRefused, match=f"page_size: got {size}, expected 1 to 1,000"):
        page_bounds(size)
