"""Who is told what by the hub: bounded buffers, cursors, and the ends of contacts and watches."""

import asyncio

import pytest

from adapters.commit_log import CommitGroup
from adapters.event_hub import BUFFERED_EVENTS_MAX, EventHub, Subscription
from adapters.memory_log import MemoryLog, MemoryStore
from engine.effects import Effect, EffectKind, encode_effects
from engine.lifecycle import HAS_ENDED, ContactState
from headgate.v1.event_pb2 import Event

ENDS = [
    EffectKind.CONTACT_REJECTED,
    EffectKind.CONTACT_COMPLETED,
    EffectKind.CONTACT_ABANDONED,
    EffectKind.CONTACT_EXPIRED,
    EffectKind.CONTACT_CANCELLED,
]
CONTACT_KINDS = [kind for kind in EffectKind if kind < EffectKind.AGENT_UPSERTED]


def effect(kind: EffectKind, contact_id: str = "", agent_id: str = "") -> Effect:
    """Something that happened to a contact, an agent, or both."""
    return Effect(kind, 1, contact_id, "q", agent_id, "", 0, 0, 0, "")


def subscribed(hub: EventHub, *, wants_all: bool = False) -> Subscription:
    """A watcher that has begun."""
    subscription = Subscription(wants_all=wants_all)
    hub.subscribe(subscription)
    return subscription


def event(number: int) -> Event:
    """An event whose cursor is its number."""
    return Event(cursor=f"{number}.1")


def cursors(subscription: Subscription) -> list[str]:
    """Cursors of all that is buffered, which it takes."""
    return [item.cursor for item in subscription.take()]


def test_pushed_events_are_taken_once_in_order_and_wake_the_watcher() -> None:
    """A watcher sleeps until there is something, and gets it once."""
    subscription = Subscription(wants_all=True)
    assert not subscription.wake.is_set()
    for number in range(3):
        subscription.push(event(number))
    assert subscription.wake.is_set()
    assert (cursors(subscription), subscription.take()) == (["0.1", "1.1", "2.1"], [])
    assert subscription.cursor == "2.1"


def test_one_wake_may_serve_several_sources() -> None:
    """A session sleeps on its replies and its events together."""
    wake = asyncio.Event()
    Subscription(wants_all=False, wake=wake).push(event(1))
    assert wake.is_set()


def test_watcher_whose_buffer_overflows_is_cut_off_at_the_last_event_it_has() -> None:
    """It gets what was buffered, and nothing after a gap; its cursor leads to the gap's start."""
    subscription = Subscription(wants_all=True)
    for number in range(BUFFERED_EVENTS_MAX):
        subscription.push(event(number))
    assert not subscription.is_behind
    last = f"{BUFFERED_EVENTS_MAX - 1}.1"
    for number in (BUFFERED_EVENTS_MAX, BUFFERED_EVENTS_MAX + 1):
        subscription.push(event(number))
    assert (subscription.is_behind, subscription.is_cut_off) == (True, False)
    taken = cursors(subscription)
    assert (len(taken), taken[-1], subscription.cursor) == (BUFFERED_EVENTS_MAX, last, last)
    assert subscription.is_cut_off
    # There is room again, but an event now would come after those that were dropped.
    subscription.wake.clear()
    subscription.push(event(BUFFERED_EVENTS_MAX + 2))
    assert (subscription.take(), subscription.cursor) == ([], last)
    assert subscription.wake.is_set()


def test_watcher_that_takes_in_time_is_never_cut_off() -> None:
    """The bound is on what waits, not on what has passed."""
    subscription = Subscription(wants_all=True)
    for number in range(3 * BUFFERED_EVENTS_MAX):
        subscription.push(event(number))
        if number % BUFFERED_EVENTS_MAX == BUFFERED_EVENTS_MAX - 1:
            assert len(subscription.take()) == BUFFERED_EVENTS_MAX
    assert not subscription.is_behind


def test_events_from_the_log_come_before_those_that_came_meanwhile() -> None:
    """A resumed watcher reads one story in its order."""
    subscription = Subscription(wants_all=True)
    subscription.push(event(3))
    subscription.begin_with([event(1), event(2)])
    assert (cursors(subscription), subscription.cursor) == (["1.1", "2.1", "3.1"], "3.1")
    assert not subscription.is_behind


def test_buffer_full_from_the_log_leaves_the_rest_to_the_next_resumption() -> None:
    """What came meanwhile lies behind a gap, so it is dropped and the cursor stays before it."""
    subscription = Subscription(wants_all=True)
    subscription.push(event(BUFFERED_EVENTS_MAX + 7))
    subscription.begin_with([event(number) for number in range(BUFFERED_EVENTS_MAX)])
    last = f"{BUFFERED_EVENTS_MAX - 1}.1"
    assert (subscription.is_behind, subscription.cursor) == (True, last)
    assert cursors(subscription)[-1] == last
    assert subscription.is_cut_off


def test_subscription_begins_behind_the_last_group() -> None:
    """Its first cursor is good for a resumption though no event has come yet."""
    hub = EventHub()
    hub.publish(7, [effect(EffectKind.CONTACT_RECEIVED, "before")])
    subscription = subscribed(hub, wants_all=True)
    assert (subscription.since, subscription.cursor) == (7, "7")
    hub.publish(8, [effect(EffectKind.CONTACT_RECEIVED, "c"), effect(EffectKind.CONTACT_QUEUED)])
    assert cursors(subscription) == ["8.1", "8.2"]


def test_place_in_the_log_goes_on_without_watchers() -> None:
    """Who subscribes next must begin where the log is, not where the last watcher left."""
    hub = EventHub()
    hub.publish(1, [effect(EffectKind.QUEUE_UPSERTED)])
    hub.publish(2, [])
    assert (hub.sequence, subscribed(hub).since) == (2, 2)


def test_watchers_get_what_they_watch_and_nothing_else() -> None:
    """A gateway pays for its own contacts, a desk for its own agents."""
    hub = EventHub()
    everything, contact, agent = subscribed(hub, wants_all=True), subscribed(hub), subscribed(hub)
    hub.watch_contact(contact, "c")
    hub.watch_agent(agent, "a")
    hub.publish(
        1,
        [
            effect(EffectKind.CONTACT_QUEUED, "c"),
            effect(EffectKind.OFFER_ISSUED, "other", "a"),
            effect(EffectKind.OFFER_ISSUED, "c", "a"),
            effect(EffectKind.OFFER_ISSUED, "other", "other"),
            effect(EffectKind.QUEUE_UPSERTED),
        ],
    )
    assert cursors(everything) == ["1.1", "1.2", "1.3", "1.4", "1.5"]
    assert cursors(contact) == ["1.1", "1.3"]
    assert cursors(agent) == ["1.2", "1.3"]


def test_event_that_concerns_a_watcher_twice_comes_once() -> None:
    """A session that watches both a contact and its agent must not count double."""
    hub = EventHub()
    watcher = subscribed(hub, wants_all=True)
    for _ in range(2):
        hub.watch_contact(watcher, "c")
        hub.watch_agent(watcher, "a")
    hub.publish(1, [effect(EffectKind.OFFER_ISSUED, "c", "a")])
    assert cursors(watcher) == ["1.1"]


def test_watch_of_nobody_s_id_hears_nothing() -> None:
    """Effects about no contact or no agent carry an empty id, which is nobody's name."""
    hub = EventHub()
    watcher = subscribed(hub)
    hub.watch_contact(watcher, "")
    hub.watch_agent(watcher, "")
    hub.publish(1, [effect(EffectKind.QUEUE_UPSERTED)])
    assert not watcher.take()


@pytest.mark.parametrize("kind", CONTACT_KINDS)
def test_watch_of_a_contact_ends_with_the_contact_and_not_before(kind: EffectKind) -> None:
    """After the end nothing can come, so nothing is kept; an id may be used again later."""
    hub = EventHub()
    first, second = subscribed(hub), subscribed(hub)
    for watcher in (first, second):
        hub.watch_contact(watcher, "c")
        hub.watch_contact(watcher, "other")
    hub.publish(1, [effect(kind, "c"), effect(EffectKind.CONTACT_UPDATED, "c")])
    expected = ["1.1"] if kind in ENDS else ["1.1", "1.2"]
    for watcher in (first, second):
        assert cursors(watcher) == expected
        assert watcher.contact_ids == ({"other"} if kind in ENDS else {"c", "other"})


def test_every_ended_state_has_an_effect_that_ends_the_watch() -> None:
    """A state added without its effect would leave watches behind for good."""
    ended = {state.name for state in ContactState if HAS_ENDED[state]}
    assert ended == {kind.name.removeprefix("CONTACT_") for kind in ENDS}


def test_watch_of_an_agent_outlives_its_contacts() -> None:
    """The desk hears of the next offer too."""
    hub = EventHub()
    watcher = subscribed(hub)
    hub.watch_agent(watcher, "a")
    hub.publish(1, [effect(EffectKind.CONTACT_COMPLETED, "c", "a")])
    hub.publish(2, [effect(EffectKind.OFFER_ISSUED, "d", "a")])
    assert cursors(watcher) == ["1.1", "2.1"]


def test_unsubscribed_watcher_hears_nothing_and_others_go_on() -> None:
    """Watchers come and go all day, each without touching the others."""
    hub = EventHub()
    gone, stays = subscribed(hub, wants_all=True), subscribed(hub)
    for watcher in (gone, stays):
        hub.watch_contact(watcher, "c")
        hub.watch_agent(watcher, "a")
    assert hub.subscriber_count == 1
    for _ in range(2):
        hub.unsubscribe(gone)
    assert hub.subscriber_count == 0
    hub.publish(1, [effect(EffectKind.CONTACT_UPDATED, "c"), effect(EffectKind.AGENT_UPSERTED)])
    hub.publish(2, [effect(EffectKind.AGENT_UPSERTED, agent_id="a")])
    assert (gone.take(), cursors(stays)) == ([], ["1.1", "2.1"])
    # Also after the contact's watch has ended by itself.
    hub.publish(3, [effect(EffectKind.CONTACT_COMPLETED, "c")])
    hub.unsubscribe(stays)
    hub.publish(4, [effect(EffectKind.OFFER_ISSUED, "c", "a")])
    assert cursors(stays) == ["3.1"]


async def committed(store: MemoryStore, groups: int) -> MemoryLog:
    """A log to which an owner of its own committed groups of one event each."""
    log = MemoryLog(store)
    token = (await log.acquire("another")).token
    for number in range(1, groups + 1):
        events = encode_effects([tuple(effect(EffectKind.CONTACT_RECEIVED, f"c{number}"))])
        await log.commit(token, number.to_bytes(16), CommitGroup(events, (), ()))
        token = number.to_bytes(16)
    return log


async def test_groups_of_another_owner_are_told_however_many() -> None:
    """A cell that comes back after another process had it leaves its watchers no gap."""
    hub = EventHub()
    watcher = subscribed(hub, wants_all=True)
    await hub.catch_up(await committed(MemoryStore(), 200), 200)
    assert cursors(watcher) == [f"{number}.1" for number in range(1, 201)]
    assert hub.sequence == 200


async def test_watchers_of_what_the_log_forgot_are_cut_off() -> None:
    """They resume, and are told that there is a gap."""
    hub = EventHub()
    watchers = [subscribed(hub, wants_all=True), subscribed(hub), subscribed(hub)]
    hub.watch_contact(watchers[1], "c1")
    hub.watch_agent(watchers[2], "ann")
    await hub.catch_up(await committed(MemoryStore(groups_kept=3), 5), 5)
    assert [watcher.is_cut_off for watcher in watchers] == [True] * 3
    assert all(watcher.wake.is_set() for watcher in watchers)


async def test_watchers_who_know_more_than_a_log_that_was_rolled_back_are_cut_off() -> None:
    """Nobody can tell them what did not happen after all; what comes from then on is told."""
    hub = EventHub()
    log = await committed(MemoryStore(), 5)
    await hub.catch_up(log, 5)
    watcher = subscribed(hub, wants_all=True)
    rolled_back = await committed(MemoryStore(), 3)
    await hub.catch_up(rolled_back, 3)
    assert (watcher.is_cut_off, hub.sequence) == (True, 3)
