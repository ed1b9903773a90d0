"""The columns of one cell, allocated and grown, and the call that runs a transition on them."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.effects import EFFECT_WIDTH
from engine.kernels.boundary import COMPILED, Addresses, ColumnSet, bind, shapes_of
from engine.kernels.columns import (
    DECISION_COUNT,
    DECISIONS_MAX,
    EFFECT_COUNT,
    ENDED_HEAD,
    ENDED_MAX,
    ENDED_RETENTION_MS,
    ENDED_TAIL,
    FIRST_DECISION,
    FREE_OFFER,
    LAYOUTS,
    LEVELS,
    NEXT_CONTACT,
    NEXT_DUE_MS,
    NEXT_OFFER,
    OFFER_ROWS_USED,
    SCALARS,
    Bitsets,
    Cell,
)
from engine.kernels.requests import OUTCOME_PLACES, REQUEST_PLACES
from engine.kernels.shapes import Element
from engine.kernels.side_columns import BATCH_AGENTS_MAX, Batch, Estimates
from engine.kernels.transitions import apply
from engine.lifecycle import CHANNEL_SLOTS
from engine.limits import (
    BATCH_CONTACTS_MAX,
    EFFECTS_PER_CALL,
    NEVER_MS,
    SKILLS_MAX,
    TAGS_MAX,
    Limits,
)
from engine.refusals import BadConfiguration, CommandRefused, Refusal, violation

_WORD: Final = 64

# Rows each subject starts with; small, because a cell grows by doubling.
_FIRST_SIZE: Final = {
    "contacts": 1_024,
    "agents": 64,
    "queues": 64,
    "classes": 256,
    "requirements": 64,
    "skills": 16,
    "tags": 16,
    "effects": 4_096,
    "offers": 4_096,
    "decisions": 4_096,
}


class Store:
    """
    Columns with their sizes.

    `columns` is replaced when a subject grows; hold no reference to a column across a call that may
    grow.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.sizes = dict(_FIRST_SIZE)
        self._sizes_max = {
            "contacts": limits.contacts_max,
            "agents": limits.agents_max,
            "queues": limits.queues_max,
            "classes": limits.classes_max,
            "requirements": limits.classes_max,
            "skills": SKILLS_MAX,
            "tags": TAGS_MAX,
            "effects": 1 << 24,
            "offers": 1 << 22,
            "decisions": max(limits.decisions_max, 1),
        }
        self.columns = self._allocate(None)
        scalar = self.columns.cell.scalar
        scalar[NEXT_CONTACT] = 1
        scalar[NEXT_OFFER] = 1
        scalar[NEXT_DUE_MS] = NEVER_MS
        scalar[ENDED_HEAD] = scalar[ENDED_TAIL] = scalar[FREE_OFFER] = -1
        scalar[ENDED_MAX] = limits.ended_max
        scalar[FIRST_DECISION] = 1
        scalar[DECISIONS_MAX] = limits.decisions_max
        scalar[ENDED_RETENTION_MS] = limits.ended_retention_ms
        # Scalars, request and outcome never move, so that views of them stay good.
        self.scalar = scalar.data
        self.request = self.columns.cell.request.data
        self.outcome = self.columns.cell.outcome.data
        self._addresses = Addresses(self.columns)
        self.table = self._addresses.table
        self.run = bind(apply, self.table)

    def require(self, subject: str, rows: int) -> None:
        """
        Make room for `rows` rows of a subject, doubling.

        Raises
        ------
        CommandRefused
            LIMIT_REACHED, when that is more than the cell may hold.
        """
        size_max = self._sizes_max[subject]
        if rows > size_max:
            raise CommandRefused(
                Refusal.LIMIT_REACHED, violation(subject, rows, f"at most {size_max} in the cell")
            )
        size = self.sizes[subject]
        if rows <= size:
            return
        while size < rows:
            size *= 2
        self.sizes[subject] = min(size, max(size_max, _FIRST_SIZE[subject]))
        self.columns = self._allocate(self.columns)
        self._addresses.replace(self.columns)
        if not COMPILED:
            self.table = self._addresses.table
            self.run = bind(apply, self.table)

    def require_loaded(self, subject: str, rows: int) -> None:
        """
        Make room for rows that the log holds.

        Raises
        ------
        BadConfiguration
            When the limit was lowered below what the cell already holds.
        """
        size_max = self._sizes_max[subject]
        if rows > size_max:
            expected = f"at least {rows:,}, for rows the cell already holds"
            raise BadConfiguration(f"limits.{subject}_max", size_max, expected)
        self.require(subject, rows)

    def require_effects(self, room: int) -> None:
        """Make room for `room` more effect records in the open commit group, and as many offers."""
        self.require("effects", self.scalar[EFFECT_COUNT] + room)
        self.require("offers", self.scalar[OFFER_ROWS_USED] + room)
        # The ring grows until it is as long as it may be, before it is written to a second time.
        decisions = self.scalar[DECISION_COUNT] + room
        if decisions > self.sizes["decisions"] < self.limits.decisions_max:
            self.require("decisions", min(decisions, self.limits.decisions_max))

    def _allocate(self, old: ColumnSet | None) -> ColumnSet:
        groups = []
        for place, layout in enumerate(LAYOUTS):
            columns: list[NDArray[Element]] = []
            for number, (name, shape) in enumerate(shapes_of(layout).items()):
                rows, width = self._extent(layout, name, shape.width)
                before = None if old is None else old[place][number]
                dimensions = (rows,) if shape.width == 1 else (rows, width)
                if before is not None and before.shape == dimensions:
                    columns.append(before)
                    continue
                # Zeros are not written before they are used.
                column = np.zeros(dimensions, shape.dtype)
                if shape.fill:
                    column.fill(shape.fill)
                if before is not None:
                    column[tuple(slice(extent) for extent in before.shape)] = before
                columns.append(column)
            groups.append(layout(*columns))
        return ColumnSet(*groups)

    def _extent(self, layout: type, name: str, width: int) -> tuple[int, int]:
        """Rows and width of one column at the present sizes."""
        sizes = self.sizes
        agent_words = _words(sizes["agents"])
        queue_words = _words(sizes["queues"])
        if layout is Bitsets:
            return {
                "queue_agents": (sizes["queues"], agent_words),
                "agent_queues": (sizes["agents"], queue_words),
                "skill_agents": (sizes["skills"] * LEVELS, agent_words),
                "tag_agents": (sizes["tags"], agent_words),
                "free_agents": (CHANNEL_SLOTS, agent_words),
                "working_agents": (1, agent_words),
                "available_agents": (1, agent_words),
                "waiting_queues": (1, queue_words),
                "windowed_queues": (1, queue_words),
            }[name]
        if layout is Batch:
            rows = {
                "chosen_from": BATCH_AGENTS_MAX,
                "offered": EFFECTS_PER_CALL,
                "worth": BATCH_CONTACTS_MAX * BATCH_AGENTS_MAX,
            }
            return rows.get(name, BATCH_CONTACTS_MAX), width
        if layout is Cell:
            return {
                "scalar": (SCALARS, 1),
                "request": (REQUEST_PLACES, 1),
                "outcome": (OUTCOME_PLACES, 1),
                "effects": (sizes["effects"], EFFECT_WIDTH),
            }[name]
        subject = "agents" if layout is Estimates else layout.__name__.lower()
        return sizes[subject], width


def _words(rows: int) -> int:
    return -(-rows // _WORD)
