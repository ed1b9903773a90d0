"""The two days side by side, and what to make of them."""

from collections.abc import Iterable
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.table import Table

from deploy.examples.bank_day.bank_day import TYPES
from deploy.examples.bank_day.compressed_time import Compression, clock_text
from deploy.examples.bank_day.queues import (
    OFFER_TIMEOUT_MS_MIN,
    OFFER_TIMEOUT_S,
    RING_S,
    WRAP_UP_S,
)
from deploy.examples.bank_day.tally import DayFigures, TypeFigures, Window
from headgate.v1.queue_pb2 import QueueSnapshot

# Delays of this machine that are less than this at the bank do not change the picture.
LAG_S_MIN: Final = 5.0
WHY_THEY_DIFFER: Final = (
    "Why the two days differ: the bank's routing rules, breaks and wrap-up are not in its log, so "
    "the engine routes by skills measured over seven months, gives priority 2 the documented 1.5 "
    f"minutes of credit, and meets breaks inferred from the log, {RING_S} s of ringing, "
    f"{WRAP_UP_S} s of wrap-up and, where it answers later than the bank did, patience drawn from "
    "the day's own curve."
)
HEADINGS: Final = (
    "offered", "answered", "abandoned", "mean wait", "in 20 s", "in 60 s", "occupancy",
)  # fmt: skip
NEXT_STEPS: Final = (
    "Play again, and meanwhile open the /metrics address printed at the start.",
    "See the whole day in two minutes: --speed 600.",
    "Add a surge of calls: --from 13:00 --until 15:00 --surge 14:00 --report sensed.html.",
    "See what a policy does to it: add --policy deploy/examples/bank_day/relief.yaml.",
    "Route a contact of your own: start `headgate serve` and run the Python example in README.md.",
)


def comparison_table(title: str, bank: DayFigures, engine: DayFigures) -> Table:
    """Two rows per type and two for all: the bank's day and the engine's."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=0, pad_edge=False)
    table.add_column("queue", no_wrap=True)
    table.add_column("day", no_wrap=True)
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    last = list(TYPES)[-1]
    for name in TYPES:
        table.add_row(name, "bank", *cells_of(bank, bank.by_type[name]))
        table.add_row(
            "", "engine", *cells_of(engine, engine.by_type[name]), end_section=name == last
        )
    table.add_row("all", "bank", *cells_of(bank, bank.total), style="bold")
    table.add_row("", "engine", *cells_of(engine, engine.total), style="bold")
    return table


def remarks(
    window: Window, opened_s: int, compression: Compression, engine: DayFigures, reply_p99_ms: float
) -> list[str]:
    """What to know when reading the table; all but the first only where they apply."""
    lines = [WHY_THEY_DIFFER]
    if window.from_s > opened_s:
        lines.append(
            f"The engine's floor began empty at {clock_text(window.from_s)}; "
            "the bank's had calls in hand and waiting."
        )
    if compression.engine_ms(OFFER_TIMEOUT_S) < OFFER_TIMEOUT_MS_MIN:
        lines.append(f"At {compression.speed:g}× offers ring longer than {OFFER_TIMEOUT_S} s.")
    lag_s = compression.day_s(reply_p99_ms)
    if lag_s >= LAG_S_MIN:
        lines.append(
            f"One reply in a hundred took {reply_p99_ms:.0f} ms or more, which is {lag_s:.0f} s at "
            "the bank: the engine's waits are longer by such delays, and a lower --speed or an "
            "idler machine makes the days comparable."
        )
    if engine.total.expired:
        lines.append(f"{engine.total.expired} contacts reached the longest wait and expired.")
    return lines


def count_differences(engine: DayFigures, snapshots: Iterable[QueueSnapshot]) -> list[str]:
    """Where the engine's own counts differ from what this gateway saw: nowhere, we hope."""
    differences = []
    for snapshot in snapshots:
        seen = engine.by_type.get(snapshot.queue_id, TypeFigures())
        for word, own, counted in (
            ("offered", snapshot.received_total, seen.offered),
            ("answered", snapshot.answered_total, seen.answered),
            ("abandoned", snapshot.abandoned_total, seen.abandoned),
        ):
            if own != counted:
                differences.append(
                    f"{snapshot.queue_id}: the engine counted {own} {word}, the gateway {counted}"
                )
    return differences


def cells_of(day: DayFigures, figures: TypeFigures) -> tuple[str, ...]:
    """A row of figures under `HEADINGS`."""
    mean_wait_s = figures.mean_wait_s
    return (
        str(figures.offered),
        str(figures.answered),
        f"{figures.abandoned} ({_percent(figures.abandoned_ratio)})",
        "–" if mean_wait_s is None else f"{mean_wait_s:.0f} s",
        _percent(figures.service_level(20)),
        _percent(figures.service_level(60)),
        _percent(day.occupancy(figures)),
    )


def _percent(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.0%}"
