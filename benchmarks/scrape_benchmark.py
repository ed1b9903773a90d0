"""
A scrape of /metrics with 10,000 queues: how long the text takes, and what Route feels of it.

The page is text made from the columns. Beside it stands what it replaces: the same series as
objects of the Prometheus client.
"""

import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import generate_latest

from adapters.metrics import Metrics
from benchmarks.floor_client import route_request, set_up
from benchmarks.load import Generator, Load, Measured
from benchmarks.population import Population, populate
from benchmarks.server_process import ServerProcess, headgate
from benchmarks.settings import Settings
from benchmarks.tables import Goals, Table, figure, ratio
from benchmarks.timing import compare, pin, repeated
from engine.engine import Engine

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

_SERIES: Final = re.compile(rb"^headgate_queue_", re.MULTILINE)
_SCRAPE_EVERY_S: Final = 1.0


def run(settings: Settings) -> list[Table]:
    """Measure the text by itself, then a server under load with and without scrapes."""
    goals = Goals()
    felt = _measure_server(settings)
    pin(0)
    seconds, series = _measure_text(settings)
    queues = settings.value("queues")
    rows = [
        [name, figure(values, 1e3), f"× {figure(ratio(values, seconds['text from columns']))}"]
        for name, values in seconds.items()
    ]
    what = f"{series:,} series of {queues:,} queues"
    tables = [Table("A scrape, ms", (what, "ms", "× text"), rows)]
    goals.at_most(
        f"scrape of {queues:,} queues",
        settings.goals["scrape_ms"],
        [value * 1e3 for value in seconds["text from columns"]],
        "ms",
    )
    columns = ("unary Route", "p50 ms", "p99 ms", "p99.9 ms")
    rows = [
        [
            name,
            *(
                figure([window.found[share] for window in windows], 1e-3)
                for share in ("p50_us", "p99_us", "p999_us")
            ),
        ]
        for name, windows in felt.items()
    ]
    note = f"{settings.value('per_s'):,} calls/s in an open loop, memory log, {queues:,} queues."
    tables.append(Table("What Route feels of a scrape every second", columns, rows, note))
    p99_ms = {name: [window.p99_us / 1e3 for window in windows] for name, windows in felt.items()}
    harm = ratio(p99_ms["scraped every second"], p99_ms["not scraped"])
    goals.at_most("Route p99 under scrapes", settings.goals["p99_ratio"], harm, "× p99 without")
    return [*tables, goals.table()]


def _measure_text(settings: Settings) -> tuple[dict[str, list[float]], int]:
    engine = Engine()
    population = Population(100, settings.value("queues"), 10, available_share=0)
    populate(engine, population.queue_commands())
    metrics = Metrics()
    cells = [("default", engine)]
    series = len(_SERIES.findall(b"".join(metrics.render(cells))))
    per_queue, rest = divmod(series, population.queues)
    assert rest == 0
    objects = _as_objects(engine, per_queue)
    assert len(_SERIES.findall(generate_latest(objects))) == series
    cases = {
        "text from columns": repeated(lambda: b"".join(metrics.render(cells))),
        "Prometheus client objects": repeated(lambda: generate_latest(objects)),
    }
    return compare(cases, settings.rounds, settings.round_s), series


def _as_objects(engine: Engine, per_queue: int) -> CollectorRegistry:
    registry = CollectorRegistry()
    for number in range(per_queue):
        gauge = Gauge(f"headgate_queue_{number}", "A value.", ("cell", "queue"), registry=registry)
        for name in engine.cell.queues.slots.ids:
            gauge.labels("default", name).set(0)
    return registry


def _measure_server(settings: Settings) -> dict[str, list[Measured]]:
    queues = settings.value("queues")
    population = Population(1_000, queues, queues // 10, 0.5, capacity=1_000_000)
    felt: dict[str, list[Measured]] = {"not scraped": [], "scraped every second": []}
    with tempfile.TemporaryDirectory() as folder:
        bodies = [route_request(item).SerializeToString() for item in population.contacts(256)]
        generator = Generator(bodies, Path(folder))
        with headgate("memory", Path(folder)) as server:
            set_up(server.address, population)
            load = Load("unary", "route", 32, 1)
            for _ in range(settings.rounds):
                for name, windows in felt.items():
                    with _scraping(server, is_on=name != "not scraped"):
                        seconds, rate = settings.value("seconds"), settings.value("per_s")
                        windows.append(generator.run(server, load, seconds, rate=rate))
    return felt


@contextmanager
def _scraping(server: ServerProcess, *, is_on: bool) -> Iterator[None]:
    """Scrape while the block runs."""
    is_over = threading.Event()

    def scrape() -> None:
        while not is_over.wait(_SCRAPE_EVERY_S):
            assert "headgate_queue_waiting" in server.scrape()

    thread = threading.Thread(target=scrape) if is_on else None
    if thread:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        if thread:
            thread.join()


def test_render(benchmark: "BenchmarkFixture") -> None:
    """For `pytest benchmarks/scrape_benchmark.py`: the page of 10,000 queues."""
    engine = Engine()
    populate(engine, Population(1, 10_000, 1, available_share=0).queue_commands())
    metrics = Metrics()
    page = benchmark(lambda: b"".join(metrics.render([("default", engine)])))
    assert len(_SERIES.findall(page)) % 10_000 == 0
