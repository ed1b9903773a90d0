"""Engines that share cells in one Redis, and callers who never give up."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import grpc
import grpc.aio

from headgate.client import Client
from headgate.errors import reason_of
from headgate.v1.agent_pb2 import Agent
from headgate.v1.agent_service_pb2 import SetPresenceRequest, UpsertAgentRequest
from headgate.v1.event_pb2 import EventKind
from headgate.v1.event_service_pb2 import SubscribeRequest
from headgate.v1.offer_service_pb2 import AcceptOfferRequest, CompleteAssignmentRequest
from headgate.v1.queue_pb2 import Queue
from headgate.v1.queue_service_pb2 import GetSnapshotRequest, UpsertQueueRequest
from headgate.v1.routing_service_pb2 import RouteRequest
from tests.end_to_end.floor import AVAILABLE, VOICE
from tests.end_to_end.serving import Served, start

RECEIVED = EventKind.EVENT_KIND_CONTACT_RECEIVED
ACCEPTED = EventKind.EVENT_KIND_OFFER_ACCEPTED
# What an agent does comes too late where its offer was taken back by a move.
TOO_LATE = {"OFFER_GONE", "ILLEGAL_TRANSITION", "UNKNOWN_CONTACT"}


class Engines:
    """
    Engines by name.

    Attributes
    ----------
    cells
        What they share.
    """

    def __init__(
        self, directory: Path, url: str, cells: tuple[str, ...], durability: str = "relaxed"
    ) -> None:
        self._directory = directory
        self._log = ("--log", url, "--durability", durability)
        self.cells = cells
        self._running: dict[str, Served] = {}

    def start(self, name: str, *flags: str, before: Path | None = None) -> Served:
        """Start one, of the release before where its source is given; wait until it is ready."""
        shared = (
            *self._log,
            *("--cells", ",".join(self.cells), "--set", "placement=true"),
            *("--set", f"engine_name={name}", "--set", "lease_ms=1000"),
            *("--set", "heartbeat_ms=100", "--set", "heartbeat_expiry_ms=1000"),
        )
        if before is None:
            served = start(self._directory, *shared, *flags, name=name)
        else:
            # Compiling its kernels would take minutes.
            env = {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(before / "proto")}
            flags = (*flags, "--set", "sensing=false")
            served = start(self._directory, *shared, *flags, env=env, name=name, source=before)
        self._running[name] = served
        return served.until_ready()

    def stop(self, name: str) -> int:
        """Ask one to end; returns its exit code."""
        return self._running[name].terminate()

    def kill(self) -> None:
        """End all of them at once."""
        for served in self._running.values():
            served.kill()

    def told(self, name: str, event: str) -> list[dict[str, object]]:
        """Log lines of an engine about an event."""
        return [line for line in self._running[name].log() if line["event"] == event]

    def have(self, name: str) -> set[str]:
        """The cells that an engine has, by what it told."""
        cells: set[str] = set()
        for line in self._running[name].log():
            if line["event"] == "cell_opened":
                cells.add(str(line["cell"]))
            elif line["event"] in ("cell_closed", "cell_lost"):
                cells.discard(str(line["cell"]))
        return cells

    def await_cells(self, *names: str, within_s: float = 20.0) -> None:
        """Wait until these engines have all cells, each some of them."""
        give_up_at = time.monotonic() + within_s
        while True:
            found = [self.have(name) for name in names]
            whole = sum(map(len, found)) == len(self.cells) == len(set().union(*found))
            if whole and all(found):
                return
            assert time.monotonic() < give_up_at, dict(zip(names, found, strict=True))
            time.sleep(0.02)


class Callers:
    """
    Whoever calls: each call is tried at one engine after the other, until one answers it.

    Attributes
    ----------
    addresses
        Where engines may be; a test changes them.
    routed
        Ids of the contacts that were acknowledged, by cell.
    waits_s
        How long each Route took, seconds.
    is_over
        Whether nothing more is to be routed.
    """

    def __init__(
        self, *addresses: str, again: Sequence[grpc.StatusCode] = (grpc.StatusCode.UNAVAILABLE,)
    ) -> None:
        self.addresses = list(addresses)
        # Statuses after which a call is sent again, with its request id.
        self._again = again
        self.routed: dict[str, list[str]] = {}
        self.waits_s: list[float] = []
        self.is_over = False
        self._clients: dict[str, Client] = {}
        self._turn = itertools.count()

    async def close(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            await client.close()

    async def call(self, service: str, method: str, request: object) -> object:
        """Have a call answered."""
        async with asyncio.timeout(30):
            while True:
                address = self.addresses[next(self._turn) % len(self.addresses)]
                client = self._clients.setdefault(address, Client(address))
                try:
                    return await getattr(getattr(client, service), method)(request, timeout=10)
                except grpc.aio.AioRpcError as error:
                    if error.code() not in self._again:
                        raise
                await asyncio.sleep(0.01)

    async def open_floor(self, cell: str) -> None:
        """Make a queue with an agent in a cell."""
        queue = UpsertQueueRequest(cell=cell, request_id="q", queue=Queue(queue_id="q"))
        await self.call("queues", "UpsertQueue", queue)
        agent = Agent(agent_id="a", queue_ids=["q"], capacity=1_000)
        upsert = UpsertAgentRequest(cell=cell, request_id="a", agent=agent)
        await self.call("agents", "UpsertAgent", upsert)
        presence = SetPresenceRequest(cell=cell, request_id="p", agent_id="a", presence=AVAILABLE)
        await self.call("agents", "SetPresence", presence)

    async def route_more(self, count: int) -> None:
        """Wait until so many more contacts of each cell are acknowledged."""
        wanted = {cell: len(found) + count for cell, found in self.routed.items()}
        async with asyncio.timeout(60):
            while any(len(self.routed[cell]) < least for cell, least in wanted.items()):
                await asyncio.sleep(0.01)

    async def route_on(self, cell: str) -> None:
        """Route one contact after the other until it is over; have each accepted, completed."""
        routed = self.routed.setdefault(cell, [])
        for number in itertools.count():
            if self.is_over:
                return
            contact = f"{cell}-{number}"
            request = RouteRequest(
                cell=cell, request_id=contact, contact_id=contact, queue_id="q", channel=VOICE
            )
            begun_s = time.monotonic()
            reply = await self.call("routing", "Route", request)
            self.waits_s.append(time.monotonic() - begun_s)
            routed.append(contact)
            offer_id = reply.offer.offer_id  # type: ignore[attr-defined]
            if offer_id:
                await self._serve(cell, contact, offer_id)
            await asyncio.sleep(0.005)

    async def _serve(self, cell: str, contact: str, offer_id: str) -> None:
        accept = AcceptOfferRequest(
            cell=cell, request_id=f"{contact} accept", offer_id=offer_id, agent_id="a"
        )
        complete = CompleteAssignmentRequest(
            cell=cell, request_id=f"{contact} complete", contact_id=contact, agent_id="a"
        )
        try:
            await self.call("offers", "AcceptOffer", accept)
            await self.call("offers", "CompleteAssignment", complete)
        except grpc.aio.AioRpcError as error:
            if reason_of(error) not in TOO_LATE:
                raise

    async def check(self, cell: str) -> None:
        """See that every acknowledged contact came in once and was given to one agent at most."""
        routed = self.routed[cell]
        request = GetSnapshotRequest(cell=cell, queue_ids=["q"])
        snapshot = await self.call("queues", "GetSnapshot", request)
        assert snapshot.snapshots[0].received_total == len(routed)  # type: ignore[attr-defined]
        received, accepted = await self._events(cell, routed[-1])
        assert received == Counter(routed)
        assert not accepted or max(accepted.values()) == 1

    async def _events(self, cell: str, last: str) -> tuple[Counter[str], Counter[str]]:
        """How often contacts came in and were accepted, from the first event to that of one."""
        request = SubscribeRequest(cell=cell, cursor="0", kinds=[RECEIVED, ACCEPTED])
        received: Counter[str] = Counter()
        accepted: Counter[str] = Counter()
        for address in self.addresses:
            received.clear()
            accepted.clear()
            stream = self._clients[address].events.Subscribe(request, timeout=20)
            try:
                async for message in stream:
                    for event in message.events:
                        kept = received if event.kind == RECEIVED else accepted
                        kept[event.contact_id] += 1
                    if received[last]:
                        stream.cancel()
                        return received, accepted
            except grpc.aio.AioRpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise
        raise AssertionError(f"no engine tells of cell {cell!r}")
