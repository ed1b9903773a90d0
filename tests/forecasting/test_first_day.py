"""The first day of a queue, of which some was not seen."""

import numpy as np
import pytest

from engine.forecasting.arrivals import ArrivalModel
from engine.kernels.sensing_columns import BUCKET_S, SLOTS, Observed

# A Monday at 04:00 UTC, when days without hours begin.
MONDAY = (18_000 - 18_000 % 7 + 4) * SLOTS + 48


@pytest.mark.parametrize(("unseen", "days"), [(0, 1), (20, 1), (100, 1), (200, 0)])
def test_first_day_is_learned_from_where_most_was_seen(unseen: int, days: int) -> None:
    """What is usual is not known then: a gap must not outweigh all that was counted."""
    model = ArrivalModel(1)
    for place in range(SLOTS):
        covered_s = 0 if 10 <= place < 10 + unseen else BUCKET_S
        told = (12 if covered_s else 0, covered_s, 0)
        model.close(MONDAY + place, Observed(*(np.array([value]) for value in told)))
    model.learn(1)
    assert model.columns.profiles.days[0] == days
    if days:
        assert model.columns.profiles.level[0] == pytest.approx(12 * SLOTS, rel=0.02)
