"""Messages as plain values and back: what is part of a definition, and what is refused."""

import re
from pathlib import Path

import pytest
from google.protobuf.message import Message

from adapters.configuration.cell import NewerEngine, require_known
from adapters.configuration.fields import OUTPUT_ONLY, fill, plain
from adapters.definitions import agent_definition, queue_definition
from engine.commands import UpsertAgent, UpsertQueue
from engine.definitions import ScoreWeights
from headgate.v1.agent_pb2 import Agent, AgentSkill
from headgate.v1.contact_pb2 import Contact
from headgate.v1.queue_pb2 import Queue, Strategy
from tests.engine.drawing_definitions import HOURS

PROTO = Path(__file__).resolve().parents[2] / "proto" / "headgate" / "v1"


def output_only_by_comment(file: str, message: str) -> set[str]:
    """Fields of which the contract says that they are output only."""
    text = (PROTO / file).read_text(encoding="utf-8")
    body = re.search(rf"^message {message} {{\n(.*?)^}}", text, re.DOTALL | re.MULTILINE)
    assert body is not None
    fields = re.findall(r"((?:^ *//.*\n)+) *[\w. ]+ (\w+) = \d+;", body[1], re.MULTILINE)
    return {
        f"headgate.v1.{message}.{name}"
        for comment, name in fields
        if re.search(r"output only", comment, re.IGNORECASE)
    }


def test_output_only_fields_are_those_that_the_contract_names() -> None:
    """A field that is output only must not come into a file, and no other may be missing there."""
    named = output_only_by_comment("queue.proto", "Queue")
    named |= output_only_by_comment("agent.proto", "Agent")
    assert len(named) > 8
    assert sorted(named) == sorted(OUTPUT_ONLY)


@pytest.mark.parametrize(
    ("full", "kind"),
    [
        (
            queue_definition(
                UpsertQueue("q", weights=ScoreWeights(idle=0.0), hours=HOURS[1], etag="7")
            ),
            Queue,
        ),
        (agent_definition(UpsertAgent("a", etag="7")), Agent),
    ],
)
def test_definition_is_written_in_full_and_read_again(full: Message, kind: type[Message]) -> None:
    """Every field of the contract but what only the engine sets, in the order of the contract."""
    values = plain(full)
    expected = [
        field.name
        for field in kind.DESCRIPTOR.fields
        if field.full_name not in OUTPUT_ONLY and field.name != "etag"
    ]
    assert list(values) == expected
    again = kind()
    assert list(fill(again, values, "it")) == []
    assert plain(again) == values


def test_sparse_form_leaves_out_what_is_not_set() -> None:
    """People who write a file by hand say only what matters to them."""
    agent = Agent(agent_id="a", skills=[AgentSkill(skill="es")])
    assert plain(agent, is_full=False) == {"agent_id": "a", "skills": [{"skill": "es"}]}


def test_maps_and_optional_fields_go_both_ways() -> None:
    """Fields of these kinds may come into definitions; none may be lost then."""
    contact = Contact(contact_id="c", attributes={"b": "2", "a": "1"})
    contact.relaxation.add(after_ms=5, priority=0)
    contact.relaxation.add(after_ms=6)
    values = plain(contact)
    assert list(values["attributes"]) == ["a", "b"]  # type: ignore[call-overload]
    assert values["relaxation"] == [{"after_ms": 5, "priority": 0}, {"after_ms": 6}]
    again = Contact()
    assert list(fill(again, values, "it")) == []
    assert again == contact


def test_field_of_a_newer_engine_is_not_lost_in_silence() -> None:
    """What this version cannot show it would also write away."""
    queue = Queue(queue_id="q")
    assert require_known(queue) is queue
    # Field 999, and one deeper down.
    for more in (b"\xba\x3e\x01x", b"\x1a\x04\xba\x3e\x01x"):
        with pytest.raises(NewerEngine, match="the engine is of a newer version"):
            require_known(Queue.FromString(queue.SerializeToString() + more))


def test_empty_key_says_nothing() -> None:
    """`strategy:` with nothing behind it is a field left out."""
    queue = Queue(queue_id="q")
    assert list(fill(queue, {"strategy": None}, "q")) == []
    assert queue.strategy == Strategy.STRATEGY_UNSPECIFIED


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (7, "q: expected a mapping of fields, got 7"),
        (["queue_id"], "q: expected a mapping of fields, got ['queue_id']"),
        (
            {"max_lenght": 1},
            "q.max_lenght: expected the name of a field (did you mean max_length?)",
        ),
        ({3: 1}, "q.3: expected the name of a field, got 1"),
        ({"etag": "1"}, "q.etag: expected no such key here: the engine sets it, got '1'"),
        ({"intake": "INTAKE_OPEN"}, "q.intake: expected no such key here: the engine sets it"),
        ({"queue_id": 100}, "q.queue_id: expected text, in quotes where YAML would read something"),
        ({"queue_id": False}, "q.queue_id: expected text, in quotes"),  # no, unquoted
        ({"queue_id": "\ud800"}, "q.queue_id: expected text without half a surrogate pair"),
        ({"max_length": "5"}, "q.max_length: expected a whole number, got '5'"),
        ({"max_length": 5.5}, "q.max_length: expected a whole number, got 5.5"),
        ({"max_length": True}, "q.max_length: expected a whole number, got True"),
        ({"max_length": 2**31}, "q.max_length: expected -2147483648 to 2147483647, got 2147483648"),
        ({"wrap_up_ms": 2**63}, "q.wrap_up_ms: expected -9223372036854775808 to"),
        ({"service_level": 0.8}, "q.service_level: expected a mapping of fields, got 0.8"),
        ({"service_level": {"ratio": "x"}}, "q.service_level.ratio: expected a number, got 'x'"),
        ({"service_level": {"ratio": True}}, "q.service_level.ratio: expected a number, got True"),
        (
            {"service_level": {"ratio": float("nan")}},
            "q.service_level.ratio: expected a finite number, got nan",
        ),
        ({"strategy": "round_robin"}, "(did you mean STRATEGY_ROUND_ROBIN?), got 'round_robin'"),
        ({"strategy": 2}, "q.strategy: expected one of STRATEGY_LONGEST_IDLE, STRATEGY_LEAST"),
        ({"queue_id": "x" * 1000, "x" * 50: "y" * 1000}, "'yyyyyyyyyy"),
    ],
)
def test_wrong_value_is_refused_with_its_path(values: object, told: str) -> None:
    """Whoever wrote the file finds the place, what stands there, and what should."""
    (problem,) = fill(Queue(), values, "q")
    assert told in str(problem)
    assert len(problem.shown) <= 80


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"queue_ids": "billing"}, "a.queue_ids: expected a list, got 'billing'"),
        ({"queue_ids": ["b", 5]}, "a.queue_ids[1]: expected text"),
        ({"skills": {"es": 5}}, "a.skills: expected a list"),
        ({"skills": ["es"]}, "a.skills[0]: expected a mapping of fields, got 'es'"),
        ({"skills": [{"proficiency": "high"}]}, "a.skills[0].proficiency: expected a whole number"),
        ({"channels": [{"channel": "VOICE"}]}, "a.channels[0].channel: expected one of CHANNEL_"),
        ({"presence": "PRESENCE_AWAY"}, "a.presence: expected no such key here"),
    ],
)
def test_wrong_item_is_refused_with_its_place(values: object, told: str) -> None:
    """The same within lists."""
    (problem,) = fill(Agent(), values, "a")
    assert told in str(problem)


def test_wrong_entries_of_a_map_are_refused() -> None:
    """The same within maps."""
    told = list(map(str, fill(Contact(), {"attributes": {"a": 1, 2: "b"}}, "c")))
    assert [line.split(":")[0] for line in told] == ["c.attributes.a", "c.attributes.2"]
    (problem,) = fill(Contact(), {"attributes": []}, "c")
    assert "expected a mapping, got []" in str(problem)
