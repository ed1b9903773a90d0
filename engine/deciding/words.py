"""Values that a condition read, in words."""

import numpy as np

from engine.policy.checked import Kind
from engine.policy.expression import Name, Term, walk
from engine.policy.program import UNKNOWN, Frame, Program, Trigger, key_of

NOT_KNOWN = "not known"


def signals_in_words(
    program: Program, frame: Frame, trigger: Trigger, queue: int, part: Term | None = None
) -> tuple[tuple[str, str], ...]:
    """
    Every name a trigger, or a part of it, reads with its value for a queue, in the order of the
    condition.
    """
    kinds: dict[str, Kind] = {}

    def note(term: Term) -> None:
        if isinstance(term, Name):
            kinds.setdefault(term.name, term.kind)

    walk(part if part is not None else trigger.expression.root, note)
    return tuple(
        (name, _value(program, frame, (trigger.policy, name), queue, kind))
        for name, kind in kinds.items()
    )


def _value(program: Program, frame: Frame, of: tuple[str, str], queue: int, kind: Kind) -> str:
    key = key_of(*of)
    layout = frame.layout
    if key in layout.whole_params:
        return in_words(float(frame.whole_params[layout.whole_params.index(key)]), kind)
    if key in layout.real_params:
        return in_words(float(frame.real_params[layout.real_params.index(key)]), kind)
    column = frame.column(key)
    if column is None:
        return NOT_KNOWN
    value = column[queue]
    if column.dtype == np.int64 and value == UNKNOWN:
        return NOT_KNOWN
    if kind is Kind.STRING:
        return program.vocabulary.texts[int(value)]
    return in_words(float(value), kind)


def in_words(value: float, kind: Kind) -> str:
    """A value as people write it: durations with their unit, truths as words."""
    if np.isnan(value):
        return NOT_KNOWN
    if kind is Kind.BOOL:
        return "true" if value else "false"
    if kind is Kind.DURATION:
        return f"{value / 1_000:g}s"
    return f"{value:.4g}" if kind is Kind.DOUBLE else f"{value:.0f}"
