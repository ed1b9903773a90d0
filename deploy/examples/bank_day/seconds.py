"""
The floor second by second of the bank's day, as sensing reads it.

The gateway sees events; sensing wants a sample of the floor at the end of every second. At 600× ten
of the bank's seconds pass while the loop turns once, so samples are made of the events between
them: every second that has passed is handed over, one by one and in order, each with what came in
it. An event belongs to the second in which the gateway saw it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deploy.examples.bank_day.bank_day import TYPES, BankDay
from deploy.examples.bank_day.compressed_time import Compression
from deploy.examples.bank_day.queues import TARGETS
from engine.kernels import columns, sampling
from engine.sensing.sampling import Sample
from headgate.v1.agent_pb2 import Presence
from headgate.v1.event_pb2 import Event, EventKind

ROW_OF: Final = {name: row for row, name in enumerate(TYPES)}
_AT_REST: Final = {
    Presence.PRESENCE_AVAILABLE: sampling.AVAILABLE,
    Presence.PRESENCE_OFFLINE: sampling.ABSENT,
}
_ENDED_WAITING: Final = {
    EventKind.EVENT_KIND_CONTACT_ASSIGNED,
    EventKind.EVENT_KIND_CONTACT_ABANDONED,
    EventKind.EVENT_KIND_CONTACT_EXPIRED,
}


def midnight_s(day: date) -> int:
    """When a day begins, Unix epoch; what the bank's clock shows is taken for UTC throughout."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


@dataclass(slots=True)
class _Seat:
    """An agent as sensing counts one: there, and what it has in hand."""

    presence: Presence.ValueType = Presence.PRESENCE_OFFLINE
    doing: int = sampling.ABSENT

    def rest(self) -> None:
        """Nothing in hand: free, if it is there."""
        self.doing = _AT_REST.get(self.presence, sampling.AWAY)


class FloorSeconds:
    """
    Turns events into samples.

    Parameters
    ----------
    day
        Whose agents may be there.
    compression
        Speaks for waits that the engine reports.
    from_s
        The second of the bank's day with which the play begins.
    """

    def __init__(self, day: BankDay, compression: Compression, from_s: int) -> None:
        agents = day.agents
        self._compression = compression
        self._midnight_s = midnight_s(day.day)
        self._next_s = from_s
        self._seats = {agent.agent_id: _Seat() for agent in agents}
        self._serving = np.array(
            [[sum(1 << ROW_OF[name] for name in agent.proficiency)] for agent in agents], np.uint64
        )
        self._totals = np.zeros((len(TYPES), columns.TOTALS), np.int64)
        self._in_service = [0] * len(TYPES)
        # Contact to when it joined, and when an agent took it, bank's time; the oldest comes first.
        self._waiting: list[dict[str, float]] = [{} for _ in TYPES]
        self._taken: dict[str, float] = {}

    def until(self, now_s: float) -> list[Sample]:
        """Samples of the seconds that have ended since the last call."""
        ended = range(self._next_s, int(now_s))
        if not ended:
            return []
        self._next_s = ended.stop
        # Nothing has happened in between: what came lies in the first of them, as does the change.
        totals = self._totals.copy()
        agents = np.array([[seat.doing, 1] for seat in self._seats.values()], np.int64)
        return [
            Sample(
                self._midnight_s + second,
                totals,
                self._queues(second + 1),
                agents,
                self._serving,
                1,
            )
            for second in ended
        ]

    def take(self, now_s: float, events: Iterable[Event]) -> None:
        """Note what happened, after the samples of the seconds before were taken."""
        for event in events:
            seat = self._seats.get(event.agent_id)
            if event.kind == EventKind.EVENT_KIND_AGENT_PRESENCE_CHANGED:
                self._move(seat, event.presence)
            elif event.queue_id in ROW_OF:
                self._take_contact(now_s, event, seat)

    def _queues(self, now_s: float) -> NDArray[np.int64]:
        """Those in wrap-up count as handled, those on offer as waiting: sensing adds them up."""
        sampled = np.zeros((len(TYPES), sampling.QUEUE_SAMPLE), np.int64)
        sampled[:, sampling.WAITING] = list(map(len, self._waiting))
        sampled[:, sampling.ASSIGNED] = self._in_service
        sampled[:, sampling.OLDEST_WAIT_MS] = [
            int(1_000 * max(0.0, now_s - _oldest(waiting, now_s))) for waiting in self._waiting
        ]
        sampled[:, sampling.IS_OPEN] = 1
        return sampled

    def _move(self, seat: _Seat | None, presence: Presence.ValueType) -> None:
        if seat is None:
            return
        seat.presence = presence
        if seat.doing not in (sampling.HANDLING, sampling.IN_WRAP_UP):
            seat.rest()

    def _take_contact(self, now_s: float, event: Event, seat: _Seat | None) -> None:
        row = ROW_OF[event.queue_id]
        if event.kind == EventKind.EVENT_KIND_CONTACT_RECEIVED:
            self._totals[row, columns.RECEIVED] += 1
            self._waiting[row][event.contact_id] = now_s
        elif event.kind in _ENDED_WAITING:
            self._waiting[row].pop(event.contact_id, None)
        match event.kind:
            case EventKind.EVENT_KIND_CONTACT_ABANDONED:
                self._totals[row, columns.ABANDONED] += 1
            case EventKind.EVENT_KIND_CONTACT_ASSIGNED:
                self._answer(row, now_s, event)
                if seat is not None:
                    seat.doing = sampling.HANDLING
            case EventKind.EVENT_KIND_CONTACT_WRAP_UP_STARTED if seat is not None:
                seat.doing = sampling.IN_WRAP_UP
            case EventKind.EVENT_KIND_CONTACT_COMPLETED:
                self._complete(row, now_s, event.contact_id)
                if seat is not None:
                    seat.rest()

    def _answer(self, row: int, now_s: float, event: Event) -> None:
        wait_s = self._compression.day_s(event.wait_ms)
        totals = self._totals[row]
        totals[columns.ANSWERED] += 1
        totals[columns.ANSWERED_WITHIN] += wait_s <= TARGETS[event.queue_id][1]
        totals[columns.WAIT_MS_SUM] += int(1_000 * wait_s)
        self._in_service[row] += 1
        self._taken[event.contact_id] = now_s

    def _complete(self, row: int, now_s: float, contact_id: str) -> None:
        """Handling time is counted to the end of wrap-up, as the engine counts it."""
        taken_s = self._taken.pop(contact_id, None)
        if taken_s is None:
            return
        self._in_service[row] -= 1
        self._totals[row, columns.COMPLETED] += 1
        self._totals[row, columns.HANDLE_MS_SUM] += int(1_000 * (now_s - taken_s))


def _oldest(waiting: dict[str, float], otherwise: float) -> float:
    return next(iter(waiting.values()), otherwise)
