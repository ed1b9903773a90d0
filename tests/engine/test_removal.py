"""Agents, queues and contacts that go: nothing of them may act on whoever gets their row."""

from engine.commands import (
    AcceptOffer,
    CancelContact,
    DeclineOffer,
    DeleteAgent,
    DeleteQueue,
    Expire,
    Route,
    SetPresence,
    UpsertAgent,
    UpsertQueue,
)
from engine.effects import EffectKind
from engine.engine import Engine
from engine.kernels.columns import EFFECT_COUNT
from engine.lifecycle import CancelReason, Channel, ContactState, Presence
from engine.limits import EFFECTS_PER_CALL, NEVER_MS, Limits


def test_delete_agent_with_lease_leaves_no_deadline() -> None:
    """A lease that outlives its agent would bring the deleted agent back, offline and nameless."""
    engine = Engine()
    engine.apply(UpsertAgent("a1", lease_ms=1_000), 1_000)
    engine.apply(SetPresence("a1", Presence.AVAILABLE), 1_000)
    engine.apply(DeleteAgent("a1"), 1_500)
    engine.take_group()
    assert engine.next_deadline_ms() == NEVER_MS

    engine.apply(Expire(), 5_000)
    assert engine.take_group().effects == []
    assert engine.cell.store.columns.agents.presence[0] == Presence.NONE


def test_delete_agent_takes_it_out_of_every_set() -> None:
    """A bit left behind would count an agent that is gone as free."""
    engine = Engine()
    engine.apply(UpsertAgent("a1"), 1_000)
    engine.apply(SetPresence("a1", Presence.AVAILABLE), 1_000)
    engine.apply(DeleteAgent("a1"), 1_000)
    bitsets = engine.cell.store.columns.bitsets
    assert not any(bits.any() for bits in bitsets)


def test_delete_agent_forgets_who_was_passed_over() -> None:
    """A new agent in a deleted one's row never failed with anybody: nothing is kept from it."""
    engine = Engine()
    engine.apply(UpsertQueue("q1"), 1_000)
    engine.apply(UpsertAgent("a1", queue_ids=("q1",)), 1_000)
    engine.apply(UpsertAgent("other", queue_ids=("q1",)), 1_000)
    engine.apply(SetPresence("a1", Presence.AVAILABLE), 1_000)
    engine.apply(SetPresence("other", Presence.BUSY), 1_000)
    offer_id = engine.apply(Route("c1", "q1", Channel.VOICE), 1_000).offer_id
    engine.apply(DeclineOffer(offer_id, "a1"), 1_000)
    engine.apply(DeleteAgent("a1"), 2_000)
    engine.take_group()

    engine.apply(UpsertAgent("a2", queue_ids=("q1",)), 3_000)
    engine.apply(SetPresence("a2", Presence.AVAILABLE), 3_000)
    assert engine.read.contact("c1", 3_000).state is ContactState.OFFERED


def test_delete_agent_while_deadlines_wait_is_not_offered_anything() -> None:
    """With more due than one call handles, what is left must not reach the agent that goes."""
    engine = Engine()
    # Twice what one call may record: for the deadlines before the command, and for those after it.
    waiting = 2 * EFFECTS_PER_CALL
    engine.apply(UpsertQueue("q1", max_wait_ms=1_000), 1_000)
    engine.apply(UpsertQueue("q2"), 1_000)
    engine.apply(UpsertAgent("a1", queue_ids=("q2",)), 1_000)
    engine.apply(UpsertAgent("other", queue_ids=("q2",)), 1_000)
    engine.apply(SetPresence("a1", Presence.AVAILABLE), 1_000)
    engine.apply(SetPresence("other", Presence.BUSY), 1_000)
    for number in range(waiting):
        engine.apply(Route(f"w{number}", "q1", Channel.VOICE), 1_000)
    offer_id = engine.apply(Route("c1", "q2", Channel.VOICE), 1_000).offer_id
    engine.apply(DeclineOffer(offer_id, "a1", retry_after_ms=1_000), 1_000)
    engine.take_group()

    engine.apply(DeleteAgent("a1"), 2_000)
    assert engine.next_deadline_ms() == 2_000
    assert engine.cell.store.scalar[EFFECT_COUNT] <= 2 * EFFECTS_PER_CALL
    while engine.next_deadline_ms() <= 2_000:
        engine.apply(Expire(), 2_000)
    assert engine.read.contact("c1", 2_000).state is ContactState.QUEUED


def test_delete_agent_keeps_its_name_in_effects_of_the_same_group() -> None:
    """Watchers are told who did what even when the agent is gone before the group is sealed."""
    engine = Engine()
    engine.apply(UpsertAgent("a1"), 1_000)
    engine.apply(DeleteAgent("a1"), 1_000)
    engine.apply(UpsertAgent("a2"), 1_000)
    kinds = [(effect[0], effect[4]) for effect in engine.take_group().effects]
    assert kinds == [
        (EffectKind.AGENT_UPSERTED, "a1"),
        (EffectKind.AGENT_DELETED, "a1"),
        (EffectKind.AGENT_UPSERTED, "a2"),
    ]


def test_delete_agent_and_create_it_again_in_one_group_keeps_the_new_one() -> None:
    """The log deletes the old row and writes the new one; a restart must find the agent."""
    engine = Engine()
    engine.apply(UpsertAgent("a1", capacity=1), 1_000)
    engine.apply(DeleteAgent("a1"), 1_000)
    engine.apply(UpsertAgent("a1", capacity=2), 1_000)
    rows = [delta for delta in engine.take_group().row_deltas if delta.record is not None]

    again = Engine()
    again.load(rows)
    assert again.read.agent("a1").definition.capacity == 2


def test_delete_queue_forgets_its_ended_contacts() -> None:
    """An ended contact of a deleted queue would name whatever queue gets the row next."""
    engine = Engine()
    engine.apply(UpsertQueue("q1"), 1_000)
    engine.apply(Route("c1", "q1", Channel.VOICE), 1_000)
    engine.apply(CancelContact("c1", CancelReason.WITHDRAWN), 1_000)
    engine.apply(DeleteQueue("q1"), 1_000)
    group = engine.take_group()
    assert {delta.external_id for delta in group.row_deltas if delta.record is None} == {"q1", "c1"}

    engine.apply(UpsertQueue("q2"), 1_000)
    assert not engine.apply(Route("c1", "q2", Channel.VOICE), 1_000).already_known


def test_route_after_contact_was_forgotten_is_a_new_contact() -> None:
    """Between forgetting a contact and sealing the group its id is free: it names nothing."""
    engine = Engine(Limits(ended_retention_ms=1_000))
    engine.apply(UpsertQueue("q1"), 1_000)
    engine.apply(Route("c1", "q1", Channel.VOICE), 1_000)
    engine.apply(CancelContact("c1", CancelReason.WITHDRAWN), 1_000)
    engine.take_group()

    outcome = engine.apply(Route("c1", "q1", Channel.VOICE), 2_000)
    assert outcome.state == ContactState.QUEUED
    assert not outcome.already_known
    deltas = engine.take_group().row_deltas
    written = {delta.row: delta.record is not None for delta in deltas if delta.external_id == "c1"}
    assert written == {0: False, 1: True}
    assert engine.read.contact("c1", 2_000).state is ContactState.QUEUED

    engine.apply(Route("c2", "q1", Channel.VOICE), 2_000)
    assert engine.cell.contacts.slots.row_of("c2") == 0
    assert engine.cell.contacts.slots.row_of("c1") == 1


def test_contact_ended_where_none_is_kept_tells_its_last_state() -> None:
    """A gateway is told how its contact ended even where ended contacts are forgotten at once."""
    engine = Engine(Limits(ended_max=0))
    engine.apply(UpsertQueue("q1", max_length=1), 1_000)
    engine.apply(Route("c1", "q1", Channel.VOICE), 1_000)
    assert engine.apply(Route("c2", "q1", Channel.VOICE), 1_000).state == ContactState.REJECTED
    outcome = engine.apply(CancelContact("c1", CancelReason.ABANDONED), 1_000)
    assert outcome.state == ContactState.ABANDONED

    engine.apply(UpsertAgent("a1", queue_ids=("q1",)), 1_000)
    engine.apply(SetPresence("a1", Presence.AVAILABLE), 1_000)
    offer_id = engine.apply(Route("c3", "q1", Channel.VOICE), 1_000).offer_id
    engine.apply(AcceptOffer(offer_id, "a1"), 1_000)
    assert len(engine.cell.contacts.slots) == 3
    engine.take_group()
    assert len(engine.cell.contacts.slots) == 1
