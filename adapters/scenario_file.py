"""Scenarios from YAML files."""

from collections.abc import Hashable
from pathlib import Path

import yaml

from engine.simulation.checking import Problem, ScenarioRefused, read
from engine.simulation.scenario import Scenario


class _Loader(yaml.SafeLoader):
    """Plain values only, and no key twice: the second would silently win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        """A mapping whose keys differ."""
        seen: set[object] = set()
        for key_node, _ in node.value:
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
        return super().construct_mapping(node, deep)


def read_scenario(path: Path) -> Scenario:
    """
    Read a scenario.

    Raises
    ------
    ScenarioRefused
        With every broken rule, by path.
    OSError
        The file cannot be read.
    """
    try:
        declared = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "the file"
        raise ScenarioRefused([Problem(place, f"YAML, but {error.problem}")]) from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ScenarioRefused([Problem("the file", f"YAML in UTF-8, but {error}")]) from None
    if not isinstance(declared, dict):
        raise ScenarioRefused(
            [Problem("the file", "a mapping of keys, such as queues and streams")]
        )
    return read(declared)
