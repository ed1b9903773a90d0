"""Engine time: milliseconds since the Unix epoch that never go back."""

import time
from collections.abc import Callable


def wall_ms() -> int:
    """Wall clock, milliseconds since the Unix epoch; it may step."""
    return time.time_ns() // 1_000_000


class Clock:
    """
    Wall time as it was at the start, carried on by the monotonic clock.

    Steps of the wall clock do not reach the engine: a step back would freeze every timer, a step
    ahead would expire every offer.

    Parameters
    ----------
    not_before_ms
        Time of the last command in the log; after a restart the clock starts no earlier.
    """

    def __init__(
        self,
        not_before_ms: int = 0,
        wall_ms: Callable[[], int] = wall_ms,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._monotonic_ns = monotonic_ns
        self._wall_ms = wall_ms
        self._origin_ms = max(wall_ms(), not_before_ms) - monotonic_ns() // 1_000_000

    def now_ms(self) -> int:
        """Engine time."""
        return self._origin_ms + self._monotonic_ns() // 1_000_000

    def ahead_of_wall_ms(self) -> int:
        """How far engine time is ahead of the wall clock, for a metric; negative when behind."""
        return self.now_ms() - self._wall_ms()
