"""Files that are replaced while the process runs: certificates, keys, lists of callers."""

import os
from collections.abc import Iterable

_Seen = tuple[int, int, int] | None


class WatchedFiles:
    """
    Whether any of some files is another than at the last look; links are followed, as Kubernetes
    renews what it mounts by them.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = [path for path in paths if path]
        self._seen = self._look()

    def have_changed(self) -> bool:
        """Look again."""
        seen, self._seen = self._seen, self._look()
        return seen != self._seen

    def _look(self) -> list[_Seen]:
        return [_seen(path) for path in self._paths]


def _seen(path: str) -> _Seen:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
