"""
From the start of a process to its word that it is ready: cold, warm, and with contacts to load.

    python -m benchmarks.start_benchmark DATA_DIR

runs the parts of a start one after another in this process and prints what each took. Cold means an
empty cache of kernels; whether files lie in the system's page cache is not controlled.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.machine import ROOT, python_environment
from benchmarks.server_process import ServerProcess
from benchmarks.settings import Settings
from benchmarks.tables import Goals, Table, figure

_CACHE: Final = "HEADGATE_KERNEL_CACHE"
_GROUP: Final = 512


def run(settings: Settings) -> list[Table]:
    """Measure starts, whole and in parts."""
    contacts = settings.value("contacts")
    with tempfile.TemporaryDirectory() as folder:
        filled = Path(folder) / "filled"
        filled.mkdir()
        _fill(filled, contacts)
        whole: dict[str, list[float]] = {}
        parts: dict[str, list[float]] = {}
        for number in range(settings.rounds):
            cache = Path(folder) / f"cache-{number}"
            empty = Path(folder) / f"empty-{number}"
            loaded = f"warm, {contacts:,} waiting contacts in sqlite"
            cases = {"cold": empty, "warm": empty, loaded: filled}
            for name, data_dir in cases.items():
                whole.setdefault(name, []).append(_start(data_dir, cache))
            for name, seconds in _parts(filled, cache).items():
                parts.setdefault(name, []).append(seconds)
    goals = Goals()
    goals.at_most("start to ready, warm cache", settings.goals["warm_s"], whole["warm"], "s")
    what = f"the same with {contacts:,} open contacts: the owner's share of a takeover"
    goals.at_most(what, settings.goals["takeover_s"], whole[loaded], "s")
    rows = [[name, figure(seconds)] for name, seconds in whole.items()]
    part_rows = [[name, figure(seconds, 1e3)] for name, seconds in parts.items()]
    return [
        Table("Start to ready, s", ("start", "s"), rows),
        Table(f"Parts of a warm start with {contacts:,} contacts, ms", ("part", "ms"), part_rows),
        goals.table(),
    ]


def _start(data_dir: Path, cache: Path) -> float:
    serve = ["serve", "--address", "127.0.0.1:0", "--metrics-address", "", "--grace-s", "0"]
    with ServerProcess(
        "adapters.cli",
        [*serve, "--data-dir", str(data_dir)],
        environment={_CACHE: str(cache)},
    ) as server:
        return server.ready_s


def _fill(data_dir: Path, contacts: int) -> None:
    """Make a log as a server would have left it, with agents signed off and contacts waiting."""

    from adapters.commit_log import CommitGroup
    from adapters.sqlite_log import SqliteLog
    from benchmarks.population import Population, populate
    from engine.engine import Engine

    population = Population(1_000, 100, 10, available_share=0)
    engine = Engine()
    for commands in (population.queue_commands(), population.agent_commands()):
        populate(engine, commands)
    engine.cell.mark_all()
    waiting = population.contacts(4_096)

    async def fill() -> None:
        log = SqliteLog(data_dir / "default.sqlite", durability="normal", cell="default")
        token = (await log.acquire("benchmark")).token
        for first in range(0, contacts, _GROUP):
            # Now, so that no contact has waited too long when it is loaded.
            now_ms = max(time.time_ns() // 1_000_000, engine.now_ms())
            for number in range(first, min(first + _GROUP, contacts)):
                contact_id = f"contact-{number:028}"
                engine.apply(waiting[number % 4_096]._replace(contact_id=contact_id), now_ms)
            group = engine.take_group()
            new_token = os.urandom(16)
            await log.commit(token, new_token, CommitGroup(group.events, group.row_deltas, ()))
            token = new_token
        await log.release()

    asyncio.run(fill())


def _parts(data_dir: Path, cache: Path) -> dict[str, float]:
    begun_s = time.time()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.start_benchmark", str(data_dir)],
        cwd=ROOT,
        env=python_environment(**{_CACHE: str(cache)}),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return {"interpreter and site": found.pop("begun_at_s") - begun_s, **found}


def _print_parts(data_dir: Path) -> None:
    """Go through a start as `headgate serve` does, with a clock between the steps."""
    from adapters.kernel_cache import use_kernel_cache

    parts = {"begun_at_s": time.time()}
    last_s = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal last_s
        now_s = time.perf_counter()
        parts[name] = now_s - last_s
        last_s = now_s

    use_kernel_cache()
    lap("digest of the kernels' sources")
    import numba  # noqa: F401

    lap("import of numpy and numba")
    from engine.engine import Engine

    lap("import of the engine")
    Engine()
    lap("kernels from the cache")
    import adapters.server  # noqa: F401

    lap("import of gRPC, protobuf and the adapters")
    from adapters.collection import collection_paused
    from adapters.sqlite_log import SqliteLog

    async def load() -> None:
        log = SqliteLog(data_dir / "default.sqlite", durability="full", cell="default")
        await log.acquire("benchmark")
        with collection_paused():
            state = await log.load()
            lap("rows read from sqlite")
            engine = Engine()
            engine.load(state.rows)
            lap("rows into columns")
        await log.release()
        assert len(engine.cell.contacts.slots) > 0

    asyncio.run(load())
    print(json.dumps(parts))


if __name__ == "__main__":
    _print_parts(Path(sys.argv[1]))
