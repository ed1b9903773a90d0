"""
The wire form of `cel.expr.CheckedExpr`, read by hand.

Twelve fields of a format that cannot change are read and all others skipped. A schema for them
would be a second contract in this project, and the package that carries the official one weighs
24 MB and takes the import name `cel`.
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from engine.policy.checked import (
    Call,
    Kind,
    Listed,
    Literal,
    Node,
    Place,
    Reference,
    Select,
    Unsupported,
)

# Deeper than the official parser lets anything nest that is not a chain of signs.
_DEPTH_MAX: Final = 200

_VARINT: Final = 0
_FIXED_64: Final = 1
_BYTES: Final = 2
_FIXED_32: Final = 5

# What stands where a constant may stand, by field: null, uint, bytes, duration, timestamp.
_CONSTANT_NAMES: Final = {
    1: "null",
    4: "an unsigned number",
    7: "bytes",
    8: "a duration",
    9: "a time",
}


class TooDeep(ValueError):
    """An expression nests deeper than any has reason to."""


class _Resolved(NamedTuple):
    """What a node was resolved to: the full name of a variable, or overloads."""

    name: str
    overloads: tuple[str, ...]


def read_checked(serialized: bytes, text: str) -> Node:
    """
    Tree of a serialized `Any` that holds a CheckedExpr of a text.

    Raises
    ------
    TooDeep
        It nests deeper than 200 levels.
    """
    checked = next(value for field, value in _fields(serialized) if field == 2)
    assert isinstance(checked, bytes)
    resolved: dict[int, _Resolved] = {}
    offsets: dict[int, int] = {}
    expression = b""
    for field, value in _fields(checked):
        assert isinstance(value, bytes | int)
        if field == 2:
            key, entry = _entry(value)
            assert isinstance(entry, bytes)
            resolved[key] = _resolved(entry)
        elif field == 4:
            expression = _bytes(value)
        elif field == 5:
            offsets = _positions(_bytes(value))
    return _Reading(resolved, offsets, text).node(expression, 0)


def _positions(source_info: bytes) -> dict[int, int]:
    """Offset of each node, characters from the start of the text."""
    entries = (_entry(value) for field, value in _fields(source_info) if field == 4)
    return {key: value if isinstance(value, int) else 0 for key, value in entries}


def _resolved(reference: bytes) -> _Resolved:
    name, overloads = "", []
    for field, value in _fields(reference):
        if field == 1:
            name = _bytes(value).decode()
        elif field == 3:
            overloads.append(_bytes(value).decode())
    return _Resolved(name, tuple(overloads))


class _Reading:
    """One tree being read."""

    def __init__(self, resolved: dict[int, _Resolved], offsets: dict[int, int], text: str) -> None:
        self._resolved = resolved
        self._offsets = offsets
        self._text = text

    def node(self, expression: bytes, depth: int) -> Node:
        """A node and all below it."""
        if depth > _DEPTH_MAX:
            raise TooDeep(f"expected at most {_DEPTH_MAX} levels")
        number, form, body = 0, 0, b""
        for field, value in _fields(expression):
            if field == 2:
                assert isinstance(value, int)
                number = value
            else:
                form, body = field, _bytes(value)
        place = self._place(number)
        found = self._resolved.get(number, _Resolved("", ()))
        if found.name and not found.overloads:
            return Reference(self._start_of(place, found.name), found.name)
        if form == 3:
            return _constant(body, place)
        if form == 5:
            return self._select(body, place, depth)
        if form == 6:
            return self._call(body, (place, found.overloads), depth)
        if form == 7:
            items = (
                self.node(_bytes(item), depth + 1) for field, item in _fields(body) if field == 1
            )
            return Listed(place, tuple(items))
        names = {8: "a message or map that is written out", 9: "a loop over a list or map"}
        return Unsupported(place, names.get(form, "this"))

    def _select(self, body: bytes, place: Place, depth: int) -> Node:
        operand, field_name, is_test = b"", "", False
        for field, value in _fields(body):
            if field == 1:
                operand = _bytes(value)
            elif field == 2:
                field_name = _bytes(value).decode()
            elif field == 3:
                is_test = bool(value)
        return Select(place, self.node(operand, depth + 1), field_name, is_test)

    def _call(self, body: bytes, head: tuple[Place, tuple[str, ...]], depth: int) -> Node:
        function, target, arguments = "", [], []
        for field, value in _fields(body):
            if field == 1:
                target = [self.node(_bytes(value), depth + 1)]
            elif field == 2:
                function = _bytes(value).decode()
            elif field == 3:
                arguments.append(self.node(_bytes(value), depth + 1))
        return Call(head[0], function.strip("_@"), head[1], (*target, *arguments))

    def _start_of(self, place: Place, name: str) -> Place:
        """Where a dotted name begins; its node stands at the last dot."""
        before = name.rpartition(".")[0]
        line = self._text.split("\n")[place.line - 1]
        if before and line[: place.column - 1].endswith(before):
            return Place(place.line, place.column - len(before))
        return place

    def _place(self, number: int) -> Place:
        before = self._text[: self._offsets.get(number, 0)]
        return Place(before.count("\n") + 1, len(before) - before.rfind("\n"))


def _constant(body: bytes, place: Place) -> Node:
    for field, value in _fields(body):
        if field == 2:
            return Literal(place, Kind.BOOL, bool(value))
        if field == 3:
            assert isinstance(value, int)
            return Literal(place, Kind.INT, value - (1 << 64) if value >= 1 << 63 else value)
        if field == 5:
            (number,) = struct.unpack("<d", _bytes(value))
            return Literal(place, Kind.DOUBLE, float(number))
        if field == 6:
            return Literal(place, Kind.STRING, _bytes(value).decode())
        return Unsupported(place, _CONSTANT_NAMES.get(field, "this value"))
    return Unsupported(place, "null")


def _entry(value: bytes | int) -> tuple[int, bytes | int]:
    """Key and value of a map's entry; a field that is 0 is left out."""
    key: bytes | int = 0
    held: bytes | int = 0
    for field, part in _fields(_bytes(value)):
        if field == 1:
            key = part
        else:
            held = part
    assert isinstance(key, int)
    return key, held


def _bytes(value: bytes | int) -> bytes:
    assert isinstance(value, bytes)
    return value


def _fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Fields of a message in order: number, and a whole number or bytes."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        field, form = tag >> 3, tag & 7
        if form == _VARINT:
            number, place = _varint(message, place)
            yield field, number
            continue
        if form == _BYTES:
            length, place = _varint(message, place)
        else:
            assert form in (_FIXED_64, _FIXED_32)
            length = 8 if form == _FIXED_64 else 4
        assert place + length <= len(message)
        yield field, message[place : place + length]
        place += length


def _varint(message: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[place]
        number |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return number, place
