"""What is plotted of a queue: contacts that came and are expected, and how good that has been."""

import math
from collections.abc import Sequence
from datetime import tzinfo
from typing import Final, NamedTuple

from adapters.forecasts.asking import QueueTold
from adapters.forecasts.words import ahead_text, moment, number, percent
from adapters.simulation_page.markup import Markup
from adapters.simulation_page.plot import (
    Axis,
    Band,
    Dots,
    Layer,
    Limit,
    Line,
    Mark,
    Panel,
    Row,
    Stretch,
    axis,
    panel_plot,
    percent_axis,
    row_plot,
)
from headgate.v1 import plan_pb2
from headgate.v1 import telemetry_pb2 as told

_SIZE: Final = (960.0, 320.0)
_HOUR_MS: Final = 3_600_000
_HOURS: Final = (1, 2, 3, 4, 6, 12)
_TICKS_MAX: Final = 12
_SHARE_MIN: Final = 0.01


class Came(NamedTuple):
    """What came in one step: contacts, and what had been forecast; NaN for not known."""

    begins_at_ms: int
    contacts: float
    forecast: float


def came_lately(forecast: told.QueueForecast, step_ms: int) -> list[Came]:
    """What came, by steps as long as those of the forecast, counted back from its first."""
    if not forecast.steps:
        return []
    running_ms = forecast.steps[0].begins_at_ms
    groups: dict[int, list[told.RecentStep]] = {}
    for item in forecast.recent:
        back = (running_ms - item.begins_at_ms - 1) // step_ms + 1
        groups.setdefault(running_ms - back * step_ms, []).append(item)
    steps = [_came(begins_ms, items, step_ms) for begins_ms, items in sorted(groups.items())]
    return [step for step in steps if not (math.isnan(step.contacts) and math.isnan(step.forecast))]


def _came(begins_ms: int, items: Sequence[told.RecentStep], step_ms: int) -> Came:
    """One step; known where every part of it is."""
    whole = len(items) == step_ms // 300_000
    contacts = [float(item.contacts) if item.HasField("contacts") else math.nan for item in items]
    forecast = [item.forecast if item.HasField("forecast") else math.nan for item in items]
    return Came(
        begins_ms, sum(contacts) if whole else math.nan, sum(forecast) if whole else math.nan
    )


def forecast_plot(
    queue: QueueTold, events: Sequence[plan_pb2.PlannedEvent], step_ms: int, zone: tzinfo | None
) -> Markup:
    """Contacts by step: what came, what had been forecast, and what is, with its intervals."""
    forecast = queue.forecast
    came = came_lately(forecast, step_ms)
    # A count stands in the middle of its step.
    half = step_ms / 2
    ahead = [(step.begins_at_ms + half, step) for step in forecast.steps]
    begin = (
        min(came[0].begins_at_ms, forecast.steps[0].begins_at_ms)
        if came
        else (forecast.steps[0].begins_at_ms)
    )
    across = _clock_axis(begin, forecast.steps[-1].begins_at_ms + step_ms, zone)
    known = [item for item in came if not math.isnan(item.contacts)]
    heights = [item.contacts for item in known] + [step.p97_5 for step in forecast.steps]
    heights += [item.forecast for item in came if not math.isnan(item.forecast)]
    upward = axis(max([*heights, 1.0]), "{:,g}".format)
    layers: list[Layer] = [
        Stretch(float(event.begins_at_ms), float(event.ends_at_ms), event.event_id)
        for event in events
        if event.ends_at_ms > across.low and event.begins_at_ms < across.high
    ]
    layers += [
        Band([(at, step.p2_5, step.p97_5) for at, step in ahead]),
        Band([(at, step.p10, step.p90) for at, step in ahead]),
        Limit(float(forecast.steps[0].begins_at_ms)),
        *_lines([(item.begins_at_ms + half, item.forecast) for item in came], step_ms),
        Line([(at, step.mean) for at, step in ahead]),
        Dots(
            [(item.begins_at_ms + half, item.contacts) for item in known],
            [f"{moment(item.begins_at_ms, zone):%H:%M} {item.contacts:,.0f}" for item in known],
        ),
    ]
    title = f"{forecast.queue_id}: contacts, what came and what is expected"
    described = _described(forecast, known, step_ms, zone)
    return panel_plot(Panel("", title, described, across, upward, layers, _SIZE))


def _lines(points: Sequence[tuple[float, float]], step_ms: int) -> list[Line]:
    """What had been forecast, broken where nothing was."""
    runs: list[list[tuple[float, float]]] = []
    for at, value in points:
        if math.isnan(value):
            continue
        if not runs or at - runs[-1][-1][0] > step_ms:
            runs.append([])
        runs[-1].append((at, value))
    # One point has no length: it is drawn as long as its step.
    half = step_ms / 2
    wide = [run if len(run) > 1 else _level(run[0], half) for run in runs]
    return [Line(run, "line second") for run in wide]


def _level(point: tuple[float, float], half: float) -> list[tuple[float, float]]:
    at, value = point
    return [(at - half, value), (at + half, value)]


def _described(
    forecast: told.QueueForecast, known: Sequence[Came], step_ms: int, zone: tzinfo | None
) -> str:
    most = max(forecast.steps, key=lambda step: step.mean)
    text = (
        f"Most are expected at {moment(most.begins_at_ms, zone):%H:%M}: {number(most.mean)} in "
        f"{ahead_text(step_ms)}."
    )
    if known:
        text += f" The last known step brought {known[-1].contacts:,.0f}."
    return text


def _clock_axis(begin_ms: float, end_ms: float, zone: tzinfo | None) -> Axis:
    """An axis marked at whole hours of the clock."""
    hours = (end_ms - begin_ms) / _HOUR_MS
    every = next((each for each in _HOURS if hours / each <= _TICKS_MAX), _HOURS[-1])
    first = int(-(-begin_ms // _HOUR_MS)) * _HOUR_MS
    whole = range(first, int(end_ms) + 1, _HOUR_MS)
    ticks = [float(at) for at in whole if moment(at, zone).hour % every == 0]
    # Zones half an hour beside the others have no tick on the hour of UTC: each is as it is shown.
    return Axis(begin_ms, end_ms, ticks, lambda at: f"{moment(int(at), zone):%H:%M}")


def error_plot(accuracy: told.QueueAccuracy) -> Markup:
    """WAPE beside what chance alone leaves, by how far ahead."""
    rows, highest = [], _SHARE_MIN
    for item in accuracy.forecasts:
        if not item.HasField("wape"):
            continue
        marks = [Mark("error", item.wape, math.nan, percent(item.wape))]
        if item.HasField("floor"):
            marks.append(Mark("chance", item.floor, math.nan, percent(item.floor)))
        highest = max([highest, *(mark.value for mark in marks)])
        rows.append(Row(f"{ahead_text(item.ahead_ms)} ahead", marks))
    title = f"{accuracy.queue_id}: error of five-minute forecasts"
    return row_plot(title, _told(rows), percent_axis(high=highest), rows, "bar")


def coverage_plot(accuracy: told.QueueAccuracy) -> Markup:
    """How often counts lay within their intervals, by how far ahead."""
    rows = [
        Row(
            f"{ahead_text(item.ahead_ms)} ahead",
            [
                Mark("in 80 %", item.within_80, math.nan, percent(item.within_80)),
                Mark("in 95 %", item.within_95, math.nan, percent(item.within_95)),
            ],
        )
        for item in accuracy.forecasts
        if item.HasField("within_80")
    ]
    # Below the 80 % that counts are held against, so that a share above it is seen to be.
    lowest = min([0.7, *(mark.value for row in rows for mark in row.marks)])
    title = f"{accuracy.queue_id}: counts within the intervals told"
    return row_plot(title, _told(rows), percent_axis(lowest), rows, "dot")


def calibration_plot(accuracy: told.QueueAccuracy) -> Markup:
    """How far breach risks lie from what came of them, by how far ahead."""
    rows, highest = [], _SHARE_MIN
    for item in accuracy.breach_risks:
        if item.HasField("brier"):
            marks = [
                Mark("Brier", item.brier, math.nan, f"{item.brier:.3f}"),
                Mark("ECE", item.calibration_error, math.nan, f"{item.calibration_error:.3f}"),
            ]
            highest = max([highest, item.brier, item.calibration_error])
            rows.append(Row(f"{ahead_text(item.ahead_ms)} ahead", marks))
    title = f"{accuracy.queue_id}: breach risks against what came of them"
    return row_plot(title, _told(rows), axis(highest, "{:g}".format), rows, "bar")


def _told(rows: Sequence[Row]) -> str:
    """Rows in words, for those who do not see them."""
    return " ".join(
        f"{row.subject}: {', '.join(f'{mark.label} {mark.text}' for mark in row.marks)}."
        for row in rows
    )
