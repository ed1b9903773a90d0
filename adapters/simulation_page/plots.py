"""What is plotted of a simulation: estimates in rows, and panels of waits, parts and moments."""

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from adapters import simulation_figures as figures
from adapters.simulation_figures import Unit, duration_text, half_width, percent, written_in_line
from adapters.simulation_page.markup import Markup
from adapters.simulation_page.plot import (
    Axis,
    Band,
    Dots,
    Limit,
    Line,
    Mark,
    Panel,
    Row,
    Stretch,
    axis,
    percent_axis,
    row_plot,
    time_axis,
)
from engine.kernels import floor_columns as c
from engine.simulation.results import MEASURES, Estimate, Floats, Results

# Streams whose waits differ by more than this are plotted on axes of their own.
_SPREAD_MAX: Final = 20.0
_CURVE_POINTS: Final = 160
# Columns of Results.seen.
_WAITING, _IN_HAND, _SIGNED_IN, _BUSY, _PROBE_WAIT = range(5)


def service_level_plot(results: Results) -> Markup:
    """Answered within each threshold, by stream."""
    thresholds = results.scenario.thresholds
    rows = []
    for stream in results.real_streams():
        levels = figures.service_levels(results, [stream])
        marks = [
            _mark(results, f"in {duration_text(within_ms)}", level)
            for within_ms, level in zip(thresholds, levels, strict=True)
        ]
        rows.append(Row(results.streams[stream], marks))
    lowest = min(
        (mark.value - np.nan_to_num(mark.half) for row in rows for mark in row.marks), default=0.0
    )
    return row_plot(
        "Answered in time, by stream",
        f"Share of contacts let in that were answered within each threshold. {_told(rows)}",
        percent_axis(lowest),
        rows,
        "dot",
    )


def occupancy_plot(results: Results) -> Markup:
    """Occupancy, by group."""
    rows = [
        Row(name, [_mark(results, "", results.occupancy(group))])
        for group, name in enumerate(results.groups)
    ]
    description = f"Share of the time signed in with a contact in hand. {_told(rows)}"
    return row_plot("Occupancy, by group", description, percent_axis(), rows, "bar")


def _mark(results: Results, label: str, estimate: Estimate) -> Mark:
    half = half_width(results, estimate)
    return Mark(label, estimate.value, half, written_in_line(estimate.value, half, "share"))


def _told(rows: Sequence[Row]) -> str:
    """Rows in words, for those who do not see them."""
    return " ".join(
        f"{row.subject}: {', '.join(f'{mark.label} {mark.text}'.strip() for mark in row.marks)}."
        for row in rows
    )


def wait_panels(results: Results) -> list[Panel]:
    """For each stream, the share of answered contacts that waited longer than so long."""
    streams = results.real_streams()
    longest_ms = [_wait_end_ms(results, stream) for stream in streams]
    if max(longest_ms) <= _SPREAD_MAX * min(longest_ms):
        longest_ms = [max(longest_ms)] * len(streams)
    most = max(np.nan_to_num(results.longer_waits([stream])[1][0]) for stream in streams)
    upward = percent_axis(high=max(float(most), 0.01))
    return [
        _wait_panel(results, stream, time_axis(end_ms), upward)
        for stream, end_ms in zip(streams, longest_ms, strict=True)
    ]


def _wait_end_ms(results: Results, stream: int) -> float:
    """Where the axis of a stream's waits may end: few wait longer."""
    at_ms, share = results.longer_waits([stream])
    p99_ms = float(at_ms[share >= 0.01].max(initial=1_000.0))
    return max(p99_ms, 1.25 * max(results.scenario.thresholds, default=0.0))


def _wait_panel(results: Results, stream: int, across: Axis, upward: Axis) -> Panel:
    at_ms, share = results.longer_waits([stream])
    places = np.linspace(1.0, across.high, _CURVE_POINTS)
    heights = np.interp(places, at_ms, share)
    name = results.streams[stream]
    thresholds = results.scenario.thresholds
    shares = [float(np.interp(within_ms, at_ms, share)) for within_ms in thresholds]
    told = ", ".join(
        f"{percent(part)} after {duration_text(within_ms)}"
        for part, within_ms in zip(shares, thresholds, strict=True)
    )
    title = f"{name}: who waited longer than so long"
    limits = [Limit(within_ms) for within_ms in thresholds]
    if np.isnan(share).any():
        return Panel(name, title, "Nobody was answered.", across, upward, limits)
    description = f"Of those answered had waited longer: {told or f'{percent(share[0])} at all'}."
    line = Line([(float(a), float(b)) for a, b in zip(places, heights, strict=True)])
    return Panel(name, title, description, across, upward, [*limits, line])


class Parts(NamedTuple):
    """A measure by part: where parts lie across, and above and below its line."""

    at: Floats
    above: Floats
    below: Floats

    @property
    def values(self) -> Floats:
        """The measure, of those parts that have any."""
        return np.asarray(self.above[self.below > 0] / self.below[self.below > 0])

    @property
    def places(self) -> Floats:
        """Where they lie."""
        return np.asarray(self.at[self.below > 0])


def are_batches(results: Results) -> bool:
    """Whether each part is a batch of known place, so that parts tell how time goes on."""
    horizon = results.scenario.horizon
    parts = horizon.batches * horizon.replications
    return horizon.batches > 1 and results.length_ms.size == parts


def followed_measure(results: Results) -> str:
    """Heading of what is followed from part to part."""
    thresholds = results.scenario.thresholds
    return f"answered in {duration_text(thresholds[0])}" if thresholds else "had to wait"


def followed_parts(results: Results, stream: int) -> Parts:
    """
    The followed measure of a stream by part: by batch over all runs, in milliseconds from the
    opening, where batches can be told; else by run or group of runs, counted from 1.
    """
    if results.scenario.thresholds:
        above = results.counted(c.ANSWERED_WITHIN, [stream])
        below = results.accepted([stream])
    else:
        above, below = MEASURES["p_wait"](results, [stream])
    if not are_batches(results):
        return Parts(np.arange(1.0, results.parts + 1.0), above, below)
    horizon = results.scenario.horizon
    above = above.reshape(-1, horizon.batches).sum(axis=0)
    below = below.reshape(-1, horizon.batches).sum(axis=0)
    batch_ms = (horizon.length - horizon.warm_up) / horizon.batches
    middles = horizon.warm_up + np.arange(0.5, horizon.batches) * batch_ms
    return Parts(middles, above, below)


def part_panels(results: Results) -> list[Panel]:
    """For each stream, the followed measure from part to part."""
    horizon = results.scenario.horizon
    across = (
        time_axis(horizon.length) if are_batches(results) else axis(results.parts, "{:g}".format)
    )
    parts = {row: followed_parts(results, row) for row in results.real_streams()}
    lowest = min(float(of_stream.values.min(initial=1.0)) for of_stream in parts.values())
    upward = percent_axis(lowest)
    return [
        _part_panel(results, stream, of_stream, across, upward)
        for stream, of_stream in parts.items()
    ]


def _part_panel(results: Results, stream: int, parts: Parts, across: Axis, upward: Axis) -> Panel:
    values = parts.values
    points = [(float(a), float(b)) for a, b in zip(parts.places, values, strict=True)]
    total = float(parts.above.sum() / parts.below.sum()) if values.size else math.nan
    ends = (across.low, max(parts.at.max(initial=0.0), across.low))
    mean = [Line([(end, total) for end in ends], "mean")] if values.size else []
    warm_up_ms = results.scenario.horizon.warm_up if are_batches(results) else 0.0
    shade = [Stretch(0.0, warm_up_ms, "warm-up, not measured")] if warm_up_ms else []
    spread = f" between {percent(values.min())} and {percent(values.max())}" if values.size else ""
    name = results.streams[stream]
    return Panel(
        name,
        f"{name}: {followed_measure(results)}, part by part",
        f"{len(points)} parts{spread}; over all {percent(total)}.",
        across,
        upward,
        [*shade, *mean, Dots(points, [percent(value) for value in values])],
    )


def moment_panels(results: Results) -> list[Panel]:
    """What was seen at the moments asked for: means over the runs with 95 % intervals."""
    if not results.scenario.horizon.moments or results.runs == 0:
        return []
    panels = [
        _moment_panel(results, "Contacts that wait", {"": _WAITING}, "number"),
        _moment_panel(
            results,
            "Agents signed in (solid) and busy (dashed)",
            {"signed in": _SIGNED_IN, "busy": _BUSY},
            "number",
        ),
    ]
    if results.scenario.horizon.probe is not None:
        title = "Wait of a contact that comes just then"
        panels.append(_moment_panel(results, title, {"": _PROBE_WAIT}, "time"))
    return panels


class Seen(NamedTuple):
    """What was seen at a moment: mean over runs and half of its interval."""

    at_ms: float
    mean: float
    half: float


def seen_at_moments(results: Results, column: int) -> list[Seen]:
    """A column of what was seen, moment by moment; probes that were never answered left out."""
    return list(_seen(results, column))


def _seen(results: Results, column: int) -> Iterator[Seen]:
    seen = results.seen[: results.runs, :, column].astype(float)
    for place, at_ms in enumerate(results.scenario.horizon.moments):
        values = seen[:, place]
        if column == _PROBE_WAIT:
            values = values[values >= 0]
        mean = float(values.mean()) if values.size else math.nan
        half = math.nan
        if values.size > 1:
            error = float(values.std(ddof=1)) / math.sqrt(values.size)
            half = figures.t95(values.size - 1) * error
        yield Seen(at_ms, mean, half)


def _moment_panel(results: Results, title: str, columns: dict[str, int], unit: Unit) -> Panel:
    lines = {label: seen_at_moments(results, column) for label, column in columns.items()}
    known = [seen for line in lines.values() for seen in line if not math.isnan(seen.mean)]
    high = max((seen.mean + np.nan_to_num(seen.half) for seen in known), default=1.0)
    upward = time_axis(high) if unit == "time" else axis(max(high, 1.0), "{:g}".format)
    layers: list[Band | Line] = []
    for place, line in enumerate(lines.values()):
        layers += _mean_with_band(line, "line" if place == 0 else "line second")
    most = max(known, key=lambda seen: seen.mean, default=None)
    told = (
        f"Most at {duration_text(most.at_ms)}: {written_in_line(most.mean, most.half, unit)}."
        if most
        else "Nothing was seen."
    )
    across = time_axis(results.scenario.horizon.moments[-1])
    return Panel(title, title, told, across, upward, layers, (430.0, 210.0))


def _mean_with_band(line: Sequence[Seen], class_: str) -> list[Band | Line]:
    known = [seen for seen in line if not math.isnan(seen.mean)]
    sure = [seen for seen in known if not math.isnan(seen.half)]
    return [
        Band([(seen.at_ms, seen.mean - seen.half, seen.mean + seen.half) for seen in sure]),
        Line([(seen.at_ms, seen.mean) for seen in known], class_),
    ]
