"""Files of policies: what is read of them, and how everything else is refused, with its place."""

import json
from collections.abc import Iterator
from datetime import date

import pytest
from pydantic import TypeAdapter

from engine.policy.checked import Kind
from engine.policy.compiled import values_in_force
from engine.policy.document import PolicyRefused, read_policy
from engine.policy.editing import json_schema
from engine.policy.parts import Declared, Match, Period, Schedule
from tests.policy.written import DIVERSION, OVERFLOW, ROUTING, problems, read, relief, routing


def test_a_diversion_is_read() -> None:
    """Every part has its meaning, and what is left out its default."""
    found = relief(DIVERSION)
    spec = found.policy.spec
    assert (found.policy.name, spec.mode, spec.precedence) == ("voice-surge", "auto", 10)
    assert spec.enter.for_ == 30_000
    assert spec.exit is not None
    assert spec.exit.for_ == 60_000
    assert {name: param.kind for name, param in spec.params.items()} == {
        "on": Kind.DOUBLE,
        "off": Kind.DOUBLE,
        "longest": Kind.DURATION,
    }
    assert dict(values_in_force(found.policy))["params.longest"] == 180_000
    assert spec.params["on"].bounds == (0.1, 0.9)
    assert spec.queues == ("billing-chat",)
    assert found.enter.names == (
        "breach_risk_5m", "params.longest", "params.on", "queue.estimated_wait"
    )  # fmt: skip
    assert found.eligible is not None
    assert (spec.guards.dwell_on, spec.guards.dwell_off, spec.stale.policy) == (
        120_000, 60_000, "hold"
    )  # fmt: skip


def test_mode_is_shadow_unless_said_otherwise() -> None:
    """Nothing is done to customers by a policy that nobody has switched on."""
    assert relief(OVERFLOW).policy.spec.mode == "shadow"
    assert routing(ROUTING).policy.spec.mode == "shadow"


def test_several_policies_in_one_file() -> None:
    """Sound ones are read although another one is not."""
    text = f"{OVERFLOW}---\n{ROUTING}---\n{OVERFLOW.replace('queue.waiting', 'queue.waitin')}"
    found = read(text)
    assert [item.compiled.policy.name for item in found.policies] == ["lisbon-to-porto", "entry"]
    assert [item.place.line for item in found.problems] == [
        len((OVERFLOW + ROUTING).split("\n")) + 7
    ]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("headgate/v1", "headgate/v2", "1:1: apiVersion: expected 'headgate/v1', got "
         "'headgate/v2'"),
        ("DiversionPolicy", "Diversion", "2:1: kind: expected one of DiversionPolicy, "
         "OverflowPolicy, RoutingPolicy, got 'Diversion'"),
        ("kind: DiversionPolicy\n", "", "1:1: the policy: expected one of DiversionPolicy, "
         "OverflowPolicy, RoutingPolicy, got None"),
        ("voice-surge", "Voice_surge", None),
        ("mode: auto", "mode: on", "5:3: spec.mode: expected 'shadow', 'advise' or 'auto', "
         "got 'on'"),
        ("mode: auto", "moode: auto", "5:3: spec.moode: no such key"),
        ("precedence: 10", "precedence: 1.5", None),
        ("precedence: 10", f"precedence: {'9' * 5_000}", None),
        ("value: 0.5, min", f"value: {'9' * 5_000}, min", None),
        ("value: 0.5, min", "value: 1e999, min", None),
        ('{queues: [billing, "sales-*"]}', "{queues: []}", "7:11: spec.match.queues: expected at "
         "least 1 items, got 0"),
        ("value: 0.5, min", "value: .nan, min", "9:10: spec.params.on.value: expected a number "
         "below 1e18, or a duration such as 90s, got nan"),
        ("value: 0.5, min", "value: yes, min", "9:10: spec.params.on.value: expected a duration "
         "such as 90s, 1.5h or 1h30m, got 'yes'"),
        ("value: 0.5, min", "value: true, min", "9:10: spec.params.on.value: expected a number "
         "below 1e18, or a duration such as 90s, got True"),
        ("min: 0.1", "min: 1", "9:5: spec.params.on: expected min of the type of the value, "
         "double, got 1"),
        ("longest:", "longest wait:", None),
        ("value: 3m", "value: 0.5ms", "11:15: spec.params.longest.value: expected a duration in "
         "whole milliseconds, got '0.5ms'"),
        ("value: 3m", "value: 36526d", "11:15: spec.params.longest.value: expected a duration of "
         "at most 36,525 days, got '36526d'"),
        ("value: 3m", f"value: {'9' * 400}d", None),
        ("for: 30s", f"for: {'9' * 400}d", None),
        (">= params.on", ">= params.onn", "13:29: spec.enter.when: unknown name params.onn; did "
         "you mean params.on?"),
        ('    when: breach_risk_5m <= params.off && queue.estimated_wait < duration("1m")\n', "",
         "15:3: spec.exit: expected when, "
         "got none"),
        ("for: 30s", "for: 30", "14:5: spec.enter.for: expected a duration such as 90s, 1.5h or "
         "1h30m, got 30"),
        ("for: 30s", "for: 25h", "14:5: spec.enter.for: expected a duration of at most 1d, "
         "got '25h'"),
        ("contact.tier", "queue.id", "18:13: spec.eligible: unknown name queue.id"),
        ("          - wait: {}\n", "          - wait: {}\n          - wait: {}\n", None),
        ("- wait: {}", "- wait:", None),
        ("{within: 4h}", "{within: 4h}\n            wait: {}", None),
        ("channel: chat", "channel: fax", None),
        ("notify: {webhook: ops}", "open_agents: {}", None),
        ("{just_enough: {risk_max: 0.2}}", "{fixed: 0.5, just_enough: {}}", None),
        ("{just_enough: {risk_max: 0.2}}", "{fixed: 1.01}", None),
        ("{just_enough: {risk_max: 0.2}}",
         "{ramp: {value: queue.waiting, from: 0.0, to: 1.0}}",
         "26:25: spec.share.ramp.value: expected double, got int"),
        ("{just_enough: {risk_max: 0.2}}", "{ramp: {value: breach_risk_5m, from: 1.0, to: 1.0}}",
         "26:11: spec.share.ramp: expected a `to` above `from`, 1"),
    ],
)  # fmt: skip
def test_a_diversion_is_refused_with_its_place(old: str, new: str, problem: str | None) -> None:
    """Whoever wrote it finds line and column of what is wrong."""
    assert old in DIVERSION
    found = problems(DIVERSION.replace(old, new, 1))
    assert found
    assert problem is None or found == [problem]


@pytest.mark.parametrize(
    ("text", "old", "new", "problem"),
    [
        (OVERFLOW, "overflow: {queue: porto}", "offer_choice: {options: [{wait: {}}]}",
         "4:1: spec: expected no action offer_choice; a policy with one is a DiversionPolicy"),
        (OVERFLOW, "OverflowPolicy", "DiversionPolicy",
         "4:1: spec: expected an action offer_choice; a policy without one is an OverflowPolicy"),
        (OVERFLOW, "{queue: porto}", "{cell: north}",
         "7:14: spec.actions[0].overflow: expected queue, got none"),
        (OVERFLOW, "overflow: {queue: porto}", "change_priority: {to: 1001}", None),
        (OVERFLOW, "queue.waiting > 4}", "target.waiting < 4}\n  schedule: {periods: [{begins: "
         "24:01, ends: 1:00}]}", None),
        (OVERFLOW.replace("overflow: {queue: porto}", "open_agents: {group: late}"),
         "queue.waiting > 4", "target.waiting < 4",
         "7:3: spec.actions: expected an action that names a queue, where target.waiting is read"),
        (ROUTING, "  default: {queue: general}\n", "", "4:1: spec: expected default, got none"),
        (ROUTING, "percent: 20", "percent: 30", "10:7: spec.rules[1]: expected a split that adds "
         "up to 100 percent, not 110"),
        (ROUTING, "      to: {queue: gold, preferred", "      too: {queue: gold, preferred", None),
        (ROUTING, "name: cards", "name: vip", "4:1: spec: expected rules of different names, got "
         "vip twice"),
        (ROUTING, "french: 3", "french: 6", None),
        (ROUTING, "contact.tier", "contact.wait", "8:13: spec.rules[0].when: unknown name "
         "contact.wait; did you mean contact.id?"),
        (ROUTING, 'contact.attributes.product == "card"', "contact.attributes == 'card'", None),
    ],
)  # fmt: skip
def test_other_kinds_are_refused_with_their_place(
    text: str, old: str, new: str, problem: str | None
) -> None:
    """The same for overflow and routing."""
    assert old in text
    found = problems(text.replace(old, new, 1))
    assert found
    assert problem is None or found == [problem]


def test_form_and_expressions_are_refused_together() -> None:
    """A wrong key does not hide what is wrong with a condition."""
    text = DIVERSION.replace("mode: auto", "mood: auto").replace(
        "queue.estimated_wait", "queue.wiat"
    )
    text = text.replace("contact.wait", "contact.wiat").replace("params.off", "params.of")
    assert [line.split(":")[0] for line in problems(text)] == ["5", "13", "16", "16", "18"]
    text = ROUTING.replace("contact.tier", "contact.teir").replace("default", "defaults")
    assert len(problems(text)) == 3


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("    when: |\n      breach_risk_5m >= params.on &&\n        queue.wating > 3\n", (15, 9)),
        ("    when: >-\n      breach_risk_5m >= params.on &&\n      queue.wating > 3\n", (15, 7)),
        ("    when: breach_risk_5m >= params.on &&\n      queue.wating > 3\n", (14, 7)),
        ("    when: 'breach_risk_5m >= params.on &&\n\n      queue.wating > 3'\n", (15, 7)),
        ('    when: "queue.wating > 3"\n', (13, 12)),
        ("    when:   queue.wating > 3 # few\n", (13, 13)),
        ("    when: |2\n      queue.wating > 3\n", (14, 7)),
    ],
)  # fmt: skip
def test_a_condition_is_found_however_it_is_written(text: str, place: tuple[int, int]) -> None:
    """Blocks, folded lines and quotes move signs about; the caret is still under the word."""
    old = "    when: breach_risk_5m >= params.on || queue.estimated_wait > params.longest\n"
    (problem,) = read(DIVERSION.replace(old, text)).problems
    assert problem.place == place
    line, word, caret = str(problem).split("\n")[0], *str(problem).split("\n")[1:]
    assert line.startswith(f"p.yaml:{place[0]}:{place[1]}: spec.enter.when: unknown name")
    assert word[caret.index("^") :].startswith("queue.wating")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [", "2:1: no YAML: did not find expected node content"),
        ("a: 1\na: 2", "2:1: 'a' stands here for the second time"),
        ("a: &x 1\nb: *x", "1:4: expected no alias: write out what is meant"),
        ("&x a: [*x]", None),
        ("a: !!binary aGk=", "1:4: expected no tag, got tag:yaml.org,2002:binary"),
        ("? [a]\n: 1", "1:3: expected a text as key"),
        ("[" * 200, "1:1: expected at most 100 levels"),
        ("- " * 200 + "a", "1:1: expected at most 100 levels"),
        ("just words", "1:1: the policy: expected a mapping with apiVersion, kind, ..."),
        ("kind: 3", "1:1: kind: expected one of DiversionPolicy, OverflowPolicy, RoutingPolicy, "
         "got 3"),
        ("a: \x07", None),
        ("x" * 1_000_001, "1:1: expected at most 1000000 characters"),
        ("\n---\n".join(["a"] * 201), "1:1: expected at most 200 policies, got 201"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_policy_is_refused(text: str, problem: str | None) -> None:
    """No file ends the process, and none is half read."""
    found = problems(text)
    assert found
    assert problem is None or found == [problem]
    assert read(text).policies == []


def test_an_empty_file_holds_nothing() -> None:
    """It is no mistake: a folder may be empty as well."""
    assert read("") == ([], [])
    assert read("# nothing yet\n---\n") == ([], [])


def test_texts_are_those_of_yaml_1_2() -> None:
    """`no` is Norway, and 10:30 a time of the day, not 630."""
    schedule = "  schedule: {periods: [{days: [monday], begins: 10:30, ends: 20:00}]}\n"
    text = OVERFLOW.replace("[lisbon]", "[no, on, 007x]") + schedule
    spec = relief(text).policy.spec
    assert spec.match.queues == ("no", "on", "007x")
    assert spec.schedule is not None
    assert spec.schedule.periods[0].begins == 630


def test_match_takes_ids_and_beginnings() -> None:
    """A star stands for any rest, and only at the end."""
    match = Match(queues=("billing", "sales-*"))
    assert [match.includes(name) for name in ("billing", "billing2", "sales-", "sales-north")] == [
        True, False, True, True
    ]  # fmt: skip
    assert Match(queues=("*",)).includes("anything")


def test_schedule_goes_past_midnight_and_ends_with_its_last_day() -> None:
    """A night that begins on Friday lasts until Saturday morning."""
    night = Period.model_validate({"days": ["friday"], "begins": "22:00", "ends": "06:00"})
    assert [night.includes(*at) for at in ((5, 1319), (5, 1320), (6, 359), (6, 360), (5, 0))] == [
        False, True, True, False, False
    ]  # fmt: skip
    sunday = Period.model_validate({"days": ["sunday"], "begins": "22:00", "ends": "06:00"})
    assert sunday.includes(1, 0)
    declared = {"first_day": "2026-11-27", "last_day": "2026-11-30"}
    schedule = Schedule.model_validate(declared)
    assert [schedule.includes(date(2026, 11, day), 0) for day in (26, 27, 30)] == [
        False, True, True
    ]  # fmt: skip
    assert not schedule.includes(date(2026, 12, 1), 0)
    with pytest.raises(ValueError, match="last_day not before"):
        Schedule.model_validate({"first_day": "2026-11-27", "last_day": "2026-11-26"})


def test_plain_values_are_enough() -> None:
    """An RPC brings a policy as values, not as a file."""
    with pytest.raises(PolicyRefused, match="apiVersion"):
        read_policy([])
    with pytest.raises(PolicyRefused) as caught:
        read_policy({"kind": "RoutingPolicy", "spec": {"rules": [{"name": 3}]}})
    assert len(caught.value.problems) > 3


def test_schema_tells_editors_what_files_hold() -> None:
    """Aliases, texts for durations, and the kinds told apart by `kind`."""
    schema = json.loads(json_schema())
    assert set(schema["discriminator"]["mapping"]) == {
        "DiversionPolicy", "OverflowPolicy", "RoutingPolicy"
    }  # fmt: skip
    held = schema["$defs"]["Held"]
    assert held["properties"]["for"]["type"] == "string"
    assert "for_" not in json_schema()
    assert held["additionalProperties"] is False
    assert schema["$defs"]["DiversionPolicy"]["required"] == [
        "apiVersion", "metadata", "kind", "spec"
    ]  # fmt: skip


def _declared(of: type[Declared] = Declared) -> Iterator[type[Declared]]:
    for part in of.__subclasses__():
        yield part
        yield from _declared(part)


def test_schema_proposes_defaults_that_a_file_may_hold() -> None:
    """An editor writes them out; what it writes must not be refused."""
    definitions = json.loads(json_schema())["$defs"]
    texts = []
    for part in _declared():
        proposed = definitions.get(part.__name__, {}).get("properties", {})
        for name, field in part.model_fields.items():
            schema = proposed.get(field.alias or name, {})
            if "default" in schema:
                accepts: TypeAdapter[object] = TypeAdapter(field.rebuild_annotation())
                read = accepts.validate_python(schema["default"])
                assert read == field.get_default(call_default_factory=True), (part, name)
                texts.append(schema["default"])
    assert {"0s", "20s", "1m", "2m", "30m"} <= {text for text in texts if isinstance(text, str)}
