"""What senses a cell, as the settings say."""

from collections.abc import Sequence

from adapters.dispatch_loop import DispatchLoop
from adapters.sensing.file import SensingFile
from adapters.sensing.metrics import SensingMetrics
from adapters.sensing.thread import SensingThread
from adapters.settings import Settings
from engine.forecasting.anomaly import AnomalySettings
from engine.forecasting.busyness import BusynessSettings
from engine.sensing.sensing import SensingSettings


def open_sensing(
    settings: Settings, loop: DispatchLoop, metrics: SensingMetrics, cores: Sequence[int]
) -> SensingThread:
    """The thread that senses a cell, not yet started; `cores` are those it may use."""
    file = None
    # Beside the log where that is a file; of a cell in Redis only where somebody made the folder.
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
