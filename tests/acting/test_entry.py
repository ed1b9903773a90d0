"""Contacts that name no queue are classified by the routing policy in force."""

import pytest

from engine.commands import (
    Requirements,
    SkillPreference,
    SkillRequirement,
    UpdateContact,
    UpsertAgent,
)
from engine.definitions import AgentSkill
from engine.policies import PolicyStage
from engine.policy.in_force import RoutingInForce
from engine.refusals import CommandRefused, Refusal
from tests.acting.desk_played import DeskPlayed
from tests.policy.written import ROUTING, routing

QUEUES = ("gold", "cards", "cards-new", "general")


@pytest.fixture
def played() -> DeskPlayed:
    """The queues that the policy names."""
    found = DeskPlayed(QUEUES)
    found.do(UpsertAgent("ana", queue_ids=QUEUES, skills=(AgentSkill("french", 5),)))
    found.use_routing(ROUTING)
    return found


def test_first_rule_that_matches_gives_queue_priority_and_requirements(played: DeskPlayed) -> None:
    played.route("vip", "", attributes={"tier": "vip"}, priority=2)
    found = played.contact("vip")
    assert played.queue_of("vip") == "gold"
    assert found.priority == 10
    assert found.requirements == Requirements((SkillRequirement("french", 3),))
    assert played.route("plain", "").queue_id == "general"
    assert played.contact("plain").priority == 0


def test_what_the_caller_asked_for_stays(played: DeskPlayed) -> None:
    asked = Requirements((SkillRequirement("french", 4),), (SkillPreference("french", 2.0),))
    played.route("vip", "", attributes={"tier": "vip"}, requirements=asked)
    assert played.contact("vip").requirements == asked


def test_a_queue_that_is_named_is_taken_as_it_is(played: DeskPlayed) -> None:
    played.route("vip", "general", attributes={"tier": "vip"})
    assert played.queue_of("vip") == "general"


def test_a_split_takes_the_same_arm_for_the_same_contact(played: DeskPlayed) -> None:
    names = [f"c{number}" for number in range(500)]
    card = {"product": "card"}
    first = {name: played.route(name, "", attributes=card).queue_id for name in names}
    assert set(first.values()) == {"cards", "cards-new"}
    assert abs(sum(queue == "cards-new" for queue in first.values()) - 100) < 36
    again = DeskPlayed(QUEUES)
    again.do(UpsertAgent("ana", queue_ids=QUEUES, skills=(AgentSkill("french", 5),)))
    again.use_routing(ROUTING)
    assert {name: again.route(name, "", attributes=card).queue_id for name in names} == first


def test_without_a_policy_a_queue_must_be_named(played: DeskPlayed) -> None:
    played.rule([])
    with pytest.raises(CommandRefused) as refused:
        played.route("c", "")
    assert refused.value.reason is Refusal.INVALID_FIELD
    assert "RoutingPolicy" in str(refused.value)
    assert played.route("c", "general").queue_id == "general"


def test_a_policy_that_names_a_queue_that_is_gone_says_so(played: DeskPlayed) -> None:
    played.use_routing(ROUTING.replace("default: {queue: general}", "default: {queue: gone}"))
    with pytest.raises(CommandRefused) as refused:
        played.route("c", "")
    assert refused.value.reason is Refusal.UNKNOWN_QUEUE
    assert "entry version 1" in str(refused.value)


def test_a_canary_classifies_its_share(played: DeskPlayed) -> None:
    other = routing(ROUTING.replace("default: {queue: general}", "default: {queue: gold}"))
    played.rule(
        [],
        [
            RoutingInForce(routing(ROUTING), 1, PolicyStage.ACTIVE),
            RoutingInForce(other, 2, PolicyStage.CANARY, 0.2),
            RoutingInForce(other, 3, PolicyStage.SHADOW),
        ],
    )
    to_gold = sum(played.route(f"c{number}", "").queue_id == "gold" for number in range(500))
    assert abs(to_gold - 100) < 36


def test_preferred_agent_is_read_from_an_attribute(played: DeskPlayed) -> None:
    text = ROUTING.replace("contact.returns >= params.old", 'contact.attributes.last_agent != ""')
    played.use_routing(text)
    played.route("c", "", attributes={"last_agent": "ana"})
    assert played.contact("c").requirements.preferred_agent_ids == ("ana",)


@pytest.mark.parametrize("reclassifies", [True, False])
def test_changed_attributes_classify_again_where_it_is_wanted(
    reclassifies: bool, played: DeskPlayed
) -> None:
    flag = str(reclassifies).lower()
    played.use_routing(ROUTING + f"  reclassify: {flag}\n")
    played.route("c", "")
    played.now_ms += 5_000
    played.do(UpdateContact("c", attributes={"tier": "vip"}))
    assert played.queue_of("c") == ("gold" if reclassifies else "general")
    assert played.contact("c").routing_age_ms == 5_000


def test_rules_go_by_the_clock_of_the_queue_they_fall_back_to(played: DeskPlayed) -> None:
    """Cards are a matter of the day: the rule reads the hour."""
    at_night = (played.now_ms // 86_400_000) * 86_400_000 + 20 * 3_600_000
    played.now_ms = max(played.now_ms, at_night)
    assert played.route("c", "", attributes={"product": "card"}).queue_id == "general"
