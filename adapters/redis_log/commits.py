"""
Commits of one owner to one cell in Redis, each tried with its own token until its fate is known.

What comes back decides what is known:

- `{sequence, 0 or 1}` and enough replicas: committed. This alone is an acknowledgement.
- too few replicas, silence, a broken connection, a server that is no longer primary or not ready:
  in doubt. Find the primary again and send the same token, until the time for that is up.
- CONFLICT while the epoch is ours: the server lost groups that were acknowledged, or rather the one
  that took its place never had them. Those still in the ring are appended again, in order; where
  the place is not in the ring, nothing can be done and the state must be loaded.
- FENCED: somebody else owns the cell.
- no room: nothing was written, if this was the first try of the token.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import structlog
from redis.exceptions import ResponseError

from adapters.commit_log import (
    CellGone,
    CommitLogError,
    DoubtRemains,
    Fenced,
    LogCorrupt,
    LogFull,
    TokenConflict,
)
from adapters.group_ring import GroupRing, SentGroup
from adapters.redis_log.connection import (
    Answer,
    Command,
    RedisConnection,
    RedisRefused,
    RedisUnreachable,
    code_of,
)
from adapters.redis_log.primary import RedisPrimary
from adapters.redis_log.scripts import COMMIT, RENEW, Keys, Script
from adapters.redis_log.terms import CommitCounts, Terms

_log = structlog.get_logger(__name__)

Value = TypeVar("Value")

# Between tries while in doubt, doubling.
_FIRST_PAUSE_S: Final = 0.02
_LONGEST_PAUSE_S: Final = 0.25
_TELL_EVERY_S: Final = 1.0
# Groups appended again in one write, so that a repair of thousands takes moments.
_REPAIR_GROUPS: Final = 256
_REPAIR_BYTES: Final = 4_194_304
# Codes that say that the keys are not what the scripts expect; trying again does not help.
_BROKEN: Final = frozenset({"ERR", "WRONGTYPE", "NOPERM", "CROSSSLOT"})
_NO_ROOM: Final = frozenset({"OOM", "MISCONF"})


class _Doubt(Exception):
    """Nobody knows yet; says what was met."""


class RedisCommits:
    """
    The connection that commits, and what is known of the log's end.

    Parameters
    ----------
    primary
        Finds the server.
    keys
        Keys of the cell.
    terms
        When a commit counts.
    counts
        Where doubts and repairs are counted.

    Attributes
    ----------
    epoch
        Of our ownership; b"" while there is none.
    owner
        Our name in the lease.
    confirmed
        Sequence number of the last group known to be committed.
    renewed_at_s
        When the last renewal that succeeded was begun, on `boot_s`.
    """

    def __init__(
        self, primary: RedisPrimary, keys: Keys, terms: Terms, counts: CommitCounts
    ) -> None:
        self._primary = primary
        self._keys = keys
        self._terms = terms
        self._counts = counts
        self._connection: RedisConnection | None = None
        self._ring = GroupRing()
        self.epoch = b""
        self.owner = b""
        self.confirmed = 0
        self.renewed_at_s = 0.0

    async def connected(self, within_s: float = 0.0) -> RedisConnection:
        """Return the connection, made when there is none; raises RedisUnreachable, RedisRefused."""
        if self._connection is None:
            self._connection = await self._primary.connect(within_s)
            await self._load_script(self._connection)
        return self._connection

    async def drop(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def append(self, group: SentGroup) -> int:
        """
        Append a group; returns its sequence number once that is certain.

        Raises Fenced, TokenConflict, DoubtRemains, LogFull or LogCorrupt.
        """
        is_first = True

        async def attempt() -> int:
            nonlocal is_first
            was_first, is_first = is_first, False
            return await self._append_once(group, was_first)

        sequence = await self._until_known(attempt)
        self._ring.keep(group, boot_s())
        self.confirmed = sequence
        return sequence

    async def renew(self, longer_ms: int = 0) -> None:
        """
        Renew the lease, for longer than usual if need be.

        Raises Fenced, DoubtRemains or LogCorrupt.
        """
        await self._until_known(lambda: self._renew_once(longer_ms))

    async def resume(self, token: bytes, sequence: int) -> int:
        """
        Take up where an acquired log ends, and append again what it lost of ours meanwhile.

        Returns the sequence number of its end. Raises as `append` does.
        """
        missing = self._ring.after(token)
        if missing:
            await self._until_known(self._repair_end)
            self._tell_repair(len(missing))
            sequence += len(missing)
        elif self._ring.last_token != token:
            if sequence < self.confirmed:
                self._tell_loss(sequence)
            self._ring.clear()
        self.confirmed = sequence
        return sequence

    def is_older_than(self, share: float) -> bool:
        """Whether the last renewal was begun such a share of the lease's life ago, or more."""
        return boot_s() > self.renewed_at_s + share * self._terms.lease_ms / 1_000

    @property
    def end_token(self) -> bytes | None:
        """Token of the last group of ours; None when there is none."""
        return self._ring.last_token

    async def _load_script(self, connection: RedisConnection) -> None:
        answer = await connection.ask_one(b"SCRIPT", b"LOAD", COMMIT.text)
        if isinstance(answer, ResponseError):
            raise self._broken(answer)

    async def _until_known(self, attempt: Callable[[], Awaitable[Value]]) -> Value:
        """Have something tried until it is not in doubt, or the time is up."""
        tell_at_s = boot_s()
        give_up_at_s = tell_at_s + self._terms.in_doubt_s
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return await attempt()
            except (_Doubt, RedisUnreachable, RedisRefused) as doubt:
                cause = str(doubt)
            await self.drop()
            self._counts.commits_in_doubt.inc()
            if boot_s() + pause_s > give_up_at_s:
                raise DoubtRemains(
                    f"{self._primary}: no certain answer within {self._terms.in_doubt_s:g} s; "
                    f"last: {cause}; check the server and its replicas"
                )
            if boot_s() >= tell_at_s:
                _log.warning("commit_in_doubt", log=str(self._primary), error=cause)
                tell_at_s = boot_s() + _TELL_EVERY_S
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _append_once(self, group: SentGroup, is_first: bool) -> int:
        while True:
            answer = await self._ask_durably(self._command(group))
            match answer:
                case [int(sequence), int()]:
                    return sequence
                case ResponseError():
                    await self._deal_with(answer, group, is_first)
                case _:
                    raise _Doubt(f"COMMIT answered {answer!r}")

    async def _renew_once(self, longer_ms: int) -> None:
        arguments = (self.epoch, self.owner, b"%d" % (self._terms.lease_ms + longer_ms))
        answer = await self._ask_durably(evaluated(RENEW, self._keys[:2], arguments))
        if isinstance(answer, ResponseError):
            code = code_of(answer)
            if code == "FENCED":
                raise self._fenced(answer)
            if code in _BROKEN:
                raise self._broken(answer)
            raise _Doubt(str(answer))

    async def _ask_durably(self, command: Command) -> Answer:
        """Answer to a command, once enough replicas have what it wrote."""
        terms = self._terms
        begun_s = boot_s()
        connection = await self.connected()
        if not terms.wait_replicas:
            answer = await connection.ask_one(*command)
        else:
            wait = (b"WAIT", b"%d" % terms.wait_replicas, b"%d" % terms.wait_ms)
            answer, replicas = await connection.ask((command, wait), terms.wait_ms / 1_000)
            if not isinstance(answer, ResponseError):
                self._require(replicas)
        if not isinstance(answer, ResponseError):
            self.renewed_at_s = begun_s
        return answer

    def _require(self, replicas: Answer) -> None:
        if not (isinstance(replicas, int) and replicas >= self._terms.wait_replicas):
            raise _Doubt(f"WAIT gave {replicas!r}, expected {self._terms.wait_replicas} replicas")

    def _command(self, group: SentGroup) -> Command:
        keys = self._keys
        return (
            b"EVALSHA",
            COMMIT.sha,
            b"%d" % len(keys),
            *keys,
            self.epoch,
            group.expected_token,
            group.token,
            self.owner,
            b"%d" % self._terms.lease_ms,
            *group.arguments,
        )

    async def _deal_with(self, error: ResponseError, group: SentGroup, is_first: bool) -> None:
        """Return where the group is to be sent again at once; else raise what the error means."""
        code = code_of(error)
        if code == "NOSCRIPT":
            await self._load_script(await self.connected())
            return
        if code == "CONFLICT":
            _, tail, sequence = str(error).split(" ")
            missing = self._ring.after(tail.encode())
            if missing and self._ring.last_token == group.expected_token:
                await self._repair(missing)
                self._tell_repair(len(missing))
                return
            if int(sequence) < self.confirmed:
                self._tell_loss(int(sequence))
            raise TokenConflict(
                f"{self._primary}: ends with group {sequence}, token {tail}, not with "
                f"{group.expected_token.decode()}; it was rolled back or written by someone else"
            )
        if code == "FENCED":
            raise self._fenced(error)
        if code in _NO_ROOM and is_first:
            raise LogFull(f"{self._primary}: no room, nothing was written: {error}; make room")
        if code in _BROKEN:
            raise self._broken(error)
        raise _Doubt(f"{code} {error}")

    async def _repair_end(self) -> None:
        """Append again what follows the log's end, wherever an earlier try has left that."""
        tail = await (await self.connected()).ask_one(b"HGET", self._keys.meta, b"token")
        if not isinstance(tail, bytes):
            raise _Doubt(f"while looking for its end: {tail!r}")
        # When all are there the last is sent once more, so that replicas are waited for.
        await self._repair(self._ring.after(tail) or self._ring.last())

    async def _repair(self, missing: Sequence[SentGroup]) -> None:
        """Append groups again that the log lost, in order."""
        terms = self._terms
        wait = (b"WAIT", b"%d" % terms.wait_replicas, b"%d" % terms.wait_ms)
        start = 0
        while start < len(missing):
            part = _part(missing, start)
            connection = await self.connected()
            commands = [*map(self._command, part), wait]
            *answers, replicas = await connection.ask(commands, terms.wait_ms / 1_000)
            for answer in answers:
                if isinstance(answer, ResponseError):
                    if code_of(answer) == "FENCED":
                        raise self._fenced(answer)
                    raise _Doubt(f"while appending again: {answer}")
            if terms.wait_replicas:
                self._require(replicas)
            start += len(part)

    def _tell_repair(self, groups: int) -> None:
        self._counts.groups_repaired.inc(groups)
        _log.warning(
            "log_repaired",
            log=str(self._primary),
            groups=groups,
            why="the server had lost groups that were acknowledged",
        )

    def _tell_loss(self, sequence: int) -> None:
        self._counts.acknowledged_lost.inc()
        _log.error(
            "acked_loss_possible",
            log=str(self._primary),
            ends_with=sequence,
            acknowledged=self.confirmed,
            why="the server was rolled back further than this engine remembers",
        )

    def _fenced(self, error: ResponseError) -> Fenced:
        found = str(error).removeprefix("FENCED ")
        if found == "false":
            self._tell_loss(0)
            return cell_gone(self._primary)
        return Fenced(
            f"{self._primary}: acquired again since (epoch {found}, ours {self.epoch.decode()}); "
            "drop the cell's state"
        )

    def _broken(self, error: ResponseError) -> CommitLogError:
        return LogCorrupt(
            f"{self._primary}: {code_of(error)} {error}; expected the cell's keys, "
            f"{self._keys.meta.decode()} and beside it, to be written by Headgate alone and its "
            "user to be allowed to"
        )


def evaluated(script: Script, keys: Sequence[bytes], arguments: Sequence[bytes]) -> Command:
    """Command that runs a script by its text, for those that are not run often."""
    return (b"EVAL", script.text, b"%d" % len(keys), *keys, *arguments)


def boot_s() -> float:
    """Seconds since the machine started, suspended or not: a paused owner must notice."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _part(groups: Sequence[SentGroup], start: int) -> Sequence[SentGroup]:
    """Groups for one write."""
    size, end = 0, start
    while end < len(groups) and end - start < _REPAIR_GROUPS and size < _REPAIR_BYTES:
        size += sum(map(len, groups[end].arguments))
        end += 1
    return groups[start:end]


def cell_gone(primary: RedisPrimary) -> CellGone:
    """What it means that a cell that was there is not."""
    return CellGone(
        f"{primary}: the cell's keys are gone: the server was emptied, or restarted without its "
        "append-only file; restore it before the cell starts again"
    )
