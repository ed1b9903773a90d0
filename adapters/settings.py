"""
Settings of `headgate serve`: flag > HEADGATE_* environment variable > file > default.

`describe` gives the reference in the README and the lines of `--print-config`; nothing reads the
environment elsewhere.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from adapters.addresses import split_address
from adapters.cell_names import is_cell
from adapters.placement.settings import PLACEMENT_SHAPES, PlacementSettings
from adapters.policy_files.settings import POLICY_SHAPES, PolicySettings
from adapters.redis_log.address import EXPECTED, parse_redis_url, redacted
from adapters.security.settings import SECURITY_SHAPES, SecuritySettings
from adapters.sensing.settings import TELEMETRY_SHAPES, TelemetrySettings
from engine.refusals import BadConfiguration

PREFIX: Final = "HEADGATE_"
# Read before there are settings; and what clients read, who may be started from the same shell.
_OTHER_VARIABLES: Final = (
    "HEADGATE_KERNEL_CACHE",
    "HEADGATE_ENGINE_TLS",
    "HEADGATE_ENGINE_CA_FILE",
    "HEADGATE_ENGINE_CERTIFICATE_FILE",
    "HEADGATE_ENGINE_KEY_FILE",
    "HEADGATE_TOKEN_FILE",
    "HEADGATE_TOKEN",
)
_SECRETS: Final = re.compile("password|secret|token")
# What `durability` may be besides auto, by where cells are kept.
_TIERS: Final = {
    False: ("full", "normal", "memory"),
    True: ("relaxed", "replicated", "strict"),
}
# Kubernetes tells every pod of a service named "headgate" in these.
_OF_KUBERNETES: Final = re.compile(
    r"HEADGATE_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)"
)
_HOST_PORT: Final = "HOST:PORT with a port of 0 to 65535, an IPv6 host in brackets"
# What settings must be that are neither numbers nor words of a list.
_SHAPES: Final = {
    "address": _HOST_PORT,
    "metrics_address": f"{_HOST_PORT}, or nothing",
    "data_dir": "the path of a folder",
    "log": EXPECTED,
    **PLACEMENT_SHAPES,
    **SECURITY_SHAPES,
    **TELEMETRY_SHAPES,
    **POLICY_SHAPES,
    "cells": "one or more cells, each once, of letters, digits, - and _",
    "dev": "true or false",
    "channelz": "true or false",
}


class Settings(TelemetrySettings, PolicySettings, PlacementSettings, SecuritySettings):
    """Every setting, with its bounds."""

    address: str = Field(
        "127.0.0.1:7443", description="Where gRPC listens, HOST:PORT; port 0 picks a free one."
    )
    metrics_address: str = Field(
        "127.0.0.1:7444",
        description="Where /metrics, /healthz and /readyz listen, HOST:PORT; empty for none.",
    )
    data_dir: Path = Field(
        Path("headgate-data"),
        description="Folder of the sqlite files, one per cell, made when absent; and of what "
        "sensing has learned. With Redis it is for the latter only, and is not made: without it "
        "nothing learned is kept.",
    )
    log: str = Field(
        "sqlite",
        description="Where cells are kept: sqlite, or the URL of a Redis or Valkey: "
        "redis://HOST:PORT, redis+sentinel://HOST:PORT,.../SERVICE, "
        "redis+cluster://HOST:PORT,...; rediss for TLS.",
    )
    durability: Literal["auto", "full", "normal", "memory", "relaxed", "replicated", "strict"] = (
        Field(
            "auto",
            description="With sqlite, full (auto): fsync before every acknowledgement; normal: no "
            "fsync per commit, power loss may lose the last moments; memory: nothing is kept. With "
            "Redis, replicated (auto): one replica has every acknowledged commit; strict: all of "
            "redis_replicas have, and servers sync their disks at every write; relaxed: the "
            "primary has, a failover may lose the last moments.",
        )
    )
    cells: tuple[str, ...] = Field(
        ("default",),
        description="Cells this process owns, or shares (placement), comma-separated.",
    )
    dev: bool = Field(False, description="Turn on gRPC reflection.")
    channelz: bool = Field(False, description="Turn on the channelz service.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe log line that is written."
    )
    log_format: Literal["json", "console"] = Field(
        "json", description="Form of log lines on standard error."
    )
    grace_s: float = Field(
        10.0, ge=0, le=600, description="Seconds that calls in flight may take after SIGTERM."
    )
    contacts_max: int = Field(
        1_100_000, ge=1, le=2_000_000, description="Contacts per cell, open and recently ended."
    )
    agents_max: int = Field(100_000, ge=1, le=200_000, description="Agents per cell.")
    queues_max: int = Field(10_000, ge=1, le=20_000, description="Queues per cell.")
    ended_max: int = Field(
        100_000,
        ge=0,
        le=2_000_000,
        description="Ended contacts kept readable; the oldest go first.",
    )
    ended_retention_ms: int = Field(
        600_000, ge=0, le=86_400_000, description="How long an ended contact is kept readable."
    )
    decisions_max: int = Field(
        20_000,
        ge=0,
        le=2_000_000,
        description="Decision records kept in memory; the oldest make room, 0 keeps none.",
    )
    reply_window_ms: int = Field(
        600_000, ge=1_000, le=86_400_000, description="How long replies are kept for retries."
    )
    replies_max: int = Field(
        1_000_000, ge=1, le=50_000_000, description="Replies kept for retries; the oldest go first."
    )
    inbox_max: int = Field(
        4_096,
        ge=1,
        le=1_000_000,
        description="Calls that may wait for a turn of a cell; more are shed: first new contacts, "
        "a quarter later reads, at twice as many the rest.",
    )
    calls_in_flight_max: int = Field(
        4_096,
        ge=1,
        le=1_000_000,
        description="Unary calls in flight; more are shed, in that order.",
    )
    streams_max: int = Field(
        1_024, ge=1, le=1_000_000, description="Streams open at a time; more are refused."
    )
    message_bytes_max: int = Field(
        1_048_576, ge=4_096, le=67_108_864, description="Largest message taken in."
    )
    connection_age_s: int = Field(
        1_800,
        ge=0,
        le=604_800,
        description="Age at which a connection is closed gracefully; 0 for never.",
    )
    keepalive_s: int = Field(
        30, ge=1, le=7_200, description="Seconds of silence before a connection is probed."
    )
    pin: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Run the loop on one core with SCHED_BATCH. auto: where the process may use "
        "more than one core and is not confined by a CPU quota.",
    )

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_lookalikes(cls, value: object, info: ValidationInfo) -> object:
        """Python takes true for 1, and an empty path for the present folder."""
        kind = cls.model_fields[info.field_name or ""].annotation
        if (isinstance(value, bool) and kind is not bool) or (
            kind is Path and isinstance(value, str) and (not value or "\0" in value)
        ):
            raise ValueError
        return value

    @field_validator("cells", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(filter(None, value.split(","))) if isinstance(value, str) else value

    @field_validator("cells")
    @classmethod
    def _check_cells(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) < len(value) or not all(map(is_cell, value)):
            raise ValueError
        return value

    @field_validator("log")
    @classmethod
    def _check_log(cls, value: str) -> str:
        if value != "sqlite":
            parse_redis_url(value)
        return value

    @field_validator("address", "metrics_address")
    @classmethod
    def _check_address(cls, value: str, info: ValidationInfo) -> str:
        if value or info.field_name != "metrics_address":
            split_address(value)
        return value

    @property
    def is_in_redis(self) -> bool:
        """Whether cells are kept in Redis."""
        return self.log != "sqlite"

    @property
    def is_in_file(self) -> bool:
        """Whether cells are kept in files."""
        return not self.is_in_redis and self.durability != "memory"

    @property
    def promise(self) -> str:
        """The durability, with auto settled."""
        if self.durability != "auto":
            return self.durability
        return "replicated" if self.is_in_redis else "full"


# What every engine has to do with first, Redis last.
_PARTS: Final = (
    *TelemetrySettings.model_fields,
    *PolicySettings.model_fields,
    *SecuritySettings.model_fields,
    *PlacementSettings.model_fields,
)
_LISTED: Final = (*(name for name in Settings.model_fields if name not in _PARTS), *_PARTS)


class BadSettings(BadConfiguration):
    """Settings that cannot be, one line for each."""

    def __init__(self, wrong: Sequence[BadConfiguration]) -> None:
        ValueError.__init__(self, "\n".join(map(str, wrong)))
        self.path = wrong[0].path


class Origin(NamedTuple):
    """A setting's value and where it came from."""

    name: str
    value: object
    origin: str


def load(
    flags: Mapping[str, Any],
    file: Path | None,
    environment: Mapping[str, str] | None = None,
    pairs: Mapping[str, str] | None = None,
) -> tuple[Settings, list[Origin]]:
    """
    Settle every setting, and say where each came from; `pairs` are those of `--set`.

    Raises
    ------
    BadConfiguration
        Values are out of range, names are unknown, or the file cannot be read; names the source of
        each and what was expected.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for name, value in _read_file(file).items():
        values[name], origins[name] = value, f"file {file}"
    for name in Settings.model_fields:
        variable = PREFIX + name.upper()
        if variable in environment:
            values[name], origins[name] = environment[variable], f"environment {variable}"
    for name, value in flags.items():
        if value is not None:
            values[name], origins[name] = value, f"flag --{name.replace('_', '-')}"
    for name, value in (pairs or {}).items():
        values[name], origins[name] = value, f"flag --set {name}"
    wrong = _unknown_variables(environment)
    try:
        settings = Settings.model_validate(values)
        wrong += _mismatched(settings, origins)
        wrong += _told_to_all(settings, origins)
    except ValidationError as error:
        names = dict.fromkeys(str(item["loc"][0]) for item in error.errors())
        wrong += [
            BadConfiguration(
                f"{origins[name]}: {name}", _shown(name, values[name]), _expected(name)
            )
            for name in names
        ]
    if wrong:
        raise wrong[0] if len(wrong) == 1 else BadSettings(wrong)
    listed = [
        Origin(name, _shown(name, getattr(settings, name)), origins.get(name, "default"))
        for name in _LISTED
    ]
    return settings, listed


def _shown(name: str, value: object) -> object:
    """A value as it may be shown: no password, be it in a URL or under a name that is a slip."""
    if _SECRETS.search(name) and name not in Settings.model_fields:
        return "***"
    return redacted(value) if isinstance(value, str) else value


def _mismatched(settings: Settings, origins: Mapping[str, str]) -> list[BadConfiguration]:
    """Settings that do not go together."""
    tiers = _TIERS[settings.is_in_redis]
    if settings.durability in ("auto", *tiers):
        return []
    where = redacted(settings.log)
    expected = f"auto, {', '.join(tiers[:-1])} or {tiers[-1]}, where log is {where}"
    path = f"{origins.get('durability', 'default')}: durability"
    return [BadConfiguration(path, settings.durability, expected)]


def _told_to_all(settings: Settings, origins: Mapping[str, str]) -> list[BadConfiguration]:
    """A password on the command line, which every user of the machine can read."""
    origin = origins.get("log", "")
    if not (origin.startswith("flag") and settings.is_in_redis):
        return []
    if not parse_redis_url(settings.log).password:
        return []
    expected = "no password on the command line: redis_password_file, or HEADGATE_LOG"
    return [BadConfiguration(f"{origin}: log", redacted(settings.log), expected)]


def _read_file(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadConfiguration(f"file {file}", error.strerror, "a readable TOML file") from None
    except UnicodeDecodeError as error:
        byte = f"byte 0x{error.object[error.start]:02x} at {error.start}"
        raise BadConfiguration(f"file {file}", byte, "valid TOML, which is UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise BadConfiguration(f"file {file}", str(error), "valid TOML") from None


def _unknown_variables(environment: Mapping[str, str]) -> list[BadConfiguration]:
    """Variables with our prefix that are no setting: a slip that would pass in silence."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}.union(_OTHER_VARIABLES)
    unknown = {
        name: value
        for name, value in environment.items()
        if name.startswith(PREFIX) and name not in known and not _OF_KUBERNETES.fullmatch(name)
    }
    return [
        BadConfiguration(
            f"environment {name}",
            _shown(name.lower(), value),
            f"the variable of a setting{_meant(name.removeprefix(PREFIX).lower(), PREFIX)}",
        )
        for name, value in unknown.items()
    ]


def _meant(name: str, prefix: str = "") -> str:
    close = difflib.get_close_matches(name, Settings.model_fields, n=1)
    shown = prefix + (close[0].upper() if prefix else close[0]) if close else ""
    return f" (did you mean {shown}?)" if close else ""


def _expected(name: str) -> str:
    """What a setting must be."""
    if name not in Settings.model_fields:
        return f"the name of a setting{_meant(name)}"
    field = Settings.model_fields[name]
    if field.annotation in (int, float):
        kind = "a whole number" if field.annotation is int else "a number"
        low, high = (
            next(getattr(bound, end) for bound in field.metadata if hasattr(bound, end))
            for end in ("ge", "le")
        )
        return f"{kind} of {low} to {high}"
    if get_origin(field.annotation) is Literal:
        *others, last = (f"'{word}'" for word in get_args(field.annotation))
        return f"{', '.join(others)} or {last}"
    return _SHAPES[name]


def describe() -> list[tuple[str, str, str, str]]:
    """Reference of every setting: name, environment variable, default, description."""
    rows = []
    for name in _LISTED:
        field = Settings.model_fields[name]
        default = (
            ",".join(field.default) if isinstance(field.default, tuple) else str(field.default)
        )
        rows.append((name, PREFIX + name.upper(), default, field.description or ""))
    return rows
