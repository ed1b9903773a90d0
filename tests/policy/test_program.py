"""Frames and programs: what is not set is not known, and no kernel reads beyond an end."""

import numpy as np
import pytest

from engine.policy.checked import Kind
from engine.policy.columns import PlainEvaluator, measured
from engine.policy.expression import compile_expression
from engine.policy.lowering import CompiledEvaluator, source_of
from engine.policy.program import Program, Trigger, key_of
from engine.policy.values import Truth
from engine.policy.vocabulary import TEXTS_MAX, Vocabulary
from engine.refusals import BadConfiguration
from tests.policy.written import CHECKER

SCOPE = {
    "queue.waiting": Kind.INT,
    "queue.name": Kind.STRING,
    "target.waiting": Kind.INT,
    "params.limit": Kind.INT,
    "params.risk": Kind.DOUBLE,
    "risk": Kind.DOUBLE,
}


def program_of(*texts: str, vocabulary: Vocabulary | None = None) -> Program:
    """Conditions of policies `p0`, `p1`, …"""
    triggers = [
        Trigger(f"p{place}", compile_expression(text, SCOPE, CHECKER))
        for place, text in enumerate(texts)
    ]
    return Program(triggers, vocabulary or Vocabulary())


def test_what_each_policy_has_of_its_own_is_kept_apart() -> None:
    """Signals are shared; targets and parameters are not."""
    program = program_of(*["queue.waiting > params.limit && target.waiting < 3"] * 2)
    assert program.layout.whole == ("p0/target.waiting", "p1/target.waiting", "queue.waiting")
    assert program.layout.whole_params == ("p0/params.limit", "p1/params.limit")
    frame = program.frame(2)
    waiting = frame.column("queue.waiting")
    assert waiting is not None
    waiting[:] = 5
    for policy, limit in enumerate((4, 6)):
        target = frame.column(key_of(f"p{policy}", "target.waiting"))
        assert target is not None
        target[:] = (1, 9)
        frame.set_param(key_of(f"p{policy}", "params.limit"), limit)
    assert PlainEvaluator(program).evaluate(frame).tolist() == [[1, 0], [0, 0]]
    assert frame.column("queue.offered") is None
    frame.set_param("p0/params.other", 3)


def test_a_frame_begins_unknown() -> None:
    """A signal that nobody sets is an error, not zero."""
    program = program_of("queue.waiting < 3", "risk < params.risk", "queue.name == 'a'", "true")
    expected = [[Truth.ERROR] * 2] * 3 + [[Truth.TRUE] * 2]
    assert PlainEvaluator(program).evaluate(program.frame(2)).tolist() == expected
    assert CompiledEvaluator(program).evaluate(program.frame(2)).tolist() == expected


def test_texts_may_be_added_after_compiling() -> None:
    """Queues are created while policies are in force."""
    vocabulary = Vocabulary()
    program = program_of("queue.name.startsWith('vip')", vocabulary=vocabulary)
    evaluators = PlainEvaluator(program), CompiledEvaluator(program)
    for count in (1, 100, 300):
        frame = program.frame(count)
        names = frame.column("queue.name")
        assert names is not None
        names[:] = [vocabulary.code(f"{'vip' if row % 3 else 'x'}{row}") for row in range(count)]
        expected = [[int(row % 3 > 0) for row in range(count)]]
        for evaluator in evaluators:
            assert evaluator.evaluate(frame).tolist() == expected


@pytest.mark.parametrize("kind", [PlainEvaluator, CompiledEvaluator])
def test_frames_that_would_lead_beyond_an_end_are_refused(
    kind: type[PlainEvaluator] | type[CompiledEvaluator],
) -> None:
    """Of another program, or with codes of another vocabulary."""
    program = program_of("queue.name == 'a'")
    evaluator = kind(program)
    with pytest.raises(ValueError, match="made by the program"):
        evaluator.evaluate(program_of("queue.name == 'a'").frame(1))
    for code in (1, -1, 1 << 40):
        frame = program.frame(1)
        frame.whole[:] = code
        with pytest.raises(ValueError, match="codes of 1 texts"):
            evaluator.evaluate(frame)


def test_measures_are_told_with_nan_where_they_cannot_be() -> None:
    """Values of ramps: doubles, some of which nobody knows."""
    expression = compile_expression("risk / params.risk", SCOPE, CHECKER, Kind.DOUBLE)
    program = Program([], Vocabulary(), [Trigger("p", expression)])
    frame = program.frame(3)
    risk = frame.column("risk")
    assert risk is not None
    risk[:2] = (0.25, 0.5)
    frame.set_param("p/params.risk", 0.5)
    assert np.array_equal(measured(program, frame), [[0.5, 1.0, np.nan]], equal_nan=True)


def test_an_empty_program_is_fine() -> None:
    """A set without policies is evaluated like any other."""
    program = program_of()
    for evaluator in (PlainEvaluator(program), CompiledEvaluator(program)):
        assert evaluator.evaluate(program.frame(3)).shape == (0, 3)


def test_source_holds_nothing_that_an_author_wrote() -> None:
    """Texts are numbers in it, names are places: a policy cannot write code."""
    text = "queue.name == '\\n__import__(\"os\")' || queue.name.startsWith('); print(1')"
    source = source_of(program_of(text))
    assert "import" not in source
    assert "print" not in source
    assert '"' not in source
    assert "'" not in source


def test_the_vocabulary_is_bounded() -> None:
    """Names of queues that come and go do not fill memory."""
    vocabulary = Vocabulary()
    vocabulary.texts = [""] * TEXTS_MAX
    with pytest.raises(BadConfiguration, match="at most"):
        vocabulary.code("one more")
