"""Settings of `headgate serve` that matter where engines share cells, or contacts cross them."""

from typing import Final, Literal

from pydantic import Field, field_validator

from adapters.addresses import is_everywhere, split_address
from adapters.cell_names import is_cell
from adapters.readable_file import PEM_FILE, READABLE_FILE, readable
from adapters.redis_log.settings import REDIS_SHAPES, RedisSettings
from engine.refusals import BadConfiguration

# Beats of an engine that may go missing before the others take it for dead, at the least.
_BEATS_MIN: Final = 2
# What those must be that are neither numbers nor words of a list.
PLACEMENT_SHAPES: Final = {
    **REDIS_SHAPES,
    "placement": "true or false",
    "advertised_address": "HOST:PORT with a port of 1 to 65535, an IPv6 host in brackets, or "
    "nothing",
    "relay_ca_file": PEM_FILE,
    "neighbours": "cells, each once, some as NAME=HOST:PORT",
    "neighbour_token_file": READABLE_FILE,
}


class PlacementSettings(RedisSettings):
    """Those settings, with their bounds, after those of Redis."""

    placement: bool = Field(
        False,
        description="Share the cells with all engines that have the same log, redis_prefix and "
        "cells: each cell goes to one of them, and to another when that one leaves.",
    )
    advertised_address: str = Field(
        "",
        description="Where callers and other engines reach this one, HOST:PORT; nothing for "
        "address.",
    )
    heartbeat_ms: int = Field(
        300,
        ge=50,
        le=60_000,
        description="How often an engine tells the others that it lives.",
    )
    heartbeat_expiry_ms: int = Field(
        1_500,
        ge=200,
        le=600_000,
        description="Silence after which the others take it for dead; twice heartbeat_ms at least.",
    )

    relay: Literal["off", "asked", "on"] = Field(
        "asked",
        description="Which unary calls for a cell of another engine are passed on to it, once, "
        "for callers that cannot follow NOT_OWNER: none, those with the metadata headgate-relay, "
        "or all.",
    )
    relay_ca_file: str = Field(
        "",
        description="Certificates to trust in TLS to other engines, PEM; nothing for the system's.",
    )

    neighbours: tuple[str, ...] = Field(
        (),
        description="Cells that policies may send contacts to, comma-separated: names of cells, or "
        "NAME=HOST:PORT of another engine's, or of one of several that share it.",
    )
    neighbour_token_file: str = Field(
        "", description="Token to show to the engines of other neighbours; its role is engine."
    )

    _check_relay_file = field_validator("relay_ca_file", "neighbour_token_file")(readable)

    @field_validator("neighbours", mode="before")
    @classmethod
    def _split_neighbours(cls, value: object) -> object:
        return tuple(filter(None, value.split(","))) if isinstance(value, str) else value

    @field_validator("neighbours")
    @classmethod
    def _check_neighbours(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        names = [item.partition("=")[0] for item in value]
        addresses = [item.partition("=")[2] for item in value if "=" in item]
        are_addresses = all(split_address(address)[1] for address in addresses)
        if len(set(names)) < len(names) or not (are_addresses and all(map(is_cell, names))):
            raise ValueError
        return value

    @property
    def neighbour_addresses(self) -> dict[str, str]:
        """Where to ask for each neighbour, "" for those of this engine or of its fleet."""
        parts = (item.partition("=") for item in self.neighbours)
        return {name: address for name, _, address in parts}

    @field_validator("advertised_address")
    @classmethod
    def _check_advertised(cls, value: str) -> str:
        if value and split_address(value)[1] == 0:
            raise ValueError
        return value


def require_neighbours(settings: PlacementSettings, cells: tuple[str, ...]) -> None:
    """
    See whether it is known where each neighbour is.

    Raises
    ------
    BadConfiguration
        One has no address and is no cell of this engine.
    """
    for name, address in settings.neighbour_addresses.items():
        if not address and name not in cells:
            expected = f"{name}=HOST:PORT, or one of the cells {', '.join(cells)}"
            raise BadConfiguration("neighbours", name, expected)
        if address and name in cells:
            expected = f"{name} alone: it is a cell of this engine"
            raise BadConfiguration("neighbours", f"{name}={address}", expected)


def require_shareable(settings: PlacementSettings, log: str, address: str) -> None:
    """
    See whether an engine with these settings may share cells, where it is to.

    Raises
    ------
    BadConfiguration
        Settings do not go together.
    """
    if not settings.placement:
        return
    if log == "sqlite":
        raise BadConfiguration("log", log, "the URL of a Redis or Valkey, where placement is true")
    if settings.telemetry_stream:
        expected = "nothing, where placement is true: bring readings by Ingest"
        raise BadConfiguration("telemetry_stream", "a stream", expected)
    if not settings.advertised_address and is_everywhere(address):
        expected = f"HOST:PORT that others can reach, where address is {address}"
        raise BadConfiguration("advertised_address", "nothing", expected)
    least_ms = _BEATS_MIN * settings.heartbeat_ms
    if settings.heartbeat_expiry_ms < least_ms:
        expected = f"{least_ms} at least, where heartbeat_ms is {settings.heartbeat_ms}"
        raise BadConfiguration("heartbeat_expiry_ms", settings.heartbeat_expiry_ms, expected)
