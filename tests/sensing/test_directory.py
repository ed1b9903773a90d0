"""Which rows stand for what, as queues come, go, and change their hours and groups."""

import numpy as np
import pytest

from engine.commands import DeleteQueue, UpsertQueue
from engine.definitions import Hours, OpeningPeriod
from engine.lifecycle import Day
from engine.refusals import BadConfiguration
from engine.sensing.rows import Key
from engine.sensing.sensing import Sensing
from tests.sensing.played import Played, values_of

WEEKDAYS = tuple(Day)[:5]
OFFICE = Hours("Europe/Berlin", (OpeningPeriod("08:00", "18:00", WEEKDAYS),))
EVENING = Hours("Europe/Berlin", (OpeningPeriod("18:00", "22:00", WEEKDAYS),))


@pytest.fixture
def played() -> Played:
    """A cell without queues."""
    return Played()


def test_queues_come_and_go_and_leave_their_rows_clean(played: Played) -> None:
    """A queue in the row of one that is gone must not inherit what was learned of that."""
    played.queues("a", "b", "c")
    played.end_second(("pbx", ["a", "b", "c"], values_of(3, offered=7)))
    played.end_second(("pbx", ["a", "b", "c"], values_of(3, offered=8)))
    row = played.row("b")
    assert played.picture.windows["1m"].offered[row] == 15
    played.do(DeleteQueue("b"))
    played.end_second()
    assert played.row("b") == -1
    assert played.picture.keys[row] is None
    played.queues("d")
    played.end_second()
    assert played.row("d") == row
    assert played.picture.windows["1m"].offered[row] == 0
    assert played.picture.latest_s[row] == -1
    assert played.picture.windows["1m"].offered[played.row("a")] == 15


def test_queue_that_is_made_again_within_one_look_is_a_new_one(played: Played) -> None:
    """Its old row of the engine may stand for another queue by then."""
    played.queues("a", "b")
    played.end_second()
    played.do(DeleteQueue("a"))
    played.queues("c", "a")
    played.end_second()
    rows = {name: played.row(name) for name in ("a", "b", "c")}
    assert -1 not in rows.values()
    assert len(set(rows.values())) == 3
    for name, row in rows.items():
        own_row = played.engine.cell.queue_row(name, "queue_id")
        assert played.sensing.directory.row_of_own[own_row] == row


def test_rows_grow_with_the_queues(played: Played) -> None:
    """More than the first arrays hold: nothing is lost, and all are told of."""
    played.queues("a")
    played.end_second(("pbx", ["a"], values_of(offered=7)))
    played.queues(*(f"q{number}" for number in range(40)))
    played.end_second()
    names = [key.name for key in played.picture.keys if key is not None]
    assert sorted(names) == sorted(["a", *(f"q{number}" for number in range(40))])
    assert len(played.picture.latest_s) >= 41
    assert played.picture.windows["1m"].offered[played.row("a")] == 7


def test_target_follows_the_definition(played: Played) -> None:
    """What is late is for the queue's definition to say, as it is now."""
    played.queues("a", service_level_within_ms=10_000, service_level_ratio=0.9)
    played.end_second()
    directory = played.sensing.directory
    row = played.row("a")
    assert (directory.within_s[row], directory.ratio[row]) == (10.0, 0.9)
    played.queues("a", service_level_within_ms=30_000, service_level_ratio=0.7)
    played.end_second()
    assert (directory.within_s[row], directory.ratio[row]) == (30.0, 0.7)


def test_groups_are_there_while_a_queue_names_them(played: Played) -> None:
    """A group has the sum of its queues, and ends with the last of them."""
    played.queues("a", "b", forecast_group="north")
    played.queues("c")
    played.end_second()
    directory = played.sensing.directory
    ((row, members),) = directory.groups()
    assert directory.rows.keys[row] == Key("north", is_group=True)
    assert members.tolist() == sorted([played.row("a"), played.row("b")])
    played.queues("b", forecast_group="south")
    played.end_second()
    found = {directory.rows.keys[row]: members.tolist() for row, members in directory.groups()}
    assert found == {
        Key("north", is_group=True): [played.row("a")],
        Key("south", is_group=True): [played.row("b")],
    }
    played.queues("a", "b")
    played.end_second()
    assert directory.groups() == []


def test_group_has_the_days_of_the_queue_that_brought_it(played: Played) -> None:
    """A group by another clock would forecast contacts for the night."""
    played.queues("a", hours=OFFICE, forecast_group="north")
    played.queues("b", hours=OFFICE, forecast_group="north")
    played.end_second()
    ((row, _),) = played.sensing.directory.groups()
    calendar = played.sensing.parts.model.columns.profiles.calendar
    assert calendar[row] == calendar[played.row("a")] == calendar[played.row("b")]
    # The same after a restart, in which the group has its row before any queue names it.
    played.restart()
    played.end_second()
    ((row, _),) = played.sensing.directory.groups()
    calendar = played.sensing.parts.model.columns.profiles.calendar
    assert calendar[row] == calendar[played.row("a")] != 0


def test_group_named_like_a_queue_is_another_row(played: Played) -> None:
    """Names of queues and of groups are chosen by different people."""
    played.queues("north")
    played.queues("a", forecast_group="north")
    played.end_second()
    ((row, _),) = played.sensing.directory.groups()
    assert row not in (played.row("north"), -1)


def test_queue_is_forecast_nothing_outside_its_hours(played: Played) -> None:
    """Changed hours count at once, and the calendar of others stays theirs."""
    played.queues("a", "b", hours=OFFICE)
    played.queues("c", hours=EVENING)
    played.end_second()
    calendars = played.sensing.parts.model.columns.profiles.calendar
    rows = [played.row(name) for name in ("a", "b", "c")]
    assert calendars[rows[0]] == calendars[rows[1]] != calendars[rows[2]]
    played.queues("b", hours=EVENING)
    played.end_second()
    calendars = played.sensing.parts.model.columns.profiles.calendar
    assert calendars[rows[0]] != calendars[rows[1]] == calendars[rows[2]]


def test_file_of_queues_that_are_gone_is_cleared(played: Played) -> None:
    """What was learned of a queue deleted meanwhile must not wait for another in its row."""
    played.queues("a", "b", forecast_group="north")
    played.end_second(("pbx", ["a", "b"], values_of(2, offered=3)))
    stored = played.sensing.export()
    again = Played(second=played.second)
    again.sensing.load(stored)
    again.queues("b")
    again.end_second()
    keys = [key for key in again.picture.keys if key is not None]
    assert keys == [Key("b")]
    assert again.row("b") == played.row("b")
    assert again.picture.windows["1m"].offered[again.row("b")] == 3


@pytest.mark.parametrize("missing", ["keys", "windows.sums", "model.today"])
def test_file_of_another_version_is_refused_whole(played: Played, missing: str) -> None:
    """Half of what was learned, under the wrong rows, would be worse than none."""
    played.queues("a")
    played.end_second()
    stored = played.sensing.export()
    named = missing if missing in stored else next(k for k in stored if k.startswith("model."))
    del stored[named]
    again = Sensing()
    before = again.export()
    with pytest.raises(BadConfiguration):
        again.load(stored)
    after = again.export()
    assert before.keys() == after.keys()
    for name, array in before.items():
        np.testing.assert_array_equal(array, after[name], name)


def test_upsert_that_changes_nothing_forgets_nothing(played: Played) -> None:
    """Gateways define their queues at every start."""
    played.queues("a")
    played.end_second(("pbx", ["a"], values_of(offered=3)))
    changes = played.sensing.directory.rows.changes
    played.do(UpsertQueue("a"))
    played.end_second()
    assert played.sensing.directory.rows.changes == changes
    assert played.picture.windows["1m"].offered[played.row("a")] == 3
