"""A primary that is nearly full: told in time, and until there is room again."""

import asyncio

import pytest

from adapters.redis_log.log import RedisLog
from adapters.redis_log.room import used_share
from tests.adapters.redis_cell import NewCell, begun
from tests.end_to_end.redis_servers import RedisServer


@pytest.mark.parametrize(
    ("info", "share"),
    [
        ({"used_memory": "850", "maxmemory": "1000"}, 0.85),
        ({"used_memory": "850", "maxmemory": "0"}, 0.0),  # no bound
        # Buffers for replicas do not count towards the bound.
        ({"used_memory": "850", "maxmemory": "1000", "mem_not_counted_for_evict": "350"}, 0.5),
        ({}, 0.0),  # a service that tells nothing
    ],
)
def test_share_is_what_the_server_goes_by(info: dict[str, str], share: float) -> None:
    assert used_share(info) == pytest.approx(share)


async def until(log: RedisLog, *, is_nearly_full: bool) -> None:
    """Wait for what a log says of its room."""
    async with asyncio.timeout(10):
        while log.is_nearly_full is not is_nearly_full:
            await asyncio.sleep(0.05)


@pytest.mark.needs_redis
async def test_new_contacts_stop_before_commits_do(
    new_cell: NewCell, pair: list[RedisServer]
) -> None:
    """From 85 % on; between 80 % and that it stays as it was; a bound that is lifted is none."""
    cell = new_cell(pair[0].url)
    log = cell.log()
    await begun(log)
    assert not log.is_nearly_full
    # Beside this, what comes and goes is little.
    pair[0].run("SET", "ballast", bytes(30_000_000))
    pair[0].await_acknowledgement(1)

    def bound(share: float) -> None:
        used, beside = (
            int(str(pair[0].info(field))) for field in ("used_memory", "mem_not_counted_for_evict")
        )
        pair[0].run("CONFIG", "SET", "maxmemory", int((used - beside) / share))

    try:
        bound(0.5)
        await asyncio.sleep(1.5)
        assert not log.is_nearly_full
        assert 300 < cell.tallies.memory_used.value < 700
        bound(0.93)
        await until(log, is_nearly_full=True)
        bound(0.825)
        await asyncio.sleep(1.5)
        assert log.is_nearly_full
        pair[0].run("CONFIG", "SET", "maxmemory", 0)
        await until(log, is_nearly_full=False)
        bound(0.93)
        await until(log, is_nearly_full=True)
        await log.acquire("a")
        await until(log, is_nearly_full=True)
        await log.release()
        assert cell.tallies.memory_used.value == 0
    finally:
        pair[0].run("CONFIG", "SET", "maxmemory", 0)
