"""Servers and clients for tests over a real channel."""

import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import pytest

from headgate.client import Client
from tests.end_to_end.floor import open_queue
from tests.end_to_end.forwarders import Forward, Place, Receiver
from tests.end_to_end.serving import Served, start

Serve = Callable[..., Served]

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all tests that change nothing but queues and agents of their own."""
    served = start(tmp_path_factory.mktemp("shared"), "--durability", "memory", "--dev")
    try:
        yield served.until_ready()
    finally:
        served.kill()


@pytest.fixture
def serve(tmp_path: Path, source: Path | None) -> Iterator[Serve]:
    """Start further servers, ready when returned; they end with the test."""
    running: list[Served] = []

    def serve_with(*flags: str, env: Mapping[str, str] | None = None) -> Served:
        served = start(tmp_path, *flags, env=env, name=f"server-{len(running)}", source=source)
        running.append(served)
        return served.until_ready()

    try:
        yield serve_with
    finally:
        for served in running:
            served.kill()


@pytest.fixture
def source() -> Path | None:
    """Where servers are started from; None for servers that are forked."""
    return None


@pytest.fixture
async def client(server: Served) -> AsyncIterator[Client]:
    """A fresh connection to the shared server."""
    async with Client(server.address) as connected:
        yield connected


@pytest.fixture
def name() -> str:
    """A word no other test has, to name queues, agents and contacts with."""
    return f"t{next(_NUMBERS)}"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A folder with a secret in it."""
    return Place(tmp_path)


@pytest.fixture
def receiver(place: Place) -> Iterator[Receiver]:
    """The example receiver, which listens."""
    started = Receiver(place)
    try:
        yield started
    finally:
        started.kill()


@pytest.fixture
def forward(place: Place) -> Iterator[Forward]:
    """Start forwarders; they end with the test."""
    running: list[Served] = []

    def start(*arguments: object) -> Served:
        running.append(place.start(*arguments))  # type: ignore[arg-type]
        return running[-1]

    try:
        yield start
    finally:
        for served in running:
            served.kill()


@pytest.fixture
async def engine(serve: Serve) -> AsyncIterator[tuple[str, Client]]:
    """An engine of its own with one queue: its address, and a client of it."""
    served = serve("--durability", "memory")
    async with Client(served.address) as client:
        await open_queue(client, "q")
        yield served.address, client
