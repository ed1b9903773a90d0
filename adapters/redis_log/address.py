"""
Where a cell's Redis is: the URL of the setting `log`.

    redis://[USER[:PASSWORD]@]HOST[:PORT][/DATABASE]           one server, named directly
    redis+sentinel://[...@]HOST[:PORT],HOST.../SERVICE[/DATABASE]   Sentinels say who is primary
    redis+cluster://[...@]HOST[:PORT],HOST[:PORT]...           the cluster says who has the slot

`rediss` instead of `redis` for TLS. Credentials are for the servers that hold the data.
"""

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Final
from urllib.parse import unquote

EXPECTED: Final = (
    "'sqlite', or redis://HOST:PORT, redis+sentinel://HOST:PORT,.../SERVICE or "
    "redis+cluster://HOST:PORT,..., with rediss for TLS"
)
_URL: Final = re.compile(
    r"(redis|rediss)(\+sentinel|\+cluster)?://(?:([^@/]*)@)?([^/@]+)(?:/(.*))?"
)
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?")
_CREDENTIALS: Final = re.compile(r"//[^/]*@")
_PORTS: Final = {"standalone": 6379, "sentinel": 26379, "cluster": 6379}


class Topology(Enum):
    """Who says which server is the primary."""

    STANDALONE = "standalone"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """
    Files for TLS; "" where there is none.

    Attributes
    ----------
    ca
        Certificates to trust, PEM; "" trusts what the system trusts.
    certificate, key
        What the engine shows of itself, PEM; both or neither.
    """

    ca: str = ""
    certificate: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """
    A parsed URL.

    Attributes
    ----------
    topology
        Who says which server is the primary.
    hosts
        Servers, Sentinels or nodes to ask, in the order given.
    service
        Name the Sentinels know; "" elsewhere.
    database
        Number of the database; 0 in a cluster.
    username, password
        "" where the server asks for none; never shown.
    tls
        None without TLS.
    """

    topology: Topology
    hosts: tuple[tuple[str, int], ...]
    service: str = ""
    database: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    tls: TlsFiles | None = None

    def __str__(self) -> str:
        """The address without the credentials."""
        scheme = "redis" if self.tls is None else "rediss"
        if self.topology is not Topology.STANDALONE:
            scheme += f"+{self.topology.value}"
        hosts = ",".join(shown(*host) for host in self.hosts)
        path = "/".join(filter(None, (self.service, str(self.database or ""))))
        return f"{scheme}://{hosts}" + (f"/{path}" if path else "")


def shown(host: str, port: int) -> str:
    """HOST:PORT, an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def redacted(url: str) -> str:
    """A URL as it may be shown: whatever stands before an @ is left out."""
    return _CREDENTIALS.sub("//***@", url)


def parse_redis_url(url: str) -> RedisAddress:
    """
    Take a URL apart.

    Raises
    ------
    ValueError
        It is not one of the three forms; says what is wrong, without the credentials.
    """
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError(f"expected {EXPECTED}")
    scheme, kind, credentials, hosts, path = match.groups()
    topology = Topology(kind[1:]) if kind else Topology.STANDALONE
    parsed = tuple(_host(text, topology) for text in hosts.split(","))
    if topology is Topology.STANDALONE and len(parsed) > 1:
        raise ValueError("expected one host; several are for redis+sentinel:// or redis+cluster://")
    service, database = _path(path or "", topology)
    username, _, password = (credentials or "").partition(":")
    return RedisAddress(
        topology,
        parsed,
        service,
        database,
        unquote(username),
        unquote(password),
        TlsFiles() if scheme == "rediss" else None,
    )


def _host(text: str, topology: Topology) -> tuple[str, int]:
    match = _HOST.fullmatch(text)
    port = int(match[2] or _PORTS[topology.value]) if match else 0
    if match is None or not (0 < port < 65_536):
        raise ValueError(f"expected HOST:PORT, got {text!r}")
    return match[1].strip("[]"), port


def _path(path: str, topology: Topology) -> tuple[str, int]:
    """Service and database."""
    parts = path.split("/") if path else []
    service = parts.pop(0) if topology is Topology.SENTINEL and parts else ""
    if topology is Topology.SENTINEL and not service:
        raise ValueError("expected the service the Sentinels watch, as in ...:26379/mymaster")
    database = parts.pop(0) if parts else "0"
    if parts or not database.isdecimal() or len(database) > 5:
        raise ValueError(f"expected a database number after the host, got {path!r}")
    if topology is Topology.CLUSTER and int(database):
        raise ValueError(f"expected database 0, a cluster has no other, got {database}")
    return service, int(database)
