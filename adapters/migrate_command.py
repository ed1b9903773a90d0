"""`headgate migrate`: its options. What it does stands in adapters/migration, imported when run."""

import sys
from pathlib import Path

import click


@click.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--cells", help="Cells to move, comma-separated.  [default: default]")
@click.option("--durability", help="What TO is to promise: as for `serve`.")
@click.option("--config", type=click.Path(path_type=Path), help="TOML file of settings.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Any other setting.")
def migrate(  # noqa: PLR0913  (what the command line says)
    source: str, target: str, cells: str | None, durability: str | None, config: Path | None,
    settings: tuple[str, ...],
) -> None:  # fmt: skip
    """Move cells from one store to another: sqlite to Redis, or back.

    FROM and TO are data folders of sqlite files, or URLs of a Redis as `serve` takes them with
    --log. Stop the engine first: a cell that is owned is refused, and so is one that TO has
    already. Everything goes: contacts, agents, queues, policies, replies kept for retries, and the
    events that watchers have not read, under the same numbers.

    A cell is complete in TO, read back and compared, or not there. Where the command is killed
    half way no engine begins with what is there, and the next `migrate` starts over. FROM is only
    read. Settings (redis_prefix, files with passwords and for TLS) count for both.

    Exit codes: 0 all were moved, 2 wrong usage or setting, 3 the environment refused (a side is
    owned, TO is not empty, a server out of reach or unfit): the first cell that was not moved is
    named.
    """
    from adapters.complaints import refused
    from adapters.migration.command import migrate_cells
    from adapters.migration.opening import settings_of
    from adapters.settings_flags import parse_pairs
    from engine.refusals import BadConfiguration

    try:
        pairs = parse_pairs(settings)
        flags = {"cells": cells}
        reading = settings_of(source, config, pairs, {**flags, "durability": "auto"})
        writing = settings_of(target, config, pairs, {**flags, "durability": durability})
    except BadConfiguration as error:
        sys.exit(refused(*str(error).splitlines()))
    sys.exit(migrate_cells(reading, writing))
