"""
A call comes to a cell where nobody answers, and is answered in another cell: a policy sends it on.

    headgate serve --cells north,south --set neighbours=north,south
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar
from uuid import uuid4

from headgate.client import Client
from headgate.v1.agent_pb2 import Agent, Presence
from headgate.v1.agent_service_pb2 import SetPresenceRequest, UpsertAgentRequest
from headgate.v1.contact_pb2 import Channel, Contact, ContactState, DiversionOutcome
from headgate.v1.offer_service_pb2 import AcceptOfferRequest, CompleteAssignmentRequest
from headgate.v1.policy_pb2 import PolicyStage
from headgate.v1.policy_service_pb2 import PublishPolicyRequest, RetirePolicyRequest
from headgate.v1.queue_pb2 import Queue
from headgate.v1.queue_service_pb2 import UpsertQueueRequest
from headgate.v1.routing_service_pb2 import GetContactRequest, RouteRequest

ADDRESS: Final = os.environ.get("HEADGATE_ADDRESS", "127.0.0.1:7443")
POLICY: Final = """\
apiVersion: headgate/v1
kind: OverflowPolicy
metadata: {name: north-to-south}
spec:
  mode: auto
  match: {queues: [help]}
  enter: {when: queue.waiting >= 1 && target.agents_available >= 1, for: 1s}
  actions: [{overflow: {queue: help-south, cell: south}}]
  guards: {dwell_on: 0s, dwell_off: 0s, share_max: 1.0, target: null}
"""
T = TypeVar("T")


async def main() -> None:
    """Run the example."""
    async with Client(ADDRESS) as client:
        await open_queue(client, "north", "help")
        await open_queue(client, "south", "help-south")
        await sign_in(client, "south", "sofia", "help-south")
        stage = PolicyStage.POLICY_STAGE_ACTIVE
        publish = PublishPolicyRequest(cell="north", text=POLICY, stage=stage)
        await client.call(client.policies.PublishPolicy, publish)

        contact_id = await call(client)
        away = await until(lambda: went_on(client, contact_id))
        outcome = DiversionOutcome.Name(away.diversion.outcome)
        print(f"in north it is over: {outcome}, in cell {away.diversion.cell}")
        there = await read(client, "south", contact_id)
        print(f"in south it is {ContactState.Name(there.state)}, from cell {there.from_cell}")
        await answer(client, there)
        print("sofia has answered")
        retire = RetirePolicyRequest(cell="north", name="north-to-south")
        await client.call(client.policies.RetirePolicy, retire)


async def open_queue(client: Client, cell: str, queue_id: str) -> None:
    """Define a queue of a cell."""
    request = UpsertQueueRequest(cell=cell, queue=Queue(queue_id=queue_id))
    await client.call(client.queues.UpsertQueue, request)


async def sign_in(client: Client, cell: str, agent_id: str, queue_id: str) -> None:
    """Have somebody work in a cell."""
    agent = Agent(agent_id=agent_id, queue_ids=[queue_id])
    await client.call(client.agents.UpsertAgent, UpsertAgentRequest(cell=cell, agent=agent))
    request = SetPresenceRequest(cell=cell, agent_id=agent_id, presence=Presence.PRESENCE_AVAILABLE)
    await client.call(client.agents.SetPresence, request)


async def call(client: Client) -> str:
    """Somebody calls north; returns the contact, which has the same id in every cell."""
    routed = await client.route(
        RouteRequest(
            cell="north",
            contact_id=uuid4().hex,
            queue_id="help",
            channel=Channel.CHANNEL_VOICE,
            attributes={"name": "Ada"},
        )
    )
    print("Ada calls north, where nobody is")
    return routed.contact_id


async def went_on(client: Client, contact_id: str) -> Contact | None:
    """The contact as north has it, once it is in the other cell."""
    contact = await read(client, "north", contact_id)
    return contact if contact.state == ContactState.CONTACT_STATE_COMPLETED else None


async def read(client: Client, cell: str, contact_id: str) -> Contact:
    """A contact as a cell has it."""
    request = GetContactRequest(cell=cell, contact_id=contact_id)
    contact: Contact = (await client.call(client.routing.GetContact, request)).contact
    return contact


async def answer(client: Client, contact: Contact) -> None:
    """The agent in south takes the call, and ends it."""
    accept = AcceptOfferRequest(cell="south", offer_id=contact.offers[0].offer_id, agent_id="sofia")
    await client.call(client.offers.AcceptOffer, accept)
    complete = CompleteAssignmentRequest(
        cell="south", contact_id=contact.contact_id, agent_id="sofia"
    )
    await client.call(client.offers.CompleteAssignment, complete)


async def until(read_it: Callable[[], Awaitable[T | None]]) -> T:
    """Read again until something comes of it."""
    async with asyncio.timeout(30):
        while (found := await read_it()) is None:
            await asyncio.sleep(0.1)
    return found


asyncio.run(main())
