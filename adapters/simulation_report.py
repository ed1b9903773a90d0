"""What a simulation found, as a table for people or JSON for programs."""

import math
from importlib.metadata import version
from typing import Final

import orjson
from rich.console import Console
from rich.table import Table

from engine.simulation.results import Estimate, Results

# Half of a 95 % interval, in standard errors.
_Z95: Final = 1.96
_UNIT_MS: Final = 1_000.0

# Measures of a stream: name, heading, unit of the table ("%", "s", or none).
_MEASURES: Final = (
    ("p_wait", "had to wait", "%"),
    ("p_abandon", "abandoned", "%"),
    ("p_block", "turned away", "%"),
    ("p_divert", "diverted", "%"),
    ("asa", "mean wait of answered", "s"),
    ("wait_all", "mean wait of all", "s"),
    ("lq", "waiting at a time", ""),
    ("handle_time", "handling and wrap-up", "s"),
)


def as_json(results: Results) -> bytes:
    """Every measure with its standard error; times in milliseconds."""
    scenario = results.scenario
    return orjson.dumps(
        {
            "scenario": scenario.name,
            "seed": scenario.seed,
            "engine": version("headgate"),
            "length_ms": scenario.horizon.length,
            "warm_up_ms": scenario.horizon.warm_up,
            "runs": results.runs,
            "parts": int(results.length_ms.size),
            "events": results.events,
            "streams": {
                name: _of_stream(results, row)
                for row, name in enumerate(results.streams)
                if name != scenario.horizon.probe
            },
            "groups": {
                name: {"occupancy": _plain(results.occupancy(row))}
                for row, name in enumerate(results.groups)
            },
        },
        option=orjson.OPT_INDENT_2,
    )


def print_table(results: Results, console: Console) -> None:
    """Streams and groups, each estimate with half of its 95 % interval."""
    scenario = results.scenario
    rows = [row for row, name in enumerate(results.streams) if name != scenario.horizon.probe]
    table = Table(title=f"{scenario.name}, seed {scenario.seed}", title_justify="left")
    table.add_column("")
    for row in rows:
        table.add_column(results.streams[row], justify="right")
    for place, within in enumerate(scenario.thresholds):
        served = [results.served_within(place, [row]) for row in rows]
        heading = f"answered within {within / 1_000:g} s"
        table.add_row(heading, *(_shown(estimate, "%") for estimate in served))
    for key, heading, unit in _MEASURES:
        found = [results.measure(key, [row]) for row in rows]
        table.add_row(heading, *(_shown(estimate, unit) for estimate in found))
    console.print(table)
    table = Table()
    table.add_column("group")
    table.add_column("occupancy", justify="right")
    for row, name in enumerate(results.groups):
        table.add_row(name, _shown(results.occupancy(row), "%"))
    console.print(table)
    hours = float(results.length_ms.sum()) / 3.6e6
    console.print(
        f"{results.runs} runs, {hours:,.0f} h measured, {results.events:,} events; "
        "± is half of a 95 % interval"
    )


def _of_stream(results: Results, row: int) -> dict[str, object]:
    found: dict[str, object] = {key: _plain(results.measure(key, [row])) for key, _, _ in _MEASURES}
    found["wait_p90_ms"] = _plain(results.wait_quantile_ms(0.9, [row]))
    found["answered_within"] = {
        f"{within:g}": _plain(results.served_within(place, [row]))
        for place, within in enumerate(results.scenario.thresholds)
    }
    return found


def _plain(estimate: Estimate) -> dict[str, float | None]:
    return {
        "value": None if math.isnan(estimate.value) else float(estimate.value),
        "standard_error": None if math.isnan(estimate.error) else float(estimate.error),
    }


def _shown(estimate: Estimate, unit: str) -> str:
    if math.isnan(estimate.value):
        return "-"
    factor = {"%": 100.0, "s": 1.0 / _UNIT_MS, "": 1.0}[unit]
    value = f"{estimate.value * factor:.2f}"
    if math.isnan(estimate.error):
        return f"{value} {unit}".rstrip()
    return f"{value} ± {_Z95 * estimate.error * factor:.2f} {unit}".rstrip()
