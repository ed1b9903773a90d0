"""
The one place where the bank's time and the engine's time meet.

The engine is a real-time system: it knows only the clock of this machine. At 60× a second of the
bank's day passes in 1/60 second here, so every duration the engine is told of (offer timeout,
wrap-up, service-level time, ...) is divided by the speed, and every duration it reports is
multiplied by it. All other modules speak in seconds of the bank's day.
"""

import asyncio
import heapq
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Final

DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Compression:
    """
    How much faster than the bank's clock the day is played.

    Attributes
    ----------
    speed
        Seconds of the bank's day per second here, > 0.
    """

    speed: float

    def engine_ms(self, day_s: float, ms_min: int = 1) -> int:
        """
        Whole milliseconds to tell the engine for a duration of the bank's day.

        `ms_min` is the least the contract allows; where it takes effect, the duration is longer
        than the bank's.
        """
        return max(ms_min, round(day_s * 1_000 / self.speed))

    def day_s(self, engine_ms: float) -> float:
        """Seconds of the bank's day for a duration that the engine reported."""
        return engine_ms * self.speed / 1_000


class DayClock:
    """
    The time of day at the bank while its day is played.

    Due times are absolute: a late start of one action never delays the next.
    """

    def __init__(self, compression: Compression, start_s: float) -> None:
        self.compression = compression
        self._day_start_s = start_s
        self._started_s = time.monotonic()

    def now_s(self) -> float:
        """Seconds since midnight at the bank."""
        passed_ms = (time.monotonic() - self._started_s) * 1_000
        return self._day_start_s + self.compression.day_s(passed_ms)

    def delay_s(self, due_s: float) -> float:
        """Seconds here until a time of day at the bank; negative when it has passed."""
        return (due_s - self.now_s()) / self.compression.speed


class Agenda:
    """What is to happen at which second of the bank's day; ties go by the order of entry."""

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._changed = asyncio.Event()

    def at(self, due_s: float, action: Callable[[], None]) -> None:
        """Put an action down; one whose time has passed happens at the next turn."""
        heapq.heappush(self._entries, (due_s, next(self._order), action))
        self._changed.set()

    def run_due(self, now_s: float) -> None:
        """Do everything that is due."""
        while self._entries and self._entries[0][0] <= now_s:
            heapq.heappop(self._entries)[2]()

    def next_s(self) -> float:
        """When the first of them is due; infinite for never."""
        return self._entries[0][0] if self._entries else math.inf

    async def run(self, clock: DayClock, is_over: Callable[[], bool]) -> None:
        """Follow the clock until `is_over`, which is asked after every turn and every change."""
        while not is_over():
            self._changed.clear()
            self.run_due(clock.now_s())
            due_in_s = clock.delay_s(self._entries[0][0]) if self._entries else None
            await self._sleep(due_in_s)

    async def _sleep(self, seconds: float | None) -> None:
        """Sleep until something is due, the agenda changed or a tick passed."""
        tick_s = 0.1
        try:
            async with asyncio.timeout(
                tick_s if seconds is None else max(0.0, min(seconds, tick_s))
            ):
                await self._changed.wait()
        except TimeoutError:
            pass


def clock_text(day_s: float) -> str:
    """Time of day as HH:MM:SS; past midnight it goes on to 24:05:00."""
    whole = int(day_s)
    return f"{whole // 3_600:02}:{whole // 60 % 60:02}:{whole % 60:02}"


def parse_clock(text: str) -> int:
    """
    Seconds since midnight of HH:MM, 00:00 to 24:00.

    Raises
    ------
    ValueError
        When it is not such a time.
    """
    hours, colon, minutes = text.partition(":")
    is_number = bool(colon) and all(part.isascii() and part.isdigit() for part in (hours, minutes))
    seconds = int(hours) * 3_600 + int(minutes) * 60 if is_number else -1
    if not (0 <= seconds <= DAY_S and is_number and int(minutes) < 60):
        message = f"expected a time of day as HH:MM, got {text!r}"
        raise ValueError(message)
    return seconds
