"""Activations: which policies have acted on which queues, since when, and what came of it."""

import struct
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final

import orjson

from engine.encoding import kept_json
from engine.policies import PolicyStage
from engine.state.rows import RowDelta, RowTable
from engine.steering import (
    ACTIVATIONS_KEPT,
    NO_FIGURES,
    ActivationCause,
    Approval,
    Counted,
    PhaseFigures,
    Shift,
    Subject,
    activation_name,
    activation_number,
)

_RECORD: Final = struct.Struct("<q")


@dataclass(slots=True)
class Activation:
    """
    A period in which a version of a policy acts, or acted, on a queue.

    Attributes
    ----------
    number
        Counts from 1.
    began_ms, ended_ms
        Milliseconds since the Unix epoch; ended_ms 0 while it lasts.
    signals, end_signals
        What its conditions read as it began and ended, in words.
    approved_by, approval_reason
        Who said that it may act, or may not, and why.
    counts
        By what is counted.
    before, during, after
        Of the quarter of an hour before it, of itself once it has ended, and of the quarter after.
    standing
        The queue's totals when the running phase began.
    """

    number: int
    subject: Subject
    stage: PolicyStage
    began_ms: int
    began_by: ActivationCause
    approval: Approval = Approval.NOT_NEEDED
    signals: tuple[tuple[str, str], ...] = ()
    ended_ms: int = 0
    ended_by: ActivationCause = ActivationCause.NONE
    end_signals: tuple[tuple[str, str], ...] = ()
    approved_by: str = ""
    approval_reason: str = ""
    counts: Counter[Counted] = field(default_factory=Counter)
    before: PhaseFigures = NO_FIGURES
    during: PhaseFigures | None = None
    after: PhaseFigures | None = None
    standing: PhaseFigures = NO_FIGURES

    @property
    def name(self) -> str:
        """Its id on the wire."""
        return activation_name(self.number)

    @property
    def may_act(self) -> bool:
        """Whether contacts may be touched."""
        is_said = self.approval in (Approval.NOT_NEEDED, Approval.APPROVED)
        return is_said and self.stage is not PolicyStage.SHADOW and not self.ended_ms


class ActivationRows:
    """
    The activations of one cell: all that last, and the last thousand that ended.

    Attributes
    ----------
    totals
        What was counted since the process started, by policy.
    """

    def __init__(self) -> None:
        self._kept: dict[int, Activation] = {}
        self._open: dict[Subject, Activation] = {}
        # Ended ones, the oldest first.
        self._ended: list[int] = []
        self._last = 0
        self._dirty: set[int] = set()
        self.totals: Counter[tuple[str, Counted]] = Counter()

    def find(self, number: int) -> Activation | None:
        """An activation by number."""
        return self._kept.get(number)

    def open_of(self, subject: Subject) -> Activation | None:
        """The activation that lasts."""
        return self._open.get(subject)

    def open(self) -> Iterable[Activation]:
        """Those that last, the oldest first."""
        return self._open.values()

    def all(self) -> list[Activation]:
        """All that are kept, the latest first."""
        return [self._kept[number] for number in sorted(self._kept, reverse=True)]

    def unclosed(self, ended_before_ms: int) -> list[Activation]:
        """Those that ended before a moment, and of which it is not known what came after."""
        ended = (self._kept[number] for number in reversed(self._ended))
        recent = takewhile(lambda activation: activation.after is None, ended)
        return [activation for activation in recent if activation.ended_ms <= ended_before_ms]

    def begin(self, shift: Shift, now_ms: int, standing: PhaseFigures) -> Activation:
        """Begin an activation."""
        self._last += 1
        activation = Activation(
            self._last,
            shift.subject,
            shift.stage,
            now_ms,
            shift.cause,
            Approval.PENDING if shift.needs_approval else Approval.NOT_NEEDED,
            shift.signals,
            before=shift.before,
            standing=standing,
        )
        self._kept[activation.number] = self._open[shift.subject] = activation
        self._dirty.add(activation.number)
        return activation

    def end(
        self, activation: Activation, shift: Shift, now_ms: int, standing: PhaseFigures
    ) -> None:
        """End an activation that lasts."""
        del self._open[activation.subject]
        activation.ended_ms, activation.ended_by = now_ms, shift.cause
        activation.end_signals = shift.signals
        activation.during = standing.less(activation.standing)
        activation.standing = standing
        self._ended.append(activation.number)
        self._dirty.add(activation.number)
        if len(self._ended) > ACTIVATIONS_KEPT:
            oldest = self._ended.pop(0)
            del self._kept[oldest]
            self._dirty.add(oldest)

    def close(self, activation: Activation, standing: PhaseFigures) -> None:
        """Keep what came in the quarter of an hour after its end."""
        activation.after = standing.less(activation.standing)
        self._dirty.add(activation.number)

    def approve(self, activation: Activation, approval: Approval, said: tuple[str, str]) -> None:
        """Keep what somebody said of it, and who and why."""
        activation.approval = approval
        activation.approved_by, activation.approval_reason = said
        self._dirty.add(activation.number)

    def count(self, number: int, what: Counted) -> None:
        """Count something of an activation; one that is no longer kept counts for nothing."""
        activation = self._kept.get(number)
        if activation is not None:
            activation.counts[what] += 1
            self.totals[activation.subject.policy, what] += 1
            self._dirty.add(number)

    def count_named(self, name: str, what: Counted) -> None:
        """The same by the id on the wire; one that is not an id counts for nothing."""
        number = activation_number(name)
        if number is not None:
            self.count(number, what)

    def mark_all(self) -> None:
        """Have the next group write every activation."""
        self._dirty |= self._kept.keys()

    def take_deltas(self) -> list[RowDelta]:
        """Rows that changed since the last call."""
        if not self._dirty:
            return []
        dirty, self._dirty = self._dirty, set()
        return [self._delta(number) for number in sorted(dirty)]

    def restore(self, delta: RowDelta) -> None:
        """
        Take one row of the log; rows come in any order.

        Raises
        ------
        ValueError, TypeError, KeyError
            The row does not say what an activation says.
        """
        activation = _activation_of(delta.row, orjson.loads(delta.payload or b""))
        self._kept[activation.number] = activation
        if activation.ended_ms:
            self._ended.append(activation.number)
            self._ended.sort(key=lambda number: (self._kept[number].ended_ms, number))
        else:
            self._open[activation.subject] = activation
        self._last = max(self._last, activation.number)

    def _delta(self, number: int) -> RowDelta:
        activation = self._kept.get(number)
        name = activation_name(number)
        if activation is None:
            return RowDelta(RowTable.ACTIVATION, number, name, None, None)
        record = _RECORD.pack(number)
        payload = kept_json(_payload_of(activation))
        return RowDelta(RowTable.ACTIVATION, number, name, record, payload)


_FIGURES: Final = ("before", "during", "after", "standing")
_TEXTS: Final = ("approved_by", "approval_reason")
_SIGNALS: Final = ("signals", "end_signals")
_MOMENTS: Final = ("began_ms", "ended_ms")


def _payload_of(activation: Activation) -> dict[str, object]:
    fields: dict[str, object] = {
        name: getattr(activation, name) for name in (*_TEXTS, *_SIGNALS, *_MOMENTS)
    }
    for name in _FIGURES:
        figures = getattr(activation, name)
        fields[name] = None if figures is None else list(figures)
    return fields | {
        "subject": list(activation.subject),
        "stage": int(activation.stage),
        "began_by": int(activation.began_by),
        "ended_by": int(activation.ended_by),
        "approval": int(activation.approval),
        "counts": {str(int(what)): count for what, count in activation.counts.items()},
    }


def _activation_of(number: int, fields: dict[str, object]) -> Activation:
    named = {name: _figures(fields[name]) for name in _FIGURES}
    counts = fields["counts"]
    subject = fields["subject"]
    assert isinstance(counts, dict)
    assert isinstance(subject, list)
    return Activation(
        number,
        Subject(*subject),
        PolicyStage(_whole(fields["stage"])),
        _whole(fields["began_ms"]),
        ActivationCause(_whole(fields["began_by"])),
        Approval(_whole(fields["approval"])),
        _pairs(fields["signals"]),
        _whole(fields["ended_ms"]),
        ActivationCause(_whole(fields["ended_by"])),
        _pairs(fields["end_signals"]),
        str(fields["approved_by"]),
        str(fields["approval_reason"]),
        Counter({Counted(int(what)): int(count) for what, count in counts.items()}),
        named["before"] or NO_FIGURES,
        named["during"],
        named["after"],
        named["standing"] or NO_FIGURES,
    )


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise ValueError(f"expected a whole number, got {value!r}")
    return value


def _figures(value: object) -> PhaseFigures | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise ValueError(f"expected figures, got {value!r}")
    return PhaseFigures(*map(_whole, value))


def _pairs(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, list):
        raise ValueError(f"expected pairs, got {value!r}")
    return tuple((str(name), str(text)) for name, text in value)
