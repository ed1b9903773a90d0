"""`headgate simulate`: from a file to a report."""

import signal
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from adapters.exit_code import ExitCode
from adapters.scenario_file import read_scenario
from adapters.simulation_page.page import Making, as_html
from adapters.simulation_report import as_json, print_table
from adapters.standard_output import not_written
from engine.simulation.checking import ScenarioRefused
from engine.simulation.results import Results
from engine.simulation.scenario import Scenario
from engine.simulation.simulator import run


def simulate_file(path: Path, replications: int | None, seed: int | None, output: str) -> int:
    """
    Simulate what a file describes and print what was found; returns the exit code.

    Call `use_kernel_cache` before this module is imported.
    """
    if output == "html" and sys.stdout.isatty():
        click.echo(
            "headgate: --output html writes a page: send it to a file with > report.html", err=True
        )
        return int(ExitCode.SETTINGS)
    try:
        scenario = _overridden(read_scenario(path), replications, seed)
        begun_s = time.perf_counter()
        results = _run(scenario)
    except (ScenarioRefused, OSError) as refused:
        for line in str(refused).splitlines():
            click.echo(f"headgate: {path}: {line}", err=True)
        return int(ExitCode.SETTINGS)
    making = Making(path, datetime.now(UTC), time.perf_counter() - begun_s)
    try:
        _write(results, making, output)
    except OSError as error:
        return not_written(error, "the report")
    return 0


def _write(results: Results, making: Making, output: str) -> None:
    match output:
        case "json":
            sys.stdout.buffer.write(as_json(results) + b"\n")
        case "html":
            sys.stdout.buffer.write(as_html(results, making))
        case _:
            print_table(results, Console())
    sys.stdout.flush()


def _overridden(scenario: Scenario, replications: int | None, seed: int | None) -> Scenario:
    """The scenario with what the command line says instead."""
    if replications is not None:
        horizon = scenario.horizon.model_copy(update={"replications": replications})
        scenario = scenario.model_copy(update={"horizon": horizon})
    if seed is not None:
        scenario = scenario.model_copy(update={"seed": seed})
    return scenario


def _run(scenario: Scenario) -> Results:
    """Run with a bar on standard error; after Ctrl-C the runs that have ended are reported."""
    columns = (TextColumn("simulating"), BarColumn(), TimeRemainingColumn())
    is_stopped = threading.Event()
    before = signal.signal(signal.SIGINT, lambda _number, _frame: is_stopped.set())
    try:
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("", total=1.0)

            def on_progress(share: float) -> bool:
                progress.update(task, completed=share)
                return not is_stopped.is_set()

            return run(scenario, on_progress)
    finally:
        signal.signal(signal.SIGINT, before)
