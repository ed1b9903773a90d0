"""
Handle time per queue: the mean now, how certain it is, and what is left out of it.

A reading of k contacts whose times have the mean m is taken for what it is when it can be: of at
least `shortest_ms`, at most `longest_ms`, and no more than z deviations of a lognormal above the
mean, for handle times are close to lognormal (Brown and others 2005):

    mean * exp(z * sqrt(log(1 + (exp(s^2) - 1) / k)))        E |m / mean - 1| = 2 (2 Phi(s / 2) - 1)

s follows from the mean absolute deviation, each at most 3: from squares, one reading of an hour
let the next ten in. Beyond the bound a reading is left out, as in a redescending estimator (Hampel
1974): cut down to it instead, one of hours among twenty would still add a third. Where more than
half of what comes lies beyond, it is the queue that has changed; from then on such readings count
as the bound, which rises with them (as Gelper, Fried and Croux 2010 clean what they smooth).
Nothing is cut from below but what is shorter than any contact: short times are common and weigh
little.

Means are exponentially weighted over buckets in which contacts were handled, and shrunk: with W
contacts' weight and `between` the coefficient of variation of the means of like queues,

    Z = W / (W + k),  k = cv^2 / between^2        mean = Z * own + (1 - Z) * prior

(credibility: Bühlmann 1967). The prior of a queue is its template, else the mean of its group,
which is shrunk likewise to the group's own template. Samples are Kish's effective count,
(sum w)^2 / sum w^2.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.forecasting.columns import Array, allocate, clear_row, exported, imported
from engine.kernels.sensing_columns import ROWS, Absent, Count, Extent, One, Real
from engine.refusals import BadConfiguration

# Readings' worth of a coefficient of variation of 1 that a queue's own is mixed with.
_SPREAD_PRIOR: Final = 20.0
# A deviation from the mean counts up to so many means.
_ABSOLUTE_MAX: Final = 3.0
# Standard deviations of the logarithm of a lognormal, and mean absolute deviations over the mean.
_SPREADS: Final = np.linspace(0.05, 1.2, 47)
_ABSOLUTES: Final = np.array([2.0 * math.erf(spread / math.sqrt(8.0)) for spread in _SPREADS])
_ABSOLUTE_PRIOR: Final = float(np.interp(math.sqrt(math.log(2.0)), _SPREADS, _ABSOLUTES))
_CREDIBILITY_MIN, _CREDIBILITY_MAX = 2.0, 400.0
# Share beyond the bound from which the queue has changed, and readings without which it has not.
_CHANGED_SHARE: Final = 0.5
_CHANGED_PRIOR: Final = 4.0
# Places in `bucket` of what is compared with the bound; those before are in the order of the sums.
_BEYOND: Final = 5
_JUDGED: Final = 6
_TIME_MAX_MS: Final = 7 * 86_400_000
_DEFAULT_MS: Final = 300_000.0


@dataclass(frozen=True, slots=True)
class HandleTimeSettings:
    """
    What counts as a handle time, and how long it is remembered.

    Attributes
    ----------
    prior_ms
        Mean where there is neither template nor group, 1,000 to a week.
    shortest_ms, longest_ms
        Means of a reading beyond which it is none, 0 to a week.
    deviations_max
        z of the bound, 1 to 10.
    between_cv
        Coefficient of variation of the means of like queues, 0.01 to 2.
    half_life_buckets
        Buckets with contacts after which a reading counts half, 1 to 10,000.
    """

    prior_ms: float = _DEFAULT_MS
    shortest_ms: float = 1_000.0
    longest_ms: float = 14_400_000.0
    deviations_max: float = 3.0
    between_cv: float = 0.2
    half_life_buckets: float = 24.0

    def __post_init__(self) -> None:
        bounds = {
            "prior_ms": (1_000.0, _TIME_MAX_MS),
            "shortest_ms": (0.0, self.longest_ms),
            "longest_ms": (self.shortest_ms, _TIME_MAX_MS),
            "deviations_max": (1.0, 10.0),
            "between_cv": (0.01, 2.0),
            "half_life_buckets": (1.0, 10_000.0),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not (low <= value <= high):
                raise BadConfiguration(f"handle_time.{name}", value, f"{low:g} to {high:g}")


class HandleTimeColumns(NamedTuple):
    """
    What is kept of each queue and group.

    Attributes
    ----------
    parent
        (n,) row of the group, -1 for none.
    template_ms
        (n,) mean to begin with, 0 = none.
    weight, weight_square, total_ms
        (n,) decayed contacts, their squared weights, and their handle times.
    square, absolute, readings
        (n,) decayed k (m / mean - 1)^2, sqrt(k) |m / mean - 1|, and readings.
    beyond, judged
        (n,) decayed readings beyond the bound, and all that were compared with it.
    bucket
        (n, 7) contacts, total_ms, square, absolute, readings, beyond and judged of the running
        bucket.
    mean_ms, cv, spread, error
        (n,) estimates as of the last bucket: mean, coefficient of variation of one contact, s, and
        relative standard error of the mean.
    refused
        (n,) contacts left out so far.
    """

    parent: Absent
    template_ms: Real
    weight: Real
    weight_square: Real
    total_ms: Real
    square: Real
    absolute: Real
    readings: Real
    beyond: Real
    judged: Real
    bucket: Annotated[NDArray[np.float64], Extent(np.float64, 0.0, (ROWS, 7))]
    mean_ms: Annotated[NDArray[np.float64], Extent(np.float64, _DEFAULT_MS, (ROWS,))]
    cv: One
    spread: One
    error: One
    refused: Count


class HandleTime(NamedTuple):
    """
    Handle time of every queue, wrap-up included; (n,) each.

    Attributes
    ----------
    mean_ms
        Mean, > 0.
    deviation_ms
        Standard deviation of one contact.
    error
        Relative standard error of the mean.
    samples
        Effective contacts of the queue's own it rests on.
    """

    mean_ms: NDArray[np.float64]
    deviation_ms: NDArray[np.float64]
    error: NDArray[np.float64]
    samples: NDArray[np.float64]


class _Alone(NamedTuple):
    """
    Rows (n,) by what they have had themselves.

    Attributes
    ----------
    prior_ms
        Mean before the first contact.
    needed
        Contacts that the prior weighs as much as.
    trust
        Weight of their own contacts against it, 0 to 1.
    mean_ms, cv
        Of both; coefficient of variation.
    """

    prior_ms: NDArray[np.float64]
    needed: NDArray[np.float64]
    trust: NDArray[np.float64]
    mean_ms: NDArray[np.float64]
    cv: NDArray[np.float64]


class HandleTimes:
    """
    Handle times of all queues, fed second by second and settled once a bucket.

    Attributes
    ----------
    columns
        The arrays; replaced as they grow.
    """

    def __init__(self, rows: int, settings: HandleTimeSettings | None = None) -> None:
        self._settings = settings or HandleTimeSettings()
        self.columns = allocate(HandleTimeColumns, rows)
        self._settle()

    def require(self, rows: int) -> None:
        """Make room for rows of queues and groups."""
        if rows > len(self.columns.weight):
            self.columns = allocate(HandleTimeColumns, rows, self.columns)
            self._settle()

    def clear(self, row: int) -> None:
        """Forget a queue."""
        depending = self._depending(row)
        clear_row(self.columns, row)
        self._settle(depending)

    def set_group(self, row: int, group: int) -> None:
        """
        Say whose mean a queue begins with; -1 for nobody's. Groups are fed by their members alone.

        Raises
        ------
        ValueError
            It would be its own group, the group has one itself, or there is no such row.
        """
        parent = self.columns.parent
        is_row = -1 <= group < len(parent) and group != row
        if not is_row or (group >= 0 and (parent[group] >= 0 or (parent == row).any())):
            raise ValueError(f"group of row {row}: expected a row without a group, got {group}")
        parent[row] = group
        self._settle(np.array([row]))

    def set_template(self, row: int, mean_ms: float) -> None:
        """
        Begin a queue with a mean known from elsewhere; it counts like some dozens of contacts.

        Raises
        ------
        BadConfiguration
            It is no handle time.
        """
        low, high = max(self._settings.shortest_ms, 1.0), self._settings.longest_ms
        if not (low <= mean_ms <= high):
            raise BadConfiguration("handle_time.template_ms", mean_ms, f"{low:g} to {high:g}")
        self.columns.template_ms[row] = mean_ms
        self._settle(self._depending(row))

    def observe(self, handled: NDArray[np.int64], handle_ms: NDArray[np.int64]) -> None:
        """
        Take one second in: contacts handled (n,), and the sum of their times (n,).

        Seconds that do not count, as in a gap, are given as 0 contacts.

        Raises
        ------
        ValueError
            An array has another shape, or holds negative numbers; nothing is taken.
        """
        columns, settings = self.columns, self._settings
        for name, array in (("handled", handled), ("handle_ms", handle_ms)):
            if array.shape != columns.weight.shape or array.dtype != np.int64:
                raise ValueError(f"{name}: expected int64 of shape {columns.weight.shape}")
            if (array < 0).any():
                raise ValueError(f"{name}: expected at least 0, got {array.min()}")
        rows = np.flatnonzero(handled)
        contacts = handled[rows].astype(np.float64)
        mean = handle_ms[rows] / contacts
        can_be = (mean >= settings.shortest_ms) & (mean <= settings.longest_ms)
        columns.refused[rows[~can_be]] += handled[rows[~can_be]]
        rows, contacts, mean = rows[can_be], contacts[can_be], mean[can_be]
        spread = np.sqrt(np.log1p(np.expm1(columns.spread[rows] ** 2) / contacts))
        bound = columns.mean_ms[rows] * np.exp(settings.deviations_max * spread)
        is_beyond = mean > bound
        has_changed = columns.beyond[rows] > _CHANGED_SHARE * (
            columns.judged[rows] + _CHANGED_PRIOR
        )
        bucket = columns.bucket
        bucket[rows, _BEYOND] += is_beyond
        bucket[rows, _JUDGED] += 1.0
        counts = ~is_beyond | has_changed
        columns.refused[rows[~counts]] += contacts[~counts].astype(np.int64)
        rows, contacts = rows[counts], contacts[counts]
        taken = np.minimum(mean, bound)[counts]
        away = np.abs(taken / columns.mean_ms[rows] - 1.0)
        told = (contacts, contacts * taken, contacts * away**2,
                np.sqrt(contacts) * np.minimum(away, _ABSOLUTE_MAX), 1.0)  # fmt: skip
        for place, value in enumerate(told):
            bucket[rows, place] += value

    def close(self) -> None:
        """End a bucket: what has come since the last one enters the means. O(rows)."""
        columns = self.columns
        bucket = columns.bucket
        members = np.flatnonzero(columns.parent >= 0)
        np.add.at(bucket, columns.parent[members], bucket[members])
        kept = np.where(
            bucket[:, _JUDGED] > 0.0, 0.5 ** (1.0 / self._settings.half_life_buckets), 1.0
        )
        sums = (columns.weight, columns.total_ms, columns.square, columns.absolute,
                columns.readings, columns.beyond, columns.judged)  # fmt: skip
        for place, array in enumerate(sums):
            array *= kept
            array += bucket[:, place]
        columns.weight_square[:] = columns.weight_square * kept**2 + bucket[:, 0]
        bucket[:] = 0.0
        self._settle()

    def estimate(self) -> HandleTime:
        """Handle times as of the last bucket that was closed."""
        columns = self.columns
        samples = np.zeros_like(columns.weight)
        np.divide(columns.weight**2, columns.weight_square, out=samples,
                  where=columns.weight_square > 0.0)  # fmt: skip
        return HandleTime(
            columns.mean_ms.copy(), columns.cv * columns.mean_ms, columns.error.copy(), samples
        )

    def export(self) -> dict[str, Array]:
        """Everything as arrays, for `load`."""
        return exported(self.columns)

    def load(self, arrays: Mapping[str, Array]) -> None:
        """
        Take what `export` gave, of as many rows.

        Raises
        ------
        BadConfiguration
            The arrays are of another version; nothing changes.
        """
        self.columns = imported(HandleTimeColumns, arrays, len(self.columns.weight))

    def _depending(self, row: int) -> NDArray[np.int64]:
        """A row, and those that borrow from it."""
        return np.append(np.flatnonzero(self.columns.parent == row), row)

    def _settle(self, rows: NDArray[np.int64] | None = None) -> None:
        """Make the estimates of rows, or of all, of what is kept."""
        columns, between = self.columns, self._settings.between_cv
        if rows is None:
            rows = np.arange(len(columns.weight))
        parent = columns.parent[rows]
        alone, group = self._alone(rows), self._alone(parent)
        borrows = (parent >= 0) & (columns.template_ms[rows] <= 0.0)
        prior_ms = np.where(borrows, group.mean_ms, alone.prior_ms)
        prior_error = np.where(borrows, between * np.sqrt(1.0 - group.trust), 0.0)
        seen = columns.weight[rows] + alone.needed
        columns.mean_ms[rows] = (prior_ms * alone.needed + columns.total_ms[rows]) / seen
        columns.error[rows] = np.hypot(
            between * np.sqrt(1.0 - alone.trust), (1.0 - alone.trust) * prior_error
        )
        columns.cv[rows] = alone.cv
        absolute = columns.absolute[rows] + _SPREAD_PRIOR * _ABSOLUTE_PRIOR
        absolute /= columns.readings[rows] + _SPREAD_PRIOR
        columns.spread[rows] = np.interp(absolute, _ABSOLUTES, _SPREADS)

    def _alone(self, rows: NDArray[np.int64]) -> _Alone:
        """Estimates of rows that borrow from nobody."""
        columns, between = self.columns, self._settings.between_cv
        weight, template_ms = columns.weight[rows], columns.template_ms[rows]
        square = columns.square[rows] + _SPREAD_PRIOR
        square /= columns.readings[rows] + _SPREAD_PRIOR
        needed = np.clip(square / between**2, _CREDIBILITY_MIN, _CREDIBILITY_MAX)
        trust = weight / (weight + needed)
        prior_ms = np.where(template_ms > 0.0, template_ms, self._settings.prior_ms)
        mean_ms = (prior_ms * needed + columns.total_ms[rows]) / (weight + needed)
        return _Alone(prior_ms, needed, trust, mean_ms, np.sqrt(square))
