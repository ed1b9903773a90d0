"""
The official checker of CEL behind the engine's `Checker`.

The library reports problems as text, all at once; they are read back into places and messages, and
said in words of this project: what was meant by an unknown name, why whole numbers and doubles do
not mix. What it would find only at run time, a duration or regular expression that is none, is
tried here.
"""

import datetime
import difflib
import re
from dataclasses import replace
from functools import lru_cache
from typing import Final

from cel_expr_python import cel

from adapters.policy_source.wire import TooDeep, read_checked
from engine.policy.checked import (
    Call,
    ExpressionRefused,
    Kind,
    Listed,
    Literal,
    Node,
    Pattern,
    Place,
    Problem,
    Scope,
    Select,
    Unsupported,
)
from engine.policy.expression import DURATION_MS_MAX

_TYPES: Final = {
    Kind.BOOL: cel.Type.BOOL,
    Kind.INT: cel.Type.INT,
    Kind.DOUBLE: cel.Type.DOUBLE,
    Kind.STRING: cel.Type.STRING,
    Kind.DURATION: cel.Type.DURATION,
    Kind.STRINGS: cel.Type.List(cel.Type.STRING),
    Kind.ATTRIBUTES: cel.Type.Map(cel.Type.STRING, cel.Type.STRING),
}
# Functions an author may have meant.
_FUNCTIONS: Final = (
    "contains", "double", "duration", "endsWith", "getHours", "getMinutes", "getSeconds", "has",
    "int", "matches", "startsWith",
)  # fmt: skip
_PROBLEM: Final = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_UNKNOWN: Final = re.compile(r"undeclared reference to '([^']*)'.*")
_OVERLOAD: Final = re.compile(r"found no matching overload for '([^']*)' applied to '(.*)'")
_STATUS: Final = re.compile(r" \[[A-Z_]+\]$")
# Texts whose match with one regular expression is remembered.
_TEXTS_REMEMBERED: Final = 4_096
_NUMBERS: Final = {"int", "double", "duration"}
_HINTS: Final = {
    frozenset({"int", "double"}): (
        "counts and doubles do not mix: write 3.0 beside a double, 3 beside a count, "
        "or double(count)"
    ),
    frozenset({"int", "duration"}): 'write a time with its unit, as duration("2m")',
    frozenset({"double", "duration"}): 'write a time with its unit, as duration("2m")',
}
_DURATION_EXPECTED: Final = 'expected a duration such as "90s", "2m" or "1h30m" in whole ms'
_TOO_LONG: Final = "expected a duration of at most 292 years"


class CelChecker:
    """Checks expressions by the official implementation; see `engine.policy.checked.Checker`."""

    def __init__(self) -> None:
        self._bare = cel.NewEnv()
        self._environments: dict[frozenset[tuple[str, Kind]], cel.Env] = {}

    def check(self, text: str, scope: Scope) -> Node:
        """Tree of an expression; raises ExpressionRefused with everything wrong."""
        try:
            compiled = self._environment(scope).compile(text)
        # The library has no other error.
        except RuntimeError as error:
            raise ExpressionRefused(text, _problems(str(error), text, scope)) from None
        try:
            tree = read_checked(compiled.serialize(), text)
        except TooDeep as error:
            raise ExpressionRefused(text, [Problem(Place(1, 1), str(error))]) from None
        problems: list[Problem] = []
        folded = self._folded(tree, problems)
        if problems:
            raise ExpressionRefused(text, problems)
        return folded

    def pattern(self, regex: str) -> Pattern:
        """Matcher of a regular expression; raises ValueError where it is none."""
        environment = cel.NewEnv(variables={"text": cel.Type.STRING})
        compiled = environment.compile(f"text.matches({_quoted(regex)})")

        # The library compiles the expression anew at every call, 17 us.
        @lru_cache(maxsize=_TEXTS_REMEMBERED)
        def matches(text: str) -> bool:
            return compiled.eval(data={"text": text}).value() is True

        tried = compiled.eval(data={"text": ""})
        if tried.type() == cel.Type.ERROR:
            raise ValueError(str(tried.value()).rpartition("expression: ")[2])
        return matches

    def _environment(self, scope: Scope) -> cel.Env:
        key = frozenset(scope.items())
        if key not in self._environments:
            variables = {name: _TYPES[kind] for name, kind in scope.items()}
            self._environments[key] = cel.NewEnv(variables=variables)
        return self._environments[key]

    def _folded(self, node: Node, problems: list[Problem]) -> Node:
        """The tree with durations as literals."""
        match node:
            case Call(place, _, ("string_to_duration",), (Literal(_, Kind.STRING, text),)):
                found = self._duration_ms(str(text))
                if isinstance(found, str):
                    problems.append(Problem(node.arguments[0].place, found))
                    return node
                return Literal(place, Kind.DURATION, found)
            case Call(place, _, ("string_to_duration",), _):
                return Unsupported(place, "a duration that is not written out")
            case Call():
                arguments = tuple(self._folded(item, problems) for item in node.arguments)
                return replace(node, arguments=arguments)
            case Listed():
                return replace(node, items=tuple(self._folded(i, problems) for i in node.items))
            case Select():
                return replace(node, operand=self._folded(node.operand, problems))
        return node

    def _duration_ms(self, text: str) -> int | str:
        """Whole milliseconds of a duration, or what is wrong with it."""
        found = self._bare.compile(f"duration({_quoted(text)})").eval()
        value = found.value()
        if found.type() == cel.Type.ERROR or not isinstance(value, datetime.timedelta):
            is_long = "allowed duration" in str(value)
            return f"{_TOO_LONG if is_long else _DURATION_EXPECTED}, got {text!r}"
        whole = value // datetime.timedelta(milliseconds=1)
        if abs(whole) > DURATION_MS_MAX:
            return f"{_TOO_LONG}, got {text!r}"
        # What Python's type cannot hold was cut off: the library itself says whether it was there.
        parts = f"duration('{whole // 1000}s') + duration('{whole % 1000}ms')"
        exact = f"duration({_quoted(text)}) == {parts}"
        if self._bare.compile(exact).eval().value() is not True:
            return f"{_DURATION_EXPECTED}, got {text!r}"
        return whole


def _quoted(text: str) -> str:
    """A text as CEL writes it: every character that is not a plain one by its number."""
    return (
        '"'
        + "".join(
            sign if sign.isalnum() and sign.isascii() else f"\\U{ord(sign):08x}" for sign in text
        )
        + '"'
    )


def _problems(report: str, text: str, scope: Scope) -> list[Problem]:
    """What the library's report says, in our words."""
    found = [
        _problem((int(match[1]), int(match[2])), _STATUS.sub("", match[3]), (text, scope))
        for match in _PROBLEM.finditer(report)
    ]
    # The same is told twice where it has no place.
    return list(dict.fromkeys(found)) or [
        Problem(Place(1, 1), _STATUS.sub("", report.split("\n")[0]))
    ]


def _problem(at: tuple[int, int], message: str, source: tuple[str, Scope]) -> Problem:
    text, scope = source
    place = Place(*at) if min(at) > 0 else Place(1, 1)
    if unknown := _UNKNOWN.fullmatch(message):
        return Problem(_start_of(unknown[1], place, text), _unknown(unknown[1], scope))
    if overload := _OVERLOAD.fullmatch(message):
        return Problem(place, _mixed(overload[1], overload[2]))
    return Problem(place, message.partition(" expecting ")[0])


def _start_of(name: str, place: Place, text: str) -> Place:
    """Where a name begins; the library points at its last dot, or the bracket behind it."""
    line = text.split("\n")[place.line - 1]
    found = line.rfind(name, 0, place.column - 1 + len(name))
    return Place(place.line, found + 1) if found >= 0 else place


def _unknown(name: str, scope: Scope) -> str:
    inside = [known for known in sorted(scope) if known.startswith(f"{name}.")]
    if inside:
        return f"{name} is a group of names, such as {', '.join(inside[:3])}"
    close = difflib.get_close_matches(name, [*sorted(scope), *_FUNCTIONS], n=1, cutoff=0.6)
    return f"unknown name {name}" + (f"; did you mean {close[0]}?" if close else "")


def _mixed(function: str, types: str) -> str:
    """An operator with types it does not take, and what to write instead."""
    plain = types.replace("google.protobuf.Duration", "duration")
    kinds = frozenset(re.findall(r"\w+", plain)) & _NUMBERS
    shown = function.strip("_@").replace("_", " ")
    hint = f": {_HINTS[kinds]}" if kinds in _HINTS else ""
    return f"`{shown}` does not take {plain}{hint}"
