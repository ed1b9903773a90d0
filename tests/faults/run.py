"""
Runs seeds of the fault simulation, several at a time, and says how to run again those that fail.

    python -m tests.faults.run --seeds 1000
    python -m tests.faults.run --seed 42
"""

import argparse
import gc
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

import structlog

from adapters.kernel_cache import use_kernel_cache
from tests.faults.checking import violations
from tests.faults.mutations import MUTATIONS, mutated
from tests.faults.world import World

_FAILURES_SHOWN: Final = 10
_SEEDS_PER_MUTATION: Final = 100
# Log lines that tell of a bug rather than of a fault, of the run under way.
_logged_bugs: list[str] = []

T = TypeVar("T")
R = TypeVar("R")


@dataclass
class Verdict:
    """
    What one seed came to.

    Attributes
    ----------
    violations
        What was wrong; empty when nothing was.
    struck
        How often each fault struck.
    sizes
        Operations, commit groups and processes of the run.
    digest
        Of the history: the same seed has the same.
    """

    seed: int
    violations: list[str] = field(default_factory=list)
    struck: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)
    digest: str = ""


def verdict(seed: int, mutation: str = "") -> Verdict:
    """Run one seed and check it, with a bug put in where one is named."""
    _logged_bugs.clear()
    world = World(seed)
    found = Verdict(seed)
    try:
        with mutated(mutation):
            world.run()
        found.violations += violations(world)
    except Exception as error:
        found.violations.append(f"{type(error).__name__}: {error}")
    found.violations += _logged_bugs
    found.struck.update(world.around.struck)
    found.sizes.update(
        operations=len(world.history.operations),
        groups=world.store.sequence,
        processes=len(world.processes),
    )
    found.digest = world.history.digest()
    world.bury()
    return found


def verdicts(seeds: Iterable[int], jobs: int, mutation: str = "") -> Iterator[Verdict]:
    """Run seeds in processes of their own."""
    yield from _in_processes(partial(verdict, mutation=mutation), seeds, jobs, chunk=5)


def mutations_found(jobs: int) -> Iterator[tuple[str, Verdict | None]]:
    """Every bug put in on purpose, with the first seed that finds it; None where none does."""
    yield from _in_processes(_first_failing, MUTATIONS, jobs, chunk=1)


def _first_failing(mutation: str) -> tuple[str, Verdict | None]:
    for seed in range(_SEEDS_PER_MUTATION):
        found = verdict(seed, mutation)
        if found.violations:
            return mutation, found
    return mutation, None


def _in_processes(work: Callable[[T], R], items: Iterable[T], jobs: int, chunk: int) -> Iterator[R]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _prepare) as pool:
        yield from pool.map(work, items, chunksize=chunk)


def _prepare() -> None:
    """Make this process ready for seeds: kernels from their cache, no log lines."""
    use_kernel_cache()
    structlog.configure(processors=[_keep_bugs])
    gc.freeze()


def _keep_bugs(_: Any, __: str, line: MutableMapping[str, Any]) -> Any:
    if line.get("exc_info"):
        _logged_bugs.append(f"logged {line['event']}: {sys.exc_info()[1]!r}")
    raise structlog.DropEvent


def main() -> int:
    """Run from the command line; the exit code is 1 when a seed failed."""
    parser = argparse.ArgumentParser(description="Simulates faults from seeds.")
    parser.add_argument("--seeds", type=int, default=1_000, help="how many (default: 1000)")
    parser.add_argument("--first", type=int, default=0, help="the first (default: 0)")
    parser.add_argument("--seed", type=int, help="this one alone, with all that it finds")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument(
        "--mutation", choices=list(MUTATIONS), default="", help="a bug to put in on purpose"
    )
    chosen = parser.parse_args()
    if chosen.seed is not None:
        return _run_one(chosen.seed, chosen.mutation)
    seeds = range(chosen.first, chosen.first + chosen.seeds)
    return _run_many(seeds, chosen.jobs, chosen.mutation)


def _run_one(seed: int, mutation: str) -> int:
    _prepare()
    found = verdict(seed, mutation)
    print(f"seed {seed}: {dict(found.sizes)}, digest {found.digest}")
    for fault, count in sorted(found.struck.items()):
        print(f"  {count:5}  {fault}")
    for violation in found.violations:
        print(f"  VIOLATION {violation}")
    return int(bool(found.violations))


def _run_many(seeds: range, jobs: int, mutation: str) -> int:
    begun_s = time.monotonic()
    struck: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    failed = 0
    for found in verdicts(seeds, jobs, mutation):
        struck += found.struck
        sizes += found.sizes
        failed += bool(found.violations)
        if found.violations and failed <= _FAILURES_SHOWN:
            print(explained(found), flush=True)
    for fault, count in sorted(struck.items()):
        print(f"{count:9,}  {fault}")
    took_s = time.monotonic() - begun_s
    print(f"{len(seeds):,} seeds in {took_s:.0f} s, {failed} failed; {dict(sizes)}")
    return int(failed > 0)


def explained(found: Verdict) -> str:
    """What a failed seed found, and the command that runs it again."""
    return f"seed {found.seed} failed: {found.violations[0]}\n  again: make vopr SEED={found.seed}"


if __name__ == "__main__":
    sys.exit(main())
