"""
What the forecast knows before the day begins.

With the Anonymous Bank log at hand it learns the eight weeks before the day, bucket by bucket, as
it would have while they passed. Without it there is only the day itself: then it begins with a
planner's guess, the day's own counts, smoothed over two hours and made a fifth too low. The shape
of that guess is right, which no planner's is; its level is wrong, so that one sees the forecast
correct itself by what comes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deploy.examples.bank_day.bank_day import TYPES, BankDay, BankDayError, Call
from deploy.examples.bank_day.extract import CALLS_FILE, calls_of_days
from deploy.examples.bank_day.options import SOURCE_DEFAULT
from deploy.examples.bank_day.seconds import midnight_s
from engine.forecasting.arrivals import ArrivalModel
from engine.kernels.sensing_columns import BUCKET_S, SLOTS, WEEKDAYS
from engine.sensing.history import adopt_history, begin_history
from engine.sensing.sensing import Sensing

WEEKS: Final = 8
GUESSED_RATIO: Final = 0.8
SMOOTHED_BUCKETS: Final = 2 * 3_600 // BUCKET_S
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Weeks:
    """
    The weeks before a day.

    Attributes
    ----------
    first
        The first day of them.
    calls
        Calls by day; days that the log lacks are not there.
    """

    first: date
    calls: dict[date, tuple[Call, ...]]

    @property
    def text(self) -> str:
        """What the forecast was made from, in words."""
        days = f"{len(self.calls)} days of the log, from {self.first} on"
        return f"what it learned from {days}"


GUESS_TEXT: Final = (
    "a planner's guess: the day's own counts, smoothed over two hours and made "
    f"{1 - GUESSED_RATIO:.0%} too low"
)


def weeks_before(day: date, source: Path | None) -> Weeks | None:
    """
    The weeks before a day, if the log is at hand: in a folder, by default beside the project.

    Raises
    ------
    BankDayError
        The folder was named and the log cannot be read from it.
    """
    if source is None and not (SOURCE_DEFAULT / CALLS_FILE).is_file():
        return None
    first = day - timedelta(weeks=WEEKS)
    try:
        calls = calls_of_days(source or SOURCE_DEFAULT, first, day)
    except BankDayError:
        if source is None:
            return None
        raise
    return Weeks(first, calls) if calls else None


def teach_weeks(sensing: Sensing, weeks: Weeks, now_ms: int) -> None:
    """Tell every queue its past, day by day up to now, as `headgate history` does."""
    counted = {day: _by_slot(calls) for day, calls in weeks.calls.items()}
    for name in TYPES:
        if not any(counts[name].any() for counts in counted.values()):
            continue
        draft = begin_history(sensing, name, now_ms, replaces=False)
        for day, counts in counted.items():
            begins_s = midnight_s(day)
            draft.add(begins_s, counts[name][: draft.running - begins_s // BUCKET_S])
        adopt_history(sensing, draft, draft.past())


def teach_guess(sensing: Sensing, day: BankDay) -> None:
    """Begin with the day's own counts, smoothed and too low."""
    counted = _by_slot(day.calls)
    rows, model = sensing.directory.rows, sensing.parts.model
    guessed = {rows.queue_row(name): counts for name, counts in counted.items()}
    for group, members in sensing.directory.groups():
        guessed[group] = np.sum([guessed[row] for row in members.tolist()], axis=0)
    # A queue that nobody calls all day is left to what comes.
    known = {row: counts for row, counts in guessed.items() if counts.any()}
    for row, counts in known.items():
        model.set_template(row, _weekly(model, row, day.day, counts))
    changed = np.array(list(known))
    model.lay_out_again(changed)
    sensing.expect_again(changed)


def _weekly(
    model: ArrivalModel, row: int, day: date, counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The guess as a template by weekday and slot of the row's days, of which it knows one."""
    bucket = midnight_s(day) // BUCKET_S
    calendars = model.calendars.alone(int(model.columns.profiles.calendar[row]), midnight_s(day))
    calendars.lay_out(0, bucket)
    laid_out = calendars.columns
    begin = bucket - int(laid_out.first_bucket[0])
    today = slice(begin, begin + SLOTS)
    is_open = laid_out.open_share[0, today] > 0.0
    weekdays, slots = laid_out.day[0, today] % WEEKDAYS, laid_out.slot[0, today]
    weekly = np.full((WEEKDAYS, SLOTS), -1.0)
    guess = GUESSED_RATIO * smoothed(counts.astype(np.float64), is_open)
    weekly[weekdays[is_open], slots[is_open]] = guess[is_open]
    return weekly


def smoothed(counts: NDArray[np.float64], is_open: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean over the open buckets within an hour to either side; 0 where it is closed."""
    window = np.ones(SMOOTHED_BUCKETS + 1)
    total = np.convolve(np.where(is_open, counts, 0.0), window, mode="same")
    among = np.convolve(is_open.astype(np.float64), window, mode="same")
    return np.where(is_open, total / np.maximum(among, 1.0), 0.0)


def _by_slot(calls: Iterable[Call]) -> dict[str, NDArray[np.int64]]:
    """Calls of each type by bucket of the day; past midnight belongs to the last."""
    counts = {name: np.zeros(SLOTS, np.int64) for name in TYPES}
    for call in calls:
        counts[call.type][min(call.joined_s, _DAY_S - 1) // BUCKET_S] += 1
    return counts
