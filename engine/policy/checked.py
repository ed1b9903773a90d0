"""
What a checker of expressions gives: a tree of plain nodes with places, or every problem at once.

Expressions are CEL. The official implementation checks them when a policy is loaded; it stands
behind `Checker`, so that the engine neither depends on a young library nor holds its objects, and
a request never meets it. Places count from 1, columns in characters.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple, Protocol

# Longest expression, and most nodes of one: cost stays linear and small.
TEXT_MAX: Final = 4_000
NODES_MAX: Final = 400


class Kind(Enum):
    """
    Type of a value, by its name in CEL.

    A DURATION is whole milliseconds as int64; STRINGS and ATTRIBUTES occur on contacts only.
    """

    BOOL = "bool"
    INT = "int"
    DOUBLE = "double"
    STRING = "string"
    DURATION = "duration"
    STRINGS = "list(string)"
    ATTRIBUTES = "map(string, string)"


# Names an expression may use, and their types.
Scope = Mapping[str, Kind]


class Place(NamedTuple):
    """Where in a text; both count from 1, columns in characters."""

    line: int
    column: int


class Problem(NamedTuple):
    """One thing wrong with an expression; `message` has no line breaks."""

    place: Place
    message: str

    def shown(self, text: str) -> str:
        """The problem with its line of the text and a caret under the place."""
        lines = text.split("\n")
        line = lines[self.place.line - 1] if self.place.line <= len(lines) else ""
        spaces = "".join("\t" if sign == "\t" else " " for sign in line[: self.place.column - 1])
        return f"{self.place.line}:{self.place.column}: {self.message}\n | {line}\n | {spaces}^"


class ExpressionRefused(ValueError):
    """
    An expression cannot be used.

    Attributes
    ----------
    text
        The expression.
    problems
        Everything wrong with it, in the order of the text; at least one.
    """

    def __init__(self, text: str, problems: Sequence[Problem]) -> None:
        assert problems
        self.text = text
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(problem.shown(text) for problem in self.problems))


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that is written out; a DURATION in milliseconds."""

    place: Place
    kind: Kind
    value: bool | int | float | str


@dataclass(frozen=True, slots=True)
class Reference:
    """A name of the scope."""

    place: Place
    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """`operand.field`, or whether it is there (`has`)."""

    place: Place
    operand: "Node"
    field: str
    is_test: bool


@dataclass(frozen=True, slots=True)
class Call:
    """
    A function or operator.

    Attributes
    ----------
    overloads
        Ids the checker resolved it to; more than one where types are not known before it runs.
    arguments
        In order; the target of a member call first.
    """

    place: Place
    function: str
    overloads: tuple[str, ...]
    arguments: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Listed:
    """A list that is written out."""

    place: Place
    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Unsupported:
    """What no policy may use, such as a comprehension; `what` names it."""

    place: Place
    what: str


Node = Literal | Reference | Select | Call | Listed | Unsupported

# Whether a text has a match of a regular expression.
Pattern = Callable[[str], bool]


class Checker(Protocol):
    """Checks expressions when a policy is loaded."""

    def check(self, text: str, scope: Scope) -> Node:
        """
        Tree of an expression: names and types are right, durations are folded to literals.

        Raises
        ------
        ExpressionRefused
            With everything that is wrong.
        """

    def pattern(self, regex: str) -> Pattern:
        """
        A matcher of a regular expression, as CEL's `matches` takes it, in linear time.

        Raises
        ------
        ValueError
            It is no regular expression; the message says why.
        """
