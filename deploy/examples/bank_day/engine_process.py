"""The engine as a process of its own, started for one play and ended with it."""

import asyncio
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.examples.bank_day.bank_day import HERE

ROOT: Final = HERE.parents[2]
# The first start on a machine compiles the kernels, in a minute if it has a core to itself; every
# later one loads them in a second.
READY_S_MAX: Final = 300.0
# Longer than the engine's own grace for calls in flight.
STOP_S_MAX: Final = 15.0
LOG_LINES_SHOWN: Final = 15


class EngineFailed(Exception):
    """The engine did not start or did not stay; the message carries the end of its log."""


@dataclass(frozen=True, slots=True)
class EngineAddresses:
    """
    Where the engine listens.

    Attributes
    ----------
    grpc
        host:port of the API.
    metrics
        host:port of /metrics.
    """

    grpc: str
    metrics: str


def serve_command(addresses: EngineAddresses, data_folder: Path) -> list[str]:
    """The command that starts the engine: the one place that knows its flags."""
    return [
        sys.executable, "-m", "adapters.cli", "serve",
        "--address", addresses.grpc,
        "--metrics-address", addresses.metrics,
        "--data-dir", str(data_folder),
        "--durability", "full",
        # The one connection lasts as long as the play.
        "--set", "connection_age_s=0",
    ]  # fmt: skip


def choose_addresses(port: int) -> EngineAddresses:
    """
    Free addresses on this machine; `port` 0 chooses one for the API as well.

    Raises
    ------
    EngineFailed
        When the port asked for is in use.
    """
    # All are held until all are chosen, so that none is chosen twice.
    with _bound(port) as api, _bound(0) as metrics:
        return EngineAddresses(_address(api), _address(metrics))


class EngineProcess:
    """
    A running `headgate serve`; leaving the `with` block ends it.

    The process has a session of its own: Ctrl-C in the terminal reaches the demo, and the demo
    ends the engine once it is done with it.
    """

    def __init__(self, addresses: EngineAddresses, folder: Path) -> None:
        self.addresses = addresses
        self.log_path = folder / "engine.log"
        data_folder = folder / "data"
        data_folder.mkdir(exist_ok=True)
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                serve_command(addresses, data_folder),
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def __enter__(self) -> "EngineProcess":
        return self

    def __exit__(self, *_: object) -> None:
        """Ask the engine to stop; make it, when it does not within a bound."""
        self._process.terminate()
        try:
            self._process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    async def until_ready(self, channel: grpc.aio.Channel) -> None:
        """Wait until the engine serves, or raise `EngineFailed`."""
        health = health_pb2_grpc.HealthStub(channel)
        deadline_s = time.monotonic() + READY_S_MAX
        while not await _is_serving(health):
            self._check()
            if time.monotonic() > deadline_s:
                raise self._failure(f"the engine was not ready within {READY_S_MAX:.0f} s")
            await asyncio.sleep(0.1)

    async def until_exit(self) -> None:
        """Wait for the process to end by itself, which it must not: raises `EngineFailed`."""
        while True:
            self._check()
            await asyncio.sleep(0.1)

    async def exited_within(self, seconds: float) -> None:
        """Raise `EngineFailed` if the process ends by itself within a time."""
        try:
            async with asyncio.timeout(seconds):
                await self.until_exit()
        except TimeoutError:
            return

    def end_of_log(self) -> str:
        """What the engine logged last, with a word to lead it in."""
        lines = self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        tail = lines[-LOG_LINES_SHOWN:] or ["(it logged nothing)"]
        return "\n".join(["The end of the engine's log:", *tail])

    def _check(self) -> None:
        code = self._process.poll()
        if code is not None:
            raise self._failure(f"the engine ended by itself with exit code {code}")

    def _failure(self, what: str) -> EngineFailed:
        return EngineFailed(f"{what}. {self.end_of_log()}")


async def _is_serving(health: health_pb2_grpc.HealthStub) -> bool:
    try:
        reply = await health.Check(health_pb2.HealthCheckRequest(service=""), timeout=1.0)
    except grpc.aio.AioRpcError:
        return False
    return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)


def _bound(port: int) -> socket.socket:
    holder = socket.socket()
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", port))
    except OSError as error:
        holder.close()
        message = f"port {port} on 127.0.0.1 cannot be used: {error.strerror}; --port 0 finds one"
        raise EngineFailed(message) from None
    return holder


def _address(holder: socket.socket) -> str:
    host, port = holder.getsockname()
    return f"{host}:{port}"
