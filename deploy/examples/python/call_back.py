"""
A caller puts the phone down and keeps the place; nobody answers at the first call, somebody at the
second.
"""

import asyncio
import os
import time
from typing import Final
from uuid import uuid4

from headgate.client import Client
from headgate.v1.agent_pb2 import Agent, Presence
from headgate.v1.agent_service_pb2 import SetPresenceRequest, UpsertAgentRequest
from headgate.v1.contact_pb2 import Channel, Contact, ContactState, Schedule
from headgate.v1.offer_service_pb2 import (
    AcceptOfferRequest,
    CompleteAssignmentRequest,
    FailAttemptRequest,
)
from headgate.v1.queue_pb2 import Queue
from headgate.v1.queue_service_pb2 import UpsertQueueRequest
from headgate.v1.routing_service_pb2 import GetContactRequest, RouteRequest, ScheduleContactRequest

ADDRESS: Final = os.environ.get("HEADGATE_ADDRESS", "127.0.0.1:7443")


async def main() -> None:
    """Run the example."""
    async with Client(ADDRESS) as client:
        await open_line(client)
        routed = await client.route(
            RouteRequest(
                contact_id=uuid4().hex,
                queue_id="line",
                channel=Channel.CHANNEL_VOICE,
            )
        )
        print(f"{ContactState.Name(routed.state)} at position {routed.position}")
        in_an_hour_ms = (time.time_ns() // 1_000_000) + 3_600_000
        keep_place = ScheduleContactRequest(
            contact_id=routed.contact_id,
            channel=Channel.CHANNEL_CALLBACK,
            schedule=Schedule(
                window_ends_at_ms=in_an_hour_ms, attempts_max=2, retry_delay_ms=1_000
            ),
            attributes={"number": "+49 30 1234"},
        )
        kept = (await client.call(client.routing.ScheduleContact, keep_place)).route
        print(f"off the phone, {ContactState.Name(kept.state)} at position {kept.position}")
        await set_presence(client, Presence.PRESENCE_AVAILABLE)
        contact = await accept(client, routed.contact_id)
        print(f"{contact.agent_id} calls {contact.attributes['number']}")
        failed = FailAttemptRequest(contact_id=contact.contact_id, agent_id=contact.agent_id)
        again = await client.call(client.offers.FailAttempt, failed)
        print(f"nobody answers: {ContactState.Name(again.state)}")
        contact = await accept(client, routed.contact_id)
        print(f"{contact.agent_id} calls again, after {contact.attempts_failed} attempt")
        done = CompleteAssignmentRequest(contact_id=contact.contact_id, agent_id=contact.agent_id)
        finished = await client.call(client.offers.CompleteAssignment, done)
        print(ContactState.Name(finished.state))
        await set_presence(client, Presence.PRESENCE_OFFLINE)


async def open_line(client: Client) -> None:
    """Define the queue and Emma, who takes calls and calls back, and is away as yet."""
    await client.call(client.queues.UpsertQueue, UpsertQueueRequest(queue=Queue(queue_id="line")))
    emma = Agent(agent_id="emma", queue_ids=["line"])
    await client.call(client.agents.UpsertAgent, UpsertAgentRequest(agent=emma))
    await set_presence(client, Presence.PRESENCE_AWAY)


async def set_presence(client: Client, presence: "Presence.ValueType") -> None:
    """Set Emma's presence."""
    request = SetPresenceRequest(agent_id="emma", presence=presence)
    await client.call(client.agents.SetPresence, request)


async def accept(client: Client, contact_id: str) -> Contact:
    """Accept the contact when it is offered."""
    request = GetContactRequest(contact_id=contact_id)
    while True:
        contact: Contact = (await client.call(client.routing.GetContact, request)).contact
        if contact.offer_id:
            break
        await asyncio.sleep(0.05)
    offer = AcceptOfferRequest(offer_id=contact.offer_id, agent_id=contact.agent_id)
    await client.call(client.offers.AcceptOffer, offer)
    return contact


asyncio.run(main())
