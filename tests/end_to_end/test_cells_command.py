"""`headgate cells` against real engines and without any."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.fleet import Engines
from tests.end_to_end.redis_servers import RedisServer
from tests.end_to_end.serving import headgate

pytestmark = pytest.mark.needs_redis

CELLS = ("north", "east", "south", "west")
EXIT_SETTINGS, EXIT_ENVIRONMENT, EXIT_NOT_APPLIED = 2, 3, 6


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own."""
    started = RedisServer(tmp_path / "redis")
    try:
        yield started
    finally:
        started.kill()


@pytest.fixture
def engines(tmp_path: Path, server: RedisServer) -> Iterator[Engines]:
    """Engines over it."""
    made = Engines(tmp_path, server.url, CELLS)
    try:
        yield made
    finally:
        made.kill()


class Shell:
    """Where the commands are typed."""

    def __init__(self, server: RedisServer) -> None:
        self._flags = ("--log", server.url, "--cells", ",".join(CELLS))

    def run(self, *words: str, exit_code: int = 0) -> str:
        """Run `headgate cells`; returns what it prints, or complains of where it is to fail."""
        done = headgate("cells", *words, *self._flags)
        assert done.returncode == exit_code, done.stderr
        return done.stderr if exit_code else done.stdout

    def listed(self) -> dict[str, dict[str, Any]]:
        """Cells and engines by their names."""
        told = json.loads(self.run("list", "--json"))
        return {
            "cells": {item["cell"]: item for item in told["cells"]},
            "engines": {item["engine"]: item for item in told["engines"]},
        }


@pytest.fixture
def shell(server: RedisServer) -> Shell:
    """A shell beside the engines' Redis."""
    return Shell(server)


async def test_cells_are_listed_moved_and_drained(engines: Engines, shell: Shell) -> None:
    """What an operator does in a night: look, put a cell elsewhere, empty a machine, undo it."""
    before_ms = time.time() * 1_000
    first = await asyncio.to_thread(engines.start, "one")
    await asyncio.to_thread(engines.start, "two")
    await asyncio.to_thread(engines.await_cells, "one", "two")
    told = await asyncio.to_thread(shell.listed)
    assert told["cells"].keys() == set(CELLS)
    for cell in told["cells"].values():
        engine = told["engines"][cell["owner"]]
        assert cell["owner"] == cell["first"]
        assert cell["address"] == engine["address"]
        assert cell["epoch"] > 0
        assert 0 < cell["lease_ms"] <= 1_000
        assert before_ms < cell["since_ms"] < time.time() * 1_000
        assert cell["cell"] in engine["cells"]
    assert told["engines"]["one"]["address"] == first.address
    assert 0 < told["engines"]["one"]["heartbeat_ms"] <= 1_000

    cell = sorted(engines.have("one"))[0]
    moved = await asyncio.to_thread(shell.run, "move", cell, "two", "--for", "1h")
    assert moved == f"{cell}: two has it\n"
    assert cell in engines.have("two")
    table = await asyncio.to_thread(shell.run, "list")
    assert "two, until 20" in table
    drained = await asyncio.to_thread(shell.run, "drain", "two")
    assert drained == "two: has no cells\n"
    await asyncio.to_thread(engines.await_cells, "one")
    table = await asyncio.to_thread(shell.run, "list")
    assert "drained, until undone" in table
    # The move stands, and waits for the engine.
    await asyncio.to_thread(shell.run, "drain", "two", "--undo")
    await asyncio.to_thread(engines.await_cells, "one", "two")
    assert cell in engines.have("two")
    await asyncio.to_thread(shell.run, "move", cell, "--undo")
    async with asyncio.timeout(10):
        while cell not in engines.have("one"):
            await asyncio.sleep(0.02)


async def test_what_is_said_in_vain_is_refused_or_told(engines: Engines, shell: Shell) -> None:
    """A slip must not stand in Redis until it surprises somebody; a wait that ends says so."""
    await asyncio.to_thread(engines.start, "one")
    for words, expected in (
        (("move", "nrth", "one"), "CELL: expected one of east, north, south, west, got 'nrth'"),
        (("move", "north", "on"), "ENGINE: expected one of one, got 'on'"),
        (("move", "north", "--undo"), "north: it was not put anywhere"),
        (("move", "north"), "expected ENGINE or --undo"),
        (("move", "north", "one", "--undo"), "expected ENGINE or --undo"),
        (("move", "north", "one", "--for", "soon"), "expected a duration such as 90s"),
        (("move", "north", "one", "--for", "400d"), "expected a year at most, got '400d'"),
        (("drain", "on"), "ENGINE: expected one of one, got 'on'"),
        (("drain", "one", "--undo"), "one: was not told to drain"),
    ):
        told = await asyncio.to_thread(shell.run, *words, exit_code=EXIT_SETTINGS)
        assert expected in told, words
    # Nobody else is there to take them.
    told = await asyncio.to_thread(
        shell.run, "drain", "one", "--wait", "300ms", exit_code=EXIT_NOT_APPLIED
    )
    assert "one: still has cells after 0.3 s; what was said stands" in told
    assert engines.have("one") == set(CELLS)
    # Whoever does not wait is not told that it is so.
    await asyncio.to_thread(shell.run, "drain", "one", "--undo")
    for words, expected in (
        (("move", "north", "one"), "north: put on one\n"),
        (("drain", "one", "--for", "1m"), "one: told to drain\n"),
    ):
        assert await asyncio.to_thread(shell.run, *words, "--wait", "0s") == expected


def test_cells_without_engines_are_listed(shell: Shell, server: RedisServer) -> None:
    """When nothing answers any more one looks here first."""
    table = shell.run("list")
    assert "north" in table
    assert shell.listed()["engines"] == {}
    told = shell.run("move", "north", "one", exit_code=EXIT_SETTINGS)
    assert "ENGINE: expected one of none: no engine lives, got 'one'" in told
    server.kill()
    told = shell.run("list", exit_code=EXIT_ENVIRONMENT)
    assert told.startswith(f"headgate: {server.url}: ")


def test_cells_in_files_are_refused() -> None:
    """They are shared by nobody."""
    done = headgate("cells", "list")
    assert done.returncode == EXIT_SETTINGS
    assert done.stderr == "headgate: log: expected the URL of a Redis or Valkey, got 'sqlite'\n"
    done = headgate("cells", "list", "--set", "redis_prefix")
    assert done.returncode == EXIT_SETTINGS
    assert "flag --set: expected NAME=VALUE, got 'redis_prefix'" in done.stderr
