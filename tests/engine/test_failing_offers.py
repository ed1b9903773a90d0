"""Offers that keep failing: time still counts, nobody is left out, nobody is rung without pause."""

import pytest

from engine.commands import (
    DeclineOffer,
    Expire,
    Route,
    SetPresence,
    UpdateContact,
    UpsertAgent,
    UpsertQueue,
)
from engine.effects import EffectKind
from engine.engine import Engine
from engine.lifecycle import Channel, ContactState, Presence
from engine.limits import ATTRIBUTE_BYTES_MAX, EXCLUSIONS_MAX
from engine.refusals import CommandRefused


def _floor(agents: int, queue: UpsertQueue) -> Engine:
    engine = Engine()
    engine.apply(queue, 1_000)
    for number in range(agents):
        _sign_in(engine, f"a{number}", 1_000)
    return engine


def _sign_in(engine: Engine, agent_id: str, now_ms: int) -> None:
    agent = UpsertAgent(agent_id, queue_ids=("q1",), missed_offers_max=-1)
    engine.apply(agent, now_ms)
    engine.apply(SetPresence(agent_id, Presence.AVAILABLE), now_ms)


def _run(engine: Engine, until_ms: int) -> None:
    while engine.next_deadline_ms() <= until_ms:
        engine.apply(Expire(), engine.next_deadline_ms())


def test_unanswered_offers_do_not_stop_the_longest_wait() -> None:
    """A caller who was promised an end after a second must not ring through twelve phones first."""
    queue = UpsertQueue("q1", max_wait_ms=1_000, offer_timeout_ms=300)
    engine = _floor(12, queue)
    engine.apply(Route("c1", "q1", Channel.VOICE), 1_000)
    _run(engine, 60_000)
    contact = engine.read.contact("c1", 60_000)
    assert contact.state is ContactState.EXPIRED
    # The offer that stood when time was up was the last: 300, 600, 900, then 1,200 ms.
    assert contact.ended_at_ms == 2_200
    last = [effect[0] for effect in engine.take_group().effects][-2:]
    assert last == [EffectKind.OFFER_EXPIRED, EffectKind.CONTACT_EXPIRED]


def test_crowd_that_declines_does_not_hide_a_willing_agent() -> None:
    """With more refusals than can be remembered the next turn is still his who had none."""
    decliners = 3 * EXCLUSIONS_MAX
    engine = _floor(decliners, UpsertQueue("q1"))
    _sign_in(engine, "willing", 1_001)
    outcome = engine.apply(Route("c1", "q1", Channel.VOICE), 2_000)
    offers = 0
    now_ms = 2_000
    while outcome.agent_id != "willing":
        contact = engine.read.contact("c1", now_ms)
        if contact.state is ContactState.OFFERED:
            agent_id = engine.cell.agents.slots.ids[contact.agent_row]
            if agent_id == "willing":
                break
            offers += 1
            engine.apply(DeclineOffer(contact.offer_id, agent_id), now_ms)
        else:
            now_ms = engine.next_deadline_ms()
            engine.apply(Expire(), now_ms)
        assert offers <= decliners, "everybody was asked, the willing agent was not"
    assert offers == decliners


def test_crowd_that_declines_is_not_rung_without_pause() -> None:
    """Ten desktops that decline at once would make the engine offer thousands of times a second."""
    engine = _floor(10, UpsertQueue("q1", reoffer_delay_ms=30_000))
    engine.apply(Route("c1", "q1", Channel.VOICE), 2_000)
    offers = 0
    for now_ms in range(2_000, 32_000, 10):
        engine.apply(Expire(), now_ms)
        contact = engine.read.contact("c1", now_ms)
        if contact.state is ContactState.OFFERED:
            offers += 1
            agent_id = engine.cell.agents.slots.ids[contact.agent_row]
            engine.apply(DeclineOffer(contact.offer_id, agent_id), now_ms)
    # As many at once as are remembered, then one a second.
    assert offers <= EXCLUSIONS_MAX + 30


def test_attributes_added_bit_by_bit_stay_within_their_bounds() -> None:
    """Bounds on one request are none when a contact can be updated again."""
    engine = _floor(0, UpsertQueue("q1"))
    text = "x" * (ATTRIBUTE_BYTES_MAX - 100)
    engine.apply(Route("c1", "q1", Channel.VOICE, attributes={"a": text}), 1_000)
    etag = engine.read.contact("c1", 1_000).etag
    with pytest.raises(CommandRefused) as refused:
        engine.apply(UpdateContact("c1", attributes={"b": text}), 1_000)
    assert refused.value.violations[0].field == "attributes"
    assert engine.read.contact("c1", 1_000).etag == etag
    assert list(engine.read.contact("c1", 1_000).attributes) == ["a"]
    engine.apply(UpdateContact("c1", attributes={"a": "", "b": text}), 1_000)
    assert list(engine.read.contact("c1", 1_000).attributes) == ["b"]
