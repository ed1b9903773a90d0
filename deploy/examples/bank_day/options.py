"""What is played: the command line, the day it names, the window of that day."""

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from deploy.examples.bank_day.bank_day import (
    DAY_DEFAULT,
    HERE,
    BankDay,
    BankDayError,
    days_in,
    parse_day,
    read_day,
)
from deploy.examples.bank_day.compressed_time import DAY_S, clock_text, parse_clock
from deploy.examples.bank_day.extract import DAYS_IN_LOG, extract_day
from deploy.examples.bank_day.surge import SURGE_S
from deploy.examples.bank_day.tally import Window

T = TypeVar("T")

SOURCE_DEFAULT: Final = HERE.parents[3] / "shared" / "data"
SPEED_DEFAULT: Final = 60.0
# Below 1× the day takes longer than the day; above 1,000× the engine's milliseconds are too coarse
# for seconds.
SPEED_MIN: Final = 1.0
SPEED_MAX: Final = 1_000.0
HOUR_S: Final = 3_600


@dataclass(frozen=True, slots=True)
class Options:
    """
    What the command line asks for.

    Attributes
    ----------
    day
        YYYY-MM-DD.
    source
        Folder of the Anonymous Bank log, None for the default place.
    speed
        Seconds of the bank's day per second here, 1 to 1,000.
    from_s, until_s
        Window of the day, None for where the calls begin and end.
    port
        Port of the engine's API, 0 for a free one.
    surge_s
        When a surge is added to the day's calls, None for none.
    policy
        File of policies: the window is then played twice, without them and with them; None for a
        live play.
    report
        File to write what was sensed to, as a page; None for none.
    keep
        Leave the data folder behind.
    plain
        Print lines instead of the live board.
    """

    day: str
    source: Path | None
    speed: float
    from_s: int | None
    until_s: int | None
    port: int
    surge_s: int | None
    policy: Path | None
    report: Path | None
    keep: bool
    plain: bool


def parse_options(arguments: Sequence[str]) -> Options:
    """Options of a command line; prints usage and exits with 2 when they are wrong."""
    parser = argparse.ArgumentParser(
        prog="play.py", description="Play a real day of a bank's call centre through the engine."
    )
    add = parser.add_argument
    add("--speed", type=_checked(_speed), default=SPEED_DEFAULT, metavar="N",
        help="seconds of the bank's day per second here, 1 to 1000 (default: 60)")  # fmt: skip
    add("--from", type=_checked(parse_clock), dest="from_s", metavar="HH:MM",
        help="play contacts that join from then on (default: when the floor opens)")  # fmt: skip
    add("--until", type=_checked(parse_clock), dest="until_s", metavar="HH:MM",
        help="play contacts that join before then (default: when the floor closes)")  # fmt: skip
    add("--day", default=DAY_DEFAULT, metavar="DATE", help="YYYY-MM-DD (default: %(default)s)")
    add("--source", type=Path, metavar="DIR",
        help="folder of the Anonymous Bank log: other days, and weeks to learn from")  # fmt: skip
    add("--port", type=_checked(_port), default=0, metavar="N",
        help="port of the engine's API (default: a free one)")  # fmt: skip
    add("--surge", type=_checked(parse_clock), dest="surge_s", metavar="HH:MM",
        help="add calls: for 20 minutes three times what comes (default: no surge)")  # fmt: skip
    add("--policy", type=_checked(_file), metavar="FILE",
        help="play the window twice, not live: without a file of policies and with it")  # fmt: skip
    add("--report", type=_checked(_page), metavar="FILE.html",
        help="write what was sensed as a page with plots")  # fmt: skip
    add("--keep", action="store_true", help="leave the engine's data folder and log behind")
    add("--plain", action="store_true", help="print lines instead of the live board")
    return Options(**vars(parser.parse_args(arguments)))


def find_day(text: str, source: Path | None) -> BankDay:
    """The day from the files that come with the demo or else from the log; or `BankDayError`."""
    day = parse_day(text)
    committed = days_in(HERE)
    if day in committed:
        return read_day(HERE, day)
    if source is None and not SOURCE_DEFAULT.is_dir():
        message = (
            f"{day} does not come with the demo; available: {', '.join(map(str, committed))}. "
            f"With --source DIR, the folder of the Anonymous Bank log, any day of {DAYS_IN_LOG}"
        )
        raise BankDayError(message)
    return extract_day(source or SOURCE_DEFAULT, day)


def opening_s(day: BankDay) -> int:
    """The whole hour in which the day's first call joins, seconds since midnight."""
    return day.calls[0].joined_s // HOUR_S * HOUR_S


def window_of(day: BankDay, options: Options) -> Window:
    """The window asked for, by default the whole hours that hold every call; or `BankDayError`."""
    last_s = day.calls[-1].joined_s
    closing_s = min((last_s // HOUR_S + 1) * HOUR_S, DAY_S)
    window = Window(
        opening_s(day) if options.from_s is None else options.from_s,
        closing_s if options.until_s is None else options.until_s,
    )
    if not any(window.holds(call) for call in day.calls):
        message = (
            f"no call joins from {clock_text(window.from_s)} until {clock_text(window.until_s)}; "
            f"the first does at {clock_text(day.calls[0].joined_s)}, "
            f"the last at {clock_text(last_s)}"
        )
        raise BankDayError(message)
    return window


def check_surge(window: Window, surge_s: int | None) -> None:
    """Refuse a surge that the window does not hold, all of it; raises `BankDayError`."""
    if surge_s is None or window.from_s <= surge_s <= window.until_s - SURGE_S:
        return
    first, last = (clock_text(at_s)[:5] for at_s in (window.from_s, window.until_s - SURGE_S))
    message = (
        f"--surge {clock_text(surge_s)[:5]}: expected a time from {first} to {last}, so that its "
        f"{SURGE_S // 60} minutes are played"
        if window.until_s - window.from_s >= SURGE_S
        else f"--surge: expected {SURGE_S // 60} minutes to be played at least"
    )
    raise BankDayError(message)


def _checked(parse: Callable[[str], T]) -> Callable[[str], T]:
    """The same, but telling argparse what was expected instead of only that it was not."""

    def checked(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked


def _speed(text: str) -> float:
    return _number(text, float, SPEED_MIN, SPEED_MAX)


def _file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        message = f"expected a file of policies, got {text!r}"
        raise ValueError(message)
    return path


def _page(text: str) -> Path:
    """A file that can be written in the end: its folder is there, and it is no folder itself."""
    path = Path(text)
    if path.suffix != ".html" or path.is_dir():
        message = f"expected a file that ends in .html, got {text!r}"
        raise ValueError(message)
    if not os.access(path.parent, os.W_OK):
        message = f"expected a file in a folder that can be written to, got {text!r}"
        raise ValueError(message)
    return path


def _port(text: str) -> int:
    return int(_number(text, int, 0, 65_535))


def _number(text: str, kind: type[float], low: float, high: float) -> float:
    message = f"expected {low:g} to {high:g}, got {text!r}"
    try:
        value = kind(text)
    except ValueError:
        raise ValueError(message) from None
    if not (low <= value <= high):
        raise ValueError(message)
    return value
