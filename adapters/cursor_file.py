"""
How far a forwarder has come, in a file that outlives it.

What is being sent is written down before it is sent. A process that was killed meanwhile leaves
behind which events were out, and the next one sends exactly these again, under the same id: a
receiver that knows the id drops the whole delivery.
"""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from adapters.cursors import parse_cursor

_VERSION: Final = 1
_BYTES_MAX: Final = 4_096
_TEXTS: Final = ("cell", "filter", "cursor", "sending")


class CursorFileRefused(Exception):
    """A cursor file cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Progress:
    """
    Where a forwarder stands.

    Attributes
    ----------
    cursor
        Everything up to this place is delivered, or need not be; "" where nothing is known.
    sending
        Place of the last event that was being sent after `cursor`; "" for none.
    """

    cursor: str = ""
    sending: str = ""


class CursorFile:
    """
    A file that one process holds.

    Parameters
    ----------
    path
        The file; made where there is none. `<path>.lock` beside it is locked.
    cell
        Cell whose log the cursors lie in.
    event_filter
        What tells one choice of events from another: what was being sent under another choice is
        not sent again as it was.

    Raises
    ------
    CursorFileRefused
        It is damaged, of another cell or version, held by another process, or out of reach.
    """

    def __init__(self, path: Path, cell: str, event_filter: str) -> None:
        self.path = path
        self.cell = cell
        self._filter = event_filter
        self._lock = _locked(path)
        try:
            self.progress = self._read()
        except CursorFileRefused:
            self.close()
            raise

    def save(self, progress: Progress) -> None:
        """
        Write progress down; once this returns it outlives a power cut.

        Raises
        ------
        CursorFileRefused
            It cannot be written; what was written before stays.
        """
        fields = {
            "version": _VERSION,
            "cell": self.cell,
            "filter": self._filter,
            "cursor": progress.cursor,
            "sending": progress.sending,
        }
        try:
            _replace(self.path, orjson.dumps(fields) + b"\n")
        except OSError as error:
            raise self._refused(f"cannot be written: {error.strerror}") from None
        self.progress = progress

    def close(self) -> None:
        """Leave the file to another process."""
        os.close(self._lock)

    def _read(self) -> Progress:
        try:
            with self.path.open("rb") as file:
                written = file.read(_BYTES_MAX + 1)
        except FileNotFoundError:
            return Progress()
        except OSError as error:
            raise self._refused(f"cannot be read: {error.strerror}") from None
        fields = self._fields(written)
        if fields["cell"] != self.cell:
            raise self._refused(f"is of cell {fields['cell']!r}, not {self.cell!r}")
        is_same = fields["filter"] == self._filter
        return Progress(fields["cursor"], fields["sending"] if is_same else "")

    def _fields(self, written: bytes) -> dict[str, str]:
        damaged = self._refused(
            "is damaged. Put a copy in its place, or remove it to begin with what happens from now "
            "on, or, with --from-beginning, with all that the log holds"
        )
        try:
            found = orjson.loads(written)
        except orjson.JSONDecodeError:
            raise damaged from None
        if not isinstance(found, dict):
            raise damaged
        if isinstance(found.get("version"), int) and found["version"] > _VERSION:
            raise self._refused(f"is of version {found['version']}, this program of {_VERSION}")
        fields = {name: found.get(name) for name in _TEXTS}
        texts = {name: value for name, value in fields.items() if isinstance(value, str)}
        if found.get("version") != _VERSION or len(texts) < len(_TEXTS):
            raise damaged
        if not (_is_place(texts["cursor"]) and _is_place(texts["sending"] or texts["cursor"])):
            raise damaged
        return texts

    def _refused(self, what: str) -> CursorFileRefused:
        return CursorFileRefused(f"cursor file {self.path} {what}")


def _is_place(cursor: str) -> bool:
    return parse_cursor(cursor) is not None


def _locked(path: Path) -> int:
    """
    A descriptor that holds the lock beside a file until it is closed, or the process ends.

    Of its own, because the file itself is replaced; and never removed, because whoever waits for
    the removed one would hold no lock.
    """
    lock = f"{path}.lock"
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CursorFileRefused(f"cannot open {lock}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        what = "is held by another process: name one for each forwarder"
        raise CursorFileRefused(f"cursor file {path} {what}") from None
    except OSError as error:
        os.close(descriptor)
        raise CursorFileRefused(f"cannot lock {lock}: {error.strerror}") from None
    return descriptor


def _replace(path: Path, content: bytes) -> None:
    """Put a file in another's place: at any moment, power cuts included, one is whole."""
    fresh = f"{path}.new"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(fresh, path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
