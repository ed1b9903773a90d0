"""
Processes of the `headgate` command, forked from one that has imported it and loaded the kernels.

A start of its own takes 1.7 s of a core, most of it for Python's imports; a fork takes 0.2 s. What
is forked is a process like any other: with an environment, folder and log of its own, killed by its
pid.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol
from unittest import mock

_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(["tests.end_to_end.preloaded"])


class Process(Protocol):
    """What tests want of a process; as `subprocess.Popen` has it."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, sig: int) -> None: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


class ForkedProcess:
    """
    A command that runs.

    Parameters
    ----------
    arguments
        Of the `headgate` command.
    cwd
        Where it runs.
    env
        Its whole environment.
    log_path
        Where its standard error goes.
    """

    def __init__(
        self, arguments: Sequence[str], cwd: Path, env: Mapping[str, str], log_path: Path
    ) -> None:
        self._process = _FORKING.Process(
            target=_run, args=(list(arguments), str(cwd), dict(env), str(log_path)), daemon=True
        )
        # Or each would import what the tests were started by.
        with mock.patch.object(sys.modules["__main__"], "__file__", None, create=True):
            self._process.start()
        pid = self._process.pid
        assert pid is not None
        self.pid: int = pid

    @property
    def returncode(self) -> int | None:
        """Exit code, or the number of the signal it died of, negative; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The same."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """The same once it has ended; raises TimeoutExpired."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired("headgate", timeout or 0.0)
        return code

    def send_signal(self, sig: int) -> None:
        """Send a signal, where it still runs."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def _run(arguments: list[str], cwd: str, env: dict[str, str], log_path: str) -> None:
    """Be the command, in the forked process."""
    os.dup2(os.open(log_path, os.O_WRONLY | os.O_APPEND), 2)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    from adapters.cli import main

    main(arguments)
