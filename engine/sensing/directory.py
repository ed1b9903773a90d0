"""Which rows stand for what: queues by their definitions, groups by the queues that name them."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.commands import UpsertQueue
from engine.sensing.calendars import QueueCalendars
from engine.sensing.parts import Parts
from engine.sensing.rows import Key, Sensed, SensedRows
from engine.state.queues import definition_of

_WITHIN_S: Final = 20.0
_RATIO: Final = 0.8


class Directory:
    """
    Follows the definitions of a cell's queues.

    Attributes
    ----------
    rows
        Rows by key.
    row_of_own
        (m,) row by the engine's own row of the queue, -1 for none.
    within_s, ratio
        (n,) service-level target.
    calendars
        Those of the queues' hours.
    """

    def __init__(self, parts: Parts) -> None:
        self.rows = SensedRows()
        self.row_of_own = np.zeros(0, np.int64)
        self.within_s = np.zeros(0)
        self.ratio = np.zeros(0)
        self._parts = parts
        self.calendars = QueueCalendars(parts.model.calendars)
        # Which queue stands in each of the engine's own rows.
        self._own_ids: dict[int, str] = {}
        self._make_room()

    def place(self, keys: list[Key | None]) -> None:
        """Give keys the rows they had; only while nothing has a row."""
        self.rows.place(keys)
        self._make_room()

    def define(self, definitions: Mapping[int, bytes]) -> None:
        """Take in changed definitions by the engine's row of the queue; b"" where it is gone."""
        changed: list[int] = []
        named = {profile.group for profile in self.rows.profiles.values()}
        for own_row, payload in definitions.items():
            definition = definition_of(payload) if payload else None
            before = self._own_ids.pop(own_row, "")
            if before and (definition is None or definition.queue_id != before):
                self._remove(before)
            if definition is not None:
                self._own_ids[own_row] = definition.queue_id
                changed += self._put(definition, named)
        self._drop_unused()
        count = max(self._own_ids, default=-1) + 1
        self.row_of_own = np.full(count, -1)
        for own_row, queue_id in self._own_ids.items():
            self.row_of_own[own_row] = self.rows.queue_row(queue_id)
        self._parts.model.begin_again(np.unique(np.array(changed, np.int64)))

    def groups(self) -> list[tuple[int, NDArray[np.int64]]]:
        """Rows of groups, each with those of its queues."""
        return self.rows.groups()

    def _put(self, definition: UpsertQueue, named: set[str]) -> list[int]:
        """
        Sense a queue, or follow its changed definition; returns rows whose days may differ.

        `named` are the groups that queues have named so far.
        """
        target = definition.service_level_within_ms, definition.service_level_ratio
        profile = Sensed(
            *target,
            definition.forecast_group,
            definition.hours,
            definition.priority,
            definition.max_length,
        )
        row = self.rows.queue_row(definition.queue_id)
        before = self.rows.profiles.get(row)
        if before == profile:
            return []
        if row < 0:
            row = self._take(Key(definition.queue_id))
        self.rows.profiles[row] = profile
        self.rows.changes += 1
        self.within_s[row] = profile.within_ms / 1_000.0
        self.ratio[row] = profile.ratio
        if before is not None and (before.group, before.hours) == (profile.group, profile.hours):
            return []
        group = self._group_row(profile, named) if profile.group else -1
        self._parts.model.set_calendar(row, self.calendars.row_of(profile.hours))
        self._parts.model.set_group(row, group)
        self._parts.outlook.handle_times.set_group(row, group)
        self._parts.watch.set_group(row, group)
        return [row, group] if group >= 0 else [row]

    def _group_row(self, profile: Sensed, named: set[str]) -> int:
        """Row of a group; a new one has the days of the queue that brings it."""
        key = Key(profile.group, is_group=True)
        row = self.rows.row_of(key)
        if row < 0:
            row = self._take(key)
        if profile.group not in named:
            named.add(profile.group)
            self._parts.model.set_calendar(row, self.calendars.row_of(profile.hours))
        return row

    def _take(self, key: Key) -> int:
        row = self.rows.take(key)
        self._make_room()
        return row

    def _make_room(self) -> None:
        size = self.rows.rows_needed()
        more = size - len(self.within_s)
        if more > 0:
            self._parts.require(size)
            self.within_s = np.concatenate([self.within_s, np.full(more, _WITHIN_S)])
            self.ratio = np.concatenate([self.ratio, np.full(more, _RATIO)])

    def _remove(self, queue_id: str) -> None:
        row = self.rows.queue_row(queue_id)
        if row >= 0 and queue_id not in self._own_ids.values():
            self._drop(row)

    def _drop(self, row: int) -> None:
        self.rows.drop(row)
        self._parts.clear(row)

    def _drop_unused(self) -> None:
        """Drop groups that no queue names, and what a file knew of queues that are gone."""
        named = {profile.group for profile in self.rows.profiles.values()}
        for row, key in enumerate(self.rows.keys):
            if key is None or (key.name in named if key.is_group else row in self.rows.profiles):
                continue
            self._drop(row)
