"""Skills and tags: numbers by name, given back when nobody needs them any more."""

from collections.abc import Collection, Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.commands import Requirements
from engine.kernels.columns import LEVELS
from engine.limits import SKILLS_MAX, TAGS_MAX
from engine.refusals import CommandRefused, Refusal, Violation, violation
from engine.state.slots import Slots, Vocabulary
from engine.state.store import Store

# Requirements remembered as sound.
_CHECKED_MAX: Final = 4_096


class Names:
    """The skills and tags of one cell."""

    def __init__(self, store: Store, agents: Slots) -> None:
        self._store = store
        self._agents = agents
        self.skills = Vocabulary()
        self.tags = Vocabulary()
        # Requirements whose every name some agent holds, and whether they were last, until agents
        # change.
        self._checked: set[tuple[Requirements, bool]] = set()

    def agents_changed(self) -> None:
        """Have every requirement checked again: a name may have lost its last holder."""
        self._checked.clear()

    def check(self, requirements: Requirements, path: str, *, is_last: bool) -> None:
        """
        Refuse a requirement that names what no agent of the cell holds, for that is a mistake.

        Parameters
        ----------
        path
            Of the requirement, on the wire.
        is_last
            Whether nothing is asked for later in its place: then an agent it names must exist.

        Raises
        ------
        CommandRefused
            UNKNOWN_SKILL, UNKNOWN_TAG or UNKNOWN_AGENT, with every such name.
        """
        if (requirements, is_last) in self._checked:
            return
        unknown = [
            violation(f"{path}.{field}[{place}].skill", name, "a skill some agent holds")
            for field, names in (
                ("skills", [item.skill for item in requirements.skills]),
                ("preferred_skills", [item.skill for item in requirements.preferred_skills]),
            )
            for place, name in enumerate(names)
            if not self._is_held(name)
        ]
        _refuse(Refusal.UNKNOWN_SKILL, unknown)
        unknown = [
            violation(f"{path}.{field}[{place}]", tag, "a tag some agent carries")
            for field, tags in (("tags", requirements.tags), ("tags_any", requirements.tags_any))
            for place, tag in enumerate(tags)
            if not self._is_carried(tag)
        ]
        _refuse(Refusal.UNKNOWN_TAG, unknown)
        self._check_agents(requirements, path, is_last=is_last)
        if len(self._checked) >= _CHECKED_MAX:
            self._checked.clear()
        self._checked.add((requirements, is_last))

    def _check_agents(self, requirements: Requirements, path: str, *, is_last: bool) -> None:
        named = requirements.agent_ids
        if is_last and named and all(self._agents.row_of(one) < 0 for one in named):
            expected = "one agent at least who exists, or a relaxation step that asks for others"
            _refuse(
                Refusal.UNKNOWN_AGENT,
                [violation(f"{path}.agent_ids", ", ".join(named), expected)],
            )

    def has_room(self, skills: Iterable[str], tags: Iterable[str]) -> bool:
        """Whether these names, known or not, can all have numbers."""
        return (
            self.skills.count_with(skills) <= SKILLS_MAX and self.tags.count_with(tags) <= TAGS_MAX
        )

    def require(self, skills: Collection[str], tags: Collection[str]) -> None:
        """
        Make room for names about to be numbered.

        Raises
        ------
        CommandRefused
            LIMIT_REACHED, when there are more than the cell can know at a time; nothing changed.
        """
        self._store.require("skills", self.skills.count_with(skills))
        self._store.require("tags", self.tags.count_with(tags))

    def give_back(self, requirement_rows: Collection[int]) -> None:
        """Forget names that no agent holds and none of these requirements asks for."""
        columns = self._store.columns
        asked = columns.requirements
        rows = np.array(sorted(requirement_rows), np.int64)
        wanted = _items(asked.skill, asked.skill_count, rows)
        wanted |= _items(asked.preferred_skill, asked.preferred_count, rows)
        self.skills.keep_only(wanted | self._held_skills())
        tags = self._carried_tags()
        tags |= _items(asked.tag, asked.tag_count, rows)
        tags |= _items(asked.any_tag, asked.any_tag_count, rows)
        tags |= _items(asked.no_tag, asked.no_tag_count, rows)
        self.tags.keep_only(tags)

    def of_agents(self) -> tuple[set[str], set[str]]:
        """Skills that some agent holds, and tags that some agent carries."""
        skills, tags = self.skills.names, self.tags.names
        held, carried = self._held_skills(), self._carried_tags()
        return {skills[number] for number in held}, {tags[number] for number in carried}

    def _held_skills(self) -> set[int]:
        proficiency = self._store.columns.agents.proficiency
        return set(np.flatnonzero(proficiency.any(axis=0)).tolist())

    def _carried_tags(self) -> set[int]:
        tag_agents = self._store.columns.bitsets.tag_agents
        return set(np.flatnonzero(tag_agents.any(axis=1)).tolist())

    def _is_held(self, skill: str) -> bool:
        number = self.skills.number_of(skill)
        return number >= 0 and bool(self._store.columns.bitsets.skill_agents[number * LEVELS].any())

    def _is_carried(self, tag: str) -> bool:
        number = self.tags.number_of(tag)
        return number >= 0 and bool(self._store.columns.bitsets.tag_agents[number].any())


def _items(items: NDArray[np.int64], count: NDArray[np.int64], rows: NDArray[np.int64]) -> set[int]:
    """Numbers that stand in some rows of a requirement's column."""
    is_read = np.arange(items.shape[1]) < count[rows, np.newaxis]
    return set(items[rows][is_read].tolist())


def _refuse(reason: Refusal, violations: list[Violation]) -> None:
    if violations:
        raise CommandRefused(reason, *violations)
