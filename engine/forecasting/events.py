"""
Known events laid on what is usual: promotions, mailings, outages announced, and orders of planners.

An event multiplies what is usual before the state follows it, by 1 + uplift * shape(t): the shape
rises linearly from when it begins, stays 1 until it ends, and halves with every half-life after; or
by percents told bucket by bucket. It may add contacts besides, by the same shape or by a response
told bucket by bucket, as after a mailing. Several multiply. Its own uncertainty widens the forecast
while it lasts, so that an event which does not come true is soon corrected by what comes; profiles
are learned from counts with the uplift taken out again. What events of its kind have brought of
what was planned scales it (`engine.forecasting.uplifts`), from when it is put.

An override is an order: the forecast is, is at least, or is at most `level`. It is laid on last, on
buckets that have not begun, after forecasts have been kept for scoring: neither the state nor the
profile nor any correction ever learns from it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import IntEnum
from typing import Final, NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from engine.forecasting.uplifts import Realised, Running, SavedKind, Uplifts
from engine.kernels.sensing_columns import BUCKET_S, HORIZON, Arrivals
from engine.refusals import BadConfiguration

# Events known at a time; the next is refused until one has passed or is removed.
EVENTS_MAX: Final = 2_000
# Buckets of percents and of a response: seven days.
CURVE_MAX: Final = 2_016
_UPLIFT_MAX: Final = 50.0
_ADDED_MAX: Final = 1e6
_SPAN_S_MAX: Final = 90 * 86_400
# Half-lives after which nothing is left of an event.
_FADED: Final = 8
_KIND_LENGTH_MAX: Final = 128


class Override(IntEnum):
    """What a planner orders the forecast to be."""

    NONE = 0
    SET = 1
    MIN = 2
    MAX = 3


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
        Contacts per bucket besides, at full effect, 0 to a million.
    deviation
        Relative standard error of what it brings, 0 to 2.
    kind
        What other events it is like; plans are scaled by what came of those. Empty = like none.
    percents
        In place of `uplift` and its shape: percents of what is usual that come besides, -100 to
        5,000, by bucket from `begins_s` on; nothing beyond its last one or `ends_s`.
    response
        Contacts besides, by bucket from `begins_s` on, 0 to a million; it may reach beyond
        `ends_s`.
    override, level
        Order to the forecast from `begins_s` to `ends_s`, contacts per bucket, 0 to a million.
    """

    rows: tuple[int, ...]
    begins_s: int
    ends_s: int
    uplift: float = 0.0
    rise_s: int = 0
    half_life_s: int = 0
    added: float = 0.0
    deviation: float = 0.2
    kind: str = ""
    percents: tuple[float, ...] = ()
    response: tuple[float, ...] = ()
    override: Override = Override.NONE
    level: float = 0.0

    def __post_init__(self) -> None:
        bounds = {
            "begins_s": (0, self.ends_s),
            "ends_s": (self.begins_s + 1, self.begins_s + _SPAN_S_MAX),
            "uplift": (-1.0, _UPLIFT_MAX),
            "rise_s": (0, self.ends_s - self.begins_s),
            "half_life_s": (0, _SPAN_S_MAX),
            "added": (0.0, _ADDED_MAX),
            "deviation": (0.0, 2.0),
            "level": (0.0, _ADDED_MAX),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not (low <= value <= high):
                raise BadConfiguration(f"event.{name}", value, f"{low:g} to {high:g}")
        if len(self.kind) > _KIND_LENGTH_MAX:
            raise BadConfiguration("event.kind", self.kind, f"up to {_KIND_LENGTH_MAX} characters")
        _check_curve("percents", self.percents, (-100.0, 100.0 * _UPLIFT_MAX))
        _check_curve("response", self.response, (0.0, _ADDED_MAX))

    def shape(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of the full effect at some seconds, 0 to 1."""
        since, after = seconds - self.begins_s, seconds - self.ends_s
        rise = np.clip(since / self.rise_s, 0.0, 1.0) if self.rise_s else 1.0 * (since >= 0.0)
        fall = 1.0 * (after < _FADED * self.half_life_s)
        if self.half_life_s:
            fall = fall * 0.5 ** (np.maximum(after, 0.0) / self.half_life_s)
        whole: NDArray[np.float64] = rise * fall
        return whole

    def uplift_at(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of what is usual that comes besides at some seconds."""
        if not self.percents:
            return self.uplift * self.shape(seconds)
        told = self._along(self.percents, seconds) / 100.0
        return np.where(seconds < self.ends_s, told, 0.0)

    def added_at(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Contacts per bucket that come besides at some seconds."""
        return self.added * self.shape(seconds) + self._along(self.response, seconds)

    def over_s(self) -> int:
        """Second from which nothing is left of it."""
        faded_s = self.ends_s + _FADED * self.half_life_s
        return max(faded_s, self.begins_s + len(self.response) * BUCKET_S)

    def _along(self, curve: tuple[float, ...], seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values of a curve by bucket from the begin on, 0 outside."""
        place = np.floor((seconds - self.begins_s) / BUCKET_S).astype(np.int64)
        inside = (place >= 0) & (place < len(curve))
        values = np.array([*curve, 0.0])
        return values[np.where(inside, place, len(curve))]


def _check_curve(name: str, curve: tuple[float, ...], bounds: tuple[float, float]) -> None:
    if len(curve) > CURVE_MAX:
        raise BadConfiguration(f"event.{name}", len(curve), f"up to {CURVE_MAX} buckets")
    for place, value in enumerate(curve):
        if not (bounds[0] <= value <= bounds[1]):
            expected = f"{bounds[0]:g} to {bounds[1]:g}"
            raise BadConfiguration(f"event.{name}[{place}]", value, expected)


class SavedEvents(TypedDict):
    """
    Events, what they bring and what is known of their kinds, as JSON can hold it.

    Attributes
    ----------
    events
        Fields of each event, by id; `ratio` is what its plan is scaled by.
    running
        What each has brought so far, by id.
    kinds
        What is known of each kind.
    """

    events: dict[str, dict[str, object]]
    running: dict[str, list[float]]
    kinds: dict[str, SavedKind]


class _Known(NamedTuple):
    """An event, and what its plan is scaled by."""

    event: Event
    ratio: float


class Events:
    """
    Events by id, laid on the expected contacts of their queues as each bucket begins.

    Attributes
    ----------
    uplifts
        What events have brought of what was planned.
    """

    def __init__(self) -> None:
        self._events: dict[str, _Known] = {}
        self.uplifts = Uplifts()

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
        self._events[event_id] = _Known(event, self.uplifts.ratio(event.kind))

    def remove(self, event_id: str) -> bool:
        """Remove an event, from which nothing is learned; False where there is none of that id."""
        self.uplifts.drop(event_id)
        return self._events.pop(event_id, None) is not None

    def known(self) -> dict[str, Event]:
        """Events that are not over yet, by id."""
        return {event_id: known.event for event_id, known in self._events.items()}

    def realised(self) -> list[Realised]:
        """What events have brought of what was planned: those over, then those that run."""
        running = [
            self.uplifts.told(event_id, self._events[event_id].event.kind)
            for event_id in self.uplifts.running()
        ]
        return [*self.uplifts.over(), *running]

    def lay_on(self, arrivals: Arrivals, rows: NDArray[np.int64], bucket: int) -> None:
        """Lay events on what is usual from a bucket on; learns from those that are over."""
        begins_s = bucket * BUCKET_S
        over = [name for name, known in self._events.items() if known.event.over_s() <= begins_s]
        for name in over:
            self.uplifts.finish(name, self._events.pop(name).event.kind)
        middles_s = np.arange(HORIZON, dtype=np.float64) * BUCKET_S + begins_s + 0.5 * BUCKET_S
        for event_id, (event, ratio) in self._events.items():
            chosen = np.intersect1d(rows, np.array(event.rows, np.int64))
            uplift, added = event.uplift_at(middles_s), event.added_at(middles_s)
            if len(chosen) == 0 or not (uplift.any() or added.any()):
                continue
            before = arrivals.expected[chosen].astype(np.float64)
            # Nothing comes while a queue is closed, whatever is on.
            factor = np.maximum(1.0 + ratio * uplift, 0.0)
            after = np.where(before > 0.0, before * factor + ratio * added, 0.0)
            arrivals.expected[chosen] = after
            brought = np.divide(after - before, after, out=np.zeros_like(after), where=after > 0.0)
            arrivals.uncertain[chosen] += (brought * event.deviation) ** 2
            planned = np.where(before[:, 0] > 0.0, before[:, 0] * uplift[0] + added[0], 0.0)
            if uplift[0] != 0.0 or added[0] != 0.0:
                self.uplifts.begin(event_id, chosen, before[:, 0], planned, arrivals)

    def note(
        self, rows: NDArray[np.int64], contacts: NDArray[np.int64], covered_s: NDArray[np.int64]
    ) -> None:
        """Note what came in the bucket that ends, as `ArrivalModel.close` takes it."""
        self.uplifts.note(rows, contacts, covered_s)

    def orders(
        self, rows: NDArray[np.int64], bucket: int
    ) -> list[tuple[NDArray[np.int64], NDArray[np.int64], Event]]:
        """Overrides of some rows from a bucket on: rows, buckets ahead, and the event of each."""
        found = []
        middles_s = (bucket + np.arange(HORIZON) + 0.5) * BUCKET_S
        for event, _ in self._events.values():
            if event.override is Override.NONE:
                continue
            chosen = np.intersect1d(rows, np.array(event.rows, np.int64))
            within = (middles_s >= event.begins_s) & (middles_s < event.ends_s)
            # What has begun is followed as it comes.
            within[0] = False
            if len(chosen) and within.any():
                found.append((chosen, np.flatnonzero(within), event))
        return found

    def export(self) -> SavedEvents:
        """Events and what is learned of them, for `load`; JSON can hold it."""
        return {
            "events": {
                event_id: {**asdict(event), "override": int(event.override), "ratio": ratio}
                for event_id, (event, ratio) in self._events.items()
            },
            "running": {
                event_id: list(self.uplifts.sums(event_id)) for event_id in self.uplifts.running()
            },
            "kinds": self.uplifts.export(),
        }

    def load(self, saved: SavedEvents) -> None:
        """
        Take what `export` gave, even after it was JSON.

        Raises
        ------
        BadConfiguration
            A field is missing, of another type or out of range; nothing changes.
        """
        uplifts = Uplifts()
        try:
            made = {str(name): _loaded(name, each) for name, each in saved["events"].items()}
            uplifts.load(saved["kinds"])
            for event_id, sums in saved["running"].items():
                if event_id in made:
                    uplifts.resume(event_id, Running(*(float(part) for part in sums)))
        except BadConfiguration:
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as wrong:
            raise BadConfiguration("events", str(wrong), "what was exported") from None
        if len(made) > EVENTS_MAX:
            raise BadConfiguration("events", len(made), f"at most {EVENTS_MAX}")
        self._events, self.uplifts = made, uplifts


def _loaded(name: str, saved: Mapping[str, object]) -> _Known:
    """One event as it was exported."""
    known = {field.name for field in fields(Event)} | {"ratio"}
    if saved.keys() != known:
        raise BadConfiguration(f"events.{name}", sorted(saved), f"fields {sorted(known)}")
    values = {field: value for field, value in saved.items() if field != "ratio"}
    for field in ("rows", "percents", "response"):
        told = values[field]
        if not isinstance(told, (list, tuple)):
            raise BadConfiguration(f"events.{name}.{field}", told, "a list")
        values[field] = tuple(told)
    override, ratio = saved["override"], saved["ratio"]
    if not (isinstance(override, int) and isinstance(ratio, (int, float)) and 0.0 <= ratio <= 10.0):
        raise BadConfiguration(f"events.{name}.ratio", ratio, "0 to 10")
    values["override"] = Override(override)
    return _Known(Event(**values), float(ratio))  # type: ignore[arg-type]
