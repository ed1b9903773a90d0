"""
Which policies a contact is eligible for.

Conditions are taken apart at `&&`. What depends on values that many contacts share, such as tier
and channel, is answered once for each combination of them and looked up from then on: twenty
policies that read the same attributes cost what one does. The rest, such as the wait so far, is
evaluated for the contacts that the first part lets through.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from engine.acting.contact_values import WaitingContact
from engine.policy.compiled import CompiledRelief, values_in_force
from engine.policy.conjuncts import attribute_keys, conjuncts
from engine.policy.expression import Expression
from engine.policy.signals import NAMED_ATTRIBUTES
from engine.policy.values import Condition, Truth, Values, condition

# Looked up once: an enum's members are slow to reach.
_TRUE: Final = Truth.TRUE
# Combinations of values beyond which the answers of a group are forgotten.
_ANSWERS_MAX: Final = 4_096
_KEY_OF: Final = {f"contact.{key}": key for key in NAMED_ATTRIBUTES}
# Values that many contacts share; others are a contact's own, or change by themselves.
_SHARED: Final = frozenset({
    "contact.channel", "contact.priority", "contact.queue_id", "contact.returns",
})  # fmt: skip

# What decides an answer: attributes by key, and names.
Reads = tuple[tuple[str, ...], tuple[str, ...]]


class ContactCondition:
    """
    A policy's condition on contacts, in two parts of which both must be true.

    Attributes
    ----------
    reads
        What the first part reads.
    """

    def __init__(self, compiled: CompiledRelief) -> None:
        parts = [] if compiled.eligible is None else conjuncts(compiled.eligible)
        self._params: Values = dict(values_in_force(compiled.policy))
        keys_of = [_shared_keys(part, self._params) for part in parts]
        shared = [part for part, keys in zip(parts, keys_of, strict=True) if keys is not None]
        own = [part for part, keys in zip(parts, keys_of, strict=True) if keys is None]
        keys = {key for found in keys_of if found is not None for key in found}
        self._shared_names, self._own_names = self._names_of(shared), self._names_of(own)
        self._shared_parts = [condition(part) for part in shared]
        self._own_parts = [condition(part) for part in own]
        named = _SHARED.intersection(self._shared_names)
        self.reads: Reads = tuple(sorted(keys)), tuple(sorted(named))

    def may_take(self, contact: WaitingContact) -> bool:
        """Whether the first part is true; the same of all contacts with the same `reads`."""
        return self._are_true(self._shared_parts, contact, self._shared_names)

    def takes(self, contact: WaitingContact) -> bool:
        """Whether the second part is true now."""
        return not self._own_parts or self._are_true(self._own_parts, contact, self._own_names)

    def _names_of(self, parts: Iterable[Expression]) -> tuple[str, ...]:
        names = {name for part in parts for name in part.names}
        return tuple(sorted(names.difference(self._params)))

    def _are_true(
        self, parts: Sequence[Condition], contact: WaitingContact, names: Sequence[str]
    ) -> bool:
        values = contact.values(names)
        if self._params:
            values = {**self._params, **values}
        return all(part(values) is _TRUE for part in parts)


class Group:
    """
    Conditions whose first parts read the same.

    Parameters
    ----------
    reads
        What they read.
    """

    def __init__(self, reads: Reads, members: Sequence[ContactCondition]) -> None:
        self._keys, self._names = reads
        self._members = tuple(members)
        self._answers: dict[tuple[object, ...], frozenset[ContactCondition]] = {}

    def open_to(self, contact: WaitingContact) -> frozenset[ContactCondition]:
        """Members whose first part is true of a contact."""
        attributes = contact.attributes
        key: tuple[object, ...] = tuple([attributes.get(name) for name in self._keys])
        if self._names:
            values = contact.values(self._names)
            key += tuple([values[name] for name in self._names])
        found = self._answers.get(key)
        if found is None:
            if len(self._answers) >= _ANSWERS_MAX:
                self._answers.clear()
            found = frozenset(item for item in self._members if item.may_take(contact))
            self._answers[key] = found
        return found


def grouped(conditions: Iterable[ContactCondition]) -> dict[ContactCondition, Group]:
    """The group of each condition."""
    by_reads: dict[Reads, list[ContactCondition]] = {}
    for item in conditions:
        by_reads.setdefault(item.reads, []).append(item)
    return {
        item: group
        for reads, members in by_reads.items()
        for group in [Group(reads, members)]
        for item in members
    }


def _shared_keys(part: Expression, params: Collection[str]) -> set[str] | None:
    """Attributes that a condition reads; None where it reads what contacts do not share."""
    keys = attribute_keys(part)
    if keys is None:
        return None
    for name in part.names:
        if name in _KEY_OF:
            keys.add(_KEY_OF[name])
        elif name not in _SHARED and name not in params and name != "contact.attributes":
            return None
    return keys
