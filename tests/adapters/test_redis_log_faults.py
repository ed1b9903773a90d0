"""What a log in Redis survives: servers that die, stall, fill up, and forget."""

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from adapters.commit_log import (
    CellGone,
    CommitLogError,
    DoubtRemains,
    LogFull,
    TokenConflict,
)
from adapters.redis_log.connection import Answer, Command, RedisConnection, RedisUnreachable
from tests.adapters.commit_log_contract import commit_all, contact, group, reply, token
from tests.adapters.redis_cell import BRIEF, NewCell, begun
from tests.end_to_end.redis_servers import RedisServer, replicated

pytestmark = pytest.mark.needs_redis


async def test_killed_and_restarted_server_has_every_group(
    new_cell: NewCell, server: RedisServer
) -> None:
    """A server's process may die; what it wrote to its file is there, and the owner goes on."""
    cell = new_cell(server.url)
    log = cell.log()
    last = await begun(log)
    server.kill()
    restart = asyncio.create_task(asyncio.to_thread(server.start))
    assert await log.commit(last, token(9), group(b"late")) == 4
    await restart
    assert [one.events for one in await log.tail(0, 9)] == [b"e1", b"e2", b"e3", b"late"]
    assert len((await log.load()).rows) == 3


async def test_server_that_stays_away_leaves_the_commit_in_doubt(
    new_cell: NewCell, server: RedisServer
) -> None:
    """Callers must be told in the end; the message names the server and what it said."""
    cell = new_cell(server.url, BRIEF)
    log = cell.log()
    last = await begun(log)
    server.kill()
    with pytest.raises(DoubtRemains, match=rf"{server.url}: no certain answer within 0\.6 s"):
        await log.commit(last, token(9), group())
    with pytest.raises(CommitLogError, match="check the address and the server"):
        await log.acquire("a")


async def test_silent_server_leaves_the_commit_in_doubt_and_it_is_settled(
    new_cell: NewCell,
    server: RedisServer,
) -> None:
    """A stalled machine answers later, or never: the group is there once, whichever it was."""
    cell = new_cell(server.url)
    log = cell.log(answer_within_s=0.1)
    last = await begun(log)
    server.pause()
    commit = asyncio.create_task(log.commit(last, token(9), group(b"late")))
    await asyncio.sleep(0.3)
    server.resume()
    assert await commit == 4
    assert [one.events for one in await log.tail(3, 9)] == [b"late"]
    assert cell.tallies.commits_in_doubt.value > 0


async def test_demoted_primary_is_in_doubt_until_there_is_one(
    new_cell: NewCell, tmp_path: Path
) -> None:
    """A replica must not answer for the log, whatever it still has of it."""
    with replicated(tmp_path, 1) as (primary, other):
        cell = new_cell(primary.url)
        log = cell.log(answer_within_s=0.2)
        last = await begun(log)
        primary.run("REPLICAOF", "127.0.0.1", other.port)
        commit = asyncio.create_task(log.commit(last, token(9), group(b"late")))
        await asyncio.sleep(0.3)
        assert not commit.done()
        primary.run("REPLICAOF", "NO", "ONE")
        assert await commit == 4
        primary.run("REPLICAOF", "127.0.0.1", other.port)
        with pytest.raises(
            CommitLogError, match=r"a replica of 127\.0\.0\.1:[0-9]+; name the primary"
        ):
            await cell.log().acquire("a")


async def test_full_server_refuses_whole_groups_and_recovers(
    new_cell: NewCell, server: RedisServer
) -> None:
    """Memory that runs out may stop a cell, but not cost it a group, nor half of one."""
    cell = new_cell(server.url, BRIEF)
    log = cell.log()
    last = await begun(log)
    server.run("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(LogFull, match=r"nothing was written: .*make room"):
        await log.commit(last, token(9), group(b"late", [contact(9, b"r", b"p")]))
    # The lease goes on: a full store is no reason to hand the cell over.
    await log.renew()
    server.run("CONFIG", "SET", "maxmemory", "0")
    assert len((await log.load()).rows) == 3
    assert await log.commit(last, token(9), group(b"late", [contact(9, b"r", b"p")])) == 4
    assert len((await log.load()).rows) == 4


async def test_full_server_does_not_answer_for_an_earlier_try(
    new_cell: NewCell, server: RedisServer
) -> None:
    """ "Nothing was written" is not known of a token that was sent before."""
    cell = new_cell(server.url, BRIEF)
    log = cell.log(answer_within_s=0.1)
    last = await begun(log)
    server.pause()
    commit = asyncio.create_task(log.commit(last, token(9), group()))
    await asyncio.sleep(0.15)
    server.resume()
    server.run("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(DoubtRemains, match="OOM"):
        await commit
    server.run("CONFIG", "SET", "maxmemory", "0")
    assert await log.commit(last, token(9), group()) == 4


async def test_rolled_back_server_gets_its_groups_again(
    new_cell: NewCell, server: RedisServer, tmp_path: Path
) -> None:
    """A failover may forget acknowledged groups; their owner still has them."""
    cell = new_cell(server.url)
    log = cell.log()
    last = await begun(log)
    copy = copied(server, tmp_path)
    more = [group(b"m%d" % n, [contact(n, b"m", b"p")], [reply(f"q{n}")]) for n in range(4, 700)]
    for number, one in enumerate(more, start=4):
        await log.commit(last, token(number), one)
        last = token(number)
    roll_back(server, copy)
    assert await log.commit(last, token(700), group(b"after")) == 700
    assert [one.events for one in await log.tail(697, 9)] == [b"m698", b"m699", b"after"]
    loaded = await log.load()
    assert len(loaded.rows) == 699
    assert len(loaded.replies) == 696
    assert cell.tallies.groups_repaired.value == 696
    assert cell.tallies.acknowledged_lost.value == 0


async def test_owner_that_acquires_a_rolled_back_log_repairs_it_first(
    new_cell: NewCell, server: RedisServer, tmp_path: Path
) -> None:
    """A commit given up in doubt makes the owner load again: not from a log that forgot things."""
    cell = new_cell(server.url)
    log = cell.log()
    last = await begun(log)
    copy = copied(server, tmp_path)
    await log.commit(last, token(9), group(b"late", [contact(9, b"r", b"p")]))
    roll_back(server, copy)
    owned = await log.acquire("a")
    assert (owned.token, owned.sequence) == (token(9), 4)
    assert len((await log.load()).rows) == 4
    assert await log.commit(owned.token, token(10), group()) == 5


async def test_repair_that_loses_its_answer_is_made_again(
    new_cell: NewCell, server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that forgot something is seldom steady: what was done already is not in the way."""
    cell = new_cell(server.url)
    log = cell.log()
    last = await begun(log)
    copy = copied(server, tmp_path)
    for number in range(4, 7):
        await log.commit(last, token(number), group(b"m", [contact(number, b"m", b"p")]))
        last = token(number)
    roll_back(server, copy)
    asks = RedisConnection.ask
    lost: list[Sequence[Command]] = []

    async def ask(
        connection: RedisConnection, commands: Sequence[Command], longer_s: float = 0.0
    ) -> list[Answer]:
        answers = await asks(connection, commands, longer_s)
        if commands[0][0] == b"EVALSHA" and not lost:
            lost.append(commands)
            await connection.close()
            raise RedisUnreachable("the answer was lost")
        return answers

    monkeypatch.setattr(RedisConnection, "ask", ask)
    owned = await log.acquire("a")
    assert (owned.token, owned.sequence) == (token(6), 6)
    assert cell.tallies.groups_repaired.value == 3
    assert len((await log.load()).rows) == 6
    assert await log.commit(owned.token, token(10), group()) == 7
    assert len(lost) == 1


async def test_server_rolled_back_too_far_is_told_and_counted(
    new_cell: NewCell, server: RedisServer, tmp_path: Path
) -> None:
    """Where repair is impossible somebody must know that acknowledged work is gone."""
    cell = new_cell(server.url)
    first = cell.log()
    await first.acquire("a")
    copy = copied(server, tmp_path)
    await commit_all(first, await first.acquire("a"), [group(), group(), group()])
    # An owner that came later remembers only what it committed itself.
    log = cell.log()
    owned = await log.acquire("a")
    await log.commit(owned.token, token(9), group())
    roll_back(server, copy)
    # The copy knows an older epoch: make it ours, as a failover that kept it would.
    server.run("HSET", cell.keys.meta, "epoch", owned.epoch)
    with pytest.raises(TokenConflict, match="ends with group 0"):
        await log.commit(token(9), token(10), group())
    assert cell.tallies.acknowledged_lost.value == 1


async def test_emptied_server_is_told_from_another_owner(
    new_cell: NewCell, server: RedisServer
) -> None:
    """Whoever runs the engine must learn that the data is gone, not look for a second engine."""
    cell = new_cell(server.url)
    log = cell.log()
    last = await begun(log)
    server.run("FLUSHALL")
    with pytest.raises(CellGone, match="keys are gone: the server was emptied"):
        await log.commit(last, token(9), group())
    assert cell.tallies.acknowledged_lost.value == 1


def copied(server: RedisServer, directory: Path) -> Path:
    """Copy what a server has on its disk now."""
    copy = directory / "copy"
    # What it wrote is in its file once it answers the next command.
    server.run("PING")
    shutil.copytree(server.directory, copy)
    return copy


def roll_back(server: RedisServer, copy: Path) -> None:
    """Have a server come back with what it had when the copy was made."""
    server.kill()
    shutil.rmtree(server.directory)
    shutil.copytree(copy, server.directory)
    server.start()
