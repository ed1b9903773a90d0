"""Log lines, and what may keep them from being written."""

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from adapters.logs import LogOutput, configure_logs
from adapters.metrics import Metrics


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Leave structlog as it was."""
    yield
    structlog.reset_defaults()


def test_line_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes that share a file must not mix within a line."""
    writes: list[bytes] = []

    def write(_: int, data: memoryview) -> int:
        writes.append(bytes(data))
        return len(data)

    monkeypatch.setattr(os, "write", write)
    configure_logs("info", "json")
    structlog.get_logger().info("begun", number=5, text="ü")
    (line,) = writes
    assert line.endswith(b"\n")
    found = json.loads(line)
    assert (found["event"], found["number"], found["text"], found["level"]) == (
        "begun", 5, "ü", "info",
    )  # fmt: skip


def test_line_that_is_taken_in_parts_is_written_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe that is almost full takes what fits."""
    written = bytearray()

    def write(_: int, data: memoryview) -> int:
        written.extend(data[:3])
        return len(data[:3])

    monkeypatch.setattr(os, "write", write)
    assert LogOutput(2).write("twelve bytes") == 12
    assert written == b"twelve bytes"


def test_reader_that_has_gone_and_full_disk_drop_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in the event loop would end routing over a log line."""
    reader, writer = os.pipe()
    os.close(reader)
    output = LogOutput(writer)
    output.write("nobody reads this\n")
    os.close(writer)
    output.write("nor this\n")
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(os, "write", lambda *_: (_ for _ in ()).throw(full))
    output.write("nor that\n")
    assert output.lines_dropped == 3
    page = b"".join(Metrics(lambda: output.lines_dropped).render([])).decode()
    families = {family.name: family for family in text_string_to_metric_families(page)}
    (sample,) = families["headgate_log_lines_dropped"].samples
    assert (sample.name, sample.value) == ("headgate_log_lines_dropped_total", 3)


def test_process_without_standard_error_drops_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Descriptor 2 may then be a file of ours: a line would be written into a database."""
    monkeypatch.setattr("sys.stderr", None)
    output = configure_logs("info", "console")
    structlog.get_logger().info("begun")
    assert output.lines_dropped == 1


@pytest.mark.parametrize("value", ["caf\udce9", 1 << 70, b"\xff", Path("x"), {1: 2}])
def test_value_that_json_does_not_know_is_written_all_the_same(
    value: object, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path that is not UTF-8 stands in the very error that must be told."""
    monkeypatch.setattr("adapters.logs._standard_error", lambda: 2)
    configure_logs("info", "json")
    structlog.get_logger().info("begun", value=value)
    assert json.loads(capfd.readouterr().err)["event"] == "begun"
