"""
How often customers take what policies offer, by queue, channel and how long they had waited.

A Beta distribution for each: its prior, Beta(3.7, 6.3), is that of callbacks offered by a bank,
of which 37 % were taken (Hathaway, Emadi and Deshpande 2021), worth ten answers. What lapses before
an answer says nothing.
"""

import struct
from collections.abc import Mapping
from typing import Final

import orjson

from engine.encoding import kept_json
from engine.state.rows import RowDelta, RowTable

PRIOR_TAKEN: Final = 3.7
PRIOR_LEFT: Final = 6.3
# Waits up to which bands reach, milliseconds; the last has no end.
BANDS_MS: Final = (30_000, 60_000, 180_000)
# Answers that are remembered of a band: older ones fade.
_MEMORY: Final = 500.0
_RECORD: Final = struct.Struct("<q")

# Taken and left, by channel and band.
_Answers = dict[tuple[int, int], tuple[float, float]]


class AcceptanceRows:
    """Acceptance in the queues of one cell; it outlives restarts."""

    def __init__(self) -> None:
        self._answers: dict[str, _Answers] = {}
        self._rows: dict[str, int] = {}
        self._dirty: set[str] = set()
        # By queue; and a copy that other threads may keep, None once it is old.
        self._mean_of: dict[str, float] = {}
        self._means: Mapping[str, float] | None = None

    def learn(self, queue_id: str, channel: int, wait_ms: int, *, is_taken: bool) -> None:
        """Learn from an answer, or from silence, which leaves what was offered."""
        answers = self._answers.setdefault(queue_id, {})
        key = channel, band_of(wait_ms)
        taken, left = answers.get(key, (0.0, 0.0))
        fading = 1.0 - 1.0 / _MEMORY
        answers[key] = fading * taken + is_taken, fading * left + (not is_taken)
        self._rows.setdefault(queue_id, len(self._rows))
        self._dirty.add(queue_id)
        self._refresh(queue_id)

    def mean(self, queue_id: str, channel: int, wait_ms: int) -> float:
        """Probability that a contact which has waited so long takes what it is offered."""
        taken, left = self._answers.get(queue_id, {}).get((channel, band_of(wait_ms)), (0.0, 0.0))
        return _mean(taken, left)

    def means(self) -> Mapping[str, float]:
        """The same by queue, over channels and waits; queues without answers are left out."""
        if self._means is None:
            self._means = dict(self._mean_of)
        return self._means

    def mark_all(self) -> None:
        """Have the next group write everything."""
        self._dirty |= self._answers.keys()

    def take_deltas(self) -> list[RowDelta]:
        """Rows that changed since the last call."""
        if not self._dirty:
            return []
        dirty, self._dirty = self._dirty, set()
        return [self._delta(queue_id) for queue_id in sorted(dirty)]

    def restore(self, delta: RowDelta) -> None:
        """
        Take one row of the log.

        Raises
        ------
        ValueError, TypeError, KeyError
            The row does not say what answers say.
        """
        answers: _Answers = {}
        for channel, band, taken, left in orjson.loads(delta.payload or b""):
            if not (0 <= band <= len(BANDS_MS) and taken >= 0.0 and left >= 0.0):
                raise ValueError(f"band {band}, {taken} taken, {left} left")
            answers[int(channel), int(band)] = float(taken), float(left)
        self._answers[delta.external_id] = answers
        self._rows[delta.external_id] = delta.row
        self._refresh(delta.external_id)

    def _refresh(self, queue_id: str) -> None:
        taken, left = map(sum, zip(*self._answers[queue_id].values(), strict=True))
        self._mean_of[queue_id] = _mean(taken, left)
        self._means = None

    def _delta(self, queue_id: str) -> RowDelta:
        row = self._rows[queue_id]
        payload = [[*key, *answers] for key, answers in self._answers[queue_id].items()]
        return RowDelta(RowTable.ACCEPTANCE, row, queue_id, _RECORD.pack(row), kept_json(payload))


def band_of(wait_ms: int) -> int:
    """Band that a wait is in."""
    return sum(wait_ms >= until_ms for until_ms in BANDS_MS)


def _mean(taken: float, left: float) -> float:
    return (PRIOR_TAKEN + taken) / (PRIOR_TAKEN + PRIOR_LEFT + taken + left)
