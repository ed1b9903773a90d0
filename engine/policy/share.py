"""
What share of contacts a policy acts on: fixed, ramped, or just enough; moved slowly, and bounded.

A ramp is Envoy's scaled trigger: 0 up to `from`, 1 from `to` on, in proportion between. Just enough
is the least share with which the queue's predicted risk stays at its bound; predictions come in as
a function of shares, which is the closure of `engine.forecasting.breach` with fewer arrivals. The
target's own risk bounds what may go there in the same way.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.kernels import policy_steps as kernels
from engine.kernels.policy_steps import Shares, TriggerPairs
from engine.policy.compiled import CompiledRelief

# Halvings of the range in which a share is sought: to within 1/128.
STEPS: Final = 7
# What moves by itself moves slowly where nothing is said: 0.1 in ten seconds.
SLEW_PER_S: Final = 0.01

Real = NDArray[np.float64]
# Risks, 0 to 1, that shares lead to; both of one shape, NaN where it is not known.
RiskAt = Callable[[Real], Real]


def ramp(value: Real, low: float, high: float) -> Real:
    """
    Share of each value between `low` and `high`, `low` < `high`; NaN, which is not known, gives 0.
    """
    found = np.clip((value - low) / (high - low), 0.0, 1.0)
    return np.where(np.isnan(found), 0.0, found)


def just_enough(risk_at: RiskAt, risk_max: Real) -> Real:
    """
    Least shares with which risks are at most `risk_max`; 1 where no share is enough.

    Risks must not rise with the share. The answer is enough, and at most 1/128 more than the least.
    Where a risk is not known it is 0: nobody is moved on a guess.
    """
    low, high = np.zeros_like(risk_max), np.ones_like(risk_max)
    at_none = risk_at(low)
    for _ in range(STEPS):
        middle = 0.5 * (low + high)
        is_enough = risk_at(middle) <= risk_max
        high = np.where(is_enough, middle, high)
        low = np.where(is_enough, low, middle)
    return np.where((at_none <= risk_max) | np.isnan(at_none), 0.0, high)


def within_budget(target_risk_at: RiskAt, risk_max: Real, share: Real) -> Real:
    """
    Greatest shares up to `share` with which the target's risk stays below `risk_max`.

    Risks must not fall with the share. At most 1/128 of `share` less than the greatest; 0 where the
    target is at its bound already, or its risk is not known.
    """
    at_none, at_all = target_risk_at(np.zeros_like(share)), target_risk_at(share)
    low, high = np.zeros_like(share), share.copy()
    for _ in range(STEPS):
        middle = 0.5 * (low + high)
        is_below = target_risk_at(middle) < risk_max
        low = np.where(is_below, middle, low)
        high = np.where(is_below, high, middle)
    found = np.where(at_all < risk_max, share, low)
    return np.where(at_none < risk_max, found, 0.0)


class PolicyShares:
    """
    Shares of all pairs, moved once a second.

    Attributes
    ----------
    columns
        Set `wanted` before `move`; `share` is what is in force.

    Raises
    ------
    ValueError
        A pair is of a queue beyond `queues`.
    """

    def __init__(
        self, policies: Sequence[CompiledRelief], pairs: TriggerPairs, queues: int
    ) -> None:
        if int(pairs.queue.max(initial=-1)) >= queues:
            raise ValueError(f"queues: expected more than {pairs.queue.max()}, got {queues}")
        specs = [policies[policy].policy.spec for policy in pairs.policy.tolist()]
        count = len(specs)
        slews = [_slew(spec.share.slew_per_s, spec.share.fixed) for spec in specs]
        self.columns = Shares(
            share=np.zeros(count),
            wanted=np.array([spec.share.fixed or 0.0 for spec in specs], np.float64),
            share_max=np.array([spec.guards.share_max for spec in specs], np.float64),
            slew_per_s=np.array(slews, np.float64),
            taken=np.zeros(queues),
        )

    def move(self, pairs: TriggerPairs, passed_s: float) -> Real:
        """
        Move shares by some seconds, >= 0; returns those in force, (n_pairs,).

        Raises
        ------
        ValueError
            A share that is wanted is NaN or not 0 to 1, or time went back; nothing changes.
        """
        wanted = self.columns.wanted
        if not ((wanted >= 0.0) & (wanted <= 1.0)).all() or not passed_s >= 0.0:
            raise ValueError("shares: expected 0 to 1 throughout, and seconds >= 0")
        kernels.move_shares(pairs, self.columns, passed_s)
        return self.columns.share


def _slew(said: float | None, fixed: float | None) -> float:
    if said is not None:
        return said
    return SLEW_PER_S if fixed is None else math.inf
