"""Where and with what figures were taken."""

import os
import platform
import resource
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
_PACKAGES: Final = (
    "numpy", "numba", "llvmlite", "grpcio", "protobuf", "uvloop", "simpy", "ciw",
)  # fmt: skip


def describe(rounds: int, is_quick: bool) -> list[str]:
    """Lines that go with every set of figures."""
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    length = "quick: short rounds, not for comparison" if is_quick else "full"
    return [
        f"taken {datetime.now(UTC):%Y-%m-%d %H:%M} UTC at commit {commit()}",
        f"machine: {_processor()}, {os.cpu_count()} cores, {_memory_gib():.0f} GiB, "
        f"{platform.system()} {platform.release()}",
        f"Python {platform.python_version()}, {versions}, SQLite {sqlite3.sqlite_version}",
        f"{rounds} rounds, {length}; load average at the start {load}",
    ]


def commit() -> str:
    """Short hash of the checkout, and whether it has changes."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty=, with uncommitted changes", "--exclude=*"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    return described.stdout.strip() or "unknown"


def python_environment(**variables: str) -> dict[str, str]:
    """Environment for a child process that imports this checkout and finds its own kernel cache."""
    path = f"{ROOT}{os.pathsep}{ROOT / 'proto'}"
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **variables}
    environment.pop("NUMBA_CACHE_DIR", None)
    return environment


def cores() -> tuple[int, int]:
    """The core for what is measured and the core for what measures; one and the same on one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)


class OtherLoad:
    """How busy processes that are not ours keep the machine, from the making on."""

    def __init__(self) -> None:
        self._begun = self._read()

    def share(self) -> float:
        """Share of all cores that others used, and that a host took away, 0 to 1."""
        total, busy, own_s = (
            now - then for now, then in zip(self._read(), self._begun, strict=True)
        )
        return max(0.0, (busy - own_s * os.sysconf("SC_CLK_TCK")) / max(total, 1))

    def _read(self) -> tuple[float, float, float]:
        """Ticks in all and ticks not idle of all cores; CPU seconds of ours that have ended."""
        ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        own = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        own_s = sum(usage.ru_utime + usage.ru_stime for usage in own)
        return sum(ticks), sum(ticks) - ticks[3] - ticks[4], own_s


def is_linux() -> bool:
    """Benchmarks read /proc and pin to cores."""
    return sys.platform == "linux"
