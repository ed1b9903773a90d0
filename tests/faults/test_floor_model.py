"""The model that reads the log refuses what may not happen."""

import pytest

from engine.effects import Effect, EffectKind
from engine.lifecycle import Presence
from headgate.v1.agent_pb2 import Agent, ChannelCapacity
from headgate.v1.contact_pb2 import Channel
from headgate.v1.routing_service_pb2 import RouteRequest
from tests.faults.floor_model import FloorModel, Impossible

VOICE = Channel.CHANNEL_VOICE
ANN = Agent(
    agent_id="ann",
    queue_ids=["q"],
    capacity=2,
    channels=[ChannelCapacity(channel=VOICE, cost=1, contacts_max=0)],
)

RECEIVED, OFFERED, ACCEPTED, ASSIGNED, EXPIRED, COMPLETED, REQUEUED = (
    EffectKind.CONTACT_RECEIVED,
    EffectKind.OFFER_ISSUED,
    EffectKind.OFFER_ACCEPTED,
    EffectKind.CONTACT_ASSIGNED,
    EffectKind.OFFER_EXPIRED,
    EffectKind.CONTACT_COMPLETED,
    EffectKind.CONTACT_REQUEUED,
)


def event(kind: EffectKind, contact_id: str, offer_id: str = "", at_ms: int = 1) -> Effect:
    """Something that happened to a contact, by the only agent where there is an offer."""
    agent_id = "" if kind is RECEIVED else "ann"
    return Effect(kind, at_ms, contact_id, "q", agent_id, offer_id, 0, 0, 0, "")


def model(*events: Effect) -> FloorModel:
    """A floor with one available agent, after some events."""
    requests = {name: RouteRequest(contact_id=name, channel=VOICE) for name in ("c1", "c2", "c3")}
    found = FloorModel({"ann": ANN}, requests)
    found.take(Effect(EffectKind.AGENT_UPSERTED, 1, "", "", "ann", "", 0, 0, 0, ""), 0.0)
    present = int(Presence.AVAILABLE)
    kind = EffectKind.AGENT_PRESENCE_CHANGED
    found.take(Effect(kind, 1, "", "", "ann", "", 0, 0, present, ""), 0.0)
    for item in events:
        found.take(item, 0.0)
    return found


def test_life_of_a_contact_is_possible() -> None:
    """From its coming to its end."""
    found = model(
        event(RECEIVED, "c1"),
        event(OFFERED, "c1", "o1"),
        event(EXPIRED, "c1", "o1"),
        event(REQUEUED, "c1"),
        event(OFFERED, "c1", "o2"),
        event(ACCEPTED, "c1", "o2"),
        event(ASSIGNED, "c1"),
        event(COMPLETED, "c1"),
    )
    assert found.contacts["c1"].state.name == "COMPLETED"


@pytest.mark.parametrize(
    ("events", "why"),
    [
        ([event(RECEIVED, "c1"), event(RECEIVED, "c1")], "twice"),
        ([event(RECEIVED, "c9")], "nobody knows"),
        ([event(OFFERED, "c1", "o1")], "never received"),
        (
            [event(RECEIVED, "c1"), event(OFFERED, "c1", "o1"), event(OFFERED, "c1", "o2")],
            "offered while OFFERED",
        ),
        (
            [event(RECEIVED, "c1"), event(OFFERED, "c1", "o1"), event(ACCEPTED, "c1", "o2")],
            "another offer",
        ),
        ([event(RECEIVED, "c1"), event(COMPLETED, "c1")], "COMPLETED while QUEUED"),
        (
            [event(RECEIVED, "c1"), event(RECEIVED, "c2"), event(OFFERED, "c2", "o1")],
            "an older contact",
        ),
        (
            [
                item
                for name in ("c1", "c2", "c3")
                for item in (event(RECEIVED, name), event(OFFERED, name, f"o{name}"))
            ],
            "3 of 2 capacity",
        ),
        ([event(RECEIVED, "c1", at_ms=5), event(OFFERED, "c1", "o1", at_ms=4)], "time went back"),
    ],
)
def test_what_may_not_happen_is_refused(events: list[Effect], why: str) -> None:
    """Lost, doubled, crowded or out of order."""
    with pytest.raises(Impossible, match=why):
        model(*events)
