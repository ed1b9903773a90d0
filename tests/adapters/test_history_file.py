"""Files of history: every row is counted where it belongs, or refused with its line."""

import builtins
import gzip
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from adapters.history.command import read_history
from adapters.history.counting import QueuePast
from adapters.history.layout import HistoryRefused, Layout, zone_of
from adapters.history.summary import summary_lines

BERLIN = ZoneInfo("Europe/Berlin")


def layout(
    zone: ZoneInfo | None = BERLIN, minutes: int = 5, *, is_events: bool = False,
    fills_zero: bool = False, queue_column: str = "",
) -> Layout:  # fmt: skip
    """How to read the files of these tests."""
    queue_id = "" if queue_column else "q"
    return Layout(
        queue_id, queue_column, "time", "contacts", zone, 60 * minutes, is_events, fills_zero
    )


def written(folder: Path, *lines: str, header: str = "time,contacts") -> Path:
    """A CSV file."""
    path = folder / "past.csv"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def counted(path: Path, how: Layout) -> QueuePast:
    """What a file of one queue says."""
    (past,) = read_history(path, how).values()
    return past


def refused(path: Path, how: Layout) -> str:
    """Why a file is refused."""
    with pytest.raises(HistoryRefused) as error:
        read_history(path, how)
    return "\n".join(error.value.problems)


def second(text: str) -> int:
    """A moment in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("is_packed", [False, True])
def test_counts_are_read_by_the_clock_of_their_zone(
    tmp_path: Path, separator: str, is_packed: bool
) -> None:
    """Plain or packed, with the separator of any country, with a byte-order mark."""
    lines = ["time,contacts,note", "2026-03-02 07:00,4,a", "2026-03-02T07:05,5,b", ""]
    text = "\ufeff" + "\r\n".join(lines).replace(",", separator)
    path = tmp_path / "past.csv"
    path.write_bytes(gzip.compress(text.encode()) if is_packed else text.encode())
    assert counted(path, layout()).contacts == {
        second("2026-03-02 06:00"): 4,
        second("2026-03-02 06:05"): 5,
    }


@pytest.mark.parametrize(
    "text", ["2026-03-02 07:00+01:00", "2026-03-02T06:00:00Z", str(second("2026-03-02 06:00"))]
)
def test_time_with_an_offset_needs_no_zone(tmp_path: Path, text: str) -> None:
    """A moment is a moment, whatever --zone says."""
    for zone in (None, ZoneInfo("America/New_York")):
        past = counted(written(tmp_path, f"{text},4"), layout(zone))
        assert past.contacts == {second("2026-03-02 06:00"): 4}


def test_long_intervals_are_spread_evenly(tmp_path: Path) -> None:
    """Whole contacts, as even as can be, and none is lost."""
    past = counted(
        written(tmp_path, "2026-03-02 07:00,10", "2026-03-02 07:15,3"), layout(minutes=15)
    )
    assert list(past.contacts.values()) == [3, 3, 4, 1, 1, 1]
    past = counted(written(tmp_path, "2026-03-02 07:00,7"), layout(minutes=60))
    assert sum(past.contacts.values()) == 7
    assert len(past.contacts) == 12


def test_missing_rows_are_gaps_or_zeros_as_asked(tmp_path: Path) -> None:
    """A telephony that writes nothing where nobody called is not one that was down."""
    path = written(tmp_path, "2026-03-02 07:00,4", "2026-03-02 07:05,1", "2026-03-02 07:20,5")
    assert counted(path, layout()).steps()[1] == [4, 1, -1, -1, 5]
    assert counted(path, layout(fills_zero=True)).steps()[1] == [4, 1, 0, 0, 5]


def test_row_without_a_count_is_not_known(tmp_path: Path) -> None:
    """Nor is it zero; the note says how many there are."""
    past = counted(written(tmp_path, "2026-03-02 07:00,4", "2026-03-02 07:05,"), layout())
    assert past.steps()[1] == [4]
    assert "1 rows have no count" in past.notes[0]


def test_rows_in_any_order_are_sorted(tmp_path: Path) -> None:
    """And the file's owner is told where."""
    past = counted(written(tmp_path, "2026-03-02 07:05,5", "2026-03-02 07:00,4"), layout())
    assert past.steps()[1] == [4, 5]
    assert "not in order of time, first in line 3" in past.notes[0]


def test_contacts_one_by_one_are_counted(tmp_path: Path) -> None:
    """Between the first and the last there are no gaps."""
    path = written(
        tmp_path, "2026-03-02 07:00:01", "2026-03-02 07:04:59", "2026-03-02 07:16:00",
        header="time",
    )  # fmt: skip
    assert counted(path, layout(is_events=True)).steps()[1] == [2, 0, 0, 1]


def test_queues_are_told_apart_by_their_column(tmp_path: Path) -> None:
    """One file holds a whole floor."""
    path = written(
        tmp_path, "2026-03-02 07:00,4,a", "2026-03-02 07:00,5,b", "2026-03-02 07:05,6,a",
        header="time,contacts,queue",
    )  # fmt: skip
    found = read_history(path, layout(queue_column="queue"))
    assert {name: list(past.contacts.values()) for name, past in found.items()} == {
        "a": [4, 6],
        "b": [5],
    }


# On 2026-10-25 Berlin showed 02:00 to 03:00 twice; on 2026-03-29 it never showed 02:00 to 03:00.
def test_time_that_stands_twice_in_the_double_hour_is_both(tmp_path: Path) -> None:
    """In the order of the rows: summer time first."""
    path = written(
        tmp_path, "2026-10-25 02:00,1", "2026-10-25 02:30,2", "2026-10-25 02:00,3",
        "2026-10-25 02:30,4", "2026-10-25 03:00,5",
    )  # fmt: skip
    past = counted(path, layout(minutes=30))
    by_half_hour = [sum(past.steps()[1][k : k + 6]) for k in range(0, 30, 6)]
    assert past.steps()[0] == second("2026-10-25 00:00")
    assert by_half_hour == [1, 2, 3, 4, 5]


def test_time_that_stands_once_in_the_double_hour_is_halved(tmp_path: Path) -> None:
    """It holds what came in both, and the note says so."""
    path = written(tmp_path, "2026-10-25 01:00,6", "2026-10-25 02:00,9", "2026-10-25 03:00,5")
    past = counted(path, layout(minutes=60))
    by_hour = [sum(past.steps()[1][k : k + 12]) for k in range(0, 48, 12)]
    assert by_hour == [6, 4, 5, 5]
    assert "half of each" in past.notes[0]


def test_contacts_of_the_double_hour_go_to_both_in_turn(tmp_path: Path) -> None:
    """One by one nobody can tell them apart."""
    path = written(tmp_path, *["2026-10-25 02:30:00"] * 5, header="time")
    past = counted(path, layout(is_events=True))
    assert past.contacts[second("2026-10-25 00:30")] == 3
    assert past.contacts[second("2026-10-25 01:30")] == 2
    assert "5 contacts" in past.notes[0]


def test_time_that_was_never_shown_is_refused(tmp_path: Path) -> None:
    """It is the surest sign of another zone."""
    path = written(tmp_path, "2026-03-29 01:55,4", "2026-03-29 02:00,4")
    assert refused(path, layout()).startswith(
        "line 3: '2026-03-29 02:00' was never shown in Europe/Berlin"
    )


BAD_ROWS = {
    "2026-03-02 07:0x,4": "line 2: '2026-03-02 07:0x' is no time",
    "2026-03-02 07:00,four": "line 2: 'four' is no count: expected 0 to 1,000,000, whole",
    "2026-03-02 07:00,-4": "line 2: '-4' is no count",
    "2026-03-02 07:00,4.5": "line 2: '4.5' is no count",
    "2026-03-02 07:00,nan": "line 2: 'nan' is no count",
    "2026-03-02 07:00,1000001": "line 2: '1000001' is no count",
    f"2026-03-02 07:00,{'9' * 5_000}": "is no count: expected 0 to 1,000,000, whole",
    f"{'9' * 5_000},4": "is no time: expected",
    "2026-03-02 07:02,4": "line 2: '2026-03-02 07:02' is not on a multiple of 5 minutes",
    "2026-03-02 07:00": "line 2: expected 2 columns as in the first line, got 1",
    "2026-03-02 07:00,4\n2026-03-02 07:00,5": "line 3: the same interval stands in line 2",
    "2026-03-02 07:00,4\n2026-03-02 08:00,5": "rows lie 60 minutes apart or more",
    "2026-03-02 07:00,": "line 2: no row of this queue has a count",
}


@pytest.mark.parametrize("rows", BAD_ROWS)
def test_row_that_cannot_be_is_refused_with_its_line(tmp_path: Path, rows: str) -> None:
    """The file's owner must find it in a hundred thousand."""
    assert BAD_ROWS[rows] in refused(written(tmp_path, rows), layout())


def test_every_bad_row_is_told_up_to_twenty(tmp_path: Path) -> None:
    """Mending them one at a time would take a day."""
    told = refused(written(tmp_path, *["x,1"] * 30), layout()).splitlines()
    assert len(told) == 21
    assert told[-1] == "and 10 more lines"


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    """Each says what is wrong with it."""
    past = written(tmp_path, "2026-03-02 07:00,4", header="when,calls")
    assert "no column 'time': the file has 'when', 'calls'" in refused(past, layout())
    assert "column 'time' is there 2 times" in refused(
        written(tmp_path, "1,2,3", header="time,time,contacts"), layout()
    )
    assert refused(written(tmp_path), layout()) == "there is no row below the first line"
    path = tmp_path / "past.csv"
    path.write_bytes(b"")
    assert "the file has none" in refused(path, layout())
    path.write_bytes(b"time,contacts\n2026-03-02 07:00,\xff\n")
    assert refused(path, layout()) == "expected text in UTF-8"
    path.write_bytes(gzip.compress(b"time,contacts\n" + b"2026-03-02 07:00,4\n" * 99)[:-12])
    assert "cut off" in refused(path, layout())


def test_times_without_a_zone_are_refused() -> None:
    """To take them for UTC would shift every day by an hour or two, in silence."""
    with pytest.raises(HistoryRefused, match="--zone: got 'Europe/Berlim'"):
        zone_of("Europe/Berlim")
    assert zone_of("") is None


def test_time_on_no_known_clock_is_refused(tmp_path: Path) -> None:
    """The answer says which option is missing."""
    path = written(tmp_path, "2026-03-02 07:00,4")
    assert "has no offset: say by --zone which clock" in refused(path, layout(None))


def test_parquet_is_read_where_pyarrow_is(tmp_path: Path) -> None:
    """Columns of times with and without a zone, and of numbers."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    times = [datetime(2026, 3, 2, 7, 0), datetime(2026, 3, 2, 7, 5), datetime(2026, 3, 2, 7, 10)]
    path = tmp_path / "past.parquet"
    parquet.write_table(pyarrow.table({"time": times, "contacts": [4, None, 6]}), path)
    assert counted(path, layout()).steps() == (second("2026-03-02 06:00"), [4, -1, 6])
    path.write_bytes(b"no parquet")
    assert "no parquet file" in refused(path, layout())


def test_parquet_without_pyarrow_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no dependency, and a traceback would tell nobody."""
    really = builtins.__import__

    def without(name: str, *arguments: object, **more: object) -> object:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return really(name, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    assert "needs pyarrow" in refused(tmp_path / "past.parquet", layout())


def test_summary_tells_days_gaps_and_weekdays(tmp_path: Path) -> None:
    """What --dry-run prints is what an analyst compares with what he knows."""
    lines = [
        f"2026-03-{day:02d} {hour:02d}:00,{10 * day}" for day in (2, 3, 5) for hour in range(8, 18)
    ]
    past = counted(written(tmp_path, *lines), layout(minutes=60))
    told = "\n".join(summary_lines("q", past, BERLIN))
    assert told.startswith("q: 1,000 contacts, Mon 2026-03-02 08:00 to Thu 2026-03-05 18:00 Europe")
    assert "3 days with something known; 360 steps" in told
    assert "2 gaps, 52.0 h in all, not learned from" in told
    assert "Tue 2026-03-03 18:00 to Thu 2026-03-05 08:00" in told
    assert "Thu         500 contacts a day, 10.0 h known, 1 day" in told
    assert "on no day is anything known of 00:00 to 08:00, 18:00 to 24:00" in told
