"""
Sensing of one cell, second by second: readings in, what is known and what is coming out.

    sample, readings → windows → arrival model → anomalies → outlook
                       every second      every bucket of five minutes

Time comes in with the calls. A second is closed when it is as old as readings may be late; until
then they come in any order. What is told is of the last closed second, and says so.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.forecasting.accuracy import Accuracy, accuracy
from engine.forecasting.anomaly import ENDED_MAX, Anomaly, AnomalySettings
from engine.forecasting.baseline import Baseline, Held
from engine.forecasting.breach import HORIZONS_S
from engine.forecasting.busyness import BusynessSettings, Signals
from engine.forecasting.columns import Array, ratio
from engine.forecasting.windows import WINDOW_NAMES
from engine.kernels.scan import Second
from engine.kernels.sensing_columns import BUCKET_S, HORIZON, Observed
from engine.kernels.windows import (
    AVAILABLE,
    HANDLING,
    OFFERED,
    OLDEST_WAIT_MS,
    WRAP_UP,
    Readings,
)
from engine.sensing.directory import Directory
from engine.sensing.floor import FloorReader
from engine.sensing.outlook import Ahead, is_known
from engine.sensing.own_queues import OwnQueues
from engine.sensing.parts import Parts
from engine.sensing.picture import Picture
from engine.sensing.plans import PlanBook
from engine.sensing.rows import Key, keys_as_array, keys_of_array
from engine.sensing.sampling import Changes, Sample
from engine.sensing.sources import ENGINE, ENGINE_SOURCE, Sources
from engine.sensing.texts import text_as_array, text_of_array

# Days that have ended are learned from so many queues at a time.
_LEARNED_PER_SECOND: Final = 200
# Seconds without a contact beyond which more say no more.
_QUIET_S_MAX: Final = 2 * BUCKET_S
# Seconds between looks ahead, and between those that are learned from.
_LOOK_AHEAD_S: Final = 5
_MINUTE_S: Final = 60


class SensingSettings(NamedTuple):
    """
    Bounds of sensing.

    Attributes
    ----------
    lateness_s
        How much later than its second a reading may come, 0 to 15.
    stale_s
        Age from which a queue's last reading says nothing of the present.
    anomaly, busyness
        When anomalies are told, and how busyness is graded.
    """

    lateness_s: int = 2
    stale_s: int = 15
    anomaly: AnomalySettings = AnomalySettings()
    busyness: BusynessSettings = BusynessSettings()


class Batch(NamedTuple):
    """
    Readings of many queues for one second.

    Attributes
    ----------
    second
        Since the Unix epoch.
    queue_ids
        (n,) queues.
    values
        (n, 12) by the columns of `engine.kernels.windows`.
    """

    second: int
    queue_ids: Sequence[str]
    values: NDArray[np.int64]


class Sensing:
    """
    What is sensed of one cell. Not for two threads at a time.

    Attributes
    ----------
    parts, directory, own, sources, plans
        What it is made of, to be read only.
    """

    def __init__(self, settings: SensingSettings | None = None) -> None:
        self.settings = settings or SensingSettings()
        self.parts = self._new_parts()
        self.directory = Directory(self.parts)
        self.sources = Sources()
        self.own = OwnQueues()
        self.plans = PlanBook()
        self._floor = FloorReader()
        self._ahead: Ahead | None = None
        self._accuracy: Accuracy | None = None
        self._looked_s = self._learned_s = self._graded_s = -1
        self._baseline = Baseline()
        self._held: Held | None = None
        self._ended: deque[tuple[Anomaly, Key | None]] = deque(maxlen=ENDED_MAX)

    def define(self, changes: Changes) -> None:
        """Take in what has been defined."""
        if changes.plans is not None:
            self.plans.keep(changes.plans)
        if changes.definitions:
            before = len(self.directory.within_s)
            self.directory.define(changes.definitions)
            if len(self.directory.within_s) != before:
                self._ahead = self._accuracy = None

    def follow(self, sample: Sample) -> None:
        """Take in a sample of the engine's own queues."""
        own_rows, values = self.own.follow(sample)
        self._begin(sample.second - 1 - self.settings.lateness_s)
        row_of_own = self.directory.row_of_own
        rows = np.full(len(own_rows), -1)
        is_mapped = own_rows < len(row_of_own)
        rows[is_mapped] = row_of_own[own_rows[is_mapped]]
        values = values[:, rows >= 0]
        rows = rows[rows >= 0]
        source = self.sources.by_name[ENGINE]
        first = sample.second - len(values) + 1
        for second, of_second in enumerate(values, start=first):
            outcome = self._accept(rows, ENGINE_SOURCE, second, of_second)
            source.heard(second, 1_000 * (sample.second + 1), outcome)

    def accept(self, source_name: str, batch: Batch, now_ms: int) -> NDArray[np.int8]:
        """
        Take in readings of a source; returns what became of each, (n,).

        Raises
        ------
        CommandRefused
            The source's name is not one, or it is one too many.
        """
        source = self.sources.find(source_name, now_ms)
        self._begin(now_ms // 1_000 - 1 - self.settings.lateness_s)
        rows = self.directory.rows.rows_of(batch.queue_ids)
        outcome = self._accept(rows, source.number, batch.second, batch.values)
        source.heard(batch.second, now_ms, outcome)
        return outcome

    def advance(self, now_ms: int) -> list[Anomaly]:
        """
        Close every second that is old enough; returns anomalies that began or ended.

        The clock never goes back; a pause is a gap.
        """
        windows = self.parts.windows
        due_s = now_ms // 1_000 - 1 - self.settings.lateness_s
        self._begin(due_s)
        self.plans.follow(self.directory.rows, self.parts, due_s)
        changed: list[Anomaly] = []
        while windows.closed_s < due_s:
            closed_s = windows.closed_s
            bucket_ends_s = (closed_s + 1) // BUCKET_S * BUCKET_S + BUCKET_S - 1
            # More than a bucket behind, nothing in between is worth telling.
            is_far = due_s - closed_s > BUCKET_S
            second = min(due_s, bucket_ends_s if is_far else closed_s + 1)
            windows.close(second)
            self.parts.outlook.observe(second, windows)
            changed += self._observe(second)
            if second == bucket_ends_s:
                self._end_bucket(second // BUCKET_S, due_s)
        self.parts.model.learn(_LEARNED_PER_SECOND)
        self._look()
        self._look_ahead()
        self._grade()
        keys = self.directory.rows.keys
        self._ended += [(found, keys[found.row]) for found in changed if found.ended_s >= 0]
        return changed

    @property
    def ahead(self) -> Ahead | None:
        """What is coming, as of some seconds ago; None before the first look."""
        return self._ahead

    def known_arrivals(self) -> NDArray[np.bool_]:
        """(n,) where anything has come yet, or a profile says what is usual."""
        return is_known(self.parts.model)

    def anomalies(self, *, with_ended: bool) -> list[tuple[Anomaly, Key | None]]:
        """Anomalies with what they are of, the latest first; of those that are over the last."""
        keys = self.directory.rows.keys
        found = [(anomaly, keys[anomaly.row]) for anomaly in self.parts.watch.open()]
        ended = list(self._ended) if with_ended else []
        return sorted(found + ended, key=lambda item: -item[0].number)

    def picture(self) -> Picture:
        """What is sensed as of the last closed second."""
        size = len(self.directory.within_s)
        unknown = np.full(size, np.nan)
        ahead = self._ahead
        columns = self.parts.windows.columns
        aht = self.parts.outlook.handle_times.estimate()
        rates = unknown[:, None] if ahead is None else ahead.coming.rates.copy()
        rates[~is_known(self.parts.model)] = np.nan
        return Picture(
            second=self.parts.windows.closed_s,
            keys=self.directory.rows.all_keys(),
            latest=columns.latest.copy(),
            latest_s=columns.latest_s.copy(),
            is_stale=self._is_stale(),
            forecast_5m=rates[:, 0] * BUCKET_S,
            forecast_30m=rates.sum(axis=1) * BUCKET_S,
            agents_expected=unknown if ahead is None else ahead.agents.mean(axis=1),
            load_ratio=unknown if ahead is None else ahead.load_ratio,
            aht_ms=aht.mean_ms,
            aht_contacts=aht.samples,
            risk=np.full((size, len(HORIZONS_S)), np.nan) if ahead is None else ahead.risk,
            busyness=self.parts.busyness.columns.grade.copy(),
            service_level=unknown if ahead is None else ahead.projection.mean,
            service_level_miss=unknown if ahead is None else ahead.projection.risk,
            windows={name: self.parts.windows.figures(name) for name in WINDOW_NAMES},
            anomalies=tuple(self.parts.watch.open()),
            accuracy=self._accuracy,
        )

    def export(self) -> dict[str, Array]:
        """Everything that is learned, as arrays, for `load`."""
        return self.parts.export() | {
            "keys": keys_as_array(self.directory.rows.keys),
            "days": text_as_array(self.directory.calendars.export()),
        }

    def load(self, arrays: Mapping[str, Array]) -> None:
        """
        Take what `export` gave; only before anything is defined.

        Raises
        ------
        BadConfiguration
            The arrays are of another version; nothing changes.
        """
        parts = self._new_parts()
        directory = Directory(parts)
        directory.calendars.load(text_of_array("sensing.days", arrays.get("days")))
        directory.place(keys_of_array(arrays.get("keys")))
        parts.load(arrays)
        self.parts, self.directory = parts, directory
        # What was graded before the file was written is not graded again.
        self._graded_s = parts.windows.closed_s

    def _new_parts(self) -> Parts:
        return Parts.of(1, self.settings.anomaly, self.settings.busyness)

    def _begin(self, second: int) -> None:
        """Begin, if nothing has, with a bucket that nobody saw: so the one that runs has begun."""
        if self.parts.windows.closed_s < 0:
            self.parts.windows.begin(second)
        if self.parts.model.bucket < 0:
            before = self.parts.windows.closed_s // BUCKET_S - 1
            self._close_bucket(before, _nothing(self.parts.model.rows))

    def _accept(
        self, rows: NDArray[np.int64], source: int, second: int, values: NDArray[np.int64]
    ) -> NDArray[np.int8]:
        count = len(rows)
        readings = Readings(rows, np.full(count, source), np.full(count, second), values)
        return self.parts.windows.accept(readings)

    def _is_stale(self) -> NDArray[np.bool_]:
        latest_s = self.parts.windows.columns.latest_s
        age_s = self.parts.windows.closed_s - latest_s
        return (latest_s < 0) | (age_s > self.settings.stale_s)

    def _observe(self, second: int) -> list[Anomaly]:
        """Compare a second that was closed with what was forecast for it."""
        held = self._held
        if held is None or len(held.rate_per_s) != self.parts.model.rows:
            return []
        columns = self.parts.windows.columns
        is_covered = (columns.latest_s == second).astype(np.int64)
        offered = np.where(is_covered, columns.latest[:, OFFERED], 0)
        for group, members in self.directory.groups():
            offered[group] = offered[members].sum()
            is_covered[group] = is_covered[members].all()
        # What has come so far is no forecast of the day to hold anything against.
        has_profile = self.parts.model.columns.profiles.level > 0.0
        rate = np.where(has_profile, held.rate_per_s, 0.0)
        return self.parts.watch.observe(second, Second(offered, is_covered, rate, held.variance))

    def _end_bucket(self, bucket: int, due_s: int) -> None:
        """Learn from a bucket; those that passed unseen until the running one are gaps."""
        windows = self.parts.windows
        observed = self._with_groups(windows.take_bucket(_QUIET_S_MAX))
        held = self._held
        forecast = None if held is None else held.rate_per_s * BUCKET_S
        self.parts.recent.note(bucket, observed, forecast)
        self._close_bucket(bucket, observed)
        running = due_s // BUCKET_S
        if running - bucket > HORIZON:
            windows.close(running * BUCKET_S - 1)
            self._close_bucket(running - 1, _nothing(self.parts.model.rows))

    def _close_bucket(self, bucket: int, observed: Observed) -> None:
        model = self.parts.model
        before = model.columns.arrivals.today.copy()
        self.plans.tell_volumes(bucket, self.parts)
        model.close(bucket, observed)
        self.parts.outlook.handle_times.close()
        self._accuracy = accuracy(model.columns)
        self.parts.windows.begin_day(np.flatnonzero(model.columns.arrivals.today != before))
        self._held = self._baseline.begin(model)

    def expect_again(self, rows: NDArray[np.int64]) -> None:
        """Compare seconds to come with what is forecast of some rows now, not with what was."""
        if self._held is not None:
            self._baseline.renew(self.parts.model, rows, self._held)

    def _look(self) -> None:
        """Look into the running bucket."""
        windows, model = self.parts.windows, self.parts.model
        elapsed_s = windows.closed_s + 1 - model.bucket * BUCKET_S
        if 0 <= elapsed_s <= BUCKET_S:
            model.look(elapsed_s, self._with_groups(windows.bucket_so_far(_QUIET_S_MAX)))

    def _look_ahead(self) -> None:
        """Every few seconds: what is coming; every minute: what has come of it."""
        second = self.parts.windows.closed_s
        outlook = self.parts.outlook
        if self._ahead is None or second - self._looked_s >= _LOOK_AHEAD_S:
            known = ~self._is_stale()
            floor = self._floor.read(self.own, self.directory, self.parts.windows, known)
            self._ahead = outlook.ahead(second, floor, self.parts.model, self.parts.windows)
            self._looked_s = second
        if second - self._learned_s >= _MINUTE_S:
            outlook.learn(second, self._ahead, self.parts.windows)
            self._learned_s = second

    def _grade(self) -> None:
        """Grade every queue by its last reading and what lies ahead."""
        columns, ahead = self.parts.windows.columns, self._ahead
        second = self.parts.windows.closed_s
        if ahead is None or second == self._graded_s:
            return
        latest = columns.latest.astype(np.float64)
        busy = latest[:, HANDLING] + latest[:, WRAP_UP]
        signals = Signals(
            occupancy=ratio(busy, latest[:, AVAILABLE] + busy),
            wait_ratio=latest[:, OLDEST_WAIT_MS] / 1_000.0 / self.directory.within_s,
            load_ratio=ahead.load_ratio,
            breach_risk=np.fmax.reduce(ahead.risk, axis=1),
            age_s=np.where(columns.latest_s >= 0, second - columns.latest_s, np.inf),
        )
        self.parts.busyness.observe(second, signals)
        self._graded_s = second

    def _with_groups(self, observed: Observed) -> Observed:
        """What came for groups is what came for their members, where all of them were seen."""
        contacts, covered_s, quiet_s = observed
        for group, members in self.directory.groups():
            contacts[group] = contacts[members].sum()
            covered_s[group] = covered_s[members].min()
            quiet_s[group] = quiet_s[members].min()
        return Observed(contacts, np.minimum(covered_s, BUCKET_S), quiet_s)


def _nothing(rows: int) -> Observed:
    none = np.zeros(rows, np.int64)
    return Observed(none, none, none)
