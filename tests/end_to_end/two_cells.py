"""Two cells over the wire, and a policy that sends contacts from one to the other."""

from typing import Any, NamedTuple

from headgate.client import Client
from headgate.v1 import policy_pb2
from headgate.v1 import policy_service_pb2 as pb
from headgate.v1.agent_pb2 import Agent, Presence
from headgate.v1.agent_service_pb2 import SetPresenceRequest, UpsertAgentRequest
from headgate.v1.contact_pb2 import (
    Channel,
    Contact,
    ContactState,
)
from headgate.v1.queue_pb2 import Queue
from headgate.v1.queue_service_pb2 import UpsertQueueRequest
from headgate.v1.routing_service_pb2 import (
    CancelContactRequest,
    CancelReason,
    GetContactRequest,
    ListContactsRequest,
    RouteRequest,
)
from tests.end_to_end.floor import until

TEXT = """\
apiVersion: headgate/v1
kind: OverflowPolicy
metadata: {name: north-to-south}
spec:
  mode: auto
  match: {queues: [help]}
  enter: {when: queue.waiting >= 1 && target.waiting < 1000, for: 0s}
  actions: [{overflow: {queue: help-south, cell: south}}]
  guards: {dwell_on: 0s, dwell_off: 0s, share_max: 1.0, target: null}
"""
WAITS, AWAY = ContactState.CONTACT_STATE_QUEUED, ContactState.CONTACT_STATE_DIVERTED
GONE = ContactState.CONTACT_STATE_COMPLETED


class Cell(NamedTuple):
    """A cell, and a connection to an engine that has it."""

    client: Client
    name: str

    async def queue(self, queue_id: str, **fields: Any) -> None:
        request = UpsertQueueRequest(cell=self.name, queue=Queue(queue_id=queue_id, **fields))
        await self.client.call(self.client.queues.UpsertQueue, request)

    async def agent(self, agent_id: str, queue_id: str) -> None:
        agent = Agent(agent_id=agent_id, queue_ids=[queue_id])
        request = UpsertAgentRequest(cell=self.name, agent=agent)
        await self.client.call(self.client.agents.UpsertAgent, request)
        presence = Presence.PRESENCE_AVAILABLE
        await self.client.call(
            self.client.agents.SetPresence,
            SetPresenceRequest(cell=self.name, agent_id=agent_id, presence=presence),
        )

    async def policy(self, text: str = TEXT) -> None:
        stage = policy_pb2.POLICY_STAGE_ACTIVE
        request = pb.PublishPolicyRequest(cell=self.name, text=text, stage=stage)
        await self.client.call(self.client.policies.PublishPolicy, request)

    async def route(self, contact_id: str, **fields: Any) -> None:
        request = RouteRequest(
            cell=self.name,
            contact_id=contact_id,
            queue_id="help",
            channel=Channel.CHANNEL_VOICE,
            **fields,
        )
        await self.client.call(self.client.routing.Route, request)

    async def cancel(self, contact_id: str) -> None:
        reason = CancelReason.CANCEL_REASON_ABANDONED
        request = CancelContactRequest(cell=self.name, contact_id=contact_id, reason=reason)
        await self.client.call(self.client.routing.CancelContact, request)

    async def contact(self, contact_id: str) -> Contact:
        request = GetContactRequest(cell=self.name, contact_id=contact_id)
        found: Contact = (await self.client.call(self.client.routing.GetContact, request)).contact
        return found

    async def states(self) -> dict[str, int]:
        """States of all contacts."""
        request = ListContactsRequest(cell=self.name, page_size=1_000)
        listed = await self.client.call(self.client.routing.ListContacts, request)
        return {item.contact_id: item.state for item in listed.contacts}

    async def until_state(self, contact_id: str, state: int) -> Contact:
        async def reached() -> Contact | None:
            found = (await self.states()).get(contact_id)
            return await self.contact(contact_id) if found == state else None

        found = await until(reached, 30.0)
        assert found is not None
        return found

    async def reasons(self) -> list[str]:
        """What the policy is said to be kept by."""
        request = pb.ExplainPolicyRequest(cell=self.name, name="north-to-south")
        reply = await self.client.call(self.client.policies.ExplainPolicy, request)
        return list(reply.explanations[0].reasons)


class Two(NamedTuple):
    """North, which sends, and south."""

    north: Cell
    south: Cell


async def prepared(north: Client, south: Client) -> Two:
    """A queue in each cell, and a policy that moves contacts from north to south."""
    two = Two(Cell(north, "north"), Cell(south, "south"))
    await two.north.queue("help")
    await two.south.queue("help-south")
    await two.north.policy()
    return two
