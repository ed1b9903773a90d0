"""`headgate migrate` as it is typed: what it says, and with which exit code it leaves."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from adapters.cli import main
from adapters.sqlite_log import SqliteLog
from tests.adapters.commit_log_contract import commit_all, contact, group, reply
from tests.end_to_end.redis_servers import RedisServer, free_port

SAID = "1 rows, 1 groups of events, 1 of replies, digest "


def typed(*words: object) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(main, ["migrate", *map(str, words)])


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    """A folder with two cells."""
    folder = tmp_path / "data"
    folder.mkdir()
    for cell in ("default", "north"):
        log = SqliteLog(folder / f"{cell}.sqlite", "full", cell)
        one = group(b"e", [contact(1, b"r", b"p")], [reply("q")])
        await commit_all(log, await log.acquire("a"), [one])
        await log.release()
    return folder


def test_folder_is_moved_to_another(data: Path, tmp_path: Path) -> None:
    """One line a cell, with the figures an operator compares."""
    done = typed(data, tmp_path / "other", "--cells", "default,north")
    assert (done.exit_code, done.stderr) == (0, "")
    first, second, last = done.stdout.splitlines()
    assert first.startswith(f"default: {SAID}")
    assert second.startswith(f"north: {SAID}")
    assert last.startswith("The source is as it was.")
    assert (tmp_path / "other" / "north.sqlite").is_file()


def test_first_cell_that_is_refused_stops_it_and_is_named(data: Path, tmp_path: Path) -> None:
    """The next run goes on from there; what was moved stays."""
    assert typed(data, tmp_path / "other", "--cells", "north").exit_code == 0
    stopped = typed(data, tmp_path / "other", "--cells", "default,north")
    assert stopped.exit_code == 3
    assert stopped.stdout.startswith(f"default: {SAID}")
    told, advice = stopped.stderr.splitlines()
    assert told.startswith("headgate: cell 'north' was not moved: ")
    assert "north.sqlite: is there already; name another folder" in told
    assert advice == "headgate: the cells before it were; go on with --cells north"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["redis://:s3cret@127.0.0.1:1"], "no password on the command line: redis_password_file"),
        (["mysql://there"], "expected 'sqlite', or redis://HOST:PORT"),
        (["other", "--durability", "memory"], "durability: expected one that keeps something"),
        (["other", "--durability", "strict"], "durability: expected auto, full, normal or memory"),
        (["other", "--set", "lease_ms"], "flag --set: expected NAME=VALUE, got 'lease_ms'"),
        (["other", "--cells", "a b"], "expected one or more cells"),
        (["other", "--config", "absent.toml"], "expected a readable TOML file"),
    ],
)
def test_wrong_words_are_told_before_anything_is_done(
    data: Path, words: list[str], told: str
) -> None:
    """By name, value and what was expected; no password shows."""
    refused = typed(data, *words)
    assert refused.exit_code == 2, refused.stderr
    assert told in refused.stderr
    assert "s3cret" not in refused.stderr
    assert not Path("other").exists()


def test_source_and_server_that_are_not_there_are_told(data: Path, tmp_path: Path) -> None:
    """The environment is at fault, so that a script may tell it from a slip."""
    absent = typed(tmp_path / "absent", tmp_path / "other")
    assert absent.exit_code == 3
    assert "absent/default.sqlite: no such file, so no cell 'default' there" in absent.stderr
    silent = typed(data, f"redis://127.0.0.1:{free_port()}", "--durability", "relaxed")
    assert silent.exit_code == 3
    assert "check the address and the server" in silent.stderr


@pytest.mark.needs_redis
def test_server_must_keep_what_is_promised(data: Path, tmp_path: Path) -> None:
    """A cell must not promise less in its new place without anybody having said so."""
    server = RedisServer(tmp_path / "server")
    try:
        refused = typed(data, server.url)
        assert refused.exit_code == 3
        assert "cannot give durability replicated: it has 0 replicas" in refused.stderr
        assert typed(data, server.url, "--durability", "relaxed").exit_code == 0
        back = typed(server.url, tmp_path / "back")
        assert (back.exit_code, back.stdout.startswith(f"default: {SAID}")) == (0, True)
    finally:
        server.kill()
