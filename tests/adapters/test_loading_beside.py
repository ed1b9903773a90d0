"""A cell that is made of its rows beside the loop: others go on, and its lease does not lapse."""

import asyncio
import time

import pytest

from adapters.commit_log import LogCorrupt, LogHeld
from adapters.dispatch_loop import DispatchLoop
from adapters.metrics import Metrics
from adapters.recovery import Recovery
from adapters.turn import LoopSettings
from tests.adapters.commit_log_contract import contact, group, token
from tests.adapters.redis_cell import NewCell
from tests.end_to_end.redis_servers import RedisServer

pytestmark = pytest.mark.needs_redis

LEASE_MS = 400
TAKES_S = 3 * LEASE_MS / 1_000
SETTINGS = LoopSettings(loads_beside=True)


async def test_cell_that_takes_long_to_load_stays_ours_and_stops_nobody(
    new_cell: NewCell, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell too large for its lease would go from engine to engine and never be opened."""
    makes = Recovery._made_here

    def make_slowly(*what: object) -> object:
        time.sleep(TAKES_S)
        return makes(*what)  # type: ignore[arg-type]

    monkeypatch.setattr(Recovery, "_made_here", make_slowly)
    cell = new_cell(server.url)
    mine = DispatchLoop("cell", cell.log(lease_ms=LEASE_MS), SETTINGS, Metrics().cell("cell"))
    starting = asyncio.create_task(mine.start("one"))
    other, tries, ticks = cell.log(), 0, 0
    while not starting.done():
        await asyncio.sleep(LEASE_MS / 10_000)
        ticks += 1
        if server.run("EXISTS", cell.keys.lease) or tries:
            tries += 1
            with pytest.raises(LogHeld):
                await other.acquire("two")
    await starting
    assert ticks > 10
    assert mine.is_open
    await mine.stop()


async def test_rows_that_are_damaged_are_told_of_from_beside_as_well(
    new_cell: NewCell, server: RedisServer
) -> None:
    """The same words as ever; the log is free for whoever mends it."""
    cell = new_cell(server.url)
    log = cell.log()
    owned = await log.acquire("a")
    await log.commit(owned.token, token(1), group(b"", [contact(1, b"no row", b"p")]))
    await log.release()
    loop = DispatchLoop("cell", cell.log(), SETTINGS, Metrics().cell("cell"))
    with pytest.raises(LogCorrupt, match="what is stored for cell 'cell' is damaged"):
        await loop.start("one")
    await loop.stop()
    await cell.log().acquire("b")
