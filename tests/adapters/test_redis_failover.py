"""
Failovers that Sentinels and clusters make while an engine commits.

What was acknowledged before, during and after must be on the server that is primary in the end;
a killed process proves little, for the kernel still sends what it wrote, a partition much.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from redis.crc import key_slot

from adapters.commit_log import CommitLogError
from adapters.redis_log.address import parse_redis_url
from adapters.redis_log.connection import RedisConnection
from adapters.redis_log.log import RedisLog
from adapters.redis_log.primary import RedisPrimary
from adapters.redis_log.server_check import Tier
from adapters.redis_log.terms import Kept
from tests.adapters.commit_log_contract import contact, group, token
from tests.adapters.redis_cell import TERMS, NewCell, RedisCell
from tests.adapters.stand_in_redis import stand_in, table
from tests.end_to_end.redis_servers import RedisServer, move_slot, replicated
from tests.end_to_end.redis_topologies import SETTLED_WITHIN_S, cluster, settled, watched
from tests.end_to_end.relay import Relay, relayed

pytestmark = [pytest.mark.needs_redis, pytest.mark.slow]

FAILOVER = replace(TERMS, wait_replicas=1, wait_ms=100, answer_within_s=0.3, lease_ms=30_000)


class Writer:
    """
    An owner that commits one group after another.

    Attributes
    ----------
    acknowledged
        Sequence numbers it was told.
    longest_gap_s
        Longest time between two of them.
    """

    def __init__(self, log: RedisLog) -> None:
        self._log = log
        self._work: asyncio.Task[None] | None = None
        self._goes_on = True
        self.acknowledged: list[int] = []
        self.longest_gap_s = 0.0

    def start(self) -> None:
        """Begin."""
        self._work = asyncio.create_task(self._run())

    async def _run(self) -> None:
        """Commit until told to stop."""
        owned = await self._log.acquire("a")
        last, last_s = owned.token, time.monotonic()
        while self._goes_on:
            number = len(self.acknowledged) + 1
            one = group(b"e%d" % number, [contact(number, b"r", b"p")])
            self.acknowledged.append(await self._log.commit(last, token(number), one))
            last = token(number)
            now_s = time.monotonic()
            self.longest_gap_s, last_s = max(self.longest_gap_s, now_s - last_s), now_s
            await asyncio.sleep(0.002)

    async def reaches(self, count: int) -> None:
        """Wait until so many more are acknowledged."""
        until = len(self.acknowledged) + count
        assert self._work is not None
        async with asyncio.timeout(SETTLED_WITHIN_S):
            while len(self.acknowledged) < until:
                if self._work.done():
                    self._work.result()
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Let the present commit be the last."""
        self._goes_on = False
        assert self._work is not None
        await self._work

    async def end(self) -> None:
        """End, wherever it is."""
        assert self._work is not None
        self._work.cancel()
        await asyncio.gather(self._work, return_exceptions=True)


@contextlib.asynccontextmanager
async def writing(log: RedisLog) -> AsyncIterator[Writer]:
    """An owner at work, checked at the end: what it was told is there, and nothing twice."""
    writer = Writer(log)
    writer.start()
    try:
        await writer.reaches(50)
        yield writer
        await writer.stop()
        count = len(writer.acknowledged)
        assert writer.acknowledged == list(range(1, count + 1))
        found = [one for start in range(0, count, 500) for one in await log.tail(start, 500)]
        assert [one.events for one in found] == [b"e%d" % n for n in range(1, count + 1)]
        assert [row.row for row in (await log.load()).rows] == list(range(1, count + 1))
        print(f"{count} commits, longest gap {writer.longest_gap_s:.2f} s")
    finally:
        await writer.end()
        await log.release()


async def epoch_told(url: str) -> int:
    """Which election the first server of a URL tells of."""
    address = parse_redis_url(url)
    word = await RedisPrimary(address, "cell", FAILOVER.answer_within_s)._word_of(address.hosts[0])
    assert isinstance(word, tuple)
    return word.epoch


async def test_sentinel_failover_loses_nothing_acknowledged(
    new_cell: NewCell, tmp_path: Path
) -> None:
    """The primary is killed; the engine finds the next one and goes on by itself."""
    with (
        replicated(tmp_path, 2) as servers,
        watched(tmp_path / "sentinel", servers[0].port, 2) as sentinel,
    ):
        cell = new_cell(f"redis+sentinel://127.0.0.1:{sentinel.port}/main", FAILOVER)
        async with writing(cell.log("replicated")) as writer:
            assert await epoch_told(cell.url) == 0
            servers[0].kill()
            await writer.reaches(100)
        assert writer.longest_gap_s < 10
        assert await epoch_told(cell.url) > 0


class NearPrimary(RedisPrimary):
    """An engine on the primary's side of a cut: it reaches that server without the relay."""

    def __init__(self, url: str, relay: Relay, port: int) -> None:
        super().__init__(parse_redis_url(url), "cell", FAILOVER.answer_within_s)
        self._relay_port = relay.port
        self._near_port = port

    async def connect_to(self, host: tuple[str, int]) -> RedisConnection:
        """Take the short way."""
        port = self._near_port if host[1] == self._relay_port else host[1]
        return await super().connect_to((host[0], port))


@contextlib.contextmanager
def behind_a_relay(directory: Path) -> Iterator[tuple[RedisServer, Relay, RedisServer]]:
    """A primary that two replicas and a Sentinel reach through a relay only."""
    with contextlib.ExitStack() as stack:
        primary = RedisServer(directory / "primary")
        stack.callback(primary.kill)
        relay = stack.enter_context(relayed(primary.port))
        for number in range(2):
            follow = ("--replicaof", f"127.0.0.1 {relay.port}")
            stack.callback(RedisServer(directory / f"replica-{number}", *follow).kill)
        primary.await_replicas(2)
        primary.await_acknowledgement(2)
        sentinel = stack.enter_context(watched(directory / "sentinel", relay.port, 2))
        yield primary, relay, sentinel


def near(cell: RedisCell, relay: Relay, primary: RedisServer, wait_replicas: int) -> RedisLog:
    """Log of an engine near a primary."""
    found = NearPrimary(cell.url, relay, primary.port)
    terms = replace(FAILOVER, wait_replicas=wait_replicas)
    tier: Tier = "replicated" if wait_replicas else "relaxed"
    return RedisLog(found, cell.keys, tier, terms, Kept(), cell.tallies)


async def test_engine_cut_off_with_its_primary_acknowledges_nothing_that_is_lost(
    new_cell: NewCell, tmp_path: Path
) -> None:
    """The old primary goes on answering; without a replica's word that is no acknowledgement."""
    with behind_a_relay(tmp_path) as (primary, relay, sentinel):
        cell = new_cell(f"redis+sentinel://127.0.0.1:{sentinel.port}/main", FAILOVER)
        async with writing(near(cell, relay, primary, 1)) as writer:
            relay.cut()
            await writer.reaches(100)
            relay.mend()
            await writer.reaches(50)
        assert cell.tallies.acknowledged_lost.value == 0


async def test_sentinel_that_knows_of_no_failover_keeps_nobody_with_the_old_primary(
    new_cell: NewCell, tmp_path: Path
) -> None:
    """It is named first and reached by the engine, as the old primary is: cut off from the rest."""
    with behind_a_relay(tmp_path) as (primary, relay, sentinel):
        told = table({
            b"SENTINEL GET-MASTER-ADDR-BY-NAME": [b"127.0.0.1", b"%d" % relay.port],
            b"SENTINEL MASTER": [b"name", b"main", b"config-epoch", b"0"],
        })  # fmt: skip
        async with stand_in(told) as port:
            hosts = f"127.0.0.1:{port},127.0.0.1:{sentinel.port}"
            cell = new_cell(f"redis+sentinel://{hosts}/main", FAILOVER)
            async with writing(near(cell, relay, primary, 1)) as writer:
                relay.cut()
                await writer.reaches(100)
                relay.mend()
            assert writer.longest_gap_s < 10


async def test_relaxed_engine_cut_off_with_its_primary_repairs_what_was_lost(
    new_cell: NewCell, tmp_path: Path
) -> None:
    """Without WAIT the cut-off primary's word counts; its groups come back when the cut is over."""
    with behind_a_relay(tmp_path) as (primary, relay, sentinel):
        cell = new_cell(f"redis+sentinel://127.0.0.1:{sentinel.port}/main", FAILOVER)
        async with writing(near(cell, relay, primary, 0)) as writer:
            relay.cut()
            # Elsewhere, for the engine must go on meanwhile.
            await asyncio.to_thread(
                settled,
                lambda: (
                    sentinel.run("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")
                    != [b"127.0.0.1", b"%d" % relay.port]
                ),
                "failover",
            )
            await writer.reaches(100)
            relay.mend()
            # Sentinel does so in some ten seconds.
            new = sentinel.run("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")
            primary.run("REPLICAOF", *new)  # type: ignore[misc]
            async with asyncio.timeout(SETTLED_WITHIN_S):
                while not cell.tallies.groups_repaired.value:
                    await asyncio.sleep(0.05)
        print(f"{cell.tallies.groups_repaired.value} groups repaired")
        assert cell.tallies.groups_repaired.value >= 100


async def test_cluster_failover_loses_nothing_acknowledged(
    new_cell: NewCell, tmp_path: Path
) -> None:
    """The node with the cell's slot is killed; its replica is found, by asking any node."""
    with cluster(tmp_path, "cell") as nodes:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        cell = new_cell(f"redis+cluster://{hosts}", FAILOVER)
        async with writing(cell.log("replicated")) as writer:
            assert await epoch_told(cell.url) == 1
            nodes[0].kill()
            await writer.reaches(100)
        assert writer.longest_gap_s < 15
        # Three are set up, each of an epoch of its own.
        assert await epoch_told(f"redis+cluster://127.0.0.1:{nodes[1].port}") > 3


async def test_readers_find_the_primary_again_after_a_failover_by_hand(
    new_cell: NewCell, tmp_path: Path
) -> None:
    """Nothing breaks then: the old primary lives on as a replica, and sends whoever reads away."""
    with cluster(tmp_path, "cell") as nodes:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        log = new_cell(f"redis+cluster://{hosts}", FAILOVER).log("replicated")
        async with writing(log) as writer:
            assert len(await log.tail(0, 10)) == 10
            nodes[3].run("CLUSTER", "FAILOVER")
            await asyncio.to_thread(
                settled, lambda: nodes[0].info("role") == "slave", "the failover"
            )
            await writer.reaches(50)
            with pytest.raises(CommitLogError, match="cannot be read"):
                await log.tail(0, 10)
            assert len(await log.tail(0, 10)) == 10
            assert await log.oldest_sequence() == 1


async def test_slot_that_moves_key_by_key_costs_nothing_and_no_group_comes_twice(
    new_cell: NewCell, tmp_path: Path
) -> None:
    """While keys lie on two servers no commit can be made; each waits, and is made once."""
    slot = key_slot(b"cell")
    with cluster(tmp_path, "cell") as nodes:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        # The server that the slot moves to has no replica that could be waited for.
        cell = new_cell(f"redis+cluster://{hosts}", replace(FAILOVER, wait_replicas=0))
        async with writing(cell.log()) as writer:
            await asyncio.to_thread(move_slot, slot, nodes[0], nodes[1], nodes)
            await writer.reaches(50)
            await asyncio.to_thread(move_slot, slot, nodes[1], nodes[0], nodes)
            await writer.reaches(50)
        assert cell.tallies.commits_in_doubt.value > 0
        assert cell.tallies.acknowledged_lost.value == 0
