"""
The triggers of a policy set over columns of signals: what they read, and their plain evaluator.

A trigger reads signals of its queue, signals of its policy's target and the policy's parameters.
The first are columns that all policies share; the others have one column, or one value, per policy
(`key_of`). A value that is not known is `UNKNOWN`, in doubles NaN: the trigger that needs it is
an error there, as CEL has it of a name without a value.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.policy.checked import Kind
from engine.policy.expression import Constant, Expression, Name, Operation, Operator, Term, walk
from engine.policy.vocabulary import TextTables, Vocabulary

# Whole numbers, durations, codes of texts and truths that are not known.
UNKNOWN: Final = -(1 << 63)
# What stands before the names that every policy has of its own.
OWN_PREFIXES: Final = ("params.", "target.")
_PARAMS: Final = "params."
_OF_TEXT: Final = (
    Operator.STARTS_WITH, Operator.ENDS_WITH, Operator.CONTAINS, Operator.MATCHES
)  # fmt: skip


class Trigger(NamedTuple):
    """A condition of a policy; `policy` tells whose parameters and target it reads."""

    policy: str
    expression: Expression


def key_of(policy: str, name: str) -> str:
    """Key of a name in frames: `policy/name` for what each policy has of its own."""
    return f"{policy}/{name}" if name.startswith(OWN_PREFIXES) else name


class Layout(NamedTuple):
    """
    Keys of what triggers read, each with its place.

    Attributes
    ----------
    whole, real
        Columns of whole numbers (durations in ms, codes, truths) and of doubles.
    whole_params, real_params
        Parameters, one value each.
    """

    whole: tuple[str, ...]
    real: tuple[str, ...]
    whole_params: tuple[str, ...]
    real_params: tuple[str, ...]


class Frame:
    """
    Values of one second, for all queues.

    Attributes
    ----------
    whole, real
        (n_columns, n_queues) int64 and float64; `UNKNOWN` and NaN until set.
    whole_params, real_params
        (n,) int64 and float64; as above.
    """

    def __init__(self, layout: Layout, rows: int) -> None:
        self.whole = np.full((len(layout.whole), rows), UNKNOWN, np.int64)
        self.real = np.full((len(layout.real), rows), np.nan)
        self.whole_params = np.full(len(layout.whole_params), UNKNOWN, np.int64)
        self.real_params = np.full(len(layout.real_params), np.nan)
        self.layout = layout

    @property
    def rows(self) -> int:
        """Queues."""
        return self.whole.shape[1]

    def column(self, key: str) -> NDArray[np.int64] | NDArray[np.float64] | None:
        """Column of a key, to be written into; None where no trigger reads it."""
        if key in self.layout.whole:
            whole: NDArray[np.int64] = self.whole[self.layout.whole.index(key)]
            return whole
        if key in self.layout.real:
            real: NDArray[np.float64] = self.real[self.layout.real.index(key)]
            return real
        return None

    def set_param(self, key: str, value: float) -> None:
        """Set a parameter, a duration in ms; one that no trigger reads is left out."""
        if key in self.layout.whole_params:
            self.whole_params[self.layout.whole_params.index(key)] = value
        elif key in self.layout.real_params:
            self.real_params[self.layout.real_params.index(key)] = value


class Evaluator(Protocol):
    """Evaluates every trigger of a program over a frame."""

    def evaluate(self, frame: Frame) -> NDArray[np.int8]:
        """
        (n_triggers, n_queues) a `Truth` each.

        Raises
        ------
        ValueError
            The frame is another program's, or holds a code that no text has.
        """


class Program:
    """
    Triggers of a policy set, ready to be evaluated.

    Attributes
    ----------
    triggers
        In the order of results.
    measures
        Expressions of kind DOUBLE, such as those of ramps; see `engine.policy.columns.measured`.
    layout
        What frames hold.
    tables
        What conditions ask of texts; `refresh` it after texts were added.
    """

    def __init__(
        self,
        triggers: Sequence[Trigger],
        vocabulary: Vocabulary,
        measures: Sequence[Trigger] = (),
    ) -> None:
        self.triggers = tuple(triggers)
        self.measures = tuple(measures)
        self.vocabulary = vocabulary
        self.tables = TextTables(vocabulary)
        self.layout = _layout((*self.triggers, *self.measures))
        self._texts = self._text_columns()
        for trigger in (*self.triggers, *self.measures):
            walk(trigger.expression.root, partial(self._note, trigger))
        self.tables.refresh()

    def frame(self, rows: int) -> Frame:
        """An empty frame for so many queues."""
        return Frame(self.layout, rows)

    def check(self, frame: Frame) -> None:
        """
        Refuse a frame that kernels would read beyond the end of something for.

        Raises
        ------
        ValueError
            It is another program's, or holds a code that no text has.
        """
        if frame.layout is not self.layout:
            raise ValueError("frame: expected one made by the program")
        codes = frame.whole[self._texts]
        if ((codes >= len(self.vocabulary.texts)) | ((codes < 0) & (codes != UNKNOWN))).any():
            raise ValueError(f"frame: expected codes of {len(self.vocabulary.texts)} texts")

    def table(self, trigger: Trigger, term: Operation) -> int:
        """Row of the table that answers a question about a text."""
        return self.tables.row(term, trigger.expression.patterns)

    def _text_columns(self) -> list[int]:
        """Places of columns that hold codes of texts."""
        found: set[str] = set()

        def note(policy: str, term: Term) -> None:
            if isinstance(term, Name) and term.kind is Kind.STRING:
                found.add(key_of(policy, term.name))

        for trigger in (*self.triggers, *self.measures):
            walk(trigger.expression.root, partial(note, trigger.policy))
        return [self.layout.whole.index(key) for key in sorted(found)]

    def _note(self, trigger: Trigger, term: Term) -> None:
        """Give texts that are written out their codes, and questions about texts their tables."""
        if isinstance(term, Constant):
            if isinstance(term.value, str):
                self.vocabulary.code(term.value)
        elif isinstance(term, Operation) and asks_of_text(term):
            self.table(trigger, term)


def asks_of_text(term: Operation) -> bool:
    """Whether a table answers it."""
    if term.operator is Operator.IN:
        return term.arguments[0].kind is Kind.STRING
    return term.operator in _OF_TEXT


def _layout(triggers: Sequence[Trigger]) -> Layout:
    kinds: dict[str, Kind] = {}

    def note(policy: str, term: Term) -> None:
        if isinstance(term, Name):
            assert term.kind not in (Kind.STRINGS, Kind.ATTRIBUTES), term.name
            kinds[key_of(policy, term.name)] = term.kind

    for trigger in triggers:
        walk(trigger.expression.root, partial(note, trigger.policy))
    groups: dict[tuple[bool, bool], list[str]] = {}
    for key in sorted(kinds):
        is_param = key.rpartition("/")[2].startswith(_PARAMS)
        groups.setdefault((is_param, kinds[key] is Kind.DOUBLE), []).append(key)
    columns, params = [
        [tuple(groups.get((is_param, is_real), ())) for is_real in (False, True)]
        for is_param in (False, True)
    ]
    return Layout(*columns, *params)
