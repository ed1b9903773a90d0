"""
One run: a server that starts, fails and starts again, its clients, the network between them and
their clocks, all from one seed.
"""

import asyncio
import uuid
from random import Random
from typing import Any, Final
from unittest import mock

from headgate.v1.agent_pb2 import Agent, AgentSkill, ChannelCapacity
from headgate.v1.contact_pb2 import Channel
from headgate.v1.queue_pb2 import Queue, WrapUpMode
from headgate.v1.queue_service_pb2 import UpsertQueueRequest
from tests.faults.agents import Desktop
from tests.faults.clients import Client, Site
from tests.faults.faults import CrashPoint, draw_faults
from tests.faults.gateways import Asking, Gateway, SessionGateway
from tests.faults.history import History
from tests.faults.network import Network
from tests.faults.process import NotingStore, Process, Surroundings
from tests.faults.virtual_loop import VirtualLoop, VirtualTime

SKILLS: Final = ("french", "billing")
TAGS: Final = ("gold", "new")
# Virtual seconds with faults, then at most so many until every caller has its answer, then so many
# more, in which the last late copies arrive.
FAULTY_S: Final = 12.0
CALM_S_MAX: Final = 60.0
LATE_S: Final = 21.0
_CALLBACKS_MAX: Final = 1_000_000
# How far the wall clock is set ahead of where it was at most: a jump over the reply window makes
# retries new requests.
_WALL_JUMP_MS_MAX: Final = 300_000


class World:
    """
    Everything of one run.

    Parameters
    ----------
    seed
        Decides everything.

    Attributes
    ----------
    agents, queues
        What the clients defined, by id.
    """

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.time = VirtualTime()
        self.store = NotingStore(self.time)
        self.bugs: list[str] = []
        self.around = Surroundings(
            self.time, self.random, draw_faults(self.random), self.store, self.bugs, {}
        )
        self.history = History(self.time)
        self.outside = VirtualLoop(  # type: ignore[abstract]
            self.time, lambda context: self.bugs.append(f"{context}")
        )
        self.network = Network(self.outside, self.around)
        self.processes: list[Process] = []
        self.queues = {queue.queue_id: queue for queue in self._draw_queues()}
        self.agents = {agent.agent_id: agent for agent in self._draw_agents()}
        self._callbacks = 0

    def run(self) -> None:
        """Let the faults happen, then let everybody come to rest."""
        # Contacts without an id get one at random.
        with mock.patch.object(uuid, "uuid4", self._draw_id):
            self._run()

    def _draw_id(self) -> uuid.UUID:
        return uuid.UUID(int=self.random.getrandbits(128), version=4)

    def _run(self) -> None:
        asked = self.outside.create_task(self._clients())
        self.outside.create_task(self._keep_running())
        for faults in (self._pause_processes(), self._fill_disk(), self._set_clock()):
            self.outside.create_task(faults)
        self._run_until(FAULTY_S)
        self._calm_down()
        self._run_until(self.time.now_s + CALM_S_MAX, asked)
        if not asked.done():
            self.bugs.append(f"callers without an answer after {CALM_S_MAX} s of calm")
        elif asked.exception() is not None:
            self.bugs.append(f"a client failed: {asked.exception()!r}")
        self._run_until(self.time.now_s + LATE_S)

    def bury(self) -> None:
        """Let go of every coroutine in good order."""
        for loop in (*(process.loop for process in self.processes), self.outside):
            loop.bury()

    @property
    def process(self) -> Process:
        """The process that serves at the end."""
        return self.processes[-1]

    def _run_until(self, end_s: float, asked: "asyncio.Task[Any] | None" = None) -> None:
        while asked is None or not asked.done():
            loops = [self.outside, *(process.loop for process in self.processes)]
            next_s = min(loop.next_s() for loop in loops)
            if next_s > end_s:
                break
            self.time.now_s = max(self.time.now_s, next_s)
            for loop in loops:
                self._callbacks += loop.run_due()
            if self._callbacks > _CALLBACKS_MAX:
                raise RuntimeError(f"{_CALLBACKS_MAX:,} callbacks: somebody goes in circles")
        if asked is None:
            self.time.now_s = end_s

    def _calm_down(self) -> None:
        self.around.is_calm = True
        self.around.is_disk_full = False
        for process in self.processes:
            process.loop.is_stopped = process.is_over

    def _draw_queues(self) -> list[Queue]:
        # Each may fall back to the one before.
        names = ["", *(f"q{number}" for number in range(self.random.randint(1, 3)))]
        return [self._draw_queue(name, names[place]) for place, name in enumerate(names[1:])]

    def _draw_queue(self, queue_id: str, before: str) -> Queue:
        mode = self.random.choice(
            (
                WrapUpMode.WRAP_UP_MODE_NONE,
                WrapUpMode.WRAP_UP_MODE_TIMED,
                WrapUpMode.WRAP_UP_MODE_UNTIL_ENDED,
            )
        )
        return Queue(
            queue_id=queue_id,
            offer_timeout_ms=self.random.choice((1_000, 3_000)),
            wrap_up_mode=mode,
            wrap_up_ms=700 if mode == WrapUpMode.WRAP_UP_MODE_TIMED else 0,
            max_wait_ms=self.random.choice((0, 8_000)),
            max_length=self.random.choice((0, 0, 4)),
            fallback_queue_id=self.random.choice(("", before)),
            matching_window_ms=self.random.choice((0, 0, 300)),
            reoffer_delay_ms=2_000,
            reoffer_delay_only_agent_ms=self.random.choice((-1, 500)),
        )

    def _draw_agents(self) -> list[Agent]:
        ids = list(self.queues)
        channels = [
            ChannelCapacity(channel=Channel.CHANNEL_VOICE, cost=2),
            ChannelCapacity(channel=Channel.CHANNEL_CHAT, cost=1, contacts_max=2),
        ]
        return [
            Agent(
                agent_id=f"a{number}",
                queue_ids=self.random.sample(ids, self.random.randint(1, len(ids))),
                # The first has every skill and tag, so that nobody asks for what nobody has.
                skills=[
                    AgentSkill(skill=skill, proficiency=self.random.randint(number == 0, 5))
                    for skill in SKILLS
                ],
                tags=list(TAGS) if number == 0 else self.random.sample(TAGS, 1),
                capacity=self.random.choice((2, 3)),
                channels=channels,
                missed_offers_max=self.random.choice((-1, 2)),
                lease_ms=self.random.choice((0, 3_000)),
            )
            for number in range(self.random.randint(2, 4))
        ]

    async def _clients(self) -> None:
        """Define the floor, then let everybody work."""
        site = Site(self.around, self.network, self.history)
        admin = Client("admin", site)
        watcher = self.outside.create_task(Client("watcher", site).subscribe())
        for queue in self.queues.values():
            assert await admin.ask(UpsertQueueRequest(queue=queue)) is not None
        desktops = [Desktop(agent, site) for agent in self.agents.values()]
        asking = Asking(list(self.queues), SKILLS, TAGS, list(self.agents))
        gateways = [
            Gateway("calls", asking, self.random.randint(5, 15), site),
            SessionGateway("session", asking, self.random.randint(5, 15), site),
        ]
        async with asyncio.TaskGroup() as group:
            for desktop in desktops:
                group.create_task(desktop.run())
            for gateway in gateways:
                group.create_task(gateway.run())
        assert not watcher.done(), "the watcher failed"

    async def _keep_running(self) -> None:
        """Start a process, and another whenever it ends."""
        while True:
            over = asyncio.Event()
            process = self._start()
            process.when_over = over.set
            await over.wait()
            await asyncio.sleep(self.random.uniform(0.01, 1.0))

    def _start(self) -> Process:
        name = f"process {len(self.processes) + 1}"
        process = Process(name, self.around, self._draw_crash())
        self.processes.append(process)
        self.network.process = process
        return process

    def _draw_crash(self) -> tuple[CrashPoint, int] | None:
        every_s = self.around.faults.crashes_every_s
        if not every_s or self.around.is_calm:
            return None
        point = self.random.choice(list(CrashPoint))
        if point is CrashPoint.BETWEEN_TURNS:
            self.outside.call_later(self.random.expovariate(1 / every_s), self._kill)
        return point, 1 + int(self.random.expovariate(1 / (10 * every_s)))

    def _kill(self) -> None:
        if not self.around.is_calm:
            self.process.end(CrashPoint.BETWEEN_TURNS.value)

    async def _pause_processes(self) -> None:
        """Stop a process for a while; perhaps another takes its place meanwhile."""
        every_s = self.around.faults.pauses_every_s
        while every_s:
            await asyncio.sleep(self.random.expovariate(1 / every_s))
            if self.around.is_calm:
                return
            paused = self.process
            self.around.strike("process paused")
            paused.loop.is_stopped = True
            is_taken = self.random.random() < self.around.faults.takeover
            if is_taken:
                self._take_over(paused)
            await asyncio.sleep(self.random.uniform(0.1, 5.0))
            paused.loop.is_stopped = paused.is_over
            if is_taken:
                # At the latest its lease tells it, if no commit does.
                self.outside.call_later(self.random.uniform(0.0, 1.0), paused.end, "lease lost")
            if self.random.random() < 0.2 and not (self.around.is_calm or self.process.is_over):
                self.process.loop.create_task(self.process.stop())

    def _take_over(self, paused: Process) -> None:
        """Another process acquires the cell of one that only seems to be gone."""
        self.around.strike("cell taken over")
        keeps_on, paused.when_over = paused.when_over, lambda: None
        self._start().when_over = keeps_on

    async def _fill_disk(self) -> None:
        every_s = self.around.faults.full_every_s
        while every_s and not self.around.is_calm:
            await asyncio.sleep(self.random.expovariate(1 / every_s))
            self.around.is_disk_full = not self.around.is_calm
            await asyncio.sleep(self.random.uniform(0.1, 2.0))
            self.around.is_disk_full = False

    async def _set_clock(self) -> None:
        """Set the wall clock, ahead or back."""
        every_s = self.around.faults.jumps_every_s
        lowest_ms = 0
        while every_s and not self.around.is_calm:
            await asyncio.sleep(self.random.expovariate(1 / every_s))
            self.around.strike("wall clock set")
            lowest_ms = min(lowest_ms, self.around.wall_ahead_ms)
            highest_ms = lowest_ms + _WALL_JUMP_MS_MAX
            self.around.wall_ahead_ms = self.random.randint(-3_600_000, highest_ms)
