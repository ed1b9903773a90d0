"""What an engine brings to placement: its part among the others, and hands that open and close."""

from dataclasses import dataclass
from typing import Protocol

from adapters.dispatch_loop import DispatchLoop


class Keeper(Protocol):
    """Opens cells and closes them; see `OpenCells`."""

    async def open(self, name: str, owner: str, *, is_known: bool) -> DispatchLoop:
        """Acquire a cell and have it take calls."""
        ...

    def has_acquired(self, name: str) -> bool:
        """Whether a cell is ours, open or still being loaded."""
        ...

    async def close(self, name: str) -> None:
        """Take no more calls for a cell, finish those it has, and give it up."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """
    An engine's part among those that share cells.

    Attributes
    ----------
    engine
        Its name.
    cells
        Those that are shared.
    heartbeat_ms, expiry_ms
        How often it tells that it lives, and how long that counts.
    """

    engine: str
    cells: tuple[str, ...]
    heartbeat_ms: int
    expiry_ms: int

    @property
    def late_below_ms(self) -> int:
        """Of another's time to stay silent: what is left once two heartbeats did not come."""
        return self.expiry_ms - 2 * self.heartbeat_ms
