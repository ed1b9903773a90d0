"""What a dispatch loop's turns are made of: calls, their answers, tokens, digests, bounds."""

import hashlib
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog
from google.protobuf.message import Message
from google.rpc import code_pb2

from adapters.commit_chain import CommitChain
from adapters.commit_log import CommitGroup, StoredReply
from adapters.errors import CallRefused, invalid, refused_by_engine
from adapters.methods import Method
from engine.engine import Engine
from engine.limits import ID_BYTES_MAX, Limits
from engine.refusals import CommandRefused, Refusal, violation
from engine.state.cell import Group

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """
    Bounds of one cell's dispatch loop.

    Attributes
    ----------
    limits
        Sizes of the cell.
    inbox_max
        Calls that may wait for a turn.
    reply_window_ms
        How long replies are kept for retries, milliseconds.
    replies_max
        How many replies are kept for retries.
    neighbours
        Other cells that contacts may cross to.
    loads_beside
        Whether the cell is made of its rows beside the loop: other cells of the process go on.
    """

    limits: Limits = field(default_factory=Limits)
    inbox_max: int = 4_096
    reply_window_ms: int = 600_000
    replies_max: int = 1_000_000
    neighbours: tuple[str, ...] = ()
    loads_beside: bool = False


# Methods that bring contacts.
NEW_CONTACTS: Final = ("Route", "RouteBatch", "ReceiveContact")


@dataclass(slots=True)
class Call:
    """
    One call waiting for its turn.

    Attributes
    ----------
    method, request
        What to run.
    answer
        Called once with the serialised reply or the refusal, after the commit.
    is_wanted
        Asked before the call runs: False when the caller has gone or its deadline has passed.
    """

    method: Method
    request: Message
    answer: Callable[[bytes | CallRefused], None]
    is_wanted: Callable[[], bool]

    @property
    def adds_work(self) -> bool:
        """Whether it can wait while nothing is committed; what frees agents should not."""
        return not self.method.is_write or self.method.name in NEW_CONTACTS

    def room_of(self, limit: int) -> int:
        """As `room_for`, of this call's method."""
        return room_for(self.method.name, limit, is_write=self.method.is_write)


def room_for(name: str, limit: int, *, is_write: bool) -> int:
    """
    How many calls may be waiting when another one of a method comes.

    Shed first is what can come again elsewhere or later and would add to the work: new contacts.
    Then reads. What agents say comes last, for it frees them, and an engine that refused it would
    stay full: it has as much room again.
    """
    if name in NEW_CONTACTS:
        return limit
    return 2 * limit if is_write else limit + limit // 4


def why_shed(call: Call, chain: CommitChain, waiting: int, limit: int) -> str:
    """Why there is no room for a call while so many wait; "" where there is."""
    if chain.is_stalled and call.adds_work:
        return "its log does not answer"
    if chain.is_nearly_full and call.method.name in NEW_CONTACTS:
        return "its log has hardly any memory left, which contacts that are there need"
    return f"its inbox holds {waiting} calls" if waiting >= call.room_of(limit) else ""


@dataclass(slots=True)
class Turn:
    """
    Calls of one turn, their answers, and the replies to keep; `calls` and `answers` go together.
    """

    now_ms: int
    calls: list[Call] = field(default_factory=list)
    answers: list[bytes | CallRefused] = field(default_factory=list)
    kept: list[StoredReply] = field(default_factory=list)

    def answer_all(self, cell: str) -> None:
        """Answer every call."""
        for call, answer in zip(self.calls, self.answers, strict=True):
            try:
                call.answer(answer)
            except Exception:
                # What is wrong with one caller must not cost the others their answers.
                _log.exception("answer_failed", cell=cell, method=call.method.name)

    def refuse_running(self, refusal: CallRefused) -> None:
        """Answer the call that is being run, if one is; it is of this turn no more."""
        if len(self.calls) > len(self.answers):
            self.calls.pop().answer(refusal)

    def must_commit(self, group: Group) -> bool:
        """Whether anything changed; reads and refusals alone need no commit."""
        return bool(group.row_deltas or self.kept)


def run_method(
    method: Method,
    engine: Engine,
    request: Message,
    now_ms: int,
    count_refused: Callable[[Refusal], None],
) -> bytes | CallRefused:
    """The serialised reply of a method, or its refusal."""
    try:
        return method.run(engine, request, now_ms).SerializeToString()
    except CommandRefused as refused:
        count_refused(refused.reason)
        return refused_by_engine(refused)
    except CallRefused as refused:
        return refused


def wrong_id(request_id: str) -> CallRefused | None:
    """The refusal of what is no id of a request; None for one."""
    if 0 < len(request_id.encode()) <= ID_BYTES_MAX:
        return None
    expected = f"1 to {ID_BYTES_MAX} bytes, the same for every try of this request"
    return invalid(violation("request_id", request_id, expected))


def digest_of(method: Method, request: Message) -> bytes:
    """16 bytes over method and body; the same for the same request however it came."""
    body = request.SerializeToString(deterministic=True)
    return hashlib.blake2b(body, digest_size=16, person=method.name[:16].encode()).digest()


def repeated(kept: tuple[bytes, bytes], request_id: str, digest: bytes) -> bytes | CallRefused:
    """The kept reply to a request id, (digest, reply); refused where the request was another."""
    kept_digest, reply = kept
    if kept_digest == digest:
        return reply
    item = violation("request_id", request_id, "an id not used before with another request")
    return CallRefused(
        code_pb2.ALREADY_EXISTS, "REQUEST_ID_REUSED", str(item.expected), violations=(item,)
    )


def run_without_waiting(work: Coroutine[None, None, None]) -> None:
    """Run a coroutine that does not suspend to its end, without the cost of a task."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise AssertionError("a log that answers at once has suspended")


def to_commit(group: Group, replies: Sequence[StoredReply] = ()) -> CommitGroup:
    """What is committed of a sealed group, and of the replies to keep with it."""
    return CommitGroup(group.events, group.row_deltas, replies, group.schema)
