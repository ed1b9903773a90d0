"""
Forecasts of two real call centres, held to what was measured: a change that costs accuracy fails.

`python -m benchmarks.run --only arrivals` does the same at every bucket and more. The fleet of
thinned queues, which takes longer, is left to it.
"""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.arrival_data import anonymous_bank, us_bank
from benchmarks.arrival_evaluation import FIVE_MINUTES, HALF_HOURS, issue, score
from engine.forecasting.accuracy import accuracy
from engine.kernels.sensing_columns import SLOTS


@pytest.mark.compiled_only
@pytest.mark.needs_shared_data
def test_bank_is_forecast_as_well_as_it_was(shared_data: Path) -> None:
    """Error to twelve hours, its ratio to what chance leaves, and intervals, on the last weeks."""
    series = us_bank(shared_data)
    days = np.unique(series.buckets // SLOTS)
    issued = issue(series, (*FIVE_MINUTES, HALF_HOURS[0]), every=3)
    scores = score(issued, int(days[-25]) * SLOTS)
    for found, wape in zip(scores, (6.6, 6.8, 7.2, 11.5, 3.6), strict=True):
        assert found.wape[0] <= wape
        assert 0.77 <= found.in_80[0] <= 0.86
        assert 0.93 <= found.in_95[0] <= 0.975
        assert found.rmse[0] <= found.mean_rmse[0]
    assert all(found.wape[0] <= 1.25 * found.floor[0] for found in scores[:4])
    # The ledger, which sees the last weeks decayed, says much the same.
    ledger = accuracy(issued.model.columns)
    assert ledger.wape[0, :3] == pytest.approx([0.059, 0.060, 0.063], abs=0.006)


@pytest.mark.compiled_only
@pytest.mark.needs_shared_data
def test_desk_of_several_types_is_forecast_as_well_as_it_was(shared_data: Path) -> None:
    """Half hours of all calls, intervals, and no type worse than the plain mean of its slot."""
    series = anonymous_bank(shared_data)
    held_out = int(np.datetime64("1999-06-01", "D").astype(np.int64)) * SLOTS
    issued = issue(series, (*HALF_HOURS, *FIVE_MINUTES[:3]), group=0, every=3)
    scores = score(issued, held_out)
    for found, wape in zip(scores[:3], (18.0, 19.5, 28.0), strict=True):
        assert found.wape[0] <= wape
        assert 0.77 <= found.in_80[0] <= 0.87
        assert 0.93 <= found.in_95[0] <= 0.975
    for found in (*scores[:2], *scores[3:]):
        assert (found.rmse <= 1.03 * found.mean_rmse).all()
    for found in scores[3:]:
        assert (found.above_90 <= 0.10).all()
