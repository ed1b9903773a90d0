"""Timing inside one process: cases that are compared take turns, and only medians are believed."""

import gc
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from typing import Final

# Work of one case in one round: does so many operations.
Work = Callable[[int], None]

_ROUND_S: Final = 0.1


def pin(place: int) -> int:
    """Keep this process on one of the cores it may use, counted from 0; returns the core."""
    allowed = sorted(os.sched_getaffinity(0))
    core = allowed[place % len(allowed)]
    os.sched_setaffinity(0, {core})
    return core


def repeated(operation: Callable[[], object]) -> Work:
    """Work of a case whose operation is one Python call."""

    def work(count: int) -> None:
        for _ in repeat(None, count):
            operation()

    return work


def compare(
    cases: Mapping[str, Work], rounds: int, round_s: float = _ROUND_S
) -> dict[str, list[float]]:
    """
    Seconds per operation of each case, one figure per round.

    The cases of a round run one after the other, so that a busy spell of the machine hits them
    alike. Each runs as often as fills about `round_s`, and at least once. The collector is off
    while a case runs.
    """
    counts = {name: _count_for(work, round_s) for name, work in cases.items()}
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, work in cases.items():
            seconds[name].append(_time(work, counts[name]) / counts[name])
    return seconds


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """The value below which a share of them lie, 0 to 1."""
    return sorted_values[min(int(share * len(sorted_values)), len(sorted_values) - 1)]


def one_by_one(
    operation: Callable[[int], object], undo: Callable[[int], object], count: int
) -> list[float]:
    """Seconds of single calls, sorted; what undoes each is not timed."""
    taken = []
    gc.collect()
    for number in range(count):
        started_ns = time.perf_counter_ns()
        operation(number)
        taken.append((time.perf_counter_ns() - started_ns) * 1e-9)
        undo(number)
    return sorted(taken)


def _count_for(work: Work, round_s: float) -> int:
    """Operations that fill about `round_s`; also warms the case up."""
    work(1)
    count = 1
    while (taken_s := _time(work, count)) < round_s / 10:
        count *= 2 if taken_s > round_s / 100 else 10
    return max(1, round(count * round_s / taken_s))


def _time(work: Work, count: int) -> float:
    was_collecting = gc.isenabled()
    gc.disable()
    try:
        started_s = time.perf_counter()
        work(count)
        return time.perf_counter() - started_s
    finally:
        if was_collecting:
            gc.enable()


def median_of(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)
