"""`headgate audit export`: files in, records out, each with what stood there before."""

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from adapters.cli import main
from adapters.security.audit import AuditTrail
from adapters.security.callers import Caller
from adapters.security.roles import Role
from headgate.v1.queue_pb2 import Queue
from headgate.v1.queue_service_pb2 import DeleteQueueRequest, UpsertQueueRequest


def record(at: str, **changed: Any) -> dict[str, Any]:
    """A record of an applied change."""
    return {
        "event": "audit", "timestamp": at, "caller": "ops", "tenant": "acme", "roles": ["author"],
        "peer": "ipv4:1.2.3.4:5", "method": "headgate.v1.QueueService/UpsertQueue", "cell": "south",
        "target": "billing", "request_id": "r", "outcome": "OK", "reason": "",
        "change": {"queue": {"queue_id": "billing"}}, **changed,
    }  # fmt: skip


def write(path: Path, *records: dict[str, Any]) -> Path:
    """Keep records in a file, one a line."""
    path.write_text("".join(json.dumps(item) + "\n" for item in records))
    return path


def export(*arguments: object, stdin: str | None = None) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, ["audit", "export", *map(str, arguments)], input=stdin)


def exported(*arguments: object, stdin: str | None = None) -> list[dict[str, Any]]:
    """Records that it gives."""
    done = export(*arguments, stdin=stdin)
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


class _Counter:
    def inc(self) -> None:
        raise AssertionError("the file could not be written")


def test_what_the_engine_keeps_is_exported_with_what_was_before(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    trail = AuditTrail(str(path), _Counter())
    caller = Caller("ops", "acme", frozenset({Role.AUTHOR}), frozenset({"*"}))
    for length in (5, 9):
        queue = Queue(queue_id="billing", max_length=length)
        request = UpsertQueueRequest(cell="south", request_id=f"r{length}", queue=queue)
        trail.record(caller, "ipv4:1.2.3.4:5", "QueueService/UpsertQueue", request, None)
    deletion = DeleteQueueRequest(cell="south", request_id="r0", queue_id="billing")
    trail.record(caller, "ipv4:1.2.3.4:5", "QueueService/DeleteQueue", deletion, None)
    found = exported(path)
    first, second = ({"queue": {"queue_id": "billing", "max_length": number}} for number in (5, 9))
    assert [item["before"] for item in found] == [None, first, second]
    assert [item["after"] for item in found] == [first, second, {"queue_id": "billing"}]
    assert {(item["caller"], item["tenant"], item["cell"]) for item in found} == {
        ("ops", "acme", "south")
    }
    assert [item["request_id"] for item in found] == ["r5", "r9", "r0"]


def test_files_are_read_in_the_order_of_time_plain_or_not(tmp_path: Path) -> None:
    later = write(tmp_path / "audit.jsonl", record("2026-11-02T00:00:00+00:00", request_id="b"))
    old = tmp_path / "audit.jsonl.1.gz"
    line = json.dumps(record("2026-11-01T00:00:00Z", request_id="a"))
    old.write_bytes(gzip.compress(line.encode() + b"\n"))
    noise = 'Nov 01 host headgate[7]: {"event":"ready"}\nnot json {"event":"auditor"}\n'
    (tmp_path / "log").write_text(noise)
    found = exported(later, old, tmp_path / "log")
    assert [item["request_id"] for item in found] == ["a", "b"]
    piped = exported("-", stdin=f"Nov 01 host headgate[7]: {line}\n")
    assert [item["request_id"] for item in piped] == ["a"]


def test_refused_tries_change_nothing_that_is_told_before(tmp_path: Path) -> None:
    refused = {"outcome": "PERMISSION_DENIED", "reason": "ROLE_NOT_ALLOWED", "change": {"x": 1}}
    path = write(
        tmp_path / "audit",
        record("2026-11-01T00:00:01Z"),
        record("2026-11-01T00:00:02Z", **refused),
        record("2026-11-01T00:00:03Z", change={"x": 2}),
    )
    _, tried, applied = exported(path)
    assert (tried["before"], tried["after"]) == (None, {"x": 1})
    assert applied["before"] == {"queue": {"queue_id": "billing"}}


@pytest.mark.parametrize(
    ("option", "value", "kept"),
    [
        ("--since", "2026-11-02T00:00:00Z", "bc"),
        ("--until", "2026-11-02T00:00:00Z", "a"),
        ("--since", "1s", ""),
        ("--caller", "ada", "b"),
        ("--tenant", "other", "c"),
        ("--cell", "north", "b"),
        ("--target", "sales", "c"),
        ("--method", "PauseQueue", "b"),
        ("--outcome", "refused", "c"),
        ("--outcome", "applied", "ab"),
    ],
)
def test_records_are_chosen(tmp_path: Path, option: str, value: str, kept: str) -> None:
    pause = "headgate.v1.QueueService/PauseQueue"
    path = write(
        tmp_path / "audit",
        record("2026-11-01T00:00:00Z", request_id="a"),
        record("2026-11-02T00:00:00Z", request_id="b", caller="ada", cell="north", method=pause),
        record("2026-11-03T00:00:00Z", request_id="c", tenant="other", target="sales",
               outcome="NOT_FOUND"),
    )  # fmt: skip
    assert "".join(item["request_id"] for item in exported(path, option, value)) == kept


def test_table_runs_nothing_in_a_spreadsheet(tmp_path: Path) -> None:
    path = write(tmp_path / "audit", record("2026-11-01T00:00:00Z", target="=1+1", change=None))
    output = tmp_path / "out.csv"
    assert export(path, "--format", "csv", "--output", output).exit_code == 0
    (row,) = csv.DictReader(io.StringIO(output.read_text()))
    assert row["target"] == "'=1+1"
    assert (row["before"], row["after"], row["roles"]) == ("", "", '["author"]')


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"event":"audit"', ":1: expected an audit record"),
        ('{"event":"audit","method":"a/b"}', "'timestamp'"),
        ('{"event":"audit","method":"a/b","timestamp":"soon"}', "soon"),
        ('{"event":"audit","method":"a","timestamp":"2026-11-01T00:00:00Z"}', "Service/Method"),
    ],
)
def test_damaged_record_is_named_by_its_line(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "audit"
    path.write_text(line + "\n")
    done = export(path)
    assert (done.exit_code, done.stdout) == (2, "")
    assert told in done.stderr
    assert str(path) in done.stderr


def test_what_cannot_be_read_or_meant_is_refused(tmp_path: Path) -> None:
    assert export(tmp_path / "nothing").exit_code == 3
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(b"x" * 1_000)[:20])
    assert export(cut).exit_code == 2
    assert "expected a whole gzip file" in export(cut).stderr
    path = write(tmp_path / "audit", record("2026-11-01T00:00:00Z"))
    wrong = export(path, "--since", "yesterday")
    assert wrong.exit_code == 2
    assert "a time with its zone" in wrong.stderr
    assert export(path, "--output", tmp_path / "no" / "file").exit_code == 3
