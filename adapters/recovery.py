"""From what a log has stored to an engine that can go on."""

import asyncio

from adapters.commit_log import LoadedState, LogCorrupt
from adapters.reply_window import ReplyWindow
from adapters.turn import LoopSettings
from engine.engine import Engine
from engine.state.rows import DamagedRow


async def recovered(
    state: LoadedState, cell: str, settings: LoopSettings
) -> tuple[Engine, ReplyWindow]:
    """
    Engine with the stored rows, and the replies it gave; made beside the loop where the settings
    have it so.

    Raises
    ------
    LogCorrupt
        A row does not say what a row of its table says.
    """
    if settings.loads_beside:
        return await asyncio.to_thread(_recovered, state, cell, settings)
    return _recovered(state, cell, settings)


def _recovered(state: LoadedState, cell: str, settings: LoopSettings) -> tuple[Engine, ReplyWindow]:
    engine = Engine(settings.limits, settings.neighbours)
    try:
        engine.load(state.rows)
    except DamagedRow as damaged:
        message = f"what is stored for cell {cell!r} is damaged: {damaged}; restore a copy"
        raise LogCorrupt(message) from damaged
    replies = ReplyWindow(settings.reply_window_ms, settings.replies_max)
    replies.load(state.replies)
    return engine, replies
