"""
A cell's log in memory: for `--durability memory`, for tests, and for simulated failures.

What is stored lives in a `MemoryStore`, which outlasts the logs made over it. A restart is a new
`MemoryLog` over the same store; two logs over one store are two owners of which only the later may
commit. Nothing here is random: which commit fails, where and how, is said by a `FaultPlan`.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, IntEnum
from typing import Final

from adapters.commit_log import (
    CommitGroup,
    CommitLogError,
    CursorOutOfRange,
    Fenced,
    InDoubt,
    LoadedState,
    LogFull,
    LoggedGroup,
    Ownership,
    SchemaTooNew,
    StoredReply,
    TokenConflict,
)
from engine.state.rows import SCHEMA_VERSION, SCHEMA_WRITTEN, RowDelta, RowTable

# Stands for the last group's token while there is no group.
EMPTY_TOKEN: Final = bytes(16)

# What one commit forgets at most, so that none pays for a long idle night; twice what the commit
# itself adds is always allowed, so that the bounds are reached in the end.
FORGET_MAX: Final = 1_024


class CommitStep(IntEnum):
    """Where in a commit a fault can strike, in order."""

    BEFORE_CHECK = 1
    AFTER_CHECK = 2
    # The store is atomic: a group that was half written is not there.
    HALF_WRITTEN = 3
    AFTER_WRITE_BEFORE_REPLY = 4


class Fault(Enum):
    """What a fault does to the commit it strikes."""

    # The process is gone: CrashInjected, and the log answers nothing more.
    CRASH = "crash"
    # The request or, after the write, the answer is lost: InDoubt.
    LOSE_REPLY = "lose reply"
    # No room: LogFull. Only before the write, because nothing may be written.
    FULL = "full"
    # Another owner acquires: Fenced. Only before the write, because the store is atomic.
    FENCE = "fence"


# The fault of the n-th call of `commit` on one log, counted from 1, at a step; None for none.
FaultPlan = Callable[[int, CommitStep], Fault | None]


class CrashInjected(BaseException):
    """
    Stands for the end of the process inside a commit.

    Not an Exception, so that no handler on the way mistakes it for a failure to be dealt with. Who
    simulates catches it, drops the log and everything built on it, and begins anew over the store.
    """


def planned(faults: Mapping[tuple[int, CommitStep], Fault]) -> FaultPlan:
    """Plan of listed faults: (number of the commit, step) to fault."""
    return lambda commit, step: faults.get((commit, step))


class MemoryStore:
    """
    What successive owners of one cell share.

    Parameters
    ----------
    reply_window_ms
        How much older than the newest reply a reply may be to be kept, milliseconds, > 0.
    replies_max
        Replies kept, > 0; the oldest are dropped first.
    groups_kept
        Groups `tail` can return, > 0; the oldest are dropped first.
    events_bytes_max
        Bytes of events kept, the last group whatever its size.
    is_rewindable
        Keeps every group for `rewind`; grows with each commit, so only for simulations.

    Attributes
    ----------
    schema_version
        Version the rows were written with; a simulation of an upgrade may raise it.
    epoch, token, sequence
        Last owner, and the last group's token and number.
    """

    def __init__(
        self,
        *,
        reply_window_ms: int = 600_000,
        replies_max: int = 1_000_000,
        groups_kept: int = 100_000,
        events_bytes_max: int = 268_435_456,
        is_rewindable: bool = False,
    ) -> None:
        self._reply_window_ms = reply_window_ms
        self._replies_max = replies_max
        self._groups_kept = groups_kept
        self._events_bytes_max = events_bytes_max
        self._history: list[tuple[bytes, CommitGroup]] | None = [] if is_rewindable else None
        self.schema_version = SCHEMA_WRITTEN
        self.epoch = 0
        self._empty()

    def check(self, epoch: int, expected_token: bytes, new_token: bytes) -> bool:
        """Whether the group is to be written; False when the log already ends with it."""
        if epoch != self.epoch:
            raise Fenced(f"memory: acquired again since (epoch {self.epoch}, ours {epoch})")
        if self.token == new_token:
            return False
        if self.token != expected_token:
            raise TokenConflict(
                f"memory: ends with group {self.sequence}, token {self.token.hex()}, not with "
                f"{expected_token.hex()}; it was rewound or written by someone else"
            )
        return True

    def append(self, token: bytes, group: CommitGroup) -> None:
        """Write a group that was checked; O(rows + replies)."""
        self.schema_version = max(self.schema_version, group.schema)
        tables = self._tables
        for delta in group.row_deltas:
            table, row, _, record, payload = delta
            rows, payloads = tables[table]
            if record is None:
                rows.pop(row, None)
                payloads.pop(row, None)
                continue
            rows[row] = delta
            if payload is not None:
                payloads[row] = payload
        self.token = token
        self.sequence += 1
        self._events.append(group.events)
        self._events_bytes += len(group.events)
        if len(self._events) > self._groups_kept or self._events_bytes > self._events_bytes_max:
            self._forget_events()
        if group.replies:
            self._keep_replies(group.replies)
        if self._history is not None:
            self._history.append((token, group))

    def loaded(self) -> LoadedState:
        """Everything stored, as `CommitLog.load` returns it."""
        loaded = [
            rows[row]._replace(payload=payloads.get(row, b""))
            for rows, payloads in self._tables
            for row in sorted(rows)
        ]
        since_ms = self._newest_at_ms - self._reply_window_ms
        replies = [reply for reply in self._replies if reply.at_ms >= since_ms]
        return LoadedState(self.schema_version, loaded, replies)

    @property
    def first_sequence(self) -> int:
        """Sequence number of the oldest group kept, or of the next one when none is."""
        return self.sequence - len(self._events) + 1

    def tail(self, after_sequence: int, groups_max: int) -> list[LoggedGroup]:
        """Groups after a sequence number, as `CommitLog.tail` returns them."""
        before_first = self.first_sequence - 1
        if not (before_first <= after_sequence <= self.sequence):
            raise CursorOutOfRange(
                f"memory: keeps groups {before_first + 1} to {self.sequence}, none can follow "
                f"{after_sequence}; load the state and read on from its end"
            )
        end = min(self.sequence, after_sequence + max(0, groups_max))
        return [
            LoggedGroup(sequence, self._events[sequence - before_first - 1])
            for sequence in range(after_sequence + 1, end + 1)
        ]

    def rewind(self, sequence: int) -> None:
        """
        Lose every group after `sequence`, as a store restored from an old copy does; O(groups).

        The epoch stays, so that the owner finds out by the token alone. Only where the store
        `is_rewindable`.
        """
        history = self._history
        if history is None or not (0 <= sequence <= self.sequence):
            raise ValueError(f"cannot rewind to group {sequence} of {self.sequence}")
        self._history = []
        self._empty()
        for token, group in history[:sequence]:
            self.append(token, group)

    def _empty(self) -> None:
        self.token = EMPTY_TOKEN
        self.sequence = 0
        # Payloads apart from rows: replacing a row's record must not cost making a new RowDelta.
        self._tables: list[tuple[dict[int, RowDelta], dict[int, bytes]]] = [
            ({}, {}) for _ in range(max(RowTable) + 1)
        ]
        self._events: deque[bytes] = deque()
        self._events_bytes = 0
        # A deque, not a dict by id: popping the first key of a dict again and again is quadratic.
        self._replies: deque[StoredReply] = deque(maxlen=self._replies_max)
        self._newest_at_ms = 0

    def _forget_events(self) -> None:
        events = self._events
        for _ in range(FORGET_MAX):
            is_excess = (
                len(events) > self._groups_kept or self._events_bytes > self._events_bytes_max
            )
            if not is_excess or len(events) == 1:
                break
            self._events_bytes -= len(events.popleft())

    def _keep_replies(self, added: Sequence[StoredReply]) -> None:
        replies = self._replies
        replies.extend(added)
        # All replies of a group carry the time of its turn.
        self._newest_at_ms = max(self._newest_at_ms, added[-1].at_ms)
        since_ms = self._newest_at_ms - self._reply_window_ms
        if replies[0].at_ms >= since_ms:
            return
        for _ in range(max(FORGET_MAX, 2 * len(added))):
            if not replies or replies[0].at_ms >= since_ms:
                break
            replies.popleft()


class MemoryLog:
    """
    A `CommitLog` over a `MemoryStore`.

    Acquiring always succeeds and fences the owner before, as where a lease ran out; LogHeld and
    LogCorrupt are never raised.

    Parameters
    ----------
    store
        What is stored, shared with the owners before and after.
    faults
        Which commits of this log fail; None for none.

    Attributes
    ----------
    answers_at_once
        True: no method suspends.
    """

    answers_at_once = True

    def __init__(self, store: MemoryStore, faults: FaultPlan | None = None) -> None:
        self._store = store
        self._faults = faults
        self._commits = 0
        self._epoch = 0

    async def acquire(self, owner: str) -> Ownership:
        """Begin a new epoch; raises SchemaTooNew."""
        store = self._store
        if store.schema_version > SCHEMA_VERSION:
            raise SchemaTooNew(
                f"memory: written with schema {store.schema_version}, this version reads up to "
                f"{SCHEMA_VERSION}; run the version that wrote it, or a later one"
            )
        store.schema_version = max(store.schema_version, SCHEMA_WRITTEN)
        store.epoch += 1
        self._epoch = store.epoch
        return Ownership(store.epoch, store.token, store.sequence)

    async def load(self) -> LoadedState:
        """Read what is stored."""
        return self._acquired_store().loaded()

    async def commit(self, expected_token: bytes, new_token: bytes, group: CommitGroup) -> int:
        """Append a group, unless the plan says otherwise."""
        store = self._acquired_store()
        if self._faults is not None:
            return self._commit_with_faults(self._faults, expected_token, new_token, group)
        if store.check(self._epoch, expected_token, new_token):
            store.append(new_token, group)
        return store.sequence

    async def tail(self, after_sequence: int, groups_max: int) -> Sequence[LoggedGroup]:
        """Read groups by sequence number."""
        return self._acquired_store().tail(after_sequence, groups_max)

    async def oldest_sequence(self) -> int:
        """Tell where the kept groups begin."""
        return self._acquired_store().first_sequence

    async def release(self) -> None:
        """Give the right up; the store keeps everything."""
        self._epoch = 0

    def _commit_with_faults(
        self, faults: FaultPlan, expected_token: bytes, new_token: bytes, group: CommitGroup
    ) -> int:
        self._commits += 1
        self._strike(faults, CommitStep.BEFORE_CHECK)
        is_new = self._store.check(self._epoch, expected_token, new_token)
        self._strike(faults, CommitStep.AFTER_CHECK)
        self._strike(faults, CommitStep.HALF_WRITTEN)
        if is_new:
            self._store.append(new_token, group)
        sequence = self._store.sequence
        self._strike(faults, CommitStep.AFTER_WRITE_BEFORE_REPLY)
        return sequence

    def _strike(self, faults: FaultPlan, step: CommitStep) -> None:
        fault = faults(self._commits, step)
        if fault is None:
            return
        where = f"memory: commit {self._commits}, {step.name}"
        if step is CommitStep.AFTER_WRITE_BEFORE_REPLY and fault in (Fault.FULL, Fault.FENCE):
            raise ValueError(f"{where}: expected CRASH or LOSE_REPLY, got {fault.name}")
        match fault:
            case Fault.CRASH:
                self._epoch = 0
                raise CrashInjected(where)
            case Fault.LOSE_REPLY:
                raise InDoubt(f"{where}: no answer; commit the same group again")
            case Fault.FULL:
                raise LogFull(f"{where}: no room, nothing was written; make room")
            case Fault.FENCE:
                self._store.epoch += 1
                raise Fenced(f"{where}: acquired by another owner")

    def _acquired_store(self) -> MemoryStore:
        if self._epoch == 0:
            raise CommitLogError("memory: not acquired; acquire it first")
        return self._store
