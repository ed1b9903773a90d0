"""`headgate import`: the examples go through the command into an engine."""

import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from adapters.cli import main
from adapters.configuration.document import read_configuration
from tests.end_to_end.conftest import Serve

EXAMPLES = Path(__file__).resolve().parents[2] / "deploy" / "examples" / "import"
FILES = {
    "taskrouter": "workspace.json",
    "connect": "routing_profile.json",
    "asterisk": "queues.conf",
}


def bring(system: str, *arguments: str | Path) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(main, ["import", system, *map(str, arguments)])


@pytest.mark.parametrize("system", FILES)
def test_example_goes_into_an_engine_and_stays_as_it_is(
    serve: Serve, tmp_path: Path, system: str
) -> None:
    """Import, apply, and nothing is left to do: what an import writes, a cell takes."""
    engine = serve("--durability", "memory")
    output = tmp_path / "cell.yaml"
    done = bring(system, EXAMPLES / FILES[system], "--output", output)
    assert (done.exit_code, done.stdout) == (0, "")
    for arguments, code in ((["--dry-run"], 5), ([], 0), (["--dry-run", "--prune"], 0)):
        applied = CliRunner().invoke(
            main, ["apply", str(output), "--address", engine.address, *arguments]
        )
        assert applied.exit_code == code, applied.output


@pytest.mark.parametrize("system", FILES)
def test_findings_stand_on_standard_error_and_at_the_head_of_the_file(
    tmp_path: Path, system: str
) -> None:
    """Whoever runs the command reads them, and so does whoever finds the file in a year."""
    done = bring(system, EXAMPLES / FILES[system])
    assert done.exit_code == 0
    head = [line for line in done.stdout.splitlines() if line.startswith("#")]
    assert head[0] == f"# Made by `headgate import {system} {FILES[system]}`."
    told = [line for line in done.stderr.splitlines() if line]
    assert [line.removeprefix("# ") for line in head[1:] if line != "#"] == told[:-1]
    assert "Left out, and what to use instead:" in told
    assert told[-1].endswith("items to look at")
    path = tmp_path / "cell.yaml"
    path.write_text(done.stdout, encoding="utf-8")
    assert read_configuration(path).configuration.keys() == {"queues", "agents"}


def test_what_an_engine_would_refuse_is_told(tmp_path: Path) -> None:
    """The file is written all the same, to be corrected by hand."""
    conf = tmp_path / "queues.conf"
    conf.write_text("[q]\nstrategy=rrmemory\ntimeout=90000\n", encoding="utf-8")
    done = bring("asterisk", conf)
    assert done.exit_code == 0
    assert "To be corrected by hand before it can be applied:" in done.stderr
    assert "queues[0].offer_timeout_ms = 90000000: expected 100 to 86,400,000" in done.stderr
    assert yaml.safe_load(done.stdout)["queues"][0]["offer_timeout_ms"] == 90_000_000


def test_no_name_breaks_out_of_the_head_of_the_file(tmp_path: Path) -> None:
    """A line end in a name of the other system must not become a line of ours."""
    workspace = tmp_path / "workspace\nqueues: [].json"
    workspace.write_text(
        '{"task_queues": [{"sid": "WQ1", "friendly_name": "Q\\nagents: []\\u2028", '
        '"target_workers": "a ==\\nqueues: []"}], "more\\nqueues": 1, "workers": [], "workflows": '
        '[{"configuration": {"task_routing": {"filters": [{"friendly_name": "F\\nqueues: []", '
        '"targets": [{"queue": "WQ1"}]}]}}}]}',
        encoding="utf-8",
    )
    done = bring("taskrouter", workspace)
    assert done.exit_code == 0
    assert "a ==?queues: []" in done.stdout
    values = yaml.safe_load(done.stdout)
    assert list(values) == ["queues", "agents"]
    assert values["queues"][0]["queue_id"] == "Q\nagents: []\u2028"
    assert values["agents"] == []


@pytest.mark.parametrize("system", FILES)
@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"nonsense", b'{"a": 1}', b"[" * 100_000])
def test_file_of_another_kind_is_refused(tmp_path: Path, system: str, content: bytes) -> None:
    """Exit code 2 and a line that says why, never a stack trace."""
    path = tmp_path / "file"
    path.write_bytes(content)
    refused = bring(system, path)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr.startswith(f"headgate: {path}: ")
    assert "expected" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_wrong_usage_is_told(tmp_path: Path) -> None:
    """A system that is not known, a file that is not there, an output that cannot be."""
    assert bring("genesys", tmp_path / "file").exit_code == 2
    missing = bring("asterisk", tmp_path / "none.conf")
    assert missing.exit_code == 2
    assert "none.conf: No such file or directory" in missing.stderr
    conf = shutil.copy(EXAMPLES / "queues.conf", tmp_path / "queues.conf")
    unwritable = bring("asterisk", conf, "--output", tmp_path / "none" / "cell.yaml")
    assert unwritable.exit_code == 3
    assert "cannot write the configuration" in unwritable.stderr
