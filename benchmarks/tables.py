"""What a benchmark reports: tables of figures, and goals met or missed, as Markdown."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

# A spread below this share of the median is noise nobody needs to read.
_SPREAD_SHOWN: Final = 0.1


@dataclass(frozen=True, slots=True)
class Table:
    """
    One table of results.

    Attributes
    ----------
    title
        What was measured, with the unit where all figures share one.
    columns
        Heads.
    rows
        Cells as text, one per column.
    note
        What the reader must know to read it; "" for nothing.
    page
        File beside README.md that keeps it, where it is too long for that one.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    page: str = ""

    def markdown(self) -> str:
        """The table with its columns lined up."""
        widths = [
            max(len(row[place]) for row in (self.columns, *self.rows))
            for place in range(len(self.columns))
        ]
        lines = [_line(self.columns, widths), _line(["-" * width for width in widths], widths)]
        lines += [_line(row, widths) for row in self.rows]
        parts = [f"**{self.title}**", "\n".join(lines)]
        if self.note:
            parts.append(self.note)
        return "\n\n".join(parts)


@dataclass(slots=True)
class Goals:
    """Goals of design/architecture.md that a benchmark answers, and what it found."""

    rows: list[list[str]] = field(default_factory=list)

    def at_most(self, what: str, limit: float, found: Sequence[float], unit: str) -> None:
        """Add a goal that is met when the median found is no more than the limit."""
        median = statistics.median(found)
        self._add(what, f"≤ {_plain(limit)} {unit}", found, unit, median / limit)

    def at_least(self, what: str, limit: float, found: Sequence[float], unit: str) -> None:
        """Add a goal that is met when the median found is no less than the limit."""
        median = statistics.median(found)
        self._add(what, f"≥ {_plain(limit)} {unit}", found, unit, limit / median)

    def table(self) -> Table:
        """The goals as a table."""
        return Table("Goals", ("what", "goal", "measured", "met"), self.rows)

    def _add(
        self, what: str, goal: str, found: Sequence[float], unit: str, missed_by: float
    ) -> None:
        verdict = "yes" if missed_by <= 1 else f"no, by × {missed_by:.2f}"
        self.rows.append([what, goal, f"{figure(found)} {unit}", verdict])


def figure(values: Sequence[float], factor: float = 1.0) -> str:
    """Median of the rounds in three digits; lowest–highest beside it where they lie far apart."""
    scaled = [value * factor for value in values]
    median = statistics.median(scaled)
    low, high = min(scaled), max(scaled)
    if len(scaled) > 1 and high - low > _SPREAD_SHOWN * abs(median):
        return f"{_plain(median)} ({_plain(low)}–{_plain(high)})"
    return _plain(median)


def ratio(values: Sequence[float], baseline: Sequence[float]) -> list[float]:
    """Round by round, how often the baseline goes into the values."""
    return [value / base for value, base in zip(values, baseline, strict=True)]


def _plain(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return "| " + " | ".join(padded) + " |"
