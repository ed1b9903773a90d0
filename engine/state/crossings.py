"""Crossings that no answer has come for, and what was said of those of other cells."""

import struct
from typing import Final, NamedTuple

import orjson

from engine.crossing import (
    ASKED_MAX,
    CROSSINGS_MAX,
    KEPT_MAX,
    KEPT_MS,
    NUMBERS_PER_MS,
    SENDERS_MAX,
    Crossing,
    CrossingAnswer,
    Sender,
)
from engine.encoding import kept_json
from engine.refusals import CommandRefused, Refusal, violation
from engine.state.free_rows import FreeRows
from engine.state.rows import RowDelta, RowTable

_RECORD: Final = struct.Struct("<q")
# Where the name of the numbers is kept.
_ORIGIN_ROW: Final = 0


class CrossingRows:
    """
    Contacts of one cell on their way to others.

    Attributes
    ----------
    origin
        Name of their numbers; "" before it has one.
    """

    def __init__(self) -> None:
        self.origin = ""
        self._open: dict[int, Crossing] = {}
        # Those whose contact is still here, by its id.
        self._number_of: dict[str, int] = {}
        self._last = 0
        # Rows of the open ones, those that others had, and which the open commit group must write.
        self._row_of: dict[int, int] = {}
        self._free = FreeRows()
        self._free.hold(_ORIGIN_ROW)
        self._dirty: dict[int, int | None] = {}

    def __bool__(self) -> bool:
        return bool(self._open)

    def __len__(self) -> int:
        return len(self._open)

    def name(self, origin: str) -> None:
        """Give the numbers a name, unless they have one."""
        if not self.origin:
            self.origin = origin
            self._dirty[_ORIGIN_ROW] = None

    def after(self, now_ms: int) -> None:
        """Have numbers begin above all that were given by a time."""
        self._last = max(self._last, NUMBERS_PER_MS * (now_ms + 1) - 1)

    def open(self) -> list[Crossing]:
        """All that are open, in the order they left."""
        return list(self._open.values())

    def find(self, number: int) -> Crossing | None:
        """An open one, None where there is none."""
        return self._open.get(number)

    def settled_below(self, cell: str) -> int:
        """Number below which no crossing to a cell is open."""
        return min(
            (number for number, item in self._open.items() if item.cell == cell),
            default=self._last + 1,
        )

    def begin(self, cell: str, queue_id: str, contact_id: str, now_ms: int) -> Crossing:
        """
        Add one.

        Raises
        ------
        CommandRefused
            LIMIT_REACHED.
        """
        if sum(item.cell == cell for item in self._open.values()) >= CROSSINGS_MAX:
            expected = f"a cell to which at most {CROSSINGS_MAX:,} contacts are on their way"
            raise CommandRefused(Refusal.LIMIT_REACHED, violation("cell", cell, expected))
        self._last = max(self._last + 1, NUMBERS_PER_MS * now_ms)
        self._row_of[self._last] = self._free.take()
        crossing = Crossing(self._last, cell, queue_id, contact_id, now_ms)
        self._place(crossing)
        return crossing

    def leave(self, contact_id: str, left: int) -> None:
        """Note why a contact has ended, if it is on its way."""
        number = self._number_of.get(contact_id)
        if number is not None:
            self._place(self._open[number]._replace(left=left))

    def settle(self, number: int) -> None:
        """Forget one that an answer came for."""
        crossing = self._open.pop(number)
        if not crossing.has_left:
            del self._number_of[crossing.contact_id]
        row = self._row_of.pop(number)
        self._free.give_back(row)
        self._dirty[row] = None

    def require_none(self, contact_id: str, field: str = "contact_id") -> None:
        """
        See that a contact is not on its way, so that it may be dealt with here.

        Raises
        ------
        CommandRefused
            ILLEGAL_TRANSITION.
        """
        number = self._number_of.get(contact_id)
        if number is not None:
            expected = f"a contact that is not on its way to cell {self._open[number].cell!r}"
            refused = violation(field, contact_id, expected)
            raise CommandRefused(Refusal.ILLEGAL_TRANSITION, refused)

    def mark_all(self) -> None:
        """Have the next group write every crossing."""
        self._dirty |= {row: number for number, row in self._row_of.items()}
        if self.origin:
            self._dirty[_ORIGIN_ROW] = None

    def take_deltas(self) -> list[RowDelta]:
        """Rows that changed since the last call."""
        if not self._dirty:
            return []
        dirty, self._dirty = self._dirty, {}
        return [self._delta(row, number) for row, number in sorted(dirty.items())]

    def restore(self, delta: RowDelta) -> None:
        """
        Take one row of the log.

        Raises
        ------
        ValueError, TypeError, KeyError
            The row does not say what a crossing says.
        """
        if delta.row == _ORIGIN_ROW:
            self.origin = str(orjson.loads(delta.payload or b""))
            return
        crossing = Crossing(*orjson.loads(delta.payload or b""))
        if not crossing.cell or not crossing.contact_id or crossing.number < 1:
            raise ValueError(f"cell {crossing.cell!r}, contact {crossing.contact_id!r}")
        self._free.hold(delta.row)
        self._row_of[crossing.number] = delta.row
        self._place(crossing)
        self._dirty = {}
        self._last = max(self._last, crossing.number)

    def _place(self, crossing: Crossing) -> None:
        self._open[crossing.number] = crossing
        if crossing.has_left:
            self._number_of.pop(crossing.contact_id, None)
        else:
            self._number_of[crossing.contact_id] = crossing.number
        self._dirty[self._row_of[crossing.number]] = crossing.number

    def _delta(self, row: int, number: int | None) -> RowDelta:
        if row == _ORIGIN_ROW:
            return RowDelta(RowTable.CROSSING, row, "", _RECORD.pack(0), kept_json(self.origin))
        crossing = self._open.get(number) if number is not None else None
        if crossing is None:
            return RowDelta(RowTable.CROSSING, row, "", None, None)
        record, payload = _RECORD.pack(crossing.number), kept_json(list(crossing))
        return RowDelta(RowTable.CROSSING, row, crossing.contact_id, record, payload)


class _Answer(NamedTuple):
    """What was said of a crossing, and the row it is kept in."""

    row: int
    answer: CrossingAnswer
    contact_id: str


class _Answers:
    """What was said to one sender, in the order it was said."""

    def __init__(self) -> None:
        # Nothing below it will be brought again, unless the sender's log loses what it has.
        self.settled_below = 0
        self.by_number: dict[int, _Answer] = {}


class ReceivedRows:
    """
    What one cell has said of the crossings of others: the same again, however often one is brought.

    Answers are kept until their sender has told that it will not ask again, and for an hour more.
    """

    def __init__(self) -> None:
        self._senders: dict[Sender, _Answers] = {}
        self._rows = FreeRows()
        # Rows the open commit group must write, with whom and what they are about; None for gone.
        self._dirty: dict[int, tuple[Sender, int] | None] = {}

    def require_room(self, sender: Sender, number: int, contact_id: str) -> None:
        """
        See that something may be said of a crossing.

        Raises
        ------
        CommandRefused
            LIMIT_REACHED where too many cells have sent, or one asks for too much at a time;
            CONTACT_EXISTS where the number was that of another contact.
        """
        answers = self._senders.get(sender)
        if answers is None:
            if len(self._senders) >= SENDERS_MAX:
                expected = f"one of the {SENDERS_MAX:,} cells that have sent contacts here"
                refused = violation("from_cell", sender.cell, expected)
                raise CommandRefused(Refusal.LIMIT_REACHED, refused)
            return
        said = answers.by_number.get(number)
        if said is not None and said.contact_id != contact_id:
            refused = violation("contact_id", contact_id, f"{said.contact_id!r}, of that number")
            raise CommandRefused(Refusal.CONTACT_EXISTS, refused)
        if said is None and self._open_of(answers) >= ASKED_MAX:
            expected = f"at most {ASKED_MAX:,} crossings that are not settled"
            refused = violation("settled_below", answers.settled_below, expected)
            raise CommandRefused(Refusal.LIMIT_REACHED, refused)

    def find(self, sender: Sender, number: int) -> CrossingAnswer | None:
        """What was said of a crossing, None for nothing yet."""
        answers = self._senders.get(sender)
        if answers is None:
            return None
        said = answers.by_number.get(number)
        if said is not None:
            return said.answer
        return CrossingAnswer.FORGOTTEN if number < answers.settled_below else None

    def keep(self, sender: Sender, number: int, answer: CrossingAnswer, contact_id: str) -> None:
        """Keep what is said of a crossing of which nothing was said yet."""
        answers = self._senders.setdefault(sender, _Answers())
        answers.by_number[number] = _Answer(self._rows.take(), answer, contact_id)
        self._dirty[answers.by_number[number].row] = sender, number

    def settle(self, sender: Sender, settled_below: int, now_ms: int) -> None:
        """Take note that nothing below a number will be asked for; forget what is old of it."""
        answers = self._senders.get(sender)
        if answers is None or settled_below <= answers.settled_below:
            return
        answers.settled_below = settled_below
        old = min(NUMBERS_PER_MS * (now_ms - KEPT_MS), settled_below)
        by_number = answers.by_number
        # The last one stays, for the bound that its row has.
        while len(by_number) > 1:
            number = next(iter(by_number))
            is_spare = number < settled_below and len(by_number) > KEPT_MAX
            if number >= old and not is_spare:
                break
            row = by_number.pop(number).row
            self._rows.give_back(row)
            self._dirty[row] = None
        last = next(reversed(by_number))
        self._dirty[by_number[last].row] = sender, last

    def mark_all(self) -> None:
        """Have the next group write everything."""
        for sender, answers in self._senders.items():
            for number, said in answers.by_number.items():
                self._dirty[said.row] = sender, number

    def take_deltas(self) -> list[RowDelta]:
        """Rows that changed since the last call."""
        if not self._dirty:
            return []
        dirty, self._dirty = self._dirty, {}
        return [self._delta(row, about) for row, about in sorted(dirty.items())]

    def restore(self, delta: RowDelta) -> None:
        """
        Take one row of the log.

        Raises
        ------
        ValueError, TypeError, KeyError
            The row does not say what an answer says.
        """
        origin, number, answer, contact_id, settled_below = orjson.loads(delta.payload or b"")
        answers = self._senders.setdefault(Sender(delta.external_id, origin), _Answers())
        answers.by_number[int(number)] = _Answer(delta.row, CrossingAnswer(answer), contact_id)
        answers.settled_below = max(answers.settled_below, int(settled_below))
        self._rows.hold(delta.row)

    def restored(self) -> None:
        """Put what was restored into the order in which it was said: that of the numbers."""
        for answers in self._senders.values():
            answers.by_number = dict(sorted(answers.by_number.items()))

    def _open_of(self, answers: _Answers) -> int:
        """Answers that may still be asked for."""
        if len(answers.by_number) < ASKED_MAX:
            return 0
        return sum(number >= answers.settled_below for number in answers.by_number)

    def _delta(self, row: int, about: tuple[Sender, int] | None) -> RowDelta:
        if about is None:
            return RowDelta(RowTable.RECEIVED, row, "", None, None)
        sender, number = about
        answers = self._senders[sender]
        said = answers.by_number[number]
        kept = (sender.origin, number, int(said.answer), said.contact_id, answers.settled_below)
        record, payload = _RECORD.pack(number), kept_json(list(kept))
        return RowDelta(RowTable.RECEIVED, row, sender.cell, record, payload)
