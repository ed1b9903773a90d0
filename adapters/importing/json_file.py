"""JSON as other systems write it, with the path of each value for whoever must look there."""

from collections.abc import Mapping
from typing import NamedTuple

import orjson

from adapters.configuration.fields import meant, problem
from adapters.importing.report import NotImportable


class Node(NamedTuple):
    """A value and where it stands."""

    path: str
    value: object

    def has(self, name: str) -> bool:
        """Whether there is a field of that name which is not null."""
        return self.fields().get(name) is not None

    def get(self, name: str) -> "Node":
        """A field that must be there."""
        fields = self.fields()
        if fields.get(name) is None:
            expected = f"a field {name}{meant(name, fields)}"
            raise NotImportable(problem(self.path or "the file", sorted(fields), expected))
        return Node(self._path_of(name), fields[name])

    def named(self) -> "dict[str, Node]":
        """Every field."""
        return {name: Node(self._path_of(name), item) for name, item in self.fields().items()}

    def fields(self) -> Mapping[str, object]:
        """Values of the fields of an object."""
        if not isinstance(self.value, dict):
            raise self.wrong("an object")
        return self.value

    def items(self, name: str) -> "list[Node]":
        """Items of a list in a field; none where the field is not there."""
        if not self.has(name):
            return []
        field = self.get(name)
        if not isinstance(field.value, list):
            raise field.wrong("a list")
        return [Node(f"{field.path}[{place}]", item) for place, item in enumerate(field.value)]

    def text(self, name: str, default: str | None = None) -> str:
        """Text in a field, not empty; the default, where there is one and no such field."""
        if default is not None and not self.has(name):
            return default
        field = self.get(name)
        if not isinstance(field.value, str) or not field.value:
            raise field.wrong("text")
        return field.value

    def number(self, name: str) -> float:
        """A number in a field."""
        field = self.get(name)
        if not isinstance(field.value, (int, float)) or isinstance(field.value, bool):
            raise field.wrong("a number")
        return field.value

    def whole(self, name: str, low: int, high: int) -> int:
        """A whole number in a field, of `low` to `high`; also as text, as some systems write it."""
        field = self.get(name)
        value = field.value
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not (low <= value <= high):
            raise field.wrong(f"a whole number of {low} to {high}")
        return value

    def wrong(self, expected: str) -> NotImportable:
        """What to raise where something else was expected."""
        return NotImportable(problem(self.path or "the file", self.value, expected))

    def _path_of(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name


def parse_json(text: str | bytes, path: str = "") -> Node:
    """
    The value of a JSON text.

    Raises
    ------
    NotImportable
        It is none; the place is named.
    """
    try:
        return Node(path, orjson.loads(text))
    except orjson.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        where = f"{path}, {place}" if path else place
        raise NotImportable(problem(where, error.msg, "JSON")) from None
