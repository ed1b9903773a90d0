"""Handing a contact on, with what the next one must know."""

import asyncio

from headgate.client import Client
from headgate.v1.agent_pb2 import Presence
from headgate.v1.contact_pb2 import ContactState, RelaxationStep, Requirements
from headgate.v1.routing_service_pb2 import RequeueContactRequest
from tests.end_to_end.floor import (
    assign,
    contact_of,
    open_queue,
    refused,
    route,
    set_presence,
    sign_in,
)

QUEUED = ContactState.CONTACT_STATE_QUEUED


async def test_contact_handed_on_keeps_age_and_notes_and_waits_for_whom_it_is_for(
    client: Client, name: str
) -> None:
    """For the agent by name so long, then for anybody; in one call, and nobody asks twice."""
    for queue_id in (name, f"{name}-back"):
        await open_queue(client, queue_id)
    await sign_in(client, f"{name}-first", name)
    await sign_in(client, f"{name}-known", f"{name}-back")
    await set_presence(client, f"{name}-known", Presence.PRESENCE_AWAY)
    await sign_in(client, f"{name}-other", f"{name}-back")
    await assign(client, name, f"{name}-c", attributes={"name": "Ada"}, routing_age_ms=5_000)
    request = RequeueContactRequest(
        contact_id=f"{name}-c",
        queue_id=f"{name}-back",
        requirements=Requirements(agent_ids=[f"{name}-known"]),
        relaxation=[RelaxationStep(after_ms=300)],
        attributes={"note": "card blocked"},
    )
    moved = (await client.call(client.routing.RequeueContact, request)).route
    assert (moved.state, moved.queue_id) == (QUEUED, f"{name}-back")
    contact = await contact_of(client, f"{name}-c")
    assert dict(contact.attributes) == {"name": "Ada", "note": "card blocked"}
    assert contact.routing_age_ms >= 5_000
    assert list(contact.requirements.agent_ids) == [f"{name}-known"]
    async with asyncio.timeout(10):
        while (contact := await contact_of(client, f"{name}-c")).state == QUEUED:
            await asyncio.sleep(0.05)
    assert contact.agent_id == f"{name}-other"
    assert contact.relaxation_steps_taken == 1


async def test_wish_that_cannot_be_is_refused_by_field_and_nothing_moves(
    client: Client, name: str
) -> None:
    """The contact stays where it was, with what it asked for."""
    await open_queue(client, name)
    asked = Requirements(tags_none=["x"])
    await route(client, name, f"{name}-c", requirements=asked)
    before = await contact_of(client, f"{name}-c")
    for fields, found in (
        ({"relaxation": [RelaxationStep(after_ms=0)]}, ["relaxation[0].after_ms"]),
        ({"requirements": Requirements(tags=[f"{name}-unheard"])}, ["requirements.tags[0]"]),
        ({"attributes": {"": "x"}}, ["attributes"]),
    ):
        request = RequeueContactRequest(contact_id=f"{name}-c", **fields)
        answer = await refused(client.call(client.routing.RequeueContact, request))
        assert (answer.code, list(answer.fields)) == ("INVALID_ARGUMENT", found)
    after = await contact_of(client, f"{name}-c")
    assert (after.etag, after.requirements) == (before.etag, asked)
