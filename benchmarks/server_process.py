"""Servers to be measured, each a process of its own on the core for what is measured."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from benchmarks.machine import ROOT, cores, python_environment

_READY_S: Final = 180
_STOP_S: Final = 20


class ServerFailed(Exception):
    """A server ended or was not ready in time; the message holds the end of its log."""


class ServerProcess:
    """
    One running server; a context manager that stops it.

    Parameters
    ----------
    module
        What `python -m` runs.
    arguments
        Its arguments.
    is_bound
        Whether it may use only the core for what is measured.
    environment
        Variables to set.

    Attributes
    ----------
    pid, address, metrics_port
        Of the ready server.
    ready_s
        Seconds from its start to its own word that it is ready.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        is_bound: bool = True,
        environment: dict[str, str] | None = None,
    ) -> None:
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115  closed by stop
        core = cores()[0]
        begun_s = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=python_environment(**(environment or {})),
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            preexec_fn=(lambda: os.sched_setaffinity(0, {core})) if is_bound else None,
        )
        self.pid = self._process.pid
        try:
            ready = self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        self.ready_s = time.perf_counter() - begun_s
        self.address: str = ready["address"]
        self.metrics_port: int = ready["metrics_port"]

    def __enter__(self) -> "ServerProcess":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.close()

    def scrape(self) -> str:
        """The metrics page."""
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=30) as response:
            page: bytes = response.read()
        return page.decode()

    def rss_bytes(self) -> int:
        """Memory in use."""
        return rss_bytes(self.pid)

    def _wait_until_ready(self) -> dict[str, Any]:
        give_up_s = time.monotonic() + _READY_S
        while time.monotonic() < give_up_s:
            time.sleep(0.005)
            self._log.seek(0)
            lines = self._log.read().splitlines()
            for line in lines:
                if '"ready"' in line:
                    found: dict[str, Any] = json.loads(line)
                    return found
            if self._process.poll() is not None:
                raise ServerFailed("\n".join(lines[-20:]))
        raise ServerFailed(f"not ready after {_READY_S} s:\n" + "\n".join(lines[-20:]))


def headgate(
    durability: str,
    data_dir: Path,
    *,
    pin: str = "on",
    gc: str = "frozen",
    extra: Sequence[str] = (),
) -> ServerProcess:
    """
    `headgate serve` on any port, with bounds that a window of load reaches, so that what is
    measured is an engine that has filled what it fills. `pin` is that of the server; "loop" for one
    whose loop has the core to itself and whose other threads have the others, as by default.
    """
    is_bound = pin != "loop"
    core = ["--core", str(cores()[0])] if pin == "loop" else []
    variant = ["--gc", gc, "--groups-kept", "1000", *core, "--"]
    serve = [
        "serve", "--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0",
        "--durability", durability, "--data-dir", str(data_dir), "--grace-s", "1",
        "--pin", pin if is_bound else "on",
        "--set", "connection_age_s=0", "--set", "replies_max=20000", "--set", "ended_max=10000",
        *extra,
    ]  # fmt: skip
    return ServerProcess("benchmarks.serve_variant", [*variant, *serve], is_bound=is_bound)


def echo(kind: str, *, pin: str = "on", gc: str = "frozen") -> ServerProcess:
    """A baseline."""
    arguments = ["--kind", kind, "--pin", pin, "--gc", gc]
    return ServerProcess("benchmarks.echo_server", arguments)


def rss_bytes(pid: int) -> int:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
