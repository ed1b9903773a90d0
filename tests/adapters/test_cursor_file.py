"""Progress over restarts: written whole, read back, refused where it cannot be trusted."""

import json
import os
from pathlib import Path

import pytest

from adapters.cursor_file import CursorFile, CursorFileRefused, Progress

GOOD = {"version": 1, "cell": "default", "filter": "f", "cursor": "7.2", "sending": "9.1"}


def opened(path: Path, cell: str = "default", event_filter: str = "f") -> CursorFile:
    """A cursor file of the usual cell and choice of events."""
    return CursorFile(path, cell, event_filter)


def told_of(path: Path, cell: str = "default", event_filter: str = "f") -> Progress:
    """What a process reads that opens the file and leaves again."""
    file = opened(path, cell, event_filter)
    file.close()
    return file.progress


def test_progress_is_read_back_by_the_next_process(tmp_path: Path) -> None:
    """A forwarder goes on where the last one ended, however that ended."""
    path = tmp_path / "cursor"
    first = opened(path)
    assert first.progress == Progress()
    first.save(Progress("7"))
    first.save(Progress("7.2", sending="9.1"))
    assert first.progress == Progress("7.2", sending="9.1")
    first.close()
    assert told_of(path) == Progress("7.2", sending="9.1")
    assert path.stat().st_mode & 0o077 == 0


def test_what_was_being_sent_is_forgotten_under_another_choice_of_events(tmp_path: Path) -> None:
    """Other events between the same places are another delivery."""
    path = tmp_path / "cursor"
    path.write_text(json.dumps(GOOD))
    assert told_of(path, event_filter="other") == Progress("7.2")
    assert told_of(path) == Progress("7.2", sending="9.1")


@pytest.mark.parametrize(
    "written",
    [
        b"",  # nothing
        b"{",  # half of something
        b"\0" * 80,  # blocks that a power cut left empty
        b"7.2",  # a cursor by itself, which is a number
        b"[]",  # no object
        b"{}",  # no fields
        json.dumps({**GOOD, "version": 0}).encode(),  # no version there was
        json.dumps({**GOOD, "version": "1"}).encode(),  # a version that is no number
        json.dumps({**GOOD, "cursor": 7.2}).encode(),  # a cursor that is no text
        json.dumps({**GOOD, "cursor": ""}).encode(),  # no cursor
        json.dumps({**GOOD, "cursor": "7.2 "}).encode(),  # no place of a log
        json.dumps({**GOOD, "sending": "x"}).encode(),  # another that is none
        json.dumps(GOOD).encode() + b"x" * 5_000,  # more than is ever written
    ],
)
def test_damaged_file_is_refused_and_left_alone(tmp_path: Path, written: bytes) -> None:
    """To begin anew would lose events or send them all again: a person has to choose."""
    path = tmp_path / "cursor"
    path.write_bytes(written)
    with pytest.raises(CursorFileRefused, match=r"cursor is damaged\. Put a copy in its place, or"):
        opened(path)
    assert path.read_bytes() == written
    # The lock is free again.
    path.write_text(json.dumps(GOOD))
    assert told_of(path).cursor == "7.2"


def test_file_of_another_cell_or_a_newer_program_is_refused(tmp_path: Path) -> None:
    """Places in one cell's log mean nothing in another's."""
    path = tmp_path / "cursor"
    path.write_text(json.dumps(GOOD))
    with pytest.raises(CursorFileRefused, match="is of cell 'default', not 'other'"):
        opened(path, cell="other")
    path.write_text(json.dumps({**GOOD, "version": 2}))
    with pytest.raises(CursorFileRefused, match="is of version 2, this program of 1"):
        opened(path)


def test_file_is_held_by_one_process_at_a_time(tmp_path: Path) -> None:
    """Two forwarders on one file would each move the other's place."""
    path = tmp_path / "cursor"
    first = opened(path)
    first.save(Progress("7"))
    with pytest.raises(CursorFileRefused, match="is held by another process"):
        opened(path)
    first.close()
    assert told_of(path) == Progress("7")


@pytest.mark.parametrize("step", ["fsync", "replace", "write"])
def test_write_that_fails_leaves_what_was_written_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """A full disk, or a crash at any step, costs progress and never the file."""
    path = tmp_path / "cursor"
    file = opened(path)
    file.save(Progress("7.2"))

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if step == "write":
        # What cannot be made cannot be written: a folder stands in its place.
        (tmp_path / "cursor.new").mkdir()
    else:
        monkeypatch.setattr(os, step, fail)
    with pytest.raises(CursorFileRefused, match="cannot be written: "):
        file.save(Progress("8.1"))
    assert file.progress == Progress("7.2")
    file.close()
    assert told_of(path) == Progress("7.2")


def test_rests_of_a_crash_are_written_over(tmp_path: Path) -> None:
    """A process that was killed while it wrote leaves half a file beside the whole one."""
    path = tmp_path / "cursor"
    (tmp_path / "cursor.new").write_bytes(b'{"version":1,"cell":"default","filter":"much lo')
    file = opened(path)
    file.save(Progress("7"))
    file.close()
    assert told_of(path) == Progress("7")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["cursor", "cursor.lock"]


def test_file_out_of_reach_is_refused_with_its_path(tmp_path: Path) -> None:
    """A slip in a path is told before anything is forwarded."""
    with pytest.raises(CursorFileRefused, match=r"nowhere/cursor\.lock: No such file"):
        opened(tmp_path / "nowhere" / "cursor")
    (tmp_path / "folder").mkdir()
    with pytest.raises(CursorFileRefused, match="cannot be read: Is a directory"):
        opened(tmp_path / "folder")
