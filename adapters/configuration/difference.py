"""What a configuration file would change in a cell."""

from collections import Counter
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Final, NamedTuple

from google.protobuf.message import Message

from adapters.configuration.document import AGENTS, QUEUES, SECTIONS, Configuration, Section
from adapters.configuration.fields import Problem, plain
from headgate.v1 import agent_pb2

# More of a list than anybody reads.
_ITEMS_SHOWN_MAX: Final = 20
# Matches only where there is nothing yet.
_ETAG_OF_NONE: Final = "0"


class Kind(Enum):
    """What becomes of an entry."""

    CREATED = "created"
    CHANGED = "changed"
    DELETED = "deleted"


class Change(NamedTuple):
    """
    One entry that would change.

    Attributes
    ----------
    definition
        What it is to be; of one that is deleted, what it was.
    etag
        The version that was compared; of one that is created, the version of what is not there.
    fields
        What changes, a line per field.
    """

    kind: Kind
    section: Section
    name: str
    definition: Message
    etag: str
    fields: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.section.word} {self.name}"


class Difference(NamedTuple):
    """
    Everything that would change.

    Attributes
    ----------
    changes
        By section and id.
    unchanged
        Entries that are as the file wants them.
    left_alone
        Entries of the cell that the file does not have and nobody asked to delete.
    """

    changes: tuple[Change, ...]
    unchanged: int
    left_alone: int

    def lines(self) -> Iterator[str]:
        """The difference for people."""
        for change in self.changes:
            yield f"{change}: {change.kind.value}"
            for field in change.fields:
                yield f"  {field}"
        yield self._totals()

    def _totals(self) -> str:
        counts = Counter(change.kind for change in self.changes)
        text = ", ".join(f"{counts[kind]} {kind.value}" for kind in Kind)
        text += f", {self.unchanged} unchanged"
        if self.left_alone:
            text += f"; {self.left_alone} only in the cell: left alone, --prune deletes them"
        return text


def compare(wanted: Configuration, present: Configuration, *, is_pruned: bool) -> Difference:
    """
    What would change.

    Parameters
    ----------
    wanted
        With defaults filled in, as `read_configuration` gives it. Of a section that is not there
        nothing changes.
    present
        What the cell has, with etags.
    is_pruned
        Whether entries that only the cell has are deleted.
    """
    changes: list[Change] = []
    unchanged = left_alone = 0
    for section in SECTIONS:
        if section.name not in wanted:
            left_alone += len(present[section.name])
            continue
        entries, old = wanted[section.name], present[section.name]
        found = [_change(section, name, entries[name], old.get(name)) for name in sorted(entries)]
        changes += [change for change in found if change is not None]
        unchanged += found.count(None)
        extra = sorted(old.keys() - entries.keys())
        if is_pruned:
            changes += [_deleted(section, name, old[name]) for name in extra]
        else:
            left_alone += len(extra)
    return Difference(tuple(changes), unchanged, left_alone)


def still_named(
    wanted: Configuration, present: Configuration, difference: Difference
) -> Iterator[Problem]:
    """Queues that would be deleted though an agent that stays as it is names them."""
    deleted = {change.name for change in difference.changes if change.kind is Kind.DELETED}
    if AGENTS.name in wanted:
        return
    named: dict[str, list[str]] = {}
    for name, agent in present[AGENTS.name].items():
        assert isinstance(agent, agent_pb2.Agent)
        for queue_id in deleted.intersection(agent.queue_ids):
            named.setdefault(queue_id, []).append(name)
    for queue_id, agents in sorted(named.items()):
        expected = f"queue {queue_id}, which agents name, or agents that do not"
        yield Problem(QUEUES.name, f"agents {_listed(sorted(agents))}", expected)


def _change(section: Section, name: str, new: Message, old: Message | None) -> Change | None:
    if old is None:
        bare = section.new()
        setattr(bare, section.id_field, name)
        lines = _changed_fields(
            plain(section.settled(bare)), plain(new), "{after} (default {before})"
        )
        return Change(Kind.CREATED, section, name, new, _ETAG_OF_NONE, tuple(lines))
    fields = tuple(_changed_fields(plain(old), plain(new), "{before} -> {after}"))
    if not fields:
        return None
    return Change(Kind.CHANGED, section, name, new, str(getattr(old, "etag", "")), fields)


def _deleted(section: Section, name: str, old: Message) -> Change:
    return Change(Kind.DELETED, section, name, old, str(getattr(old, "etag", "")), ())


def _changed_fields(
    old: Mapping[str, object], new: Mapping[str, object], form: str, prefix: str = ""
) -> Iterator[str]:
    """A line per field that differs, in the order of the contract."""
    for name in dict.fromkeys((*new, *old)):
        path = f"{prefix}{name}"
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _changed_fields(before, after, form, f"{path}.")
        elif isinstance(before, list) and isinstance(after, list):
            yield f"{path}: {_changed_items(before, after)}"
        else:
            yield f"{path}: {form.format(before=_shown(before), after=_shown(after))}"


def _changed_items(before: list[object], after: list[object]) -> str:
    old, new = list(map(_shown, before)), list(map(_shown, after))
    had, has = set(old), set(new)
    parts = [f"- {item}" for item in old if item not in has]
    parts += [f"+ {item}" for item in new if item not in had]
    return _listed(parts) or "in another order"


def _listed(items: list[str]) -> str:
    text = ", ".join(items[:_ITEMS_SHOWN_MAX])
    more = len(items) - _ITEMS_SHOWN_MAX
    return f"{text} and {more} more" if more > 0 else text


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_shown, value)) + "]"
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
