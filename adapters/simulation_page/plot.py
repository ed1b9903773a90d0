"""
Plots as inline SVG: an axis, and marks on it, in a general form.

Lengths are in units of the view box: pixels, where a plot is shown at its own size. Colours and
fonts are the style sheet's, by class. Every plot has a title and a description for those who do
not see it.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from adapters.simulation_page.markup import Markup, element, joined

Point = tuple[float, float]

_STEPS: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
# Steps of time in milliseconds, so that ticks are round in the units that are read.
_TIME_STEPS_MS: Final = tuple(
    unit * count
    for unit, counts in (
        (1e3, (0.001, 0.01, 0.1, 1, 2, 5, 10, 15, 20, 30)),
        (60e3, (1, 2, 5, 10, 15, 20, 30)),
        (3_600e3, (1, 2, 3, 4, 6, 12)),
        (86_400e3, (1, 2, 5, 7, 14, 28, 56, 100)),
    )
    for count in counts
)


class Frame(NamedTuple):
    """Where marks go within a plot."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Axis:
    """
    A linear scale.

    Attributes
    ----------
    low, high
        Values at its ends, low < high.
    ticks
        Values that are marked, ascending.
    shown
        What is written at a tick.
    """

    low: float
    high: float
    ticks: Sequence[float]
    shown: Callable[[float], str]

    def place(self, value: float, first: float, last: float) -> float:
        """Where a value lies between two places; values beyond the ends lie at the ends."""
        share = (value - self.low) / (self.high - self.low)
        return first + min(max(share, 0.0), 1.0) * (last - first)


def axis(high: float, shown: Callable[[float], str], low: float = 0.0, ticks_max: int = 5) -> Axis:
    """An axis between round numbers that hold `low` and `high`, low < high."""
    rough = (high - low) / ticks_max
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * part for part in _STEPS if power * part >= rough * (1 - 1e-9))
    return _in_steps(step, low, high, shown)


def time_axis(high_ms: float, ticks_max: int = 5) -> Axis:
    """An axis of times from 0 on, milliseconds, marked in the unit that suits its end."""
    rough = max(high_ms, 1.0) / ticks_max
    step = next((step for step in _TIME_STEPS_MS if step >= rough * (1 - 1e-9)), rough)
    size, sign = next(
        (size, sign)
        for least, size, sign in (
            (432_000e3, 86_400e3, "d"), (7_200e3, 3_600e3, "h"), (120e3, 60e3, "min"),
            (1e3, 1e3, "s"), (0.0, 1.0, "ms"),
        )
        if high_ms >= least
    )  # fmt: skip
    return _in_steps(step, 0.0, high_ms, lambda value: f"{value / size:g} {sign}")


def _in_steps(step: float, low: float, high: float, shown: Callable[[float], str]) -> Axis:
    first = math.floor(low / step + 1e-9)
    last = max(math.ceil(high / step - 1e-9), first + 1)
    ticks = [step * place for place in range(first, last + 1)]
    return Axis(ticks[0], ticks[-1], ticks, shown)


def percent_axis(low: float = 0.0, high: float = 1.0) -> Axis:
    """An axis of shares, written in percent; from 0 on unless all of them are above a half."""
    return axis(high, lambda value: f"{value * 100:g} %", low if low > 0.5 else 0.0)


class Mark(NamedTuple):
    """
    An estimate in a row.

    Attributes
    ----------
    label
        What it is, beside the axis; may be "".
    value, half
        Where it lies, and half of its interval, nan for none.
    text
        The same in words, at the end of the line.
    """

    label: str
    value: float
    half: float
    text: str


class Row(NamedTuple):
    """Marks of one subject, which stands above them."""

    subject: str
    marks: Sequence[Mark]


_ROWS_WIDTH: Final = 820.0
_SUBJECT_HEIGHT: Final = 30.0
_MARK_HEIGHT: Final = 22.0
_SUBJECT_LENGTH: Final = 90


def row_plot(
    title: str, description: str, across: Axis, rows: Sequence[Row], form: Literal["dot", "bar"]
) -> Markup:
    """Estimates with their intervals, one below the other, on one axis."""
    frame = Frame(left=84.0, top=0.0, right=_ROWS_WIDTH - 140.0, bottom=0.0)
    drawn = []
    for row in rows:
        # The grid spares the subject, which may be long.
        top = frame.bottom + _SUBJECT_HEIGHT
        frame = frame._replace(top=top, bottom=top + _MARK_HEIGHT * len(row.marks))
        drawn += [element("text", _shortened(row.subject), x=0, y=top - 7, class_="subject")]
        drawn += [_grid_across(across, frame)]
        for place, mark in enumerate(row.marks):
            drawn.append(_mark(mark, across, frame, top + _MARK_HEIGHT * (place + 0.5), form))
    drawn.append(_ticks_across(across, frame))
    return figure_of(title, description, (_ROWS_WIDTH, frame.bottom + 26), drawn)


def _shortened(subject: str) -> str:
    """SVG does not break lines; the description and the tables have the whole."""
    return subject if len(subject) <= _SUBJECT_LENGTH else f"{subject[: _SUBJECT_LENGTH - 1]}…"


def _mark(mark: Mark, across: Axis, frame: Frame, y: float, form: Literal["dot", "bar"]) -> Markup:
    def x(value: float) -> float:
        return across.place(value, frame.left, frame.right)

    drawn = [
        element("text", mark.label, x=frame.left - 10, y=y + 4, class_="end"),
        element("text", mark.text, x=_ROWS_WIDTH, y=y + 4, class_="value end"),
    ]
    if math.isnan(mark.value):
        return joined(*drawn)
    if form == "bar":
        width = x(mark.value) - frame.left
        drawn.append(element("rect", x=frame.left, y=y - 7, width=width, height=14, class_="bar"))
    if not math.isnan(mark.half):
        drawn.append(_whisker(x(mark.value - mark.half), x(mark.value + mark.half), y))
    if form == "dot":
        drawn.append(element("circle", cx=x(mark.value), cy=y, r=4.5, class_="dot"))
    return joined(*drawn)


def _whisker(left: float, right: float, y: float) -> Markup:
    path = f"M{left:.2f} {y - 5:.2f}v10m0 -5H{right:.2f}m0 -5v10"
    return element("path", d=path, class_="whisker")


class Line(NamedTuple):
    """Points that are joined; `class_` tells lines of a plot apart."""

    points: Sequence[Point]
    class_: str = "line"


class Dots(NamedTuple):
    """Points that are not joined, each with what is shown over it."""

    points: Sequence[Point]
    texts: Sequence[str]


class Band(NamedTuple):
    """Between two lines: (across, low, high)."""

    points: Sequence[tuple[float, float, float]]
    class_: str = "band"


class Limit(NamedTuple):
    """A value across that is marked from top to bottom."""

    at: float


class Stretch(NamedTuple):
    """Values across that are shaded from top to bottom."""

    begin: float
    end: float
    label: str


Layer = Line | Dots | Band | Limit | Stretch


@dataclass(frozen=True, slots=True)
class Panel:
    """
    A small plot of something over something.

    Attributes
    ----------
    heading
        Stands above it.
    title, description
        For those who do not see it.
    layers
        Drawn in this order.
    """

    heading: str
    title: str
    description: str
    across: Axis
    upward: Axis
    layers: Sequence[Layer]
    size: tuple[float, float] = field(default=(300.0, 170.0))


def panel_plot(panel: Panel) -> Markup:
    """A panel as SVG."""
    width, height = panel.size
    frame = Frame(left=52.0, top=8.0, right=width - 20.0, bottom=height - 26.0)
    drawn = [_grid_across(panel.across, frame), _grid_upward(panel.upward, frame)]
    drawn.append(_ticks_across(panel.across, frame))
    drawn += [_layer(layer, panel, frame) for layer in panel.layers]
    return figure_of(panel.title, panel.description, panel.size, drawn)


def _layer(layer: Layer, panel: Panel, frame: Frame) -> Markup:
    def x(value: float) -> float:
        return panel.across.place(value, frame.left, frame.right)

    def y(value: float) -> float:
        return panel.upward.place(value, frame.bottom, frame.top)

    match layer:
        case Line(points, class_):
            return element("path", d=_path([(x(a), y(b)) for a, b in points]), class_=class_)
        case Band(points, class_):
            there = [(x(a), y(high)) for a, _, high in points]
            back = [(x(a), y(low)) for a, low, _ in reversed(points)]
            return element("path", d=_path(there + back) + "Z", class_=class_)
        case Dots(points, texts):
            return joined(
                *(
                    element("circle", element("title", text), cx=x(a), cy=y(b), r=2.6, class_="dot")
                    for (a, b), text in zip(points, texts, strict=True)
                )
            )
        case Limit(at):
            line = f"M{x(at):.2f} {frame.top:.2f}V{frame.bottom:.2f}"
            return element("path", d=line, class_="limit")
        case Stretch(begin, end, label):
            width = x(end) - x(begin)
            height = frame.bottom - frame.top
            return element(
                "rect", element("title", label), x=x(begin), y=frame.top, width=width,
                height=height, class_="stretch",
            )  # fmt: skip


def _path(points: Sequence[Point]) -> str:
    steps = " ".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f"M{steps}" if points else "M0 0"


def _grid_across(across: Axis, frame: Frame) -> Markup:
    places = [across.place(tick, frame.left, frame.right) for tick in across.ticks]
    lines = (f"M{x:.2f} {frame.top:.2f}V{frame.bottom:.2f}" for x in places)
    return element("path", d="".join(lines), class_="grid")


def _ticks_across(across: Axis, frame: Frame) -> Markup:
    drawn = []
    for tick in across.ticks:
        x = across.place(tick, frame.left, frame.right)
        text = across.shown(tick)
        drawn.append(element("text", text, x=x, y=frame.bottom + 17, class_="middle"))
    return joined(*drawn)


def _grid_upward(upward: Axis, frame: Frame) -> Markup:
    drawn = []
    for tick in upward.ticks:
        y = upward.place(tick, frame.bottom, frame.top)
        line = f"M{frame.left:.2f} {y:.2f}H{frame.right:.2f}"
        drawn.append(element("path", d=line, class_="grid"))
        drawn.append(element("text", upward.shown(tick), x=frame.left - 7, y=y + 4, class_="end"))
    return joined(*drawn)


def figure_of(
    title: str, description: str, size: tuple[float, float], drawn: Sequence[Markup]
) -> Markup:
    """SVG of a size, named by its title and described for those who do not see it."""
    width, height = size
    # Names within the page: the same text may stand in another plot's title, never in both.
    name = "plot-" + hashlib.sha256(f"{title}\n{description}".encode()).hexdigest()[:12]
    return element(
        "svg",
        element("title", title, id=f"{name}-title"),
        element("desc", description, id=f"{name}-description"),
        *drawn,
        viewBox=f"0 0 {width:g} {height:g}",
        width=width,
        height=height,
        role="img",
        aria_labelledby=f"{name}-title {name}-description",
    )
