"""
How good what was sensed of the day has been.

    WAPE    sum |count - forecast| / sum count, of forecasts as issued every five minutes
    floor   what WAPE chance leaves, were every forecast the true rate of a Poisson count
    Brier   mean squared distance of a risk from what came, 0 the best; ever one half earns 0.25
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from deploy.examples.bank_day.bank_day import TYPES
from deploy.examples.bank_day.compressed_time import clock_text
from deploy.examples.bank_day.sensed_day import HALF_HOUR_S, Issued, Record, Told, anomaly_text
from deploy.examples.bank_day.surge import SURGE_S
from engine.forecasting.anomaly import AnomalyKind
from engine.kernels.sensing_columns import BUCKET_S

# What a surge does is still seen for so long after the last call of it.
AFTER_S: Final = 600


class ForecastError(NamedTuple):
    """
    Errors of one queue's forecasts of one length; NaN where no contact came.

    Attributes
    ----------
    forecasts
        How many were issued for a time that has passed.
    forecast, came
        Contacts per forecast, the mean.
    wape, floor
        As the module's docstring has them.
    """

    forecasts: int
    forecast: float
    came: float
    wape: float
    floor: float


class Pair(NamedTuple):
    """A forecast as issued, and what came, contacts."""

    issued: Issued
    forecast: float
    came: int


def pairs(record: Record, row: int, length_s: int) -> list[Pair]:
    """Forecasts of a queue whose time has passed, each with what came in it."""
    found = []
    for issued in record.issued:
        end = record.received.get(issued.at_s + length_s)
        if end is not None:
            forecast = issued.next_5 if length_s == BUCKET_S else issued.next_30
            came = int(end[row] - record.received[issued.at_s][row])
            found.append(Pair(issued, float(forecast[row]), came))
    return found


def forecast_error(found: Sequence[Pair]) -> ForecastError:
    """Errors over pairs of forecast and count."""
    count = sum(pair.came for pair in found)
    if not count:
        return ForecastError(len(found), *([math.nan] * 4))
    missed = sum(abs(pair.came - pair.forecast) for pair in found)
    by_chance = sum(mean_distance(pair.forecast) for pair in found)
    told = sum(pair.forecast for pair in found)
    return ForecastError(
        len(found), told / len(found), count / len(found), missed / count, by_chance / count
    )


def mean_distance(rate: float) -> float:
    """E |N - rate| of a Poisson count N of that rate: 2 rate P(N = whole part of rate)."""
    if rate <= 0.0:
        return 0.0
    whole = math.floor(rate)
    return 2.0 * rate * math.exp(whole * math.log(rate) - rate - math.lgamma(whole + 1))


def largest(record: Record) -> int:
    """Row of the queue that most contacts came to."""
    return int(np.argmax(record.received[max(record.received)])) if record.received else 0


def pooled_brier(record: Record) -> float:
    """Over all queues; NaN before any outcome."""
    outcomes = record.outcomes.sum()
    return float(np.nansum(record.brier * record.outcomes) / outcomes) if outcomes else math.nan


def finding(record: Record, surge_s: int) -> Told | None:
    """What told of the surge first; None for missed."""
    return next((told for told in record.anomalies if _is_of(told, surge_s)), None)


def surge_text(record: Record, surge_s: int, added: int) -> str:
    """Whether the surge that was added has been found, and how soon."""
    span = f"{clock_text(surge_s)[:5]} to {clock_text(surge_s + SURGE_S)[:5]}"
    text = f"The surge of {added} calls that were added from {span} was"
    found = finding(record, surge_s)
    if found is None:
        return f"{text} not found."
    return f"{text} found after {found.at_s - surge_s} s: {told_text(found)}"


def told_text(told: Told) -> str:
    """An anomaly that was told, in words."""
    return f"{anomaly_text(told.anomaly, told.name)} at its most."


def others(record: Record, surge_s: int | None) -> list[Told]:
    """Anomalies that no calls were added for."""
    return [told for told in record.anomalies if surge_s is None or not _is_of(told, surge_s)]


def _is_of(told: Told, surge_s: int) -> bool:
    is_in_time = surge_s <= told.at_s < surge_s + SURGE_S + AFTER_S
    return told.anomaly.kind is AnomalyKind.SURGE and is_in_time


def errors_of(record: Record, name: str) -> tuple[ForecastError, ForecastError]:
    """Errors of a queue's forecasts of the next 5 and 30 minutes."""
    row = list(TYPES).index(name)
    five, thirty = (
        forecast_error(pairs(record, row, length_s)) for length_s in (BUCKET_S, HALF_HOUR_S)
    )
    return five, thirty
