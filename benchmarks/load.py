"""Puts load on a server and reads what it cost; uses the C++ generator where it can be compiled."""

import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.machine import ROOT, cores, python_environment
from benchmarks.server_process import ServerProcess

_SOURCE: Final = Path(__file__).parent / "load_generator.cc"
# Contacts that were only routed are cancelled between slices, so that a server holds few.
SLICE_S: Final = 0.5
_PACKAGES: Final = "libgrpc++-dev, g++ and pkg-config"


class Load(NamedTuple):
    """
    What to send; see load_generator.cc.

    Attributes
    ----------
    shape
        "unary" or "stream".
    content
        "echo", "route" or "cycle".
    lanes, window
        Calls or streams, and calls or frames in flight in each.
    frame
        Commands per frame.
    with_events
        Whether a session also gets the events of its contacts.
    """

    shape: str
    content: str
    lanes: int
    window: int
    frame: int = 1
    with_events: bool = False


class LoadFailed(Exception):
    """The generator ended with an error, or the server refused calls."""


class Measured(NamedTuple):
    """
    What one window of load showed; see load_generator.cc for the fields of `found`.
    """

    found: dict[str, Any]

    @property
    def commands_per_s(self) -> float:
        """Commands answered per second."""
        return float(self.found["commands"] / self.found["seconds"])

    @property
    def cpu_us_per_command(self) -> float:
        """Server CPU per command, microseconds, all threads."""
        return float(self.found["server_cpu_s"] / self.found["commands"] * 1e6)

    @property
    def cpu_us_per_decision(self) -> float:
        """Server CPU per routing decision, with the commands that end its contact."""
        return float(self.found["server_cpu_s"] / self.found["routes"] * 1e6)

    @property
    def shed_per_s(self) -> float:
        """Calls refused for want of room, per second."""
        return float(self.found.get("shed", 0) / self.found["seconds"])

    @property
    def own_share(self) -> float:
        """Share of a core the generator used: near 1 it is the bottleneck."""
        return float(self.found["own_cpu_s"] / self.found["seconds"])

    @property
    def p50_us(self) -> float:
        """Median latency of Route, or of a frame, microseconds."""
        return float(self.found["p50_us"])

    @property
    def p99_us(self) -> float:
        """99th percentile of the same."""
        return float(self.found["p99_us"])


class Generator:
    """
    A way to put load on a server.

    Parameters
    ----------
    bodies
        Serialised RouteRequests without ids.
    folder
        Where files may be put.
    """

    def __init__(self, bodies: Sequence[bytes], folder: Path) -> None:
        self._bodies = folder / "bodies"
        self._bodies.write_bytes(
            b"".join(len(body).to_bytes(4, "little") + body for body in bodies)
        )
        program = _compiled()
        self._command = [str(program)] if program else [sys.executable, "-m", "benchmarks.sender"]
        self.description = (
            "load by the C++ generator"
            if program
            else f"load by the Python generator, slower than the server; install {_PACKAGES}"
        )

    def run(  # noqa: PLR0913  (what a window of load may be)
        self,
        server: ServerProcess,
        load: Load,
        seconds: float,
        *,
        rate: float = 0,
        goes_first: bool = False,
        waiting: int = 0,
    ) -> Measured:
        """
        Send for a while after a first slice that is not measured; `rate` commands per second, or as
        fast as answers come. With `waiting`, so many calls may be in flight in an open loop, and
        those that the server sheds are counted and are no errors.

        A generator that goes first is not kept waiting for its core by what runs there for the
        server, where the system lets it.

        Raises
        ------
        LoadFailed
            Calls failed, or contacts were not offered at once although agents are free.
        """
        options = {
            "target": server.address, "bodies": self._bodies, "tag": f"{secrets.token_hex(12)}-",
            "shape": load.shape, "content": load.content, "frame": load.frame,
            "events": int(load.with_events), "lanes": load.lanes, "window": load.window,
            "rate": rate, "seconds": seconds, "slice_s": SLICE_S, "pid": server.pid,
            "core": cores()[1],
        }  # fmt: skip
        if waiting:
            options |= {"waiting": waiting, "refusals": 1}
        done = subprocess.run(
            [*self._command, *(f"{name}={value}" for name, value in options.items())],
            cwd=ROOT,
            env=python_environment(),
            check=False,
            capture_output=True,
            text=True,
            timeout=10 * seconds + 60,
            preexec_fn=_go_first if goes_first else None,
        )
        if done.returncode or not done.stdout:
            raise LoadFailed(f"{load}: {done.returncode}\n{done.stderr}")
        found = json.loads(done.stdout.splitlines()[-1])
        if found["errors"] or found["left"] or not found["commands"]:
            raise LoadFailed(f"{load} at {rate}: {found}\n{done.stderr}")
        if load.content == "route" and found["offered"] != found["routes"]:
            raise LoadFailed(f"{load}: not every contact found an agent: {found}")
        return Measured(found)


def _go_first() -> None:
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def _compiled() -> Path | None:
    """The compiled generator, made when its source is new; None where it cannot be."""
    if not all(shutil.which(name) for name in ("g++", "pkg-config")):
        return None
    asked = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "grpc++"], check=False, capture_output=True, text=True
    )
    if asked.returncode:
        return None
    digest = hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    program = cache / "headgate" / "benchmarks" / f"load_generator-{digest}"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        made = program.with_suffix(f".{os.getpid()}")
        command = ["g++", "-O2", "-std=c++17", str(_SOURCE), "-o", str(made)]
        subprocess.run([*command, *asked.stdout.split(), "-lpthread"], check=True)
        made.rename(program)
    return program
