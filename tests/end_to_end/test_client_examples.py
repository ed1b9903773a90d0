"""The example programs, run as a newcomer runs them, each against a server of its own."""

import asyncio
import enum
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from headgate.client import Client
from headgate.v1.contact_pb2 import ContactState
from headgate.v1.routing_service_pb2 import ListContactsRequest
from tests.end_to_end.conftest import Serve
from tests.end_to_end.floor import open_queue, sign_in
from tests.end_to_end.serving import ROOT

EXAMPLES = ROOT / "deploy" / "examples"
NODE_FOLDER = EXAMPLES / "node"
RUN_S_MAX = 60
in_node = pytest.mark.needs_node


class Way(enum.Enum):
    """Direction of bytes."""

    TO_SERVER = enum.auto()
    TO_CLIENT = enum.auto()


@pytest.fixture(scope="session")
def node_packages() -> None:
    """What the Node examples import, from their lock file."""
    if shutil.which("npm") and not (NODE_FOLDER / "node_modules").exists():
        subprocess.run(("npm", "ci", "--silent"), cwd=NODE_FOLDER, check=True, timeout=300)


async def run(address: str, *command: str) -> str:
    """Run an example to its good end; returns what it printed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, "HEADGATE_ADDRESS": address},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        printed, _ = await asyncio.wait_for(process.communicate(), RUN_S_MAX)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, printed.decode()
    return printed.decode()


def command_of(path: str) -> tuple[str, str]:
    """How to run an example."""
    return ("node" if path.endswith(".mjs") else sys.executable, str(EXAMPLES / path))


@asynccontextmanager
async def cut_once(cut_way: Way, word: bytes, address: str) -> AsyncIterator[str]:
    """A connection that breaks, once, instead of carrying a word one way; gives its address."""
    host, port = address.split(":")
    words = [word]

    async def carry(way: Way, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            if way is cut_way and words and words[0] in data:
                words.clear()
                break
            sink.write(data)

    async def connected(near: asyncio.StreamReader, near_end: asyncio.StreamWriter) -> None:
        far, far_end = await asyncio.open_connection(host, port)
        ways = [
            asyncio.create_task(carry(Way.TO_SERVER, near, far_end)),
            asyncio.create_task(carry(Way.TO_CLIENT, far, near_end)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            for end in (near_end, far_end):
                end.close()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as proxy:
        yield "{}:{}".format(*proxy.sockets[0].getsockname())
    assert not words, "the word never came"


async def states_at(address: str) -> list[str]:
    """States of all contacts of a server, in words."""
    async with Client(address) as client:
        found = await client.call(client.routing.ListContacts, ListContactsRequest())
    return [ContactState.Name(contact.state) for contact in found.contacts]


@pytest.mark.parametrize("path", ["python/route.py", pytest.param("node/route.mjs", marks=in_node)])
@pytest.mark.usefixtures("node_packages")
async def test_route_example_ends_its_contact_whoever_takes_it(serve: Serve, path: str) -> None:
    """The example of one language left an agent behind; that of the other must cope with it."""
    served = serve("--durability", "memory")
    async with Client(served.address) as client:
        await open_queue(client, "billing")
        await sign_in(client, "someone-else", "billing")
    printed = await run(served.address, *command_of(path))
    assert "CONTACT_STATE_OFFERED to someone-else" in printed
    assert "then CONTACT_STATE_COMPLETED" in printed
    assert await states_at(served.address) == ["CONTACT_STATE_COMPLETED"]


@pytest.mark.parametrize(
    "path", ["python/session.py", pytest.param("node/session.mjs", marks=in_node)]
)
@pytest.mark.usefixtures("node_packages")
async def test_session_example_goes_on_after_a_break(serve: Serve, path: str) -> None:
    """Neither an event nor a command is lost or done twice, wherever the stream broke."""
    served = serve("--durability", "memory")
    breaks = list(itertools.product((Way.TO_SERVER, Way.TO_CLIENT), (b"\x03lin", b"accept/")))
    for way, word in breaks:
        async with cut_once(way, word, served.address) as address:
            printed = await run(address, *command_of(path))
        assert "again after event" in printed
        assert printed.count("EVENT_KIND_CONTACT_RECEIVED") == 1, printed
        assert printed.count("EVENT_KIND_CONTACT_COMPLETED") == 1, printed
    assert await states_at(served.address) == ["CONTACT_STATE_COMPLETED"] * len(breaks)
