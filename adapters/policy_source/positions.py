"""
YAML as policies are written in it: plain values, and where each of them stands.

The schema is the core one of YAML 1.2: `no`, `on` and `10:30` are texts, not truths and numbers of
seconds, as the older version that the library follows has it. Aliases are refused: they hide from
a reader what a policy says, and let a small file stand for an endless one.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import yaml

from adapters.yaml_file import DEPTH_MAX, is_deep
from engine.policy.checked import Place
from engine.policy.document import Path

_TAG: Final = "tag:yaml.org,2002:"
_BYTES_MAX: Final = 1_000_000
_DIGITS_MAX: Final = 40


class YamlProblem(NamedTuple):
    """What is wrong with a file, and where."""

    place: Place
    message: str


class Located(NamedTuple):
    """
    One document of a file.

    Attributes
    ----------
    places
        Where keys and items begin, by path; the empty path is the document itself.
    """

    value: object
    places: Mapping[Path, Place]
    texts: Mapping[Path, yaml.ScalarNode]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Composes nodes with the scalars of YAML 1.2."""

    yaml_implicit_resolvers: Final[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}


# Tag, pattern, and the signs that such a scalar may begin with.
for _name, _pattern, _firsts in (
    ("bool", r"true|True|TRUE|false|False|FALSE", (*"tTfF",)),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", (*"-+0123456789",)),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", (*"-+.0123456789",)),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", (*"-+.",)),
    ("null", r"~|null|Null|NULL|", ("~", "n", "N", "")),
):
    for _first in _firsts:
        _Loader.yaml_implicit_resolvers.setdefault(_first, []).append(
            (_TAG + _name, re.compile(rf"^(?:{_pattern})$"))
        )


def read_documents(text: str) -> tuple[list[Located], list[YamlProblem]]:
    """Every document of a file, and what is wrong with the file itself."""
    whole = Place(1, 1)
    if len(text) > _BYTES_MAX:
        return [], [YamlProblem(whole, f"expected at most {_BYTES_MAX} characters")]
    if is_deep(text):
        return [], [YamlProblem(whole, f"expected at most {DEPTH_MAX} levels")]
    try:
        nodes = [node for node in yaml.compose_all(text, _Loader) if node.value != ""]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else whole
        return [], [YamlProblem(place, f"no YAML: {error.problem or error.context}")]
    except yaml.YAMLError as error:
        return [], [YamlProblem(whole, f"no YAML: {error}")]
    reading = _Reading()
    return [reading.document(node) for node in nodes], reading.problems


class _Reading:
    """One file being read."""

    def __init__(self) -> None:
        self.problems: list[YamlProblem] = []
        self._seen: set[int] = set()
        self._places: dict[Path, Place] = {}
        self._texts: dict[Path, yaml.ScalarNode] = {}

    def document(self, node: yaml.Node) -> Located:
        """A document; problems are noted."""
        self._places, self._texts = {}, {}
        return Located(self._value(node, ()), self._places, self._texts)

    def _value(self, node: yaml.Node, path: Path) -> object:
        self._places.setdefault(path, _start(node))
        if id(node) in self._seen:
            self._note(node, "expected no alias: write out what is meant")
            return None
        self._seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*path, place)) for place, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        self._texts[path] = node
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, object]:
        found: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            if not isinstance(key, str):
                self._note(key_node, "expected a text as key")
            elif key in found:
                self._note(key_node, f"{key!r} stands here for the second time")
            else:
                self._places[(*path, key)] = _start(key_node)
                found[key] = self._value(value_node, (*path, key))
        return found

    def _scalar(self, node: yaml.ScalarNode) -> object:
        convert = _SCALARS.get(node.tag.removeprefix(_TAG))
        if convert is None:
            self._note(node, f"expected no tag, got {node.tag}")
            return None
        return convert(node.value)

    def _note(self, node: yaml.Node, message: str) -> None:
        self.problems.append(YamlProblem(_start(node), message))


def _start(node: yaml.Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


def _int(text: str) -> int | str:
    """A whole number; one of more digits than any field holds stays a text."""
    if len(text) > _DIGITS_MAX:
        return text
    return int(text, 0 if text.startswith(("0o", "0x")) else 10)


def _float(text: str) -> float:
    sign = -1.0 if text.startswith("-") else 1.0
    match text.lstrip("+-").lower():
        case ".inf":
            return sign * math.inf
        case ".nan":
            return math.nan
    return float(text)


_SCALARS: Final[Mapping[str, Callable[[str], object]]] = {
    "str": str,
    "bool": lambda text: text.lower() == "true",
    "int": _int,
    "float": _float,
    "null": lambda _: None,
}


def place_within(node: yaml.ScalarNode, within: Place, text: str) -> Place:
    """
    Where in a file's text a place within a scalar's value stands.

    Folding and indentation change only white space, so that signs are counted without it. Exact but
    in quotes with escapes, where it is a little to the left.
    """
    value = str(node.value)
    lines = value.split("\n")[: within.line]
    before = "".join(lines[:-1]) + lines[-1][: within.column - 1]
    left = len("".join(before.split()))
    at_sign = not value[sum(map(len, lines[:-1])) + len(lines) - 1 + within.column - 1 :][
        :1
    ].isspace()
    line, column = node.start_mark.line, node.start_mark.column
    if node.style in ("|", ">"):
        line, column = line + 1, 0
    elif node.style in ("'", '"'):
        column += 1
    place = Place(line + 1, column + 1)
    for number, source in enumerate(text.split("\n")[line:]):
        for at in range(column if number == 0 else 0, len(source)):
            if source[at].isspace():
                continue
            if left == 0 and at_sign:
                return Place(line + number + 1, at + 1)
            left -= 1
            place = Place(line + number + 1, at + 2)
            if left == 0 and not at_sign:
                return place
    return place
