"""
Decisions of one, two and four cells over two engine processes, committed to one Redis primary that
waits for a replica; beside them one process with all the cells.

Route through the dispatch loop, as fast as it goes, without a transport. Servers and engines share
the cores of this machine: what is seen is whether cells hold each other up, not what more machines
would do.
"""

import asyncio
import multiprocessing
import tempfile
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import uvloop

from adapters.logs import configure_logs
from adapters.metrics import Metrics
from adapters.redis_log.address import parse_redis_url
from adapters.redis_log.log import RedisLog
from adapters.redis_log.primary import RedisPrimary
from adapters.redis_log.scripts import Keys
from adapters.redis_log.terms import Kept, Terms
from benchmarks.commit_benchmark import started
from benchmarks.settings import Settings
from benchmarks.tables import Table, figure, ratio
from tests.end_to_end.redis_servers import replicated

_IN_FLIGHT: Final = 256
_ENGINES: Final = 2
# Long: nobody renews while an engine measures.
_LEASE_MS: Final = 600_000


def run(settings: Settings) -> list[Table]:
    """Measure every number of cells, in rounds that take turns."""
    found: dict[tuple[int, int], list[float]] = {}
    counts = settings.numbers("cells")
    with (
        tempfile.TemporaryDirectory() as folder,
        replicated(Path(folder), 1) as servers,
    ):
        for number in range(settings.rounds):
            for cells in counts:
                for engines in (1, _ENGINES):
                    names = [f"{number}-{engines}-{cells}-{cell}" for cell in range(cells)]
                    spread = [names[engine::engines] for engine in range(engines)]
                    per_s = _decisions_per_s(
                        servers[0].url, [part for part in spread if part], settings
                    )
                    found.setdefault((cells, engines), []).append(per_s)
    rows = [
        [
            f"{cells}",
            figure(found[cells, 1]),
            figure(found[cells, _ENGINES]),
            figure(ratio(found[cells, _ENGINES], found[cells, 1])),
            figure(ratio(found[cells, _ENGINES], found[counts[0], _ENGINES])),
        ]
        for cells in counts
    ]
    columns = ("cells", "one engine, /s", "two engines, /s", "two of one", "of one cell")
    note = f"{_IN_FLIGHT} calls in flight in each cell; together, durability replicated."
    return [Table("Decisions by cells and engines", columns, rows, note)]


def _decisions_per_s(url: str, spread: Sequence[Sequence[str]], settings: Settings) -> float:
    """Decisions of all cells together, each engine a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    engines = []
    for names in spread:
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=_engine, args=(url, names, settings, theirs), daemon=True)
        process.start()
        engines.append((process, ours))
    for _, pipe in engines:
        assert pipe.recv() == "ready"
    for _, pipe in engines:
        pipe.send("go")
    total = sum(pipe.recv() for _, pipe in engines)
    for process, _ in engines:
        process.join()
    return float(total)


def _engine(url: str, names: Sequence[str], settings: Settings, pipe: Connection) -> None:
    from adapters.kernel_cache import use_kernel_cache

    use_kernel_cache()
    configure_logs("error", "json")
    uvloop.run(_measure(url, names, settings, pipe))


async def _measure(url: str, names: Sequence[str], settings: Settings, pipe: Connection) -> None:
    cells = [await started(_log(url, name), settings) for name in names]
    for _, feeder in cells:
        await feeder.closed_loop(1_000, _IN_FLIGHT)
    pipe.send("ready")
    pipe.recv()
    count = round(settings.value("decisions"))
    found = await asyncio.gather(*(feeder.closed_loop(count, _IN_FLIGHT) for _, feeder in cells))
    pipe.send(sum(found))
    for cell, _ in cells:
        await cell.stop()


def _log(url: str, name: str) -> RedisLog:
    terms = Terms(wait_replicas=1, wait_ms=5_000, lease_ms=_LEASE_MS, answer_within_s=5.0)
    primary = RedisPrimary(parse_redis_url(url), name, 5.0)
    kept = Kept(replies_max=20_000, groups_kept=1_000)
    keys = Keys.of("cells", name)
    return RedisLog(primary, keys, "replicated", terms, kept, Metrics().cell(name))
