"""
How soon a surge is found in a real call log, and how often one is told that was none.

The Anonymous Bank's calls go through the model bucket by bucket and through the scan second by
second, as they would live. Then each held-out day is lived again from its morning, with calls on
top of its own for a while at a drawn time; the model sees them as well, and its forecast gives way
to them. Days are lived apart: with a surge on every day one model learned that surges are usual.
Each day is drawn several times: one draw of so few surges errs by five in a hundred.

The log has surges of its own, up to ten times the forecast. An alarm is false where the calls of no
20 minutes around its beginning came to `_REAL` times the forecast.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.arrival_data import SHARED_DATA, Series, anonymous_bank, bank_calls_s
from benchmarks.settings import Settings
from benchmarks.tables import Goals, Table
from engine.forecasting.anomaly import Anomaly, AnomalyKind, AnomalySettings, AnomalyWatch
from engine.forecasting.arrivals import ArrivalModel
from engine.forecasting.baseline import Baseline, Held
from engine.forecasting.calendar import Calendar, CalendarRows
from engine.kernels.scan import Second
from engine.kernels.sensing_columns import BUCKET_S, SLOTS, Observed

_DAY_S: Final = SLOTS * BUCKET_S
_WORKING_DAYS_PER_WEEK: Final = 5
_SURGE_S: Final = 1_200
_FOUND_WITHIN_S: Final = 600
# Hours between which a surge begins.
_FIRST_HOUR, _LAST_HOUR = 9, 22
_DRAWS: Final = 5
_REAL: Final = 2.5
# What is scanned before a surge, so that the longest window is full.
_BEFORE_S: Final = 1_200
# Slot before opening at which a day is lived again from.
_MORNING: Final = 60


@dataclass(frozen=True, slots=True)
class Morning:
    """A day about to begin: the model and what it holds arrivals against; and its open buckets."""

    day: int
    model: ArrivalModel
    baseline: Baseline
    opens: frozenset[int]


@dataclass(frozen=True, slots=True)
class Watched:
    """What was told, and what had been forecast for each bucket, contacts."""

    told: list[Anomaly]
    forecast: dict[int, float]

    def surges(self) -> list[Anomaly]:
        """Those that were told as they began."""
        return [one for one in self.told if one.kind is AnomalyKind.SURGE]


def run(settings: Settings) -> list[Table]:
    """Watch the held-out days as they were, and with surges on them."""
    if not SHARED_DATA.is_dir():
        note = f"Left out: the data sets are not in {SHARED_DATA}."
        return [Table("Surges", ("threshold",), [["none"]], note)]
    begin_day = int(np.datetime64(settings.value("held_out_from"), "D").astype(np.int64))
    calls_s = bank_calls_s()
    mornings = mornings_from(anonymous_bank(), begin_day)
    calls_s = bank_calls_s()
    forecast = watch(mornings, calls_s, AnomalySettings(), {}).forecast
    draws = 1 if settings.is_quick else _DRAWS
    rows, goals, limits = [], Goals(), settings.goals
    for raise_z in settings.shares("raise_z"):
        chosen = AnomalySettings(raise_z=raise_z, budget_per_day=1_000.0)
        weeks = len(mornings) / _WORKING_DAYS_PER_WEEK
        alarms = [one.began_s for one in watch(mornings, calls_s, chosen).surges()]
        false = [began_s for began_s in alarms if _most(began_s, calls_s, forecast) < _REAL]
        cells = [f"{raise_z:g}", f"{len(alarms) / weeks:.2f}", f"{len(false) / weeks:.2f}"]
        for factor in settings.shares("factors"):
            delays = [_delays_of(mornings, chosen, forecast, factor, seed) for seed in range(draws)]
            shares = [100 * float(np.mean(np.array(found) <= _FOUND_WITHIN_S)) for found in delays]
            middle = float(np.median(np.concatenate(delays)))
            told = f", {middle:.0f} s" if middle < 1e9 else ""
            cells.append(f"{float(np.mean(shares)):.0f} %{told}")
            if (raise_z, factor) == (AnomalySettings().raise_z, 3.0):
                found = float(np.mean(shares))
                goals.at_most("false alarms a week", limits["alarms"], [len(false) / weeks], "")
                goals.at_least("× 3 within 10 min", limits["found"], [found], "%")
        rows.append(cells)
    factors = (f"× {factor:g}" for factor in settings.shares("factors"))
    note = (
        f"{len(mornings)} days, each {draws} times with a surge of 20 min: share found within "
        "10 min, and the median delay. A week has five days of 17 hours. Goals at the default z."
    )
    columns = ("z", "alarms a week", "of which false", *factors)
    return [Table("Surges among 1.7 calls a minute", columns, rows, note), goals.table()]


def _delays_of(
    mornings: Sequence[Morning],
    chosen: AnomalySettings,
    forecast: dict[int, float],
    factor: float,
    seed: int,
) -> list[float]:
    """Delays of one draw of surges."""
    days = [morning.day for morning in mornings]
    begun_s, added = drawn_surges(days, forecast, factor, seed)
    around = {
        day: range(begin_s - _BEFORE_S, begin_s + _SURGE_S)
        for day, begin_s in zip(days, begun_s, strict=True)
    }
    together = np.sort(np.concatenate([bank_calls_s(), added]))
    return delays_s(begun_s, watch(mornings, together, chosen, around).surges())


def _most(began_s: int, calls_s: NDArray[np.int64], forecast: dict[int, float]) -> float:
    """Most calls over what was forecast, of 20 minutes that begin before an alarm and end after."""
    most = 0.0
    for begin_s in range(began_s - _SURGE_S, began_s, 30):
        seconds = np.arange(begin_s, begin_s + _SURGE_S)
        expected = sum(forecast.get(bucket, 0.0) for bucket in (seconds // BUCKET_S).tolist())
        low, high = np.searchsorted(calls_s, (begin_s, begin_s + _SURGE_S))
        if expected > 0.0:
            most = max(most, float(high - low) * BUCKET_S / expected)
    return most


def mornings_from(series: Series, begin_day: int) -> list[Morning]:
    """Let a model live through all of a series, and keep it as each day from one on begins."""
    calendars = CalendarRows()
    model, baseline = ArrivalModel(1, calendars), Baseline()
    model.set_calendar(0, calendars.add(Calendar(open_times=series.open_times)))
    first = int(series.buckets[0])
    counts = np.zeros(int(series.buckets[-1]) - first + 1, np.int64)
    counts[series.buckets - first] = series.counts[:, 0]
    opens = frozenset(series.buckets.tolist())
    held_out = {day for day in np.unique(series.buckets // SLOTS).tolist() if day >= begin_day}
    kept = []
    for place in range(len(counts)):
        day, slot = divmod(first + place, SLOTS)
        if slot == _MORNING and day in held_out:
            kept.append(Morning(day, copy.deepcopy(model), copy.deepcopy(baseline), opens))
        _end_bucket(model, first + place, int(counts[place]))
        baseline.begin(model)
    return kept


def watch(
    mornings: Sequence[Morning],
    calls_s: NDArray[np.int64],
    chosen: AnomalySettings,
    around: Mapping[int, range] | None = None,
) -> Watched:
    """
    Live through each day from its morning, with the calls that came then, under the scan.

    `around` are the seconds that are scanned of each day; all of every day where it is None.
    """
    forecast: dict[int, float] = {}
    told: list[Anomaly] = []
    for morning in mornings:
        model, baseline = copy.deepcopy(morning.model), copy.deepcopy(morning.baseline)
        scan = AnomalyWatch(1, chosen)
        held = None
        for bucket in range(morning.day * SLOTS + _MORNING, (morning.day + 1) * SLOTS):
            low, high = np.searchsorted(calls_s, (bucket * BUCKET_S, (bucket + 1) * BUCKET_S))
            is_open = bucket in morning.opens
            if is_open and held is not None:
                forecast[bucket] = float(held.rate_per_s[0]) * BUCKET_S
                if around is None or bucket * BUCKET_S in around.get(morning.day, ()):
                    told += _scan_bucket(scan, bucket, calls_s[low:high], held)
            _end_bucket(model, bucket, int(high - low) if is_open else 0)
            held = baseline.begin(model)
    return Watched(told, forecast)


def _end_bucket(model: ArrivalModel, bucket: int, count: int) -> None:
    observed = Observed(np.array([count]), np.full(1, BUCKET_S), np.zeros(1, np.int64))
    model.close(bucket, observed)
    model.learn(1)


def _scan_bucket(
    scan: AnomalyWatch, bucket: int, calls_s: NDArray[np.int64], held: Held
) -> list[Anomaly]:
    """Let the seconds of a bucket pass."""
    begin_s = bucket * BUCKET_S
    counts = np.bincount(calls_s - begin_s, minlength=BUCKET_S)
    one = np.ones(1, np.int64)
    told: list[Anomaly] = []
    for place in range(BUCKET_S):
        second = Second(counts[place : place + 1], one, held.rate_per_s, held.variance)
        told += scan.observe(begin_s + place, second)
    return [found for found in told if found.ended_s < 0]


def drawn_surges(
    days: Sequence[int], forecast: dict[int, float], factor: float, seed: int
) -> tuple[list[int], NDArray[np.int64]]:
    """When each day's surge begins, and the calls it brings; seconds since the Unix epoch."""
    draw = np.random.default_rng(seed)
    begun_s, added = [], []
    for day in days:
        begin_s = day * _DAY_S + int(draw.integers(_FIRST_HOUR * 3_600, _LAST_HOUR * 3_600))
        begun_s.append(begin_s)
        for second in range(begin_s, begin_s + _SURGE_S):
            rate = (factor - 1.0) * forecast.get(second // BUCKET_S, 0.0) / BUCKET_S
            added += [second] * int(draw.poisson(rate))
    return begun_s, np.array(added, np.int64)


def delays_s(begun_s: Sequence[int], told: Sequence[Anomaly]) -> list[float]:
    """How long after its begin each surge was told, seconds; infinite where it was not."""
    alarms = np.array([one.began_s for one in told])
    delays = []
    for begin_s in begun_s:
        inside = alarms[(alarms >= begin_s) & (alarms < begin_s + _SURGE_S)]
        delays.append(float(inside[0] - begin_s) if len(inside) else np.inf)
    return delays
