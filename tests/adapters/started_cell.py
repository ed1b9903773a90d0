"""A cell's dispatch loop in the test's own process, over a store that outlasts it."""

import asyncio
import itertools
import sys
from typing import Any

from google.protobuf.message import Message

from adapters.calls import METHOD_BY_NAME
from adapters.commit_log import CommitLog
from adapters.dispatch_loop import DispatchLoop
from adapters.errors import CallRefused
from adapters.memory_log import MemoryLog, MemoryStore
from adapters.metrics import Metrics
from adapters.turn import Call, LoopSettings
from engine.limits import Limits
from headgate.v1.agent_pb2 import Agent, Presence
from headgate.v1.agent_service_pb2 import SetPresenceRequest, UpsertAgentRequest
from headgate.v1.contact_pb2 import Channel, Contact
from headgate.v1.queue_pb2 import Queue
from headgate.v1.queue_service_pb2 import UpsertQueueRequest
from headgate.v1.routing_service_pb2 import GetContactRequest, RouteRequest

_NUMBERS = itertools.count(1)

LIMITS = Limits(contacts_max=10_000, agents_max=100, queues_max=10, ended_max=1_000)


async def started(log: CommitLog | None = None, limits: Limits = LIMITS) -> DispatchLoop:
    """Start a cell over a log, by default an empty one in memory."""
    settings = LoopSettings(limits)
    cell = DispatchLoop("default", log or MemoryLog(MemoryStore()), settings, Metrics().cell("x"))
    await cell.start("test")
    return cell


def put(cell: DispatchLoop, request: Message, request_id: str = "") -> "asyncio.Future[Any]":
    """Put a request into a cell's inbox, now; returns a future of its reply."""
    method = METHOD_BY_NAME[request.DESCRIPTOR.name.removesuffix("Request")]
    if method.is_write:
        sent: Any = request
        sent.request_id = request_id or sent.request_id or f"unnamed {next(_NUMBERS)}"
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def answer(result: bytes | CallRefused) -> None:
        if isinstance(result, CallRefused):
            future.set_exception(result)
        else:
            future.set_result(_reply_type(request).FromString(result))

    cell.submit(Call(method, request, answer, lambda: True))
    return future


async def send(cell: DispatchLoop, request: Message, request_id: str = "") -> Any:
    """Have a cell run a request; returns its reply."""
    return await asyncio.wait_for(put(cell, request, request_id), 10)


def _reply_type(request: Message) -> type[Message]:
    name = request.DESCRIPTOR.name.removesuffix("Request") + "Response"
    found: type[Message] = getattr(sys.modules[type(request).__module__], name)
    return found


async def floor(cell: DispatchLoop, agents: int = 0) -> None:
    """Make queue `q`, and agents `a0`, `a1`, ... available for it."""
    await send(cell, UpsertQueueRequest(queue=Queue(queue_id="q")), "queue")
    for number in range(agents):
        agent = Agent(agent_id=f"a{number}", queue_ids=["q"])
        await send(cell, UpsertAgentRequest(agent=agent), f"agent {number}")
        available = Presence.PRESENCE_AVAILABLE
        present = SetPresenceRequest(agent_id=f"a{number}", presence=available)
        await send(cell, present, f"presence {number}")


def routing(contact_id: str) -> RouteRequest:
    """Request that routes a voice contact to queue `q`; its id is the contact's."""
    return RouteRequest(
        request_id=contact_id, contact_id=contact_id, queue_id="q", channel=Channel.CHANNEL_VOICE
    )


async def contact_in(cell: DispatchLoop, contact_id: str) -> Contact:
    """Read a contact."""
    contact: Contact = (await send(cell, GetContactRequest(contact_id=contact_id))).contact
    return contact


async def reopened(cell: DispatchLoop) -> None:
    """Wait until a cell takes calls again."""
    async with asyncio.timeout(10):
        while not cell.is_open:
            await asyncio.sleep(0.001)
