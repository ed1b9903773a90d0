"""
Expressions of TaskRouter: conditions on the attributes of workers and tasks.

    or         = and { OR and }
    and        = not { AND not }
    not        = NOT not | "(" or ")" | comparison
    comparison = value [ operator value ]
    operator   = "==" "=" "!=" "<>" ">=" "<=" ">" "<" | [NOT] HAS | [NOT] IN | [NOT] CONTAINS
    value      = text | number | TRUE | FALSE | NULL | list | key
    list       = "[" [ value { "," value } ] "]"
    key        = name { "." name | "[" number "]" }

Words may be in lower case. A key that is not there is null.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

# Deeper than anybody writes, and far from the end of the stack.
_DEPTH_MAX: Final = 100
_TOKEN: Final = re.compile(
    r"""\s*(?:
      (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<number>-?\d+(?:\.\d+)?)
    | (?P<name>[A-Za-z_$][\w$]*(?:\.[\w$]+|\[\d+\])*)
    | (?P<sign>==|!=|<>|>=|<=|[=><()\[\],])
    | (?P<end>$)
    )""",
    re.VERBOSE,
)
_SIGNS: Final = {
    "==": "==", "=": "==", "!=": "!=", "<>": "!=", ">=": ">=", "<=": "<=", ">": ">", "<": "<",
}  # fmt: skip
_WORDS: Final = ("HAS", "IN", "CONTAINS")
_CONSTANTS: Final = {"TRUE": True, "FALSE": False, "NULL": None}


class NotAnExpression(ValueError):
    """A text is no expression; the message names the column."""


class Constant(NamedTuple):
    """A value that stands in the expression: text, number, bool, None, or a list of values."""

    value: object


class Key(NamedTuple):
    """An attribute, by its names and places, such as `routing.levels.spanish`."""

    parts: tuple[str | int, ...]

    def __str__(self) -> str:
        text = ""
        for part in self.parts:
            text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
        return text


Value = Constant | Key


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two values and one of == != >= <= > < HAS IN CONTAINS."""

    operator: str
    left: Value
    right: Value


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    inner: "Expression"


@dataclass(frozen=True, slots=True)
class AllOf:
    """Joined by AND; at least two."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Joined by OR; at least two."""

    parts: tuple["Expression", ...]


Expression = Comparison | Not | AllOf | AnyOf


class _Token(NamedTuple):
    kind: str
    text: str
    column: int


def parse_expression(text: str) -> Expression:
    """
    Parse an expression.

    Raises
    ------
    NotAnExpression
        It is none; the message names the column and what was expected there.
    """
    parser = _Parser(_tokens(text))
    expression = parser.expression(0)
    parser.take("end", "AND, OR or the end")
    return expression


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    place = 0
    while not tokens or tokens[-1].kind != "end":
        match = _TOKEN.match(text, place)
        if match is None:
            column = len(text) - len(text[place:].lstrip()) + 1
            shown = text[column - 1 : column + 9]
            raise NotAnExpression(
                f"column {column}: expected a value or an operator, got {shown!r}"
            )
        kind = str(match.lastgroup)
        tokens.append(_Token(kind, match[kind], match.start(kind) + 1))
        place = match.end()
    return tokens


class _Parser:
    """Goes over the tokens once, from left to right."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._place = 0

    @property
    def _next(self) -> _Token:
        return self._tokens[self._place]

    def take(self, kind: str, expected: str, text: str | None = None) -> _Token:
        """The next token, which must be of a kind, and where given this very one."""
        token = self._next
        if token.kind != kind or (text is not None and token.text != text):
            shown = repr(token.text) if token.text else "the end"
            raise NotAnExpression(f"column {token.column}: expected {expected}, got {shown}")
        self._place += 1
        return token

    def _takes(self, kind: str, text: str) -> bool:
        """Whether the next token is this one, in upper case; then it is taken."""
        token = self._next
        if token.kind != kind or token.text.upper() != text:
            return False
        self._place += 1
        return True

    def expression(self, depth: int) -> Expression:
        """`or` of the grammar."""
        parts = [self._all(depth)]
        while self._takes("name", "OR"):
            parts.append(self._all(depth))
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _all(self, depth: int) -> Expression:
        parts = [self._not(depth)]
        while self._takes("name", "AND"):
            parts.append(self._not(depth))
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _not(self, depth: int) -> Expression:
        if depth > _DEPTH_MAX:
            raise NotAnExpression(f"column {self._next.column}: expected less depth")
        if self._takes("name", "NOT"):
            return Not(self._not(depth + 1))
        if self._takes("sign", "("):
            inner = self.expression(depth + 1)
            self.take("sign", "AND, OR or )", ")")
            return inner
        return self._comparison(depth)

    def _comparison(self, depth: int) -> Expression:
        left = self._value(depth)
        is_negated = self._takes("name", "NOT")
        token = self._next
        if token.kind == "sign" and token.text in _SIGNS and not is_negated:
            self._place += 1
            return Comparison(_SIGNS[token.text], left, self._value(depth))
        for operator in _WORDS:
            if self._takes("name", operator):
                comparison = Comparison(operator, left, self._value(depth))
                return Not(comparison) if is_negated else comparison
        if is_negated:
            self.take("name", "HAS, IN or CONTAINS after NOT", "")
        # A key by itself asks whether it is true.
        return Comparison("==", left, Constant(True))

    def _value(self, depth: int) -> Value:
        token = self._next
        if token.kind == "text":
            self._place += 1
            return Constant(re.sub(r"\\(.)", r"\1", token.text[1:-1]))
        if token.kind == "number":
            self._place += 1
            return Constant(float(token.text) if "." in token.text else int(token.text))
        if token.text == "[" and depth <= _DEPTH_MAX:
            return self._list(depth)
        name = self.take("name", "a value").text
        if name.upper() in _CONSTANTS:
            return Constant(_CONSTANTS[name.upper()])
        if name.upper() in ("AND", "OR", "NOT", *_WORDS):
            raise NotAnExpression(f"column {token.column}: expected a value, got {name!r}")
        parts = re.findall(r"[^.\[\]]+|\[\d+\]", name)
        return Key(tuple(int(part[1:-1]) if part[0] == "[" else part for part in parts))

    def _list(self, depth: int) -> Constant:
        self._place += 1
        items: list[object] = []
        while not self._takes("sign", "]"):
            if items:
                self.take("sign", ", or ]", ",")
            column = self._next.column
            item = self._value(depth + 1)
            if not isinstance(item, Constant):
                raise NotAnExpression(f"column {column}: expected text, a number, true or false")
            items.append(item.value)
        return Constant(items)


def keys_of(expression: Expression) -> set[Key]:
    """Every key that an expression looks at."""
    match expression:
        case Comparison(_, left, right):
            return {value for value in (left, right) if isinstance(value, Key)}
        case Not(inner):
            return keys_of(inner)
        case AllOf(parts) | AnyOf(parts):
            return {key for part in parts for key in keys_of(part)}


def is_true(expression: Expression, attributes: Mapping[str, object]) -> bool:
    """Whether attributes satisfy an expression. Values of different kinds are never equal."""
    match expression:
        case Comparison(operator, left, right):
            compare = _COMPARE[operator]
            return compare(look_up(left, attributes), look_up(right, attributes))
        case Not(inner):
            return not is_true(inner, attributes)
        case AllOf(parts):
            return all(is_true(part, attributes) for part in parts)
        case AnyOf(parts):
            return any(is_true(part, attributes) for part in parts)


def look_up(value: Value, attributes: Mapping[str, object]) -> object:
    """What a value is; None for a key that is not there."""
    if isinstance(value, Constant):
        return value.value
    found: object = attributes
    for part in value.parts:
        if isinstance(part, int):
            found = found[part] if isinstance(found, list) and part < len(found) else None
        else:
            found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _is_equal(left: object, right: object) -> bool:
    return isinstance(left, bool) == isinstance(right, bool) and left == right


def _is_in(item: object, many: object) -> bool:
    return isinstance(many, list) and any(_is_equal(item, other) for other in many)


def _is_part(whole: object, part: object) -> bool:
    if isinstance(whole, str) and isinstance(part, str):
        return part in whole
    return _is_in(part, whole)


def _ordered(compare: Callable[[float], bool]) -> Callable[[object, object], bool]:
    """Of numbers, or of texts; `compare` is told whether left is less (-1), equal, or more."""

    def is_so(left: object, right: object) -> bool:
        if isinstance(left, str) and isinstance(right, str):
            return compare((left > right) - (left < right))
        if not isinstance(left, (int, float)) or not isinstance(right, (int, float)):
            return False
        return compare((left > right) - (left < right))

    return is_so


_COMPARE: Final[Mapping[str, Callable[[object, object], bool]]] = {
    "==": _is_equal,
    "!=": lambda left, right: not _is_equal(left, right),
    ">=": _ordered(lambda order: order >= 0),
    "<=": _ordered(lambda order: order <= 0),
    ">": _ordered(lambda order: order > 0),
    "<": _ordered(lambda order: order < 0),
    "HAS": lambda left, right: _is_in(right, left),
    "IN": _is_in,
    "CONTAINS": _is_part,
}
