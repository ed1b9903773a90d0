"""What an engine expects, as a page and as a table."""

import io
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from rich.console import Console

from adapters.cli import main
from adapters.forecasts.asking import CellTold, QueueTold
from adapters.forecasts.page import Making, as_html
from adapters.forecasts.plots import came_lately
from adapters.forecasts.table import print_queue
from headgate.v1 import plan_pb2
from headgate.v1 import telemetry_pb2 as pb

NOW_MS = 1_780_000_200_000 // 300_000 * 300_000
MAKING = Making("127.0.0.1:7443", "default", datetime(2026, 5, 28, tzinfo=UTC), UTC, "headgate …")


def forecast(queue_id: str = "q", steps: int = 24, step_ms: int = 300_000) -> pb.QueueForecast:
    """A forecast, and twelve steps that came."""
    made = pb.QueueForecast(
        queue_id=queue_id, days_learned=60, methods=[pb.FORECAST_METHOD_MODEL] * 4
    )
    for place in range(steps):
        made.steps.add(
            begins_at_ms=NOW_MS + place * step_ms, mean=20 + place, p2_5=11, p10=14, p90=27 + place,
            p97_5=31 + place,
        )  # fmt: skip
    for back in range(12, 0, -1):
        item = made.recent.add(begins_at_ms=NOW_MS - back * 300_000)
        if back != 5:
            item.contacts = back
        if back < 8:
            item.forecast = back + 0.5
    return made


def told(queue_id: str = "q", *, is_known: bool = True) -> QueueTold:
    """All that is told of a queue, or what is told of one that was made just now."""
    if not is_known:
        return QueueTold(
            pb.QueueOutlook(queue_id=queue_id, telemetry_age_ms=-1),
            pb.QueueForecast(queue_id=queue_id),
            pb.QueueAccuracy(queue_id=queue_id, breach_risks=[pb.BreachAccuracy(ahead_ms=300_000)]),
        )
    outlook = pb.QueueOutlook(
        queue_id=queue_id, telemetry_age_ms=1_000, busyness=pb.BUSYNESS_BUSY, load_ratio=0.913,
        forecast_30m=123.4, agents_expected=12.5, service_level_projected=0.82,
        service_level_miss=0.31, anomalies=[7],
        breach_risks=[pb.BreachRisk(ahead_ms=900_000, risk=0.125)],
    )  # fmt: skip
    accuracy = pb.QueueAccuracy(queue_id=queue_id, drifts=1, faults=2)
    for ahead_ms, wape in ((300_000, 0.061), (1_800_000, 0.068)):
        accuracy.forecasts.add(
            ahead_ms=ahead_ms, forecasts=900, wape=wape, floor=0.055, bias=-0.01, within_80=0.81,
            within_95=0.955, above_90=0.09, pinball=0.012, method=1,
        )  # fmt: skip
        accuracy.breach_risks.add(ahead_ms=ahead_ms, brier=0.031, calibration_error=0.012)
    return QueueTold(outlook, forecast(queue_id), accuracy)


def cell(*queues: QueueTold) -> CellTold:
    """With an event and an anomaly, of names that are markup."""
    event = plan_pb2.PlannedEvent(
        event_id="<b>mail</b>", label="mailing", queue_ids=["q"], begins_at_ms=NOW_MS + 1_200_000,
        ends_at_ms=NOW_MS + 3_600_000, uplift=0.3,
    )  # fmt: skip
    outcome = plan_pb2.EventOutcome(event_id="<b>mail</b>", ratio=0.75)
    anomaly = pb.Anomaly(
        number=7, kind=pb.ANOMALY_KIND_SURGE, queue_id="q", began_at_ms=NOW_MS, excess=41.0,
        confidence=0.999,
    )  # fmt: skip
    return CellTold(queues, 0, [event], {"<b>mail</b>": outcome}, [anomaly])


def page_of(found: CellTold) -> str:
    """The page."""
    return as_html(found, [300_000] * len(found.queues), MAKING).decode()


def test_page_holds_every_figure_and_asks_nothing_of_the_network() -> None:
    """It is handed on, and read where there is no engine."""
    page = page_of(cell(told()))
    for text in ("91.3 %", "12.5 %", "6.1 %", "5.5 %", "81.0 %", "95.5 %", "0.0310", "0.0120"):
        assert text in page, text
    for text in (
        "surge",
        "mailing",
        "+30 %",
        "75.0 %",
        "Alarms of drift: 1. Steps not learned from: 2.",
    ):
        assert text in page, text
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page
    assert "<b>mail</b>" not in page
    assert "&lt;b&gt;mail&lt;/b&gt;" in page


def test_page_is_sound_markup_with_a_name_for_every_plot() -> None:
    """Read aloud, a plot is its title and its description."""
    page = page_of(cell(told(), told("other", is_known=False)))
    body = page[page.index("<body>") : page.index("</body>") + len("</body>")]
    root = ElementTree.fromstring(body)
    plots = list(root.iter("svg"))
    # Of a queue of which nothing is forecast there is nothing to plot.
    assert len(plots) == 4
    for plot in plots:
        assert plot.findtext("title")
        assert plot.findtext("desc")


def test_queue_without_anything_known_has_its_place() -> None:
    """A new queue is on the page, and what is not known says so."""
    page = page_of(cell(told("new", is_known=False)))
    assert "No reading has come yet." in page
    assert "Nothing is forecast: nothing has come yet" in page
    assert "Nothing has been compared yet" in page
    assert "No breach risk has been compared" in page


def test_steps_that_came_are_gathered_as_long_as_those_ahead() -> None:
    """Half hours counted back from now; one of which a part is not known is not known."""
    came = came_lately(forecast(), 1_800_000)
    assert [item.begins_at_ms for item in came] == [NOW_MS - 3_600_000, NOW_MS - 1_800_000]
    assert came[0].contacts == sum(range(7, 13))
    assert came[1].contacts != came[1].contacts
    assert came[1].forecast == sum(back + 0.5 for back in range(1, 7))
    assert len(came_lately(forecast(), 300_000)) == 12


def test_table_tells_now_ahead_and_how_good_it_has_been() -> None:
    """What a supervisor looks at between two calls."""
    out = io.StringIO()
    print_queue(told(), UTC, Console(file=out, width=100))
    text = out.getvalue()
    assert text.startswith("q: busy")
    assert "load 91.3 % of the 12.5 agents" in text
    assert "12.5 % in 15 min" in text
    assert "heads for a service level of 82.0 %; missed with 31.0 %" in text
    assert "14 – 27" in text
    assert "6.1 %" in text
    out = io.StringIO()
    print_queue(told(is_known=False), UTC, Console(file=out, width=100))
    assert "no reading has come yet" in out.getvalue()
    assert "no day learned from yet" in out.getvalue()


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (["show", "q", "--zone", "Mars/Olympus"], 2, "--zone: got 'Mars/Olympus'"),
        (["show", "q", "--address", "nowhere"], 2, "--address: expected HOST:PORT"),
        (["report", "--out", "x.html", "--address", "127.0.0.1:1"], 3, "no answer from an engine"),
        (["report"], 2, "--out"),
    ],
)
def test_wrong_words_are_told(words: list[str], code: int, why: str) -> None:
    """And an engine that is not there."""
    done = CliRunner().invoke(main, ["forecast", *words])
    assert done.exit_code == code
    assert why in done.stderr
