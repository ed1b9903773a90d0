"""Contacts that cross to another cell: what goes along, what is not taken, and what is refused."""

from collections.abc import Callable

import pytest

from engine.choices import DiversionOutcome, OptionKind, ReportDiversionOutcome, ReturnContact
from engine.commands import (
    Command,
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
    CrossingAnswer,
    RecallContact,
    ReceiveContact,
    Sender,
    SettleCrossing,
)
from engine.effects import EffectKind
from engine.lifecycle import Channel, ContactState, Intake
from engine.refusals import CommandRefused, Refusal
from engine.steering import Counted
from tests.acting.desk_played import BEGIN_MS
from tests.acting.two_cells import NORTH, SUBJECT, TO_SOUTH, TwoCells
from tests.deciding.deciding_played import a_policy

TAKEN, REFUSED = CrossingAnswer.TAKEN, CrossingAnswer.REFUSED


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
