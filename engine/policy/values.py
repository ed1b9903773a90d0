"""
Expressions evaluated one at a time over plain values: eligibility of a contact, rules of routing.

An expression becomes nested closures, once; calling one costs about a tenth of a microsecond per
operation. It is also the slow obvious twin of the column evaluators.
"""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Final, TypeVar, cast

from engine.policy.checked import Kind, Pattern
from engine.policy.expression import (
    DURATION_MS_MAX,
    Constant,
    Expression,
    Name,
    Operation,
    Operator,
    Term,
)

# What a name may stand for; a DURATION is whole milliseconds. A name that is not there, and a
# double that is NaN, has no value.
Plain = bool | int | float | str | Sequence[int | float | str] | Mapping[str, str]
Values = Mapping[str, Plain]

Left = TypeVar("Left")
Right = TypeVar("Right")

_INT_MIN: Final = -(1 << 63)
_INT_MAX: Final = (1 << 63) - 1


class Truth(IntEnum):
    """What a condition evaluates to."""

    FALSE = 0
    TRUE = 1
    # It cannot be told: a value is not known, a division by zero, an overflow.
    ERROR = 2


# Looked up once: an enum's members are slow to reach.
_FALSE: Final = Truth.FALSE
_TRUE: Final = Truth.TRUE
_ERROR: Final = Truth.ERROR


class _CannotTell(KeyError):
    """A value has no answer, as an error of CEL; so has a name or attribute that is not there."""


_Evaluated = Callable[[Values], Plain]
Condition = Callable[[Values], Truth]


def condition(expression: Expression) -> Condition:
    """An expression of kind BOOL as a function of values."""
    assert expression.root.kind is Kind.BOOL
    evaluated = _evaluated(expression.root, expression.patterns)

    def truth(values: Values) -> Truth:
        try:
            return _TRUE if evaluated(values) else _FALSE
        except KeyError:
            return _ERROR

    return truth


def value_of(term: Term, values: Values) -> Plain | None:
    """Value of a term of any kind without patterns; None where it cannot be told."""
    try:
        return _evaluated(term, {})(values)
    # Also a pattern, which is not there.
    except KeyError:
        return None


def _evaluated(term: Term, patterns: Mapping[str, Pattern]) -> _Evaluated:
    if isinstance(term, Constant):
        value = term.value
        return lambda _: value
    if isinstance(term, Name):
        return _name(term)
    return _operated(term, patterns)


def _operated(term: Operation, patterns: Mapping[str, Pattern]) -> _Evaluated:
    arguments = [_evaluated(item, patterns) for item in term.arguments]
    if term.operator is Operator.MATCHES:
        return _with_one(patterns[_text(term.arguments[1])], arguments[0])
    if term.operator in _LOGICAL:
        return _LOGICAL[term.operator](arguments)
    if term.kind in (Kind.INT, Kind.DURATION) and term.operator in _WHOLE:
        return _whole(term, arguments)
    if term.operator in _OF_ONE:
        return _with_one(_OF_ONE[term.operator], arguments[0])
    if term.operator in _OF_TEXTS:
        return _with_two(_OF_TEXTS[term.operator], term, arguments)
    if term.operator is Operator.ATTRIBUTE:
        return _with_two(operator.getitem, term, arguments)
    if term.operator in (Operator.IN, Operator.AMONG, Operator.HAS):
        return _with_two(_among, term, arguments)
    if term.operator is Operator.NEGATE:
        return _with_one(operator.neg, arguments[0])
    return _with_two(_OF_NUMBERS[term.operator], term, arguments)


def _text(term: Term) -> str:
    assert isinstance(term, Constant)
    assert isinstance(term.value, str)
    return term.value


def _name(term: Name) -> _Evaluated:
    name = term.name
    if term.kind is not Kind.DOUBLE:
        return operator.itemgetter(name)

    def double(values: Values) -> Plain:
        found = values[name]
        if found != found:
            raise _CannotTell
        return found

    return double


def _and(arguments: list[_Evaluated]) -> _Evaluated:
    left, right = arguments

    def value(values: Values) -> Plain:
        try:
            if not left(values):
                return False
        except KeyError:
            # Whichever side cannot tell, the other one may be false.
            if right(values):
                raise
            return False
        return right(values)

    return value


def _or(arguments: list[_Evaluated]) -> _Evaluated:
    left, right = arguments

    def value(values: Values) -> Plain:
        try:
            if left(values):
                return True
        except KeyError:
            if not right(values):
                raise
            return True
        return right(values)

    return value


def _choose(arguments: list[_Evaluated]) -> _Evaluated:
    asked, yes, no = arguments
    return lambda values: yes(values) if asked(values) else no(values)


def _not(arguments: list[_Evaluated]) -> _Evaluated:
    (argument,) = arguments
    return lambda values: not argument(values)


def _with_one(function: Callable[[Left], Plain], argument: _Evaluated) -> _Evaluated:
    typed = cast(Callable[[Values], Left], argument)
    return lambda values: function(typed(values))


def _with_two(
    function: Callable[[Left, Right], Plain], term: Operation, arguments: list[_Evaluated]
) -> _Evaluated:
    first, second = term.arguments
    if isinstance(first, Name) and first.kind is not Kind.DOUBLE and isinstance(second, Constant):
        return _of_name(function, first.name, second.value)
    left = cast(Callable[[Values], Left], arguments[0])
    right = cast(Callable[[Values], Right], arguments[1])
    return lambda values: function(left(values), right(values))


def _of_name(function: Callable[[Left, Right], Plain], name: str, value: Plain) -> _Evaluated:
    """A name and a constant, which most conditions are made of: one call instead of three."""
    if function is operator.eq:
        return lambda values: values[name] == value
    held = cast(Callable[[Values], Left], operator.itemgetter(name))
    known = cast(Right, value)
    return lambda values: function(held(values), known)


def _whole(term: Operation, arguments: list[_Evaluated]) -> _Evaluated:
    """Arithmetic of whole numbers within the bounds of their kind."""
    function = _WHOLE[term.operator]
    left = cast(Callable[[Values], int], arguments[0])
    # Negation has one argument; what it is given as the second one counts for nothing.
    right = cast(Callable[[Values], int], arguments[-1])
    least, most = _INT_MIN, _INT_MAX
    if term.kind is Kind.DURATION:
        least, most = -DURATION_MS_MAX, DURATION_MS_MAX

    def value(values: Values) -> Plain:
        found = function(left(values), right(values))
        if not (least <= found <= most):
            raise _CannotTell
        return found

    return value


def _divided(left: int, right: int) -> int:
    """Quotient towards zero; Python's own goes down."""
    if right == 0:
        raise _CannotTell
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _remainder(left: int, right: int) -> int:
    """Remainder with the sign of `left`."""
    # CEL reports an overflow here, although the remainder is 0.
    if right == 0 or (left == _INT_MIN and right == -1):
        raise _CannotTell
    return left - right * _divided(left, right)


def _ratio(left: float, right: float) -> float:
    """Quotient as IEEE 754 has it; Python refuses to divide by zero."""
    if right != 0.0:
        return left / right
    if left == 0.0 or left != left:
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def _to_int(value: float) -> int:
    if not (_INT_MIN < value < _INT_MAX):
        raise _CannotTell
    return int(value)


def _among(
    value: int | float | str, choices: Sequence[int | float | str] | Mapping[str, str]
) -> bool:
    return value in choices


_LOGICAL: Final = {
    Operator.AND: _and,
    Operator.OR: _or,
    Operator.CHOOSE: _choose,
    Operator.NOT: _not,
}
_WHOLE: Final[Mapping[Operator, Callable[[int, int], int]]] = {
    Operator.ADD: operator.add,
    Operator.SUBTRACT: operator.sub,
    Operator.MULTIPLY: operator.mul,
    Operator.DIVIDE: _divided,
    Operator.REMAINDER: _remainder,
    Operator.NEGATE: lambda value, _: -value,
}
_OF_ONE: Final[Mapping[Operator, Callable[[int], Plain]]] = {
    Operator.TO_DOUBLE: float,
    Operator.TO_INT: _to_int,
    Operator.HOURS: lambda value: _divided(value, 3_600_000),
    Operator.MINUTES: lambda value: _divided(value, 60_000),
    Operator.SECONDS: lambda value: _divided(value, 1_000),
}
_OF_TEXTS: Final[Mapping[Operator, Callable[[str, str], bool]]] = {
    Operator.STARTS_WITH: str.startswith,
    Operator.ENDS_WITH: str.endswith,
    Operator.CONTAINS: lambda value, text: text in value,
}
_OF_NUMBERS: Final[Mapping[Operator, Callable[[float, float], Plain]]] = {
    Operator.EQUAL: operator.eq,
    Operator.NOT_EQUAL: operator.ne,
    Operator.LESS: operator.lt,
    Operator.LESS_EQUAL: operator.le,
    Operator.GREATER: operator.gt,
    Operator.GREATER_EQUAL: operator.ge,
    Operator.ADD: operator.add,
    Operator.SUBTRACT: operator.sub,
    Operator.MULTIPLY: operator.mul,
    Operator.DIVIDE: _ratio,
}
