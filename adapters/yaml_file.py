"""YAML files of plain values, refused with the place where they break a rule."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Final

import yaml

# libyaml follows any depth until its stack ends, and the process with it.
DEPTH_MAX: Final = 100
_NESTED_IN_LINE: Final = re.compile(rf"(?:[-?:]\s+){{{DEPTH_MAX}}}")
_TEXT: Final = "tag:yaml.org,2002:str"


class NotYaml(ValueError):
    """
    A file is no YAML that we take.

    Attributes
    ----------
    place
        Line and column, or "the file".
    expected
        What was expected there.
    """

    def __init__(self, place: str, expected: str) -> None:
        super().__init__(f"{place}: expected {expected}")
        self.place = place
        self.expected = expected


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Plain values only, and no key twice: the second would silently win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        """A mapping whose keys differ."""
        seen: set[object] = set()
        for key_node, _ in node.value:
            if key_node.tag == _TEXT:
                key = key_node.value
            else:
                key = self.construct_object(key_node, deep=True)
                # A key that is no scalar the base class refuses, with its place.
                if not isinstance(key, Hashable):
                    continue
            if key in seen:
                place = key_node.start_mark
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} stands here for the second time", place
                )
            seen.add(key)
        return dict(super().construct_mapping(node, deep))


def read_yaml(path: Path) -> object:
    """
    Plain values of a file.

    Raises
    ------
    NotYaml
        It is no YAML, not in UTF-8, or has a key twice.
    OSError
        The file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if is_deep(text):
            raise NotYaml("the file", f"YAML of at most {DEPTH_MAX} levels")
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "the file"
        raise NotYaml(place, f"YAML, but {error.problem}") from None
    except NotYaml:
        raise
    # A date that is none, such as 2020-13-01, comes as a plain ValueError.
    except (ValueError, yaml.YAMLError) as error:
        raise NotYaml("the file", f"YAML in UTF-8, but {error}") from None


def is_deep(text: str) -> bool:
    """Whether brackets or dashes may nest deeper than any file of ours has reason to."""
    depth = 0
    for match in re.finditer(r"[\[\]{}]", text):
        depth = max(depth + (1 if match[0] in "[{" else -1), 0)
        if depth > DEPTH_MAX:
            return True
    return _NESTED_IN_LINE.search(text) is not None
