"""What share each policy wants: fixed, ramped or just enough, within what its target can bear."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.deciding.moment import Moment
from engine.kernels.policy_steps import TriggerPairs
from engine.policy.actions import Target
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
    At most what keeps the target's risk below its bound, and nothing to where nothing is known.
    Where the risk alone is not known, at most as many as somebody there is free for now.

    The risk as it is has what is seen to be moved there in it; of that, what the policy moves by
    the shares in force counts once.
    """
    spec = compiled.policy.spec
    target, budget = spec.target, spec.guards.target
    if target is None or not share.any():
        return share
    if target.cell and moment.reading_of(target) is None:
        return np.zeros_like(share)
    if budget is None:
        return share
    bearing = _bearing(target, RISK_HORIZONS.index(budget.horizon), moment)
    if moment.ahead is None or not bearing.is_known:
        waiting = max(int(moment.waiting[queues].sum()), 1)
        return np.minimum(share, bearing.spare / waiting)
    # What the other queues of the policy send there counts as well.
    moved_per_s = _moved(compiled, queues, moment) * _rate(moment, queues)
    counted_per_s = min(bearing.moved_in_per_s, float((in_force * moved_per_s).sum()))

    def target_risk_at(shares: Real) -> Real:
        more_per_s = float((shares * moved_per_s).sum()) - counted_per_s
        return np.full(len(queues), bearing.risk_at(more_per_s))

    return within_budget(target_risk_at, np.full(len(queues), budget.risk_max), share)


def bears_unknown(compiled: CompiledRelief, moment: Moment) -> bool:
    """Whether a policy moves nothing, for it is not known what its target can bear."""
    target, budget = compiled.policy.spec.target, compiled.policy.spec.guards.target
    if target is None:
        return False
    if target.cell and moment.reading_of(target) is None:
        return True
    if budget is None:
        return False
    bearing = _bearing(target, RISK_HORIZONS.index(budget.horizon), moment)
    return not (bearing.is_known or bearing.spare >= 1.0)


class _Bearing(NamedTuple):
    """
    What a target can bear.

    Attributes
    ----------
    risk_at
        Its risk if so many more contacts came each second, NaN where it is not known.
    moved_in_per_s
        Contacts that policies move there already.
    spare
        Contacts that agents there are free for now, beyond those who wait; 0 for not known.
    """

    risk_at: Callable[[float], float]
    moved_in_per_s: float
    spare: float

    @property
    def is_known(self) -> bool:
        """Whether its risk is."""
        return not np.isnan(self.risk_at(0.0))


_UNKNOWN: Final = _Bearing(lambda _: np.nan, 0.0, 0.0)


def _bearing(target: Target, horizon: int, moment: Moment) -> _Bearing:
    reading = moment.reading_of(target)
    if reading is not None:
        told = reading
        spare = float(told.signals.get("target.spare_capacity", 0.0))
        return _Bearing(lambda more: told.risk_at(more, horizon), told.moved_in_per_s, spare)
    if target.cell or target.queue not in moment.queues.ids:
        return _UNKNOWN
    place = moment.queues.ids.index(target.queue)
    row, ahead = moment.queues.rows[[place]], moment.ahead
    spare = float(max(moment.available[place] - moment.waiting[place], 0))

    def risk_at(more_per_s: float) -> float:
        if ahead is None:
            return np.nan
        outlook = moment.sensing.parts.outlook
        return float(outlook.risk_without(ahead, row, np.array([-more_per_s]))[0, horizon])

    return _Bearing(risk_at, moment.sensing.own.moved_in_per_s.get(target.queue, 0.0), spare)


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
