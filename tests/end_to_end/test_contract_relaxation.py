"""Tag expressions, named agents and relaxation over a real channel."""

import asyncio
from typing import Any

import pytest

from headgate.client import Client
from headgate.v1.agent_pb2 import Presence
from headgate.v1.contact_pb2 import ContactState, RelaxationStep, Requirements
from headgate.v1.event_pb2 import EventKind
from headgate.v1.event_service_pb2 import SubscribeRequest
from tests.end_to_end.floor import contact_of, open_queue, refused, route, set_presence, sign_in

QUEUED = ContactState.CONTACT_STATE_QUEUED
AWAY = Presence.PRESENCE_AWAY


async def test_tags_find_who_has_one_of_some_and_none_of_others(client: Client, name: str) -> None:
    """All, any, none: what tag expressions of other products come to."""
    await open_queue(client, name)
    await sign_in(client, f"{name}-trainee", name, tags=[f"{name}-gold", f"{name}-new"])
    await sign_in(client, f"{name}-iron", name, tags=[f"{name}-iron"])
    await sign_in(client, f"{name}-fit", name, tags=[f"{name}-silver"])
    asked = Requirements(
        tags_any=[f"{name}-gold", f"{name}-silver"], tags_none=[f"{name}-new", f"{name}-unheard"]
    )
    response = await route(client, name, f"{name}-c", requirements=asked)
    assert response.agent_id == f"{name}-fit"
    assert (await contact_of(client, f"{name}-c")).requirements == asked


async def test_contact_waits_for_the_agent_it_knows_and_then_for_anybody(
    client: Client, name: str
) -> None:
    """The last agent for so long; nobody is left waiting for one who does not come."""
    await open_queue(client, name)
    await sign_in(client, f"{name}-other", name)
    await sign_in(client, f"{name}-known", name)
    await set_presence(client, f"{name}-known", AWAY)
    known = Requirements(agent_ids=[f"{name}-known"])
    steps = [RelaxationStep(after_ms=300, priority=7)]
    watch = SubscribeRequest(
        contact_ids=[f"{name}-c"], kinds=[EventKind.EVENT_KIND_CONTACT_RELAXED]
    )
    events: Any = client.events.Subscribe(watch)
    await events.read()
    waits = await route(client, name, f"{name}-c", requirements=known, relaxation=steps)
    assert waits.state == QUEUED
    before = await contact_of(client, f"{name}-c")
    assert (before.requirements, before.relaxation_steps_taken) == (known, 0)
    async with asyncio.timeout(10):
        while (contact := await contact_of(client, f"{name}-c")).state == QUEUED:
            await asyncio.sleep(0.05)
        while not (told := await events.read()).events:
            pass
    assert (told.events[0].relaxation_step, told.events[0].contact_id) == (1, f"{name}-c")
    assert contact.agent_id == f"{name}-other"
    assert (contact.priority, contact.relaxation_steps_taken) == (7, 1)
    assert contact.requirements == Requirements()
    (step,) = contact.relaxation
    assert (step.after_ms, step.priority, step.requirements) == (300, 7, Requirements())
    assert contact.wait_ms >= 300


@pytest.mark.parametrize(
    ("steps", "field"),
    [
        ([RelaxationStep(after_ms=0)], "relaxation[0].after_ms"),
        ([RelaxationStep(after_ms=9), RelaxationStep(after_ms=9)], "relaxation[1].after_ms"),
        ([RelaxationStep(after_ms=9, priority=1_001)], "relaxation[0].priority"),
        (
            [RelaxationStep(after_ms=9, requirements=Requirements(tags_any=["", "a"]))],
            "relaxation[0].requirements.tags_any[0]",
        ),
        ([RelaxationStep(after_ms=number + 1) for number in range(9)], "relaxation"),
    ],
)
async def test_relaxation_that_cannot_be_is_refused_by_field(
    client: Client, name: str, steps: list[RelaxationStep], field: str
) -> None:
    """A plan that never comes true would be found out only while somebody waits."""
    await open_queue(client, name)
    found = await refused(route(client, name, f"{name}-c", relaxation=steps))
    assert (found.code, set(found.fields)) == ("INVALID_ARGUMENT", {field})


async def test_nobody_is_waited_for_who_does_not_exist(client: Client, name: str) -> None:
    """Unless somebody else is asked for later: the one a customer knew may have left."""
    await open_queue(client, name)
    gone = Requirements(agent_ids=[f"{name}-gone"])
    found = await refused(route(client, name, f"{name}-c", requirements=gone))
    assert (found.code, found.reason) == ("NOT_FOUND", "UNKNOWN_AGENT")
    assert set(found.fields) == {"requirements.agent_ids"}
    steps = [RelaxationStep(after_ms=1_000)]
    taken = await route(client, name, f"{name}-c", requirements=gone, relaxation=steps)
    assert taken.state == QUEUED
