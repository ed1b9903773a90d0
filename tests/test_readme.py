"""The README against the code: every shell block runs, every excerpt and reference is real."""

import os
import re
import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from adapters import reference

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
SHELL_BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
YAML_BLOCKS = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
ALERTS = [block for block in YAML_BLOCKS if "alert:" in block]
EXCERPTS = re.findall(r"<!-- (deploy/\S+) -->\n```\w+\n(.*?)```", README, re.DOTALL)

# What this very run is made by, so it cannot be run from within: shown to exist instead.
RUN_BY_OTHERS = {"make test\n"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
@pytest.mark.needs_node
@pytest.mark.needs_openssl
@pytest.mark.timeout(600)
def test_readme_shell_blocks_run_in_order(tmp_path: Path) -> None:
    """A stranger types what the README says; nothing in it may fail."""
    ports = {port: str(_free_port()) for port in ("7443", "7444", "7446", "7447", "7448")}
    # One shell, so that the server started by one block serves the next; ports are free ones, the
    # demo plays ten minutes of the day instead of all of it.
    text = "set -euo pipefail\n" + "\n".join(_in_one_shell(SHELL_BLOCKS))
    for usual, free in ports.items():
        text = text.replace(usual, free)
    text = text.replace("/tmp/headgate-first-call", str(tmp_path / "first-call"))
    environment = {
        **os.environ,
        "ARGS": "--plain --speed 600 --from 10:00 --until 10:10",
        "HEADGATE_ADDRESS": f"127.0.0.1:{ports['7443']}",
        "HEADGATE_METRICS_ADDRESS": f"127.0.0.1:{ports['7444']}",
    }
    # A file, not a pipe: the server that a block leaves running would hold a pipe open.
    log = tmp_path / "output"
    with log.open("w") as output:
        shell = subprocess.Popen(
            ["bash", "-c", text],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        code = shell.wait(timeout=540)
    finally:
        # That server belongs to the shell's group.
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
    assert code == 0, log.read_text()[-4000:]


def _in_one_shell(blocks: list[str]) -> list[str]:
    """Blocks one after the other, as they are pasted: each begins where the last one ended."""
    return [block.rstrip("\n") for block in blocks if block not in RUN_BY_OTHERS]


def test_readme_blocks_all_start_at_the_root() -> None:
    """A `cd` in one block would make the paths of the next one wrong."""
    moves = [block for block in SHELL_BLOCKS if re.search(r"^\s*cd ", block, re.MULTILINE)]
    assert moves == []


def test_readme_first_call_begins_with_the_environment() -> None:
    """Who skips the demo has no .venv, and the first command must not fail for want of it."""
    _, first_call = README.split("## First call", 1)
    assert first_call.index("\nmake setup\n") < first_call.index(".venv/bin/")


def test_readme_test_command_is_what_ci_runs() -> None:
    """CI and a newcomer must run the same command."""
    assert "make test" in (ROOT / ".ci" / "run").read_text()
    assert re.search(r"^test:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize(("path", "shown"), EXCERPTS)
def test_readme_excerpt_is_the_file(path: str, shown: str) -> None:
    """An example that is shown but not run goes stale."""
    assert shown == (ROOT / path).read_text()


def test_readme_references_are_fresh() -> None:
    """The settings and metrics that are listed must be those of the code."""
    assert reference.refreshed(README) == README


def test_readme_links_lead_somewhere() -> None:
    """A dead link costs a newcomer's trust."""
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("block", YAML_BLOCKS)
def test_readme_yaml_can_be_read(block: str) -> None:
    """Who pastes a block into a file must not be told of its line and column."""
    assert yaml.safe_load(block)


@pytest.mark.parametrize("block", ALERTS)
def test_readme_alerts_are_rules_about_metrics_that_there_are(block: str, tmp_path: Path) -> None:
    """An alert that Prometheus refuses, or whose metric nobody exports, never tells of anything."""
    tables = reference.metrics_table() + reference.forward_metrics_table()
    exported = set(re.findall(r"^\| `(\w+)` \|", tables, re.MULTILINE))
    rules = yaml.safe_load(block)
    for rule in rules:
        assert rule.keys() - {"for"} == {"alert", "expr"}
        named = re.findall(r"\bheadgate_\w+", rule["expr"])
        assert {name.removesuffix("_bucket") for name in named} <= exported, rule
    if shutil.which("promtool"):
        file = tmp_path / "rules.yaml"
        file.write_text(yaml.safe_dump({"groups": [{"name": "headgate", "rules": rules}]}))
        told = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True)
        assert told.returncode == 0, told.stdout + told.stderr
