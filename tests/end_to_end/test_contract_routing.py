"""RoutingService over a real channel: what `routing_service.proto` promises of unary calls."""

import uuid

import pytest

from headgate.client import Client
from headgate.v1.agent_pb2 import AgentSkill
from headgate.v1.contact_pb2 import (
    Channel,
    ContactState,
    RejectionReason,
    Requirements,
    SkillPreference,
    SkillRequirement,
)
from headgate.v1.queue_pb2 import Intake
from headgate.v1.queue_service_pb2 import PauseQueueRequest
from headgate.v1.routing_service_pb2 import (
    CancelReason,
    ListContactsRequest,
    RouteBatchRequest,
    RouteRequest,
)
from tests.end_to_end.floor import (
    VOICE,
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
REJECTED = ContactState.CONTACT_STATE_REJECTED
ABANDONED = CancelReason.CANCEL_REASON_ABANDONED
WITHDRAWN = CancelReason.CANCEL_REASON_WITHDRAWN


async def test_route_with_a_free_agent_answers_with_the_offer(client: Client, name: str) -> None:
    """The gateway learns in one call who is to take the contact and until when."""
    await open_queue(client, name, offer_timeout_ms=5_000)
    await sign_in(client, f"{name}-a", name)
    response = await route(client, name, f"{name}-c")
    assert (response.state, response.contact_id, response.agent_id) == (
        OFFERED,
        f"{name}-c",
        f"{name}-a",
    )
    offer = response.offer
    assert (offer.contact_id, offer.agent_id, offer.queue_id) == (f"{name}-c", f"{name}-a", name)
    contact = await contact_of(client, f"{name}-c")
    assert (contact.state, contact.offer_id) == (OFFERED, offer.offer_id)
    assert contact.offer_expires_at_ms == offer.expires_at_ms == contact.received_at_ms + 5_000


async def test_route_without_an_agent_answers_with_the_place(client: Client, name: str) -> None:
    """Whoever waits is told how many are before them."""
    await open_queue(client, name)
    responses = [await route(client, name) for _ in range(3)]
    assert [item.state for item in responses] == [QUEUED] * 3
    assert [item.position for item in responses] == [1, 2, 3]
    assert len({item.contact_id for item in responses}) == 3
    assert not any(item.HasField("offer") for item in responses)


async def test_route_of_a_full_queue_is_rejected_at_the_door(client: Client, name: str) -> None:
    """A rejection is an answer, not an error: the gateway decides what to tell the customer."""
    await open_queue(client, name, max_length=1)
    await route(client, name)
    response = await route(client, name, f"{name}-c")
    assert response.state == REJECTED
    assert response.rejection_reason == RejectionReason.REJECTION_REASON_QUEUE_FULL
    contact = await contact_of(client, f"{name}-c")
    assert contact.rejection_reason == RejectionReason.REJECTION_REASON_QUEUE_FULL
    assert contact.ended_at_ms == contact.received_at_ms
    assert (await snapshot_of(client, name)).rejected_total == 1


async def test_route_into_a_closed_queue_is_rejected_and_into_a_paused_one_waits(
    client: Client, name: str
) -> None:
    """Closed and paused are different words because they do different things."""
    await open_queue(client, name)
    await sign_in(client, f"{name}-a", name)
    close = PauseQueueRequest(queue_id=name, intake=Intake.INTAKE_CLOSED)
    await client.call(client.queues.PauseQueue, close)
    response = await route(client, name)
    assert response.rejection_reason == RejectionReason.REJECTION_REASON_QUEUE_CLOSED
    pause = PauseQueueRequest(queue_id=name, intake=Intake.INTAKE_PAUSED)
    await client.call(client.queues.PauseQueue, pause)
    assert (await route(client, name)).state == QUEUED


async def test_route_of_a_known_contact_creates_nothing(client: Client, name: str) -> None:
    """A gateway that lost its memory routes again and learns where the contact is."""
    await open_queue(client, name)
    first = await route(client, name, f"{name}-c")
    again = await route(client, name, f"{name}-c", priority=9)
    assert (first.already_known, again.already_known) == (False, True)
    assert (again.state, again.queue_id, again.position) == (QUEUED, name, 1)
    assert (await snapshot_of(client, name)).received_total == 1
    assert (await contact_of(client, f"{name}-c")).priority == 0


async def test_route_of_a_known_contact_on_another_channel_is_refused(
    client: Client, name: str
) -> None:
    """Two contacts under one id must not be mistaken for one."""
    await open_queue(client, name)
    await route(client, name, f"{name}-c")
    found = await refused(route(client, name, f"{name}-c", channel=Channel.CHANNEL_CHAT))
    assert (found.code, found.reason) == ("ALREADY_EXISTS", "CONTACT_EXISTS")
    assert set(found.fields) == {"channel"}


async def test_route_with_requirements_skips_agents_that_lack_them(
    client: Client, name: str
) -> None:
    """Nobody is offered what they cannot handle, though they have been idle longest."""
    await open_queue(client, name)
    weak = [AgentSkill(skill=f"{name}-s", proficiency=2)]
    strong = [AgentSkill(skill=f"{name}-s", proficiency=4)]
    await sign_in(client, f"{name}-weak", name, skills=weak, tags=[f"{name}-t"])
    await sign_in(client, f"{name}-untagged", name, skills=strong)
    await sign_in(client, f"{name}-fit", name, skills=strong, tags=[f"{name}-t"])
    asked = Requirements(
        skills=[SkillRequirement(skill=f"{name}-s", proficiency_min=3)], tags=[f"{name}-t"]
    )
    response = await route(client, name, f"{name}-c", requirements=asked)
    assert response.agent_id == f"{name}-fit"
    assert (await contact_of(client, f"{name}-c")).requirements == asked


async def test_route_with_a_preferred_skill_chooses_who_holds_it(client: Client, name: str) -> None:
    """A preference decides where nothing is required."""
    await open_queue(client, name)
    await sign_in(client, f"{name}-longest", name)
    skills = [AgentSkill(skill=f"{name}-s", proficiency=5)]
    await sign_in(client, f"{name}-skilled", name, skills=skills)
    preferred = [SkillPreference(skill=f"{name}-s", weight=100)]
    asked = Requirements(preferred_skills=preferred)
    assert (await route(client, name, requirements=asked)).agent_id == f"{name}-skilled"


async def test_waiting_contacts_are_offered_by_priority_and_age(client: Client, name: str) -> None:
    """Higher priority first, then the older; age brought along counts."""
    await open_queue(client, name)
    await route(client, name, f"{name}-third")
    await route(client, name, f"{name}-second", routing_age_ms=30_000)
    await route(client, name, f"{name}-first", priority=1)
    await sign_in(client, f"{name}-a", name, capacity=3)
    offers = [
        (await contact_of(client, f"{name}-{place}")).offer_id
        for place in ("first", "second", "third")
    ]
    numbers = [int(offer_id[1:].partition(".")[0], 16) for offer_id in offers]
    assert numbers == sorted(numbers)


async def test_route_batch_answers_each_request_by_itself(client: Client, name: str) -> None:
    """One bad contact must not cost the others of its batch."""
    await open_queue(client, name)
    requests = [
        RouteRequest(request_id=f"{name}-1", contact_id=f"{name}-1", queue_id=name, channel=VOICE),
        RouteRequest(request_id=f"{name}-2", queue_id=f"{name}-none", channel=VOICE),
        RouteRequest(queue_id=name, channel=VOICE),
        RouteRequest(request_id=f"{name}-4", queue_id=name, channel=VOICE, priority=1_001),
        RouteRequest(request_id=f"{name}-5", contact_id=f"{name}-5", queue_id=name, channel=VOICE),
        RouteRequest(request_id=f"{name}-1", queue_id=name, channel=VOICE),
    ]
    # Past the client, which would give the third an id.
    response = await client.routing.RouteBatch(RouteBatchRequest(requests=requests), timeout=10)
    kinds = [item.WhichOneof("result") for item in response.results]
    assert kinds == ["response", "error", "error", "error", "response", "error"]
    assert [item.error.reason for item in response.results] == [
        "", "UNKNOWN_QUEUE", "INVALID_FIELD", "INVALID_FIELD", "", "REQUEST_ID_REUSED",
    ]  # fmt: skip
    assert [item.error.code for item in response.results] == [0, 5, 3, 3, 0, 6]
    fields = [[item.field for item in result.error.field_violations] for result in response.results]
    assert fields == [[], ["queue_id"], ["request_id"], ["priority"], [], ["request_id"]]
    assert response.results[0].response.position == 1
    assert response.results[4].response.position == 2


@pytest.mark.parametrize("count", [0, 1_025])
async def test_route_batch_of_a_wrong_size_is_refused(
    client: Client, name: str, count: int
) -> None:
    """The bound of a batch is told, with the number that was sent."""
    await open_queue(client, name)
    requests = [
        RouteRequest(request_id=f"{name}-{place}", queue_id=name, channel=VOICE)
        for place in range(count)
    ]
    call = client.call(client.routing.RouteBatch, RouteBatchRequest(requests=requests))
    assert (await refused(call)).fields == {
        "requests": f"got {count}, expected 1 to 1,024 requests"
    }
    assert (await snapshot_of(client, name)).received_total == 0


async def test_route_batch_of_another_cell_is_refused_whole(client: Client, name: str) -> None:
    """A batch goes to one cell; a request of another is a mistake of the caller."""
    await open_queue(client, name)
    requests = [
        RouteRequest(request_id=f"{name}-1", queue_id=name, channel=VOICE, cell="default"),
        RouteRequest(request_id=f"{name}-2", queue_id=name, channel=VOICE, cell="elsewhere"),
    ]
    call = client.call(client.routing.RouteBatch, RouteBatchRequest(requests=requests))
    found = await refused(call)
    assert (found.code, set(found.fields)) == ("INVALID_ARGUMENT", {"requests[1].cell"})
    assert (await snapshot_of(client, name)).received_total == 0


async def test_contacts_are_listed_oldest_first_page_by_page(client: Client, name: str) -> None:
    """Pages join without a gap or a double, and the last one says that it is the last."""
    await open_queue(client, name)
    routed = [(await route(client, name, uuid.uuid4().hex)).contact_id for _ in range(7)]
    listed: list[str] = []
    token, sizes = "", []
    while True:
        request = ListContactsRequest(queue_id=name, page_size=3, page_token=token)
        page = await client.call(client.routing.ListContacts, request)
        listed += [contact.contact_id for contact in page.contacts]
        sizes.append(len(page.contacts))
        token = page.next_page_token
        if not token:
            break
    assert listed == routed
    assert sizes == [3, 3, 1]


async def test_contacts_are_listed_in_pages_that_any_peer_can_read(
    client: Client, name: str
) -> None:
    """gRPC's usual bound is 4 MiB: a page ends earlier, and the token leads to the rest."""
    await open_queue(client, name)
    routed = [f"{name}-{number}" for number in range(200)]
    for contact_id in routed:
        await route(client, name, contact_id, attributes={"large": "x" * 16_000})
    listed: list[str] = []
    request = ListContactsRequest(queue_id=name, page_size=1_000)
    while not listed or request.page_token:
        page = await client.call(client.routing.ListContacts, request)
        assert 0 < page.ByteSize() <= 2_097_152 + 100
        listed += [contact.contact_id for contact in page.contacts]
        request.page_token = page.next_page_token
    assert listed == routed


async def test_contacts_are_listed_by_agent_and_state(client: Client, name: str) -> None:
    """A supervisor sees one agent's contacts, a gateway all that wait."""
    await open_queue(client, name)
    await sign_in(client, f"{name}-a", name)
    await assign(client, name, f"{name}-1")
    await route(client, name, f"{name}-2")
    of_agent = ListContactsRequest(agent_id=f"{name}-a")
    waiting = ListContactsRequest(queue_id=name, states=[QUEUED])
    answers = [await client.call(client.routing.ListContacts, item) for item in (of_agent, waiting)]
    found = [[contact.contact_id for contact in answer.contacts] for answer in answers]
    assert found == [[f"{name}-1"], [f"{name}-2"]]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (ListContactsRequest(page_token="yesterday"), "page_token"),
        (ListContactsRequest(page_token="9" * 30), "page_token"),
        (ListContactsRequest(page_size=-1), "page_size"),
        (ListContactsRequest(page_size=1_001), "page_size"),
        (ListContactsRequest(states=[ContactState.CONTACT_STATE_UNSPECIFIED]), "states[0]"),
        (ListContactsRequest(states=[QUEUED, 77]), "states[1]"),  # type: ignore[list-item]
    ],
)
async def test_contacts_listed_with_a_bad_argument_are_refused(
    client: Client, request_: ListContactsRequest, field: str
) -> None:
    """A list that silently ignores its filter shows what was not asked for."""
    found = await refused(client.call(client.routing.ListContacts, request_))
    assert (found.code, set(found.fields)) == ("INVALID_ARGUMENT", {field})
