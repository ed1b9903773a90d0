"""`headgate history import` up to the engine: what is told before anything is sent."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from adapters.cli import main
from adapters.history.command import _parts
from adapters.history.counting import QueuePast

EXAMPLE = Path(__file__).resolve().parents[2] / "deploy/examples/history/make_history.py"


def imported(*arguments: str | Path) -> Result:
    """Run the command in this process; no engine listens where it would send to."""
    words = ["history", "import", *map(str, arguments), "--address", "127.0.0.1:1"]
    return CliRunner().invoke(main, words)


@pytest.fixture
def past(tmp_path: Path) -> Path:
    """Two days of a queue, by quarters of an hour."""
    path = tmp_path / "past.csv"
    rows = [
        f"2026-03-0{day}T{slot // 4:02d}:{15 * (slot % 4):02d},{slot % 7}"
        for day in (2, 3)
        for slot in range(96)
    ]
    path.write_text("\n".join(["when,calls", *rows]), encoding="utf-8")
    return path


def asked(path: Path, *more: str) -> Result:
    """As the file is to be read."""
    columns = ("--time-column", "when", "--count-column", "calls", "--interval", "15m")
    return imported(path, "--queue", "q", *columns, *more)


def test_dry_run_tells_what_would_be_learned_and_asks_no_engine(past: Path) -> None:
    """An analyst compares it with what he knows before a queue learns it."""
    done = asked(past, "--zone", "Europe/Berlin", "--dry-run")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("q: 566 contacts, Mon 2026-03-02 00:00 to Wed 2026-03-04 00:00")
    assert "no gaps" in done.stdout


def test_without_an_engine_the_exit_code_says_so(past: Path) -> None:
    """A script may try again later."""
    done = asked(past, "--zone", "Europe/Berlin")
    assert done.exit_code == 3
    assert "no answer from an engine at 127.0.0.1:1" in done.stderr


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--zone", "Europe/Berlim"], "--zone: got 'Europe/Berlim', expected"),
        ([], "line 2: '2026-03-02T00:00' has no offset: say by --zone"),
        (["--zone", "UTC", "--interval", "60m"], "line 3: '2026-03-02T00:15' is not on a multiple"),
        (["--zone", "UTC", "--interval", "5m"], "rows lie 15 minutes apart or more"),
        (["--zone", "UTC", "--time-column", "time"], "no column 'time': the file has 'when'"),
        (["--zone", "UTC", "--queue-column", "queue"], "give --queue or --queue-column"),
        (["--zone", "UTC", "--address", "nowhere"], "--address: expected HOST:PORT"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_sent(
    past: Path, more: list[str], told: str
) -> None:
    """Each names the option, or the line."""
    columns = ["--time-column", "when", "--count-column", "calls", "--interval", "15m"]
    words = ["history", "import", str(past), "--queue", "q", *columns, *more]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert told in done.stderr


def test_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """And one that cannot be read."""
    done = imported(tmp_path / "none.csv", "--queue", "q", "--zone", "UTC")
    assert done.exit_code == 2
    assert "none.csv: No such file" in done.stderr


def test_parts_leave_out_what_is_unknown_and_keep_to_the_bound() -> None:
    """A year between two counts is no hundred thousand steps on the wire."""
    year = 366 * 86_400
    past = QueuePast({300: 1, 600: 2, 300 + year: 3})
    parts = list(_parts(past))
    assert len(parts) == 2
    assert parts[0][0] == 300
    assert parts[0][1][:3] == [1, 2, -1]
    begins_s, contacts = parts[1]
    assert begins_s + contacts.index(3) * 300 == 300 + year
    assert all(len(contacts) <= 2_016 for _, contacts in parts)


def test_example_is_read_as_it_is_meant(tmp_path: Path) -> None:
    """It is what a newcomer runs first."""
    path = tmp_path / "support.csv"
    words = (sys.executable, "-W", "error", EXAMPLE)
    path.write_bytes(subprocess.run(words, check=True, capture_output=True, timeout=60).stdout)
    more = ("--zone", "Europe/Berlin", "--interval", "30m", "--dry-run")
    done = imported(path, "--queue", "support", *more)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "40 days with something known; 4,800 steps" in done.stdout
    assert "of 00:00 to 08:00, 18:00 to 24:00" in done.stdout
