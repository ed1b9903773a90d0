"""Retries over a real channel: the same request twice is one request, also after a restart."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from headgate.client import Client
from headgate.v1.agent_pb2 import Agent, Presence
from headgate.v1.agent_service_pb2 import (
    DeleteAgentRequest,
    DrainAgentRequest,
    SetPresenceRequest,
    UpsertAgentRequest,
)
from headgate.v1.offer_service_pb2 import (
    AcceptOfferRequest,
    CompleteAssignmentRequest,
    DeclineOfferRequest,
    EndWrapUpRequest,
    ReleaseAssignmentRequest,
)
from headgate.v1.queue_pb2 import Intake, Queue, WrapUpMode
from headgate.v1.queue_service_pb2 import (
    DeleteQueueRequest,
    PauseQueueRequest,
    UpsertQueueRequest,
)
from headgate.v1.routing_service_pb2 import (
    CancelContactRequest,
    CancelReason,
    RequeueContactRequest,
    RouteBatchRequest,
    RouteRequest,
    UpdateContactRequest,
)
from tests.end_to_end.conftest import Serve
from tests.end_to_end.floor import (
    VOICE,
    offer_to,
    open_queue,
    refused,
    route,
    sign_in,
    snapshot_of,
)

WITHDRAWN = CancelReason.CANCEL_REASON_WITHDRAWN


async def send(client: Client, request: Message) -> bytes:
    """Send a write by the method its type belongs to; returns the reply's bytes."""
    name = request.DESCRIPTOR.name.removesuffix("Request")
    stubs = (client.routing, client.offers, client.agents, client.queues)
    method = next(getattr(stub, name) for stub in stubs if hasattr(stub, name))
    reply: Message = await client.call(method, request)
    return reply.SerializeToString(deterministic=True)


def day(name: str) -> list[Any]:
    """One of every write, in an order in which each of them succeeds."""
    until_ended = WrapUpMode.WRAP_UP_MODE_UNTIL_ENDED
    queue = Queue(queue_id=name, wrap_up_mode=until_ended, reoffer_delay_only_agent_ms=-1)
    agent = Agent(agent_id=f"{name}-a", queue_ids=[name])
    available = Presence.PRESENCE_AVAILABLE
    one, two = f"{name}-1", f"{name}-2"
    contact = {"agent_id": f"{name}-a", "contact_id": one}
    requests: list[Any] = [
        UpsertQueueRequest(queue=queue),
        UpsertQueueRequest(queue=Queue(queue_id=f"{name}-spare")),
        PauseQueueRequest(queue_id=name, intake=Intake.INTAKE_CLOSED),
        PauseQueueRequest(queue_id=name, intake=Intake.INTAKE_OPEN),
        UpsertAgentRequest(agent=agent),
        SetPresenceRequest(agent_id=f"{name}-a", presence=available),
        RouteRequest(queue_id=name, contact_id=one, channel=VOICE),
        DeclineOfferRequest(offer_id="1", agent_id=f"{name}-a", retry_after_ms=1),
        AcceptOfferRequest(offer_id="2", agent_id=f"{name}-a"),
        UpdateContactRequest(contact_id=one, attributes={"a": "b"}),
        ReleaseAssignmentRequest(**contact),
        AcceptOfferRequest(offer_id="3", agent_id=f"{name}-a"),
        RouteRequest(queue_id=name, contact_id=two, channel=VOICE),
        RequeueContactRequest(contact_id=two, queue_id=f"{name}-spare"),
        CancelContactRequest(contact_id=two, reason=WITHDRAWN),
        CompleteAssignmentRequest(contact_id=contact["contact_id"], agent_id=contact["agent_id"]),
        EndWrapUpRequest(**contact),
        DrainAgentRequest(agent_id=f"{name}-a"),
        DeleteAgentRequest(agent_id=f"{name}-a"),
        DeleteQueueRequest(queue_id=f"{name}-spare"),
    ]
    for place, request in enumerate(requests):
        request.request_id = f"{name}-{place}"
    return requests


async def live(client: Client, requests: list[Any]) -> list[bytes]:
    """Send a day's requests, each answer to an offer with the offer that then stands."""
    replies = []
    for request in requests:
        if isinstance(request, DeclineOfferRequest | AcceptOfferRequest):
            request.offer_id = await offer_to(client, request.agent_id)
        replies.append(await send(client, request))
    return replies


async def test_every_write_sent_again_gets_its_stored_reply(client: Client, name: str) -> None:
    """Any call may be retried: the reply is the old one though the world has moved on."""
    requests = day(name)
    replies = await live(client, requests)
    before = await snapshot_of(client, name)
    assert [await send(client, request) for request in requests] == replies
    after = await snapshot_of(client, name)
    after.at_ms = before.at_ms
    assert after == before


async def test_every_write_sent_again_after_a_restart_gets_its_stored_reply(
    serve: Serve, tmp_path: Path
) -> None:
    """A gateway that never saw the answer because the server died gets that very answer."""
    flags = ("--durability", "full", "--data-dir", str(tmp_path / "data"))
    first = serve(*flags)
    async with Client(first.address) as client:
        requests = day("restart")
        replies = await live(client, requests)
    first.kill()
    second = serve(*flags)
    async with Client(second.address) as client:
        assert [await send(client, request) for request in requests] == replies


async def test_request_id_used_again_with_another_body_is_refused(
    client: Client, name: str
) -> None:
    """An id that means two things is a bug of the caller, told before it does harm."""
    await open_queue(client, name)
    first = RouteRequest(request_id=name, queue_id=name, channel=VOICE, contact_id=f"{name}-1")
    await client.route(first)
    other_body = RouteRequest(request_id=name, queue_id=name, channel=VOICE, contact_id=f"{name}-2")
    other_method = CancelContactRequest(request_id=name, contact_id=f"{name}-1", reason=WITHDRAWN)
    for request in (other_body, other_method):
        found = await refused(send(client, request))
        assert (found.code, found.reason) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
        assert set(found.fields) == {"request_id"}
    assert (await snapshot_of(client, name)).received_total == 1


async def test_engine_made_contact_id_repeats_with_the_request(client: Client, name: str) -> None:
    """A retried Route without a contact id must not make a second contact."""
    await open_queue(client, name)
    request = RouteRequest(request_id=name, queue_id=name, channel=VOICE)
    first, second = await client.route(request), await client.route(request)
    assert first == second
    assert len(first.contact_id) > 0
    assert (await snapshot_of(client, name)).received_total == 1


async def test_refused_request_may_be_sent_again_once_it_can_succeed(
    client: Client, name: str
) -> None:
    """A refusal is not kept: it changed nothing, so the id is still unused."""
    request = RouteRequest(request_id=name, queue_id=name, channel=VOICE)
    assert (await refused(client.route(request))).code == "NOT_FOUND"
    await open_queue(client, name)
    assert (await client.route(request)).position == 1


async def test_request_of_a_batch_sent_again_alone_gets_its_stored_reply(
    client: Client, name: str
) -> None:
    """Whether a request travels alone or in a batch, it is the same request."""
    await open_queue(client, name)
    request = RouteRequest(request_id=name, queue_id=name, channel=VOICE)
    batch = RouteBatchRequest(requests=[request, request])
    results = (await client.call(client.routing.RouteBatch, batch)).results
    alone = await client.route(request)
    assert [item.response for item in results] == [alone, alone]


@pytest.mark.parametrize("request_id", ["", "x" * 129, "é" * 65])
async def test_write_without_a_usable_request_id_is_refused(
    client: Client, name: str, request_id: str
) -> None:
    """Without an id a retry would do the work twice."""
    await open_queue(client, name)
    request = RouteRequest(request_id=request_id, queue_id=name, channel=VOICE)
    found = await refused(client.routing.Route(request, timeout=10))
    assert (found.code, set(found.fields)) == ("INVALID_ARGUMENT", {"request_id"})
    assert (await snapshot_of(client, name)).received_total == 0


async def test_same_request_sent_many_times_at_once_is_applied_once(
    client: Client, name: str
) -> None:
    """Retries that overtake each other in one turn of the cell still find one another."""
    await open_queue(client, name)
    await sign_in(client, f"{name}-a", name)
    request = RouteRequest(request_id=name, queue_id=name, channel=VOICE)
    replies = await asyncio.gather(*(client.route(request) for _ in range(20)))
    assert all(reply == replies[0] for reply in replies)
    assert (await snapshot_of(client, name)).received_total == 1
    assert (await route(client, name)).position == 1
