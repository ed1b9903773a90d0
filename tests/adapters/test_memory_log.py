"""What the in-memory log adds to the contract: faults at every step, and a store that goes back."""

import pytest

from adapters.commit_log import (
    CommitLogError,
    Fenced,
    InDoubt,
    LogFull,
    Ownership,
    SchemaTooNew,
    TokenConflict,
)
from adapters.memory_log import (
    CommitStep,
    CrashInjected,
    Fault,
    MemoryLog,
    MemoryStore,
    planned,
)
from engine.state.rows import SCHEMA_VERSION
from tests.adapters.commit_log_contract import NOW_MS, commit_all, contact, group, reply, token

BEFORE_WRITE = [CommitStep.BEFORE_CHECK, CommitStep.AFTER_CHECK, CommitStep.HALF_WRITTEN]
GROUP = group(b"e", [contact(1, b"r", b"p")], [reply("q")])


@pytest.mark.parametrize("step", CommitStep)
async def test_crash_at_any_step_leaves_the_group_whole_or_absent(step: CommitStep) -> None:
    """This is the promise everything else rests on: no crash leaves half a group."""
    store = MemoryStore()
    log = MemoryLog(store, planned({(1, step): Fault.CRASH}))
    owned = await log.acquire("a")
    with pytest.raises(CrashInjected, match=step.name):
        await log.commit(owned.token, token(1), GROUP)

    restarted = MemoryLog(store)
    sequence = (await restarted.acquire("a")).sequence
    loaded = await restarted.load()
    is_written = step is CommitStep.AFTER_WRITE_BEFORE_REPLY
    assert sequence == int(is_written)
    assert list(loaded.rows) == list(GROUP.row_deltas) * is_written
    assert list(loaded.replies) == list(GROUP.replies) * is_written


async def test_crashed_log_answers_nothing_more() -> None:
    """What runs on after the crash in a simulation must not act as if the process lived."""
    log = MemoryLog(MemoryStore(), planned({(1, CommitStep.BEFORE_CHECK): Fault.CRASH}))
    owned = await log.acquire("a")
    with pytest.raises(CrashInjected):
        await log.commit(owned.token, token(1), GROUP)
    with pytest.raises(CommitLogError, match="acquire"):
        await log.commit(owned.token, token(1), GROUP)


def test_crash_is_not_an_exception() -> None:
    """A handler for failures must not survive what stands for the end of the process."""
    assert not issubclass(CrashInjected, Exception)


@pytest.mark.parametrize("step", CommitStep)
async def test_retry_after_a_lost_reply_applies_once(step: CommitStep) -> None:
    """Whether request or answer was lost, the same group with the same token settles it."""
    log = MemoryLog(MemoryStore(), planned({(1, step): Fault.LOSE_REPLY}))
    owned = await log.acquire("a")
    with pytest.raises(InDoubt):
        await log.commit(owned.token, token(1), GROUP)
    assert await log.commit(owned.token, token(1), GROUP) == 1
    assert len(await log.tail(0, 10)) == 1
    assert list((await log.load()).replies) == list(GROUP.replies)


@pytest.mark.parametrize("step", BEFORE_WRITE)
async def test_full_store_takes_nothing_and_recovers(step: CommitStep) -> None:
    """A full log refuses whole groups, and goes on where it was once there is room."""
    log = MemoryLog(MemoryStore(), planned({(1, step): Fault.FULL}))
    owned = await log.acquire("a")
    with pytest.raises(LogFull):
        await log.commit(owned.token, token(1), GROUP)
    assert list((await log.load()).rows) == []
    assert await log.commit(owned.token, token(2), GROUP) == 1


@pytest.mark.parametrize("step", BEFORE_WRITE)
async def test_fence_deposes_the_owner_for_good(step: CommitStep) -> None:
    """A deposed owner must stay deposed: every later commit of it is refused as well."""
    store = MemoryStore()
    log = MemoryLog(store, planned({(1, step): Fault.FENCE}))
    owned = await log.acquire("a")
    for _ in range(2):
        with pytest.raises(Fenced):
            await log.commit(owned.token, token(1), GROUP)
    assert store.sequence == 0


@pytest.mark.parametrize("fault", [Fault.FULL, Fault.FENCE])
async def test_fault_that_contradicts_a_written_group_is_refused(fault: Fault) -> None:
    """A plan that breaks the interface's own promises would find bugs that are none."""
    log = MemoryLog(MemoryStore(), planned({(1, CommitStep.AFTER_WRITE_BEFORE_REPLY): fault}))
    owned = await log.acquire("a")
    with pytest.raises(ValueError, match="expected CRASH or LOSE_REPLY"):
        await log.commit(owned.token, token(1), GROUP)


async def test_plan_is_asked_at_every_step_of_every_commit() -> None:
    """A simulation decides from number and step alone, so both must be exact."""
    asked: list[tuple[int, CommitStep]] = []

    def note(commit: int, step: CommitStep) -> Fault | None:
        asked.append((commit, step))
        return None

    log = MemoryLog(MemoryStore(), note)
    await commit_all(log, await log.acquire("a"), [GROUP, group()])
    assert asked == [(commit, step) for commit in (1, 2) for step in CommitStep]


async def test_commit_after_a_rewind_conflicts() -> None:
    """A store restored from an old copy has lost what was acknowledged; the owner must notice."""
    store = MemoryStore(is_rewindable=True)
    log = MemoryLog(store)
    groups = [group(b"e%d" % n, [contact(n, b"r", b"p")], [reply(f"q{n}")]) for n in (1, 2, 3)]
    last = await commit_all(log, await log.acquire("a"), groups)
    store.rewind(1)
    with pytest.raises(TokenConflict):
        await log.commit(last, token(4), group())

    owned = await log.acquire("a")
    loaded = await log.load()
    assert (owned.token, owned.sequence) == (token(1), 1)
    assert list(loaded.rows) == list(groups[0].row_deltas)
    assert list(loaded.replies) == list(groups[0].replies)
    assert await log.commit(token(1), token(5), group()) == 2


async def test_rewind_keeps_the_epoch() -> None:
    """Were the epoch to go back too, a deposed owner would be let in again."""
    store = MemoryStore(is_rewindable=True)
    old, new = MemoryLog(store), MemoryLog(store)
    owned = await old.acquire("old")
    await new.acquire("new")
    store.rewind(0)
    with pytest.raises(Fenced):
        await old.commit(owned.token, token(1), group())


@pytest.mark.parametrize(
    ("is_rewindable", "sequence"),
    [(False, 0), (True, 2), (True, -1)],  # keeps no groups; beyond the end; before the start
)
async def test_rewind_to_what_is_not_kept_is_refused(is_rewindable: bool, sequence: int) -> None:
    """A test that believes it rewound, and did not, would prove nothing."""
    store = MemoryStore(is_rewindable=is_rewindable)
    log = MemoryLog(store)
    await commit_all(log, await log.acquire("a"), [group()])
    with pytest.raises(ValueError, match="cannot rewind"):
        store.rewind(sequence)


async def test_replies_of_an_idle_night_are_forgotten_step_by_step() -> None:
    """No single commit pays for all that grew old; what is still there is not loaded any more."""
    store = MemoryStore(reply_window_ms=50)
    log = MemoryLog(store)
    night = group(replies=[reply(f"q{n}") for n in range(5_000)])
    morning = [group(replies=[reply(f"m{n}", NOW_MS + 10_000)]) for n in range(10)]
    last = await commit_all(log, await log.acquire("a"), [night])
    await log.commit(last, token(2), morning[0])
    assert 3_000 < len(store._replies) < 5_000
    assert list((await log.load()).replies) == list(morning[0].replies)
    await commit_all(log, Ownership(1, token(2), 2), morning[1:])
    assert len(store._replies) == 10


async def test_rows_of_a_newer_version_are_refused() -> None:
    """Guessing at what a later version wrote would corrupt it; so the older one stays out."""
    store = MemoryStore()
    store.schema_version = SCHEMA_VERSION + 1
    with pytest.raises(SchemaTooNew, match=f"reads up to {SCHEMA_VERSION}"):
        await MemoryLog(store).acquire("a")
