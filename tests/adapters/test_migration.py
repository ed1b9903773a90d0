"""Cells that are moved between stores: whole, once, and from nobody who still has them."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from adapters.commit_log import CommitLogError, LogCorrupt, LogHeld, SchemaTooNew
from adapters.migration.file_store import FileSource, FileTarget
from adapters.migration.redis_store import RedisTarget
from adapters.migration.stores import Target
from tests.adapters.commit_log_contract import commit_all, contact, group, reply, token
from tests.adapters.migration_places import GROUPS, Places, contents_of, moved, tables
from tests.end_to_end.redis_servers import RedisServer

pytestmark = pytest.mark.needs_redis


async def test_cell_comes_back_from_redis_as_it_went(full: Places) -> None:
    """Nothing is lost on the way: not a payload, not a reply, not a watcher's place."""
    before = full.file.read_bytes()
    sent = await moved(full.source("file"), full.target("redis", wait_replicas=1))
    assert full.file.read_bytes() == before
    assert (sent.rows, sent.groups) == (GROUPS * 10 - GROUPS // 3, GROUPS)
    assert await moved(full.source("redis"), full.target("other")) == sent
    assert tables(full.other) == tables(full.file)


async def test_owner_goes_on_where_the_other_stopped(full: Places) -> None:
    """Rows, replies, events and the chain: an engine cannot tell that its cell was moved."""
    await moved(full.source("file"), full.target("redis"))
    there = await contents_of(full.log("redis"))
    assert there == await contents_of(full.log("file"))
    log = full.log("redis")
    owned = await log.acquire("c")
    assert await log.commit(owned.token, token(999), group(b"on", [], [reply("z")])) == GROUPS + 1
    assert [one.events for one in await log.tail(GROUPS - 1, 9)] == [b"events 250", b"on"]


async def test_cell_moves_between_folders(full: Places) -> None:
    """A disk is replaced; what is moved need not change its kind."""
    await moved(full.source("file"), full.target("other"))
    assert tables(full.other) == tables(full.file)


async def test_cell_of_a_killed_engine_is_moved_with_what_its_wal_holds(places: Places) -> None:
    """What was acknowledged last is not in the file itself yet."""
    places.file.parent.mkdir()
    log = places.log("file")
    await commit_all(log, await log.acquire("a"), [group(b"e", [contact(1, b"r", b"p")])])
    wal = Path(f"{places.file}-wal")
    copy = {path: path.read_bytes() for path in (places.file, wal)}
    await log.release()
    for path, data in copy.items():
        path.write_bytes(data)
    assert (await moved(places.source("file"), places.target("redis"))).rows == 1
    assert {path: path.read_bytes() for path in copy} == copy


async def test_empty_cell_is_moved(places: Places) -> None:
    """It has an owner's epoch, and nothing else."""
    places.file.parent.mkdir()
    log = places.log("file")
    await log.acquire("a")
    await log.release()
    assert (await moved(places.source("file"), places.target("redis")))[:3] == (0, 0, 0)
    assert (await places.log("redis").acquire("b")).epoch == 2


@pytest.mark.parametrize(("source", "target"), [("file", "redis"), ("redis", "other")])
async def test_owned_cell_is_not_moved(full: Places, source: str, target: str) -> None:
    """Two engines would go on from the same place."""
    if source == "redis":
        await moved(full.source("file"), full.target("redis"))
    log = full.log(source)
    await log.acquire("pod-0")
    with pytest.raises(LogHeld, match=r"held by pod-0.*; stop it"):
        await moved(full.source(source), full.target(target))
    assert full.is_empty(target)
    await log.release()
    await moved(full.source(source), full.target(target))


async def test_cell_that_is_acquired_meanwhile_is_not_moved(
    full: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source in Redis cannot be locked without writing to it: it is looked at again."""
    await moved(full.source("file"), full.target("redis"))
    puts = FileTarget.put_groups

    async def put_groups(self: FileTarget, groups: list) -> None:
        await puts(self, groups)
        log = full.log("redis")
        await log.acquire("pod-0")
        await log.release()

    monkeypatch.setattr(FileTarget, "put_groups", put_groups)
    with pytest.raises(LogHeld, match="acquired by an engine meanwhile"):
        await moved(full.source("redis"), full.target("other"))
    assert full.is_empty("other")


@pytest.mark.parametrize("target", ["redis", "other"])
async def test_cell_that_is_there_is_not_overwritten(full: Places, target: str) -> None:
    """Neither a cell that was moved before nor one that has an owner."""
    await moved(full.source("file"), full.target(target))
    before = await contents_of(full.log(target))
    with pytest.raises(CommitLogError, match="is there already; name another"):
        await moved(full.source("file"), full.target(target))
    log = full.log(target)
    await log.acquire("pod-0")
    with pytest.raises(LogHeld, match="held by pod-0"):
        await moved(full.source("file"), full.target(target))
    await log.release()
    assert await contents_of(full.log(target)) == before


async def test_keys_of_somebody_else_are_left_alone(full: Places) -> None:
    """Whatever they are, it is not for a migration to delete them."""
    rows = full.redis.keys.rows
    full.server.run("SET", rows, "mine")
    with pytest.raises(CommitLogError, match="rows is a string; name another prefix, or delete"):
        await moved(full.source("file"), full.target("redis"))
    assert full.server.run("GET", rows) == b"mine"
    full.server.run("DEL", rows)


@pytest.mark.parametrize("source", ["file", "redis"])
async def test_place_without_a_cell_is_told(places: Places, source: str) -> None:
    """A slip in a path must not become an empty cell."""
    with pytest.raises(CommitLogError, match=r"no such (file|keys), so no cell"):
        await moved(places.source(source), places.target("other"))
    assert not places.other.parent.exists()


async def test_file_that_cannot_be_understood_is_refused(full: Places) -> None:
    """Another cell's, a newer version's, and one with a hole in its log."""
    with pytest.raises(CommitLogError, match="holds cell 'cell', not 'north'"):
        await moved(FileSource(full.file, "north"), full.target("other"))
    with closing(sqlite3.connect(full.file)) as file, file:
        file.execute("DELETE FROM log WHERE sequence = 100")
    with pytest.raises(LogCorrupt, match="group 100 is not there; restore a copy"):
        await moved(full.source("file"), full.target("other"))
    with closing(sqlite3.connect(full.file)) as file, file:
        file.execute("UPDATE meta SET schema_version = 999")
    with pytest.raises(SchemaTooNew, match="written with schema 999"):
        await moved(full.source("file"), full.target("other"))
    assert full.is_empty("other")


async def test_cell_in_redis_that_cannot_be_understood_is_refused(full: Places) -> None:
    """The same, of keys."""
    await moved(full.source("file"), full.target("redis"))
    keys = full.redis.keys
    full.server.run("XDEL", keys.log, "100-0")
    with pytest.raises(LogCorrupt, match="group 100 is not there; restore a copy"):
        await moved(full.source("redis"), full.target("other"))
    full.server.run("XADD", keys.replies, "9999-0", "x", "y")
    full.server.run("DEL", keys.log)
    with pytest.raises(LogCorrupt, match="its last group is not group 250"):
        await moved(full.source("redis"), full.target("other"))
    full.server.run("HSET", keys.meta, "sequence", 0)
    with pytest.raises(LogCorrupt, match=r"an entry came as .*restore a copy"):
        await moved(full.source("redis"), full.target("other"))
    full.server.run("HSET", keys.meta, "layout", 999)
    with pytest.raises(SchemaTooNew, match="layout 999"):
        await moved(full.source("redis"), full.target("other"))
    assert full.is_empty("other")


@pytest.mark.parametrize(("target", "kind"), [("redis", RedisTarget), ("other", FileTarget)])
async def test_what_arrives_is_compared_with_what_was_sent(
    full: Places, monkeypatch: pytest.MonkeyPatch, target: str, kind: type[Target]
) -> None:
    """A store that loses something on the way gets no cell, and keeps nothing of it."""
    puts = kind.put_rows

    async def put_rows(self: Target, rows: list) -> None:
        await puts(self, [rows[0]._replace(record=b"other"), *rows[1:]])

    monkeypatch.setattr(kind, "put_rows", put_rows)
    with pytest.raises(LogCorrupt, match="nothing was moved"):
        await moved(full.source("file"), full.target(target))
    assert full.is_empty(target)


async def test_replica_that_does_not_follow_keeps_the_cell_from_being_moved(
    full: Places, pair: list[RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target promises from its first moment what it promises."""
    monkeypatch.setattr("adapters.migration.redis_store._WAIT_MS", 200)
    pair[1].pause()
    try:
        with pytest.raises(CommitLogError, match="0 replicas have it, expected 1; nothing was"):
            await moved(full.source("file"), full.target("redis", wait_replicas=1))
    finally:
        pair[1].resume()
    assert full.is_empty("redis")
    with pytest.raises(CommitLogError, match="it has 1 replicas, replicated waits for 5"):
        await moved(full.source("file"), full.target("redis", wait_replicas=5))
