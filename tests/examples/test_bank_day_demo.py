"""The demo as its user runs it: a process of its own, with an engine of its own."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from deploy.examples.bank_day.engine_process import EngineFailed, choose_addresses

ROOT = Path(__file__).resolve().parents[2]
PLAY = ROOT / "deploy" / "examples" / "bank_day" / "play.py"
# The engine's first start on a machine compiles its kernels.
TIMEOUT_S = 340
ANNOUNCED = re.compile(r"Engine: 127\.0\.0\.1:(\d+), metrics: http://\S+/metrics, log: (\S+)\.")


@contextmanager
def playing(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The demo, started; killed should the test fail."""
    command = [sys.executable, str(PLAY), "--plain", *arguments]
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "COLUMNS": "80"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What the demo printed until it ended."""
    return process.communicate(timeout=TIMEOUT_S)


def assert_nothing_is_left(output: str) -> None:
    """Neither the engine nor its folder outlive the demo."""
    announced = ANNOUNCED.search(output)
    assert announced is not None, output
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(announced[1]))) != 0
    assert not Path(announced[2]).parent.exists()


def engine_of(process: subprocess.Popen[str]) -> int:
    """Process id of the engine that the demo started."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not (listed := children.read_text(encoding="ascii").split()):
        time.sleep(0.02)
    (engine,) = listed
    return int(engine)


@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_S + 20)
def test_demo_plays_a_slice(tmp_path: Path) -> None:
    """The first thing a visitor runs works, says what it did, and leaves nothing behind."""
    page = tmp_path / "sensed.html"
    window = ("--speed", "600", "--from", "10:00", "--until", "10:20")
    with playing(*window, "--report", str(page)) as process:
        output, errors = finish(process)

    assert (process.returncode, errors) == (0, "")
    assert (
        "Playing Monday 1999-05-10 of a bank's call centre, 10:00 to 10:20: 49 contacts" in output
    )
    rows = [line.split() for line in output.splitlines()]
    assert ["all", "bank", "49", "41", "8", "(16%)"] in [row[:6] for row in rows]
    (engine,) = (row for above, row in pairwise(rows) if above[:2] == ["all", "bank"])
    offered, answered, abandoned = map(int, engine[1:4])
    assert offered == 49
    assert answered + abandoned == offered
    # How many depends on this machine: at 600× a second's stall is ten minutes of waiting.
    assert answered > 0
    assert "Why the two days differ" in output
    assert "route answered in" in output
    assert "the engine counted" not in output, "the engine's counts differ from the gateway's"
    assert output.rstrip().splitlines()[-1].startswith("5. ")
    assert "Sensed: forecasts as issued against what came" in output
    assert "The forecast began with " in output
    assert f"What was sensed, as a page: {page}\n" in output
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert_nothing_is_left(output)


@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_S + 20)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("later_s", [0.0, 3.0])
def test_interrupted_demo_leaves_nothing_behind(number: signal.Signals, later_s: float) -> None:
    """Ctrl-C ends it at any time: while the engine starts, and in the middle of the day."""
    with playing("--from", "10:00") as process:
        engine_of(process)
        time.sleep(later_s)
        process.send_signal(number)
        process.send_signal(number)
        output, errors = finish(process)

    assert process.returncode == 130
    assert errors == "play: interrupted; the engine is stopped\n"
    assert_nothing_is_left(output)


@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_S + 20)
def test_engine_that_dies_is_reported_with_its_log() -> None:
    """A crash is the engine's, and its log says why; the demo neither hangs nor hides it."""
    with playing("--from", "10:00") as process:
        engine = engine_of(process)
        time.sleep(4)
        os.kill(engine, signal.SIGKILL)
        output, errors = finish(process)

    assert process.returncode == 1
    assert "the engine ended by itself with exit code -9. The end of the engine's log:" in errors
    assert_nothing_is_left(output)


def test_port_in_use_is_a_clear_error() -> None:
    """The engine is not even started."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(EngineFailed, match=f"port {port} on 127.0.0.1 cannot be used"):
            choose_addresses(port)


def test_surge_outside_of_what_is_played_ends_with_one_line() -> None:
    """No traceback, no engine."""
    with playing("--from", "10:00", "--until", "11:00", "--surge", "10:50") as process:
        output, errors = finish(process)

    assert (process.returncode, output) == (1, "")
    assert errors.startswith("play: --surge 10:50: expected a time from 10:00 to 10:40, so that")


def test_wrong_day_ends_with_one_line() -> None:
    """No traceback, no engine."""
    with playing("--day", "1999-02-30") as process:
        output, errors = finish(process)

    assert (process.returncode, output) == (1, "")
    assert errors == "play: expected a day as YYYY-MM-DD, got '1999-02-30'\n"
