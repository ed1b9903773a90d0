"""OfferService over a real channel: answers to offers, and the end of assignments."""

import pytest

from headgate.client import Client
from headgate.v1.contact_pb2 import ContactState
from headgate.v1.offer_service_pb2 import (
    AcceptOfferRequest,
    CompleteAssignmentRequest,
    DeclineOfferRequest,
    EndWrapUpRequest,
    ReleaseAssignmentRequest,
)
from headgate.v1.queue_pb2 import WrapUpMode
from headgate.v1.routing_service_pb2 import CancelContactRequest, CancelReason
from tests.end_to_end.floor import (
    agent_of,
    assign,
    contact_of,
    open_queue,
    refused,
    route,
    sign_in,
    snapshot_of,
)

ANSWERS = ["AcceptOffer", "DeclineOffer"]
ENDS = ["CompleteAssignment", "EndWrapUp", "ReleaseAssignment"]
REQUESTS = {
    "AcceptOffer": AcceptOfferRequest,
    "DeclineOffer": DeclineOfferRequest,
    "CompleteAssignment": CompleteAssignmentRequest,
    "EndWrapUp": EndWrapUpRequest,
    "ReleaseAssignment": ReleaseAssignmentRequest,
}


async def test_accept_assigns_the_contact_and_tells_its_wait(client: Client, name: str) -> None:
    """The wait an agent reads to the customer is the wait the reports count."""
    await open_queue(client, name)
    await sign_in(client, f"{name}-a", name)
    offer = (await route(client, name, f"{name}-c")).offer
    request = AcceptOfferRequest(offer_id=offer.offer_id, agent_id=f"{name}-a")
    response = await client.call(client.offers.AcceptOffer, request)
    contact = await contact_of(client, f"{name}-c")
    assert (contact.state, contact.agent_id) == (ContactState.CONTACT_STATE_ASSIGNED, f"{name}-a")
    assert response.contact_id == f"{name}-c"
    assert response.wait_ms == contact.wait_ms == contact.accepted_at_ms - contact.received_at_ms
    assert (contact.offer_id, contact.offer_expires_at_ms) == ("", 0)
    snapshot = await snapshot_of(client, name)
    assert (snapshot.answered_total, snapshot.answered_within_total) == (1, 1)
    assert (snapshot.wait_ms_sum, snapshot.service_level) == (response.wait_ms, 1.0)


@pytest.mark.parametrize("method", ANSWERS)
async def test_answer_to_a_taken_offer_is_refused(client: Client, name: str, method: str) -> None:
    """Of two answers to one offer, the second is told that the offer is gone."""
    await open_queue(client, name)
    await sign_in(client, f"{name}-a", name)
    offer = (await route(client, name, f"{name}-c")).offer
    accept = AcceptOfferRequest(offer_id=offer.offer_id, agent_id=f"{name}-a")
    await client.call(client.offers.AcceptOffer, accept)
    request = REQUESTS[method](offer_id=offer.offer_id, agent_id=f"{name}-a")
    found = await refused(client.call(getattr(client.offers, method), request))
    assert (found.code, found.reason) == ("FAILED_PRECONDITION", "OFFER_GONE")
    assert set(found.fields) == {"offer_id"}
    state = (await contact_of(client, f"{name}-c")).state
    assert state == ContactState.CONTACT_STATE_ASSIGNED


@pytest.mark.parametrize("method", ANSWERS)
@pytest.mark.parametrize("offer_id", ["o1", "x", "o0.0", "offer 7", "o-1.-1", "o" + "f" * 40])
async def test_answer_to_what_was_never_an_offer_is_refused(
    client: Client, name: str, method: str, offer_id: str
) -> None:
    """Garbage for an offer id is an offer that is gone, not an internal error."""
    await open_queue(client, name)
    await sign_in(client, f"{name}-a", name)
    request = REQUESTS[method](offer_id=offer_id, agent_id=f"{name}-a")
    found = await refused(client.call(getattr(client.offers, method), request))
    assert (found.code, found.reason) == ("FAILED_PRECONDITION", "OFFER_GONE")


@pytest.mark.parametrize("method", ANSWERS)
async def test_answer_of_another_agent_is_refused(client: Client, name: str, method: str) -> None:
    """Nobody takes or refuses what was offered to someone else."""
    await open_queue(client, name)
    await sign_in(client, f"{name}-a", name)
    offer = (await route(client, name, f"{name}-c")).offer
    await sign_in(client, f"{name}-b", name)
    request = REQUESTS[method](offer_id=offer.offer_id, agent_id=f"{name}-b")
    found = await refused(client.call(getattr(client.offers, method), request))
    assert (found.code, found.reason) == ("PERMISSION_DENIED", "NOT_YOURS")
    assert set(found.fields) == {"agent_id"}
    assert (await contact_of(client, f"{name}-c")).offer_id == offer.offer_id


async def test_decline_offers_the_contact_to_the_next_agent(client: Client, name: str) -> None:
    """A declined contact loses no time where someone else is free."""
    await open_queue(client, name)
    await sign_in(client, f"{name}-a", name)
    offer = (await route(client, name, f"{name}-c")).offer
    await sign_in(client, f"{name}-b", name)
    request = DeclineOfferRequest(offer_id=offer.offer_id, agent_id=f"{name}-a")
    response = await client.call(client.offers.DeclineOffer, request)
    assert response.state == ContactState.CONTACT_STATE_OFFERED
    contact = await contact_of(client, f"{name}-c")
    assert (contact.agent_id, contact.offers_failed) == (f"{name}-b", 1)
    assert (await snapshot_of(client, name)).offers_failed_total == 1


async def test_decline_keeps_the_contact_from_the_agent_for_the_time_named(
    client: Client, name: str
) -> None:
    """An agent who said no is not asked again at once, and other contacts still come."""
    await open_queue(client, name, reoffer_delay_only_agent_ms=-1)
    await sign_in(client, f"{name}-a", name)
    offer = (await route(client, name, f"{name}-1")).offer
    request = DeclineOfferRequest(
        offer_id=offer.offer_id, agent_id=f"{name}-a", retry_after_ms=60_000
    )
    response = await client.call(client.offers.DeclineOffer, request)
    assert response.state == ContactState.CONTACT_STATE_QUEUED
    assert (await route(client, name, f"{name}-1")).position == 1
    assert (await route(client, name, f"{name}-2")).agent_id == f"{name}-a"


async def test_complete_without_wrap_up_ends_the_contact(client: Client, name: str) -> None:
    """Capacity is free as soon as handling ends."""
    await open_queue(client, name)
    await sign_in(client, f"{name}-a", name)
    await assign(client, name, f"{name}-c")
    request = CompleteAssignmentRequest(contact_id=f"{name}-c", agent_id=f"{name}-a")
    response = await client.call(client.offers.CompleteAssignment, request)
    assert response.state == ContactState.CONTACT_STATE_COMPLETED
    assert response.wrap_up_ends_at_ms == 0
    contact = await contact_of(client, f"{name}-c")
    assert (contact.agent_id, contact.routing_age_ms) == (f"{name}-a", 0)
    assert contact.ended_at_ms >= contact.accepted_at_ms
    assert (await agent_of(client, f"{name}-a")).capacity_used == 0


async def test_complete_with_wrap_up_holds_capacity_until_its_end(
    client: Client, name: str
) -> None:
    """After-call work is work: no contact comes before it is over."""
    mode = WrapUpMode.WRAP_UP_MODE_TIMED
    await open_queue(client, name, wrap_up_mode=mode, wrap_up_ms=60_000)
    await sign_in(client, f"{name}-a", name)
    await assign(client, name, f"{name}-1")
    await route(client, name, f"{name}-2")
    request = CompleteAssignmentRequest(contact_id=f"{name}-1", agent_id=f"{name}-a")
    response = await client.call(client.offers.CompleteAssignment, request)
    assert response.state == ContactState.CONTACT_STATE_WRAP_UP
    assert response.wrap_up_ends_at_ms > (await contact_of(client, f"{name}-1")).accepted_at_ms
    assert (await snapshot_of(client, name)).wrap_up == 1
    assert (await agent_of(client, f"{name}-a")).contact_ids == [f"{name}-1"]
    ended = await client.call(
        client.offers.EndWrapUp, EndWrapUpRequest(contact_id=f"{name}-1", agent_id=f"{name}-a")
    )
    contact = await contact_of(client, f"{name}-1")
    assert contact.state == ContactState.CONTACT_STATE_COMPLETED
    assert ended.handle_ms == contact.ended_at_ms - contact.accepted_at_ms
    assert (await contact_of(client, f"{name}-2")).agent_id == f"{name}-a"
    assert (await snapshot_of(client, name)).handle_ms_sum == ended.handle_ms


async def test_complete_of_wrap_up_until_ended_names_no_end(client: Client, name: str) -> None:
    """Wrap-up that only the agent ends has no time."""
    await open_queue(client, name, wrap_up_mode=WrapUpMode.WRAP_UP_MODE_UNTIL_ENDED)
    await sign_in(client, f"{name}-a", name)
    await assign(client, name, f"{name}-c")
    request = CompleteAssignmentRequest(contact_id=f"{name}-c", agent_id=f"{name}-a")
    response = await client.call(client.offers.CompleteAssignment, request)
    assert response.state == ContactState.CONTACT_STATE_WRAP_UP
    assert response.wrap_up_ends_at_ms == 0


async def test_release_gives_the_contact_back_with_its_age(client: Client, name: str) -> None:
    """An agent who cannot go on costs the customer no place."""
    await open_queue(client, name, reoffer_delay_only_agent_ms=60_000, reoffer_delay_ms=60_000)
    await sign_in(client, f"{name}-a", name)
    await assign(client, name, f"{name}-c", routing_age_ms=30_000)
    request = ReleaseAssignmentRequest(contact_id=f"{name}-c", agent_id=f"{name}-a")
    response = await client.call(client.offers.ReleaseAssignment, request)
    assert response.state == ContactState.CONTACT_STATE_QUEUED
    contact = await contact_of(client, f"{name}-c")
    assert (contact.agent_id, contact.accepted_at_ms) == ("", 0)
    assert contact.routing_age_ms >= 30_000
    assert (await agent_of(client, f"{name}-a")).contact_ids == []


@pytest.mark.parametrize("method", ENDS)
async def test_end_by_another_agent_is_refused(client: Client, name: str, method: str) -> None:
    """Nobody ends what someone else is handling."""
    await open_queue(client, name, wrap_up_mode=WrapUpMode.WRAP_UP_MODE_UNTIL_ENDED)
    await sign_in(client, f"{name}-a", name)
    await assign(client, name, f"{name}-c")
    await sign_in(client, f"{name}-b", name)
    if method == "EndWrapUp":
        complete = CompleteAssignmentRequest(contact_id=f"{name}-c", agent_id=f"{name}-a")
        await client.call(client.offers.CompleteAssignment, complete)
    before = await contact_of(client, f"{name}-c")
    request = REQUESTS[method](contact_id=f"{name}-c", agent_id=f"{name}-b")
    found = await refused(client.call(getattr(client.offers, method), request))
    assert (found.code, found.reason) == ("PERMISSION_DENIED", "NOT_YOURS")
    assert (await contact_of(client, f"{name}-c")).etag == before.etag


@pytest.mark.parametrize("method", ENDS)
@pytest.mark.parametrize("state", ["QUEUED", "OFFERED", "CANCELLED"])
async def test_end_of_what_nobody_handles_is_refused(
    client: Client, name: str, method: str, state: str
) -> None:
    """Only an assignment can end, and the refusal says what the contact is instead."""
    await open_queue(client, name)
    await sign_in(client, f"{name}-a", *([name] if state == "OFFERED" else []))
    await route(client, name, f"{name}-c")
    if state == "CANCELLED":
        withdrawn = CancelReason.CANCEL_REASON_WITHDRAWN
        cancel = CancelContactRequest(contact_id=f"{name}-c", reason=withdrawn)
        await client.call(client.routing.CancelContact, cancel)
    request = REQUESTS[method](contact_id=f"{name}-c", agent_id=f"{name}-a")
    found = await refused(client.call(getattr(client.offers, method), request))
    assert (found.code, found.reason) == ("FAILED_PRECONDITION", "ILLEGAL_TRANSITION")
    assert state in found.fields["contact_id"]


@pytest.mark.parametrize("method", [*ANSWERS, *ENDS])
async def test_call_of_an_agent_nobody_knows_is_not_found(
    client: Client, name: str, method: str
) -> None:
    """A misspelled agent is told apart from a foreign one."""
    await open_queue(client, name)
    await sign_in(client, f"{name}-a", name)
    offer = (await route(client, name, f"{name}-c")).offer
    thing = {"offer_id": offer.offer_id} if method in ANSWERS else {"contact_id": f"{name}-c"}
    request = REQUESTS[method](agent_id=f"{name}-none", **thing)
    found = await refused(client.call(getattr(client.offers, method), request))
    assert (found.code, found.reason) == ("NOT_FOUND", "UNKNOWN_AGENT")
    assert set(found.fields) == {"agent_id"}
