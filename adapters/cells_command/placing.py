"""What `headgate cells` says to the engines, by way of their Redis."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import click

from adapters.complaints import complain, refused
from adapters.exit_code import ExitCode
from adapters.placement.fleet import Fleet
from adapters.placement.registry import EngineRegistry, RegistryFailed
from adapters.placement.registry_opening import registry_of
from adapters.settings import Settings
from engine.refusals import BadConfiguration

_LOOK_EVERY_S: Final = 0.05


def in_registry(settings: Settings, work: Callable[[EngineRegistry], Awaitable[int]]) -> int:
    """Do something with the engines' keys; returns the exit code."""

    async def do() -> int:
        registry = registry_of(settings)
        try:
            return await work(registry)
        except RegistryFailed as error:
            complain(str(error))
            return int(ExitCode.ENVIRONMENT)
        finally:
            await registry.close()

    try:
        return asyncio.run(do())
    except BadConfiguration as error:
        return refused(str(error))


def known_cells(settings: Settings, fleet: Fleet) -> list[str]:
    """Cells that are known: of the settings, and of the engines."""
    held = {cell for engine in fleet.engines.values() for cell in engine.cells}
    return sorted({*settings.cells, *held})


def move_cell(settings: Settings, cell: str, engine: str, for_ms: int, wait_ms: int) -> int:
    """Put a cell on an engine; returns the exit code."""

    async def move(registry: EngineRegistry) -> int:
        fleet = await registry.look()
        known = known_cells(settings, fleet)
        if cell not in known:
            return refused(_one_of("CELL", cell, known))
        if engine not in fleet.engines:
            return refused(_one_of("ENGINE", engine, sorted(fleet.engines)))
        await registry.move(cell, engine, for_ms)

        def has_it(fleet: Fleet) -> bool:
            holder = fleet.holder(cell)
            return holder is not None and holder.engine == engine

        if not wait_ms:
            return _said(f"{cell}: put on {engine}")
        if await _comes_true(registry, has_it, wait_ms):
            return _said(f"{cell}: {engine} has it")
        return _not_so_yet(f"{cell}: {engine} has not taken it", wait_ms)

    return in_registry(settings, move)


def undo_move(settings: Settings, cell: str) -> int:
    """Leave a cell to the ranking again; returns the exit code."""

    async def undo(registry: EngineRegistry) -> int:
        if await registry.undo_move(cell):
            return int(ExitCode.STOPPED)
        return refused(f"{cell}: it was not put anywhere")

    return in_registry(settings, undo)


def drain_engine(settings: Settings, engine: str, for_ms: int, wait_ms: int) -> int:
    """Have an engine give its cells away; returns the exit code."""

    async def drain(registry: EngineRegistry) -> int:
        fleet = await registry.look()
        if engine not in fleet.engines:
            return refused(_one_of("ENGINE", engine, sorted(fleet.engines)))
        await registry.drain(engine, for_ms)

        def is_empty(fleet: Fleet) -> bool:
            return engine not in fleet.engines or not fleet.engines[engine].cells

        if not wait_ms:
            return _said(f"{engine}: told to drain")
        if await _comes_true(registry, is_empty, wait_ms):
            return _said(f"{engine}: has no cells")
        return _not_so_yet(f"{engine}: still has cells", wait_ms)

    return in_registry(settings, drain)


def undo_drain(settings: Settings, engine: str) -> int:
    """Let an engine have cells again; returns the exit code."""

    async def undo(registry: EngineRegistry) -> int:
        if await registry.undo_drain(engine):
            return int(ExitCode.STOPPED)
        return refused(f"{engine}: was not told to drain")

    return in_registry(settings, undo)


async def _comes_true(
    registry: EngineRegistry, is_so: Callable[[Fleet], bool], wait_ms: int
) -> bool:
    """Look until something is so; false where the time is up first."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + wait_ms / 1_000
    while not is_so(await registry.look()):
        if loop.time() > give_up_at:
            return False
        await asyncio.sleep(_LOOK_EVERY_S)
    return True


def _said(what: str) -> int:
    click.echo(what)
    return int(ExitCode.STOPPED)


def _not_so_yet(what: str, wait_ms: int) -> int:
    complain(f"{what} after {wait_ms / 1_000:g} s; what was said stands, see headgate cells list")
    return int(ExitCode.NOT_APPLIED)


def _one_of(name: str, value: str, known: list[str]) -> str:
    return f"{name}: expected one of {', '.join(known) or 'none: no engine lives'}, got {value!r}"
