"""A real bank's history, imported: the first forecasts are as good as those that were measured."""

import numpy as np
import pytest

from benchmarks.arrival_data import SHARED_DATA, Series, us_bank
from engine.forecasting.accuracy import accuracy
from engine.forecasting.arrivals import ArrivalModel
from engine.forecasting.calendar import Calendar, CalendarRows
from engine.forecasting.history import UNKNOWN, Counts, Past
from engine.kernels.sensing_columns import BUCKET_S, SLOTS, Observed

# Days after the import that are forecast, and views: buckets from the origin.
HELD_OUT = 10
VIEWS = ((0, 1), (5, 6), (23, 24))
# WAPE, per cent, that the benchmark reaches with years of parameters fixed (benchmarks/arrivals.md:
# 5.9, 6.0, 6.3), and room for ten days' chance.
WAPE_MAX = (6.6, 6.8, 7.2)

pytestmark = [
    pytest.mark.compiled_only,
    pytest.mark.skipif(
        not (SHARED_DATA / "us_bank_5min_2003-03_08.csv.gz").exists(),
        reason="the bank's data lie beside the project, not in it",
    ),
]


def as_counts(series: Series, until: int) -> Counts:
    """Counts up to a bucket; what was not open is not known."""
    first = int(series.buckets[0])
    contacts = np.full(until - first, UNKNOWN)
    chosen = series.buckets < until
    contacts[series.buckets[chosen] - first] = series.counts[chosen, 0]
    return Counts(first, contacts)


@pytest.mark.slow
def test_first_forecasts_after_an_import_are_as_good_as_measured() -> None:
    """Nobody waits for weeks of learning who has a file."""
    series = us_bank()
    days = np.unique(series.buckets // SLOTS)
    # Five in the morning: the day before has ended, the next has not opened.
    held_out = int(days[-HELD_OUT]) * SLOTS + 60
    calendars = CalendarRows()
    row = calendars.add(Calendar(open_times=series.open_times))
    past = Past(calendars.alone(row, held_out * BUCKET_S), as_counts(series, held_out))
    while past.advance(held_out, 7 * SLOTS):
        pass
    assert past.days == len(days) - HELD_OUT
    model = ArrivalModel(1, calendars)
    model.set_calendar(0, row)
    model.close(held_out - 1, Observed(*(np.zeros(1, np.int64) for _ in range(3))))
    model.adopt(0, past.model)
    counts = dict(zip(series.buckets.tolist(), series.counts[:, 0].tolist(), strict=True))
    errors, contacts = np.zeros(len(VIEWS)), np.zeros(len(VIEWS))
    for bucket in range(held_out, int(series.buckets[-1]) + 1):
        for view, (begin, end) in enumerate(VIEWS):
            ahead = counts.get(bucket + begin)
            if bucket in counts and ahead is not None:
                told = float(model.demand(begin, end).mean[0])
                errors[view] += abs(ahead - told)
                contacts[view] += ahead
        now = (counts.get(bucket, 0), BUCKET_S if bucket in counts else 0, 0)
        model.close(bucket, Observed(*(np.array([value]) for value in now)))
        model.learn(1)
    wape = 100.0 * errors / contacts
    assert (wape <= WAPE_MAX).all(), wape
    found = accuracy(model.columns)
    assert found.wape[0, 0] == pytest.approx(wape[0] / 100.0, rel=0.15), "and it says so itself"
