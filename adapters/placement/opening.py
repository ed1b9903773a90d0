"""Placement, as the settings have it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from adapters.addresses import split_address
from adapters.exit_code import ExitCode
from adapters.open_cells import OpenCells
from adapters.placement.metrics import PlacementMetrics
from adapters.placement.part import Part
from adapters.redis_log.address import shown
from adapters.settings import Settings

if TYPE_CHECKING:
    from adapters.placement.placement import Placement

GiveUp = Callable[[str, ExitCode], None]

# Whose turn it is waits until it is told that it is not.
_FOR_EVER_S: Final = 1e9


def opening_settings(settings: Settings) -> Settings:
    """The settings by which cells are opened."""
    if not settings.placement:
        return settings
    return settings.model_copy(update={"lease_wait_s": _FOR_EVER_S})


def open_placement(
    settings: Settings, engine: str, opened: OpenCells, metrics: PlacementMetrics, give_up: GiveUp
) -> "Placement":
    """
    Make placement of an engine; connects to nothing yet.

    Raises
    ------
    BadConfiguration
        A file that the settings name cannot be used.
    """
    # Here, as in `open_cells`: what it needs of redis-py.
    from adapters.placement.placement import Placement
    from adapters.placement.registry_opening import registry_of

    part = Part(engine, settings.cells, settings.heartbeat_ms, settings.heartbeat_expiry_ms)
    return Placement(part, registry_of(settings), opened, metrics, give_up)


def advertised_address(settings: Settings, port: int) -> str:
    """Where callers and other engines reach an engine that listens on a port."""
    host, _ = split_address(settings.address)
    return settings.advertised_address or shown(host, port)
