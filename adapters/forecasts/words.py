"""Figures of forecasts as people read them."""

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from headgate.v1 import telemetry_pb2 as told

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_METHODS: Final = {
    told.ForecastMethod.FORECAST_METHOD_MODEL: "model",
    told.ForecastMethod.FORECAST_METHOD_SLOT_MEAN: "mean of the slot",
    told.ForecastMethod.FORECAST_METHOD_WEEK_BEFORE: "week before",
}
_BUSYNESS: Final = {
    told.Busyness.BUSYNESS_IDLE: "idle",
    told.Busyness.BUSYNESS_NORMAL: "normal",
    told.Busyness.BUSYNESS_BUSY: "busy",
    told.Busyness.BUSYNESS_OVERLOADED: "overloaded",
}
NOT_KNOWN: Final = "not known"


def moment(at_ms: int, zone: tzinfo | None) -> datetime:
    """A moment on a zone's clock, on that of this machine for None."""
    return (_EPOCH + timedelta(milliseconds=at_ms)).astimezone(zone)


def method_name(method: "told.ForecastMethod.ValueType") -> str:
    """A method in words."""
    return _METHODS.get(method, NOT_KNOWN)


def busyness_name(busyness: "told.Busyness.ValueType") -> str:
    """A grade in words."""
    return _BUSYNESS.get(busyness, NOT_KNOWN)


def ahead_text(ahead_ms: int) -> str:
    """How far ahead."""
    minutes = ahead_ms // 60_000
    return f"{minutes} min" if minutes < 60 else f"{minutes / 60:g} h"


def percent(share: float) -> str:
    """A share, with a digit more where it is small."""
    value = share * 100
    return f"{value:.1f} %" if abs(value) < 99.95 else f"{value:.0f} %"


def number(value: float) -> str:
    """A number of contacts or agents, expected: with a digit more where there are few."""
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:.1f}"


def optional_percent(message: object, field: str) -> str:
    """A share that may be absent from a message."""
    is_there = message.HasField(field)  # type: ignore[attr-defined]
    return percent(getattr(message, field)) if is_there else "–"
