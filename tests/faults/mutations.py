"""
Bugs put in on purpose, to show that the fault simulation finds what it is there to find.

Each takes a promise out of the production's code; some seed must then fail.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any, Final
from unittest import mock

from adapters import dispatch_loop
from adapters.commit_chain import CommitChain
from adapters.commit_log import CommitGroup, InDoubt, StoredReply
from adapters.dispatch_loop import DispatchLoop
from adapters.errors import CallRefused
from adapters.event_hub import EventHub, Subscription
from adapters.memory_log import MemoryStore
from adapters.reply_window import ReplyWindow
from adapters.turn import Call, Turn, run_method
from engine.state.cell import Group
from headgate.v1.event_pb2 import Event

Mutation = Callable[[], AbstractContextManager[Any]]


def _without_idempotency() -> AbstractContextManager[Any]:
    """Each try of a request is a new request."""
    return mock.patch.object(ReplyWindow, "find", return_value=None)


def _answers_of_agents_not_kept() -> AbstractContextManager[Any]:
    """A retry of what an agent did finds it done, and is refused."""
    runs = DispatchLoop._run

    def run(self: DispatchLoop, call: Call, turn: Turn) -> bytes | CallRefused:
        if call.method.service == "OfferService":
            return run_method(call.method, self.engine, call.request, turn.now_ms, lambda _: None)
        return runs(self, call, turn)

    return mock.patch.object(DispatchLoop, "_run", run)


def _every_second_event_lost() -> AbstractContextManager[Any]:
    """Those who watch a few contacts are told half of what happens to them."""
    pushes = Subscription.push

    def push(self: Subscription, event: Event) -> None:
        if self.wants_all or not event.cursor.endswith("2"):
            pushes(self, event)

    return mock.patch.object(Subscription, "push", push)


def _replies_lost_at_restart() -> AbstractContextManager[Any]:
    """A retry after a restart is a new request."""
    return mock.patch.object(ReplyWindow, "load", return_value=None)


def _replies_not_committed() -> AbstractContextManager[Any]:
    """The same, because they were never written."""

    def group(events: bytes, rows: Any, _: list[StoredReply]) -> CommitGroup:
        return CommitGroup(events, rows, ())

    return mock.patch.object(dispatch_loop, "CommitGroup", group)


def _acknowledge_before_commit() -> AbstractContextManager[Any]:
    """Callers are answered, and only then is their group committed."""
    commits = DispatchLoop._is_committed

    async def is_committed(self: DispatchLoop, turn: Turn, group: Group) -> bool:
        for call, answer in zip(turn.calls, turn.answers, strict=True):
            call.answer(answer)
        turn.calls.clear()
        turn.answers.clear()
        return await commits(self, turn, group)

    return mock.patch.object(DispatchLoop, "_is_committed", is_committed)


def _publish_before_commit() -> AbstractContextManager[Any]:
    """Watchers are told what may never have happened."""
    commits = DispatchLoop._is_committed

    async def is_committed(self: DispatchLoop, turn: Turn, group: Group) -> bool:
        self.hub.publish(self._chain.sequence + 1, group.effects)
        return await commits(self, turn, group._replace(effects=[]))

    return mock.patch.object(DispatchLoop, "_is_committed", is_committed)


def _another_token_when_in_doubt() -> AbstractContextManager[Any]:
    """A commit that may have taken place is tried again as a new one."""

    async def append(self: CommitChain, group: CommitGroup) -> None:
        for _ in range(3):
            token = self._tokens.take()
            try:
                await self._log.commit(self._log._store.token, token, group)  # type: ignore[attr-defined]
            except InDoubt:
                continue
            sequence = self._ownership.sequence + 1
            self._ownership = replace(self._ownership, token=token, sequence=sequence)
            return
        raise InDoubt("in doubt")

    return mock.patch.object(CommitChain, "append", append)


def _without_fence() -> AbstractContextManager[Any]:
    """Whoever wants to commit may."""
    return mock.patch.object(MemoryStore, "check", return_value=True)


def _state_kept_after_failed_commit() -> AbstractContextManager[Any]:
    """The engine goes on with what the log refused."""

    async def load(self: DispatchLoop) -> None:
        return None

    loads = DispatchLoop._load

    async def first_load_only(self: DispatchLoop) -> None:
        await (loads if self._engine.now_ms() == 0 else load)(self)

    return mock.patch.object(DispatchLoop, "_load", first_load_only)


def _unseen_groups_not_told() -> AbstractContextManager[Any]:
    """A group that was in doubt and had been committed is in the log alone."""

    async def catch_up(self: EventHub, log: Any, end: int) -> None:
        return None

    return mock.patch.object(EventHub, "catch_up", catch_up)


def _rows_written_by_halves() -> AbstractContextManager[Any]:
    """The last row of a group does not reach the store."""
    appends = MemoryStore.append

    def append(self: MemoryStore, token: bytes, group: CommitGroup) -> None:
        rows = list(group.row_deltas)
        kept = rows[:-1] if len(rows) > 1 else rows
        appends(self, token, CommitGroup(group.events, kept, group.replies))

    return mock.patch.object(MemoryStore, "append", append)


MUTATIONS: Final[dict[str, Mutation]] = {
    mutation.__name__.strip("_"): mutation
    for mutation in (
        _without_idempotency,
        _answers_of_agents_not_kept,
        _every_second_event_lost,
        _replies_lost_at_restart,
        _replies_not_committed,
        _acknowledge_before_commit,
        _publish_before_commit,
        _another_token_when_in_doubt,
        _without_fence,
        _state_kept_after_failed_commit,
        _unseen_groups_not_told,
        _rows_written_by_halves,
    )
}


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """The production's code with one bug; with none for ""."""
    if not name:
        yield
        return
    with MUTATIONS[name]():
        yield
