"""Changes of a contact over a real channel: update, requeue, cancel."""

import pytest

from headgate.client import Client
from headgate.v1.contact_pb2 import (
    ContactState,
)
from headgate.v1.routing_service_pb2 import (
    CancelContactRequest,
    CancelReason,
    GetContactRequest,
    RequeueContactRequest,
    UpdateContactRequest,
)
from tests.end_to_end.floor import (
    assign,
    contact_of,
    open_queue,
    refused,
    route,
    sign_in,
    snapshot_of,
)

QUEUED = ContactState.CONTACT_STATE_QUEUED
OFFERED = ContactState.CONTACT_STATE_OFFERED
ABANDONED = CancelReason.CANCEL_REASON_ABANDONED
WITHDRAWN = CancelReason.CANCEL_REASON_WITHDRAWN


async def test_update_changes_what_is_set_and_nothing_else(client: Client, name: str) -> None:
    """Fields not set stay; an empty attribute removes its key; the etag moves."""
    await open_queue(client, name)
    await route(client, name, f"{name}-c", priority=5, attributes={"a": "1", "b": "2"})
    before = await contact_of(client, f"{name}-c")
    request = UpdateContactRequest(
        contact_id=f"{name}-c", etag=before.etag, attributes={"a": "", "c": "3"}
    )
    request.routing_age_ms = 90_000
    after = (await client.call(client.routing.UpdateContact, request)).contact
    assert dict(after.attributes) == {"b": "2", "c": "3"}
    assert (after.priority, after.etag != before.etag) == (5, True)
    assert 90_000 <= after.routing_age_ms < 95_000
    assert after.wait_ms < 5_000


async def test_update_of_priority_moves_the_contact_at_once(client: Client, name: str) -> None:
    """The place in the queue follows the new priority before the call returns."""
    await open_queue(client, name)
    await route(client, name, f"{name}-1")
    await route(client, name, f"{name}-2")
    request = UpdateContactRequest(contact_id=f"{name}-2", priority=100)
    await client.call(client.routing.UpdateContact, request)
    assert (await route(client, name, f"{name}-2")).position == 1


@pytest.mark.parametrize("method", ["UpdateContact", "RequeueContact"])
async def test_write_with_an_old_etag_is_aborted(client: Client, name: str, method: str) -> None:
    """Whoever read before someone else wrote must read again."""
    await open_queue(client, name)
    await route(client, name, f"{name}-c")
    old = (await contact_of(client, f"{name}-c")).etag
    await client.call(
        client.routing.UpdateContact, UpdateContactRequest(contact_id=f"{name}-c", priority=1)
    )
    kind = {"UpdateContact": UpdateContactRequest, "RequeueContact": RequeueContactRequest}[method]
    request = kind(contact_id=f"{name}-c", etag=old, priority=2)
    found = await refused(client.call(getattr(client.routing, method), request))
    assert (found.code, found.reason, set(found.fields)) == ("ABORTED", "ETAG_MISMATCH", {"etag"})
    assert (await contact_of(client, f"{name}-c")).priority == 1


async def test_requeue_into_another_queue_keeps_the_routing_age(client: Client, name: str) -> None:
    """A transfer does not send the customer to the back: wait starts anew, age does not."""
    await open_queue(client, name)
    await open_queue(client, f"{name}-other")
    await route(client, name, f"{name}-c", routing_age_ms=60_000)
    request = RequeueContactRequest(contact_id=f"{name}-c", queue_id=f"{name}-other", priority=3)
    went = (await client.call(client.routing.RequeueContact, request)).route
    assert (went.state, went.queue_id, went.position) == (QUEUED, f"{name}-other", 1)
    contact = await contact_of(client, f"{name}-c")
    assert (contact.queue_id, contact.priority) == (f"{name}-other", 3)
    assert contact.routing_age_ms >= 60_000
    assert contact.wait_ms < 5_000


async def test_requeue_of_an_assigned_contact_frees_the_agent(client: Client, name: str) -> None:
    """A transfer takes the contact out of the agent's hands in the same step."""
    await open_queue(client, name)
    await open_queue(client, f"{name}-other")
    await sign_in(client, f"{name}-a", name)
    await assign(client, name, f"{name}-1")
    await route(client, name, f"{name}-2")
    request = RequeueContactRequest(contact_id=f"{name}-1", queue_id=f"{name}-other")
    went = (await client.call(client.routing.RequeueContact, request)).route
    assert (went.state, went.agent_id) == (QUEUED, "")
    assert (await contact_of(client, f"{name}-2")).agent_id == f"{name}-a"


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        (ABANDONED, ContactState.CONTACT_STATE_ABANDONED),
        (WITHDRAWN, ContactState.CONTACT_STATE_CANCELLED),
    ],
)
async def test_cancel_ends_a_waiting_contact(
    client: Client, name: str, reason: "CancelReason.ValueType", state: "ContactState.ValueType"
) -> None:
    """Only a customer who left counts as abandonment."""
    await open_queue(client, name)
    await route(client, name, f"{name}-c")
    request = CancelContactRequest(contact_id=f"{name}-c", reason=reason)
    response = await client.call(client.routing.CancelContact, request)
    assert response.state == state
    contact = await contact_of(client, f"{name}-c")
    assert (contact.state, contact.wait_ms) == (state, response.wait_ms)
    snapshot = await snapshot_of(client, name)
    assert (snapshot.waiting, snapshot.abandoned_total) == (0, int(reason == ABANDONED))


async def test_cancel_of_an_offered_contact_takes_the_offer_back(client: Client, name: str) -> None:
    """The agent is free for the next contact as soon as the customer has left."""
    await open_queue(client, name)
    await sign_in(client, f"{name}-a", name)
    await route(client, name, f"{name}-1")
    await route(client, name, f"{name}-2")
    request = CancelContactRequest(contact_id=f"{name}-1", reason=ABANDONED)
    await client.call(client.routing.CancelContact, request)
    assert (await contact_of(client, f"{name}-2")).agent_id == f"{name}-a"


async def test_change_of_a_contact_that_is_past_it_is_refused(client: Client, name: str) -> None:
    """What the state does not allow changes nothing and says what the state is."""
    await open_queue(client, name)
    await sign_in(client, f"{name}-a", name)
    await assign(client, name, f"{name}-held")
    await route(client, name, f"{name}-over")
    cancel = client.routing.CancelContact
    over = CancelContactRequest(contact_id=f"{name}-over", reason=WITHDRAWN)
    await client.call(cancel, over)
    held = CancelContactRequest(contact_id=f"{name}-held", reason=WITHDRAWN)
    again = CancelContactRequest(contact_id=f"{name}-over", reason=WITHDRAWN)
    update = UpdateContactRequest(contact_id=f"{name}-over", priority=1)
    requeue = RequeueContactRequest(contact_id=f"{name}-over")
    for call, state in (
        (client.call(cancel, held), "ASSIGNED"),
        (client.call(cancel, again), "CANCELLED"),
        (client.call(client.routing.UpdateContact, update), "CANCELLED"),
        (client.call(client.routing.RequeueContact, requeue), "CANCELLED"),
    ):
        found = await refused(call)
        assert (found.code, found.reason) == ("FAILED_PRECONDITION", "ILLEGAL_TRANSITION")
        assert state in found.fields["contact_id"]


async def test_contact_nobody_knows_is_not_found(client: Client, name: str) -> None:
    """Every method that names a contact says the same of one it does not know."""
    routing = client.routing
    calls = [
        client.call(routing.GetContact, GetContactRequest(contact_id=name)),
        client.call(routing.UpdateContact, UpdateContactRequest(contact_id=name, priority=1)),
        client.call(routing.RequeueContact, RequeueContactRequest(contact_id=name)),
        client.call(routing.CancelContact, CancelContactRequest(contact_id=name, reason=WITHDRAWN)),
    ]
    for call in calls:
        found = await refused(call)
        assert (found.code, found.reason) == ("NOT_FOUND", "UNKNOWN_CONTACT")
        assert set(found.fields) == {"contact_id"}
