"""Where conditions can be true, against trying them out."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.policy.checked import Kind
from engine.policy.expression import compile_expression
from engine.policy.regions import (
    Box,
    Choice,
    Interval,
    TooManyBoxes,
    boxes_of,
    described,
    met,
)
from engine.policy.values import Plain, Truth, condition
from tests.policy.written import CHECKER

SCOPE = {
    "a": Kind.INT,
    "b": Kind.DOUBLE,
    "c": Kind.STRING,
    "d": Kind.BOOL,
    "params.p": Kind.INT,
    "params.q": Kind.DOUBLE,
}
PARAMS = {"params.p": 2, "params.q": 0.5}
POINTS: list[dict[str, Plain]] = [
    {"a": a, "b": b, "c": c, "d": d, **PARAMS}
    for a, b, c, d in itertools.product(
        (0, 1, 2, 3, 4), (0.0, 0.25, 0.5, 0.75, 1.0), ("x", "y", "z"), (True, False)
    )
]
ATOMS = st.sampled_from(
    [
        *(f"a {sign} {number}" for sign in ("<", "<=", ">", ">=", "==", "!=") for number in (1, 3)),
        *(f"b {sign} params.q" for sign in ("<", "<=", ">", ">=", "==", "!=")),
        "params.p + 1 >= a",
        "0.75 > b",
        "a in [0, 3]",
        "b in [0.25, 1.0]",
        "c == 'x'",
        "c != 'y'",
        "c in ['x', 'z']",
        "d",
        "d == false",
        "a * 2 > params.p",
        "c.startsWith('x')",
        "true",
    ]
)
CONDITIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]} && {pair[1]})"),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]} || {pair[1]})"),
        inner.map(lambda item: f"!({item})"),
        st.tuples(inner, inner, inner).map(lambda item: f"({item[0]} ? {item[1]} : {item[2]})"),
    ),
    max_leaves=6,
)


def holds(box: Box, point: dict[str, Plain]) -> bool:
    """Whether a point is within the limits of a box."""
    for name, limit in box.limits.items():
        value = point[name]
        if isinstance(limit, Choice):
            inside = (value in limit.values) != limit.is_excluded
        else:
            assert isinstance(value, int | float)
            inside = not Interval(value, value).meet(limit).is_empty
        if not inside:
            return False
    return True


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(CONDITIONS, st.booleans())
def test_a_condition_is_true_only_within_its_boxes(text: str, wanted: bool) -> None:
    """Every point where it is as wanted is in a box, and every point of an exact box is one."""
    expression = compile_expression(text, SCOPE, CHECKER)
    boxes = boxes_of(expression.root, PARAMS, wanted)
    truth = condition(expression)
    for point in POINTS:
        if (truth(point) is Truth.TRUE) == wanted:
            assert any(holds(box, point) for box in boxes)
        else:
            assert not any(holds(box, point) for box in boxes if box.is_exact)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("a > 3", "a < 4", None),  # no whole number is between
        ("b > 0.5", "b <= 0.5", None),
        ("b >= 0.5", "b <= 0.5", "b == 0.5"),
        ("a == 3", "a != 3", None),
        ("c == 'x'", "c in ['y', 'z']", None),
        ("c != 'x'", "c in ['x', 'z']", "c in ['z']"),
        ("a * a > 4", "!(a * a > 4)", None),  # opaque, but the same
        ("a >= params.p", "a < 4", "a >= 2 and a <= 3"),
        ("d", "!d", None),
        ("true", "a > 1", "a >= 2"),
    ],
)
def test_two_conditions_meet_or_do_not(left: str, right: str, expected: str | None) -> None:
    """What is empty is told so, and what is not is told in words."""
    one, other = (
        boxes_of(compile_expression(text, SCOPE, CHECKER).root, PARAMS) for text in (left, right)
    )
    assert [described(box) for box in met(one, other)] == ([] if expected is None else [expected])


def test_a_condition_that_is_too_long_is_not_analysed() -> None:
    """Boxes multiply: beyond a bound nothing is said, instead of taking for ever."""
    text = " && ".join(f"(a > {number} || b > {number}.5)" for number in range(12))
    with pytest.raises(TooManyBoxes):
        boxes_of(compile_expression(text, SCOPE, CHECKER).root, PARAMS)
