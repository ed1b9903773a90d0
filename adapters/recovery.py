"""From what a log has stored to an engine that can go on."""

import asyncio

from adapters.collection import collection_paused
from adapters.commit_chain import CommitChain
from adapters.commit_log import CommitLog, LeasedLog, LoadedState, LogCorrupt
from adapters.reply_window import ReplyWindow
from adapters.turn import LoopSettings
from engine.engine import Engine
from engine.state.rows import DamagedRow

# What a loop goes on with.
Recovered = tuple[Engine, ReplyWindow]


class Recovery:
    """
    Makes a cell's engine; begins before the cell is ours where its log foresees what it will load.

    Parameters
    ----------
    log
        Where the cell is kept.
    cell
        Its name.
    settings
        Bounds of the engine, and whether it is made beside the loop.
    """

    def __init__(self, log: CommitLog, cell: str, settings: LoopSettings) -> None:
        self._log = log
        self._cell = cell
        self._settings = settings
        # Made ahead, and of what.
        self._ahead: tuple[LoadedState, asyncio.Task[Recovered]] | None = None
        if settings.loads_beside and isinstance(log, LeasedLog):
            log.foresee(self._begin)

    async def finish(self, chain: CommitChain) -> Recovered:
        """
        Engine with the rows that the log has stored, and the replies it gave.

        Raises
        ------
        CommitLogError
            As `CommitLog.load`, or LogCorrupt: a row does not say what a row of its table says.
        """
        with collection_paused():
            state = await self._log.load()
            if self._ahead is not None and self._ahead[0].rows is state.rows:
                making, self._ahead = self._ahead[1], None
                return await chain.renewing(making)
            self._begin(None)
            return await chain.renewing(self._made(state))

    def _begin(self, state: LoadedState | None) -> None:
        """Make an engine of what is likely to be loaded, and none of what was before."""
        if self._ahead is not None:
            self._ahead[1].cancel()
        self._ahead = None
        if state is not None:
            making = asyncio.create_task(self._made_ahead(state))
            # Nobody may ever ask what became of it.
            making.add_done_callback(lambda made: made.cancelled() or made.exception())
            self._ahead = state, making

    async def _made_ahead(self, state: LoadedState) -> Recovered:
        with collection_paused():
            return await self._made(state)

    async def _made(self, state: LoadedState) -> Recovered:
        if self._settings.loads_beside:
            return await asyncio.to_thread(self._made_here, state)
        return self._made_here(state)

    def _made_here(self, state: LoadedState) -> Recovered:
        settings = self._settings
        engine = Engine(settings.limits, settings.neighbours)
        try:
            engine.load(state.rows)
        except DamagedRow as damaged:
            message = f"what is stored for cell {self._cell!r} is damaged: {damaged}"
            raise LogCorrupt(f"{message}; restore a copy") from damaged
        replies = ReplyWindow(settings.reply_window_ms, settings.replies_max)
        replies.load(state.replies)
        return engine, replies
