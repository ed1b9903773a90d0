"""TaskRouter's expressions: read, and evaluated for workers."""

import pytest

from adapters.importing.taskrouter_expression import (
    Key,
    NotAnExpression,
    is_true,
    keys_of,
    parse_expression,
)

WORKER: dict[str, object] = {
    "skills": ["spanish", "billing"],
    "language": "es",
    "level": 3,
    "rating": 4.5,
    "vip": True,
    "left": False,
    "nothing": None,
    "routing": {"levels": {"spanish": 4}, "sites": ["north", "south"]},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 == 1", True),
        ("1==1", True),
        ("0 != 1", True),
        ('"apple" != "orange"', True),
        ("skills HAS 'spanish'", True),
        ('skills HAS "french"', False),
        ("skills NOT HAS 'french'", True),
        ("'billing' IN skills", True),
        ('language IN ["en", "es"]', True),
        ("language NOT IN ['en', 'es']", False),
        ("language IN []", False),
        ("language CONTAINS 'e'", True),
        ("skills CONTAINS 'span'", False),
        ("language = 'es'", True),
        ("language <> 'es'", False),
        ("level > 2", True),
        ("level >= 3 AND level <= 3", True),
        ("level < 3", False),
        ("-1 < level", True),
        ("rating >= 4.5", True),
        ("level == '3'", False),  # numbers and texts are never equal
        ("level > '2'", False),
        ("language > 'en'", True),
        ("vip == true", True),
        ("vip", True),
        ("vip == 1", False),  # nor are truths and numbers
        ("left", False),
        ("NOT left", True),
        ("not left and vip", True),
        ("absent == null", True),
        ("nothing == NULL", True),
        ("absent > 0", False),
        ("absent HAS 'x'", False),
        ("absent.deeper == 'x'", False),
        ("routing.levels.spanish >= 3", True),
        ("routing.sites[1] == 'south'", True),
        ("routing.sites[2] == 'south'", False),
        ("language[0] == 'e'", False),
        # AND binds closer than OR, NOT closer than both.
        ("vip OR left AND left", True),
        ("(vip OR left) AND left", False),
        ("NOT left OR left", True),
        ("NOT (vip AND left)", True),
        ("NOT NOT vip", True),
        (r"language == 'e\'s'", False),
        ("(skills HAS 'spanish') AND ((level == 3))", True),
    ],
)
def test_expression_is_evaluated_as_documented(text: str, expected: bool) -> None:
    """Who serves a queue follows from it."""
    assert is_true(parse_expression(text), WORKER) is expected


def test_keys_are_all_attributes_that_are_looked_at() -> None:
    """They become skills and tags; what nobody looks at stays behind."""
    found = keys_of(parse_expression("NOT a.b[0] == 1 AND (c HAS 'x' OR 'y' IN d) AND 1 == 1"))
    assert found == {Key(("a", "b", 0)), Key(("c",)), Key(("d",))}
    assert sorted(map(str, found)) == ["a.b[0]", "c", "d"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "column 1: expected a value, got the end"),
        ("   ", "column 4: expected a value, got the end"),
        ("a ==", "column 5: expected a value, got the end"),
        ("== a", "column 1: expected a value, got '=='"),
        ("a b", "column 3: expected AND, OR or the end, got 'b'"),
        ("a == 1 AND", "column 11: expected a value, got the end"),
        ("AND a", "column 1: expected a value, got 'AND'"),
        ("a HAS IN", "column 7: expected a value, got 'IN'"),
        ("(a == 1", "column 8: expected AND, OR or ), got the end"),
        ("a == 1)", "column 7: expected AND, OR or the end, got ')'"),
        ("a NOT 1", "column 7: expected HAS, IN or CONTAINS after NOT, got '1'"),
        ("a NOT == 1", "column 7: expected HAS, IN or CONTAINS after NOT, got '=='"),
        ("a IN ['x'", "column 10: expected , or ], got the end"),
        ("a IN ['x' 'y']", "column 11: expected , or ], got \"'y'\""),
        ("a IN [b]", "column 7: expected text, a number, true or false"),
        ("a == 'x", 'column 6: expected a value or an operator, got "\'x"'),
        ("a & b", "column 3: expected a value or an operator, got '& b'"),
        ("a-b == 1", "column 2: expected a value or an operator, got '-b == 1'"),
        ("(" * 500 + "a", "column 102: expected less depth"),
        ("NOT " * 500 + "a", "column 405: expected less depth"),
        ("a IN " + "[" * 500, "column 107: expected a value, got '['"),
    ],
)
def test_text_that_is_no_expression_is_refused_with_the_column(text: str, why: str) -> None:
    """Whoever wrote it finds the place."""
    with pytest.raises(NotAnExpression) as refused:
        parse_expression(text)
    assert str(refused.value) == why
