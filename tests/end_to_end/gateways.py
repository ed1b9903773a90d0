"""
Gateways and desks that go on through crashes of their server, and note what they were told.

Every write has a request id. A call that was not answered, because the server died, is sent again
with the same id to the next server: the answer then says whether the first try was applied.
"""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any, Final

import grpc.aio
from google.protobuf.message import Message

from headgate.client import Client, reason_of
from headgate.v1.contact_pb2 import Contact, ContactState
from headgate.v1.offer_service_pb2 import (
    AcceptOfferRequest,
    CompleteAssignmentRequest,
    DeclineOfferRequest,
    EndWrapUpRequest,
)
from headgate.v1.routing_service_pb2 import (
    CancelContactRequest,
    CancelReason,
    GetContactRequest,
    RouteRequest,
)
from tests.end_to_end.floor import VOICE, agent_of

QUEUES: Final = ("q0", "q1")
AGENTS: Final = tuple(f"a{number}" for number in range(6))

QUEUED: Final = ContactState.CONTACT_STATE_QUEUED
OFFERED: Final = ContactState.CONTACT_STATE_OFFERED
ASSIGNED: Final = ContactState.CONTACT_STATE_ASSIGNED
WRAP_UP: Final = ContactState.CONTACT_STATE_WRAP_UP
COMPLETED: Final = ContactState.CONTACT_STATE_COMPLETED
ABANDONED: Final = ContactState.CONTACT_STATE_ABANDONED

# No answer, so nobody knows: UNKNOWN and INTERNAL come from a connection that broke in mid-message.
_NO_ANSWER: Final = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
)


class NoAnswer(Exception):
    """The server died before it answered."""


@dataclass
class Notes:
    """
    What the gateways were told.

    Attributes
    ----------
    replies
        Every acknowledged write: request and reply, by request id.
    states
        Where each contact is by what was acknowledged of it: state, and agent where one has it.
    pending
        Writes that were not answered yet, by contact.
    refusals
        Refused writes by reason, for the summary.
    """

    replies: dict[str, tuple[Any, bytes]] = field(default_factory=dict)
    states: dict[str, tuple[int, str]] = field(default_factory=dict)
    pending: dict[str, Any] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)

    def acknowledge(self, request: Any, reply: Any) -> None:
        """Note a write that was answered."""
        encoded = reply.SerializeToString(deterministic=True)
        known = self.replies.setdefault(request.request_id, (request, encoded))
        assert known[1] == encoded, f"another reply to {request.request_id}"
        contact_id = contact_of(request)
        if isinstance(request, RouteRequest):
            self.states.setdefault(contact_id, (QUEUED, ""))
        elif isinstance(request, AcceptOfferRequest):
            self.states[contact_id] = (ASSIGNED, request.agent_id)
        elif isinstance(request, CompleteAssignmentRequest):
            self.states[contact_id] = (reply.state, request.agent_id)
        elif isinstance(request, EndWrapUpRequest):
            self.states[contact_id] = (COMPLETED, request.agent_id)
        elif isinstance(request, CancelContactRequest):
            self.states[contact_id] = (reply.state, "")


def contact_of(request: Any) -> str:
    """Contact of a write; the ids of answers to offers carry it."""
    if isinstance(request, AcceptOfferRequest | DeclineOfferRequest):
        contact_id: str = request.request_id.split("/")[1]
        return contact_id
    return str(request.contact_id)


class Floor:
    """
    Gateways and desks of one server.

    Parameters
    ----------
    client
        Connection to the server.
    notes
        What was told so far, by this server and those before it.
    seed
        Of everything that is decided here by chance.
    """

    def __init__(self, client: Client, notes: Notes, seed: int) -> None:
        self._client = client
        self._notes = notes
        self._seed = seed
        self._made = 0

    async def work(self) -> None:
        """Route, cancel, answer and end until the server is gone."""
        tasks = [
            *(asyncio.create_task(self._gateway(number)) for number in range(4)),
            *(asyncio.create_task(self._desk(number)) for number in range(3)),
        ]
        done = await asyncio.gather(*tasks, return_exceptions=True)
        for error in done:
            assert isinstance(error, NoAnswer), repr(error)

    async def settle(self) -> None:
        """Send again what the server before did not answer."""
        for request in list(self._notes.pending.values()):
            await self._write(request)

    async def _gateway(self, number: int) -> None:
        draw = random.Random(f"{self._seed} gateway {number}")
        while True:
            self._made += 1
            contact_id = f"c{self._seed}-{number}-{self._made}"
            queue_id = draw.choice(QUEUES)
            request = RouteRequest(
                request_id=f"route/{contact_id}", contact_id=contact_id, queue_id=queue_id,
                channel=VOICE, priority=draw.randrange(3), attributes={"from": contact_id},
            )  # fmt: skip
            reply = await self._write(request)
            if reply is not None and reply.state == QUEUED and draw.random() < 0.4:
                reason = CancelReason.CANCEL_REASON_ABANDONED
                await self._write(
                    CancelContactRequest(
                        request_id=f"cancel/{contact_id}", contact_id=contact_id, reason=reason
                    )
                )

    async def _desk(self, number: int) -> None:
        draw = random.Random(f"{self._seed} desk {number}")
        agents = AGENTS[number::3]
        while True:
            agent_id = draw.choice(agents)
            for contact_id in (await self._read(agent_of(self._client, agent_id))).contact_ids:
                if contact_id not in self._notes.pending:
                    await self._handle(agent_id, contact_id, draw)

    async def _handle(self, agent_id: str, contact_id: str, draw: random.Random) -> None:
        request = GetContactRequest(contact_id=contact_id)
        get = self._client.routing.GetContact(request, timeout=5)
        contact: Contact = (await self._read(get)).contact
        if contact.agent_id != agent_id:
            return
        whose = {"contact_id": contact_id, "agent_id": agent_id}
        offer: dict[str, Any] = {"offer_id": contact.offer_id, "agent_id": agent_id}
        place = f"{contact_id}/{contact.offer_id}"
        if contact.state == OFFERED and draw.random() < 0.8:
            await self._write(AcceptOfferRequest(request_id=f"accept/{place}", **offer))
        elif contact.state == OFFERED:
            await self._write(DeclineOfferRequest(request_id=f"decline/{place}", **offer))
        elif contact.state == ASSIGNED and draw.random() < 0.7:
            request_id = f"complete/{contact_id}"
            await self._write(
                CompleteAssignmentRequest(
                    request_id=request_id,
                    contact_id=whose["contact_id"],
                    agent_id=whose["agent_id"],
                )
            )
        elif contact.state == WRAP_UP:
            await self._write(EndWrapUpRequest(request_id=f"end/{contact_id}", **whose))

    async def _write(self, request: Any) -> Any:
        """Send a write; returns None when it was refused, and notes it when nobody answered."""
        contact_id = contact_of(request)
        self._notes.pending[contact_id] = request
        try:
            reply = await self._read(method_of(self._client, request)(request, timeout=5))
        except grpc.aio.AioRpcError as error:
            reason = reason_of(error) or error.code().name
            self._notes.refusals[reason] = self._notes.refusals.get(reason, 0) + 1
            del self._notes.pending[contact_id]
            return None
        del self._notes.pending[contact_id]
        self._notes.acknowledge(request, reply)
        return reply

    async def _read(self, call: Any) -> Any:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            if error.code() in _NO_ANSWER:
                raise NoAnswer from None
            raise


def method_of(client: Client, request: Message) -> Any:
    """The stub's method for a request."""
    name = request.DESCRIPTOR.name.removesuffix("Request")
    stubs = (client.routing, client.offers, client.agents, client.queues)
    return next(getattr(stub, name) for stub in stubs if hasattr(stub, name))
