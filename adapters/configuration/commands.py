"""`headgate export` and `headgate apply`: between a file and a cell."""

import asyncio
import uuid
from pathlib import Path

import click
import grpc.aio

from adapters.complaints import complain, refused, wrong_address
from adapters.configuration.cell import Failure, NewerEngine, apply_changes, read_cell
from adapters.configuration.difference import Difference, compare, still_named
from adapters.configuration.document import (
    QUEUES,
    Configuration,
    ConfigurationRefused,
    Declared,
    as_yaml,
    read_configuration,
    unknown_queues,
)
from adapters.configuration.fields import Problem
from adapters.engine_options import EngineAt
from adapters.exit_code import ExitCode
from adapters.one_call import not_answered
from adapters.standard_output import write_text


def export_cell(engine: EngineAt, cell: str, output: Path | None) -> int:
    """Write the configuration of a cell; returns the exit code."""
    if (wrong := wrong_address(engine.address)) is not None:
        return refused(wrong)
    try:
        configuration = asyncio.run(_read(engine, cell))
    except NewerEngine as error:
        complain(str(error))
        return int(ExitCode.ENVIRONMENT)
    except grpc.aio.AioRpcError as error:
        return not_answered(error, engine.address)
    return write_text(as_yaml(configuration), output, "the configuration")


def apply_file(
    path: Path, engine: EngineAt, cell: str, *, is_dry_run: bool, is_pruned: bool
) -> int:
    """Bring a cell to what a file says, or only tell what would change; returns the exit code."""
    if (wrong := wrong_address(engine.address)) is not None:
        return refused(wrong)
    try:
        declared = read_configuration(path)
    except ConfigurationRefused as error:
        return refused(*(f"{path}: {item}" for item in error.problems))
    except OSError as error:
        return refused(f"{path}: {error.strerror}")
    try:
        return asyncio.run(_apply(path, declared, engine, cell, is_dry_run, is_pruned))
    except NewerEngine as error:
        complain(str(error))
        return int(ExitCode.ENVIRONMENT)
    except grpc.aio.AioRpcError as error:
        return not_answered(error, engine.address)


async def _read(engine: EngineAt, cell: str) -> Configuration:
    async with engine.client() as client:
        return await read_cell(client, cell)


async def _apply(  # noqa: PLR0913  (what the command line says)
    path: Path, declared: Declared, engine: EngineAt, cell: str, is_dry_run: bool, is_pruned: bool
) -> int:
    async with engine.client() as client:
        present = await read_cell(client, cell)
        difference = compare(declared.configuration, present, is_pruned=is_pruned)
        problems = _problems(declared, present, difference, is_pruned)
        if problems:
            return refused(*(f"{path}: {item}" for item in problems))
        for line in difference.lines():
            click.echo(line)
        if is_dry_run:
            return int(ExitCode.DIFFERENT if difference.changes else ExitCode.STOPPED)
        run_id = f"apply-{uuid.uuid4().hex}"
        failures = await apply_changes(client, cell, difference.changes, run_id)
    return _told(failures, len(difference.changes))


def _problems(
    declared: Declared, present: Configuration, difference: Difference, is_pruned: bool
) -> list[Problem]:
    """What no part of the file can tell by itself."""
    is_kept = not (is_pruned and QUEUES.name in declared.configuration)
    known = present[QUEUES.name] if is_kept else None
    return [
        *unknown_queues(declared, known),
        *still_named(declared.configuration, present, difference),
    ]


def _told(failures: list[Failure], count: int) -> int:
    for failure in failures:
        kind = failure.change.kind.value
        click.echo(f"headgate: {failure.change}: not {kind}: {failure.why}", err=True)
    if failures:
        click.echo(f"headgate: {len(failures)} of {count} changes were not made", err=True)
        return int(ExitCode.NOT_APPLIED)
    if count:
        click.echo(f"applied {count} change{'s' if count > 1 else ''}")
    return int(ExitCode.STOPPED)
