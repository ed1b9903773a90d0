"""
The promises of a commit, each beside the line that keeps it: without the line the promise breaks.

A promise is a function that passes with the script as it is. The second test takes one line away at
a time and expects the promise to fail, so that no line can go unnoticed and no promise is empty.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import NamedTuple

import pytest
from redis.exceptions import ResponseError

from adapters.commit_log import CommitLogError, DoubtRemains, Fenced, LoggedGroup, TokenConflict
from adapters.redis_log import commits
from adapters.redis_log.commits import RedisCommits
from adapters.redis_log.connection import Answer, Command
from adapters.redis_log.scripts import COMMIT, Script
from tests.adapters.commit_log_contract import contact, group, reply, token
from tests.adapters.redis_cell import BRIEF, NewCell, RedisCell, begun
from tests.end_to_end.redis_servers import RedisServer

pytestmark = pytest.mark.needs_redis

Pair = list[RedisServer]


async def retry_is_applied_once(cell: RedisCell, pair: Pair) -> None:
    """A lost answer is asked for again: the group is there once."""
    log = cell.log()
    last = await begun(log)
    for _ in range(2):
        assert await log.commit(last, token(9), group(b"once")) == 4
    assert list(await log.tail(3, 9)) == [LoggedGroup(4, b"once")]


async def late_group_is_refused(cell: RedisCell, pair: Pair) -> None:
    """What a slow network delivers after its successor must not be done again."""
    log = cell.log()
    last = await begun(log)
    await log.commit(last, token(9), group(b"first"))
    await log.commit(token(9), token(10), group(b"second"))
    with pytest.raises(TokenConflict):
        await log.commit(last, token(9), group(b"first"))


async def deposed_owner_is_fenced(cell: RedisCell, pair: Pair) -> None:
    """A paused owner names the right token, for its successor has not committed yet."""
    log = cell.log()
    last = await begun(log)
    cell.break_lease(pair[0])
    await cell.log().acquire("b")
    with pytest.raises(Fenced):
        await log.commit(last, token(9), group())


async def repeated_group_moves_the_mark_of_wait(cell: RedisCell, pair: Pair) -> None:
    """WAIT counts up to the connection's last write: a retry that only reads proves nothing."""
    log = cell.log()
    last = await begun(log)
    await log.commit(last, token(9), group())
    before = writes(pair[0])
    await log.commit(last, token(9), group())
    assert writes(pair[0]) > before


async def nothing_is_acknowledged_without_a_replica(cell: RedisCell, pair: Pair) -> None:
    """What the primary alone has is lost with it."""
    log = cell.log("replicated", wait_replicas=1)
    last = await begun(log)
    pair[1].pause()
    try:
        with pytest.raises(DoubtRemains):
            await log.commit(last, token(9), group())
    finally:
        pair[1].resume()


async def unreadable_group_changes_nothing(cell: RedisCell, pair: Pair) -> None:
    """A script is not undone where it fails: it must fail before its first write."""
    log = cell.log()
    last = await begun(log)
    keys = cell.keys
    epoch = pair[0].run("HGET", keys.meta, "epoch")
    texts = (last.hex(), token(9).hex(), "a", 5_000, 100, 100, b"e", b"\xc1", b"", 0, 1_000)
    script = vars(commits)["COMMIT"].text
    with pytest.raises(ResponseError):
        pair[0].run("EVAL", script, len(keys), *keys, epoch, *texts)  # type: ignore[arg-type]
    assert await log.commit(last, token(10), group(b"next")) == 4
    assert list(await log.tail(3, 9)) == [LoggedGroup(4, b"next")]


async def commit_renews_the_lease(cell: RedisCell, pair: Pair) -> None:
    """A busy owner has no time to renew besides."""
    log = cell.log()
    last = await begun(log)
    pair[0].run("PEXPIRE", cell.keys.lease, 100)
    await log.commit(last, token(9), group())
    left_ms = pair[0].run("PTTL", cell.keys.lease)
    assert isinstance(left_ms, int)
    assert left_ms > 1_000


async def rows_and_replies_go_along(cell: RedisCell, pair: Pair) -> None:
    """What the next owner loads is what was committed."""
    log = cell.log()
    last = await begun(log)
    changed = group(b"e", [contact(1, None), contact(2, b"r", b"new")], [reply("q")])
    await log.commit(last, token(9), changed)
    loaded = await log.load()
    assert [(row.row, row.payload) for row in loaded.rows] == [(2, b"new"), (3, b"p")]
    assert list(loaded.replies) == [reply("q")]


Promise = Callable[[RedisCell, Pair], Awaitable[None]]


class Mutation(NamedTuple):
    """A line of the script, what stands in its place, and the promise it kept."""

    line: str
    instead: str
    promise: Promise


NEVER = "if false then"
SET_LEASE = "redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[5])\ncall"
MUTATIONS = {
    "no token check": Mutation("if m[2] ~= ARGV[2] then", "if false then", late_group_is_refused),
    "no epoch check": Mutation("if m[1] ~= ARGV[1] then", NEVER, deposed_owner_is_fenced),
    "no branch for a repeated token": Mutation(
        "if m[2] == ARGV[3] then", "if false then", retry_is_applied_once
    ),
    "a repeated token writes nothing": Mutation(
        "  redis.call('HSET', KEYS[1], 'token', ARGV[3])\n"
        "  redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[5])\n",
        "",
        repeated_group_moves_the_mark_of_wait,
    ),
    "decoded after the first write": Mutation(
        "local changes = cmsgpack.unpack(ARGV[9])",
        "redis.call('XADD', KEYS[3], '4-0', 't', 'x', 'n', '0', 'e', '')\n"
        "local changes = cmsgpack.unpack(ARGV[9])",
        unreadable_group_changes_nothing,
    ),
    "lease not renewed": Mutation(SET_LEASE, "call", commit_renews_the_lease),
    "rows not deleted": Mutation(
        "call_in_chunks('HDEL', KEYS[4], gone)", "", rows_and_replies_go_along
    ),
    "replies not kept": Mutation("if #ARGV[10] > 0 then", NEVER, rows_and_replies_go_along),
}
PROMISES = (
    *dict.fromkeys(mutation.promise for mutation in MUTATIONS.values()),
    nothing_is_acknowledged_without_a_replica,
)


def writes(server: RedisServer) -> int:
    """How far the stream to the replicas has come, but for the server's own pings."""
    with server.client() as client:
        stats = client.info("commandstats")
    return sum(int(stats[f"cmdstat_{name}"]["calls"]) for name in ("hset", "set", "xadd"))


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
async def test_promise_holds(new_cell: NewCell, pair: Pair, promise: Promise) -> None:
    """With the script as it is."""
    await promise(new_cell(pair[0].url, BRIEF), pair)


@pytest.mark.parametrize("name", MUTATIONS)
async def test_promise_breaks_without_its_line(
    new_cell: NewCell, pair: Pair, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A line nobody would miss is no protection."""
    line, instead, promise = MUTATIONS[name]
    text = COMMIT.text.decode()
    assert text.count(line) == 1
    broken = Script.of(text.replace(line, instead))
    monkeypatch.setattr(commits, "COMMIT", broken)
    with pytest.raises((AssertionError, CommitLogError, pytest.fail.Exception)):
        await promise(new_cell(pair[0].url, BRIEF), pair)


async def test_acknowledged_without_wait_is_on_the_primary_alone(
    new_cell: NewCell, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for the one line that is not in the script."""

    async def ask_only(self: RedisCommits, command: Command) -> Answer:
        return await (await self.connected()).ask_one(*command)

    monkeypatch.setattr(RedisCommits, "_ask_durably", ask_only)
    with pytest.raises(pytest.fail.Exception):
        await nothing_is_acknowledged_without_a_replica(
            new_cell(pair[0].url, replace(BRIEF, wait_replicas=1)), pair
        )
