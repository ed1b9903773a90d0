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
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Final

import structlog
from grpc_channelz.v1 import channelz

from adapters.addresses import require_free
from adapters.calls import METHODS, Cells
from adapters.commit_log import CellGone, CommitLogError
from adapters.data_file import DataFile
from adapters.dispatch_loop import DispatchLoop
from adapters.exit_code import AFTER_SIGNAL, ExitCode
from adapters.health_service import StandardServices
from adapters.listener import Listener
from adapters.metrics import Metrics
from adapters.monitoring import Monitoring
from adapters.open_cells import OpenCells, path_of, warm_up
from adapters.pinning import free_cores
from adapters.placement.opening import advertised_address, open_placement, opening_settings
from adapters.process_metrics import version
from adapters.sensing.opening import warn_where_nothing_is_kept
from adapters.settings import Settings
from engine.refusals import BadConfiguration

_log = structlog.get_logger(__name__)

if TYPE_CHECKING:
    from adapters.placement.placement import Placement

# What keeps a process from starting and is not a bug.
REFUSALS: Final = (BadConfiguration, CommitLogError, OSError)
# Young collections only: calls leave small cycles, and a full collection over 200,000 objects stops
# the loop for 80 ms.
_GC_THRESHOLDS: Final = (2_000, 10, 1_000_000_000)
# How long the thread that renders /metrics may keep the interpreter while the loop waits for it.
# The default of 5 ms, met at every turn of the loop, made Route's p99 44 ms where it was 6.
_SWITCH_S: Final = 0.0005
_LAG_EVERY_S: Final = 0.1
_LOOK_AT_FILES_EVERY_S: Final = 2.0
# When gRPC closes it cancels calls that it has received and not handed over yet, which clients do
# not retry. So for this long everything is let in and held; then clients are told that the
# connection ends, and only after that, on the same connection, that the calls were not taken.
_SETTLE_S: Final = 0.2
_TELL_S: Final = 0.02


def exit_code_of(error: Exception) -> ExitCode:
    """The exit code that says why the process did not start."""
    if isinstance(error, CellGone):
        return ExitCode.CELL_GONE
    return ExitCode.SETTINGS if isinstance(error, BadConfiguration) else ExitCode.ENVIRONMENT


class Server:
    """
    One process: its cells, its listener and its monitoring.

    Parameters
    ----------
    settings
        How to run.
    lines_dropped
        How many log lines could not be written, for a metric.
    """

    def __init__(self, settings: Settings, lines_dropped: Callable[[], int] = lambda: 0) -> None:
        self.settings = settings
        self.metrics = Metrics(lines_dropped)
        self.port = 0
        self.metrics_port = 0
        self._standard = StandardServices(_service_names(), lambda: not self._why_not_ready())
        self._listener: Listener | None = None
        self._monitoring: Monitoring | None = None
        self._stopping = asyncio.Event()
        self._is_serving = False
        self._exit_code = ExitCode.BUG
        self._opened = OpenCells(opening_settings(settings), self.metrics, free_cores())
        self._owner = settings.engine_name or f"{socket.gethostname()}:{os.getpid()}"
        self._placement: Placement | None = None
        self._last_beat_s = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self, announce: Callable[["Server"], None] = lambda _: None) -> int:
        """
        Serve until told to stop; returns the exit code.

        Raises
        ------
        BadConfiguration, CommitLogError, OSError
            A log cannot be acquired or an address cannot be taken; nothing was served.
        """
        begun_s = time.perf_counter()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._take_signal, number)
        try:
            if not await self._has_begun():
                return self._exit_code
            self._set_ready(begun_s)
            announce(self)
            await self._stopping.wait()
        except REFUSALS as error:
            self._exit_code = exit_code_of(error)
            raise
        finally:
            await self._stop()
        return self._exit_code

    def stop(self, exit_code: ExitCode = ExitCode.STOPPED) -> None:
        """Begin to close, as SIGTERM does."""
        if not self._stopping.is_set() or exit_code != ExitCode.STOPPED:
            self._exit_code = exit_code
        self._stopping.set()

    def _take_signal(self, number: int) -> None:
        """Begin to close; when that takes too long for whoever sends a second signal, end."""
        if self._stopping.is_set():
            exit_code = AFTER_SIGNAL + number
            _log.warning("forced", signal=signal.Signals(number).name, exit_code=exit_code)
            # What was acknowledged is in the log: this is no worse than a crash.
            os._exit(exit_code)
        self.stop()

    async def _has_begun(self) -> bool:
        """Start what there is; False when told to stop meanwhile, as a standby is that waits."""
        warn_where_nothing_is_kept(self.settings)
        is_placed = self.settings.placement
        start = asyncio.ensure_future(self._start_placed() if is_placed else self._start_alone())
        stop = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait((start, stop), return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not start.done():
            start.cancel()
            await asyncio.gather(start, return_exceptions=True)
            return False
        start.result()
        return True

    async def _start_alone(self) -> None:
        """Open every cell, then listen."""
        settings, opened, owner = self.settings, self._opened, self._owner
        if settings.is_in_file:
            settings.data_dir.mkdir(parents=True, exist_ok=True)
        for name in settings.cells:
            loop = await opened.open(name, owner)
            self._tasks.append(asyncio.create_task(self._end_when_lost(loop)))
            if settings.is_in_file:
                file = DataFile(path_of(settings, name))
                self.metrics.cell(name).show(**file.sizes())
                self._tasks.append(asyncio.create_task(self._end_when_gone(name, file)))
        if settings.telemetry_stream:
            self._tasks.append(asyncio.create_task(self._feed(opened.cells, owner)))
        await self._start_listening()
        self._freeze()

    async def _start_placed(self) -> None:
        """Listen, for others must be told where; then open the cells that are ours."""
        settings, opened = self.settings, self._opened
        metrics = self.metrics.placement
        placement = open_placement(settings, self._owner, opened, metrics, self._leave_at_once)
        self._placement = opened.cells.elsewhere = placement
        opened.on_closed = self._end_streams_of
        await warm_up(settings)
        await self._start_listening()
        # Before there are cells: those that leave are to be collected.
        self._freeze()
        address = advertised_address(settings, self.port)
        await placement.settle(address, settings.lease_wait_s)

    def _leave_at_once(self, why: str, exit_code: ExitCode) -> None:
        _log.error("leaving", why=why)
        self.stop(exit_code)

    def _end_streams_of(self, cell: str) -> None:
        """Have those who follow a cell go on with its next owner."""
        refused = self._placement.refusal(cell) if self._placement is not None else None
        if self._listener is not None and refused is not None:
            self._listener.end_streams_of(cell, refused)

    def _feed(self, cells: Cells, owner: str) -> Coroutine[None, None, None]:
        """Read readings from a stream, beside those that callers bring."""
        from adapters.sensing.redis_feed import RedisFeed, place_of

        settings = self.settings
        place = place_of(settings, owner)
        metrics = self.metrics.feeds.of(settings.telemetry_stream_key)
        makes_queues = settings.telemetry_queues == "create"
        bytes_max = settings.message_bytes_max
        feed = RedisFeed(place, cells, metrics, makes_queues=makes_queues, bytes_max=bytes_max)
        return feed.run()

    async def _start_listening(self) -> None:
        self._listener = listener = Listener(self._opened.cells, self.settings, self.metrics)
        self.metrics.calls_in_flight.set_function(lambda: listener.calls_in_flight)
        self.metrics.streams.set_function(lambda: listener.streams_open)
        self._standard.add_to(listener.server, with_reflection=self.settings.dev)
        if self.settings.channelz:
            channelz.add_channelz_servicer(listener.server)
        require_free(self.settings.address)
        self.port = listener.bind()
        if self.settings.metrics_address:
            self._monitoring = Monitoring(
                self.settings.metrics_address, self._render, self._is_alive, self._why_not_ready
            )
            self.metrics_port = self._monitoring.port
            self._monitoring.start()
        await listener.server.start()
        self._tasks.append(asyncio.create_task(self._measure_lag()))
        self._tasks.append(asyncio.create_task(listener.door.keep_fresh()))

    def _freeze(self) -> None:
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)
        sys.setswitchinterval(_SWITCH_S)

    def _set_ready(self, begun_s: float) -> None:
        took_s = time.perf_counter() - begun_s
        self.metrics.warm_up_seconds.set(took_s)
        self.metrics.ready.set_function(lambda: not self._why_not_ready())
        self._is_serving = True
        self._standard.look()
        _log.info(
            "ready",
            version=version(),
            address=f"{self.settings.address.rpartition(':')[0]}:{self.port}",
            metrics_port=self.metrics_port,
            cells=list(self._opened.cells.loops),
            durability=self.settings.promise,
            warm_up_s=round(took_s, 3),
        )

    async def _stop(self) -> None:
        """Tell readiness first, let calls in flight finish, release the logs last."""
        _log.info("stopping", grace_s=self.settings.grace_s)
        self._stopping.set()
        self._standard.close()
        if self._placement is not None:
            await self._placement.leave(self.settings.grace_s / 2 if self._is_serving else 0)
        if self._listener is not None and self._is_serving:
            await self._close_listener(self._listener)
        for task in self._tasks:
            task.cancel()
        await self._opened.close_all()
        if self._placement is not None:
            await self._placement.end()
        if self._monitoring is not None:
            self._monitoring.stop()
        _log.info("stopped", exit_code=int(self._exit_code))

    async def _close_listener(self, listener: Listener) -> None:
        listener.close_streams()
        settle_s = min(_SETTLE_S, self.settings.grace_s)
        await asyncio.sleep(settle_s)
        closing = asyncio.create_task(listener.server.stop(self.settings.grace_s - settle_s))
        await asyncio.sleep(_TELL_S)
        listener.refuse_held_calls()
        await closing
        await listener.close_relay()

    async def _end_when_lost(self, loop: DispatchLoop) -> None:
        """
        Leave when another process has taken a cell, or its data are gone: what this one remembers
        of it is stale.
        """
        await loop.lost.wait()
        is_gone = isinstance(loop.why_lost, CellGone)
        why = "the cell's data are gone" if is_gone else "another process owns the cell"
        _log.error("leaving", cell=loop.cell, why=why, error=str(loop.why_lost))
        self.stop(ExitCode.CELL_GONE if is_gone else ExitCode.CELL_LOST)

    async def _end_when_gone(self, cell: str, file: DataFile) -> None:
        """Leave when a cell's file is removed or replaced: what is committed to it is lost."""
        while file.is_in_place():
            await asyncio.sleep(_LOOK_AT_FILES_EVERY_S)
        why = "the cell's file was removed or replaced"
        _log.error("leaving", cell=cell, why=why, path=str(file.path))
        self.stop(ExitCode.CELL_GONE)

    async def _measure_lag(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            due_s += _LAG_EVERY_S
            await asyncio.sleep(due_s - loop.time())
            self.metrics.loop_lag_seconds.observe(max(loop.time() - due_s, 0))
            self._last_beat_s = time.monotonic()
            self._standard.look()
            due_s = max(due_s, loop.time() - _LAG_EVERY_S)

    def _render(self) -> Iterator[bytes]:
        cells = self._opened.cells
        return self.metrics.render(
            [(name, loop.engine) for name, loop in list(cells.loops.items())],
            [(name, thread.picture) for name, thread in list(cells.sensing.items())],
        )

    def _is_alive(self) -> bool:
        return time.monotonic() - self._last_beat_s < 30

    def _why_not_ready(self) -> str:
        """Why calls are not taken; "" when they are. Health, /readyz and the metric all ask it."""
        if not self._is_serving:
            return "starting"
        if self._stopping.is_set():
            return "closing"
        loops = self._opened.cells.loops
        closed = [name for name, loop in list(loops.items()) if not loop.is_open]
        if closed:
            return f"not open: cell {', '.join(closed)}"
        return self._placement.why_not_ready() if self._placement is not None else ""


def _service_names() -> tuple[str, ...]:
    services = {method.service for method in METHODS} | {"EventService", "GatewayService"}
    return tuple(f"headgate.v1.{name}" for name in sorted(services))
