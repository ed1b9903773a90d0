"""What a log in Redis does beyond the contract: leases, what WAIT is worth, whose keys it has."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest
from redis.crc import key_slot

from adapters.commit_log import (
    CellGone,
    CommitLogError,
    DoubtRemains,
    Fenced,
    LogCorrupt,
    LogHeld,
    SchemaTooNew,
    TokenConflict,
)
from adapters.redis_log import reading
from adapters.redis_log.connection import Reply
from tests.adapters.commit_log_contract import commit_all, contact, group, reply, token
from tests.adapters.redis_cell import BRIEF, NewCell, begun
from tests.end_to_end.redis_servers import RedisServer, replicated

pytestmark = pytest.mark.needs_redis


async def test_keys_of_a_cell_share_a_slot_and_the_right_ones_expire(
    new_cell: NewCell,
    pair: list[RedisServer],
) -> None:
    """A script may touch one slot of a cluster only; and the state never lapses by the clock."""
    cell = new_cell(pair[0].url)
    log = cell.log()
    owned = await log.acquire("a")
    await log.commit(owned.token, token(1), group(b"e", [contact(1, b"r", b"p")], [reply("q")]))
    with pair[0].client() as client:
        assert client.exists(*cell.keys) == len(cell.keys)
        assert {key_slot(key) for key in cell.keys} == {key_slot(b"cell")}
        lives = {
            name: client.pttl(key) for name, key in zip(cell.keys._fields, cell.keys, strict=True)
        }
    assert lives["lease"] in range(1, 5_001)
    # Retries come for ten minutes; a clock that jumps an hour must not make one a new request.
    assert lives["replies"] in range(3_600_000, 4_200_001)
    assert {name for name, life in lives.items() if life == -1} == {
        "meta",
        "log",
        "rows",
        "payloads",
    }


async def test_second_owner_is_refused_until_the_lease_lapses(
    new_cell: NewCell, pair: list[RedisServer]
) -> None:
    """Two engines for one cell: the second waits, and has it once the first is silent."""
    cell = new_cell(pair[0].url)
    first, second = cell.log(lease_ms=400), cell.log(lease_wait_s=3.0)
    last = await begun(first)
    with pytest.raises(LogHeld, match=r"held by a for another \d+ ms"):
        await cell.log().acquire("b")
    begun_s = asyncio.get_running_loop().time()
    owned = await second.acquire("b")
    assert asyncio.get_running_loop().time() - begun_s < 1.5
    assert (owned.token, owned.sequence) == (last, 3)
    with pytest.raises(Fenced):
        await first.commit(last, token(9), group())


async def test_owner_that_comes_back_under_its_name_need_not_wait(
    new_cell: NewCell, pair: list[RedisServer]
) -> None:
    """A pod that restarts has the name it had; its own lease is no reason to stand still."""
    cell = new_cell(pair[0].url)
    await begun(cell.log())
    assert (await cell.log().acquire("a")).sequence == 3


async def test_renewal_keeps_the_lease_and_a_lapsed_one_comes_back(
    new_cell: NewCell,
    pair: list[RedisServer],
) -> None:
    """An idle owner stays owner; one that was held up goes on while nobody took the cell."""
    cell = new_cell(pair[0].url)
    log = cell.log(lease_ms=400)
    await begun(log)
    for _ in range(6):
        await asyncio.sleep(log.renew_every_s)
        assert not log.is_lapsed
        await log.renew()
    assert not log.is_stalled
    await asyncio.sleep(0.45)
    assert log.is_stalled
    assert log.is_lapsed
    assert not pair[0].run("EXISTS", cell.keys.lease)
    await log.renew()
    assert not log.is_lapsed
    assert pair[0].run("GET", cell.keys.lease) == b"a"
    cell.break_lease(pair[0])
    await cell.log().acquire("b")
    with pytest.raises(Fenced):
        await log.renew()


async def test_commit_waits_for_its_replica(new_cell: NewCell, pair: list[RedisServer]) -> None:
    """An acknowledgement that no replica has is lost with the primary; there must be none."""
    cell = new_cell(pair[0].url, replace(BRIEF, wait_replicas=1))
    log = cell.log("replicated")
    last = await begun(log)
    pair[1].pause()
    try:
        with pytest.raises(DoubtRemains, match="WAIT gave 0, expected 1 replicas"):
            await log.commit(last, token(9), group(b"late"))
        with pytest.raises(DoubtRemains):
            await log.renew()
    finally:
        pair[1].resume()
    # The group is there; the same token settles it.
    assert await log.commit(last, token(9), group(b"late")) == 4
    assert [one.events for one in await log.tail(3, 9)] == [b"late"]
    assert cell.tallies.commits_in_doubt.value > 1


async def test_strict_waits_for_every_replica(new_cell: NewCell, tmp_path: Path) -> None:
    """Whichever replica is promoted has what was acknowledged."""
    with replicated(tmp_path, 2, "--appendfsync", "always") as servers:
        cell = new_cell(servers[0].url, replace(BRIEF, wait_replicas=2))
        log = cell.log("strict")
        last = await begun(log)
        servers[2].pause()
        try:
            with pytest.raises(DoubtRemains, match="WAIT gave 1, expected 2 replicas"):
                await log.commit(last, token(9), group())
        finally:
            servers[2].resume()
        assert await log.commit(last, token(9), group()) == 4


async def test_new_epoch_is_known_to_the_replica_before_it_counts(
    new_cell: NewCell,
    pair: list[RedisServer],
) -> None:
    """An owner whose epoch a failover forgets would share it with the next one."""
    cell = new_cell(pair[0].url, replace(BRIEF, wait_replicas=1))
    # Checked while the replica answers.
    log = cell.log("replicated")
    await log.acquire("a")
    pair[1].pause()
    try:
        with pytest.raises(CommitLogError, match="0 replicas know the new owner, expected 1"):
            await log.acquire("a")
    finally:
        pair[1].resume()
    assert (await log.acquire("a")).sequence == 0


async def test_scripts_that_were_flushed_are_loaded_again(
    new_cell: NewCell, pair: list[RedisServer]
) -> None:
    """A restart or an operator empties the script cache; no commit may notice."""
    cell = new_cell(pair[0].url)
    log = cell.log()
    last = await begun(log)
    pair[0].run("SCRIPT", "FLUSH")
    assert await log.commit(last, token(9), group()) == 4
    assert cell.tallies.commits_in_doubt.value == 0


@pytest.mark.parametrize("name", ["meta", "lease", "log", "rows", "payloads", "replies"])
async def test_key_of_another_kind_is_refused_at_the_start(
    new_cell: NewCell, pair: list[RedisServer], name: str
) -> None:
    """A script that meets one half-way leaves half a group: so it must not get that far."""
    cell = new_cell(pair[0].url)
    key = getattr(cell.keys, name)
    pair[0].run("SADD", key, "x")
    with pytest.raises(LogCorrupt, match=f"{key.decode()} is a set, expected a"):
        await cell.log().acquire("a")


async def test_cell_without_its_head_is_refused(new_cell: NewCell, pair: list[RedisServer]) -> None:
    """Rows whose chain is gone cannot be told from rows of another time."""
    cell = new_cell(pair[0].url)
    log = cell.log()
    await begun(log)
    pair[0].run("DEL", cell.keys.meta, cell.keys.lease)
    with pytest.raises(LogCorrupt, match="is gone, other keys of the cell are not"):
        await cell.log().acquire("a")


@pytest.mark.parametrize("field", ["schema", "layout"])
async def test_newer_version_is_refused(
    new_cell: NewCell, pair: list[RedisServer], field: str
) -> None:
    """An older engine would misread the rows, and write them back."""
    cell = new_cell(pair[0].url)
    await begun(cell.log())
    pair[0].run("HSET", cell.keys.meta, field, 99)
    with pytest.raises(SchemaTooNew, match=f"written with {field} 99, this version reads up to"):
        await cell.log().acquire("a")


@pytest.mark.parametrize(
    ("field", "damage"),
    [
        ("1:1", b"x"),
        ("1:1", b"\xff\xff12"),
        ("1:1", b""),
        ("1:1", b"\x01\0\xff"),  # an id that is no text
        ("1:x", b"\0\0"),
        ("1", b"\0\0"),
        ("1:1:1", b"\0\0"),
        ("99:1", b"\0\0"),
        ("", b"\0\0"),
    ],
)
async def test_damaged_row_is_told(
    new_cell: NewCell, pair: list[RedisServer], field: str, damage: bytes
) -> None:
    """What somebody wrote into the hash by hand must not become a contact."""
    cell = new_cell(pair[0].url)
    log = cell.log()
    await begun(log)
    pair[0].run("HSET", cell.keys.rows, field, damage)
    with pytest.raises(LogCorrupt, match="unreadable row"):
        await log.load()


@pytest.mark.parametrize("damage", [b"x", b"\xff" * 40])
async def test_damaged_replies_are_told(
    new_cell: NewCell, pair: list[RedisServer], damage: bytes
) -> None:
    """Of a retry that was answered and now is not known there would be a second contact."""
    cell = new_cell(pair[0].url)
    log = cell.log()
    await begun(log)
    pair[0].run("XADD", cell.keys.replies, "9-0", "r", damage)
    with pytest.raises(LogCorrupt, match="unreadable reply"):
        await log.load()


async def test_everything_is_read_however_many_pages_it_takes(
    new_cell: NewCell, pair: list[RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next page is asked for before the last one is read."""
    monkeypatch.setattr(reading, "_FIELDS", (10, 10))
    monkeypatch.setattr(reading, "_GROUPS", (3, 3))
    cell = new_cell(pair[0].url)
    log = cell.log()
    owned = await log.acquire("a")
    rows = [contact(row, b"%d" % row, b"p%d" % row) for row in range(1_000)]
    groups = [group(rows=rows[at::20], replies=[reply(f"r{at}")]) for at in range(20)]
    await commit_all(log, owned, groups)
    state = await log.load()
    assert list(state.rows) == rows
    assert [item.request_id for item in state.replies] == [f"r{at}" for at in range(20)]


async def test_load_that_takes_longer_than_the_lease_keeps_the_cell(
    new_cell: NewCell, pair: list[RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two standbys would take a large cell from each other while they read it, for ever."""
    cell = new_cell(pair[0].url)
    first = cell.log()
    rows = [contact(row, b"r", b"p") for row in range(1_000)]
    await commit_all(first, await first.acquire("a"), [group(rows=rows)])
    await first.release()
    monkeypatch.setattr(reading, "_FIELDS", (10, 10))
    reads = reading._fields_of

    def read_slowly(page: Reply) -> reading._Page:
        time.sleep(0.003)
        return reads(page)

    monkeypatch.setattr(reading, "_fields_of", read_slowly)
    log = cell.log(lease_ms=300)
    await log.acquire("b")
    begun_s = time.monotonic()
    assert list((await log.load()).rows) == rows
    assert time.monotonic() - begun_s > 0.3
    assert not log.is_lapsed
    with pytest.raises(LogHeld):
        await cell.log().acquire("c")


@pytest.mark.parametrize("when", ["before", "after"])
async def test_rows_behind_another_token_are_not_taken_for_ours(
    new_cell: NewCell, pair: list[RedisServer], monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Without replicas that know it, two servers may give the same epoch to two owners."""
    cell = new_cell(pair[0].url)
    log = cell.log()
    await log.acquire("a")
    reads = reading.read_rows

    async def read_while_written(*what: object) -> object:
        rows = await reads(*what)  # type: ignore[arg-type]
        pair[0].run("HSET", cell.keys.meta, "token", token(9).hex())
        return rows

    if when == "before":
        pair[0].run("HSET", cell.keys.meta, "token", token(9).hex())
    else:
        monkeypatch.setattr(reading, "read_rows", read_while_written)
    with pytest.raises(TokenConflict, match="written or rolled back while its rows were read"):
        await log.load()


async def test_who_has_lost_a_cell_does_not_wait_for_it_like_a_standby(
    new_cell: NewCell, server: RedisServer
) -> None:
    """It would for as long as the new owner lives, and serve nothing."""
    cell = new_cell(server.url)
    first = cell.log(lease_wait_s=1e9, lease_ms=300)
    await first.acquire("a")
    cell.break_lease(server)
    second = cell.log()
    await second.acquire("b")
    with pytest.raises(LogHeld, match="held by b"):
        await asyncio.wait_for(first.acquire("a"), 10)
    await first.release()
    standby = asyncio.create_task(first.acquire("a"))
    await asyncio.sleep(0.5)
    assert not standby.done()
    await second.release()
    assert (await asyncio.wait_for(standby, 10)).epoch > 2


async def test_cell_that_is_gone_is_not_made_by_who_knows_that_it_was_there(
    new_cell: NewCell, server: RedisServer
) -> None:
    """An empty one in its place would be served, and the loss be noticed by callers."""
    cell = new_cell(server.url)
    owner, standby, told = cell.log(), cell.log(lease_wait_s=20), cell.log()
    await owner.acquire("a")
    waiting = asyncio.create_task(standby.acquire("b"))
    await asyncio.sleep(0.2)
    server.run("DEL", *cell.keys)
    for log in (waiting, owner.acquire("a")):
        with pytest.raises(CellGone, match="the cell's keys are gone"):
            await log
    told.expect_cell()
    with pytest.raises(CellGone):
        await told.acquire("c")
    assert (await cell.log().acquire("d")).epoch == 1
