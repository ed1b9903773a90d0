"""A cell's file in which policies have asked customers already: only they can, no caller."""

import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from adapters.commit_log import CommitGroup
from adapters.sqlite_log import SqliteLog
from engine.choices import Choice, OfferChoice, Option, OptionKind
from engine.commands import Command, Route, UpsertQueue
from engine.engine import Engine
from engine.lifecycle import Channel

CALLBACK = Option(OptionKind.CALLBACK, within_ms=600_000)
TO_CHAT = Option(OptionKind.OTHER_CHANNEL, "chat", Channel.CHAT)
TO_BOT = Option(OptionKind.SELF_SERVICE, "bot")
WAIT = Option(OptionKind.WAIT, announces_wait=True, estimated_wait_ms=120_000)


def now_ms() -> int:
    """Wall clock."""
    return time.time_ns() // 1_000_000


def asked(
    contact_id: str, *options: Option, answer_ms: int = 60_000, back_ms: int = 60_000
) -> list[Command]:
    """A caller for `sales` who is asked."""
    choice = Choice("busy", 3, "act-7", options, answer_ms, back_ms)
    return [
        Route(contact_id, "sales", Channel.VOICE, 2, attributes={"name": "Ada", "lang": "de"}),
        OfferChoice(contact_id, choice),
    ]


async def written(directory: Path, commands: Sequence[Command]) -> Path:
    """A folder with the file of a cell in which these commands were applied just now."""
    engine = Engine()
    at_ms = now_ms() - 100
    for queue_id in ("sales", "chat", "bot"):
        engine.apply(UpsertQueue(queue_id), at_ms)
    for command in commands:
        engine.apply(command, at_ms)
    group = engine.take_group()
    directory.mkdir()
    log = SqliteLog(directory / "default.sqlite", "full", "default")
    ownership = await log.acquire("test")
    await log.commit(
        ownership.token,
        secrets.token_bytes(16),
        CommitGroup(group.events, group.row_deltas, ()),
    )
    await log.release()
    return directory
