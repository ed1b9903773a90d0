"""`headgate cells`: its options; what it does stands beside."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from engine.durations import parse_duration

if TYPE_CHECKING:
    from adapters.settings import Settings

_LONGEST_MS: Final = 366 * 86_400_000
_OPTIONS: Final = (
    click.option("--config", type=click.Path(path_type=Path), help="TOML file of settings."),
    click.option("--log", help="URL of the Redis of the cells: redis://HOST:PORT and other forms."),
    click.option("--cells", help="Cells that are shared, comma-separated."),
    click.option(
        "--set", "pairs", multiple=True, metavar="NAME=VALUE",
        help="Any other setting of the engines, redis_prefix for one.",
    ),
)  # fmt: skip


def _milliseconds(_context: click.Context, option: click.Parameter, value: str) -> int:
    """A length of time in milliseconds, 0 for none."""
    try:
        found = parse_duration(value) if value else 0
    except ValueError as error:
        found = None
        expected = str(error)
    if isinstance(found, float | int) and 0 <= found <= _LONGEST_MS:
        return round(found)
    expected = "a year at most" if found is not None else expected
    raise click.BadParameter(f"expected {expected}, got {value!r}", param=option)


_for = click.option(
    "--for", "for_ms", default="", metavar="TIME", callback=_milliseconds,
    help="How long, such as 30m or 2h; without it until --undo.",
)  # fmt: skip
_undo = click.option("--undo", is_flag=True, help="Take that back.")
_wait = click.option(
    "--wait", "wait_ms", default="10s", show_default=True, metavar="TIME", callback=_milliseconds,
    help="How long to wait until it is so; 0s for not at all.",
)  # fmt: skip


def _with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options by which engines find their Redis; it gets `settings`."""

    @functools.wraps(command)
    def with_settings(
        *, config: Path | None, log: str | None, cells: str | None, pairs: tuple[str, ...],
        **others: Any,
    ) -> None:  # fmt: skip
        from adapters import settings as settings_module
        from adapters.complaints import complain
        from adapters.exit_code import ExitCode
        from adapters.settings_flags import parse_pairs
        from engine.refusals import BadConfiguration

        try:
            given = {"log": log, "cells": cells}
            loaded, _ = settings_module.load(given, config, pairs=parse_pairs(pairs))
            if not loaded.is_in_redis:
                raise BadConfiguration("log", loaded.log, "the URL of a Redis or Valkey")
        except BadConfiguration as error:
            complain(*str(error).splitlines())
            sys.exit(ExitCode.SETTINGS)
        command(settings=loaded, **others)

    for option in reversed(_OPTIONS):
        with_settings = option(with_settings)
    return with_settings


@click.group()
def cells() -> None:
    """Tell which engine has which cell, and put cells elsewhere.

    For cells that engines share (the setting `placement`). These commands ask the Redis of the
    engines, by the same settings: they work whether or not any engine answers.
    """


@cells.command("list")
@click.option("--json", "as_json", is_flag=True, help="Every field, as JSON.")
@_with_settings
def list_(settings: "Settings", as_json: bool) -> None:
    """List cells with their owners, and engines with their heartbeats.

    Of each cell its owner, where that is reached, the epoch, since when, and how long the lease
    lasts unless it is renewed. Exit codes: 0 done, 2 wrong usage or setting, 3 Redis does not
    answer.
    """
    from adapters.cells_command.listing import list_cells

    sys.exit(list_cells(settings, as_json=as_json))


@cells.command()
@click.argument("cell")
@click.argument("engine", required=False, default="")
@_for
@_undo
@_wait
@_with_settings
def move(  # noqa: PLR0913  (what the command line says)
    settings: "Settings", cell: str, engine: str, for_ms: int, undo: bool, wait_ms: int
) -> None:
    """Put CELL on ENGINE, whatever the ranking says.

    Where that engine is gone, drains or cannot open the cell, the ranking counts meanwhile. Exit
    codes: 0 done, 2 wrong usage, no such cell or engine, or nothing to take back; 3 Redis does not
    answer; 6 it was said, and is not so yet after --wait.
    """
    from adapters.cells_command.placing import move_cell, undo_move

    if bool(engine) == undo:
        raise click.UsageError("expected ENGINE or --undo")
    if undo:
        sys.exit(undo_move(settings, cell))
    sys.exit(move_cell(settings, cell, engine, for_ms, wait_ms))


@cells.command()
@click.argument("engine")
@_for
@_undo
@_wait
@_with_settings
def drain(settings: "Settings", engine: str, for_ms: int, undo: bool, wait_ms: int) -> None:
    """Have ENGINE give its cells to the others, and take none.

    It goes on telling callers who has which cell. One that is stopped by SIGTERM does that by
    itself. Exit codes: 0 done, 2 wrong usage, no such engine, or nothing to take back; 3 Redis does
    not answer; 6 it was said, and the engine still has cells after --wait: nobody can take them.
    """
    from adapters.cells_command.placing import drain_engine, undo_drain

    if undo:
        sys.exit(undo_drain(settings, engine))
    sys.exit(drain_engine(settings, engine, for_ms, wait_ms))
