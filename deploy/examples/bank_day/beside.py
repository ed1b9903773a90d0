"""
Sensing beside the play: samples go to a thread of its own, which keeps what a board shows.

The loop that plays the day hands over the seconds that have passed, some microseconds each; all
else is done in the thread, whose kernels let go of the interpreter, so that commands and replies
are not held up.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, TypeVar

from deploy.examples.bank_day.compressed_time import DayClock
from deploy.examples.bank_day.seconds import FloorSeconds
from deploy.examples.bank_day.sensed_day import Record, SensedDay, View
from engine.sensing.sampling import Sample

T = TypeVar("T")

HAND_OVER_S: Final = 0.1


class Beside:
    """
    A thread that senses one day.

    Parameters
    ----------
    make
        Makes what senses, in the thread: it takes seconds.

    Attributes
    ----------
    view
        What is sensed, as of the last seconds; None before the first. From any thread.
    """

    def __init__(self, make: Callable[[], SensedDay]) -> None:
        self.view: View | None = None
        self._make = make
        self._inbox: queue.SimpleQueue[Sequence[Sample] | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._over: asyncio.Future[Record] = self._loop.create_future()
        self._is_given_up = False
        self._thread = threading.Thread(target=self._run, name="sensing", daemon=True)
        self._thread.start()

    async def ready(self) -> None:
        """Wait until samples can be taken; raises what making it raised."""
        await self._ready

    async def follow(self, seconds: FloorSeconds, clock: DayClock) -> None:
        """Hand the day over second by second, until cancelled; raises what sensing raised."""
        while not self._over.done():
            self.hand_over(seconds.until(clock.now_s()))
            await asyncio.sleep(HAND_OVER_S)
        self._over.result()

    def hand_over(self, samples: Sequence[Sample]) -> None:
        """Have seconds sensed, in order."""
        if samples:
            self._inbox.put(samples)

    async def conclude(self) -> Record:
        """Sense what has been handed over, and tell of the day; raises what sensing raised."""
        self._inbox.put(None)
        return await self._over

    def give_up(self) -> None:
        """End soon, whatever is waiting."""
        self._is_given_up = True
        self._inbox.put(None)

    def _run(self) -> None:
        try:
            sensed = self._make()
            self._tell(self._ready, None)
            while (samples := self._inbox.get()) is not None:
                if self._is_given_up:
                    return
                sensed.take(samples)
                if self._inbox.empty():
                    self.view = sensed.view()
            self._tell(self._over, sensed.conclude())
        except Exception as error:
            self._fail(error)

    def _tell(self, future: asyncio.Future[T], result: T) -> None:
        self._in_loop(lambda: None if future.done() else future.set_result(result))

    def _fail(self, error: Exception) -> None:
        """Whoever waits, or will, is told."""

        def fail() -> None:
            waiting = self._over if self._ready.done() else self._ready
            if not waiting.done():
                waiting.set_exception(error)

        self._in_loop(fail)

    def _in_loop(self, action: Callable[[], None]) -> None:
        # The loop may be closed already, after an interruption.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(action)
