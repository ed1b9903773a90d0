"""
What sensing costs: a second of telemetry, the end of a bucket, forecasts and breach risks.

All queues have a profile, a day's state and events of random counts; one core. Each case asserts
that what it times came out finite and non-negative.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from benchmarks.settings import Settings
from benchmarks.tables import Goals, Table, figure
from benchmarks.timing import compare, pin, repeated
from engine.forecasting.arrivals import ArrivalModel
from engine.forecasting.breach import wait_risk
from engine.forecasting.calendar import Calendar, CalendarRows
from engine.forecasting.windows import QueueWindows
from engine.kernels.breach import Pools
from engine.kernels.sensing_columns import BUCKET_S, SLOTS, Observed
from engine.kernels.windows import (
    ANSWERED,
    ANSWERED_WITHIN,
    OLDEST_WAIT_MS,
    READING_COLUMNS,
    Readings,
)

_BUCKET: Final = 5_000_100
_SEED: Final = 1


class _Floor:
    """Ten thousand queues in full swing."""

    def __init__(self, queues: int) -> None:
        draw = np.random.default_rng(_SEED)
        calendars = CalendarRows()
        calendar = calendars.add(Calendar())
        self.model = ArrivalModel(queues, calendars)
        mean = draw.gamma(1.0, 10.0, queues) + 0.1
        for row in range(queues):
            self.model.set_calendar(row, calendar)
            self.model.set_template(row, np.full((7, SLOTS), mean[row]))
        whole, none = np.full(queues, BUCKET_S), np.zeros(queues, np.int64)
        self.observed = Observed(draw.poisson(mean), whole, none)
        self.model.close(_BUCKET, self.observed)
        self.model.learn(queues)
        for bucket in range(_BUCKET + 1, _BUCKET + 30):
            self.model.close(bucket, Observed(draw.poisson(mean), whole, none))
        self.windows = QueueWindows(queues)
        self.windows.begin(_BUCKET * BUCKET_S)
        values = draw.integers(0, 3, (queues, READING_COLUMNS))
        values[:, ANSWERED_WITHIN] = np.minimum(values[:, ANSWERED_WITHIN], values[:, ANSWERED])
        self.readings = Readings(np.arange(queues), none, none.copy(), values)
        agents = np.round(np.exp(draw.uniform(np.log(8), np.log(250), queues)))
        handled = 1.0 / draw.uniform(180.0, 480.0, queues)
        self.pools = Pools(
            np.round(agents * draw.uniform(0.7, 1.1, queues)),
            (agents * handled)[:, None] * draw.uniform(0.8, 1.1, (queues, 6)),
            np.repeat(agents[:, None], 6, axis=1),
            handled,
            1.0 / draw.uniform(60.0, 360.0, queues),
            np.full(queues, 0.01),
            np.full(queues, 20.0),
        )
        small = np.full((queues, 6), 5.0)
        self.small_pools = self.pools._replace(
            agents=small, in_system=small[:, 0] + 1.0, arrivals_per_s=small * handled[:, None]
        )

    def take_second(self) -> None:
        """Readings of all queues, and the second closed."""
        self.readings.second[:] = self.windows.closed_s + 1
        self.readings.values[:, OLDEST_WAIT_MS] = self.windows.closed_s % 1_000
        assert self.windows.accept(self.readings).max() == 0
        self.windows.close(self.windows.closed_s + 1)

    def end_bucket(self) -> None:
        """Score, follow and count a bucket, lay the next out, and issue forecasts."""
        self.model.close(self.model.bucket, self.observed)


def run(settings: Settings) -> list[Table]:
    """Time every part."""
    pin(0)
    queues = int(settings.value("queues"))
    floor = _Floor(queues)
    model = floor.model
    made = model.forecast()
    assert np.isfinite(made.quantiles).all()
    assert (made.mean >= 0.0).all()
    assert np.isfinite(wait_risk(floor.pools, 300.0)).all()
    cases: dict[str, Callable[[], object]] = {
        "second: readings taken in and closed, all windows": floor.take_second,
        "second: look into the running bucket": lambda: model.look(100, floor.observed),
        "forecast, 12 h with 4 quantiles": model.forecast,
        "forecast, 1 h with 4 quantiles": lambda: model.forecast(buckets=12),
        "contacts of the next 30 minutes": lambda: model.demand(0, 6),
        "wait risk at 4 horizons": lambda: wait_risk(floor.pools, 300.0),
        "wait risk at 4 horizons, pools of 5": lambda: wait_risk(floor.small_pools, 300.0),
        "bucket ends: scored, followed, laid out, issued": floor.end_bucket,
    }
    work = {name: repeated(case) for name, case in cases.items()}
    seconds = compare(work, settings.rounds, settings.round_s)
    goals = Goals()
    rows = []
    for name, taken in seconds.items():
        rows.append([name, figure(taken, 1e3), figure(taken, 1e6 / queues)])
    second = [a + b for a, b in zip(*(seconds[name] for name in list(cases)[:2]), strict=True)]
    limits = settings.goals
    goals.at_most("update of all queues each second", limits["update_ms"], _ms(second), "ms")
    whole = seconds["forecast, 12 h with 4 quantiles"]
    goals.at_most("forecast, 12 h with quantiles", limits["forecast_ms"], _ms(whole), "ms")
    risk = [1e6 * value / queues for value in seconds["wait risk at 4 horizons"]]
    goals.at_most("wait risk, 4 horizons, per queue", limits["risk_us"], risk, "µs")
    title = f"Sensing {queues:,} queues, one core"
    return [Table(title, ("part", "ms", "µs per queue"), rows), goals.table()]


def _ms(seconds: list[float]) -> list[float]:
    return [1e3 * value for value in seconds]
