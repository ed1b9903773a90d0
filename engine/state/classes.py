"""
Classes of contacts, found or made by queue, requirement, channel and priority.

Rows whose last contact has gone are kept, since the next one is likely alike, and swept when rows
run out.
"""

from collections.abc import Collection
from typing import NamedTuple

from engine.commands import Requirements
from engine.lifecycle import Channel
from engine.state.names import Names
from engine.state.store import Store


class ClassKey(NamedTuple):
    """What makes two waiting contacts alike to every agent."""

    queue_row: int
    requirement_row: int
    channel: Channel
    priority: int


class ContactClasses:
    """Rows of classes and of the requirements they name."""

    def __init__(self, store: Store, names: Names) -> None:
        self._store = store
        self._names = names
        self._class_of: dict[ClassKey, int] = {}
        self._requirement_of: dict[Requirements, int] = {}
        self._requirements: list[Requirements] = []
        self._free_classes: list[int] = []
        self._free_requirements: list[int] = []
        self._classes_used = 0

    def row_of(
        self, queue_row: int, requirements: Requirements, channel: Channel, priority: int
    ) -> int:
        """
        Row of a class, made when there is none.

        Raises
        ------
        CommandRefused
            LIMIT_REACHED when the cell holds as many classes as it may.
        """
        requirement_row = self._requirement_of.get(requirements, -1)
        if requirement_row >= 0:
            row = self._class_of.get(ClassKey(queue_row, requirement_row, channel, priority), -1)
            if row >= 0:
                return row
        if self._is_full():
            self.sweep()
        requirement_row = self._requirement_row(requirements)
        return self._make_class(ClassKey(queue_row, requirement_row, channel, priority))

    def requirements_of(self, class_row: int) -> Requirements:
        """What the class's contacts ask of agents."""
        return self._requirements[int(self._store.columns.classes.requirement[class_row])]

    def drop_queue(self, queue_row: int) -> None:
        """Forget the classes of a queue that holds no open contacts."""
        for key in [key for key in self._class_of if key.queue_row == queue_row]:
            self._free_class(key)

    def _make_class(self, key: ClassKey) -> int:
        if self._free_classes:
            row = self._free_classes.pop()
        else:
            row = self._classes_used
            self._store.require("classes", row + 1)
            self._classes_used += 1
        classes = self._store.columns.classes
        classes.queue[row] = key.queue_row
        classes.requirement[row] = key.requirement_row
        classes.channel[row] = key.channel
        classes.priority[row] = key.priority
        self._class_of[key] = row
        return row

    def _requirement_row(self, requirements: Requirements) -> int:
        row = self._requirement_of.get(requirements, -1)
        if row >= 0:
            return row
        intern_skill, intern_tag = self._names.skills.intern, self._names.tags.intern
        skills = [intern_skill(item.skill) for item in requirements.skills]
        preferred = [intern_skill(item.skill) for item in requirements.preferred_skills]
        tags = [intern_tag(tag) for tag in requirements.tags]
        if self._free_requirements:
            row = self._free_requirements.pop()
            self._requirements[row] = requirements
        else:
            row = len(self._requirements)
            self._store.require("requirements", row + 1)
            self._requirements.append(requirements)
        columns = self._store.columns.requirements
        columns.skill_count[row] = len(skills)
        columns.preferred_count[row] = len(preferred)
        columns.tag_count[row] = len(tags)
        for place, (number, required) in enumerate(zip(skills, requirements.skills, strict=True)):
            columns.skill[row, place] = number
            columns.level[row, place] = required.proficiency_min
        preferences = zip(preferred, requirements.preferred_skills, strict=True)
        for place, (number, preference) in enumerate(preferences):
            columns.preferred_skill[row, place] = number
            columns.preferred_weight[row, place] = preference.weight
        columns.tag[row, : len(tags)] = tags
        self._requirement_of[requirements] = row
        return row

    def requirement_rows(self) -> Collection[int]:
        """Rows of requirements in use."""
        return self._requirement_of.values()

    def _is_full(self) -> bool:
        """Whether the next class or the next requirement would need a row beyond the limit."""
        rows_max = self._store.limits.classes_max
        return (not self._free_classes and self._classes_used >= rows_max) or (
            not self._free_requirements and len(self._requirements) >= rows_max
        )

    def sweep(self) -> None:
        """Free every class no open contact refers to, then every requirement no class names."""
        references = self._store.columns.classes.references
        for key in [key for key, row in self._class_of.items() if references[row] == 0]:
            self._free_class(key)
        named = {key.requirement_row for key in self._class_of}
        for requirements, row in list(self._requirement_of.items()):
            if row not in named:
                del self._requirement_of[requirements]
                self._free_requirements.append(row)

    def _free_class(self, key: ClassKey) -> None:
        row = self._class_of.pop(key)
        self._store.columns.classes.queue[row] = -1
        self._free_classes.append(row)
