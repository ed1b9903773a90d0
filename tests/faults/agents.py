"""Agents: their desktops take offers, handle contacts, come and go."""

import asyncio
from typing import Any

from headgate.v1 import agent_service_pb2, offer_service_pb2
from headgate.v1.agent_pb2 import Agent, Presence
from headgate.v1.contact_pb2 import ContactState, Offer
from tests.faults.clients import Client, Site

_HANDLE_S = 1.5


class Desktop(Client):
    """
    The desktop of one agent.

    Parameters
    ----------
    agent
        The agent's definition, the same each time it is upserted.
    """

    def __init__(self, agent: Agent, site: Site) -> None:
        super().__init__(agent.agent_id, site)
        self._agent = agent
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Sign in, and work until the calm."""
        agent_id = self._agent.agent_id
        await self.ask(agent_service_pb2.UpsertAgentRequest(agent=self._agent))
        await self._be(Presence.PRESENCE_AVAILABLE)
        self._spawn(self._watch_offers())
        if self._agent.lease_ms:
            self._spawn(self._beat())
        while not self.around.is_calm:
            await self.pause(5.0)
            what = self.random.random()
            if what < 0.2:
                await self.ask(agent_service_pb2.UpsertAgentRequest(agent=self._agent))
            elif what < 0.5:
                await self._be(self.random.choice((Presence.PRESENCE_AWAY, Presence.PRESENCE_BUSY)))
                await self.pause(1.0)
            elif what < 0.6:
                await self.ask(agent_service_pb2.DrainAgentRequest(agent_id=agent_id))
                await self.pause(2.0)
            elif what < 0.65:
                await self._be(Presence.PRESENCE_OFFLINE)
            await self._be(Presence.PRESENCE_AVAILABLE)
        await self._be(Presence.PRESENCE_AVAILABLE)

    async def _be(self, presence: Any) -> None:
        agent_id = self._agent.agent_id
        await self.ask(agent_service_pb2.SetPresenceRequest(agent_id=agent_id, presence=presence))

    async def _beat(self) -> None:
        """Renew the lease, but forget to now and then."""
        while True:
            await self.ask(agent_service_pb2.HeartbeatRequest(agent_ids=[self._agent.agent_id]))
            await self.pause(self._agent.lease_ms / 3_000)

    async def _watch_offers(self) -> None:
        while True:
            request = offer_service_pb2.WatchOffersRequest(agent_ids=[self._agent.agent_id])
            wire = await self.open("WatchOffers", request)
            while (frame := await wire.receive()) is not None:
                made = offer_service_pb2.WatchOffersResponse.FromString(frame)
                if not made.is_over:
                    self._spawn(self._take(made.offer))
            wire.cut()
            await self.pause(0.2)

    async def _take(self, offer: Offer) -> None:
        """Answer an offer, and handle the contact."""
        await self.pause(0.3)
        what = self.random.random()
        if what < 0.1:
            return
        if what < 0.2:
            await self.ask(
                offer_service_pb2.DeclineOfferRequest(
                    offer_id=offer.offer_id, agent_id=offer.agent_id
                )
            )
            return
        accepting = offer_service_pb2.AcceptOfferRequest(
            offer_id=offer.offer_id, agent_id=offer.agent_id
        )
        if await self.ask(accepting) is None:
            return
        await self.pause(_HANDLE_S)
        held = {"contact_id": offer.contact_id, "agent_id": offer.agent_id}
        if what < 0.25:
            await self.ask(offer_service_pb2.ReleaseAssignmentRequest(**held))
            return
        if what < 0.35:
            failed = offer_service_pb2.FailAttemptRequest(
                contact_id=offer.contact_id, agent_id=offer.agent_id
            )
            await self.ask(failed)
            return
        reply = await self.ask(
            offer_service_pb2.CompleteAssignmentRequest(
                contact_id=held["contact_id"], agent_id=held["agent_id"]
            )
        )
        if reply is not None and reply.state == ContactState.CONTACT_STATE_WRAP_UP:
            await self.pause(1.0)
            await self.ask(offer_service_pb2.EndWrapUpRequest(**held))

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
