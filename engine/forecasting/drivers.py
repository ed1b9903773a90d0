"""
Driver series: business volumes, as transactions in five minutes, that bring contacts.

Two things are learned of a driver and a queue. The contact rate, contacts per volume, is Gamma with
both sums decayed (Gamma-Poisson): a figure of its own, and what turns a volume into contacts. The
share s of the queue's contacts that follow the driver is a Bayesian regression of how counts differ
from what is usual on how the volume does,

    count / expected - 1 = s (volume / usual - 1)

with what a volume usually is at that time of the week learned as well. The profile of the queue
knows the contacts that the usual volume brings; so the forecast is laid on by departures alone,

    expected' = expected (1 + s (volume ahead / usual - 1))

and a volume as usual changes nothing. Ahead, the volume is what is planned, else the departure of
the last buckets as it fades. The errors of s and of the volume widen the forecast. Profiles are
learned from counts with this taken out again, as with events.

A volume that is negative, NaN or beyond reason is refused. One that repeats is learned from only
when another follows within an hour: a source that says one number for ever teaches nothing.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.forecasting.columns import Array
from engine.forecasting.volumes import Volumes
from engine.kernels.sensing_columns import HORIZON, Arrivals, Model, Observed
from engine.refusals import BadConfiguration

DRIVERS_MAX: Final = 256
PER: Final = 10_000.0
# What is left of what rates and shares rest on after a bucket: half after 7 days of 24 h.
_KEPT: Final = 0.5 ** (1.0 / 2_016.0)
# The share before anything is learned, and its variance.
_SHARE_PRIOR: Final = 0.5
_SHARE_PRECISION: Final = 1.0 / 0.35**2
# Squared relative departures of counts that are not the driver's, and buckets in which they last.
_UNEXPLAINED: Final = 0.02
_TOGETHER: Final = 12.0
_DISPERSION_PRIOR: Final = 10.0
# Seconds of a bucket that must have been seen.
_SEEN_S: Final = 294


class ContactRate(NamedTuple):
    """
    Contacts per 10,000 of a volume, by queue; (links,) each.

    Attributes
    ----------
    row
        Of the queue.
    per_10k
        Mean, NaN before any volume was seen with the queue.
    error
        Relative standard error, NaN likewise.
    share, share_error
        Share of the queue's contacts that follow the volume, and its standard error.
    """

    row: NDArray[np.int64]
    per_10k: NDArray[np.float64]
    error: NDArray[np.float64]
    share: NDArray[np.float64]
    share_error: NDArray[np.float64]


class _Links:
    """What is learned of one driver and each of its queues; (links,) each."""

    names: Final = ("contacts", "volume", "chi", "buckets", "precision", "slope")

    def __init__(self, rows: NDArray[np.int64]) -> None:
        self.row = rows
        self.sums = np.zeros((len(self.names), len(rows)))
        # What the driver does to the running bucket.
        self.factor = np.ones(len(rows))

    def learn(self, volume: float, usual: float, counts: NDArray[np.float64],
              expected: NDArray[np.float64]) -> None:  # fmt: skip
        """Learn from a bucket; counts are NaN where they are not known."""
        told = ~np.isnan(counts)
        count = np.where(told, counts, 0.0)
        contacts, passed, chi, buckets, precision, slope = self.sums
        mean = np.where(passed > 0.0, contacts / np.maximum(passed, 1e-12), 0.0) * volume
        square = np.where(mean > 0.0, (count - mean) ** 2 / np.maximum(mean, 0.5), 1.0)
        self.sums[:, told] *= _KEPT
        contacts += count
        passed += np.where(told, volume, 0.0)
        chi += np.where(told, np.minimum(square, 100.0), 0.0)
        buckets += told
        can_tell = told & (expected > 1e-6) & (usual > 0.0)
        departure = volume / usual - 1.0 if usual > 0.0 else 0.0
        likely = np.maximum(expected, 1e-6)
        weight = can_tell / (1.0 / likely + _TOGETHER * _UNEXPLAINED)
        precision += weight * departure**2
        slope += weight * departure * np.clip(count / likely - 1.0, -1.0, 4.0)

    def share(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Share and its standard error."""
        precision = _SHARE_PRECISION + self.sums[4]
        mean = (_SHARE_PRECISION * _SHARE_PRIOR + self.sums[5]) / precision
        return np.clip(mean, 0.0, 1.0), 1.0 / np.sqrt(precision)

    def rate(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Contacts per volume and its relative standard error, wider where counts scatter more."""
        contacts, volume, chi, buckets = self.sums[:4]
        rate, error = np.full(len(self.row), np.nan), np.full(len(self.row), np.nan)
        known = volume > 0.0
        scatter = (chi + _DISPERSION_PRIOR) / (buckets + _DISPERSION_PRIOR)
        rate[known] = contacts[known] / volume[known]
        error[known] = np.sqrt(np.maximum(scatter[known], 1.0) / np.maximum(contacts[known], 1.0))
        return rate, error


class Drivers:
    """Drivers by id, each with the queues it brings contacts to."""

    def __init__(self) -> None:
        self._volumes: dict[str, Volumes] = {}
        self._links: dict[str, _Links] = {}

    def put(self, driver_id: str, rows: tuple[int, ...]) -> None:
        """
        Add a driver of some queues, or say anew which; what is learned of those that stay, stays.

        Raises
        ------
        BadConfiguration
            There are too many drivers, or no queue, or one twice.
        """
        if driver_id not in self._volumes and len(self._volumes) >= DRIVERS_MAX:
            raise BadConfiguration("drivers", len(self._volumes) + 1, f"at most {DRIVERS_MAX}")
        if not rows or len(set(rows)) < len(rows) or min(rows) < 0:
            raise BadConfiguration(f"drivers.{driver_id}.rows", rows, "rows, each once")
        self._volumes.setdefault(driver_id, Volumes())
        links, before = _Links(np.array(rows, np.int64)), self._links.get(driver_id)
        if before is not None:
            _, new, old = np.intersect1d(links.row, before.row, return_indices=True)
            links.sums[:, new] = before.sums[:, old]
        self._links[driver_id] = links

    def remove(self, driver_id: str) -> bool:
        """Forget a driver; False where there is none of that id."""
        self._links.pop(driver_id, None)
        return self._volumes.pop(driver_id, None) is not None

    def clear(self, row: int) -> None:
        """Forget a queue, and the drivers that had no other."""
        for driver_id, links in list(self._links.items()):
            stays = links.row != row
            if not stays.any():
                self.remove(driver_id)
            elif not stays.all():
                self.put(driver_id, tuple(links.row[stays].tolist()))

    def known(self) -> dict[str, tuple[int, ...]]:
        """Rows of each driver's queues, by id."""
        return {name: tuple(links.row.tolist()) for name, links in self._links.items()}

    def plan(self, driver_id: str, bucket: int, volumes: NDArray[np.float64]) -> None:
        """
        Plan volumes, bucket by bucket from one on, up to seven days ahead of each other.

        Raises
        ------
        BadConfiguration
            There is no such driver, or a volume is negative, NaN or huge; nothing changes.
        """
        self._known(driver_id).plan(f"drivers.{driver_id}", bucket, volumes)

    def observe(self, driver_id: str, bucket: int, volume: float) -> bool:
        """
        Take in what the volume of a bucket was, before the bucket is closed.

        Returns whether it is believed; what is not is counted, and nothing is learned from it.

        Raises
        ------
        BadConfiguration
            There is no such driver.
        """
        return self._known(driver_id).observe(bucket, volume)

    def faults(self, driver_id: str) -> int:
        """Volumes not believed so far."""
        return self._known(driver_id).faults

    def contact_rate(self, driver_id: str) -> ContactRate:
        """What is learned of a driver."""
        self._known(driver_id)
        links = self._links[driver_id]
        rate, error = links.rate()
        return ContactRate(links.row.copy(), PER * rate, error, *links.share())

    def lay_on(self, model: Model, rows: NDArray[np.int64], bucket: int) -> None:
        """Lay departures of volumes on what is usual from a bucket on, before events."""
        arrivals = model.arrivals
        for driver_id, links in self._links.items():
            chosen = np.flatnonzero(np.isin(links.row, rows))
            if len(chosen) == 0:
                continue
            row = links.row[chosen]
            volumes = self._volumes[driver_id]
            volumes.follow_calendar(model, int(links.row[0]), bucket)
            ratio, deviation = volumes.ahead(bucket, HORIZON)
            share, share_error = (part[chosen, None] for part in links.share())
            factor = 1.0 + share * (ratio - 1.0)
            links.factor[chosen] = factor[:, 0]
            arrivals.expected[row] *= factor.astype(np.float32)
            spread = ((ratio - 1.0) * share_error) ** 2 + (share * ratio * deviation) ** 2
            arrivals.uncertain[row] += spread / np.maximum(factor, 0.05) ** 2

    def learn(
        self, bucket: int, rows: NDArray[np.int64], observed: Observed, arrivals: Arrivals
    ) -> None:
        """
        Learn from a bucket that ends, whose volumes have been observed; half seen ones are left.

        Parameters
        ----------
        rows, observed
            As `ArrivalModel.close` takes them.
        arrivals
            As the bucket was laid out, with drivers and events.
        """
        if not self._links:
            return
        order = np.argsort(rows, kind="stable")
        for driver_id, links in self._links.items():
            counts = np.full(len(links.row), np.nan)
            place = np.searchsorted(rows, links.row, sorter=order)
            found = order[np.minimum(place, len(rows) - 1)] if len(rows) else place
            told = np.flatnonzero(
                (rows[found] == links.row) & (observed.covered_s[found] >= _SEEN_S)
            )
            counts[told] = observed.contacts[found[told]]
            expected = arrivals.expected[links.row, 0] / np.maximum(links.factor, 0.05)
            volumes = self._volumes[driver_id]
            for learned in volumes.close(bucket, counts, expected):
                if len(learned.counts) == len(links.row):
                    links.learn(learned.volume, learned.usual, learned.counts, learned.expected)

    def export(self) -> dict[str, Array]:
        """Everything that is learned and planned as arrays, for `load`; ids are part of names."""
        return {
            f"{driver_id}/{name}": array
            for driver_id, links in self._links.items()
            for name, array in {
                "rows": links.row.copy(),
                "sums": links.sums.copy(),
                **self._volumes[driver_id].export(),
            }.items()
        }

    def load(self, arrays: Mapping[str, Array]) -> None:
        """
        Take what `export` gave.

        Raises
        ------
        BadConfiguration
            An array is missing or of another version; nothing changes.
        """
        made = Drivers()
        for driver_id in dict.fromkeys(name.rpartition("/")[0] for name in arrays):
            own = {
                name.rpartition("/")[2]: array
                for name, array in arrays.items()
                if name.rpartition("/")[0] == driver_id
            }
            path = f"drivers.{driver_id}"
            rows, sums = own.get("rows"), own.get("sums")
            if rows is None or sums is None or sums.shape != (len(_Links.names), len(rows)):
                raise BadConfiguration(f"{path}.sums", None, "arrays of rows and sums")
            made.put(driver_id, tuple(int(row) for row in rows))
            made._links[driver_id].sums[:] = sums
            made._volumes[driver_id].load(path, own)
        self._volumes, self._links = made._volumes, made._links

    def _known(self, driver_id: str) -> Volumes:
        volumes = self._volumes.get(driver_id)
        if volumes is None:
            raise BadConfiguration("drivers.driver_id", driver_id, "a driver that has been put")
        return volumes
