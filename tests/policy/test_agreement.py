"""Our evaluators against the official one, on random expressions and values."""

import os
from collections.abc import Sequence

import numpy as np
from cel_expr_python import cel
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from adapters.policy_source.checker import CelChecker
from engine.policy.checked import Kind
from engine.policy.columns import PlainEvaluator
from engine.policy.expression import Expression, compile_expression
from engine.policy.lowering import CompiledEvaluator
from engine.policy.program import Frame, Program, Trigger, key_of
from engine.policy.values import Truth, condition
from engine.policy.vocabulary import Vocabulary
from tests.policy.drawing import SCOPE, TEXTS, as_cel, expressions, rows

CHECKER = CelChecker()
TYPES = {
    Kind.BOOL: cel.Type.BOOL,
    Kind.INT: cel.Type.INT,
    Kind.DOUBLE: cel.Type.DOUBLE,
    Kind.STRING: cel.Type.STRING,
    Kind.DURATION: cel.Type.DURATION,
}
OFFICIAL = cel.NewEnv(variables={name: TYPES[kind] for name, kind in SCOPE.items()})
Row = dict[str, bool | int | float | str]
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
# Compiling takes a third of a second for each.
COMPILED_EXAMPLES = 200 if os.environ.get("NUMBA_DISABLE_JIT") == "1" else 12


def official(text: str, row: Row) -> Truth:
    """What the official evaluator says."""
    found = OFFICIAL.compile(text).eval(data=as_cel(row))
    if found.type() == cel.Type.ERROR:
        return Truth.ERROR
    return Truth.TRUE if found.value() else Truth.FALSE


def program_of(compiled: Sequence[Expression], drawn: Sequence[Row]) -> tuple[Program, Frame]:
    """Triggers of one policy each, and the rows as a frame; parameters are those of the first."""
    vocabulary = Vocabulary()
    for text in TEXTS:
        vocabulary.code(text)
    program = Program(
        [Trigger(f"p{place}", expression) for place, expression in enumerate(compiled)], vocabulary
    )
    frame = program.frame(len(drawn))
    for policy in range(len(compiled)):
        for name in SCOPE:
            key = key_of(f"p{policy}", name)
            column = frame.column(key)
            for queue, row in enumerate(drawn):
                if name not in row:
                    continue
                value = row[name]
                held = vocabulary.code(value) if isinstance(value, str) else value
                if column is not None:
                    column[queue] = held
                elif name.startswith("params."):
                    frame.set_param(key, held)
    return program, frame


def with_params_of_first(drawn: list[Row]) -> list[Row]:
    """Rows as a frame has them: parameters are the same for all queues."""
    params = {name: item for name, item in drawn[0].items() if name.startswith("params.")}
    kept = ({n: i for n, i in row.items() if not n.startswith("params.")} for row in drawn)
    return [row | params for row in kept]


DRAWN_ROWS = st.lists(rows(), min_size=1, max_size=6).map(with_params_of_first)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
@given(expressions(), DRAWN_ROWS)
@example("(1 / 0 > 1) && false", [{}])
@example("(1 / 0 > 1) || true", [{}])
@example("queue.waiting % -1 == 0", [{"queue.waiting": -(1 << 63) + 1}])
@example("(queue.waiting - 1) % -1 == 0", [{"queue.waiting": -(1 << 63) + 1}])
@example("(queue.waiting - 1) / -1 == 0", [{"queue.waiting": -(1 << 63) + 1}])
@example("queue.waiting / 2 == -3 && queue.waiting % 2 == -1", [{"queue.waiting": -7}])
@example("queue.service_level / 0.0 == queue.service_level / 0.0", [{"queue.service_level": 0.0}])
@example("queue.oldest_wait + duration('2562047h') > duration('0s')", [{"queue.oldest_wait": 1000}])
def test_plain_evaluators_agree_with_the_official_one(text: str, drawn: list[Row]) -> None:
    """One at a time and in columns, every condition means what CEL says, errors included."""
    expression = compile_expression(text, SCOPE, CHECKER)
    expected = [official(text, row) for row in drawn]
    assert [condition(expression)(row) for row in drawn] == expected
    program, frame = program_of([expression], drawn)
    assert PlainEvaluator(program).evaluate(frame)[0].tolist() == expected


@settings(
    max_examples=COMPILED_EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=PHASES,
)
@given(
    st.lists(expressions(), min_size=3, max_size=3),
    st.lists(rows(), min_size=8, max_size=20).map(with_params_of_first),
)
def test_kernel_agrees_with_the_official_evaluator(texts: list[str], drawn: list[Row]) -> None:
    """The kernel that is compiled for a policy set means the same, in every queue and trigger."""
    compiled = [compile_expression(text, SCOPE, CHECKER) for text in texts]
    program, frame = program_of(compiled, drawn)
    expected = [[official(text, row) for row in drawn] for text in texts]
    assert CompiledEvaluator(program).evaluate(frame).tolist() == expected


def test_every_form_agrees_in_one_kernel() -> None:
    """Each operator at its edges, compiled at once: a few random kernels may miss one."""
    texts = [
        "(queue.waiting - 1) % -1 == 0",
        "(queue.waiting - 1) / queue.agents == 0",
        "queue.waiting * queue.agents > params.threshold",
        "queue.waiting + queue.agents > 0 || queue.waiting - queue.agents > 0",
        "-(queue.waiting - 1) > 0 || queue.waiting % queue.agents == -1",
        "int(queue.service_level) == queue.waiting || queue.service_level / 0.0 > 1.0",
        "queue.service_level * 1e308 > double(queue.waiting) - params.share",
        "-queue.service_level < 0.0 || double(queue.agents) >= params.share",
        "queue.oldest_wait + target.wait > duration('1s')",
        "queue.oldest_wait.getSeconds() % 2 == 1 || target.wait.getHours() < 0",
        "queue.oldest_wait - target.wait in [duration('1ms'), duration('0s')]",
        "(queue.is_open ? queue.name : queue.channel).matches('^v') == target.is_open",
        "queue.name in ['voice', 'chat'] && queue.channel.contains('chat') || queue.name == ''",
        "queue.waiting in [0, -9223372036854775807] ? 1 / queue.agents > 0 : queue.is_open",
        "!(queue.service_level >= 0.5) && (queue.is_open ? 1.5 : queue.service_level) <= 2.0",
        "-9223372036854775807 * 4000000000 + queue.agents > 0 || 7 / 2 + -7 % 2 == queue.waiting",
        "1.0 / 0.0 > queue.service_level && -9223372036854775808 < queue.waiting",
    ]
    generator = np.random.default_rng(7)
    edges: dict[Kind, Sequence[bool | int | float | str]] = {
        Kind.BOOL: (False, True),
        Kind.INT: (0, 1, -1, 2, -7, (1 << 63) - 1, -(1 << 63) + 1, 1 << 32),
        Kind.DOUBLE: (0.0, -0.0, 0.5, 1e300, -9.3e18, 9.2e18, float("inf")),
        Kind.STRING: TEXTS,
        Kind.DURATION: (0, 1, -1_500, 1_001, 9_223_372_036_854, -9_223_372_036_854),
    }
    drawn: list[Row] = [
        {
            name: edges[kind][int(generator.integers(len(edges[kind])))]
            for name, kind in SCOPE.items()
            if generator.random() < 0.85
        }
        for _ in range(400)
    ]
    drawn = with_params_of_first([SCOPE_FIRST, *drawn])
    compiled = [compile_expression(text, SCOPE, CHECKER) for text in texts]
    program, frame = program_of(compiled, drawn)
    expected = [[official(text, row) for row in drawn] for text in texts]
    assert {truth for row in expected for truth in row} == set(Truth)
    assert PlainEvaluator(program).evaluate(frame).tolist() == expected
    assert CompiledEvaluator(program).evaluate(frame).tolist() == expected


SCOPE_FIRST: Row = {"params.threshold": 3, "params.share": 0.5}
