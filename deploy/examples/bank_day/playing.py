"""The play: engine, session, floor and board put together, and taken apart whatever happens."""

import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import grpc
from rich.console import Console

from deploy.examples.bank_day.bank_day import BankDay
from deploy.examples.bank_day.beside import Beside
from deploy.examples.bank_day.board import Board, Scene, latency_text
from deploy.examples.bank_day.comparison import (
    NEXT_STEPS,
    comparison_table,
    count_differences,
    remarks,
)
from deploy.examples.bank_day.compressed_time import Agenda, Compression, DayClock, clock_text
from deploy.examples.bank_day.engine_process import EngineProcess, choose_addresses
from deploy.examples.bank_day.floor import Floor
from deploy.examples.bank_day.options import HOUR_S, Options, opening_s
from deploy.examples.bank_day.past import Weeks
from deploy.examples.bank_day.queues import agent_request, queue_requests
from deploy.examples.bank_day.seconds import FloorSeconds
from deploy.examples.bank_day.sensed_board import accuracy_table, sensed_remarks
from deploy.examples.bank_day.sensed_day import Record, SensedDay
from deploy.examples.bank_day.sensed_page import SensedPage, as_html
from deploy.examples.bank_day.session import REPLY_S_MAX, GatewaySession, SessionEnded
from deploy.examples.bank_day.stage import Stage
from deploy.examples.bank_day.tally import Window, bank_figures, percentile
from deploy.examples.bank_day.together import until_first
from headgate.v1.agent_service_pb2_grpc import AgentServiceStub
from headgate.v1.event_pb2 import Event
from headgate.v1.gateway_service_pb2_grpc import GatewayServiceStub
from headgate.v1.queue_service_pb2 import GetSnapshotRequest
from headgate.v1.queue_service_pb2_grpc import QueueServiceStub

# The engine is on this machine: when it is not there yet, ask again soon.
CHANNEL_OPTIONS: Final = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)


class PlayFailed(Exception):
    """The play could not go on; the message says why."""


@dataclass(frozen=True, slots=True)
class Play:
    """
    One play of a day.

    Attributes
    ----------
    day, window
        What is played.
    weeks
        The weeks before it, where they are known.
    options
        How.
    console
        Where it is shown.
    """

    day: BankDay
    weeks: Weeks | None
    window: Window
    options: Options
    console: Console

    async def run(self) -> None:
        """
        Start an engine, play the window through it, show how it went.

        Raises
        ------
        PlayFailed, EngineFailed
            When it cannot go on. Whatever is raised, the engine is stopped and its folder removed.
        """
        addresses = choose_addresses(self.options.port)
        with self._folder() as folder, EngineProcess(addresses, folder) as engine:
            self._announce(engine)
            async with grpc.aio.insecure_channel(addresses.grpc, CHANNEL_OPTIONS) as channel:
                try:
                    with self.console.status("The engine is starting …"):
                        await engine.until_ready(channel)
                    with self._sensing() as beside:
                        await self._play(engine, channel, beside)
                except (grpc.aio.AioRpcError, SessionEnded) as error:
                    # A call breaks off sooner than the end of the process that caused it is seen.
                    await engine.exited_within(1.0)
                    raise PlayFailed(f"{_reason(error)}. {engine.end_of_log()}") from error

    async def _play(self, engine: EngineProcess, channel: grpc.aio.Channel, beside: Beside) -> None:
        compression = Compression(self.options.speed)
        queues = QueueServiceStub(channel)
        await self._define(compression, channel)
        with self.console.status("What senses beside the play is told of the past …"):
            await beside.ready()
        session = GatewaySession(GatewayServiceStub(channel))
        stage = Stage(Agenda(), DayClock(compression, self.window.from_s), session.send)
        floor = Floor(self.day, self.window, stage, self.options.surge_s)
        seconds = FloorSeconds(self.day, compression, self.window.from_s)
        board = Board(self.window, Scene(stage.clock, floor, session, beside))
        is_live = self.console.is_terminal and not self.options.plain
        started_s = time.monotonic()

        def take(events: Iterable[Event]) -> None:
            happened, now_s = tuple(events), stage.clock.now_s()
            beside.hand_over(seconds.until(now_s))
            seconds.take(now_s, happened)
            floor.take(happened)

        await until_first(
            stage.agenda.run(stage.clock, lambda: floor.is_over),
            session.run(take),
            engine.until_exit(),
            beside.follow(seconds, stage.clock),
            board.follow(queues),
            board.show_live(self.console) if is_live else board.show_plain(self.console),
        )
        beside.hand_over(seconds.until(stage.clock.now_s()))
        floor.desks.close()
        snapshot = await queues.GetSnapshot(GetSnapshotRequest(), timeout=REPLY_S_MAX)
        self._conclude(floor, session, time.monotonic() - started_s)
        for line in count_differences(floor.figures, snapshot.snapshots):
            self._say(line)
        self._tell_sensed(await beside.conclude(), len(floor.added))
        self._say("Next:")
        for number, step in enumerate(NEXT_STEPS, start=1):
            self._say(f"{number}. {step}")

    async def _define(self, compression: Compression, channel: grpc.aio.Channel) -> None:
        queues = QueueServiceStub(channel)
        for queue in queue_requests(compression):
            await queues.UpsertQueue(queue, timeout=REPLY_S_MAX)
        agents = AgentServiceStub(channel)
        for agent in self.day.agents:
            await agents.UpsertAgent(agent_request(agent), timeout=REPLY_S_MAX)

    def _announce(self, engine: EngineProcess) -> None:
        contacts = sum(map(self.window.holds, self.day.calls))
        self._say(
            f"Playing {self.day.day:%A} {self.day.day} of a bank's call centre, {self._hours()}: "
            f"{contacts} contacts, {len(self.day.agents)} agents. "
            f"At {self.options.speed:g}× this takes about {_minutes(self._length_s())}"
            f"{self._hint()}."
        )
        self._say(
            f"Engine: {engine.addresses.grpc}, metrics: http://{engine.addresses.metrics}/metrics, "
            f"log: {engine.log_path}. The first start compiles its kernels."
        )

    def _conclude(self, floor: Floor, session: GatewaySession, took_s: float) -> None:
        title = f"The bank's own day and the engine's: {self.day.day}, {self._hours()}"
        bank = bank_figures(self.day, self.window)
        self.console.print(comparison_table(title, bank, floor.figures))
        reply_p99_ms = percentile(session.route_latencies_ms, 0.99)
        compression = Compression(self.options.speed)
        if floor.added:
            self._say(
                f"{len(floor.added)} calls were added to the engine's day: they, and how long "
                "others waited for them, are in its rows and not in the bank's."
            )
        for line in remarks(
            self.window, opening_s(self.day), compression, floor.figures, reply_p99_ms
        ):
            self._say(line)
        self._say(
            f"Played in {_minutes(took_s)}: {latency_text(session.route_latencies_ms)}; "
            f"{session.crossed} commands crossed with a decision of the engine."
        )

    def _tell_sensed(self, record: Record, added: int) -> None:
        self.console.print(accuracy_table(record))
        for line in sensed_remarks(record, self.options.surge_s, added):
            self._say(line)
        if self.options.report is not None:
            page = as_html(record, SensedPage(self.day, self._hours(), self.options.surge_s, added))
            try:
                self.options.report.write_bytes(page)
            except OSError as error:
                message = f"--report {self.options.report}: {error.strerror}"
                raise PlayFailed(message) from None
            self._say(f"What was sensed, as a page: {self.options.report}")

    @contextmanager
    def _sensing(self) -> Iterator[Beside]:
        """What senses beside the play, ended with it."""
        beside = Beside(partial(SensedDay, self.day, self.weeks, self.window))
        try:
            yield beside
        finally:
            beside.give_up()

    def _length_s(self) -> float:
        """Seconds here that the window takes."""
        return (self.window.until_s - self.window.from_s) / self.options.speed

    def _hint(self) -> str:
        """How to make it shorter, if it is long."""
        if self._length_s() < 120:
            return ""
        hour_later = clock_text(self.window.from_s + HOUR_S)[:5]
        return f"; shorter with --until {hour_later} or --speed 600, and Ctrl-C ends it at any time"

    def _hours(self) -> str:
        from_text, until_text = (
            clock_text(at_s)[:5] for at_s in (self.window.from_s, self.window.until_s)
        )
        return f"{from_text} to {until_text}"

    def _say(self, text: str) -> None:
        self.console.print(
            text, markup=False, highlight=False, soft_wrap=not self.console.is_terminal
        )

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """A fresh folder for the engine, removed in the end unless it is to be kept."""
        folder = Path(tempfile.mkdtemp(prefix="headgate-bank-day-"))
        try:
            yield folder
        finally:
            if self.options.keep:
                self._say(f"The engine's data and log are kept in {folder}.")
            elif folder.exists():  # unless somebody cleaned it away meanwhile
                shutil.rmtree(folder)


def _reason(error: Exception) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return f"a call to the engine failed with {error.code().name}: {error.details()}"
    return str(error)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
