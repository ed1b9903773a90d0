"""Checks of texts: beside others, bounded, in a thread of their own; and differences of texts."""

import asyncio
import threading

import pytest

from adapters.errors import CallRefused
from adapters.policy_checks import FINDINGS_MAX, WAITING_MAX, check, in_thread
from adapters.policy_source.checking import Checked, Source, TextChecks, what_it_says
from adapters.policy_source.difference import Change, changes
from engine.engine import Engine
from engine.policies import PolicyKind
from engine.policy.findings import Estate
from tests.policy.written import DIVERSION, OVERFLOW, ROUTING

BACK = OVERFLOW.replace("lisbon-to-porto", "back").replace("[lisbon]", "[porto]").replace(
    "queue: porto", "queue: lisbon"
)  # fmt: skip


def rules(checked: Checked) -> list[tuple[str, str]]:
    """Kinds of what was found, and of which policy."""
    return [(item.problem.rule, item.policy) for item in checked.remarks]


def test_what_others_have_because_of_a_text_is_found_at_the_text() -> None:
    """The circle is told of the policy that was there first, and closed by the one that comes."""
    checks = TextChecks()
    other = Source("other", OVERFLOW)
    checked = checks.check([Source("text", BACK)], [other])
    assert [str(item) for item in checked.remarks] == [
        "text:1:1: warning: with policy lisbon-to-porto: contacts may go round: lisbon to porto to "
        "lisbon [circle]"
    ]
    # What is wrong with others without the text is not the text's fault.
    assert rules(checks.check([Source("text", ROUTING)], [other, Source("b", BACK)])) == []


def test_policy_takes_the_place_of_its_version_in_force() -> None:
    """It would be in conflict with itself."""
    changed = OVERFLOW.replace("> 4", "> 5")
    assert rules(TextChecks().check([Source("text", changed)], [Source("a", OVERFLOW)])) == []


def test_text_is_read_once_and_told_by_the_name_it_has() -> None:
    """What is remembered of one file must not be told of another."""
    checks = TextChecks()
    broken = OVERFLOW.replace("queue.waiting", "queue.wating")
    for file in ("a", "b", "a"):
        (remark,) = checks.check([Source(file, broken)]).remarks
        assert remark.problem.file == file


def test_names_are_checked_where_they_are_known() -> None:
    """Without an estate nobody can tell."""
    texts = [Source("text", OVERFLOW)]
    assert rules(TextChecks().check(texts)) == []
    checked = TextChecks().check(texts, (), Estate(queues={"lisbon"}))
    assert rules(checked) == [("unknown-queue", "lisbon-to-porto")]


async def test_findings_are_bounded_and_errors_go_first() -> None:
    """Two hundred policies that are alike are in conflict with each other, every pair."""
    many = "---\n".join(OVERFLOW.replace("lisbon-to-porto", f"p{n}") for n in range(60))
    broken = OVERFLOW.replace("queue.waiting", "queue.wating")
    checked = await check(Engine(), [Source("text", f"{many}---\n{broken}")], alone=True)
    assert len(checked.remarks) == FINDINGS_MAX
    assert [item.problem.rule for item in checked.errors] == ["expression"]


async def test_texts_that_wait_are_bounded() -> None:
    """Whoever sends texts faster than they are checked is told to wait; others go on then."""
    gate = threading.Event()
    held = [asyncio.create_task(in_thread(gate.wait, 30)) for _ in range(WAITING_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(CallRefused) as caught:
        await in_thread(len, "")
    assert (caught.value.reason, caught.value.retry_after_ms > 0) == ("OVERLOADED", True)
    gate.set()
    assert all(await asyncio.gather(*held))
    assert await in_thread(len, "abc") == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (DIVERSION, ("voice-surge", PolicyKind.DIVERSION_POLICY)),
        (OVERFLOW, ("lisbon-to-porto", PolicyKind.OVERFLOW_POLICY)),
        (ROUTING, ("entry", PolicyKind.ROUTING_POLICY)),
        ("metadata: {name: x}", ("x", PolicyKind.NONE)),  # half a policy
        ("metadata: {name: 3}\nkind: [a]", ("", PolicyKind.NONE)),  # of other types
        ("metadata: x", ("", PolicyKind.NONE)),  # no mapping
        ("kind: Other", ("", PolicyKind.NONE)),  # another kind
        ("- a", ("", PolicyKind.NONE)),  # a list
        ("a: [", ("", PolicyKind.NONE)),  # no YAML
        ("", ("", PolicyKind.NONE)),  # nothing
    ],
)
def test_draft_says_what_it_can(text: str, said: tuple[str, PolicyKind]) -> None:
    """Whatever stands in it."""
    assert what_it_says(text) == said


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("a: 1", "a: 1 # same", []),
        ("a: 1", "a: 1.0", [("a", "1", "1.0")]),  # a count and a double
        ("a: {b: 1}", "a: {c: 1}", [("a.b", "1", ""), ("a.c", "", "1")]),
        ("a: [1, 2]", "a: [1]", [("a[1]", "2", "")]),
        ("a: 1", "a: [1]", [("a", "1", "[1]")]),  # another type
        ("a: [{name: x, v: 1}]", "a: [{name: x, v: 2}]", [("a[x].v", "1", "2")]),
        (
            "a: [{name: x}]", "a: [{name: y}]",
            [("a[x]", '{"name":"x"}', ""), ("a[y]", "", '{"name":"y"}')],
        ),
        (
            "a: [{name: x}, {name: y}]", "a: [{name: y}, {name: x}]",
            [("a (order)", '["x","y"]', '["y","x"]')],
        ),
        ("", "a: 1", [("a", "", "1")]),  # a first version
        ("a: [", "a: 1", []),  # no YAML
    ],
)  # fmt: skip
def test_difference_is_told_field_by_field(
    before: str, after: str, told: list[tuple[str, str, str]]
) -> None:
    """Rules by their names: one that is put in before others changes no other."""
    assert changes(before, after) == [Change(*item) for item in told]
