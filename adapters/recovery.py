"""From what a log has stored to an engine that can go on."""

import asyncio

from adapters.collection import collection_paused
from adapters.commit_chain import CommitChain
from adapters.commit_log import CommitLog, LoadedState, LogCorrupt
from adapters.reply_window import ReplyWindow
from adapters.turn import LoopSettings
from engine.engine import Engine
from engine.state.rows import DamagedRow


async def recovered(
    log: CommitLog, chain: CommitChain, cell: str, settings: LoopSettings
) -> tuple[Engine, ReplyWindow]:
    """
    Engine with the rows that a log has stored, and the replies it gave; made beside the loop where
    the settings have it so.

    Raises
    ------
    CommitLogError
        As `CommitLog.load`, or LogCorrupt: a row does not say what a row of its table says.
    """
    with collection_paused():
        state = await log.load()
        return await chain.renewing(_made(state, cell, settings))


async def _made(
    state: LoadedState, cell: str, settings: LoopSettings
) -> tuple[Engine, ReplyWindow]:
    if settings.loads_beside:
        return await asyncio.to_thread(_made_here, state, cell, settings)
    return _made_here(state, cell, settings)


def _made_here(state: LoadedState, cell: str, settings: LoopSettings) -> tuple[Engine, ReplyWindow]:
    engine = Engine(settings.limits, settings.neighbours)
    try:
        engine.load(state.rows)
    except DamagedRow as damaged:
        message = f"what is stored for cell {cell!r} is damaged: {damaged}; restore a copy"
        raise LogCorrupt(message) from damaged
    replies = ReplyWindow(settings.reply_window_ms, settings.replies_max)
    replies.load(state.replies)
    return engine, replies
