"""An event loop whose time is a number that somebody else moves, so that a run repeats itself."""

import asyncio
import contextvars
import heapq
import math
from collections import deque
from collections.abc import Callable
from typing import Any


class VirtualTime:
    """Seconds since the run began."""

    def __init__(self) -> None:
        self.now_s = 0.0


class VirtualLoop(asyncio.AbstractEventLoop):
    """
    One thread of one process: callbacks in the order they became due, nothing else.

    Parameters
    ----------
    time
        Shared by all loops of a run.
    on_error
        Gets the context of each exception that nobody took.

    Attributes
    ----------
    is_stopped
        Nothing runs any more: the process is paused, or gone.
    """

    def __init__(self, time: VirtualTime, on_error: Callable[[dict[str, Any]], None]) -> None:
        self._time = time
        self._on_error = on_error
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbered = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self.is_stopped = False

    def next_s(self) -> float:
        """When something is due; infinity for nothing."""
        if self.is_stopped:
            return math.inf
        if self._ready:
            return self._time.now_s
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else math.inf

    def run_due(self) -> int:
        """Run what is due now and what that leads to at once; returns how many callbacks ran."""
        ran = 0
        asyncio._set_running_loop(self)
        try:
            while self.next_s() <= self._time.now_s:
                while self._timers and self._timers[0][0] <= self._time.now_s:
                    self._ready.append(heapq.heappop(self._timers)[2])
                handle = self._ready.popleft()
                if not handle.cancelled():
                    handle._run()
                    ran += 1
        finally:
            asyncio._set_running_loop(None)
        return ran

    def bury(self) -> None:
        """Cancel everything and let it end, so that nothing is left for the collector to close."""
        self._on_error = lambda context: None
        self.is_stopped = False
        for _ in range(10):
            if not self._tasks:
                break
            for task in list(self._tasks):
                task.cancel()
            self._timers.clear()
            self.run_due()
        self.is_stopped = True
        self._ready.clear()
        self._timers.clear()

    def time(self) -> float:
        """Seconds of the run."""
        return self._time.now_s

    def call_soon(  # type: ignore[override]
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """Run a callback after those that are due."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Run a callback after a delay, seconds."""
        return self.call_at(self._time.now_s + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Run a callback at a time, seconds of the run."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._numbered += 1
        heapq.heappush(self._timers, (when, self._numbered, handle))
        return handle

    def create_future(self) -> "asyncio.Future[Any]":
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, **options: Any) -> "asyncio.Task[Any]":
        """Run a coroutine on this loop."""
        task = asyncio.Task(coro, loop=self, **options)
        # Those of a process that is gone are left as they stand until it is buried.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Tell of an exception that nobody took."""
        self._on_error(context)

    def get_debug(self) -> bool:
        """Debug mode is off."""
        return False

    def is_running(self) -> bool:
        """Whoever asks runs on it."""
        return True

    def is_closed(self) -> bool:
        """Loops are dropped, never closed."""
        return False

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Leave cancelled timers until they are due."""
