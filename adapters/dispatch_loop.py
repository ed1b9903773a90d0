"""
The one owner of a cell's engine: what arrives waits in a bounded inbox, runs in turns, is
committed, then answered.

A turn runs everything that gathered while the turn before was committing: no timer, no fixed batch.
Numbered steps, each the place of a crash test:

1. look the request id up: stored reply, or another body under the same id
2. run the command on the engine; refused calls have changed nothing
3. seal the group: effects, changed rows, replies to keep
4. commit it; until here nothing has left the process
5. answer the callers
6. publish the events

If a commit fails the engine's state is ahead of the log and is dropped whole: callers get
UNAVAILABLE, the rows are loaded again, and only then does the inbox open.

Where the cell is held by a lease, each commit renews it, and `_keep` does while there are none.
Once it may have lapsed, turns and answers wait until it is renewed: the cell may be another's.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

import structlog

from adapters.alarm import Alarm
from adapters.clock import Clock
from adapters.commit_chain import CommitChain
from adapters.commit_log import (
    CommitLog,
    CommitLogError,
    Fenced,
    LoggedGroup,
    LogHeld,
    StoredReply,
)
from adapters.errors import CallRefused, failed, overloaded, unavailable
from adapters.event_hub import EventHub
from adapters.metrics import CellMetrics
from adapters.recovery import Recovery
from adapters.reply_window import ReplyWindow
from adapters.turn import (
    Call,
    LoopSettings,
    Turn,
    digest_of,
    repeated,
    run_method,
    run_without_waiting,
    to_commit,
    why_shed,
    wrong_id,
)
from engine.commands import Expire, Recover
from engine.engine import Engine
from engine.state.cell import Group

_log = structlog.get_logger(__name__)

TURN_CALLS_MAX: Final = 512
_REOPEN_EVERY_S: Final = 1.0
_RETRY_WHEN_FULL_MS: Final = 50
_INTERNAL_ERROR: Final = "the cell met an internal error and is loading its state again"


class DispatchLoop:
    """
    Turns of one cell. Lives in one thread, with the event loop it was started in.

    Parameters
    ----------
    cell
        Name of the cell.
    log
        Where groups are committed.
    settings
        Bounds of the cell and of what waits for it.
    metrics
        The cell's metrics.
    clock_not_before
        Makes the cell's clock from the time of the last command in the log.
    """

    def __init__(
        self,
        cell: str,
        log: CommitLog,
        settings: LoopSettings,
        metrics: CellMetrics,
        clock_not_before: Callable[[int], Clock] = Clock,
    ) -> None:
        self.cell = cell
        self.hub = EventHub()
        # Set when another owner has the cell, or nobody has it any more; and what the log said.
        self.lost = asyncio.Event()
        self.why_lost: CommitLogError | None = None
        self._owner = ""
        self._log = log
        self._settings = settings
        self._metrics = metrics
        self._inbox: deque[Call] = deque()
        self._engine = Engine(settings.limits, settings.neighbours)
        self._clock_not_before = clock_not_before
        self._clock = clock_not_before(0)
        self._replies = ReplyWindow(settings.reply_window_ms, settings.replies_max)
        self._chain = CommitChain(cell, log)
        self._recovery = Recovery(log, cell, settings)
        self._is_open = False
        self._opened_s = 0.0
        self._is_closing = False
        self._turn_is_due = False
        self._turn_runs = False
        self._under_way: Turn | None = None
        self._alarm = Alarm(self._schedule_turn)
        self._tasks: set[asyncio.Task[None]] = set()
        metrics.show(inbox_calls=lambda: len(self._inbox), kept_replies=lambda: len(self._replies))

    @property
    def is_open(self) -> bool:
        """Whether calls are taken, and can be committed as far as is known."""
        return self._is_open and not self._chain.is_lapsed

    @property
    def epoch(self) -> int:
        """Counts owners of the cell; ours since the last start or reload."""
        return self._chain.epoch

    @property
    def engine(self) -> Engine:
        """The engine, to be read only; commands go through `submit`."""
        return self._engine

    def now_ms(self) -> int:
        """Engine time."""
        return self._clock.now_ms()

    async def start(self, owner: str) -> None:
        """
        Acquire the log, load the cell, requeue what was offered, and open.

        Raises
        ------
        CommitLogError
            The log cannot be acquired or read; the message says what to do.
        """
        self._owner = owner
        await self._chain.begin(owner)
        await self._load()
        self._open()
        if self._chain.renew_every_s:
            self._spawn(self._keep(self._chain.renew_every_s))

    async def tail(self, after_sequence: int, groups_max: int) -> Sequence[LoggedGroup]:
        """Committed groups after a sequence number; see `CommitLog.tail`."""
        return await self._log.tail(after_sequence, groups_max)

    async def oldest_sequence(self) -> int:
        """First group of the log; see `CommitLog.oldest_sequence`."""
        return await self._log.oldest_sequence()

    async def stop(self, timeout_s: float = 10.0) -> None:
        """Finish the calls in the inbox, or as many as the time allows, then release the log."""
        self._is_closing = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while (self._inbox or self._turn_runs) and self._is_open:
                    await asyncio.sleep(0.001)
        self._alarm.cancel()
        for task in self._tasks:
            task.cancel()
        self._close(self._under_way or Turn(now_ms=0), f"cell {self.cell!r} is closing")
        await self._log.release()

    def submit(self, call: Call) -> None:
        """
        Put a call into the inbox; its answer comes after a commit.

        Raises
        ------
        CallRefused
            The inbox is full, or the cell is not open.
        """
        if not self._is_open or self._is_closing:
            raise unavailable(
                f"cell {self.cell!r} is not open here: starting, recovering or closing"
            )
        why = why_shed(call, self._chain, len(self._inbox), self._settings.inbox_max)
        if why:
            self._metrics.shed.inc()
            raise overloaded(f"cell {self.cell!r}: {why}", _RETRY_WHEN_FULL_MS)
        self._inbox.append(call)
        self._schedule_turn()

    def _schedule_turn(self) -> None:
        if self._is_open and not (self._turn_is_due or self._turn_runs):
            self._turn_is_due = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """Run what has gathered, then have it committed."""
        self._turn_is_due = False
        if not self._is_open:
            return
        self._turn_runs = True
        if self._chain.is_lapsed:
            self._spawn(self._renew())
            return
        self._under_way = turn = Turn(now_ms=self._clock.now_ms())
        try:
            self._run_calls(turn)
            group = self._engine.take_group()
        except Exception:
            # A bug: the engine may have stopped half-way, so its state is dropped whole. Who met
            # it is not to try again, and have the others meet it too.
            _log.exception("turn_failed", cell=self.cell, calls=len(turn.calls))
            turn.refuse_running(failed(_INTERNAL_ERROR))
            self._abandon(turn, _INTERNAL_ERROR)
            return
        ending = self._finish(turn, group)
        if self._log.answers_at_once or not turn.must_commit(group):
            run_without_waiting(ending)
        else:
            self._spawn(ending)

    def _run_calls(self, turn: Turn) -> None:
        now_ms = turn.now_ms
        if self._engine.next_deadline_ms() <= now_ms:
            self._engine.apply(Expire(), now_ms)
        for _ in range(min(len(self._inbox), TURN_CALLS_MAX)):
            call = self._inbox.popleft()
            if not call.is_wanted():
                self._metrics.expired.inc()
                continue
            turn.calls.append(call)
            started_ns = time.perf_counter_ns()
            turn.answers.append(self._run(call, turn))
            self._metrics.decision_seconds.observe((time.perf_counter_ns() - started_ns) * 1e-9)

    def _run(self, call: Call, turn: Turn) -> bytes | CallRefused:
        """Steps 1 and 2 for one call."""
        method, request = call.method, call.request
        if not method.is_write:
            return run_method(method, self._engine, request, turn.now_ms, self._metrics.refused)
        request_id: str = request.request_id  # type: ignore[attr-defined]
        if (wrong := wrong_id(request_id)) is not None:
            return wrong
        digest = digest_of(method, request)
        kept = self._replies.find(request_id)
        if kept is not None:
            self._metrics.repeated.inc()
            return repeated(kept, request_id, digest)
        reply = run_method(method, self._engine, request, turn.now_ms, self._metrics.refused)
        if isinstance(reply, bytes):
            stored = StoredReply(request_id, digest, reply, turn.now_ms)
            turn.kept.append(stored)
            self._replies.keep(stored)
        return reply

    async def _finish(self, turn: Turn, group: Group) -> None:
        """Steps 3 to 6."""
        if turn.must_commit(group) and not await self._is_committed(turn, group):
            return
        turn.answer_all(self.cell)
        if group.effects:
            self._metrics.count_effects(group.effects)
        # Also without effects, so that the hub knows how far the log reaches.
        self.hub.publish(self._chain.sequence, group.effects)
        self._go_on()

    def _go_on(self) -> None:
        """Let the next turn begin when there is something to run."""
        self._turn_runs, self._under_way = False, None
        self._arm()
        if self._inbox:
            self._schedule_turn()

    async def _keep(self, every_s: float) -> None:
        """Renew the lease while nothing is committed, as long as the cell is open."""
        while True:
            await asyncio.sleep(every_s)
            if self._is_open and not (self._turn_runs or self._turn_is_due):
                self._turn_runs = True
                await self._renew()

    async def _renew(self) -> None:
        """Renew the lease in the place of a turn."""
        if await self._is_logged(self._chain.renew(), Turn(now_ms=self._clock.now_ms())):
            self._go_on()

    async def _is_committed(self, turn: Turn, group: Group) -> bool:
        """Steps 3 and 4; False when the log refused and the turn was dropped."""
        started_ns = time.perf_counter_ns()
        append = self._chain.append(to_commit(group, turn.kept))
        if not await self._is_logged(append, turn):
            return False
        self._metrics.commit_seconds.observe((time.perf_counter_ns() - started_ns) * 1e-9)
        self._metrics.group_calls.observe(len(turn.calls))
        return True

    async def _is_logged(self, work: Awaitable[None], turn: Turn) -> bool:
        """Have something done to the log; False when it refused and the turn was dropped."""
        try:
            await work
        except Fenced as error:
            self._lose(turn, error)
        except CommitLogError as error:
            self._abandon(turn, f"the commit log refused: {error}")
            _log.error("commit_failed", cell=self.cell, error=str(error))
        except Exception:
            # A bug in the log, so nobody knows what it wrote.
            self._abandon(turn, _INTERNAL_ERROR)
            _log.exception("commit_failed", cell=self.cell)
        else:
            return True
        self._metrics.commit_failures.inc()
        return False

    def _open(self) -> None:
        self._is_open = True
        self._opened_s = asyncio.get_running_loop().time()
        self._arm()

    def _abandon(self, turn: Turn, why: str) -> None:
        """Drop the engine's state, which is ahead of the log, and load the cell again."""
        self._close(turn, why)
        self._spawn(self._reopen())

    def _lose(self, turn: Turn, error: Fenced) -> None:
        """Leave the cell to its new owner: to acquire it again would take it back from there."""
        self._close(turn, f"the cell is lost: {error}")
        self._tell_lost(error)

    def _tell_lost(self, error: CommitLogError) -> None:
        _log.error("cell_lost", cell=self.cell, error=str(error))
        self.why_lost = error
        self.lost.set()

    def _close(self, turn: Turn, why: str) -> None:
        """Take no more calls, and answer those of the turn and of the inbox."""
        self._is_open = False
        refusal = unavailable(why)
        for call in turn.calls:
            call.answer(refusal)
        while self._inbox:
            self._inbox.popleft().answer(refusal)
        self._turn_runs, self._under_way = False, None

    async def _reopen(self) -> None:
        """Load the cell from the log until that works; end for good when another owner has it."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._opened_s + _REOPEN_EVERY_S:
            # It failed again at once: a full disk is not worth a reload for every call.
            await asyncio.sleep(_REOPEN_EVERY_S)
        while not self._is_closing:
            try:
                await self._chain.begin(self._owner)
                await self.hub.catch_up(self._log, self._chain.sequence)
                await self._load()
            except (LogHeld, Fenced) as error:
                self._tell_lost(error)
                return
            except Exception as error:
                is_bug = not isinstance(error, CommitLogError)
                _log.error("reload_failed", cell=self.cell, error=str(error), exc_info=is_bug)
                await asyncio.sleep(_REOPEN_EVERY_S)
                continue
            _log.info("cell_reloaded", cell=self.cell)
            self._metrics.reloads.inc()
            self._open()
            return

    async def _load(self) -> None:
        """Make the engine anew from the log, and commit what recovery changes."""
        engine, replies = await self._recovery.finish(self._chain)
        clock = self._clock_not_before(engine.now_ms())
        engine.desk.use(self._engine.desk.rulebook)
        engine.apply(Recover(), clock.now_ms())
        group = engine.take_group()
        if group.row_deltas:
            await self._chain.append(to_commit(group))
        self._engine, self._clock, self._replies = engine, clock, replies
        self.hub.publish(self._chain.sequence, group.effects)

    def _arm(self) -> None:
        """Have a turn begin when the engine's next deadline comes."""
        if self._is_open:
            self._alarm.set(self._engine.next_deadline_ms(), self._clock.now_ms())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
