"""Compile every kernel of forecasts, by running each once on one queue."""

import numpy as np

from engine.forecasting.anomaly import AnomalyWatch
from engine.forecasting.arrivals import ArrivalModel
from engine.forecasting.breach import HORIZONS_S, BreachCalibration, wait_risk
from engine.forecasting.pools import membership, share_agents
from engine.forecasting.service_level import Outlook, project
from engine.forecasting.windows import QueueWindows
from engine.kernels.breach import Pools
from engine.kernels.calibration import Outcomes
from engine.kernels.projection import SoFar
from engine.kernels.scan import Second
from engine.kernels.sensing_columns import BUCKET_S, Observed
from engine.kernels.windows import READING_COLUMNS, Readings


def compile_forecasting() -> None:
    """Compile, or load from the cache, what forecasts call; half a minute when cold."""
    none = np.zeros(1, np.int64)
    windows = QueueWindows(1)
    windows.accept(Readings(none, none, none, np.zeros((1, READING_COLUMNS), np.int64)))
    windows.close(0)
    model = ArrivalModel(1)
    model.close(0, Observed(none, np.full(1, BUCKET_S), none))
    model.columns.profiles.learn_day[0] = 0
    model.learn(1)
    model.look(0, Observed(none, none, none))
    model.forecast()
    model.demand(0, 1)
    one = np.ones(1)
    wait_risk(Pools(one, one[:, None], one[:, None], one, one, one, one), 1.0)
    serving = membership([[0]], 1)
    share_agents(serving, one, one, share_agents(serving, one, one))
    nothing = np.zeros(1)
    outlook = Outlook(one, one, nothing, np.zeros((1, 1)), one, one, nothing, one)
    project(SoFar(one, one), outlook, nothing, 1.0)
    AnomalyWatch(1).observe(0, Second(none, none, nothing, nothing))
    calibration = BreachCalibration(1)
    calibration.calibrate(np.zeros((1, len(HORIZONS_S))), one)
    calibration.learn(Outcomes(none, none, one, one, one))
