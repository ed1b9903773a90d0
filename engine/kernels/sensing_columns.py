"""
Columns of sensing: what is kept of each queue to know its present and to forecast it.

A group is a NamedTuple of arrays, one element or block per row. Rows are queues, and groups of
queues, which are forecast like queues from the sum of their members. Annotations carry the element
type, what a new row is filled with, and the dimensions, of which `ROWS` grows.
"""

from typing import Annotated, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

ROWS: Final = -1

# Seconds of a bucket, the step of profiles and forecasts; buckets of a local day, days of a week.
BUCKET_S: Final = 300
SLOTS: Final = 288
WEEKDAYS: Final = 7
# Buckets a forecast goes ahead, the one that runs included: twelve hours.
HORIZON: Final = 144
# Buckets that a calendar is laid out for at a time: the horizon, and the days around it.
CALENDAR_BUCKETS: Final = 2 * SLOTS
# Kinds of special days, numbered from 1; 0 is an ordinary day.
SPECIAL_KINDS: Final = 8

# Lead classes, in buckets: the next, half an hour, two hours, twelve hours.
LEADS: Final = (1, 6, 24, 144)
LEAD_CLASSES: Final = len(LEADS)
# Where forecasts as issued are kept: one ring per class, as long as its lead.
ISSUED: Final = sum(LEADS)
# Quantiles of a forecast: probabilities, and the same as standard normal deviates.
QUANTILES: Final = (0.025, 0.1, 0.9, 0.975)
_TENTH: Final = 1.2815515655446004
_FORTIETH: Final = 1.959963984540054
NORMAL_QUANTILES: Final = (-_FORTIETH, -_TENTH, _TENTH, _FORTIETH)
QUANTILE_COUNT: Final = len(QUANTILES)

# Ways to forecast a queue: the state-space model, the mean of the weekday's slot, the week before.
MODEL: Final = 0
SLOT_MEAN: Final = 1
WEEK_BEFORE: Final = 2
METHODS: Final = 3


Element = (
    type[np.int32] | type[np.int64] | type[np.uint16] | type[np.uint64] | type[np.float32]
    | type[np.float64]
)  # fmt: skip


class Extent(NamedTuple):
    """How one column is laid out: element type, fill value, and dimensions with `ROWS` in one."""

    dtype: Element
    fill: float
    dimensions: tuple[int, ...]


Count = Annotated[NDArray[np.int64], Extent(np.int64, 0, (ROWS,))]
Real = Annotated[NDArray[np.float64], Extent(np.float64, 0.0, (ROWS,))]
One = Annotated[NDArray[np.float64], Extent(np.float64, 1.0, (ROWS,))]
Absent = Annotated[NDArray[np.int64], Extent(np.int64, -1, (ROWS,))]
PerWeekday = Annotated[NDArray[np.float64], Extent(np.float64, 1.0, (ROWS, WEEKDAYS))]
DaysPerWeekday = Annotated[NDArray[np.int64], Extent(np.int64, 0, (ROWS, WEEKDAYS))]
PerKind = Annotated[NDArray[np.float64], Extent(np.float64, 0.0, (ROWS, SPECIAL_KINDS + 1))]
# Two days at a time, that of an even ordinal at place 0: a day begins before all of the last is
# learned from, and forecasts reach into the next.
PerSlotOfDay = Annotated[NDArray[np.float32], Extent(np.float32, 0.0, (ROWS, 2, SLOTS))]
DayPair = Annotated[NDArray[np.int64], Extent(np.int64, -1, (ROWS, 2))]
PerSlot = Annotated[NDArray[np.float32], Extent(np.float32, -1.0, (ROWS, SLOTS))]
PerWeekdaySlot = Annotated[NDArray[np.float32], Extent(np.float32, -1.0, (ROWS, WEEKDAYS, SLOTS))]
CountPerWeekdaySlot = Annotated[
    NDArray[np.uint16], Extent(np.uint16, 65_535, (ROWS, WEEKDAYS, SLOTS))
]
Ahead = Annotated[NDArray[np.float32], Extent(np.float32, 0.0, (ROWS, HORIZON))]
PerLead = Annotated[NDArray[np.float64], Extent(np.float64, 0.0, (ROWS, LEAD_CLASSES))]
CodePerLead = Annotated[NDArray[np.int64], Extent(np.int64, 0, (ROWS, LEAD_CLASSES))]
Scales = Annotated[NDArray[np.float64], Extent(np.float64, 1.0, (ROWS, METHODS, LEAD_CLASSES))]
Offsets = Annotated[
    NDArray[np.float64], Extent(np.float64, 0.0, (ROWS, LEAD_CLASSES, QUANTILE_COUNT))
]


class Calendars(NamedTuple):
    """
    Calendars of queues, a row each: what every bucket from `first_bucket` on is.

    Attributes
    ----------
    first_bucket
        (n_calendars,) buckets since the Unix epoch; -1 before it is laid out.
    slot
        (n_calendars, CALENDAR_BUCKETS) 0 to 287, counted from where the local day begins.
    day
        (n_calendars, CALENDAR_BUCKETS) ordinal of the local day; ordinal modulo 7 is its weekday.
    open_share
        (n_calendars, CALENDAR_BUCKETS) share of the bucket in which the queue is open, 0 to 1.
    kind
        (n_calendars, CALENDAR_BUCKETS) kind of special day, 0 for an ordinary one.
    """

    first_bucket: Absent
    slot: Annotated[NDArray[np.int64], Extent(np.int64, 0, (ROWS, CALENDAR_BUCKETS))]
    day: Annotated[NDArray[np.int64], Extent(np.int64, -1, (ROWS, CALENDAR_BUCKETS))]
    open_share: Annotated[NDArray[np.float32], Extent(np.float32, 0.0, (ROWS, CALENDAR_BUCKETS))]
    kind: Annotated[NDArray[np.int64], Extent(np.int64, 0, (ROWS, CALENDAR_BUCKETS))]


class Profiles(NamedTuple):
    """
    What is usual at each time of the week, and what the running days have brought.

    Counts and rates are contacts per bucket in which the queue is open throughout.

    Attributes
    ----------
    calendar, parent
        (n,) row of the calendar; row of the group whose shape a sparse queue borrows, -1 for none.
    level, days
        (n,) contacts of a usual day, in units of `pooled`; days learned from.
    weekday_factor, weekday_days
        (n, 7) how a weekday's total differs from the level; days learned from.
    pooled
        (n, 288) share of the day per slot over all weekdays, sums to about 1; -1 = never open.
    seasonal
        (n, 7, 288) mean of the weekday's slot; -1 = never open.
    last_week
        (n, 7, 288) count of the weekday's last such slot, up to 65,534; 65,535 = none.
    rate, rate_day
        (n, 2, 288) what is usual in a day's slots; (n, 2) ordinal of the day it is for, -1 = none.
    day_count, day_missing, day_open, day_of
        (n, 2, 288) contacts counted, contacts expected where telemetry was missing, buckets open;
        (n, 2) ordinal of the day they are of.
    day_kind
        (n, 2) kind of special day.
    learn_day
        (n,) ordinal of an ended day to learn from, -1 = none.
    special_factor, special_days
        (n, 9) total of a kind of special day as a ratio to an ordinary one; days learned from.
    """

    calendar: Count
    parent: Absent
    level: Real
    days: Count
    weekday_factor: PerWeekday
    weekday_days: DaysPerWeekday
    pooled: PerSlot
    seasonal: PerWeekdaySlot
    last_week: CountPerWeekdaySlot
    rate: PerSlotOfDay
    rate_day: DayPair
    day_count: PerSlotOfDay
    day_missing: PerSlotOfDay
    day_open: PerSlotOfDay
    day_of: DayPair
    day_kind: DayPair
    learn_day: Absent
    special_factor: PerKind
    special_days: PerKind


class Arrivals(NamedTuple):
    """
    State of the two-state Poisson model; logarithms of factors on what is usual.

    Attributes
    ----------
    slow, fast
        (n,) departures of the day and of the last minutes.
    var_slow, covariance, var_fast
        (n,) their variances and covariance.
    fast_variance
        (n,) stationary variance of `fast`, learned, 0.003 to 0.06.
    start_variance, day_variance
        (n,) variance of `slow` as a day begins; the mean square it follows.
    excess, excess_weight
        (n,) decayed sums that `fast_variance` is learned from.
    day_excess, day_excess_weight, day_counted, day_expected
        (n,) the same of the running day; contacts counted and expected where telemetry was there.
    today
        (n,) ordinal of the running day, -1 before the first bucket.
    cold_counted, cold_open
        (n,) contacts and open buckets so far, before the first day has been learned from.
    expected
        (n, 144) contacts usual in the running bucket and those after it, with hours and events.
    uncertain
        (n, 144) squared relative uncertainty that events add.
    other
        (n, 144) what the method in force forecasts where that is not the model.
    next_day
        (n,) place in `expected` where the next day begins.
    scale
        (n, 3, 4) factor on the variance, by method and lead class, learned.
    sum_scale
        (n,) factor on the variance of half an hour's contacts, learned.
    offset
        (n, 4, 4) shift of each quantile's normal deviate by lead class, learned, -1 to 1.
    bias
        (n, 4) logarithm of the correction of a lead class, -0.15 to 0.15; 0 below two hours.
    in_force
        (n, 4) method by lead class.
    drift_up, drift_down, drift_days
        (n,) sums that watch for drift; days for which the level still learns fast.
    drifts, faults
        (n,) alarms of drift so far; buckets not learned from, because nothing came where it must.
    """

    slow: Real
    fast: Real
    var_slow: Real
    covariance: Real
    var_fast: Real
    fast_variance: Annotated[NDArray[np.float64], Extent(np.float64, 0.01, (ROWS,))]
    start_variance: Annotated[NDArray[np.float64], Extent(np.float64, 0.15, (ROWS,))]
    day_variance: Annotated[NDArray[np.float64], Extent(np.float64, 0.15, (ROWS,))]
    excess: Real
    excess_weight: Real
    day_excess: Real
    day_excess_weight: Real
    day_counted: Real
    day_expected: Real
    today: Absent
    cold_counted: Real
    cold_open: Real
    expected: Ahead
    uncertain: Ahead
    other: Ahead
    next_day: Count
    scale: Scales
    sum_scale: One
    offset: Offsets
    bias: PerLead
    in_force: CodePerLead
    drift_up: Real
    drift_down: Real
    drift_days: Count
    drifts: Count
    faults: Count


# What the ledger sums, per method and lead class.
SCORED: Final = 0
SUM_COUNT: Final = 1
SUM_ABSOLUTE: Final = 2
SUM_ERROR: Final = 3
SUM_SQUARE: Final = 4
SUM_FLOOR: Final = 5
SUM_FORECAST: Final = 6
# Of the forecast in force only.
IN_80: Final = 7
IN_95: Final = 8
ABOVE_90: Final = 9
SUM_PINBALL: Final = 10
LEDGER_SUMS: Final = 11

# What is kept of a forecast as issued: the model's mean, the mean that was told, relative variance
# before scaling, and the quantiles that were told.
ISSUED_MEAN: Final = 0
ISSUED_TOLD: Final = 1
ISSUED_VARIANCE: Final = 2
ISSUED_QUANTILE: Final = 3
ISSUED_WIDTH: Final = ISSUED_QUANTILE + QUANTILE_COUNT


# What is kept of the running half hour: its forecast as issued, and what has come.
HALF_HOUR: Final = 6
HALF_MEAN: Final = 0
HALF_VARIANCE: Final = 1
HALF_COUNTED: Final = 2
HALF_SEEN: Final = 3
HALF_WIDTH: Final = 4


class Ledger(NamedTuple):
    """
    How good forecasts were.

    Attributes
    ----------
    issued
        (n, 175, 7) forecasts whose time has not come; the mean is NaN where none was made.
    half_hour
        (n, 4) of the running half hour of the clock: mean and variance as issued, NaN for none;
        contacts that came, buckets that were seen whole.
    totals
        (n, 4, 3, 11) decayed sums by lead class and method, up to the last day.
    today
        (n, 4, 3, 11) the same of the running day.
    """

    issued: Annotated[NDArray[np.float32], Extent(np.float32, np.nan, (ROWS, ISSUED, ISSUED_WIDTH))]
    half_hour: Annotated[NDArray[np.float64], Extent(np.float64, np.nan, (ROWS, HALF_WIDTH))]
    totals: Annotated[
        NDArray[np.float64], Extent(np.float64, 0.0, (ROWS, LEAD_CLASSES, METHODS, LEDGER_SUMS))
    ]
    today: Annotated[
        NDArray[np.float64], Extent(np.float64, 0.0, (ROWS, LEAD_CLASSES, METHODS, LEDGER_SUMS))
    ]


class Live(NamedTuple):
    """
    The state as the running bucket shows it; made anew each second, never learned from.

    Attributes
    ----------
    slow, fast, var_slow, covariance, var_fast
        (n,) as in `Arrivals`, corrected by the part of the bucket that has passed.
    counted
        (n,) contacts of that part.
    left
        (n,) share of the bucket that is still to come, 0 to 1.
    """

    slow: Real
    fast: Real
    var_slow: Real
    covariance: Real
    var_fast: Real
    counted: Real
    left: One


class Model(NamedTuple):
    """Every column that forecasting arrivals needs."""

    calendars: Calendars
    profiles: Profiles
    arrivals: Arrivals
    ledger: Ledger
    live: Live


class Observed(NamedTuple):
    """
    What telemetry says of one bucket, or of the part of it that has passed.

    Attributes
    ----------
    contacts
        (n,) contacts offered.
    covered_s
        (n,) seconds for which every source reported, 0 to 300.
    quiet_s
        (n,) seconds without a contact up to its end, may reach into earlier buckets.
    """

    contacts: NDArray[np.int64]
    covered_s: NDArray[np.int64]
    quiet_s: NDArray[np.int64]
