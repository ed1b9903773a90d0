"""Crossings that no answer has come for, and what was said of those of other cells."""

import struct
from typing import Final

import orjson

from engine.crossing import (
    CROSSINGS_MAX,
    NUMBERS_PER_MS,
    SENDERS_MAX,
    Crossing,
    CrossingAnswer,
)
from engine.encoding import kept_json
from engine.refusals import CommandRefused, Refusal, violation
from engine.state.free_rows import FreeRows
from engine.state.rows import RowDelta, RowTable

_RECORD: Final = struct.Struct("<q")


class CrossingRows:
    """Contacts of one cell on their way to others."""

    def __init__(self) -> None:
        self._open: dict[int, Crossing] = {}
        # Those whose contact is still here, by its id.
        self._number_of: dict[str, int] = {}
        self._last = 0
        # Rows of the open ones, those that others had, and which the open commit group must write.
        self._row_of: dict[int, int] = {}
        self._free = FreeRows()
        self._dirty: dict[int, int | None] = {}

    def __bool__(self) -> bool:
        return bool(self._open)

    def __len__(self) -> int:
        return len(self._open)

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
        if len(self._open) >= CROSSINGS_MAX:
            expected = f"at most {CROSSINGS_MAX:,} contacts on their way to other cells"
            raise CommandRefused(Refusal.LIMIT_REACHED, violation("cell", cell, expected))
        self._last = max(self._last + 1, NUMBERS_PER_MS * now_ms)
        self._row_of[self._last] = self._free.take()
        crossing = Crossing(self._last, cell, queue_id, contact_id, now_ms)
        self._place(crossing)
        return crossing

    def leave(self, contact_id: str) -> None:
        """Note that a contact's customer has left, if it is on its way."""
        number = self._number_of.get(contact_id)
        if number is not None:
            self._place(self._open[number]._replace(has_left=True))

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
        crossing = self._open.get(number) if number is not None else None
        if crossing is None:
            return RowDelta(RowTable.CROSSING, row, "", None, None)
        record, payload = _RECORD.pack(crossing.number), kept_json(list(crossing))
        return RowDelta(RowTable.CROSSING, row, crossing.contact_id, record, payload)


class _Sender:
    """What was said to one cell."""

    def __init__(self, row: int) -> None:
        self.row = row
        # Nothing below it will be brought again.
        self.settled_below = 0
        self.answers: dict[int, CrossingAnswer] = {}


class ReceivedRows:
    """
    What one cell has said of the crossings of others: the same again, however often one is brought.

    An answer is kept until its sender has told that it will not ask again.
    """

    def __init__(self) -> None:
        self._senders: dict[str, _Sender] = {}
        self._dirty: set[str] = set()

    def require_room(self, cell: str) -> None:
        """See that one more cell may send, if it is one more; raises CommandRefused."""
        if cell not in self._senders and len(self._senders) >= SENDERS_MAX:
            expected = f"one of the {SENDERS_MAX:,} cells that have sent contacts here"
            raise CommandRefused(Refusal.LIMIT_REACHED, violation("from_cell", cell, expected))

    def find(self, cell: str, number: int) -> CrossingAnswer | None:
        """What was said of a crossing, None for nothing yet."""
        sender = self._senders.get(cell)
        if sender is None:
            return None
        if number < sender.settled_below:
            # An echo of one that its sender has settled long ago: it does not ask.
            return CrossingAnswer.REFUSED
        return sender.answers.get(number)

    def keep(self, cell: str, number: int, answer: CrossingAnswer, settled_below: int) -> None:
        """Keep what is said of a crossing, and forget what nobody will ask for again."""
        sender = self._senders.get(cell)
        if sender is None:
            sender = self._senders[cell] = _Sender(len(self._senders))
        sender.answers[number] = answer
        if settled_below > sender.settled_below:
            sender.settled_below = settled_below
            kept = sender.answers.items()
            sender.answers = {item: said for item, said in kept if item >= settled_below}
        self._dirty.add(cell)

    def mark_all(self) -> None:
        """Have the next group write everything."""
        self._dirty |= self._senders.keys()

    def take_deltas(self) -> list[RowDelta]:
        """Rows that changed since the last call."""
        if not self._dirty:
            return []
        dirty, self._dirty = self._dirty, set()
        return [self._delta(cell, self._senders[cell]) for cell in sorted(dirty)]

    def restore(self, delta: RowDelta) -> None:
        """
        Take one row of the log.

        Raises
        ------
        ValueError, TypeError, KeyError
            The row does not say what answers say.
        """
        settled_below, answers = orjson.loads(delta.payload or b"")
        sender = self._senders[delta.external_id] = _Sender(delta.row)
        sender.settled_below = int(settled_below)
        sender.answers = {int(number): CrossingAnswer(said) for number, said in answers}

    def _delta(self, cell: str, sender: _Sender) -> RowDelta:
        payload = kept_json([sender.settled_below, list(sender.answers.items())])
        return RowDelta(RowTable.RECEIVED, sender.row, cell, _RECORD.pack(sender.row), payload)
