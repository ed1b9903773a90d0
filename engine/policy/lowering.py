"""
Triggers as the source of one kernel: a loop over queues for each, with real short circuit.

A truth is 0, 1 or 2, which is an error. Every other value has a flag beside it where it may fail;
what cannot fail has none. Source is made only of numbers, of names that are counted here, and of
the functions of `engine.kernels.checked_arithmetic`: nothing that an author wrote gets into it.
"""

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.kernels.triggers import TriggerColumns, TriggerKernel, compile_triggers
from engine.policy.checked import Kind
from engine.policy.expression import DURATION_MS_MAX, Constant, Name, Operation, Operator, Term
from engine.policy.program import Frame, Program, Trigger, asks_of_text, key_of

_SYMBOLS: Final[Mapping[Operator, str]] = {
    Operator.EQUAL: "==",
    Operator.NOT_EQUAL: "!=",
    Operator.LESS: "<",
    Operator.LESS_EQUAL: "<=",
    Operator.GREATER: ">",
    Operator.GREATER_EQUAL: ">=",
    Operator.ADD: "+",
    Operator.SUBTRACT: "-",
    Operator.MULTIPLY: "*",
}
# Whole numbers: what says that it fails, and what gives the value.
_WHOLE: Final[Mapping[Operator, tuple[str, str]]] = {
    Operator.ADD: ("sum_overflows({0}, {1})", "{0} + {1}"),
    Operator.SUBTRACT: ("difference_overflows({0}, {1})", "{0} - {1}"),
    Operator.MULTIPLY: ("product_overflows({0}, {1})", "{0} * {1}"),
    Operator.DIVIDE: ("quotient_fails({0}, {1})", "quotient({0}, {1})"),
    Operator.REMAINDER: ("quotient_fails({0}, {1})", "remainder({0}, {1})"),
    Operator.NEGATE: ("{0} == INT_MIN", "-{0}"),
}
_OF_DURATION: Final[Mapping[Operator, int]] = {
    Operator.HOURS: 3_600_000,
    Operator.MINUTES: 60_000,
    Operator.SECONDS: 1_000,
}


class CompiledEvaluator:
    """
    Evaluates a program by a kernel made for it; see `engine.policy.program.Evaluator`.

    Making one compiles, which takes tenths of a second per trigger and Python's lock: have another
    process do it, evaluate with `PlainEvaluator` meanwhile, and swap. The kernel itself lets go of
    the lock.

    Parameters
    ----------
    file
        Path of a file that holds `source_of(program)` and that it was compiled for; "" where it
        is to be compiled here.
    """

    def __init__(self, program: Program, file: str = "") -> None:
        self._program = program
        self._kernel: TriggerKernel = compile_triggers(source_of(program), file)

    def evaluate(self, frame: Frame) -> NDArray[np.int8]:
        """(n_triggers, n_queues) a `Truth` each. O(operations × queues)."""
        self._program.check(frame)
        self._program.tables.refresh()
        result = np.empty((len(self._program.triggers), frame.rows), np.int8)
        # Where nothing is compiled, numpy's own scalars warn of what is meant.
        with np.errstate(all="ignore"):
            self._kernel(
                TriggerColumns(
                    frame.whole,
                    frame.real,
                    frame.whole_params,
                    frame.real_params,
                    self._program.tables.tables,
                ),
                result,
            )
        return result


def source_of(program: Program) -> str:
    """Python source of the kernel: a function `trigger_N` per trigger, and `run`, for all."""
    functions = [
        _Emitting(program, trigger).function(place)
        for place, trigger in enumerate(program.triggers)
    ]
    columns = "whole, real, whole_params, real_params, tables, out"
    calls = [f"    trigger_{place}({columns})" for place in range(len(functions))]
    return "\n".join([*functions, f"def run({columns}):", *(calls or ["    return"]), ""])


class _Emitted(NamedTuple):
    """A value as source, and whether it fails; "" where it cannot."""

    value: str
    failed: str


class _Emitting:
    """Source of one trigger."""

    def __init__(self, program: Program, trigger: Trigger) -> None:
        self._program = program
        self._trigger = trigger
        self._lines: list[str] = []
        self._depth = 2
        self._count = 0

    def function(self, place: int) -> str:
        """The whole function."""
        truth = self._truth(self._trigger.expression.root)
        head = [
            f"def trigger_{place}(whole, real, whole_params, real_params, tables, out):",
            "    for queue in range(out.shape[1]):",
        ]
        tail = f"        out[{place}, queue] = {truth}\n"
        return "\n".join([*head, *self._lines, tail])

    def _add(self, line: str) -> None:
        self._lines.append("    " * self._depth + line)

    def _fresh(self, source: str) -> str:
        self._count += 1
        name = f"v{self._count}"
        self._add(f"{name} = {source}")
        return name

    def _truth(self, term: Term) -> str:
        """Source of a term of kind BOOL: 0, 1 or 2."""
        if isinstance(term, Constant):
            return "1" if term.value else "0"
        if isinstance(term, Name):
            held = self._fresh(self._place(term))
            return self._fresh(f"2 if {held} == INT_MIN else {held}")
        if term.operator in (Operator.AND, Operator.OR):
            return self._joined(term)
        if term.operator is Operator.NOT:
            inner = self._fresh(self._truth(term.arguments[0]))
            return self._fresh(f"2 if {inner} == 2 else 1 - {inner}")
        if term.operator is Operator.CHOOSE:
            return self._branched_truth(term)
        return self._compared(term)

    def _joined(self, term: Operation) -> str:
        """`&&` or `||`: the right side is evaluated where the left one does not decide."""
        decides = "0" if term.operator is Operator.AND else "1"
        truth = self._fresh(self._truth(term.arguments[0]))
        self._add(f"if {truth} != {decides}:")
        self._depth += 1
        right = self._truth(term.arguments[1])
        self._add(f"if {right} == {decides} or {right} == 2:")
        self._add(f"    {truth} = {right}")
        self._depth -= 1
        return truth

    def _branched_truth(self, term: Operation) -> str:
        asked = self._truth(term.arguments[0])
        truth = self._fresh("2")
        for word, decided, branch in (("if", 1, 1), ("elif", 0, 2)):
            self._add(f"{word} {asked} == {decided}:")
            self._depth += 1
            self._add(f"{truth} = {self._truth(term.arguments[branch])}")
            self._depth -= 1
        return truth

    def _compared(self, term: Operation) -> str:
        """A comparison, or a question about a text or about what is listed."""
        if asks_of_text(term):
            code = self._value(term.arguments[0])
            row = self._program.table(self._trigger, term)
            return self._unless(code.failed, f"int(tables[{row}, {code.value}])", "2")
        if term.operator is Operator.IN:
            value, choices = self._value(term.arguments[0]), term.arguments[1]
            assert isinstance(choices, Constant)
            assert isinstance(choices.value, tuple)
            listed = " or ".join(f"{value.value} == {_number(item)}" for item in choices.value)
            return self._unless(value.failed, f"1 if {listed} else 0", "2")
        left, right = (self._value(item) for item in term.arguments)
        source = f"1 if {left.value} {_SYMBOLS[term.operator]} {right.value} else 0"
        return self._unless(_either(left.failed, right.failed), source, "2")

    def _unless(self, failed: str, source: str, otherwise: str) -> str:
        """A fresh name that holds `source`, or `otherwise` where it fails."""
        if not failed:
            return self._fresh(source)
        name = self._fresh(otherwise)
        self._add(f"if not ({failed}):")
        self._add(f"    {name} = {source}")
        return name

    def _value(self, term: Term) -> _Emitted:
        """A term of any kind."""
        if term.kind is Kind.BOOL:
            truth = self._fresh(self._truth(term))
            return _Emitted(truth, f"{truth} == 2")
        if isinstance(term, Constant):
            if term.kind is Kind.STRING:
                return _Emitted(str(self._program.vocabulary.code(str(term.value))), "")
            assert not isinstance(term.value, tuple)
            return _Emitted(_number(term.value), "")
        if isinstance(term, Name):
            held = self._fresh(self._place(term))
            is_real = term.kind is Kind.DOUBLE
            return _Emitted(held, f"{held} != {held}" if is_real else f"{held} == INT_MIN")
        if term.operator is Operator.CHOOSE:
            return self._branched(term)
        return self._calculated(term, [self._value(item) for item in term.arguments])

    def _branched(self, term: Operation) -> _Emitted:
        asked = self._truth(term.arguments[0])
        value = self._fresh("0.0" if term.kind is Kind.DOUBLE else "0")
        failed = self._fresh("True")
        for word, decided, branch in (("if", 1, 1), ("elif", 0, 2)):
            self._add(f"{word} {asked} == {decided}:")
            self._depth += 1
            chosen = self._value(term.arguments[branch])
            self._add(f"{value} = {chosen.value}")
            self._add(f"{failed} = {chosen.failed or 'False'}")
            self._depth -= 1
        return _Emitted(value, failed)

    def _calculated(self, term: Operation, arguments: list[_Emitted]) -> _Emitted:
        # Numbers get names of their own: of two that are written out Python itself would make one,
        # at no fixed width, before the kernel is compiled.
        values = [
            self._fresh(emitted.value) if isinstance(item, Constant) else emitted.value
            for item, emitted in zip(term.arguments, arguments, strict=True)
        ]
        failed = _either(*(argument.failed for argument in arguments))
        if term.operator is Operator.TO_DOUBLE:
            return _Emitted(self._fresh(f"float({values[0]})"), failed)
        if term.operator is Operator.TO_INT:
            wrong = f"not (-TWO_63 < {values[0]} < TWO_63)"
            return self._guarded(_either(failed, wrong), f"int({values[0]})")
        if term.operator in _OF_DURATION:
            source = f"quotient({values[0]}, {_OF_DURATION[term.operator]})"
            return _Emitted(self._fresh(source), failed)
        if term.kind is Kind.DOUBLE:
            return _Emitted(self._fresh(_real(term.operator, values)), failed)
        if term.kind is Kind.DURATION:
            total = self._fresh(f"{values[0]} {_SYMBOLS[term.operator]} {values[1]}")
            beyond = f"not (-{DURATION_MS_MAX} <= {total} <= {DURATION_MS_MAX})"
            return _Emitted(total, _either(failed, beyond))
        wrong, source = (form.format(*values) for form in _WHOLE[term.operator])
        return self._guarded(_either(failed, wrong), source)

    def _guarded(self, failed: str, source: str) -> _Emitted:
        """A whole number that is worked out only where it does not fail."""
        flag = self._fresh(failed)
        return _Emitted(self._unless(flag, source, "0"), flag)

    def _place(self, term: Name) -> str:
        """Where a name's value stands."""
        layout, key = self._program.layout, key_of(self._trigger.policy, term.name)
        for group, keys in layout._asdict().items():
            if key in keys:
                queue = "" if group.endswith("_params") else ", queue"
                return f"{group}[{keys.index(key)}{queue}]"
        raise AssertionError(key)


def _either(*failed: str) -> str:
    return " or ".join(item for item in failed if item)


def _real(operator: Operator, values: list[str]) -> str:
    if operator is Operator.NEGATE:
        return f"-{values[0]}"
    if operator is Operator.DIVIDE:
        return f"ratio({values[0]}, {values[1]})"
    return f"{values[0]} {_SYMBOLS[operator]} {values[1]}"


def _number(value: bool | int | float | str) -> str:
    """A number as source; those that Python has no sign for by name."""
    assert not isinstance(value, str)
    if isinstance(value, float) and math.isinf(value):
        return "INF" if value > 0 else "(-INF)"
    if value == -(1 << 63) and not isinstance(value, float):
        return "INT_MIN"
    return f"({value!r})" if value < 0 else repr(value)
