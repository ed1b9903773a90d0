"""
The load generator where no C++ one can be compiled: the same options, the same line of JSON.

    python -m benchmarks.sender KEY=VALUE ...

See load_generator.cc. Requests are bytes with only their ids put in, yet a call costs more here
than on the server: at saturation the figures are the generator's, as the column `client` shows.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import grpc.aio
import uvloop
from google.protobuf.message import Message

from adapters.session import embedded
from headgate.v1 import contact_pb2, gateway_service_pb2, offer_service_pb2, routing_service_pb2

_ROUTE, _ACCEPT, _COMPLETE, _CANCEL = range(4)
_PATHS: Final = (
    "/headgate.v1.RoutingService/Route",
    "/headgate.v1.OfferService/AcceptOffer",
    "/headgate.v1.OfferService/CompleteAssignment",
    "/headgate.v1.RoutingService/CancelContact",
)
_REPLIES: Final = (
    routing_service_pb2.RouteResponse,
    offer_service_pb2.AcceptOfferResponse,
    offer_service_pb2.CompleteAssignmentResponse,
    routing_service_pb2.CancelContactResponse,
)
_SESSION_FIELDS: Final = (1, 5, 7, 4)
_SESSION_NAMES: Final = ("route", "accept_offer", "complete_assignment", "cancel_contact")
_OFFERED: Final = contact_pb2.CONTACT_STATE_OFFERED
_WITHDRAWN: Final = b"\x20\x02"
_REPLIES_ONLY: Final = embedded(3, b"\x28\x01")
_CLEANING_FRAME: Final = 512
_CLEANING_WINDOW: Final = 4


class Step(NamedTuple):
    """One command to send."""

    kind: int
    contact: str
    offer: str = ""
    agent: str = ""


class Frame(NamedTuple):
    """Steps under way on a stream; `answers` counts what came back."""

    steps: dict[str, Step]
    since_s: float
    size: int


@dataclass(slots=True)
class Counts:
    """What was measured."""

    seconds: float = 0
    server_cpu_s: float = 0
    own_cpu_s: float = 0
    commands: int = 0
    frames: int = 0
    routes: int = 0
    offered: int = 0
    queued: int = 0
    errors: int = 0
    dropped: int = 0
    latencies: list[float] = field(default_factory=list)


class Sender:
    """What all lanes share."""

    def __init__(self, options: dict[str, str]) -> None:
        self.options = options
        self.content = options["content"]
        self.tag = options["tag"]
        self.bodies = list(_bodies(Path(options["bodies"])))
        self.counts = Counts()
        self.is_recording = False
        self.is_draining = True
        self.in_flight = 0
        self.leftovers: deque[Step] = deque()
        self._serial = 0

    def new_contact(self) -> Step:
        """A contact to route."""
        return Step(_ROUTE, f"{self.tag}c{self._serial}")

    def request(self, step: Step) -> tuple[str, bytes]:
        """Request id and request of a step."""
        request_id = f"{self.tag}r{self._serial}"
        parts = [self.bodies[self._serial % len(self.bodies)]] if step.kind == _ROUTE else []
        self._serial += 1
        named = step.offer if step.kind == _ACCEPT else step.contact
        parts += [embedded(2, request_id.encode()), embedded(3, named.encode())]
        if step.kind in (_ACCEPT, _COMPLETE):
            parts.append(embedded(4, step.agent.encode()))
        elif step.kind == _CANCEL:
            parts.append(_WITHDRAWN)
        return request_id, b"".join(parts)

    def follow(self, step: Step, reply: Message) -> Step | None:
        """Count a reply; returns what is to be sent next."""
        counts = self.counts
        counts.commands += self.is_recording
        if isinstance(reply, routing_service_pb2.RouteResponse):
            is_offered = reply.state == _OFFERED
            counts.routes += self.is_recording
            counts.offered += self.is_recording and is_offered
            counts.queued += self.is_recording and not is_offered
            cancel = Step(_CANCEL, step.contact)
            if self.content == "route":
                self.leftovers.append(cancel)
                return None
            offer = reply.offer
            return (
                Step(_ACCEPT, step.contact, offer.offer_id, offer.agent_id)
                if is_offered
                else cancel
            )
        return step._replace(kind=_COMPLETE) if step.kind == _ACCEPT else None

    def note_latency(self, since_s: float) -> None:
        """Record how long a call or frame took."""
        if self.is_recording:
            self.counts.latencies.append(time.perf_counter() - since_s)


class UnaryLane:
    """Calls one at a time; in an open loop as many as are due."""

    def __init__(self, sender: Sender, channel: grpc.aio.Channel) -> None:
        self._sender = sender
        self._calls: list[Any] = [channel.unary_unary(path) for path in _PATHS]

    async def run(self, since_s: float, is_closed: bool) -> None:
        """Route a contact and what follows; in a closed loop one contact after another."""
        sender = self._sender
        sender.in_flight += 1
        step: Step | None = sender.new_contact()
        while step is not None:
            reply = await self._calls[step.kind](sender.request(step)[1])
            if step.kind == _ROUTE:
                sender.note_latency(since_s)
            if sender.content == "echo":
                sender.counts.commands += sender.is_recording
                sender.counts.routes += sender.is_recording
                step = None
            else:
                step = sender.follow(step, _REPLIES[step.kind].FromString(reply))
            if step is None and is_closed and not sender.is_draining:
                step = sender.new_contact()
            if step is not None and step.kind == _ROUTE:
                since_s = time.perf_counter()
        sender.in_flight -= 1


class StreamLane:
    """One session."""

    def __init__(self, sender: Sender, channel: grpc.aio.Channel, window: int, size: int) -> None:
        self._sender = sender
        self._window = window
        self._size = size
        self._call: Any = channel.stream_stream("/headgate.v1.GatewayService/Connect")()
        self._frames: deque[Frame] = deque()
        self.followers: deque[Step] = deque()
        self.due_s: deque[float] = deque()
        self.wants_events = False
        self._is_first = True
        self._is_sending = False

    async def read(self) -> None:
        """Take replies as they come."""
        while (raw := await self._call.read()) is not grpc.aio.EOF:
            if self._sender.content == "echo":
                self._sender.counts.commands += self._size * self._sender.is_recording
                self._sender.counts.routes += self._size * self._sender.is_recording
                self._frames[0].steps.clear()
            else:
                for reply in gateway_service_pb2.ConnectResponse.FromString(raw).replies:
                    self._take(reply)
            while self._frames and not self._frames[0].steps:
                self._sender.note_latency(self._frames.popleft().since_s)
                self._sender.counts.frames += self._sender.is_recording
                self._sender.in_flight -= 1
            await self.send()

    async def send(self) -> None:
        """Send frames for as long as there is something to send and room in flight."""
        if self._is_sending:
            return
        self._is_sending = True
        while (since_s := self._next_since_s()) is not None:
            steps: dict[str, Step] = {}
            out = []
            while len(steps) < self._size:
                if self.followers:
                    step = self.followers.popleft()
                elif self._sender.is_draining:
                    break
                else:
                    step = self._sender.new_contact()
                request_id, request = self._sender.request(step)
                steps[request_id] = step
                out.append(embedded(2, embedded(_SESSION_FIELDS[step.kind], request)))
            if self._is_first and not self.wants_events:
                out.append(_REPLIES_ONLY)
            self._is_first = False
            self._frames.append(Frame(steps, since_s, len(steps)))
            self._sender.in_flight += 1
            await self._call.write(b"".join(out))
        self._is_sending = False

    def _next_since_s(self) -> float | None:
        """When the next frame counts as sent; None when none is to be."""
        if self._sender.is_draining:
            is_idle = not self.followers or len(self._frames) >= _CLEANING_WINDOW
            return None if is_idle else time.perf_counter()
        if self._window:
            return time.perf_counter() if len(self._frames) < self._window else None
        return self.due_s.popleft() if self.due_s else None

    def _take(self, reply: gateway_service_pb2.SessionReply) -> None:
        for frame in self._frames:
            step = frame.steps.pop(reply.request_id, None)
            if step is None:
                continue
            name = _SESSION_NAMES[step.kind]
            if reply.WhichOneof("result") != name:
                self._sender.counts.errors += 1
                return
            following = self._sender.follow(step, getattr(reply, name))
            if following is not None:
                self.followers.append(following)
            return


async def _run(options: dict[str, str]) -> Counts:
    sender = Sender(options)
    is_unary = options["shape"] == "unary"
    rate, lanes = float(options["rate"]), int(options["lanes"])
    frame, window = int(options["frame"]), int(options["window"])
    per_s = rate / ((3 if sender.content == "cycle" else 1) if is_unary else frame)
    seconds, slice_s = float(options["seconds"]), float(options["slice_s"])
    async with grpc.aio.insecure_channel(options["target"]) as channel:
        await channel.channel_ready()
        unary = UnaryLane(sender, channel)
        own_window = 0 if per_s else window
        streams = [
            StreamLane(sender, channel, own_window, frame) for _ in range(0 if is_unary else lanes)
        ]
        for lane in streams:
            lane.wants_events = options["events"] == "1"
        # No window: it sends only what is to be cancelled.
        cleaner = StreamLane(sender, channel, 0, _CLEANING_FRAME)
        readers = [asyncio.create_task(lane.read()) for lane in (*streams, cleaner)]
        done_s = -slice_s
        while done_s < seconds - slice_s / 2:
            closed = lanes * window if is_unary and not per_s else 0
            slice_ = Slice(sender, unary, streams, per_s, closed)
            await slice_.run(slice_s, is_recorded=done_s >= 0)
            cleaner.followers, sender.leftovers = sender.leftovers, deque()
            await cleaner.send()
            await _drained(sender)
            done_s += slice_s
        for reader in readers:
            reader.cancel()
    return sender.counts


@dataclass(frozen=True, slots=True)
class Slice:
    """A stretch of load on the lanes: `closed` calls in flight, or `per_s` in an open loop."""

    sender: Sender
    unary: UnaryLane
    streams: list[StreamLane]
    per_s: float
    closed: int

    async def run(self, seconds: float, *, is_recorded: bool) -> None:
        """Send, and wait for the last answer."""
        sender, counts = self.sender, self.sender.counts
        server = int(sender.options["pid"])
        begun_s, server_s, own_s = time.perf_counter(), _cpu_s(server), time.process_time()
        sender.is_draining, sender.is_recording = False, is_recorded
        pacer = asyncio.create_task(self._pace()) if self.per_s else None
        calls = [asyncio.create_task(self.unary.run(begun_s, True)) for _ in range(self.closed)]
        if pacer is None:
            for lane in self.streams:
                await lane.send()
        await asyncio.sleep(seconds)
        sender.is_draining, sender.is_recording = True, False
        if is_recorded:
            counts.seconds += time.perf_counter() - begun_s
            counts.server_cpu_s += _cpu_s(server) - server_s
            counts.own_cpu_s += time.process_time() - own_s
        if pacer:
            await pacer
        for lane in self.streams:
            lane.due_s.clear()
            await lane.send()
        await _drained(sender)
        await asyncio.gather(*calls)

    async def _pace(self) -> None:
        """Send at the times of a Poisson process; the loop's timers make them 1 ms coarse."""
        draw = random.Random(12345)
        due_s = time.perf_counter()
        tasks: set[asyncio.Task[None]] = set()
        turn = 0
        while not self.sender.is_draining:
            due_s += draw.expovariate(self.per_s)
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            if self.streams:
                lane = self.streams[turn % len(self.streams)]
                lane.due_s.append(due_s)
                task = asyncio.create_task(lane.send())
            else:
                task = asyncio.create_task(self.unary.run(due_s, False))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            turn += 1
        await asyncio.gather(*tasks)


async def _drained(sender: Sender) -> None:
    give_up_s = time.monotonic() + 10
    while sender.in_flight and time.monotonic() < give_up_s:
        await asyncio.sleep(0.001)
    sender.counts.errors += sender.in_flight


def _cpu_s(pid: int) -> float:
    """CPU time of a process; the clock's number is made as clock_getcpuclockid makes it."""
    return time.clock_gettime(~pid << 3 | 2)


def _bodies(path: Path) -> Iterator[bytes]:
    raw = path.read_bytes()
    place = 0
    while place < len(raw):
        size = int.from_bytes(raw[place : place + 4], "little")
        yield raw[place + 4 : place + 4 + size]
        place += 4 + size


def main() -> None:
    """Send, and print what was found."""
    options = dict(pair.split("=", 1) for pair in sys.argv[1:])
    if "core" in options:
        os.sched_setaffinity(0, {int(options["core"])})
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        counts = runner.run(_run(options))
    latencies = sorted(counts.latencies)

    def at_share(share: float) -> float:
        place = min(len(latencies) - 1, int(share * len(latencies)))
        return latencies[place] * 1e6 if latencies else 0.0

    found = {
        "generator": "Python", "seconds": counts.seconds, "commands": counts.commands,
        "frames": counts.frames, "routes": counts.routes, "offered": counts.offered,
        "queued": counts.queued, "errors": counts.errors, "dropped": counts.dropped, "left": 0,
        "server_cpu_s": counts.server_cpu_s, "own_cpu_s": counts.own_cpu_s,
        "latencies": len(latencies), "p50_us": at_share(0.5), "p99_us": at_share(0.99),
        "p999_us": at_share(0.999),
    }  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    main()
