"""Where readings come from: their names and numbers, what became of theirs, how their clocks go."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.kernels.windows import OUTCOMES, SOURCES_MAX
from engine.refusals import CommandRefused, Refusal, violation

# What the engine reads of its own queues.
ENGINE: Final = "engine"
ENGINE_SOURCE: Final = 0
# A source that has been silent for so long gives its number to another.
_FORGOTTEN_MS: Final = 3_600_000
# The least delay of this and of the last stretch of time is taken for none.
_STRETCH_MS: Final = 60_000
# A clock that is a century off is as good as any further off; what is told of it fits 64 bits.
_DELAY_MS_MAX: Final = 100 * 366 * 86_400_000


@dataclass(slots=True)
class Source:
    """
    One source.

    Attributes
    ----------
    outcomes
        (OUTCOMES,) readings so far, by what became of them.
    last_ms
        When its last message came, engine time; -1 for never.
    delay_ms
        Least time between a second's end, by the source, and its coming here, lately.
    """

    number: int
    outcomes: NDArray[np.int64] = field(default_factory=lambda: np.zeros(OUTCOMES, np.int64))
    last_ms: int = -1
    delay_ms: int = 0
    _stretch: int = -1
    _least_ms: int = 0

    def heard(self, second: int, now_ms: int, outcome: NDArray[np.int8]) -> None:
        """Note a message that tells of a second, and what became of its readings."""
        self.outcomes += np.bincount(outcome, minlength=OUTCOMES)
        self.last_ms = now_ms
        delay_ms = now_ms - 1_000 * (second + 1)
        delay_ms = min(max(delay_ms, -_DELAY_MS_MAX), _DELAY_MS_MAX)
        stretch = now_ms // _STRETCH_MS
        if self._stretch < 0:
            self.delay_ms = delay_ms
        elif stretch != self._stretch:
            self.delay_ms = self._least_ms
        if stretch != self._stretch:
            self._stretch, self._least_ms = stretch, delay_ms
        self._least_ms = min(self._least_ms, delay_ms)
        self.delay_ms = min(self.delay_ms, self._least_ms)

    @property
    def skew_ms(self) -> int:
        """How far its clock is ahead, were the least delay none."""
        return -self.delay_ms


class Sources:
    """The sources of one cell, by name."""

    def __init__(self) -> None:
        self.by_name: dict[str, Source] = {ENGINE: Source(ENGINE_SOURCE)}

    def find(self, name: str, now_ms: int) -> Source:
        """
        A source, given a number when it is new.

        Raises
        ------
        CommandRefused
            INVALID_FIELD for the engine's own name; LIMIT_REACHED for one too many.
        """
        if name == ENGINE:
            expected = "another name: this is what the engine reads itself"
            raise CommandRefused(Refusal.INVALID_FIELD, violation("source", name, expected))
        if name not in self.by_name:
            self._forget(now_ms)
            taken = {source.number for source in self.by_name.values()}
            free = next((number for number in range(SOURCES_MAX) if number not in taken), -1)
            if free < 0:
                expected = f"at most {SOURCES_MAX - 1} sources within an hour"
                raise CommandRefused(Refusal.LIMIT_REACHED, violation("source", name, expected))
            self.by_name[name] = Source(free, last_ms=now_ms)
        return self.by_name[name]

    def _forget(self, now_ms: int) -> None:
        silent = [
            name
            for name, source in self.by_name.items()
            if name != ENGINE and now_ms - source.last_ms > _FORGOTTEN_MS
        ]
        for name in silent:
            del self.by_name[name]
