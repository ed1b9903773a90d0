"""The command with security turned on: what it refuses, what its clients show, what it records."""

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import grpc.aio
import pytest

from headgate.access import CLIENT_VARIABLES, Access
from headgate.client import Client
from headgate.v1.agent_pb2 import Agent
from headgate.v1.agent_service_pb2 import UpsertAgentRequest
from headgate.v1.gateway_service_pb2 import SessionWatch
from headgate.v1.queue_service_pb2 import ListQueuesRequest, PauseQueueRequest
from tests.end_to_end.conftest import Serve
from tests.end_to_end.credentials import Authority, CallersFile, Signed
from tests.end_to_end.floor import open_queue, route
from tests.end_to_end.forwarders import Place as ForwarderPlace
from tests.end_to_end.forwarders import Receiver, wait_until
from tests.end_to_end.serving import ROOT, Served, headgate, start
from tests.end_to_end.test_client_examples import node_packages as node_packages
from tests.end_to_end.test_client_examples import run


class Place:
    """A server's certificate, an authority for callers, and a callers file."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.server = self.authority.certificate("server")
        self.callers = CallersFile(folder / "callers")
        self.folder = folder

    def flags(self) -> tuple[str, ...]:
        """Flags of a server on every address of this machine."""
        return (
            "--address", "0.0.0.0:0", "--durability", "memory",
            "--callers-file", str(self.callers.path),
            "--tls-certificate-file", self.server.certificate_file,
            "--tls-key-file", self.server.key_file,
        )  # fmt: skip

    def token_file(self, name: str, roles: str) -> str:
        """A file with the token of a new caller."""
        path = self.folder / f"token of {name}"
        path.write_text(f"{self.callers.add(name, roles)}\n")
        return str(path)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A place of the test's own."""
    return Place(tmp_path)


def local(served: Served) -> str:
    """The address of a server that listens everywhere."""
    return f"localhost:{served.address.rpartition(':')[2]}"


def test_serve_refuses_an_address_for_all_without_protection(tmp_path: Path, serve: Serve) -> None:
    """In one clear line, before anything is opened; --insecure is a decision."""
    served = start(tmp_path, "--address", "0.0.0.0:0", "--data-dir", str(tmp_path / "data"))
    assert served.exit_code() == 2
    (line,) = [line for line in served.told().splitlines() if line.startswith("headgate: ")]
    assert "address: expected an address of this machine only" in line
    assert "--insecure" in line
    assert not (tmp_path / "data").exists()
    serve("--address", "0.0.0.0:0", "--durability", "memory", "--insecure")


async def test_serve_takes_an_address_for_all_with_protection(serve: Serve, place: Place) -> None:
    """With TLS and callers there is nothing to insist on."""
    token_file = place.token_file("a", "reader")
    served = serve(*place.flags())
    access = Access(ca_file=place.authority.ca_file, token_file=token_file)
    async with Client(local(served), access) as client:
        await client.call(client.queues.ListQueues, ListQueuesRequest())


def test_variables_of_clients_are_no_slips_of_the_server() -> None:
    """Both may be started from one shell."""
    env = dict.fromkeys(CLIENT_VARIABLES, "1")
    assert headgate("serve", "--print-config", env=env).returncode == 0


def test_commands_show_what_they_are_given(serve: Serve, place: Place) -> None:
    """By flags and by the environment, and each refusal is told with exit code 2."""
    author, reader = place.token_file("a", "author"), place.token_file("r", "reader")
    served = serve(*place.flags())
    at = ("--address", local(served))
    trust = ("--engine-ca-file", place.authority.ca_file)
    path = place.folder / "cell.yaml"
    path.write_text("queues:\n- queue_id: billing\n")
    done = headgate("apply", str(path), *at, *trust, "--token-file", author)
    assert (done.returncode, "applied 1 change" in done.stdout) == (0, True), done.stderr
    env = {
        "HEADGATE_ADDRESS": local(served),
        "HEADGATE_ENGINE_CA_FILE": place.authority.ca_file,
        "HEADGATE_TOKEN": Path(reader).read_text().strip(),
    }
    done = headgate("export", env=env)
    assert (done.returncode, "billing" in done.stdout) == (0, True), done.stderr
    path.write_text("queues:\n- {queue_id: billing, max_wait_ms: 5000}\n")
    done = headgate("apply", str(path), env=env)
    assert done.returncode == 6
    assert "PERMISSION_DENIED" in done.stderr
    done = headgate("export", *at, *trust)
    assert done.returncode == 2
    assert "expected a credential" in done.stderr
    done = headgate("explain", "c", *at, *trust, "--token-file", reader)
    assert (done.returncode, "no contact" in done.stderr or "c" in done.stderr) == (2, True)


async def test_forecast_and_history_show_what_they_are_given(serve: Serve, place: Place) -> None:
    """An analyst, too, works with engines that ask who calls."""
    author, reader = place.token_file("a", "author"), place.token_file("r", "reader")
    served = serve(*place.flags())
    trust = ("--address", local(served), "--engine-ca-file", place.authority.ca_file)
    async with Client(local(served), Access(ca_file=trust[-1], token_file=author)) as client:
        await open_queue(client, "q")
    past = place.folder / "past.csv"
    days = [f"2026-03-{day:02d}T{hour:02d}:00,6" for day in range(2, 9) for hour in range(24)]
    past.write_text("\n".join(["time,contacts", *days]))
    words = ("history", "import", str(past), "--queue", "q", "--interval", "60m", "--zone", "UTC")

    def typed(*more: str, token_file: str) -> tuple[int, str]:
        done = headgate(*more, *trust, "--token-file", token_file)
        return done.returncode, done.stdout + done.stderr

    code, told = await asyncio.to_thread(typed, *words, token_file=reader)
    assert (code, "is for the role author or operator" in told) == (2, True), told
    code, told = await asyncio.to_thread(typed, *words, token_file=author)
    assert (code, "q: learned from" in told) == (0, True), told
    code, told = await asyncio.to_thread(typed, "forecast", "show", "q", token_file=reader)
    assert (code, "q: " in told) == (0, True), told
    page = place.folder / "page.html"
    report = ("forecast", "report", "--out", str(page))
    code, told = await asyncio.to_thread(typed, *report, token_file=reader)
    assert (code, "1 queue" in told) == (0, True), told
    assert f"--engine-ca-file {place.authority.ca_file}" in page.read_text()


@pytest.mark.parametrize(
    "words", [("forecast", "show", "q"), ("history", "import", "past.csv", "--queue", "q")]
)
def test_commands_show_no_token_without_tls(words: tuple[str, ...]) -> None:
    """Nor do they end in a traceback."""
    done = headgate(*words, "--address", "192.0.2.1:1", env={"HEADGATE_TOKEN": "x"})
    assert (done.returncode, "for all to read" in done.stderr) == (2, True), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--token-file", "{token}", "--address", "192.0.2.1:1"), "for all to read"),
        (("--token-file", "/nowhere"), "/nowhere: No such file"),
        (("--engine-ca-file", "/nowhere"), "/nowhere: No such file"),
        (("--engine-certificate-file", "{token}"), "a certificate with its key"),
        (("--token-file", "{empty}"), "which is empty"),
    ],
)
def test_commands_refuse_what_cannot_be_shown(
    place: Place, arguments: tuple[str, ...], told: str
) -> None:
    """Before anything goes over the network."""
    token = place.token_file("a", "reader")
    (place.folder / "empty").write_text("\n")
    given = [part.format(token=token, empty=place.folder / "empty") for part in arguments]
    done = headgate("export", *given)
    assert done.returncode == 2
    assert told in done.stderr
    assert Path(token).read_text().strip() not in done.stderr


def test_forwarder_reads_events_with_a_credential(
    serve: Serve, place: Place, tmp_path: Path
) -> None:
    """By a certificate, here; a reader may."""
    crm: Signed = place.authority.client("crm")
    place.callers.add("crm", "reader", certificate="CN:crm")
    gateway = place.authority.client("gateway")
    place.callers.add("gateway", "gateway author", certificate="CN:gateway")
    served = serve(*place.flags(), "--set", f"tls_client_ca_file={place.authority.ca_file}")
    folder = tmp_path / "forwarder"
    folder.mkdir()
    forwarder_place = ForwarderPlace(folder)
    receiver = Receiver(forwarder_place)
    trust = ("--engine-ca-file", place.authority.ca_file)
    own = ("--engine-certificate-file", crm.certificate_file, "--engine-key-file", crm.key_file)
    forwarder = forwarder_place.start(
        local(served), receiver.port, "--from-beginning", *trust, *own
    )
    try:
        forwarder.until_ready()
        env = {
            **os.environ,
            "HEADGATE_ADDRESS": local(served),
            "HEADGATE_ENGINE_CA_FILE": place.authority.ca_file,
            "HEADGATE_ENGINE_CERTIFICATE_FILE": gateway.certificate_file,
            "HEADGATE_ENGINE_KEY_FILE": gateway.key_file,
        }
        script = str(ROOT / "deploy" / "examples" / "python" / "route.py")
        subprocess.run((sys.executable, script), env=env, check=True, timeout=60)
        wait_until(
            lambda: [line for line in receiver.lines("event ") if "CONTACT_COMPLETED" in line],
            "the last event is delivered",
        )
    finally:
        forwarder.kill()
        receiver.kill()


@pytest.mark.needs_node
@pytest.mark.usefixtures("node_packages")
async def test_node_client_shows_what_the_environment_says(
    serve: Serve, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same variables, the same words; over TLS with a token, calls and sessions."""
    served = serve(*place.flags())
    token_file = place.token_file("node", "gateway author")
    node = ROOT / "deploy" / "examples" / "node"
    monkeypatch.setenv("HEADGATE_ENGINE_CA_FILE", place.authority.ca_file)
    monkeypatch.setenv("HEADGATE_TOKEN_FILE", token_file)
    async with Client(local(served)) as client:
        await _until_let_in(client)
    assert "COMPLETED" in await run(local(served), "node", str(node / "route.mjs"))
    assert "COMPLETED" in await run(local(served), "node", str(node / "session.mjs"))
    text = f"""
      import {{ headgate }} from {json.dumps((node / "headgate.mjs").as_uri())};
      try {{
        headgate('192.0.2.1:7443', {{ token: 'x' }});
      }} catch ({{ message }}) {{
        console.log(message);
      }}
    """
    told = await run(local(served), "node", "--input-type=module", "--eval", text)
    assert "for all to read" in told


async def _until_let_in(client: Client) -> None:
    """Wait until the server has read the callers file anew."""
    async with asyncio.timeout(20):
        while True:
            try:
                await client.queues.ListQueues(ListQueuesRequest(), timeout=5)
                return
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.1)


async def test_changes_are_recorded_and_nothing_else_is(serve: Serve, place: Place) -> None:
    """In the file that was named, over unary calls and sessions alike, with their outcome."""

    audit_file = place.folder / "audit"
    token_file = place.token_file("a", "author gateway")
    served = serve(*place.flags(), "--set", f"audit_file={audit_file}")
    access = Access(ca_file=place.authority.ca_file, token_file=token_file)
    async with Client(local(served), access) as client:
        await open_queue(client, "billing")
        await route(client, "billing", "c")
        with pytest.raises(Exception, match="PERMISSION_DENIED"):
            await client.call(client.queues.PauseQueue, PauseQueueRequest(queue_id="billing"))
        with pytest.raises(Exception, match="INVALID_ARGUMENT"):
            await open_queue(client, "", max_wait_ms=5)
        async with client.session(watch=SessionWatch(replies_only=True)) as session:
            agent = Agent(agent_id="ada", queue_ids=["billing"])
            await session.ask(upsert_agent=UpsertAgentRequest(agent=agent))
    records = [json.loads(line) for line in audit_file.read_text().splitlines()]
    found = [
        (item["method"].partition("/")[2], item.get("target"), item["outcome"]) for item in records
    ]
    assert found == [
        ("UpsertQueue", "billing", "OK"),
        ("PauseQueue", None, "PERMISSION_DENIED"),
        ("UpsertQueue", "", "INVALID_ARGUMENT"),
        ("UpsertAgent", "ada", "OK"),
    ]
    assert {(item["caller"], item["tenant"]) for item in records} == {("a", "tenant of default")}
    assert all(re.match("ipv[46]:", item["peer"]) for item in records)


async def test_secrets_are_nowhere_to_be_found(serve: Serve, place: Place) -> None:
    """Not in logs, settings, metrics, audit records, refusals or on the command line."""
    token_file = place.token_file("a", "author gateway")
    token = Path(token_file).read_text().strip()
    served = serve(*place.flags(), "--log-level", "debug", env={})
    access = Access(ca_file=place.authority.ca_file, token=token)
    shown = [repr(access), str(access)]
    async with Client(local(served), access) as client:
        await open_queue(client, "billing")
        # Somebody puts it where ids go, and it comes back in an error.
        with pytest.raises(Exception, match="NOT_FOUND"):
            await route(client, token)
    wrong = Access(ca_file=place.authority.ca_file, token=token[:-1])
    async with Client(local(served), wrong) as client:
        with pytest.raises(Exception, match="UNAUTHENTICATED") as caught:
            await client.call(client.queues.ListQueues, ListQueuesRequest())
        shown.append(str(caught.value))
    printed = headgate("serve", "--print-config", *place.flags())
    assert printed.returncode == 0, printed.stderr
    shown += [served.told(), served.get("/metrics")[1], printed.stdout]
    shown.append(Path(f"/proc/{served.process.pid}/cmdline").read_text())
    key = Path(place.server.key_file).read_text().splitlines()[1]
    secret = token.split("_", 2)[2][:-1]
    for text in shown:
        assert secret not in text
        assert key not in text
    assert "access_refused" in served.told()
