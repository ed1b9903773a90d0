"""
Messages of the contract as plain values and back, by their descriptors.

A field that is added to a message later needs no change here. Fields stand in the order of the
contract under its names; enums are words, 64-bit integers are numbers.
"""

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, cast

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

# What only the engine sets: no part of a definition. The contract says so of each in its comment.
OUTPUT_ONLY: Final = frozenset(
    f"headgate.v1.{name}"
    for name in (
        "Queue.intake",
        "Queue.weights_in_force",
        "Queue.is_open",
        "Queue.next_change_at_ms",
        "Agent.presence",
        "Agent.presence_reason",
        "Agent.presence_since_ms",
        "Agent.capacity_used",
        "Agent.contact_ids",
        "Agent.idle_since_ms",
        "Agent.missed_offers",
        "Agent.lease_until_ms",
        "Agent.occupancy",
        "Agent.rests_until_ms",
        "Agent.estimates",
    )
)
# Of what was read, not of what is wanted.
_VERSION: Final = "etag"

_INTEGERS: Final[Mapping[int, tuple[int, int]]] = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_FLOATS: Final = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)


class Problem(NamedTuple):
    """A broken rule of a file: where, what stands there ("" where nothing does), what should."""

    path: str
    shown: str
    expected: str

    def __str__(self) -> str:
        got = f", got {self.shown}" if self.shown else ""
        return f"{self.path}: expected {self.expected}{got}"


def problem(path: str, value: object, expected: str) -> Problem:
    """Make a problem, with the value shortened for display."""
    shown = repr(value)
    return Problem(path, shown if len(shown) <= 80 else shown[:77] + "...", expected)


def meant(word: str, known: Iterable[str]) -> str:
    """A question after what was meant, where some known word is close."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def definition_fields(message: Message) -> list[FieldDescriptor]:
    """Fields that a definition consists of, in the order of the contract."""
    return [
        field
        for field in cast(Sequence[FieldDescriptor], message.DESCRIPTOR.fields)
        if field.full_name not in OUTPUT_ONLY and field.name != _VERSION
    ]


def plain(message: Message, *, is_full: bool = True) -> dict[str, object]:
    """
    The definition in a message as plain values.

    Parameters
    ----------
    is_full
        Whether fields at their default are there as well; a message that is not set never is.
    """
    values: dict[str, object] = {}
    for field in definition_fields(message):
        if field.has_presence:
            is_there = message.HasField(field.name)
        else:
            is_there = is_full or bool(getattr(message, field.name))
        if is_there:
            values[field.name] = _plain_field(field, getattr(message, field.name), is_full)
    return values


def _plain_field(field: FieldDescriptor, value: object, is_full: bool) -> object:
    if _is_map(field):
        assert isinstance(value, Mapping)
        value_field = _part_of_map(field, "value")
        return {key: _plain_one(value_field, value[key], is_full) for key in sorted(value)}
    if field.is_repeated:
        assert isinstance(value, Iterable)
        return [_plain_one(field, item, is_full) for item in value]
    return _plain_one(field, value, is_full)


def _plain_one(field: FieldDescriptor, value: object, is_full: bool) -> object:
    if isinstance(value, Message):
        return plain(value, is_full=is_full)
    if field.enum_type is not None and isinstance(value, int):
        known = field.enum_type.values_by_number.get(value)
        return known.name if known else value
    return value


def fill(message: Message, values: object, path: str) -> Iterator[Problem]:
    """
    Set the fields of a message from plain values; yields every broken rule, by path.

    Only form is checked: names, types, what fits. Run to its end, it leaves in the message whatever
    was in order.
    """
    if not isinstance(values, Mapping):
        yield problem(path, values, "a mapping of fields")
        return
    fields = {field.name: field for field in definition_fields(message)}
    for name, value in values.items():
        field = fields.get(str(name))
        if field is None:
            yield problem(f"{path}.{name}", value, _why_no_field(message, str(name), fields))
        # An empty key says nothing, as an absent one.
        elif value is not None:
            yield from _fill_field(message, field, value, f"{path}.{name}")


def _why_no_field(message: Message, name: str, known: Iterable[str]) -> str:
    if name == _VERSION or f"{message.DESCRIPTOR.full_name}.{name}" in OUTPUT_ONLY:
        return "no such key here: the engine sets it"
    return f"the name of a field{meant(name, known)}"


def _fill_field(
    message: Message, field: FieldDescriptor, value: object, path: str
) -> Iterator[Problem]:
    if _is_map(field):
        yield from _fill_map(message, field, value, path)
    elif field.is_repeated:
        if not isinstance(value, list):
            yield problem(path, value, "a list")
            return
        items = getattr(message, field.name)
        for place, item in enumerate(value):
            if field.message_type is not None:
                yield from fill(items.add(), item, f"{path}[{place}]")
            else:
                scalar = _scalar(field, item, f"{path}[{place}]")
                if isinstance(scalar, Problem):
                    yield scalar
                else:
                    items.append(scalar)
    elif field.message_type is not None:
        nested = getattr(message, field.name)
        nested.SetInParent()
        yield from fill(nested, value, path)
    else:
        scalar = _scalar(field, value, path)
        if isinstance(scalar, Problem):
            yield scalar
        else:
            setattr(message, field.name, scalar)


def _fill_map(
    message: Message, field: FieldDescriptor, value: object, path: str
) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield problem(path, value, "a mapping")
        return
    entries = getattr(message, field.name)
    key_field, value_field = _part_of_map(field, "key"), _part_of_map(field, "value")
    for name, item in value.items():
        key = _scalar(key_field, name, f"{path}.{name}")
        if isinstance(key, Problem):
            yield key
        elif value_field.message_type is not None:
            yield from fill(entries[key], item, f"{path}.{name}")
        else:
            scalar = _scalar(value_field, item, f"{path}.{name}")
            if isinstance(scalar, Problem):
                yield scalar
            else:
                entries[key] = scalar


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _part_of_map(field: FieldDescriptor, name: str) -> FieldDescriptor:
    assert field.message_type is not None
    return field.message_type.fields_by_name[name]


def _scalar(
    field: FieldDescriptor, value: object, path: str
) -> bool | int | float | str | bytes | Problem:
    """What the field takes for a value, or why it takes none."""
    kind = field.cpp_type
    if field.enum_type is not None:
        return _enum_number(field.enum_type, value, path)
    if kind in _INTEGERS:
        low, high = _INTEGERS[kind]
        if not isinstance(value, int) or isinstance(value, bool):
            return problem(path, value, "a whole number")
        return value if low <= value <= high else problem(path, value, f"{low} to {high}")
    if kind in _FLOATS:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            number = float(value)
            return number if math.isfinite(number) else problem(path, value, "a finite number")
        return problem(path, value, "a number")
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return value if isinstance(value, bool) else problem(path, value, "true or false")
    if field.type == FieldDescriptor.TYPE_STRING:
        return _text(value, path)
    raise AssertionError(field.full_name)


def _text(value: object, path: str) -> str | Problem:
    if not isinstance(value, str):
        return problem(path, value, "text, in quotes where YAML would read something else")
    if any("\ud800" <= character <= "\udfff" for character in value):
        return problem(path, value, "text without half a surrogate pair")
    return value


def _enum_number(kind: EnumDescriptor, value: object, path: str) -> int | Problem:
    if isinstance(value, str) and value in kind.values_by_name:
        return kind.values_by_name[value].number
    names = [item.name for item in kind.values if item.number]
    hint = meant(value.upper(), names) if isinstance(value, str) else ""
    return problem(path, value, f"one of {', '.join(names)}{hint}")
