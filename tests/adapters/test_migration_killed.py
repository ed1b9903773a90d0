"""Migrations that are killed half way, or sleep until they are thought dead."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.commit_log import CommitLogError, LogHeld
from tests.adapters.commit_log_contract import contact
from tests.adapters.migration_places import Places, contents_of, moved

pytestmark = pytest.mark.needs_redis

ROOT = Path(__file__).resolve().parents[2]

KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from adapters.migration import file_store, moving, redis_store
from adapters.redis_log.address import parse_redis_url
from adapters.redis_log.primary import RedisPrimary
from adapters.redis_log.scripts import Keys

step, moment, url, prefix, source, place = sys.argv[1:]
if place == "redis":
    kind = redis_store.RedisTarget
    target = kind(RedisPrimary(parse_redis_url(url), "cell", 10.0), Keys.of(prefix, "cell"),
                  tier="relaxed", wait_replicas=0, reply_window_ms=600_000)
else:
    kind = file_store.FileTarget
    target = kind(Path(place), "cell")
does = getattr(kind, step)

async def until_killed(self, *arguments):
    if moment == "after":
        await does(self, *arguments)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(kind, step, until_killed)
asyncio.run(moving.move(file_store.FileSource(Path(source), "cell"), target))
"""
STEPS = [
    ("begin", "after"),
    ("put_rows", "after"),
    ("put_groups", "after"),
    ("put_replies", "after"),
    ("settle", "after"),
    ("finish", "before"),
    ("finish", "after"),
]


@pytest.mark.parametrize("place", ["redis", "other"])
@pytest.mark.parametrize(("step", "moment"), STEPS)
async def test_killed_migration_leaves_a_target_that_is_refused_or_complete(
    full: Places, place: str, step: str, moment: str
) -> None:
    """No engine may begin with half of a cell, nor with an empty one in its place."""
    before = full.file.read_bytes()
    prefix = full.redis.keys.meta.partition(b":")[0].decode()
    where = "redis" if place == "redis" else str(full.other)
    arguments = (step, moment, full.redis.url, prefix, str(full.file), where)
    ended = await asyncio.to_thread(
        subprocess.run, (sys.executable, "-c", KILLED, *arguments), cwd=ROOT, env=os.environ,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == -9, ended.stderr
    assert full.file.read_bytes() == before
    if place == "redis":
        full.redis.break_lease(full.server)
    if (step, moment) == ("finish", "after"):
        assert await contents_of(full.log(place)) == await contents_of(full.log("file"))
        return
    with pytest.raises(CommitLogError, match="a migration into it has not finished; run"):
        await full.log(place).acquire("b")
    if place == "redis":
        with pytest.raises(CommitLogError, match="a migration into it has not finished"):
            await moved(full.source("redis"), full.target("other"))
    await moved(full.source("file"), full.target(place))
    assert await contents_of(full.log(place)) == await contents_of(full.log("file"))


async def test_migration_that_was_thought_dead_writes_nothing_more(full: Places) -> None:
    """It slept past its lease; the next one has begun over."""
    slow = full.target("redis")
    await slow.begin("somewhere")
    await slow.put_rows([contact(1, b"slow", b"p")])
    other = full.target("redis")
    other._owner = b"another process"  # type: ignore[attr-defined]
    with pytest.raises(LogHeld, match=r"held by headgate migrate on .* let it finish"):
        await moved(full.source("file"), other)
    full.redis.break_lease(full.server)
    await moved(full.source("file"), full.target("redis"))
    acts: list[Callable[[], object]] = [
        lambda: slow.put_rows([contact(1, b"slow", b"p")]),
        lambda: slow.put_groups([]),
    ]
    for act in acts:
        with pytest.raises(CommitLogError, match="FENCED by another migration"):
            await act()  # type: ignore[misc]
    await slow.abandon()
    await slow.close()
    assert await contents_of(full.log("redis")) == await contents_of(full.log("file"))
