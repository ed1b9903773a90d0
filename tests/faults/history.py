"""What callers asked and were told, with the times, for the checks at the end of a run."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from adapters.errors import CallRefused
from headgate.v1.event_pb2 import Event
from tests.faults.virtual_loop import VirtualTime


@dataclass
class Operation:
    """
    One request of one caller, whatever the number of its tries.

    Attributes
    ----------
    method, request
        What was asked; the request id is the operation's.
    invoked_s
        When it was first sent.
    replies
        Every reply that came, as bytes, with its time; those to late copies as well.
    refusals
        Every final refusal that came, with the time at which the copy it answers reached a process.
    """

    method: str
    request: Any
    invoked_s: float
    replies: list[tuple[float, bytes]] = field(default_factory=list)
    refusals: list[tuple[float, CallRefused]] = field(default_factory=list)

    @property
    def is_answered(self) -> bool:
        """Whether the caller knows how it ended."""
        return bool(self.replies or self.refusals)


@dataclass
class Watch:
    """
    Events that one watcher was told, across its connections.

    Attributes
    ----------
    wants_all
        Whether it watches the whole cell.
    begins_at
        Cursor that its first connection began at.
    cursor
        The last it was told; where it resumes.
    contact_ids
        Contacts whose every event it is to be told.
    """

    name: str
    wants_all: bool
    begins_at: str = ""
    cursor: str = ""
    events: list[Event] = field(default_factory=list)
    contact_ids: list[str] = field(default_factory=list)

    def take(self, events: Iterable[Event], cursor: str) -> None:
        """Note what one message brought."""
        self.events += events
        self.cursor = cursor or self.cursor
        self.begins_at = self.begins_at or cursor


class History:
    """Operations and watches of a run."""

    def __init__(self, time: VirtualTime) -> None:
        self._time = time
        self.operations: list[Operation] = []
        self.watches: list[Watch] = []

    def invoke(self, method: str, request: Message) -> Operation:
        """Note that a caller begins to ask."""
        operation = Operation(method, request, self._time.now_s)
        self.operations.append(operation)
        return operation

    def answer(self, operation: Operation, answer: bytes | CallRefused, reached_s: float) -> None:
        """Note a reply or a final refusal."""
        if isinstance(answer, bytes):
            operation.replies.append((self._time.now_s, answer))
        else:
            operation.refusals.append((reached_s, answer))

    def watch(self, name: str, *, wants_all: bool) -> Watch:
        """Begin a watch."""
        found = Watch(name, wants_all)
        self.watches.append(found)
        return found

    def digest(self) -> str:
        """Same runs have the same."""
        found = hashlib.blake2b(digest_size=16)
        for operation in self.operations:
            found.update(operation.request.SerializeToString(deterministic=True))
            answers = [
                *operation.replies,
                *((at_s, str(refused)) for at_s, refused in operation.refusals),
            ]
            found.update(repr((operation.invoked_s, answers)).encode())
        for watch in self.watches:
            for event in watch.events:
                found.update(event.SerializeToString(deterministic=True))
        return found.hexdigest()
