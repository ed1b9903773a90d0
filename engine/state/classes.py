"""
Classes of contacts, found or made by queue, requirement, channel, priority and relaxation.

A class of a queue with a fallback queue names the class there that its contacts would go to, made
together with it: a kernel makes none. What fell back once does so no more, so classes of such
contacts are of their own, and no chain is longer than two.

Rows whose last contact has gone are kept, since the next one is likely alike, and swept when rows
run out.
"""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from engine.commands import Relaxation, RelaxationStep, Requirements
from engine.lifecycle import Channel
from engine.refusals import CommandRefused
from engine.state.names import Names
from engine.state.slots import Slots
from engine.state.store import Store


class ClassKey(NamedTuple):
    """What makes two waiting contacts alike to every agent, now and later."""

    queue_row: int
    requirement_row: int
    channel: Channel
    priority: int
    # Class they go on to, and after what wait; -1 and 0 for none.
    relaxed_row: int = -1
    relaxes_after_ms: int = 0
    # Whether they came here by fallback, and so have none themselves.
    fell_back: bool = False


class ContactClasses:
    """Rows of classes and of the requirements they name."""

    def __init__(self, store: Store, names: Names, agents: Slots) -> None:
        self._store = store
        self._names = names
        self._agents = agents
        self._class_of: dict[ClassKey, int] = {}
        self._requirement_of: dict[Requirements, int] = {}
        self._requirements: list[Requirements] = []
        self._free_classes: list[int] = []
        self._free_requirements: list[int] = []
        self._classes_used = 0
        # Rows of the requirements that name an agent, by its id, and of those that rule out a tag
        # which has no number, because nobody carries it.
        self._naming: dict[str, set[int]] = {}
        self._ruling_out: dict[str, set[int]] = {}

    def row_of(  # noqa: PLR0913  (what makes contacts alike)
        self,
        queue_row: int,
        requirements: Requirements,
        channel: Channel,
        priority: int,
        relaxation: Relaxation = (),
        *,
        fell_back: bool = False,
    ) -> int:
        """
        Row of a class, made when there is none, as are those it relaxes and falls back to.

        Raises
        ------
        CommandRefused
            LIMIT_REACHED when the cell holds as many classes as it may.
        """
        if not relaxation:
            key = ClassKey(queue_row, -1, channel, priority, fell_back=fell_back)
            row = self._known(requirements, key)
            if row >= 0:
                return row
        # At once, for what was just made has nobody yet, and must not be swept.
        has_fallback = not fell_back and self._store.columns.queues.fallback[queue_row] >= 0
        if self._room() < (1 + len(relaxation)) * (1 + has_fallback):
            self.sweep()
        relaxed_row, relaxes_after_ms = -1, 0
        for step in reversed(in_full(requirements, priority, relaxation)):
            key = ClassKey(
                queue_row, -1, channel, step.priority or 0, relaxed_row, relaxes_after_ms, fell_back
            )
            relaxed_row = self._row(step.requirements, key)
            relaxes_after_ms = step.after_ms
        return relaxed_row

    def _known(self, requirements: Requirements, key: ClassKey) -> int:
        """Row of one class, its key given without the requirement; -1 when there is none."""
        requirement_row = self._requirement_of.get(requirements, -1)
        if requirement_row < 0:
            return -1
        return self._class_of.get(key._replace(requirement_row=requirement_row), -1)

    def _row(self, requirements: Requirements, key: ClassKey) -> int:
        """As `_known`, but made when there is none."""
        row = self._known(requirements, key)
        if row >= 0:
            return row
        return self._make_class(key._replace(requirement_row=self._requirement_row(requirements)))

    def _fallback_row(self, key: ClassKey) -> int:
        """Row of the class that those of a class fall back to, made when there is none; -1."""
        columns = self._store.columns
        queue_row = -1 if key.fell_back else int(columns.queues.fallback[key.queue_row])
        if queue_row < 0:
            return -1
        relaxed = -1 if key.relaxed_row < 0 else int(columns.classes.fallback[key.relaxed_row])
        key = key._replace(queue_row=queue_row, relaxed_row=relaxed, fell_back=True)
        row = self._class_of.get(key, -1)
        return row if row >= 0 else self._make_class(key)

    def fall_back_to(self, queue_row: int, fallback_row: int) -> None:
        """
        Have a queue's contacts fall back to another queue, -1 for none, also those that wait.

        Raises
        ------
        CommandRefused
            LIMIT_REACHED when the cell has no room for the classes they would go to; nothing
            changed.
        """
        before = int(self._store.columns.queues.fallback[queue_row])
        if fallback_row == before:
            return
        try:
            self._link_fallback(queue_row, fallback_row)
        except CommandRefused:
            self._link_fallback(queue_row, before)
            raise

    def _link_fallback(self, queue_row: int, fallback_row: int) -> None:
        """Give every class of a queue its fallback anew; those that nobody needs are swept."""
        self._store.columns.queues.fallback[queue_row] = fallback_row
        for row in self._own_classes(queue_row).values():
            self._set_fallback(row, -1)
        self.sweep()
        # In the order they were made, so that what a class relaxes to comes before it.
        for key, row in self._own_classes(queue_row).items():
            self._set_fallback(row, self._fallback_row(key))

    def _own_classes(self, queue_row: int) -> dict[ClassKey, int]:
        """Classes of a queue whose contacts did not come by fallback."""
        return {
            key: row
            for key, row in self._class_of.items()
            if key.queue_row == queue_row and not key.fell_back
        }

    def _set_fallback(self, row: int, fallback_row: int) -> None:
        """Name the class that a class's contacts fall back to, -1 for none."""
        classes = self._store.columns.classes
        before = int(classes.fallback[row])
        if before >= 0:
            classes.references[before] -= 1
        classes.fallback[row] = fallback_row
        if fallback_row >= 0:
            classes.references[fallback_row] += 1

    def requirements_of(self, class_row: int) -> Requirements:
        """What the class's contacts ask of agents."""
        return self._requirements[int(self._store.columns.classes.requirement[class_row])]

    def requirements_at(self, requirement_row: int) -> Requirements:
        """What a requirement in use asks of agents."""
        return self._requirements[requirement_row]

    def drop_queue(self, queue_row: int) -> None:
        """Forget the classes of a queue that holds no open contacts."""
        for key in [key for key in self._class_of if key.queue_row == queue_row]:
            self._free_class(key)

    def _make_class(self, key: ClassKey) -> int:
        # First, so that a class is never there without its fallback.
        fallback_row = self._fallback_row(key)
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
        classes.relaxed[row] = key.relaxed_row
        classes.relaxes_after_ms[row] = key.relaxes_after_ms
        if key.relaxed_row >= 0:
            classes.references[key.relaxed_row] += 1
        self._set_fallback(row, fallback_row)
        self._class_of[key] = row
        return row

    def _requirement_row(self, requirements: Requirements) -> int:
        row = self._requirement_of.get(requirements, -1)
        if row >= 0:
            return row
        if self._free_requirements:
            row = self._free_requirements.pop()
            self._requirements[row] = requirements
        else:
            row = len(self._requirements)
            self._store.require("requirements", row + 1)
            self._requirements.append(requirements)
        self._write_requirement(row, requirements)
        self._requirement_of[requirements] = row
        return row

    def _write_requirement(self, row: int, requirements: Requirements) -> None:
        columns = self._store.columns.requirements
        intern_skill, intern_tag = self._names.skills.intern, self._names.tags.intern
        columns.skill_count[row] = len(requirements.skills)
        for place, required in enumerate(requirements.skills):
            columns.skill[row, place] = intern_skill(required.skill)
            columns.level[row, place] = required.proficiency_min
        columns.preferred_count[row] = len(requirements.preferred_skills)
        for place, preference in enumerate(requirements.preferred_skills):
            columns.preferred_skill[row, place] = intern_skill(preference.skill)
            columns.preferred_weight[row, place] = preference.weight
        for tags, count, column in (
            (requirements.tags, columns.tag_count, columns.tag),
            (requirements.tags_any, columns.any_tag_count, columns.any_tag),
        ):
            count[row] = len(tags)
            column[row, : len(tags)] = [intern_tag(tag) for tag in tags]
        self._rule_out(row)
        self._name_agents(row)
        for agent_id in {*requirements.agent_ids, *requirements.preferred_agent_ids}:
            self._naming.setdefault(agent_id, set()).add(row)

    def _name_agents(self, row: int) -> None:
        """Write the rows of the agents that a requirement names, -1 for those who do not exist."""
        columns = self._store.columns.requirements
        requirements = self._requirements[row]
        for ids, count, column in (
            (requirements.agent_ids, columns.agent_count, columns.agent),
            (
                requirements.preferred_agent_ids,
                columns.preferred_agent_count,
                columns.preferred_agent,
            ),
        ):
            count[row] = len(ids)
            column[row, : len(ids)] = [self._agents.row_of(agent_id) for agent_id in ids]

    def _rule_out(self, row: int) -> None:
        """Write the tags that candidates may not carry, those of them that somebody does."""
        columns = self._store.columns.requirements
        numbers = []
        for tag in self._requirements[row].tags_none:
            number = self._names.tags.number_of(tag)
            if number < 0:
                self._ruling_out.setdefault(tag, set()).add(row)
            else:
                numbers.append(number)
        columns.no_tag_count[row] = len(numbers)
        columns.no_tag[row, : len(numbers)] = numbers

    def tags_carried(self, tags: Iterable[str]) -> None:
        """Have requirements that rule out a tag which has just got a number do so."""
        for tag in tags:
            for row in self._ruling_out.pop(tag, ()):
                self._rule_out(row)

    def agent_moved(self, agent_id: str) -> None:
        """Have requirements that name an agent mean the row it has now, if any."""
        for row in self._naming.get(agent_id, ()):
            self._name_agents(row)

    def requirement_rows(self) -> Collection[int]:
        """Rows of requirements in use."""
        return self._requirement_of.values()

    def _room(self) -> int:
        """How many classes, each with a requirement of its own, could be made without a sweep."""
        rows_max = self._store.limits.classes_max
        return min(
            len(self._free_classes) + rows_max - self._classes_used,
            len(self._free_requirements) + rows_max - len(self._requirements),
        )

    def sweep(self) -> None:
        """
        Free every class no open contact refers to, now or later, then every requirement no class
        names.
        """
        references = self._store.columns.classes.references
        while idle := [key for key, row in self._class_of.items() if references[row] == 0]:
            for key in idle:
                self._free_class(key)
        named = {key.requirement_row for key in self._class_of}
        for requirements, row in list(self._requirement_of.items()):
            if row not in named:
                self._free_requirement(requirements, row)

    def _free_class(self, key: ClassKey) -> None:
        row = self._class_of.pop(key)
        classes = self._store.columns.classes
        classes.queue[row] = -1
        self._set_fallback(row, -1)
        if key.relaxed_row >= 0:
            classes.references[key.relaxed_row] -= 1
        self._free_classes.append(row)

    def _free_requirement(self, requirements: Requirements, row: int) -> None:
        del self._requirement_of[requirements]
        for agent_id in {*requirements.agent_ids, *requirements.preferred_agent_ids}:
            self._naming[agent_id].discard(row)
            if not self._naming[agent_id]:
                del self._naming[agent_id]
        for tag in requirements.tags_none:
            rows = self._ruling_out.get(tag, set())
            rows.discard(row)
            if not rows:
                self._ruling_out.pop(tag, None)
        self._free_requirements.append(row)


def in_full(requirements: Requirements, priority: int, relaxation: Relaxation) -> Relaxation:
    """What a contact asks from its first moment on, and each step, every priority named."""
    steps = [RelaxationStep(0, requirements, priority)]
    for step in relaxation:
        kept = steps[-1].priority
        steps.append(step if step.priority is not None else step._replace(priority=kept))
    return tuple(steps)
