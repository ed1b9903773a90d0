"""Audit records and redaction: what an auditor finds, and what nobody does."""

import asyncio
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog

from adapters.calls import METHOD_BY_NAME, Cells
from adapters.dispatch_loop import DispatchLoop
from adapters.errors import CallRefused, unavailable
from adapters.listener import Listener
from adapters.logs import configure_logs
from adapters.metrics import Metrics
from adapters.security.audit import AuditTrail, target_of
from adapters.security.callers import ANYBODY, Caller
from adapters.security.redaction import without_secrets
from adapters.security.roles import Role
from adapters.security.tokens import new_token
from adapters.settings import Settings
from headgate.v1.agent_pb2 import Agent
from headgate.v1.agent_service_pb2 import ResetEstimatesRequest, UpsertAgentRequest
from headgate.v1.queue_pb2 import Queue
from headgate.v1.queue_service_pb2 import PauseQueueRequest, UpsertQueueRequest

CALLER = Caller("crm", "acme", frozenset({Role.AUTHOR}), frozenset({"*"}))
UPSERT = UpsertQueueRequest(
    cell="b", request_id="r1", queue=Queue(queue_id="billing", max_wait_ms=5_000)
)


class Counter:
    """Counts."""

    def __init__(self) -> None:
        self.count = 0

    def inc(self) -> None:
        """One more."""
        self.count += 1


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Records of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_record_says_who_changed_what_and_with_which_outcome(tmp_path: Path) -> None:
    """One JSON object a line, readable by its owner alone."""
    path = tmp_path / "audit"
    trail = AuditTrail(str(path), Counter())
    trail.record(CALLER, "ipv4:192.0.2.1:5", "QueueService/UpsertQueue", UPSERT, None)
    refused = CallRefused(9, "QUEUE_HOLDS_CONTACTS", "no")
    trail.record(ANYBODY, "", "QueueService/DeleteQueue", None, refused)
    first, second = lines_of(path)
    assert first.pop("timestamp").endswith("+00:00")
    assert first == {
        "event": "audit",
        "caller": "crm",
        "tenant": "acme",
        "roles": ["author"],
        "peer": "ipv4:192.0.2.1:5",
        "method": "headgate.v1.QueueService/UpsertQueue",
        "outcome": "OK",
        "reason": "",
        "cell": "b",
        "request_id": "r1",
        "target": "billing",
        "change": {"queue": {"queue_id": "billing", "max_wait_ms": "5000"}},
    }
    assert (second["outcome"], second["reason"]) == ("FAILED_PRECONDITION", "QUEUE_HOLDS_CONTACTS")
    assert (second["caller"], second["roles"]) == ("", [])
    assert os.stat(path).st_mode & 0o077 == 0


def test_file_may_be_rotated_at_any_time(tmp_path: Path) -> None:
    """The next record goes to a new one, with no signal."""
    path = tmp_path / "audit"
    trail = AuditTrail(str(path), Counter())
    for number in range(2):
        trail.record(CALLER, "", "QueueService/UpsertQueue", UPSERT, None)
        path.rename(tmp_path / f"audit.{number}")
    assert [len(lines_of(tmp_path / f"audit.{number}")) for number in range(2)] == [1, 1]


def test_record_that_the_file_does_not_take_goes_to_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And is counted: calls go on, records are not lost."""
    failures = Counter()
    trail = AuditTrail(str(tmp_path / "no" / "audit"), failures)
    trail.record(CALLER, "", "QueueService/UpsertQueue", UPSERT, unavailable("closing"))
    assert failures.count == 1
    assert "billing" in capsys.readouterr().out


def test_large_change_is_told_by_its_size(tmp_path: Path) -> None:
    """A record is no copy of a megabyte."""
    path = tmp_path / "audit"
    request = UpsertAgentRequest(agent=Agent(agent_id="a", tags=["t" * 100] * 1_000))
    AuditTrail(str(path), Counter()).record(CALLER, "", "AgentService/UpsertAgent", request, None)
    (record,) = lines_of(path)
    assert (record["target"], record["change"]) == ("a", f"{request.ByteSize()} bytes")


@pytest.mark.parametrize(
    ("request_", "target"),
    [
        (UPSERT, "billing"),
        (PauseQueueRequest(request_id="r", queue_id="q"), "q"),
        (UpsertAgentRequest(request_id="r", agent=Agent(agent_id="a", queue_ids=["q"])), "a"),
        (ResetEstimatesRequest(agent_id="a"), "a"),
        (UpsertQueueRequest(request_id="r"), ""),
    ],
)
def test_target_is_the_thing_that_is_changed(request_: Any, target: str) -> None:
    """Not the id of the request."""
    assert target_of(request_) == target


async def test_change_whose_caller_did_not_wait_is_recorded(tmp_path: Path) -> None:
    """Whoever hangs up after asking must not leave the auditor without a trace."""
    path = tmp_path / "audit"
    submitted = asyncio.Event()
    cell = SimpleNamespace(submit=lambda _: submitted.set())
    settings = Settings.model_validate({"audit_file": str(path)})
    cells = Cells({"b": cast(DispatchLoop, cell)})
    listener = Listener(cells, settings, Metrics())
    context = SimpleNamespace(peer=lambda: "ipv4:192.0.2.1:5", time_remaining=lambda: None)
    handle = listener._unary(METHOD_BY_NAME["UpsertQueue"])
    call = asyncio.ensure_future(handle(UPSERT.SerializeToString(), context))
    await submitted.wait()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    (record,) = lines_of(path)
    assert (record["target"], record["outcome"]) == ("billing", "CANCELLED")


@pytest.fixture
def log_to(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Configure logs into a pipe for the time of a test; returns what reads it."""
    before = structlog.get_config()
    reader, writer = os.pipe()
    monkeypatch.setattr("adapters.logs._standard_error", lambda: writer)

    def configured(level: str) -> Any:
        configure_logs(level, "json")
        return lambda: os.read(reader, 65_536).decode()

    yield configured
    structlog.configure(**before)
    os.close(reader)
    os.close(writer)


def test_records_are_logged_whatever_the_level(log_to: Any) -> None:
    """Somebody who wants to hear of errors only has not asked for no audit."""
    read = log_to("error")
    AuditTrail("", Counter()).record(CALLER, "", "QueueService/UpsertQueue", UPSERT, None)
    assert json.loads(read())["event"] == "audit"


def test_secrets_are_taken_out_of_log_lines(log_to: Any) -> None:
    """Wherever they come from, also out of a traceback."""
    read = log_to("info")
    token = new_token()
    web_token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
    log = structlog.get_logger("x")
    log.info("said", header=f"Bearer {web_token}", token=token, where=f"in {token}, twice {token}")
    try:
        raise ValueError(f"no such token: {token} or {web_token}")
    except ValueError:
        log.exception("failed")
    told = read()
    assert token.split("_", 2)[2] not in told
    assert token[:16] in told
    assert "c2lnbmF0dXJl" not in told
    assert "eyJzdWIiOiJ4In0" not in told


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("authorization: Bearer abcdefgh12345", "authorization: Bearer***"),
        ("-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY----- x", "*** x"),
        ("-----BEGIN EC PRIVATE KEY-----\nMII", "***"),
        ("hgt_0123456789ab", "hgt_0123456789ab"),  # an id is no secret
        ("a bearer of news", "a bearer of news"),
        ("eyJ is how they begin", "eyJ is how they begin"),
    ],
)
def test_what_looks_like_a_secret_is_not_shown(text: str, shown: str) -> None:
    """And what does not, is."""
    assert without_secrets(text) == shown


def test_every_failure_has_a_counter_from_the_start() -> None:
    """An alert on a series that is not there yet never fires."""
    page = b"".join(Metrics().render([])).decode()
    assert 'headgate_auth_failures_total{reason="expired"} 0.0' in page
    assert "headgate_certificate_expiry_timestamp_seconds 0.0" in page
