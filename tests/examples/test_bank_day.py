"""The bank day of the demo: its files, the patience they imply, its clock, its figures."""

import math
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from deploy.examples.bank_day import options
from deploy.examples.bank_day.bank_day import (
    DAY_DEFAULT,
    HERE,
    TYPES,
    BankAgent,
    BankDay,
    BankDayError,
    Call,
    Outcome,
    agents_path,
    calls_path,
    days_in,
    parse_day,
    read_day,
    write_day,
)
from deploy.examples.bank_day.compressed_time import Agenda, Compression, clock_text, parse_clock
from deploy.examples.bank_day.options import Options, find_day, parse_options, window_of
from deploy.examples.bank_day.patience import PatienceCurve, estimate, plan
from deploy.examples.bank_day.queues import queue_requests
from deploy.examples.bank_day.tally import Window, bank_figures

DAY = parse_day(DAY_DEFAULT)


def call(call_id: int, outcome: Outcome, queue_s: int, service_s: int | None = None) -> Call:
    """A call of regular banking that joins `call_id` seconds after ten."""
    joined_s = 36_000 + call_id
    return Call(call_id, joined_s - 5, "PS", 5, joined_s, outcome, queue_s, service_s, "", 0)


def small_day() -> BankDay:
    """One call answered, one hung up, one agent with a break."""
    calls = (call(1, "AGENT", 10, 100), call(2, "HANG", 40))
    return BankDay(DAY, calls, (BankAgent("AG01", 35_000, 45_000, {"PS": 4}, ((37_000, 38_000),)),))


def test_committed_day_is_busy_and_fully_staffed() -> None:
    """The demo is about load: a day with queues and hang-ups, and agents for every type."""
    day = read_day(HERE, DAY)

    assert days_in(HERE) == [DAY]
    assert day.day.strftime("%A") == "Monday"
    assert (len(day.calls), len(day.agents)) == (1_863, 17)
    assert sum(each.outcome == "HANG" for each in day.calls) == 401
    assert max(each.queue_s for each in day.calls) == 563
    for name in TYPES:
        assert any(name in agent.proficiency for agent in day.agents), name


def test_committed_files_stay_small() -> None:
    """Everybody who clones the repository carries them."""
    assert sum(path(HERE, DAY).stat().st_size for path in (calls_path, agents_path)) < 300_000


def test_committed_day_names_codes_only() -> None:
    """The excerpt may be shared because nobody can be recognised in it."""
    header = calls_path(HERE, DAY).read_text(encoding="utf-8").splitlines()[0].split(",")
    assert not {"customer", "vru_line"} & set(header)
    assert all(agent.agent_id.startswith(("AG", "NET")) for agent in read_day(HERE, DAY).agents)


def test_written_day_reads_back(tmp_path: Path) -> None:
    """What extract.py writes is what play.py reads."""
    write_day(tmp_path, small_day())

    assert read_day(tmp_path, DAY) == small_day()


@pytest.mark.parametrize(
    ("path_of", "line", "wrong", "expected"),
    [
        (calls_path, 2, "1,35996,XX,5,36001,AGENT,10,100,,0", "type: expected one of PS, NW"),
        (calls_path, 2, "1,35996,PS,5,36001,LOST,10,100,,0", "outcome: expected one of AGENT"),
        (calls_path, 3, "2,35997,PS,5,36002,HANG,-1,,,0", "queue_s: expected a whole number"),
        (calls_path, 3, "2,35997,PS,5,36002,HANG,40,9,,0", "service_s: expected nothing"),
        (calls_path, 2, "1,35996,PS,5,36001,AGENT,10,0,,0", "service_s: expected a whole number"),
        (calls_path, 2, "1,35996,PS,5,36001,AGENT,10,100,,3", "priority: expected a whole number"),
        (calls_path, 2, "1,35996,PS", "expected 10 fields, got 3"),
        (calls_path, 1, "call,type", "expected the columns call,entry_s"),
        (agents_path, 2, "AG01,9,9,4,0,0,0,0,0,", "shift_end_s: expected a whole number from 10"),
        (agents_path, 2, "AG01,1,9,6,0,0,0,0,0,", "PS: expected a whole number from 0 to 5"),
        (agents_path, 2, "AG01,1,9,4,0,0,0,0,0,5-3", "away: expected spans"),
        (agents_path, 2, "AG01,1,9,4,0,0,0,0,0,2-5 4-6", "away: expected spans"),
        (agents_path, 2, "AG01,1,9,4,0,0,0,0,0,2-10", "away: expected spans"),
    ],
)
def test_malformed_row_is_named_with_its_line(
    tmp_path: Path,
    path_of: Callable[[Path, date], Path],
    line: int,
    wrong: str,
    expected: str,
) -> None:
    """Whoever edits a file by hand is told where, and what would have been right."""
    write_day(tmp_path, small_day())
    path = path_of(tmp_path, DAY)
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[line - 1] = wrong
    path.write_text("\n".join(lines), encoding="utf-8")

    with pytest.raises(BankDayError) as caught:
        read_day(tmp_path, DAY)
    assert f"{path}:{line}: " in str(caught.value)
    assert expected in str(caught.value)


def test_missing_and_empty_files_are_named(tmp_path: Path) -> None:
    """A half copied folder says which half is missing."""
    write_day(tmp_path, small_day())
    agents_path(tmp_path, DAY).unlink()
    with pytest.raises(BankDayError, match=r"agents\.csv: no such file"):
        read_day(tmp_path, DAY)

    write_day(tmp_path, BankDay(DAY, (), small_day().agents))
    with pytest.raises(BankDayError, match=r"calls\.csv: expected at least one row"):
        read_day(tmp_path, DAY)


def test_unknown_day_lists_what_is_available(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Only one day may be passed on; the message says which, and how to get the others."""
    monkeypatch.setattr(options, "SOURCE_DEFAULT", tmp_path / "absent")
    with pytest.raises(BankDayError, match=r"available: 1999-05-10\. With --source DIR"):
        find_day("1999-05-11", None)
    with pytest.raises(BankDayError, match="expected a day as YYYY-MM-DD, got 'monday'"):
        find_day("monday", None)
    with pytest.raises(BankDayError, match=r"calls_1999-01_07\.parquet: no such file"):
        find_day("1999-05-11", tmp_path)


def test_patience_curve_is_kaplan_meier() -> None:
    """Answered calls count as waiting up to their answer, not as patient for ever."""
    curve = estimate(
        [call(1, "HANG", 10), call(2, "AGENT", 10), call(3, "HANG", 20), call(4, "AGENT", 30)]
    )

    # Of four waiting, one hung up at 10 s; of the two left at 20 s, one.
    assert curve.times_s == (10, 20)
    assert curve.survival == pytest.approx((3 / 4, 3 / 4 * 1 / 2))
    assert curve.tail_mean_s == (10 + 10 + 20 + 30) / 2
    assert [curve.exceeding(wait_s) for wait_s in (0, 9, 10, 19, 20, 99)] == pytest.approx(
        [1, 1, 0.75, 0.75, 0.375, 0.375]
    )


def test_patience_is_drawn_given_the_logged_wait() -> None:
    """A customer whom the bank answered after 10 s is not drawn to hang up sooner."""
    curve = PatienceCurve((10, 20, 40), (0.8, 0.4, 0.2), 60.0)

    assert curve.draw(0, 1.0) == 10
    assert curve.draw(0, 0.8) == 10
    assert curve.draw(0, 0.79) == 20
    # Given more than 10 s, half hang up at 20 s and a quarter of all waits beyond 40 s.
    assert curve.draw(10, 0.5) == 20
    assert curve.draw(10, 0.49) == 40
    assert curve.draw(10, 0.25) == 40
    assert curve.draw(10, 0.1) == pytest.approx(40 - math.log(0.1 * 0.8 / 0.2) * 60)
    # Beyond the last step the hazard is constant.
    assert curve.draw(50, 0.5) == pytest.approx(50 + math.log(2) * 60)


def test_drawn_patience_follows_the_curve_of_the_day() -> None:
    """The draws are what they claim to be: their shares are those of the curve."""
    curve = estimate(read_day(HERE, DAY).calls)
    shares = 1.0 - np.random.default_rng(5).random(20_000)
    draws = np.array([curve.draw(0, share) for share in shares])

    for wait_s in (15, 60, 120, 300):
        assert np.mean(draws > wait_s) == pytest.approx(curve.exceeding(wait_s), abs=0.015)


def test_nobody_hung_up_leaves_patience_without_end() -> None:
    """A day without hang-ups says nothing of patience, and must not break the play."""
    assert estimate([call(1, "AGENT", 10)]).draw(0, 0.5) == math.inf


def test_plan_keeps_what_the_log_shows_and_draws_the_rest() -> None:
    """Hung-up calls have their logged patience, answered calls their logged service."""
    day = read_day(HERE, DAY)

    for contact in plan(day):
        logged = contact.call
        if logged.outcome == "HANG":
            assert contact.patience_s == logged.queue_s
            assert contact.service_s > 5
        else:
            assert contact.patience_s > logged.queue_s
            assert logged.service_s is None or contact.service_s == logged.service_s


def test_plan_is_the_same_in_every_run_and_for_every_part_of_the_day() -> None:
    """Two plays of a day differ by what the engine does, never by who calls."""
    day = read_day(HERE, DAY)
    whole = plan(day)

    assert plan(day) == whole
    assert len({contact.contact_id for contact in whole}) == len(whole)
    assert len({contact.patience_s for contact in whole}) > 500


@pytest.mark.parametrize(
    ("speed", "day_s", "engine_ms"), [(60, 20, 333), (600, 20, 33), (1, 20, 20_000), (600, 0.1, 1)]
)
def test_durations_are_divided_by_the_speed(speed: float, day_s: float, engine_ms: int) -> None:
    """The engine's clock is this machine's; the bank's runs `speed` times as fast."""
    assert Compression(speed).engine_ms(day_s) == engine_ms
    assert Compression(speed).day_s(engine_ms) == pytest.approx(day_s, abs=speed / 1_000)


def test_queue_timers_are_compressed_and_stay_within_the_contract() -> None:
    """Every timer of every queue goes through the compression, down to the contract's least."""
    (banking,) = (
        each.queue for each in queue_requests(Compression(60)) if each.queue.queue_id == "PS"
    )
    assert banking.service_level.within_ms == 1_000
    assert banking.wrap_up_ms == 50
    assert banking.priority_age_ms == 1_500
    assert banking.offer_timeout_ms == 333
    assert (banking.max_wait_ms, banking.reoffer_delay_ms) == (60_000, 500)
    assert banking.reoffer_delay_only_agent_ms == 17

    for request in queue_requests(Compression(1_000)):
        assert request.queue.offer_timeout_ms == 100
        assert request.queue.reoffer_delay_only_agent_ms >= 1


def test_times_of_day_are_read_and_shown() -> None:
    """24:00 is the end of the day, and a shift may pass it."""
    assert (parse_clock("07:00"), parse_clock("24:00")) == (25_200, 86_400)
    assert (clock_text(25_261.9), clock_text(86_700)) == ("07:01:01", "24:05:00")
    for wrong in ("7", "24:01", "10:60", "-1:00", "ten:00", "10:", ""):
        with pytest.raises(ValueError, match="expected a time of day as HH:MM"):
            parse_clock(wrong)


async def test_agenda_keeps_the_order_of_due_times_and_of_entry() -> None:
    """A customer who joins and hangs up in one second joins first."""
    agenda = Agenda()
    done: list[str] = []
    for due_s, name in ((5, "late"), (3, "first"), (3, "second"), (9, "never")):
        agenda.at(due_s, partial(done.append, name))

    agenda.run_due(5)

    assert done == ["first", "second", "late"]


def test_bank_figures_follow_their_formulas() -> None:
    """The bank's day is counted exactly as the engine's will be."""
    figures = bank_figures(small_day(), Window(36_000, 36_060))
    banking = figures.by_type["PS"]

    assert (banking.offered, banking.answered, banking.abandoned) == (2, 1, 1)
    assert (banking.abandoned_ratio, banking.mean_wait_s) == (0.5, 10)
    assert (banking.service_level(9), banking.service_level(10)) == (0, 0.5)
    # Answered at 36,011 and handled beyond the window of 60 s, in which the one agent was there.
    assert figures.occupancy(banking) == pytest.approx(49 / 60)
    assert bank_figures(small_day(), Window(36_002, 39_000)).staffed_s == 2_998 - 1_000
    assert bank_figures(small_day(), Window(36_002, 39_000)).total.offered == 1


def test_window_defaults_to_the_hours_with_calls() -> None:
    """Without --from and --until the whole staffed day is played."""
    day = read_day(HERE, DAY)

    assert window_of(day, parse_options([])) == Window(25_200, 86_400)
    assert window_of(day, parse_options(["--from", "10:00", "--until", "10:20"])) == Window(
        36_000, 37_200
    )
    with pytest.raises(BankDayError, match="no call joins from 03:00:00 until 07:00:00; the first"):
        window_of(day, parse_options(["--from", "03:00", "--until", "07:00"]))


def test_options_default_to_the_committed_day_at_sixty_times() -> None:
    """`make demo` needs no argument."""
    assert parse_options([]) == Options(
        DAY_DEFAULT, None, 60.0, None, None, 0, None, None, None, False, False
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--speed", "0"], "--speed: expected 1 to 1000, got '0'"),
        (["--speed", "nan"], "--speed: expected 1 to 1000, got 'nan'"),
        (["--speed", "fast"], "--speed: expected 1 to 1000, got 'fast'"),
        (["--port", "70000"], "--port: expected 0 to 65535, got '70000'"),
        (["--port", "1.5"], "--port: expected 0 to 65535, got '1.5'"),
        (["--until", "9"], "--until: expected a time of day as HH:MM, got '9'"),
    ],
)
def test_wrong_options_say_what_was_expected(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A typo ends with usage, not with a traceback."""
    with pytest.raises(SystemExit) as caught:
        parse_options(arguments)
    assert caught.value.code == 2
    assert expected in capsys.readouterr().err
