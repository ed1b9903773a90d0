"""
Buckets as they pass: what came is compared, learned from and counted towards its day; days roll
over.

`close_bucket` ends a bucket, `lay_out_buckets` says what is usual from the next one on, on which
events are then laid, and `issue_forecasts` keeps what is forecast. Between, `look_into_bucket`
shows each second what the running bucket tells so far.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.kernels.arrival_forecast import CARRIED
from engine.kernels.arrival_model import (
    CLASS_NEAREST,
    State,
    corrected,
    keep_live_state,
    keep_state,
    propagated,
    state_of,
    surprise,
)
from engine.kernels.compilation import sensing_entry, sensing_kernel
from engine.kernels.ledger import (
    begin_half_hour,
    end_day_of_ledger,
    issue_row,
    score_half_hour,
    score_row,
)
from engine.kernels.sensing_columns import (
    BUCKET_S,
    CALENDAR_BUCKETS,
    HORIZON,
    MODEL,
    SLOT_MEAN,
    SLOTS,
    WEEK_BEFORE,
    WEEKDAYS,
    Arrivals,
    Calendars,
    Model,
    Observed,
    Profiles,
)

# A bucket is scored when so much of it was seen, and learned from when so much was.
_SCORED_SHARE: Final = 0.98
_LEARNED_SHARE: Final = 0.2
# Improbability of a silence beyond which it is a fault of the feed: 1e-9, for a rate three standard
# deviations below what is likely.
_SILENCE_MAX: Final = 20.7
_SILENCE_DEVIATIONS: Final = 3.0
# A count beyond so many times what was likely, and so many, does not enter a profile as it is.
_CREDITED_TIMES: Final = 5.0
_CREDITED_MORE: Final = 50.0
_CREDITED_DAYS: Final = 3

_DAY_VARIANCE_GAIN: Final = 0.2
_DAY_SQUARE_MAX: Final = 0.25
_START_MIN: Final = 5e-4
_START_MAX: Final = 0.03
_START_MAX_YOUNG: Final = 0.15
_YOUNG_DAYS: Final = 5
_CARRIED_MAX: Final = 0.5
_FAST_MIN: Final = 0.003
_FAST_MAX: Final = 0.06
_FAST_GAIN: Final = 0.5
_FAST_PRIOR: Final = 2_000.0
_FAST_KEPT_PER_DAY: Final = math.exp(-1.0 / 8.0)
# The two-sided CUSUM on days' standardised departures (Page 1954), and what an alarm sets off.
_DRIFT_SLACK: Final = 0.5
_DRIFT_ALARM: Final = 4.0
_DRIFT_DAYS: Final = 5
_DRIFT_FAST: Final = 0.02
_COUNT_NONE: Final = 65_535


class Usual(NamedTuple):
    """What is usual for one queue; a few arrays, because each costs where it is handed on."""

    rate: NDArray[np.float32]
    rate_day: NDArray[np.int64]
    special_factor: NDArray[np.float64]
    special_days: NDArray[np.int64]
    cold_rate: float


@sensing_kernel
def _usual_of(model: Model, row: int) -> Usual:
    """
    What is usual for a queue.

    Before the first day has been learned from, its mean so far is: `cold_rate`, else -1. O(1).
    """
    profiles, arrivals = model.profiles, model.arrivals
    cold = (arrivals.cold_counted[row] + 0.5) / (arrivals.cold_open[row] + 0.5)
    if profiles.days[row] > 0:
        cold = -1.0
    elif arrivals.cold_open[row] <= 0.0:
        cold = 0.0
    return Usual(
        profiles.rate[row],
        profiles.rate_day[row],
        profiles.special_factor[row],
        profiles.special_days[row],
        cold,
    )


@sensing_kernel
def _rate(usual: Usual, day: int, slot: int, kind: int) -> float:
    """Contacts usual in a bucket that is open throughout, before events. O(1)."""
    if usual.cold_rate >= 0.0:
        return usual.cold_rate
    if usual.rate_day[day & 1] != day:
        return 0.0
    rate = np.float64(usual.rate[day & 1, slot])
    if kind > 0 and usual.special_days[kind] > 0:
        rate *= usual.special_factor[kind]
    return rate


@sensing_kernel
def _plain(profiles: Profiles, calendars: Calendars, row: int, place: int, method: int) -> float:
    """What the slot's mean or the week before says of a bucket, -1 for nothing. O(1)."""
    calendar = profiles.calendar[row]
    weekday = calendars.day[calendar, place] % WEEKDAYS
    slot = calendars.slot[calendar, place]
    share = np.float64(calendars.open_share[calendar, place])
    if method == SLOT_MEAN:
        mean = np.float64(profiles.seasonal[row, weekday, slot])
        return mean * share if mean >= 0.0 else -1.0
    count = int(profiles.last_week[row, weekday, slot])
    return count * share if count != _COUNT_NONE else -1.0


@sensing_kernel
def _learn_variances(arrivals: Arrivals, row: int) -> None:
    """Learn from the day that ends: how much states vary in a day, and between days. O(1)."""
    excess = arrivals.excess[row] * _FAST_KEPT_PER_DAY + arrivals.day_excess[row]
    weight = arrivals.excess_weight[row] * _FAST_KEPT_PER_DAY + arrivals.day_excess_weight[row]
    arrivals.excess[row], arrivals.excess_weight[row] = excess, weight
    fast = arrivals.fast_variance[row] + _FAST_GAIN * excess / (weight + _FAST_PRIOR)
    arrivals.fast_variance[row] = min(max(fast, _FAST_MIN), _FAST_MAX)
    expected = arrivals.day_expected[row]
    departure = math.log((arrivals.day_counted[row] + 1.0) / (expected + 1.0))
    square = min(max(departure * departure - 1.0 / (expected + 1.0), 0.0), _DAY_SQUARE_MAX)
    arrivals.day_variance[row] += _DAY_VARIANCE_GAIN * (square - arrivals.day_variance[row])


@sensing_kernel
def _watch_drift(arrivals: Arrivals, row: int, departure: float) -> None:
    """Sum days' departures up; let the level learn fast for some days after an alarm. O(1)."""
    if arrivals.drift_days[row] > 0:
        arrivals.drift_days[row] -= 1
        return
    noise = arrivals.start_variance[row] + 1.0 / (arrivals.day_expected[row] + 1.0)
    score = departure / math.sqrt(noise)
    arrivals.drift_up[row] = max(0.0, arrivals.drift_up[row] + score - _DRIFT_SLACK)
    arrivals.drift_down[row] = max(0.0, arrivals.drift_down[row] - score - _DRIFT_SLACK)
    if max(arrivals.drift_up[row], arrivals.drift_down[row]) > _DRIFT_ALARM:
        arrivals.drifts[row] += 1
        arrivals.drift_days[row] = _DRIFT_DAYS
        arrivals.drift_up[row] = arrivals.drift_down[row] = 0.0
        arrivals.fast_variance[row] = max(arrivals.fast_variance[row], _DRIFT_FAST)


@sensing_kernel
def _end_day(model: Model, row: int) -> float:
    """Learn from the running day; returns the slow departure the next one begins with. O(1)."""
    arrivals, profiles = model.arrivals, model.profiles
    day = arrivals.today[row]
    is_special = profiles.day_kind[row, day & 1] > 0
    if profiles.days[row] == 0 or is_special or arrivals.day_expected[row] <= 0.0:
        return 0.0
    expected = arrivals.day_expected[row]
    departure = math.log((arrivals.day_counted[row] + 1.0) / (expected + 1.0))
    _learn_variances(arrivals, row)
    _watch_drift(arrivals, row, departure)
    most = _START_MAX_YOUNG if profiles.days[row] < _YOUNG_DAYS else _START_MAX
    start = min(max(arrivals.day_variance[row], _START_MIN), most)
    arrivals.start_variance[row] = start
    carried = CARRIED * departure * start / (start + 1.0 / (expected + 1.0))
    return min(max(carried, -_CARRIED_MAX), _CARRIED_MAX)


@sensing_kernel
def _begin_day(model: Model, row: int, day: int, kind: int) -> None:
    """Roll a queue over to another local day. O(1) but for the day's slots."""
    arrivals, profiles = model.arrivals, model.profiles
    slow = 0.0
    if arrivals.today[row] >= 0:
        slow = _end_day(model, row)
        end_day_of_ledger(model, row)
        profiles.learn_day[row] = arrivals.today[row]
    arrivals.today[row] = day
    arrivals.day_counted[row] = arrivals.day_expected[row] = 0.0
    arrivals.day_excess[row] = arrivals.day_excess_weight[row] = 0.0
    fast_variance = arrivals.fast_variance[row]
    keep_state(arrivals, row, State(slow, 0.0, arrivals.start_variance[row], 0.0, fast_variance))
    place = day & 1
    if profiles.day_of[row, place] != day:
        profiles.day_count[row, place, :] = 0.0
        profiles.day_missing[row, place, :] = 0.0
        profiles.day_open[row, place, :] = 0.0
        profiles.day_of[row, place] = day
        profiles.day_kind[row, place] = kind


@sensing_kernel
def _seen_share(model: Model, row: int, quiet_s: int, covered_s: int) -> float:
    """
    Share of a bucket that telemetry has seen.

    A silence that cannot be chance is a feed that says zero, and is not seen. O(1).
    """
    arrivals = model.arrivals
    state = state_of(arrivals, row)
    variance = state.var_slow + 2.0 * state.covariance + state.var_fast
    low = state.slow + state.fast - _SILENCE_DEVIATIONS * math.sqrt(max(variance, 0.0))
    per_s = np.float64(arrivals.expected[row, 0]) * math.exp(low) / BUCKET_S
    if per_s * quiet_s > _SILENCE_MAX and model.profiles.days[row] > 0:
        arrivals.faults[row] += 1
        covered_s -= min(quiet_s, covered_s)
    return min(covered_s / BUCKET_S, 1.0)


@sensing_kernel
def _count_towards_day(model: Model, row: int, place: int, count: float, seen: float) -> None:
    """Add a bucket to its slot of the day, as it would have been without events. O(1)."""
    profiles, arrivals, calendars = model.profiles, model.arrivals, model.calendars
    calendar = profiles.calendar[row]
    day, slot = calendars.day[calendar, place], calendars.slot[calendar, place]
    share = np.float64(calendars.open_share[calendar, place])
    usual = share * _rate(_usual_of(model, row), day, slot, calendars.kind[calendar, place])
    expected = np.float64(arrivals.expected[row, 0])
    likely = expected * math.exp(arrivals.slow[row] + arrivals.fast[row])
    credited = count
    if profiles.days[row] >= _CREDITED_DAYS:
        credited = min(count, _CREDITED_TIMES * likely + _CREDITED_MORE)
    if usual > 0.0 and expected > 0.0:
        credited *= usual / expected
    profiles.day_count[row, day & 1, slot] += credited
    profiles.day_missing[row, day & 1, slot] += (1.0 - seen) * usual
    profiles.day_open[row, day & 1, slot] += calendars.open_share[calendar, place]
    if profiles.days[row] == 0 and seen > 0.0:
        arrivals.cold_counted[row] += count
        arrivals.cold_open[row] += seen * np.float64(calendars.open_share[calendar, place])


@sensing_kernel
def _learn_bucket(model: Model, row: int, bucket: int, count: float, seen: float) -> None:
    """Score what was forecast for a bucket, and follow it. O(1)."""
    arrivals, profiles = model.arrivals, model.profiles
    expected = np.float64(arrivals.expected[row, 0])
    if expected <= 1e-9:
        return
    if seen >= _SCORED_SHARE and profiles.days[row] > 0:
        place = bucket - model.calendars.first_bucket[profiles.calendar[row]]
        mean = _plain(profiles, model.calendars, row, place, SLOT_MEAN)
        before = _plain(profiles, model.calendars, row, place, WEEK_BEFORE)
        score_row(model, row, bucket, count, (mean, before))
        score_half_hour(model, row, bucket, count)
    if seen >= _LEARNED_SHARE:
        state = state_of(arrivals, row)
        found = surprise(state, count, expected * seen)
        arrivals.day_excess[row] += found.excess
        arrivals.day_excess_weight[row] += found.weight
        arrivals.day_counted[row] += count
        arrivals.day_expected[row] += expected * seen
        keep_state(arrivals, row, corrected(state, count, expected * seen))


@sensing_entry
def close_bucket(model: Model, rows: NDArray[np.int64], bucket: int, observed: Observed) -> None:
    """
    End a bucket of some queues, whose calendars have been laid out around it.

    What came while a queue was closed counts for nothing. O(rows).

    Parameters
    ----------
    rows
        (m,) rows; those of groups after those of their members.
    bucket
        Number of the bucket that ends, of 300 s since the Unix epoch.
    observed
        (m,) each, what came in it.
    """
    arrivals, calendars = model.arrivals, model.calendars
    for number in range(rows.shape[0]):
        row = rows[number]
        calendar = model.profiles.calendar[row]
        place = bucket - calendars.first_bucket[calendar]
        if place < 0 or place + 1 >= CALENDAR_BUCKETS:
            continue
        day = calendars.day[calendar, place]
        if arrivals.today[row] != day:
            _begin_day(model, row, day, calendars.kind[calendar, place])
        if calendars.open_share[calendar, place] > 0.0:
            count = float(observed.contacts[number])
            seen = _seen_share(model, row, observed.quiet_s[number], observed.covered_s[number])
            _count_towards_day(model, row, place, count, seen)
            _learn_bucket(model, row, bucket, count, seen)
        keep_state(arrivals, row, propagated(state_of(arrivals, row), arrivals.fast_variance[row]))
        after = calendars.day[calendar, place + 1]
        if after != day:
            _begin_day(model, row, after, calendars.kind[calendar, place + 1])


@sensing_kernel
def _lay_out_other(model: Model, row: int, first: int) -> None:
    """Say what another method than the model expects, where one is in force. O(horizon)."""
    arrivals = model.arrivals
    for ahead in range(HORIZON):
        method = arrivals.in_force[row, CLASS_NEAREST[ahead]]
        if method != MODEL:
            plain = _plain(model.profiles, model.calendars, row, first + ahead, method)
            usual = np.float64(arrivals.expected[row, ahead])
            arrivals.other[row, ahead] = plain if plain >= 0.0 else usual


@sensing_entry
def lay_out_buckets(model: Model, rows: NDArray[np.int64], bucket: int) -> None:
    """
    Say what is usual from `bucket` on, which now begins, before events are laid on it.

    O(rows × horizon).
    """
    arrivals, calendars = model.arrivals, model.calendars
    for row in rows:
        calendar = model.profiles.calendar[row]
        first = bucket - calendars.first_bucket[calendar]
        expected = arrivals.expected[row]
        expected[:] = 0.0
        arrivals.uncertain[row, :] = 0.0
        arrivals.next_day[row] = HORIZON
        if first < 0 or first + HORIZON > CALENDAR_BUCKETS:
            continue
        usual = _usual_of(model, row)
        day, slot = calendars.day[calendar], calendars.slot[calendar]
        share, kind = calendars.open_share[calendar], calendars.kind[calendar]
        for ahead in range(HORIZON):
            place = first + ahead
            if share[place] > 0.0:
                rate = _rate(usual, day[place], slot[place], kind[place])
                expected[ahead] = np.float64(share[place]) * rate
            if day[place] != day[first] and ahead < arrivals.next_day[row]:
                arrivals.next_day[row] = ahead
        _lay_out_other(model, row, first)


@sensing_entry
def issue_forecasts(model: Model, rows: NDArray[np.int64], bucket: int) -> None:
    """Keep what is forecast as `bucket` begins, and look into it from the start. O(rows)."""
    for row in rows:
        issue_row(model, row, bucket)
        keep_live_state(model.live, row, state_of(model.arrivals, row))
        model.live.counted[row] = 0.0
        model.live.left[row] = 1.0
        begin_half_hour(model, row, bucket)


@sensing_entry
def look_into_bucket(
    model: Model, rows: NDArray[np.int64], elapsed_s: int, observed: Observed
) -> None:
    """
    Show what the running bucket tells so far; always from the last closed state. O(rows).

    Parameters
    ----------
    elapsed_s
        Seconds of the bucket that have passed, 0 to 300.
    observed
        (m,) each, what came in them.
    """
    live, arrivals = model.live, model.arrivals
    for number in range(rows.shape[0]):
        row = rows[number]
        state = state_of(arrivals, row)
        expected = np.float64(arrivals.expected[row, 0])
        seen = observed.covered_s[number] / BUCKET_S
        count = float(observed.contacts[number])
        if expected * seen > 1e-9:
            state = corrected(state, count, expected * seen)
        keep_live_state(live, row, state)
        missed = max(elapsed_s / BUCKET_S - seen, 0.0)
        live.counted[row] = count + missed * expected * math.exp(state.slow + state.fast)
        live.left[row] = 1.0 - elapsed_s / BUCKET_S


assert SLOTS * BUCKET_S == 86_400
