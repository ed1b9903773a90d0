"""Parts that policies of every kind are made of: types, parameters, schedule, guards, share."""

from datetime import date
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.json_schema import JsonSchemaValue, WithJsonSchema

from engine.durations import parse_duration
from engine.lifecycle import Day
from engine.limits import DAY_MS, FORTNIGHT_MS
from engine.policy.checked import TEXT_MAX, Kind

DURATION_SCHEMA: Final[JsonSchemaValue] = {
    "type": "string",
    "pattern": r"^(\d+(\.\d+)?|\.\d+)(ms|s|m|h|d)((\d+(\.\d+)?|\.\d+)(ms|s|m|h|d))*$",
    "examples": ["30s", "1.5h", "1h30m"],
}
NAME_PATTERN: Final = r"^[a-z][a-z0-9_]*$"
# A hundred years: sums with times stay far within 64 bits.
_DURATION_MS_MAX: Final = 36_525 * DAY_MS


def _milliseconds(value: object) -> object:
    """Whole milliseconds of a text with units; a bare number has none, and is refused."""
    if not isinstance(value, str):
        message = "a duration such as 90s, 1.5h or 1h30m"
        raise ValueError(message)
    total_ms = parse_duration(value)
    if not isinstance(total_ms, float) or not total_ms <= _DURATION_MS_MAX:
        message = f"a duration of at most {_DURATION_MS_MAX // DAY_MS:,} days"
        raise ValueError(message)
    if total_ms != int(total_ms):
        message = "a duration in whole milliseconds"
        raise ValueError(message)
    return int(total_ms)


def _minutes(value: object) -> object:
    """Minutes since midnight of a time of day."""
    if isinstance(value, str) and len(value) == 5 and value.isascii():
        hours, colon, minutes = value.partition(":")
        if colon and hours.isdigit() and minutes.isdigit() and int(minutes) < 60:
            total = 60 * int(hours) + int(minutes)
            if total <= 24 * 60:
                return total
    message = "a time of day, 00:00 to 24:00"
    raise ValueError(message)


# In a file a text with units; milliseconds in Python.
Milliseconds = Annotated[
    int, BeforeValidator(_milliseconds), Field(ge=0), WithJsonSchema(DURATION_SCHEMA)
]
Hold = Annotated[Milliseconds, Field(le=DAY_MS)]
Long = Annotated[Milliseconds, Field(gt=0, le=FORTNIGHT_MS)]
# In a file "08:30"; minutes since midnight in Python.
TimeOfDay = Annotated[
    int,
    BeforeValidator(_minutes),
    WithJsonSchema({"type": "string", "pattern": r"^([01]\d|2[0-3]):[0-5]\d$|^24:00$"}),
]
Text = Annotated[str, Field(strict=True, min_length=1, max_length=1_000)]
# Ids of queues, agents, skills as the engine has them.
Id = Annotated[str, Field(strict=True, min_length=1, max_length=128)]
Word = Annotated[str, Field(strict=True, pattern=NAME_PATTERN, max_length=64)]
# Text of an expression; checked when the policy is compiled.
Cel = Annotated[str, Field(strict=True, min_length=1, max_length=TEXT_MAX)]
Ratio = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Positive = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
ChannelName = Literal[
    "voice", "chat", "email", "social", "video", "sms", "callback", "self_service"
]
WeekdayName = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


class Declared(BaseModel):
    """A part of a policy; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    def require_one(self) -> None:
        """Raise ValueError unless exactly one field has a value."""
        fields = type(self).model_fields
        if sum(getattr(self, name) is not None for name in fields) != 1:
            words = ", ".join(field.alias or name for name, field in fields.items())
            raise ValueError(f"exactly one of {words}")


def _moved(value: object) -> object:
    """A finite number, or a duration with its unit."""
    if isinstance(value, str):
        _milliseconds(value)
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e18:
        message = "a number below 1e18, or a duration such as 90s"
        raise ValueError(message)
    return value


# 3, 3.0, or a duration as a text with units.
Moved = Annotated[int | float | str, BeforeValidator(_moved)]


class Parameter(Declared):
    """
    A value that sliders and the tuner move; conditions read it as `params.name`.

    Attributes
    ----------
    value
        3 is a count, 3.0 a double, "3m" a duration; `min` and `max` are of the same type.
    """

    value: Moved
    min: Moved | None = None
    max: Moved | None = None
    description: Text | None = None

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        for name in ("min", "max"):
            bound = getattr(self, name)
            if bound is not None and _kind(bound) is not self.kind:
                raise ValueError(
                    f"{name} of the type of the value, {self.kind.value}, got {bound!r}"
                )
        return self

    @property
    def kind(self) -> Kind:
        """Type of the name in conditions."""
        return _kind(self.value)

    @property
    def number(self) -> float:
        """The value; a duration in milliseconds."""
        return _plain(self.value)

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """Least and greatest value, None for no bound."""
        return (
            None if self.min is None else _plain(self.min),
            None if self.max is None else _plain(self.max),
        )


def _kind(value: int | float | str) -> Kind:
    if isinstance(value, str):
        return Kind.DURATION
    return Kind.INT if isinstance(value, int) else Kind.DOUBLE


def _plain(value: int | float | str) -> float:
    found = _milliseconds(value) if isinstance(value, str) else value
    assert isinstance(found, int | float)
    return found


class Match(Declared):
    """
    Which queues a policy is about.

    Attributes
    ----------
    queues
        Ids; `*` at the end stands for any rest.
    """

    queues: tuple[Id, ...] = Field(min_length=1, max_length=10_000)

    def includes(self, queue_id: str) -> bool:
        """Whether a queue is meant."""
        return any(
            queue_id.startswith(item[:-1]) if item.endswith("*") else queue_id == item
            for item in self.queues
        )


class Held(Declared):
    """A condition that must hold for so long, without a break."""

    when: Cel
    for_: Hold = Field(default=0, alias="for")


class Period(Declared):
    """A time of the day on days it begins on; past midnight where it ends before it begins."""

    days: tuple[WeekdayName, ...] = Field(default=(), max_length=7)
    begins: TimeOfDay
    ends: TimeOfDay

    @model_validator(mode="after")
    def _is_some_time(self) -> Self:
        if self.begins == self.ends:
            message = "an end that differs from the beginning"
            raise ValueError(message)
        return self

    def includes(self, weekday: int, minute: int) -> bool:
        """Whether a minute of a day (1 = Monday) is within."""
        if self.begins < self.ends:
            return self._is_on(weekday) and self.begins <= minute < self.ends
        before = (weekday - 2) % 7 + 1
        is_late = self._is_on(weekday) and minute >= self.begins
        return is_late or (self._is_on(before) and minute < self.ends)

    def _is_on(self, weekday: int) -> bool:
        return not self.days or any(Day[day.upper()] == weekday for day in self.days)


class Schedule(Declared):
    """
    When a policy may act, on the clocks of the queue's zone; it exits when that is over.

    Attributes
    ----------
    first_day, last_day
        Dates as 2026-11-27, both included.
    """

    periods: tuple[Period, ...] = Field(default=(), max_length=64)
    first_day: date | None = None
    last_day: date | None = None

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        if self.first_day and self.last_day and self.last_day < self.first_day:
            message = f"a last_day not before {self.first_day}"
            raise ValueError(message)
        return self

    def includes(self, day: date, minute: int) -> bool:
        """Whether a minute of a local day is within."""
        if (self.first_day and day < self.first_day) or (self.last_day and day > self.last_day):
            return False
        weekday = day.isoweekday()
        return not self.periods or any(item.includes(weekday, minute) for item in self.periods)


class Stale(Declared):
    """
    What a policy does while what it reads is out of date, or cannot be told.

    Attributes
    ----------
    policy
        `hold`: stay on or off, for `hold_for`, then exit. `exit`: exit at once. `ignore`: go by
        the last values; a condition that cannot be told counts as not met.
    after
        Age of telemetry from which it is out of date.
    """

    policy: Literal["hold", "exit", "ignore"] = "hold"
    after: Hold = 15_000
    hold_for: Hold = 120_000


class TargetBudget(Declared):
    """The target's own predicted risk stays below a bound, or less goes there."""

    risk_max: Ratio = 0.3
    horizon: Literal["5m", "10m", "15m", "30m"] = "10m"


class Guards(Declared):
    """
    What keeps a policy from doing harm.

    Attributes
    ----------
    dwell_on, dwell_off
        Least time it stays on, and off.
    cool_down
        Time after an exit in which it does not enter again, beside `dwell_off`.
    share_max
        Most of a queue's contacts it ever moves.
    contacts_per_minute
        Most contacts it moves to its target, all queues together; None for no limit.
    target
        None where the target's risk does not count.
    one_direction
        Whether nothing may be moved from its target to its queue while it is on.
    """

    dwell_on: Hold = 120_000
    dwell_off: Hold = 60_000
    cool_down: Hold = 0
    share_max: Ratio = 0.5
    contacts_per_minute: Positive | None = None
    target: TargetBudget | None = TargetBudget()
    one_direction: bool = True


class Ramp(Declared):
    """
    Share that grows with a value: 0 up to `from`, 1 from `to` on, in proportion between.

    Attributes
    ----------
    value
        CEL of kind double.
    """

    value: Cel
    from_: float = Field(alias="from", allow_inf_nan=False, strict=True)
    to: float = Field(allow_inf_nan=False, strict=True)

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if not self.from_ < self.to:
            message = f"a `to` above `from`, {self.from_:g}"
            raise ValueError(message)
        return self


class JustEnough(Declared):
    """Least share with which the queue's predicted risk stays at `risk_max`."""

    risk_max: Ratio = 0.2
    horizon: Literal["5m", "10m", "15m", "30m"] = "5m"


class Share(Declared):
    """
    What share of eligible contacts is acted upon: exactly one of its forms, and how fast it moves.

    Attributes
    ----------
    slew_per_s
        Most that the share changes in a second; None: 0.01, and at once where it is fixed.
    """

    fixed: Ratio | None = None
    ramp: Ramp | None = None
    just_enough: JustEnough | None = None
    slew_per_s: Annotated[float, Field(strict=True, gt=0, le=1)] | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum(form is not None for form in (self.fixed, self.ramp, self.just_enough)) != 1:
            message = "exactly one of fixed, ramp, just_enough"
            raise ValueError(message)
        return self
