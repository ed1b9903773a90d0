"""Cells in Redis for tests of adapters."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from adapters.redis_commits import Terms
from tests.adapters.redis_cell import TERMS, NewCell, RedisCell
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
