"""
Expressions of policies: CEL as checked, brought down to the few operations that are evaluated.

Every operation costs the same whatever the data: comprehensions, functions with unbounded results
and everything not in `_OVERLOADS` are refused when a policy is loaded. What is left has the
semantics of CEL: integers overflow to errors and divide towards zero, `&&` and `||` absorb errors
whichever side they stand on, a name without a value is an error.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Final

from engine.policy.checked import (
    NODES_MAX,
    TEXT_MAX,
    Call,
    Checker,
    ExpressionRefused,
    Kind,
    Listed,
    Literal,
    Node,
    Pattern,
    Place,
    Problem,
    Reference,
    Scope,
    Select,
    Unsupported,
)

# Longest duration, milliseconds: 292 years. CEL knows longer ones, but the official implementation
# adds in 64 bits of nanoseconds, and cuts longer ones off to that without a word.
DURATION_MS_MAX: Final = 9_223_372_036_854


class Operator(Enum):
    """What is done to arguments; which kinds they have is told by the arguments."""

    AND = "&&"
    OR = "||"
    NOT = "!"
    CHOOSE = "?:"
    EQUAL = "=="
    NOT_EQUAL = "!="
    LESS = "<"
    LESS_EQUAL = "<="
    GREATER = ">"
    GREATER_EQUAL = ">="
    ADD = "+"
    SUBTRACT = "-"
    MULTIPLY = "*"
    DIVIDE = "/"
    REMAINDER = "%"
    NEGATE = "neg"
    TO_DOUBLE = "double"
    TO_INT = "int"
    # Second argument: a `Constant` with a tuple of values.
    IN = "in"
    # Second argument: a `Constant` text.
    STARTS_WITH = "startsWith"
    ENDS_WITH = "endsWith"
    CONTAINS = "contains"
    MATCHES = "matches"
    HOURS = "getHours"
    MINUTES = "getMinutes"
    SECONDS = "getSeconds"
    # Of contacts: a text among texts; a key among attributes; the value of a key.
    AMONG = "among"
    HAS = "has"
    ATTRIBUTE = "attribute"


Value = bool | int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Constant:
    """A value; a DURATION in milliseconds."""

    kind: Kind
    value: Value
    place: Place


@dataclass(frozen=True, slots=True)
class Name:
    """A name of the scope."""

    kind: Kind
    name: str
    place: Place


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator with its arguments; `kind` is that of the result."""

    kind: Kind
    operator: Operator
    arguments: tuple["Term", ...]
    place: Place


Term = Constant | Name | Operation


@dataclass(frozen=True, slots=True)
class Expression:
    """
    An expression that can be evaluated.

    Attributes
    ----------
    names
        Of the scope, those it uses, ascending.
    patterns
        Matchers of its regular expressions.
    """

    text: str
    root: Term
    names: tuple[str, ...]
    patterns: Mapping[str, Pattern] = field(compare=False)


# Overload as the checker names it -> operator and kind of the result.
_OVERLOADS: Final[Mapping[str, tuple[Operator, Kind]]] = MappingProxyType(
    {
        "logical_and": (Operator.AND, Kind.BOOL),
        "logical_or": (Operator.OR, Kind.BOOL),
        "logical_not": (Operator.NOT, Kind.BOOL),
        "equals": (Operator.EQUAL, Kind.BOOL),
        "not_equals": (Operator.NOT_EQUAL, Kind.BOOL),
        **{
            f"{word}_{kind}": (operator, Kind.BOOL)
            for word, operator in (
                ("less", Operator.LESS),
                ("less_equals", Operator.LESS_EQUAL),
                ("greater", Operator.GREATER),
                ("greater_equals", Operator.GREATER_EQUAL),
            )
            for kind in ("int64", "double", "duration")
        },
        **{
            f"{word}_int64": (operator, Kind.INT)
            for word, operator in (
                ("add", Operator.ADD),
                ("subtract", Operator.SUBTRACT),
                ("multiply", Operator.MULTIPLY),
                ("divide", Operator.DIVIDE),
                ("modulo", Operator.REMAINDER),
                ("negate", Operator.NEGATE),
            )
        },
        **{
            f"{word}_double": (operator, Kind.DOUBLE)
            for word, operator in (
                ("add", Operator.ADD),
                ("subtract", Operator.SUBTRACT),
                ("multiply", Operator.MULTIPLY),
                ("divide", Operator.DIVIDE),
                ("negate", Operator.NEGATE),
            )
        },
        "add_duration_duration": (Operator.ADD, Kind.DURATION),
        "subtract_duration_duration": (Operator.SUBTRACT, Kind.DURATION),
        "int64_to_double": (Operator.TO_DOUBLE, Kind.DOUBLE),
        "double_to_int64": (Operator.TO_INT, Kind.INT),
        "in_list": (Operator.IN, Kind.BOOL),
        "in_map": (Operator.HAS, Kind.BOOL),
        "index_map": (Operator.ATTRIBUTE, Kind.STRING),
        "starts_with_string": (Operator.STARTS_WITH, Kind.BOOL),
        "ends_with_string": (Operator.ENDS_WITH, Kind.BOOL),
        "contains_string": (Operator.CONTAINS, Kind.BOOL),
        "matches": (Operator.MATCHES, Kind.BOOL),
        "matches_string": (Operator.MATCHES, Kind.BOOL),
        "duration_to_hours": (Operator.HOURS, Kind.INT),
        "duration_to_minutes": (Operator.MINUTES, Kind.INT),
        "duration_to_seconds": (Operator.SECONDS, Kind.INT),
    }
)
_SCALARS: Final = (Kind.BOOL, Kind.INT, Kind.DOUBLE, Kind.STRING, Kind.DURATION)
_LISTED: Final = (Kind.INT, Kind.DOUBLE, Kind.STRING, Kind.DURATION)
_WITH_TEXT: Final = (
    Operator.STARTS_WITH, Operator.ENDS_WITH, Operator.CONTAINS, Operator.MATCHES
)  # fmt: skip


def compile_expression(
    text: str, scope: Scope, checker: Checker, expected: Kind = Kind.BOOL
) -> Expression:
    """
    Check an expression and bring it down to what is evaluated.

    Raises
    ------
    ExpressionRefused
        With everything that is wrong: first what the checker finds, and once that is sound what
        policies may not use.
    """
    if not text.strip():
        raise ExpressionRefused(text, [Problem(Place(1, 1), "expected an expression, got nothing")])
    if len(text) > TEXT_MAX:
        message = f"expected at most {TEXT_MAX} characters, got {len(text)}"
        raise ExpressionRefused(text, [Problem(Place(1, 1), message)])
    building = _Building(scope, checker)
    root = building.term(checker.check(text, scope))
    if building.nodes > NODES_MAX:
        message = f"expected at most {NODES_MAX} operations and values, got {building.nodes}"
        building.problems.append(Problem(Place(1, 1), message))
    if not building.problems and root.kind is not expected:
        message = f"expected {expected.value}, got {root.kind.value}"
        building.problems.append(Problem(root.place, message))
    if building.problems:
        raise ExpressionRefused(text, building.problems)
    names = tuple(sorted(building.names))
    return Expression(text, root, names, MappingProxyType(building.patterns))


class _Building:
    """One tree being brought down; goes on after a problem, to tell of all."""

    def __init__(self, scope: Scope, checker: Checker) -> None:
        self.problems: list[Problem] = []
        self.names: set[str] = set()
        self.patterns: dict[str, Pattern] = {}
        self.nodes = 0
        self._scope = scope
        self._checker = checker

    def term(self, node: Node) -> Term:
        """The term of a node; after a problem some term, which nobody uses."""
        self.nodes += 1
        match node:
            case Literal(place, kind, value):
                return Constant(kind, value, place)
            case Reference(place, name):
                self.names.add(name)
                return Name(self._scope[name], name, place)
            case Select():
                return self._selected(node)
            case Call():
                return self._called(node)
            case Listed(place):
                return self._refused(place, "a list may only stand behind `in`")
            case Unsupported(place, what):
                return self._refused(place, f"{what} cannot be used in policies")

    def _refused(self, place: Place, message: str) -> Term:
        self.problems.append(Problem(place, message))
        return Constant(Kind.BOOL, False, place)

    def _selected(self, node: Select) -> Term:
        operand = self.term(node.operand)
        if operand.kind is not Kind.ATTRIBUTES:
            return self._refused(node.place, f"{operand.kind.value} has no field {node.field!r}")
        key = Constant(Kind.STRING, node.field, node.place)
        if node.is_test:
            return Operation(Kind.BOOL, Operator.HAS, (key, operand), node.place)
        return Operation(Kind.STRING, Operator.ATTRIBUTE, (operand, key), node.place)

    def _called(self, node: Call) -> Term:
        if node.overloads == ("conditional",):
            condition, yes, no = (self.term(item) for item in node.arguments)
            return self._of_scalars(
                Operation(yes.kind, Operator.CHOOSE, (condition, yes, no), node.place)
            )
        if node.overloads in (("int64_to_int64",), ("double_to_double",)):
            return self.term(node.arguments[0])
        if len(node.overloads) != 1 or node.overloads[0] not in _OVERLOADS:
            message = f"`{node.function}` with such arguments cannot be used in policies"
            return self._refused(node.place, message)
        operator, kind = _OVERLOADS[node.overloads[0]]
        if operator is Operator.IN:
            return self._among(node)
        arguments = tuple(self.term(item) for item in node.arguments)
        made = Operation(kind, operator, arguments, node.place)
        if operator in _WITH_TEXT:
            return self._with_text(made)
        return made if operator in (Operator.HAS, Operator.ATTRIBUTE) else self._of_scalars(made)

    def _of_scalars(self, made: Operation) -> Term:
        """Lists and maps are compared with nothing and chosen from nothing."""
        for argument in made.arguments:
            if argument.kind not in _SCALARS:
                message = f"`{made.operator.value}` cannot be used with {argument.kind.value}"
                return self._refused(made.place, message)
        return made

    def _among(self, node: Call) -> Term:
        needle = self.term(node.arguments[0])
        listed = node.arguments[1]
        if not isinstance(listed, Listed):
            texts = self.term(listed)
            return Operation(Kind.BOOL, Operator.AMONG, (needle, texts), node.place)
        values: list[Value] = []
        for item in listed.items:
            constant = self.term(item)
            if not isinstance(constant, Constant):
                self._refused(item.place, "a list may only hold values that are written out")
            elif constant.kind is not needle.kind or constant.kind not in _LISTED:
                message = f"expected {needle.kind.value} in the list, got {constant.kind.value}"
                self._refused(item.place, message)
            else:
                values.append(constant.value)
        if not listed.items:
            self._refused(listed.place, "expected at least one value in the list")
        choices = Constant(needle.kind, tuple(values), listed.place)  # type: ignore[arg-type]
        return Operation(Kind.BOOL, Operator.IN, (needle, choices), node.place)

    def _with_text(self, made: Operation) -> Term:
        text = made.arguments[1]
        if not isinstance(text, Constant):
            message = f"`{made.operator.value}` takes a text that is written out"
            return self._refused(text.place, message)
        if made.operator is Operator.MATCHES:
            regex = str(text.value)
            try:
                self.patterns[regex] = self._checker.pattern(regex)
            except ValueError as error:
                return self._refused(text.place, f"no regular expression: {error}")
        return made


def walk(term: Term, visit: Callable[[Term], None]) -> None:
    """Visit a term and all below it, arguments before what takes them."""
    if isinstance(term, Operation):
        for argument in term.arguments:
            walk(argument, visit)
    visit(term)
