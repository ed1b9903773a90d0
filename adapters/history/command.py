"""`headgate history import`: a file's counts taught to an engine."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Final

import click
import grpc.aio

from adapters.complaints import complain, refused, wrong_address
from adapters.engine_options import EngineAt
from adapters.exit_code import ExitCode
from adapters.history.counting import UNKNOWN, QueuePast, count_rows
from adapters.history.layout import BUCKET_S, HistoryRefused, Layout
from adapters.history.summary import summary_lines
from adapters.history.table import read_rows
from adapters.one_call import not_answered
from headgate.client import Client
from headgate.v1.telemetry_service_pb2 import (
    GetForecastRequest,
    ImportHistoryRequest,
    ImportHistoryResponse,
)

# Steps of a message, and seconds that learning one queue's past may take.
_PART_STEPS: Final = 2_016
_TIMEOUT_S: Final = 600.0
_ASKED_AT_ONCE: Final = 100
# What was asked cannot be done: other words would help, another engine would not.
_REFUSALS: Final = (
    grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ABORTED,
)  # fmt: skip


def read_history(path: Path, layout: Layout) -> Mapping[str, QueuePast]:
    """
    All that a file says, by queue.

    Raises
    ------
    HistoryRefused
        It cannot be read as asked.
    OSError
        It cannot be read at all.
    """
    return count_rows(read_rows(path, layout), layout)


def import_history(
    path: Path, layout: Layout, place: tuple[EngineAt, str], *, is_dry_run: bool, replaces: bool
) -> int:
    """
    Teach an engine what a file says, or only tell it; returns the exit code.

    Parameters
    ----------
    place
        The engine, and its cell.
    """
    engine, cell = place
    if (wrong := wrong_address(engine.address)) is not None:
        return refused(wrong)
    try:
        pasts = read_history(path, layout)
    except HistoryRefused as error:
        return refused(*(f"{path}: {problem}" for problem in error.problems))
    except OSError as error:
        return refused(f"{path}: {error.strerror or error}")
    for queue_id, past in pasts.items():
        for line in summary_lines(queue_id, past, layout.zone):
            click.echo(line)
    if is_dry_run:
        return int(ExitCode.STOPPED)
    try:
        return asyncio.run(_send_all(pasts, engine, cell, replaces=replaces))
    except grpc.aio.AioRpcError as error:
        if error.code() in _REFUSALS:
            return refused(f"{error.details()}")
        return not_answered(error, engine.address)


async def _send_all(
    pasts: Mapping[str, QueuePast], engine: EngineAt, cell: str, *, replaces: bool
) -> int:
    """Send one queue after the other; nothing at all where one of several cannot be taken."""
    async with engine.client() as client:
        if len(pasts) > 1:
            problems = [line async for line in _problems(client, cell, list(pasts), replaces)]
            if problems:
                return refused(*problems)
        for place, (queue_id, past) in enumerate(pasts.items()):
            try:
                told = await _send(client, cell, queue_id, past, replaces=replaces)
            except grpc.aio.AioRpcError:
                if place:
                    complain(f"{place} of {len(pasts)} queues are done, {queue_id!r} is not:")
                raise
            click.echo(f"{queue_id}: learned from {told.days:,} days, {told.steps:,} steps")
    return int(ExitCode.STOPPED)


async def _problems(
    client: Client, cell: str, queue_ids: list[str], replaces: bool
) -> AsyncIterator[str]:
    """Which of several queues would be refused."""
    for begin in range(0, len(queue_ids), _ASKED_AT_ONCE):
        some = queue_ids[begin : begin + _ASKED_AT_ONCE]
        request = GetForecastRequest(cell=cell, queue_ids=some, horizon_ms=1_000 * BUCKET_S)
        reply = await client.call(client.telemetry.GetForecast, request)
        for item in reply.forecasts:
            if item.days_learned and not replaces:
                yield (
                    f"queue {item.queue_id!r} has learned from {item.days_learned} days, which "
                    "--replace would forget; nothing was sent"
                )


async def _send(
    client: Client, cell: str, queue_id: str, past: QueuePast, *, replaces: bool
) -> ImportHistoryResponse:
    parts = _parts(past)
    requests = [
        ImportHistoryRequest(
            cell=cell, queue_id=queue_id, replace=replaces, begins_at_s=begins_s, contacts=contacts
        )
        for begins_s, contacts in parts
    ]
    requests[-1].is_last = True
    told: ImportHistoryResponse
    told = await client.telemetry.ImportHistory(iter(requests), timeout=_TIMEOUT_S)
    return told


def _parts(past: QueuePast) -> Iterator[tuple[int, list[int]]]:
    """Parts of a past that hold anything: when each begins, and its contacts."""
    first, steps = past.steps()
    for begin in range(0, len(steps), _PART_STEPS):
        part = steps[begin : begin + _PART_STEPS]
        if any(count != UNKNOWN for count in part):
            yield first + begin * BUCKET_S, part
