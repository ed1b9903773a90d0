"""
Faults on real processes: nine Redis servers and two engines, each on a machine of its own as far as
the network goes, while gateways work and note what they are told.

    python -m tests.chaos.run --rounds 5
    python -m tests.chaos.run --only "primary cut off" --rounds 20
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.machine import describe
from benchmarks.report import write_report
from benchmarks.tables import Table
from headgate.v1.agent_pb2 import Agent, Presence
from headgate.v1.agent_service_pb2 import SetPresenceRequest, UpsertAgentRequest
from headgate.v1.queue_pb2 import Queue
from headgate.v1.queue_service_pb2 import UpsertQueueRequest
from tests.chaos.checking import judged
from tests.chaos.clients import QUEUE, Gateway, History
from tests.chaos.engines import Engines, engines
from tests.chaos.faults import FAULTS
from tests.chaos.hosts import data_centre, enter_own_network
from tests.chaos.nodes import Nodes, cluster

_MAINLAND_GATEWAYS: Final = 6
_ISLAND_GATEWAYS: Final = 2
_BEFORE_S: Final = 1.0
# How many more acknowledgements show that it is over.
_AFTER: Final = 100
_FINISH_WITHIN_S: Final = 60.0
_NOTE: Final = (
    "Unavailable is what a gateway feels: a lease that lapses or a failover, the load, and up to "
    "two seconds until its channel tries the other engine again."
)


@dataclass
class Row:
    """What the rounds of one fault came to."""

    rounds: int = 0
    acknowledged: int = 0
    on_island: int = 0
    lost: int = 0
    doubled: int = 0
    gaps_s: list[float] = field(default_factory=list)

    def cells(self) -> list[str]:
        """What a table has of it."""
        gaps = [f"{statistics.median(self.gaps_s):.2f}", f"{max(self.gaps_s):.2f}"]
        counts = (self.rounds, self.acknowledged, self.lost, self.doubled)
        return [*(f"{count:,}" for count in counts), *gaps]


class Rounds:
    """
    Rounds of faults, one after another, over one cell.

    Parameters
    ----------
    nodes, engines
        What they strike.
    """

    def __init__(self, nodes: Nodes, pair: Engines) -> None:
        self._nodes = nodes
        self._engines = pair
        here = [one.address() for one in pair.pair]
        there = [one.address(is_cut_off=True) for one in pair.pair]
        self._gateways = [
            Gateway(number, here if is_mainland else [*here, *there], not is_mainland)
            for number in range(_MAINLAND_GATEWAYS + _ISLAND_GATEWAYS)
            for is_mainland in (number < _MAINLAND_GATEWAYS,)
        ]
        self._cursor = "0"
        self._count = 0

    async def begin(self) -> None:
        """Open the queue and sign agents in."""
        first = self._gateways[0]
        queue = Queue(queue_id=QUEUE, max_wait_ms=-1, offer_timeout_ms=600_000)
        await first.ask(
            lambda client: client.queues.UpsertQueue,
            UpsertQueueRequest(request_id="queue", queue=queue),
        )
        for gateway in self._gateways:
            name = gateway.agent
            agent = Agent(agent_id=name, queue_ids=[QUEUE], capacity=1_000, missed_offers_max=-1)
            await first.ask(
                lambda client: client.agents.UpsertAgent,
                UpsertAgentRequest(request_id=name, agent=agent),
            )
            await first.ask(
                lambda client: client.agents.SetPresence,
                SetPresenceRequest(
                    request_id=f"{name}-on",
                    agent_id=name,
                    presence=Presence.PRESENCE_AVAILABLE,
                ),
            )

    async def play(self, name: str, row: Row) -> None:
        """One round of a fault."""
        self._count += 1
        await asyncio.to_thread(self._nodes.await_whole)
        await asyncio.to_thread(self._engines.await_ready)
        history = History()
        prefix = f"r{self._count}"
        work = [asyncio.create_task(one.run(history, prefix)) for one in self._gateways]
        await asyncio.sleep(_BEFORE_S)
        await asyncio.to_thread(FAULTS[name], self._nodes, self._engines)
        await self._await_more(history)
        for gateway in self._gateways:
            gateway.stop()
        async with asyncio.timeout(_FINISH_WITHIN_S):
            await asyncio.gather(*work)
        # What waits for a cut to heal is settled before it is judged.
        await asyncio.to_thread(self._nodes.await_whole)
        await asyncio.to_thread(self._engines.await_ready)
        async with asyncio.timeout(_FINISH_WITHIN_S):
            verdict = await judged(history, self._gateways[0], self._cursor, f"{prefix}-marker")
        self._cursor = verdict.cursor
        row.rounds += 1
        row.acknowledged += history.acknowledged
        row.on_island += history.on_island
        row.lost += verdict.lost
        row.doubled += verdict.doubled
        row.gaps_s.append(history.longest_gap_s())

    async def close(self) -> None:
        """Close every connection."""
        for gateway in self._gateways:
            await gateway.close()

    async def _await_more(self, history: History) -> None:
        """Wait until acknowledgements come again."""
        until = len(history.acknowledged_s) + _AFTER
        async with asyncio.timeout(_FINISH_WITHIN_S):
            while len(history.acknowledged_s) < until:
                await asyncio.sleep(0.05)


async def played(
    names: Sequence[str], rounds: int, durability: str, directory: Path
) -> dict[str, Row]:
    """Play rounds of each fault, in turns; returns a row for each."""
    rows = {name: Row() for name in names}
    with (
        data_centre(11) as hosts,
        cluster(hosts[:9], directory) as nodes,
        engines(hosts[9:], ("--log", nodes.url, "--durability", durability), directory) as pair,
    ):
        all_rounds = Rounds(nodes, pair)
        try:
            await all_rounds.begin()
            for _ in range(rounds):
                for name, row in rows.items():
                    begun_s = time.monotonic()
                    await all_rounds.play(name, row)
                    took_s = time.monotonic() - begun_s
                    told = f"{name}: {', '.join(row.cells())} ({took_s:.0f} s)"
                    print(told, file=sys.stderr, flush=True)
        finally:
            await all_rounds.close()
    return rows


def table(rows: dict[str, Row], durability: str) -> Table:
    """The rows, and their sum."""
    played_rows = {name: row for name, row in rows.items() if row.rounds}
    every = Row()
    for row in played_rows.values():
        every.rounds += row.rounds
        every.acknowledged += row.acknowledged
        every.lost += row.lost
        every.doubled += row.doubled
        every.gaps_s += row.gaps_s
    return Table(
        f"Two engines, three primaries with two replicas each; durability {durability}",
        ("fault", "rounds", "acknowledged", "lost", "doubled", "unavailable p50 s", "max s"),
        [[name, *row.cells()] for name, row in [*played_rows.items(), ("all", every)]],
        note=_NOTE,
    )


def main() -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each fault")
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument(
        "--durability", choices=("replicated", "relaxed"), default="replicated",
        help="relaxed loses what is acknowledged on an island: for seeing that it is found",
    )  # fmt: skip
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks")
    parser.add_argument("--keep", type=Path, help="folder for data and logs, which stay")
    options = parser.parse_args()
    enter_own_network()
    with tempfile.TemporaryDirectory(prefix="headgate-chaos-") as temporary:
        directory = options.keep or Path(temporary)
        rows = asyncio.run(played(options.only, options.rounds, options.durability, directory))
    found = table(rows, options.durability)
    print(found.markdown())
    if options.write:
        write_report("chaos", describe(options.rounds, is_quick=False), [found])
    return int(any(row.lost or row.doubled for row in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
