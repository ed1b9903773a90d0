"""
A simulated floor in plain Python, slow and obvious: one queue served in order of arrival by agents
who are all alike.

The twin of the simulation's kernels: the same numbers belong to the same contacts, so every count
and sum must be the same. It shares no code with them, nor with the engine.
"""

import heapq
import itertools
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import NormalDist

from engine.simulation.laws import Law
from engine.simulation.scenario import Arrivals, Scenario, Stream

_WORD = (1 << 64) - 1
# Purposes of numbers, and the order of what happens in the same millisecond.
GAP, PATIENCE, HANDLE, WRAP_UP, CHOICE, REDIAL, REDIAL_DELAY = 0, 2, 3, 4, 7, 8, 9
_ACTS, _REDIALS, _ARRIVES = 1, 2, 3


def mixed(word: int) -> int:
    """SplitMix64's finaliser."""
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & _WORD
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB & _WORD
    return word ^ (word >> 31)


def uniform(key: int, number: int, purpose: int) -> float:
    """The number in (0, 1) of something, for a purpose."""
    place = key + number * 0x9E3779B97F4A7C15 + purpose * 0xD1B54A32D192ED03
    return ((mixed(place & _WORD) >> 11) + 0.5) * 2.0**-53


def drawn_ms(law: Law, key: int, number: int, purpose: int) -> float:
    """A duration by inversion."""
    u = uniform(key, number, purpose)
    if law.constant is not None:
        return law.constant
    if law.exponential is not None:
        return -law.exponential * math.log(u)
    if law.weibull is not None:
        return law.weibull.scale * (-math.log(u)) ** (1.0 / law.weibull.shape)
    assert law.lognormal is not None, "a law that the twin does not know"
    variance = math.log(1.0 + law.lognormal.cv**2)
    normal = NormalDist().inv_cdf(u)
    return law.lognormal.mean * math.exp(math.sqrt(variance) * normal - variance / 2)


@dataclass(eq=False)
class Caller:
    """One attempt of one caller, and where it stands."""

    stream: str
    number: int
    attempt: int
    arrived_ms: int
    answered_ms: int = -1
    is_gone: bool = False

    @property
    def own(self) -> int:
        """Number its draws belong to."""
        return self.number + (self.attempt << 40)


@dataclass
class Tally:
    """What is measured of a stream: contacts, and milliseconds."""

    count: Counter[str] = field(default_factory=Counter)
    total_ms: Counter[str] = field(default_factory=Counter)


class PlainFloor:
    """
    The floor.

    Parameters
    ----------
    scenario
        One queue and one group; no warm-up, one run, until it is empty.
    key
        Key of the run's random numbers.
    """

    def __init__(self, scenario: Scenario, key: int) -> None:
        (self.queue,) = scenario.queues.values()
        (group,) = scenario.groups.values()
        self.scenario, self.key, self.group = scenario, key, group
        self.idle = group.agents_max
        self.now_ms = 0
        self.line: list[Caller] = []
        self.open = 0
        self.busy_ms = 0
        self.tallies = {name: Tally() for name in scenario.streams}
        # Where those are counted who try again when the doors are closed.
        self._uncounted = {name: Tally() for name in scenario.streams}
        self.waiting: Counter[str] = Counter()
        self.diverting: Counter[str] = Counter()
        self._seen_ms: Counter[str] = Counter()
        self._order = itertools.count()
        self._agenda: list[tuple[int, int, int, Callable[[], None]]] = []

    def run(self) -> None:
        """Let everybody arrive, and everybody who did leave."""
        for place, (name, stream) in enumerate(self.scenario.streams.items()):
            self._plan_arrivals(place, name, stream)
        while self._agenda:
            self.now_ms, _, _, deed = heapq.heappop(self._agenda)
            deed()

    @property
    def _measured_ms(self) -> int:
        """Areas are measured until the doors close."""
        return min(self.now_ms, int(self.scenario.horizon.length))

    def _at(self, at_ms: int, what: int, deed: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (at_ms, what, next(self._order), deed))

    def _plan_arrivals(self, place: int, name: str, stream: Stream) -> None:
        clock_ms = 0.0
        for arrived in itertools.count():
            number = arrived * len(self.scenario.streams) + place
            need = -math.log(uniform(self.key, number, GAP))
            clock_ms = _arrival_after(stream.arrivals, clock_ms, need)
            if clock_ms >= self.scenario.horizon.length:
                return
            self._at(int(clock_ms), _ARRIVES, lambda number=number: self._receive(name, number, 0))  # type: ignore[misc]

    def _tally(self, name: str, arrived_ms: int) -> Tally:
        is_counted = arrived_ms < self.scenario.horizon.length
        return (self.tallies if is_counted else self._uncounted)[name]

    def _receive(self, name: str, number: int, attempt: int) -> None:
        self._tally(name, self.now_ms).count["offered"] += 1
        stream = self.scenario.streams[name]
        if self._takes_another_way(name, stream, number):
            self._tally(name, self.now_ms).count["diverted"] += 1
            assert stream.divert is not None
            if stream.divert.to is None:
                return
            name, stream = stream.divert.to, self.scenario.streams[stream.divert.to]
            self._tally(name, self.now_ms).count["offered"] += 1
        caller = Caller(name, number, attempt, self.now_ms)
        if self.scenario.trunks is not None and self.open >= self.scenario.trunks:
            self._tally(name, self.now_ms).count["blocked"] += 1
            self._perhaps_redial(caller)
            return
        self.open += 1
        self._count_waiting(name, 1)
        self.line.append(caller)
        self._serve()
        if caller.answered_ms >= 0:
            return
        if 0 < self.queue.max_length < len(self.line):
            self._tally(name, self.now_ms).count["blocked"] += 1
            self._leave(caller)
            return
        if stream.patience is not None:
            patience_ms = drawn_ms(stream.patience, self.key, caller.own, PATIENCE)
            self._at(self.now_ms + int(patience_ms + 0.5), _ACTS, lambda: self._abandon(caller))

    def _takes_another_way(self, name: str, stream: Stream, number: int) -> bool:
        divert = stream.divert
        if divert is None:
            return False
        if divert.until_waiting is None:
            is_offered = self.waiting[name] >= divert.from_waiting
        else:
            is_offered = bool(self.diverting[name]) and self.waiting[name] > 0
        return is_offered and uniform(self.key, number, CHOICE) < divert.accepted

    def _count_waiting(self, name: str, change: int) -> None:
        passed_ms = self._measured_ms - self._seen_ms[name]
        self._seen_ms[name] = self._measured_ms
        self.tallies[name].total_ms["waiting"] += passed_ms * self.waiting[name]
        self.waiting[name] += change
        divert = self.scenario.streams[name].divert
        if divert is None or divert.until_waiting is None:
            return
        if self.waiting[name] <= divert.until_waiting:
            self.diverting[name] = 0
        elif change > 0 and self.waiting[name] == divert.from_waiting:
            self.diverting[name] = 1

    def _serve(self) -> None:
        while self.idle and self.line:
            caller = self.line.pop(0)
            self.idle -= 1
            caller.answered_ms = self.now_ms
            self._count_waiting(caller.stream, -1)
            tally = self._tally(caller.stream, caller.arrived_ms)
            tally.count["answered"] += 1
            tally.total_ms["answered wait"] += self.now_ms - caller.arrived_ms
            stream = self.scenario.streams[caller.stream]
            work_ms = drawn_ms(stream.handle_time, self.key, caller.own, HANDLE) / self.group.speed
            done_ms = self.now_ms + int(work_ms + 0.5)
            if stream.wrap_up is not None:
                wrap_ms = drawn_ms(stream.wrap_up, self.key, caller.own, WRAP_UP) / self.group.speed
                done_ms += int(wrap_ms + 0.5)
            self._at(done_ms, _ACTS, lambda caller=caller: self._complete(caller))  # type: ignore[misc]

    def _complete(self, caller: Caller) -> None:
        tally = self._tally(caller.stream, caller.arrived_ms)
        tally.count["completed"] += 1
        tally.total_ms["handling"] += self.now_ms - caller.answered_ms
        self.busy_ms += max(self._measured_ms - caller.answered_ms, 0)
        self.idle += 1
        self.open -= 1
        self._serve()

    def _abandon(self, caller: Caller) -> None:
        if caller.answered_ms < 0 and not caller.is_gone:
            tally = self._tally(caller.stream, caller.arrived_ms)
            tally.count["abandoned"] += 1
            tally.total_ms["abandoned wait"] += self.now_ms - caller.arrived_ms
            self._leave(caller)

    def _leave(self, caller: Caller) -> None:
        caller.is_gone = True
        self.line.remove(caller)
        self.open -= 1
        self._count_waiting(caller.stream, -1)
        self._perhaps_redial(caller)

    def _perhaps_redial(self, caller: Caller) -> None:
        redial = self.scenario.streams[caller.stream].redial
        if redial is None or uniform(self.key, caller.own, REDIAL) >= redial.share:
            return
        self._tally(caller.stream, caller.arrived_ms).count["redialled"] += 1
        delay_ms = drawn_ms(redial.after, self.key, caller.own, REDIAL_DELAY)
        again_ms = self.now_ms + int(delay_ms + 0.5)
        self._at(
            again_ms,
            _REDIALS,
            lambda: self._receive(caller.stream, caller.number, caller.attempt + 1),
        )


def _arrival_after(arrivals: Arrivals, clock_ms: float, need: float) -> float:
    """When the rate has brought `need` more arrivals to be expected; infinity for never."""
    if arrivals.per_minute is not None:
        return clock_ms + need / (arrivals.per_minute / 60_000)
    assert arrivals.steps is not None, "arrivals that the twin does not know"
    assert arrivals.repeat is not None
    while True:
        cycle = int(clock_ms // arrivals.repeat)
        into_ms = clock_ms - cycle * arrivals.repeat
        step = next((step for step in arrivals.steps if into_ms < step.until), None)
        ends_ms = cycle * arrivals.repeat + (step.until if step else arrivals.repeat)
        rate = step.per_minute / 60_000 if step else 0.0
        expected = (ends_ms - clock_ms) * rate
        if need <= expected and rate > 0:
            return clock_ms + need / rate
        need -= expected
        clock_ms = ends_ms
