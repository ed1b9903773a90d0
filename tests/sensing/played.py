"""A cell and what senses it, played second by second, without the thread."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from engine.commands import Command, SetPresence, UpsertAgent, UpsertQueue
from engine.engine import Engine
from engine.forecasting.anomaly import Anomaly
from engine.kernels import windows
from engine.lifecycle import Presence
from engine.sensing.picture import Picture
from engine.sensing.sampling import ChangeReader, Sample, take_sample
from engine.sensing.sensing import Batch, Sensing, SensingSettings

# The beginning of an hour, on a Thursday in UTC.
BEGIN_S = 1_790_000_000 // 3_600 * 3_600
# Closed as soon as they are over, so that tests see at once what they did.
AT_ONCE = SensingSettings(lateness_s=0)


class Played:
    """
    An engine, what senses it, and the time.

    Attributes
    ----------
    second
        The second that runs.
    """

    def __init__(self, settings: SensingSettings = AT_ONCE, second: int = BEGIN_S) -> None:
        self.engine = Engine()
        self.sensing = Sensing(settings)
        self.second = second
        self._changes = ChangeReader()

    def do(self, command: Command) -> None:
        """Run a command now."""
        self.engine.apply(command, 1_000 * self.second)
        self.engine.take_group()

    def define(self) -> None:
        """Have what was defined known."""
        self.sensing.define(self._changes.take(self.engine.cell))

    def queues(self, *names: str, **fields: object) -> None:
        """Define queues alike."""
        for name in names:
            self.do(UpsertQueue(name, **fields))  # type: ignore[arg-type]

    def agent(self, agent_id: str, *queue_ids: str) -> None:
        """Sign an agent in."""
        self.do(UpsertAgent(agent_id, queue_ids=queue_ids))
        self.do(SetPresence(agent_id, Presence.AVAILABLE))

    def sample(self) -> Sample:
        """The floor as this second ends."""
        return take_sample(self.engine.cell, self.second)

    def end_second(self, *readings: tuple[str, Iterable[str], NDArray[np.int64]]) -> list[Anomaly]:
        """End the running second, in which sources have told of queues."""
        self.define()
        self.sensing.follow(self.sample())
        for source, names, values in readings:
            batch = Batch(self.second, tuple(names), values)
            self.sensing.accept(source, batch, 1_000 * self.second + 900)
        self.second += 1
        return self.sensing.advance(1_000 * self.second + 20)

    def pass_s(self, seconds: int) -> None:
        """Let time pass in which nothing happens."""
        for _ in range(seconds):
            self.end_second()

    def restart(self) -> None:
        """Sense anew, from what is learned so far."""
        stored = self.sensing.export()
        self.sensing = Sensing(self.sensing.settings)
        self.sensing.load(stored)
        self._changes = ChangeReader()

    def row(self, queue_id: str) -> int:
        """Row of a queue."""
        return self.sensing.directory.rows.queue_row(queue_id)

    @property
    def picture(self) -> Picture:
        """What is sensed now."""
        return self.sensing.picture()


_PLACES = {
    "offered": windows.OFFERED,
    "answered": windows.ANSWERED,
    "answered_within": windows.ANSWERED_WITHIN,
    "abandoned": windows.ABANDONED,
    "handled": windows.HANDLED,
    "handle_ms": windows.HANDLE_MS,
    "waiting": windows.WAITING,
    "available": windows.AVAILABLE,
    "handling": windows.HANDLING,
    "wrap_up": windows.WRAP_UP,
}


def values_of(count: int = 1, **columns: int) -> NDArray[np.int64]:
    """Readings of so many queues, alike."""
    values = np.zeros((count, windows.READING_COLUMNS), np.int64)
    for name, value in columns.items():
        values[:, _PLACES[name]] = value
    return values
