"""What simulations measured: counts and integrals in parts, and estimates with standard errors."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.kernels import floor_columns as c
from engine.simulation.floor import Floor
from engine.simulation.scenario import Scenario

# Many replications are folded into so many parts: enough for an error of the error of 7 %.
PARTS_MAX: Final = 100
_BINS_PER_OCTAVE: Final = 64.0

Floats = NDArray[np.float64]


class Estimate(NamedTuple):
    """
    An estimate.

    Attributes
    ----------
    value
        In the unit of its measure; nan where nothing was seen.
    error
        Standard error; nan where there is one part only.
    """

    value: float
    error: float


def ratio(above: Floats, below: Floats) -> Estimate:
    """
    Ratio of two sums over parts, with the error of the ratio estimator (Cochran 1977, 2.39).

    Parameters
    ----------
    above, below
        (parts,), by part.
    """
    total = float(below.sum())
    if total == 0.0:
        return Estimate(math.nan, math.nan)
    value = float(above.sum()) / total
    parts = above.size
    if parts < 2:
        return Estimate(value, math.nan)
    residuals = above - value * below
    variance = float((residuals**2).sum()) * parts / (parts - 1)
    return Estimate(value, math.sqrt(variance) / total)


@dataclass(slots=True)
class Results:
    """
    Sums of a scenario's runs, in parts whose scatter gives the errors.

    Attributes
    ----------
    count
        (parts, streams, COUNTS), contacts.
    total_ms
        (parts, streams, SUMS), milliseconds.
    waits
        (parts, streams, WAIT_BINS), waits of those who waited and were answered.
    area_ms
        (parts, groups, AREAS), agent-milliseconds.
    answered_by
        (parts, groups, streams), contacts.
    length_ms
        (parts,), time measured.
    moments
        What was seen at each moment, by replication: see `seen`.
    """

    scenario: Scenario
    streams: list[str]
    groups: list[str]
    count: Floats
    total_ms: Floats
    waits: Floats
    area_ms: Floats
    answered_by: Floats
    length_ms: Floats
    events: int
    runs: int
    seen: NDArray[np.int64]

    @property
    def parts(self) -> int:
        """How many parts were measured."""
        return self.length_ms.size

    def stream(self, name: str) -> int:
        """Index of a stream."""
        return self.streams.index(name)

    def counted(self, what: int, streams: list[int] | None = None) -> Floats:
        """Counts by part, of some streams or of all that are no probes."""
        rows = self.real_streams() if streams is None else streams
        return np.asarray(self.count[:, rows, what].sum(axis=1))

    def summed_ms(self, what: int, streams: list[int] | None = None) -> Floats:
        """Sums by part, likewise."""
        rows = self.real_streams() if streams is None else streams
        return np.asarray(self.total_ms[:, rows, what].sum(axis=1))

    def real_streams(self) -> list[int]:
        """Rows of the streams, that of the probe left out."""
        probe = self.scenario.horizon.probe
        return [row for row, name in enumerate(self.streams) if name != probe]

    def accepted(self, streams: list[int] | None = None) -> Floats:
        """Offered contacts that were neither diverted nor blocked, by part."""
        taken = self.counted(c.OFFERED, streams) - self.counted(c.BLOCKED, streams)
        return taken - self.counted(c.DIVERTED, streams)

    def measure(self, name: str, streams: list[int] | None = None) -> Estimate:
        """
        A measure of some streams, or of all: see MEASURES for the names.

        Raises
        ------
        KeyError
            No such measure.
        """
        above, below = MEASURES[name](self, streams)
        return ratio(above, below)

    def served_within(self, place: int, streams: list[int] | None = None) -> Estimate:
        """Answered within threshold `place` / accepted."""
        return ratio(self.counted(c.ANSWERED_WITHIN + place, streams), self.accepted(streams))

    def served_within_excluding(self, place: int, streams: list[int] | None = None) -> Estimate:
        """Answered within threshold `place` / (accepted - abandoned within it)."""
        below = self.accepted(streams) - self.counted(c.ABANDONED_WITHIN + place, streams)
        return ratio(self.counted(c.ANSWERED_WITHIN + place, streams), below)

    def occupancy(self, group: int | None = None) -> Estimate:
        """Time agents had a contact in hand / time they were signed in."""
        rows = slice(None) if group is None else [group]
        area = self.area_ms[:, rows].sum(axis=1)
        return ratio(area[:, c.BUSY_AREA], area[:, c.SIGNED_IN_AREA])

    def share_by(self, stream: int, group: int) -> Estimate:
        """Contacts of a stream that a group answered / accepted contacts of the stream."""
        return ratio(self.answered_by[:, group, stream], self.accepted([stream]))

    def wait_quantile_ms(self, share: float, streams: list[int] | None = None) -> Estimate:
        """
        Wait of answered contacts that `share` of them do not exceed, milliseconds.

        The error is that of the share / the density of waits there.
        """
        rows = self.real_streams() if streams is None else streams
        waits = self.waits[:, rows].sum(axis=1)
        answered = self.counted(c.ANSWERED, streams)
        beyond = answered.sum() * (1.0 - share)
        longer = waits.sum(axis=0)[::-1].cumsum()[::-1]
        place = int((longer >= beyond).sum()) - 1
        if place < 0 or answered.sum() == 0:
            return Estimate(0.0, math.nan)
        inside = waits.sum(axis=0)[place]
        into = (longer[place] - beyond) / inside if inside else 0.0
        value = 2.0 ** ((place + into) / _BINS_PER_OCTAVE)
        later = waits[:, place + 1 :].sum(axis=1) + waits[:, place] * (1.0 - into)
        width = 2.0 ** ((place + 1) / _BINS_PER_OCTAVE) - 2.0 ** (place / _BINS_PER_OCTAVE)
        density = inside / answered.sum() / width
        return Estimate(value, ratio(later, answered).error / density if density else math.nan)

    def longer_waits(self, streams: list[int] | None = None) -> tuple[Floats, Floats]:
        """
        How waits of answered contacts are spread.

        Returns
        -------
        at_ms
            (WAIT_BINS,), lengths of wait in milliseconds, ascending from 1.
        share
            (WAIT_BINS,), share of answered contacts that waited so long or longer; nan without any.
        """
        rows = self.real_streams() if streams is None else streams
        waits = self.waits[:, rows].sum(axis=(0, 1))
        answered = float(self.counted(c.ANSWERED, streams).sum())
        longer = waits[::-1].cumsum()[::-1]
        at_ms = 2.0 ** (np.arange(waits.size) / _BINS_PER_OCTAVE)
        return at_ms, longer / answered if answered else np.full(waits.size, math.nan)


# Above and below the line of a measure: of these results, of some streams or of all.
_Parts = Callable[[Results, list[int] | None], tuple[Floats, Floats]]

# Measures by name; times in milliseconds.
MEASURES: Final[Mapping[str, _Parts]] = {
    "p_wait": lambda r, s: (r.counted(c.WAITED, s), r.accepted(s)),
    "p_block": lambda r, s: (r.counted(c.BLOCKED, s), r.counted(c.OFFERED, s)),
    "p_abandon": lambda r, s: (r.counted(c.ABANDONED, s), r.accepted(s)),
    "p_divert": lambda r, s: (r.counted(c.DIVERTED, s), r.counted(c.OFFERED, s)),
    "wait_all": lambda r, s: (
        r.summed_ms(c.ANSWERED_WAIT, s) + r.summed_ms(c.ABANDONED_WAIT, s),
        r.accepted(s),
    ),
    "asa": lambda r, s: (r.summed_ms(c.ANSWERED_WAIT, s), r.counted(c.ANSWERED, s)),
    "lq": lambda r, s: (r.summed_ms(c.WAITING_AREA, s), r.length_ms),
    "handle_time": lambda r, s: (r.summed_ms(c.HANDLING, s), r.counted(c.COMPLETED, s)),
    "diverting": lambda r, s: (r.summed_ms(c.DIVERTING_AREA, s), r.length_ms),
    "diversions_begun": lambda r, s: (r.counted(c.DIVERSIONS_BEGUN, s), r.length_ms),
}


class Gathering:
    """Results in the making: one floor's run after another is added to its part, in order."""

    def __init__(self, scenario: Scenario, floor: Floor) -> None:
        horizon = scenario.horizon
        self.parts = min(horizon.batches * horizon.replications, PARTS_MAX)
        self._horizon = horizon
        streams, groups = len(floor.streams), len(floor.groups)
        self._results = Results(
            scenario=scenario,
            streams=floor.streams,
            groups=floor.groups,
            count=np.zeros((self.parts, streams, c.COUNTS)),
            total_ms=np.zeros((self.parts, streams, c.SUMS)),
            waits=np.zeros((self.parts, streams, c.WAIT_BINS)),
            area_ms=np.zeros((self.parts, groups, c.AREAS)),
            answered_by=np.zeros((self.parts, groups, streams)),
            length_ms=np.zeros(self.parts),
            events=0,
            runs=0,
            seen=np.zeros((horizon.replications, len(horizon.moments), 5), np.int64),
        )

    def add(self, floor: Floor) -> None:
        """Add a run that has ended."""
        results, horizon = self._results, self._horizon
        streams, groups = len(floor.streams), len(floor.groups)
        length_ms = float(floor.columns.run.scalar[c.BATCH_LENGTH])
        for batch in range(horizon.batches):
            part = (results.runs * horizon.batches + batch) * self.parts
            part //= horizon.batches * horizon.replications
            rows = slice(batch * streams, (batch + 1) * streams)
            results.count[part] += floor.columns.tallies.counts[rows]
            results.total_ms[part] += floor.columns.tallies.total_ms[rows]
            results.waits[part] += floor.columns.tallies.waits[rows]
            rows = slice(batch * groups, (batch + 1) * groups)
            results.area_ms[part] += floor.columns.group_tallies.area_ms[rows]
            first = batch * groups * streams
            by = floor.columns.answered_by.contacts[first : first + groups * streams]
            results.answered_by[part] += by.reshape(groups, streams)
            results.length_ms[part] += length_ms
        moments = floor.columns.moments
        for place in range(len(horizon.moments)):
            results.seen[results.runs, place] = (
                moments.waiting[place], moments.in_hand[place], moments.signed_in[place],
                moments.busy[place], moments.wait_ms[place],
            )  # fmt: skip
        results.events += int(floor.columns.run.scalar[c.EVENTS])
        results.runs += 1

    def ended(self) -> Results:
        """What was gathered: fewer parts than were asked for when somebody had seen enough."""
        results = self._results
        measured = slice(np.count_nonzero(results.length_ms))
        return replace(
            results,
            count=results.count[measured],
            total_ms=results.total_ms[measured],
            waits=results.waits[measured],
            area_ms=results.area_ms[measured],
            answered_by=results.answered_by[measured],
            length_ms=results.length_ms[measured],
            seen=results.seen[: results.runs],
        )
