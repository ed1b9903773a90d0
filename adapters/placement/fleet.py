"""The engines that share cells, as their last heartbeats tell of them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

# Fields of a heartbeat's JSON, short for they are read many times a second.
_ADDRESS, _VERSION, _SCHEMA, _DRAINING = "address", "version", "schema", "draining"
_CELLS, _WAITS, _REFUSES = "cells", "waits", "refuses"
FOREVER: Final = 0


class Held(NamedTuple):
    """
    An engine's right to a cell.

    Attributes
    ----------
    epoch
        Of the ownership.
    since_ms
        When it was opened, milliseconds since the Unix epoch by the engine's wall clock.
    """

    epoch: int
    since_ms: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """
    What an engine tells of itself.

    Attributes
    ----------
    engine
        Its name.
    address
        Where it can be reached, HOST:PORT.
    version, schema
        Of the program, and of the rows that it reads and writes.
    is_draining
        Whether it wants to give its cells away.
    cells
        Those it has open.
    waits
        Cells that it will take the moment they are free.
    refuses
        Cells that it could not open.
    """

    engine: str
    address: str
    version: str
    schema: int
    is_draining: bool = False
    cells: Mapping[str, Held] = field(default_factory=dict)
    waits: frozenset[str] = frozenset()
    refuses: frozenset[str] = frozenset()

    def packed(self) -> bytes:
        """The heartbeat without the name, as it is kept."""
        return json.dumps(
            {
                _ADDRESS: self.address,
                _VERSION: self.version,
                _SCHEMA: self.schema,
                _DRAINING: self.is_draining,
                _CELLS: self.cells,
                _WAITS: sorted(self.waits),
                _REFUSES: sorted(self.refuses),
            }
        ).encode()

    @classmethod
    def unpacked(cls, engine: str, packed: bytes) -> "Heartbeat":
        """
        The heartbeat that an engine keeps; fields it does not know are left alone.

        Raises
        ------
        ValueError
            It is none.
        """
        try:
            told = json.loads(packed)
            return cls(
                engine,
                str(told[_ADDRESS]),
                str(told[_VERSION]),
                int(told[_SCHEMA]),
                bool(told[_DRAINING]),
                {name: Held(int(epoch), int(at)) for name, (epoch, at) in told[_CELLS].items()},
                frozenset(told[_WAITS]),
                frozenset(told[_REFUSES]),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"heartbeat of {engine!r} cannot be read: {error!r}") from error


class Move(NamedTuple):
    """
    A cell that somebody has put on an engine.

    Attributes
    ----------
    engine
        Its name.
    until_ms
        Until when, by the server's clock, milliseconds since the Unix epoch; FOREVER for until it
        is undone.
    """

    engine: str
    until_ms: int


@dataclass(frozen=True, slots=True)
class Fleet:
    """
    What was known at one moment.

    Attributes
    ----------
    engines
        Those that live, by name.
    left_ms
        How long each may stay silent yet, milliseconds.
    moves
        Where cells were put, by cell.
    drained
        Until when engines are to have no cells, by name; as `Move.until_ms`.
    now_ms
        The moment, by the server's clock.
    """

    engines: Mapping[str, Heartbeat] = field(default_factory=dict)
    left_ms: Mapping[str, int] = field(default_factory=dict)
    moves: Mapping[str, Move] = field(default_factory=dict)
    drained: Mapping[str, int] = field(default_factory=dict)
    now_ms: int = 0

    def holder(self, cell: str) -> Heartbeat | None:
        """
        The engine that has a cell; of two that tell so the one with the later right, for the other
        has not noticed yet.
        """
        holders = [item for item in self.engines.values() if cell in item.cells]
        return max(holders, key=lambda item: item.cells[cell].epoch, default=None)

    def late(self, left_below_ms: int) -> frozenset[str]:
        """Engines that may stay silent for less than that yet, for they missed heartbeats."""
        return frozenset(name for name, left_ms in self.left_ms.items() if left_ms < left_below_ms)

    def is_drained(self, engine: str) -> bool:
        """Whether an engine is to have no cells."""
        return engine in self.drained or self.engines[engine].is_draining
