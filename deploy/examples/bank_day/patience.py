"""
What the log implies of every customer: how long it would have waited, how long its service takes.

A call that hung up shows its patience: it waited `queue_s` and left. A call that was answered shows
only that its patience exceeded its wait: it is censored there. Should the engine answer it later
than the bank did, the rest is drawn from the day's Kaplan-Meier curve, given that it exceeds the
logged wait. A call that hung up at the bank but is answered here has no service time: one is drawn
from those logged for its type. Each draw has a generator of its own, seeded by the date, the call
and what is drawn, so a day is the same in every run, whatever is played of it.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np

from deploy.examples.bank_day.bank_day import (
    DROPPED_S_MAX,
    TYPES,
    BankDay,
    BankDayError,
    Call,
)

# A type with fewer abandonments than this shares the curve of all calls: its own would be a few
# steps.
OWN_CURVE_ABANDONED_MIN: Final = 50
_PATIENCE, _SERVICE = 1, 2


@dataclass(frozen=True, slots=True)
class PatienceCurve:
    """
    Kaplan-Meier estimate of how long customers wait before they hang up.

    Attributes
    ----------
    times_s
        Waits at which somebody hung up, ascending.
    survival
        As many: share of customers whose patience exceeds that wait, 1 to 0, descending.
    tail_mean_s
        Mean of what is left beyond the last of these waits: all time waited / number who hung up,
        which is the mean patience if the hazard were constant. Infinite when nobody hung up.
    """

    times_s: tuple[int, ...]
    survival: tuple[float, ...]
    tail_mean_s: float

    def exceeding(self, wait_s: float) -> float:
        """Share of customers whose patience exceeds `wait_s`."""
        passed = int(np.searchsorted(self.times_s, wait_s, side="right"))
        return self.survival[passed - 1] if passed else 1.0

    def draw(self, exceeds_s: float, share: float) -> float:
        """
        Patience at a quantile, given that it exceeds `exceeds_s`.

        Parameters
        ----------
        exceeds_s
            Seconds waited already, ≥ 0.
        share
            Share of such customers who wait longer than the result, in (0, 1].
        """
        level = share * self.exceeding(exceeds_s)
        for time_s, survival in zip(self.times_s, self.survival, strict=True):
            if time_s > exceeds_s and survival <= level:
                return float(time_s)
        if math.isinf(self.tail_mean_s):
            return math.inf
        last_s = self.times_s[-1] if self.times_s else 0
        last_level = self.survival[-1] if self.survival else 1.0
        beyond = min(level / last_level, 1.0) if exceeds_s < last_s else share
        return max(exceeds_s, last_s) - math.log(beyond) * self.tail_mean_s


@dataclass(frozen=True, slots=True)
class PlannedContact:
    """
    A call as it is played.

    Attributes
    ----------
    contact_id
        The call's identity in the engine.
    call
        The call as logged.
    patience_s
        The customer hangs up after waiting this long.
    service_s
        How long an agent handles it.
    """

    contact_id: str
    call: Call
    patience_s: float
    service_s: int


def estimate(calls: Sequence[Call]) -> PatienceCurve:
    """Kaplan-Meier curve of calls; of equal waits, hanging up counts before being answered."""
    hung_up = Counter(call.queue_s for call in calls if call.outcome == "HANG")
    leaving = Counter(call.queue_s for call in calls)
    at_risk = len(calls)
    share = 1.0
    times_s: list[int] = []
    survival: list[float] = []
    for wait_s in sorted(leaving):
        if hung_up[wait_s]:
            share *= 1 - hung_up[wait_s] / at_risk
            times_s.append(wait_s)
            survival.append(share)
        at_risk -= leaving[wait_s]
    waited_s = sum(call.queue_s for call in calls)
    abandoned = hung_up.total()
    tail_mean_s = waited_s / abandoned if abandoned else math.inf
    return PatienceCurve(tuple(times_s), tuple(survival), tail_mean_s)


def plan(day: BankDay) -> tuple[PlannedContact, ...]:
    """Every call of the day with patience and service time, in the order they join."""
    curves = _curves(day.calls)
    services_s = _services_s(day.calls)
    return tuple(
        PlannedContact(
            contact_id=f"{day.day}-{call.call_id:04}",
            call=call,
            patience_s=_patience_s(day.day, call, curves[call.type]),
            service_s=_service_s(day.day, call, services_s[call.type]),
        )
        for call in day.calls
    )


def _curves(calls: Sequence[Call]) -> dict[str, PatienceCurve]:
    pooled = estimate(calls)
    curves = dict.fromkeys(TYPES, pooled)
    for name in TYPES:
        own = [call for call in calls if call.type == name]
        if sum(call.outcome == "HANG" for call in own) >= OWN_CURVE_ABANDONED_MIN:
            curves[name] = estimate(own)
    return curves


def _services_s(calls: Sequence[Call]) -> dict[str, list[int]]:
    """Service times to draw from, per type; of all types where a type has none."""
    usable = [
        (call.type, call.service_s)
        for call in calls
        if call.service_s is not None and call.service_s > DROPPED_S_MAX
    ]
    pooled = [service_s for _, service_s in usable]
    if not pooled:
        message = f"no call of the day has a service time above {DROPPED_S_MAX} s to draw from"
        raise BankDayError(message)
    own = {name: [service_s for of, service_s in usable if of == name] for name in TYPES}
    return {name: own[name] or pooled for name in TYPES}


def _patience_s(day: date, call: Call, curve: PatienceCurve) -> float:
    if call.outcome == "HANG":
        return float(call.queue_s)
    share = 1.0 - _generator(day, call, _PATIENCE).random()
    return curve.draw(call.queue_s, share)


def _service_s(day: date, call: Call, services_s: Sequence[int]) -> int:
    if call.service_s is not None:
        return call.service_s
    return services_s[int(_generator(day, call, _SERVICE).integers(len(services_s)))]


def _generator(day: date, call: Call, what: int) -> np.random.Generator:
    return np.random.default_rng([day.toordinal(), call.call_id, what])
