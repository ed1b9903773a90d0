"""Two plays of a window side by side: without a policy and with one."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from deploy.examples.bank_day.bank_day import TYPES, BankDay
from deploy.examples.bank_day.callers import ACCEPTED_RATIO
from deploy.examples.bank_day.comparison import HEADINGS, cells_of
from deploy.examples.bank_day.compressed_time import clock_text
from deploy.examples.bank_day.options import Options
from deploy.examples.bank_day.past import Weeks
from deploy.examples.bank_day.surge import SURGE_S
from deploy.examples.bank_day.tally import Window
from deploy.examples.bank_day.twice import Playing, policies_of
from engine.state.activations import Activation
from engine.steering import Counted

_BAR: Final = "█"
_BAR_MAX: Final = 24
_COUNTS: Final = {
    Counted.ELIGIBLE: "eligible",
    Counted.OFFERED: "asked",
    Counted.ACCEPTED_CALLBACK: "to be called back",
    Counted.REFUSED: "would wait",
    Counted.OVERFLOWED: "moved",
    Counted.OPENED: "agents opened",
}


def show_twice(
    day: BankDay, weeks: Weeks | None, window: Window, options: Options, console: Console
) -> None:
    """
    Play a window without the policies of a file and with them, and show both.

    Raises
    ------
    BankDayError
        The file cannot be used.
    """
    assert options.policy is not None
    policies = policies_of(options.policy)
    hours = " to ".join(clock_text(at_s)[:5] for at_s in (window.from_s, window.until_s))
    say = partial(console.print, markup=False, highlight=False, soft_wrap=not console.is_terminal)
    say(f"Playing {day.day:%A} {day.day} of a bank's call centre, {hours}, twice, not live: "
        f"without {options.policy} and with it.")  # fmt: skip
    plays = []
    for word, these in (("without", ()), ("with", policies)):
        with console.status(f"Playing {word} policies …"):
            playing = Playing(day, weeks, window, options.surge_s, these)
            playing.run()
            plays.append(playing)
    without, beside = plays
    title = f"Without the policy and with it: {day.day}, {hours}"
    console.print(figures_table(title, without, beside))
    console.print(waiting_table(without, beside, options.surge_s, window.until_s))
    for line in told_of(beside):
        say(line)
    say(f"The forecast began with {without.began_with}.")


def figures_table(title: str, without: Playing, beside: Playing) -> Table:
    """Two rows per type and two for all."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=0, pad_edge=False)
    table.add_column("queue", no_wrap=True)
    table.add_column("policy", no_wrap=True)
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    days = without.floor.figures, beside.floor.figures
    last = list(TYPES)[-1]
    for name in TYPES:
        for word, day in zip(("without", "with"), days, strict=True):
            is_last = (name, word) == (last, "with")
            label = name if word == "without" else ""
            table.add_row(label, word, *cells_of(day, day.by_type[name]), end_section=is_last)
    for word, day in zip(("without", "with"), days, strict=True):
        label = "all" if word == "without" else ""
        table.add_row(label, word, *cells_of(day, day.total), style="bold")
    return table


def waiting_table(without: Playing, beside: Playing, surge_s: int | None, until_s: int) -> Table:
    """How many waited every five minutes, drawn side by side; the surge is marked."""
    title = "Waiting on the line, without the policy and with it"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=0, pad_edge=False)
    table.add_column("at", no_wrap=True)
    table.add_column("", no_wrap=True)
    for heading in ("without", "with"):
        table.add_column(heading, no_wrap=True, min_width=_BAR_MAX + 5)
    pairs = [
        (one, other)
        for one, other in zip(without.moments, beside.moments, strict=False)
        if one.at_s <= until_s
    ]
    most = max((item.waiting for pair in pairs for item in pair), default=0)
    for one, other in pairs:
        is_surge = surge_s is not None and surge_s < one.at_s <= surge_s + SURGE_S
        bars = (_bar(item.waiting, most) for item in (one, other))
        table.add_row(clock_text(one.at_s)[:5], "surge" if is_surge else "", *bars)
    return table


def told_of(beside: Playing) -> list[str]:
    """What the policy did, activation by activation, and what became of those it asked."""
    activations = beside.engine.cell.activations.all()
    if not activations:
        return ["The policy never went on: nothing met its condition."]
    lines = [_activation(item) for item in sorted(activations, key=lambda item: item.began_ms)]
    callers = beside.callers
    called = callers.called_back_s
    if called:
        lines.append(
            f"{callers.asked} were asked, and {ACCEPTED_RATIO:.0%} would rather be called back: "
            f"{len(called)} were, after {_mean(called) / 60:.0f} min (mean). Above they are "
            "offered, neither answered nor abandoned."
        )
    return lines


def _activation(item: Activation) -> str:
    counted = ", ".join(
        f"{count} {_COUNTS[what]}" for what, count in sorted(item.counts.items()) if what in _COUNTS
    )
    read = ", ".join(f"{name} {value}" for name, value in item.signals)
    until = _clock(item.ended_ms) if item.ended_ms else "the end"
    subject = item.subject
    return (
        f"{subject.policy} was on for {subject.queue_id} from {_clock(item.began_ms)} to {until}"
        f" ({read}): {counted or 'nobody was eligible'}."
    )


def _clock(at_ms: int) -> str:
    """What the bank's clock shows is taken for UTC throughout."""
    return f"{datetime.fromtimestamp(at_ms / 1_000, UTC):%H:%M:%S}"


def _bar(waiting: int, most: int) -> str:
    return f"{waiting:4} {_BAR * round(_BAR_MAX * waiting / max(most, 1))}"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
