"""One owner's chain of commits: each names the token of the one before and brings its own."""

import asyncio
import secrets
import time
from collections.abc import Awaitable
from typing import Final, TypeVar

import structlog

from adapters.commit_log import CommitGroup, CommitLog, DoubtRemains, InDoubt, LeasedLog, Ownership

_log = structlog.get_logger(__name__)

_IN_DOUBT_TRIES: Final = 3
# An append that takes longer keeps new work out: what is taken in behind it waits as long.
STALLED_AFTER_S: Final = 0.25

Result = TypeVar("Result")


class CommitChain:
    """
    Commits of one cell by one owner.

    Parameters
    ----------
    cell
        Name of the cell, for the log lines.
    log
        Where groups are appended.
    """

    def __init__(self, cell: str, log: CommitLog) -> None:
        self._cell = cell
        self._log = log
        self._lease = log if isinstance(log, LeasedLog) else None
        self._ownership = Ownership(0, b"", 0)
        self._tokens = Tokens()
        # When the append that is under way began; None for none.
        self._append_began_s: float | None = None

    @property
    def sequence(self) -> int:
        """Sequence number of the last committed group."""
        return self._ownership.sequence

    @property
    def epoch(self) -> int:
        """Epoch of our ownership, 0 before the first."""
        return self._ownership.epoch

    @property
    def renew_every_s(self) -> float:
        """How often to renew while nothing is committed, seconds; 0.0 where nothing can lapse."""
        return self._lease.renew_every_s if self._lease is not None else 0.0

    @property
    def is_stalled(self) -> bool:
        """Whether commits do not come through: one takes long, or as far as a lease can tell."""
        began_s = self._append_began_s
        if began_s is not None and time.monotonic() - began_s > STALLED_AFTER_S:
            return True
        return self._lease is not None and self._lease.is_stalled

    @property
    def is_nearly_full(self) -> bool:
        """Whether no new contact should come, as far as a leased log can tell."""
        return self._lease is not None and self._lease.is_nearly_full

    @property
    def is_lapsed(self) -> bool:
        """Whether the cell may be another's; see `LeasedLog.is_lapsed`."""
        return self._lease is not None and self._lease.is_lapsed

    async def renew(self) -> None:
        """
        Make sure that the cell is still ours.

        Raises
        ------
        CommitLogError
            As of `LeasedLog.renew`.
        """
        if self._lease is not None:
            await self._lease.renew()

    async def renewing(self, work: Awaitable[Result]) -> Result:
        """
        What becomes of work that may take longer than the right lasts, which is renewed meanwhile.

        Raises
        ------
        CommitLogError
            As of `renew`, or as the work raises.
        """
        if not self.renew_every_s:
            return await work
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait((task,), timeout=self.renew_every_s))[0]:
                await self.renew()
            return await task
        finally:
            task.cancel()

    async def begin(self, owner: str) -> None:
        """
        Acquire the log, or acquire it again.

        Raises
        ------
        CommitLogError
            As of `CommitLog.acquire`.
        """
        self._ownership = await self._log.acquire(owner)

    async def append(self, group: CommitGroup) -> None:
        """
        Append a group; when the outcome is in doubt, try again with the same token.

        Raises
        ------
        CommitLogError
            The group is not in the log, or nobody knows.
        """
        self._append_began_s = time.monotonic()
        try:
            await self._append(group)
        finally:
            self._append_began_s = None

    async def _append(self, group: CommitGroup) -> None:
        token = self._tokens.take()
        cause = ""
        for tried in range(_IN_DOUBT_TRIES):
            try:
                sequence = await self._log.commit(self._ownership.token, token, group)
            except DoubtRemains:
                # The log itself tried for as long as callers may wait.
                raise
            except InDoubt as doubt:
                cause = str(doubt)
                _log.warning("commit_in_doubt", cell=self._cell, tried=tried + 1, error=cause)
                continue
            self._ownership = Ownership(self._ownership.epoch, token, sequence)
            # The cell was ours when this was committed; after a pause, is it still?
            while self.is_lapsed:
                await self.renew()
            return
        message = f"the outcome of a commit stayed in doubt after {_IN_DOUBT_TRIES} tries: {cause}"
        raise InDoubt(message)


class Tokens:
    """Random 16-byte tokens, drawn from the system many at a time: a draw costs microseconds."""

    def __init__(self) -> None:
        self._drawn: list[bytes] = []

    def take(self) -> bytes:
        """A token never given before."""
        if not self._drawn:
            pool = secrets.token_bytes(16 * 256)
            self._drawn = [pool[start : start + 16] for start in range(0, len(pool), 16)]
        return self._drawn.pop()
