"""
Keeps the right cells open in this process, turn by turn.

A turn: tell the others what we have, learn what they have, and for each cell take the one step that
follows (`placement.steps`). Steps take a while and run beside the turns. Turns come with every
heartbeat, and quickly one after the other while something moves.

    engine joins           its first beat shows it; where it comes first it waits for the lease
    owner sees it waiting  takes no more calls, finishes the group under way, releases the lease
    joined engine          polls the lease: has it at once, reads the cell, and tells of it

Nothing here is needed for safety: two engines that both believe to own a cell are told apart by
epoch and token at the next commit.
"""

import asyncio
import contextlib
import gc
import time
from collections.abc import Callable
from typing import Final

import structlog

from adapters.clock import wall_ms
from adapters.commit_log import CellGone, CommitLogError
from adapters.errors import CallRefused, not_owner, unavailable
from adapters.exit_code import ExitCode
from adapters.placement.failures import Failures, is_bug
from adapters.placement.fleet import Fleet, Heartbeat, Held
from adapters.placement.metrics import PlacementMetrics
from adapters.placement.part import Keeper, Part
from adapters.placement.ranking import ranked
from adapters.placement.registry import EngineRegistry, RegistryFailed, Replaced
from adapters.placement.steps import Doing, Outlook, Step, next_step
from adapters.process_metrics import version
from engine.state.rows import SCHEMA_VERSION
from headgate.v1.error_pb2 import NotOwner

_log = structlog.get_logger(__name__)

# Between turns while something moves, and for how long after it did.
_QUICK_S: Final = 0.05
_QUICK_FOR_S: Final = 3.0
# Heartbeats for which whoever comes first in the ranking may take an ownerless cell alone.
_STAGGER_BEATS: Final = 1.5
_RETRY_MS: Final = 100
# So that who is about to be late is so.
_AFTER_MS: Final = 5


class Placement:
    """
    Which cells this process has, and who has the others.

    Parameters
    ----------
    part
        Who we are.
    registry
        How engines tell each other that they live.
    keeper
        Opens and closes.
    metrics
        Where moves are counted.
    give_up
        Called when this process should serve no longer, with the reason and the exit code.

    Attributes
    ----------
    fleet
        What was known at the last turn.
    """

    def __init__(
        self,
        part: Part,
        registry: EngineRegistry,
        keeper: Keeper,
        metrics: PlacementMetrics,
        give_up: Callable[[str, ExitCode], None],
    ) -> None:
        self.fleet = Fleet()
        self._part = part
        self._address = ""
        self._registry = registry
        self._keeper = keeper
        self._metrics = metrics
        self._give_up = give_up
        self._held: dict[str, Held] = {}
        self._doing = dict.fromkeys(part.cells, Doing.NOTHING)
        self._work: dict[str, asyncio.Task[None]] = {}
        self._failures = Failures()
        self._ownerless_since_s: dict[str, float] = {}
        # To whom a cell was handed, until it tells that it has it.
        self._takers: dict[str, str] = {}
        # The highest epoch that anybody told of.
        self._epochs: dict[str, int] = {}
        self._is_leaving = self._has_ended = False
        self._hurry = asyncio.Event()
        self._quick_until_s = 0.0
        self._seen_s = float("-inf")
        self._why_blind = "no heartbeat was written yet"
        self._turns = 0
        self._running: asyncio.Task[None] | None = None

    async def settle(self, address: str, within_s: float) -> None:
        """
        Begin: open what is ours, until every cell is somebody's or the time is up; then go on.

        Parameters
        ----------
        address
            Where we can be reached, HOST:PORT.
        within_s
            How long to wait for cells of ours, seconds.

        Raises
        ------
        CommitLogError, BadConfiguration, OSError
            A cell of ours cannot be opened, or nobody can be told that we live.
        """
        self._address = address
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + within_s
        while True:
            await self._turn()
            if self._failures.last is not None:
                raise self._failures.last
            if self._turns == 0 and loop.time() > give_up_at:
                raise CommitLogError(f"{self._why_blind}; check the address and the server")
            if self._turns and (not self._awaited() or loop.time() > give_up_at):
                self._running = loop.create_task(self._run())
                return
            await asyncio.sleep(_QUICK_S)

    async def _run(self) -> None:
        """Take turns for as long as the process lives."""
        loop = asyncio.get_running_loop()
        while True:
            is_quick = self._is_leaving or loop.time() < self._quick_until_s
            pause_s = _QUICK_S if is_quick else self._calm_pause_s()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._hurry.wait()
            self._hurry.clear()
            try:
                await self._turn()
            except Exception:
                # A bug of ours, which must not leave the cells to themselves.
                _log.exception("placement_failed")
                await asyncio.sleep(_QUICK_S)

    def _calm_pause_s(self) -> float:
        """Until the next heartbeat, or until another engine is late, if that comes first."""
        late_below_ms = self._part.late_below_ms
        late_in_ms = [
            left_ms - late_below_ms + _AFTER_MS
            for left_ms in self.fleet.left_ms.values()
            if left_ms >= late_below_ms
        ]
        return min(self._part.heartbeat_ms, *late_in_ms) / 1_000

    async def leave(self, within_s: float) -> None:
        """Give the cells to other engines, as many as the time allows, and take no more."""
        self._is_leaving = True
        self._hurry.set()
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + within_s
        seen = self._turns
        while loop.time() < give_up_at and not (self._has_ended or self.why_not_ready()):
            is_told = self._turns > seen
            if is_told and not any(map(self._can_leave, self._part.cells)):
                break
            await asyncio.sleep(_QUICK_S / 5)
        for cell, work in self._work.items():
            if self._doing[cell] is not Doing.CLOSING:
                work.cancel()
        if self._running is not None:
            self._running.cancel()
        ending = (*self._work.values(), *filter(None, (self._running,)))
        await asyncio.gather(*ending, return_exceptions=True)

    async def end(self) -> None:
        """Tell the others that we are gone, once every cell is closed."""
        with contextlib.suppress(RegistryFailed, Replaced):
            await self._registry.leave(self._part.engine)
        await self._registry.close()

    def why_not_ready(self) -> str:
        """Why nobody can be told who has which cell; "" where that is known."""
        is_blind = time.monotonic() > self._seen_s + self._part.expiry_ms / 1_000
        return f"does not see other engines: {self._why_blind}" if is_blind else ""

    @property
    def cells(self) -> tuple[str, ...]:
        """Those that are shared."""
        return self._part.cells

    def refusal(self, cell: str) -> CallRefused | None:
        """What a caller for a cell that is not open here is told; None where it is none of ours."""
        doing = self._doing.get(cell)
        if doing is None:
            return None
        self._metrics.not_owner.inc()
        holder = self.fleet.holder(cell)
        taker = self.fleet.engines.get(self._takers.get(cell, ""))
        if holder is not None and holder.engine != self._part.engine:
            return _at(cell, holder, holder.cells[cell].epoch)
        if taker is not None:
            # Its epoch is a later one still: this one is the release's.
            return _at(cell, taker, self._epochs.get(cell, 0) + 1)
        what = "is being opened here" if doing is Doing.WAITING else "has no engine at the moment"
        return unavailable(f"cell {cell!r} {what}", _RETRY_MS)

    def _end(self, why: str, exit_code: ExitCode) -> None:
        """Serve no longer, and share nothing any more."""
        self._has_ended = True
        self._give_up(why, exit_code)

    def _can_leave(self, cell: str) -> bool:
        """Whether a cell is here, and somebody could take it."""
        doing = self._doing[cell]
        return doing is Doing.CLOSING or (doing is Doing.HOLDING and bool(ranked(cell, self.fleet)))

    def _awaited(self) -> list[str]:
        """Cells that nobody has and that nobody else will take first."""
        engine = self._part.engine
        return [
            cell
            for cell in self._part.cells
            if self.fleet.holder(cell) is None and ranked(cell, self.fleet)[:1] in ([], [engine])
        ]

    async def _turn(self) -> None:
        """Tell, learn, and begin the steps that follow."""
        if self._has_ended:
            return
        heartbeat = Heartbeat(
            self._part.engine,
            self._address,
            version(),
            SCHEMA_VERSION,
            self._is_leaving,
            dict(self._held),
            frozenset(cell for cell, doing in self._doing.items() if doing is Doing.WAITING),
            frozenset(self._failures.cells(asyncio.get_running_loop().time())),
        )
        try:
            fleet = await self._registry.beat(heartbeat, self._part.expiry_ms)
        except RegistryFailed as error:
            self._metrics.beats_failed.inc()
            if not self._why_blind:
                _log.warning("heartbeat_failed", error=str(error))
            self._why_blind = str(error)
            return
        except Replaced:
            why = f"another engine goes by the name {self._part.engine!r}"
            self._end(why, ExitCode.CELL_LOST)
            return
        self._turns += 1
        self._learn(fleet)
        for cell in self._part.cells:
            self._take_step(cell)

    def _learn(self, fleet: Fleet) -> None:
        """Note what has changed since the last turn."""
        now_s = asyncio.get_running_loop().time()
        before, self.fleet = self.fleet, fleet
        self._seen_s, self._why_blind = time.monotonic(), ""
        for name in fleet.engines.keys() - before.engines.keys():
            _log.info("engine_joined", engine=name, address=fleet.engines[name].address)
        for name in before.engines.keys() - fleet.engines.keys():
            _log.info("engine_gone", engine=name, address=before.engines[name].address)
        if (fleet.engines, fleet.moves, fleet.drained) != (
            before.engines,
            before.moves,
            before.drained,
        ):
            self._quick_until_s = now_s + _QUICK_FOR_S
        for cell in self._part.cells:
            holder = fleet.holder(cell)
            if holder is None:
                self._ownerless_since_s.setdefault(cell, now_s)
            else:
                self._ownerless_since_s.pop(cell, None)
                if holder.engine != self._part.engine:
                    self._takers.pop(cell, None)
                known = self._epochs.get(cell, 0)
                self._epochs[cell] = max(known, holder.cells[cell].epoch)
        self._metrics.engines.set(len(fleet.engines))
        self._metrics.ownerless.set(len(self._ownerless_since_s))

    def _take_step(self, cell: str) -> None:
        if self._doing[cell] is Doing.WAITING and self._keeper.has_acquired(cell):
            # Whoever claims it does not know yet that it is ours.
            return
        outlook = Outlook(self.fleet, self.fleet.late(self._part.late_below_ms))
        turns = self._ownerless_turns(cell)
        step = next_step(cell, self._part.engine, outlook, self._doing[cell], turns)
        match step:
            case Step.STAY:
                return
            case Step.OPEN:
                self._doing[cell] = Doing.WAITING
                self._work[cell] = asyncio.create_task(self._open(cell))
            case Step.GIVE_WAY:
                self._doing[cell] = Doing.CLOSING
                waiting = self._work[cell]
                self._work[cell] = asyncio.create_task(self._wait_no_more(cell, waiting))
            case Step.HAND_OVER:
                self._work[cell].cancel()
                self._doing[cell] = Doing.CLOSING
                self._takers[cell] = ranked(cell, self.fleet)[0]
                self._work[cell] = asyncio.create_task(self._close(cell, "handed_over"))
        self._hurry.set()

    def _ownerless_turns(self, cell: str) -> int:
        now_s = asyncio.get_running_loop().time()
        since_s = self._ownerless_since_s.get(cell, now_s)
        return int((now_s - since_s) * 1_000 / (_STAGGER_BEATS * self._part.heartbeat_ms))

    async def _open(self, cell: str) -> None:
        """Acquire a cell, whenever that may be, then see whether it is lost."""
        try:
            is_known = self._epochs.get(cell, 0) > 0
            loop = await self._keeper.open(cell, self._part.engine, is_known=is_known)
        except CellGone as gone:
            self._end(f"cell {cell!r}: {gone}", ExitCode.CELL_GONE)
            return
        except Exception as error:
            # A bug of ours as well: nobody must wait for us to take the cell.
            self._refuse(cell, error)
            return
        self._takers.pop(cell, None)
        self._failures.forget(cell)
        self._held[cell] = Held(loop.epoch, wall_ms())
        self._doing[cell] = Doing.HOLDING
        self._metrics.moved.labels("opened").inc()
        _log.info("cell_opened", cell=cell, epoch=loop.epoch)
        self._hurry.set()
        await loop.lost.wait()
        self._doing[cell] = Doing.CLOSING
        await self._close(cell, "lost")

    async def _wait_no_more(self, cell: str, waiting: asyncio.Task[None]) -> None:
        """Leave a cell to another engine."""
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        if cell in self._held:
            # It came to be ours in the very turn of the loop in which it was given up.
            await self._close(cell, "handed_over")
        self._doing[cell] = Doing.NOTHING

    async def _close(self, cell: str, how: str) -> None:
        """Give a cell up."""
        begun_s = asyncio.get_running_loop().time()
        # What the others are told of in the next turn.
        self._held.pop(cell, None)
        try:
            await self._keeper.close(cell)
        except Exception:
            # A bug of ours; what was not given up lapses.
            _log.exception("cell_not_closed", cell=cell)
        self._doing[cell] = Doing.NOTHING
        took_s = asyncio.get_running_loop().time() - begun_s
        # What the cell was made of refers to itself, and nothing else ever looks for such.
        gc.collect()
        self._metrics.moved.labels(how).inc()
        self._metrics.closing_seconds.observe(took_s)
        taker = self._takers.get(cell, "")
        _log.info("cell_closed", cell=cell, how=how, to=taker, took_s=round(took_s, 3))
        self._hurry.set()

    def _refuse(self, cell: str, error: Exception) -> None:
        """Leave a cell that cannot be opened to others for a while."""
        again_in_s = self._failures.add(cell, error, asyncio.get_running_loop().time())
        self._doing[cell] = Doing.NOTHING
        self._metrics.moved.labels("refused").inc()
        told = {"cell": cell, "error": str(error), "again_in_s": again_in_s}
        _log.error("cell_not_opened", **told, exc_info=is_bug(error))
        self._hurry.set()


def _at(cell: str, engine: Heartbeat, epoch: int) -> CallRefused:
    """The refusal that names another engine."""
    return not_owner(NotOwner(cell=cell, engine=engine.engine, address=engine.address, epoch=epoch))
