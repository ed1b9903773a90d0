"""
What conditions may read: a closed list, with type, unit and meaning.

Times are DURATION, counts INT, ratios and expectations DOUBLE, so that no unit has to be guessed.
A signal that is not known (no telemetry yet, a ratio whose divisor is 0) has no value: a condition
that needs it is an error there, neither true nor false. Formulas of the windows' figures are those
of `engine.forecasting.windows`.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from engine.policy.checked import Kind, Scope


class Signal(NamedTuple):
    """
    One signal.

    Attributes
    ----------
    unit
        "" where there is none.
    is_sensed
        Whether it comes from telemetry or forecasts, and so can be out of date.
    """

    name: str
    kind: Kind
    unit: str
    meaning: str
    is_sensed: bool = True


# Windows, and what they are called in meanings.
WINDOWS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "1m": "the last minute",
        "5m": "the last 5 minutes",
        "15m": "the last 15 minutes",
        "30m": "the last 30 minutes",
        "day": "the local day so far",
    }
)
# Horizons of forecasts in seconds.
HORIZONS_S: Final[Mapping[str, int]] = MappingProxyType(
    {
        "5m": 300,
        "10m": 600,
        "15m": 900,
        "30m": 1_800,
        "1h": 3_600,
        "2h": 7_200,
        "4h": 14_400,
        "12h": 43_200,
    }
)
# Horizons of breach risks; the same as `engine.forecasting.breach.HORIZONS_S`.
RISK_HORIZONS: Final = ("5m", "10m", "15m", "30m")
BUSYNESS: Final = ("idle", "normal", "busy", "overloaded")
# Attributes of a contact that have a name of their own in conditions.
NAMED_ATTRIBUTES: Final = ("tier", "topic", "language", "business_line", "scene")

_B, _I, _D, _S, _T = Kind.BOOL, Kind.INT, Kind.DOUBLE, Kind.STRING, Kind.DURATION
_BUSYNESS_MEANING: Final = f"one of {', '.join(BUSYNESS)}"

_PRESENT: Final = (
    Signal("queue.id", _S, "", "id of the queue", False),
    Signal("queue.channel", _S, "", "channel of most of what waits, as `voice`; \"\" when empty"),
    Signal("queue.priority", _I, "", "priority of the queue among queues, higher is sooner", False),
    Signal("queue.is_open", _B, "", "whether it takes contacts: not paused and within its hours"),
    Signal("queue.waiting", _I, "contacts", "waiting, not on offer"),
    Signal("queue.offered", _I, "contacts", "on offer to an agent"),
    Signal("queue.assigned", _I, "contacts", "being handled"),
    Signal("queue.wrap_up", _I, "contacts", "in wrap-up"),
    Signal("queue.scheduled", _I, "contacts", "due later: callbacks and appointments"),
    Signal("queue.oldest_wait", _T, "", "wait of the contact that waits longest; 0 when empty"),
    Signal("queue.estimated_wait", _T, "", "expected wait of a contact that comes now"),
    Signal("queue.estimated_wait_high", _T, "", "wait that one contact in ten will exceed"),
    Signal("queue.agents_available", _I, "agents", "who can be offered a contact of it now"),
    Signal("queue.agents_handling", _I, "agents", "who handle a contact, of whichever queue"),
    Signal("queue.agents_wrap_up", _I, "agents", "in wrap-up"),
    Signal("queue.agents_signed_in", _I, "agents", "who serve it and are not offline"),
    Signal("queue.max_length", _I, "contacts", "most that may wait; 0 for no limit", False),
    Signal("queue.service_level_within", _T, "", "wait that is within its service level", False),
    Signal("queue.service_level_target", _D, "ratio", "share that is to be answered so", False),
)  # fmt: skip

_OF_WINDOW: Final = (
    ("queue.received", _I, "contacts", "that came in"),
    ("queue.answered", _I, "contacts", "that an agent accepted in"),
    ("queue.abandoned", _I, "contacts", "that gave up in"),
    ("queue.service_level", _D, "ratio", "answered in time among answered and abandoned in"),
    ("queue.asa", _T, "", "mean wait of those answered in"),
    ("queue.abandonment", _D, "ratio", "abandoned among answered and abandoned in"),
    ("queue.occupancy", _D, "ratio", "of agents' time on contacts and wrap-up in"),
    ("queue.aht", _T, "", "mean handling time, wrap-up included, of those handled in"),
    ("queue.coverage", _D, "ratio", "of seconds that telemetry told of in"),
)  # fmt: skip

_OF_HORIZON: Final = (
    ("forecast.contacts", _D, "contacts", "expected to come in the next"),
    ("forecast.contacts_p90", _D, "contacts", "that nine in ten forecasts stay below, in the next"),
    ("forecast.load", _D, "ratio", "of expected work to the capacity on duty, in the next"),
)  # fmt: skip

_SENSED: Final = (
    Signal("forecast.age", _T, "", "since the forecast was made"),
    Signal("busyness", _S, "", _BUSYNESS_MEANING + ", graded from forecast and present"),
    Signal("anomaly.surge", _B, "", "whether a surge lasts that the forecast does not allow, of "
           "the queue or of its group with it"),
    Signal("anomaly.silence", _B, "", "whether the feed has fallen silent"),
    Signal("anomaly.excess", _D, "contacts", "more than forecast in the next 15 minutes if the "
           "surge goes on; 0 without one"),
    Signal("anomaly.confidence", _D, "ratio", "probability that it is not chance; 0 without one"),
    Signal("anomaly.lasted", _T, "", "since it began; 0 without one"),
    # Its own age is always known: not sensed, so that a condition on it is never out of date.
    Signal("telemetry.age", _T, "", "since the last second that telemetry told of", False),
)  # fmt: skip

_TARGET: Final = (
    Signal("target.is_open", _B, "", "whether the target takes contacts"),
    Signal("target.waiting", _I, "contacts", "waiting there"),
    Signal("target.oldest_wait", _T, "", "wait of the contact that waits longest there"),
    Signal("target.estimated_wait", _T, "", "expected wait of a contact that comes there now"),
    Signal("target.agents_available", _I, "agents", "who can be offered a contact there now"),
    Signal("target.spare_capacity", _D, "contacts", "that agents there could take on now, less "
           "what waits there"),
    Signal("target.load_15m", _D, "ratio", "of expected work to the capacity on duty there, in "
           "the next 15 minutes, with accepted callbacks and chats"),
    Signal("target.busyness", _S, "", _BUSYNESS_MEANING),
)  # fmt: skip

_TIME: Final = (
    Signal("time.year", _I, "", "as 2026", False),
    Signal("time.month", _I, "", "1 to 12", False),
    Signal("time.day", _I, "", "of the month, 1 to 31", False),
    Signal("time.weekday", _I, "", "1 is Monday, 7 Sunday", False),
    Signal("time.hour", _I, "", "0 to 23", False),
    Signal("time.minute", _I, "", "0 to 59", False),
    Signal("time.minute_of_day", _I, "minutes", "since midnight by the clock, 0 to 1439", False),
)  # fmt: skip

_CONTACT: Final = (
    Signal("contact.id", _S, "", "id of the contact", False),
    Signal("contact.channel", _S, "", "channel it came on, as `voice`", False),
    Signal("contact.priority", _I, "", "higher is sooner", False),
    *(
        Signal(f"contact.{name}", _S, "", f'its attribute `{name}`; "" where it has none', False)
        for name in NAMED_ATTRIBUTES
    ),
    Signal("contact.attributes", Kind.ATTRIBUTES, "", "free pairs of key and value", False),
    Signal("contact.skills", Kind.STRINGS, "", "skills it requires", False),
    Signal("contact.tags", Kind.STRINGS, "", "tags it requires", False),
    Signal("contact.returns", _I, "", "times it came back from a diversion", False),
)  # fmt: skip
# Known once it is in a queue.
_WAITING_CONTACT: Final = (
    Signal("contact.queue_id", _S, "", "queue it is in", False),
    Signal("contact.wait", _T, "", "so far, in this queue", False),
    Signal("contact.age", _T, "", "its routing age", False),
    Signal("contact.estimated_wait", _T, "", "from now on"),
)  # fmt: skip


def _windows() -> Iterator[Signal]:
    for name, kind, unit, meaning in _OF_WINDOW:
        for window, when in WINDOWS.items():
            yield Signal(f"{name}_{window}", kind, unit, f"{meaning} {when}")


def _horizons() -> Iterator[Signal]:
    for name, kind, unit, meaning in _OF_HORIZON:
        for horizon in HORIZONS_S:
            yield Signal(f"{name}_{horizon}", kind, unit, f"{meaning} {_spoken(horizon)}")


def _risks() -> Iterator[Signal]:
    for prefix, where in (("", ""), ("target.", " of the target")):
        for horizon in RISK_HORIZONS:
            meaning = f"that a contact{where} in {_spoken(horizon)} waits too long, calibrated"
            yield Signal(f"{prefix}breach_risk_{horizon}", _D, "probability", meaning)


def _spoken(horizon: str) -> str:
    number, unit = int(horizon[:-1]), {"m": "minute", "h": "hour"}[horizon[-1]]
    return f"{number} {unit}{'s' * (number > 1)}"


# By what may use them, in the order of the reference.
QUEUE_SIGNALS: Final = (*_PRESENT, *_windows(), *_horizons(), *_risks(), *_SENSED, *_TARGET, *_TIME)
CONTACT_SIGNALS: Final = (*_CONTACT, *_WAITING_CONTACT, *_TIME)
ROUTING_SIGNALS: Final = (*_CONTACT, *_TIME)
SIGNALS: Final[Mapping[str, Signal]] = MappingProxyType(
    {signal.name: signal for signal in (*QUEUE_SIGNALS, *CONTACT_SIGNALS)}
)


def scope_of(signals: tuple[Signal, ...], params: Mapping[str, Kind]) -> Scope:
    """
    Names a condition may use: signals, and a policy's parameters as `params.name`.

    Parameters
    ----------
    signals
        `QUEUE_SIGNALS` for triggers, `CONTACT_SIGNALS` for eligibility, `ROUTING_SIGNALS` for
        rules of routing.
    """
    named = {f"params.{name}": kind for name, kind in params.items()}
    return MappingProxyType({signal.name: signal.kind for signal in signals} | named)


def reference_table(signals: tuple[Signal, ...]) -> str:
    """Signals as a table in Markdown."""
    lines = ["| name | type | unit | meaning |", "| --- | --- | --- | --- |"]
    lines += [
        f"| `{signal.name}` | {signal.kind.value} | {signal.unit} | {signal.meaning} |"
        for signal in signals
    ]
    return "\n".join(lines)


def reference() -> str:
    """The whole reference in Markdown, one table for each use."""
    return "\n\n".join(
        (
            "# Signals",
            "Made by `engine.policy.signals.reference`; a test says when it is out of date. A "
            "parameter of a policy is `params.name`, with the type of its value.",
            "## Of a queue: `enter`, `exit`, `share`",
            reference_table(QUEUE_SIGNALS),
            "## Of a contact: `eligible`",
            reference_table((*_CONTACT, *_WAITING_CONTACT)) + "\n\nand `time.*`.",
            "## Of a contact that is routed: rules of a RoutingPolicy",
            "`contact.*` without " + ", ".join(f"`{item.name}`" for item in _WAITING_CONTACT)
            + ", and `time.*`.",
        )
    ) + "\n"  # fmt: skip
