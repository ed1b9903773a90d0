"""What came of an import: queues, agents, and everything that is not as it was."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, TypeVar

from google.protobuf.message import Message

from adapters.configuration.document import (
    AGENTS,
    QUEUES,
    ConfigurationRefused,
    as_yaml,
    checked,
    unknown_queues,
)
from adapters.configuration.fields import Problem, plain, problem
from headgate.v1.agent_pb2 import Agent
from headgate.v1.queue_pb2 import Queue

M = TypeVar("M", bound=Message)


class Kind(Enum):
    """What became of an item; the words are a heading."""

    CORRECT = "To be corrected by hand before it can be applied"
    LEFT_OUT = "Left out, and what to use instead"
    APPROXIMATE = "Taken over, but not quite the same"
    AT_ROUTE = "To be said with each Route, because contacts ask for it and queues do not"


class Finding(NamedTuple):
    """
    One item that is not as it was.

    Attributes
    ----------
    path
        Where it stands in the other system's file.
    shown
        What stands there, shortened.
    why
        Why, and what to do.
    """

    kind: Kind
    path: str
    shown: str
    why: str

    @property
    def item(self) -> str:
        """Where, and what stands there."""
        return f"{self.path} = {self.shown}" if self.shown else self.path


class NotImportable(ValueError):
    """
    A file is not of the form that the other system writes.

    Attributes
    ----------
    problems
        What is wrong with it; at least one.
    """

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(str(item) for item in problems))
        self.problems = problems


@dataclass(slots=True)
class Import:
    """
    What has been brought over so far.

    Attributes
    ----------
    queues, agents
        By id; only what is not default is set.
    findings
        In the order in which they were found.
    """

    queues: dict[str, Queue] = field(default_factory=dict)
    agents: dict[str, Agent] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def add_queue(self, name: str, path: str) -> Queue:
        """
        A new queue.

        Raises
        ------
        NotImportable
            There is one of that name.
        """
        return _added(self.queues, Queue(queue_id=name), name, path)

    def add_agent(self, name: str, path: str) -> Agent:
        """A new agent, as `add_queue`."""
        return _added(self.agents, Agent(agent_id=name), name, path)

    def tell(self, kind: Kind, path: str, value: object, why: str) -> None:
        """Note an item that is not as it was."""
        self.findings.append(Finding(kind, _in_one_line(path), _shown(value), _in_one_line(why)))

    def finish(self) -> None:
        """Note what an engine would refuse of the result."""
        values = {QUEUES.name: _plain(self.queues), AGENTS.name: _plain(self.agents)}
        problems: Iterable[Problem]
        try:
            problems = unknown_queues(checked(values))
        except ConfigurationRefused as refused:
            problems = refused.problems
        for item in problems:
            why = f"expected {item.expected}"
            self.tell(Kind.CORRECT, item.path, item.shown, why)

    def as_file(self, made_by: str) -> str:
        """The configuration file, with everything that was found at its head."""
        head = [f"# Made by `{_in_one_line(made_by)}`."]
        for line in self.report():
            head.append(f"# {line}".rstrip())
        body = as_yaml({QUEUES.name: self.queues, AGENTS.name: self.agents}, is_full=False)
        return "\n".join(head) + "\n" + body

    def report(self) -> Iterator[str]:
        """Everything that was found, for people; nothing where all is as it was."""
        for kind in Kind:
            # What is told of many items alike is told once.
            items: dict[str, list[str]] = {}
            for finding in self.findings:
                if finding.kind is kind:
                    items.setdefault(finding.why, []).append(finding.item)
            if items:
                yield ""
                yield f"{kind.value}:"
            for why, alike in items.items():
                if len(alike) == 1:
                    yield f"- {alike[0]}: {why}"
                else:
                    yield f"- {why}:"
                    yield from (f"    {item}" for item in alike)


def _added(entries: dict[str, M], entry: M, name: str, path: str) -> M:
    if name in entries:
        raise NotImportable(problem(path, name, "another name: it is taken already"))
    entries[name] = entry
    return entry


def _plain(entries: dict[str, Queue] | dict[str, Agent]) -> list[dict[str, object]]:
    return [plain(entries[name], is_full=False) for name in sorted(entries)]


def _shown(value: object) -> str:
    text = _in_one_line("" if value is None else value if isinstance(value, str) else repr(value))
    return text if len(text) <= 80 else text[:77] + "..."


def _in_one_line(text: str) -> str:
    """A text without anything that would end a line, and a comment with it."""
    return "".join(character if character.isprintable() else "?" for character in text)
