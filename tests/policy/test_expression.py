"""What policies may write, and how everything else is refused: all at once, with its place."""

from collections.abc import Mapping

import pytest

from adapters.policy_source.checker import CelChecker
from engine.policy.checked import TEXT_MAX, ExpressionRefused, Kind
from engine.policy.expression import compile_expression
from engine.policy.values import Truth, Values, condition

CHECKER = CelChecker()
SCOPE: Mapping[str, Kind] = {
    "queue.waiting": Kind.INT,
    "queue.service_level_5m": Kind.DOUBLE,
    "queue.oldest_wait": Kind.DURATION,
    "queue.name": Kind.STRING,
    "queue.is_open": Kind.BOOL,
    "contact.tags": Kind.STRINGS,
    "contact.attributes": Kind.ATTRIBUTES,
}


def refused(text: str) -> list[tuple[int, int, str]]:
    """Line, column and message of every problem."""
    with pytest.raises(ExpressionRefused) as caught:
        compile_expression(text, SCOPE, CHECKER)
    return [(*problem.place, problem.message) for problem in caught.value.problems]


MIXED = (
    "counts and doubles do not mix: write 3.0 beside a double, 3 beside a count, or double(count)"
)
DURATION = 'expected a duration such as "90s", "2m" or "1h30m" in whole ms'


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("queue.wating > 3", (1, 1), "unknown name queue.wating; did you mean queue.waiting?"),
        ("true &&\n  quue.name == 'a'", (2, 3), "unknown name quue.name; did you mean queue.name?"),
        ("zzz > 3", (1, 1), "unknown name zzz"),
        ("queue > 3", (1, 1), "queue is a group of names, such as queue.is_open, queue.name, "
         "queue.oldest_wait"),
        ("queue.name.startWith('a')", (1, 12), "unknown name startWith; did you mean startsWith?"),
        ("queue.waiting > 3.0", (1, 15), f"`>` does not take (int, double): {MIXED}"),
        ("queue.service_level_5m < 1", (1, 24), f"`<` does not take (double, int): {MIXED}"),
        ("queue.oldest_wait > 120", (1, 19), "`>` does not take (duration, int): write a time "
         'with its unit, as duration("2m")'),
        ("queue.waiting > 3u", (1, 15), "`>` does not take (int, uint)"),
        ("queue.waiting >", (1, 16), "Syntax error: mismatched input '<EOF>'"),
        ("queue.waiting > 99999999999999999999", (1, 17), "invalid int literal"),
        ("queue.waiting.length > 3", (1, 14), "expression of type 'int' cannot be the operand of "
         "a select operation"),
        ("queue.oldest_wait > duration('2 min')", (1, 30), f"{DURATION}, got '2 min'"),
        ("queue.oldest_wait > duration('1us')", (1, 30), f"{DURATION}, got '1us'"),
        ("queue.oldest_wait > duration('1ns')", (1, 30), f"{DURATION}, got '1ns'"),
        ("queue.oldest_wait > duration('300000000h')", (1, 30), "expected a duration of at most "
         "292 years, got '300000000h'"),
        ("queue.oldest_wait > duration('3000000h')", (1, 30), "expected a duration of at most 292 "
         "years, got '3000000h'"),
        ("queue.oldest_wait > duration(queue.name)", (1, 29), "a duration that is not written out "
         "cannot be used in policies"),
        ("queue.name.matches('(a')", (1, 20), "no regular expression: missing ): (a"),
        ("queue.name.startsWith(queue.name)", (1, 23), "`startsWith` takes a text that is written "
         "out"),
        ("contact.tags.exists(tag, tag == 'a')", (1, 20), "a loop over a list or map cannot be "
         "used in policies"),
        ("size(queue.name) > 3", (1, 5), "`size` with such arguments cannot be used in policies"),
        ("queue.name + 'a' == 'b'", (1, 12), "`+` with such arguments cannot be used in policies"),
        ("dyn(queue.waiting) > 3.0", (1, 4), "`dyn` with such arguments cannot be used in "
         "policies"),
        ("queue.name == b'a'", (1, 12), None),
        ("null == null", (1, 1), "null cannot be used in policies"),
        ("{'a': 1}['a'] == 1", (1, 1), "a message or map that is written out cannot be used in "
         "policies"),
        ("[1] == [1]", (1, 1), "a list may only stand behind `in`"),
        ("contact.tags == contact.tags", (1, 14), "`==` cannot be used with list(string)"),
        ("queue.waiting in [1, 2.0]", (1, 22), "expected int in the list, got double"),
        ("queue.waiting in [1, queue.waiting]", (1, 22), "a list may only hold values that are "
         "written out"),
        ("queue.waiting in []", (1, 18), "expected at least one value in the list"),
        ("queue.waiting + 1", (1, 15), "expected bool, got int"),
        ("", (1, 1), "expected an expression, got nothing"),
        (" \n ", (1, 1), "expected an expression, got nothing"),
        ("!" * (TEXT_MAX + 1), (1, 1), f"expected at most {TEXT_MAX} characters, got 4001"),
        ("(" * 60 + "true" + ")" * 60, (1, 1), None),
        ("0 < " + "+".join(["queue.waiting"] * 60), (1, 1), None),
        ("\x00", (1, 1), None),
    ],
)  # fmt: skip
def test_an_expression_is_refused_with_its_place(
    text: str, place: tuple[int, int], message: str | None
) -> None:
    """An author reads what is wrong, where, and what to write instead."""
    found = refused(text)[0]
    assert found[:2] == place
    assert message is None or found[2] == message


def test_all_problems_are_told_at_once() -> None:
    """Mending one mistake after the other is a waste of an author's time."""
    text = "queue.wating > 3 ||\n  queue.service_level_5m < 1 ||\n\tquue.name == 'é' && nme == 'a'"
    assert [found[:2] for found in refused(text)] == [(1, 1), (2, 26), (3, 2), (3, 22)]
    text = "queue.oldest_wait > duration('x') || queue.oldest_wait > duration('y')"
    assert [found[:2] for found in refused(text)] == [(1, 30), (1, 67)]
    text = "size(queue.name) > 3 || queue.name.matches('(') || queue.waiting in [1, queue.waiting]"
    assert len(refused(text)) == 3


def test_a_problem_is_shown_with_its_line_and_a_caret() -> None:
    """The caret stands under the place, behind tabs and signs of any alphabet as well."""
    with pytest.raises(ExpressionRefused) as caught:
        compile_expression("true &&\n\t'日本' == nme", SCOPE, CHECKER)
    problem = caught.value.problems[0]
    assert problem.shown(caught.value.text) == (
        "2:10: unknown name nme\n | \t'日本' == nme\n | \t        ^"
    )
    assert str(caught.value) == problem.shown(caught.value.text)


def test_names_are_told() -> None:
    """Only what is read need be worked out."""
    text = "queue.waiting > 3 || queue.oldest_wait > duration('2m') && queue.waiting < 9"
    found = compile_expression(text, SCOPE, CHECKER)
    assert found.names == ("queue.oldest_wait", "queue.waiting")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("contact.attributes.tier == 'gold'", Truth.TRUE),
        ("contact.attributes['tier'] in ['gold', 'silver']", Truth.TRUE),
        ("has(contact.attributes.topic)", Truth.FALSE),
        ("'tier' in contact.attributes", Truth.TRUE),
        ("contact.attributes.topic == 'card'", Truth.ERROR),
        ("has(contact.attributes.topic) && contact.attributes.topic == 'card'", Truth.FALSE),
        ("'vip' in contact.tags", Truth.TRUE),
        ("'new' in contact.tags", Truth.FALSE),
        ("contact.attributes[queue.name] == 'x'", Truth.TRUE),
        ("queue.waiting > 3", Truth.ERROR),
        ("contact.attributes.tier.matches('^g.l')", Truth.TRUE),
    ],
)
def test_conditions_of_contacts(text: str, expected: Truth) -> None:
    """Attributes and tags of a contact; a key that is not there is an error, unless asked for."""
    values: Values = {
        "contact.attributes": {"tier": "gold", "billing": "x"},
        "contact.tags": ("vip", "old"),
        "queue.name": "billing",
    }
    assert condition(compile_expression(text, SCOPE, CHECKER))(values) is expected


def test_errors_deep_inside_cost_no_more_than_their_operations() -> None:
    """Each side is asked once, however deep errors nest: twice would be 2^28 here."""
    text = "queue.is_open"
    for _ in range(28):
        text = f"({text} || queue.is_open)"
    values = _Counting()
    assert condition(compile_expression(text, SCOPE, CHECKER))(values) is Truth.ERROR
    assert values.asked == 29


class _Counting(dict[str, bool]):
    """Knows nothing, and counts how often it is asked."""

    asked = 0

    def __missing__(self, name: str) -> bool:
        self.asked += 1
        raise KeyError(name)


def test_a_pattern_takes_time_linear_in_the_text() -> None:
    """A pattern that backtracking would take ages for does not hold up who matches it."""
    assert CHECKER.pattern("^(a+)+$")("a" * 20_000 + "b") is False


def test_a_pattern_with_every_sign_is_taken_as_written() -> None:
    """Quotes, backslashes and other alphabets get into the library as they are."""
    assert CHECKER.pattern("^[\"'\\\\é\\d]+$")("\"'\\é7")
