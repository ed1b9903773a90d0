"""Tables of the page: every figure with half of its interval, and its full value for programs."""

import math
from collections.abc import Iterator, Sequence

from adapters import simulation_figures as figures
from adapters.simulation_figures import (
    COUNTS,
    FIGURES,
    Unit,
    duration_text,
    half_width,
    written,
    written_in_line,
)
from adapters.simulation_page.markup import Markup, element, unbroken
from adapters.simulation_page.plots import Seen
from adapters.simulation_page.table import Table, table_of
from engine.simulation.results import Estimate, Results


def service_table(results: Results) -> Markup:
    """How contacts were served, by stream."""
    thresholds = [
        f"answered in {unbroken(duration_text(within))}" for within in results.scenario.thresholds
    ]
    service = [figure for figure in FIGURES if figure.key in _SERVICE]
    rows = []
    for stream in results.real_streams():
        found = figures.estimates(results, [stream])
        levels = figures.service_levels(results, [stream])
        cells = [estimate_cell(results, level, "share") for level in levels]
        cells += [estimate_cell(results, found[figure.key], figure.unit) for figure in service]
        rows.append((results.streams[stream], cells))
    headings = [*thresholds, *(figure.heading for figure in service)]
    return table_of(Table("Service, by stream", "stream", headings, rows))


# Of FIGURES, those of a caller's lot; the others tell of the load.
_SERVICE = {"p_wait", "p_abandon", "asa", "wait_p90_ms"}
# What is left out of the table where there is none of it, by the count that tells.
_MAY_BE_NONE = {"p_block": "turned_away", "p_divert": "diverted"}


def load_table(results: Results) -> Markup:
    """What contacts ask of the floor, by stream."""
    shown = [
        figure
        for figure in FIGURES
        if figure.key not in _SERVICE and _MAY_BE_NONE.get(figure.key) not in absent(results)
    ]
    rows = []
    for stream in results.real_streams():
        found = figures.estimates(results, [stream])
        cells = [estimate_cell(results, found[figure.key], figure.unit) for figure in shown]
        rows.append((results.streams[stream], cells))
    headings = [figure.heading for figure in shown]
    return table_of(Table("Load, by stream", "stream", headings, rows))


def count_table(results: Results) -> Markup:
    """Contacts, by stream; what never happened is left out."""
    shown = [count for count in COUNTS if count.key not in absent(results)]
    rows = []
    for stream in results.real_streams():
        found = figures.counts(results, stream)
        cells = [
            element("td", f"{found[count.key]:,}", data_value=str(found[count.key]))
            for count in shown
        ]
        rows.append((results.streams[stream], cells))
    headings = [count.heading for count in shown]
    return table_of(Table("Contacts counted, by stream", "stream", headings, rows))


def absent(results: Results) -> set[str]:
    """Keys of COUNTS that no stream has any of; offered and answered are always told."""
    found = [figures.counts(results, stream) for stream in results.real_streams()]
    return {
        count.key
        for count in COUNTS
        if count.key not in {"offered", "answered"}
        and not any(of_stream[count.key] for of_stream in found)
    }


def answered_by_table(results: Results) -> Markup:
    """Which group answered what share of each stream."""
    rows = []
    for stream in results.real_streams():
        found = [results.share_by(stream, group) for group in range(len(results.groups))]
        cells = [estimate_cell(results, estimate, "share") for estimate in found]
        rows.append((results.streams[stream], cells))
    caption = "Answered by which group, of the contacts let in"
    return table_of(Table(caption, "stream", results.groups, rows))


def group_table(results: Results) -> Markup:
    """Staffing and occupancy, by group."""
    rows = []
    for group, name in enumerate(results.groups):
        steps = results.scenario.groups[name].steps_until(results.scenario.horizon.length)
        agents = sorted({step.agents for step in steps})
        staffing = f"{agents[0]}" if len(agents) == 1 else f"{agents[0]} to {agents[-1]}"
        cell = estimate_cell(results, results.occupancy(group), "share")
        rows.append((name, [element("td", staffing), cell]))
    return table_of(Table("Groups", "group", ["agents", "occupancy"], rows))


def moment_table(seen: Sequence[tuple[str, Unit, Sequence[Seen]]]) -> Markup:
    """What was seen at each moment, in columns of (heading, unit, moments)."""
    rows = []
    for place, first in enumerate(seen[0][2]):
        cells = []
        for _, unit, moments in seen:
            text = written_in_line(moments[place].mean, moments[place].half, unit)
            cells.append(element("td", text))
        rows.append((duration_text(first.at_ms), cells))
    headings = [heading for heading, _, _ in seen]
    return table_of(Table("Seen at each moment, means over the runs", "moment", headings, rows))


def estimate_cell(results: Results, estimate: Estimate, unit: Unit) -> Markup:
    """An estimate over half of its interval; attributes hold value and standard error in full."""
    half = half_width(results, estimate)
    text, width, sign = written(estimate.value, half, unit)
    shown = [f"{text} {sign}".rstrip()]
    if width:
        shown.append(element("small", f"± {width}"))
    return element("td", *shown, **dict(_in_full(estimate)))


def _in_full(estimate: Estimate) -> Iterator[tuple[str, str]]:
    for name, value in (("data_value", estimate.value), ("data_error", estimate.error)):
        if not math.isnan(value):
            yield name, repr(float(value))
