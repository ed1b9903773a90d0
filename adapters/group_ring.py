"""The last groups an owner was told are committed, for a store that forgets some of them."""

from collections import deque
from typing import Final, NamedTuple

# Longer than any failover that keeps the owner waiting.
KEPT_S: Final = 30.0
BYTES_MAX: Final = 67_108_864


class SentGroup(NamedTuple):
    """
    A group as it is sent.

    Attributes
    ----------
    expected_token, token
        The group's link in the chain.
    arguments
        What else the store is given.
    """

    expected_token: bytes
    token: bytes
    arguments: tuple[bytes, ...]


class GroupRing:
    """
    Committed groups, oldest first, for a time and up to a size.

    Parameters
    ----------
    kept_s
        How long a group is kept, seconds.
    bytes_max
        Bytes of groups kept; the last one is kept whatever its size.
    """

    def __init__(self, kept_s: float = KEPT_S, bytes_max: int = BYTES_MAX) -> None:
        self._kept_s = kept_s
        self._bytes_max = bytes_max
        self._groups: deque[tuple[float, int, SentGroup]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._groups)

    @property
    def last_token(self) -> bytes | None:
        """Token of the last group; None when there is none."""
        return self._groups[-1][2].token if self._groups else None

    def keep(self, group: SentGroup, now_s: float) -> None:
        """Keep a group, and drop what is too old or too much."""
        size = sum(map(len, group.arguments))
        groups = self._groups
        groups.append((now_s, size, group))
        self._bytes += size
        while len(groups) > 1 and (
            groups[0][0] < now_s - self._kept_s or self._bytes > self._bytes_max
        ):
            self._bytes -= groups.popleft()[1]

    def after(self, token: bytes) -> list[SentGroup]:
        """Groups that came after the one with a token; empty where that is not known."""
        groups = [group for _, _, group in self._groups]
        for index, group in enumerate(groups):
            if group.expected_token == token:
                return groups[index:]
        return []

    def last(self) -> list[SentGroup]:
        """The last group; empty when there is none."""
        return [self._groups[-1][2]] if self._groups else []

    def clear(self) -> None:
        """Forget everything: the log goes on from somewhere else."""
        self._groups.clear()
        self._bytes = 0
