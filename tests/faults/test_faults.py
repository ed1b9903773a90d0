"""
The whole server under every fault there is, from seeds: what was acknowledged is never lost,
nothing is done twice, and the log, the engine and what watchers were told are one.
"""

import os
import subprocess
import sys
from collections import Counter

import pytest

from tests.faults.faults import CrashPoint
from tests.faults.mutations import MUTATIONS
from tests.faults.run import explained, mutations_found, verdicts

SEEDS = 1_000
JOBS = os.cpu_count() or 1
# Faults beside the ends of processes.
OTHERS = (
    "message lost",
    "message doubled",
    "message late",
    "stream cut",
    "process paused",
    "cell taken over",
    "disk full",
    "wall clock set",
    "stopped in good order",
)


def command(*arguments: str, hash_seed: str = "0") -> "subprocess.CompletedProcess[str]":
    """Run the simulation as `make vopr` does."""
    return subprocess.run(
        [sys.executable, "-m", "tests.faults.run", *arguments],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_thousand_seeds_hold_every_promise() -> None:
    """Each seed is a run of its own; together they strike at every step."""
    struck: Counter[str] = Counter()
    failed = []
    for found in verdicts(range(SEEDS), JOBS):
        struck += found.struck
        if found.violations:
            failed.append(explained(found))
    assert not failed, "\n".join(failed)
    assert not {fault: struck[fault] for fault in (*CrashPoint, *OTHERS) if struck[fault] < 50}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_bug_put_in_on_purpose_is_found() -> None:
    """A checker that finds nothing wrong must be one that could have."""
    missed = [name for name, found in mutations_found(JOBS) if found is None]
    assert not missed
    assert len(MUTATIONS) >= 10


def test_a_seed_is_the_same_run_in_every_process() -> None:
    """What fails once fails again, or nobody could look at it."""
    first, second = (command("--seed", "5", hash_seed=seed) for seed in ("1", "2"))
    assert "digest" in first.stdout
    assert first.stdout == second.stdout
    assert first.returncode == 0


def test_a_failing_seed_tells_how_to_run_it_again() -> None:
    """One command, to be copied."""
    ran = command("--seeds", "1", "--jobs", "1", "--mutation", "without_idempotency")
    assert ran.returncode == 1
    assert "seed 0 failed: " in ran.stdout
    assert "again: make vopr SEED=0" in ran.stdout
    again = command("--seed", "0", "--mutation", "without_idempotency")
    assert again.returncode == 1
    assert "VIOLATION" in again.stdout
