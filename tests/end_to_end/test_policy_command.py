"""`headgate policy` against a real server."""

import json
from pathlib import Path

import pytest

from headgate.client import Client
from headgate.v1 import policy_service_pb2 as pb
from tests.end_to_end.credentials import CallersFile
from tests.end_to_end.serving import Served, headgate
from tests.end_to_end.test_contract_policies import get, queues_of, text_of

EXAMPLE = Path(__file__).resolve().parents[2] / "deploy/examples/policies/bank/voice-surge.yaml"


@pytest.fixture
def address(server: Served) -> tuple[str, str]:
    """Flags that lead to the shared server."""
    return "--address", server.address


async def test_policy_is_published_shown_taken_back_and_retired(
    client: Client, name: str, address: tuple[str, str], tmp_path: Path
) -> None:
    """The life of a policy from a shell: each command says what is in force then."""
    await queues_of(client, name)
    await queues_of(client, f"{name}-x")
    path = tmp_path / "p.yaml"
    path.write_text(text_of(name, 1) + "---\n" + text_of(f"{name}-x"))

    def run(*words: str, exit_code: int = 0) -> str:
        done = headgate("policy", *words, *address)
        assert done.returncode == exit_code, done.stderr
        return done.stdout

    published = run("publish", str(path), "--stage", "canary", "--share", "0.1", "--author", "ann")
    assert published == (
        f"{path}: {name}: version 1 canary of 10.0%\n{path}: {name}-x: version 1 canary of 10.0%\n"
    )
    run("publish", str(path), "--reason", "well")
    assert run("publish", str(path)) == f"{path}: unchanged\n" * 2
    assert run("diff", str(path)) == ""
    path.write_text(text_of(name, 2))
    told = run("diff", str(path), exit_code=5)
    assert told.startswith('# spec.enter.when: "queue.waiting > 1" -> "queue.waiting > 2"\n---')
    assert run("publish", str(path)) == f"{path}: {name}: version 2 active\n"
    assert run("diff", str(path), "--version", "1", exit_code=5) == told.replace(
        "version 1\n", "version 1\n", 1
    )
    assert run("rollback", name, "--reason", "too much") == f"{name}: version 1 active\n"
    assert run("rollback", name, "--version", "2") == f"{name}: version 2 active\n"

    assert run("override", "off", name, "--for", "2h", "--queue", name, "--reason", "test") == ""
    assert run("override", "kill", name) == ""
    status = run("status", name)
    for words in ("off", "kill", "taken back", "rolled back", "too much", "published", "ann"):
        assert words in status
    listed = json.loads(run("status", "--output", "json"))
    assert name in [item["name"] for item in listed["policies"]]
    assert [item["what"] for item in listed["overrides"] if item.get("policy") == name] == [
        "POLICY_SWITCH_KILL", "POLICY_SWITCH_OFF",
    ]  # fmt: skip
    assert run("override", "take-back", name) == ""
    assert run("override", "take-back", name, "--queue", name) == ""
    assert run("retire", name) == f"{name}: nothing in force\n"
    assert (await get(client, name)).rollout.active_version == 0


async def test_refused_text_is_told_at_its_place_in_the_file(
    client: Client, name: str, address: tuple[str, str], tmp_path: Path
) -> None:
    """Not in the part of it that was sent; policies before it stay published."""
    await queues_of(client, name)
    path = tmp_path / "p.yaml"
    good = text_of(name)
    path.write_text(f"{good}---\n{text_of(f'{name}-y')}")
    done = headgate("policy", "publish", str(path), *address)
    assert done.returncode == 2
    line = good.count("\n") + 1 + 5
    assert f"headgate: {path}:{line}:20: error: spec.match.queues[0]: no queue" in done.stderr
    assert (await get(client, name)).rollout.active_version == 1
    rival = tmp_path / "rival.yaml"
    rival.write_text(good.replace(f"metadata: {{name: {name}}}", f"metadata: {{name: {name}-r}}"))
    done = headgate("policy", "publish", str(rival), "--stage", "shadow", *address)
    assert done.returncode == 0
    assert "warning:" in done.stderr
    for policy in (name, f"{name}-r"):
        await client.call(client.policies.RetirePolicy, pb.RetirePolicyRequest(name=policy))


@pytest.mark.parametrize(
    ("words", "exit_code", "told"),
    [
        (("rollback", "nobody"), 2, "expected the name of a policy that exists"),
        (("retire", "nobody"), 2, "expected the name of a policy that exists"),
        (("status", "nobody"), 2, "expected the name of a policy that exists"),
        (("status", "--cell", "nowhere"), 2, "no cell 'nowhere' here"),
        (("override", "kill", "nobody"), 2, "expected the name of a policy that exists"),
        (("override", "on", "nobody"), 2, "on: expected --for a time, such as 30m"),
        (("override", "kill", "nobody", "--for", "1h"), 2, "kill takes no --for"),
        (("override", "on", "nobody", "--for", "soon"), 2, "--for: expected a time such as 90s"),
        (("override", "kill"), 2, "expected NAME or --all"),
        (("override", "kill", "nobody", "--all"), 2, "expected NAME or --all"),
        (("override", "on", "--all", "--for", "1h"), 2, "policy: got ''"),
        (("publish", "nowhere.yaml"), 2, "does not exist"),
        (("publish", __file__), 2, f"{__file__}:1:3: error: no YAML"),
        (("diff", str(EXAMPLE)), 2, "expected the name of a policy that exists"),
    ],
)
def test_wrong_usage_is_told(
    address: tuple[str, str], words: tuple[str, ...], exit_code: int, told: str
) -> None:
    """In words that say what to write instead."""
    done = headgate("policy", *words, *address)
    assert (done.returncode, told in done.stderr) == (exit_code, True), done.stderr


def test_engine_that_does_not_answer_exits_with_three() -> None:
    """As every command that asks one."""
    done = headgate("policy", "status", "--address", "127.0.0.1:1")
    assert done.returncode == 3
    assert "no answer from an engine at 127.0.0.1:1" in done.stderr
    done = headgate("policy", "status", "--address", "nonsense")
    assert done.returncode == 2


def test_caller_without_the_role_is_refused(serve: object, tmp_path: Path) -> None:
    """And told so; the token is found as by other commands."""
    callers = CallersFile(tmp_path / "callers")
    token = callers.add("voice", "gateway")
    served: Served = serve("--durability", "memory", "--callers-file", str(callers.path))  # type: ignore[operator]
    done = headgate(
        "policy", "retire", "p", "--address", served.address, env={"HEADGATE_TOKEN": token}
    )
    assert done.returncode == 2
    assert "PolicyService/RetirePolicy is for the role author" in done.stderr
