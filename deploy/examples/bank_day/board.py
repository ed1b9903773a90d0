"""The live board: the queues as the engine has them, the agents, how fast replies come."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from deploy.examples.bank_day.bank_day import TYPES
from deploy.examples.bank_day.beside import Beside
from deploy.examples.bank_day.compressed_time import DayClock, clock_text
from deploy.examples.bank_day.desks import AVAILABLE, OFFLINE
from deploy.examples.bank_day.floor import Floor
from deploy.examples.bank_day.queues import TARGETS
from deploy.examples.bank_day.sensed_board import anomaly_lines, sensed_line, sensed_table
from deploy.examples.bank_day.session import GatewaySession
from deploy.examples.bank_day.tally import Window, percentile
from headgate.v1.event_pb2 import EventKind
from headgate.v1.queue_pb2 import QueueSnapshot
from headgate.v1.queue_service_pb2 import WatchSnapshotsRequest

if TYPE_CHECKING:
    # The stubs are typed apart for asyncio; at run time both are one class.
    from headgate.v1.queue_service_pb2_grpc import QueueServiceAsyncStub

REFRESH_MS: Final = 250
PLAIN_LINE_EVERY_S: Final = 5.0
BAR_WIDTH: Final = 70
# Fits a terminal of 80 columns.
QUEUE_HEADINGS: Final = (
    "waiting", "oldest\nwait", "answered", "abandoned", "service\nlevel", "target",
)  # fmt: skip

# Word on the board -> the event it counts.
OFFER_WORDS: Final = {
    "made": EventKind.EVENT_KIND_OFFER_ISSUED,
    "accepted": EventKind.EVENT_KIND_OFFER_ACCEPTED,
    "missed": EventKind.EVENT_KIND_OFFER_EXPIRED,
    "rescinded": EventKind.EVENT_KIND_OFFER_RESCINDED,
}


class Scene(NamedTuple):
    """
    What a board looks at.

    Attributes
    ----------
    clock, floor, session
        Of the play.
    beside
        What is sensed of it.
    """

    clock: DayClock
    floor: Floor
    session: GatewaySession
    beside: Beside


class Board:
    """
    Everything that is shown while the day is played.

    Queue figures are the engine's own, read from `WatchSnapshots`; agents, offers and latencies are
    what this gateway saw of its session, and so is what is sensed beside it.
    """

    def __init__(self, window: Window, scene: Scene) -> None:
        self._window = window
        self._clock, self._floor, self._session, self._beside = scene
        self._snapshots: dict[str, QueueSnapshot] = {}

    async def follow(self, queues: "QueueServiceAsyncStub") -> None:
        """Keep the queues' figures up to date."""
        request = WatchSnapshotsRequest(interval_ms=REFRESH_MS)
        async for reply in queues.WatchSnapshots(request):
            self._snapshots |= {snapshot.queue_id: snapshot for snapshot in reply.snapshots}

    async def show_live(self, console: Console) -> None:
        """Redraw the board in place until cancelled."""
        with Live(console=console, auto_refresh=False, transient=True) as live:
            while True:
                live.update(self._picture(), refresh=True)
                await asyncio.sleep(REFRESH_MS / 1_000)

    async def show_plain(self, console: Console) -> None:
        """Print a line every few seconds until cancelled."""
        while True:
            await asyncio.sleep(PLAIN_LINE_EVERY_S)
            lines = [self._line()]
            if (view := self._beside.view) is not None:
                lines.append(sensed_line(view))
            for line in lines:
                console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _picture(self) -> Group:
        now_s = min(self._clock.now_s(), self._window.until_s)
        length_s = self._window.until_s - self._window.from_s
        bar = ProgressBar(total=length_s, completed=now_s - self._window.from_s, width=BAR_WIDTH)
        return Group(
            Text(self._clock_line(), style="bold"),
            # A bar ends without a line break; the padding adds it.
            Padding(bar, 0),
            self._queue_table(),
            *self._sensed(),
            Text(self._agents_text()),
            Text(self._offers_text()),
            Text(latency_text(self._session.route_latencies_ms)),
        )

    def _clock_line(self) -> str:
        left_s = max(0.0, self._clock.delay_s(self._window.until_s))
        here = f"{int(left_s) // 60}:{int(left_s) % 60:02}"
        speed = self._clock.compression.speed
        return f"{clock_text(self._clock.now_s())} at the bank   {speed:g}×   {here} left here"

    def _sensed(self) -> list[RenderableType]:
        """The sensed table and the anomalies below it, once there are any."""
        if (view := self._beside.view) is None:
            return []
        lines = "\n".join(anomaly_lines(view))
        style = "bold" if view.anomalies else ""
        return [sensed_table(view), Text(lines, style=style)]

    def _queue_table(self) -> Table:
        table = Table(box=SIMPLE_HEAD, padding=0, pad_edge=False)
        table.add_column("queue", no_wrap=True)
        for heading in QUEUE_HEADINGS:
            table.add_column(heading, justify="right")
        for name, about in TYPES.items():
            table.add_row(f"{name} {about}", *self._queue_cells(name))
        return table

    def _queue_cells(self, name: str) -> tuple[str, ...]:
        snapshot = self._snapshots.get(name, QueueSnapshot())
        ratio, within_s = TARGETS[name]
        has_level = snapshot.HasField("service_level")
        return (
            str(snapshot.waiting),
            f"{self._clock.compression.day_s(snapshot.oldest_wait_ms):.0f} s",
            str(snapshot.answered_total),
            str(snapshot.abandoned_total),
            f"{snapshot.service_level:.0%}" if has_level else "–",
            f"{ratio:.0%} in {within_s} s",
        )

    def _agents_text(self) -> str:
        desks = self._floor.desks.by_agent.values()
        busy = sum(bool(desk.contact_id) for desk in desks)
        idle = [desk.presence for desk in desks if not desk.contact_id]
        free = idle.count(AVAILABLE)
        away = len(idle) - free - idle.count(OFFLINE)
        return f"agents {free} free, {busy} busy, {away} away"

    def _offers_text(self) -> str:
        offers = self._floor.desks.offers
        return "offers " + ", ".join(f"{offers[kind]} {word}" for word, kind in OFFER_WORDS.items())

    def _line(self) -> str:
        total = self._floor.figures.total
        waiting = sum(snapshot.waiting for snapshot in self._snapshots.values())
        oldest_ms = max((each.oldest_wait_ms for each in self._snapshots.values()), default=0)
        return "; ".join(
            (
                f"{clock_text(self._clock.now_s())} {total.offered} offered, {waiting} waiting",
                f"oldest {self._clock.compression.day_s(oldest_ms):.0f} s",
                f"{total.answered} answered, {total.abandoned} abandoned",
                self._agents_text(),
                self._offers_text(),
                latency_text(self._session.route_latencies_ms),
            )
        )


def latency_text(latencies_ms: Sequence[float]) -> str:
    """Median and 99th percentile of the replies to `route`, from frame written to reply read."""
    if not latencies_ms:
        return "no reply to route yet"
    p50_ms, p99_ms = (percentile(latencies_ms, share) for share in (0.5, 0.99))
    return f"route answered in {p50_ms:.1f} ms p50, {p99_ms:.1f} ms p99"
