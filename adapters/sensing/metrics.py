"""Metrics of sensing: what its thread counts, and what every queue looks like."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from adapters.floor_metrics import escaped
from engine.forecasting.breach import HORIZONS_S
from engine.sensing.picture import Picture
from engine.sensing.sensing import Sensing
from engine.sensing.sources import Source

_TICK_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
_SAMPLE_SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025)
_DRIVERS_EVERY_S: Final = 60
# Outcomes of readings, in the order of their numbers.
OUTCOME_NAMES: Final = (
    "accepted", "unknown_queue", "value", "late", "ahead", "duplicate", "stuck",
)  # fmt: skip


class SensingFamilies:
    """Metric families of sensing, with a `cell` label."""

    def __init__(self, registry: CollectorRegistry) -> None:
        label = ("cell",)
        self.tick_seconds = Histogram(
            "headgate_sensing_seconds",
            "Time that sensing takes each second, in its own thread.",
            label,
            buckets=_TICK_SECONDS,
            registry=registry,
        )
        self.sample_seconds = Histogram(
            "headgate_sample_seconds",
            "Time that sampling the cell's own queues takes each second, in the loop's thread.",
            label,
            buckets=_SAMPLE_SECONDS,
            registry=registry,
        )
        self.failures = Counter(
            "headgate_sensing_failures",
            "Pieces of work in sensing that met a bug.",
            label,
            registry=registry,
        )
        self.save_failures = Counter(
            "headgate_sensing_save_failures",
            "Times that what is learned could not be written to its file.",
            label,
            registry=registry,
        )
        self.anomalies = Counter(
            "headgate_anomalies",
            "Anomalies that began, by kind: surge, silence.",
            ("cell", "kind"),
            registry=registry,
        )
        self.suppressed = Gauge(
            "headgate_anomalies_suppressed",
            "Surges that the alarm budget has left out since the process started.",
            label,
            registry=registry,
        )
        self.readings = Counter(
            "headgate_readings",
            "Readings of a source, by what became of them.",
            ("cell", "source", "outcome"),
            registry=registry,
        )
        self.driver_rate = Gauge(
            "headgate_driver_contacts_per_10000",
            "Contacts that 10,000 of a business volume bring, as learned.",
            ("cell", "driver"),
            registry=registry,
        )
        self.source_heard = Gauge(
            "headgate_source_heard_timestamp_seconds",
            "When a source of readings was last heard.",
            ("cell", "source"),
            registry=registry,
        )
        self.source_skew = Gauge(
            "headgate_source_clock_skew_seconds",
            "How far a source's clock is ahead, the least delay counted as none.",
            ("cell", "source"),
            registry=registry,
        )

    def of(self, cell: str) -> "SensingMetrics":
        """Metrics of one cell."""
        return SensingMetrics(cell, self)


class SensingMetrics:
    """Metrics of sensing of one cell."""

    def __init__(self, cell: str, families: SensingFamilies) -> None:
        self._cell = cell
        self._families = families
        self.tick_seconds = families.tick_seconds.labels(cell)
        self.sample_seconds = families.sample_seconds.labels(cell)
        self.failures = families.failures.labels(cell)
        self.save_failures = families.save_failures.labels(cell)
        self.anomalies = families.anomalies
        # Readings counted so far, by source.
        self._counted: dict[str, NDArray[np.int64]] = {}
        self._drivers: set[str] = set()

    def show(self, sensing: Sensing) -> None:
        """Show how sources do; called once a second."""
        self._families.suppressed.labels(self._cell).set(sensing.parts.watch.suppressed)
        for name, source in sensing.sources.by_name.items():
            self._show_source(name, source)
        for name in self._counted.keys() - sensing.sources.by_name.keys():
            self._families.source_heard.remove(self._cell, name)
            self._families.source_skew.remove(self._cell, name)
            for outcome in OUTCOME_NAMES:
                self._families.readings.remove(self._cell, name, outcome)
            del self._counted[name]
        if sensing.parts.windows.closed_s % _DRIVERS_EVERY_S == 0:
            self._show_drivers(sensing)

    def _show_drivers(self, sensing: Sensing) -> None:
        drivers = sensing.parts.model.drivers
        rates = {
            driver_id: rate
            for driver_id in drivers.known()
            for rate in drivers.contact_rate(driver_id).per_10k.tolist()
            if rate == rate
        }
        for driver_id in self._drivers - rates.keys():
            self._families.driver_rate.remove(self._cell, driver_id)
        for driver_id, rate in rates.items():
            self._families.driver_rate.labels(self._cell, driver_id).set(rate)
        self._drivers = set(rates)

    def _show_source(self, name: str, source: Source) -> None:
        families, cell = self._families, self._cell
        more = source.outcomes - self._counted.get(name, 0)
        self._counted[name] = source.outcomes.copy()
        for outcome, count in zip(OUTCOME_NAMES, more.tolist(), strict=True):
            families.readings.labels(cell, name, outcome).inc(count)
        families.source_heard.labels(cell, name).set(source.last_ms / 1_000)
        families.source_skew.labels(cell, name).set(source.skew_ms / 1_000)


class _Shown(NamedTuple):
    """One metric of every queue."""

    name: str
    text: str
    values: Callable[[Picture], NDArray[np.float64]]
    labels: str = ""


def _age(picture: Picture) -> NDArray[np.float64]:
    return np.where(picture.latest_s >= 0, picture.second - picture.latest_s, np.nan)


def _risk(place: int) -> Callable[[Picture], NDArray[np.float64]]:
    return lambda picture: picture.risk[:, place]


def _accuracy(name: str, place: int) -> Callable[[Picture], NDArray[np.float64]]:
    def values(picture: Picture) -> NDArray[np.float64]:
        if picture.accuracy is None:
            return np.full(len(picture.latest_s), np.nan)
        found: NDArray[np.float64] = getattr(picture.accuracy, name)[:, place]
        return found

    return values


_LEAD_NAMES: Final = ("5m", "30m", "2h", "12h")
_ACCURACY: Final = (
    (
        "wape",
        "Sum |count - forecast| / sum count, by how far ahead; half of it a week old or less.",
    ),
    ("floor", "What chance alone leaves of that, were every forecast the true rate."),
    ("bias", "Sum (forecast - count) / sum count."),
    ("in_80", "Share of the counts within the 80 % interval."),
)
_RISK_TEXT: Final = (
    "Probability that a contact which arrives so far ahead waits longer than the service-level "
    "time, calibrated by outcomes."
)
_FORECAST_TEXT: Final = "Contacts forecast for the time ahead."
# Metrics of the same name stand together.
_SHOWN: Final = (
    _Shown(
        "headgate_queue_telemetry_age_seconds",
        "Age of the last reading that counts; a queue without one is left out.",
        _age,
    ),
    _Shown(
        "headgate_queue_forecast_contacts",
        _FORECAST_TEXT,
        lambda picture: picture.forecast_5m,
        ',ahead="5m"',
    ),
    _Shown(
        "headgate_queue_forecast_contacts",
        _FORECAST_TEXT,
        lambda picture: picture.forecast_30m,
        ',ahead="30m"',
    ),
    _Shown(
        "headgate_queue_agents_expected",
        "Agents expected over the next half hour; of shared ones the queue's part.",
        lambda picture: picture.agents_expected,
    ),
    _Shown(
        "headgate_queue_load_ratio",
        "Forecast load / agents expected over the next half hour.",
        lambda picture: picture.load_ratio,
    ),
    _Shown(
        "headgate_queue_handle_time_seconds",
        "Handling time in force, wrap-up included.",
        lambda picture: picture.aht_ms / 1_000,
    ),
    *(
        _Shown(
            "headgate_queue_breach_risk",
            _RISK_TEXT,
            _risk(place),
            f',ahead="{ahead_s / 60:g}m"',
        )
        for place, ahead_s in enumerate(HORIZONS_S)
    ),
    *(
        _Shown(
            f"headgate_queue_forecast_{name.replace('in_80', 'within_80')}",
            text,
            _accuracy(name, place),
            f',ahead="{lead}"',
        )
        for name, text in _ACCURACY
        for place, lead in enumerate(_LEAD_NAMES)
    ),
    _Shown(
        "headgate_queue_busyness",
        "0 not known, 1 idle, 2 normal, 3 busy, 4 overloaded.",
        lambda picture: picture.busyness.astype(np.float64),
    ),
    _Shown(
        "headgate_queue_service_level_projected",
        "Service level that the running half hour of the clock is heading for.",
        lambda picture: picture.service_level,
    ),
    _Shown(
        "headgate_queue_service_level_miss",
        "Probability that the running half hour misses the service-level target.",
        lambda picture: picture.service_level_miss,
    ),
)


def render_pictures(pictures: Sequence[tuple[str, Picture]]) -> Iterator[str]:
    """Lines of the metrics of every queue that is sensed; what is not known is left out."""
    labelled = [
        (
            picture,
            [
                (f'{{cell="{cell}",queue="{escaped(key.name)}"', row)
                for row, key in enumerate(picture.keys)
                if key is not None and not key.is_group
            ],
        )
        for cell, picture in pictures
    ]
    before = ""
    for shown in _SHOWN:
        if shown.name != before:
            yield f"# HELP {shown.name} {shown.text}\n# TYPE {shown.name} gauge\n"
        before = shown.name
        for picture, labels in labelled:
            values = shown.values(picture).tolist()
            known = ((label, values[row]) for label, row in labels if values[row] == values[row])
            yield "".join(
                f"{shown.name}{label}{shown.labels}}} {value:.6g}\n" for label, value in known
            )
