"""The contract of `CommitLog`, over every implementation."""

from dataclasses import replace

import pytest

from adapters.commit_log import (
    CommitLogError,
    CursorOutOfRange,
    Fenced,
    LoggedGroup,
    TokenConflict,
)
from engine.state.rows import SCHEMA_VERSION, SCHEMA_WRITTEN, RowDelta, RowTable
from tests.adapters.commit_log_contract import (
    NOW_MS,
    Bounds,
    LogHarness,
    NewStoredCell,
    commit_all,
    contact,
    group,
    reply,
    token,
)


@pytest.fixture
def cell(new_stored_cell: NewStoredCell) -> LogHarness:
    """Make a stored cell that keeps more than a test commits."""
    return new_stored_cell(Bounds())


async def test_load_of_new_log_is_empty(cell: LogHarness) -> None:
    """A cell that never ran begins with nothing, and with a token to name in its first commit."""
    log = cell.log()
    owned = await log.acquire("a")
    loaded = await log.load()
    assert (owned.sequence, len(owned.token)) == (0, 16)
    assert (loaded.schema_version, list(loaded.rows), list(loaded.replies)) == (
        SCHEMA_WRITTEN,
        [],
        [],
    )


async def test_schema_rises_with_the_first_group_that_needs_it(cell: LogHarness) -> None:
    """Until then the release before this one may take the cell back; from then on it may not."""
    log = cell.log()
    owned = await log.acquire("a")
    sequence = await log.commit(owned.token, b"1" * 16, group(rows=[contact(1, b"r", b"p")]))
    await log.acquire("a")
    assert (await log.load()).schema_version == SCHEMA_WRITTEN
    newer = replace(group(rows=[contact(2, b"r", b"p")]), schema=SCHEMA_VERSION)
    assert await log.commit(b"1" * 16, b"2" * 16, newer) == sequence + 1
    older = group(rows=[contact(3, b"r", b"p")])
    assert await log.commit(b"2" * 16, b"3" * 16, older) == sequence + 2
    await log.acquire("a")
    assert (await log.load()).schema_version == SCHEMA_VERSION
    await log.release()


async def test_acquire_again_raises_epoch(cell: LogHarness) -> None:
    """Epochs order owners: whoever comes later must be told apart from all before."""
    log = cell.log()
    epochs = []
    for _ in range(3):
        epochs.append((await log.acquire("a")).epoch)
        await log.release()
    epochs.append((await cell.log().acquire("b")).epoch)
    assert epochs == sorted(set(epochs))


async def test_commit_of_new_rows_loads_back_in_order(cell: LogHarness) -> None:
    """The rows are the cell: what was committed is what the next owner finds, in fixed order."""
    log = cell.log()
    owned = await log.acquire("a")
    rows = [
        RowDelta(RowTable.QUEUE, 0, "billing", b"q", b"{}"),
        contact(300, b"third", b"{}"),
        contact(7, b"second", b'{"channel":"voice"}'),
        RowDelta(RowTable.CELL, 0, "", b"first", None),
        RowDelta(RowTable.AGENT, 2, "a2", b"", b""),
    ]
    await log.commit(owned.token, token(1), group(rows=rows))
    await log.release()

    next_log = cell.log()
    next_owned = await next_log.acquire("b")
    loaded = await next_log.load()
    assert (next_owned.token, next_owned.sequence) == (token(1), 1)
    assert list(loaded.rows) == [rows[3]._replace(payload=b""), rows[2], rows[1], rows[4], rows[0]]


async def test_commit_without_payload_keeps_the_payload(cell: LogHarness) -> None:
    """Definitions are sent once; each later change of a row must not lose them."""
    log = cell.log()
    owned = await log.acquire("a")
    groups = [
        group(rows=[contact(1, b"queued", b"definition")]),
        group(rows=[contact(1, b"ended")]),
    ]
    await commit_all(log, owned, groups)
    assert list((await log.load()).rows) == [contact(1, b"ended", b"definition")]


async def test_commit_of_recycled_row_replaces_id_and_payload(cell: LogHarness) -> None:
    """Rows are used again: the new contact must not come up under the old one's name."""
    log = cell.log()
    owned = await log.acquire("a")
    newcomer = RowDelta(RowTable.CONTACT, 1, "newcomer", b"queued", b"new")
    await commit_all(
        log, owned, [group(rows=[contact(1, b"ended", b"old")]), group(rows=[newcomer])]
    )
    assert list((await log.load()).rows) == [newcomer]


async def test_delete_removes_row_and_its_payload(cell: LogHarness) -> None:
    """A forgotten contact is gone, and a row used again does not inherit its definition."""
    log = cell.log()
    owned = await log.acquire("a")
    groups = [
        group(rows=[contact(1, b"one", b"p1"), contact(2, b"two", b"p2")]),
        group(rows=[contact(1, None), contact(3, b"", b"p3")]),
        group(rows=[contact(1, b"again")]),
    ]
    await commit_all(log, owned, groups)
    assert list((await log.load()).rows) == [
        contact(1, b"again", b""),
        contact(2, b"two", b"p2"),
        contact(3, b"", b"p3"),
    ]


async def test_delete_of_unknown_row_is_harmless(cell: LogHarness) -> None:
    """A row made and forgotten within one group reaches the log as a delete only."""
    log = cell.log()
    owned = await log.acquire("a")
    await commit_all(log, owned, [group(rows=[contact(9, None)])])
    assert list((await log.load()).rows) == []


async def test_many_groups_count_up_and_survive_reopening(cell: LogHarness) -> None:
    """Sequence numbers have no holes, and the next owner goes on where the last one stopped."""
    log = cell.log()
    owned = await log.acquire("a")
    last = await commit_all(
        log, owned, [group(b"e%d" % n, [contact(n % 7, b"%d" % n, b"p")]) for n in range(1, 101)]
    )
    await log.release()
    next_log = cell.log()
    next_owned = await next_log.acquire("b")
    assert (next_owned.token, next_owned.sequence) == (last, 100)
    assert await next_log.commit(last, token(101), group()) == 101
    assert [one.record for one in (await next_log.load()).rows] == [
        b"%d" % n for n in (98, 99, 100, 94, 95, 96, 97)
    ]


async def test_commit_twice_with_one_token_applies_once(cell: LogHarness) -> None:
    """An answer may get lost: the retry must find the group, not append it a second time."""
    log = cell.log()
    owned = await log.acquire("a")
    once = group(b"e", [contact(1, b"r", b"p")], [reply("q")])
    assert await log.commit(owned.token, token(1), once) == 1
    assert await log.commit(owned.token, token(1), once) == 1
    assert list(await log.tail(0, 10)) == [LoggedGroup(1, b"e")]
    assert list((await log.load()).replies) == [reply("q")]
    assert await log.commit(token(1), token(2), group()) == 2


async def test_commit_with_unknown_token_conflicts(cell: LogHarness) -> None:
    """A log that does not end where the owner left it must not be built upon."""
    log = cell.log()
    owned = await log.acquire("a")
    await log.commit(owned.token, token(1), group(rows=[contact(1, b"r", b"p")]))
    with pytest.raises(TokenConflict):
        await log.commit(token(99), token(2), group(b"e", [contact(1, None)], [reply("q")]))
    loaded = await log.load()
    assert list(loaded.rows) == [contact(1, b"r", b"p")]
    assert list(loaded.replies) == []
    assert await log.commit(token(1), token(2), group()) == 2


async def test_commit_late_after_its_successor_conflicts(cell: LogHarness) -> None:
    """The epoch is right and the group is old: without the token it would be appended twice."""
    log = cell.log()
    owned = await log.acquire("a")
    first = group(b"first")
    await commit_all(log, owned, [first, group(b"second")])
    with pytest.raises(TokenConflict):
        await log.commit(owned.token, token(1), first)
    assert [one.events for one in await log.tail(0, 10)] == [b"first", b"second"]


async def test_commit_after_a_later_acquire_is_fenced(cell: LogHarness) -> None:
    """A paused owner that wakes up must not write into its successor's cell."""
    old, new = cell.log(), cell.log()
    owned = await old.acquire("old")
    await commit_all(old, owned, [group(rows=[contact(1, b"old", b"p")])])
    cell.break_lease()
    new_owned = await new.acquire("new")
    with pytest.raises(Fenced):
        await old.commit(token(1), token(2), group(rows=[contact(1, None)]))
    assert new_owned.epoch > owned.epoch
    assert list((await new.load()).rows) == [contact(1, b"old", b"p")]
    assert await new.commit(token(1), token(3), group()) == 2


async def test_commit_retried_after_a_later_acquire_is_fenced(cell: LogHarness) -> None:
    """The retry finds its own group, but the cell is another's: the owner must not go on."""
    old, new = cell.log(), cell.log()
    owned = await old.acquire("old")
    await commit_all(old, owned, [group()])
    cell.break_lease()
    await new.acquire("new")
    with pytest.raises(Fenced):
        await old.commit(owned.token, token(1), group())


async def test_release_of_a_fenced_owner_leaves_the_next_alone(cell: LogHarness) -> None:
    """A deposed owner shuts down at some time; its successor must not feel it."""
    old, new = cell.log(), cell.log()
    await old.acquire("old")
    cell.break_lease()
    owned = await new.acquire("new")
    await old.release()
    assert await new.commit(owned.token, token(1), group()) == 1


async def test_acquire_again_without_release_finds_what_was_committed(cell: LogHarness) -> None:
    """An owner whose commit failed starts over from the log without leaving it to others."""
    log = cell.log()
    first = await log.acquire("a")
    await commit_all(log, first, [group(rows=[contact(1, b"r", b"p")])])
    second = await log.acquire("a")
    assert (second.token, second.sequence) == (token(1), 1)
    assert second.epoch > first.epoch
    assert list((await log.load()).rows) == [contact(1, b"r", b"p")]
    assert await log.commit(second.token, token(2), group()) == 2


async def test_tail_pages_through_the_groups(cell: LogHarness) -> None:
    """A watcher that was away reads what it missed, in order, in pieces it can hold."""
    log = cell.log()
    await commit_all(log, await log.acquire("a"), [group(b"e%d" % n) for n in range(1, 8)])
    assert list(await log.tail(0, 3)) == [LoggedGroup(n, b"e%d" % n) for n in (1, 2, 3)]
    assert [one.sequence for one in await log.tail(3, 3)] == [4, 5, 6]
    assert [one.sequence for one in await log.tail(6, 3)] == [7]
    assert list(await log.tail(7, 3)) == []
    assert list(await log.tail(0, 0)) == []


async def test_oldest_sequence_is_where_tail_can_begin(new_stored_cell: NewStoredCell) -> None:
    """A watcher that asks for all the log holds must get its first kept group, not a refusal."""
    log = new_stored_cell(Bounds(groups_kept=50)).log()
    ownership = await log.acquire("a")
    assert await log.oldest_sequence() == 1
    assert list(await log.tail(0, 9)) == []
    await commit_all(log, ownership, [group(b"%d" % n) for n in range(1, 501)])
    oldest = await log.oldest_sequence()
    assert 1 < oldest <= 451
    assert (await log.tail(oldest - 1, 1))[0].sequence == oldest
    with pytest.raises(CursorOutOfRange):
        await log.tail(oldest - 2, 1)


@pytest.mark.parametrize("after_sequence", [-1, 3, 1 << 40])
async def test_tail_outside_the_log_is_refused(cell: LogHarness, after_sequence: int) -> None:
    """A cursor from another log or another time must not look like "nothing new"."""
    log = cell.log()
    await commit_all(log, await log.acquire("a"), [group(), group()])
    with pytest.raises(CursorOutOfRange):
        await log.tail(after_sequence, 10)


@pytest.mark.parametrize(
    "bounds",
    [Bounds(groups_kept=50), Bounds(events_bytes_max=500)],  # by number, by bytes
)
async def test_groups_past_the_bound_are_dropped_oldest_first(
    new_stored_cell: NewStoredCell, bounds: Bounds
) -> None:
    """The log must not grow for ever, and must say so to whoever asks for what is gone."""
    cell = new_stored_cell(bounds)
    log = cell.log()
    await commit_all(log, await log.acquire("a"), [group(b"%010d" % n) for n in range(1, 501)])
    assert list(await log.tail(450, 500)) == [LoggedGroup(n, b"%010d" % n) for n in range(451, 501)]
    with pytest.raises(CursorOutOfRange):
        await log.tail(449 - cell.groups_over, 500)
    await log.release()
    reopened = cell.log()
    await reopened.acquire("b")
    with pytest.raises(CursorOutOfRange):
        await reopened.tail(449 - cell.groups_over, 500)


async def test_last_group_is_kept_whatever_its_size(new_stored_cell: NewStoredCell) -> None:
    """A watcher at the end of the log must find the next group, were it larger than the bound."""
    log = new_stored_cell(Bounds(events_bytes_max=10)).log()
    await commit_all(log, await log.acquire("a"), [group(bytes(1_000)) for _ in range(64)])
    assert list(await log.tail(63, 10)) == [LoggedGroup(64, bytes(1_000))]


@pytest.mark.parametrize("replies_per_group", [1, 4])
async def test_replies_load_oldest_first_within_the_window(
    new_stored_cell: NewStoredCell, replies_per_group: int
) -> None:
    """A retry within the window gets its answer after a restart as well; older ones are gone."""
    cell = new_stored_cell(Bounds(reply_window_ms=50))
    log = cell.log()
    replies = [reply(f"q{n}", NOW_MS + n) for n in range(100)]
    groups = [
        group(replies=replies[start : start + replies_per_group])
        for start in range(0, 100, replies_per_group)
    ]
    await commit_all(log, await log.acquire("a"), groups)
    await log.release()
    reopened = cell.log()
    await reopened.acquire("b")
    assert list((await reopened.load()).replies) == replies[49:]


@pytest.mark.parametrize("replies_per_group", [1, 3, 40])
async def test_replies_past_the_number_are_dropped_oldest_first(
    new_stored_cell: NewStoredCell, replies_per_group: int
) -> None:
    """A flood of requests must not fill the memory; the newest answers are the ones retried."""
    log = new_stored_cell(Bounds(replies_max=10)).log()
    replies = [reply(f"q{n}") for n in range(120)]
    groups = [
        group(replies=replies[start : start + replies_per_group])
        for start in range(0, 120, replies_per_group)
    ]
    await commit_all(log, await log.acquire("a"), groups)
    assert list((await log.load()).replies) == replies[-10:]


async def test_release_twice_is_harmless(cell: LogHarness) -> None:
    """Shutting down happens on more than one path."""
    log = cell.log()
    await log.acquire("a")
    await log.release()
    await log.release()
    await cell.log().release()


async def test_log_not_acquired_is_refused(cell: LogHarness) -> None:
    """Who gave the right up, or never had it, must not read or write by accident."""
    log = cell.log()
    for _ in ("never acquired", "released"):
        with pytest.raises(CommitLogError, match="acquire"):
            await log.commit(bytes(16), token(1), group())
        with pytest.raises(CommitLogError, match="acquire"):
            await log.load()
        with pytest.raises(CommitLogError, match="acquire"):
            await log.tail(0, 1)
        await log.acquire("a")
        await log.release()


async def test_group_of_many_rows_is_committed_whole(cell: LogHarness) -> None:
    """A configuration that touches every agent is one group, however large."""
    log = cell.log()
    owned = await log.acquire("a")
    rows = [contact(row, b"%08d" % row * 28, b"{}" * 60) for row in range(20_000)]
    await log.commit(owned.token, token(1), group(bytes(2_000_000), rows))
    await log.commit(
        token(1), token(2), group(rows=[one._replace(record=None) for one in rows[1:]])
    )
    assert list((await log.load()).rows) == rows[:1]


async def test_ids_and_bytes_of_any_kind_load_back(cell: LogHarness) -> None:
    """Ids are the users' own text and payloads are opaque: neither may be changed on the way."""
    log = cell.log()
    owned = await log.acquire("größe ⚙")
    every_byte = bytes(range(256))
    ids = ["größe", "客户-42", "🎧" * 30, "a\0b", "' OR 1=1 --", "\u202eabc"]
    rows = [RowDelta(RowTable.AGENT, n, name, every_byte, every_byte) for n, name in enumerate(ids)]
    replies = [reply("q")._replace(request_id=name, reply=every_byte) for name in ids]
    await log.commit(owned.token, token(1), group(every_byte, rows, replies))
    loaded = await log.load()
    assert list(loaded.rows) == rows
    assert list(loaded.replies) == replies
    assert list(await log.tail(0, 1)) == [LoggedGroup(1, every_byte)]
