"""Gateways: they bring contacts, by calls or over a session."""

import asyncio
import re
from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple

from google.protobuf.message import Message

from adapters.errors import CallRefused
from headgate.v1 import gateway_service_pb2, routing_service_pb2
from headgate.v1.contact_pb2 import Channel, Requirements
from headgate.v1.error_pb2 import Error
from headgate.v1.routing_service_pb2 import CancelReason
from tests.faults.clients import Client, Site, is_final
from tests.faults.history import Operation
from tests.faults.network import Answer, Wire

CHANNELS = (Channel.CHANNEL_VOICE, Channel.CHANNEL_CHAT)


class Asking(NamedTuple):
    """What contacts may ask for."""

    queue_ids: Sequence[str]
    skills: Sequence[str]
    tags: Sequence[str]
    agent_ids: Sequence[str]

    def draw(self, random: Random) -> Requirements:
        """What one asks of agents; often nothing."""
        asked = Requirements()
        what = random.random()
        if what < 0.3:
            level = random.choice((1, 3))
            asked.skills.add(skill=random.choice(self.skills), proficiency_min=level)
        elif what < 0.4:
            asked.tags_any.extend(self.tags)
        elif what < 0.5:
            asked.tags_none.append(random.choice((*self.tags, "unheard")))
        elif what < 0.6:
            asked.agent_ids.append(random.choice(self.agent_ids))
        return asked


class Gateway(Client):
    """
    A gateway that makes unary calls.

    Parameters
    ----------
    asking
        What its contacts may ask for.
    contacts
        How many it brings.
    """

    def __init__(self, name: str, asking: Asking, contacts: int, site: Site) -> None:
        super().__init__(name, site)
        self._asking = asking
        self._contacts = contacts

    async def run(self) -> None:
        """Bring every contact and follow each to where it wants it."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._contacts):
                await self.pause(0.4)
                group.create_task(self._bring(self._routing(number)))

    def _routing(self, number: int) -> routing_service_pb2.RouteRequest:
        """Request for a contact; some leave the id to the engine."""
        random = self.random
        request = routing_service_pb2.RouteRequest(
            contact_id=f"{self.name}/{number}" if random.random() < 0.8 else "",
            queue_id=random.choice(self._asking.queue_ids),
            channel=random.choice(CHANNELS),
            priority=random.choice((0, 0, 0, 3)),
        )
        request.requirements.CopyFrom(self._asking.draw(random))
        if random.random() < 0.1:
            request.max_wait_ms = 3_000
        if random.random() < 0.4:
            for after_ms in (random.choice((200, 2_000)), 4_000)[: random.choice((1, 2))]:
                asked = self._asking.draw(random)
                priority = random.choice((None, 5))
                request.relaxation.add(after_ms=after_ms, requirements=asked, priority=priority)
        return request

    async def _bring(self, request: routing_service_pb2.RouteRequest) -> None:
        reply = await self.ask(request)
        if reply is None:
            return
        contact_id = reply.contact_id
        if self.random.random() < 0.05:
            # Another call for the same contact: it is known already.
            again = routing_service_pb2.RouteRequest()
            again.CopyFrom(request)
            again.contact_id = contact_id
            await self.ask(again)
        while self.random.random() < 0.4:
            await self.pause(2.0)
            await self.ask(self._next_step(contact_id))

    def _next_step(self, contact_id: str) -> Message:
        what = self.random.random()
        if what < 0.4:
            return routing_service_pb2.GetContactRequest(contact_id=contact_id)
        if what < 0.55:
            # For so much later as the gateway's clock has it, which may be now for the engine's.
            request = routing_service_pb2.ScheduleContactRequest(contact_id=contact_id)
            if self.random.random() < 0.7:
                ahead_ms = self.random.randint(1, 4_000)
                request.schedule.due_at_ms = self.around.wall_ms() + ahead_ms
            request.schedule.attempts_max = self.random.choice((1, 3))
            request.schedule.retry_delay_ms = 1_000
            return request
        if what < 0.7:
            reason = CancelReason.CANCEL_REASON_ABANDONED
            return routing_service_pb2.CancelContactRequest(contact_id=contact_id, reason=reason)
        if what < 0.85:
            queue_id = self.random.choice(self._asking.queue_ids)
            return routing_service_pb2.RequeueContactRequest(
                contact_id=contact_id, queue_id=queue_id
            )
        return routing_service_pb2.UpdateContactRequest(
            contact_id=contact_id, attributes={"note": str(self.random.random())}
        )


class SessionGateway(Gateway):
    """The same over a session, which it opens again with its cursor when the connection breaks."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._watch = self.history.watch(self.name, wants_all=self.random.random() < 0.5)
        self._asked_by_id: dict[str, tuple[Operation, asyncio.Future[Any]]] = {}
        # Those named here, which are watched before they are routed.
        self._contact_ids = self._watch.contact_ids
        self._unsent: list[str] = []
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Bring every contact while sessions come and go."""
        self._sessions = asyncio.get_running_loop().create_task(self._keep_connected())
        await super().run()

    async def ask(self, request: Message) -> Any:
        """Ask over the session; what sessions do not offer goes as a call."""
        if isinstance(request, routing_service_pb2.GetContactRequest):
            return await super().ask(request)
        operation = self.begin(request)
        request_id = operation.request.request_id
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked_by_id[request_id] = operation, future
        # Not one that the engine made: it may be named first in another call for it, later.
        if operation.method == "Route" and operation.request.contact_id.startswith(self.name):
            self._contact_ids.append(operation.request.contact_id)
        while not future.done():
            self._unsent.append(request_id)
            self._wake.set()
            await asyncio.wait((future,), timeout=self.random.uniform(1.0, 3.0))
        return future.result()

    async def _keep_connected(self) -> None:
        while True:
            wire = self.network.connect(lambda process, wire: process.open_session(wire, wire))
            if wire is not None:
                sending = asyncio.get_running_loop().create_task(self._send(wire))
                while (frame := await wire.receive()) is not None:
                    self._take(gateway_service_pb2.ConnectResponse.FromString(frame))
                sending.cancel()
                wire.cut()
            await self.pause(0.2)

    async def _send(self, wire: Wire) -> None:
        """Begin where the last session ended, with all that has no answer yet, then what comes."""
        watch = gateway_service_pb2.SessionWatch(
            cursor=self._watch.cursor,
            all_events=self._watch.wants_all,
            contact_ids=self._contact_ids,
        )
        frame = gateway_service_pb2.ConnectRequest(watch=watch)
        self._unsent = list(self._asked_by_id)
        while True:
            for request_id in self._unsent:
                operation, future = self._asked_by_id[request_id]
                if not future.done():
                    getattr(frame.commands.add(), _field(operation)).CopyFrom(operation.request)
            self._unsent.clear()
            wire.send_frame(frame.SerializeToString())
            frame = gateway_service_pb2.ConnectRequest()
            self._wake.clear()
            await self._wake.wait()

    def _take(self, frame: gateway_service_pb2.ConnectResponse) -> None:
        self._watch.take(frame.events, frame.cursor)
        for reply in frame.replies:
            operation, future = self._asked_by_id[reply.request_id]
            result: Any = getattr(reply, reply.WhichOneof("result") or "error")
            answer: Answer = result.SerializeToString()
            if isinstance(result, Error):
                answer = CallRefused(result.code, result.reason, result.message)
                if not is_final(answer):
                    continue
            # When a session gave it is not told; not before it was asked.
            self.history.answer(operation, answer, operation.invoked_s)
            if not future.done():
                future.set_result(None if isinstance(answer, CallRefused) else result)


def _field(operation: Operation) -> str:
    """Name of an operation's field in a session's command."""
    words = re.sub("([A-Z])", r"_\1", operation.method)
    return words.lower().lstrip("_")
