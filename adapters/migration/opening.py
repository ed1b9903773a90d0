"""Sources and targets, as the words of the command line and the settings have them."""

from pathlib import Path
from typing import Final

from adapters import settings as settings_module
from adapters.migration.file_store import FileSource, FileTarget
from adapters.migration.redis_store import RedisSource, RedisTarget
from adapters.migration.stores import Source, Target
from adapters.redis_log.opening import address_of, promise_of
from adapters.redis_log.primary import RedisPrimary
from adapters.redis_log.scripts import Keys
from adapters.settings import Settings
from engine.refusals import BadConfiguration

# A page may be large, and nobody waits for a single answer.
_ANSWER_WITHIN_S: Final = 10.0


def settings_of(
    place: str, config: Path | None, pairs: dict[str, str], flags: dict[str, str | None]
) -> Settings:
    """
    Settings of an engine whose cells are in a place, a folder or the URL of a Redis.

    Raises
    ------
    BadConfiguration
        A setting is wrong, or they do not go together.
    """
    where = {"log": place} if "://" in place else {"log": "sqlite", "data_dir": place}
    found, _ = settings_module.load({**flags, **where}, config, pairs=pairs)
    if not (found.is_in_redis or found.is_in_file):
        raise BadConfiguration("durability", found.durability, "one that keeps something")
    return found


def open_source(settings: Settings, cell: str) -> Source:
    """Make the source of a cell; opens nothing yet. Raises BadConfiguration."""
    if settings.is_in_redis:
        return RedisSource(*_place_of(settings, cell))
    return FileSource(settings.data_dir / f"{cell}.sqlite", cell)


def open_target(settings: Settings, cell: str) -> Target:
    """Make the target of a cell; opens nothing yet. Raises BadConfiguration."""
    if not settings.is_in_redis:
        return FileTarget(settings.data_dir / f"{cell}.sqlite", cell)
    tier, wait_replicas = promise_of(settings)
    return RedisTarget(
        *_place_of(settings, cell),
        tier=tier,
        wait_replicas=wait_replicas,
        reply_window_ms=settings.reply_window_ms,
    )


def _place_of(settings: Settings, cell: str) -> tuple[RedisPrimary, Keys]:
    primary = RedisPrimary(address_of(settings), cell, _ANSWER_WITHIN_S)
    return primary, Keys.of(settings.redis_prefix, cell)
