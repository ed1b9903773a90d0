"""
Triggers over whole columns with NumPy: slower than the kernel, but nothing is compiled.

Every operation is done for all queues, with a mask of those where it is an error. That is CEL's
meaning, not an approximation of it: `&&`, `||` and `?:` do not depend on what the side that does
not count would have said, and nothing here has any other effect.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from engine.policy.checked import Kind
from engine.policy.expression import DURATION_MS_MAX, Constant, Name, Operation, Operator, Term
from engine.policy.program import UNKNOWN, Frame, Program, Trigger, asks_of_text, key_of
from engine.policy.values import Truth

Mask = NDArray[np.bool_]
Whole = NDArray[np.int64]
Real = NDArray[np.float64]
Array = Whole | Real | NDArray[np.int8]

_TWO_63: Final = 9223372036854775808.0
# Rows: left side false, true, error; columns: right side.
_AND: Final = np.array([[0, 0, 0], [0, 1, 2], [0, 2, 2]], np.int8)
_OR: Final = np.array([[0, 1, 2], [1, 1, 1], [2, 1, 2]], np.int8)


class _Column(NamedTuple):
    """
    Values of a term for all queues, or one for all.

    Attributes
    ----------
    values
        (n_queues,) or (1,); int64, float64, or for BOOL int8 0 and 1.
    failed
        Where it is an error, of a shape that broadcasts; values there mean nothing.
    """

    values: Array
    failed: Mask


_NEVER: Final[Mask] = np.zeros(1, np.bool_)


class PlainEvaluator:
    """Evaluates a program with NumPy; see `engine.policy.program.Evaluator`."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def evaluate(self, frame: Frame) -> NDArray[np.int8]:
        """(n_triggers, n_queues) a `Truth` each. O(operations × queues)."""
        self._program.check(frame)
        self._program.tables.refresh()
        result = np.empty((len(self._program.triggers), frame.rows), np.int8)
        # Rows of errors hold any values.
        with np.errstate(all="ignore"):
            for place, trigger in enumerate(self._program.triggers):
                evaluation = _Evaluation(self._program, trigger, frame)
                found = evaluation.column(trigger.expression.root)
                result[place] = np.where(found.failed, np.int8(Truth.ERROR), found.values)
        return result


def measured(program: Program, frame: Frame) -> Real:
    """(n_measures, n_queues) values of a program's measures, NaN where they cannot be told."""
    program.check(frame)
    program.tables.refresh()
    result = np.empty((len(program.measures), frame.rows))
    with np.errstate(all="ignore"):
        for place, measure in enumerate(program.measures):
            found = _Evaluation(program, measure, frame).column(measure.expression.root)
            result[place] = np.where(found.failed, np.nan, found.values)
    return result


def truth_of(program: Program, trigger: Trigger, frame: Frame, term: Term) -> NDArray[np.int8]:
    """(n_queues,) a `Truth` each of a part of a trigger, of kind BOOL."""
    with np.errstate(all="ignore"):
        found = _Evaluation(program, trigger, frame).column(term)
        told = np.where(found.failed, np.int8(Truth.ERROR), found.values)
    return np.broadcast_to(told, (frame.rows,)).astype(np.int8)


class _Evaluation:
    """One trigger over one frame."""

    def __init__(self, program: Program, trigger: Trigger, frame: Frame) -> None:
        self._program = program
        self._trigger = trigger
        self._frame = frame

    def column(self, term: Term) -> _Column:
        """Values of a term."""
        if isinstance(term, Constant):
            return _Column(self._constant(term), _NEVER)
        if isinstance(term, Name):
            return self._named(term)
        if asks_of_text(term):
            return self._answered(term)
        arguments = [self.column(item) for item in term.arguments if not _is_listed(item)]
        if term.operator is Operator.CHOOSE:
            return _chosen(arguments)
        if term.operator in _LOGICAL:
            return _logical(_LOGICAL[term.operator], arguments)
        failed = (
            arguments[0].failed
            if len(arguments) == 1
            else (arguments[0].failed | arguments[1].failed)
        )
        values = [argument.values for argument in arguments]
        if term.operator is Operator.IN:
            choices = term.arguments[1]
            assert isinstance(choices, Constant)
            found = np.isin(values[0], np.array(choices.value, values[0].dtype))
            return _Column(found.astype(np.int8), failed)
        if term.operator in _COMPARISONS:
            compared = _COMPARISONS[term.operator](values[0], values[1])
            return _Column(compared.astype(np.int8), failed)
        made, wrong = _arithmetic(term, values)
        return _Column(made, failed | wrong)

    def _constant(self, term: Constant) -> Array:
        if term.kind is Kind.STRING:
            return np.array([self._program.vocabulary.code(str(term.value))])
        types = {Kind.BOOL: np.int8, Kind.DOUBLE: np.float64}
        return np.array([term.value], types.get(term.kind, np.int64))

    def _named(self, term: Name) -> _Column:
        key = key_of(self._trigger.policy, term.name)
        frame, layout = self._frame, self._program.layout
        if term.kind is Kind.DOUBLE:
            if key in layout.real_params:
                place = layout.real_params.index(key)
                real = frame.real_params[place : place + 1]
            else:
                real = frame.real[layout.real.index(key)]
            return _Column(real, np.isnan(real))
        if key in layout.whole_params:
            place = layout.whole_params.index(key)
            whole = frame.whole_params[place : place + 1]
        else:
            whole = frame.whole[layout.whole.index(key)]
        values = whole.astype(np.int8) if term.kind is Kind.BOOL else whole
        return _Column(values, whole == UNKNOWN)

    def _answered(self, term: Operation) -> _Column:
        codes = self.column(term.arguments[0])
        table = self._program.tables.tables[self._program.table(self._trigger, term)]
        known = np.where(codes.failed, 0, codes.values)
        return _Column(table[known].astype(np.int8), codes.failed)


def _is_listed(term: Term) -> bool:
    return isinstance(term, Constant) and isinstance(term.value, tuple)


def _chosen(arguments: list[_Column]) -> _Column:
    asked, yes, no = arguments
    is_yes = asked.values != 0
    failed = asked.failed | np.where(is_yes, yes.failed, no.failed)
    return _Column(np.where(is_yes, yes.values, no.values), failed)


def _logical(table: NDArray[np.int8], arguments: list[_Column]) -> _Column:
    left, right = (np.where(item.failed, np.int8(2), item.values) for item in arguments)
    found = table[left, right]
    return _Column(found, found == Truth.ERROR)


def _arithmetic(term: Operation, values: list[Array]) -> tuple[Array, Mask]:
    """Values of an operation, and where it is an error."""
    if term.operator is Operator.NOT:
        return 1 - cast(NDArray[np.int8], values[0]), _NEVER
    if term.operator in _OF_DURATION:
        milliseconds = np.array([_OF_DURATION[term.operator]])
        return _divided(cast(Whole, values[0]), milliseconds)[0], _NEVER
    if term.operator is Operator.TO_DOUBLE:
        return values[0].astype(np.float64), _NEVER
    if term.operator is Operator.TO_INT:
        real = cast(Real, values[0])
        wrong = ~((real > -_TWO_63) & (real < _TWO_63))
        return np.where(wrong, 0.0, real).astype(np.int64), wrong
    if term.kind is Kind.DOUBLE:
        if term.operator is Operator.NEGATE:
            return -cast(Real, values[0]), _NEVER
        left, right = cast(list[Real], values)
        return _REAL[term.operator](left, right), _NEVER
    if term.kind is Kind.DURATION:
        first, second = cast(list[Whole], values)
        total = first + second if term.operator is Operator.ADD else first - second
        return total, np.abs(total) > DURATION_MS_MAX
    if term.operator is Operator.NEGATE:
        whole = cast(Whole, values[0])
        return -whole, whole == UNKNOWN
    first, second = cast(list[Whole], values)
    return _WHOLE[term.operator](first, second)


def _added(left: Whole, right: Whole) -> tuple[Whole, Mask]:
    total = left + right
    return total, ((left ^ total) & (right ^ total)) < 0


def _subtracted(left: Whole, right: Whole) -> tuple[Whole, Mask]:
    rest = left - right
    return rest, ((left ^ right) & (left ^ rest)) < 0


def _multiplied(left: Whole, right: Whole) -> tuple[Whole, Mask]:
    product = left * right
    divisor = np.where(left == 0, 1, left)
    wrong = (left != 0) & (product // divisor != right)
    return product, wrong | ((left == -1) & (right == UNKNOWN)) | (
        (right == -1) & (left == UNKNOWN)
    )


def _divided(left: Whole, right: Whole) -> tuple[Whole, Mask]:
    """Quotient towards zero."""
    wrong = (right == 0) | ((left == UNKNOWN) & (right == -1))
    divisor = np.where(wrong, 1, right)
    quotient = left // divisor
    return quotient + ((quotient < 0) & (quotient * divisor != left)), wrong


def _remaining(left: Whole, right: Whole) -> tuple[Whole, Mask]:
    quotient, wrong = _divided(left, right)
    return left - right * quotient, wrong


_LOGICAL: Final = {Operator.AND: _AND, Operator.OR: _OR}
_OF_DURATION: Final = {
    Operator.HOURS: 3_600_000,
    Operator.MINUTES: 60_000,
    Operator.SECONDS: 1_000,
}
_COMPARISONS: Final[Mapping[Operator, Callable[[Array, Array], Mask]]] = {
    Operator.EQUAL: np.equal,
    Operator.NOT_EQUAL: np.not_equal,
    Operator.LESS: np.less,
    Operator.LESS_EQUAL: np.less_equal,
    Operator.GREATER: np.greater,
    Operator.GREATER_EQUAL: np.greater_equal,
}
_REAL: Final[Mapping[Operator, Callable[[Real, Real], Real]]] = {
    Operator.ADD: np.add,
    Operator.SUBTRACT: np.subtract,
    Operator.MULTIPLY: np.multiply,
    Operator.DIVIDE: np.divide,
}
_WHOLE: Final[Mapping[Operator, Callable[[Whole, Whole], tuple[Whole, Mask]]]] = {
    Operator.ADD: _added,
    Operator.SUBTRACT: _subtracted,
    Operator.MULTIPLY: _multiplied,
    Operator.DIVIDE: _divided,
    Operator.REMAINDER: _remaining,
}
