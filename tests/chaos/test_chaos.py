"""What judges the rounds of `make chaos`, without the servers: it must find what is wrong."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from headgate.v1.contact_pb2 import Contact, ContactState
from headgate.v1.event_pb2 import Event, EventKind
from headgate.v1.event_service_pb2 import SubscribeRequest
from headgate.v1.routing_service_pb2 import (
    GetContactRequest,
    GetContactResponse,
    RouteRequest,
    RouteResponse,
)
from tests.chaos import hosts
from tests.chaos.checking import Verdict, judged
from tests.chaos.clients import Gateway, History, Told
from tests.chaos.run import Row, table

RECEIVED = EventKind.EVENT_KIND_CONTACT_RECEIVED
ASSIGNED = EventKind.EVENT_KIND_CONTACT_ASSIGNED
COMPLETED = EventKind.EVENT_KIND_CONTACT_COMPLETED
REPLY = RouteResponse(contact_id="c")


class Engine:
    """An engine that knows one contact, in the place of a gateway's."""

    def __init__(self) -> None:
        self.events = [RECEIVED, ASSIGNED, COMPLETED]
        self.state = ContactState.CONTACT_STATE_COMPLETED
        self.is_known = True
        self.reply = REPLY

    async def ask(self, _method: Callable[[Any], Any], request: Any) -> Any:
        """As `Gateway.ask`."""
        if isinstance(request, RouteRequest):
            return self.reply
        assert isinstance(request, GetContactRequest)
        found = Contact(contact_id="c", state=self.state)
        return GetContactResponse(contact=found) if self.is_known else None

    def client(self) -> Any:
        """As `Gateway.client`."""
        return SimpleNamespace(subscribe=self._subscribe)

    async def _subscribe(self, _request: SubscribeRequest) -> AsyncIterator[Event]:
        for number, kind in enumerate(self.events):
            yield Event(cursor=str(number), contact_id="c", kind=kind)
        yield Event(cursor="end", contact_id="marker", kind=RECEIVED)


def verdict_of(engine: Engine, **told: Any) -> Verdict:
    """Judge a gateway that was told everything of one contact, or something else."""
    given = {"reply": REPLY.SerializeToString(deterministic=True), "accepted_by": "a"}
    history = History({"c": Told(RouteRequest(), **{**given, "is_completed": True, **told})})
    gateway: Gateway = engine  # type: ignore[assignment]
    return asyncio.run(judged(history, gateway, "0", "marker"))


def test_everything_there_once_is_right() -> None:
    """Neither lost nor doubled."""
    assert verdict_of(Engine()) == Verdict(0, 0, "end")


def test_contact_that_nobody_knows_is_lost_with_every_step() -> None:
    """Three promises were made."""
    engine = Engine()
    engine.is_known, engine.events = False, []
    assert verdict_of(engine).lost == 6


def test_step_that_was_undone_is_lost() -> None:
    """An acceptance that a failover forgot: the contact waits again."""
    engine = Engine()
    engine.state = ContactState.CONTACT_STATE_QUEUED
    assert verdict_of(engine).lost == 2
    assert verdict_of(engine, is_completed=False).lost == 1
    engine.state, engine.events = ContactState.CONTACT_STATE_COMPLETED, [RECEIVED, COMPLETED]
    assert verdict_of(engine).lost == 1


def test_step_that_came_twice_is_doubled() -> None:
    """A contact given to two agents, or taken in twice."""
    engine = Engine()
    engine.events = [RECEIVED, ASSIGNED, ASSIGNED, COMPLETED, RECEIVED]
    assert verdict_of(engine) == Verdict(0, 2, "end")


def test_retry_that_gets_another_reply_is_doubled() -> None:
    """The request was not known again."""
    engine = Engine()
    engine.reply = RouteResponse(contact_id="c", position=2)
    assert verdict_of(engine).doubled == 1


def test_what_was_never_acknowledged_may_be_anything() -> None:
    """It was promised to nobody."""
    engine = Engine()
    engine.is_known = False
    assert verdict_of(engine, reply=b"") == Verdict(0, 0, "end")


def test_table_has_a_row_for_each_fault_and_their_sum() -> None:
    """The longest gap of all is in it."""
    rows = {"a": Row(1, 10, 0, 0, 0, [2.0]), "b": Row(2, 1_000, 0, 1, 0, [1.0, 5.0]), "c": Row()}
    found = table(rows, "replicated")
    assert [list(row) for row in found.rows] == [
        ["a", "1", "10", "0", "0", "2.00", "2.00"],
        ["b", "2", "1,000", "1", "0", "3.00", "5.00"],
        ["all", "3", "1,010", "1", "0", "2.00", "5.00"],
    ]
    history = History(acknowledged_s=[1.0, 1.5, 4.0])
    assert history.longest_gap_s() == 2.5


def test_machine_without_namespaces_is_told_what_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Partitions are not left out in silence."""
    monkeypatch.delenv(hosts._INSIDE, raising=False)
    refused = subprocess.CompletedProcess((), 1, "", "unshare failed: Operation not permitted")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: refused)
    with pytest.raises(SystemExit, match=r"need root and .* got: unshare failed: Operation not"):
        hosts.enter_own_network()


def test_command_that_names_no_fault_is_refused() -> None:
    """It lists those there are."""
    ran = subprocess.run(
        (sys.executable, "-m", "tests.chaos.run", "--only", "earthquake"),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 2
    assert "'primary cut off'" in ran.stderr
