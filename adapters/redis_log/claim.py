"""Making a cell in Redis ours: the server is fit, the lease is free, the replicas know."""

import asyncio
from typing import Final

import structlog
from redis.exceptions import ResponseError

from adapters.commit_log import (
    CommitLogError,
    LogCorrupt,
    LogFull,
    LogHeld,
    LogUnfit,
    SchemaTooNew,
)
from adapters.redis_log.commits import RedisCommits, boot_s, cell_gone, evaluated
from adapters.redis_log.connection import (
    Answer,
    RedisConnection,
    RedisRefused,
    RedisUnreachable,
    code_of,
)
from adapters.redis_log.foresight import Foresight
from adapters.redis_log.primary import RedisPrimary
from adapters.redis_log.scripts import ACQUIRE, LAYOUT_VERSION, Keys
from adapters.redis_log.server_check import Tier, check_server
from adapters.redis_log.terms import Terms
from engine.state.rows import SCHEMA_VERSION, SCHEMA_WRITTEN

_log = structlog.get_logger(__name__)

_POLL_S: Final = 0.05
# A standby waits for ever; who reads its log should see for what.
_TELL_EVERY_S: Final = 30.0


class _LeaseRuns(LogHeld):
    """Another owner's lease has not lapsed."""

    def __init__(self, message: str, left_ms: int) -> None:
        super().__init__(message)
        self.left_ms = left_ms


class RedisClaim:
    """
    How an owner begins an epoch.

    Parameters
    ----------
    primary
        Finds the server.
    keys
        Keys of the cell.
    tier
        What is promised; the server is checked for it once.
    terms
        How long the lease lasts, and for how many replicas to wait.

    Attributes
    ----------
    expects_cell
        Whether somebody has had the cell, so that it is not made where it is not there: an empty
        one would be served in the place of one that is gone.
    """

    def __init__(self, primary: RedisPrimary, keys: Keys, tier: Tier, terms: Terms) -> None:
        self._primary = primary
        self._keys = keys
        self._tier: Tier = tier
        self._terms = terms
        self._is_checked = False
        self.expects_cell = False

    async def make(
        self, commits: RedisCommits, foresight: Foresight, within_s: float
    ) -> tuple[int, bytes, int]:
        """
        Acquire once the server is there and the lease is free, within so many seconds; an owner
        that falls silent has its cell read ahead.
        """
        give_up_at_s = boot_s() + within_s
        tell_at_s = boot_s()
        while True:
            try:
                return await self._make_once(commits)
            except _LeaseRuns as held:
                if boot_s() >= give_up_at_s:
                    raise
                cause = str(held)
                await foresight.see(held.left_ms)
            except (RedisUnreachable, RedisRefused) as error:
                cause = str(error)
                await commits.drop()
                if boot_s() >= give_up_at_s or isinstance(error, RedisRefused):
                    message = f"{self._primary}: {error}; check the address and the server"
                    raise CommitLogError(message) from error
            if boot_s() >= tell_at_s:
                _log.info("waiting_for_cell", key=self._keys.meta.decode(), why=cause)
                tell_at_s = boot_s() + _TELL_EVERY_S
            await asyncio.sleep(_POLL_S)

    async def _make_once(self, commits: RedisCommits) -> tuple[int, bytes, int]:
        """Epoch, token and sequence number of the log's end; the replicas know the epoch."""
        terms = self._terms
        connection = await commits.connected(terms.answer_within_s)
        await self._check(connection)
        versions = (SCHEMA_VERSION, LAYOUT_VERSION, SCHEMA_WRITTEN)
        numbers = (terms.lease_ms, *versions, self.expects_cell)
        arguments = (commits.owner, *(b"%d" % item for item in numbers))
        wait = (b"WAIT", b"%d" % terms.wait_replicas, b"%d" % terms.wait_ms)
        begun_s = boot_s()
        answer, replicas = await connection.ask(
            (evaluated(ACQUIRE, self._keys, arguments), wait), terms.wait_ms / 1_000
        )
        match answer:
            case [0, int(left_ms), bytes(holder)]:
                self.expects_cell = True
                message = (
                    f"{self._primary}: held by {holder.decode(errors='replace')} for another "
                    f"{left_ms} ms; stop it, or let it finish"
                )
                raise _LeaseRuns(message, left_ms)
            case [int(epoch), int(sequence), bytes(token)]:
                if not (isinstance(replicas, int) and replicas >= terms.wait_replicas):
                    raise RedisUnreachable(
                        f"{replicas!r} replicas know the new owner, expected {terms.wait_replicas}"
                    )
                commits.renewed_at_s = begun_s
                self.expects_cell = True
                return epoch, token, sequence
            case _:
                raise self._not_acquired(answer)

    def _not_acquired(self, answer: Answer) -> Exception:
        """What it means that the script ACQUIRE answered with an error."""
        if not isinstance(answer, ResponseError):
            return LogCorrupt(f"{self._primary}: ACQUIRE answered {answer!r}")
        code = code_of(answer)
        if code == "NEWER":
            return SchemaTooNew(
                f"{self._primary}: written with {str(answer).removeprefix('NEWER ')}, this version "
                f"reads up to schema {SCHEMA_VERSION} and layout {LAYOUT_VERSION}; "
                "run the version that wrote it, or a later one"
            )
        if code == "GONE":
            return cell_gone(self._primary)
        if code in ("STRANGER", "HEADLESS"):
            text = str(answer).partition(" ")[2]
            return LogCorrupt(f"{self._primary}: {text}; restore a copy, or name another prefix")
        if code == "HALF":
            return CommitLogError(
                f"{self._primary}: a migration into it has not finished; run `headgate migrate` "
                f"again, or delete {self._keys.meta.decode()} and the keys beside it"
            )
        if code in ("OOM", "MISCONF"):
            return LogFull(f"{self._primary}: no room, nothing was written: {answer}; make room")
        if code in ("NOPERM", "ERR", "WRONGTYPE"):
            return CommitLogError(f"{self._primary}: {code} {answer}; check the user's permissions")
        return RedisUnreachable(f"{code} {answer}")

    async def _check(self, connection: RedisConnection) -> None:
        """Have the server checked, once; raises LogUnfit where it is not enough."""
        if self._is_checked:
            return
        found = await check_server(connection, self._tier, self._terms.wait_replicas)
        if found.refusals:
            raise LogUnfit(
                f"{self._primary} cannot give durability {self._tier}: "
                + "; ".join(f"it {text}" for text in found.refusals)
            )
        for text in found.warnings:
            _log.warning("log_server", log=str(self._primary), tier=self._tier, warning=text)
        _log.info(
            "log_server_checked",
            log=str(self._primary),
            primary=connection.host,
            server=found.server,
            replicas=found.replicas,
            tier=self._tier,
            waits_for=self._terms.wait_replicas,
        )
        self._is_checked = True
