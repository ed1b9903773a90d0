"""Plans of people in what is sensed: those that cannot be used say why, and harm nobody."""

import pytest

from engine.limits import NEVER_MS
from engine.plans import Plan, PlannedDriver, PlannedEvent, PlannedStaffing, PutPlan
from tests.sensing.played import BEGIN_S, Played

BEGINS_MS = 1_000 * BEGIN_S
FAR_MS = NEVER_MS // 300_000 * 300_000


@pytest.mark.parametrize(
    "plan",
    [
        PlannedDriver("far", "q", FAR_MS, 300_000, (5.0,)),  # beyond any calendar
        PlannedStaffing("far", "q", FAR_MS, 300_000, (5.0,)),  # likewise
    ],
    ids=["driver", "staffing"],
)
def test_plan_that_cannot_be_used_says_so_and_harms_nobody(plan: Plan) -> None:
    """One plan of one queue must not end what is sensed of the others."""
    played = Played()
    played.queues("q")
    played.do(PutPlan(plan))
    played.do(PutPlan(PlannedEvent("promo", ("q",), BEGINS_MS, BEGINS_MS + 3_600_000, uplift=0.5)))
    played.end_second()
    assert set(played.sensing.plans.unusable) == {"far"}
    assert set(played.sensing.parts.model.events.known()) == {"promo"}
    played.end_second()
    assert played.picture.second == played.second - 1
