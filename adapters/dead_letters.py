"""Deliveries that were given up, in a file for a person to look at and to send again."""

import os
from pathlib import Path
from typing import Final

import orjson

from adapters.clock import wall_ms
from adapters.webhook import Delivery

BYTES_MAX: Final = 256 * 1024 * 1024


class DeadLettersRefused(Exception):
    """The file of dead letters cannot take one more; the message says why."""


class DeadLetters:
    """
    A file of JSON lines, only ever appended to, up to a bound.

    Parameters
    ----------
    path
        The file; made where there is none, for its owner alone to read.
    bytes_max
        Size beyond which nothing is appended.

    Raises
    ------
    DeadLettersRefused
        The file cannot be opened.
    """

    def __init__(self, path: Path, bytes_max: int = BYTES_MAX) -> None:
        self._path = path
        self._bytes_max = bytes_max
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            self._descriptor = os.open(path, flags, 0o600)
        except OSError as error:
            raise self._refused(f"cannot be opened: {error.strerror}") from None

    def append(self, delivery: Delivery, why: str) -> None:
        """
        Keep a delivery, with the reason in a word; once this returns it outlives a power cut.

        Raises
        ------
        DeadLettersRefused
            There is no room for it; nothing of it counts as kept.
        """
        head = {"webhook_id": delivery.webhook_id, "given_up_at_ms": wall_ms(), "why": why}
        line = b'%s,"body":%s}\n' % (orjson.dumps(head)[:-1], delivery.body)
        try:
            size = os.fstat(self._descriptor).st_size
            # A line that a crash or a full disk cut short stays alone.
            if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
                line = b"\n" + line
            if size + len(line) > self._bytes_max:
                raise self._refused(f"is full: {size:,} of {self._bytes_max:,} bytes")
            self._write(line)
        except OSError as error:
            raise self._refused(f"cannot be written: {error.strerror}") from None

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _write(self, line: bytes) -> None:
        left = memoryview(line)
        while left:
            left = left[os.write(self._descriptor, left) :]
        os.fsync(self._descriptor)

    def _refused(self, what: str) -> DeadLettersRefused:
        return DeadLettersRefused(f"dead-letter file {self._path} {what}")
