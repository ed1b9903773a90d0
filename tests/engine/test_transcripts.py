"""
Golden transcripts: what the engine answers, in full, for people to read.

Written anew with `pytest tests/engine/test_transcripts.py --rewrite`. Read the difference line by
line, and commit only what you understand.
"""

from pathlib import Path

import pytest

from engine.commands import Command, Recover
from engine.lifecycle import TRANSITIONS
from engine.limits import Limits
from engine.refusals import CommandRefused, Refusal
from engine.routing.validation import validate
from tests.engine.comparing import Pair
from tests.engine.tracing import LifeTracer
from tests.engine.transcript import Stage, play
from tests.engine.transcript_words import command_of, parse_line

SCENARIOS = sorted((Path(__file__).resolve().parent.parent / "scenarios").glob("*.txt"))
# Scenarios that are about limits.
LIMITS = {
    "limits": Limits(
        contacts_max=4, agents_max=2, queues_max=2, classes_max=3, ended_max=1,
        ended_retention_ms=5_000,
    )
}  # fmt: skip


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario_prints_what_it_printed(path: Path, request: pytest.FixtureRequest) -> None:
    """Every answer stays as it was read and understood, until somebody means to change it."""
    text = path.read_text(encoding="utf-8")
    played = play(text, Stage(LIMITS.get(path.stem)))
    if request.config.getoption("--rewrite", default=False):
        path.write_text(played, encoding="utf-8")
    assert played == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario_agrees_with_the_reference(path: Path) -> None:
    """What people read and approved is what the reference does too: the two cannot drift."""
    pair = Pair(LIMITS.get(path.stem))
    for text in path.read_text(encoding="utf-8").splitlines():
        if not text.startswith("at ") or parse_line(text).verb == "show":
            continue
        line = parse_line(text)
        command = command_of(line)
        if isinstance(command, Recover):
            pair.recover(line.at_ms)
        elif not _is_malformed(command):
            pair.apply(command, line.at_ms)
        pair.seal()
        pair.compare()


def _is_malformed(command: Command) -> bool:
    """Whether validation refuses the command, which the reference leaves to the engine."""
    try:
        validate(command)
    except CommandRefused:
        return True
    return False


def test_scenarios_pass_through_every_transition_and_every_refusal() -> None:
    """A transition or refusal nobody has read in a transcript is one nobody has agreed to."""
    refusals: set[str] = set()
    tracer_seen = set()
    for path in SCENARIOS:
        stage = Stage(LIMITS.get(path.stem))
        play(path.read_text(encoding="utf-8"), stage)
        tracer = LifeTracer()
        tracer.follow(stage.effects)
        tracer_seen |= tracer.seen
        refusals |= stage.refusals
    listed = {(state, trigger) for state, row in TRANSITIONS.items() for trigger in row}
    assert {(state.name, trigger.name) for state, trigger in listed - tracer_seen} == set()
    elsewhere = {Refusal.HISTORY_KNOWN, Refusal.UNKNOWN_ACTIVATION}
    of_commands = set(Refusal) - {Refusal.NONE} - elsewhere
    assert {reason.name for reason in of_commands} - refusals == set()
