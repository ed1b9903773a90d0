"""
Runs the declared workloads and writes their tables.

    python -m benchmarks.run [--only NAME ...] [--rounds N] [--quick] [--write]

Each benchmark runs in a process of its own, so that none inherits another's memory or core.
"""

import argparse
import multiprocessing
import sys
import time
import tomllib
import traceback
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module

from benchmarks.machine import OtherLoad, describe, is_linux
from benchmarks.report import write_report
from benchmarks.settings import WORKLOADS, Settings
from benchmarks.tables import Table

ROUNDS_MIN = 3


def main() -> int:
    """Measure what was asked for; 1 when a benchmark failed."""
    workloads = tomllib.loads(WORKLOADS.read_text(encoding="utf-8"))
    options = _options(list(workloads))
    if not is_linux():
        print("bench: needs Linux, for /proc and for cores to pin to", file=sys.stderr)
        return 2
    rounds = options.rounds or (1 if options.quick else ROUNDS_MIN)
    taken = describe(rounds, options.quick)
    print("\n".join(taken), flush=True)
    failed = False
    for name in options.only or workloads:
        settings = Settings(workloads[name], rounds, options.quick)
        begun_s, others = time.perf_counter(), OtherLoad()
        print(f"\n## {name}", flush=True)
        try:
            tables = _run_alone(name, settings)
        except RuntimeError as error:
            print(f"bench: {name} failed\n{error}", file=sys.stderr)
            failed = True
            continue
        text = "\n\n".join(table.markdown() for table in tables)
        took = (
            f"took {time.perf_counter() - begun_s:.0f} s; "
            f"other processes used {others.share():.0%} of the cores meanwhile"
        )
        print(f"\n{text}\n\n{took}", flush=True)
        if options.write:
            write_report(name, [*taken, took], tables)
    return int(failed)


def run_one(name: str, settings: Settings) -> list[Table]:
    """Run one benchmark in this process."""
    from adapters.kernel_cache import use_kernel_cache

    use_kernel_cache()
    try:
        tables: list[Table] = import_module(f"benchmarks.{name}_benchmark").run(settings)
    except Exception:
        # Not every error survives the way to the parent process.
        raise RuntimeError(traceback.format_exc()) from None
    return [table for table in tables if table.rows]


def _run_alone(name: str, settings: Settings) -> list[Table]:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(run_one, name, settings).result()


def _options(names: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Measure the declared workloads.")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--rounds", type=int, help=f"rounds, default {ROUNDS_MIN}; quick: 1")
    parser.add_argument("--quick", action="store_true", help="short rounds, to see that it runs")
    parser.add_argument("--write", action="store_true", help="put the tables into README.md")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
