"""What share each policy wants: fixed, ramped or just enough, within what its target can bear."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.deciding.moment import Moment
from engine.kernels.policy_steps import TriggerPairs
from engine.policy.compiled import CompiledRelief
from engine.policy.share import just_enough, ramp, within_budget
from engine.policy.signals import RISK_HORIZONS

Real = NDArray[np.float64]


def wanted_shares(
    policies: Sequence[CompiledRelief],
    pairs: TriggerPairs,
    measures: Real,
    moment: Moment,
    in_force: Real,
) -> Real:
    """
    (n_pairs,) shares wanted of each pair, 0 where it is off.

    Parameters
    ----------
    measures
        (n_ramps, n_queues) values of ramps, in the order of policies that have one.
    in_force
        (n_pairs,) shares in force.
    """
    wanted = np.zeros(len(pairs.policy))
    place = 0
    for policy, compiled in enumerate(policies):
        spec = compiled.policy.spec
        mine = np.flatnonzero((pairs.policy == policy) & (pairs.is_on == 1))
        row = place
        place += compiled.ramp is not None
        if not len(mine):
            continue
        queues = pairs.queue[mine]
        if spec.share.fixed is not None:
            wanted[mine] = spec.share.fixed
        elif spec.share.ramp is not None:
            wanted[mine] = ramp(measures[row, queues], spec.share.ramp.from_, spec.share.ramp.to)
        else:
            wanted[mine] = _just_enough(compiled, queues, moment)
        wanted[mine] = _bounded(compiled, queues, wanted[mine], moment, in_force[mine])
    return wanted


def _just_enough(compiled: CompiledRelief, queues: NDArray[np.int64], moment: Moment) -> Real:
    """Least share with which the queue's own risk stays at its bound; 0 where none is known."""
    spec = compiled.policy.spec.share.just_enough
    assert spec is not None
    if moment.ahead is None:
        return np.zeros(len(queues))
    ahead, rows = moment.ahead, moment.queues.rows[queues]
    horizon = RISK_HORIZONS.index(spec.horizon)
    moved_per_s = _moved(compiled, queues, moment) * _rate(moment, queues)
    outlook = moment.sensing.parts.outlook

    def risk_at(share: Real) -> Real:
        return outlook.risk_without(ahead, rows, share * moved_per_s)[:, horizon]

    return just_enough(risk_at, np.full(len(queues), spec.risk_max))


def _bounded(
    compiled: CompiledRelief,
    queues: NDArray[np.int64],
    share: Real,
    moment: Moment,
    in_force: Real,
) -> Real:
    """
    At most what keeps the target's risk below its bound.

    The risk as it is has what is seen to be moved there in it; of that, what the policy moves by
    the shares in force counts once.
    """
    spec = compiled.policy.spec
    budget = spec.guards.target
    if budget is None or not spec.queues or moment.ahead is None or not share.any():
        return share
    if spec.queues[0] not in moment.queues.ids:
        return np.zeros_like(share)
    ahead = moment.ahead
    place = moment.queues.ids.index(spec.queues[0])
    if np.isnan(ahead.risk[moment.queues.rows[place], 0]):
        # Nobody knows what the target can bear: one that others staff and nobody tells of.
        return share
    rows = np.full(len(queues), moment.queues.rows[place])
    # What the other queues of the policy send there counts as well.
    moved_per_s = _moved(compiled, queues, moment) * _rate(moment, queues)
    horizon = RISK_HORIZONS.index(budget.horizon)
    outlook = moment.sensing.parts.outlook
    seen_per_s = moment.sensing.own.moved_in_per_s.get(spec.queues[0], 0.0)
    counted_per_s = min(seen_per_s, float((in_force * moved_per_s).sum()))

    def target_risk_at(shares: Real) -> Real:
        more = np.full(len(queues), float((shares * moved_per_s).sum()) - counted_per_s)
        return outlook.risk_without(ahead, rows, -more)[:, horizon]

    return within_budget(target_risk_at, np.full(len(queues), budget.risk_max), share)


def _moved(compiled: CompiledRelief, queues: NDArray[np.int64], moment: Moment) -> Real:
    """(n,) part of a share that goes elsewhere: all where nobody is asked, else who accepts."""
    for action in compiled.policy.spec.actions:
        offer = action.offer_choice
        if action.overflow is not None or (offer is not None and offer.forced):
            return np.ones(len(queues))
    return moment.acceptance[queues]


def _rate(moment: Moment, queues: NDArray[np.int64]) -> Real:
    """(n,) contacts that come each second, in the next quarter of an hour."""
    assert moment.ahead is not None
    rates: Real = moment.ahead.coming.rates[moment.queues.rows[queues], :3].mean(axis=1)
    return np.maximum(rates, 0.0)
