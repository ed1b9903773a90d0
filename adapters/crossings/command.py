"""`headgate crossings`: what an engine is asked, and told."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import click
import grpc.aio

from adapters.complaints import refused, wrong_address
from adapters.engine_options import EngineAt
from adapters.exit_code import ExitCode
from adapters.one_call import not_answered
from headgate.client import Client
from headgate.v1 import crossing_service_pb2 as pb


def list_crossings(engine: EngineAt, cell: str) -> int:
    """Print the contacts on their way, one a line; returns the exit code."""

    async def ask(client: Client) -> None:
        for item in await _open(client, cell):
            left = ", has left" if item.left else ""
            for_s = max(time.time() - item.since_ms / 1_000, 0.0)
            place = f"{item.to_cell}/{item.queue_id}"
            click.echo(f"{item.number}  {place}  {item.contact_id}  {for_s:.0f} s{left}")

    return _run(engine, ask)


def settle_crossings(
    engine: EngineAt, cell: str, numbers: Sequence[int], to_cell: str, *, is_taken: bool
) -> int:
    """Settle crossings by number, or all to a cell; returns the exit code."""
    answer = pb.CROSSING_ANSWER_TAKEN if is_taken else pb.CROSSING_ANSWER_REFUSED

    async def ask(client: Client) -> None:
        chosen = numbers or [
            item.number for item in await _open(client, cell) if item.to_cell == to_cell
        ]
        for number in chosen:
            request = pb.SettleCrossingRequest(cell=cell, number=number, answer=answer)
            await client.call(client.crossings.SettleCrossing, request)
        click.echo(f"{len(chosen)} settled")

    return _run(engine, ask)


async def _open(client: Client, cell: str) -> Sequence[pb.Crossing]:
    request = pb.ListCrossingsRequest(cell=cell)
    reply: pb.ListCrossingsResponse = await client.call(client.crossings.ListCrossings, request)
    return reply.crossings


def _run(engine: EngineAt, ask: Callable[[Client], Awaitable[None]]) -> int:
    if (wrong := wrong_address(engine.address)) is not None:
        return refused(wrong)

    async def connected() -> None:
        async with engine.client() as client:
            await ask(client)

    try:
        asyncio.run(connected())
    except grpc.aio.AioRpcError as error:
        return not_answered(error, engine.address)
    return int(ExitCode.STOPPED)
