"""One timer for the engine's next deadline."""

import asyncio
from collections.abc import Callable

from engine.limits import DAY_MS, NEVER_MS


class Alarm:
    """
    Calls back when a deadline comes.

    Parameters
    ----------
    ring
        What to call; it may come early, and asks again what is due.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self._at_ms = NEVER_MS

    def set(self, at_ms: int, now_ms: int) -> None:
        """
        Ring at a time, NEVER_MS for not at all; moves only to an earlier time.

        An early ring costs one empty turn, moving the timer at every accepted offer costs more.
        """
        if self._timer is not None and at_ms >= self._at_ms:
            return
        self.cancel()
        if at_ms < NEVER_MS:
            self._at_ms = at_ms
            # Timers may fire a little early, so aim past the millisecond; a day's cap keeps the
            # delay a sane float.
            delay_s = min(max(at_ms - now_ms, 0) + 1, DAY_MS) / 1_000
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._go_off)

    def cancel(self) -> None:
        """Do not ring."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _go_off(self) -> None:
        self._timer = None
        self._ring()
