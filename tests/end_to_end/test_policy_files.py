"""A folder of policies that a server watches: what changes in it is in force a moment later."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from headgate.client import Client
from headgate.v1 import policy_pb2 as told
from headgate.v1 import policy_service_pb2 as pb
from tests.end_to_end.conftest import Serve
from tests.end_to_end.floor import open_queue
from tests.end_to_end.serving import Served
from tests.end_to_end.test_contract_policies import get, publish, queues_of, text_of

IN_MEMORY = ("--durability", "memory")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder."""
    made = tmp_path / "policies"
    made.mkdir()
    return made


async def until(client: Client, name: str, is_so: Callable[[told.Policy], bool]) -> told.Policy:
    """Wait until something can be said of a policy; returns it."""
    async with asyncio.timeout(20):
        while True:
            request = pb.ListPoliciesRequest()
            names = [
                p.name for p in (await client.call(client.policies.ListPolicies, request)).policies
            ]
            if name in names and is_so(policy := await get(client, name)):
                return policy
            await asyncio.sleep(0.1)


def is_active(version: int) -> Callable[[told.Policy], bool]:
    """Whether a version is the active one."""
    return lambda policy: policy.rollout.active_version == version


def metric(served: Served, name: str) -> float:
    """A metric of the default cell."""
    _, text = served.get("/metrics")
    (line,) = (line for line in text.splitlines() if line.startswith(f'{name}{{cell="default"}}'))
    return float(line.split()[-1])


async def test_file_is_published_as_it_changes_and_retired_as_it_goes(
    serve: Serve, folder: Path
) -> None:
    """Its author is `file`, its reason the file's name; a file may hold several policies."""
    (folder / "a.yaml").write_text(f"# ours\n---\n{text_of('a')}---\n{text_of('b')}")
    (folder / "notes.txt").write_text("nothing: [")
    (folder / ".hidden.yaml").write_text("nothing: [")
    served = serve(*IN_MEMORY, "--set", f"policy_directory={folder}")
    async with Client(served.address) as client:
        # Queues come later than the engine: until then the names are errors.
        for name in ("a", "b"):
            await queues_of(client, name)
        first = await until(client, "a", is_active(1))
        assert first.versions[0].text == text_of("a")
        assert (first.versions[0].author, first.versions[0].reason) == ("file", "a.yaml")
        assert (await until(client, "b", is_active(1))).versions[0].text == text_of("b")
        (folder / "a.yaml").write_text(text_of("a", 7))
        assert (await until(client, "a", is_active(2))).versions[1].text == text_of("a", 7)
        gone = await until(client, "b", is_active(0))
        assert (gone.steps[-1].author, gone.steps[-1].reason) == ("file", "the file is gone")
        (folder / "b.yml").write_text(text_of("b"))
        await until(client, "b", is_active(1))
        assert metric(served, "headgate_policy_files_broken") == 0
        assert metric(served, "headgate_policy_files_published_total") == 4
        assert metric(served, "headgate_policy_files_loaded_timestamp_seconds") > 1.7e9


async def test_broken_file_keeps_what_was_good(serve: Serve, folder: Path) -> None:
    """It is told by file, line and column, once, and counted; the other files go on."""
    for name in ("a", "b"):
        (folder / f"{name}.yaml").write_text(text_of(name))
    served = serve(*IN_MEMORY, "--set", f"policy_directory={folder}")
    async with Client(served.address) as client:
        for name in ("a", "b"):
            await queues_of(client, name)
            await until(client, name, is_active(1))
        (folder / "a.yaml").write_text(text_of("a").replace("queue.waiting", "queue.wating"))
        (folder / "b.yaml").write_text(text_of("b", 7))
        await until(client, "b", is_active(2))
        assert (await get(client, "a")).rollout.active_version == 1
        broken = [line for line in served.log() if line["event"] == "policy_file_broken"]
        told_last = str(broken[-1]["error"])
        assert told_last.startswith(
            f"{folder / 'a.yaml'}:7:11: error: spec.enter.when: unknown name"
        )
        assert metric(served, "headgate_policy_files_broken") == 1
        errors = metric(served, "headgate_policy_file_errors_total")
        assert errors >= 1
        (folder / "a.yaml").write_text(text_of("a", 9))
        await until(client, "a", is_active(2))
        assert metric(served, "headgate_policy_files_broken") == 0
        assert metric(served, "headgate_policy_file_errors_total") == errors


async def test_files_of_a_config_map_are_followed(serve: Serve, folder: Path) -> None:
    """Kubernetes swaps one link beneath files that stay links themselves."""
    for number in (1, 2):
        version = folder / f"..2026_{number}"
        version.mkdir()
        (version / "a.yaml").write_text(text_of("a", number))
    os.symlink("..2026_1", folder / "..data")
    os.symlink("..data/a.yaml", folder / "a.yaml")
    served = serve(*IN_MEMORY, "--set", f"policy_directory={folder}")
    async with Client(served.address) as client:
        await queues_of(client, "a")
        await until(client, "a", is_active(1))
        os.symlink("..2026_2", folder / "..data_tmp")
        os.rename(folder / "..data_tmp", folder / "..data")
        policy = await until(client, "a", is_active(2))
        assert policy.versions[1].text == text_of("a", 2)


async def test_what_people_do_stays_done_until_the_file_changes(
    serve: Serve, folder: Path, tmp_path: Path
) -> None:
    """A restart must not undo what an operator took back at night."""
    (folder / "a.yaml").write_text(text_of("a", 1))
    kept = (
        "--durability", "normal", "--data-dir", str(tmp_path / "data"),
        "--set", f"policy_directory={folder}",
    )  # fmt: skip
    served = serve(*kept)
    async with Client(served.address) as client:
        await queues_of(client, "a")
        await until(client, "a", is_active(1))
        (folder / "a.yaml").write_text(text_of("a", 2))
        await until(client, "a", is_active(2))
        await client.call(client.policies.RollbackPolicy, pb.RollbackPolicyRequest(name="a"))
    served.kill()
    served = serve(*kept)
    async with Client(served.address) as client:
        loaded = "headgate_policy_files_loaded_timestamp_seconds"
        async with asyncio.timeout(20):
            while metric(served, loaded) == 0:
                await asyncio.sleep(0.1)
        assert (await get(client, "a")).rollout.active_version == 1
        (folder / "a.yaml").write_text(text_of("a", 3))
        await until(client, "a", is_active(3))
        # What somebody else has published is not the file's to take away.
        await publish(client, text=text_of("a", 4))
        (folder / "a.yaml").unlink()
        (folder / "c.yaml").write_text(text_of("c"))
        await queues_of(client, "c")
        await until(client, "c", is_active(1))
        assert (await get(client, "a")).rollout.active_version == 4


async def test_file_that_the_engine_refuses_holds_up_no_other(serve: Serve, folder: Path) -> None:
    """Its name would be the reason of the version, and is none."""
    (folder / "a\x07.yaml").write_text(text_of("a"))
    (folder / "b.yaml").write_text(text_of("b"))
    served = serve(*IN_MEMORY, "--set", f"policy_directory={folder}")
    async with Client(served.address) as client:
        for name in ("a", "b"):
            await queues_of(client, name)
        await until(client, "b", is_active(1))
        request = pb.ListPoliciesRequest()
        listed = await client.call(client.policies.ListPolicies, request)
        assert [policy.name for policy in listed.policies] == ["b"]
        (refused,) = (line for line in served.log() if line["event"] == "policy_file_refused")
        assert "reason: got 'a\\x07.yaml', expected printable characters" in str(refused["error"])


async def test_folder_that_is_away_changes_nothing(serve: Serve, folder: Path) -> None:
    """A mount that fails for a moment is no order to take everything out of force."""
    (folder / "a.yaml").write_text(text_of("a"))
    served = serve(*IN_MEMORY, "--set", f"policy_directory={folder}")
    async with Client(served.address) as client:
        await queues_of(client, "a")
        await until(client, "a", is_active(1))
        folder.rename(folder.parent / "away")
        async with asyncio.timeout(20):
            while not any("No such file" in str(line.get("error")) for line in served.log()):
                await asyncio.sleep(0.1)
        (folder.parent / "away" / "a.yaml").write_text(text_of("a", 2))
        (folder.parent / "away").rename(folder)
        policy = await until(client, "a", is_active(2))
        assert [step.kind for step in policy.steps] == [told.POLICY_STEP_KIND_PUBLISHED] * 2


async def test_each_cell_has_its_folder(serve: Serve, folder: Path) -> None:
    """Queues of one cell are not those of another."""
    (folder / "left").mkdir()
    (folder / "left" / "a.yaml").write_text(text_of("a"))
    (folder / "b.yaml").write_text(text_of("b"))
    served = serve(*IN_MEMORY, "--cells", "default,left", "--set", f"policy_directory={folder}")
    async with Client(served.address) as client:
        for name in ("b", "b-b"):
            await open_queue(client, name)
        await until(client, "b", is_active(1))
        request = pb.ListPoliciesRequest(cell="left")
        assert not (await client.call(client.policies.ListPolicies, request)).policies
