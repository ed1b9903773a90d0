"""What came lately, by bucket, beside what had been forecast for it."""

from collections.abc import Mapping
from typing import Annotated, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.forecasting.columns import Array, allocate, clear_row, exported, imported
from engine.kernels.sensing_columns import HORIZON, ROWS, Extent, Observed
from engine.refusals import BadConfiguration

# A bucket of which fewer seconds were seen is told as not known.
_SEEN_S: Final = 294


class _Columns(NamedTuple):
    """
    Rings of the last twelve hours.

    Attributes
    ----------
    contacts
        (n, 144) contacts that came, -1 = not known.
    forecast
        (n, 144) contacts that were forecast, NaN = none.
    """

    contacts: Annotated[NDArray[np.int64], Extent(np.int64, -1, (ROWS, HORIZON))]
    forecast: Annotated[NDArray[np.float32], Extent(np.float32, np.nan, (ROWS, HORIZON))]


class Step(NamedTuple):
    """A bucket that is over: contacts, -1 for not known, and what was forecast, NaN for nothing."""

    bucket: int
    contacts: int
    forecast: float


class Recent:
    """The last twelve hours of every queue and group."""

    def __init__(self, rows: int) -> None:
        self._columns = allocate(_Columns, rows)
        # Which bucket stands in each place of the rings.
        self._buckets = np.full(HORIZON, -1, np.int64)

    def require(self, rows: int) -> None:
        """Make room for rows."""
        if rows > len(self._columns.contacts):
            self._columns = allocate(_Columns, rows, self._columns)

    def clear(self, row: int) -> None:
        """Forget a row."""
        clear_row(self._columns, row)

    def note(
        self, bucket: int, observed: Observed, forecast: NDArray[np.float64] | None = None
    ) -> None:
        """
        Keep what came in a bucket.

        Parameters
        ----------
        forecast
            (n,) contacts forecast for it some time before, None for nothing.
        """
        place = self._place_of(bucket)
        if place < 0:
            return
        seen = observed.covered_s >= _SEEN_S
        self._columns.contacts[:, place] = np.where(seen, observed.contacts, -1)
        if forecast is not None and len(forecast) == len(self._columns.forecast):
            self._columns.forecast[:, place] = forecast

    def put(self, row: int, bucket: int, contacts: int) -> None:
        """Say what came for a row, unless that is known."""
        place = self._place_of(bucket)
        if place >= 0 and self._columns.contacts[row, place] < 0:
            self._columns.contacts[row, place] = contacts

    def steps(self, row: int, running: int, count: int) -> list[Step]:
        """The last buckets of a row before the running one, the oldest first."""
        found = []
        for bucket in range(running - min(count, HORIZON), running):
            place = bucket % HORIZON
            contacts, forecast = -1, float("nan")
            if self._buckets[place] == bucket:
                contacts = int(self._columns.contacts[row, place])
                forecast = float(self._columns.forecast[row, place])
            found.append(Step(bucket, contacts, forecast))
        return found

    def export(self) -> dict[str, Array]:
        """Everything as arrays, for `load`."""
        return exported(self._columns) | {"buckets": self._buckets.copy()}

    def load(self, arrays: Mapping[str, Array]) -> None:
        """
        Take what `export` gave, of as many rows.

        Raises
        ------
        BadConfiguration
            The arrays are of another version; nothing changes.
        """
        columns = imported(_Columns, arrays, len(self._columns.contacts))
        buckets = arrays.get("buckets")
        if buckets is None or buckets.shape != (HORIZON,):
            raise BadConfiguration("recent.buckets", None, f"an array of {HORIZON}")
        self._columns = columns
        self._buckets = buckets.astype(np.int64)

    def _place_of(self, bucket: int) -> int:
        """Where a bucket stands, emptied for it; -1 where a later one does."""
        place = bucket % HORIZON
        if bucket < self._buckets[place]:
            return -1
        if bucket > self._buckets[place]:
            self._buckets[place] = bucket
            self._columns.contacts[:, place] = -1
            self._columns.forecast[:, place] = np.nan
        return place
