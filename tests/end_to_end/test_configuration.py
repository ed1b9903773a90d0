"""`headgate export` and `headgate apply` against an engine that serves."""

import asyncio
import uuid
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from adapters.cli import main
from adapters.configuration.cell import apply_changes, read_cell
from adapters.configuration.difference import compare
from adapters.configuration.document import checked
from headgate.client import Client
from headgate.v1.agent_pb2 import Presence
from headgate.v1.agent_service_pb2 import GetAgentRequest, SetPresenceRequest
from headgate.v1.queue_pb2 import Queue
from headgate.v1.queue_service_pb2 import GetQueueRequest, UpsertQueueRequest
from tests.end_to_end.conftest import Serve
from tests.end_to_end.serving import Served

FILE = """\
queues:
- queue_id: billing
  service_level: {ratio: 0.9, within_ms: 30000}
  wrap_up_mode: WRAP_UP_MODE_TIMED
  wrap_up_ms: 15000
- queue_id: loans
  strategy: STRATEGY_BEST_SCORE
agents:
- agent_id: ada
  queue_ids: [billing, loans]
  skills: [{skill: spanish, proficiency: 4}]
  tags: [senior]
  capacity: 3
  channels: [{channel: CHANNEL_VOICE, cost: 3}, {channel: CHANNEL_CHAT, contacts_max: 2}]
- agent_id: bob
  queue_ids: [loans]
  lease_ms: 60000
"""


@pytest.fixture
def engine(serve: Serve) -> Served:
    """An engine of its own with two cells: what is there counts."""
    return serve("--durability", "memory", "--cells", "default,other")


def headgate(*arguments: str | Path, address: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(main, [*map(str, arguments), "--address", address])


def write(tmp_path: Path, text: str) -> Path:
    """A file to apply."""
    path = tmp_path / "cell.yaml"
    path.write_text(text, encoding="utf-8")
    return path


async def ada(address: str, presence: Presence.ValueType | None = None) -> str:
    """Presence of agent ada, after setting it where one is given."""
    async with Client(address) as client:
        if presence is not None:
            request = SetPresenceRequest(agent_id="ada", presence=presence)
            await client.call(client.agents.SetPresence, request)
        reply = await client.call(client.agents.GetAgent, GetAgentRequest(agent_id="ada"))
        return Presence.Name(reply.agent.presence).removeprefix("PRESENCE_")


def test_configuration_goes_from_a_file_into_a_cell_and_on_to_another(
    engine: Served, tmp_path: Path
) -> None:
    """What is exported is all there is: another cell made of it cannot be told apart."""
    path = write(tmp_path, FILE)
    told = headgate("apply", path, "--dry-run", address=engine.address)
    assert (told.exit_code, told.stdout.splitlines()[-1]) == (
        5,
        "4 created, 0 changed, 0 deleted, 0 unchanged",
    )
    assert headgate("export", address=engine.address).stdout == "queues: []\nagents: []\n"

    applied = headgate("apply", path, address=engine.address)
    assert (applied.exit_code, applied.stdout.splitlines()[-1]) == (0, "applied 4 changes")
    again = headgate("apply", path, "--dry-run", "--prune", address=engine.address)
    assert (again.exit_code, again.stdout) == (0, "0 created, 0 changed, 0 deleted, 4 unchanged\n")

    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    assert headgate("export", "--output", first, address=engine.address).exit_code == 0
    same = headgate("apply", first, "--dry-run", "--prune", address=engine.address)
    assert same.exit_code == 0
    assert headgate("apply", first, "--cell", "other", address=engine.address).exit_code == 0
    headgate("export", "--cell", "other", "--output", second, address=engine.address)
    assert second.read_bytes() == first.read_bytes()


def test_what_agents_do_is_not_configuration(engine: Served, tmp_path: Path) -> None:
    """An export while the floor works is the same, and applying it ends nobody's shift."""
    path = write(tmp_path, FILE)
    headgate("apply", path, address=engine.address)
    before = headgate("export", address=engine.address).stdout

    assert asyncio.run(ada(engine.address, Presence.PRESENCE_AVAILABLE)) == "AVAILABLE"
    assert headgate("export", address=engine.address).stdout == before
    changed = write(tmp_path, FILE.replace("proficiency: 4", "proficiency: 5"))
    told = headgate("apply", changed, address=engine.address)
    assert told.stdout.splitlines()[:2] == [
        "agent ada: changed",
        "  skills: - {skill: spanish, proficiency: 4}, + {skill: spanish, proficiency: 5}",
    ]
    assert asyncio.run(ada(engine.address)) == "AVAILABLE"


def test_prune_deletes_agents_before_their_queues(engine: Served, tmp_path: Path) -> None:
    """Either order of the other kind would be refused by the engine."""
    headgate("apply", write(tmp_path, FILE), address=engine.address)
    less = "queues: [{queue_id: billing}]\nagents: [{agent_id: ada, queue_ids: [billing]}]"
    path = write(tmp_path, less)
    kept = headgate("apply", path, "--dry-run", address=engine.address)
    assert "2 only in the cell: left alone, --prune deletes them" in kept.stdout
    done = headgate("apply", path, "--prune", address=engine.address)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "queue loans: deleted" in done.stdout
    assert "agent bob: deleted" in done.stdout
    exported = headgate("export", address=engine.address).stdout
    assert "bob" not in exported
    assert "loans" not in exported


def test_fallback_queues_are_there_before_those_that_name_them(
    engine: Served, tmp_path: Path
) -> None:
    """Whatever their names; turned round, made and deleted in an order that the engine takes."""
    for text in (
        "queues: [{queue_id: a, fallback_queue_id: b}, {queue_id: b, fallback_queue_id: c}, "
        "{queue_id: c}]",
        "queues: [{queue_id: a}, {queue_id: b, fallback_queue_id: a}, "
        "{queue_id: c, fallback_queue_id: b}]",
        "queues: []",
    ):
        done = headgate("apply", write(tmp_path, text), "--prune", address=engine.address)
        assert (done.exit_code, done.stderr) == (0, "")


def test_fallback_queue_that_is_nowhere_is_found(engine: Served, tmp_path: Path) -> None:
    """Before anything is changed, with the place in the file."""
    path = write(tmp_path, "queues: [{queue_id: sales, fallback_queue_id: sale}]")
    refused = headgate("apply", path, address=engine.address)
    assert refused.exit_code == 2
    assert "queues[0].fallback_queue_id: expected the id of a queue" in refused.stderr


def test_many_entries_take_many_pages_and_batches(engine: Served, tmp_path: Path) -> None:
    """More agents than fit a page, more writes than go at once."""
    agents = [f"{{agent_id: a{number:04}, queue_ids: [q]}}" for number in range(1_200)]
    path = write(tmp_path, f"queues: [{{queue_id: q}}]\nagents: [{', '.join(agents)}]")
    done = headgate("apply", path, address=engine.address)
    assert done.stdout.splitlines()[-1] == "applied 1201 changes"
    assert headgate("export", address=engine.address).stdout.count("agent_id") == 1_200
    assert headgate("apply", path, "--dry-run", address=engine.address).exit_code == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "queues: [{queue_id: q, max_length: -1}]",
            "queues[0].max_length: expected 0 to 1,000,000",
        ),
        (
            "queues: [{queue_id: q}]\nagents: [{agent_id: a, queue_ids: [qq]}]",
            "agents[0].queue_ids[0]: expected the id of a queue (did you mean q?), got 'qq'",
        ),
    ],
)
def test_file_with_one_mistake_changes_nothing(
    server: Served, tmp_path: Path, text: str, told: str
) -> None:
    """Also what is in order before the mistake is not written."""
    path = write(tmp_path, text)
    before = headgate("export", address=server.address).stdout
    refused = headgate("apply", path, address=server.address)
    assert refused.exit_code == 2
    assert refused.stderr.startswith(f"headgate: {path}: {told}")
    assert "Traceback" not in refused.stderr
    assert headgate("export", address=server.address).stdout == before


def test_queue_that_agents_keep_cannot_be_pruned(engine: Served, tmp_path: Path) -> None:
    """The file says nothing of agents, so they stay, and so must what they name."""
    headgate("apply", write(tmp_path, FILE), address=engine.address)
    refused = headgate(
        "apply", write(tmp_path, "queues: [{queue_id: billing}]"), "--prune", address=engine.address
    )
    assert refused.exit_code == 2
    assert "expected queue loans, which agents name, or agents that do not" in refused.stderr


async def test_write_is_refused_once_somebody_else_has_written(server: Served, name: str) -> None:
    """What was compared is no longer what would be replaced; the other changes are made."""
    async with Client(server.address) as client:
        await client.call(client.queues.UpsertQueue, UpsertQueueRequest(queue=Queue(queue_id=name)))
        present = await read_cell(client, "default")
        asked = [{"queue_id": name, "max_length": 5}, {"queue_id": f"{name}-new"}]
        wanted = checked({"queues": asked}).configuration
        changes = compare(wanted, present, is_pruned=False).changes
        await client.call(
            client.queues.UpsertQueue,
            UpsertQueueRequest(queue=Queue(queue_id=name, max_length=9)),
        )
        failures = await apply_changes(client, "default", changes, uuid.uuid4().hex)
        assert [(str(item.change), item.why) for item in failures] == [
            (f"queue {name}", "it was changed by somebody else meanwhile; run again to see how")
        ]
        reply = await client.call(client.queues.GetQueue, GetQueueRequest(queue_id=name))
        assert reply.queue.max_length == 9
        await client.call(client.queues.GetQueue, GetQueueRequest(queue_id=f"{name}-new"))


async def test_entry_that_somebody_else_has_made_meanwhile_is_not_replaced(
    server: Served, name: str
) -> None:
    """It was not there when it was compared, and is somebody's now."""
    async with Client(server.address) as client:
        present = await read_cell(client, "default")
        wanted = checked({"queues": [{"queue_id": name, "max_length": 5}]}).configuration
        changes = compare(wanted, present, is_pruned=False).changes
        theirs = Queue(queue_id=name, max_length=9)
        await client.call(client.queues.UpsertQueue, UpsertQueueRequest(queue=theirs))
        (failure,) = await apply_changes(client, "default", changes, uuid.uuid4().hex)
        assert "changed by somebody else" in failure.why
        reply = await client.call(client.queues.GetQueue, GetQueueRequest(queue_id=name))
        assert reply.queue.max_length == 9


@pytest.mark.slow
async def test_rest_is_not_tried_once_the_engine_is_gone(serve: Serve) -> None:
    """Each write would wait ten seconds for nothing; what was not done is told, write by write."""
    engine = serve("--durability", "memory")
    async with Client(engine.address) as client:
        wanted = checked({"queues": [{"queue_id": f"q{n}"} for n in range(200)]}).configuration
        changes = compare(wanted, await read_cell(client, "default"), is_pruned=False).changes
        engine.kill()
        failures = await apply_changes(client, "default", changes, uuid.uuid4().hex)
    assert len(failures) == 200
    assert failures[0].why.startswith("UNAVAILABLE")
    assert [item.why for item in failures[64:]] == ["not tried: the engine is gone"] * 136


async def test_changes_of_one_run_may_be_sent_again(server: Served, name: str) -> None:
    """An answer that was lost on the way: the engine gives it again and does nothing twice."""
    async with Client(server.address) as client:
        wanted = checked({"queues": [{"queue_id": name}]}).configuration
        present = {**await read_cell(client, "default"), "queues": {}}
        changes = compare(wanted, present, is_pruned=False).changes
        run_id = uuid.uuid4().hex
        assert await apply_changes(client, "default", changes, run_id) == []
        once = await client.call(client.queues.GetQueue, GetQueueRequest(queue_id=name))
        assert await apply_changes(client, "default", changes, run_id) == []
        twice = await client.call(client.queues.GetQueue, GetQueueRequest(queue_id=name))
        assert twice.queue.etag == once.queue.etag


def test_refusal_of_the_engine_is_told(engine: Served, tmp_path: Path) -> None:
    """More skills than a cell can tell apart; what fits is there, and the exit code says so."""
    agents = [
        f"{{agent_id: a{n:03}, skills: [{{skill: s{n:03}, proficiency: 1}}]}}" for n in range(260)
    ]
    path = write(tmp_path, f"agents: [{', '.join(agents)}]")
    told = headgate("apply", path, address=engine.address)
    assert told.exit_code == 6
    assert "not created: RESOURCE_EXHAUSTED" in told.stderr
    assert told.stderr.splitlines()[-1] == "headgate: 4 of 260 changes were not made"


@pytest.mark.parametrize("command", [["export"], ["apply", "{file}"]])
def test_cell_that_the_engine_does_not_own_is_wrong_usage(
    server: Served, tmp_path: Path, command: list[str]
) -> None:
    """A slip in the name must not look like an empty cell."""
    path = write(tmp_path, "queues: []")
    arguments = [item.format(file=path) for item in command]
    refused = headgate(*arguments, "--cell", "nowhere", address=server.address)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "nowhere" in refused.stderr


def test_export_that_cannot_be_written_is_told(server: Served, tmp_path: Path) -> None:
    """Exit code 3: the environment refused."""
    told = headgate("export", "--output", tmp_path / "none" / "cell.yaml", address=server.address)
    assert told.exit_code == 3
    assert "cannot write the configuration: No such file or directory" in told.stderr


@pytest.mark.parametrize("address", ["nonsense", "localhost", "::1:7443", "localhost:99999"])
def test_address_that_is_none_is_wrong_usage(tmp_path: Path, address: str) -> None:
    """Before anything is dialled."""
    for command in (["export"], ["apply", write(tmp_path, "queues: []")]):
        refused = headgate(*command, address=address)
        assert refused.exit_code == 2
        assert f"--address: expected HOST:PORT, got '{address}'" in refused.stderr


@pytest.mark.slow
def test_engine_that_does_not_answer_is_told(tmp_path: Path) -> None:
    """After the client's ten seconds of trying; nothing listens on port 1."""
    told = headgate("apply", write(tmp_path, "queues: []"), address="127.0.0.1:1")
    assert told.exit_code == 3
    assert "no answer from an engine at 127.0.0.1:1: UNAVAILABLE" in told.stderr


def test_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """The path is what went wrong."""
    told = headgate("apply", tmp_path / "none.yaml", address="127.0.0.1:1")
    assert told.exit_code == 2
    assert "none.yaml: No such file or directory" in told.stderr
