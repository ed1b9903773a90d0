"""Replies kept so that a retried request gets the same answer."""

from collections import deque
from collections.abc import Iterable

from adapters.commit_log import StoredReply


class ReplyWindow:
    """
    Replies by request id, for a time and up to a number; the oldest go first.

    Parameters
    ----------
    window_ms
        How long a reply is kept, milliseconds of engine time.
    replies_max
        How many are kept.
    """

    def __init__(self, window_ms: int, replies_max: int) -> None:
        self._window_ms = window_ms
        self._replies_max = replies_max
        # Digest and reply in one bytes object: a million tuples would be a million objects for the
        # collector.
        self._kept: dict[str, bytes] = {}
        self._order: deque[str] = deque()
        self._times: deque[int] = deque()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, request_id: str) -> tuple[bytes, bytes] | None:
        """Digest and reply of a request id."""
        kept = self._kept.get(request_id)
        return None if kept is None else (kept[:16], kept[16:])

    def keep(self, stored: StoredReply) -> None:
        """Keep a reply, and drop those past the window or the number."""
        self._kept[stored.request_id] = stored.digest + stored.reply
        self._order.append(stored.request_id)
        self._times.append(stored.at_ms)
        oldest_ms = stored.at_ms - self._window_ms
        while len(self._order) > self._replies_max or self._times[0] < oldest_ms:
            self._kept.pop(self._order.popleft(), None)
            self._times.popleft()

    def load(self, replies: Iterable[StoredReply]) -> None:
        """Keep what the log had kept, oldest first."""
        for stored in replies:
            self.keep(stored)
