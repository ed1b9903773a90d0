"""What a simulation found, as a table for people or JSON for programs."""

import math
from importlib.metadata import version

import orjson
from rich.console import Console
from rich.table import Table

from adapters.simulation_figures import (
    FIGURES,
    Unit,
    counts,
    duration_text,
    estimates,
    half_width,
    service_levels,
    written_in_line,
)
from engine.simulation.results import Estimate, Results


def as_json(results: Results) -> bytes:
    """Every count, and every measure with its standard error; times in milliseconds."""
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
                results.streams[row]: _of_stream(results, row) for row in results.real_streams()
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
    rows = results.real_streams()
    table = Table(title=f"{scenario.name}, seed {scenario.seed}", title_justify="left")
    table.add_column("")
    for row in rows:
        table.add_column(results.streams[row], justify="right")
    served = [service_levels(results, [row]) for row in rows]
    for place, within_ms in enumerate(scenario.thresholds):
        found = [_shown(results, levels[place], "share") for levels in served]
        table.add_row(f"answered within {duration_text(within_ms)}", *found)
    measured = [estimates(results, [row]) for row in rows]
    for figure in FIGURES:
        found = [_shown(results, of_stream[figure.key], figure.unit) for of_stream in measured]
        table.add_row(figure.heading, *found)
    console.print(table)
    table = Table()
    table.add_column("group")
    table.add_column("occupancy", justify="right")
    for row, name in enumerate(results.groups):
        table.add_row(name, _shown(results, results.occupancy(row), "share"))
    console.print(table)
    hours = float(results.length_ms.sum()) / 3.6e6
    console.print(
        f"{results.runs} run{'' if results.runs == 1 else 's'}, {hours:,.0f} h measured, "
        f"{results.events:,} events; "
        "± is half of a 95 % interval"
    )


def _of_stream(results: Results, row: int) -> dict[str, object]:
    found: dict[str, object] = {"contacts": counts(results, row)}
    found |= {key: _plain(estimate) for key, estimate in estimates(results, [row]).items()}
    found["answered_within"] = {
        f"{within_ms:g}": _plain(estimate)
        for within_ms, estimate in zip(
            results.scenario.thresholds, service_levels(results, [row]), strict=True
        )
    }
    found["answered_by"] = {
        name: _plain(results.share_by(row, group)) for group, name in enumerate(results.groups)
    }
    return found


def _plain(estimate: Estimate) -> dict[str, float | None]:
    return {
        "value": None if math.isnan(estimate.value) else float(estimate.value),
        "standard_error": None if math.isnan(estimate.error) else float(estimate.error),
    }


def _shown(results: Results, estimate: Estimate, unit: Unit) -> str:
    return written_in_line(estimate.value, half_width(results, estimate), unit)
