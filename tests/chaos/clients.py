"""Gateways that route, accept and complete contacts, and note what they were told."""

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import grpc.aio

from headgate.client import Client
from headgate.v1.contact_pb2 import Channel
from headgate.v1.offer_service_pb2 import AcceptOfferRequest, CompleteAssignmentRequest
from headgate.v1.routing_service_pb2 import GetContactRequest, RouteRequest

QUEUE: Final = "q"
# Then the other engine is asked the same.
_TRY_S: Final = 1.5
_PAUSE_S: Final = 0.01


@dataclass
class Told:
    """
    What one contact's gateway was told.

    Attributes
    ----------
    route
        Request that began it, and the serialised reply; b"" where none came.
    accepted_by
        Agent whose acceptance was acknowledged; "".
    is_completed
        Whether its completion was acknowledged.
    """

    route: RouteRequest
    reply: bytes = b""
    accepted_by: str = ""
    is_completed: bool = False


@dataclass
class History:
    """
    What all gateways were told in one round.

    Attributes
    ----------
    told
        By contact.
    acknowledged_s
        When an acknowledgement came, of those on the mainland, on the monotonic clock.
    on_island
        Acknowledgements that came from engines that were cut off.
    """

    told: dict[str, Told] = field(default_factory=dict)
    acknowledged_s: list[float] = field(default_factory=list)
    on_island: int = 0

    @property
    def acknowledged(self) -> int:
        """How many steps were acknowledged."""
        return sum(
            bool(one.reply) + bool(one.accepted_by) + one.is_completed for one in self.told.values()
        )

    def longest_gap_s(self) -> float:
        """Longest time in which nobody on the mainland was told anything."""
        times = sorted(self.acknowledged_s)
        return max((late - early for early, late in itertools.pairwise(times)), default=0)


class Gateway:
    """
    One gateway, with one agent.

    Parameters
    ----------
    number
        Which; its agent has the same.
    addresses
        Engines, to be asked one after the other.
    is_on_island
        Whether it reaches engines that are cut off.
    """

    def __init__(self, number: int, addresses: Sequence[str], is_on_island: bool) -> None:
        self.agent = f"agent-{number}"
        self._clients = [Client(address) for address in addresses]
        self._is_on_island = is_on_island
        self._asked = 0
        self._is_wanted = True

    async def run(self, history: History, prefix: str) -> None:
        """Deal with contacts until told to stop; what is under way then is finished."""
        count = 0
        self._is_wanted = True
        while self._is_wanted:
            count += 1
            name = f"{prefix}-{self.agent}-{count}"
            request = RouteRequest(
                request_id=name, contact_id=name, queue_id=QUEUE, channel=Channel.CHANNEL_CHAT
            )
            told = history.told[name] = Told(request)
            await self._deal(told, name, history)
            await asyncio.sleep(_PAUSE_S)

    def stop(self) -> None:
        """Let the present contact be the last."""
        self._is_wanted = False

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients:
            await client.close()

    def client(self) -> Client:
        """Client of the engine that was asked last."""
        return self._clients[self._asked % len(self._clients)]

    async def ask(self, method: Callable[[Client], Any], request: Any) -> Any:
        """
        Reply to a request, from whichever engine gives one; None where it was refused for good.

        It is the same request, with the same id, however often and of whomever it is asked.
        """
        while True:
            client = self.client()
            try:
                return await client.call(method(client), request, _TRY_S)
            except grpc.aio.AioRpcError as error:
                if error.code() in (
                    grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND,
                    grpc.StatusCode.ABORTED, grpc.StatusCode.ALREADY_EXISTS,
                ):  # fmt: skip
                    return None
                self._asked += 1
                await asyncio.sleep(_PAUSE_S)

    async def _deal(self, told: Told, name: str, history: History) -> None:
        reply = await self.ask(lambda client: client.routing.Route, told.route)
        assert reply is not None, f"{name} was refused"
        told.reply = reply.SerializeToString(deterministic=True)
        self._note(history)
        if not await self._accept(told, name, history):
            return
        done = CompleteAssignmentRequest(
            request_id=f"{name}-done", contact_id=name, agent_id=told.accepted_by
        )
        if await self.ask(lambda client: client.offers.CompleteAssignment, done) is not None:
            told.is_completed = True
            self._note(history)

    async def _accept(self, told: Told, name: str, history: History) -> bool:
        """Accept the offer there is; a takeover may have taken it back and made another."""
        for number in range(20):
            found = await self.ask(
                lambda client: client.routing.GetContact, GetContactRequest(contact_id=name)
            )
            contact = found.contact if found is not None else None
            if contact is None or not contact.offer_id:
                await asyncio.sleep(0.05)
                continue
            accept = AcceptOfferRequest(
                request_id=f"{name}-accept-{number}",
                offer_id=contact.offer_id,
                agent_id=contact.agent_id,
            )
            if await self.ask(lambda client: client.offers.AcceptOffer, accept) is not None:
                told.accepted_by = contact.agent_id
                self._note(history)
                return True
        return False

    def _note(self, history: History) -> None:
        if self._is_on_island:
            is_cut_off = self._asked % len(self._clients) >= len(self._clients) // 2
            history.on_island += is_cut_off
        else:
            history.acknowledged_s.append(time.monotonic())
