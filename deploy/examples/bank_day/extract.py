"""
Derives the files of one day from the Anonymous Bank log.

    python deploy/examples/bank_day/extract.py --source SOURCE --day 1999-05-10

needs pyarrow and, in the folder SOURCE, the call log, which is kept outside the repository:
`anonymous_bank_calls_1999-01_07.parquet` and `anonymous_bank_agent_type_1999-01_07.csv`. The same
input yields the same files, byte for byte. README.md gives the figures of the committed day.

What is left out, and why. The log's own documentation and the notes beside the data name these
faults:

* PHANTOM calls: the documentation says to ignore them.
* Calls that hung up without joining a queue: they ended in the voice response unit and never asked
  for an agent.
* Calls that joined while the floor was not staffed (Sunday to Thursday 07:00 to 24:00, Friday to
  14:00, Saturday from 20:00): nobody was there to route them to.
* Calls of type AA: a handful in seven months, undocumented.
* Calls with a wait above an hour: recording faults (99.99 % waited less than 22 minutes).

What is kept but corrected:

* Service of 0 s, or above two hours: a recording fault. The call stays, without its service time.
* Service of 1 to 5 s: agents dropping calls, says the documentation. It stays as it was, because it
  is the work that the agent did on that day, but no service time is drawn from it (patience.py).
* Negative time in the voice response unit: read as 0. When the call joined its queue is logged by
  itself.

What is inferred:

* The shift of an agent: first service start to last service end of the day, as in
  `anonymous_bank_agent_days_1999-01_07.csv.gz`, but without what is left over from the evening
  before.
* Breaks: the log does not hold them, yet agents took about a quarter of their shifts off. Where an
  agent took nothing between two services while calls of a type it took that day were waiting for a
  minute or more in all, it was away from the first of these seconds to the last: a free agent would
  have been given a call at once.
* Proficiency 1 to 5 per type from seven months: see `proficiency_of`.
"""

import argparse
import csv
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

if __name__ == "__main__":
    # As a script only this file's own folder is on the path.
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from deploy.examples.bank_day.bank_day import (
    DAY_DEFAULT,
    HERE,
    TYPES,
    BankAgent,
    BankDay,
    BankDayError,
    Call,
    agents_path,
    calls_path,
    parse_day,
    write_day,
)
from deploy.examples.bank_day.compressed_time import DAY_S

CALLS_FILE: Final = "anonymous_bank_calls_1999-01_07.parquet"
AGENT_TYPE_FILE: Final = "anonymous_bank_agent_type_1999-01_07.csv"

DAYS_IN_LOG: Final = "1999-01-01 to 1999-07-31 but January 11 and 12"

WAIT_S_MAX: Final = 3_600
SERVICE_S_MAX: Final = 7_200
# Seconds that calls must have waited, in all, between two services of an agent to call it away.
AWAY_WAITED_S_MIN: Final = 60
# The night tail of the day before ends, and nobody's shift has begun.
SHIFTS_BEGIN_S: Final = 5 * 3_600

# Fewer calls of a type than this in seven months: taken by accident or on trial, the skill is not
# held.
HELD_CALLS_MIN: Final = 20
# From this many calls on the agent's speed is known; below, one level less.
KNOWN_CALLS_MIN: Final = 100
# (median service of the type / median service of the agent) from which on the level is reached.
SPEED_LEVELS: Final = ((1.25, 5), (1.05, 4), (0.85, 3), (0.0, 2))

# Weekday, Monday 0 -> staffed hours; the other days are Sunday to Thursday.
STAFFED_HOURS: Final = {4: (7, 14), 5: (20, 24)}
STAFFED_HOURS_DEFAULT: Final = (7, 24)


class LogRow(NamedTuple):
    """One row of the log: the columns of the parquet file that are used, by their names there."""

    entry: datetime
    vru_s: int
    queue_enter: datetime | None
    queue_s: int
    service_start: datetime | None
    service_end: datetime | None
    service_s: int
    outcome: str
    type: str
    priority: int
    agent: str | None


class Experience(NamedTuple):
    """What an agent did of one type in seven months: calls, and their median service in seconds."""

    calls: int
    median_s: float


# Agent -> type -> experience.
ExperienceTable = dict[str, dict[str, Experience]]


def extract_day(source: Path, day: date) -> BankDay:
    """The day as the log in the folder `source` holds it, or `BankDayError`."""
    rows = _read_log(source / CALLS_FILE, day, day + timedelta(days=1))
    if not rows:
        message = f"{source / CALLS_FILE} holds no call of {day}; it has {DAYS_IN_LOG}"
        raise BankDayError(message)
    return day_of(day, rows, _read_experience(source / AGENT_TYPE_FILE))


def calls_of_days(source: Path, first: date, until: date) -> dict[date, tuple[Call, ...]]:
    """Calls of the days from `first` up to, not including, `until`, where the log has any."""
    by_day: dict[date, list[LogRow]] = defaultdict(list)
    for row in _read_log(source / CALLS_FILE, first, until):
        by_day[row.entry.date()].append(row)
    return {day: tuple(_calls(day, rows)) for day, rows in sorted(by_day.items())}


def day_of(day: date, rows: Sequence[LogRow], experience: ExperienceTable) -> BankDay:
    """Filter, correct and infer, as the head of this module says."""
    calls = _calls(day, rows)
    agents = _agents(day, rows, calls, experience)
    if not calls or not agents:
        message = f"the log holds no staffed hour of {day}: was it a holiday?"
        raise BankDayError(message)
    return BankDay(
        day, tuple(sorted(calls, key=lambda call: (call.joined_s, call.call_id))), agents
    )


def proficiency_of(done: Experience, type_median_s: float) -> int:
    """
    Level 0 to 5 from volume and speed.

    With fewer than 20 calls the skill is not held. Otherwise the agent's median service is set
    against the type's (the median over all agents with 100 calls or more): from 1.25 times as fast
    5, from 1.05 times 4, from 0.85 times 3, else 2; and one level less with fewer than 100 calls,
    because the speed is not yet known.
    """
    if done.calls < HELD_CALLS_MIN:
        return 0
    speed = type_median_s / max(done.median_s, 1.0)
    level = next(level for speed_min, level in SPEED_LEVELS if speed >= speed_min)
    return level if done.calls >= KNOWN_CALLS_MIN else level - 1


def _calls(day: date, rows: Sequence[LogRow]) -> list[Call]:
    opens_s, closes_s = (hour * 3_600 for hour in _staffed_hours(day))
    kept = [
        row
        for row in sorted(rows, key=lambda row: row.entry)
        if row.outcome in {"AGENT", "HANG"}
        and (row.outcome == "AGENT" or row.queue_enter is not None)
        and row.type in TYPES
        and row.queue_s <= WAIT_S_MAX
        and opens_s <= _joined_s(day, row) < closes_s
    ]
    return [_call(day, number, row) for number, row in enumerate(kept, start=1)]


def _call(day: date, number: int, row: LogRow) -> Call:
    is_answered = row.outcome == "AGENT"
    has_service = is_answered and 0 < row.service_s <= SERVICE_S_MAX
    return Call(
        call_id=number,
        entry_s=_second_of(day, row.entry),
        type=row.type,
        vru_s=max(row.vru_s, 0),
        joined_s=_joined_s(day, row),
        outcome="AGENT" if is_answered else "HANG",
        queue_s=row.queue_s,
        service_s=row.service_s if has_service else None,
        agent=(row.agent or "") if is_answered else "",
        priority=row.priority,
    )


def _joined_s(day: date, row: LogRow) -> int:
    """When the call asked for an agent: as logged or, if answered at once, when it left the VRU."""
    if row.queue_enter is not None:
        return _second_of(day, row.queue_enter)
    left_vru_s = _second_of(day, row.entry) + max(row.vru_s, 0)
    if row.service_start is None:
        return left_vru_s
    return min(left_vru_s, _second_of(day, row.service_start))


def _agents(
    day: date, rows: Sequence[LogRow], calls: Sequence[Call], experience: ExperienceTable
) -> tuple[BankAgent, ...]:
    services: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for row in rows:
        if row.outcome == "AGENT" and row.agent and row.service_start and row.service_end:
            start_s, end_s = (_second_of(day, at) for at in (row.service_start, row.service_end))
            if start_s >= SHIFTS_BEGIN_S and row.type in TYPES and start_s < end_s:
                services[row.agent].append((start_s, end_s, row.type))
    waiting = _waiting(calls)
    medians = _type_medians(experience)
    return tuple(
        _agent(
            agent_id, sorted(services[agent_id]), waiting, _levels(experience, medians, agent_id)
        )
        for agent_id in sorted(services)
    )


def _agent(
    agent_id: str,
    services: Sequence[tuple[int, int, str]],
    waiting: dict[str, NDArray[np.bool_]],
    levels: dict[str, int],
) -> BankAgent:
    taken = sorted({name for _, _, name in services})
    any_waiting = np.logical_or.reduce([waiting[name] for name in taken])
    # An agent whom the table does not know holds what it took that day, at the middle level.
    proficiency = levels or dict.fromkeys(taken, 3)
    return BankAgent(
        agent_id=agent_id,
        shift_start_s=services[0][0],
        shift_end_s=max(end_s for _, end_s, _ in services),
        proficiency=proficiency,
        away=tuple(_breaks(services, any_waiting)),
    )


def _breaks(
    services: Sequence[tuple[int, int, str]], any_waiting: NDArray[np.bool_]
) -> Iterable[tuple[int, int]]:
    """Spans between services in which the agent left calls waiting that it could have taken."""
    idle_from_s = 0
    for (_, end_s, _), (next_start_s, _, _) in pairwise(services):
        idle_from_s = max(idle_from_s, end_s)
        waited = np.flatnonzero(any_waiting[idle_from_s:next_start_s])
        if len(waited) >= AWAY_WAITED_S_MIN:
            yield (idle_from_s + int(waited[0]), idle_from_s + int(waited[-1]) + 1)


def _waiting(calls: Sequence[Call]) -> dict[str, NDArray[np.bool_]]:
    """Per type and second of the day, into the night after, whether a call waits."""
    waiting = {name: np.zeros(DAY_S + SERVICE_S_MAX, dtype=np.bool_) for name in TYPES}
    for call in calls:
        waiting[call.type][call.joined_s : call.joined_s + call.queue_s] = True
    return waiting


def _type_medians(experience: ExperienceTable) -> dict[str, float]:
    medians: dict[str, list[float]] = defaultdict(list)
    for by_type in experience.values():
        for name, done in by_type.items():
            if done.calls >= KNOWN_CALLS_MIN:
                medians[name].append(done.median_s)
    return {name: statistics.median(values) for name, values in medians.items()}


def _levels(
    experience: ExperienceTable, medians: dict[str, float], agent_id: str
) -> dict[str, int]:
    levels = {
        name: proficiency_of(done, medians.get(name, done.median_s))
        for name, done in experience.get(agent_id, {}).items()
        if name in TYPES
    }
    return {name: level for name, level in levels.items() if level > 0}


def _staffed_hours(day: date) -> tuple[int, int]:
    return STAFFED_HOURS.get(day.weekday(), STAFFED_HOURS_DEFAULT)


def _second_of(day: date, at: datetime) -> int:
    return int((at - datetime.combine(day, time())).total_seconds())


def _read_log(path: Path, first: date, until: date) -> list[LogRow]:
    try:
        from pyarrow import parquet
    except ImportError:
        message = "extracting a day needs pyarrow: pip install pyarrow"
        raise BankDayError(message) from None
    _require(path)
    start, end = (datetime.combine(day, time()) for day in (first, until))
    those_days = [("entry", ">=", start), ("entry", "<", end)]
    table = parquet.read_table(path, columns=list(LogRow._fields), filters=those_days)
    columns = [table.column(name).to_pylist() for name in LogRow._fields]
    return [LogRow(*fields) for fields in zip(*columns, strict=True)]


def _read_experience(path: Path) -> ExperienceTable:
    _require(path)
    table: ExperienceTable = defaultdict(dict)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            done = Experience(int(row["calls"]), float(row["median_service_s"]))
            table[row["agent"]][row["type"]] = done
    return table


def _require(path: Path) -> None:
    if not path.is_file():
        message = f"{path}: no such file; expected the Anonymous Bank log in the source folder"
        raise BankDayError(message)


def main() -> int:
    """Write the two files of a day."""
    parser = argparse.ArgumentParser(description="Derive the demo's files of one day from the log.")
    parser.add_argument("--source", type=Path, required=True, help="folder of the log")
    parser.add_argument("--day", default=DAY_DEFAULT, help="YYYY-MM-DD (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to (default: here)")
    options = parser.parse_args()
    try:
        day = extract_day(options.source, parse_day(options.day))
    except BankDayError as error:
        print(f"extract: {error}", file=sys.stderr)
        return 1
    write_day(options.out, day)
    print(f"{calls_path(options.out, day.day)}: {len(day.calls)} calls")
    print(f"{agents_path(options.out, day.day)}: {len(day.agents)} agents")
    return 0


if __name__ == "__main__":
    sys.exit(main())
