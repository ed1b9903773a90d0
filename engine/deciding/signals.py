"""
Signals of one second, as columns that conditions read; `engine.policy.signals` says what each is.

Only those that some condition reads are made. A whole number that is not known is UNKNOWN, a double
NaN.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from engine.deciding.elsewhere import Reading, coded
from engine.deciding.moment import Moment, Real, Whole
from engine.forecasting.anomaly import Anomaly, AnomalyKind
from engine.forecasting.busyness import Busyness
from engine.kernels import sampling, windows
from engine.kernels.sensing_columns import BUCKET_S
from engine.lifecycle import Channel
from engine.policy.program import UNKNOWN, Frame, Program
from engine.policy.signals import BUSYNESS, HORIZONS_S, RISK_HORIZONS, SIGNALS
from engine.policy.vocabulary import Vocabulary

Column = Whole | Real
Texts = list[str]
_Made = Callable[[Moment], Column]

_TARGET: Final = "target."
_CHANNELS: Final = ("", *(channel.name.lower() for channel in sorted(Channel)))
_GRADES: Final[Mapping[int, str]] = MappingProxyType(
    {int(Busyness[name.upper()]): name for name in BUSYNESS}
)
# What a target's signals are called of a queue itself.
OF_TARGET: Final[Mapping[str, str]] = MappingProxyType(
    {
        "target.is_open": "queue.is_open",
        "target.waiting": "queue.waiting",
        "target.oldest_wait": "queue.oldest_wait",
        "target.estimated_wait": "queue.estimated_wait",
        "target.agents_available": "queue.agents_available",
        "target.load_15m": "forecast.load_15m",
        "target.busyness": "busyness",
    }
    | {f"target.breach_risk_{name}": f"breach_risk_{name}" for name in RISK_HORIZONS}
)


def fill(program: Program, moment: Moment, targets: Mapping[str, int | Reading]) -> Frame:
    """
    A frame with every signal that a program reads.

    Parameters
    ----------
    targets
        Place among the queues of each policy's target, or what another cell tells of it; none for
        policies without, and where nothing is known of it.
    """
    frame = program.frame(moment.count)
    signals = Signals(moment, program.vocabulary)
    for key in (*program.layout.whole, *program.layout.real):
        column = frame.column(key)
        assert column is not None
        policy, _, name = key.rpartition("/")
        if not name.startswith(_TARGET):
            column[:] = signals.column(name)
        elif (target := targets.get(policy)) is None:
            continue
        elif isinstance(target, Reading):
            kind = SIGNALS[name].kind
            column[:] = coded(target.signals.get(name), kind, program.vocabulary)
        else:
            column[:] = signals.column(OF_TARGET.get(name, name))[target]
    return frame


class Signals:
    """Columns of one second, by name."""

    def __init__(self, moment: Moment, vocabulary: Vocabulary) -> None:
        self._moment = moment
        self._vocabulary = vocabulary
        self._made: dict[str, Column] = {}

    def column(self, name: str) -> Column:
        """(n,) a signal; texts as codes."""
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def _make(self, name: str) -> Column:
        if name in TEXTS:
            return np.array([self._vocabulary.code(text) for text in TEXTS[name](self._moment)])
        if name in _COLUMNS:
            return _COLUMNS[name](self._moment)
        stem, _, span = name.rpartition("_")
        if stem in _OF_WINDOW:
            return _OF_WINDOW[stem](self._moment, span)
        return _OF_HORIZON[stem](self._moment, HORIZONS_S[span] // BUCKET_S)


def whole(values: Column) -> Whole:
    """Doubles as whole numbers, UNKNOWN for NaN."""
    real = values.astype(np.float64)
    known = np.isfinite(real)
    return np.where(known, np.rint(np.where(known, real, 0.0)).astype(np.int64), UNKNOWN)


def _sampled(column: int) -> _Made:
    """Of the engine's own queues; not known of others."""
    return lambda moment: np.where(moment.is_told, moment.sample(column), UNKNOWN)


def _told(column: int) -> _Made:
    """Of the last reading; not known before the first."""

    def made(moment: Moment) -> Column:
        return np.where(moment.is_told | moment.is_heard, moment.latest(column), UNKNOWN)

    return made


def _waiting(moment: Moment) -> Column:
    return moment.either(moment.sample(sampling.WAITING), windows.WAITING)


def _oldest_wait(moment: Moment) -> Column:
    return moment.either(moment.sample(sampling.OLDEST_WAIT_MS), windows.OLDEST_WAIT_MS)


def _spare_capacity(moment: Moment) -> Column:
    spare: Real = np.maximum(moment.available - moment.waiting, 0).astype(np.float64)
    return spare


def _channel(moment: Moment) -> Texts:
    return [_CHANNELS[number] for number in moment.sample(sampling.CHANNEL).tolist()]


def _busyness(moment: Moment) -> Texts:
    grades = moment.sensing.parts.busyness.columns.grade[moment.queues.rows]
    # Until it can be told, nothing is amiss.
    return [_GRADES.get(grade, "normal") for grade in grades.tolist()]


def _of_definition(name: str) -> _Made:
    def made(moment: Moment) -> Column:
        return np.array([getattr(item, name) for item in moment.queues.profiles], np.float64)

    return made


def _of_local(name: str) -> _Made:
    def made(moment: Moment) -> Column:
        return np.array([_LOCAL[name](local) for local in moment.local], np.int64)

    return made


def _risk(place: int) -> _Made:
    def made(moment: Moment) -> Column:
        if moment.ahead is None:
            return np.full(moment.count, np.nan)
        found: Real = moment.ahead.risk[moment.queues.rows, place]
        return found

    return made


def _of_anomaly(kind: AnomalyKind, value: Callable[[Anomaly, int], float]) -> _Made:
    """
    Of the queue, or of its group: that takes over what is told of members, and names those.

    Where it names none no queue does by itself what all do together.
    """

    def made(moment: Moment) -> Column:
        by_row = {item.row: item for item in moment.sensing.parts.watch.open() if item.kind is kind}
        for group, members in moment.sensing.directory.rows.groups() if by_row else ():
            if group in by_row:
                named = by_row[group].members or members.tolist()
                by_row = dict.fromkeys(named, by_row[group]) | by_row
        second = moment.sensing.parts.windows.closed_s
        values = [
            value(by_row[row], second) if row in by_row else 0.0
            for row in moment.queues.rows.tolist()
        ]
        return np.array(values, np.float64)

    return made


def _forecast_age(moment: Moment) -> Column:
    """A forecast is as old as the last second that was closed."""
    closed_ms = 1_000 * (moment.sensing.parts.windows.closed_s + 1)
    age_ms = max(moment.now_ms - closed_ms, 0)
    return np.full(moment.count, age_ms if moment.ahead is not None else UNKNOWN)


def _figure(name: str, *, is_whole: bool = False) -> Callable[[Moment, str], Column]:
    def made(moment: Moment, window: str) -> Column:
        found: Column = getattr(moment.window(window), name)[moment.queues.rows]
        return whole(found) if is_whole else found

    return made


def _coverage(moment: Moment, window: str) -> Column:
    """Of the day it is measured by the queue that was told of most: all began it at most then."""
    covered_s = moment.window(window).covered_s
    is_day = window == "day"
    length_s = covered_s.max(initial=1) if is_day else moment.sensing.parts.windows.window_s(window)
    return np.minimum(covered_s[moment.queues.rows] / max(int(length_s), 1), 1.0)


_LOCAL: Final = {
    "year": lambda local: local.moment.year,
    "month": lambda local: local.moment.month,
    "day": lambda local: local.moment.day,
    "weekday": lambda local: local.moment.isoweekday(),
    "hour": lambda local: local.moment.hour,
    "minute": lambda local: local.moment.minute,
    "minute_of_day": lambda local: local.minute_of_day,
}
TEXTS: Final[Mapping[str, Callable[[Moment], Texts]]] = MappingProxyType(
    {
        "queue.id": lambda moment: list(moment.queues.ids),
        "queue.channel": _channel,
        "busyness": _busyness,
    }
)
_SURGE, _SILENCE = AnomalyKind.SURGE, AnomalyKind.SILENCE
_COLUMNS: Final[Mapping[str, _Made]] = MappingProxyType(
    {
        "queue.priority": _of_definition("priority"),
        "queue.is_open": _sampled(sampling.IS_OPEN),
        "queue.waiting": _waiting,
        "queue.offered": _sampled(sampling.OFFERED),
        "queue.assigned": _sampled(sampling.ASSIGNED),
        "queue.wrap_up": _sampled(sampling.WRAPPING_UP),
        "queue.scheduled": _sampled(sampling.SCHEDULED),
        "queue.oldest_wait": _oldest_wait,
        "queue.estimated_wait": lambda moment: whole(moment.waits.mean),
        "queue.estimated_wait_high": lambda moment: whole(moment.waits.high),
        "queue.agents_available": _told(windows.AVAILABLE),
        "queue.agents_handling": _told(windows.HANDLING),
        "queue.agents_wrap_up": _told(windows.WRAP_UP),
        "queue.agents_signed_in": lambda moment: moment.signed_in,
        "queue.max_length": _of_definition("max_length"),
        "queue.service_level_within": _of_definition("within_ms"),
        "queue.service_level_target": _of_definition("ratio"),
        "forecast.age": _forecast_age,
        "anomaly.surge": _of_anomaly(_SURGE, lambda item, second: 1.0),
        "anomaly.silence": _of_anomaly(_SILENCE, lambda item, second: 1.0),
        "anomaly.excess": _of_anomaly(_SURGE, lambda item, second: item.excess),
        "anomaly.confidence": _of_anomaly(_SURGE, lambda item, second: item.confidence),
        "anomaly.lasted": _of_anomaly(
            _SURGE, lambda item, second: 1_000.0 * (second - item.began_s)
        ),
        "telemetry.age": lambda moment: moment.age_ms,
        "target.spare_capacity": _spare_capacity,
    }
    | {f"breach_risk_{name}": _risk(place) for place, name in enumerate(RISK_HORIZONS)}
    | {f"time.{name}": _of_local(name) for name in _LOCAL}
)
_OF_WINDOW: Final[Mapping[str, Callable[[Moment, str], Column]]] = MappingProxyType(
    {
        "queue.received": _figure("offered", is_whole=True),
        "queue.answered": _figure("answered", is_whole=True),
        "queue.abandoned": _figure("abandoned", is_whole=True),
        "queue.service_level": _figure("service_level"),
        "queue.asa": _figure("asa_ms", is_whole=True),
        "queue.abandonment": _figure("abandonment"),
        "queue.occupancy": _figure("occupancy"),
        "queue.aht": _figure("aht_ms", is_whole=True),
        "queue.coverage": _coverage,
    }
)
_OF_HORIZON: Final[Mapping[str, Callable[[Moment, int], Column]]] = MappingProxyType(
    {
        "forecast.contacts": lambda moment, buckets: moment.contacts(buckets),
        "forecast.contacts_p90": lambda moment, buckets: moment.contacts_p90(buckets),
        "forecast.load": lambda moment, buckets: moment.load(buckets),
    }
)
