"""What is sensed of a cell as of one second: arrays that nobody writes to any more."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.forecasting.accuracy import Accuracy
from engine.forecasting.anomaly import Anomaly
from engine.forecasting.windows import Figures
from engine.sensing.rows import Key


class Picture(NamedTuple):
    """
    A cell as of one second. Arrays are by row of sensing.

    Attributes
    ----------
    second
        The last one that is closed; -1 before the first.
    keys
        What each row stands for; None where it stands for nothing.
    latest, latest_s
        (n, 13) the last reading, by the columns of `engine.kernels.windows`; (n,) the second it
        was of, -1 for none.
    is_stale
        (n,) whether that is too long ago to say anything of the present.
    forecast_5m, forecast_30m
        (n,) contacts forecast.
    agents_expected
        (n,) over the next half hour, the mean; of agents shared between queues their share.
    load_ratio
        (n,) forecast load / agents expected; NaN without agents.
    aht_ms, aht_contacts
        (n,) handling time in force, and the contacts it rests on.
    risk
        (n, 4) probabilities of breach at 5, 10, 15, 30 minutes; NaN where nothing is known.
    busyness
        (n,) grades, 0 = not known.
    service_level, service_level_miss
        (n,) that the running half hour is heading for, and the probability that it misses its
        target; NaN where nothing is known.
    windows
        Figures by name of window.
    anomalies
        Those that last.
    accuracy
        How good forecasts have been, as of the last bucket; None before the first.
    """

    second: int
    keys: tuple[Key | None, ...]
    latest: NDArray[np.int64]
    latest_s: NDArray[np.int64]
    is_stale: NDArray[np.bool_]
    forecast_5m: NDArray[np.float64]
    forecast_30m: NDArray[np.float64]
    agents_expected: NDArray[np.float64]
    load_ratio: NDArray[np.float64]
    aht_ms: NDArray[np.float64]
    aht_contacts: NDArray[np.float64]
    risk: NDArray[np.float64]
    busyness: NDArray[np.int64]
    service_level: NDArray[np.float64]
    service_level_miss: NDArray[np.float64]
    windows: dict[str, Figures]
    anomalies: tuple[Anomaly, ...]
    accuracy: Accuracy | None

    def row_of(self, queue_id: str) -> int:
        """Row of a queue, -1 where it is not sensed."""
        key = Key(queue_id)
        return self.keys.index(key) if key in self.keys else -1

    def age_s(self, row: int) -> int:
        """Age of a row's last reading; -1 where there was none."""
        return age_of(self.second, int(self.latest_s[row]))


def age_of(second: int, latest_s: int) -> int:
    """Age of a last reading as of a second; -1 where there was none."""
    return second - latest_s if latest_s >= 0 else -1
