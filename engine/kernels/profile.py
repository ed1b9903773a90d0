"""
What is usual at each time of the week: learned from a day when it has ended, laid out for the next.

A day's total is `level * weekday factor * sum of pooled over its open slots`. The shape of a
weekday is the pooled shape, smoothed over b slots, times how the weekday's own mean departs from
it, both smoothed over 4 b slots: a weekday has too few days of its own to tell noise from shape. b
grows as counts shrink, `b = clip((40 / mean) ** 0.2, 1, 3)`, and is 0.6 of that above 60 a bucket.
A queue with few contacts mixes in the shape of its group, by how many contacts its own rests on.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.kernels.compilation import sensing_entry, sensing_kernel
from engine.kernels.sensing_columns import SLOTS, WEEKDAYS, Model, Profiles

# Shares of what is new in a mean, per day: level; weekday factor; pooled shape; the weekday's slot.
_LEVEL_GAIN: Final = 0.03
_LEVEL_GAIN_DRIFT: Final = 0.2
_WEEKDAY_GAIN: Final = 0.05
_POOLED_GAIN: Final = 0.02
_SEASONAL_GAIN: Final = 0.1
_SPECIAL_GAIN: Final = 0.3
# A day counts when no more than this share of its contacts had to be filled in.
_FILLED_MAX: Final = 0.5
# Contacts at which a queue's own shape counts as much as its group's, and days it remembers.
_OWN_CONTACTS: Final = 500.0
_OWN_DAYS: Final = 1.0 / _POOLED_GAIN
# Contacts a day at which a weekday's own factor counts half.
_WEEKDAY_CONTACTS: Final = 20.0
# A smoother's reach in standard deviations.
_REACH: Final = 4.0
# Where profile reaches: rows of scratch space.
SCRATCH_ROWS: Final = 5
_NARROW: Final = 0
_POOLED_WIDE: Final = 1
_OWN_WIDE: Final = 2
_DAY: Final = 3
_WEIGHT: Final = 4
_COUNT_NONE: Final = 65_535


@sensing_kernel
def smooth(
    values: NDArray[np.float32],
    width: float,
    weight: NDArray[np.float64],
    smoothed: NDArray[np.float64],
) -> None:
    """
    Gaussian mean of the slots around each slot, over those that are not negative.

    Slots out of reach of any get the mean of all; -1 where there is none. O(slots × width).

    Parameters
    ----------
    values
        (288,), negative = left out.
    width
        Standard deviation, slots, > 0.
    weight
        (288,) scratch space.
    smoothed
        (288,) result.
    """
    reach = min(int(_REACH * width + 0.5), SLOTS - 1)
    for away in range(reach + 1):
        weight[away] = math.exp(-0.5 * (away / width) * (away / width))
    total, count = 0.0, 0
    for slot in range(SLOTS):
        if values[slot] >= 0.0:
            total += np.float64(values[slot])
            count += 1
    mean = total / count if count > 0 else -1.0
    for slot in range(SLOTS):
        above, below = 0.0, 0.0
        for other in range(max(0, slot - reach), min(SLOTS, slot + reach + 1)):
            if values[other] >= 0.0:
                share = weight[abs(other - slot)]
                above += share * np.float64(values[other])
                below += share
        smoothed[slot] = above / below if below > 1e-9 else mean


@sensing_kernel
def _fill_day(profiles: Profiles, row: int, place: int, filled: NDArray[np.float64]) -> float:
    """
    A day's contacts per fully open bucket, with gaps filled in; -1 where closed all day.

    Gaps get what was usual, times how the rest of the day compared; before any day has been learned
    from, what they are missing is the day's own mean. Returns the share that was filled in, 2 for a
    day without an open slot. O(slots).
    """
    counted, missing, usual = 0.0, 0.0, 0.0
    is_open = False
    for slot in range(SLOTS):
        open_buckets = np.float64(profiles.day_open[row, place, slot])
        if open_buckets > 0.0:
            is_open = True
            counted += np.float64(profiles.day_count[row, place, slot])
            missing += np.float64(profiles.day_missing[row, place, slot])
            usual += np.float64(profiles.rate[row, place, slot]) * open_buckets
    if not is_open:
        return 2.0
    ratio = (counted + 1.0) / (max(usual - missing, 0.0) + 1.0) if usual > 0.0 else 1.0
    for slot in range(SLOTS):
        open_buckets = np.float64(profiles.day_open[row, place, slot])
        count = np.float64(profiles.day_count[row, place, slot])
        count += np.float64(profiles.day_missing[row, place, slot]) * ratio
        filled[slot] = count / open_buckets if open_buckets > 0.0 else -1.0
    return missing * ratio / (counted + missing * ratio) if missing > 0.0 else 0.0


@sensing_kernel
def _learn_level(profiles: Profiles, row: int, weekday: int, total: float, gain: float) -> None:
    """Learn level and weekday factor from a day's total in units of the pooled shape. O(1)."""
    if profiles.days[row] == 0:
        profiles.level[row] = total
        return
    usual = profiles.level[row] * profiles.weekday_factor[row, weekday]
    # Of few contacts a day the ratio is mostly noise, which a bound would turn into a bias.
    noise = 6.0 / math.sqrt(usual + 0.1)
    ratio = min(max(total / max(usual, 1e-3), 0.5 - noise), 2.0 + noise)
    own = usual / (usual + _WEEKDAY_CONTACTS)
    days = profiles.weekday_days[row, weekday]
    if days == 0:
        profiles.weekday_factor[row, weekday] *= 1.0 + own * (ratio - 1.0)
        if profiles.days[row] >= WEEKDAYS:
            return
        # The first week: the level is the mean of the days so far.
        gain = own / (profiles.days[row] + 1.0)
    share = max(_WEEKDAY_GAIN, 1.0 / (days + 1.0)) * own if days > 0 else 0.0
    profiles.weekday_factor[row, weekday] *= 1.0 + share * (ratio - 1.0)
    profiles.level[row] = max(profiles.level[row] * (1.0 + gain * (ratio - 1.0)), 1e-3)


@sensing_kernel
def _learn_shape(
    profiles: Profiles, row: int, weekday: int, day: NDArray[np.float64], total: float
) -> None:
    """Learn pooled shape, the weekday's means and the last week's counts. O(slots)."""
    pooled_gain = max(_POOLED_GAIN, 1.0 / (profiles.days[row] + 1.0))
    seasonal_gain = max(_SEASONAL_GAIN, 1.0 / (profiles.weekday_days[row, weekday] + 1.0))
    pooled = profiles.pooled[row]
    seasonal = profiles.seasonal[row, weekday]
    for slot in range(SLOTS):
        if day[slot] < 0.0:
            continue
        share = day[slot] / max(total, 1e-9)
        if pooled[slot] < 0.0:
            pooled[slot] = share
        else:
            pooled[slot] += pooled_gain * (share - np.float64(pooled[slot]))
        if seasonal[slot] < 0.0:
            seasonal[slot] = day[slot]
        else:
            seasonal[slot] += seasonal_gain * (day[slot] - np.float64(seasonal[slot]))
        profiles.last_week[row, weekday, slot] = min(int(day[slot] + 0.5), _COUNT_NONE - 1)


@sensing_kernel
def _learn_special(profiles: Profiles, row: int, place: int, kind: int) -> None:
    """Learn how a kind of special day compares with an ordinary one. O(slots)."""
    counted, usual = 0.0, 0.0
    for slot in range(SLOTS):
        counted += np.float64(profiles.day_count[row, place, slot])
        open_buckets = np.float64(profiles.day_open[row, place, slot])
        usual += np.float64(profiles.rate[row, place, slot]) * open_buckets
    if usual <= 0.0:
        return
    days = profiles.special_days[row, kind]
    gain = max(_SPECIAL_GAIN, 1.0 / (days + 1.0))
    factor = profiles.special_factor[row, kind]
    profiles.special_factor[row, kind] = factor + gain * ((counted + 1.0) / (usual + 1.0) - factor)
    profiles.special_days[row, kind] = days + 1


@sensing_kernel
def _learn_ordinary(model: Model, row: int, day_number: int, scratch: NDArray[np.float64]) -> None:
    """Learn from an ordinary day, unless too much of it is missing. O(slots)."""
    profiles = model.profiles
    weekday = day_number % WEEKDAYS
    day = scratch[_DAY]
    if _fill_day(profiles, row, day_number & 1, day) > _FILLED_MAX:
        return
    total, share = 0.0, 0.0
    for slot in range(SLOTS):
        if day[slot] >= 0.0 and profiles.pooled[row, slot] >= 0.0:
            total += day[slot]
            share += np.float64(profiles.pooled[row, slot])
    if profiles.days[row] == 0 or share <= 0.0:
        total, share = 0.0, 1.0
        for slot in range(SLOTS):
            total += max(day[slot], 0.0)
    if total <= 0.0 and profiles.days[row] == 0:
        return
    total /= share
    is_drifting = model.arrivals.drift_days[row] > 0
    _learn_shape(profiles, row, weekday, day, total)
    _learn_level(profiles, row, weekday, total, _LEVEL_GAIN_DRIFT if is_drifting else _LEVEL_GAIN)
    profiles.weekday_days[row, weekday] += 1
    profiles.days[row] += 1


@sensing_kernel
def _mix_in_group(profiles: Profiles, row: int, day_number: int, total: float) -> None:
    """
    Mix a day's rates with the shape of the queue's group, by how many contacts its own rests on.

    O(slots).
    """
    parent, place = profiles.parent[row], day_number & 1
    if parent < 0 or profiles.rate_day[parent, place] != day_number:
        return
    shape, rate = profiles.rate[parent, place], profiles.rate[row, place]
    of_group = 0.0
    for slot in range(SLOTS):
        if profiles.pooled[row, slot] >= 0.0:
            of_group += np.float64(shape[slot])
    if of_group <= 0.0:
        return
    contacts = profiles.level[row] * min(float(profiles.days[row]), _OWN_DAYS)
    own = contacts / (contacts + _OWN_CONTACTS)
    for slot in range(SLOTS):
        borrowed = np.float64(shape[slot]) * total / of_group
        rate[slot] = own * np.float64(rate[slot]) + (1.0 - own) * borrowed


@sensing_kernel
def _weekday_factor(profiles: Profiles, row: int, weekday: int) -> float:
    """Factor of a weekday; that of the group for a queue with too few contacts. O(1)."""
    parent = profiles.parent[row]
    if parent >= 0 and profiles.level[row] < _WEEKDAY_CONTACTS:
        return profiles.weekday_factor[parent, weekday]
    return profiles.weekday_factor[row, weekday]


@sensing_kernel
def _lay_out(profiles: Profiles, row: int, day_number: int, scratch: NDArray[np.float64]) -> None:
    """Set the rates of a day. O(slots × width)."""
    weekday, place = day_number % WEEKDAYS, day_number & 1
    pooled, seasonal = profiles.pooled[row], profiles.seasonal[row, weekday]
    count, share = 0, 0.0
    for slot in range(SLOTS):
        if pooled[slot] >= 0.0:
            count += 1
            share += np.float64(pooled[slot])
    total = profiles.level[row] * _weekday_factor(profiles, row, weekday)
    profiles.rate_day[row, place] = day_number
    mean = total * share / max(count, 1)
    if count == 0:
        profiles.rate[row, place, :] = 0.0
        return
    width = min(3.0, max(1.0, (40.0 / max(mean, 0.5)) ** 0.2))
    if mean > 60.0:
        width *= 0.6
    narrow, wide, own = scratch[_NARROW], scratch[_POOLED_WIDE], scratch[_OWN_WIDE]
    smooth(pooled, width, scratch[_WEIGHT], narrow)
    if profiles.weekday_days[row, weekday] > 0:
        smooth(pooled, 4.0 * width, scratch[_WEIGHT], wide)
        smooth(seasonal, 4.0 * width, scratch[_WEIGHT], own)
        for slot in range(SLOTS):
            narrow[slot] *= own[slot] / max(wide[slot], 1e-12)
    before, after = 0.0, 0.0
    for slot in range(SLOTS):
        if pooled[slot] >= 0.0 and (
            seasonal[slot] >= 0.0 or profiles.weekday_days[row, weekday] == 0
        ):
            before += np.float64(pooled[slot])
            after += narrow[slot]
    scale = total * before / max(after, 1e-12)
    for slot in range(SLOTS):
        profiles.rate[row, place, slot] = max(narrow[slot] * scale, 1e-4)
    _mix_in_group(profiles, row, day_number, total * share)


@sensing_kernel
def _forget_day(profiles: Profiles, row: int, place: int) -> None:
    """Make room for another day's counts. O(slots)."""
    profiles.day_count[row, place, :] = 0.0
    profiles.day_missing[row, place, :] = 0.0
    profiles.day_open[row, place, :] = 0.0
    profiles.day_of[row, place] = -1


@sensing_entry
def learn_days(model: Model, rows: NDArray[np.int64], scratch: NDArray[np.float64]) -> None:
    """
    Learn from each row's last day, and lay out the running day and the next; groups come first.

    About 0.1 ms a row, so call it for some rows at a time.

    Parameters
    ----------
    rows
        (m,) rows whose `today` is set.
    scratch
        (5, 288) space to work in.
    """
    profiles = model.profiles
    for row in rows:
        ended = profiles.learn_day[row]
        if ended >= 0:
            place = ended & 1
            if profiles.day_of[row, place] == ended:
                kind = profiles.day_kind[row, place]
                if kind > 0:
                    _learn_special(profiles, row, place, kind)
                else:
                    _learn_ordinary(model, row, ended, scratch)
                _forget_day(profiles, row, place)
            profiles.learn_day[row] = -1
        today = model.arrivals.today[row]
        if today >= 0 and profiles.days[row] > 0:
            _lay_out(profiles, row, today, scratch)
            _lay_out(profiles, row, today + 1, scratch)
