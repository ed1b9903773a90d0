"""Scenarios from YAML files."""

from pathlib import Path

from adapters.yaml_file import NotYaml, read_yaml
from engine.simulation.checking import Problem, ScenarioRefused, read
from engine.simulation.scenario import Scenario


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
        declared = read_yaml(path)
    except NotYaml as error:
        raise ScenarioRefused([Problem(error.place, error.expected)]) from None
    if not isinstance(declared, dict):
        raise ScenarioRefused(
            [Problem("the file", "a mapping of keys, such as queues and streams")]
        )
    return read(declared)
