"""How the demo's day is derived from the log: what is left out, corrected and inferred."""

import csv
import gzip
import sys
from datetime import datetime
from pathlib import Path

import pytest

from deploy.examples.bank_day.bank_day import (
    DAY_DEFAULT,
    HERE,
    BankDayError,
    agents_path,
    calls_path,
    parse_day,
    read_day,
    write_day,
)
from deploy.examples.bank_day.compressed_time import clock_text
from deploy.examples.bank_day.extract import (
    Experience,
    ExperienceTable,
    LogRow,
    day_of,
    extract_day,
    proficiency_of,
)

DAY = parse_day(DAY_DEFAULT)
EXPERIENCE: ExperienceTable = {"AG01": {"PS": Experience(500, 100), "NW": Experience(9, 50)}}


def at(text: str) -> datetime:
    """A time on the day."""
    return datetime.fromisoformat(f"{DAY} {text}")


def answered(joined: str, start: str, end: str, agent: str = "AG01") -> LogRow:
    """A call that waited from `joined` to `start` and was served until `end`."""
    waited_s = int((at(start) - at(joined)).total_seconds())
    served_s = int((at(end) - at(start)).total_seconds())
    queue_enter = at(joined) if waited_s else None
    return LogRow(
        at(joined), 0, queue_enter, waited_s, at(start), at(end), served_s, "AGENT", "PS", 2, agent
    )


def hung_up(joined: str, waited_s: int) -> LogRow:
    """A call that hung up in the queue."""
    return LogRow(at(joined), 0, at(joined), waited_s, None, None, 0, "HANG", "PS", 0, None)


SERVED = answered("10:00:00", "10:00:00", "10:05:00")


@pytest.mark.parametrize(
    "left_out",
    [
        SERVED._replace(outcome="PHANTOM"),  # to be ignored, says the documentation
        hung_up("10:00:00", 9)._replace(queue_enter=None),  # never joined a queue
        hung_up("06:59:59", 9),  # nobody there yet
        SERVED._replace(type="AA"),  # undocumented
        SERVED._replace(queue_enter=at("10:00:00"), queue_s=28_693),  # recording fault
    ],
)
def test_faults_of_the_log_are_left_out(left_out: LogRow) -> None:
    """Each filter that the head of extract.py explains."""
    day = day_of(DAY, [left_out, SERVED], EXPERIENCE)

    assert [call.joined_s for call in day.calls] == [36_000]


@pytest.mark.parametrize(("service_s", "kept_s"), [(0, None), (61_437, None), (3, 3), (300, 300)])
def test_unusable_service_times_are_dropped_and_short_ones_kept(
    service_s: int, kept_s: int | None
) -> None:
    """A dropped call was little work, but it was work; a recording fault says nothing."""
    day = day_of(DAY, [SERVED, SERVED._replace(service_s=service_s)], EXPERIENCE)

    assert day.calls[1].service_s == kept_s


def test_negative_vru_time_is_zero_and_the_queue_entry_stands() -> None:
    """The log holds 291 of them; when the call joined its queue is logged by itself."""
    day = day_of(DAY, [hung_up("10:00:00", 9)._replace(vru_s=-61), SERVED], EXPERIENCE)

    assert {(call.vru_s, call.joined_s) for call in day.calls} == {(0, 36_000)}


def test_call_answered_at_once_joined_when_it_left_the_vru() -> None:
    """Such calls carry no queue times; none joined after its service began."""
    rows = [SERVED._replace(vru_s=20, service_start=start) for start in (None, at("10:00:07"))]
    day = day_of(DAY, [*rows, SERVED], EXPERIENCE)

    assert sorted(call.joined_s for call in day.calls) == [36_000, 36_007, 36_020]


def test_agent_who_leaves_calls_waiting_was_on_a_break() -> None:
    """A free agent is given a waiting call at once, so it was not free."""
    rows = [
        SERVED,
        hung_up("10:06:00", 90),
        hung_up("10:09:00", 60),
        answered("10:30:00", "10:30:00", "10:31:00"),
        hung_up("10:32:00", 59),
        answered("10:40:00", "10:40:00", "10:41:00"),
    ]
    (agent,) = day_of(DAY, rows, EXPERIENCE).agents

    spans = [tuple(map(clock_text, span)) for span in agent.away]
    # From the first second that a call waited to the last; 59 s are too few to tell.
    assert spans == [("10:06:00", "10:10:00")]
    assert (agent.shift_start_s, agent.shift_end_s) == (36_000, 38_460)


def test_shift_leaves_out_the_evening_before() -> None:
    """A call answered just after midnight does not make a shift of 24 hours."""
    rows = [answered("00:01:00", "00:01:00", "00:02:00"), SERVED]
    (agent,) = day_of(DAY, rows, EXPERIENCE).agents

    assert agent.shift_start_s == 36_000


def test_agent_without_experience_holds_what_it_took() -> None:
    """The internet desk is not in the table of seven months, but it worked."""
    (agent,) = day_of(DAY, [SERVED._replace(agent="NET36")], EXPERIENCE).agents

    assert agent.proficiency == {"PS": 3}


@pytest.mark.parametrize(
    ("calls", "median_s", "level"),
    [
        (19, 50, 0),  # by accident or on trial
        (20, 80, 4),  # fast, but too few calls to be sure
        (100, 80, 5),
        (100, 81, 4),
        (100, 95, 4),
        (100, 96, 3),
        (100, 117, 3),
        (100, 118, 2),
        (20, 1_000, 1),
    ],
)
def test_proficiency_follows_volume_and_speed(calls: int, median_s: float, level: int) -> None:
    """The type's median is 100 s: the faster an agent is, and the better known, the higher."""
    assert proficiency_of(Experience(calls, median_s), 100) == level


def test_day_without_staff_is_refused() -> None:
    """On a holiday the log holds a few calls at night and nobody to answer them."""
    with pytest.raises(BankDayError, match="no staffed hour of 1999-05-10"):
        day_of(DAY, [hung_up("03:00:00", 5)], EXPERIENCE)


def test_missing_pyarrow_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only extracting needs it, so nobody has it by accident."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(BankDayError, match="pip install pyarrow"):
        extract_day(tmp_path, DAY)


@pytest.mark.needs_shared_data
def test_committed_files_are_what_the_script_makes(tmp_path: Path, shared_data: Path) -> None:
    """The excerpt can be made again, byte for byte, by anyone who has the log."""
    write_day(tmp_path, extract_day(shared_data, DAY))

    for path in (calls_path, agents_path):
        assert path(tmp_path, DAY).read_bytes() == path(HERE, DAY).read_bytes()


@pytest.mark.needs_shared_data
def test_shifts_agree_with_the_table_of_agent_days(shared_data: Path) -> None:
    """Two ways to the same shifts: from the calls, and as tabled beside the log."""
    table = shared_data / "anonymous_bank_agent_days_1999-01_07.csv.gz"
    with gzip.open(table, "rt", encoding="utf-8") as file:
        tabled = {
            row["agent"]: (row["first_service"][11:], row["last_service_end"][11:])
            for row in csv.DictReader(file)
            if row["day"] == str(DAY)
        }

    read = {
        agent.agent_id: (clock_text(agent.shift_start_s), clock_text(agent.shift_end_s % 86_400))
        for agent in read_day(HERE, DAY).agents
    }
    assert read == tabled


@pytest.mark.needs_shared_data
def test_day_that_is_not_in_the_log_is_refused(shared_data: Path) -> None:
    """Two days of January are missing from it."""
    with pytest.raises(BankDayError, match="holds no call of 1999-01-11"):
        extract_day(shared_data, parse_day("1999-01-11"))
