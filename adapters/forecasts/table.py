"""A queue's next hours as tables for a terminal."""

from collections.abc import Iterator
from datetime import tzinfo

from rich.console import Console
from rich.table import Table

from adapters.forecasts.asking import QueueTold
from adapters.forecasts.words import (
    ahead_text,
    busyness_name,
    method_name,
    moment,
    number,
    optional_percent,
    percent,
)
from headgate.v1 import telemetry_pb2 as told


def print_queue(queue: QueueTold, zone: tzinfo | None, console: Console) -> None:
    """Now, ahead, and how good that has been."""
    for line in now_lines(queue):
        console.print(line, highlight=False)
    console.print(_steps_table(queue.forecast, zone))
    if any(item.forecasts for item in queue.accuracy.forecasts):
        console.print(_accuracy_table(queue.accuracy))


def now_lines(queue: QueueTold) -> Iterator[str]:
    """What is sensed now, in sentences."""
    outlook, forecast = queue.outlook, queue.forecast
    yield f"{outlook.queue_id}: {busyness_name(outlook.busyness)}"
    if outlook.telemetry_age_ms < 0:
        yield "no reading has come yet"
    elif outlook.is_stale:
        yield f"the last reading is {outlook.telemetry_age_ms / 1_000:,.0f} s old: too old"
    if outlook.HasField("load_ratio"):
        agents = number(outlook.agents_expected)
        load = percent(outlook.load_ratio)
        yield f"load {load} of the {agents} agents expected over the next half hour"
    risks = [
        f"{percent(item.risk)} in {ahead_text(item.ahead_ms)}" for item in outlook.breach_risks
    ]
    if risks:
        yield f"risk that who comes waits too long: {', '.join(risks)}"
    if outlook.HasField("service_level_projected"):
        miss = optional_percent(outlook, "service_level_miss")
        level = percent(outlook.service_level_projected)
        yield f"the running half hour heads for a service level of {level}; missed with {miss}"
    if outlook.anomalies:
        count = len(outlook.anomalies)
        yield f"{count} anomal{'ies last' if count > 1 else 'y lasts'}"
    days = forecast.days_learned
    yield f"learned from {days:,} days" if days else "no day learned from yet: the mean so far"


def _steps_table(forecast: told.QueueForecast, zone: tzinfo | None) -> Table:
    steps = forecast.steps
    clock = f"{moment(steps[0].begins_at_ms, zone):%Z}" if steps else ""
    table = Table(title=f"Contacts, {clock}", title_justify="left")
    for heading in ("from", "forecast", "80 %", "95 %"):
        table.add_column(heading, justify="right")
    day = ""
    for step in steps:
        begins = moment(step.begins_at_ms, zone)
        date = f"{begins:%a %d %b}"
        table.add_row(
            f"{date} {begins:%H:%M}" if date != day else f"{begins:%H:%M}",
            number(step.mean),
            f"{step.p10:,.0f} – {step.p90:,.0f}",
            f"{step.p2_5:,.0f} – {step.p97_5:,.0f}",
        )
        day = date
    return table


def _accuracy_table(accuracy: told.QueueAccuracy) -> Table:
    table = Table(title="How good five-minute forecasts have been", title_justify="left")
    headings = ("ahead", "WAPE", "chance alone", "bias", "in 80 %", "in 95 %", "method")
    for heading in headings:
        table.add_column(heading, justify="right")
    for item in accuracy.forecasts:
        table.add_row(
            ahead_text(item.ahead_ms),
            *(
                optional_percent(item, field)
                for field in ("wape", "floor", "bias", "within_80", "within_95")
            ),
            method_name(item.method),
        )
    return table
