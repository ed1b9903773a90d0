"""On which terms a cell is kept in Redis, and what is counted of it."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Terms:
    """
    How a cell is held and when a commit counts.

    Attributes
    ----------
    wait_replicas
        Replicas that must have a commit; 0 for none.
    wait_ms
        How long one try waits for them, milliseconds.
    lease_ms
        How long the right lasts after its last renewal, milliseconds.
    lease_wait_s
        How long acquiring waits for another owner's lease to lapse, seconds.
    answer_within_s
        How long a server may take to connect, and be silent before it has answered, seconds.
    in_doubt_s
        How long a commit may stay in doubt before its callers are told, seconds.
    """

    wait_replicas: int = 1
    wait_ms: int = 300
    lease_ms: int = 1_500
    lease_wait_s: float = 3.0
    answer_within_s: float = 0.5
    in_doubt_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Kept:
    """
    How much a log keeps.

    Attributes
    ----------
    reply_window_ms
        How much older than the newest reply a reply may be to be kept, milliseconds, > 0.
    replies_max
        Replies kept, > 0; the oldest are dropped first.
    groups_kept
        Groups `tail` can return, > 0; the oldest are dropped first, some hundred late.
    events_bytes_max
        Bytes of events kept, the last group whatever its size.
    """

    reply_window_ms: int = 600_000
    replies_max: int = 1_000_000
    groups_kept: int = 100_000
    events_bytes_max: int = 268_435_456


class Count(Protocol):
    """Something that is counted."""

    def inc(self, amount: float = 1) -> None:
        """Count so many more."""
        ...


class Level(Protocol):
    """Something that goes up and down."""

    def set(self, value: float) -> None:
        """Say how high it is."""
        ...


class CommitCounts(Protocol):
    """What an operator wants to know of commits to Redis."""

    @property
    def commits_in_doubt(self) -> Count:
        """Tries whose outcome was not known."""
        ...

    @property
    def groups_repaired(self) -> Count:
        """Acknowledged groups that were gone and appended again."""
        ...

    @property
    def acknowledged_lost(self) -> Count:
        """Times acknowledged groups may be gone for good."""
        ...

    @property
    def memory_used(self) -> Level:
        """Share of the primary's maxmemory in use, 0 without a bound."""
        ...
