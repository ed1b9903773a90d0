"""
Queues of other cells that policies here move contacts to, as their own cells tell of them.

A cell knows its own queues best: what comes over is the signals of the target, and its risk at some
more contacts a second, from which the share is bounded here. What is older than FRESH_MS counts as
nothing, and a policy moves nothing to where nothing is known.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.policy.actions import Target
from engine.policy.checked import Kind
from engine.policy.program import UNKNOWN
from engine.policy.vocabulary import Vocabulary

# Age up to which what another cell told counts; it is asked each second.
FRESH_MS: Final = 5_000
# More contacts a second at which the risk is told: from one in ten minutes to seven a second.
LADDER_PER_S: Final = (0.0, *(2.0**step / 600.0 for step in range(13)))

Value = int | float | str
Real = NDArray[np.float64]


class Reading(NamedTuple):
    """
    A queue as its own cell tells of it.

    Attributes
    ----------
    at_ms
        When it was read, by the clock of the cell that reads.
    signals
        By the names of `target.*`; those that are not known are left out.
    risks
        (rungs, horizons) at LADDER_PER_S more contacts a second, NaN where not known.
    moved_in_per_s
        Contacts that policies move there, which the risk has in it.
    """

    at_ms: int
    signals: Mapping[str, Value]
    risks: Real
    moved_in_per_s: float = 0.0

    def risk_at(self, more_per_s: float, horizon: int) -> float:
        """
        Risk with so many more contacts a second; less than none are none, NaN for not known.

        Between two rungs in proportion, and 1 above the last: nobody has said what is there.
        """
        if more_per_s > LADDER_PER_S[-1]:
            return 1.0
        rungs = np.maximum.accumulate(self.risks[:, horizon])
        return float(np.interp(more_per_s, LADDER_PER_S, rungs))


Readings = Mapping[Target, Reading]
NO_READINGS: Final[Readings] = MappingProxyType({})


def fresh(readings: Readings, target: Target, now_ms: int) -> Reading | None:
    """What another cell told of a queue, unless that was too long ago."""
    reading = readings.get(target)
    return reading if reading is not None and now_ms - reading.at_ms <= FRESH_MS else None


def coded(value: Value | None, kind: Kind, vocabulary: Vocabulary) -> float:
    """A signal as columns hold it; what is not known as they hold that."""
    if kind is Kind.STRING:
        return vocabulary.code(str(value)) if value is not None else UNKNOWN
    if value is None:
        return np.nan if kind is Kind.DOUBLE else UNKNOWN
    return float(value) if kind is Kind.DOUBLE else int(value)
