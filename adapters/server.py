"""
`headgate serve`: puts the process together, runs it, and takes it down.

Order matters. The core is chosen before gRPC starts threads; the log is acquired before anything
listens; kernels are warm before readiness is told; on SIGTERM readiness goes first and the log
last.
"""

import asyncio
import gc
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any, Final

import structlog
from grpc_channelz.v1 import channelz
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from adapters.calls import METHODS, Cells
from adapters.commit_log import CommitLog
from adapters.dispatch_loop import DispatchLoop
from adapters.listener import Listener
from adapters.memory_log import MemoryLog, MemoryStore
from adapters.metrics import Metrics
from adapters.monitoring import Monitoring
from adapters.settings import Settings
from adapters.sqlite_log import SqliteLog
from adapters.turn import LoopSettings
from engine.limits import Limits

_log = structlog.get_logger(__name__)

EXIT_OK: Final = 0
EXIT_CELL_LOST: Final = 4
# Young collections only: calls leave small cycles, and a full collection over 200,000 objects stops
# the loop for 80 ms.
_GC_THRESHOLDS: Final = (2_000, 10, 1_000_000_000)
_LAG_EVERY_S: Final = 0.1
# Calls that gRPC has received but not handed over yet end as CANCELLED when it closes, which
# clients do not retry; so what is on its way is let in first.
_SETTLE_S: Final = 0.2


class Server:
    """
    One process: its cells, its listener and its monitoring.

    Parameters
    ----------
    settings
        How to run.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.cells: Cells | None = None
        self.port = 0
        self.metrics_port = 0
        self._health = HealthServicer()
        self._listener: Listener | None = None
        self._monitoring: Monitoring | None = None
        self._stopping = asyncio.Event()
        self._exit_code = EXIT_OK
        self._last_beat_s = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self, announce: Callable[["Server"], None] = lambda _: None) -> int:
        """
        Serve until told to stop; returns the exit code.

        Raises
        ------
        CommitLogError, OSError
            A log cannot be acquired or an address cannot be taken; nothing was served.
        """
        begun_s = time.perf_counter()
        await self._start_cells()
        try:
            await self._start_listening()
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._stopping.set)
            self._freeze()
            await self._set_ready(begun_s)
            announce(self)
            await self._stopping.wait()
        finally:
            await self._stop()
        return self._exit_code

    def stop(self) -> None:
        """Begin to close, as SIGTERM does."""
        self._stopping.set()

    async def _start_cells(self) -> None:
        settings = self.settings
        if settings.durability != "memory":
            settings.data_dir.mkdir(parents=True, exist_ok=True)
        owner = f"{socket.gethostname()}:{os.getpid()}"
        bounds = _loop_settings(settings)
        loops: dict[str, DispatchLoop] = {}
        self.cells = Cells(loops)
        for name in settings.cells:
            log = _open_log(settings, name)
            loop = DispatchLoop(name, log, bounds, self.metrics.cell(name))
            await loop.start(owner)
            loops[name] = loop
            self._tasks.append(asyncio.create_task(self._end_when_lost(loop)))

    async def _start_listening(self) -> None:
        assert self.cells is not None
        self._listener = Listener(self.cells, self.settings, self.metrics)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._listener.server)
        if self.settings.channelz:
            channelz.add_channelz_servicer(self._listener.server)
        if self.settings.dev:
            reflection.enable_server_reflection(_reflected_names(), self._listener.server)
        self.port = self._listener.bind()
        if self.settings.metrics_address:
            self._monitoring = Monitoring(
                self.settings.metrics_address, self._render, self._is_alive, self._is_ready
            )
            self.metrics_port = self._monitoring.port
            self._monitoring.start()
        await self._listener.server.start()
        self._tasks.append(asyncio.create_task(self._measure_lag()))

    def _freeze(self) -> None:
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)

    async def _set_ready(self, begun_s: float) -> None:
        took_s = time.perf_counter() - begun_s
        self.metrics.warm_up_seconds.set(took_s)
        self.metrics.ready.set(1)
        for name in ("", *_service_names()):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        _log.info(
            "ready",
            address=f"{self.settings.address.rpartition(':')[0]}:{self.port}",
            metrics_port=self.metrics_port,
            cells=list(self.settings.cells),
            durability=self.settings.durability,
            warm_up_s=round(took_s, 3),
        )

    async def _stop(self) -> None:
        """Tell readiness first, let calls in flight finish, release the logs last."""
        _log.info("stopping", grace_s=self.settings.grace_s)
        self.metrics.ready.set(0)
        await self._health.enter_graceful_shutdown()
        if self._listener is not None:
            self._listener.close_streams()
            settle_s = min(_SETTLE_S, self.settings.grace_s)
            await asyncio.sleep(settle_s)
            await self._listener.server.stop(self.settings.grace_s - settle_s)
        for task in self._tasks:
            task.cancel()
        for loop in self.cells.loops.values() if self.cells else ():
            await loop.stop()
        if self._monitoring is not None:
            self._monitoring.stop()
        _log.info("stopped", exit_code=self._exit_code)

    async def _end_when_lost(self, loop: DispatchLoop) -> None:
        """Leave when another process has taken a cell: this one's memory of it is stale."""
        await loop.lost.wait()
        _log.error("leaving", cell=loop.cell, why="another process owns the cell")
        self._exit_code = EXIT_CELL_LOST
        self._stopping.set()

    async def _measure_lag(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            due_s += _LAG_EVERY_S
            await asyncio.sleep(due_s - loop.time())
            self.metrics.loop_lag_seconds.observe(max(loop.time() - due_s, 0))
            self._last_beat_s = time.monotonic()
            due_s = max(due_s, loop.time() - _LAG_EVERY_S)

    def _render(self) -> bytes:
        loops = self.cells.loops if self.cells else {}
        return self.metrics.render([(name, loop.engine) for name, loop in list(loops.items())])

    def _is_alive(self) -> bool:
        return time.monotonic() - self._last_beat_s < 30

    def _is_ready(self) -> bool:
        loops = self.cells.loops.values() if self.cells else ()
        return not self._stopping.is_set() and all(loop.is_open for loop in loops)


def _loop_settings(settings: Settings) -> LoopSettings:
    limits = Limits(
        contacts_max=settings.contacts_max,
        agents_max=settings.agents_max,
        queues_max=settings.queues_max,
        ended_max=min(settings.ended_max, settings.contacts_max),
        ended_retention_ms=settings.ended_retention_ms,
    )
    return LoopSettings(limits, settings.inbox_max, settings.reply_window_ms, settings.replies_max)


def _open_log(settings: Settings, cell: str) -> CommitLog:
    if settings.durability == "memory":
        return MemoryLog(MemoryStore())
    return SqliteLog(
        settings.data_dir / f"{cell}.sqlite",
        durability=settings.durability,
        cell=cell,
        reply_window_ms=settings.reply_window_ms,
        replies_max=settings.replies_max,
    )


def _service_names() -> tuple[str, ...]:
    services = {method.service for method in METHODS} | {"EventService", "GatewayService"}
    return tuple(f"headgate.v1.{name}" for name in sorted(services))


def _reflected_names() -> tuple[Any, ...]:
    return (
        *_service_names(),
        health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
        reflection.SERVICE_NAME,
    )
