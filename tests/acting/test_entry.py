"""Contacts that name no queue are classified by the routing policy in force."""

import pytest

from engine.commands import (
    Recover,
    Requirements,
    SkillPreference,
    SkillRequirement,
    UpdateContact,
    UpsertAgent,
)
from engine.definitions import AgentSkill
from engine.engine import Engine
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


TWO_TONGUES = (
    ROUTING.replace("        - {percent: 20, to: {queue: cards-new}}\n", "")
    .replace(
        "80, to: {queue: cards}", "100, to: {queue: cards, requirements: {skills: {english: 2}}}"
    )
    .replace(" && time.hour < 18", "")
)


def test_a_contact_that_goes_back_and_forth_asks_for_what_its_present_rule_does() -> None:
    played = DeskPlayed(QUEUES)
    skills = tuple(AgentSkill(name, 5) for name in ("french", "english", "german"))
    played.do(UpsertAgent("ana", queue_ids=QUEUES, skills=skills))
    played.use_routing(TWO_TONGUES + "  reclassify: true\n")
    own = SkillRequirement("german", 1)
    played.route("c", "", requirements=Requirements((own,)), attributes={"product": "card"})
    for _ in range(2):
        assert set(played.contact("c").requirements.skills) == {own, SkillRequirement("english", 2)}
        played.engine = Engine()
        played.engine.load(list(played.rows.values()))
        played.do(Recover())
        played.use_routing(TWO_TONGUES + "  reclassify: true\n")
        played.do(UpdateContact("c", attributes={"tier": "vip"}))
        assert set(played.contact("c").requirements.skills) == {own, SkillRequirement("french", 3)}
        played.do(UpdateContact("c", attributes={"tier": "", "product": "card"}))
    played.do(UpdateContact("c", attributes={"tier": "", "product": ""}))
    assert played.queue_of("c") == "general"
    assert played.contact("c").requirements == Requirements((own,))


def test_what_its_gateway_asks_for_anew_is_what_it_asks(played: DeskPlayed) -> None:
    played.use_routing(ROUTING + "  reclassify: true\n")
    played.route("c", "", attributes={"tier": "vip"})
    french = Requirements((SkillRequirement("french", 1),))
    played.do(UpdateContact("c", requirements=french))
    played.do(UpdateContact("c", attributes={"tier": "gone"}))
    assert played.queue_of("c") == "general"
    assert played.contact("c").requirements == french


def test_more_than_can_be_asked_is_refused_by_name(played: DeskPlayed) -> None:
    """What must be met is never left out, nor written past the eight there is room for."""
    known = tuple(AgentSkill(f"s{number}", 5) for number in range(8))
    played.do(UpsertAgent("bob", queue_ids=QUEUES, skills=known))
    eight = Requirements(tuple(SkillRequirement(f"s{number}", 1) for number in range(8)))
    with pytest.raises(CommandRefused) as refused:
        played.route("c", "", attributes={"tier": "vip"}, requirements=eight)
    assert refused.value.reason is Refusal.INVALID_FIELD
    assert "requirements.skills" in str(refused.value)
    assert "at most 8 items together with those of policy entry version 1" in str(refused.value)
    assert played.route("c", "", requirements=eight).queue_id == "general"


def test_of_what_is_preferred_there_is_as_much_as_there_is_room_for(played: DeskPlayed) -> None:
    names = ", ".join(f"a{number}" for number in range(8))
    text = ROUTING.replace("contact.returns >= params.old", "contact.returns >= 0").replace(
        "preferred_agent_attribute:", f"preferred_agents: [{names}], preferred_agent_attribute:"
    )
    played.use_routing(text)
    played.route("c", "", attributes={"last_agent": "ana"})
    preferred = played.contact("c").requirements.preferred_agent_ids
    assert preferred == ("ana", *(f"a{number}" for number in range(7)))
    played.route("long", "", attributes={"last_agent": "x" * 500})
    preferred = played.contact("long").requirements.preferred_agent_ids
    assert preferred == tuple(f"a{number}" for number in range(8))


def test_an_update_is_done_where_the_policy_asks_for_what_cannot_be_asked(
    played: DeskPlayed,
) -> None:
    played.use_routing(ROUTING.replace("french: 3", "klingon: 3") + "  reclassify: true\n")
    played.route("c", "")
    played.do(UpdateContact("c", attributes={"tier": "vip"}, priority=7))
    found = played.contact("c")
    assert (found.attributes, found.priority) == ({"tier": "vip"}, 7)
    assert played.queue_of("c") == "general"
