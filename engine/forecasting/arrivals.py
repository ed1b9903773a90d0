"""
Forecasts of arrivals: the model's columns, and the calls that move them on.

One call ends a bucket for all queues; one a second looks into the running one; forecasts are made
of whatever queues are asked for. Days that have ended are learned from some rows at a time, so that
ten thousand queues whose day ends together do not hold anybody up.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.forecasting.calendar import CalendarRows
from engine.forecasting.columns import (
    Array,
    allocate,
    arrays_of,
    clear_row,
    copy_row,
    exported,
    imported,
    with_prefixes,
)
from engine.forecasting.drivers import Drivers
from engine.forecasting.events import Event, Events, Override
from engine.kernels.arrival_buckets import (
    close_bucket,
    issue_forecasts,
    lay_out_buckets,
    look_into_bucket,
)
from engine.kernels.arrival_forecast import Demand, demand, forecast
from engine.kernels.profile import SCRATCH_ROWS, learn_days
from engine.kernels.sensing_columns import (
    BUCKET_S,
    HORIZON,
    QUANTILE_COUNT,
    SLOTS,
    WEEKDAYS,
    Arrivals,
    Ledger,
    Live,
    Model,
    Observed,
    Profiles,
)
from engine.refusals import BadConfiguration

# Buckets that may have passed unseen; after a longer pause the state begins anew from the profile.
_PAUSE_MAX: Final = HORIZON


class Forecast(NamedTuple):
    """
    Contacts of the running bucket and those after it.

    Attributes
    ----------
    mean
        (m, buckets) contacts.
    quantiles
        (m, buckets, 4) 2.5, 10, 90 and 97.5 %, contacts.
    """

    mean: NDArray[np.float32]
    quantiles: NDArray[np.float32]


class ArrivalModel:
    """
    The model of every queue and group of queues.

    Attributes
    ----------
    calendars
        Their calendars.
    columns
        The arrays; replaced as they grow.
    bucket
        The running bucket, -1 before the first.
    events, drivers
        Laid on what is usual; exported by themselves.
    """

    def __init__(self, rows: int, calendars: CalendarRows | None = None) -> None:
        self.calendars = calendars or CalendarRows()
        self.columns = Model(
            self.calendars.columns,
            allocate(Profiles, rows),
            allocate(Arrivals, rows),
            allocate(Ledger, rows),
            allocate(Live, rows),
        )
        self.bucket = -1
        self.events = Events()
        self.drivers = Drivers()
        self._scratch = np.zeros((SCRATCH_ROWS, SLOTS))

    @property
    def rows(self) -> int:
        """Rows there is room for."""
        return len(self.columns.profiles.level)

    def require(self, rows: int) -> None:
        """Make room for rows of queues and groups."""
        if rows > self.rows:
            before = self.columns
            self.columns = Model(
                before.calendars,
                allocate(Profiles, rows, before.profiles),
                allocate(Arrivals, rows, before.arrivals),
                allocate(Ledger, rows, before.ledger),
                allocate(Live, rows, before.live),
            )

    def clear(self, row: int) -> None:
        """Forget a queue."""
        for group in self.columns[1:]:
            clear_row(group, row)
        self.drivers.clear(row)

    def set_calendar(self, row: int, calendar: int) -> None:
        """Say which calendar a queue goes by."""
        self.columns.profiles.calendar[row] = calendar

    def set_group(self, row: int, group: int) -> None:
        """
        Say whose shape a queue borrows while it has few contacts; -1 for nobody's.

        Raises
        ------
        ValueError
            It would borrow from itself, or the group from another one.
        """
        parent = self.columns.profiles.parent
        if group == row or (group >= 0 and parent[group] >= 0):
            raise ValueError(f"group of row {row}: expected a row without a group, got {group}")
        parent[row] = group

    def set_template(self, row: int, weekly: NDArray[np.float64]) -> None:
        """
        Begin a queue from a forecast made elsewhere, or from another queue's profile.

        Parameters
        ----------
        weekly
            (7, 288) contacts per bucket by weekday and slot of the calendar's days, -1 = closed;
            day ordinal modulo 7 is the weekday, so that place 0 is a Thursday.

        Raises
        ------
        ValueError
            It has another shape, holds NaN or infinities, or is nowhere open.
        """
        if weekly.shape != (WEEKDAYS, SLOTS) or not np.isfinite(weekly).all():
            raise ValueError(f"template: expected finite ({WEEKDAYS}, {SLOTS}), got {weekly.shape}")
        opened = weekly >= 0.0
        counts = np.where(opened, weekly, 0.0)
        if not counts.sum() > 0.0:
            raise ValueError("template: expected contacts in some slot, got none")
        profiles, row_totals = self.columns.profiles, counts.sum(axis=1)
        days = row_totals > 0.0
        level = row_totals[days].mean()
        share = counts.sum(axis=0) / np.maximum(opened[days].sum(axis=0), 1) / level
        profiles.pooled[row] = np.where(opened.any(axis=0), share, -1.0)
        profiles.seasonal[row] = np.where(opened, counts, -1.0)
        profiles.level[row] = level
        for weekday in range(WEEKDAYS):
            usual = level * share[opened[weekday]].sum()
            is_known = bool(days[weekday]) and usual > 0.0
            profiles.weekday_factor[row, weekday] = row_totals[weekday] / usual if is_known else 1.0
            profiles.weekday_days[row, weekday] = int(is_known)
        profiles.days[row] = int(days.sum())
        profiles.rate_day[row] = -1

    def close(self, bucket: int, observed: Observed, rows: NDArray[np.int64] | None = None) -> None:
        """
        End a bucket and begin the next one.

        Buckets since the last one that nobody ended are gaps. `rows` are all unless given; then
        `observed` goes with them.

        Raises
        ------
        ValueError
            The bucket has ended before; nothing changes.
        """
        if bucket < self.bucket:
            raise ValueError(f"bucket: expected at least {self.bucket}, got {bucket}")
        chosen = self._rows(rows)
        _check_observed(observed, len(chosen))
        if self.bucket < 0 or bucket - self.bucket > _PAUSE_MAX:
            self._begin(bucket, chosen)
        gap = Observed(*(np.zeros(len(chosen), np.int64) for _ in Observed._fields))
        for missed in range(self.bucket, bucket):
            self._close_one(missed, gap, chosen)
        self._close_one(bucket, observed, chosen)

    def learn(self, rows_max: int) -> int:
        """
        Learn from days that have ended, groups first, and lay their next days out.

        Returns how many rows are still to be done; each costs about 0.1 ms.
        """
        profiles, arrivals = self.columns.profiles, self.columns.arrivals
        today = arrivals.today
        is_stale = (
            (today >= 0) & (profiles.days > 0) & ~(profiles.rate_day == today[:, None]).any(1)
        )
        due = np.flatnonzero((profiles.learn_day >= 0) | is_stale)
        due = due[np.argsort(profiles.parent[due] >= 0, kind="stable")]
        self._learn_rows(due[:rows_max])
        return max(len(due) - rows_max, 0)

    def begin_again(self, rows: NDArray[np.int64]) -> None:
        """Lay the running bucket out anew for rows whose calendar, group or events have changed."""
        if self.bucket >= 0 and len(rows):
            self._lay_out_calendars(self.bucket)
            self._begin_bucket(self._rows(rows), self.bucket)

    def lay_out_again(self, rows: NDArray[np.int64]) -> None:
        """Lay the days of rows out by what they have learned, and begin their bucket anew."""
        self._lay_out_calendars(self.bucket)
        self._learn_rows(self._rows(rows))

    def adopt(self, row: int, other: "ArrivalModel") -> None:
        """
        Take all that another model has learned of its row 0; calendar and group stay as they are.

        Raises
        ------
        ValueError
            The other one stands at another bucket; nothing changes.
        """
        if other.bucket != self.bucket:
            raise ValueError(f"bucket: expected {self.bucket}, got {other.bucket}")
        profiles = self.columns.profiles
        calendar, parent = profiles.calendar[row], profiles.parent[row]
        for mine, theirs in zip(self.columns[1:4], other.columns[1:4], strict=True):
            copy_row(mine, row, theirs)
        profiles.calendar[row], profiles.parent[row] = calendar, parent
        self.lay_out_again(np.array([row]))

    def look(self, elapsed_s: int, observed: Observed) -> None:
        """Look into the running bucket, of which so many seconds have passed."""
        rows = self._rows(None)
        _check_observed(observed, len(rows))
        if not (0 <= elapsed_s <= BUCKET_S):
            raise ValueError(f"elapsed_s: expected 0 to {BUCKET_S}, got {elapsed_s}")
        look_into_bucket(self.columns, rows, elapsed_s, observed)

    def forecast(self, rows: NDArray[np.int64] | None = None, buckets: int = HORIZON) -> Forecast:
        """Forecast some queues, all unless given."""
        chosen = self._rows(rows)
        if not (1 <= buckets <= HORIZON):
            raise ValueError(f"buckets: expected 1 to {HORIZON}, got {buckets}")
        made = Forecast(
            np.empty((len(chosen), buckets), np.float32),
            np.empty((len(chosen), buckets, QUANTILE_COUNT), np.float32),
        )
        forecast(self.columns, chosen, made.mean, made.quantiles)
        return made

    def demand(self, first: int, until: int, rows: NDArray[np.int64] | None = None) -> Demand:
        """
        Forecast the contacts of buckets `first` to `until` from the running one, 0, as one number.

        `until` is not included. So 10-, 15- and 30-minute views are sums of the same forecast.
        """
        chosen = self._rows(rows)
        if not (0 <= first < until <= HORIZON):
            raise ValueError(
                f"buckets: expected 0 <= first < until <= {HORIZON}, got {first}, {until}"
            )
        made = Demand(
            np.empty(len(chosen)), np.empty(len(chosen)), np.empty((len(chosen), QUANTILE_COUNT))
        )
        demand(self.columns, chosen, first, until, made)
        return made

    def export(self) -> dict[str, Array]:
        """Everything that is learned, as arrays, for `load`."""
        columns = self.columns
        groups = {"profiles": columns.profiles, "arrivals": columns.arrivals,
                  "ledger": columns.ledger}  # fmt: skip
        of_groups = with_prefixes({name: exported(group) for name, group in groups.items()})
        return of_groups | {"bucket": np.array(self.bucket)}

    def load(self, arrays: Mapping[str, Array]) -> None:
        """
        Take what `export` gave, of as many rows.

        Calendars, events and drivers have exports of their own, and are loaded before.

        Raises
        ------
        BadConfiguration
            The arrays are of another version; nothing changes.
        """
        if "bucket" not in arrays:
            raise BadConfiguration("bucket", None, "the running bucket")
        parts = {name: arrays_of(name, arrays) for name in ("profiles", "arrivals", "ledger")}
        rows = self.rows
        self.columns = Model(
            self.calendars.columns,
            imported(Profiles, parts["profiles"], rows),
            imported(Arrivals, parts["arrivals"], rows),
            imported(Ledger, parts["ledger"], rows),
            allocate(Live, rows),
        )
        self.bucket = int(np.int64(arrays["bucket"]))
        if self.bucket >= 0:
            self._lay_out_calendars(self.bucket)
            self._begin_bucket(self._rows(None), self.bucket)

    def _rows(self, rows: NDArray[np.int64] | None) -> NDArray[np.int64]:
        if rows is None:
            return np.arange(self.rows)
        if rows.dtype != np.int64 or rows.ndim != 1:
            raise ValueError(f"rows: expected a row of int64, got {rows.dtype}")
        if len(rows) and not (rows.min() >= 0 and rows.max() < self.rows):
            raise ValueError(
                f"rows: expected 0 to {self.rows - 1}, got {rows.min()} to {rows.max()}"
            )
        return np.ascontiguousarray(rows)

    def _begin(self, bucket: int, rows: NDArray[np.int64]) -> None:
        """Begin at a bucket, as after a start or a long pause."""
        self._lay_out_calendars(bucket)
        self.bucket = bucket
        # What was issued long ago stands where forecasts of other buckets go.
        self.columns.ledger.issued[rows] = np.nan
        self.columns.ledger.half_hour[rows] = np.nan
        self._begin_bucket(rows, bucket)

    def _close_one(self, bucket: int, observed: Observed, rows: NDArray[np.int64]) -> None:
        self._lay_out_calendars(bucket)
        self.drivers.learn(bucket, rows, observed, self.columns.arrivals)
        self.events.note(rows, observed.contacts, observed.covered_s)
        close_bucket(self.columns, rows, bucket, observed)
        self.bucket = bucket + 1
        self._begin_bucket(rows, bucket + 1)

    def _begin_bucket(self, rows: NDArray[np.int64], bucket: int) -> None:
        lay_out_buckets(self.columns, rows, bucket)
        self.drivers.lay_on(self.columns, rows, bucket)
        self.events.lay_on(self.columns.arrivals, rows, bucket)
        issue_forecasts(self.columns, rows, bucket)
        # After what is kept for scoring: nothing is learned from an order.
        for chosen, ahead, event in self.events.orders(rows, bucket):
            self._override(chosen, ahead, event)

    def _override(self, rows: NDArray[np.int64], ahead: NDArray[np.int64], event: Event) -> None:
        """Bring forecasts of some rows and buckets to what is ordered, where queues are open."""
        mean = self.forecast(rows).mean[:, ahead].astype(np.float64)
        ordered = np.full_like(mean, event.level)
        if event.override is Override.MIN:
            ordered = np.maximum(mean, event.level)
        elif event.override is Override.MAX:
            ordered = np.minimum(mean, event.level)
        factor = np.divide(ordered, mean, out=np.ones_like(mean), where=mean > 0.0)
        place = np.ix_(rows, ahead)
        for expected in (self.columns.arrivals.expected, self.columns.arrivals.other):
            expected[place] *= factor.astype(np.float32)

    def _learn_rows(self, rows: NDArray[np.int64]) -> None:
        if len(rows):
            learn_days(self.columns, rows, self._scratch)
            self._begin_bucket(rows, self.bucket)

    def _lay_out_calendars(self, bucket: int) -> None:
        for row in self.calendars.due(bucket):
            self.calendars.lay_out(row, bucket)
        # Arrays of calendars are replaced where one is added.
        if self.columns.calendars is not self.calendars.columns:
            self.columns = self.columns._replace(calendars=self.calendars.columns)


def _check_observed(observed: Observed, rows: int) -> None:
    for name, array in zip(Observed._fields, observed, strict=True):
        if array.dtype != np.int64 or array.shape != (rows,):
            raise ValueError(
                f"observed.{name}: expected int64 of shape ({rows},), "
                f"got {array.dtype} of shape {array.shape}"
            )
        if len(array) and not (array.min() >= 0 and array.max() <= 1 << 40):
            raise ValueError(
                f"observed.{name}: expected 0 to 2^40, got {array.min()} to {array.max()}"
            )
