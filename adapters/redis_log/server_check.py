"""What a Redis or Valkey server must be for a tier of durability; asked once, at the start."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from adapters.redis_log.connection import RedisConnection

Tier = Literal["relaxed", "replicated", "strict"]

_OLDEST: Final = {"redis": (7, 0), "valkey": (8, 0)}
_MANAGED: Final = "CONFIG is not allowed here, so it could not be checked"


class Findings(NamedTuple):
    """
    What was found.

    Attributes
    ----------
    server
        Name and version.
    replicas
        How many follow the primary now.
    refusals
        What keeps the tier from being what it promises; the cell must not start.
    warnings
        What an operator should know.
    """

    server: str
    replicas: int
    refusals: tuple[str, ...]
    warnings: tuple[str, ...]


async def check_server(connection: RedisConnection, tier: Tier, wait_replicas: int) -> Findings:
    """
    Compare a primary with what a tier needs.

    Parameters
    ----------
    connection
        Leads to the primary.
    tier
        What is promised.
    wait_replicas
        Replicas that each commit waits for.

    Raises
    ------
    RedisUnreachable
        It did not answer.
    """
    told = await connection.ask_one(b"INFO")
    if not isinstance(told, bytes):
        # Some managed services allow nothing but data commands.
        warning = f"INFO is not allowed here ({told}), so nothing of the server could be checked"
        return Findings("unknown", 0, (), (warning,))
    info = parse_info(told)
    fsync = await _setting(connection, b"appendfsync")
    return judge(info, fsync, tier, wait_replicas)


def judge(info: Mapping[str, str], fsync: str | None, tier: Tier, wait_replicas: int) -> Findings:
    """
    Judge what a server said of itself.

    Parameters
    ----------
    info
        Fields of INFO.
    fsync
        The setting appendfsync; None when it could not be read.
    tier, wait_replicas
        As of `check_server`.
    """
    refusals: list[str] = []
    warnings: list[str] = []
    # A tier that promises more than the server gives is refused; `relaxed` is told what it is.
    lacks = warnings if tier == "relaxed" else refusals
    kind, version = _server(info)
    if _numbers(version) < _OLDEST[kind]:
        oldest = " or ".join(f"{name} {a}.{b}" for name, (a, b) in _OLDEST.items())
        refusals.append(f"{kind} {version} is too old; expected {oldest}, or newer")
    if info.get("aof_enabled") != "1":
        lacks.append(
            "appendonly is no: a restarted primary comes back empty and its replicas copy that; "
            "set appendonly yes on every server"
        )
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        lacks.append(
            f"maxmemory-policy is {policy}: rows may be evicted; set maxmemory-policy noeviction"
        )
    replicas = sum("state=online" in value for name, value in info.items() if name[:5] == "slave")
    _judge_replicas(replicas, tier, wait_replicas, (refusals, warnings))
    if tier == "strict" and fsync != "always":
        is_unknown = fsync is None
        text = _MANAGED if is_unknown else f"appendfsync is {fsync}; set appendfsync always"
        (warnings if is_unknown else refusals).append(
            f"{text} on every server: strict promises that a loss of power everywhere loses nothing"
        )
    if info.get("aof_last_write_status", "ok") != "ok":
        lacks.append("its last write to the append-only file failed; make room on its disk")
    return Findings(f"{kind} {version}", replicas, tuple(refusals), tuple(warnings))


def _judge_replicas(
    replicas: int, tier: Tier, wait_replicas: int, into: tuple[list[str], list[str]]
) -> None:
    refusals, warnings = into
    if tier == "relaxed":
        if replicas == 0:
            warnings.append("has no replica: what is acknowledged is on its own disk only")
        return
    if replicas < wait_replicas:
        refusals.append(
            f"has {replicas} replicas, {tier} waits for {wait_replicas}; "
            "start them, or choose durability relaxed"
        )
    elif replicas == 1 and tier == "replicated":
        warnings.append(
            "has one replica only: after a failover commits wait until the lost server is back; "
            "have two"
        )


async def _setting(connection: RedisConnection, name: bytes) -> str | None:
    match await connection.ask_one(b"CONFIG", b"GET", name):
        case [_, bytes(value)]:
            return value.decode()
        case _:
            return None


def parse_info(told: bytes) -> dict[str, str]:
    """Fields of an INFO reply."""
    lines = told.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


def _server(info: Mapping[str, str]) -> tuple[str, str]:
    if "valkey_version" in info:
        return "valkey", info["valkey_version"]
    return "redis", info.get("redis_version", "0")


def _numbers(version: str) -> tuple[int, ...]:
    """The version's first two numbers."""
    found = [int(part) for part in version.split(".")[:2] if part.isdecimal()]
    return tuple(found) if len(found) == 2 else (0, 0)
