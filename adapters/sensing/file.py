"""
The file in which a cell keeps what sensing has learned, so that a restart does not begin anew.

It is written whole, beside the old one, and put in its place: a crash leaves the one or the other.
What people have put in, events and plans, is in the commit log; this is what can be learned again.
"""

import os
import time
import zipfile
from pathlib import Path
from typing import Final

import numpy as np
import structlog

from adapters.sensing.metrics import SensingMetrics
from engine.forecasting.columns import Array
from engine.refusals import BadConfiguration
from engine.sensing.sensing import Sensing

_log = structlog.get_logger(__name__)

_SUFFIX: Final = ".sensing.npz"


class SensingFile:
    """
    One cell's file.

    Parameters
    ----------
    folder, cell
        Where it lies, and whose it is.
    every_s
        Seconds between saves.
    metrics
        Where saves are counted.
    """

    def __init__(self, folder: Path, cell: str, every_s: int, metrics: SensingMetrics) -> None:
        self.path = folder / f"{cell}{_SUFFIX}"
        self._every_ms = 1_000 * every_s
        self._metrics = metrics
        self._saved_ms = -1

    def is_due(self, now_ms: int) -> bool:
        """Whether it is time to save; called once a second."""
        if self._saved_ms < 0:
            self._saved_ms = now_ms
        if now_ms - self._saved_ms < self._every_ms:
            return False
        self._saved_ms = now_ms
        return True

    def save(self, sensing: Sensing) -> None:
        """Write what is learned; a failure is logged and counted, and costs nothing else."""
        begun_s = time.perf_counter()
        aside = self.path.with_suffix(".aside")
        try:
            with aside.open("wb") as file:
                np.savez(file, **sensing.export())  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self.path)
        except OSError as error:
            self._metrics.save_failures.inc()
            _log.error("sensing_not_saved", path=str(self.path), error=str(error))
            return
        took_s = round(time.perf_counter() - begun_s, 3)
        _log.debug("sensing_saved", path=str(self.path), took_s=took_s)

    def load_into(self, sensing: Sensing) -> None:
        """Take what was learned before; a file that cannot be read is put aside, and logged."""
        if not self.path.exists():
            return
        try:
            with np.load(self.path, allow_pickle=False) as stored:
                arrays: dict[str, Array] = {name: stored[name] for name in stored.files}
            sensing.load(arrays)
        except (OSError, ValueError, KeyError, BadConfiguration, zipfile.BadZipFile) as error:
            spoiled = self.path.with_suffix(".unreadable")
            self.path.replace(spoiled)
            _log.error(
                "sensing_not_loaded",
                path=str(spoiled),
                error=str(error),
                why="of another version, or damaged; sensing begins anew",
            )
            return
        queues = len(sensing.directory.rows.keys)
        _log.info("sensing_loaded", path=str(self.path), rows=queues)
