"""
Real arrivals to forecast: data sets kept outside the repository, as counts per five minutes.

They are looked for in `../shared/data`, whose README.md says where they come from and under which
terms; nothing of them is kept here. Clocks of the data are local, and taken as UTC.
"""

import csv
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.kernels.sensing_columns import BUCKET_S, SLOTS

SHARED_DATA: Final = Path(__file__).resolve().parent.parent.parent / "shared" / "data"

_EPOCH: Final = datetime(1970, 1, 1)
# Staffed hours of the Anonymous Bank's working days, Sunday to Thursday, as slots; 1970-01-01 was a
# Thursday.
_FIRST_SLOT: Final = 7 * 12
_WORKING_DAYS: Final = {0, 3, 4, 5, 6}


@dataclass(frozen=True, slots=True)
class Series:
    """
    Counts of some queues in the buckets in which they were open.

    Attributes
    ----------
    names
        Of the queues.
    buckets
        (n,) buckets since the Unix epoch, ascending.
    counts
        (n, queues) contacts.
    """

    names: Sequence[str]
    buckets: NDArray[np.int64]
    counts: NDArray[np.int64]

    def open_times(self, from_s: int, until_s: int) -> Sequence[tuple[int, int]]:
        """When the queues were open, day by day."""
        first = np.flatnonzero(np.diff(self.buckets, prepend=self.buckets[0] - 2) > 1)
        last = np.append(first[1:], len(self.buckets)) - 1
        spans = zip(
            self.buckets[first] * BUCKET_S, (self.buckets[last] + 1) * BUCKET_S, strict=True
        )
        return [(int(a), int(b)) for a, b in spans if b > from_s and a < until_s]


def us_bank(folder: Path = SHARED_DATA) -> Series:
    """A North American bank in 2003: 124 weekdays, 07:00 to 21:05, 192 calls a bucket."""
    with gzip.open(folder / "us_bank_5min_2003-03_08.csv.gz", "rt", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    begins = [datetime.fromisoformat(row["bucket_start"]) for row in rows]
    buckets = np.array([int((begin - _EPOCH).total_seconds()) // BUCKET_S for begin in begins])
    counts = np.array([int(row["calls"]) for row in rows])
    return Series(("bank",), buckets, counts[:, None])


def anonymous_bank(folder: Path = SHARED_DATA) -> Series:
    """The Anonymous Bank in 1999, January to July: all calls, and the six types of them."""
    calls_s, kind = _bank_calls(folder)
    call = calls_s // BUCKET_S
    special = (folder / "anonymous_bank_special_days.csv").read_text(encoding="utf-8").split()[1:]
    closed = {int(np.datetime64(line.split(",")[0], "D").astype(np.int64)) for line in special}
    days = [d for d in np.unique(call // SLOTS) if d % 7 in _WORKING_DAYS and d not in closed]
    buckets = np.concatenate([np.arange(d * SLOTS + _FIRST_SLOT, (d + 1) * SLOTS) for d in days])
    names = ("ALL", "PS", "NW", "NE", "IN", "TT", "PE")
    counts = [_counted(call if name == "ALL" else call[kind == name], buckets) for name in names]
    return Series(names, buckets, np.stack(counts, axis=1))


def bank_calls_s(folder: Path = SHARED_DATA) -> NDArray[np.int64]:
    """When the Anonymous Bank's calls came, ascending; seconds since the Unix epoch."""
    return np.sort(_bank_calls(folder)[0])


def _bank_calls(folder: Path) -> tuple[NDArray[np.int64], NDArray[np.str_]]:
    """(calls,) when each came, and its type."""
    from pyarrow import parquet

    table = parquet.read_table(
        folder / "anonymous_bank_calls_1999-01_07.parquet", columns=["entry", "outcome", "type"]
    )
    is_call = np.array(table["outcome"].to_pylist()) != "PHANTOM"
    entry_s = table["entry"].to_numpy().astype("datetime64[s]").astype(np.int64)
    return entry_s[is_call], np.array(table["type"].to_pylist())[is_call]


def thinned(series: Series, shares: Sequence[float], seed: int) -> Series:
    """A fleet: one series, of which each queue gets a share of the contacts, drawn one by one."""
    draw = np.random.default_rng(seed)
    counts = [draw.binomial(series.counts[:, 0], share) for share in shares]
    names = [f"× {share:g}" for share in shares]
    return Series(names, series.buckets, np.stack(counts, axis=1))


def _counted(calls: NDArray[np.int64], buckets: NDArray[np.int64]) -> NDArray[np.int64]:
    first = min(int(calls.min(initial=buckets[0])), int(buckets[0]))
    last = max(int(calls.max(initial=buckets[-1])), int(buckets[-1]))
    counts: NDArray[np.int64] = np.bincount(calls - first, minlength=last - first + 1)
    return counts[buckets - first]
