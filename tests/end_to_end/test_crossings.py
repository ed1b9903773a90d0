"""Contacts that cross to other cells of the same engine."""

from collections.abc import AsyncIterator

import pytest

from headgate.client import Client
from headgate.v1 import activation_pb2 as told
from headgate.v1 import policy_pb2
from headgate.v1 import policy_service_pb2 as pb
from headgate.v1.contact_pb2 import (
    Channel,
    ContactState,
    DiversionOutcome,
    OptionKind,
)
from headgate.v1.crossing_service_pb2 import (
    CrossingAnswer,
    GetTargetRequest,
    RecallContactRequest,
    ReceiveContactRequest,
)
from headgate.v1.routing_service_pb2 import (
    CancelReason,
    RouteRequest,
)
from tests.end_to_end.conftest import Serve
from tests.end_to_end.floor import refused, until
from tests.end_to_end.serving import Served
from tests.end_to_end.two_cells import GONE, TEXT, WAITS, Two, prepared


@pytest.fixture
async def one_engine(serve: Serve) -> AsyncIterator[tuple[Served, Two]]:
    """Both cells in one engine."""
    settings = ("--durability", "memory", "--set", "cells=north,south")
    served = serve(*settings, "--set", "neighbours=north,south")
    async with Client(served.address) as client:
        yield served, await prepared(client, client)


async def test_contact_crosses_and_is_served_there(one_engine: tuple[Served, Two]) -> None:
    served, (north, south) = one_engine
    await north.route("c", attributes={"tier": "gold"}, priority=3, routing_age_ms=60_000)
    there = await south.until_state("c", WAITS)
    assert (there.from_cell, there.hops, there.queue_id) == ("north", 1, "help-south")
    assert (dict(there.attributes), there.priority) == ({"tier": "gold"}, 3)
    assert there.routing_age_ms >= 60_000
    here = await north.until_state("c", GONE)
    assert here.diversion.kind == OptionKind.OPTION_KIND_OTHER_CELL
    assert (here.diversion.cell, here.diversion.queue_id) == ("south", "help-south")
    assert here.diversion.outcome == DiversionOutcome.DIVERSION_OUTCOME_CONTINUED
    await south.agent("ann", "help-south")
    await south.until_state("c", ContactState.CONTACT_STATE_OFFERED)
    _, page = served.get("/metrics")
    assert (
        'headgate_crossings_brought_total{answer="taken",cell="north",to_cell="south"} 1.0' in page
    )
    assert 'headgate_crossings_open{cell="north"} 0.0' in page
    request = pb.ListActivationsRequest(cell="north", policy="north-to-south")
    (listed,) = (
        await north.client.call(north.client.policies.ListActivations, request)
    ).activations
    counts = {item.what: item.contacts for item in listed.counts}
    assert counts[told.ACTIVATION_COUNT_OVERFLOWED] == 1
    assert counts[told.ACTIVATION_COUNT_CONTINUED] == 1


async def test_contact_that_is_not_taken_waits_on(one_engine: tuple[Served, Two]) -> None:
    served, (north, south) = one_engine
    await south.queue("help-south", max_length=1)
    await north.route("first")
    await south.until_state("first", WAITS)
    await north.route("second")

    async def is_back() -> bool:
        lines = [line for line in served.log() if line["event"] == "crossing_refused"]
        return bool(lines) and lines[0]["reason"] == "QUEUE_FULL"

    await until(is_back)
    back = await north.until_state("second", WAITS)
    assert (back.hops, back.HasField("diversion")) == (0, False)


async def test_cells_that_are_not_neighbours_are_refused(one_engine: tuple[Served, Two]) -> None:
    """With the place in the text; as is a cell that would send to itself."""
    _, (north, south) = one_engine
    for cell, text in (
        (north, TEXT.replace("cell: south", "cell: soth")),
        (south, TEXT.replace("help-south", "help")),
    ):
        stage = policy_pb2.POLICY_STAGE_ACTIVE
        request = pb.PublishPolicyRequest(cell=cell.name, text=text, stage=stage)
        code, reason, fields = await refused(
            cell.client.call(cell.client.policies.PublishPolicy, request)
        )
        assert (code, reason) == ("INVALID_ARGUMENT", "POLICY_INVALID")
        found = [message for place, message in fields.items() if place.startswith("text:8:")]
        assert len(found) == 1
        assert found[0].startswith("spec.actions[0].overflow.cell: no cell 'so")


async def test_wrong_crossings_name_the_field(one_engine: tuple[Served, Two]) -> None:
    _, (_, south) = one_engine
    crossings = south.client.crossings
    for method, request, wrong in (
        (crossings.ReceiveContact, ReceiveContactRequest(cell="south"),
         {"from_cell", "origin", "number", "contact.contact_id"}),
        (crossings.RecallContact, RecallContactRequest(
            cell="south", from_cell="x", origin="o", number=3, settled_below=4, contact_id="c",
        ), {"settled_below"}),
        (crossings.GetTarget, GetTargetRequest(cell="south", queue_id="nowhere"), {"queue_id"}),
    ):  # fmt: skip
        _, _, fields = await refused(south.client.call(method, request))
        assert set(fields) == wrong


async def test_answers_stand_for_themselves(one_engine: tuple[Served, Two]) -> None:
    """Over the wire: the same number has the same answer, and a recall is in time or is not."""
    _, (_, south) = one_engine
    crossings = south.client.crossings

    async def receive(number: int, contact_id: str) -> int:
        contact = RouteRequest(
            contact_id=contact_id, queue_id="help-south", channel=Channel.CHANNEL_VOICE
        )
        request = ReceiveContactRequest(
            cell="south",
            from_cell="far",
            origin="o",
            number=number,
            settled_below=1,
            hops=1,
            contact=contact,
        )
        answer: int = (await south.client.call(crossings.ReceiveContact, request)).answer
        return answer

    async def recall(number: int, contact_id: str, *, has_left: bool = False) -> int:
        request = RecallContactRequest(
            cell="south", from_cell="far", origin="o", number=number, contact_id=contact_id
        )
        if has_left:
            request.left = CancelReason.CANCEL_REASON_ABANDONED
        answer: int = (await south.client.call(crossings.RecallContact, request)).answer
        return answer

    taken, not_taken = CrossingAnswer.CROSSING_ANSWER_TAKEN, CrossingAnswer.CROSSING_ANSWER_REFUSED
    assert await receive(1, "a") == await receive(1, "a") == await recall(1, "a") == taken
    assert await recall(2, "b") == await receive(2, "b") == not_taken
    assert await recall(1, "a", has_left=True) == taken
    assert await south.states() == {"a": ContactState.CONTACT_STATE_ABANDONED}
