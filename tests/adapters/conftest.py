"""Cells in Redis for tests of adapters."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from adapters.redis_log.terms import Terms
from tests.adapters.commit_log_contract import HARNESSES, Bounds, LogHarness, NewStoredCell
from tests.adapters.migration_places import Places, filled
from tests.adapters.redis_cell import IN_REDIS, TERMS, NewCell, RedisCell, RedisHarness
from tests.end_to_end.redis_servers import RedisServer, replicated


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    """A primary and one replica, for tests that leave them as they were."""
    with replicated(tmp_path_factory.mktemp("pair"), 1) as servers:
        yield servers


@pytest.fixture
async def new_cell() -> AsyncIterator[NewCell]:
    """Make cells; their logs are released at the end."""
    made: list[RedisCell] = []

    def make(url: str, terms: Terms = TERMS) -> RedisCell:
        made.append(RedisCell(url, terms))
        return made[-1]

    yield make
    for cell in made:
        await cell.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of the test's own, without replicas."""
    started = RedisServer(tmp_path / "server")
    try:
        yield started
    finally:
        started.kill()


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], RedisServer]]:
    """Start a primary with one replica of a program, once, when first asked for."""
    with contextlib.ExitStack() as running:
        found: dict[str, RedisServer] = {}

        def server(kind: str) -> RedisServer:
            if kind not in found:
                place = tmp_path_factory.mktemp(kind)
                found[kind] = running.enter_context(replicated(place, 1, kind=kind))[0]
            return found[kind]

        yield server


@pytest.fixture(
    params=[*HARNESSES, *(pytest.param(name, marks=pytest.mark.needs_redis) for name in IN_REDIS)]
)
async def new_stored_cell(
    request: pytest.FixtureRequest, tmp_path: Path, servers: Callable[[str], RedisServer]
) -> AsyncIterator[NewStoredCell]:
    """Make a stored cell within bounds; its logs are released at the end."""
    made: list[LogHarness] = []

    def make(bounds: Bounds) -> LogHarness:
        if request.param in IN_REDIS:
            kind, replicas = IN_REDIS[request.param]
            made.append(RedisHarness(servers(kind), replicas, bounds))
        else:
            made.append(HARNESSES[request.param](tmp_path, bounds))
        return made[-1]

    yield make
    for harness in made:
        await harness.close()


@pytest.fixture
def places(new_cell: NewCell, pair: list[RedisServer], tmp_path: Path) -> Places:
    """Empty ones."""
    return Places(tmp_path / "data", new_cell(pair[0].url), pair[0])


@pytest.fixture
async def full(places: Places) -> Places:
    """With a cell in the file."""
    places.file.parent.mkdir()
    await filled(places.log("file"))
    return places
