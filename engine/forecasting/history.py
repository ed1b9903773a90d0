"""
A queue's past, learned as if it had been watched: one row of its own, apart from what is sensed.

Buckets are closed one after the other up to now, as they are live, so that profile, variances,
quantiles and the ledger are what they would be. What is not known is a gap, which teaches nothing.
A whole row is then taken over at once.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.forecasting.arrivals import ArrivalModel
from engine.forecasting.calendar import CalendarRows
from engine.kernels.sensing_columns import BUCKET_S, WEEKDAYS, Observed, Profiles

# What stands for a bucket that is not known.
UNKNOWN: Final = -1
# Seconds without a contact beyond which more say no more, as for what is sensed.
_QUIET_S_MAX: Final = 2 * BUCKET_S
_ALL: Final = np.zeros(1, np.int64)
_COUNT_NONE: Final = 65_535


class Counts(NamedTuple):
    """
    Contacts of a queue by bucket.

    Attributes
    ----------
    first
        Bucket since the Unix epoch that they begin with.
    contacts
        (n,) contacts of each bucket from there on, -1 = not known.
    """

    first: int
    contacts: NDArray[np.int64]


class Past:
    """
    Learns counts, some buckets at a time; for one thread.

    Parameters
    ----------
    calendars
        The queue's calendar in row 0, for this model alone.
    counts
        What came.

    Attributes
    ----------
    model
        One row: what is learned so far.
    """

    def __init__(self, calendars: CalendarRows, counts: Counts) -> None:
        self.model = ArrivalModel(1, calendars)
        self._counts = counts
        self._quiet_s = 0

    @property
    def days(self) -> int:
        """Days learned from."""
        return int(self.model.columns.profiles.days[0])

    def advance(self, until: int, buckets_max: int) -> bool:
        """
        Close buckets before `until`, so many at most; returns whether more are left.

        About 50 µs a bucket.
        """
        begin = max(self.model.bucket, self._counts.first)
        end = min(begin + buckets_max, until)
        for bucket in range(begin, end):
            self.model.close(bucket, self._observed(bucket))
            if self.model.columns.profiles.learn_day[0] >= 0:
                self.model.learn(1)
        return end < until

    def _observed(self, bucket: int) -> Observed:
        place = bucket - self._counts.first
        known = self._counts.contacts
        count = int(known[place]) if place < len(known) else UNKNOWN
        self._quiet_s = min(self._quiet_s + BUCKET_S, _QUIET_S_MAX) if count == 0 else 0
        covered_s = BUCKET_S if count != UNKNOWN else 0
        return Observed(_ALL + max(count, 0), _ALL + covered_s, _ALL + self._quiet_s)


def learn_group(model: ArrivalModel, group: int, members: NDArray[np.int64]) -> bool:
    """
    Give a group the sum of what its members have learned, if that is more than it has itself.

    So only where all members have learned, by the same calendar: the sum of some would be too low a
    level for what comes for all. Rates add up; how much the sum varies is not known from the parts,
    and begins as the mean of theirs. Returns whether the group learned.
    """
    profiles, arrivals = model.columns.profiles, model.columns.arrivals
    days = int(profiles.days[members].min(initial=1 << 40)) if len(members) else 0
    calendars = np.append(profiles.calendar[members], profiles.calendar[group])
    if days <= profiles.days[group] or len(np.unique(calendars)) > 1:
        return False
    _sum_profiles(profiles, group, members)
    profiles.days[group] = days
    weight = profiles.level[members] / max(profiles.level[members].sum(), 1e-9)
    for column in (arrivals.fast_variance, arrivals.start_variance, arrivals.day_variance):
        column[group] = float(weight @ column[members])
    model.lay_out_again(np.array([group]))
    return True


def _sum_profiles(profiles: Profiles, group: int, members: NDArray[np.int64]) -> None:
    """Add profiles up; a slot that is known of no member stays closed."""
    level = profiles.level[members]
    total = float(level.sum())
    pooled = profiles.pooled[members]
    share = (np.maximum(pooled, 0.0) * level[:, None]).sum(axis=0) / max(total, 1e-9)
    profiles.pooled[group] = np.where((pooled >= 0.0).any(axis=0), share, -1.0)
    seasonal = profiles.seasonal[members]
    summed = np.maximum(seasonal, 0.0).sum(axis=0)
    profiles.seasonal[group] = np.where((seasonal >= 0.0).any(axis=0), summed, -1.0)
    last_week = profiles.last_week[members].astype(np.int64)
    known = last_week != _COUNT_NONE
    counted = np.minimum(np.where(known, last_week, 0).sum(axis=0), _COUNT_NONE - 1)
    profiles.last_week[group] = np.where(known.all(axis=0), counted, _COUNT_NONE)
    profiles.level[group] = total
    for weekday in range(WEEKDAYS):
        factor = float(level @ profiles.weekday_factor[members, weekday]) / max(total, 1e-9)
        profiles.weekday_factor[group, weekday] = factor
    profiles.weekday_days[group] = profiles.weekday_days[members].min(axis=0)
