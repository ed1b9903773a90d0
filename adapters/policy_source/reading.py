"""Policies from the text of a file: every problem at once, with line and column."""

from typing import NamedTuple

import yaml

from adapters.policy_source.positions import Located, place_within, read_documents
from engine.policy.checked import Checker, Place
from engine.policy.compiled import Compiled, check_policy
from engine.policy.document import (
    POLICIES_MAX,
    Path,
    PolicyProblem,
    PolicyRefused,
    shown_path,
)


class FileProblem(NamedTuple):
    """
    Something wrong with a file of policies.

    Attributes
    ----------
    message
        What is wrong, after the path where there is one.
    excerpt
        The line it stands in, without its end.
    path
        Where in the document; "" for the file as a whole.
    rule
        Its kind; stable, for tools.
    """

    file: str
    place: Place
    message: str
    excerpt: str
    path: str = ""
    rule: str = "yaml"

    def __str__(self) -> str:
        """`file:line:col: message`, and below it the line with a caret."""
        head = f"{self.file}:{self.place.line}:{self.place.column}: {self.message}"
        return "\n".join([head, *(f" | {line}" for line in self.marked)])

    @property
    def plain(self) -> str:
        """What is wrong, without the path."""
        return self.message.removeprefix(f"{self.path}: ")

    @property
    def marked(self) -> tuple[str, ...]:
        """The line, and one with a caret below its place; nothing where the line is empty."""
        before = self.excerpt[: self.place.column - 1]
        spaces = "".join("\t" if sign == "\t" else " " for sign in before)
        return (self.excerpt, f"{spaces}^") if self.excerpt else ()


class LocatedPolicy(NamedTuple):
    """A policy of a file, and where its parts stand."""

    compiled: Compiled
    file: str
    text: str
    located: Located

    def problem(self, problem: PolicyProblem) -> FileProblem:
        """A problem of the policy, where it stands in the file."""
        return _in_file(problem, self.located, (self.file, self.text))

    @property
    def name(self) -> str:
        """The policy's identity."""
        return self.compiled.policy.name


class FileRead(NamedTuple):
    """What a file holds; policies that have problems are left out."""

    policies: list[LocatedPolicy]
    problems: list[FileProblem]


def read_policies(file: str, text: str, checker: Checker) -> FileRead:
    """
    Policies of a file; several are separated by `---`.

    Parameters
    ----------
    file
        How the file is called in problems.
    """
    documents, wrong = read_documents(text)
    problems = [
        FileProblem(file, item.place, item.message, _line(text, item.place)) for item in wrong
    ]
    if problems:
        return FileRead([], problems)
    if len(documents) > POLICIES_MAX:
        message = f"expected at most {POLICIES_MAX} policies, got {len(documents)}"
        return FileRead([], [FileProblem(file, Place(1, 1), message, "")])
    policies: list[LocatedPolicy] = []
    for located in documents:
        try:
            compiled = check_policy(located.value, checker)
        except PolicyRefused as error:
            problems += [_in_file(item, located, (file, text)) for item in error.problems]
        else:
            policies.append(LocatedPolicy(compiled, file, text, located))
    return FileRead(policies, sorted(problems, key=lambda item: item.place))


def _in_file(problem: PolicyProblem, located: Located, source: tuple[str, str]) -> FileProblem:
    file, text = source
    place = _place(problem, located, text)
    path = shown_path(problem.path)
    rule = "form" if problem.place is None else "expression"
    return FileProblem(file, place, f"{path}: {problem.message}", _line(text, place), path, rule)


def _place(problem: PolicyProblem, located: Located, text: str) -> Place:
    node = located.texts.get(problem.path)
    if problem.place is not None and isinstance(node, yaml.ScalarNode):
        return place_within(node, problem.place, text)
    path: Path = problem.path
    # What is missing stands where it should be: at the nearest thing above it.
    while path not in located.places and path:
        path = path[:-1]
    return located.places.get(path, Place(1, 1))


def _line(text: str, place: Place) -> str:
    lines = text.split("\n")
    return lines[place.line - 1].rstrip("\r") if place.line <= len(lines) else ""
