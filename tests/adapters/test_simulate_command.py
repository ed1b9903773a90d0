"""`headgate simulate`: from a file to a report, or to every reason why not."""

import json
from pathlib import Path

import pytest

from adapters.simulation_command import simulate_file

SMALL = """
horizon: {length: 200h}
queues: {q: {}}
groups: {g: {agents: 1, queues: [q]}}
streams: {s: {queue: q, arrivals: {per_minute: 1}, handle_time: {exponential: 1m}}}
"""
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


def test_example_is_simulated_to_a_table(capfd: pytest.CaptureFixture[str]) -> None:
    """People see each stream and group, with half an interval."""
    assert simulate_file(EXAMPLE, 3, None, "table") == 0
    shown = capfd.readouterr().out
    assert "balance" in shown
    assert "loan desk" in shown
    assert "±" in shown


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
