"""
Committed events to those who watch.

Subscribers get events in the order of the log, each through a bounded buffer: one that falls too
far behind is cut off with its cursor, and never slows the cell or grows without bound.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from adapters.commit_log import CommitLog
from adapters.cursors import cursor_of
from adapters.messages import event_message
from engine.effects import Effect, EffectKind, decode_effects
from engine.lifecycle import HAS_ENDED
from headgate.v1 import event_pb2

BUFFERED_EVENTS_MAX: Final = 10_000
# Groups of the log read before others have their turn: no log need suspend while it is read.
GROUPS_PER_READ: Final = 64
# Events of one message, so that a peer with gRPC's usual bound of 4 MiB can read it whatever the
# ids: an event is six texts of at most 128 bytes, and numbers.
EVENTS_PER_MESSAGE: Final = 512

# Effects after which nothing more happens to a contact.
_CONTACT_ENDS: Final = frozenset(
    {
        EffectKind.CONTACT_REJECTED,
        EffectKind.CONTACT_COMPLETED,
        EffectKind.CONTACT_ABANDONED,
        EffectKind.CONTACT_EXPIRED,
        EffectKind.CONTACT_CANCELLED,
    }
)
assert len(_CONTACT_ENDS) == HAS_ENDED.sum(), "one effect per ended state"

_Record = tuple[int | str, ...]


class Subscription:
    """
    Events for one watcher.

    Attributes
    ----------
    is_behind
        The buffer overflowed, or the log forgot what was to come: no more events come, resume from
        `cursor`.
    cursor
        Place of the last event looked at.
    since
        Group after which its events begin.
    """

    def __init__(self, *, wants_all: bool, wake: asyncio.Event | None = None) -> None:
        self.wants_all = wants_all
        self.wake = wake or asyncio.Event()
        self.events: deque[event_pb2.Event] = deque()
        self.is_behind = False
        self.cursor = ""
        self.since = 0
        self.contact_ids: set[str] = set()
        self.agent_ids: set[str] = set()

    def push(self, event: event_pb2.Event) -> None:
        """Buffer an event and wake the watcher."""
        if len(self.events) >= BUFFERED_EVENTS_MAX:
            self.is_behind = True
        if not self.is_behind:
            self.events.append(event)
            self.cursor = event.cursor
        self.wake.set()

    def begin_with(self, missed: Sequence[event_pb2.Event]) -> None:
        """
        Put events from the log before those buffered; with a buffer full of them, whatever came
        later is left to the next resumption.
        """
        if len(missed) < BUFFERED_EVENTS_MAX:
            self.events.extendleft(reversed(missed))
        else:
            self.is_behind = True
            self.events = deque(missed)
            self.cursor = missed[-1].cursor

    def cut_off(self) -> None:
        """Tell no more: there is a gap before whatever comes."""
        self.is_behind = True
        self.wake.set()

    @property
    def is_cut_off(self) -> bool:
        """Whether the watcher is behind and has taken all that was buffered before."""
        return self.is_behind and not self.events

    def take(self) -> list[event_pb2.Event]:
        """Everything buffered."""
        taken = list(self.events)
        self.events.clear()
        return taken

    def take_in_parts(self) -> list[list[event_pb2.Event]]:
        """Everything buffered, in parts that fit a message."""
        events = self.take()
        starts = range(0, len(events), EVENTS_PER_MESSAGE)
        return [events[start : start + EVENTS_PER_MESSAGE] for start in starts]


class EventHub:
    """Who watches what in one cell."""

    def __init__(self) -> None:
        # In the order they came, so that the same calls lead to the same deliveries.
        self._all: dict[Subscription, None] = {}
        self._of_contact: dict[str, tuple[Subscription, ...]] = {}
        self._of_agent: dict[str, tuple[Subscription, ...]] = {}
        self.sequence = 0

    def subscribe(self, subscription: Subscription) -> None:
        """Add a watcher of everything; others watch contacts and agents by id."""
        subscription.since = self.sequence
        subscription.cursor = str(self.sequence)
        if subscription.wants_all:
            self._all[subscription] = None

    def watch_contact(self, subscription: Subscription, contact_id: str) -> None:
        """Send the contact's events to the subscription until the contact ends."""
        subscription.contact_ids.add(contact_id)
        _add(self._of_contact, contact_id, subscription)

    def unwatch_contact(self, subscription: Subscription, contact_id: str) -> None:
        """Send the contact's events to the subscription no more."""
        if contact_id in subscription.contact_ids:
            subscription.contact_ids.discard(contact_id)
            _remove(self._of_contact, contact_id, subscription)

    def watch_agent(self, subscription: Subscription, agent_id: str) -> None:
        """Send the agent's events, and those of contacts offered to it, to the subscription."""
        subscription.agent_ids.add(agent_id)
        _add(self._of_agent, agent_id, subscription)

    def unsubscribe(self, subscription: Subscription) -> None:
        """Remove a watcher from everything it watches."""
        self._all.pop(subscription, None)
        for contact_id in subscription.contact_ids:
            _remove(self._of_contact, contact_id, subscription)
        for agent_id in subscription.agent_ids:
            _remove(self._of_agent, agent_id, subscription)

    @property
    def subscriber_count(self) -> int:
        """Watchers of everything, for a metric."""
        return len(self._all)

    async def catch_up(self, log: CommitLog, end: int) -> None:
        """
        Tell watchers of groups that were committed behind the owner's back: one whose outcome
        stayed in doubt, or those of another owner meanwhile. Whom the log can no longer tell, it
        cuts off: what comes next has gone, or the log was rolled back to a sequence number, `end`,
        that watchers have been told more than.
        """
        begin = await log.oldest_sequence() - 1
        if not begin <= self.sequence <= end:
            for watchers in (self._all, *self._of_contact.values(), *self._of_agent.values()):
                for subscription in watchers:
                    subscription.cut_off()
            self.sequence = min(max(self.sequence, begin), end)
        while groups := await log.tail(self.sequence, GROUPS_PER_READ):
            for group in groups:
                self.publish(group.sequence, decode_effects(group.events))
            await asyncio.sleep(0)

    def publish(self, sequence: int, effects: Sequence[_Record]) -> None:
        """Hand the events of a committed group to those who watch."""
        self.sequence = sequence
        if not (self._all or self._of_contact or self._of_agent):
            return
        for index, record in enumerate(effects, start=1):
            kind, contact_id, agent_id = record[0], str(record[2]), str(record[4])
            by_contact = self._of_contact.get(contact_id, ()) if contact_id else ()
            by_agent = self._of_agent.get(agent_id, ()) if agent_id else ()
            if self._all or by_contact or by_agent:
                event = event_message(Effect(*record), cursor_of(sequence, index))  # type: ignore[arg-type]
                for subscription in dict.fromkeys((*self._all, *by_contact, *by_agent)):
                    subscription.push(event)
            if kind in _CONTACT_ENDS:
                for subscription in self._of_contact.pop(contact_id, ()):
                    subscription.contact_ids.discard(contact_id)


_Watchers = dict[str, tuple[Subscription, ...]]


def _add(watchers: _Watchers, name: str, subscription: Subscription) -> None:
    present = watchers.get(name, ())
    if subscription not in present:
        watchers[name] = (*present, subscription)


def _remove(watchers: _Watchers, name: str, subscription: Subscription) -> None:
    kept = tuple(item for item in watchers.get(name, ()) if item is not subscription)
    if kept:
        watchers[name] = kept
    else:
        watchers.pop(name, None)
