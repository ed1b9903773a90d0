"""The parts of sensing that keep something of every row."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np

from engine.forecasting.anomaly import AnomalySettings, AnomalyWatch
from engine.forecasting.arrivals import ArrivalModel
from engine.forecasting.busyness import BusynessSettings, BusynessWatch
from engine.forecasting.columns import Array
from engine.forecasting.events import SavedEvents
from engine.forecasting.windows import QueueWindows
from engine.sensing.outlook import Outlook
from engine.sensing.recent import Recent
from engine.sensing.texts import text_as_array, text_of_array


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
        for part in (self.windows, self.model, self.watch, self.outlook, self.busyness):
            part.require(rows)
        self.recent.require(rows)

    def clear(self, row: int) -> None:
        """Forget a row."""
        for part in (self.windows, self.model, self.watch, self.outlook, self.busyness):
            part.clear(row)
        self.recent.clear(row)

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
        return {f"{part}.{name}": array for part, of in named.items() for name, array in of.items()}

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


def arrays_of(part: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Arrays of one part, by their names in it."""
    prefix = f"{part}."
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
