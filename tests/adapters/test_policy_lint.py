"""`headgate policy lint` and `schema`: what is found in files, in every form, without an engine."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from adapters.cli import main
from adapters.policy_files.folder import sorted_out, texts_of
from adapters.policy_source.checking import Checked, Source
from engine.policy.editing import json_schema
from tests.policy.written import DIVERSION, OVERFLOW, ROUTING

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "deploy" / "policy.schema.json"
EXAMPLE = ROOT / "deploy" / "examples" / "policies" / "bank"
# Two errors, of which one is of the set; and a warning.
BROKEN = OVERFLOW.replace("queue.waiting", "queue.wating")
LOOSE = DIVERSION.replace("params.longest", 'duration("3m")')


def policy(*words: str | Path) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(main, ["policy", *map(str, words)])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, which is the present one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.yaml").write_text(DIVERSION)
    (tmp_path / "p" / "b.yml").write_text(ROUTING + "---\n" + OVERFLOW)
    (tmp_path / "p" / "notes.txt").write_text("nothing: [")
    return tmp_path


def test_files_without_a_finding_pass_in_silence(folder: Path) -> None:
    """A script reads the exit code, a person the last line."""
    found = policy("lint", "p")
    assert (found.exit_code, found.stdout) == (0, "")
    assert found.stderr == "headgate: 2 files: 0 errors, 0 warnings\n"


def test_findings_are_told_at_their_places_and_exit_with_one(folder: Path) -> None:
    """File, line, column, severity, kind; below it the line with a caret."""
    (folder / "p" / "c.yaml").write_text(BROKEN)
    (folder / "p" / "a.yaml").write_text(LOOSE)
    found = policy("lint", "p")
    assert found.exit_code == 1
    assert found.stdout.splitlines() == [
        "p/a.yaml:11:5: warning: spec.params.longest: no condition reads params.longest "
        "[unused-parameter]",
        " |     longest: {value: 3m}",
        " |     ^",
        "p/c.yaml:6:17: error: spec.enter.when: unknown name queue.wating; did you mean "
        "queue.waiting? [expression]",
        " |   enter: {when: queue.wating > 4}",
        " |                 ^",
    ]
    assert found.stderr == "headgate: 3 files: 1 error, 1 warning\n"


def test_warnings_fail_where_they_are_to(folder: Path) -> None:
    """Who keeps policies under review may not want to look at each warning for ever."""
    (folder / "a.yaml").write_text(LOOSE)
    assert policy("lint", "a.yaml").exit_code == 0
    assert policy("lint", "a.yaml", "--strict").exit_code == 1


def test_files_are_one_set(folder: Path) -> None:
    """Two policies of one name are each sound by itself."""
    (folder / "p" / "c.yaml").write_text(OVERFLOW)
    found = policy("lint", "p", "--format", "json")
    (error,) = (item for item in json.loads(found.stdout) if item["severity"] == "error")
    assert (error["rule"], error["policy"]) == ("same-name", "lisbon-to-porto")
    assert found.exit_code == 1


def test_json_has_every_field(folder: Path) -> None:
    """For scripts."""
    (folder / "c.yaml").write_text(BROKEN)
    assert json.loads(policy("lint", "c.yaml", "--format", "json").stdout) == [
        {
            "file": "c.yaml", "line": 6, "column": 17, "severity": "error", "rule": "expression",
            "policy": "", "path": "spec.enter.when",
            "message": "unknown name queue.wating; did you mean queue.waiting?",
        }
    ]  # fmt: skip


def test_github_shows_findings_beside_the_lines(folder: Path) -> None:
    """Commas, colons and line ends of a file's name must not end the command."""
    (folder / "c,1:2%.yaml").write_text(BROKEN)
    found = policy("lint", "c,1:2%.yaml", "--format", "github")
    assert found.stdout == (
        "::error file=c%2C1%3A2%25.yaml,line=6,col=17,title=expression::spec.enter.when: unknown "
        "name queue.wating; did you mean queue.waiting?\n"
    )


def test_sarif_says_what_its_schema_demands(folder: Path) -> None:
    """Required properties, known levels, places that count from 1, rules that are there."""
    (folder / "p" / "c d.yaml").write_text(BROKEN)
    (folder / "p" / "a.yaml").write_text(LOOSE)
    log = json.loads(policy("lint", "p", folder / "p" / "b.yml", "--format", "sarif").stdout)
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    driver: dict[str, Any] = run["tool"]["driver"]
    rules = [rule["id"] for rule in driver["rules"]]
    assert driver["name"]
    assert len(set(rules)) == len(rules)
    assert run["columnKind"] in ("unicodeCodePoints", "utf16CodeUnits")
    assert len(run["results"]) >= 2
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] in ("none", "note", "warning", "error")
        assert result["message"]["text"]
        place = result["locations"][0]["physicalLocation"]
        assert " " not in place["artifactLocation"]["uri"]
        assert place["region"]["startLine"] >= 1
        assert place["region"]["startColumn"] >= 1
    uris = {
        item["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        for item in run["results"]
    }
    assert "p/c%20d.yaml" in uris


def test_sarif_of_nothing_is_a_run_without_results(folder: Path) -> None:
    """A code host closes what it showed before only when it is told so."""
    log = json.loads(policy("lint", "p", "--format", "sarif").stdout)
    assert log["runs"][0]["results"] == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nowhere.yaml",), "does not exist"),  # a slip
        ((), "Missing argument"),  # nothing at all
        (("empty",), "no file *.yaml or *.yml there"),  # the wrong folder
        (("bad.yaml",), "bad.yaml: cannot be read: no UTF-8 text"),  # another encoding
        (("p", "--format", "xml"), "'xml' is not one of"),  # another form
    ],
)
def test_wrong_usage_exits_with_two(folder: Path, words: tuple[str, ...], told: str) -> None:
    """Nothing found is not the same as nothing looked at."""
    (folder / "empty").mkdir()
    (folder / "bad.yaml").write_bytes(b"\xff\xfe")
    found = policy("lint", *words)
    assert found.exit_code == 2
    assert told in found.stderr


def test_file_that_cannot_be_read_exits_with_two(folder: Path) -> None:
    """And it is named."""
    (folder / "p" / "d.yaml").mkdir()
    found = policy("lint", "p")
    assert found.exit_code == 2
    assert "p/d.yaml: cannot be read: Is a directory" in found.stderr


def test_file_whose_policies_cannot_be_told_apart_is_broken() -> None:
    """What is published is the text between two `---`: no policy may get that of another."""
    read = sorted_out(Checked([], []), [Source("c.yaml", OVERFLOW)], ())
    assert (read.policies, read.broken) == ([], frozenset({"c.yaml"}))
    assert str(read.remarks[0]) == "c.yaml:1:1: error: expected policies separated by --- [file]"


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),  # nothing
        ("# only this\n", []),  # a comment
        ("a: 1\n", ["a: 1\n"]),  # one
        ("# head\n---\na: 1\n---\nb: 2\n", ["a: 1\n", "b: 2\n"]),  # two, and a comment
        ("--- {a: 1}\n--- # second\nb: 2\n", [" {a: 1}\n", " # second\nb: 2\n"]),  # on the line
        ("a: 1\r\n---\r\nb: 2\r\n", ["a: 1\r\n", "b: 2\r\n"]),  # of Windows
        ("a: |\n  ---\n  x\n----: 1\n", ["a: |\n  ---\n  x\n----: 1\n"]),  # no separators
    ],
)
def test_file_is_cut_into_the_texts_of_its_policies(text: str, pieces: list[str]) -> None:
    """To the letter: the text of a version is compared with it."""
    assert texts_of(text) == pieces


def test_policy_that_is_too_long_is_an_error(folder: Path) -> None:
    """The engine would not keep it."""
    (folder / "c.yaml").write_text(OVERFLOW + "#" * 65_536)
    found = policy("lint", "c.yaml")
    assert found.exit_code == 1
    assert "expected at most 65,536 bytes" in found.stdout


def test_lint_loads_no_kernels(folder: Path) -> None:
    """It runs before each commit; half a second for what it does not need would be felt."""
    script = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from adapters.cli import main\n"
        "assert CliRunner().invoke(main, ['policy', 'lint', 'p']).exit_code == 0\n"
        "found = sorted({'numba', 'grpc', 'scipy'} & set(sys.modules))\n"
        "assert found == [], found\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment, timeout=60)


def test_published_schema_is_what_the_code_makes() -> None:
    """`headgate policy schema > deploy/policy.schema.json` after a change of the document."""
    found = policy("schema")
    assert found.exit_code == 0
    assert found.stdout == json_schema() == SCHEMA.read_text(encoding="utf-8")


def test_schema_names_every_kind_and_every_key() -> None:
    """An editor that does not know a key underlines what is right."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    kinds = schema["discriminator"]["mapping"]
    assert set(kinds) == {"DiversionPolicy", "OverflowPolicy", "RoutingPolicy"}
    for name in kinds:
        properties = schema["$defs"][name]["properties"]
        assert set(properties) == {"apiVersion", "kind", "metadata", "spec"}


def test_example_names_the_schema_and_has_no_finding() -> None:
    """It is what people begin with."""
    assert policy("lint", EXAMPLE, "--strict").exit_code == 0
    for path in EXAMPLE.iterdir():
        text = path.read_text(encoding="utf-8")
        first = text.splitlines()[0]
        assert first.startswith("# yaml-language-server: $schema=")
        assert (path.parent / first.partition("$schema=")[2]).resolve() == SCHEMA
        assert {item["apiVersion"] for item in yaml.safe_load_all(text)} == {"headgate/v1"}
