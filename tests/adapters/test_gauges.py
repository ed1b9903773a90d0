"""Gauges that are asked for at every scrape, and what a start says of a cell."""

import time
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from adapters import open_cells
from adapters.data_file import DataFile
from adapters.dispatch_loop import DispatchLoop
from adapters.memory_log import MemoryLog, MemoryStore
from adapters.metrics import Metrics
from adapters.settings import Settings
from adapters.turn import LoopSettings
from tests.adapters.started_cell import LIMITS, floor, put, routing, send

SETTINGS = Settings.model_validate({"durability": "memory"})


async def started(metrics: Metrics) -> DispatchLoop:
    """An empty cell in memory."""
    log = MemoryLog(MemoryStore())
    cell = DispatchLoop("default", log, LoopSettings(LIMITS), metrics.cell("x"))
    await cell.start("test")
    return cell


def parsed(metrics: Metrics) -> dict[str, Metric]:
    """Families of the page."""
    page = b"".join(metrics.render([])).decode()
    return {family.name: family for family in text_string_to_metric_families(page)}


def test_process_and_version_are_on_the_page() -> None:
    """The first questions of any night: which version, how much memory, since when."""
    families = parsed(Metrics())
    (info,) = families["headgate_build_info"].samples
    assert (list(info.labels), info.value) == (["version"], 1)
    assert families["process_resident_memory_bytes"].samples[0].value > 1_000_000
    assert families["process_start_time_seconds"].samples[0].value < time.time()


def test_series_are_not_doubled_by_the_times_they_began() -> None:
    """prometheus-client adds a _created series to every counter and histogram."""
    metrics = Metrics()
    metrics.cell("x").shed.inc()
    assert b"_created" not in b"".join(metrics.render([]))


async def test_cell_s_gauges_are_those_of_now() -> None:
    """They are asked for at the scrape, not remembered from some turn."""
    metrics = Metrics()
    cell = await started(metrics)
    open_cells._show(metrics.cell("x"), cell)

    def found() -> dict[str, float]:
        families = parsed(metrics)
        names = ("cell_ready", "inbox_calls", "kept_replies", "subscribers")
        return {name: families[f"headgate_{name}"].samples[0].value for name in names}

    await floor(cell)
    waiting = put(cell, routing("c"))
    expected = {"cell_ready": 1, "inbox_calls": 1, "kept_replies": 1, "subscribers": 0}
    assert found() == expected
    await waiting
    assert found() == {**expected, "inbox_calls": 0, "kept_replies": 2}
    await cell.stop()
    assert found()["cell_ready"] == 0


async def test_engine_time_ahead_of_the_wall_clock_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Timers run on the engine's time: whoever compares it with a watch must know."""
    metrics = Metrics()
    cell = await started(metrics)
    for behind_ms, is_told in ((4_000, False), (60_000, True)):
        monkeypatch.setattr(open_cells, "wall_ms", lambda late=behind_ms: cell.now_ms() - late)
        open_cells._show(metrics.cell("x"), cell)
        (sample,) = parsed(metrics)["headgate_clock_ahead_seconds"].samples
        assert sample.value == pytest.approx(behind_ms / 1_000, abs=0.1)
        with capture_logs() as lines:
            open_cells._tell_loaded(SETTINGS, cell)
        warnings = [line for line in lines if line["event"] == "clock_ahead"]
        assert [line["log_level"] for line in warnings] == ["warning"] * is_told
    assert warnings[0]["ahead_s"] == pytest.approx(60, abs=0.1)
    assert "last committed time" in warnings[0]["why"]


async def test_start_tells_contacts_by_state() -> None:
    """A glance shows if a restart brought the queue back."""
    cell = await started(Metrics())
    await floor(cell, agents=1)
    for contact_id in ("c1", "c2", "c3"):
        await send(cell, routing(contact_id))
    with capture_logs() as lines:
        open_cells._tell_loaded(SETTINGS, cell)
    (line,) = lines
    assert line["contacts"]["offered"] == 1
    assert line["contacts"]["queued"] == 2
    assert "free" not in line["contacts"]
    assert (line["agents"], line["queues"], line["path"]) == (1, 1, "")


def test_file_is_in_place_until_it_is_removed_or_replaced(tmp_path: Path) -> None:
    """The one that is open goes on taking writes, so only a look at the path can tell."""
    path = tmp_path / "x.sqlite"
    path.write_bytes(b"12345")
    (tmp_path / "x.sqlite-wal").write_bytes(b"123")
    file = DataFile(path)
    path.write_bytes(b"123456")
    assert file.is_in_place()
    assert {name: ask() for name, ask in file.sizes().items()} == {
        "database_bytes": 6, "wal_bytes": 3,
    }  # fmt: skip
    with path.open() as held:
        path.unlink()
        assert not file.is_in_place()
        path.write_bytes(b"123456")
        assert not file.is_in_place()
        assert held.read() == "123456"
    (tmp_path / "x.sqlite-wal").unlink()
    assert file.sizes()["wal_bytes"]() == 0
