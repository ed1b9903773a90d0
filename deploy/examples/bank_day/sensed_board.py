"""What is sensed, on the board and in the end."""

import math
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.table import Table

from deploy.examples.bank_day.bank_day import TYPES
from deploy.examples.bank_day.compressed_time import clock_text
from deploy.examples.bank_day.sensed_day import QueueView, Record, View
from deploy.examples.bank_day.sensed_figures import (
    ForecastError,
    errors_of,
    others,
    pooled_brier,
    surge_text,
    told_text,
)

# More would push the board off the screen.
_ANOMALIES_SHOWN = 2
_NOTHING = "–"
WAPE_TEXT: Final = (
    "WAPE is the sum of what forecasts were off by over the contacts that came; a forecast that "
    "knew the true rate would still be off by what chance leaves."
)


def sensed_table(view: View) -> Table:
    """A row per queue: how busy, forecast beside count, risk, where the half hour is heading."""
    table = Table(box=SIMPLE_HEAD, padding=0, pad_edge=False)
    table.add_column("queue", no_wrap=True)
    table.add_column("busyness", no_wrap=True)
    for heading in ("came in\nlast 30 min", "forecast\nnext 30 min", "breach risk\nin 15 min",
                    "half hour\nheads for"):  # fmt: skip
        table.add_column(heading, justify="right")
    for name, queue in view.queues.items():
        table.add_row(name, *_cells(queue))
    return table


def anomaly_lines(view: View) -> list[str]:
    """A line per anomaly that lasts, or one that says there is none."""
    if not view.anomalies:
        return ["no anomaly"]
    more = len(view.anomalies) - _ANOMALIES_SHOWN
    return [*view.anomalies[:_ANOMALIES_SHOWN], *([f"and {more} more"] if more > 0 else [])]


def sensed_line(view: View) -> str:
    """The same in one line."""
    queues = [
        f"{name} {queue.busyness}, {queue.came} came in 30 min, "
        f"{_number(queue.forecast)} forecast, risk {_percent(queue.risk)}, "
        f"half hour {_percent(queue.service_level)}"
        for name, queue in view.queues.items()
    ]
    return f"sensed {clock_text(view.at_s)} " + "; ".join([*queues, *anomaly_lines(view)])


def accuracy_table(record: Record) -> Table:
    """Per queue: forecasts against what came, what chance alone leaves, and the risks' score."""
    table = Table(
        title="Sensed: forecasts as issued against what came",
        title_justify="left", box=SIMPLE_HEAD, padding=0, pad_edge=False,
    )  # fmt: skip
    table.add_column("queue", no_wrap=True)
    for heading in ("forecast\n5 min", "came\n5 min", "WAPE", "chance\nleaves", "forecast\n30 min",
                    "came\n30 min", "WAPE", "chance\nleaves", "Brier\n15 min"):  # fmt: skip
        table.add_column(heading, justify="right", no_wrap=True)
    for name, brier in zip(TYPES, record.brier.tolist(), strict=True):
        five, thirty = errors_of(record, name)
        score = _NOTHING if math.isnan(brier) else f"{brier:.3f}"
        table.add_row(name, *_error_cells(five), *_error_cells(thirty), score)
    return table


def sensed_remarks(record: Record, surge_s: int | None, added: int) -> list[str]:
    """What to know of the table, and what became of the surge and of other anomalies."""
    brier = pooled_brier(record)
    score = "no outcome yet" if math.isnan(brier) else f"{brier:.3f}, all queues together"
    lines = [
        f"The forecast began with {record.began_with}. {WAPE_TEXT}",
        f"Brier score of the breach risks at 15 minutes: {score}. 0 is the best; a risk of one "
        "half whatever comes earns 0.25.",
    ]
    if surge_s is not None:
        lines.append(surge_text(record, surge_s, added))
    unexplained = others(record, surge_s)
    lines += [f"{clock_text(told.at_s)} {told_text(told)}" for told in unexplained]
    if not unexplained:
        lines.append("No other anomaly was told." if surge_s is not None else "No anomaly.")
    return lines


def _cells(queue: QueueView) -> tuple[str, ...]:
    return (
        queue.busyness,
        str(queue.came),
        _number(queue.forecast),
        _percent(queue.risk),
        _percent(queue.service_level),
    )


def _error_cells(error: ForecastError) -> tuple[str, ...]:
    means = (_number(error.forecast, 1), _number(error.came, 1))
    return (*means, _percent(error.wape), _percent(error.floor))


def _number(value: float, digits: int = 0) -> str:
    return _NOTHING if math.isnan(value) else f"{value:.{digits}f}"


def _percent(ratio: float) -> str:
    return _NOTHING if math.isnan(ratio) else f"{ratio:.0%}"
