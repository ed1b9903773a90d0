"""Loading rows and recovering: what was acknowledged before a crash is there after it."""

from dataclasses import replace

import pytest

from engine.commands import (
    AcceptOffer,
    CancelContact,
    DeclineOffer,
    Expire,
    Heartbeat,
    Recover,
    RelaxationStep,
    Requirements,
    Route,
    SetPresence,
    SkillRequirement,
    UpsertAgent,
    UpsertQueue,
)
from engine.definitions import AgentSkill
from engine.effects import EffectKind
from engine.engine import Engine
from engine.lifecycle import CancelReason, Channel, ContactState, Presence
from engine.limits import EFFECTS_PER_CALL, Limits
from engine.refusals import BadConfiguration
from engine.state.queues import definition_of
from engine.state.rows import DamagedRow, RowDelta, RowTable
from tests.engine.comparing import Pair
from tests.engine.invariants import check


def _rows(engine: Engine) -> list[RowDelta]:
    engine.cell.mark_all()
    return [delta for delta in engine.take_group().row_deltas if delta.record is not None]


def test_recover_after_downtime_starts_leases_anew() -> None:
    """Nobody could send a heartbeat to an engine that was down: nobody is signed out for it."""
    engine = Engine()
    engine.apply(UpsertQueue("q1"), 1_000)
    engine.apply(UpsertAgent("a1", queue_ids=("q1",), lease_ms=5_000), 1_000)
    engine.apply(SetPresence("a1", Presence.AVAILABLE), 1_000)

    again = Engine()
    again.load(_rows(engine))
    again.apply(Recover(), 60_000)
    assert again.read.agent("a1").presence is Presence.AVAILABLE
    assert again.next_deadline_ms() == 65_000
    assert again.apply(Heartbeat("a1"), 61_000).count == 1


def test_recover_after_downtime_counts_no_missed_offer() -> None:
    """An offer that ran out while the engine was down was not missed by the agent."""
    engine = Engine()
    engine.apply(UpsertQueue("q1", offer_timeout_ms=1_000), 1_000)
    engine.apply(UpsertAgent("a1", queue_ids=("q1",), missed_offers_max=1), 1_000)
    engine.apply(SetPresence("a1", Presence.AVAILABLE), 1_000)
    engine.apply(Route("c1", "q1", Channel.VOICE), 1_000)

    again = Engine()
    again.load(_rows(engine))
    again.apply(Recover(), 60_000)
    kinds = [effect[0] for effect in again.take_group().effects]
    assert kinds == [
        EffectKind.OFFER_RESCINDED,
        EffectKind.CONTACT_REQUEUED,
        EffectKind.OFFER_ISSUED,
    ]
    assert again.read.agent("a1").missed_offers == 0


def test_recover_takes_contacts_from_an_agent_that_was_being_signed_out() -> None:
    """A crash between two calls that take contacts back must not leave the rest where it is."""
    engine = Engine()
    held = EFFECTS_PER_CALL
    engine.apply(UpsertQueue("q1"), 1_000)
    engine.apply(UpsertAgent("a1", queue_ids=("q1",), capacity=held, lease_ms=1_000), 1_000)
    engine.apply(SetPresence("a1", Presence.AVAILABLE), 1_000)
    for number in range(held):
        offer_id = engine.apply(Route(f"c{number}", "q1", Channel.CHAT), 1_000).offer_id
        engine.apply(AcceptOffer(offer_id, "a1"), 1_000)
    engine.apply(Heartbeat("nobody"), 2_000)
    assert engine.read.agent("a1").presence is Presence.OFFLINE
    assert len(engine.read.agent("a1").contact_rows) > 0

    again = Engine()
    again.load(_rows(engine))
    again.apply(Recover(), 2_000)
    while again.next_deadline_ms() <= 2_000:
        again.apply(Heartbeat("nobody"), 2_000)
    assert again.read.agent("a1").contact_rows == ()
    assert again.read.snapshot("q1", 2_000).waiting == held


def test_load_gives_the_rows_it_was_given() -> None:
    """Durable state is the rows: reading and writing them again may change nothing."""
    engine = Engine()
    engine.apply(UpsertQueue("q1"), 1_000)
    for name, reason in (("a1", "lunch"), ("a2", "training"), ("a3", "")):
        engine.apply(UpsertAgent(name, queue_ids=("q1",), missed_offers_max=1), 1_000)
        engine.apply(SetPresence(name, Presence.AVAILABLE, reason), 1_000)
    # The first text is used no more, so that a fresh cell numbers the others differently.
    engine.apply(SetPresence("a1", Presence.AWAY, "meeting"), 1_000)
    engine.apply(Route("c1", "q1", Channel.VOICE), 1_000)
    # Missed: the engine's own reason replaces the text.
    engine.apply(Heartbeat("nobody"), 21_000)
    before = _rows(engine)

    again = Engine()
    again.load(before)
    assert sorted(_rows(again)) == sorted(before)
    assert [again.read.agent(name).presence_reason for name in ("a1", "a2", "a3")] == [
        "meeting",
        "missed_offers",
        "",
    ]


def test_load_keeps_deadlines() -> None:
    """A delay that ran out before the restart is no deadline; one that has not is."""
    engine = Engine()
    engine.apply(UpsertQueue("q1"), 1_000)
    for name in ("a1", "a2"):
        engine.apply(UpsertAgent(name, queue_ids=("q1",)), 1_000)
    engine.apply(SetPresence("a1", Presence.AVAILABLE), 1_000)
    engine.apply(SetPresence("a2", Presence.BUSY), 1_000)
    offer_id = engine.apply(Route("c1", "q1", Channel.VOICE), 1_000).offer_id
    engine.apply(DeclineOffer(offer_id, "a1", retry_after_ms=10_000), 1_000)
    assert engine.next_deadline_ms() == 11_000
    engine.apply(SetPresence("a1", Presence.BUSY), 11_000)

    again = Engine()
    again.load(_rows(engine))
    assert again.next_deadline_ms() == engine.next_deadline_ms()


def test_recover_does_not_depend_on_deadlines_that_passed_without_a_trace() -> None:
    """A delay that ran out and changed nothing is in no row, so offers may not show it."""
    engine = Engine()
    for number in (1, 2):
        engine.apply(UpsertQueue(f"q{number}"), 1_000)
        engine.apply(UpsertAgent(f"a{number}", queue_ids=(f"q{number}",)), 1_000)
        engine.apply(SetPresence(f"a{number}", Presence.AVAILABLE), 1_000)
    engine.apply(Route("c2", "q2", Channel.VOICE), 1_000)
    offer_id = engine.apply(Route("c1", "q1", Channel.VOICE), 1_000).offer_id
    engine.apply(DeclineOffer(offer_id, "a1", retry_after_ms=5_000), 1_000)
    engine.apply(Route("c3", "q1", Channel.VOICE), 2_000)
    rows = _rows(engine)
    engine.apply(Expire(), 7_000)
    assert engine.take_group().effects == []

    again = Engine()
    again.load(rows)
    engine.apply(Recover(), 8_000)
    again.apply(Recover(), 8_000)
    assert again.take_group().effects == engine.take_group().effects


def test_load_with_limits_below_the_rows_names_the_limit() -> None:
    """A lowered limit is a mistake of configuration; the error says which, and what would do."""
    engine = Engine()
    engine.apply(UpsertQueue("q1"), 1_000)
    engine.apply(Route("c1", "q1", Channel.VOICE), 1_000)
    engine.apply(Route("c2", "q1", Channel.VOICE), 1_000)
    with pytest.raises(BadConfiguration, match=r"limits\.contacts_max: expected at least 2"):
        Engine(Limits(contacts_max=1, ended_max=0)).load(_rows(engine))


def test_contacts_that_ended_together_are_forgotten_in_one_order_after_a_restart() -> None:
    """Which of two ended first within a millisecond is in no row, so it may not matter."""
    limits = Limits(contacts_max=10, ended_max=1)
    rows = []
    for ended_max in (2, 1):
        engine = Engine(replace(limits, ended_max=ended_max))
        engine.apply(UpsertQueue("q1"), 1_000)
        for name in ("c1", "c2"):
            engine.apply(Route(name, "q1", Channel.VOICE), 1_000)
        for name in ("c2", "c1"):
            engine.apply(CancelContact(name, CancelReason.WITHDRAWN), 1_000)
        rows.append(_rows(engine))
    again = Engine(limits)
    again.load(rows[0])
    again.apply(Recover(), 1_000)
    assert sorted(_rows(again)) == sorted(rows[1])


def test_load_leaves_rows_of_the_dead_free() -> None:
    """Rows are taken lowest first, restarted or not, or ties by row would come out differently."""
    engine = Engine()
    for name in ("q1", "q2", "q3"):
        engine.apply(UpsertQueue(name), 1_000)
    rows = [delta for delta in _rows(engine) if delta.external_id != "q2"]
    again = Engine()
    again.load(rows)
    again.apply(UpsertQueue("q4"), 1_000)
    assert again.cell.queues.slots.row_of("q4") == 1


def test_contact_state_of_every_kind_survives_a_restart() -> None:
    """Waiting, offered or assigned: each comes back where it was, and holds what it held."""
    engine = Engine()
    engine.apply(UpsertQueue("q1"), 1_000)
    engine.apply(UpsertAgent("a1", queue_ids=("q1",), capacity=2), 1_000)
    engine.apply(SetPresence("a1", Presence.AVAILABLE), 1_000)
    first = engine.apply(Route("c1", "q1", Channel.CHAT), 1_000).offer_id
    engine.apply(AcceptOffer(first, "a1"), 2_000)
    engine.apply(Route("c2", "q1", Channel.CHAT), 3_000)
    engine.apply(Route("c3", "q1", Channel.CHAT), 4_000)

    again = Engine()
    again.load(_rows(engine))
    states = [again.read.contact(name, 4_000).state for name in ("c1", "c2", "c3")]
    assert states == [ContactState.ASSIGNED, ContactState.OFFERED, ContactState.QUEUED]
    assert again.read.agent("a1") == engine.read.agent("a1")


@pytest.mark.parametrize(
    ("table", "change"),
    [
        (RowTable.CONTACT, {"record": bytes(3)}),  # too short
        (RowTable.CONTACT, {"payload": b"[[[["}),  # no JSON
        (RowTable.CONTACT, {"payload": b'[["x"], {}]'}),  # JSON of another shape
        (RowTable.CONTACT, {"record": (99).to_bytes(8, "little") + bytes(8 * 35)}),  # no such state
        (RowTable.CONTACT, {"row": 0, "record": None}),  # nothing
        (RowTable.AGENT, {"payload": None}),  # no definition
        (RowTable.QUEUE, {"payload": b'{"queue_id": "q1"}'}),  # half a definition
        (RowTable.CELL, {"record": b""}),  # nothing
    ],
)
def test_damaged_row_is_refused_by_name(table: RowTable, change: dict[str, object]) -> None:
    """Kernels trust what they load, so what no cell wrote must stop at the door."""
    engine = Engine()
    engine.apply(UpsertQueue("q1"), 1_000)
    engine.apply(UpsertAgent("a1", queue_ids=("q1",)), 1_000)
    engine.apply(Route("c1", "q1", Channel.VOICE), 1_000)
    rows = [
        delta._replace(**change) if delta.table is table else delta  # type: ignore[arg-type]
        for delta in _rows(engine)
    ]
    with pytest.raises(DamagedRow, match=r"cell|'q1'|'a1'|'c1'"):
        Engine().load(rows)


@pytest.mark.parametrize("payload", [b"[null,{}", b"[null,{}],[null,{}]", b"7", b""])
def test_damaged_contact_is_named_among_sound_ones(payload: bytes) -> None:
    """They are read together, and it is the one that is told of."""
    engine = Engine()
    engine.apply(UpsertQueue("q1"), 1_000)
    for number in range(5):
        engine.apply(Route(f"c{number}", "q1", Channel.VOICE), 1_000)
    rows = [
        delta._replace(payload=payload) if delta.external_id == "c3" else delta
        for delta in _rows(engine)
    ]
    with pytest.raises(DamagedRow, match=r"^contact 'c3', row 3: its definition cannot be read"):
        Engine().load(rows)


def test_contact_of_a_queue_that_is_gone_is_refused() -> None:
    """A reference to a row that is not there would have a kernel write where it must not."""
    engine = Engine()
    engine.apply(UpsertQueue("q1"), 1_000)
    engine.apply(Route("c1", "q1", Channel.VOICE), 1_000)
    rows = [delta for delta in _rows(engine) if delta.table is not RowTable.QUEUE]
    with pytest.raises(DamagedRow, match="'c1'"):
        Engine().load(rows)


def test_classes_that_fill_the_cell_are_all_there_after_a_restart() -> None:
    """Making room for the class of one contact must not take the class of another."""
    limits = Limits(classes_max=4)
    engine = Engine(limits)
    engine.apply(UpsertQueue("q1"), 1_000)
    last = RelaxationStep(60_000, priority=9)
    steps = (RelaxationStep(30_000, priority=5), last)
    engine.apply(Route("c1", "q1", Channel.VOICE, relaxation=steps), 1_000)
    engine.apply(Route("c2", "q1", Channel.VOICE, 1, relaxation=(last,)), 1_000)

    again = Engine(limits)
    again.load(_rows(engine))
    again.apply(Recover(), 2_000)
    again.take_group()
    check(again)
    again.apply(Expire(), 61_000)
    assert [again.read.contact(name, 61_000).priority for name in ("c1", "c2")] == [9, 9]


def test_contact_written_before_there_was_relaxation_is_read() -> None:
    """An upgrade finds what the version before wrote: fewer parts, and fewer lists of names."""
    engine = Engine()
    engine.apply(UpsertQueue("q1"), 1_000)
    engine.apply(Route("c1", "q1", Channel.VOICE, attributes={"line": "1"}), 1_000)
    engine.apply(UpsertAgent("a1", skills=(AgentSkill("s", 3),)), 1_000)
    rows = [
        delta._replace(payload=b'[[[["s",2]],[],["t"]],{"line":"1"}]')
        if delta.table is RowTable.CONTACT
        else delta
        for delta in _rows(engine)
    ]
    again = Engine()
    again.load(rows)
    contact = again.read.contact("c1", 2_000)
    assert contact.requirements == Requirements((SkillRequirement("s", 2),), (), ("t",))
    assert (contact.attributes, contact.relaxation) == ({"line": "1"}, ())


def test_contact_with_more_steps_taken_than_it_has_is_refused() -> None:
    """A damaged count is told at the start, not by a failing read later."""
    engine = Engine()
    engine.apply(UpsertQueue("q1"), 1_000)
    engine.apply(Route("c1", "q1", Channel.VOICE, relaxation=(RelaxationStep(10),)), 1_000)
    engine.apply(Expire(), 2_000)
    rows = [
        delta._replace(payload=b"[null,{}]") if delta.table is RowTable.CONTACT else delta
        for delta in _rows(engine)
    ]
    with pytest.raises(DamagedRow, match="contact 'c1', row 0: 1 relaxation steps taken of 0"):
        Engine().load(rows)


def test_tag_that_nobody_carried_is_ruled_out_once_somebody_does() -> None:
    """And costs no number until then, whatever gateways name."""
    engine = Engine()
    engine.apply(UpsertQueue("q1"), 1_000)
    for number in range(600):
        asked = Requirements(tags_none=("new", *(f"t{number}.{item}" for item in range(7))))
        engine.apply(Route(f"c{number}", "q1", Channel.VOICE, requirements=asked), 1_000 + number)
    engine.apply(UpsertAgent("a1", queue_ids=("q1",), tags=("new",)), 2_000)
    engine.apply(SetPresence("a1", Presence.AVAILABLE), 2_000)
    assert engine.read.contact("c0", 2_000).state is ContactState.QUEUED
    # The oldest rules this one out, the next does not.
    engine.apply(UpsertAgent("a1", queue_ids=("q1",), tags=("t0.1",)), 3_000)
    assert engine.read.contact("c0", 3_000).state is ContactState.QUEUED
    assert engine.read.contact("c1", 3_000).state is ContactState.OFFERED


def test_definition_of_an_older_version_has_the_defaults_of_what_it_lacks() -> None:
    """Payloads are kept as they were written; a field that came later is as if it was not set."""
    definition = definition_of(b'{"queue_id":"q","strategy":1,"wrap_up_mode":1}')
    assert definition == UpsertQueue("q")


@pytest.mark.parametrize("queue_width", [15, 17, 24])
def test_rows_of_older_versions_end_earlier_and_are_read(queue_width: int) -> None:
    """Agents and queues got more columns; what was not written reads as nothing known."""
    pair = Pair()
    pair.apply(UpsertQueue("q"), 1_000)
    pair.apply(UpsertAgent("a", queue_ids=("q",)), 1_000)
    pair.apply(SetPresence("a", Presence.AVAILABLE), 1_000)
    pair.seal()
    widths = {RowTable.AGENT: 8, RowTable.QUEUE: queue_width}
    rows = []
    for delta in pair.rows.values():
        assert delta.record is not None
        kept = 8 * widths.get(delta.table, len(delta.record))
        rows.append(delta._replace(record=delta.record[:kept]))
    engine = Engine()
    engine.load(rows)
    engine.apply(Recover(), 2_000)
    assert engine.read.agent("a").presence is Presence.AVAILABLE
    assert engine.read.agent("a").occupancy == 0.0
    assert engine.read.snapshot("q", 2_000).totals.sum() == 0
    short = [row._replace(record=row.record[:-8]) for row in rows if row.record]
    with pytest.raises(DamagedRow, match="bytes"):
        Engine().load(short)
