"""Terms of expressions as text, in the words of CEL."""

from typing import Final

from engine.durations import in_duration
from engine.policy.checked import Kind
from engine.policy.expression import Constant, Name, Operation, Operator, Term

_BETWEEN: Final = frozenset({
    Operator.AND, Operator.OR, Operator.EQUAL, Operator.NOT_EQUAL, Operator.LESS,
    Operator.LESS_EQUAL, Operator.GREATER, Operator.GREATER_EQUAL, Operator.ADD,
    Operator.SUBTRACT, Operator.MULTIPLY, Operator.DIVIDE, Operator.REMAINDER, Operator.IN,
})  # fmt: skip
_OF_CALLS: Final = frozenset({Operator.TO_DOUBLE, Operator.TO_INT})


def text_of(term: Term) -> str:
    """A term as text; what is inside another operation stands in parentheses."""
    if isinstance(term, Constant):
        return _constant(term)
    if isinstance(term, Name):
        return term.name
    return _operation(term)


def _constant(term: Constant) -> str:
    value = term.value
    if isinstance(value, tuple):
        return "[" + ", ".join(_plain(item) for item in value) + "]"
    if term.kind is Kind.DURATION:
        assert isinstance(value, int)
        return f'duration("{in_duration(value)}")'
    return _plain(value)


def _plain(value: bool | float | str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)


def _operation(term: Operation) -> str:
    sign, arguments = term.operator, term.arguments
    texts = [_inside(item) for item in arguments]
    if sign in _BETWEEN:
        return f"{texts[0]} {sign.value} {texts[1]}"
    if sign is Operator.CHOOSE:
        return f"{texts[0]} ? {texts[1]} : {texts[2]}"
    if sign is Operator.NOT:
        return f"!{texts[0]}"
    if sign is Operator.NEGATE:
        return f"-{texts[0]}"
    if sign in _OF_CALLS:
        return f"{sign.value}({text_of(arguments[0])})"
    if sign is Operator.AMONG:
        return f"{texts[0]} in {texts[1]}"
    if sign is Operator.HAS:
        return f"has({texts[0]}[{texts[1]}])"
    if sign is Operator.ATTRIBUTE:
        return f"{texts[0]}[{texts[1]}]"
    return f"{texts[0]}.{sign.value}({', '.join(texts[1:])})"


def _inside(term: Term) -> str:
    is_joined = isinstance(term, Operation) and (
        term.operator in _BETWEEN or term.operator is Operator.CHOOSE
    )
    return f"({text_of(term)})" if is_joined else text_of(term)
