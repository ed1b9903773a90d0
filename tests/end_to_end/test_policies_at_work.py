"""A policy from a command line to a contact's choice and its account, on a real server."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from headgate.client import Client
from headgate.v1 import activation_pb2 as told
from headgate.v1 import policy_pb2
from headgate.v1 import policy_service_pb2 as pb
from headgate.v1.contact_pb2 import Channel
from headgate.v1.decision_service_pb2 import ExplainRequest, ListDecisionsRequest
from headgate.v1.routing_service_pb2 import GetContactRequest, RouteRequest
from tests.end_to_end.conftest import Serve
from tests.end_to_end.floor import open_queue, refused, sign_in
from tests.end_to_end.serving import Served, headgate

TEXT = """\
apiVersion: headgate/v1
kind: OverflowPolicy
metadata: {name: NAME}
spec:
  mode: MODE
  match: {queues: [NAME]}
  params: {most: {value: 2}}
  enter: {when: queue.waiting >= params.most && queue.is_open, for: 1s}
  actions: [{overflow: {queue: NAME-b}}]
  guards: {dwell_on: 0s, dwell_off: 0s, share_max: 1.0, target: null}
"""


async def in_force(client: Client, name: str, mode: str = "auto") -> None:
    """Two queues, and a policy on the first that moves its contacts to the second."""
    await open_queue(client, name)
    await open_queue(client, f"{name}-b")
    text = TEXT.replace("NAME", name).replace("MODE", mode)
    active = policy_pb2.POLICY_STAGE_ACTIVE
    await client.call(
        client.policies.PublishPolicy, pb.PublishPolicyRequest(text=text, stage=active)
    )


async def route(client: Client, contact_id: str, queue_id: str) -> Any:
    """Take a contact in."""
    request = RouteRequest(contact_id=contact_id, queue_id=queue_id, channel=Channel.CHANNEL_VOICE)
    return await client.call(client.routing.Route, request)


async def queue_of(client: Client, contact_id: str) -> str:
    """Queue that a contact is in."""
    request = GetContactRequest(contact_id=contact_id)
    queue_id: str = (await client.call(client.routing.GetContact, request)).contact.queue_id
    return queue_id


async def activations(client: Client, **fields: Any) -> list[told.Activation]:
    """Activations, the latest first."""
    request = pb.ListActivationsRequest(**fields)
    return list((await client.call(client.policies.ListActivations, request)).activations)


async def begun(client: Client, name: str) -> told.Activation:
    """The activation of a policy, once it has begun."""
    async with asyncio.timeout(20):
        while not (found := await activations(client, policy=name, lasting=True)):
            await asyncio.sleep(0.1)
    return found[0]


async def said(address: str, *arguments: str) -> str:
    """What `headgate policy` prints."""
    done = await asyncio.to_thread(headgate, "policy", *arguments, "--address", address)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_contacts_that_wait_are_moved_and_accounted(client: Client, name: str) -> None:
    await in_force(client, name)
    ids = [f"{name}-{number}" for number in range(2)]
    for contact_id in ids:
        await route(client, contact_id, name)
    found = await begun(client, name)
    assert (found.version, found.queue_id) == (1, name)
    assert found.began_by == told.ACTIVATION_CAUSE_ENTER
    values = {item.name: item.value for item in found.signals}
    assert values == {"queue.waiting": "2", "params.most": "2", "queue.is_open": "true"}
    async with asyncio.timeout(20):
        while not (ended := await activations(client, policy=name))[0].ended_at_ms:
            await asyncio.sleep(0.1)
    assert [await queue_of(client, contact_id) for contact_id in ids] == [f"{name}-b"] * 2
    counts = {item.what: item.contacts for item in ended[0].counts}
    assert counts == {told.ACTIVATION_COUNT_ELIGIBLE: 2, told.ACTIVATION_COUNT_OVERFLOWED: 2}
    assert ended[0].ended_by == told.ACTIVATION_CAUSE_EXIT


async def test_records_name_the_policies_that_had_acted_by_then(client: Client, name: str) -> None:
    """Not those that act later."""
    await in_force(client, name)
    ids = [f"{name}-{number}" for number in range(2)]
    for contact_id in ids:
        await route(client, contact_id, name)
    await begun(client, name)
    async with asyncio.timeout(20):
        while await queue_of(client, ids[0]) == name:
            await asyncio.sleep(0.1)
    await sign_in(client, f"{name}-agent", f"{name}-b")
    request = ListDecisionsRequest(contact_id=ids[0])
    listed = (await client.call(client.decisions.ListDecisions, request)).decisions
    assert [list(item.policies) for item in listed] == [[name], []]
    asked = ExplainRequest(contact_id=ids[0])
    sentences = (await client.call(client.decisions.Explain, asked)).sentences
    assert f"Policies have acted on it: {name}." in sentences


async def test_advice_waits_for_approval_and_is_explained(
    server: Served, client: Client, name: str
) -> None:
    await in_force(client, name, "advise")
    for number in range(2):
        await route(client, f"{name}-{number}", name)
    found = await begun(client, name)
    assert found.approval == told.ACTIVATION_APPROVAL_PENDING
    assert await queue_of(client, f"{name}-0") == name
    explained = await said(server.address, "explain", name)
    assert f"{name} version 1 (active) is on for queue {name}" in explained
    term = "queue.waiting >= params.most   [queue.waiting = 2, params.most = 2]"
    assert f"yes   {term}" in explained
    assert "waits for approval" in await said(server.address, "activations", name)
    await said(server.address, "approve", found.activation_id, "--author", "ana")
    async with asyncio.timeout(20):
        while await queue_of(client, f"{name}-0") != f"{name}-b":
            await asyncio.sleep(0.1)
    again = pb.ApproveActivationRequest(activation_id=found.activation_id)
    answer = await refused(client.call(client.policies.ApproveActivation, again))
    assert answer.reason == "ILLEGAL_TRANSITION"


@pytest.mark.parametrize(
    ("call", "request_", "reason"),
    [
        ("ExplainPolicy", pb.ExplainPolicyRequest(name="none"), "UNKNOWN_POLICY"),
        (
            "ApproveActivation",
            pb.ApproveActivationRequest(activation_id="a999"),
            "UNKNOWN_ACTIVATION",
        ),
        ("ApproveActivation", pb.ApproveActivationRequest(activation_id="x"), "UNKNOWN_ACTIVATION"),
        ("ListActivations", pb.ListActivationsRequest(page_token="x"), "INVALID_FIELD"),
        (
            "ListActivations",
            pb.ListActivationsRequest(page_token="a" + "9" * 5_000),
            "INVALID_FIELD",
        ),
        ("ListActivations", pb.ListActivationsRequest(page_size=-1), "INVALID_FIELD"),
    ],
)
async def test_what_is_not_there_is_told(
    call: str, request_: Message, reason: str, client: Client
) -> None:
    found = await refused(client.call(getattr(client.policies, call), request_))
    assert found.reason == reason


async def test_queue_that_a_policy_does_not_match_is_told(client: Client, name: str) -> None:
    await in_force(client, name)
    request = pb.ExplainPolicyRequest(name=name, queue_id=f"{name}-b")
    async with asyncio.timeout(20):
        while found := await refused(client.call(client.policies.ExplainPolicy, request)):
            if found.reason == "UNKNOWN_QUEUE":
                break
            await asyncio.sleep(0.1)


ROUTING = """\
apiVersion: headgate/v1
kind: RoutingPolicy
metadata: {name: entry}
spec:
  mode: auto
  rules:
    - {name: vip, when: contact.tier == "vip", to: {queue: gold, priority: 5}}
  default: {queue: general}
"""


async def test_contact_without_a_queue_is_classified_after_a_restart_too(
    serve: Serve, tmp_path: Path
) -> None:
    """From the first call on: nobody has to wait for a policy to be read again."""
    kept = ("--data-dir", str(tmp_path / "data"))
    request = RouteRequest(
        contact_id="c1", channel=Channel.CHANNEL_CHAT, attributes={"tier": "vip"}
    )
    served = serve(*kept)
    async with Client(served.address) as client:
        await open_queue(client, "gold")
        await open_queue(client, "general")
        before = await refused(client.call(client.routing.Route, request))
        assert (before.reason, list(before.fields)) == ("INVALID_FIELD", ["queue_id"])
        active = policy_pb2.POLICY_STAGE_ACTIVE
        publish = pb.PublishPolicyRequest(text=ROUTING, stage=active)
        await client.call(client.policies.PublishPolicy, publish)
        # In force within a second.
        await asyncio.sleep(1.5)
        request.contact_id = "c2"
        await client.call(client.routing.Route, request)
        assert await queue_of(client, "c2") == "gold"
    served.kill()
    served = serve(*kept)
    async with Client(served.address) as client:
        request.contact_id = "c3"
        await client.call(client.routing.Route, request)
        assert await queue_of(client, "c3") == "gold"
