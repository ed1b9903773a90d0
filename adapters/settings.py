"""
Settings of `headgate serve`: flag > HEADGATE_* environment variable > file > default.

`describe` gives the reference in the README and the lines of `--print-config`; nothing reads the
environment elsewhere.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from engine.refusals import BadConfiguration

PREFIX: Final = "HEADGATE_"


class Settings(BaseModel):
    """Every setting, with its bounds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: str = Field(
        "127.0.0.1:7443", description="Where gRPC listens, HOST:PORT; port 0 picks a free one."
    )
    metrics_address: str = Field(
        "127.0.0.1:7444",
        description="Where /metrics, /healthz and /readyz listen, HOST:PORT; empty for none.",
    )
    data_dir: Path = Field(
        Path("headgate-data"),
        description="Folder of the sqlite files, one per cell; made when absent.",
    )
    durability: Literal["full", "normal", "memory"] = Field(
        "full",
        description="full: fsync before every acknowledgement. normal: no fsync per commit, power "
        "loss may lose the last moments. memory: nothing is kept.",
    )
    cells: tuple[str, ...] = Field(
        ("default",),
        description="Cells this process owns, comma-separated.",
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
        description="Calls that may wait for a turn of a cell; more are shed.",
    )
    calls_in_flight_max: int = Field(
        4_096, ge=1, le=1_000_000, description="Unary calls in flight; more are shed."
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

    @field_validator("cells", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(filter(None, value.split(","))) if isinstance(value, str) else value

    @field_validator("cells")
    @classmethod
    def _check_cells(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not (name and name.isascii() and name.replace("-", "").replace("_", "").isalnum()):
                message = f"cell {name!r}: expected letters, digits, - and _"
                raise ValueError(message)
        if not value or len(set(value)) < len(value):
            raise ValueError("expected one or more cells, each once")
        return value

    @field_validator("address", "metrics_address")
    @classmethod
    def _check_address(cls, value: str, info: ValidationInfo) -> str:
        if not value and info.field_name == "metrics_address":
            return value
        host, colon, port = value.rpartition(":")
        if not (host and colon and port.isdigit() and int(port) < 65_536):
            message = f"expected HOST:PORT with a port of 0 to 65535, got {value!r}"
            raise ValueError(message)
        return value


class Origin(NamedTuple):
    """A setting's value and where it came from."""

    name: str
    value: object
    origin: str


def load(
    flags: Mapping[str, Any], file: Path | None, environment: Mapping[str, str] | None = None
) -> tuple[Settings, list[Origin]]:
    """
    Settle every setting, and say where each came from.

    Raises
    ------
    BadConfiguration
        A value is out of range, a name is unknown, or the file cannot be read; names the source and
        what was expected.
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
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        source = origins.get(str(first["loc"][0]), "settings") if first["loc"] else "settings"
        raise BadConfiguration(f"{source}: {name}", first["input"], first["msg"]) from None
    listed = [
        Origin(name, getattr(settings, name), origins.get(name, "default"))
        for name in Settings.model_fields
    ]
    return settings, listed


def _read_file(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        return tomllib.loads(file.read_text())
    except OSError as error:
        raise BadConfiguration(f"file {file}", error.strerror, "a readable TOML file") from None
    except tomllib.TOMLDecodeError as error:
        raise BadConfiguration(f"file {file}", str(error), "valid TOML") from None


def describe() -> list[tuple[str, str, str, str]]:
    """Reference of every setting: name, environment variable, default, description."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = (
            ",".join(field.default) if isinstance(field.default, tuple) else str(field.default)
        )
        rows.append((name, PREFIX + name.upper(), default, field.description or ""))
    return rows
