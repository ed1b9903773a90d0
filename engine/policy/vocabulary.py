"""Texts of signals as numbers, and what conditions ask of texts as tables over them."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.policy.checked import Pattern
from engine.policy.expression import Constant, Operation, Operator
from engine.refusals import BadConfiguration

# Distinct texts of all signals: names of queues, channels, targets.
TEXTS_MAX: Final = 100_000

Asked = Callable[[str], bool]


class Vocabulary:
    """Codes of texts, from 0; a text keeps its code for as long as the vocabulary lives."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self.texts: list[str] = []

    def code(self, text: str) -> int:
        """
        Code of a text, a new one where it has none.

        Raises
        ------
        BadConfiguration
            There are too many texts.
        """
        found = self._codes.get(text)
        if found is None:
            if len(self.texts) >= TEXTS_MAX:
                raise BadConfiguration("vocabulary", text, f"at most {TEXTS_MAX} texts")
            found = self._codes[text] = len(self.texts)
            self.texts.append(text)
        return found


class TextTables:
    """
    One table per question that conditions ask of a text, each asked once per text.

    Attributes
    ----------
    tables
        (n_questions, n_texts or more) 1 where the answer is yes; replaced as the vocabulary grows.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._rows: dict[tuple[Operator, object], int] = {}
        self._questions: list[Asked] = []
        self._answered = 0
        self.tables: NDArray[np.uint8] = np.zeros((0, 0), np.uint8)

    def row(self, question: Operation, patterns: Mapping[str, Pattern]) -> int:
        """Row of a question whose first argument is the text; call `refresh` after the last."""
        argument = question.arguments[1]
        assert isinstance(argument, Constant)
        key = question.operator, argument.value
        if key not in self._rows:
            self._rows[key] = len(self._questions)
            self._questions.append(_asked(question.operator, argument.value, patterns))
            self._answered = 0
        return self._rows[key]

    def refresh(self) -> None:
        """Answer for texts that are new; call it before evaluating. O(questions × new texts)."""
        texts = self._vocabulary.texts
        if self._answered == len(texts):
            return
        room = max(64, 1 << (len(texts) - 1).bit_length())
        tables = np.zeros((len(self._questions), room), np.uint8)
        if self._answered:
            tables[:, : self._answered] = self.tables[:, : self._answered]
        for row, asked in enumerate(self._questions):
            for code in range(self._answered, len(texts)):
                tables[row, code] = asked(texts[code])
        self.tables, self._answered = tables, len(texts)


def _asked(operator: Operator, argument: object, patterns: Mapping[str, Pattern]) -> Asked:
    if isinstance(argument, tuple):
        choices = frozenset(argument)
        return lambda text: text in choices
    assert isinstance(argument, str)
    asked: Mapping[Operator, Asked] = {
        Operator.STARTS_WITH: lambda text: text.startswith(argument),
        Operator.ENDS_WITH: lambda text: text.endswith(argument),
        Operator.CONTAINS: lambda text: argument in text,
    }
    return patterns[argument] if operator is Operator.MATCHES else asked[operator]
