"""Contacts that cross to another cell: sent, received once, settled; what comes late or twice."""

from collections.abc import Callable

import pytest

from engine.choices import (
    Diversion,
    DiversionOutcome,
    OptionKind,
    ReportDiversionOutcome,
    ReturnContact,
    Steered,
)
from engine.commands import (
    AcceptOffer,
    CancelContact,
    Command,
    CompleteAssignment,
    Requirements,
    Route,
    Schedule,
    SetIntake,
    SkillRequirement,
    UpdateContact,
    UpsertQueue,
)
from engine.crossing import (
    ASKED_MAX,
    CROSSINGS_MAX,
    KEPT_MS,
    CrossingAnswer,
    NameOrigin,
    RecallContact,
    ReceiveContact,
    Sender,
    SettleCrossing,
)
from engine.effects import EffectKind
from engine.lifecycle import CancelReason, Channel, ContactState, Intake
from engine.refusals import CommandRefused, Refusal
from engine.state.choices import decoded, encoded
from engine.state.rows import SCHEMA_VERSION, SCHEMA_WRITTEN, DamagedRow, RowTable
from engine.steering import Counted, Order
from tests.acting.desk_played import BEGIN_MS
from tests.acting.two_cells import NORTH, SUBJECT, TO_SOUTH, Brought, TwoCells, restarted
from tests.deciding.deciding_played import a_policy

TAKEN, REFUSED = CrossingAnswer.TAKEN, CrossingAnswer.REFUSED


@pytest.fixture
def cells() -> TwoCells:
    """North, whose policy sends from its queue a to queue b of south, and south."""
    return TwoCells()


def test_contact_crosses_with_what_it_has(cells: TwoCells) -> None:
    cells.north.agent("somebody")
    cells.route(
        priority=7,
        attributes={"tier": "gold"},
        routing_age_ms=40_000,
        max_wait_ms=90_000,
        requirements=Requirements(tags_none=("new",)),
        schedule=Schedule(window_ends_at_ms=cells.north.now_ms + 500_000, attempts_max=3),
    )
    away = cells.north.contact("c")
    assert (away.state, away.hops) == (ContactState.DIVERTED, 1)
    assert away.diversion is not None
    assert (away.diversion.kind, away.diversion.cell) == (OptionKind.OTHER_CELL, "south")
    for cell in (cells.north, cells.south):
        cell.now_ms += 2_000
    (brought,) = cells.bring_all()
    assert brought.answer is TAKEN
    there = cells.south.contact("c")
    assert (there.state, there.from_cell, there.hops) == (ContactState.QUEUED, "north", 1)
    assert (there.priority, there.attributes) == (7, {"tier": "gold"})
    assert there.routing_age_ms == 42_000
    assert there.requirements.tags_none == ("new",)
    assert there.schedule.attempts_max == 3
    assert there.expires_at_ms == cells.south.now_ms + 498_000
    here = cells.north.contact("c")
    assert here.state is ContactState.COMPLETED
    assert here.diversion is not None
    assert here.diversion.outcome == DiversionOutcome.CONTINUED
    assert cells.north.counts()[Counted.OVERFLOWED] == 1
    assert cells.north.counts()[Counted.CONTINUED] == 1
    assert not cells.sent()


def test_events_name_the_cell(cells: TwoCells) -> None:
    cells.route()
    cells.bring_all()
    told = [(effect.kind, effect.reason) for effect in cells.north.told if effect.contact_id == "c"]
    assert told[-2:] == [
        (EffectKind.CONTACT_DIVERTED, "south/1/a1/south"),
        (EffectKind.DIVERSION_ENDED, "south/1/a1/south"),
    ]


def _contact_id(command: ReceiveContact | RecallContact) -> str:
    assert isinstance(command, ReceiveContact)
    return command.contact.contact_id


def _full(cells: TwoCells) -> None:
    cells.south.do(UpsertQueue("b", max_length=1))
    cells.south.route("first", "b")


@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        (_full, "QUEUE_FULL"),
        (lambda cells: cells.south.do(SetIntake("b", Intake.CLOSED)), "QUEUE_CLOSED"),
        (lambda cells: cells.south.route("c", "a"), "CONTACT_EXISTS"),
    ],
)  # fmt: skip
def test_what_is_not_taken_is_back_in_its_place(
    cells: TwoCells, prepare: Callable[[TwoCells], object], why: str
) -> None:
    prepare(cells)
    cells.route(routing_age_ms=10_000)
    cells.north.now_ms += 3_000
    cells.south.now_ms += 3_000
    cells.north.route("later")
    (brought,) = [cells.receive(item) for item in cells.sent() if _contact_id(item) == "c"]
    assert brought.answer is REFUSED, why
    cells.settle(brought)
    back = cells.north.contact("c")
    assert (back.state, back.hops, back.diversion) == (ContactState.QUEUED, 0, None)
    assert back.routing_age_ms == 13_000
    assert cells.north.told[-1].kind == EffectKind.CONTACT_REQUEUED
    assert cells.north.counts()[Counted.FAILED] == 1
    cells.north.look()
    assert cells.north.contact("c").state is ContactState.QUEUED, "it is not sent again"


def test_who_came_back_may_be_moved_by_another_policy(cells: TwoCells) -> None:
    """It has not been anywhere, before a restart and after it."""
    _full(cells)
    cells.route()
    cells.bring_all()
    within = a_policy(name="within")
    cells.north.use(within)
    cells.north.on(SUBJECT._replace(policy="within"))
    assert cells.north.queue_of("c") == "b"


@pytest.mark.parametrize(
    "fields",
    [
        {"queue_id": "nowhere"},
        {"requirements": Requirements(skills=(SkillRequirement("latin", 9),))},
        {"routing_age_ms": -1},
    ],
)
def test_contact_that_no_cell_could_take_is_an_answer(
    cells: TwoCells, fields: dict[str, object]
) -> None:
    """An error would be brought again without end."""
    contact = Route("c", "b", Channel.VOICE)._replace(**fields)  # type: ignore[arg-type]
    outcome = cells.south.do(ReceiveContact(NORTH, 5, 5, contact))
    assert outcome.refusal is not Refusal.NONE
    assert cells.south.engine.cell.received.find(NORTH, 5) is REFUSED
    assert cells.state(cells.south) is None


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


def test_number_of_another_contact_is_refused(cells: TwoCells) -> None:
    cells.route()
    command = cells.the_one
    cells.receive(command)
    with pytest.raises(CommandRefused) as refused:
        cells.south.do(RecallContact(NORTH, command.number, 0, "other"))
    assert refused.value.reason is Refusal.CONTACT_EXISTS


def test_sender_that_never_settles_is_refused(cells: TwoCells) -> None:
    """What is kept for it is bounded."""
    for number in range(1, ASKED_MAX + 1):
        cells.south.engine.apply(RecallContact(NORTH, number, 0, f"c{number}"), BEGIN_MS)
    with pytest.raises(CommandRefused) as refused:
        cells.south.do(RecallContact(NORTH, ASKED_MAX + 1, 0, "c"))
    assert refused.value.reason is Refusal.LIMIT_REACHED
    cells.south.do(RecallContact(NORTH, ASKED_MAX, ASKED_MAX, f"c{ASKED_MAX}"))
    cells.south.do(RecallContact(NORTH, ASKED_MAX + 1, ASKED_MAX, "c"))


def test_contact_that_is_not_let_in_leaves_no_trace(cells: TwoCells) -> None:
    _full(cells)
    told = len(cells.south.told)
    cells.route()
    cells.bring_all()
    assert len(cells.south.told) == told
    assert cells.state(cells.south) is None
    cells.south.route("c", "a")
    assert cells.is_in(cells.south)


def test_contact_that_was_withdrawn_is_withdrawn_there(cells: TwoCells) -> None:
    cells.route()
    cells.receive(cells.the_one)
    cells.north.do(CancelContact("c", CancelReason.WITHDRAWN))
    restarted(cells.north, TO_SOUTH)
    cells.bring_all()
    assert cells.state(cells.south) is ContactState.CANCELLED


def test_customer_who_left_on_the_way_is_never_taken(cells: TwoCells) -> None:
    cells.route()
    early = cells.the_one
    cells.north.do(CancelContact("c", CancelReason.ABANDONED))
    recall = cells.the_one
    assert isinstance(recall, RecallContact)
    assert recall.left == CancelReason.ABANDONED
    brought = cells.receive(recall)
    assert (brought.answer, cells.receive(early).answer) == (REFUSED, REFUSED)
    cells.settle(brought)
    assert cells.state(cells.north) is ContactState.ABANDONED
    assert not cells.sent()
    assert cells.state(cells.south) is None


def test_customer_who_left_is_taken_out_again(cells: TwoCells) -> None:
    cells.route()
    cells.receive(cells.the_one)
    cells.north.do(CancelContact("c", CancelReason.ABANDONED))
    cells.bring_all()
    assert cells.state(cells.south) is ContactState.ABANDONED


def test_customer_who_left_before_the_answer_came_is_taken_out(cells: TwoCells) -> None:
    """What is told of a contact that is taken is no answer to its customer having left."""
    cells.route()
    brought = cells.receive(cells.the_one)
    cells.north.do(CancelContact("c", CancelReason.ABANDONED))
    cells.settle(brought)
    assert cells.sent() == cells.sent(recalls=True)
    cells.bring_all()
    assert cells.state(cells.south) is ContactState.ABANDONED
    assert not cells.sent()


def test_what_is_recalled_in_time_is_back(cells: TwoCells) -> None:
    """South does not take contacts in now, but it answers."""
    cells.route()
    early = cells.the_one
    (recall,) = cells.sent(recalls=True)
    brought = cells.receive(recall)
    assert cells.receive(early).answer is brought.answer is REFUSED
    cells.settle(brought)
    assert (cells.is_in(cells.north), cells.is_in(cells.south)) == (True, False)


def test_what_is_recalled_too_late_stays_there(cells: TwoCells) -> None:
    cells.route()
    cells.receive(cells.the_one)
    (recall,) = cells.sent(recalls=True)
    brought = cells.receive(recall)
    assert brought.answer is TAKEN
    cells.settle(brought)
    assert (cells.is_in(cells.north), cells.is_in(cells.south)) == (False, True)


def test_agent_who_has_it_learns_of_it_from_the_line(cells: TwoCells) -> None:
    cells.south.agent("ann", "b")
    cells.route()
    cells.receive(cells.the_one)
    cells.south.do(AcceptOffer(cells.south.contact("c").offer_id, "ann"))
    cells.north.do(CancelContact("c", CancelReason.ABANDONED))
    cells.bring_all()
    assert cells.state(cells.south) is ContactState.ASSIGNED
    assert not cells.sent()


@pytest.mark.parametrize(
    "command",
    [
        UpdateContact("c", priority=3),
        ReturnContact("c"),
        ReportDiversionOutcome("c", DiversionOutcome.CONTAINED),
        Route("d", "a", Channel.VOICE, continues_contact_id="c"),
    ],
)
def test_contact_on_its_way_is_not_dealt_with_here(cells: TwoCells, command: Command) -> None:
    cells.route()
    with pytest.raises(CommandRefused) as refused:
        cells.north.do(command)
    assert refused.value.reason is Refusal.ILLEGAL_TRANSITION
    (item,) = refused.value.violations
    assert item.expected == "a contact that is not on its way to cell 'south'"
    (brought,) = cells.bring_all()
    assert brought.answer is TAKEN


def test_it_does_not_move_again_where_it_came_to(cells: TwoCells) -> None:
    cells.south.use(TO_SOUTH.replace("[a]", "[b]").replace("cell: south", "cell: north"))
    cells.route()
    cells.bring_all()
    cells.south.on(cells.north.activation().subject._replace(queue_id="b"))
    assert cells.state(cells.south) is ContactState.QUEUED


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


def test_only_so_many_are_on_their_way(cells: TwoCells) -> None:
    for place in range(CROSSINGS_MAX + 1):
        cells.route(f"c{place}")
    assert len(cells.sent()) == CROSSINGS_MAX
    assert cells.state(cells.north, f"c{CROSSINGS_MAX}") is ContactState.QUEUED
    assert cells.north.counts()[Counted.FAILED] == 1
    assert len({item.number for item in cells.sent()}) == CROSSINGS_MAX


def test_crossing_that_is_settled_is_left(cells: TwoCells) -> None:
    cells.route()
    brought = cells.bring_all()[0]
    told = len(cells.north.told)
    cells.settle(brought._replace(answer=REFUSED))
    assert len(cells.north.told) == told
    assert cells.state(cells.north) is ContactState.COMPLETED


@pytest.mark.parametrize(
    ("command", "fields"),
    [
        (ReceiveContact(Sender("", ""), 0, 0, Route("", "b", Channel.VOICE), hops=-1),
         {"from_cell", "origin", "number", "contact.contact_id", "hops"}),
        (RecallContact(NORTH, -1, -2, "c"), {"number", "settled_below"}),
        (ReceiveContact(NORTH, 5, 6, Route("c", "b", Channel.VOICE)), {"settled_below"}),
        (SettleCrossing(0, 3), {"number", "answer"}),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_commands_name_what_is_wrong(cells: TwoCells, command: Command, fields: set[str]) -> None:
    with pytest.raises(CommandRefused) as refused:
        cells.south.do(command)
    assert {item.field for item in refused.value.violations} == fields


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
