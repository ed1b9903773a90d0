"""Settings of `headgate serve` that matter where cells or readings are kept in Redis or Valkey."""

import re
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from adapters.readable_file import PEM_FILE, READABLE_FILE, readable
from adapters.redis_log.address import EXPECTED, parse_redis_url

_PREFIXES: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_STREAMS: Final = re.compile(r"[A-Za-z0-9._:{}-]{1,128}")
_GROUPS: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
# What those must be that are neither numbers nor words of a list.
REDIS_SHAPES: Final = {
    "redis_prefix": "1 to 64 letters, digits, - _ . and :",
    "redis_password_file": READABLE_FILE,
    "redis_ca_file": PEM_FILE,
    "redis_certificate_file": PEM_FILE,
    "redis_key_file": PEM_FILE,
    "engine_name": "up to 256 bytes that can be printed",
    "telemetry_stream": EXPECTED.replace("'sqlite'", "nothing"),
    "telemetry_stream_key": "1 to 128 letters, digits, - _ . : { and }",
    "telemetry_stream_group": "1 to 128 letters, digits, - _ . and :",
    "telemetry_stream_password_file": READABLE_FILE,
}


class RedisSettings(BaseModel):
    """Those settings, with their bounds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    redis_replicas: int = Field(
        2, ge=1, le=10, description="Replicas each primary is set up with; strict waits for all."
    )
    redis_prefix: str = Field("headgate", description="Beginning of every key, PREFIX:{CELL}:NAME.")
    redis_password_file: str = Field(
        "", description="File with the password of the URL's user; nothing for the URL's own."
    )
    redis_ca_file: str = Field(
        "", description="Certificates to trust in TLS to Redis, PEM; nothing for the system's."
    )
    redis_certificate_file: str = Field(
        "", description="Certificate to show to Redis, PEM; nothing for none."
    )
    redis_key_file: str = Field("", description="Key of that certificate, PEM.")
    redis_timeout_ms: int = Field(
        500,
        ge=10,
        le=60_000,
        description="How long Redis may be silent, connecting and in an answer.",
    )
    redis_wait_ms: int = Field(
        300, ge=10, le=60_000, description="How long one try of a commit waits for replicas."
    )
    in_doubt_s: float = Field(
        15.0,
        ge=0,
        le=600,
        description="How long a commit to Redis is tried again, through a failover say, before its "
        "callers get UNAVAILABLE.",
    )
    lease_ms: int = Field(
        1_500,
        ge=200,
        le=600_000,
        description="How long a cell in Redis stays an engine's own after its last sign of life.",
    )
    lease_wait_s: float = Field(
        3.0,
        ge=0,
        le=31_536_000,
        description="How long a start waits for another engine's lease to lapse; long for a "
        "standby.",
    )
    engine_name: str = Field(
        "",
        description="Name in the lease, one for each engine; an engine that comes back under its "
        "name need not wait. Nothing for HOST:PID.",
    )
    telemetry_stream: str = Field(
        "",
        description="URL of a Redis or Valkey with a stream of readings, in the forms that log "
        "has, with the files for TLS of redis_*; nothing for none.",
    )
    telemetry_stream_key: str = Field(
        "headgate:{telemetry}",
        description="Name of that stream. What cannot be taken goes to NAME:dead.",
    )
    telemetry_stream_group: str = Field(
        "headgate",
        description="Consumer group that reads it, made when absent; one for the engine and its "
        "standbys. The consumer has the engine's name.",
    )
    telemetry_stream_password_file: str = Field(
        "", description="File with the password of that URL's user; nothing for the URL's own."
    )

    @field_validator("redis_prefix")
    @classmethod
    def _check_prefix(cls, value: str) -> str:
        if not _PREFIXES.fullmatch(value):
            raise ValueError
        return value

    @field_validator("telemetry_stream")
    @classmethod
    def _check_stream(cls, value: str) -> str:
        if value:
            parse_redis_url(value)
        return value

    @field_validator("telemetry_stream_key")
    @classmethod
    def _check_key(cls, value: str) -> str:
        if not _STREAMS.fullmatch(value):
            raise ValueError
        return value

    @field_validator("telemetry_stream_group")
    @classmethod
    def _check_group(cls, value: str) -> str:
        if not _GROUPS.fullmatch(value):
            raise ValueError
        return value

    _check_redis_files = field_validator(
        "redis_password_file",
        "redis_ca_file",
        "redis_certificate_file",
        "redis_key_file",
        "telemetry_stream_password_file",
    )(readable)

    @field_validator("engine_name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if len(value.encode()) > 256 or not value.isprintable():
            raise ValueError
        return value
