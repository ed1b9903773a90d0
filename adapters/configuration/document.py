"""The configuration file: what it holds, how it is written, read and checked."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import yaml
from google.protobuf.message import Message

from adapters.configuration.fields import Problem, fill, meant, plain, problem
from adapters.definitions import agent_definition, queue_definition
from adapters.translation import agent_command, queue_command
from adapters.yaml_file import NotYaml, read_yaml
from engine.refusals import CommandRefused
from engine.routing.validation import validate
from headgate.v1 import agent_pb2, queue_pb2

# Where libyaml is, it writes ten times as fast; the text is the same.
_Dumper: Final[type[yaml.SafeDumper]] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_ENGINE_VIOLATIONS_MAX: Final = 20


class Section(NamedTuple):
    """
    One list of the file.

    Attributes
    ----------
    name, word
        Key in the file; what one of its entries is called.
    id_field
        Field that names an entry.
    new
        Makes an empty entry.
    settled
        The definition as the engine would keep it, with defaults in the place of what was left
        out. Raises CommandRefused with every broken rule.
    """

    name: str
    word: str
    id_field: str
    new: Callable[[], Message]
    settled: Callable[[Message], Message]

    def id_of(self, definition: Message) -> str:
        """What names an entry."""
        return str(getattr(definition, self.id_field))


def _settled_queue(message: Message) -> Message:
    assert isinstance(message, queue_pb2.Queue)
    command = queue_command(message)
    validate(command)
    return queue_definition(command)


def _settled_agent(message: Message) -> Message:
    assert isinstance(message, agent_pb2.Agent)
    command = agent_command(message)
    validate(command)
    return agent_definition(command)


QUEUES: Final = Section("queues", "queue", "queue_id", queue_pb2.Queue, _settled_queue)
AGENTS: Final = Section("agents", "agent", "agent_id", agent_pb2.Agent, _settled_agent)
# In the order in which they are applied: what is named before what names it.
SECTIONS: Final = (QUEUES, AGENTS)

# Entries by id, by section. A section that is not there says nothing of its entries.
Configuration = Mapping[str, Mapping[str, Message]]


class ConfigurationRefused(ValueError):
    """
    A file is no configuration of a cell.

    Attributes
    ----------
    problems
        Every broken rule; at least one.
    """

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(item) for item in problems))
        self.problems = problems


def as_yaml(configuration: Configuration, *, is_full: bool = True) -> str:
    """
    The file of a configuration: the same text for the same definitions.

    Parameters
    ----------
    is_full
        Whether fields at their default are written as well.
    """
    values = {
        section.name: [
            plain(configuration[section.name][name], is_full=is_full)
            for name in sorted(configuration[section.name])
        ]
        for section in SECTIONS
        if section.name in configuration
    }
    return yaml.dump(
        values,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        # Long names are not broken into lines.
        width=1_000_000,
    )


@dataclass(frozen=True, slots=True)
class Declared:
    """
    A file that was read and checked on its own.

    Attributes
    ----------
    configuration
        What it asks for, defaults filled in.
    places
        Path in the file of each entry, by section and id.
    """

    configuration: Configuration
    places: Mapping[str, Mapping[str, str]]


def read_configuration(path: Path) -> Declared:
    """
    Read and check a configuration file.

    Raises
    ------
    ConfigurationRefused
        With every broken rule: first those of the form, and once it is sound those of the values.
    OSError
        The file cannot be read.
    """
    try:
        values = read_yaml(path)
    except NotYaml as error:
        raise ConfigurationRefused([Problem(error.place, "", error.expected)]) from None
    return checked(values)


def checked(values: object) -> Declared:
    """
    A configuration from plain values.

    Raises
    ------
    ConfigurationRefused
        As `read_configuration`.
    """
    messages: dict[str, list[Message]] = {}
    problems = list(_form(values, messages))
    if problems:
        raise ConfigurationRefused(problems)
    configuration: dict[str, dict[str, Message]] = {}
    places: dict[str, dict[str, str]] = {}
    for section in SECTIONS:
        if section.name not in messages:
            continue
        found = configuration[section.name] = {}
        where = places[section.name] = {}
        problems += _values(section, messages[section.name], found, where)
    if problems:
        raise ConfigurationRefused(problems)
    return Declared(configuration, places)


def _form(values: object, messages: dict[str, list[Message]]) -> Iterator[Problem]:
    """Broken rules of form; fills the messages of each section that is there."""
    names = [section.name for section in SECTIONS]
    if not isinstance(values, Mapping):
        yield problem("the file", values, f"a mapping of {' and '.join(names)}")
        return
    for name in values:
        if name not in names:
            hint = meant(str(name), names)
            yield problem(str(name), name, f"one of the keys {', '.join(names)}{hint}")
    for section in SECTIONS:
        if section.name not in values:
            continue
        entries = values[section.name]
        if not isinstance(entries, list):
            yield problem(section.name, entries, f"a list of {section.name}, [] for none")
            continue
        made = messages[section.name] = []
        for place, entry in enumerate(entries):
            made.append(section.new())
            yield from fill(made[-1], entry, f"{section.name}[{place}]")


def _values(
    section: Section,
    messages: list[Message],
    found: dict[str, Message],
    places: dict[str, str],
) -> Iterator[Problem]:
    """Broken rules of the values of a section; fills its definitions and where they stand."""
    counts = Counter(section.id_of(message) for message in messages)
    for place, message in enumerate(messages):
        path = f"{section.name}[{place}]"
        name = section.id_of(message)
        if name and counts[name] > 1 and name in found:
            first = places[name]
            yield problem(f"{path}.{section.id_field}", name, f"another id than that of {first}")
            continue
        try:
            found[name] = section.settled(message)
        except CommandRefused as refused:
            for item in refused.violations[:_ENGINE_VIOLATIONS_MAX]:
                inner = item.field.removeprefix(f"{section.word}.")
                yield Problem(f"{path}.{inner}", item.value, item.expected)
            found[name] = message
        places[name] = path


def unknown_queues(
    declared: Declared, known: Mapping[str, Message] | None = None
) -> Iterator[Problem]:
    """
    Agents and queues of the file that name a queue which will not be there.

    Parameters
    ----------
    known
        Queues that are there besides those of the file.
    """
    queues = {**(known or {}), **declared.configuration.get(QUEUES.name, {})}
    for name, queue in declared.configuration.get(QUEUES.name, {}).items():
        assert isinstance(queue, queue_pb2.Queue)
        fallback_id = queue.fallback_queue_id
        if fallback_id and fallback_id not in queues:
            path = f"{declared.places[QUEUES.name][name]}.fallback_queue_id"
            yield problem(path, fallback_id, f"the id of a queue{meant(fallback_id, queues)}")
    for name, agent in declared.configuration.get(AGENTS.name, {}).items():
        assert isinstance(agent, agent_pb2.Agent)
        for place, queue_id in enumerate(agent.queue_ids):
            if queue_id not in queues:
                path = f"{declared.places[AGENTS.name][name]}.queue_ids[{place}]"
                yield problem(path, queue_id, f"the id of a queue{meant(queue_id, queues)}")
