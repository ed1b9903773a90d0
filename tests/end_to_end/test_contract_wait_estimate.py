"""EstimateWait over a real channel."""

import asyncio
from typing import Any

import pytest

from headgate.client import Client
from headgate.v1.contact_pb2 import Channel, Requirements
from headgate.v1.offer_service_pb2 import AcceptOfferRequest, CompleteAssignmentRequest
from headgate.v1.queue_pb2 import Intake
from headgate.v1.queue_service_pb2 import PauseQueueRequest
from headgate.v1.routing_service_pb2 import (
    EstimateStatus,
    EstimateWaitRequest,
    EstimateWaitResponse,
)
from tests.end_to_end.floor import (
    VOICE,
    assign,
    offer_to,
    open_queue,
    refused,
    route,
    sign_in,
    snapshot_of,
)

ESTIMATED = EstimateStatus.ESTIMATE_STATUS_ESTIMATED


async def estimated(client: Client, **fields: Any) -> EstimateWaitResponse:
    """Ask how long."""
    return await client.call(client.routing.EstimateWait, EstimateWaitRequest(**fields))


async def complete(client: Client, contact_id: str, agent_id: str) -> None:
    """End handling."""
    request = CompleteAssignmentRequest(contact_id=contact_id, agent_id=agent_id)
    await client.call(client.offers.CompleteAssignment, request)


async def test_wait_is_estimated_once_ten_contacts_were_handled(client: Client, name: str) -> None:
    """Status by status, for one who waits and one who would; the queue tells how good it was."""
    await open_queue(client, name)
    newcomer = {"queue_id": name, "channel": VOICE}
    assert (await estimated(client, **newcomer)).status == EstimateStatus.ESTIMATE_STATUS_NO_AGENTS
    await sign_in(client, f"{name}-a", name)
    assert (await estimated(client, **newcomer)).status == EstimateStatus.ESTIMATE_STATUS_NO_WAIT
    for number in range(10):
        await assign(client, name, f"{name}-{number}")
        if number == 9:
            few = await estimated(client, **newcomer)
            assert few.status == EstimateStatus.ESTIMATE_STATUS_INSUFFICIENT_DATA
            assert (few.samples, few.expected_ms) == (9, 0)
        await asyncio.sleep(0.02)
        await complete(client, f"{name}-{number}", f"{name}-a")
    await assign(client, name, f"{name}-busy")
    await route(client, name, f"{name}-first")
    await route(client, name, f"{name}-second")
    second = await estimated(client, contact_id=f"{name}-second")
    assert (second.status, second.position, second.samples, second.agents) == (ESTIMATED, 2, 10, 1)
    assert 0 < second.low_ms < second.expected_ms < second.high_ms
    third = await estimated(client, **newcomer)
    assert (third.status, third.position) == (ESTIMATED, 3)
    assert third.expected_ms > second.expected_ms
    pause = PauseQueueRequest(queue_id=name, intake=Intake.INTAKE_PAUSED)
    await client.call(client.queues.PauseQueue, pause)
    paused = await estimated(client, contact_id=f"{name}-second")
    assert paused.status == EstimateStatus.ESTIMATE_STATUS_PAUSED
    pause.intake = Intake.INTAKE_OPEN
    await client.call(client.queues.PauseQueue, pause)
    for contact_id in (f"{name}-busy", f"{name}-first"):
        await complete(client, contact_id, f"{name}-a")
        offer_id = await offer_to(client, f"{name}-a")
        accept = AcceptOfferRequest(offer_id=offer_id, agent_id=f"{name}-a")
        await client.call(client.offers.AcceptOffer, accept)
    snapshot = await snapshot_of(client, name)
    assert snapshot.estimated_total == 1
    assert snapshot.estimate_error_ms_sum > 0


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"contact_id": "nothing"}, ("NOT_FOUND", "UNKNOWN_CONTACT", ["contact_id"])),
        (
            {"contact_id": "c", "queue_id": "q"},
            ("INVALID_ARGUMENT", "INVALID_FIELD", ["contact_id"]),
        ),
        ({"queue_id": "nowhere", "channel": VOICE}, ("NOT_FOUND", "UNKNOWN_QUEUE", ["queue_id"])),
        (
            {"priority": 1_001},
            ("INVALID_ARGUMENT", "INVALID_FIELD", ["channel", "priority"]),
        ),
    ],
)
async def test_what_cannot_be_estimated_is_refused_by_field(
    client: Client, fields: dict[str, Any], found: tuple[str, str, list[str]]
) -> None:
    """As everywhere."""
    answer = await refused(estimated(client, **fields))
    assert (answer.code, answer.reason, list(answer.fields)) == found


async def test_skill_nobody_holds_and_contact_with_an_agent_are_refused(
    client: Client, name: str
) -> None:
    """A mistake as with Route; and nobody waits who is being offered."""
    await open_queue(client, name)
    await sign_in(client, f"{name}-a", name)
    asked = Requirements(tags=[f"{name}-unheard"])
    answer = await refused(
        estimated(client, queue_id=name, channel=Channel.CHANNEL_CHAT, requirements=asked)
    )
    assert answer.reason == "UNKNOWN_TAG"
    await route(client, name, f"{name}-c")
    answer = await refused(estimated(client, contact_id=f"{name}-c"))
    assert (answer.code, answer.reason) == ("FAILED_PRECONDITION", "ILLEGAL_TRANSITION")
