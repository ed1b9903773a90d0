"""Surges as sensing tells them: against a forecast of the day, where there is one."""

import numpy as np
import pytest

from engine.forecasting.anomaly import AnomalyKind
from tests.sensing.played import Played, values_of

# Half an hour second by second, twice: a minute where kernels are plain Python.
pytestmark = pytest.mark.compiled_only

WEEKLY = np.full((7, 288), 60.0)


def surged(*, has_profile: bool) -> list[AnomalyKind]:
    """Kinds of what is told of a queue that sees one contact in five seconds, then two a second."""
    played = Played()
    played.queues("q")
    played.define()
    if has_profile:
        played.sensing.parts.model.set_template(played.row("q"), WEEKLY)
    told = []
    for number in range(1_500):
        offered = int(number % 5 == 0) if number < 900 else 2
        # Agents come and go, or the source would be taken for stuck.
        values = values_of(offered=offered, available=number % 7)
        told += played.end_second(("pbx", ["q"], values))
    return [anomaly.kind for anomaly in told if anomaly.ended_s < 0]


def test_surge_over_a_known_day_is_told() -> None:
    """Ten times as many as the day brings is one anomaly."""
    assert surged(has_profile=True) == [AnomalyKind.SURGE]


def test_queue_without_a_past_has_nothing_to_surge_over() -> None:
    """On its first day a queue grows, and what has come so far is no forecast of the day."""
    assert surged(has_profile=False) == []
