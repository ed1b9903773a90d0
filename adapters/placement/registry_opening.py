"""Where the engines of some settings tell each other that they live."""

from adapters.placement.registry import EngineRegistry
from adapters.redis_log.opening import address_of
from adapters.settings import Settings


def registry_of(settings: Settings) -> EngineRegistry:
    """
    Make a way to the engines' keys; connects to nothing yet.

    Raises
    ------
    BadConfiguration
        A file that the settings name cannot be used.
    """
    within_s = settings.redis_timeout_ms / 1_000
    return EngineRegistry(address_of(settings), settings.redis_prefix, within_s)
