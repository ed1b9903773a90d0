"""
What is sensed of the day while it is played, in the bank's time.

The engine senses by the clock of this machine, and at 60× a day of 17 minutes has neither half
hours nor a breach risk in 15 minutes. So the very same `Sensing` that runs in the engine runs here
beside the play, over samples of the bank's seconds. Played at 1× the engine's own `GetOutlook`
tells the same.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from deploy.examples.bank_day.bank_day import TYPES, BankDay
from deploy.examples.bank_day.extract import STAFFED_HOURS, STAFFED_HOURS_DEFAULT
from deploy.examples.bank_day.past import (
    GUESS_TEXT,
    Weeks,
    teach_guess,
    teach_weeks,
)
from deploy.examples.bank_day.queues import TARGETS
from deploy.examples.bank_day.seconds import ROW_OF, midnight_s
from deploy.examples.bank_day.tally import Window
from engine.commands import UpsertQueue
from engine.definitions import Hours, OpeningPeriod
from engine.forecasting.anomaly import Anomaly, AnomalyKind
from engine.forecasting.breach import HORIZONS_S
from engine.forecasting.busyness import Busyness
from engine.kernels import columns
from engine.kernels.sensing_columns import BUCKET_S
from engine.lifecycle import Day
from engine.sensing.compiling import compile_sensing
from engine.sensing.picture import Picture
from engine.sensing.sampling import Changes, Sample
from engine.sensing.sensing import Sensing, SensingSettings
from engine.state import hours as hours_of

RISK_S: Final = 900
HALF_HOUR_S: Final = 1_800
# Seconds are closed one by one, as in the engine, but five at a time: sensing looks ahead no more
# often than that, and at 600× every second costs.
ADVANCE_S: Final = 5
_HALF_HOUR: Final = HALF_HOUR_S // BUCKET_S
_MINUTE_S: Final = 60
_RISK: Final = HORIZONS_S.index(RISK_S)
# All queues together are forecast as well: a surge of all of them is one anomaly.
ALL: Final = "all"
_NO_MORE: Final[Mapping[int, bytes]] = MappingProxyType({})


class QueueView(NamedTuple):
    """
    A queue as of one second; NaN where nothing is known.

    Attributes
    ----------
    busyness
        Word for it.
    came, forecast
        Contacts of the last half hour; those forecast for the next.
    risk
        Probability that who joins in 15 minutes waits too long.
    service_level
        What the running half hour is heading for.
    """

    busyness: str
    came: int
    forecast: float
    risk: float
    service_level: float


class View(NamedTuple):
    """
    What a board shows.

    Attributes
    ----------
    at_s
        Time of day at the bank that it is of.
    queues
        By name.
    anomalies
        Those that last, in words.
    """

    at_s: int
    queues: dict[str, QueueView]
    anomalies: tuple[str, ...]


class Issued(NamedTuple):
    """
    Forecasts as issued when a bucket begins, (queues,) contacts each.

    Attributes
    ----------
    at_s
        Time of day at the bank.
    next_5, next_30
        Of the next 5 and 30 minutes.
    low_30, high_30
        80 % band of the latter.
    """

    at_s: int
    next_5: NDArray[np.float64]
    next_30: NDArray[np.float64]
    low_30: NDArray[np.float64]
    high_30: NDArray[np.float64]


class Minute(NamedTuple):
    """What was told in one minute, (queues,) each: breach risk at 15 minutes and busyness."""

    at_s: int
    risk: NDArray[np.float64]
    busyness: NDArray[np.int64]


class Told(NamedTuple):
    """
    An anomaly that was told.

    Attributes
    ----------
    at_s
        When, time of day at the bank: that of a group takes over from its members, with the time at
        which the first of them began.
    anomaly, name
        What became of it, and its queue or group.
    """

    at_s: int
    anomaly: Anomaly
    name: str


@dataclass(slots=True)
class Record:
    """
    What was told over the day, and what came.

    Attributes
    ----------
    began_with
        What the forecast knew before the day, in words.
    issued, minutes
        In order.
    received
        Contacts of each queue up to a time of day that a bucket begins at.
    anomalies
        All of them, the first first.
    brier, outcomes
        Mean squared error of the breach risks at 15 minutes by queue, and how many it is of.
    """

    began_with: str
    issued: list[Issued] = field(default_factory=list)
    minutes: list[Minute] = field(default_factory=list)
    received: dict[int, NDArray[np.int64]] = field(default_factory=dict)
    anomalies: list[Told] = field(default_factory=list)
    brier: NDArray[np.float64] = field(default_factory=lambda: np.full(len(TYPES), np.nan))
    outcomes: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(TYPES)))


class SensedDay:
    """
    The `Sensing` of a window of the day, and a record of it. Not for two threads at a time.

    Parameters
    ----------
    more
        Definitions of queues beside the bank's, by row.

    Attributes
    ----------
    record
        What was told so far.
    """

    def __init__(
        self,
        day: BankDay,
        weeks: Weeks | None,
        window: Window,
        more: Mapping[int, bytes] = _NO_MORE,
    ) -> None:
        compile_sensing()
        self._until_s = window.until_s
        self._midnight_s = midnight_s(day.day)
        self._sensing = Sensing(SensingSettings(lateness_s=0))
        self._sensing.define(Changes({**_definitions(), **more}, None))
        rows = self._sensing.directory.rows
        self._rows = np.array([rows.queue_row(name) for name in TYPES])
        self._told_s: dict[int, int] = {}
        now_ms = 1_000 * (self._midnight_s + window.from_s + 1)
        self._sensing.advance(now_ms)
        if weeks is None:
            teach_guess(self._sensing, day)
        else:
            weeks = Weeks(weeks.first, weeks.calls | {day.day: day.calls})
            teach_weeks(self._sensing, weeks, now_ms)
        self.record = Record(GUESS_TEXT if weeks is None else weeks.text)

    @property
    def sensing(self) -> Sensing:
        """What senses."""
        return self._sensing

    def take(self, samples: Iterable[Sample]) -> None:
        """Sense seconds, one by one, in order; none after the window, when nobody joins."""
        for sample in samples:
            ended_s = sample.second + 1 - self._midnight_s
            if ended_s > self._until_s:
                return
            self._sensing.follow(sample)
            if ended_s % ADVANCE_S == 0:
                changed = self._sensing.advance(1_000 * (sample.second + 1))
                self._told_s |= {each.number: ended_s for each in changed if each.ended_s < 0}
            if ended_s % BUCKET_S == 0:
                self._issue(ended_s, sample)
            if ended_s % _MINUTE_S == 0:
                self._note(ended_s, self._sensing.picture())

    def view(self) -> View:
        """What is sensed now."""
        picture = self._sensing.picture()
        came = picture.windows["30m"].offered
        queues = {
            name: QueueView(
                Busyness(int(picture.busyness[row])).name.lower(),
                int(came[row]),
                float(picture.forecast_30m[row]),
                float(picture.risk[row, _RISK]),
                float(picture.service_level[row]),
            )
            for name, row in zip(TYPES, self._rows.tolist(), strict=True)
        }
        told = tuple(anomaly_text(found, self._name(found)) for found in picture.anomalies)
        return View(picture.second + 1 - self._midnight_s, queues, told)

    def conclude(self) -> Record:
        """The record of the day, with what became of its anomalies and risks."""
        found = self._sensing.anomalies(with_ended=True)
        self.record.anomalies = [
            Told(self._told_s[anomaly.number], anomaly, key.name)
            for anomaly, key in reversed(found)
            if key is not None
        ]
        calibration = self._sensing.parts.outlook.calibration
        self.record.brier = calibration.quality().brier[self._rows, _RISK]
        self.record.outcomes = calibration.columns.outcomes[self._rows, _RISK].copy()
        return self.record

    def _issue(self, at_s: int, sample: Sample) -> None:
        model = self._sensing.parts.model
        soon = model.demand(0, 1, self._rows)
        later = model.demand(0, _HALF_HOUR, self._rows)
        self.record.received[at_s] = sample.totals[:, columns.RECEIVED].copy()
        self.record.issued.append(
            Issued(at_s, soon.mean, later.mean, later.told[:, 1], later.told[:, 2])
        )

    def _note(self, at_s: int, picture: Picture) -> None:
        risk = picture.risk[self._rows, _RISK]
        self.record.minutes.append(Minute(at_s, risk, picture.busyness[self._rows]))

    def _name(self, found: Anomaly) -> str:
        key = self._sensing.directory.rows.keys[found.row]
        return "" if key is None else key.name


def anomaly_text(found: Anomaly, name: str) -> str:
    """An anomaly in words."""
    if found.kind is AnomalyKind.SILENCE:
        return f"silence in {name}: {found.excess:.0f} forecast that did not come"
    return (
        f"surge in {name}: {found.excess:.0f} more than forecast in the next quarter of an hour, "
        f"confidence {_confidence(found.confidence)}"
    )


def _confidence(confidence: float) -> str:
    """Never a certainty."""
    return f"{min(confidence, 0.9999):.2%}".replace(".00%", "%")


def _definitions() -> dict[int, bytes]:
    """The queues as the engine keeps them, in the bank's time, by row."""
    hours = _hours()
    definitions = {}
    for name, row in ROW_OF.items():
        ratio, within_s = TARGETS[name]
        command = UpsertQueue(
            queue_id=name,
            service_level_ratio=ratio,
            service_level_within_ms=1_000 * within_s,
            hours=hours,
            forecast_group=ALL,
        )
        fields = command._asdict()
        fields |= {"weights": tuple(command.weights), "hours": hours_of.encoded(hours)}
        definitions[row] = orjson.dumps(fields)
    return definitions


def _hours() -> Hours:
    """When the bank's floor is staffed."""
    periods = []
    for number in Day:
        opens, closes = STAFFED_HOURS.get(number - 1, STAFFED_HOURS_DEFAULT)
        periods.append(OpeningPeriod(f"{opens:02}:00", f"{closes:02}:00", (number,)))
    return Hours("UTC", tuple(periods))
