"""The policies of the examples: when they are on, whom they act on, and what they do."""

from pathlib import Path

import pytest

from engine.choices import OptionKind
from engine.commands import Requirements, SetPresence, SkillRequirement, UpsertAgent
from engine.definitions import AgentSkill
from engine.lifecycle import Channel, ContactState, Presence
from engine.policies import PolicyStage
from engine.policy.compiled import CompiledRelief, values_in_force
from engine.policy.in_force import InForce
from engine.policy.values import Plain, Truth, condition
from engine.steering import Counted, Subject
from tests.acting.desk_played import DeskPlayed
from tests.policy.written import read

FOLDER = Path(__file__).resolve().parents[2] / "deploy/examples/policies/bank"
QUEUES = ("cards", "cards-chat", "cards-bot", "lisbon", "porto")
MINUTE = 60_000
CALM: dict[str, Plain] = {
    "breach_risk_5m": 0.05, "breach_risk_30m": 0.05, "queue.estimated_wait": 0,
    "queue.waiting": 0, "queue.max_length": 200, "queue.agents_signed_in": 9, "busyness": "normal",
    "forecast.load_30m": 0.6, "forecast.contacts_30m": 50.0, "forecast.contacts_p90_30m": 60.0,
    "target.spare_capacity": 5.0, "target.load_15m": 0.5,
}  # fmt: skip


def example(name: str) -> CompiledRelief:
    """A policy of the folder."""
    for path in FOLDER.glob("*.yaml"):
        found = read(path.read_text())
        assert found.problems == []
        for located in found.policies:
            compiled = located.compiled
            if compiled.policy.name == name:
                assert isinstance(compiled, CompiledRelief)
                return compiled
    raise AssertionError(name)


def is_met(compiled: CompiledRelief, trigger: str, **changed: Plain) -> bool:
    """Whether a trigger of a policy is met on a calm day but for some signals, `_` for `.`."""
    names = {name.replace(".", "_"): name for name in CALM}
    values = CALM | {names[name]: value for name, value in changed.items()}
    expression = getattr(compiled, trigger)
    return condition(expression)({**dict(values_in_force(compiled.policy)), **values}) == Truth.TRUE


def at_work(name: str, queue_id: str) -> DeskPlayed:
    """A cell in which a policy of the folder is on for a queue, and acts on all it may."""
    played = DeskPlayed(QUEUES)
    played.rule([InForce(example(name), 1, PolicyStage.ACTIVE)])
    played.on(Subject(name, 1, queue_id))
    return played


@pytest.mark.parametrize(
    ("name", "trouble"),
    [
        ("voice-surge", {"breach_risk_5m": 0.6}),
        ("voice-surge", {"queue_estimated_wait": 3 * MINUTE}),
        ("chat-to-bot", {"busyness": "overloaded"}),
        ("chat-to-bot", {"breach_risk_5m": 0.31}),
        ("lisbon-to-porto", {"queue_estimated_wait": MINUTE}),
        ("promotion-day", {"forecast_load_30m": 0.96}),
        ("promotion-day", {"forecast_contacts_p90_30m": 70.0, "breach_risk_30m": 0.5}),
        ("last-resort", {"queue_waiting": 180}),
        ("last-resort", {"queue_waiting": 11, "queue_agents_signed_in": 0}),
    ],
)
def test_trouble_enters_and_calm_leaves(name: str, trouble: dict[str, Plain]) -> None:
    compiled = example(name)
    assert is_met(compiled, "enter", **trouble)
    assert not is_met(compiled, "exit", **trouble)
    assert not is_met(compiled, "enter")
    assert is_met(compiled, "exit")


def test_porto_is_not_flooded() -> None:
    """Without room there nothing begins, whatever the wait here."""
    compiled = example("lisbon-to-porto")
    wait = 5 * MINUTE
    assert not is_met(compiled, "enter", queue_estimated_wait=wait, target_spare_capacity=2.0)
    assert not is_met(compiled, "enter", queue_estimated_wait=wait, target_load_15m=0.9)


def test_caller_who_waited_may_choose_a_callback() -> None:
    played = at_work("voice-surge", "cards")
    for contact_id, tier in (("new", ""), ("vip", "vip")):
        played.route(contact_id, "cards", attributes={"tier": tier})
    assert played.contact("new").choice is None
    played.now_ms += 10_000
    played.on(Subject("voice-surge", 1, "cards"))
    found = played.contact("new").choice
    assert found is not None
    kinds = [item.kind for item in found.choice.options]
    assert kinds == [OptionKind.WAIT, OptionKind.CALLBACK, OptionKind.OTHER_CHANNEL]
    assert played.contact("vip").choice is None


@pytest.mark.parametrize(
    ("attributes", "is_asked"),
    [
        ({"topic": "balance"}, True),
        ({"topic": "balance", "tier": "vip"}, False),
        ({"topic": "pin", "scene": "complaint"}, False),
        ({"topic": "mortgage"}, False),
        ({}, False),
    ],
)
def test_simple_chats_may_go_to_the_bot(attributes: dict[str, str], is_asked: bool) -> None:
    played = at_work("chat-to-bot", "cards-chat")
    played.route("c", "cards-chat", channel=Channel.CHAT, attributes=attributes)
    assert (played.contact("c").choice is not None) is is_asked


def test_calls_overflow_unless_porto_cannot_speak_to_them() -> None:
    played = at_work("lisbon-to-porto", "lisbon")
    played.route("pt", "lisbon", attributes={"language": "pt"})
    played.route("ca", "lisbon", attributes={"language": "ca"})
    assert (played.queue_of("pt"), played.queue_of("ca")) == ("porto", "lisbon")


def test_promotion_has_the_back_office_help() -> None:
    played = DeskPlayed(QUEUES)
    played.do(UpsertAgent("clerk", tags=("back-office",)))
    played.do(SetPresence("clerk", Presence.AVAILABLE))
    played.rule([InForce(example("promotion-day"), 1, PolicyStage.ACTIVE)])
    assert played.route("before", "cards").agent_id == ""
    played.on(Subject("promotion-day", 1, "cards"))
    clerk = played.engine.cell.agent_row("clerk")
    assert played.contact("before").agent_row == clerk


def test_promotion_announces_and_offers_an_early_callback() -> None:
    played = at_work("promotion-day", "cards")
    played.route("c", "cards")
    found = played.contact("c").choice
    assert found is not None
    assert found.choice.options[0].within_ms == 24 * 60 * MINUTE
    schedule = example("promotion-day").policy.spec.schedule
    assert schedule is not None
    assert (str(schedule.first_day), str(schedule.last_day)) == ("2026-11-27", "2026-11-30")


def test_at_night_the_bot_takes_chats_but_for_stolen_cards() -> None:
    played = at_work("night-chat", "cards-chat")
    played.route("c", "cards-chat", channel=Channel.CHAT, attributes={"topic": "pin"})
    stolen = {"topic": "stolen-card"}
    played.route("stolen", "cards-chat", channel=Channel.CHAT, attributes=stolen)
    assert played.contact("c").state is ContactState.DIVERTED
    assert played.contact("stolen").state is ContactState.QUEUED


def test_at_night_stolen_cards_come_first() -> None:
    played = at_work("night-stolen-cards", "cards")
    played.do(UpsertAgent("novice", queue_ids=QUEUES, skills=(AgentSkill("cards", 1),)))
    asked = Requirements((SkillRequirement("cards", 4),))
    played.route("plain", "cards", requirements=asked)
    played.route("stolen", "cards", requirements=asked, attributes={"topic": "stolen-card"})
    found = played.contact("stolen")
    assert found.priority == 100
    assert found.requirements.skills == (SkillRequirement("cards", 1),)
    assert played.contact("plain").priority == 0


def test_last_resort_calls_everybody_back_unasked() -> None:
    played = at_work("last-resort", "cards")
    played.route("c", "cards", attributes={"tier": "vip"})
    found = played.contact("c")
    assert found.channel is Channel.CALLBACK
    assert played.counts()[Counted.ACCEPTED_CALLBACK] == 1
