"""Deliveries that were given up: kept whole, one a line, within a bound."""

import json
from pathlib import Path

import pytest

from adapters.dead_letters import DeadLetters, DeadLettersRefused
from adapters.webhook import Delivery

GIVEN_UP = Delivery("default-1-1-ab", b'{"cell":"default","events":[]}', "1.1", 1, 5, 5)


def kept(path: Path) -> list[dict[str, object]]:
    """What a person reads from the file: its whole lines."""
    found = []
    for line in path.read_text().splitlines():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found


def test_dead_letters_are_kept_with_id_reason_and_body(tmp_path: Path) -> None:
    """Who mends the receiver sends them again, and learns what was wrong with them."""
    path = tmp_path / "dead"
    for _ in range(2):  # each in a process of its own
        letters = DeadLetters(path)
        letters.append(GIVEN_UP, "422")
        letters.close()
    first, second = kept(path)
    assert first.keys() == {"webhook_id", "given_up_at_ms", "why", "body"}
    assert (first["webhook_id"], first["why"]) == ("default-1-1-ab", "422")
    assert first["body"] == json.loads(GIVEN_UP.body)
    assert second["body"] == first["body"]
    assert path.stat().st_mode & 0o077 == 0


def test_line_that_a_crash_cut_short_spoils_no_other(tmp_path: Path) -> None:
    """Its delivery comes again, whole, because the cursor had not moved."""
    path = tmp_path / "dead"
    path.write_bytes(b'{"webhook_id":"default-1-')
    letters = DeadLetters(path)
    letters.append(GIVEN_UP, "timeout")
    letters.append(GIVEN_UP, "timeout")
    letters.close()
    assert len(kept(path)) == 2


def test_file_that_is_full_takes_no_more(tmp_path: Path) -> None:
    """An endpoint that refuses everything must not fill the disk."""
    path = tmp_path / "dead"
    letters = DeadLetters(path, bytes_max=200)
    letters.append(GIVEN_UP, "422")
    size = path.stat().st_size
    with pytest.raises(DeadLettersRefused, match="is full: "):
        letters.append(GIVEN_UP, "422")
    letters.close()
    assert size == path.stat().st_size <= 200


def test_file_that_cannot_be_had_or_written_is_refused(tmp_path: Path) -> None:
    """What cannot be kept must not count as kept."""
    with pytest.raises(DeadLettersRefused, match="cannot be opened: No such file"):
        DeadLetters(tmp_path / "nowhere" / "dead")
    full = DeadLetters(Path("/dev/full"))
    with pytest.raises(DeadLettersRefused, match="cannot be written: No space left"):
        full.append(GIVEN_UP, "422")
    full.close()
