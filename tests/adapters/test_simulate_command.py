"""`headgate simulate`: from a file to a report, or to every reason why not."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.simulation_command import simulate_file

SMALL = """
horizon: {length: 200h}
queues: {q: {}}
groups: {g: {agents: 1, queues: [q]}}
streams: {s: {queue: q, arrivals: {per_minute: 1}, handle_time: {exponential: 1m}}}
"""
COMMAND = [sys.executable, "-m", "adapters.cli", "simulate"]
EXAMPLE = Path(__file__).parents[2] / "deploy" / "examples" / "scenarios" / "bank.yaml"


def test_example_is_simulated_to_json(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Programs read every measure with its error, and what the run can be repeated from."""
    assert simulate_file(EXAMPLE, 20, 7, "json") == 0
    report = json.loads(capfdbinary.readouterr().out)
    assert (report["scenario"], report["seed"], report["runs"]) == ("bank weekday", 7, 20)
    assert set(report["streams"]) == {"balance", "mortgage", "loan question"}
    wait = report["streams"]["balance"]["asa"]
    assert wait["value"] > 0
    assert 0 < wait["standard_error"] < wait["value"]
    assert 0 < report["groups"]["generalists"]["occupancy"]["value"] < 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bank", ["balance", "loan desk"]),
        ("day_and_night", ["calls", "early", "night"]),
        ("service_line", ["callbacks", "first line"]),
    ],
)
def test_example_is_simulated_to_a_table(
    name: str, words: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    """People see each stream and group, with half an interval."""
    assert simulate_file(EXAMPLE.with_stem(name), 3, None, "table") == 0
    shown = capfd.readouterr().out
    for word in (*words, "±"):
        assert word in shown


def test_example_is_simulated_to_a_page(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Managers get one file; nothing but the page goes to where it is redirected."""
    assert simulate_file(EXAMPLE, 3, 7, "html") == 0
    page = capfdbinary.readouterr().out.decode()
    assert page.startswith("<!DOCTYPE html>")
    assert page.endswith("</html>\n")
    assert "--replications 3 --seed 7 --output html &gt; report.html" in page


def test_page_is_not_poured_into_a_terminal() -> None:
    """A screenful of markup helps nobody; the advice does, and comes before the simulation."""
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [*COMMAND, str(EXAMPLE), "--output", "html"],
        stdout=theirs, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
    )  # fmt: skip
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 2
    assert "> report.html" in done.stderr


@pytest.mark.parametrize("output", ["json", "html", "table"])
def test_full_disk_is_told_in_words(output: str) -> None:
    """Half a report must not pass for one."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, str(EXAMPLE), "--replications", "2", "--output", output],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1] == (
        "headgate: cannot write the report: No space left on device"
    )


@pytest.mark.parametrize("output", ["json", "html", "table"])
def test_reader_who_has_seen_enough_is_no_error_to_tell(output: str) -> None:
    """`headgate simulate ... | head -1` ends quietly."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*COMMAND, str(EXAMPLE), "--replications", "2", "--output", output],
        stdout=writer, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
    )  # fmt: skip
    os.close(writer)
    assert done.returncode == 1
    assert "headgate:" not in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_kernels_come_from_the_folder_of_these_sources(tmp_path: Path) -> None:
    """Those that numba keeps beside the sources may be of older ones, and crash the process."""
    program = (
        "import sys\nfrom click.testing import CliRunner\nfrom adapters.cli import main\n"
        "CliRunner().invoke(main, ['simulate', 'absent.yaml'])\n"
        "print(sys.modules['numba'].config.CACHE_DIR)"
    )
    environment = {**os.environ, "HEADGATE_KERNEL_CACHE": str(tmp_path)}
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert Path(done.stdout.strip()).parent == tmp_path


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("queues: {", "YAML"),
        ("- a list", "a mapping of keys"),
        ("queues: {}\nqueues: {}", "for the second time"),
        ("name: x", "horizon: expected a value, got none"),
        ("? [a, b]\n: c", "unhashable key"),
        (SMALL.replace("{g:", '{"g\\n1":'), "printable characters only"),
        (SMALL.replace("per_minute: 1", "per_minute: 100000"), "more come than are ever served"),
    ],
)
def test_file_that_is_no_scenario_is_refused_in_words(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], text: str, told: str
) -> None:
    """Exit code 2 and a line for each reason; never a stack trace."""
    path = tmp_path / "scenario.yaml"
    path.write_text(text, encoding="utf-8")
    assert simulate_file(path, None, None, "table") == 2
    error = capfd.readouterr().err
    assert told in error
    assert "Traceback" not in error


def test_file_that_is_not_there_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The path is what went wrong, so the path is told."""
    assert simulate_file(tmp_path / "none.yaml", None, None, "table") == 2
    assert "none.yaml" in capfd.readouterr().err
