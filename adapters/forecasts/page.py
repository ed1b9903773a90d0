"""The page: from what an engine tells to one file of HTML, without a script or a request."""

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Final, NamedTuple

from adapters.forecasts.asking import CellTold, QueueTold
from adapters.forecasts.plots import calibration_plot, coverage_plot, error_plot, forecast_plot
from adapters.forecasts.words import (
    NOT_KNOWN,
    ahead_text,
    busyness_name,
    method_name,
    moment,
    number,
    optional_percent,
    percent,
)
from adapters.simulation_page.document import document, folded, note, section
from adapters.simulation_page.markup import Markup, element, joined
from adapters.simulation_page.table import Table, definitions, fact_table, table_of
from headgate.v1 import plan_pb2
from headgate.v1 import telemetry_pb2 as told

_ANOMALIES_SHOWN: Final = 50
_KINDS: Final = {
    told.AnomalyKind.ANOMALY_KIND_SURGE: "surge",
    told.AnomalyKind.ANOMALY_KIND_SILENCE: "silence",
}


class Making(NamedTuple):
    """
    How the page came about.

    Attributes
    ----------
    address, cell
        What was asked.
    made_at
        When.
    zone
        Clock that times are told by; None for that of this machine.
    command
        What makes it again.
    """

    address: str
    cell: str
    made_at: datetime
    zone: tzinfo | None
    command: str


def as_html(found: CellTold, steps_ms: Sequence[int], making: Making) -> bytes:
    """
    The page, in UTF-8.

    Parameters
    ----------
    steps_ms
        (queues,) length of a step of each queue's forecast.
    """
    sections = [section("Queues", _overview(found.queues))]
    for queue, step_ms in zip(found.queues, steps_ms, strict=True):
        sections.append(_queue_section(queue, found, step_ms, making.zone))
    sections += [_anomaly_section(found, making.zone), _method(), _reproduction(making)]
    return document(f"Forecasts of {making.cell}", _header(making), sections)


def _header(making: Making) -> Markup:
    made = f"{making.made_at.astimezone(making.zone):%Y-%m-%d %H:%M %Z}".rstrip()
    text = f"Cell {making.cell} at {making.address}, {made}"
    return element("header", element("h1", "Forecasts"), element("p", text))


def _overview(queues: Sequence[QueueTold]) -> Markup:
    headings = ["now", "next 30 min", "load", "breach in 15 min", "error 30 min ahead", "learned"]
    rows = []
    for queue in queues:
        outlook = queue.outlook
        cells = [
            busyness_name(outlook.busyness),
            number(outlook.forecast_30m),
            optional_percent(outlook, "load_ratio"),
            next((percent(i.risk) for i in outlook.breach_risks if i.ahead_ms == 900_000), "–"),
            next(
                (
                    optional_percent(i, "wape")
                    for i in queue.accuracy.forecasts
                    if i.ahead_ms == 1_800_000
                ),
                "–",
            ),
            f"{queue.forecast.days_learned:,} days",
        ]
        rows.append((outlook.queue_id, [element("td", text) for text in cells]))
    return table_of(Table("Queues as of now", "queue", headings, rows))


def _queue_section(queue: QueueTold, found: CellTold, step_ms: int, zone: tzinfo | None) -> Markup:
    name = queue.outlook.queue_id
    events = [event for event in found.events if name in event.queue_ids]
    return section(
        name,
        element("p", _now_text(queue.outlook)),
        *_forecast_parts(queue, events, step_ms, zone),
        *_accuracy_parts(queue.accuracy),
        *_calibration_parts(queue.accuracy),
        *([_event_table(events, found.outcomes, zone)] if events else []),
    )


def _forecast_parts(
    queue: QueueTold, events: Sequence[plan_pb2.PlannedEvent], step_ms: int, zone: tzinfo | None
) -> list[Markup]:
    """The forecast as a plot and as a table; of a queue without one, why there is none."""
    if not queue.forecast.steps:
        why = "Nothing is forecast: nothing has come yet, and no past has been imported."
        return [element("p", why)]
    return [
        element(
            "figure",
            forecast_plot(queue, events, step_ms, zone),
            element("figcaption", _caption(queue.forecast, step_ms, bool(events))),
        ),
        folded("The forecast as a table", _step_table(queue.forecast, zone)),
    ]


def _now_text(outlook: told.QueueOutlook) -> str:
    texts = [f"Busyness: {busyness_name(outlook.busyness)}."]
    if outlook.telemetry_age_ms < 0:
        texts.append("No reading has come yet.")
    elif outlook.is_stale:
        texts.append(f"The last reading is {outlook.telemetry_age_ms / 1_000:,.0f} s old.")
    if outlook.HasField("load_ratio"):
        agents = number(outlook.agents_expected)
        texts.append(
            f"Load {percent(outlook.load_ratio)} of {agents} agents over the next half hour."
        )
    if outlook.breach_risks:
        risks = ", ".join(
            f"{percent(item.risk)} in {ahead_text(item.ahead_ms)}" for item in outlook.breach_risks
        )
        texts.append(f"Breach risk: {risks}.")
    return " ".join(texts)


def _caption(forecast: told.QueueForecast, step_ms: int, has_events: bool) -> str:
    text = (
        f"Contacts by {ahead_text(step_ms)}. Dots: what came. Solid: forecast, shaded where 80 "
        "and 95 of a hundred counts should lie. The dashed upright line is now."
    )
    if forecast.recent:
        text += " Dashed: what had been forecast ten minutes before."
    return text + (" Shaded from top to bottom: events that are planned." if has_events else "")


def _step_table(forecast: told.QueueForecast, zone: tzinfo | None) -> Markup:
    rows = [
        (
            f"{moment(step.begins_at_ms, zone):%a %H:%M}",
            [
                element("td", number(step.mean)),
                element("td", f"{step.p10:,.0f} – {step.p90:,.0f}"),
                element("td", f"{step.p2_5:,.0f} – {step.p97_5:,.0f}"),
            ],
        )
        for step in forecast.steps
    ]
    caption = f"Contacts expected of {forecast.queue_id}"
    return table_of(Table(caption, "from", ["forecast", "80 %", "95 %"], rows))


def _accuracy_parts(accuracy: told.QueueAccuracy) -> list[Markup]:
    heading = element("h3", "How good forecasts have been")
    if not any(item.HasField("wape") for item in accuracy.forecasts):
        nothing = "Nothing has been compared yet: that begins when a weekday comes again."
        return [heading, note(nothing)]
    rows = []
    for item in accuracy.forecasts:
        pinball = percent(item.pinball) if item.HasField("pinball") else "–"
        cells = [f"{item.forecasts:,.0f}"]
        cells += [
            optional_percent(item, field)
            for field in ("wape", "floor", "bias", "within_80", "within_95", "above_90")
        ]
        cells += [pinball, method_name(item.method)]
        rows.append((ahead_text(item.ahead_ms), [element("td", text) for text in cells]))
    headings = ["forecasts", "WAPE", "chance alone", "bias", "in 80 %", "in 95 %", "above 90 %"]
    headings += ["pinball", "method"]
    drifts = f"Alarms of drift: {accuracy.drifts:,}. Steps not learned from: {accuracy.faults:,}."
    caption = f"Five-minute forecasts of {accuracy.queue_id}, by how far ahead"
    return [
        heading,
        _figure(
            "WAPE of five-minute forecasts, and what chance alone leaves of it",
            error_plot(accuracy),
        ),
        _figure("Counts within the intervals that had been told", coverage_plot(accuracy)),
        table_of(Table(caption, "ahead", headings, rows)),
        note(drifts),
    ]


def _calibration_parts(accuracy: told.QueueAccuracy) -> list[Markup]:
    heading = element("h3", "How good breach risks have been")
    known = [item for item in accuracy.breach_risks if item.HasField("brier")]
    if not known:
        return [heading, note("No breach risk has been compared with what came of it yet.")]
    rows = [
        (
            ahead_text(item.ahead_ms),
            [element("td", f"{item.brier:.4f}"), element("td", f"{item.calibration_error:.4f}")],
        )
        for item in known
    ]
    caption = f"Breach risks of {accuracy.queue_id}"
    return [
        heading,
        _figure(
            "Brier score and calibration error of breach risks; less is better",
            calibration_plot(accuracy),
        ),
        table_of(Table(caption, "ahead", ["Brier score", "calibration error"], rows)),
    ]


def _figure(heading: str, plot: Markup) -> Markup:
    caption = element("figcaption", element("strong", heading))
    return element("figure", caption, plot)


def _event_table(
    events: Sequence[plan_pb2.PlannedEvent],
    outcomes: Mapping[str, plan_pb2.EventOutcome],
    zone: tzinfo | None,
) -> Markup:
    rows = []
    for event in events:
        outcome = outcomes.get(event.event_id, plan_pb2.EventOutcome())
        cells = [
            event.label or "–",
            f"{moment(event.begins_at_ms, zone):%Y-%m-%d %H:%M}",
            f"{moment(event.ends_at_ms, zone):%Y-%m-%d %H:%M}",
            f"{event.uplift * 100:+.0f} %",
            f"{event.added_per_hour:+,.0f}",
            optional_percent(outcome, "ratio"),
        ]
        rows.append((event.event_id, [element("td", text) for text in cells]))
    headings = ["kind", "from", "to", "uplift", "added an hour", "realised"]
    return table_of(Table("Planned events", "event", headings, rows))


def _anomaly_section(found: CellTold, zone: tzinfo | None) -> Markup:
    shown = found.anomalies[:_ANOMALIES_SHOWN]
    if not shown:
        return section("Anomalies", element("p", "None since the engine started."))
    rows = []
    for item in shown:
        ended = f"{moment(item.ended_at_ms, zone):%a %H:%M}" if item.ended_at_ms else "lasts"
        cells = [
            _KINDS.get(item.kind, NOT_KNOWN),
            f"{moment(item.began_at_ms, zone):%a %Y-%m-%d %H:%M}",
            ended,
            number(item.excess),
            percent(item.confidence),
        ]
        rows.append((item.queue_id or NOT_KNOWN, [element("td", text) for text in cells]))
    left = len(found.anomalies) - len(shown)
    more = [note(f"{left:,} earlier ones are left out.")] if left else []
    headings = ["kind", "found", "over", "contacts beyond", "confidence"]
    table = table_of(Table("Anomalies, the latest first", "queue", headings, rows))
    return section("Anomalies", table, *more)


_WORDS: Final = (
    ("WAPE", "sum of |count − forecast| over the sum of the counts; “error” in the plots"),
    ("chance alone", "what WAPE would be, had every forecast been the true rate of its count"),
    ("bias", "sum of (forecast − count) over the sum of the counts"),
    ("in 80 %, in 95 %", "share of the counts within the interval that had been told"),
    ("above 90 %", "share of the counts above the upper end of the 80 % interval: 10 % is right"),
    ("pinball", "mean loss of the four quantiles over the mean count; less is better"),
    ("method", "which of the model, the slot's mean and the week before is in force"),
    ("Brier score", "mean squared difference of a breach risk from what came; less is better"),
    ("calibration error", "how far risks lie from frequencies, over ten bins (ECE)"),
    ("breach risk", "probability that a contact which arrives so far ahead waits too long"),
    (
        "realised",
        "what an event has brought so far as a share of what was planned; “–” for not known",
    ),
)


def _method() -> Markup:
    text = (
        "Every forecast is kept as issued and compared with what came; half of the evidence is a "
        "week old or less. After a history has been imported, it counts as if it had been watched."
    )
    return section(
        "Method", element("p", text), element("h3", "What the words mean"), definitions(_WORDS)
    )


def _reproduction(making: Making) -> Markup:
    facts = [("engine", making.address), ("cell", making.cell)]
    command = element("pre", element("code", making.command))
    return section("To reproduce", joined(command, fact_table("The engine asked", facts)))
