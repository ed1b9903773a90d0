"""
The thread that senses, beside the one that routes.

It owns a cell's `Sensing`: everything that touches it waits in one inbox and runs in turn, so there
is no lock. Once a second the loop's thread puts a sample of the cell's own queues in; the thread
closes what is due and puts up a new picture, which anyone may read. Kernels let go of the
interpreter meanwhile, and calls go on.
"""

import asyncio
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

import structlog

from adapters.dispatch_loop import DispatchLoop
from adapters.errors import CallRefused, overloaded
from adapters.policies.following import PolicyFollower
from adapters.policies.trigger_kernels import TriggerKernels
from adapters.sensing.file import SensingFile
from adapters.sensing.metrics import SensingMetrics
from engine.deciding.deciding import Deciding
from engine.forecasting.anomaly import Anomaly
from engine.sensing.picture import Picture
from engine.sensing.sampling import ChangeReader, Sample, take_sample
from engine.sensing.sensing import Sensing, SensingSettings

_log = structlog.get_logger(__name__)

T = TypeVar("T")

# Work that may wait; each stream has one piece of it at a time.
_INBOX_MAX: Final = 4_096
_RETRY_WHEN_FULL_MS: Final = 100
# A sample is taken so long after its second has ended, for what ended it to be committed.
_SAMPLE_AFTER_MS: Final = 20
# Time to keep what was learned, and to end.
_STOP_S: Final = 5.0


class SensingThread:
    """
    Sensing of one cell in a thread of its own.

    Parameters
    ----------
    cell
        Whose queues are sensed.
    settings
        Bounds of sensing.
    metrics
        Where its work is counted.
    file
        Where what is learned is kept; None for nowhere.
    cores
        Cores the thread may use; none for those of the process.
    """

    def __init__(
        self,
        cell: DispatchLoop,
        settings: SensingSettings,
        metrics: SensingMetrics,
        file: SensingFile | None = None,
        cores: Sequence[int] = (),
    ) -> None:
        self.cell = cell
        self.metrics = metrics
        # Set and made anew with every picture, on the loop's thread.
        self.told = asyncio.Event()
        self._sensing = Sensing(settings)
        self._deciding = Deciding()
        # Set before the start where there are policies to follow.
        self.policies: PolicyFollower | None = None
        self.kernels: TriggerKernels | None = None
        self._picture = self._sensing.picture()
        self._file = file
        self._cores = cores
        self._inbox: queue.SimpleQueue[Callable[[Sensing], None] | None] = queue.SimpleQueue()
        self._changes = ChangeReader()
        self._thread = threading.Thread(target=self._run, name=f"sensing-{cell.cell}", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sampling: asyncio.Task[None] | None = None

    @property
    def picture(self) -> Picture:
        """The last one; from any thread."""
        return self._picture

    async def start(self) -> None:
        """Begin, with what was learned before; in the loop's thread."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        if self._file is not None:
            await self.ask(self._file.load_into)
        self.tell_changes()
        # Queues that are there are told of from the first call on.
        self._inbox.put(partial(self._tick, self.cell.now_ms(), None))
        await self.ask(lambda _: None)
        self._sampling = self._loop.create_task(self._sample_each_second())

    async def stop(self) -> None:
        """Keep what was learned, and end."""
        if self._sampling is not None:
            self._sampling.cancel()
        if self._thread.is_alive():
            with suppress(TimeoutError, CallRefused):
                await asyncio.wait_for(self.save(), _STOP_S)
            self._inbox.put(None)
            await asyncio.to_thread(self._thread.join, _STOP_S)
        if self.kernels is not None:
            self.kernels.close()

    async def ask(self, work: Callable[[Sensing], T]) -> T:
        """
        Have the thread do something with what is sensed, after what it was asked before.

        Raises
        ------
        CallRefused
            Too much waits already; or as `work` raises.
        """
        if self._inbox.qsize() >= _INBOX_MAX:
            why = f"sensing of cell {self.cell.cell!r} has {_INBOX_MAX} pieces of work waiting"
            raise overloaded(why, _RETRY_WHEN_FULL_MS)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def answer(result: T | None, error: Exception | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]

        def run(sensing: Sensing) -> None:
            try:
                result, error = work(sensing), None
            except Exception as raised:
                result, error = None, raised
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(answer, result, error)

        self._inbox.put(run)
        return await future

    async def ask_deciding(self, work: Callable[[Deciding], T]) -> T:
        """The same of the policies it evaluates."""
        return await self.ask(lambda _: work(self._deciding))

    async def save(self) -> None:
        """Keep what is learned now, where it is kept at all."""
        if self._file is not None:
            await self.ask(self._file.save)

    def tell_changes(self) -> None:
        """Have what was defined since the last call known before anything asked later."""
        changes = self._changes.take(self.cell.engine.cell)
        if changes.definitions or changes.plans is not None:
            self._inbox.put(lambda sensing: sensing.define(changes))

    def hand(self, work: Callable[[Deciding], None]) -> None:
        """Have the thread do something with the policies it evaluates, in turn."""
        self._inbox.put(lambda _: work(self._deciding))

    async def _sample_each_second(self) -> None:
        """Sample the floor as each second ends; a late one is taken at once."""
        loop = asyncio.get_running_loop()
        while True:
            now_ms = self.cell.now_ms()
            await asyncio.sleep((1_000 - now_ms % 1_000 + _SAMPLE_AFTER_MS) / 1_000)
            now_ms = self.cell.now_ms()
            begun_s = loop.time()
            try:
                sample = self._sample(now_ms) if self.cell.is_open else None
            except Exception:
                # A bug of ours: what others tell of goes on, and so does the next second.
                self.metrics.failures.inc()
                _log.exception("sample_failed", cell=self.cell.cell)
                sample = None
            self.metrics.sample_seconds.observe(loop.time() - begun_s)
            self._inbox.put(partial(self._tick, now_ms, sample))

    def _sample(self, now_ms: int) -> Sample:
        """The floor as the last second ended, after what was defined is told."""
        self.tell_changes()
        return take_sample(self.cell.engine.cell, now_ms // 1_000 - 1)

    def _run(self) -> None:
        """The thread: one piece of work after the other."""
        if self._cores:
            with suppress(OSError):
                os.sched_setaffinity(0, self._cores)
        while (work := self._inbox.get()) is not None:
            try:
                work(self._sensing)
            except Exception:
                # A bug of ours, which must not end what is sensed from now on.
                self.metrics.failures.inc()
                _log.exception("sensing_failed", cell=self.cell.cell)

    def _tick(self, now_ms: int, sample: Sample | None, sensing: Sensing) -> None:
        """Close what is due, and put a new picture up."""
        begun_s = time.perf_counter()
        if sample is not None:
            sensing.follow(sample)
        for anomaly in sensing.advance(now_ms):
            self._tell(sensing, anomaly)
        self._picture = sensing.picture()
        self.metrics.show(sensing)
        if self._file is not None and self._file.is_due(now_ms):
            self._file.save(sensing)
        self.metrics.tick_seconds.observe(time.perf_counter() - begun_s)
        self._decide(sensing, now_ms)
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake)

    def _decide(self, sensing: Sensing, now_ms: int) -> None:
        """Evaluate what is in force, and have it brought to the engine."""
        if self.policies is None or self._loop is None:
            return
        with self.policies.timed():
            steer = self._deciding.step(sensing, now_ms)
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.policies.steer, steer)
        # What goes wrong with kernels must not keep decisions from the engine.
        if self.kernels is not None:
            self.policies.show_compiled(are_compiled=self.kernels.look(self._deciding.books()))

    def _wake(self) -> None:
        told, self.told = self.told, asyncio.Event()
        told.set()

    def _tell(self, sensing: Sensing, anomaly: Anomaly) -> None:
        """Log an anomaly that began or ended, and count it."""
        key = sensing.directory.rows.keys[anomaly.row]
        has_ended = anomaly.ended_s >= 0
        if not has_ended:
            self.metrics.anomalies.labels(self.cell.cell, anomaly.kind.name.lower()).inc()
        _log.warning(
            "anomaly_ended" if has_ended else "anomaly",
            cell=self.cell.cell,
            kind=anomaly.kind.name.lower(),
            queue=key.name if key is not None else "",
            is_group=key is not None and key.is_group,
            number=anomaly.number,
            excess=round(anomaly.excess, 1),
            confidence=round(anomaly.confidence, 4),
        )
