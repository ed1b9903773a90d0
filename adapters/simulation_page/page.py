"""The page: from what a simulation found to one file of HTML, without a script or a request."""

import platform
import shlex
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

import yaml

from adapters import simulation_figures as figures
from adapters.simulation_figures import COUNTS, FIGURES, Unit, duration_text, listed
from adapters.simulation_page import plots, tables
from adapters.simulation_page.document import document, folded, note, section
from adapters.simulation_page.markup import Markup, element
from adapters.simulation_page.plot import Panel, panel_plot
from adapters.simulation_page.summary import summary, tiles
from adapters.simulation_page.table import definitions, fact_table
from adapters.simulation_report import as_json
from engine.simulation.results import Results
from engine.simulation.scenario import Scenario


class Making(NamedTuple):
    """
    How the results came about.

    Attributes
    ----------
    path
        File of the scenario.
    made_at
        When the simulation ended.
    took_s
        How long it took, seconds.
    """

    path: Path
    made_at: datetime
    took_s: float


def as_html(results: Results, making: Making) -> bytes:
    """The page, in UTF-8."""
    title = f"{results.scenario.name} – simulation"
    return document(title, _header(results, making), _sections(results, making))


def _header(results: Results, making: Making) -> Markup:
    made = f"{making.made_at:%Y-%m-%d %H:%M %Z}".rstrip()
    scenario = results.scenario
    told = f"Simulated from {making.path.name} with seed {scenario.seed}, {made}"
    return element("header", element("h1", scenario.name), element("p", told))


def _sections(results: Results, making: Making) -> list[Markup]:
    sections = [section("Summary", tiles(results), summary(results))]
    if results.runs:
        sections += [_streams(results), _waits(results), _groups(results)]
        sections += [_moments(results)] if results.scenario.horizon.moments else []
        sections += [_parts(results)] if results.parts > 1 else []
    return [*sections, _method(results), _reproduction(results, making)]


def _streams(results: Results) -> Markup:
    plot = [element("figure", plots.service_level_plot(results))]
    absent = [count.heading for count in COUNTS if count.key in tables.absent(results)]
    left_out = f" No contact was {listed(absent, 'or')}." if absent else ""
    return section(
        "Streams",
        *(plot if results.scenario.thresholds else []),
        note("± is half of a 95 % interval; plots show it as whiskers."),
        tables.service_table(results),
        tables.load_table(results),
        tables.count_table(results),
        note(f"Contacts are those of the time measured, over all runs.{left_out}"),
    )


def _waits(results: Results) -> Markup:
    marked = listed([duration_text(within) for within in results.scenario.thresholds], "and")
    text = (
        "Of every stream's answered contacts, the share that waited longer than so long. Those who "
        "abandoned are not among them, so this is kinder than the share answered in time."
    )
    text += f" Dashed lines mark {marked}." if marked else ""
    return section("Waits", element("p", text), _panels(plots.wait_panels(results)))


def _groups(results: Results) -> Markup:
    return section(
        "Groups",
        element("figure", plots.occupancy_plot(results)),
        tables.group_table(results),
        *([tables.answered_by_table(results)] if len(results.groups) > 1 else []),
    )


def _moments(results: Results) -> Markup:
    columns: list[tuple[str, int, Unit]] = [
        ("contacts waiting", 0, "number"),
        ("agents signed in", 2, "number"),
        ("agents busy", 3, "number"),
    ]
    if results.scenario.horizon.probe is not None:
        columns.append(("wait of who comes then", 4, "time"))
    seen = [
        (heading, unit, plots.seen_at_moments(results, column)) for heading, column, unit in columns
    ]
    text = "The floor at the moments asked for: means over the runs, with 95 % intervals shaded."
    return section(
        "Over time",
        element("p", text),
        _panels(plots.moment_panels(results), "panels broad"),
        folded("The same as a table", tables.moment_table(seen)),
    )


def _parts(results: Results) -> Markup:
    measured = results.parts
    if plots.are_batches(results):
        over = " over all runs" if results.runs > 1 else ""
        dots = (
            f"each batch{over}. Dots lie at the middle of their batch; what is shaded is warm-up. "
            "Dots that climb or fall together after it would mean that the floor had not settled, "
            "unless rates or staffing change by design."
        )
    else:
        each = "one run" if results.runs == measured else f"{results.runs / measured:.3g} runs"
        dots = f"each of {measured} parts: a dot is {each}, in order. Runs differ by so much."
    text = f"“{plots.followed_measure(results)}” in {dots}"
    dashed = note("The dashed line is all parts together.")
    return section(
        "From part to part", element("p", text), _panels(plots.part_panels(results)), dashed
    )


def _panels(panels: Sequence[Panel], class_: str = "panels") -> Markup:
    drawn = [
        element(
            "figure", element("figcaption", element("strong", panel.heading)), panel_plot(panel)
        )
        for panel in panels
    ]
    return element("div", *drawn, class_=class_)


_METHOD: Final = (
    "Every contact is routed by the compiled transitions that route in production; the simulator "
    "makes up only what surrounds them: callers, agents' habits and the clock.",
    "Every random number is computed from the seed, the run, the contact it belongs to and its "
    "purpose. "
    "So two scenarios with one seed see the same callers with the same patience and the same work "
    "(common random numbers), and a difference between their figures is mostly what was decided: "
    "to compare two scenarios, give them one seed and as many runs. It is then known better than "
    "the intervals of the two suggest.",
    "A run starts with an empty floor, unless the scenario says otherwise. The warm-up is not "
    "measured; what follows is cut into batches of equal length, and runs are repeated with draws "
    "of their own. Batches and runs are gathered into at most 100 parts.",
    "Every figure is a ratio of two sums over the parts, such as answered in time to let in. Its "
    "standard error is that of the ratio estimator, from the scatter of the parts. “±” is half of "
    "a 95 % interval: the standard error times the quantile of Student's t for the number of "
    "parts. Of a hundred such intervals about 95 hold what endless simulation would find. "
    "“± 0.00” at 0 % or 100 % says that nothing else was seen, not that nothing else can be.",
    "The intervals tell how well the scenario is known, not how well it fits the world: arrivals, "
    "handling times and patience are as the scenario has them.",
)


def _method(results: Results) -> Markup:
    meanings = [
        ("let in", "offered, and neither diverted nor turned away"),
        ("answered in …", "share of those let in that reached an agent within that time"),
        *((figure.heading, figure.meaning) for figure in FIGURES),
        *((count.heading, count.meaning) for count in COUNTS if count.key not in _TOLD_AS_FIGURES),
        ("occupancy", "time with a contact in hand, wrap-up included, of the time signed in"),
    ]
    return section(
        "Method",
        *(element("p", text) for text in _METHOD),
        element("h3", "What the words mean"),
        definitions(meanings),
    )


_TOLD_AS_FIGURES: Final = {"abandoned", "diverted", "turned_away"}


def _reproduction(results: Results, making: Making) -> Markup:
    scenario = results.scenario
    yaml_text = scenario_yaml(scenario)
    return section(
        "To reproduce",
        element("pre", element("code", reproducing_command(results, making.path))),
        fact_table("The run", _facts(results, making)),
        folded(
            "The scenario in full, durations in milliseconds",
            element("pre", element("code", yaml_text), tabindex="0"),
        ),
        folded(
            "Every figure in full, as JSON",
            element("pre", element("code", as_json(results).decode()), tabindex="0"),
        ),
    )


def reproducing_command(results: Results, path: Path) -> str:
    """The command that makes this page's figures again."""
    scenario = results.scenario
    words = ["headgate", "simulate", str(path), "--replications", str(max(results.runs, 1))]
    words += ["--seed", str(scenario.seed), "--output", "html"]
    return f"{shlex.join(words)} > report.html"


def scenario_yaml(scenario: Scenario) -> str:
    """A scenario with every default that applies, as a file that reads back as the same."""
    declared = scenario.model_dump(mode="json", exclude_none=True)
    text: str = yaml.safe_dump(
        _whole(declared), sort_keys=False, allow_unicode=True, default_flow_style=None, width=100
    )
    return text


def _whole(value: object) -> object:
    """The same with whole numbers written as such: 20000 reads better than 20000.0."""
    match value:
        case dict():
            return {name: _whole(item) for name, item in value.items()}
        case list():
            return [_whole(item) for item in value]
        case float() if value.is_integer():
            return int(value)
    return value


def _facts(results: Results, making: Making) -> list[tuple[str, str]]:
    horizon = results.scenario.horizon
    offered = sum(figures.counts(results, row)["offered"] for row in results.real_streams())
    speed = f", {results.events / making.took_s:,.0f} events a second" if making.took_s > 0 else ""
    return [
        ("seed", str(results.scenario.seed)),
        ("runs", f"{results.runs:,} of {horizon.replications:,}"),
        ("length of a run", duration_text(horizon.length)),
        ("warm-up", duration_text(horizon.warm_up) if horizon.warm_up else "none"),
        ("batches a run", f"{horizon.batches:,}"),
        ("parts for errors", f"{results.parts}"),
        ("time measured", f"{float(results.length_ms.sum()) / 3.6e6:,.1f} h"),
        ("contacts measured", f"{offered:,}"),
        ("events simulated", f"{results.events:,}"),
        ("it took", f"{making.took_s:.2f} s{speed}"),
        ("versions", ", ".join(f"{name} {number}" for name, number in _versions())),
    ]


def _versions() -> list[tuple[str, str]]:
    packages = [(name, version(name)) for name in ("headgate", "numpy", "numba")]
    return [packages[0], ("Python", platform.python_version()), *packages[1:]]
