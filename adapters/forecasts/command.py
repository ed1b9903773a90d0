"""`headgate forecast show` and `headgate forecast report`."""

import asyncio
import shlex
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Final, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import click
import grpc.aio
from rich.console import Console

from adapters.complaints import complain, refused, wrong_address
from adapters.engine_options import EngineAt
from adapters.exit_code import ExitCode
from adapters.forecasts.asking import (
    QUEUES_MAX,
    STEP_MS,
    CellTold,
    QueueTold,
    View,
    ask_cell,
    ask_queues,
)
from adapters.forecasts.page import Making, as_html
from adapters.forecasts.table import print_queue
from adapters.one_call import not_answered
from adapters.standard_output import not_written
from headgate.client import Client

T = TypeVar("T")

# How far a page looks ahead, and back.
_SPAN_MS: Final = (43_200_000, 43_200_000)
_LONG_STEP_MS: Final = 1_800_000
# Contacts of five minutes, at the most of the horizon, below which half hours are shown.
_SPARSE: Final = 8.0


class Place(NamedTuple):
    """Which engine, and which of its cells; None for the clock of this machine."""

    engine: EngineAt
    cell: str
    zone: tzinfo | None


def show_forecast(queue_id: str, place: Place, view: View) -> int:
    """Print a queue's next hours; returns the exit code."""
    told = _answered(place, lambda client: ask_queues(client, place.cell, [queue_id], view))
    if isinstance(told, int):
        return told
    queues, _ = told
    if not queues:
        return _not_sensed()
    try:
        print_queue(queues[0], place.zone, Console())
    except OSError as error:
        return not_written(error, "the forecast")
    return int(ExitCode.STOPPED)


def write_report(queue_ids: Sequence[str], place: Place, out: Path) -> int:
    """Write the page of some queues, of all where none is named; returns the exit code."""
    told = _answered(place, lambda client: _asked(client, place.cell, queue_ids))
    if isinstance(told, int):
        return told
    found, steps_ms = told
    if not found.queues:
        return _not_sensed()
    words = ["headgate", "forecast", "report", "--address", place.engine.address]
    words += [*place.engine.words(), "--cell", place.cell]
    words += [word for queue_id in queue_ids for word in ("--queue", queue_id)]
    words += ["--zone", place.zone.key] if isinstance(place.zone, ZoneInfo) else []
    command = shlex.join([*words, "--out", str(out)])
    making = Making(place.engine.address, place.cell, datetime.now(UTC), place.zone, command)
    try:
        out.write_bytes(as_html(found, steps_ms, making))
    except OSError as error:
        complain(f"{out}: cannot write the report: {error.strerror}")
        return int(ExitCode.ENVIRONMENT)
    click.echo(f"{out}: {len(found.queues)} queue{'s' if len(found.queues) > 1 else ''}")
    return int(ExitCode.STOPPED)


async def _asked(client: Client, cell: str, queue_ids: Sequence[str]) -> tuple[CellTold, list[int]]:
    """What is told, with a step for each queue in which there is something to see."""
    found = await ask_cell(client, cell, queue_ids, View(STEP_MS, *_SPAN_MS))
    if found.left_out:
        complain(
            f"{found.left_out:,} queues are left out, {QUEUES_MAX} fit: name others by --queue"
        )
    sparse = [item.outlook.queue_id for item in found.queues if _is_sparse(item)]
    long: dict[str, QueueTold] = {}
    if sparse:
        told, _ = await ask_queues(client, cell, sparse, View(_LONG_STEP_MS, *_SPAN_MS))
        long = {item.outlook.queue_id: item for item in told}
    shown = [long.get(item.outlook.queue_id, item) for item in found.queues]
    steps = [_LONG_STEP_MS if item.outlook.queue_id in long else STEP_MS for item in found.queues]
    return found._replace(queues=shown), steps


def _is_sparse(queue: QueueTold) -> bool:
    return max((step.mean for step in queue.forecast.steps), default=0.0) < _SPARSE


def _answered(place: Place, ask: Callable[[Client], Awaitable[T]]) -> T | int:
    """What an engine answers, or the exit code that says why it does not."""
    if (wrong := wrong_address(place.engine.address)) is not None:
        return refused(wrong)

    async def run() -> T:
        async with place.engine.client() as client:
            return await ask(client)

    try:
        return asyncio.run(run())
    except grpc.aio.AioRpcError as error:
        if error.code() == grpc.StatusCode.UNIMPLEMENTED:
            return refused(f"{error.details()}")
        return not_answered(error, place.engine.address)


def _not_sensed() -> int:
    return refused("no queue is sensed here yet")
