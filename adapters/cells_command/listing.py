"""`headgate cells list`: cells with their owners, engines with their heartbeats."""

import sys
from datetime import UTC, datetime
from typing import Final, NamedTuple

import orjson
from redis.exceptions import ResponseError
from rich.console import Console
from rich.table import Table

from adapters.cells_command.placing import in_registry, known_cells
from adapters.exit_code import ExitCode
from adapters.placement.fleet import FOREVER, Fleet
from adapters.placement.ranking import ranked
from adapters.placement.registry import EngineRegistry, RegistryFailed
from adapters.redis_log.connection import Answer, RedisRefused, RedisUnreachable
from adapters.redis_log.opening import address_of
from adapters.redis_log.primary import RedisPrimary
from adapters.redis_log.scripts import Keys
from adapters.settings import Settings
from adapters.standard_output import not_written, write_text

# Where nobody looks at it but programs, which do not want it folded.
_WIDTH: Final = 200


class CellLine(NamedTuple):
    """
    What is known of a cell.

    Attributes
    ----------
    cell
        Its name.
    owner
        Name in its lease; "" for nobody's.
    address
        Where that engine is reached; "" where it tells nothing of itself.
    epoch
        Of the last owner; 0 where there was none.
    since_ms
        When the owner opened it, milliseconds since the Unix epoch; 0 where it is not open.
    lease_ms
        How long the lease lasts unless it is renewed, milliseconds.
    first
        Who should have it; "" for nobody.
    put_on, put_until_ms
        Where somebody put it, and until when; "" and 0 for nowhere, 0 also for until it is undone.
    """

    cell: str
    owner: str
    address: str
    epoch: int
    since_ms: int
    lease_ms: int
    first: str
    put_on: str
    put_until_ms: int


class EngineLine(NamedTuple):
    """
    What is known of an engine.

    Attributes
    ----------
    engine, address, version, schema
        As it tells.
    state
        serving, leaving (it was stopped), or drained.
    drained_until_ms
        Until when; 0 for until that is undone, or not drained.
    cells, refuses
        Those it has, and those it could not open.
    heartbeat_ms
        How long it may stay silent yet, milliseconds.
    """

    engine: str
    address: str
    version: str
    schema: int
    state: str
    drained_until_ms: int
    cells: list[str]
    refuses: list[str]
    heartbeat_ms: int


def list_cells(settings: Settings, *, as_json: bool) -> int:
    """Print cells and engines; returns the exit code."""

    async def look(registry: EngineRegistry) -> int:
        fleet = await registry.look()
        names = known_cells(settings, fleet)
        cells = [await _cell_line(settings, name, fleet) for name in names]
        return _told(cells, _engine_lines(fleet), as_json=as_json)

    return in_registry(settings, look)


async def _cell_line(settings: Settings, cell: str, fleet: Fleet) -> CellLine:
    """Read the lease of a cell, and put beside it what its owner tells."""
    keys = Keys.of(settings.redis_prefix, cell)
    commands = ((b"HGET", keys.meta, b"epoch"), (b"GET", keys.lease), (b"PTTL", keys.lease))
    primary = RedisPrimary(address_of(settings), cell, settings.redis_timeout_ms / 1_000)
    try:
        connection = await primary.connect(0)
        try:
            epoch, lease, lease_ms = await connection.ask(commands)
        finally:
            await connection.close()
    except (RedisUnreachable, RedisRefused) as error:
        raise RegistryFailed(f"{primary}: {error}") from error
    owner = _text(primary, lease)
    engine = fleet.engines.get(owner)
    held = engine.cells.get(cell) if engine is not None else None
    move = fleet.moves.get(cell)
    ranking = ranked(cell, fleet)
    return CellLine(
        cell,
        owner,
        engine.address if engine is not None else "",
        int(_text(primary, epoch) or 0),
        held.since_ms if held is not None else 0,
        max(lease_ms, 0) if isinstance(lease_ms, int) else 0,
        ranking[0] if ranking else "",
        move.engine if move is not None else "",
        move.until_ms if move is not None else FOREVER,
    )


def _text(primary: RedisPrimary, answer: Answer) -> str:
    if isinstance(answer, ResponseError):
        raise RegistryFailed(f"{primary}: {answer}")
    return answer.decode(errors="replace") if isinstance(answer, bytes) else ""


def _engine_lines(fleet: Fleet) -> list[EngineLine]:
    lines = []
    for name, told in sorted(fleet.engines.items()):
        state = "drained" if name in fleet.drained else "serving"
        lines.append(
            EngineLine(
                name,
                told.address,
                told.version,
                told.schema,
                "leaving" if told.is_draining else state,
                fleet.drained.get(name, FOREVER),
                sorted(told.cells),
                sorted(told.refuses),
                fleet.left_ms[name],
            )
        )
    return lines


def _told(cells: list[CellLine], engines: list[EngineLine], *, as_json: bool) -> int:
    if as_json:
        listed = {
            "cells": [line._asdict() for line in cells],
            "engines": [line._asdict() for line in engines],
        }
        text = orjson.dumps(listed, option=orjson.OPT_INDENT_2).decode()
        return write_text(f"{text}\n", None, "the cells")
    try:
        _print(cells, engines)
    except OSError as error:
        return not_written(error, "the cells")
    return int(ExitCode.STOPPED)


def _print(cells: list[CellLine], engines: list[EngineLine]) -> None:
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    table = Table(
        "cell", "owner", "address", "epoch", "since", "lease left", "should be", "put on", box=None
    )
    for line in cells:
        table.add_row(
            line.cell,
            line.owner or "-",
            line.address or "-",
            str(line.epoch),
            _moment(line.since_ms) if line.since_ms else "-",
            f"{line.lease_ms / 1_000:.1f} s" if line.owner else "-",
            line.first or "-",
            f"{line.put_on}, {_until(line.put_until_ms)}" if line.put_on else "-",
        )
    console.print(table)
    told = Table(
        "engine", "address", "version", "schema", "state", "cells", "heartbeat left", "refuses",
        box=None,
    )  # fmt: skip
    for item in engines:
        is_drained = item.state == "drained"
        state = f"drained, {_until(item.drained_until_ms)}" if is_drained else item.state
        told.add_row(
            item.engine,
            item.address,
            item.version,
            str(item.schema),
            state,
            str(len(item.cells)),
            f"{item.heartbeat_ms / 1_000:.1f} s",
            ", ".join(item.refuses) or "-",
        )
    console.print()
    console.print(told)


def _until(until_ms: int) -> str:
    return "until undone" if until_ms == FOREVER else f"until {_moment(until_ms)}"


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
