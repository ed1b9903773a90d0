"""
What durability adds: decisions through the dispatch loop and its log, without a transport.

Calls come at the times of a Poisson process, sent by a callback that asks the loop to be called
again at once; a timer of uvloop would be a millisecond coarse. Latency runs from the time a call
was due to its answer, which comes after the commit. Contacts stay offered to agents, who take any
number.
"""

import asyncio
import gc
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import uvloop

from adapters.calls import METHOD_BY_NAME
from adapters.commit_log import CommitGroup, CommitLog, LoadedState, LoggedGroup, Ownership
from adapters.dispatch_loop import DispatchLoop
from adapters.errors import CallRefused
from adapters.memory_log import MemoryLog, MemoryStore
from adapters.metrics import Metrics
from adapters.sqlite_log import SqliteLog
from adapters.turn import Call, LoopSettings
from benchmarks.floor_client import route_request, set_up_requests
from benchmarks.population import Population
from benchmarks.settings import Settings
from benchmarks.tables import Goals, Table, figure
from benchmarks.timing import percentile, pin
from engine.commands import Route
from engine.lifecycle import ContactState
from engine.limits import Limits
from headgate.v1 import contact_pb2, routing_service_pb2

_ROUTE: Final = METHOD_BY_NAME["Route"]
_IN_FLIGHT: Final = 256
_OFFERED: Final = contact_pb2.CONTACT_STATE_OFFERED


class CountingLog:
    """
    A commit log that counts what another one commits.

    Attributes
    ----------
    replies, seconds
        Of each commit.
    """

    answers_at_once = True

    def __init__(self, log: CommitLog) -> None:
        assert log.answers_at_once
        self._log = log
        self.replies: list[int] = []
        self.seconds: list[float] = []

    async def acquire(self, owner: str) -> Ownership:
        """Pass on."""
        return await self._log.acquire(owner)

    async def load(self) -> LoadedState:
        """Pass on."""
        return await self._log.load()

    async def commit(self, expected_token: bytes, new_token: bytes, group: CommitGroup) -> int:
        """Pass on, and count."""
        started_s = time.perf_counter()
        sequence = await self._log.commit(expected_token, new_token, group)
        self.seconds.append(time.perf_counter() - started_s)
        self.replies.append(len(group.replies))
        return sequence

    async def tail(self, after_sequence: int, groups_max: int) -> Sequence[LoggedGroup]:
        """Pass on."""
        return await self._log.tail(after_sequence, groups_max)

    async def oldest_sequence(self) -> int:
        """Pass on."""
        return await self._log.oldest_sequence()

    async def release(self) -> None:
        """Pass on."""
        await self._log.release()


class Feeder:
    """
    Routes contacts through a dispatch loop.

    Attributes
    ----------
    latencies_s
        Of each answer, in the order of arrival.
    refused
        Calls that found the inbox full.
    """

    def __init__(self, cell: DispatchLoop, contacts: Sequence[Route]) -> None:
        self._cell = cell
        self._bodies = [route_request(contact) for contact in contacts]
        self._serial = 0
        self._left = 0
        self._done = asyncio.Event()
        self.latencies_s: list[float] = []
        self.refused = 0

    async def open_loop(self, per_s: float, seconds: float) -> None:
        """Send at random times at a mean rate."""
        draw = np.random.default_rng(1)
        due_s = np.cumsum(draw.exponential(1 / per_s, round(per_s * seconds))).tolist()
        due_s.reverse()
        self._begin(len(due_s))
        loop = asyncio.get_running_loop()
        begun_s = time.perf_counter()

        def send_due() -> None:
            now_s = time.perf_counter() - begun_s
            while due_s and due_s[-1] <= now_s:
                self._send(begun_s + due_s.pop())
            if due_s:
                loop.call_soon(send_due)

        send_due()
        await self._done.wait()

    async def closed_loop(self, count: int, in_flight: int) -> float:
        """Keep so many calls in flight; returns answers per second."""
        self._begin(count)
        begun_s = time.perf_counter()
        unsent = count

        def send_next() -> None:
            nonlocal unsent
            if unsent:
                unsent -= 1
                self._send(time.perf_counter(), send_next)

        for _ in range(in_flight):
            send_next()
        await self._done.wait()
        return count / (time.perf_counter() - begun_s)

    def _begin(self, count: int) -> None:
        self.latencies_s = []
        self.refused = 0
        self._left = count
        self._done.clear()

    def _send(self, since_s: float, then: Callable[[], None] | None = None) -> None:
        request = routing_service_pb2.RouteRequest()
        request.CopyFrom(self._bodies[self._serial % len(self._bodies)])
        request.request_id = f"request-{self._serial:024}"
        request.contact_id = contact_id(self._serial)
        self._serial += 1

        def answer(reply: bytes | CallRefused) -> None:
            if isinstance(reply, bytes):
                self.latencies_s.append(time.perf_counter() - since_s)
                if not self._serial % 1_000:
                    state = routing_service_pb2.RouteResponse.FromString(reply).state
                    assert state == _OFFERED, state
            else:
                self.refused += 1
            self._left -= 1
            if not self._left:
                self._done.set()
            elif then:
                then()

        try:
            self._cell.submit(Call(_ROUTE, request, answer, _is_wanted))
        except CallRefused as refused:
            answer(refused)


@dataclass(slots=True)
class Rounds:
    """Figures of one log, by round; latencies and groups by rate as well."""

    p50_ms: dict[int, list[float]] = field(default_factory=dict)
    p99_ms: dict[int, list[float]] = field(default_factory=dict)
    groups: dict[int, list[float]] = field(default_factory=dict)
    commit_ms: dict[int, list[float]] = field(default_factory=dict)
    per_s: list[float] = field(default_factory=list)
    refused: dict[int, list[float]] = field(default_factory=dict)


def run(settings: Settings) -> list[Table]:
    """Measure every log at every rate."""
    pin(0)
    rates = settings.numbers("rates")
    found = {name: Rounds() for name in settings.value("logs")}
    with tempfile.TemporaryDirectory(dir=settings.value("folder") or None) as folder:
        for number in range(settings.rounds):
            for name, rounds in found.items():
                path = Path(folder) / f"{name}-{number}.sqlite"
                uvloop.run(_round(name, path, rates, settings, rounds))
    rows = []
    for name, rounds in found.items():
        row = [name]
        for rate in rates:
            row.append(_latency(rounds, rate))
            row.append(f"{figure(rounds.groups[rate])}, {figure(rounds.commit_ms[rate])}")
        rows.append([*row, figure(rounds.per_s)])
    columns = ["log"]
    for rate in rates:
        columns += [f"{rate:,}/s p50 / p99 ms", "group, commit ms"]
    columns.append(f"saturated, {_IN_FLIGHT} in flight, /s")
    note = (
        "group: mean replies per commit; commit: median time in the log; shed: calls refused "
        "because the inbox was full, where the rate is more than the machine can do."
    )
    table = Table("Acknowledgement of Route after its commit", columns, rows, note)
    return [table, _goals(settings, found)]


def contact_id(number: int) -> str:
    """Id of a contact as long as a UUID."""
    return f"contact-{number:028}"


def _latency(rounds: Rounds, rate: int) -> str:
    text = f"{figure(rounds.p50_ms[rate])} / {figure(rounds.p99_ms[rate])}"
    shed = max(rounds.refused[rate])
    return f"{text}, {shed:.0%} shed" if shed else text


async def started(log: CommitLog, settings: Settings) -> tuple[DispatchLoop, Feeder]:
    """A cell on a log, with its floor set up and garbage collection as a server has it."""
    bounds = LoopSettings(Limits(ended_max=10_000), replies_max=20_000)
    cell = DispatchLoop("bench", log, bounds, Metrics().cell("bench"))
    await cell.start("bench")
    population = population_of(settings)
    await set_up(cell, population)
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 10, 1_000_000_000)
    return cell, Feeder(cell, population.contacts(256))


async def _round(
    name: str, path: Path, rates: Sequence[int], settings: Settings, rounds: Rounds
) -> None:
    log = CountingLog(_log(name, path))
    cell, feeder = await started(log, settings)
    seconds = settings.value("seconds")
    await feeder.closed_loop(2_000, _IN_FLIGHT)
    for rate in rates:
        log.replies.clear()
        log.seconds.clear()
        await feeder.open_loop(rate, seconds)
        latencies = sorted(feeder.latencies_s)
        for table, value in (
            (rounds.p50_ms, percentile(latencies, 0.5) * 1e3),
            (rounds.p99_ms, percentile(latencies, 0.99) * 1e3),
            (rounds.groups, float(np.mean(log.replies))),
            (rounds.commit_ms, float(np.median(log.seconds)) * 1e3),
            (rounds.refused, feeder.refused / (feeder.refused + len(latencies))),
        ):
            table.setdefault(rate, []).append(value)
    rounds.per_s.append(await feeder.closed_loop(round(settings.value("saturated")), _IN_FLIGHT))
    states = cell.engine.cell.store.columns.contacts.state
    assert set(np.unique(states).tolist()) <= {ContactState.FREE, ContactState.OFFERED}
    await cell.stop()
    gc.unfreeze()


async def set_up(cell: DispatchLoop, population: Population) -> None:
    """Bring a population into a cell through its inbox."""
    left = 0

    def answer(reply: bytes | CallRefused) -> None:
        nonlocal left
        assert isinstance(reply, bytes), reply
        left -= 1

    for request in set_up_requests(population):
        method = METHOD_BY_NAME[request.DESCRIPTOR.name.removesuffix("Request")]
        left += 1
        cell.submit(Call(method, request, answer, _is_wanted))
        while left >= _IN_FLIGHT:
            await asyncio.sleep(0)
    while left:
        await asyncio.sleep(0)


def population_of(settings: Settings) -> Population:
    sizes = {
        name: settings.value(name)
        for name in ("agents", "queues", "queues_per_agent", "available_share")
    }
    return Population(**sizes, capacity=1_000_000)


def _log(name: str, path: Path) -> CommitLog:
    if name == "memory":
        return MemoryLog(MemoryStore(groups_kept=1_000))
    return SqliteLog(path, durability=name, cell="bench", replies_max=20_000)  # type: ignore[arg-type]


def _goals(settings: Settings, found: dict[str, Rounds]) -> Table:
    goals, limits = Goals(), settings.goals
    if "full" in found and 2_000 in found["full"].p50_ms:
        pairs = zip(found["full"].p50_ms[2_000], found["memory"].p50_ms[2_000], strict=True)
        added_ms = [full - memory for full, memory in pairs]
        what = "commit added to the acknowledgement, sqlite FULL at 2,000/s, p50"
        goals.at_most(what, limits["full_added_ms"], added_ms, "ms")
    if "full" in found:
        what = "durable decisions, sqlite FULL, without a transport"
        goals.at_least(what, limits["full_per_s"], found["full"].per_s, "/s")
    return goals.table()


def _is_wanted() -> bool:
    return True
