"""
What Route feels of sensing: 10,000 queues sensed every second, beside the same server without.

Three servers stand side by side and are loaded in turns, the others halted meanwhile: one that
senses nothing, one that senses its own queues, and one that is told of as many queues again by a
gateway, every second.
"""

import itertools
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import grpc
import numpy as np

from benchmarks.floor_client import route_request, set_up
from benchmarks.load import Generator, Load, Measured
from benchmarks.population import Population
from benchmarks.server_process import ServerProcess, headgate
from benchmarks.settings import Settings
from benchmarks.tables import Goals, Table, figure
from headgate.v1 import (
    queue_pb2,
    queue_service_pb2,
    queue_service_pb2_grpc,
    telemetry_pb2,
    telemetry_service_pb2_grpc,
)
from headgate.v1.telemetry_service_pb2 import IngestRequest

_OFF: Final = "not sensed"
_OWN: Final = "own queues sensed"
_TOLD: Final = "as many again told by a gateway"
_CASES: Final = (_OFF, _OWN, _TOLD)
_SETTLED_S: Final = 3.0
_SECONDS_MADE: Final = 16
_OPTIONS: Final = [("grpc.max_receive_message_length", 64 << 20)]
_COLUMNS: Final = (
    "offered", "answered", "waiting", "available", "handling", "wrap_up", "oldest_wait_ms",
)  # fmt: skip


def run(settings: Settings) -> list[Table]:
    """Load the servers in turns."""
    felt, ticks = _measure(settings)
    columns = ("unary Route", "p50 ms", "p99 ms", "p99.9 ms", "a second of sensing, ms")
    rows = [
        [
            name,
            *(
                figure([window.found[share] for window in windows], 1e-3)
                for share in ("p50_us", "p99_us", "p999_us")
            ),
            figure(ticks[name], 1e3) if ticks[name] else "none",
        ]
        for name, windows in felt.items()
    ]
    queues = settings.value("queues")
    note = (
        f"{settings.value('per_s'):,} calls/s in an open loop, memory log, {queues:,} queues, "
        "1,000 agents. The loop has a core to itself, as by default; sensing and who tells share "
        "the other with the load, which goes first there."
    )
    goals = Goals()
    p99_ms = {name: [window.p99_us / 1e3 for window in windows] for name, windows in felt.items()}
    for name in _CASES[1:]:
        pairs = zip(p99_ms[name], p99_ms[_OFF], strict=True)
        more_ms = [with_it - without for with_it, without in pairs]
        goals.at_most(f"Route p99, {name}", settings.goals["p99_more_ms"], more_ms, "ms more")
    return [Table("What Route feels of sensing", columns, rows, note), goals.table()]


def _measure(settings: Settings) -> tuple[dict[str, list[Measured]], dict[str, list[float]]]:
    queues = settings.value("queues")
    population = Population(1_000, queues, queues // 10, 0.5, capacity=1_000_000)
    felt: dict[str, list[Measured]] = {name: [] for name in _CASES}
    ticks: dict[str, list[float]] = {name: [] for name in _CASES}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        bodies = [route_request(item).SerializeToString() for item in population.contacts(256)]
        generator = Generator(bodies, Path(folder))
        servers = {
            name: running.enter_context(_server(Path(folder) / str(number), name, queues))
            for number, name in enumerate(_CASES)
        }
        for server in servers.values():
            set_up(server.address, population)
        _make_queues(servers[_TOLD].address, queues)
        load = Load("unary", "route", 32, 1)
        for _ in range(settings.rounds):
            for name, server in servers.items():
                with _alone(server, servers.values()), _telling(server, queues * (name == _TOLD)):
                    before = _ticks(server)
                    seconds, rate = settings.value("seconds"), settings.value("per_s")
                    window = generator.run(server, load, seconds, rate=rate, goes_first=True)
                    felt[name].append(window)
                    ticks[name] += _mean_between(before, _ticks(server))
    return felt, ticks


@contextmanager
def _alone(server: ServerProcess, servers: Iterable[ServerProcess]) -> Iterator[None]:
    """Halt the others while the block runs: what they sense would be felt as well."""
    others = [other for other in servers if other is not server]
    for other in others:
        os.kill(other.pid, signal.SIGSTOP)
    # What this one missed while it was halted itself is over.
    time.sleep(_SETTLED_S)
    try:
        yield
    finally:
        for other in others:
            os.kill(other.pid, signal.SIGCONT)


def _server(folder: Path, name: str, queues: int) -> ServerProcess:
    is_on = str(name != _OFF).lower()
    bounds = ("--set", f"queues_max={2 * queues}", "--set", "message_bytes_max=16777216")
    extra = ("--set", f"sensing={is_on}", *bounds)
    return headgate("memory", folder, pin="loop", extra=extra)


def _ticks(server: ServerProcess) -> tuple[float, float]:
    """Seconds that sensing took so far, and how often."""
    found = {"sum": 0.0, "count": 0.0}
    for line in server.scrape().splitlines():
        for name in found:
            if line.startswith(f"headgate_sensing_seconds_{name}"):
                found[name] = float(line.rsplit(" ", 1)[1])
    return found["sum"], found["count"]


def _mean_between(before: tuple[float, float], after: tuple[float, float]) -> list[float]:
    count = after[1] - before[1]
    return [(after[0] - before[0]) / count] if count else []


@contextmanager
def _telling(server: ServerProcess, queues: int) -> Iterator[None]:
    """Tell of queues every second while the block runs."""
    is_over = threading.Event()
    thread = threading.Thread(target=_tell, args=(server.address, queues, is_over))
    if queues:
        thread.start()
        # What the first message of a stream finds new is over.
        time.sleep(_SETTLED_S)
    try:
        yield
    finally:
        is_over.set()
        if queues:
            thread.join()


def _make_queues(address: str, queues: int) -> None:
    with grpc.insecure_channel(address, options=_OPTIONS) as channel:
        stub = queue_service_pb2_grpc.QueueServiceStub(channel)
        for number in range(queues):
            name = f"told-{number}"
            queue = queue_pb2.Queue(queue_id=name)
            stub.UpsertQueue(queue_service_pb2.UpsertQueueRequest(request_id=name, queue=queue))


def _tell(address: str, queues: int, is_over: threading.Event) -> None:
    columns = _columns(queues)

    def messages() -> Iterator[IngestRequest]:
        for number in itertools.count():
            if is_over.wait(1.0 - time.time() % 1.0):
                return
            told = columns[number % len(columns)]
            told.second = int(time.time()) - 1
            yield IngestRequest(source="gateway", readings=[told])

    with grpc.insecure_channel(address, options=_OPTIONS) as channel:
        for reply in telemetry_service_pb2_grpc.TelemetryServiceStub(channel).Ingest(messages()):
            assert reply.accepted + reply.late == queues


def _columns(queues: int) -> list[telemetry_pb2.ReadingColumns]:
    """Some seconds' readings, made before any is told: making them takes the load's core."""
    draw = np.random.default_rng(1)
    names = [f"told-{number}" for number in range(queues)]
    made = []
    for _ in range(_SECONDS_MADE):
        columns = telemetry_pb2.ReadingColumns(queue_ids=names)
        for field in _COLUMNS:
            getattr(columns, field).extend(draw.integers(0, 5, queues).tolist())
        made.append(columns)
    return made
