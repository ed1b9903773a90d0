"""Real `headgate serve` processes for tests: started on free ports, awaited, and stopped by pid."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.end_to_end.forking import ForkedProcess, Process

ROOT = Path(__file__).resolve().parent.parent.parent
# A start takes two seconds, and some minutes more where the kernels must be compiled first.
READY_WITHIN_S = 300.0
STOPPED_WITHIN_S = 15.0
# Any free port, no core taken from the tests.
PLAIN = ("--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0", "--pin", "off")


class Served:
    """
    A running server.

    Attributes
    ----------
    process
        The process; its standard error goes to `log_path`.
    address
        HOST:PORT of gRPC.
    metrics_port
        Port of /metrics, /healthz and /readyz.
    """

    def __init__(self, process: Process, log_path: Path) -> None:
        self.process = process
        self.log_path = log_path
        self.address = ""
        self.metrics_port = 0

    def log(self) -> list[dict[str, object]]:
        """Log lines written so far."""
        lines = self.log_path.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def until_ready(self) -> "Served":
        """Wait until the process takes calls."""
        give_up_at = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < give_up_at:
            # Before the log is read, so that the last lines of a dead process are seen.
            has_ended = self.process.poll() is not None
            for line in self.log():
                if line["event"] == "ready":
                    self.address = str(line["address"])
                    self.metrics_port = int(str(line["metrics_port"]))
                    return self
            assert not has_ended, f"exit code {self.process.returncode}: {self.told()}"
            time.sleep(0.02)
        self.kill()
        raise AssertionError(f"not ready within {READY_WITHIN_S} s: {self.told()}")

    def told(self) -> str:
        """All that was written to standard error."""
        return self.log_path.read_text(encoding="utf-8")

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page of the monitoring port."""
        url = f"http://127.0.0.1:{self.metrics_port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def terminate(self) -> int:
        """Ask the process to stop, and wait for its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.exit_code()

    def exit_code(self) -> int:
        """Exit code, once the process has ended."""
        try:
            return self.process.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running after {STOPPED_WITHIN_S} s") from None

    def kill(self) -> None:
        """End the process at once, as a crash does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(STOPPED_WITHIN_S)


def start(
    directory: Path,
    *flags: str,
    env: Mapping[str, str] | None = None,
    name: str = "server",
    source: Path | None = None,
) -> Served:
    """
    Start a server whose log goes into a folder; does not wait until it is ready.

    It is forked from one that has been loaded, but for one with an environment of its own, or of
    another source than this checkout: these, and those of a `source` that is named, are started
    as anybody starts one.
    """
    log_path, arguments = directory / f"{name}.log", ("serve", *PLAIN, *flags)
    if env is None and source is None:
        return _forked(log_path, arguments)
    command = (sys.executable, "-m", "adapters.cli", *arguments)
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=source or ROOT,
            env=_environment(env),
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
    return Served(process, log_path)


def start_forwarder(directory: Path, *flags: str, name: str = "forwarder") -> Served:
    """Start a forwarder whose log goes into a folder; ready means that it has begun."""
    return _forked(directory / f"{name}.log", ("forward", *flags))


def _forked(log_path: Path, arguments: Sequence[str]) -> Served:
    log_path.write_bytes(b"")
    return Served(ForkedProcess(arguments, ROOT, _environment(None), log_path), log_path)


def headgate(
    *arguments: str, env: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end; for what leaves by itself."""
    return subprocess.run(
        (sys.executable, "-m", "adapters.cli", *arguments),
        cwd=ROOT,
        env=_environment(env),
        check=False,
        capture_output=True,
        text=True,
        timeout=READY_WITHIN_S,
    )


def _environment(env: Mapping[str, str] | None) -> dict[str, str]:
    """Our environment without any setting of a server in it, but for the compiled kernels."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("HEADGATE_") or name == "HEADGATE_KERNEL_CACHE"
    }
    return {**kept, **(env or {})}
