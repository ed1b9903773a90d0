"""
What Redis adds to an acknowledgement, by tier of durability, beside sqlite in the same run.

First commits alone, one after another, by size of group: their latency, and the CPU they cost the
engine. Then Route through the dispatch loop, where a group is what gathered while the last one was
under way. The servers have the cores that this process does not.
"""

import contextlib
import gc
import itertools
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import uvloop

from adapters.commit_log import CommitGroup, CommitLog, StoredReply
from adapters.logs import configure_logs
from adapters.memory_log import MemoryLog, MemoryStore
from adapters.metrics import Metrics
from adapters.redis_log.address import parse_redis_url
from adapters.redis_log.log import RedisLog
from adapters.redis_log.primary import RedisPrimary
from adapters.redis_log.scripts import Keys
from adapters.redis_log.server_check import Tier
from adapters.redis_log.terms import Kept, Terms
from adapters.sqlite_log import SqliteLog
from benchmarks.commit_benchmark import started
from benchmarks.settings import Settings
from benchmarks.tables import Goals, Table, figure
from benchmarks.timing import percentile, pin
from engine.state.rows import RowDelta, RowTable
from tests.end_to_end.redis_servers import RedisServer, replicated

_WAITS_FOR: Final[dict[Tier, int]] = {"relaxed": 0, "replicated": 1, "strict": 2}
_IN_FLIGHT: Final = 256
_CONTACTS: Final = 20_000
_NUMBERS: Final = itertools.count()


@dataclass(slots=True)
class Figures:
    """Figures of one log, one a round; by size of group, and by rate."""

    p50_us: dict[int, list[float]] = field(default_factory=dict)
    p99_us: dict[int, list[float]] = field(default_factory=dict)
    cpu_us: dict[int, list[float]] = field(default_factory=dict)
    per_s: dict[int, list[float]] = field(default_factory=dict)
    route_p50_ms: dict[int, list[float]] = field(default_factory=dict)
    route_p99_ms: dict[int, list[float]] = field(default_factory=dict)
    saturated_per_s: list[float] = field(default_factory=list)
    primary_us: dict[int, list[float]] = field(default_factory=dict)
    bytes_in: dict[int, list[float]] = field(default_factory=dict)
    bytes_to_replicas: dict[int, list[float]] = field(default_factory=dict)


class Spent(NamedTuple):
    """What a primary has spent so far: CPU, seconds; bytes read, and bytes sent to replicas."""

    cpu_s: float
    bytes_in: float
    bytes_to_replicas: float

    @classmethod
    def of(cls, server: RedisServer) -> "Spent":
        """As the server tells it."""
        with server.client() as client:
            told = client.info("all")
        cpu_s = float(told["used_cpu_user"]) + float(told["used_cpu_sys"])
        sent = told.get("total_net_repl_output_bytes", 0)
        return cls(cpu_s, float(told["total_net_input_bytes"]), float(sent))


class Logs:
    """
    Makes empty logs by name.

    Parameters
    ----------
    folder
        Where sqlite's files go.
    servers
        Primaries by tier.
    """

    def __init__(self, folder: Path, servers: dict[Tier, RedisServer]) -> None:
        self._folder = folder
        self._servers = servers

    def spent(self, name: str) -> Spent | None:
        """What the primary of a log has spent so far; None where there is none."""
        for tier, server in self._servers.items():
            if name == tier:
                return Spent.of(server)
        return None

    def make(self, name: str) -> CommitLog:
        """Make a log over nothing."""
        number = next(_NUMBERS)
        if name == "memory":
            return MemoryLog(MemoryStore(groups_kept=1_000))
        for tier, server in self._servers.items():
            if name == tier:
                terms = Terms(wait_replicas=_WAITS_FOR[tier], wait_ms=5_000, lease_ms=60_000)
                primary = RedisPrimary(parse_redis_url(server.url), "cell", 5.0)
                keys = Keys.of(f"bench{number}", "cell")
                kept = Kept(replies_max=20_000, groups_kept=1_000)
                return RedisLog(primary, keys, tier, terms, kept, Metrics().cell("bench"))
        path = self._folder / f"{number}.sqlite"
        return SqliteLog(path, "full", "bench", replies_max=20_000, groups_kept=1_000)


def run(settings: Settings) -> list[Table]:
    """Measure every log, in rounds that take turns."""
    core = pin(0)
    names: list[str] = settings.value("logs")
    found = {name: Figures() for name in ("memory", *names)}
    configure_logs("error", "json")
    with (
        tempfile.TemporaryDirectory(dir=settings.value("folder") or None) as folder,
        _servers(Path(folder), core) as servers,
    ):
        logs = Logs(Path(folder), servers)
        for _ in range(settings.rounds):
            for name, figures in found.items():
                if name != "memory":
                    for size in settings.numbers("sizes"):
                        before = logs.spent(name)
                        count = uvloop.run(_commits(logs.make(name), size, settings, figures))
                        _note_spent(before, logs.spent(name), size, count, figures)
                uvloop.run(_routes(logs.make(name), settings, figures))
    return [
        _commit_table(settings, {name: found[name] for name in names}),
        _primary_table(settings, {name: found[name] for name in names}),
        _route_table(settings, found),
        _goals(settings, found),
    ]


@contextlib.contextmanager
def _servers(folder: Path, core: int) -> Iterator[dict[Tier, RedisServer]]:
    """A primary with two replicas for `strict`, and another for the rest."""
    with (
        replicated(folder / "everysec", 2) as everysec,
        replicated(folder / "always", 2, "--appendfsync", "always") as always,
    ):
        others = os.sched_getaffinity(os.getppid()) - {core}
        for server in (*everysec, *always):
            os.sched_setaffinity(server.process.pid, others or {core})
        yield {"relaxed": everysec[0], "replicated": everysec[0], "strict": always[0]}


def _note_spent(
    before: Spent | None, after: Spent | None, size: int, decisions: int, into: Figures
) -> None:
    if before is None or after is None:
        return
    for table, value in (
        (into.primary_us, (after.cpu_s - before.cpu_s) * 1e6),
        (into.bytes_in, after.bytes_in - before.bytes_in),
        (into.bytes_to_replicas, after.bytes_to_replicas - before.bytes_to_replicas),
    ):
        table.setdefault(size, []).append(value / decisions)


async def _commits(log: CommitLog, size: int, settings: Settings, into: Figures) -> int:
    """Commit groups of a size, one after another; returns how many decisions that were."""
    count = min(settings.value("commits"), max(settings.value("decisions") // size, 20))
    groups = [_group(number, size) for number in range(count)]
    tokens = [number.to_bytes(16, "little") for number in range(1, count + 1)]
    last = (await log.acquire("bench")).token
    taken_s = []
    gc.collect()
    begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
    for token, group in zip(tokens, groups, strict=True):
        started_s = time.perf_counter()
        await log.commit(last, token, group)
        taken_s.append(time.perf_counter() - started_s)
        last = token
    cpu_s = time.process_time() - begun_cpu_s
    spent_s = time.perf_counter() - begun_s
    rows = (await log.load()).rows
    assert len(rows) == min(count * size, _CONTACTS) + size, len(rows)
    await log.release()
    taken_s.sort()
    for table, value in (
        (into.p50_us, percentile(taken_s, 0.5) * 1e6),
        (into.p99_us, percentile(taken_s, 0.99) * 1e6),
        (into.cpu_us, cpu_s / count * 1e6),
        (into.per_s, count * size / spent_s),
    ):
        table.setdefault(size, []).append(value)
    return count * size


def _group(number: int, size: int) -> CommitGroup:
    """A group of so many decisions: each a contact, an agent and a reply."""
    rows = []
    replies = []
    for place in range(size):
        row = (number * size + place) % _CONTACTS
        rows.append(RowDelta(RowTable.CONTACT, row, f"contact-{row:028}", bytes(200), None))
        rows.append(RowDelta(RowTable.AGENT, place, f"agent-{place}", bytes(80), None))
        name = f"request-{number * size + place:024}"
        replies.append(StoredReply(name, bytes(16), bytes(60), 1_700_000_000_000 + number))
    return CommitGroup(bytes(120 * size), rows, replies)


async def _routes(log: CommitLog, settings: Settings, into: Figures) -> None:
    """Route through the dispatch loop, at rates and as fast as it goes."""
    cell, feeder = await started(log, settings)
    await feeder.closed_loop(2_000, _IN_FLIGHT)
    for rate in settings.numbers("rates"):
        await feeder.open_loop(rate, settings.value("seconds"))
        latencies = sorted(feeder.latencies_s)
        into.route_p50_ms.setdefault(rate, []).append(percentile(latencies, 0.5) * 1e3)
        into.route_p99_ms.setdefault(rate, []).append(percentile(latencies, 0.99) * 1e3)
    into.saturated_per_s.append(
        await feeder.closed_loop(round(settings.value("saturated")), _IN_FLIGHT)
    )
    await cell.stop()
    gc.unfreeze()


def _commit_table(settings: Settings, found: dict[str, Figures]) -> Table:
    sizes = settings.numbers("sizes")
    rows = [
        [
            name,
            *(
                f"{figure(figures.p50_us[size])} / {figure(figures.p99_us[size])}, "
                f"{figure(figures.cpu_us[size])}, {figure(figures.per_s[size])}"
                for size in sizes
            ),
        ]
        for name, figures in found.items()
    ]
    columns = ["log", *(f"group of {size}" for size in sizes)]
    note = (
        "p50 / p99 of a commit in µs, CPU of the engine per commit in µs, decisions/s. One "
        "connection, one commit at a time; primary and replicas share this machine's other core."
    )
    return Table("Commits, one after another", columns, rows, note)


def _primary_table(settings: Settings, found: dict[str, Figures]) -> Table:
    sizes = settings.numbers("sizes")
    rows = [
        [
            name,
            *(
                f"{figure(figures.primary_us[size])}, {figure(figures.bytes_in[size])}, "
                f"{figure(figures.bytes_to_replicas[size])}"
                for size in sizes
            ),
        ]
        for name, figures in found.items()
        if figures.primary_us
    ]
    note = (
        "Of one decision: CPU of the primary in µs, its reading of the rows afterwards included; "
        "bytes it reads; bytes it sends to two replicas together."
    )
    columns = ["log", *(f"group of {size}" for size in sizes)]
    return Table("What a decision costs the primary", columns, rows, note)


def _route_table(settings: Settings, found: dict[str, Figures]) -> Table:
    rates: Sequence[int] = settings.numbers("rates")
    rows = [
        [
            name,
            *(
                f"{figure(figures.route_p50_ms[rate])} / {figure(figures.route_p99_ms[rate])}"
                for rate in rates
            ),
            figure(figures.saturated_per_s),
        ]
        for name, figures in found.items()
    ]
    heads = [f"{rate:,}/s p50 / p99 ms" for rate in rates]
    columns = ["log", *heads, f"saturated, {_IN_FLIGHT} in flight, /s"]
    return Table("Acknowledgement of Route after its commit", columns, rows)


def _goals(settings: Settings, found: dict[str, Figures]) -> Table:
    goals, limits = Goals(), settings.goals
    if "replicated" in found:
        rate = min(settings.numbers("rates"))
        pairs = zip(
            found["replicated"].route_p50_ms[rate], found["memory"].route_p50_ms[rate], strict=True
        )
        what = f"commit added to the acknowledgement, replicated at {rate:,}/s, p50"
        goals.at_most(
            what, limits["replicated_added_ms"], [one - other for one, other in pairs], "ms"
        )
        what = "durable decisions, replicated, without a transport"
        goals.at_least(what, limits["replicated_per_s"], found["replicated"].saturated_per_s, "/s")
    return goals.table()
