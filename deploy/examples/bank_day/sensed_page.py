"""What was sensed of the day as a page: one file of HTML, without a script or a request."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from adapters.simulation_page.document import document, note, section
from adapters.simulation_page.markup import Markup, element
from adapters.simulation_page.plot import (
    Axis,
    Band,
    Layer,
    Limit,
    Line,
    Panel,
    Stretch,
    axis,
    panel_plot,
    percent_axis,
)
from adapters.simulation_page.table import Table, table_of
from deploy.examples.bank_day.bank_day import TYPES, BankDay
from deploy.examples.bank_day.compressed_time import clock_text
from deploy.examples.bank_day.sensed_board import WAPE_TEXT, sensed_remarks
from deploy.examples.bank_day.sensed_day import HALF_HOUR_S, Record
from deploy.examples.bank_day.sensed_figures import (
    ForecastError,
    Pair,
    errors_of,
    finding,
    largest,
    pairs,
    surge_text,
)
from deploy.examples.bank_day.surge import SURGE_S
from engine.forecasting.busyness import Busyness

_SIZE: Final = (900.0, 260.0)
_HEADINGS: Final = (
    "forecast, 5 min", "came", "WAPE", "chance leaves",
    "forecast, 30 min", "came", "WAPE", "chance leaves", "Brier, 15 min",
)  # fmt: skip
_NOTHING: Final = "–"
# Steps between ticks that suit a part of a day, seconds.
_TICKS_S: Final = (300, 600, 900, 1_800, 3_600, 7_200)
_TICKS_MAX: Final = 10


class SensedPage(NamedTuple):
    """
    What the page is of.

    Attributes
    ----------
    day, hours
        Which day, and which part of it was played.
    surge_s, added
        When a surge began, None for none; how many calls it added.
    """

    day: BankDay
    hours: str
    surge_s: int | None
    added: int


def as_html(record: Record, of: SensedPage) -> bytes:
    """The page, in UTF-8."""
    title = f"Sensed: {of.day.day:%A} {of.day.day}, {of.hours}"
    told = f"A bank's call centre. The forecast began with {record.began_with}."
    header = element("header", element("h1", title), element("p", told))
    return document(title, header, [_accuracy(record, of), _of_largest(record, of)])


def _accuracy(record: Record, of: SensedPage) -> Markup:
    rows = []
    for name, brier in zip(TYPES, record.brier.tolist(), strict=True):
        cells = [text for error in errors_of(record, name) for text in _cells(error)]
        cells.append(_NOTHING if math.isnan(brier) else f"{brier:.3f}")
        rows.append((f"{name} {TYPES[name]}", [element("td", text) for text in cells]))
    table = Table(
        "Forecasts as issued every five minutes, against what came", "queue", _HEADINGS, rows
    )
    remarks = sensed_remarks(record, of.surge_s, of.added)[1:]
    told = [element("p", line) for line in remarks]
    return section("How good it was", table_of(table), note(WAPE_TEXT), *told)


def _of_largest(record: Record, of: SensedPage) -> Markup:
    """Plots of the queue that most contacts came to."""
    row = largest(record)
    found = pairs(record, row, HALF_HOUR_S)
    name = list(TYPES)[row]
    heading = f"{name}, {TYPES[name]}, over the day"
    if len(found) < 2:
        short = "Too little of the day was played for a plot: half an hour of forecasts at least."
        return section(heading, note(short))
    across, marks = _day_axis(found), _marks(record, of)
    shown = [minute for minute in record.minutes if across.low <= minute.at_s <= across.high]
    risks = [(minute.at_s, float(minute.risk[row])) for minute in shown]
    grades = [(minute.at_s, float(minute.busyness[row])) for minute in shown]
    panels = (
        _forecast_panel(name, found, across, marks),
        _risk_panel(name, risks, across, marks),
        _busyness_panel(name, grades, across, marks),
    )
    text = "Shaded: the calls that were added; the dashed upright: when the surge was found."
    return section(heading, *([note(text)] if marks else []), *map(_figure, panels))


def _cells(error: ForecastError) -> list[str]:
    """Contacts with one digit, ratios in percent."""
    if math.isnan(error.came):
        return [_NOTHING] * 4
    return [
        f"{error.forecast:.1f}", f"{error.came:.1f}", f"{error.wape:.0%}", f"{error.floor:.0%}",
    ]  # fmt: skip


def _figure(told: tuple[Panel, str]) -> Markup:
    panel, text = told
    caption = element("figcaption", element("strong", panel.heading), note(text))
    return element("figure", caption, panel_plot(panel))


def _forecast_panel(
    name: str, found: Sequence[Pair], across: Axis, marks: Sequence[Layer]
) -> tuple[Panel, str]:
    row = list(TYPES).index(name)
    band, forecast, came = [], [], []
    for pair in found:
        ends_s = pair.issued.at_s + HALF_HOUR_S
        band.append((ends_s, float(pair.issued.low_30[row]), float(pair.issued.high_30[row])))
        forecast.append((ends_s, pair.forecast))
        came.append((ends_s, pair.came))
    highest = max([high for _, _, high in band] + [count for _, count in came] + [1.0])
    layers = (*marks, Band(band), Line(forecast), Line(came, "line second"))
    panel = Panel(
        heading=f"{name}: contacts of the half hour that ends then",
        title=f"{name}: forecast and count by half hour",
        description="The forecast as issued with its 80 % band, and what came.",
        across=across,
        upward=axis(highest, lambda value: f"{value:g}"),
        layers=layers,
        size=_SIZE,
    )
    inside = sum(
        low <= count <= high for (_, low, high), (_, count) in zip(band, came, strict=True)
    )
    return panel, (
        "Solid with its 80 % band: forecast as issued when the half hour began. Dashed: what came. "
        f"{inside} of {len(found)} counts lie within the band."
    )


def _risk_panel(
    name: str, told: Sequence[tuple[float, float]], across: Axis, marks: Sequence[Layer]
) -> tuple[Panel, str]:
    lines = [Line(points) for points in _unbroken(told)]
    panel = Panel(
        heading=f"{name}: breach risk at 15 minutes",
        title=f"{name}: breach risk over the day",
        description="The risk told each minute that who joins in 15 minutes waits too long.",
        across=across,
        upward=percent_axis(),
        layers=(*marks, *lines),
        size=_SIZE,
    )
    return panel, (
        "The probability that who joins 15 minutes later waits longer than the service-level time."
    )


def _busyness_panel(
    name: str, grades: Sequence[tuple[float, float]], across: Axis, marks: Sequence[Layer]
) -> tuple[Panel, str]:
    steps = [
        point
        for (at_s, grade), (next_s, _) in pairwise(grades)
        for point in ((at_s, grade), (next_s, grade))
    ]
    # Plots leave room for numbers: words are short.
    words = {float(grade): grade.name.lower() for grade in Busyness}
    words |= {float(Busyness.UNKNOWN): _NOTHING, float(Busyness.OVERLOADED): "over"}
    panel = Panel(
        heading=f"{name}: busyness",
        title=f"{name}: busyness over the day",
        description="The grade of each minute.",
        across=across,
        upward=Axis(0.0, max(words), sorted(words), lambda value: words[value]),
        layers=(*marks, Line(steps)),
        size=(_SIZE[0], 180.0),
    )
    return panel, ("The grade as each minute ends; over stands for overloaded, – for unknown.")


def _unbroken(points: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """Stretches of points whose values are known."""
    stretches: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if math.isnan(point[1]):
            stretches.append([])
        else:
            stretches[-1].append(point)
    return [stretch for stretch in stretches if len(stretch) > 1]


def _marks(record: Record, of: SensedPage) -> list[Layer]:
    """The surge, from its first to its last second, and when it was found."""
    if of.surge_s is None:
        return []
    label = surge_text(record, of.surge_s, of.added)
    found = finding(record, of.surge_s)
    stretch = Stretch(of.surge_s, of.surge_s + SURGE_S, label)
    return [stretch] if found is None else [stretch, Limit(found.at_s)]


def _day_axis(found: Sequence[Pair]) -> Axis:
    """The time over which forecasts were issued and could be compared."""
    low, high = found[0].issued.at_s, found[-1].issued.at_s + HALF_HOUR_S
    step = next((step for step in _TICKS_S if (high - low) / step <= _TICKS_MAX), _TICKS_S[-1])
    ticks = [float(at_s) for at_s in range(-(-low // step) * step, high + 1, step)]
    return Axis(low, high, ticks, lambda value: clock_text(value)[:5])
