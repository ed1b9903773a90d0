"""The demo with a policy and without: the same day, played in order, not live."""

from pathlib import Path

import pytest
from rich.console import Console

from deploy.examples.bank_day.bank_day import BankDayError
from deploy.examples.bank_day.options import find_day, parse_options, window_of
from deploy.examples.bank_day.twice import LATER, Playing, policies_of
from deploy.examples.bank_day.twice_board import show_twice, told_of
from engine.steering import Counted

RELIEF = Path(__file__).resolve().parents[2] / "deploy/examples/bank_day/relief.yaml"
HALF_HOUR = ("--from", "13:50", "--until", "14:20", "--surge", "13:55", "--policy", str(RELIEF))


@pytest.mark.compiled_only
@pytest.mark.timeout(400)
def test_relief_in_a_surge_leaves_fewer_who_hang_up(capsys: pytest.CaptureFixture[str]) -> None:
    """Both plays have the same calls, and every one of them ends somehow."""
    options = parse_options(HALF_HOUR)
    day = find_day(options.day, None)
    window = window_of(day, options)
    plays = []
    for policies in ([], [], policies_of(RELIEF)):
        playing = Playing(day, None, window, options.surge_s, policies)
        playing.run()
        plays.append(playing)
    without, again, beside = plays
    assert without.floor.figures == again.floor.figures
    before, after = without.floor.figures.total, beside.floor.figures.total
    assert after.offered == before.offered > 100
    assert before.answered + before.abandoned == before.offered
    called = len(beside.callers.called_back_s)
    assert called > 0
    assert after.answered + after.abandoned + called == after.offered
    assert after.abandoned < before.abandoned
    counts = [item.counts for item in beside.engine.cell.activations.all()]
    assert sum(item[Counted.ACCEPTED_CALLBACK] for item in counts) == called
    assert beside.engine.read.snapshot(LATER, 0).waiting == 0
    assert any("was on for PS" in line for line in told_of(beside))


@pytest.mark.compiled_only
@pytest.mark.timeout(200)
def test_both_are_shown_and_that_a_policy_never_went_on(tmp_path: Path) -> None:
    never = tmp_path / "never.yaml"
    text = RELIEF.read_text(encoding="utf-8")
    text = text.replace("when: anomaly.surge && ", "when: queue.waiting > 900 && ")
    never.write_text(text, encoding="utf-8")
    options = parse_options(("--from", "10:00", "--until", "10:05", "--policy", str(never)))
    day = find_day(options.day, None)
    console = Console(width=80, record=True)
    show_twice(day, None, window_of(day, options), options, console)
    shown = console.export_text()
    assert "The policy never went on: nothing met its condition." in shown
    assert "Waiting on the line, without the policy and with it" in shown
    assert "10:05" in shown


def test_a_file_that_cannot_be_used_is_refused_with_its_place(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    text = RELIEF.read_text(encoding="utf-8")
    broken.write_text(text.replace("breach_risk_5m >=", "breach_risk >="), encoding="utf-8")
    with pytest.raises(BankDayError, match=r"broken\.yaml:\d+:\d+: .*did you mean breach_risk_"):
        policies_of(broken)
    with pytest.raises(BankDayError, match="--policy"):
        policies_of(tmp_path)


def test_a_file_that_is_not_there_is_a_wrong_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_options(("--policy", "nowhere.yaml"))
    assert ended.value.code == 2
    assert "expected a file of policies, got 'nowhere.yaml'" in capsys.readouterr().err
