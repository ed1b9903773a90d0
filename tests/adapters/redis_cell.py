"""A cell in Redis for tests: the logs over it, and what a mischievous operator can do to it."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from adapters.commit_log import CommitLog
from adapters.redis_log.address import parse_redis_url
from adapters.redis_log.log import RedisLog
from adapters.redis_log.primary import RedisPrimary
from adapters.redis_log.scripts import Keys
from adapters.redis_log.server_check import Tier
from adapters.redis_log.terms import Kept, Terms
from tests.adapters.commit_log_contract import Bounds, commit_all, contact, group
from tests.end_to_end.redis_servers import PROGRAMS, RedisServer

NewCell = Callable[..., "RedisCell"]

_NUMBERS = itertools.count(1)

# Short, so that a test that waits for it does not wait long; long enough for a busy machine.
TERMS = Terms(wait_replicas=0, lease_ms=5_000, lease_wait_s=0.0, in_doubt_s=5.0)
# So that a test of what does not answer is over soon.
BRIEF = replace(TERMS, in_doubt_s=0.6, wait_ms=250)

# Name of the harness, program and replicas.
IN_REDIS = {
    "redis": ("redis", 0),
    "redis-replicated": ("redis", 1),
    **(
        {"valkey": ("valkey", 0), "valkey-replicated": ("valkey", 1)}
        if "valkey" in PROGRAMS
        else {}
    ),
}


class Tally:
    """A count of a test."""

    def __init__(self) -> None:
        self.value = 0

    def inc(self, amount: float = 1) -> None:
        """Count so many more."""
        self.value += int(amount)

    def set(self, value: float) -> None:
        """Say how high it is, in thousandths."""
        self.value = int(1_000 * value)


@dataclass
class Tallies:
    """What logs counted."""

    commits_in_doubt: Tally = field(default_factory=Tally)
    groups_repaired: Tally = field(default_factory=Tally)
    acknowledged_lost: Tally = field(default_factory=Tally)
    memory_used: Tally = field(default_factory=Tally)


class RedisCell:
    """
    One cell, under a prefix of its own, and the logs opened over it.

    Attributes
    ----------
    keys
        Its keys.
    tallies
        What its logs counted.
    """

    def __init__(self, url: str, terms: Terms = TERMS, kept: Kept | None = None) -> None:
        self.keys = Keys.of(f"test{next(_NUMBERS)}", "cell")
        self.tallies = Tallies()
        self.terms = terms
        self.url = url
        self._kept = kept or Kept()
        self._logs: list[RedisLog] = []

    def log(self, tier: Tier = "relaxed", **terms: float) -> RedisLog:
        """Make another log over the cell, as a restarted process would."""
        changed = replace(self.terms, **terms)  # type: ignore[arg-type]
        primary = RedisPrimary(parse_redis_url(self.url), "cell", changed.answer_within_s)
        made = RedisLog(primary, self.keys, tier, changed, self._kept, self.tallies)
        self._logs.append(made)
        return made

    def break_lease(self, server: RedisServer) -> None:
        """Let the next owner acquire while the present one lives."""
        server.run("DEL", self.keys.lease)

    async def close(self) -> None:
        """Release every log."""
        for log in self._logs:
            await log.release()


class RedisHarness:
    """A cell in a server that other tests use as well, each under its own prefix."""

    # Whole nodes of a stream are dropped, of a hundred groups at most.
    groups_over = 128

    def __init__(self, server: RedisServer, replicas: int, bounds: Bounds) -> None:
        self._server = server
        kept = Kept(
            bounds.reply_window_ms, bounds.replies_max, bounds.groups_kept, bounds.events_bytes_max
        )
        self._tier: Tier = "replicated" if replicas else "relaxed"
        self._cell = RedisCell(server.url, replace(TERMS, wait_replicas=replicas), kept)

    def log(self) -> CommitLog:
        """Make another log over the same keys."""
        return self._cell.log(self._tier)

    def break_lease(self) -> None:
        """Delete the lease, as if it had lapsed."""
        self._cell.break_lease(self._server)

    async def close(self) -> None:
        """Release every log."""
        await self._cell.close()


async def begun(log: RedisLog, count: int = 3) -> bytes:
    """Acquire an empty log and commit some groups; returns the last token."""
    groups = [group(b"e%d" % n, [contact(n, b"r%d" % n, b"p")]) for n in range(1, count + 1)]
    return await commit_all(log, await log.acquire("a"), groups)
