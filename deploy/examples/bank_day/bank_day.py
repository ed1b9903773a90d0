"""
A day of the Anonymous Bank log as the demo plays it: its calls, its agents, and the two files that
hold them.

`YYYY-MM-DD.calls.csv` has a row per call that joined a queue while the floor was staffed;
`YYYY-MM-DD.agents.csv` a row per agent with shift, breaks and proficiency per type. extract.py
makes both and says what it leaves out. All times are whole seconds since midnight of the day, so
what happens after midnight lies above 86,400.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, Literal

HERE: Final = Path(__file__).resolve().parent
DAY_DEFAULT: Final = "1999-05-10"

# Types of call in the log; each becomes a queue, and the skill that its agents must hold.
TYPES: Final = {
    "PS": "regular banking",
    "NW": "prospects",
    "NE": "stock trading",
    "TT": "call-back",
    "IN": "internet support",
    "PE": "in English",
}
# A service this short was an agent dropping the call, says the documentation: no measure of how
# long one takes.
DROPPED_S_MAX: Final = 5
PROFICIENCY_MAX: Final = 5

CALL_COLUMNS: Final = (
    "call", "entry_s", "type", "vru_s", "joined_s",
    "outcome", "queue_s", "service_s", "agent", "priority",
)  # fmt: skip
AGENT_COLUMNS: Final = ("agent", "shift_start_s", "shift_end_s", *TYPES, "away")

Outcome = Literal["AGENT", "HANG"]


class BankDayError(Exception):
    """A day cannot be had; the message names the file, the line and what was expected."""


@dataclass(frozen=True, slots=True)
class Call:
    """
    One call of the log.

    Attributes
    ----------
    call_id
        Number of the call in the day, from 1, by the second of entry.
    entry_s
        When it entered the voice response unit (VRU).
    type
        What it is about, a key of `TYPES`.
    vru_s
        Seconds in the voice response unit, ≥ 0.
    joined_s
        When it joined the queue.
    outcome
        AGENT: answered. HANG: the customer hung up while waiting.
    queue_s
        Seconds it waited, ≥ 0.
    service_s
        Seconds of service, ≥ 1; None where the log holds none that can be used.
    agent
        Code of the agent who answered; empty where nobody did or the log does not say.
    priority
        0 not identified, 1 low, 2 high.
    """

    call_id: int
    entry_s: int
    type: str
    vru_s: int
    joined_s: int
    outcome: Outcome
    queue_s: int
    service_s: int | None
    agent: str
    priority: int


@dataclass(frozen=True, slots=True)
class BankAgent:
    """
    One agent's day.

    Attributes
    ----------
    agent_id
        Code of the agent.
    shift_start_s, shift_end_s
        First service began, last service ended.
    proficiency
        Type to level, 1 to 5; a type the agent does not hold is absent.
    away
        Breaks as (start, end), in order, inside the shift and apart from each other.
    """

    agent_id: str
    shift_start_s: int
    shift_end_s: int
    proficiency: dict[str, int]
    away: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class BankDay:
    """
    A day: calls by the second they joined the queue, agents by code.

    Attributes
    ----------
    day
        Its date.
    calls
        At least one.
    agents
        At least one.
    """

    day: date
    calls: tuple[Call, ...]
    agents: tuple[BankAgent, ...]


def parse_day(text: str) -> date:
    """A date as YYYY-MM-DD, or `BankDayError`."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        message = f"expected a day as YYYY-MM-DD, got {text!r}"
        raise BankDayError(message) from None


def calls_path(folder: Path, day: date) -> Path:
    """File of the day's calls."""
    return folder / f"{day}.calls.csv"


def agents_path(folder: Path, day: date) -> Path:
    """File of the day's agents."""
    return folder / f"{day}.agents.csv"


def days_in(folder: Path) -> list[date]:
    """Days that a folder holds a calls file of, oldest first."""
    return sorted(parse_day(path.name.partition(".")[0]) for path in folder.glob("*.calls.csv"))


def read_day(folder: Path, day: date) -> BankDay:
    """Read both files of a day, or `BankDayError` naming the file and line at fault."""
    calls = tuple(map(_call, _rows(calls_path(folder, day), CALL_COLUMNS)))
    agents = tuple(map(_agent, _rows(agents_path(folder, day), AGENT_COLUMNS)))
    return BankDay(
        day, tuple(sorted(calls, key=lambda call: (call.joined_s, call.call_id))), agents
    )


def write_day(folder: Path, day: BankDay) -> None:
    """Write both files of a day."""
    folder.mkdir(parents=True, exist_ok=True)
    by_entry = sorted(day.calls, key=lambda call: call.call_id)
    _write(calls_path(folder, day.day), CALL_COLUMNS, map(_call_row, by_entry))
    _write(agents_path(folder, day.day), AGENT_COLUMNS, map(_agent_row, day.agents))


def _call_row(call: Call) -> tuple[object, ...]:
    return (
        call.call_id, call.entry_s, call.type, call.vru_s, call.joined_s,
        call.outcome, call.queue_s, "" if call.service_s is None else call.service_s,
        call.agent, call.priority,
    )  # fmt: skip


def _agent_row(agent: BankAgent) -> tuple[object, ...]:
    levels = [agent.proficiency.get(name, 0) for name in TYPES]
    away = " ".join(f"{start}-{end}" for start, end in agent.away)
    return (agent.agent_id, agent.shift_start_s, agent.shift_end_s, *levels, away)


def _write(path: Path, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


class _Row:
    """One row of a file; reading a field that is not as expected raises with file and line."""

    def __init__(self, where: str, fields: dict[str, str]) -> None:
        self.where = where
        self._fields = fields

    def text(self, name: str) -> str:
        return self._fields[name]

    def integer(self, name: str, low: int = 0, high: int = 10**6) -> int:
        text = self._fields[name]
        value = int(text) if text.isascii() and text.isdigit() else -1
        if not (low <= value <= high):
            raise self.fault(name, f"a whole number from {low} to {high}")
        return value

    def one_of(self, name: str, choices: Iterable[str]) -> str:
        names = list(choices)
        if self._fields[name] not in names:
            raise self.fault(name, "one of " + ", ".join(names))
        return self._fields[name]

    def fault(self, name: str, expected: str) -> BankDayError:
        return BankDayError(
            f"{self.where}: {name}: expected {expected}, got {self._fields[name]!r}"
        )


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[_Row]:
    """Rows of a file below its header: at least one, each as wide as the header."""
    if not path.is_file():
        message = f"{path}: no such file"
        raise BankDayError(message)
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        _check_header(path, next(reader, []), columns)
        for fields in reader:
            where = f"{path}:{reader.line_num}"
            if len(fields) != len(columns):
                message = f"{where}: expected {len(columns)} fields, got {len(fields)}"
                raise BankDayError(message)
            yield _Row(where, dict(zip(columns, fields, strict=True)))
        if reader.line_num < 2:
            message = f"{path}: expected at least one row below the header"
            raise BankDayError(message)


def _check_header(path: Path, header: list[str], columns: tuple[str, ...]) -> None:
    if tuple(header) != columns:
        message = f"{path}:1: expected the columns {','.join(columns)}, got {','.join(header)!r}"
        raise BankDayError(message)


def _call(row: _Row) -> Call:
    is_answered = row.one_of("outcome", ("AGENT", "HANG")) == "AGENT"
    has_service = row.text("service_s") != ""
    if has_service and not is_answered:
        raise row.fault("service_s", "nothing where the outcome is HANG")
    return Call(
        call_id=row.integer("call", low=1),
        entry_s=row.integer("entry_s"),
        type=row.one_of("type", TYPES),
        vru_s=row.integer("vru_s"),
        joined_s=row.integer("joined_s"),
        outcome="AGENT" if is_answered else "HANG",
        queue_s=row.integer("queue_s"),
        service_s=row.integer("service_s", low=1) if has_service else None,
        agent=row.text("agent"),
        priority=row.integer("priority", high=2),
    )


def _agent(row: _Row) -> BankAgent:
    start_s = row.integer("shift_start_s")
    end_s = row.integer("shift_end_s", low=start_s + 1)
    levels = {name: row.integer(name, high=PROFICIENCY_MAX) for name in TYPES}
    return BankAgent(
        agent_id=row.text("agent"),
        shift_start_s=start_s,
        shift_end_s=end_s,
        proficiency={name: level for name, level in levels.items() if level > 0},
        away=_away(row, start_s, end_s),
    )


def _away(row: _Row, start_s: int, end_s: int) -> tuple[tuple[int, int], ...]:
    """Breaks from `start-end start-end ...`, in order and inside the shift."""
    spans: list[tuple[int, int]] = []
    earliest_s = start_s
    for span in row.text("away").split():
        begin, _, end = span.partition("-")
        if not (begin.isdigit() and end.isdigit() and earliest_s <= int(begin) < int(end) <= end_s):
            raise row.fault("away", "spans as start-end, in order, inside the shift")
        spans.append((int(begin), int(end)))
        earliest_s = int(end)
    return tuple(spans)
