"""
Hold one session: route a contact, accept its offer when the event comes, finish it.

When the stream breaks, another one goes on: the cursor says after which event, and commands are
sent again with the same request ids, so that none is applied twice.
"""

import asyncio
import os
from typing import Final
from uuid import uuid4

from headgate.client import Client, CommandFailed, Session, SessionEnded
from headgate.v1.agent_pb2 import Agent, Presence
from headgate.v1.agent_service_pb2 import SetPresenceRequest, UpsertAgentRequest
from headgate.v1.contact_pb2 import Channel
from headgate.v1.event_pb2 import Event, EventKind
from headgate.v1.event_service_pb2 import SubscribeRequest
from headgate.v1.gateway_service_pb2 import SessionCommand, SessionWatch
from headgate.v1.offer_service_pb2 import AcceptOfferRequest, CompleteAssignmentRequest
from headgate.v1.queue_pb2 import Queue
from headgate.v1.queue_service_pb2 import UpsertQueueRequest
from headgate.v1.routing_service_pb2 import RouteRequest

ADDRESS: Final = os.environ.get("HEADGATE_ADDRESS", "127.0.0.1:7443")
RECONNECT_PAUSE_S: Final = 0.5

AGENT: Final = Agent(agent_id="lin", queue_ids=["chat"])
CONTACT_ID: Final = uuid4().hex
COMMANDS: Final = (
    SessionCommand(upsert_agent=UpsertAgentRequest(request_id=uuid4().hex, agent=AGENT)),
    SessionCommand(
        set_presence=SetPresenceRequest(
            request_id=uuid4().hex, agent_id="lin", presence=Presence.PRESENCE_AVAILABLE
        )
    ),
    SessionCommand(
        route=RouteRequest(
            request_id=uuid4().hex,
            contact_id=CONTACT_ID,
            queue_id="chat",
            channel=Channel.CHANNEL_CHAT,
        )
    ),
)


async def main() -> None:
    """Run the example."""
    watch = SessionWatch(contact_ids=[CONTACT_ID], agent_ids=["lin"])
    async with Client(ADDRESS) as client:
        await client.call(
            client.queues.UpsertQueue, UpsertQueueRequest(queue=Queue(queue_id="chat"))
        )
        watch.cursor = await present_cursor(client)
        while True:
            try:
                async with client.session(watch=watch) as session:
                    await handle(session, watch)
                return
            except SessionEnded as ended:
                if not ended.may_resume:
                    raise
                print(f"{ended}; again after event {watch.cursor}")
            await asyncio.sleep(RECONNECT_PAUSE_S)


async def present_cursor(client: Client) -> str:
    """Where the events are now: from here on none is missed, however soon the session breaks."""
    stream = client.events.Subscribe(SubscribeRequest())
    async for response in stream:
        return response.cursor
    return ""


async def handle(session: Session, watch: SessionWatch) -> None:
    """Send what is to be done, and answer events until the contact is finished."""
    await asyncio.gather(*await session.send(COMMANDS))
    while True:
        event = await session.events.get()
        print(f"event {EventKind.Name(event.kind)} {event.contact_id}")
        if event.contact_id == CONTACT_ID and event.kind == EventKind.EVENT_KIND_OFFER_ISSUED:
            await take(session, event)
        # Not before: an event that was not handled to its end must come again.
        watch.cursor = event.cursor
        if event.kind == EventKind.EVENT_KIND_CONTACT_COMPLETED:
            return


async def take(session: Session, offered: Event) -> None:
    """Accept an offer and finish its contact; the same ids when the event comes again."""
    offer_id, contact_id, agent_id = offered.offer_id, offered.contact_id, offered.agent_id
    accept = AcceptOfferRequest(
        request_id=f"accept/{contact_id}/{offer_id}", offer_id=offer_id, agent_id=agent_id
    )
    complete = CompleteAssignmentRequest(
        request_id=f"complete/{contact_id}", contact_id=contact_id, agent_id=agent_id
    )
    try:
        await session.ask(accept_offer=accept)
        await session.ask(complete_assignment=complete)
    except CommandFailed as failed:
        print(failed)


asyncio.run(main())
