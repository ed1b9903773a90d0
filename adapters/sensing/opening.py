"""What senses a cell, as the settings say."""

from collections.abc import Sequence

import structlog

from adapters.dispatch_loop import DispatchLoop
from adapters.sensing.file import SensingFile
from adapters.sensing.metrics import SensingMetrics
from adapters.sensing.thread import SensingThread
from adapters.settings import Settings
from engine.forecasting.anomaly import AnomalySettings
from engine.forecasting.busyness import BusynessSettings
from engine.sensing.sensing import SensingSettings

_log = structlog.get_logger(__name__)


def warn_where_nothing_is_kept(settings: Settings) -> None:
    """Say so where cells outlive the process and what it learns does not."""
    # Made where it holds the log; of cells in Redis it is used where somebody made it.
    if settings.sensing and settings.is_in_redis and not settings.data_dir.is_dir():
        why = "no such folder: what forecasts learn ends with the process; make it to keep that"
        _log.warning("learned_not_kept", data_dir=str(settings.data_dir), why=why)


def open_sensing(
    settings: Settings, loop: DispatchLoop, metrics: SensingMetrics, cores: Sequence[int]
) -> SensingThread:
    """The thread that senses a cell, not yet started; `cores` are those it may use."""
    file = None
    if settings.is_in_file or (settings.is_in_redis and settings.data_dir.is_dir()):
        file = SensingFile(settings.data_dir, loop.cell, settings.sensing_save_s, metrics)
    stale_s = -(-settings.telemetry_stale_ms // 1_000)
    chosen = SensingSettings(
        lateness_s=-(-settings.telemetry_lateness_ms // 1_000),
        stale_s=stale_s,
        anomaly=AnomalySettings(budget_per_day=settings.anomalies_per_day),
        busyness=BusynessSettings(stale_s=stale_s),
    )
    return SensingThread(loop, chosen, metrics, file, cores)
