"""A cell that is read ahead: while the lease of an owner that fell silent still runs."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from adapters.commit_log import LoadedState, LogCorrupt
from adapters.dispatch_loop import DispatchLoop
from adapters.metrics import Metrics
from adapters.recovery import Recovery
from adapters.redis_log import foresight, reading
from adapters.redis_log.log import RedisLog
from adapters.redis_log.reading import StoredCell, nothing
from adapters.turn import LoopSettings
from tests.adapters.commit_log_contract import commit_all, contact, group, reply, token
from tests.adapters.redis_cell import NewCell, RedisCell, begun
from tests.end_to_end.redis_servers import RedisServer

pytestmark = pytest.mark.needs_redis

LEASE_MS = 600
NEWS_WITHIN_S = 5.0
BESIDE = LoopSettings(loads_beside=True)


class Foreseen:
    """What a log foresaw, one after the other."""

    def __init__(self, log: RedisLog) -> None:
        self.told: list[LoadedState | None] = []
        log.foresee(self.told.append)

    async def news(self, count: int) -> LoadedState | None:
        """Wait for the first so many of them; returns the last."""
        async with asyncio.timeout(NEWS_WITHIN_S):
            while len(self.told) < count:
                await asyncio.sleep(0.005)
        return self.told[count - 1]


def standby(cell: RedisCell) -> RedisLog:
    """A log that waits for another owner's lease."""
    return cell.log(lease_ms=LEASE_MS, lease_wait_s=10.0)


def page_reads(server: RedisServer) -> int:
    """How many pages of rows the server was asked for."""
    with server.client() as client:
        return int(client.info("commandstats").get("cmdstat_hscan", {}).get("calls", 0))


async def test_silent_owners_cell_is_read_before_its_lease_lapses(
    new_cell: NewCell, server: RedisServer
) -> None:
    """Those who call wait for the lease alone, and not for the load as well."""
    cell = new_cell(server.url)
    first, second = cell.log(lease_ms=LEASE_MS), standby(cell)
    rows = [contact(row, b"%d" % row, b"p") for row in range(50)]
    last = await commit_all(first, await first.acquire("a"), [group(b"", rows, [reply("q")])])
    foreseen = Foreseen(second)
    acquiring = asyncio.create_task(second.acquire("b"))
    state = await foreseen.news(1)
    assert server.run("GET", cell.keys.lease) == b"a"
    assert not acquiring.done()
    assert (await acquiring).token == last
    pages = page_reads(server)
    loaded = await second.load()
    assert page_reads(server) == pages
    assert state is not None
    assert loaded.rows is state.rows
    assert (list(loaded.rows), [item.request_id for item in loaded.replies]) == (rows, ["q"])
    assert foreseen.told == [state]


async def test_owner_that_renews_is_not_read_behind(new_cell: NewCell, server: RedisServer) -> None:
    """A standby costs a server that serves others no more than a question now and then."""
    cell = new_cell(server.url)
    first, second = cell.log(lease_ms=LEASE_MS), standby(cell)
    await begun(first)
    foreseen = Foreseen(second)
    acquiring = asyncio.create_task(second.acquire("b"))
    for _ in range(10):
        await asyncio.sleep(first.renew_every_s)
        await first.renew()
    assert not foreseen.told
    assert not page_reads(server)
    await first.release()
    await acquiring
    assert len((await second.load()).rows) == 3


async def test_owner_that_wakes_up_makes_what_was_read_worthless(
    new_cell: NewCell, server: RedisServer
) -> None:
    """What it commits then must be there for whoever comes after it."""
    cell = new_cell(server.url)
    first, second = cell.log(lease_ms=LEASE_MS), standby(cell)
    last = await begun(first)
    foreseen = Foreseen(second)
    acquiring = asyncio.create_task(second.acquire("b"))
    assert await foreseen.news(1) is not None
    await first.commit(last, token(9), group(b"late", [contact(9, b"late", b"p")]))
    assert await foreseen.news(2) is None
    await first.release()
    await acquiring
    assert (await second.load()).rows[-1].record == b"late"


async def test_only_what_was_read_behind_the_same_token_is_of_use(
    new_cell: NewCell, server: RedisServer
) -> None:
    """Whatever leases say: the token at the log's end is what tells."""
    cell = new_cell(server.url)
    log = cell.log()
    last = await begun(log)
    ahead = foresight_of(cell)
    await ahead.see(0)
    await settled(ahead)
    await log.commit(last, token(9), group(b"late", [contact(9, b"late", b"p")]))
    told: list[LoadedState | None] = []
    ahead.use = told.append
    assert await ahead.recall(token(9).hex().encode(), nothing) is None
    assert told == [None]
    await ahead.see(0)
    found = await ahead.recall(token(9).hex().encode(), nothing)
    assert found is not None
    assert len(found.state.rows) == 4


@pytest.mark.parametrize("meanwhile", ["a commit", "a change of roles"])
async def test_log_must_stand_still_while_it_is_read(
    new_cell: NewCell, server: RedisServer, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    """A server may have been given another log in between, and the first one back."""
    cell = new_cell(server.url)
    log = cell.log()
    last = await begun(log)
    reads = reading.read_cell

    async def read_while_it_happens(*what: object) -> StoredCell:
        stored = await reads(*what)  # type: ignore[arg-type]
        if meanwhile == "a commit":
            await log.commit(last, token(9), group(b"late", [contact(9, b"late", b"p")]))
        else:
            server.run("REPLICAOF", "127.0.0.1", "1")
            server.run("REPLICAOF", "NO", "ONE")
        return stored

    monkeypatch.setattr(foresight, "read_cell", read_while_it_happens)
    ahead = foresight_of(cell)
    await ahead.see(0)
    assert await ahead.recall(last.hex().encode(), nothing) is None


async def test_cell_that_cannot_be_read_ahead_is_loaded_as_ever(
    new_cell: NewCell, server: RedisServer
) -> None:
    """Whatever is wrong is told by the load, in its words."""
    cell = new_cell(server.url)
    first, second = cell.log(lease_ms=LEASE_MS), standby(cell)
    await begun(first)
    server.run("HSET", cell.keys.rows, b"nonsense", b"x")
    foreseen = Foreseen(second)
    await second.acquire("b")
    assert page_reads(server)
    with pytest.raises(LogCorrupt, match="unreadable row"):
        await second.load()
    assert foreseen.told in ([], [None])


async def test_reading_that_outlasts_the_lease_goes_on_and_keeps_the_cell(
    new_cell: NewCell, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the cell would lapse again while it is read, and be taken by the next."""
    cell = new_cell(server.url)
    first, second = cell.log(lease_ms=LEASE_MS), standby(cell)
    await begun(first)
    reads = reading.read_cell

    async def read_for_long(
        connection: object, keys: object, kept: object, between: Callable[[], Awaitable[None]]
    ) -> StoredCell:
        for _ in range(30):
            await between()
            await asyncio.sleep(LEASE_MS / 10_000)
        return await reads(connection, keys, kept, between)  # type: ignore[arg-type]

    monkeypatch.setattr(foresight, "read_cell", read_for_long)
    foreseen = Foreseen(second)
    await second.acquire("b")
    assert not foreseen.told
    loaded = await second.load()
    assert not second.is_lapsed
    assert foreseen.told[0] is not None
    assert loaded.rows is foreseen.told[0].rows


async def test_engine_is_made_ahead_once_and_taken(
    new_cell: NewCell, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes longest after the load is done before the lease lapses as well."""
    cell = new_cell(server.url)
    first = cell.log(lease_ms=LEASE_MS)
    await commit_all(first, await first.acquire("a"), [group(replies=[reply("q")])])
    leases: list[object] = []
    makes = Recovery._made_here

    def make(self: Recovery, state: LoadedState) -> object:
        leases.append(server.run("GET", cell.keys.lease))
        return makes(self, state)

    monkeypatch.setattr(Recovery, "_made_here", make)
    loop = DispatchLoop("cell", standby(cell), BESIDE, Metrics().cell("cell"))
    await loop.start("b")
    assert leases == [b"a"]
    assert loop.is_open
    assert len(loop._replies) == 1
    await loop.stop()


async def test_engine_made_ahead_in_vain_is_made_again(
    new_cell: NewCell, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Damage that somebody mended in time is no reason to refuse the cell."""
    cell = new_cell(server.url)
    first = cell.log(lease_ms=LEASE_MS)
    owned = await first.acquire("a")
    await first.commit(owned.token, token(1), group(b"", [contact(1, b"no row", b"p")]))
    made = asyncio.Event()
    makes = Recovery._made_ahead

    async def make(self: Recovery, state: LoadedState) -> object:
        try:
            return await makes(self, state)
        finally:
            made.set()

    monkeypatch.setattr(Recovery, "_made_ahead", make)
    loop = DispatchLoop("cell", standby(cell), BESIDE, Metrics().cell("cell"))
    starting = asyncio.create_task(loop.start("b"))
    async with asyncio.timeout(NEWS_WITHIN_S):
        await made.wait()
    await first.commit(token(1), token(2), group(b"", [contact(1, None)]))
    await first.release()
    await starting
    assert loop.is_open
    await loop.stop()


def foresight_of(cell: RedisCell) -> foresight.Foresight:
    """One over the cell's keys, with nobody who waits for the cell."""
    return cell.log()._foresight


async def settled(ahead: foresight.Foresight) -> None:
    """Wait until all has been read."""
    assert ahead._reading is not None
    await asyncio.wait((ahead._reading,))
