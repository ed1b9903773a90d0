"""`headgate migrate`: cell by cell, until one is refused."""

import asyncio
import contextlib

import click

from adapters.commit_log import CommitLogError
from adapters.complaints import complain
from adapters.exit_code import ExitCode
from adapters.migration.moving import Contents, move
from adapters.migration.opening import open_source, open_target
from adapters.settings import Settings
from engine.refusals import BadConfiguration


def migrate_cells(source: Settings, target: Settings) -> int:
    """Move the cells that the settings name; returns the exit code."""
    left = list(source.cells)
    while left:
        try:
            found = asyncio.run(_moved(source, target, left[0]))
        except BadConfiguration as error:
            return _stopped(error, ExitCode.SETTINGS, left, source)
        except (CommitLogError, OSError) as error:
            return _stopped(error, ExitCode.ENVIRONMENT, left, source)
        click.echo(
            f"{left.pop(0)}: {found.rows} rows, {found.groups} groups of events, "
            f"{found.replies} of replies, digest {found.digest[:16]}"
        )
    click.echo("The source is as it was. Start the engine with the target, then put it away.")
    return int(ExitCode.STOPPED)


async def _moved(source_settings: Settings, target_settings: Settings, cell: str) -> Contents:
    source = open_source(source_settings, cell)
    target = open_target(target_settings, cell)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(source.close)
        stack.push_async_callback(target.close)
        return await move(source, target)


def _stopped(error: Exception, exit_code: ExitCode, left: list[str], source: Settings) -> int:
    """Say why, and which cells are where they were."""
    complain(f"cell {left[0]!r} was not moved: {error}")
    if len(left) < len(source.cells):
        complain(f"the cells before it were; go on with --cells {','.join(left)}")
    return int(exit_code)
