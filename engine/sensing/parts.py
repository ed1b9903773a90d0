"""The parts of sensing that keep something of every row."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np

from engine.forecasting.anomaly import AnomalySettings, AnomalyWatch
from engine.forecasting.arrivals import ArrivalModel
from engine.forecasting.busyness import BusynessSettings, BusynessWatch
from engine.forecasting.columns import Array, arrays_of, with_prefixes
from engine.forecasting.events import SavedEvents
from engine.forecasting.windows import QueueWindows
from engine.sensing.outlook import Outlook
from engine.sensing.recent import Recent
from engine.sensing.texts import text_as_array, text_of_array

_Part = QueueWindows | ArrivalModel | AnomalyWatch | Outlook | BusynessWatch | Recent


@dataclass(frozen=True, slots=True)
class Parts:
    """Readings, arrivals, anomalies, what lies ahead and what came lately, by the same rows."""

    windows: QueueWindows
    model: ArrivalModel
    watch: AnomalyWatch
    outlook: Outlook
    busyness: BusynessWatch
    recent: Recent

    @staticmethod
    def of(rows: int, anomaly: AnomalySettings, busyness: BusynessSettings) -> "Parts":
        """Parts that know nothing yet."""
        return Parts(
            QueueWindows(rows),
            ArrivalModel(rows),
            AnomalyWatch(rows, anomaly),
            Outlook(rows),
            BusynessWatch(rows, busyness),
            Recent(rows),
        )

    def require(self, rows: int) -> None:
        """Make room for rows."""
        for part in self._all():
            part.require(rows)

    def clear(self, row: int) -> None:
        """Forget a row."""
        for part in self._all():
            part.clear(row)

    def _all(self) -> tuple[_Part, ...]:
        return self.windows, self.model, self.watch, self.outlook, self.busyness, self.recent

    def export(self) -> dict[str, Array]:
        """Everything that is learned, as arrays, for `load`."""
        named: dict[str, Mapping[str, Array]] = {
            "windows": self.windows.export(),
            "model": self.model.export(),
            "watch": self.watch.export(),
            "outlook": self.outlook.export(),
            "busyness": self.busyness.export(),
            "drivers": self.model.drivers.export(),
            "events": {"text": text_as_array(self.model.events.export())},
            "recent": self.recent.export(),
        }
        return with_prefixes(named)

    def load(self, arrays: Mapping[str, Array]) -> None:
        """
        Take what `export` gave, of as many rows.

        Raises
        ------
        BadConfiguration
            The arrays are of another version; some parts may have been loaded.
        """
        self.windows.load(arrays_of("windows", arrays))
        of_model = arrays_of("model", arrays)
        # Whose days they are is said when queues are defined.
        if "profiles.calendar" in of_model:
            of_model["profiles.calendar"] = np.zeros_like(of_model["profiles.calendar"])
        self.model.load(of_model)
        self.watch.load(arrays_of("watch", arrays))
        self.outlook.load(arrays_of("outlook", arrays))
        self.busyness.load(arrays_of("busyness", arrays))
        self.model.drivers.load(arrays_of("drivers", arrays))
        events = text_of_array("events.text", arrays.get("events.text"))
        self.model.events.load(cast(SavedEvents, events))
        self.recent.load(arrays_of("recent", arrays))
