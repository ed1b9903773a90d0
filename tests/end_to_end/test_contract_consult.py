"""Warm transfer: an agent asks another one, who takes the contact over or does not."""

from headgate.client import Client
from headgate.v1.contact_pb2 import Contact, ContactState, Requirements
from headgate.v1.event_service_pb2 import SubscribeRequest
from headgate.v1.offer_service_pb2 import (
    AcceptOfferRequest,
    CompleteAssignmentRequest,
    CompleteTransferRequest,
    ConsultRequest,
)
from headgate.v1.routing_service_pb2 import RouteResponse
from tests.end_to_end.floor import (
    agent_of,
    assign,
    contact_of,
    cursor_of_now,
    events_until,
    open_queue,
    refused,
    sign_in,
)

OFFERED = ContactState.CONTACT_STATE_OFFERED
ASSIGNED = ContactState.CONTACT_STATE_ASSIGNED
CANCELLED = ContactState.CONTACT_STATE_CANCELLED
COMPLETED = ContactState.CONTACT_STATE_COMPLETED


async def test_contact_is_handed_to_whom_was_consulted_with_what_both_noted(
    client: Client, name: str
) -> None:
    """Nobody asks twice, and there is no moment in which nobody has the contact."""
    start = await cursor_of_now(client)
    first, second = await two_agents(client, name)
    contact_id = f"{name}-c"
    await assign(client, f"{name}-front", contact_id, attributes={"name": "Ada"}, routing_age_ms=9)
    asked = await consult(client, name, attributes={"question": "limit?"})
    assert (asked.state, asked.offer.agent_id) == (OFFERED, second)
    answer = await refused(transfer(client, contact_id, first))
    assert (answer.code, answer.reason) == ("FAILED_PRECONDITION", "NOBODY_CONSULTED")
    await accept(client, asked)
    about = await contact_of(client, asked.contact_id)
    assert about.consults_for_contact_id == contact_id
    assert dict(about.attributes) == {"name": "Ada", "question": "limit?"}
    assert (await contact_of(client, contact_id)).consult_id == asked.contact_id
    moved = await transfer(client, contact_id, first)
    assert (moved.state, moved.agent_id, moved.queue_id) == (ASSIGNED, second, f"{name}-back")
    contact = await contact_of(client, contact_id)
    assert dict(contact.attributes) == {"name": "Ada", "question": "limit?"}
    assert (list(contact.past_agent_ids), contact.consult_id) == ([first], "")
    assert contact.routing_age_ms >= 9
    assert (await contact_of(client, asked.contact_id)).state == COMPLETED
    assert (await agent_of(client, first)).capacity_used == 0
    assert list((await agent_of(client, second)).contact_ids) == [contact_id]
    of_contact = SubscribeRequest(cursor=start, contact_ids=[contact_id])
    events = await events_until(client, of_contact, "CONTACT_TRANSFERRED")
    assert [event.kind for event in events][-2:] == [16, 17]
    assert events[-1].agent_id == second


async def test_consult_is_over_when_the_contact_is_and_frees_its_agent(
    client: Client, name: str
) -> None:
    """Otherwise agents would be left on the line with nobody."""
    first, second = await two_agents(client, name)
    await assign(client, f"{name}-front", f"{name}-c")
    asked = await consult(client, name)
    await accept(client, asked)
    done = CompleteAssignmentRequest(contact_id=f"{name}-c", agent_id=first)
    await client.call(client.offers.CompleteAssignment, done)
    assert (await contact_of(client, asked.contact_id)).state == CANCELLED
    assert (await agent_of(client, second)).capacity_used == 0


async def test_consult_that_cannot_be_is_refused_and_the_contact_stays(
    client: Client, name: str
) -> None:
    """Each by its own reason; the agent goes on as before."""
    first, second = await two_agents(client, name)
    await assign(client, f"{name}-front", f"{name}-c")
    for fields, found in (
        ({"agent_id": second}, ("PERMISSION_DENIED", "NOT_YOURS")),
        ({"agent_id": "nobody"}, ("NOT_FOUND", "UNKNOWN_AGENT")),
        ({"queue_id": "nowhere"}, ("NOT_FOUND", "UNKNOWN_QUEUE")),
        ({"consult_id": f"{name}-c"}, ("ALREADY_EXISTS", "CONTACT_EXISTS")),
        ({"priority": 1_001}, ("INVALID_ARGUMENT", "INVALID_FIELD")),
        ({"requirements": Requirements(tags=["x" * 129])}, ("INVALID_ARGUMENT", "INVALID_FIELD")),
        ({"attributes": {"": "x"}}, ("INVALID_ARGUMENT", "INVALID_FIELD")),
    ):
        answer = await refused(consult(client, name, **fields))
        assert (answer.code, answer.reason) == found
    asked = await consult(client, name, consult_id=f"{name}-x")
    again = await consult(client, name, consult_id=f"{name}-x")
    assert (again.already_known, again.offer) == (True, asked.offer)
    answer = await refused(consult(client, name))
    assert (answer.code, answer.reason) == ("FAILED_PRECONDITION", "CONSULTED_ALREADY")
    contact: Contact = await contact_of(client, f"{name}-c")
    assert (contact.state, contact.agent_id) == (ASSIGNED, first)


async def two_agents(client: Client, name: str) -> tuple[str, str]:
    """An agent in front, and one behind whom to ask; returns their ids."""
    agents = f"{name}-ann", f"{name}-bob"
    for agent_id, queue_id in zip(agents, (f"{name}-front", f"{name}-back"), strict=True):
        await open_queue(client, queue_id)
        await sign_in(client, agent_id, queue_id)
    return agents


async def consult(client: Client, name: str, **fields: object) -> RouteResponse:
    """Have the first agent ask the second."""
    request = ConsultRequest(contact_id=f"{name}-c")
    wanted = {"agent_id": f"{name}-ann", "queue_id": f"{name}-back", **fields}
    request.MergeFrom(ConsultRequest(**wanted))  # type: ignore[arg-type]
    return (await client.call(client.offers.Consult, request)).route


async def accept(client: Client, asked: RouteResponse) -> None:
    """Have the second agent answer."""
    offer = asked.offer
    request = AcceptOfferRequest(offer_id=offer.offer_id, agent_id=offer.agent_id)
    await client.call(client.offers.AcceptOffer, request)


async def transfer(client: Client, contact_id: str, agent_id: str) -> RouteResponse:
    """Have the first agent hand the contact over."""
    request = CompleteTransferRequest(contact_id=contact_id, agent_id=agent_id)
    return (await client.call(client.offers.CompleteTransfer, request)).route
