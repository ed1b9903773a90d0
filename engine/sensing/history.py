"""
A queue's past, told part by part: checked as it comes, learned from apart, taken over at once.

    begin_history → draft    in the sensing thread; what the queue goes by
    draft.add …              anywhere
    past = draft.past()      past.advance … up to draft.running, anywhere
    adopt_history            in the sensing thread; up to then nothing has changed
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.definitions import Hours
from engine.forecasting.calendar import CalendarRows
from engine.forecasting.history import UNKNOWN, Counts, Past, learn_group
from engine.kernels.sensing_columns import BUCKET_S, HORIZON
from engine.refusals import CommandRefused, Refusal, violation
from engine.sensing.rows import Key
from engine.sensing.sensing import Sensing

PART_STEPS_MAX: Final = 2_016
CONTACTS_MAX: Final = 1_000_000
DAYS_MAX: Final = 1_100
_DAY_S: Final = 86_400


@dataclass(slots=True)
class HistoryDraft:
    """
    What was told of a queue's past so far.

    Attributes
    ----------
    queue_id, replaces
        Whose, and whether what the queue has learned itself is to be forgotten.
    hours, calendars
        What the queue went by when this began.
    running
        Bucket that ran then: only those before it are the past.
    """

    queue_id: str
    replaces: bool
    hours: Hours | None
    calendars: CalendarRows
    running: int
    _parts: list[Counts] = field(default_factory=list)

    def add(self, begins_s: int, contacts: NDArray[np.int64]) -> None:
        """
        Add the next part; what lies between parts is not known.

        Parameters
        ----------
        contacts
            (n,) contacts by bucket, -1 = not known.

        Raises
        ------
        CommandRefused
            It is not on a bucket, not in order, too long, too old, not over yet, or holds what
            cannot be a count; nothing is added.
        """
        first = self._checked_first(begins_s)
        if len(contacts) > PART_STEPS_MAX:
            raise _invalid("contacts", f"{len(contacts)} steps", f"at most {PART_STEPS_MAX:,}")
        wrong = np.flatnonzero((contacts < UNKNOWN) | (contacts > CONTACTS_MAX))
        if len(wrong):
            place = int(wrong[0])
            expected = f"0 to {CONTACTS_MAX:,}, or {UNKNOWN} for not known"
            raise _invalid(f"contacts[{place}]", int(contacts[place]), expected)
        if first + len(contacts) > self.running:
            ends_s = (first + len(contacts)) * BUCKET_S
            raise _invalid(
                "contacts", f"steps up to {ends_s}", f"none that ends after {self.running_s}"
            )
        if len(contacts):
            self._parts.append(Counts(first, contacts))

    @property
    def running_s(self) -> int:
        """Second at which the running bucket began."""
        return self.running * BUCKET_S

    @property
    def steps(self) -> int:
        """Buckets that are known."""
        return sum(int((part.contacts >= 0).sum()) for part in self._parts)

    def counts(self) -> Counts:
        """
        All parts in one.

        Raises
        ------
        CommandRefused
            No contact is in them.
        """
        if not any((part.contacts > 0).any() for part in self._parts):
            raise _invalid("contacts", "no contact in any step", "some to learn from")
        first, last = self._parts[0].first, self._parts[-1]
        whole = np.full(last.first + len(last.contacts) - first, UNKNOWN, np.int64)
        for part in self._parts:
            begin = part.first - first
            whole[begin : begin + len(part.contacts)] = part.contacts
        return Counts(first, whole)

    def past(self) -> Past:
        """
        What learns from it.

        Raises
        ------
        CommandRefused
            As `counts`.
        """
        return Past(self.calendars, self.counts())

    def _checked_first(self, begins_s: int) -> int:
        if begins_s % BUCKET_S:
            raise _invalid("begins_at_s", begins_s, f"a multiple of {BUCKET_S}")
        oldest_s = self.running_s - DAYS_MAX * _DAY_S
        if not (oldest_s <= begins_s < self.running_s):
            expected = f"{oldest_s} to {self.running_s - BUCKET_S}, the last {DAYS_MAX:,} days"
            raise _invalid("begins_at_s", begins_s, expected)
        if self._parts:
            before = self._parts[-1]
            least_s = (before.first + len(before.contacts)) * BUCKET_S
            if begins_s < least_s:
                expected = f"at least {least_s}, where the part before ends"
                raise _invalid("begins_at_s", begins_s, expected)
        return begins_s // BUCKET_S


def begin_history(sensing: Sensing, queue_id: str, now_ms: int, *, replaces: bool) -> HistoryDraft:
    """
    Begin to take a queue's past in.

    Raises
    ------
    CommandRefused
        The queue is not known, or has learned from days and those are not to be replaced.
    """
    model = sensing.parts.model
    if model.bucket < 0:
        # Before the first second: what is the past must be known.
        sensing.advance(now_ms)
    row = _row_of(sensing, queue_id, replaces=replaces)
    calendars = model.calendars.alone(int(model.columns.profiles.calendar[row]), now_ms // 1_000)
    hours = sensing.directory.rows.profiles[row].hours
    return HistoryDraft(queue_id, replaces, hours, calendars, model.bucket)


def adopt_history(sensing: Sensing, draft: HistoryDraft, past: Past) -> int:
    """
    Have a queue know its past; returns the days learned from.

    Its group learns the sum of its members, once all of them have learned.

    Raises
    ------
    CommandRefused
        The queue is no longer what it was when this began, or no day could be learned from; nothing
        has changed.
    """
    row = _row_of(sensing, draft.queue_id, replaces=draft.replaces)
    profile = sensing.directory.rows.profiles[row]
    if profile.hours != draft.hours:
        expected = "the hours it had when this began; send the history again"
        raise CommandRefused(Refusal.ETAG_MISMATCH, violation("queue_id", draft.queue_id, expected))
    model = sensing.parts.model
    past.advance(model.bucket, max(model.bucket - past.model.bucket, 0))
    if past.days == 0:
        expected = "a day with contacts of which more than half is known, within the queue's hours"
        raise _invalid("contacts", "no such day", expected)
    model.adopt(row, past.model)
    changed = [row]
    group = sensing.directory.rows.row_of(Key(profile.group, is_group=True))
    if group >= 0 and learn_group(model, group, sensing.directory.rows.members(group)):
        changed.append(group)
    sensing.expect_again(np.array(changed))
    _show_recent(sensing, row, draft.counts())
    return past.days


def _show_recent(sensing: Sensing, row: int, counts: Counts) -> None:
    """Let the last hours of a history be seen as what came lately."""
    first = max(counts.first, sensing.parts.model.bucket - HORIZON)
    for place in range(first - counts.first, len(counts.contacts)):
        if counts.contacts[place] >= 0:
            sensing.parts.recent.put(row, counts.first + place, int(counts.contacts[place]))


def _row_of(sensing: Sensing, queue_id: str, *, replaces: bool) -> int:
    """Row of a queue that may learn a history."""
    row = sensing.directory.rows.queue_row(queue_id)
    if row < 0:
        expected = "the id of a queue that exists"
        raise CommandRefused(Refusal.UNKNOWN_QUEUE, violation("queue_id", queue_id, expected))
    days = int(sensing.parts.model.columns.profiles.days[row])
    if days and not replaces:
        expected = (
            f"a queue that has learned nothing yet; this one has learned from {days} days, which "
            "`replace` would forget"
        )
        raise CommandRefused(Refusal.HISTORY_KNOWN, violation("queue_id", queue_id, expected))
    return row


def _invalid(name: str, value: object, expected: str) -> CommandRefused:
    return CommandRefused(Refusal.INVALID_FIELD, violation(name, value, expected))
