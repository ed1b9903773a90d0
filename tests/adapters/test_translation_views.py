"""From the engine to the wire: outcomes, contacts, snapshots and events as watchers see them."""

import pytest

from adapters.messages import (
    agent_message,
    contact_message,
    event_message,
    route_response,
    snapshot_message,
)
from engine.commands import (
    AcceptOffer,
    CancelContact,
    CompleteAssignment,
    Expire,
    Requirements,
    Route,
    SetIntake,
    SetPresence,
    SkillPreference,
    SkillRequirement,
    UpsertAgent,
    UpsertQueue,
)
from engine.definitions import AgentSkill
from engine.effects import Effect, EffectKind
from engine.engine import Engine
from engine.lifecycle import CancelReason, Channel, Intake, Presence, WrapUpMode
from engine.limits import Limits
from headgate.v1 import (
    agent_pb2,
    contact_pb2,
    event_pb2,
    policy_pb2,
    queue_pb2,
    routing_service_pb2,
)

NOW_MS = 1_700_000_000_000


def floor_of_one() -> Engine:
    """Queue `q` with timed wrap-up, and agent `a` available for it."""
    engine = Engine(Limits(contacts_max=100, agents_max=10, queues_max=10, ended_max=10))
    engine.apply(UpsertQueue("q", wrap_up_mode=WrapUpMode.TIMED, wrap_up_ms=5_000), NOW_MS)
    skills = (AgentSkill("s", 3), AgentSkill("p", 1))
    engine.apply(UpsertAgent("a", queue_ids=("q",), skills=skills, tags=("t",)), NOW_MS)
    engine.apply(SetPresence("a", Presence.AVAILABLE), NOW_MS)
    return engine


def test_contact_that_waits_is_shown_as_it_was_routed() -> None:
    """What the gateway said of its customer comes back, field by field."""
    engine = floor_of_one()
    engine.apply(SetPresence("a", Presence.OFFLINE), NOW_MS)
    asked = Requirements((SkillRequirement("s", 3),), (SkillPreference("p", 0.5),), ("t",))
    route = Route("c", "q", Channel.CHAT, 7, asked, {"k": "v"}, 2_000, 60_000)
    outcome = engine.apply(route, NOW_MS)
    assert route_response(outcome) == routing_service_pb2.RouteResponse(
        contact_id="c",
        state=contact_pb2.CONTACT_STATE_QUEUED,
        queue_id="q",
        position=1,
        decision_id="d1",
    )
    shown = contact_message(engine, engine.read.contact("c", NOW_MS + 500))
    assert shown == contact_pb2.Contact(
        contact_id="c",
        etag=shown.etag,
        state=contact_pb2.CONTACT_STATE_QUEUED,
        queue_id="q",
        channel=contact_pb2.CHANNEL_CHAT,
        priority=7,
        requirements=contact_pb2.Requirements(
            skills=[contact_pb2.SkillRequirement(skill="s", proficiency_min=3)],
            preferred_skills=[contact_pb2.SkillPreference(skill="p", weight=0.5)],
            tags=["t"],
        ),
        attributes={"k": "v"},
        received_at_ms=NOW_MS,
        routing_age_ms=2_500,
        wait_ms=500,
        expires_at_ms=NOW_MS + 60_000,
    )
    assert shown.etag


def test_contact_in_hand_is_shown_with_agent_and_offer() -> None:
    """The offer in the answer to Route is the one the contact and the agent show."""
    engine = floor_of_one()
    response = route_response(engine.apply(Route("c", "q", Channel.VOICE), NOW_MS + 10))
    offer = contact_pb2.Offer(
        offer_id=response.offer.offer_id,
        contact_id="c",
        agent_id="a",
        queue_id="q",
        expires_at_ms=NOW_MS + 10 + 20_000,
    )
    assert (response.offer, response.agent_id, response.position) == (offer, "a", 0)
    assert offer.offer_id
    shown = contact_message(engine, engine.read.contact("c", NOW_MS + 10))
    assert (shown.state, shown.agent_id) == (contact_pb2.CONTACT_STATE_OFFERED, "a")
    assert (shown.offer_id, shown.offer_expires_at_ms) == (offer.offer_id, offer.expires_at_ms)
    engine.apply(AcceptOffer(offer.offer_id, "a"), NOW_MS + 30)
    taken = contact_message(engine, engine.read.contact("c", NOW_MS + 99))
    assert (taken.offer_id, taken.accepted_at_ms, taken.wait_ms) == ("", NOW_MS + 30, 20)
    agent = agent_message(engine, engine.read.agent("a"))
    assert (list(agent.contact_ids), agent.capacity_used) == (["c"], 1)


def test_rejected_contact_is_shown_with_its_reason() -> None:
    """The reason is what the gateway plays an announcement by."""
    engine = floor_of_one()
    engine.apply(SetIntake("q", Intake.CLOSED), NOW_MS)
    response = route_response(engine.apply(Route("c", "q", Channel.VOICE), NOW_MS))
    closed = contact_pb2.REJECTION_REASON_QUEUE_CLOSED
    assert (response.state, response.rejection_reason) == (
        contact_pb2.CONTACT_STATE_REJECTED,
        closed,
    )
    assert not response.HasField("offer")
    shown = contact_message(engine, engine.read.contact("c", NOW_MS))
    assert (shown.rejection_reason, shown.ended_at_ms) == (closed, NOW_MS)


def test_snapshot_counts_and_its_service_level_come_from_the_totals() -> None:
    """The share is absent before anything counts, for 0 of 0 is neither good nor bad."""
    engine = floor_of_one()
    empty = snapshot_message(engine.read.snapshot("q", NOW_MS), NOW_MS)
    assert not empty.HasField("service_level")
    assert (empty.agents_free, empty.agents_signed_in) == (1, 1)
    for number, waited_ms in enumerate((0, 10_000, 19_999)):
        if number:
            # The wrap-up of the contact before.
            engine.apply(Expire(), engine.next_deadline_ms())
        at_ms = NOW_MS + 100_000 * (number + 1)
        response = route_response(engine.apply(Route(f"c{number}", "q", Channel.VOICE), at_ms))
        engine.apply(AcceptOffer(response.offer.offer_id, "a"), at_ms + waited_ms)
        engine.apply(CompleteAssignment(f"c{number}", "a"), at_ms + waited_ms + 1_000)
    engine.apply(Route("left", "q", Channel.VOICE), NOW_MS + 321_500)
    cancel = CancelContact("left", CancelReason.ABANDONED)
    engine.apply(cancel, NOW_MS + 322_000)
    engine.apply(Route("waits", "q", Channel.VOICE), NOW_MS + 322_000)
    shown = snapshot_message(engine.read.snapshot("q", NOW_MS + 323_000), NOW_MS + 323_000)
    assert shown.service_level == pytest.approx(3 / 4)
    assert shown == queue_pb2.QueueSnapshot(
        queue_id="q",
        at_ms=NOW_MS + 323_000,
        waiting=1,
        wrap_up=1,
        oldest_wait_ms=1_000,
        agents_signed_in=1,
        received_total=5,
        answered_total=3,
        answered_within_total=3,
        abandoned_total=1,
        completed_total=2,
        wait_ms_sum=29_999,
        handle_ms_sum=12_000,
        offers_total=3,
        intake=queue_pb2.INTAKE_OPEN,
        service_level=shown.service_level,
    )


_DETAILS: dict[EffectKind, dict[str, object]] = {
    EffectKind.POLICY_PUBLISHED: {"policy_version": 2},
    EffectKind.POLICY_ROLLED_BACK: {"policy_version": 2},
    EffectKind.POLICY_RETIRED: {"policy_version": 2},
    EffectKind.POLICY_OVERRIDDEN: {"policy_switch": policy_pb2.POLICY_SWITCH_OFF},
    EffectKind.ACTIVATION_BEGAN: {"activation_id": "a2"},
    EffectKind.ACTIVATION_ENDED: {"activation_id": "a2"},
    EffectKind.ACTIVATION_APPROVED: {"activation_id": "a2"},
    EffectKind.POLICY_NOTIFIED: {"activation_id": "a2"},
    EffectKind.OFFER_ISSUED: {"offer_expires_at_ms": NOW_MS + 5},
    EffectKind.CONTACT_QUEUED: {"position": 2},
    EffectKind.CONTACT_RELAXED: {"relaxation_step": 2},
    EffectKind.AGENT_PRESENCE_CHANGED: {"presence": agent_pb2.PRESENCE_BUSY},
    EffectKind.QUEUE_INTAKE_CHANGED: {"intake": queue_pb2.INTAKE_PAUSED},
    EffectKind.CONTACT_SCHEDULED: {"due_at_ms": 2},
    EffectKind.CONTACT_REJECTED: {"rejection_reason": contact_pb2.REJECTION_REASON_QUEUE_CLOSED},
    EffectKind.CHOICE_ACCEPTED: {"option": 2},
    EffectKind.CONTACT_DIVERTED: {"option": 2},
    EffectKind.CONTACT_RETURNED: {"option": 2},
    EffectKind.DIVERSION_ENDED: {"diversion_outcome": contact_pb2.DIVERSION_OUTCOME_UNRESOLVED},
}


@pytest.mark.parametrize("kind", EffectKind)
def test_event_carries_the_detail_of_its_kind_only(kind: EffectKind) -> None:
    """The same column means a place, a presence or a reason; under the wrong kind it would lie."""
    effect = Effect(kind, NOW_MS, "c", "q", "a", "o", NOW_MS + 5, 70, 2, "why", "p")
    event = event_message(effect, "3.4")
    expected = event_pb2.Event(
        cursor="3.4",
        kind=event_pb2.EventKind.Value(f"EVENT_KIND_{kind.name}"),
        at_ms=NOW_MS,
        contact_id="c",
        queue_id="q",
        agent_id="a",
        offer_id="o",
        wait_ms=70,
        reason="why",
        policy="p",
        **_DETAILS.get(kind, {}),  # type: ignore[arg-type]
    )
    assert event == expected
