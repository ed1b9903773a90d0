"""Conditions taken apart: the parts mean what the whole means, and read what it reads."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.policy_source.checker import CelChecker
from engine.policy.checked import Kind
from engine.policy.conjuncts import attribute_keys, conjuncts
from engine.policy.expression import compile_expression
from engine.policy.values import Truth, condition
from tests.policy.drawing import SCOPE, expressions, rows

CHECKER = CelChecker()
OF_CONTACT = {
    "contact.attributes": Kind.ATTRIBUTES,
    "contact.tier": Kind.STRING,
    "params.key": Kind.STRING,
}


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(expressions(), min_size=1, max_size=4), rows())
def test_all_parts_are_true_where_the_whole_is(
    texts: list[str], row: dict[str, bool | int | float | str]
) -> None:
    """Whichever of them cannot be told."""
    whole = compile_expression(" && ".join(f"({text})" for text in texts), SCOPE, CHECKER)
    parts = conjuncts(whole)
    assert len(parts) >= len(texts)
    is_true = condition(whole)(row) is Truth.TRUE
    assert all(condition(part)(row) is Truth.TRUE for part in parts) == is_true
    assert {name for part in parts for name in part.names} == set(whole.names)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ('contact.attributes.product == "card"', {"product"}),
        ('contact.attributes["product"] == "card" || contact.tier == "vip"', {"product"}),
        ('"a" in contact.attributes && has(contact.attributes.b)', {"a", "b"}),
        ('contact.tier == "vip"', set()),
        ('contact.attributes[params.key] == "card"', None),
        ('params.key in contact.attributes && contact.attributes.a == "b"', None),
    ],
)
def test_keys_of_attributes_are_known_where_they_are_written_out(
    text: str, keys: set[str] | None
) -> None:
    """Elsewhere any may be read."""
    assert attribute_keys(compile_expression(text, OF_CONTACT, CHECKER)) == keys
