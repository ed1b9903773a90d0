"""What two cells keep of a crossing, through messages that come twice, restarts and lost logs."""

import pytest

from engine.choices import Diversion, OptionKind, Steered
from engine.commands import (
    AcceptOffer,
    CompleteAssignment,
    Route,
    SetIntake,
    UpdateContact,
    UpsertQueue,
)
from engine.crossing import KEPT_MS, CrossingAnswer, NameOrigin, ReceiveContact
from engine.lifecycle import Channel, ContactState, Intake
from engine.state.choices import decoded, encoded
from engine.state.rows import SCHEMA_VERSION, SCHEMA_WRITTEN, DamagedRow, RowTable
from engine.steering import Order
from tests.acting.two_cells import NORTH, SUBJECT, TO_SOUTH, Brought, TwoCells, restarted

TAKEN, REFUSED = CrossingAnswer.TAKEN, CrossingAnswer.REFUSED


def test_brought_twice_is_taken_once(cells: TwoCells) -> None:
    cells.south.agent("ann", "b")
    cells.route()
    first = cells.the_one
    assert cells.receive(first).answer is TAKEN
    offer = cells.south.contact("c").offer_id
    cells.south.do(AcceptOffer(offer, "ann"))
    cells.south.do(CompleteAssignment("c", "ann"))
    assert cells.receive(first).answer is TAKEN
    assert cells.state(cells.south) is ContactState.COMPLETED
    # Long after, when the contact is forgotten there.
    cells.south.now_ms += 86_400_000
    cells.south.route("other", "b")
    restarted(cells.south)
    assert cells.state(cells.south) in (None, ContactState.FREE)
    assert cells.receive(first).answer is TAKEN
    assert not cells.is_in(cells.south)


def test_what_was_refused_stays_refused(cells: TwoCells) -> None:
    """A copy that was delayed on its way must not be taken when the contact is back in north."""
    cells.south.do(SetIntake("b", Intake.CLOSED))
    cells.route()
    copy = cells.the_one
    cells.bring_all()
    cells.south.do(SetIntake("b", Intake.OPEN))
    assert cells.receive(copy).answer is REFUSED
    cells.north.use(TO_SOUTH.replace("name: south", "name: again"))
    cells.route("next")
    assert cells.receive(copy).answer is REFUSED
    assert (cells.is_in(cells.north), cells.is_in(cells.south)) == (True, False)


def test_answers_are_kept_until_nobody_asks_again(cells: TwoCells) -> None:
    """And an hour longer, for a sender whose log lost what it was told."""
    for name in ("c", "d", "e"):
        cells.route(name)
    first, _, third = cells.sent()
    received = cells.south.engine.cell.received
    for brought in map(cells.receive, cells.sent()):
        cells.settle(brought)
    cells.route("f")
    cells.receive(cells.the_one)
    assert received.find(NORTH, first.number) is TAKEN
    cells.north.now_ms += KEPT_MS + 1
    cells.south.now_ms += KEPT_MS + 1
    cells.bring_all()
    cells.route("g")
    cells.bring_all()
    restarted(cells.south)
    received = cells.south.engine.cell.received
    assert received.find(NORTH, first.number) is CrossingAnswer.FORGOTTEN
    assert received.find(NORTH, third.number) is CrossingAnswer.FORGOTTEN
    assert cells.receive(first).answer is CrossingAnswer.FORGOTTEN
    assert len([key for key in cells.south.rows if key[0] is RowTable.RECEIVED]) == 1


def test_what_was_forgotten_is_left_to_somebody_who_looks(cells: TwoCells) -> None:
    """It may be there or here: whichever the engine guessed, half of the time it would be wrong."""
    cells.route()
    number = cells.the_one.number
    cells.settle(Brought(number, CrossingAnswer.FORGOTTEN))
    assert cells.state(cells.north) is ContactState.DIVERTED
    cells.settle(Brought(number, REFUSED))
    assert cells.is_in(cells.north)


def test_log_that_lost_what_it_was_told_asks_again_and_is_told_the_same(cells: TwoCells) -> None:
    cells.route("c")
    cells.route("d")
    rows = dict(cells.north.rows)
    cells.bring_all()
    cells.route("e")
    cells.bring_all()
    cells.north.rows = rows
    restarted(cells.north, TO_SOUTH)
    assert [brought.answer for brought in cells.bring_all()] == [TAKEN, TAKEN]
    assert not cells.is_in(cells.north, "c")


def test_cells_of_the_same_name_are_told_apart(cells: TwoCells) -> None:
    """In the same millisecond they give the same numbers."""
    other = TwoCells()
    other.south = cells.south
    other.north.rows = {}
    restarted(other.north, TO_SOUTH)
    other.north.do(UpsertQueue("a"))
    other.north.do(NameOrigin("another"))
    cells.route("mine")
    other.route("theirs")
    assert cells.the_one.number == other.the_one.number
    for one in (cells, other):
        assert one.bring_all()[0].answer is TAKEN
    assert cells.is_in(cells.south, "mine")
    assert cells.is_in(cells.south, "theirs")
    cells.north.do(NameOrigin("late"))
    assert cells.north.engine.cell.crossings.origin == "o"


def test_both_cells_may_end_at_any_step(cells: TwoCells) -> None:
    cells.route()
    restarted(cells.north, TO_SOUTH)
    assert cells.state(cells.north) is ContactState.DIVERTED
    before = cells.the_one
    cells.receive(before)
    restarted(cells.south)
    restarted(cells.north, TO_SOUTH)
    assert cells.the_one == before
    cells.bring_all()
    restarted(cells.north, TO_SOUTH)
    assert not cells.sent()
    assert cells.south.contact("c").from_cell == "north"
    # What comes next has a number of its own.
    cells.north.next_second(Order(SUBJECT, 1.0))
    cells.route("next")
    assert cells.the_one.number > before.number


def test_numbers_begin_above_those_of_a_log_that_was_lost(cells: TwoCells) -> None:
    cells.route()
    before = cells.the_one
    cells.bring_all()
    again = TwoCells()
    again.south = cells.south
    again.north.now_ms += 60_000
    again.south.now_ms += 60_000
    again.route("next")
    assert again.the_one.number > before.number
    assert again.bring_all()[0].answer is TAKEN


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        (RowTable.CROSSING, None, "it and its crossing disagree"),
        (RowTable.CONTACT, None, "crossing of 'c': the contact is not on its way"),
        (RowTable.CROSSING, b'[7, "", "b", "c", 1, 0]', "crossing 'c'"),
        (RowTable.CROSSING, b"[1]", "crossing 'c'"),
        (RowTable.RECEIVED, b'[1, [[2, 9]]]', "received 'north'"),
    ],
)  # fmt: skip
def test_damaged_rows_are_named(
    cells: TwoCells, table: RowTable, change: bytes | None, message: str
) -> None:
    cells.route()
    cells.receive(cells.the_one)
    cell = cells.south if table is RowTable.RECEIVED else cells.north
    for key, delta in list(cell.rows.items()):
        if key[0] is table and change is None:
            del cell.rows[key]
        elif key[0] is table:
            cell.rows[key] = delta._replace(payload=change)
    with pytest.raises(DamagedRow, match=message):
        restarted(cell)


def test_release_before_reads_what_has_nothing_of_other_cells(cells: TwoCells) -> None:
    """It can take a cell back until the first contact has crossed; from then on it must not."""
    north, south = cells.north, cells.south
    north.use(TO_SOUTH.replace("name: south", "name: hold"))
    north.route("stays")
    north.engine.apply(UpdateContact("stays", priority=1), north.now_ms)
    assert north.engine.take_group().schema == SCHEMA_WRITTEN
    north.use(TO_SOUTH)
    north.engine.apply(Route("c", "a", Channel.VOICE), north.now_ms)
    north.engine.take_group()
    north.on(SUBJECT)
    north.engine.apply(Route("d", "a", Channel.VOICE), north.now_ms)
    assert north.engine.take_group().schema == SCHEMA_VERSION
    command = ReceiveContact(NORTH, 5, 5, Route("e", "b", Channel.VOICE))
    south.engine.apply(command, south.now_ms)
    assert south.engine.take_group().schema == SCHEMA_VERSION
    steered = Steered(hops=1, policies=("p",))
    assert len(encoded(steered)) == 6
    assert decoded(encoded(steered)) == steered
    assert decoded(encoded(steered._replace(from_cell="x"))).from_cell == "x"
    diversion = Diversion("p", 1, "a1", OptionKind.OTHER_QUEUE, 1, "b", Channel.VOICE, "a",
                          Channel.VOICE, 1, 2)  # fmt: skip
    for item in (diversion, diversion._replace(cell="south")):
        kept = encoded(Steered(diversion=item))
        assert len(kept[1] or ()) == (12 if not item.cell else 13)
        assert decoded(kept).diversion == item
