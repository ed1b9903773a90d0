"""Contacts that cross between engines which prove who they are, are killed and paused."""

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from headgate.client import Access, Client
from headgate.v1.contact_pb2 import (
    ContactState,
)
from headgate.v1.crossing_service_pb2 import (
    ReceiveContactRequest,
)
from headgate.v1.decision_service_pb2 import ExplainRequest
from tests.end_to_end.conftest import Serve
from tests.end_to_end.credentials import Authority, CallersFile
from tests.end_to_end.floor import refused, until
from tests.end_to_end.serving import Served, headgate
from tests.end_to_end.two_cells import AWAY, GONE, TEXT, WAITS, Cell, prepared


class Engines:
    """
    Two engines of their own logs, which know each other by address and prove who they are.

    Attributes
    ----------
    north, south
        The servers.
    """

    def __init__(self, serve: Serve, folder: Path, *, with_tls: bool = False) -> None:
        self._serve = serve
        self._folder = folder
        self._authority = Authority(folder) if with_tls else None
        self._callers = CallersFile(folder / "callers")
        self._tokens = {
            name: self._callers.add(name, roles, "*")
            for name, roles in (("test", "gateway operator author reader"), ("north", "engine"))
        }
        (folder / "north-token").write_text(self._tokens["north"])
        self.south = self.start("south")
        self.north = self.start("north", *self.neighbour())

    @property
    def access(self) -> Access:
        """How tests reach them."""
        ca_file = self._authority.ca_file if self._authority else ""
        return Access(ca_file=ca_file, token=self._tokens["test"])

    def neighbour(self) -> tuple[str, ...]:
        """Flags of north."""
        token_file = self._folder / "north-token"
        ca_file = self._authority.ca_file if self._authority else ""
        return (
            "--set", f"neighbours=south={self.south.address}",
            "--set", f"neighbour_token_file={token_file}",
            "--set", f"relay_ca_file={ca_file}",
        )  # fmt: skip

    def start(self, cell: str, *flags: str) -> Served:
        """Start an engine with its file, which may be there."""
        if self._authority is not None:
            signed = self._authority.certificate(f"server-{cell}")
            flags += (
                "--tls-certificate-file", signed.certificate_file,
                "--tls-key-file", signed.key_file,
            )  # fmt: skip
        return self._serve(
            "--data-dir", str(self._folder / cell), "--set", f"cells={cell}",
            "--callers-file", str(self._callers.path), *flags,
        )  # fmt: skip

    def start_south_again(self) -> None:
        """At the address that north knows."""
        self.south = self.start("south", "--address", self.south.address)


@pytest.mark.parametrize("with_tls", [False, True])
async def test_engines_prove_who_they_are(serve: Serve, tmp_path: Path, *, with_tls: bool) -> None:
    engines = Engines(serve, tmp_path, with_tls=with_tls)
    async with (
        Client(engines.north.address, engines.access) as north,
        Client(engines.south.address, engines.access) as south,
    ):
        two = await prepared(north, south)
        await two.north.route("c")
        await two.south.until_state("c", WAITS)
        await two.north.until_state("c", GONE)
        # A gateway's token does not bring contacts so.
        request = ReceiveContactRequest(cell="south", from_cell="north", origin="o", number=1)
        code, _, _ = await refused(south.call(south.crossings.ReceiveContact, request))
        assert code == "PERMISSION_DENIED"


async def test_nothing_is_moved_to_where_nobody_answers(serve: Serve, tmp_path: Path) -> None:
    engines = Engines(serve, tmp_path)
    async with (
        Client(engines.north.address, engines.access) as north,
        Client(engines.south.address, engines.access) as south,
    ):
        two = await prepared(north, south)
        text = TEXT.replace("queue.waiting >= 1 && target.waiting < 1000", "queue.waiting >= 1")
        await two.north.policy(text)
        engines.south.kill()
        await asyncio.sleep(6.0)
        await two.north.route("c")

        async def is_held_back() -> bool:
            return any("can bear is not known" in reason for reason in await two.north.reasons())

        await until(is_held_back)
        assert (await two.north.contact("c")).state == WAITS
        assert (
            'headgate_crossings_targets_unknown{cell="north"} 1.0'
            in engines.north.get("/metrics")[1]
        )
        engines.start_south_again()
        await two.south.until_state("c", WAITS)


async def test_contacts_are_in_one_cell_whoever_is_killed(serve: Serve, tmp_path: Path) -> None:
    """Load while each engine is killed and paused in turn: none lost, none in both."""
    engines = Engines(serve, tmp_path)
    async with AsyncExitStack() as stack:
        south = await stack.enter_async_context(Client(engines.south.address, engines.access))
        north = await stack.enter_async_context(Client(engines.north.address, engines.access))
        two = await prepared(north, south)
        await two.south.queue("help-south", max_length=150)
        ids = [f"c{number}" for number in range(240)]
        for number, contact_id in enumerate(ids):
            await two.north.route(contact_id)
            if number % 40 == 39:
                await _disturb(engines, number // 40)
                two = two._replace(north=Cell(await _again(stack, engines), "north"))
        left = ids[:240:16]
        for contact_id in left:
            if (await two.north.contact(contact_id)).state in (WAITS, AWAY):
                await two.north.cancel(contact_id)

        async def are_settled() -> bool:
            return AWAY not in (await two.north.states()).values()

        await until(are_settled, 60.0)
        here, there = await two.north.states(), await two.south.states()
        waiting = [item for item in ids if here[item] == WAITS]
        taken = [item for item in ids if there.get(item) == WAITS]
        ended = [
            item
            for item in ids
            if ContactState.CONTACT_STATE_ABANDONED in (here[item], there.get(item))
        ]
        assert sorted(waiting + taken + ended) == sorted(ids)
        assert taken
        assert all(here[item] == GONE for item in taken)


async def _disturb(engines: Engines, turn: int) -> None:
    """Kill north or south, or pause south, while contacts cross."""
    await asyncio.sleep(0.4)
    if turn % 3 == 0:
        engines.south.kill()
        engines.start_south_again()
    elif turn % 3 == 1:
        engines.north.kill()
        engines.north = engines.start("north", *engines.neighbour())
    else:
        engines.south.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(3.0)
        engines.south.process.send_signal(signal.SIGCONT)


async def _again(stack: AsyncExitStack, engines: Engines) -> Client:
    """A connection to north, wherever it listens now."""
    return await stack.enter_async_context(Client(engines.north.address, engines.access))


async def test_explaining_says_where_a_contact_is(serve: Serve, tmp_path: Path) -> None:
    """South is paused when the contact leaves: it is on its way for as long."""
    engines = Engines(serve, tmp_path)
    async with (
        Client(engines.north.address, engines.access) as north,
        Client(engines.south.address, engines.access) as south,
    ):
        two = await prepared(north, south)
        await asyncio.sleep(2.0)
        engines.south.process.send_signal(signal.SIGSTOP)
        await two.north.route("c")
        await two.north.until_state("c", AWAY)
        request = ExplainRequest(cell="north", contact_id="c")
        sentences = (await north.call(north.decisions.Explain, request)).sentences
        assert "It is on its way to queue help-south of cell south." in sentences
        assert 'headgate_crossings_open{cell="north"} 1.0' in engines.north.get("/metrics")[1]
        await two.north.cancel("c")
        engines.south.process.send_signal(signal.SIGCONT)

        async def is_settled() -> bool:
            page = engines.north.get("/metrics")[1]
            return 'headgate_crossings_open{cell="north"} 0.0' in page

        await until(is_settled)
        assert (await two.south.states()).get("c") in (
            None,
            ContactState.CONTACT_STATE_ABANDONED,
        )


async def test_contacts_to_a_cell_that_is_gone_for_good_are_settled_by_hand(
    serve: Serve, tmp_path: Path
) -> None:
    """Nobody else can know; until then they are told of, also after the neighbour is taken away."""
    engines = Engines(serve, tmp_path)
    async with (
        Client(engines.north.address, engines.access) as north,
        Client(engines.south.address, engines.access) as south,
    ):
        two = await prepared(north, south)
        await asyncio.sleep(2.0)
        engines.south.process.send_signal(signal.SIGSTOP)
        for contact_id in ("c", "d"):
            await two.north.route(contact_id)
            await two.north.until_state(contact_id, AWAY)
    engines.south.kill()
    engines.north.kill()
    engines.north = engines.start("north")
    reach = ("--address", engines.north.address, "--cell", "north")
    env = {"HEADGATE_TOKEN": engines.access.token}

    async def run(*arguments: str) -> tuple[int, str]:
        done = await asyncio.to_thread(headgate, "crossings", *arguments, *reach, env=env)
        return done.returncode, done.stdout + done.stderr

    _, told = await run("list")
    first, second = (line.split() for line in told.splitlines())
    assert (first[1:3], second[2]) == (["south/help-south", "c"], "d")
    assert await run("settle", first[0], "--refused") == (0, "1 settled\n")
    assert (await run("settle", first[0], "--taken"))[0] == 2
    assert await run("settle", "--to", "south", "--taken") == (0, "1 settled\n")
    assert (await run("settle", "--to", "south"))[0] == 2
    assert await run("list") == (0, "")
    async with Client(engines.north.address, engines.access) as north:
        assert await Cell(north, "north").states() == {"c": WAITS, "d": GONE}
        # Without a neighbour nothing is sent any more.
        await Cell(north, "north").route("e")
        await asyncio.sleep(3.0)
        assert (await Cell(north, "north").states())["e"] == WAITS
    warned = [line for line in engines.north.log() if line["event"] == "crossing_to_no_neighbour"]
    assert warned
    assert warned[0]["to_cell"] == "south"
