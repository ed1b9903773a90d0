"""A scenario laid out in columns beside a cell of the engine, ready to run."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.engine import Engine
from engine.kernels import floor_columns as c
from engine.kernels.boundary import Addresses, ColumnSet, Layouts, shapes_of
from engine.kernels.columns import LAYOUTS
from engine.kernels.drawing import mixed
from engine.kernels.shapes import Element
from engine.kernels.simulated_time import NEEDS_CONTACTS, NEEDS_REDIALS, begin, simulate
from engine.limits import EFFECTS_PER_CALL, Limits
from engine.refusals import CommandRefused
from engine.simulation.checking import Problem, ScenarioRefused
from engine.simulation.columns import grown
from engine.simulation.layout import START_MS, Layout
from engine.simulation.scenario import Scenario

_CONTACTS_MAX: Final = 2_000_000
# Seeds and replications are spread over the keys by an odd stride.
_STRIDE: Final = 0x9E3779B97F4A7C15
# Large columns that mean nothing between two calls.
_SCRATCH: Final = ("effects", "worth")


class Floor:
    """
    One floor: a cell, and what surrounds it.

    Parameters
    ----------
    scenario
        What to lay out; checked before.
    replication
        Which of the scenario's runs: each has draws of its own.
    """

    def __init__(self, scenario: Scenario, replication: int = 0) -> None:
        self.scenario = scenario
        self.streams = list(scenario.streams)
        self.groups = list(scenario.groups)
        self.engine = Engine(Limits(contacts_max=_CONTACTS_MAX, ended_max=0, decisions_max=0))
        self.engine.cell.store.require_effects(4 * EFFECTS_PER_CALL)
        try:
            self.columns = Layout(scenario, self.engine).columns()
        except CommandRefused as refused:
            # Names and sizes are bounded by the engine alone.
            raise ScenarioRefused(
                [
                    Problem(item.field, f"{item.expected}, got {item.value}")
                    for item in refused.violations
                ]
            ) from refused
        self._addresses = Addresses(self.columns, c.FLOOR_LAYOUTS)
        self.engine.take_group()
        self._untouched = _copies(self.engine.cell.store.columns), _copies(self.columns)
        self._begin(replication)

    def reset(self, replication: int) -> None:
        """Go back to the opening of the doors, for a run with other draws."""
        cell, floor = self._untouched
        _restore(self.engine.cell.store.columns, LAYOUTS, cell)
        _restore(self.columns, c.FLOOR_LAYOUTS, floor)
        scalar = self.columns.run.scalar
        scalar[c.FREE_CONTACTS] = _all_free(self.columns.contacts.free)
        scalar[c.FREE_REDIALS] = _all_free(self.columns.redials.free)
        self._begin(replication)

    def _begin(self, replication: int) -> None:
        seed = (self.scenario.seed * 1_000_003 + replication) * _STRIDE % (1 << 64)
        self.columns.run.key[0] = mixed(np.uint64(seed))
        begin(self.engine.cell.store.table, self._addresses.table)

    def run(self, events_max: int) -> bool:
        """Let so many events happen at most; whether there are more before the end."""
        while True:
            code = simulate(self.engine.cell.store.table, self._addresses.table, events_max)
            if code == NEEDS_CONTACTS:
                self._grow_contacts()
            elif code == NEEDS_REDIALS:
                self._grow_redials()
            else:
                return bool(code)

    @property
    def events(self) -> int:
        """Events so far."""
        return int(self.columns.run.scalar[c.EVENTS])

    @property
    def share_done(self) -> float:
        """Share of the time that has passed, 0 to 1."""
        passed_ms = self.columns.run.scalar[c.NOW] - START_MS
        return min(float(passed_ms) / self.scenario.horizon.length, 1.0)

    def _grow_contacts(self) -> None:
        contacts = self.columns.contacts
        old = contacts.number.size
        if 2 * old > _CONTACTS_MAX:
            expected = f"fewer than {old:,} contacts at a time: more come than are ever served"
            raise ScenarioRefused([Problem("streams", expected)])
        self.engine.cell.store.require("contacts", 2 * old)
        contacts = grown(contacts, 2 * old)
        free = int(self.columns.run.scalar[c.FREE_CONTACTS])
        contacts.free[free : free + old] = np.arange(old, 2 * old)[::-1]
        self.columns.run.scalar[c.FREE_CONTACTS] += old
        self._replace(self.columns._replace(contacts=contacts))

    def _grow_redials(self) -> None:
        redials = self.columns.redials
        old = redials.number.size
        redials = grown(redials, 2 * old)
        free = int(self.columns.run.scalar[c.FREE_REDIALS])
        redials.free[free : free + old] = np.arange(old, 2 * old)[::-1]
        self.columns.run.scalar[c.FREE_REDIALS] += old
        self._replace(self.columns._replace(redials=redials))

    def _replace(self, columns: c.FloorColumns) -> None:
        self.columns = columns
        self._addresses.replace(columns)


_Copies = list[list[NDArray[Element]]]


def _copies(columns: ColumnSet | c.FloorColumns) -> _Copies:
    """Values of every column but those of which none are there to be read."""
    copies: _Copies = []
    for group in columns:
        named: dict[str, NDArray[Element]] = group._asdict()
        copies.append(
            [(column[:0] if name in _SCRATCH else column).copy() for name, column in named.items()]
        )
    return copies


def _restore(
    columns: Sequence[Sequence[NDArray[Element]]], layouts: Layouts, copies: _Copies
) -> None:
    """Put values back; rows that came after the copy are as if never used."""
    for group, layout, kept in zip(columns, layouts, copies, strict=True):
        shapes = shapes_of(layout).values()
        for column, shape, copy in zip(group, shapes, kept, strict=True):
            column[tuple(slice(extent) for extent in copy.shape)] = copy
            if 0 < len(copy) < len(column):
                column[len(copy) :] = shape.fill


def _all_free(free: NDArray[np.int64]) -> int:
    """Put every row on a list of free ones, the first to be taken first; how many there are."""
    free[:] = np.arange(free.size)[::-1]
    return free.size
