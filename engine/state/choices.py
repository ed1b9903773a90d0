"""Which contacts have a choice open or are diverted, and when the next of them is due."""

import heapq
from collections import Counter
from collections.abc import Mapping
from typing import Final

from engine.choices import (
    DIVERTING,
    NOT_STEERED,
    Choice,
    Diversion,
    DiversionOutcome,
    OpenChoice,
    Option,
    OptionKind,
    Steered,
)
from engine.lifecycle import Channel
from engine.limits import NEVER_MS

# Deadlines that are no more are thrown away when there are so many more than those that are.
_STALE_MAX: Final = 1_024

# As JSON has it: an open choice, a diversion, hops, the contact it continues, returns, policies,
# the cell of origin.
EncodedSteered = tuple[
    list[object] | None, list[object] | None, int, str, int, tuple[str, ...], *tuple[str, ...]
]


class ChoiceRows:
    """
    Contacts that met a policy, by row. What was offered and accepted is in their payload.

    Attributes
    ----------
    next_ms
        When the first choice or diversion is due, milliseconds since the Unix epoch; NEVER_MS for
        never.
    """

    def __init__(self) -> None:
        self._open: set[int] = set()
        self._due_ms: dict[int, int] = {}
        self._hops: dict[int, int] = {}
        # Queue that each diverted contact is on its way to; how many to each; and a copy of that
        # which other threads may keep, None once it is old.
        self._targets: dict[int, str] = {}
        self._arriving: Counter[str] = Counter()
        self._told: Mapping[str, int] | None = None
        # Contacts moved to each queue since the process started; likewise.
        self._moved: Counter[str] = Counter()
        self._moved_told: Mapping[str, int] | None = None
        # Deadlines and rows, some of which are no more.
        self._heap: list[tuple[int, int]] = []
        self.next_ms = NEVER_MS

    def __bool__(self) -> bool:
        """Whether any contact has a choice open or is diverted."""
        return bool(self._due_ms)

    def is_open(self, row: int) -> bool:
        """Whether a contact has a choice open."""
        return row in self._open

    def on_their_way(self) -> Mapping[str, int]:
        """Diverted contacts by the queue they are on their way to."""
        if self._told is None:
            self._told = dict(self._arriving)
        return self._told

    def count_move(self, queue_id: str) -> None:
        """Count a contact that a policy, or its customer by one, moved to a queue."""
        self._moved[queue_id] += 1
        self._moved_told = None

    def moved_to(self) -> Mapping[str, int]:
        """Contacts moved to each queue since the process started, without having come anew."""
        if self._moved_told is None:
            self._moved_told = dict(self._moved)
        return self._moved_told

    def hops(self, row: int) -> int:
        """Moves that a contact accepted."""
        return self._hops.get(row, 0)

    def keep(self, row: int, steered: Steered, due_ms: int) -> None:
        """Note what stands in a contact's payload, and when that is due; NEVER_MS for never."""
        if steered.choice is not None:
            self._open.add(row)
        else:
            self._open.discard(row)
        is_away = steered.diversion is not None and steered.diversion.kind in DIVERTING
        self._arrives(row)
        if is_away and due_ms < NEVER_MS:
            assert steered.diversion is not None
            self._send(row, steered.diversion.queue_id)
        if steered.hops:
            self._hops[row] = steered.hops
        else:
            self._hops.pop(row, None)
        if due_ms >= NEVER_MS:
            self._due_ms.pop(row, None)
        else:
            self._due_ms[row] = due_ms
            heapq.heappush(self._heap, (due_ms, row))
        self._refresh()

    def close(self, row: int) -> None:
        """Forget what a contact has open, for it is over; its hops stay."""
        if row in self._due_ms:
            self._open.discard(row)
            self._arrives(row)
            del self._due_ms[row]
            self._refresh()

    def drop(self, row: int) -> None:
        """Forget a row that is given to a new contact."""
        self.close(row)
        self._hops.pop(row, None)

    def due(self, now_ms: int, most: int) -> list[int]:
        """Rows that are due by now, the earliest first, of one moment by row; at most so many."""
        rows: list[int] = []
        while self.next_ms <= now_ms and len(rows) < most:
            _, row = heapq.heappop(self._heap)
            del self._due_ms[row]
            rows.append(row)
            self._refresh()
        return rows

    def _send(self, row: int, queue_id: str) -> None:
        self._targets[row] = queue_id
        self._arriving[queue_id] += 1
        self._told = None

    def _arrives(self, row: int) -> None:
        """A contact is on its way no more, if it was."""
        queue_id = self._targets.pop(row, None)
        if queue_id is None:
            return
        self._arriving[queue_id] -= 1
        if not self._arriving[queue_id]:
            del self._arriving[queue_id]
        self._told = None

    def _refresh(self) -> None:
        heap = self._heap
        if len(heap) > 2 * len(self._due_ms) + _STALE_MAX:
            heap[:] = sorted((due_ms, row) for row, due_ms in self._due_ms.items())
        while heap and self._due_ms.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        self.next_ms = heap[0][0] if heap else NEVER_MS


def encoded(steered: Steered) -> EncodedSteered:
    """What policies made of a contact in types that JSON has."""
    choice, diversion, hops, continues, returns, policies, from_cell = steered
    kept = (
        None if choice is None else [*_fields(choice.choice), choice.until_ms],
        None if diversion is None else _kept(diversion),
        hops,
        continues,
        returns,
        policies,
    )
    # The release before reads what has nothing of other cells.
    return (*kept, from_cell) if from_cell else kept


def _kept(diversion: Diversion) -> list[object]:
    *fields, cell = diversion
    return [*fields, cell] if cell else fields


def _fields(choice: Choice) -> list[object]:
    """Fields of a choice, its options as lists: JSON knows no named tuples."""
    return list(choice._replace(options=tuple(list(item) for item in choice.options)))  # type: ignore[misc]


def decoded(kept: EncodedSteered) -> Steered:
    """What policies made of a contact from what JSON gave; older versions wrote fewer parts."""
    choice, diversion, hops, continues, returns, *more = kept
    policies: tuple[str, ...] = tuple(more[0]) if more else ()
    from_cell = "".join(map(str, more[1:]))
    steered = Steered(
        _choice(choice),
        _diversion(diversion),
        hops,
        continues,
        returns,
        policies,
        from_cell,
    )
    return NOT_STEERED if steered == NOT_STEERED else steered


def _choice(kept: list[object] | None) -> OpenChoice | None:
    if kept is None:
        return None
    *fields, until_ms = kept
    choice = Choice(*fields)  # type: ignore[arg-type]
    options = tuple(_option(*item) for item in choice.options)
    return OpenChoice(choice._replace(options=options), until_ms)  # type: ignore[arg-type]


def _option(kind: int, queue_id: str, channel: int | None, *more: int) -> Option:
    by = None if channel is None else Channel(channel)
    return Option(OptionKind(kind), queue_id, by, *more)  # type: ignore[arg-type]


def _diversion(kept: list[object] | None) -> Diversion | None:
    if kept is None:
        return None
    read = Diversion(*kept)  # type: ignore[arg-type]
    return read._replace(
        kind=OptionKind(read.kind),
        channel=Channel(read.channel),
        from_channel=Channel(read.from_channel),
        outcome=DiversionOutcome(read.outcome) if read.outcome else 0,
    )
