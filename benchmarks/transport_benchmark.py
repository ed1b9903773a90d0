"""
The whole engine over the wire, beside two echoes on the same kind of server in the same run.

Server CPU is the process's own clock, all threads, over windows of load; latency is measured by the
generator, in an open loop from the time a call was due. Every round starts every server anew, and
puts the same loads on each of them in turn.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.floor_client import route_request, set_up
from benchmarks.load import Generator, Load, Measured
from benchmarks.population import Population
from benchmarks.server_process import ServerProcess, echo, headgate
from benchmarks.settings import Settings
from benchmarks.tables import Goals, Table, figure, ratio

_BODIES: Final = 256
_CAPACITY_WITHOUT_END: Final = 1_000_000
_SHARE_OF_SATURATION: Final = 0.6
_RAW: Final = "raw echo"

# A load or a server as workloads.toml declares it.
Declared = Mapping[str, Any]


@dataclass(slots=True)
class Series:
    """
    Rounds of one load on one server.

    Attributes
    ----------
    saturated, alone, steady
        Windows in a closed loop, with one in flight, and at 60 % of the first in an open loop; the
        latter two stay empty where latency was not asked for.
    """

    saturated: list[Measured] = field(default_factory=list)
    alone: list[Measured] = field(default_factory=list)
    steady: list[Measured] = field(default_factory=list)

    @property
    def cpu_us(self) -> list[float]:
        """Server CPU per command at saturation, by round."""
        return _cpu_us(self.saturated)

    @property
    def decision_us(self) -> list[float]:
        """Server CPU per routing decision at saturation, by round."""
        return [window.cpu_us_per_decision for window in self.saturated]

    @property
    def per_s(self) -> list[float]:
        """Commands per second at saturation, by round."""
        return [window.commands_per_s for window in self.saturated]


# Load and server by name.
Results = dict[tuple[str, str], Series]


@dataclass(slots=True)
class Bench:
    """Puts declared loads on declared servers, and gathers what it finds."""

    settings: Settings
    generator: Generator
    results: Results = field(default_factory=dict)

    def run_server(self, server: Declared, data_dir: Path) -> None:
        """One round of one server; loads that want other agents get a server of their own."""
        for content in ("route", "cycle"):
            loads = [
                load
                for load in self.settings.value("loads")
                if load["content"] == content and _is_for(load, server)
            ]
            if not loads:
                continue
            with start(server, data_dir / content) as process:
                if "echo" not in server:
                    capacity = 1 if content == "cycle" else _CAPACITY_WITHOUT_END
                    set_up(process.address, population(self.settings, capacity))
                for load in loads:
                    series = self.results.setdefault((load["name"], server["name"]), Series())
                    self._measure(process, load, load_of(load, server), series)

    def _measure(
        self, process: ServerProcess, declared: Declared, load: Load, series: Series
    ) -> None:
        run, seconds = self.generator.run, self.settings.value("seconds")
        saturated = run(process, load, seconds)
        series.saturated.append(saturated)
        if declared.get("latency"):
            series.alone.append(run(process, load._replace(lanes=1, window=1), seconds))
            rate = _SHARE_OF_SATURATION * saturated.commands_per_s
            series.steady.append(run(process, load, seconds, rate=rate))


def run(settings: Settings) -> list[Table]:
    """Measure every load on every server it is for."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(settings, Generator(_bodies(settings), Path(folder)))
        for number in range(settings.rounds):
            for server in settings.value("servers"):
                if server["name"] in settings.value("leave_out"):
                    continue
                bench.run_server(server, Path(folder) / f"{number}-{server['name']}")
    about = bench.generator.description
    tables = [_table(load, settings, bench.results, about) for load in settings.value("loads")]
    return [*tables, _goals(settings, bench.results)]


def population(settings: Settings, capacity: int) -> Population:
    """The floor that contacts are routed to."""
    return Population(
        agents=settings.value("agents"),
        queues=settings.value("queues"),
        queues_per_agent=settings.value("queues_per_agent"),
        available_share=settings.value("available_share"),
        capacity=capacity,
    )


def start(server: Declared, data_dir: Path) -> ServerProcess:
    """Start one of the declared servers."""
    changed = {name: server[name] for name in ("pin", "gc") if name in server}
    if "echo" in server:
        return echo(server["echo"], **changed)
    return headgate(server["durability"], data_dir, **changed)


def load_of(declared: Declared, server: Declared) -> Load:
    """A declared load; an echo has no answer to look at."""
    return Load(
        declared["shape"],
        "echo" if "echo" in server else declared["content"],
        declared["lanes"],
        declared["window"],
        declared.get("frame", 1),
        declared.get("with_events", False),
    )


def _is_for(load: Declared, server: Declared) -> bool:
    if load["content"] == "cycle" and "echo" in server:
        return False
    return "servers" not in load or server["name"] in load["servers"]


def _table(load: Declared, settings: Settings, results: Results, generator: str) -> Table:
    rows = []
    for server in settings.value("servers"):
        series = results.get((load["name"], server["name"]))
        if series is None:
            continue
        base = results.get((load["name"], _baseline(server)))
        row = [server["name"], figure(series.cpu_us)]
        row.append("" if base is None else f"× {figure(ratio(series.cpu_us, base.cpu_us))}")
        if load["content"] == "cycle":
            row.append(figure(series.decision_us))
        row += [figure(series.per_s), _latency(series.alone), _latency(series.steady)]
        row.append(figure(_cpu_us(series.steady)) if series.steady else "")
        row.append(f"{max(window.own_share for window in series.saturated):.0%}")
        rows.append(row)
    columns = ["server", "CPU µs/command", "× raw echo"]
    if load["content"] == "cycle":
        columns.append("CPU µs/decision")
    columns += ["commands/s", "1 in flight p50/p99 ms", "60 % p50/p99 ms", "60 % CPU µs", "client"]
    in_flight = load["lanes"] * load["window"]
    unit = "calls" if load["shape"] == "unary" else f"frames on {load['lanes']} streams"
    note = f"{in_flight} {unit} in flight; {generator}; client: share of its core."
    return Table(load["name"], columns, rows, note)


def _baseline(server: Declared) -> str:
    """The raw echo that runs as the server does, where there is one."""
    if server.get("pin") == "off":
        return f"{_RAW}, no SCHED_BATCH"
    return f"{_RAW}, default GC" if server.get("gc") == "default" else _RAW


def _cpu_us(windows: list[Measured]) -> list[float]:
    return [window.cpu_us_per_command for window in windows]


def _latency(windows: list[Measured]) -> str:
    if not windows:
        return ""
    p50 = figure([window.p50_us for window in windows], 1e-3)
    return f"{p50} / {figure([window.p99_us for window in windows], 1e-3)}"


def _goals(settings: Settings, results: Results) -> Table:
    goals, limits = Goals(), settings.goals
    unary, raw_unary = (results[("unary Route", name)] for name in ("memory", _RAW))
    ones, raw_ones = (results[("session, frames of 1", name)] for name in ("memory", _RAW))
    frames = results[("session, frames of 32", "memory")]
    full = results[("session, frames of 32", "full")]
    goals.at_most(
        "unary Route, in-memory log, server CPU",
        limits["unary_ratio"],
        ratio(unary.cpu_us, raw_unary.cpu_us),
        "× raw echo",
    )
    goals.at_most(
        "session, frames of 1, server CPU per decision",
        limits["frame_1_ratio"],
        ratio(ones.cpu_us, raw_ones.cpu_us),
        "× raw stream echo",
    )
    what = "session, frames of 32, server CPU per decision"
    goals.at_most(what, limits["frame_32_us"], frames.decision_us, "µs")
    what = "session, frames of 32, decisions per second and core"
    goals.at_least(what, limits["frame_32_per_s"], frames.per_s, "/s")
    what = "the same, sqlite FULL"
    goals.at_least(what, limits["durable_per_s"], full.per_s, "/s")
    return goals.table()


def _bodies(settings: Settings) -> list[bytes]:
    contacts = population(settings, 1).contacts(_BODIES)
    return [route_request(contact).SerializeToString() for contact in contacts]
