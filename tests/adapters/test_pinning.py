"""Which core the loop gets, with the calls that would move this very process noted instead."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from adapters.pinning import pin

PID = 1_001


@dataclass
class Host:
    """A machine: cores this process may use, quota of its cgroup, and what was asked of it."""

    cores: set[int]
    affinity: list[set[int]] = field(default_factory=list)
    policies: list[tuple[int, int]] = field(default_factory=list)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host of four cores without a quota."""
    found = Host({0, 2, 4, 6})

    def set_policy(pid: int, policy: int, param: os.sched_param) -> None:
        assert pid == 0
        found.policies.append((policy, param.sched_priority))

    def set_affinity(pid: int, cores: set[int]) -> None:
        assert pid == 0
        found.affinity.append(cores)

    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: found.cores)
    monkeypatch.setattr(os, "sched_setaffinity", set_affinity)
    monkeypatch.setattr(os, "sched_setscheduler", set_policy)
    monkeypatch.setattr(os, "getpid", lambda: PID)
    with_quota(monkeypatch, None)
    return found


def with_quota(monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    """Let the cgroup's file hold a text; None = no such file."""

    def read_text(path: Path) -> str:
        assert path == Path("/sys/fs/cgroup/cpu.max")
        if text is None:
            raise FileNotFoundError(path)
        return text

    monkeypatch.setattr("adapters.pinning.Path.read_text", read_text)


def test_off_leaves_the_process_alone(host: Host) -> None:
    """An operator who pins by other means must not be overruled."""
    assert pin("off") == "off"
    assert (host.affinity, host.policies) == ([], [])


@pytest.mark.parametrize("setting", ["on", "auto"])
def test_process_gets_one_of_its_own_cores_in_batch(host: Host, setting: str) -> None:
    """The core is one it may use, and batch scheduling keeps wake-ups from preempting the loop."""
    assert pin(setting) == "core 2, SCHED_BATCH"
    assert (host.affinity, host.policies) == ([{2}], [(os.SCHED_BATCH, 0)])


def test_engines_of_one_host_are_spread_over_its_cores(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four engines started one after the other must not share the first core."""
    for pid in range(PID, PID + 4):
        monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
        pin("auto")
    assert host.affinity == [{2}, {4}, {6}, {0}]


def test_auto_leaves_a_single_core_alone_and_on_does_not(host: Host) -> None:
    """There is nothing to choose, and batch scheduling would only yield to others."""
    host.cores = {3}
    assert pin("auto").startswith("off: ")
    assert (host.affinity, host.policies) == ([], [])
    assert pin("on") == "core 3, SCHED_BATCH"
    assert host.affinity == [{3}]


@pytest.mark.parametrize(
    ("text", "is_pinned"),
    [
        ("200000 100000\n", False),  # two cores' worth: a container with a limit
        ("50000 100000\n", False),  # half a core
        ("max 100000\n", True),  # a cgroup without a limit
        ("", True),  # nothing to go by
        (None, True),  # another version of cgroups, or none
    ],
)
def test_auto_looks_at_the_quota(
    host: Host, monkeypatch: pytest.MonkeyPatch, text: str | None, is_pinned: bool
) -> None:
    """On one core a quota is used up in bursts, and the loop would stall for the rest."""
    with_quota(monkeypatch, text)
    assert pin("auto").startswith("off: ") == (not is_pinned)
    assert bool(host.affinity) == bool(host.policies) == is_pinned


def test_on_does_not_ask_for_the_quota(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who says on knows better."""
    with_quota(monkeypatch, "50000 100000\n")
    assert pin("on") == "core 2, SCHED_BATCH"
    assert host.affinity


def test_serve_pins_itself_before_grpc_starts_threads() -> None:
    """And before gRPC has read how much it may say; threads that are there would stay unpinned."""
    program = (
        "import sys, adapters.pinning as pinning\n"
        "pinning.pin = lambda mode: sys.exit('early' if 'grpc' in sys.modules else 'in time')\n"
        "from adapters.cli import main\n"
        "main(['serve', '--durability', 'memory'])\n"
    )
    done = subprocess.run(
        (sys.executable, "-c", program), check=False, capture_output=True, text=True, timeout=60
    )
    assert done.stderr.splitlines()[-1] == "in time"
