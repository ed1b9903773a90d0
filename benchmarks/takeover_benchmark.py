"""
How long nobody is answered when a cell's engine is killed, or hands the cell over.

Two engines share a cell in Redis with one replica. For each of them a caller routes one contact
after the other and tries again at once; what is measured is the longest time without an answer.
"""

import asyncio
import signal
import tempfile
import time
from pathlib import Path
from typing import Final

import grpc
import grpc.aio

from benchmarks.settings import Settings
from benchmarks.tables import Goals, Table, figure
from headgate.client import Client
from headgate.v1.contact_pb2 import Channel
from headgate.v1.gateway_service_pb2 import SessionCommand, SessionWatch
from headgate.v1.queue_pb2 import Queue
from headgate.v1.queue_service_pb2 import UpsertQueueRequest
from headgate.v1.routing_service_pb2 import RouteRequest
from tests.end_to_end.redis_servers import replicated
from tests.end_to_end.serving import ROOT, Served, start

_FRAME: Final = 500
_CELL: Final = "cell"
_SETTLED_S: Final = 3.0
_WITHIN_S: Final = 60.0
# Longer than any answer takes while nothing moves.
_NOTICED_S: Final = 0.03


def run(settings: Settings) -> list[Table]:
    """Measure both ways, with every number of contacts."""
    found: dict[tuple[int, str], list[float]] = {}
    for _ in range(settings.rounds):
        for contacts in settings.numbers("contacts"):
            for how in ("killed", "handed over"):
                gap_s = asyncio.run(_measure(contacts, how))
                found.setdefault((contacts, how), []).append(gap_s)
    rows = [
        [f"{contacts:,}", *(figure(found[contacts, how]) for how in ("killed", "handed over"))]
        for contacts in settings.numbers("contacts")
    ]
    columns = ("open contacts", "kill -9, s", "SIGTERM, s")
    note = (
        "Longest time without an answer; lease 1.5 s, heartbeats of 0.3 s, durability replicated."
    )
    goals = Goals()
    most = max(settings.numbers("contacts"))
    what = f"takeover after kill -9, {most:,} open contacts"
    goals.at_most(what, settings.goals["takeover_s"], found[most, "killed"], "s")
    least = min(settings.numbers("contacts"))
    what = f"hand-over, {least:,} open contacts"
    goals.at_most(what, settings.goals["handover_s"], found[least, "handed over"], "s")
    return [Table("A cell changes its engine", columns, rows, note), goals.table()]


async def _measure(contacts: int, how: str) -> float:
    with tempfile.TemporaryDirectory() as folder, replicated(Path(folder), 1) as servers:
        engines = [_start(Path(folder), servers[0].url, name) for name in ("one", "two")]
        try:
            return await _gap_s(engines, contacts, how)
        finally:
            for engine in engines:
                engine.kill()


def _start(folder: Path, url: str, name: str) -> Served:
    return start(
        folder,
        *("--log", url, "--cells", _CELL, "--durability", "replicated"),
        *("--set", "placement=true", "--set", f"engine_name={name}", "--set", "sensing=false"),
        name=name,
        source=ROOT,
    ).until_ready()


async def _gap_s(engines: list[Served], contacts: int, how: str) -> float:
    """Have the cell change its engine, and tell how long nobody was answered."""
    owner = await _owner(engines)
    async with Client(owner.address) as client:
        queue = UpsertQueueRequest(cell=_CELL, queue=Queue(queue_id="q"))
        await client.call(client.queues.UpsertQueue, queue)
        await _fill(client, contacts)
    (other,) = (engine for engine in engines if engine is not owner)
    async with Client(other.address) as there, Client(owner.address) as here:
        caller = asyncio.create_task(_longest_s([here, there]))
        await asyncio.sleep(1.0)
        owner.process.send_signal(signal.SIGKILL if how == "killed" else signal.SIGTERM)
        return await caller


async def _owner(engines: list[Served]) -> Served:
    """Whose the cell is once it stays where it is: an engine that joins may be given it."""
    await asyncio.sleep(_SETTLED_S)
    (owner,) = (engine for engine in engines if _is_owner(engine))
    return owner


def _is_owner(engine: Served) -> bool:
    told = [line["event"] for line in engine.log()]
    moves = [event for event in told if event in ("cell_opened", "cell_closed")]
    return moves[-1:] == ["cell_opened"]


async def _fill(client: Client, contacts: int) -> None:
    async with client.session(_CELL, SessionWatch(replies_only=True)) as session:
        for first in range(0, contacts, _FRAME):
            frame = [
                SessionCommand(
                    route=_route(f"c{number}", {"tier": "gold", "customer": f"{number}"})
                )
                for number in range(first, min(first + _FRAME, contacts))
            ]
            await asyncio.gather(*await session.send(frame))


def _route(contact_id: str, attributes: dict[str, str]) -> RouteRequest:
    return RouteRequest(
        cell=_CELL,
        contact_id=contact_id,
        queue_id="q",
        channel=Channel.CHANNEL_VOICE,
        attributes=attributes,
    )


class _Answers:
    """When the last answer came, of whichever engine, and the longest time without one."""

    def __init__(self) -> None:
        self._begun_s = self._last_s = time.monotonic()
        self.longest_s = 0.0
        # Whether all has been well again for a while.
        self.is_settled = False

    def came(self) -> None:
        """Note one."""
        now_s = time.monotonic()
        self.longest_s = max(self.longest_s, now_s - self._last_s)
        self._last_s = now_s
        self.is_settled = self.longest_s > _NOTICED_S and self.for_s > _SETTLED_S + self.longest_s

    @property
    def for_s(self) -> float:
        """How long answers have been waited for."""
        return time.monotonic() - self._begun_s


async def _longest_s(clients: list[Client]) -> float:
    """Have each engine called until all is well again; the longest time without an answer."""
    answers = _Answers()
    async with asyncio.TaskGroup() as callers:
        for name, client in enumerate(clients):
            callers.create_task(_call(client, str(name), answers))
    return answers.longest_s


async def _call(client: Client, name: str, answers: _Answers) -> None:
    number = 0
    while not answers.is_settled:
        assert answers.for_s < _WITHIN_S, "nothing has changed"
        number += 1
        request = _route(f"late-{name}-{number}", {})
        request.request_id = f"late-{name}-{number}"
        try:
            await client.routing.Route(request, timeout=5)
        except grpc.aio.AioRpcError:
            await asyncio.sleep(0.02)
        else:
            answers.came()
            await asyncio.sleep(0.005)
