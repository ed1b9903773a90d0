"""What a peer's simulation saw of each call, and the measures of exact cases from that."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.simulation.results import Estimate, ratio

_BATCHES: Final = 40
# Calls that come this early find a floor that is still too empty; so late, some have no end yet.
_WARM_UP_SHARE: Final = 0.05
_COOL_DOWN_SHARE: Final = 0.01

Floats = NDArray[np.float64]


class Outcome(IntEnum):
    """How a call ended."""

    ANSWERED = 0
    ABANDONED = 1
    BLOCKED = 2


class Call(NamedTuple):
    """
    One call.

    Attributes
    ----------
    kind
        Class or type, from 0.
    arrived, waited
        Minutes.
    """

    kind: int
    arrived: float
    waited: float
    outcome: int


# Simulates a case: its parameters, minutes and a seed to what became of the calls.
Model = Callable[[Mapping[str, object], float, int], Sequence[Call]]


@dataclass(frozen=True, slots=True)
class Parts:
    """
    Sums over a run's batches, by kind of call.

    Attributes
    ----------
    sums
        (batches, kinds, 5): answered, abandoned, blocked, waited, minutes waited.
    """

    sums: Floats

    @classmethod
    def of(cls, calls: Sequence[Call], minutes: float, kinds: int) -> "Parts":
        """Sum up a run of so many minutes."""
        kind, arrived, waited, outcome = np.array(calls).T
        begins, ends = _WARM_UP_SHARE * minutes, (1.0 - _COOL_DOWN_SHARE) * minutes
        inside = (arrived >= begins) & (arrived < ends)
        batch = (arrived - begins) / (ends - begins) * _BATCHES
        place = batch[inside].astype(int) * kinds + kind[inside].astype(int)
        columns = [outcome == code for code in Outcome]
        columns += [(waited > 0) & (outcome != Outcome.BLOCKED), waited]
        sums: list[Floats] = [
            np.bincount(place, column[inside], _BATCHES * kinds).astype(np.float64)
            for column in columns
        ]
        return cls(np.stack(sums, axis=-1).reshape(_BATCHES, kinds, len(columns)))

    def measured(self, name: str) -> Estimate | None:
        """A measure of an exact case by its name; None for one that is not known here."""
        found = re.fullmatch(r"(\w+?)(?:_(\d))?", name)
        assert found is not None
        kinds = slice(None) if found[2] is None else slice(int(found[2]), int(found[2]) + 1)
        answered, abandoned, blocked, waited, minutes = self.sums[:, kinds].sum(axis=1).T
        accepted = answered + abandoned
        shares = {
            "p_wait": (waited, accepted),
            "p_abandon": (abandoned, accepted),
            "p_block": (blocked, accepted + blocked),
            "wait": (minutes, accepted),
            "wait_all": (minutes, accepted),
        }
        return ratio(*shares[found[1]]) if found[1] in shares else None


def pooled(runs: Sequence[Parts]) -> Parts:
    """All batches of independent runs."""
    return Parts(np.concatenate([part.sums for part in runs]))


def z_of(estimate: Estimate, exact: float, exact_error: float) -> float:
    """Standard errors between an estimate and the exact value."""
    return (estimate.value - exact) / math.hypot(estimate.error, exact_error)
