"""The page: well-formed, the figures of the JSON, nothing from elsewhere, names that stay names."""

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from adapters.scenario_file import read_scenario
from adapters.simulation_page.page import Making, as_html, reproducing_command, scenario_yaml
from adapters.simulation_report import as_json
from engine.simulation.checking import read
from engine.simulation.results import Results
from engine.simulation.simulator import run

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples" / "scenarios"
MAKING = Making(Path("day's plan.yaml"), datetime(2026, 3, 1, 12, 30, tzinfo=UTC), 1.25)
NASTY = "<script>alert('&amp;')</script> \"quoted\" & ]]> </style>"
VOID = {"meta"}


class Outline(HTMLParser):
    """Elements as they open and close; fails on what is not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Only the last one opened may close."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Gather what people read."""
        self.text += data

    def values(self, attribute: str) -> list[str]:
        """Values of an attribute, in the order of the page."""
        return [str(attrs[attribute]) for _, attrs in self.seen if attribute in attrs]


def _nasty_results() -> Results:
    declared = {
        "name": NASTY,
        "horizon": {
            "length": 4 * 3_600e3, "replications": 3, "moments": [3_600e3, 7_200e3],
            "probe": "probe",
        },
        "queues": {NASTY: {"max_length": 3}},
        "groups": {NASTY: {"agents": 2, "queues": [NASTY]}},
        "streams": {
            NASTY: {
                "queue": NASTY,
                "arrivals": {"per_minute": 1},
                "handle_time": {"exponential": 120e3},
            },
            "probe": {"queue": NASTY, "handle_time": {"constant": 0}},
        },
    }  # fmt: skip
    return run(read(declared))


@pytest.fixture(scope="module", params=["bank.yaml", "service_line.yaml", "nasty"])
def results(request: pytest.FixtureRequest) -> Results:
    """Days with moments, a long run in batches, and names that try to be markup."""
    if request.param == "nasty":
        return _nasty_results()
    scenario = read_scenario(EXAMPLES / request.param)
    several = {"replications": min(scenario.horizon.replications, 20)}
    horizon = scenario.horizon.model_copy(update=several)
    return run(scenario.model_copy(update={"horizon": horizon}))


def _outline(page: bytes) -> Outline:
    outline = Outline()
    outline.feed(page.decode())
    outline.close()
    return outline


def test_page_is_well_formed(results: Results) -> None:
    """What a browser must guess at, it shows otherwise than meant."""
    page = as_html(results, MAKING).decode()
    assert page.startswith('<!DOCTYPE html>\n<html lang="en">')
    outline = _outline(page.encode())
    assert outline.open == []
    names = outline.values("id")
    assert len(names) == len(set(names))
    plots = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(plots) >= 3
    for plot in plots:
        assert "nan" not in re.sub(r"<(title|desc|text).*?</\1>", "", plot)
        ElementTree.fromstring(plot)


def test_page_needs_nothing_from_elsewhere(results: Results) -> None:
    """It must open on a machine without a network, and tell nobody that it was opened."""
    page = as_html(results, MAKING).decode()
    assert "://" not in page
    assert "default-src 'none'" in page.replace("&#x27;", "'")
    outline = _outline(page.encode())
    tags = {tag for tag, _ in outline.seen}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "form", "base"}
    assert outline.values("src") == outline.values("href") == []
    assert not re.search(r"url\(|@import", page)
    assert [
        tag for tag, attributes in outline.seen if any(n.startswith("on") for n in attributes)
    ] == []


def test_page_can_be_heard(results: Results) -> None:
    """Who does not see the plots and tables hears what they say."""
    outline = _outline(as_html(results, MAKING))
    tags = [tag for tag, _ in outline.seen]
    assert tags.count("h1") == 1
    for tag, attributes in outline.seen:
        if tag == "svg":
            named = str(attributes["aria-labelledby"]).split()
            assert set(named) <= set(outline.values("id"))
        if tag == "th":
            assert attributes["scope"] in {"row", "col"}
    assert tags.count("table") == tags.count("caption")


def test_page_has_the_figures_of_the_json(results: Results) -> None:
    """A page and a program that disagree are both useless."""
    report = json.loads(as_json(results))
    values, errors = [], []
    for stream in report["streams"].values():
        estimates = [*stream["answered_within"].values(), *_estimates(stream)]
        values += [estimate["value"] for estimate in estimates]
        errors += [estimate["standard_error"] for estimate in estimates]
        values += [stream["contacts"]["offered"], stream["contacts"]["answered"]]
    values += [group["occupancy"]["value"] for group in report["groups"].values()]
    outline = _outline(as_html(results, MAKING))
    assert {value for value in values if value is not None} <= {
        float(value) for value in outline.values("data-value")
    }
    assert {error for error in errors if error is not None} <= {
        float(error) for error in outline.values("data-error")
    }
    assert as_json(results).decode() in outline.text


def _estimates(stream: dict[str, object]) -> list[dict[str, float]]:
    """Estimates of a stream in JSON, but those that the page leaves out where there is none."""
    return [
        value
        for key, value in stream.items()
        if isinstance(value, dict) and "value" in value and key not in {"p_block", "p_divert"}
    ]


def test_page_shows_values_as_people_round_them() -> None:
    """The text of a cell is its value, to two places, over half of its interval by Student's t."""
    results = _nasty_results()
    page = as_html(results, MAKING).decode()
    occupancy = results.occupancy(0)
    cell = re.search(rf'<td data-value="{occupancy.value!r}"[^>]*>(.*?)</td>', page)
    assert cell is not None
    half = 4.3027 * occupancy.error * 100
    assert cell[1] == f"{occupancy.value * 100:.2f} %<small>± {half:.2f}</small>"


def test_names_stay_names() -> None:
    """A scenario may come from anybody; what it calls things must never run in a browser."""
    page = as_html(_nasty_results(), MAKING).decode()
    assert "<script" not in page
    assert page.count("</style>") == 1
    outline = _outline(page.encode())
    assert outline.open == []
    assert NASTY in outline.text


@pytest.mark.parametrize("name", ["bank.yaml", "service_line.yaml"])
def test_scenario_on_the_page_reads_back(name: str, tmp_path: Path) -> None:
    """Whoever has the page has the scenario, defaults of this version included."""
    scenario = read_scenario(EXAMPLES / name)
    path = tmp_path / "again.yaml"
    path.write_text(scenario_yaml(scenario), encoding="utf-8")
    assert read_scenario(path) == scenario
    assert yaml.safe_load(scenario_yaml(scenario))["queues"]


def test_command_on_the_page_repeats_the_run() -> None:
    """Seed and runs are those of this page, whatever the file says by then."""
    command = reproducing_command(_nasty_results(), MAKING.path)
    assert command == (
        """headgate simulate 'day'"'"'s plan.yaml' --replications 3 --seed 1 """
        "--output html > report.html"
    )


def test_run_stopped_at_once_makes_a_page() -> None:
    """After Ctrl-C the page says how little there is instead of failing."""
    scenario = read_scenario(EXAMPLES / "service_line.yaml")
    results = run(scenario, lambda _share: False)
    assert results.runs == 0
    outline = _outline(as_html(results, MAKING))
    assert "No run ended. Stopped early: 1 were asked for." in outline.text


def test_one_run_in_one_piece_has_no_intervals() -> None:
    """What cannot scatter has no error, rather than one of zero."""
    scenario = read_scenario(EXAMPLES / "bank.yaml")
    horizon = scenario.horizon.model_copy(update={"replications": 1})
    results = run(scenario.model_copy(update={"horizon": horizon}))
    outline = _outline(as_html(results, MAKING))
    assert outline.values("data-error") == []
    assert "cannot be told from one run in one piece" in outline.text


def test_run_stopped_after_one_has_no_intervals() -> None:
    """Parts that were never run are no evidence: a hundred asked for and one made is one."""
    scenario = read_scenario(EXAMPLES / "service_line.yaml")
    update = {"replications": 100, "batches": 1}
    horizon = scenario.horizon.model_copy(update=update)
    results = run(scenario.model_copy(update={"horizon": horizon}), lambda share: share < 0.01)
    assert results.runs == 1
    assert _outline(as_html(results, MAKING)).values("data-error") == []
    assert json.loads(as_json(results))["streams"]["callbacks"]["asa"]["standard_error"] is None
