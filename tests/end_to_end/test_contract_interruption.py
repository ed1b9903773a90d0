"""Channels that interrupt others: what the agent's side is told, and what is refused."""

import asyncio
from typing import Any

from headgate.client import Client
from headgate.v1.agent_pb2 import Agent, ChannelCapacity
from headgate.v1.agent_service_pb2 import UpsertAgentRequest
from headgate.v1.contact_pb2 import Channel, ContactState
from headgate.v1.event_service_pb2 import SubscribeRequest
from headgate.v1.offer_service_pb2 import AcceptOfferRequest, CompleteAssignmentRequest
from tests.end_to_end.floor import (
    agent_of,
    assign,
    contact_of,
    cursor_of_now,
    events_until,
    open_queue,
    refused,
    route,
    sign_in,
    snapshot_of,
)

VOICE, EMAIL = Channel.CHANNEL_VOICE, Channel.CHANNEL_EMAIL
INTERRUPTED = ContactState.CONTACT_STATE_INTERRUPTED
ASSIGNED = ContactState.CONTACT_STATE_ASSIGNED
CALLS_FIRST = [
    ChannelCapacity(channel=VOICE),
    ChannelCapacity(channel=EMAIL, interrupted_by=[VOICE]),
]


async def test_email_is_put_aside_for_a_call_and_comes_back_to_its_agent(
    client: Client, name: str
) -> None:
    """Never to somebody else, who would have to read it all again; and its clock stands still."""
    start = await cursor_of_now(client)
    await open_queue(client, name)
    await sign_in(client, f"{name}-a", name, channels=CALLS_FIRST)
    assert await assign(client, name, f"{name}-mail", channel=EMAIL) == f"{name}-a"
    offered = (await route(client, name, f"{name}-call")).offer
    assert (await contact_of(client, f"{name}-mail")).state == ASSIGNED
    accept = AcceptOfferRequest(offer_id=offered.offer_id, agent_id=f"{name}-a")
    await client.call(client.offers.AcceptOffer, accept)
    mail = await contact_of(client, f"{name}-mail")
    assert (mail.state, mail.agent_id) == (INTERRUPTED, f"{name}-a")
    agent = await agent_of(client, f"{name}-a")
    assert (agent.capacity_used, len(agent.contact_ids)) == (1, 2)
    snapshot = await snapshot_of(client, name)
    assert (snapshot.assigned, snapshot.interrupted) == (1, 1)
    await asyncio.sleep(0.2)
    await complete(client, f"{name}-call", f"{name}-a")
    mail = await contact_of(client, f"{name}-mail")
    assert (mail.state, mail.agent_id) == (ASSIGNED, f"{name}-a")
    assert mail.interrupted_ms >= 200
    await complete(client, f"{name}-mail", f"{name}-a")
    of_mail = SubscribeRequest(cursor=start, contact_ids=[f"{name}-mail"])
    told = [event.kind for event in await events_until(client, of_mail, "CONTACT_COMPLETED")]
    assert told[-3:] == [14, 15, 8]
    ended = [await contact_of(client, f"{name}-{kind}") for kind in ("mail", "call")]
    handling = sum(one.ended_at_ms - one.accepted_at_ms - one.interrupted_ms for one in ended)
    assert (await snapshot_of(client, name)).handle_ms_sum == handling


async def test_another_email_does_not_come_beside_one_that_is_put_aside(
    client: Client, name: str
) -> None:
    """Room that a call may take is no room for what a call may interrupt."""
    await open_queue(client, name)
    await sign_in(client, f"{name}-a", name, channels=CALLS_FIRST)
    await assign(client, name, f"{name}-mail", channel=EMAIL)
    await assign(client, name, f"{name}-call")
    for channel in (EMAIL, VOICE):
        waits = await route(client, name, channel=channel)
        assert waits.state == ContactState.CONTACT_STATE_QUEUED


async def test_channels_that_interrupt_in_a_circle_are_refused_by_field(
    client: Client, name: str
) -> None:
    """Two that interrupt each other would never let an agent finish either."""
    for channels, fields in (
        ([capacity(EMAIL, EMAIL)], ["agent.channels[0].interrupted_by"]),
        (
            [capacity(EMAIL, VOICE), capacity(VOICE, EMAIL)],
            ["agent.channels[0].interrupted_by", "agent.channels[1].interrupted_by"],
        ),
        ([capacity(EMAIL, 99)], ["agent.channels[0].interrupted_by[0]"]),
        ([capacity(EMAIL, VOICE, VOICE)], ["agent.channels[0].interrupted_by"]),
    ):
        request = UpsertAgentRequest(agent=Agent(agent_id=f"{name}-a", channels=channels))
        answer = await refused(client.call(client.agents.UpsertAgent, request))
        assert (answer.code, list(answer.fields)) == ("INVALID_ARGUMENT", fields)


def capacity(channel: Any, *interruptors: Any) -> ChannelCapacity:
    """Capacity for a channel that others interrupt."""
    return ChannelCapacity(channel=channel, interrupted_by=interruptors)


async def complete(client: Client, contact_id: str, agent_id: str) -> None:
    """End handling."""
    request = CompleteAssignmentRequest(contact_id=contact_id, agent_id=agent_id)
    await client.call(client.offers.CompleteAssignment, request)
