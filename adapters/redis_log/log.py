"""
A cell's log in Redis or Valkey, for a cell that must survive its machine.

Theory of operation. One owner commits, over one connection of its own. A commit is one script that
compares epoch and chain token, appends the group, changes the rows and renews the lease, or does
nothing; `WAIT` behind it, in the same write, counts the replicas that have it. Only when enough do
is the group committed. Whatever else comes back leaves it in doubt, and the same token is sent
again, to whichever server is primary by then, until its fate is known (`redis_log.commits`).

Safety rests on epoch and token alone. The lease and its clocks decide when somebody else may take
over and when a paused owner stops talking, never what is in the log.

What this can promise is what the replicas promise. `replicated` waits for one of them: nothing
acknowledged is lost when any one copy dies, stops or is cut off, as long as the replica with the
longest log is promoted. `strict` waits for all of them, and asks each server to sync its disk at
every write. `relaxed` waits for none.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Final

import structlog

from adapters.commit_log import (
    CommitGroup,
    CommitLogError,
    CursorOutOfRange,
    Fenced,
    LoadedState,
    LoggedGroup,
    Ownership,
    TokenConflict,
)
from adapters.group_ring import SentGroup
from adapters.redis_log.claim import RedisClaim
from adapters.redis_log.commits import RedisCommits, cell_gone, evaluated
from adapters.redis_log.connection import (
    Answer,
    RedisConnection,
    RedisRefused,
    RedisUnreachable,
)
from adapters.redis_log.foresight import Foresight
from adapters.redis_log.primary import RedisPrimary
from adapters.redis_log.reading import ReplyGroup, read_cell, read_groups, read_oldest
from adapters.redis_log.room import RedisRoom
from adapters.redis_log.rows import pack_changes
from adapters.redis_log.scripts import RELEASE, Keys
from adapters.redis_log.server_check import Tier
from adapters.redis_log.terms import CommitCounts, Kept, Terms
from adapters.sqlite_file import pack_replies

_log = structlog.get_logger(__name__)

# Of the lease's life: when an owner that could not renew falls silent. The rest is for clocks that
# run at different speeds.
_SILENT_AFTER: Final = 0.75
# When it takes no more work in, and how often it renews.
_STALLED_AFTER: Final = 0.5
_RENEW_EVERY: Final = 0.25
# What an engine is made of after a load, at the least.
_ROWS_PER_MS: Final = 50
# Replies go with the groups that follow them; this only clears a cell that is used no more.
REPLIES_OUTLIVE_MS: Final = 3_600_000


class RedisLog:
    """
    A `LeasedLog` in Redis.

    Parameters
    ----------
    primary
        Finds the server.
    keys
        Keys of the cell.
    tier
        What is promised; the server is checked for it when the log is first acquired.
    terms
        How the cell is held and when a commit counts.
    kept
        How much is kept.
    counts
        Where doubts and repairs are counted.

    Attributes
    ----------
    answers_at_once
        False: every method waits for the server.
    """

    answers_at_once = False

    def __init__(  # noqa: PLR0913  the parts of a log, each made by whoever knows it
        self,
        primary: RedisPrimary,
        keys: Keys,
        tier: Tier,
        terms: Terms,
        kept: Kept,
        counts: CommitCounts,
    ) -> None:
        self._primary = primary
        self._keys = keys
        self._terms = terms
        self._kept = kept
        self._claim = RedisClaim(primary, keys, tier, terms)
        self._foresight = Foresight(primary, keys, terms, kept)
        self._commits = RedisCommits(primary, keys, terms, counts)
        self._room = RedisRoom(primary, terms, counts)
        self._reader: RedisConnection | None = None
        self._reading = asyncio.Lock()
        self._acquired_token = b""
        self._has_had_it = False
        self._reply_groups: deque[ReplyGroup] = deque()
        self._replies_count = 0

    async def acquire(self, owner: str) -> Ownership:
        """
        Check the server, wait for another owner's lease to lapse, and begin a new epoch.

        Who has had the cell waits no longer than a lease lasts: one that runs on is renewed, by an
        owner who has taken the cell over.
        """
        commits, terms = self._commits, self._terms
        within_s = terms.lease_ms / 1_000 if self._has_had_it else terms.lease_wait_s
        commits.epoch = b""
        await self._close()
        commits.owner = owner.encode()
        try:
            epoch, token, sequence = await self._claim.make(commits, self._foresight, within_s)
            commits.epoch = b"%d" % epoch
            sequence = await commits.resume(token, sequence)
            end_token = self._acquired_token = commits.end_token or token
        except BaseException:
            commits.epoch = b""
            await self._close()
            raise
        self._has_had_it = True
        self._room.watch()
        return Ownership(epoch, bytes.fromhex(end_token.decode()), sequence)

    async def load(self) -> LoadedState:
        """Read rows and replies from the server that was acquired, unless that has been done."""
        self._require_acquired()
        commits = self._commits
        end_token = commits.end_token or self._acquired_token
        try:
            stored = await self._foresight.recall(end_token, self._renew_when_due)
            connection = await commits.connected()
            if stored is None:
                stored = await read_cell(connection, self._keys, self._kept, self._renew_when_due)
            # Making an engine of the rows takes a while, too, and nobody can renew meanwhile.
            await commits.renew(longer_ms=len(stored.state.rows) // _ROWS_PER_MS)
            found = await connection.ask_one(
                b"HMGET", self._keys.meta, b"epoch", b"token", b"schema"
            )
        except (RedisUnreachable, RedisRefused) as error:
            await commits.drop()
            raise CommitLogError(f"{self._primary}: cannot be read: {error}") from error
        if isinstance(found, list) and found[0] is None:
            raise cell_gone(self._primary)
        if not isinstance(found, list) or found[0] != commits.epoch:
            raise Fenced(f"{self._primary}: acquired again while its rows were read")
        if not stored.token == found[1] == end_token:
            # Without WAIT the epoch does not tell: another server may have given the same one.
            raise TokenConflict(f"{self._primary}: written or rolled back while its rows were read")
        self._reply_groups = deque(stored.reply_groups)
        self._replies_count = stored.replies_count
        return replace(stored.state, schema_version=_schema_of(found))

    def expect_cell(self) -> None:
        """Acquire the cell where it is, and make none."""
        self._claim.expects_cell = True

    def foresee(self, use: Callable[[LoadedState | None], None]) -> None:
        """Have what is read while an owner's lease still runs used at once."""
        self._foresight.use = use

    async def commit(self, expected_token: bytes, new_token: bytes, group: CommitGroup) -> int:
        """Append a group; tries until its fate is known or the time for that is up."""
        self._require_acquired()
        sent = SentGroup(
            expected_token.hex().encode(), new_token.hex().encode(), self._arguments(group)
        )
        return await self._commits.append(sent)

    async def tail(self, after_sequence: int, groups_max: int) -> Sequence[LoggedGroup]:
        """Read groups that are known to be committed, over a connection of its own."""
        self._require_acquired()
        async with self._reader_at_hand() as reader:
            until = self._commits.confirmed
            return await read_groups(reader, self._keys, after_sequence, until, groups_max)

    async def oldest_sequence(self) -> int:
        """Read where the kept groups begin."""
        self._require_acquired()
        async with self._reader_at_hand() as reader:
            return await read_oldest(reader, self._keys, self._commits.confirmed)

    @property
    def renew_every_s(self) -> float:
        """A quarter of the lease's life."""
        return _RENEW_EVERY * self._terms.lease_ms / 1_000

    @property
    def is_stalled(self) -> bool:
        """Whether the last renewal that succeeded was begun half of the lease's life ago."""
        return self._commits.is_older_than(_STALLED_AFTER)

    @property
    def is_lapsed(self) -> bool:
        """Whether the last renewal that succeeded was begun three quarters of its life ago."""
        return self._commits.is_older_than(_SILENT_AFTER)

    @property
    def is_nearly_full(self) -> bool:
        """Whether the primary has 85 % of its memory in use."""
        return self._room.is_nearly_full

    async def renew(self) -> None:
        """Renew the lease, and see that the replicas know it too."""
        self._require_acquired()
        await self._commits.renew()

    async def release(self) -> None:
        """Let the next owner in at once, if the cell is still ours, and close."""
        commits = self._commits
        self._has_had_it = False
        if commits.epoch:
            command = evaluated(RELEASE, self._keys[:2], [commits.epoch])
            commits.epoch = b""
            # Where nobody answers the lease lapses by itself.
            with contextlib.suppress(RedisUnreachable, RedisRefused, CommitLogError):
                connection = await commits.connected()
                await connection.ask_one(*command)
        await self._close()

    def _arguments(self, group: CommitGroup) -> tuple[bytes, ...]:
        """What COMMIT is given besides the link in the chain."""
        kept = self._kept
        keep_from = 0
        if group.replies:
            keep_from = self._kept_from(group.replies[-1].at_ms, len(group.replies))
        return (
            b"%d" % kept.groups_kept,
            b"%d" % kept.events_bytes_max,
            group.events,
            pack_changes(group.row_deltas),
            pack_replies(group.replies),
            b"%d" % keep_from,
            b"%d" % (kept.reply_window_ms + REPLIES_OUTLIVE_MS),
            b"%d" % group.schema,
        )

    def _kept_from(self, at_ms: int, added: int) -> int:
        """First group whose replies are still wanted when these are added."""
        groups = self._reply_groups
        groups.append(ReplyGroup(self._commits.confirmed + 1, at_ms, added))
        self._replies_count += added
        since_ms = at_ms - self._kept.reply_window_ms
        # A group goes whole, so one needed in part stays.
        while len(groups) > 1 and (
            groups[0].at_ms < since_ms
            or self._replies_count - groups[0].replies_count >= self._kept.replies_max
        ):
            self._replies_count -= groups.popleft().replies_count
        return groups[0].sequence

    async def _renew_when_due(self) -> None:
        if self._commits.is_older_than(_RENEW_EVERY):
            await self._commits.renew()

    @contextlib.asynccontextmanager
    async def _reader_at_hand(self) -> AsyncIterator[RedisConnection]:
        """The connection for reading; after a failure the next one is made anew."""
        async with self._reading:
            try:
                if self._reader is None:
                    self._reader = await self._primary.connect(self._terms.answer_within_s)
                yield self._reader
            except CursorOutOfRange:
                raise
            except (RedisUnreachable, RedisRefused) as error:
                await self._drop_reader()
                message = f"{self._primary}: cannot be read: {error}; read again"
                raise CommitLogError(message) from error
            except CommitLogError:
                # It may have been primary once: then it lives on, and refuses for ever.
                await self._drop_reader()
                raise

    async def _drop_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()

    def _require_acquired(self) -> None:
        if not self._commits.epoch:
            raise CommitLogError(f"{self._primary}: not acquired; acquire it first")

    async def _close(self) -> None:
        await self._foresight.forget()
        await self._room.close()
        await self._commits.drop()
        await self._drop_reader()


def _schema_of(meta: Sequence[Answer]) -> int:
    schema = meta[-1]
    assert isinstance(schema, bytes)
    return int(schema)
