"""
Known events laid on what is usual: promotions, mailings, outages announced.

An event multiplies what is usual before the state follows it, by 1 + uplift * shape(t): the shape
rises linearly from when it begins, stays 1 until it ends, and halves with every half-life after. It
may add contacts besides. Several multiply. Its own uncertainty widens the forecast while it lasts,
so that an event which does not come true is soon corrected by what comes; profiles are learned from
counts with the uplift taken out again.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.kernels.sensing_columns import BUCKET_S, HORIZON, Arrivals
from engine.refusals import BadConfiguration

# Events known at a time; the next is refused until one has passed or is removed.
EVENTS_MAX: Final = 2_000
_UPLIFT_MAX: Final = 50.0
_SPAN_S_MAX: Final = 90 * 86_400
# Half-lives after which nothing is left of an event.
_FADED: Final = 8


@dataclass(frozen=True, slots=True)
class Event:
    """
    One event for some queues.

    Attributes
    ----------
    rows
        Of the queues.
    begins_s, ends_s
        Seconds since the Unix epoch; at most 90 days apart.
    uplift
        Share of what is usual that comes besides, -1 to 50.
    rise_s, half_life_s
        Seconds to full effect, and in which the rest halves after the end; 0 = at once.
    added
        Contacts per bucket besides, at full effect, >= 0.
    deviation
        Relative standard error of what it brings, 0 to 2.
    """

    rows: tuple[int, ...]
    begins_s: int
    ends_s: int
    uplift: float = 0.0
    rise_s: int = 0
    half_life_s: int = 0
    added: float = 0.0
    deviation: float = 0.2

    def __post_init__(self) -> None:
        bounds = {
            "begins_s": (0, self.ends_s),
            "ends_s": (self.begins_s + 1, self.begins_s + _SPAN_S_MAX),
            "uplift": (-1.0, _UPLIFT_MAX),
            "rise_s": (0, self.ends_s - self.begins_s),
            "half_life_s": (0, _SPAN_S_MAX),
            "added": (0.0, 1e6),
            "deviation": (0.0, 2.0),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not (low <= value <= high):
                raise BadConfiguration(f"event.{name}", value, f"{low:g} to {high:g}")

    def shape(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of the full effect at some seconds, 0 to 1."""
        since, after = seconds - self.begins_s, seconds - self.ends_s
        rise = np.clip(since / self.rise_s, 0.0, 1.0) if self.rise_s else 1.0 * (since >= 0.0)
        fall = 1.0 * (after < _FADED * self.half_life_s)
        if self.half_life_s:
            fall = fall * 0.5 ** (np.maximum(after, 0.0) / self.half_life_s)
        whole: NDArray[np.float64] = rise * fall
        return whole

    def over_s(self) -> int:
        """Second from which nothing is left of it."""
        return self.ends_s + _FADED * self.half_life_s


class Events:
    """Events by id, laid on the expected contacts of their queues as each bucket begins."""

    def __init__(self) -> None:
        self._events: dict[str, Event] = {}

    def put(self, event_id: str, event: Event) -> None:
        """
        Add an event, or replace the one of that id; it counts from the next bucket laid out.

        Raises
        ------
        BadConfiguration
            There are as many as there may be.
        """
        if event_id not in self._events and len(self._events) >= EVENTS_MAX:
            raise BadConfiguration("events", len(self._events) + 1, f"at most {EVENTS_MAX}")
        self._events[event_id] = event

    def remove(self, event_id: str) -> bool:
        """Remove an event; False where there is none of that id."""
        return self._events.pop(event_id, None) is not None

    def known(self) -> dict[str, Event]:
        """Events that are not over yet, by id."""
        return dict(self._events)

    def lay_on(self, arrivals: Arrivals, rows: NDArray[np.int64], bucket: int) -> None:
        """Lay events on what is usual from a bucket on; forgets those that are over."""
        begins_s = bucket * BUCKET_S
        over = [name for name, event in self._events.items() if event.over_s() <= begins_s]
        for name in over:
            del self._events[name]
        middles_s = np.arange(HORIZON, dtype=np.float64) * BUCKET_S + begins_s + 0.5 * BUCKET_S
        for event in self._events.values():
            chosen = np.intersect1d(rows, np.array(event.rows, np.int64))
            shape = event.shape(middles_s)
            if len(chosen) == 0 or not shape.any():
                continue
            factor = 1.0 + event.uplift * shape
            before = arrivals.expected[chosen]
            # Nothing comes while a queue is closed, whatever is on.
            after = np.where(before > 0.0, before * factor + event.added * shape, 0.0)
            arrivals.expected[chosen] = after
            brought = np.divide(after - before, after, out=np.zeros_like(after), where=after > 0.0)
            arrivals.uncertain[chosen] += (brought * event.deviation) ** 2
