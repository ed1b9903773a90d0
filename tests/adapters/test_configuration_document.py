"""The configuration file: written, read, and refused with every reason."""

from pathlib import Path

import pytest

from adapters.configuration.document import (
    ConfigurationRefused,
    as_yaml,
    checked,
    read_configuration,
    unknown_queues,
)

WHOLE = """\
queues:
- queue_id: 'no'
  service_level:
    ratio: 0.9
    within_ms: 20000
  strategy: STRATEGY_ROUND_ROBIN
agents:
- agent_id: ада
  queue_ids:
  - 'no'
  skills:
  - skill: es
    proficiency: 4
"""


def read(tmp_path: Path, text: str) -> str:
    """The file as it is written again, in full."""
    path = tmp_path / "cell.yaml"
    path.write_text(text, encoding="utf-8")
    return as_yaml(read_configuration(path).configuration)


def test_file_is_filled_with_defaults_and_then_stays_as_it_is(tmp_path: Path) -> None:
    """A file that is written, read and written again must not change under version control."""
    full = read(tmp_path, WHOLE)
    assert "max_wait_ms: 86400000" in full
    assert "queue_id: 'no'" in full
    assert "agent_id: ада" in full
    assert read(tmp_path, full) == full


def test_entries_stand_in_the_order_of_their_ids(tmp_path: Path) -> None:
    """The order in which a cell lists them, so that a file differs only where they do."""
    text = "queues: [{queue_id: b}, {queue_id: a}, {queue_id: B}]"
    full = read(tmp_path, text)
    ids = [line for line in full.splitlines() if " queue_id" in line]
    assert ids == ["- queue_id: B", "- queue_id: a", "- queue_id: b"]


def test_section_that_is_left_out_stays_out(tmp_path: Path) -> None:
    """No agents is something else than nothing said of agents."""
    assert "agents" not in read(tmp_path, "queues: []")
    assert read(tmp_path, "{queues: [], agents: []}") == "queues: []\nagents: []\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ["the file: expected a mapping of queues and agents, got None"]),
        ("- billing", ["the file: expected a mapping of queues and agents"]),
        ("queues: {", ["line 2, column 1: expected YAML, but"]),
        ("queues: []\nqueues: []", ["line 2, column 1: expected YAML, but key 'queues' stands"]),
        ("queues: [{queue_id: 2020-13-01}]", ["the file: expected YAML in UTF-8, but month"]),
        ("[" * 20_000, ["the file: expected YAML of at most 100 levels"]),
        ("- " * 20_000, ["the file: expected YAML of at most 100 levels"]),
        ("queue: []", ["queue: expected one of the keys queues, agents (did you mean queues?)"]),
        ("5: []", ["5: expected one of the keys queues, agents"]),
        ("queues:", ["queues: expected a list of queues, [] for none, got None"]),
        ("agents: {ada: {}}", ["agents: expected a list of agents, [] for none"]),
        ("queues: [billing]", ["queues[0]: expected a mapping of fields, got 'billing'"]),
        ("queues: [{}]", ["queues[0].queue_id: expected 1 to 128 bytes, got ''"]),
        (
            "queues: [{queue_id: a}, {queue_id: b}, {queue_id: a}]",
            ["queues[2].queue_id: expected another id than that of queues[0], got 'a'"],
        ),
        (
            "queues: [{queue_id: a}, {queue_id: b, service_level: {ratio: 80}, max_wait_ms: -5}]",
            [
                "queues[1].service_level.ratio: expected above 0 to 1, got 80.0",
                "queues[1].max_wait_ms: expected 1 to 1,209,600,000, got -5",
            ],
        ),
        (
            "queues: [{queue_id: a, wrap_up_ms: 5}]",
            ["queues[0].wrap_up_ms: expected 0 unless wrap_up_mode is TIMED, got 5"],
        ),
        (
            "agents: [{agent_id: ada, skills: [{skill: es, proficiency: 9}], tags: [x, x]}]",
            [
                "agents[0].skills[0].proficiency: expected 0 to 5, got 9",
                "agents[0].tags: expected each only once, got 'x'",
            ],
        ),
    ],
)
def test_file_is_refused_with_every_broken_rule(tmp_path: Path, text: str, told: list[str]) -> None:
    """All that is wrong at once, by path: nobody corrects a file one run at a time."""
    with pytest.raises(ConfigurationRefused) as refused:
        read(tmp_path, text)
    lines = str(refused.value).splitlines()
    assert len(lines) == len(told)
    for line, beginning in zip(lines, told, strict=True):
        assert line.startswith(beginning)


def test_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """A spreadsheet, say."""
    path = tmp_path / "cell.yaml"
    path.write_bytes(b"\xff\xfe\x00queues")
    with pytest.raises(ConfigurationRefused, match="the file: expected YAML in UTF-8"):
        read_configuration(path)


def test_agent_of_a_queue_that_is_nowhere_is_found() -> None:
    """The engine would refuse it after half of the file was applied."""
    declared = checked(
        {
            "queues": [{"queue_id": "billing"}],
            "agents": [{"agent_id": "a", "queue_ids": ["billing", "biling", "loans"]}],
        }
    )
    assert [str(item) for item in unknown_queues(declared)] == [
        "agents[0].queue_ids[1]: expected the id of a queue (did you mean billing?), got 'biling'",
        "agents[0].queue_ids[2]: expected the id of a queue, got 'loans'",
    ]
    known = checked({"queues": [{"queue_id": "loans"}]}).configuration["queues"]
    assert len(list(unknown_queues(declared, known))) == 1
