"""
Cells while this process owns them: the loop that runs each, what senses it, what follows its
policies.

Opening ends with a cell that takes calls; closing finishes what it has taken in and gives it up.
Either may happen at any time of the process's life.
"""

import asyncio
from collections import Counter as Tally
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from adapters.calls import Cells
from adapters.clock import wall_ms
from adapters.commit_log import CommitLog, LeasedLog
from adapters.crossings.opening import carry, neighbours_of, open_links
from adapters.dispatch_loop import DispatchLoop
from adapters.memory_log import MemoryLog, MemoryStore
from adapters.metrics import CellMetrics, Metrics
from adapters.policies.opening import follow_policies
from adapters.redis_log.address import redacted
from adapters.sensing.opening import open_sensing
from adapters.sensing.thread import SensingThread
from adapters.settings import Settings
from adapters.sqlite_log import SqliteLog
from adapters.turn import LoopSettings
from engine.lifecycle import ContactState
from engine.limits import Limits

_log = structlog.get_logger(__name__)

_AHEAD_MS_MAX: Final = 5_000


@dataclass(slots=True)
class OpenCell:
    """
    What works for one cell.

    Attributes
    ----------
    loop
        Runs it.
    sensing
        Senses it; None where nothing is sensed.
    tasks
        Follow its policies.
    """

    loop: DispatchLoop
    sensing: SensingThread | None = None
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class OpenCells:
    """
    The cells this process has open.

    Parameters
    ----------
    settings
        How to run.
    metrics
        Those of the process.
    cores
        Cores that sensing may use.

    Attributes
    ----------
    cells
        What callers may use; a cell is among them from the end of its opening to the beginning of
        its closing.
    """

    def __init__(self, settings: Settings, metrics: Metrics, cores: Sequence[int]) -> None:
        # Told of each cell that takes calls no longer, once what it had taken is answered.
        self.on_closed: Callable[[str], None] = lambda _: None
        self._settings = settings
        self.metrics = metrics
        self._cores = cores
        self._open: dict[str, OpenCell] = {}
        self._loops: dict[str, DispatchLoop] = {}
        self._sensing: dict[str, SensingThread] = {}
        self.cells = Cells(self._loops, self._sensing)
        self._links = open_links(settings, self.cells)

    async def open(self, name: str, owner: str, *, is_known: bool = False) -> DispatchLoop:
        """
        Acquire a cell and have it take calls; whatever goes wrong, it is given up again.

        One that is known to have been somebody's is not made where it is gone.

        Raises
        ------
        CommitLogError
            The log cannot be acquired or read; the message says what to do.
        BadConfiguration, OSError
            What the settings name cannot be used.
        """
        settings, metrics = self._settings, self.metrics.cell(name)
        log = _open_log(settings, name, metrics)
        if is_known and isinstance(log, LeasedLog):
            log.expect_cell()
        loop = DispatchLoop(name, log, _loop_settings(settings, name), metrics)
        cell = self._open[name] = OpenCell(loop)
        try:
            await loop.start(owner)
            await self.begin(cell)
        except BaseException:
            await self.close(name)
            raise
        _show(metrics, loop)
        _tell_loaded(settings, loop)
        self._loops[name] = loop
        if cell.sensing is not None:
            self._sensing[name] = cell.sensing
        return loop

    def has_acquired(self, name: str) -> bool:
        """Whether a cell is ours, open or still being loaded."""
        cell = self._open.get(name)
        return cell is not None and cell.loop.epoch > 0

    async def begin(self, cell: OpenCell) -> None:
        """Have policies known and the floor sensed before the first call."""
        settings, loop = self._settings, cell.loop
        if settings.sensing:
            told = self.metrics.sensing.of(loop.cell)
            cell.sensing = open_sensing(settings, loop, told, self._cores)
        following = await follow_policies(settings, loop, self.metrics, cell.sensing)
        carrying = carry(loop, self._links, self.metrics.crossings.of(loop.cell), cell.sensing)
        cell.tasks += [asyncio.create_task(work) for work in (*following, *carrying)]
        if cell.sensing is not None:
            await cell.sensing.start()

    async def close(self, name: str) -> None:
        """Take no more calls for a cell, finish those it has, and give it up at once."""
        self._loops.pop(name, None)
        self._sensing.pop(name, None)
        cell = self._open.pop(name, None)
        if cell is not None:
            await self.end(cell)
            self.metrics.cell(name).hide()

    async def end(self, cell: OpenCell) -> None:
        """Finish what a cell has taken in, give it up, and stop what works for it."""
        for task in cell.tasks:
            task.cancel()
        # First what others wait for.
        await cell.loop.stop()
        self.on_closed(cell.loop.cell)
        if cell.sensing is not None:
            await cell.sensing.stop()

    async def close_all(self) -> None:
        """Give every cell up, those that are still being opened as well."""
        for name in list(self._open):
            await self.close(name)
        await self._links.close()


def path_of(settings: Settings, cell: str) -> Path:
    """The file of a cell, where cells are kept in files."""
    return settings.data_dir / f"{cell}.sqlite"


async def warm_up(settings: Settings) -> None:
    """
    Do once all that opening a cell takes, with one in memory.

    The first takes a second, for imports and kernels; callers of a cell that moves here wait so
    long.
    """
    idle = settings.model_copy(
        update={"log": "sqlite", "durability": "memory", "policy_directory": ""}
    )
    opened = OpenCells(idle, Metrics(), ())
    cell = OpenCell(
        DispatchLoop(
            "", MemoryLog(MemoryStore()), _loop_settings(idle, ""), opened.metrics.cell("")
        )
    )
    await cell.loop.start("")
    await opened.begin(cell)
    await opened.end(cell)


def _loop_settings(settings: Settings, cell: str) -> LoopSettings:
    limits = Limits(
        contacts_max=settings.contacts_max,
        agents_max=settings.agents_max,
        queues_max=settings.queues_max,
        ended_max=min(settings.ended_max, settings.contacts_max),
        ended_retention_ms=settings.ended_retention_ms,
        decisions_max=settings.decisions_max,
    )
    return LoopSettings(
        limits,
        settings.inbox_max,
        settings.reply_window_ms,
        settings.replies_max,
        neighbours_of(settings, cell),
        loads_beside=settings.placement,
    )


def _place_of(settings: Settings, cell: str) -> str:
    """Where a cell is kept, as it may be shown; "" where nothing is."""
    if settings.is_in_redis:
        return f"{redacted(settings.log)} {settings.redis_prefix}:{{{cell}}}"
    return str(path_of(settings, cell)) if settings.is_in_file else ""


def _open_log(settings: Settings, cell: str, metrics: CellMetrics) -> CommitLog:
    if settings.is_in_redis:
        # Here, for redis-py takes a tenth of a second of every start.
        from adapters.redis_log.opening import open_redis_log

        return open_redis_log(settings, cell, metrics)
    path = path_of(settings, cell)
    if settings.durability == "memory":
        if path.exists():
            _log.warning("data_ignored", path=str(path), why="durability is memory")
        return MemoryLog(MemoryStore())
    return SqliteLog(
        path,
        durability="normal" if settings.durability == "normal" else "full",
        cell=cell,
        reply_window_ms=settings.reply_window_ms,
        replies_max=settings.replies_max,
    )


def _show(metrics: CellMetrics, loop: DispatchLoop) -> None:
    metrics.show(
        ready=lambda: loop.is_open,
        clock_ahead_seconds=lambda: (loop.now_ms() - wall_ms()) / 1_000,
        subscribers=lambda: loop.hub.subscriber_count,
    )


def _tell_loaded(settings: Settings, loop: DispatchLoop) -> None:
    """Say what a cell holds; an operator sees at once if it is the wrong folder."""
    cell = loop.engine.cell
    states = Tally(cell.store.columns.contacts.state.tolist())
    _log.info(
        "cell_loaded",
        cell=loop.cell,
        path=_place_of(settings, loop.cell),
        sequence=loop.hub.sequence,
        contacts={state.name.lower(): states[state] for state in list(ContactState)[1:]},
        agents=len(cell.agents.slots),
        queues=len(cell.queues.slots),
    )
    ahead_ms = loop.now_ms() - wall_ms()
    if ahead_ms > _AHEAD_MS_MAX:
        _log.warning(
            "clock_ahead",
            cell=loop.cell,
            ahead_s=round(ahead_ms / 1_000, 3),
            why="the wall clock is behind the last committed time, from which engine time goes on",
        )
