"""
A scenario: a contact centre that is made up, or measured, and asked what it would do.

Durations are texts with units in a file (`90s`, `1.5h`) and milliseconds in Python.
"""

import math
from typing import Annotated, Literal

from pydantic import Field

from engine.kernels.floor_columns import THRESHOLDS_MAX
from engine.limits import (
    CAPACITY_MAX,
    DAY_MS,
    FORTNIGHT_MS,
    MATCHING_WINDOW_MS_MAX,
    PRIORITY_MAX,
    PROFICIENCY_MAX,
    RELAXATION_STEPS_MAX,
    REQUIREMENT_ITEMS_MAX,
    SCORE_WEIGHT_MAX,
)
from engine.simulation.laws import Declared, Duration, Gamma, Law, Positive

Name = Annotated[str, Field(min_length=1, max_length=128)]
StrategyName = Literal[
    "longest_idle", "least_occupied", "round_robin", "best_score", "specialists_first"
]
Ratio = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, le=SCORE_WEIGHT_MAX)]
Rate = Annotated[float, Field(ge=0, le=1e7)]


class QueueWeights(Declared):
    """Weights of the score that differ from the strategy's; see engine.definitions.ScoreWeights."""

    preferred_skills: Weight | None = None
    skill: Weight | None = None
    preferred_agent: Weight | None = None
    handle_time: Weight | None = None
    outcome: Weight | None = None
    idle: Weight | None = None
    load: Weight | None = None
    turn: Weight | None = None
    versatility: Weight | None = None
    occupancy: Weight | None = None
    wait: Weight | None = None
    urgency: Weight | None = None
    urgent_from: Ratio | None = None
    lateness: Weight | None = None


class SimulatedQueue(Declared):
    """
    A queue, as `UpsertQueue` defines one.

    Attributes
    ----------
    weights
        In the place of some of the strategy's.
    starvation_bound
        Age from which a contact goes before all that are younger in this sense; 0 for none.
    skill_per_waiting
        Weight of the skill term for each contact that waits: the longer queue goes first.
    matching_window
        How long offers are gathered into a batch; 0 for not at all.
    """

    service_level_within: Positive = 20_000
    order: Literal["fifo", "lifo"] = "fifo"
    priority: int = Field(default=0, ge=-PRIORITY_MAX, le=PRIORITY_MAX)
    strategy: StrategyName = "longest_idle"
    weights: QueueWeights = QueueWeights()
    starvation_bound: Duration = Field(default=0, ge=0, le=FORTNIGHT_MS)
    skill_per_waiting: float = Field(default=0.0, ge=0, le=1e9)
    max_wait: Positive | None = None
    max_length: int = Field(default=0, ge=0, le=1_000_000)
    offer_timeout: Positive = DAY_MS
    reoffer_delay: Duration = Field(default=30_000, ge=0, le=DAY_MS)
    priority_age: Positive = 60_000
    matching_window: Duration = Field(default=0, ge=0, le=MATCHING_WINDOW_MS_MAX)


class StaffingStep(Declared):
    """From a time on, so many agents."""

    at: Duration = Field(ge=0)
    agents: int = Field(ge=0, le=100_000)


class Shift(Declared):
    """A time when the agents of a group are there."""

    begins: Duration = Field(ge=0)
    ends: Positive


class Overflow(Declared):
    """
    A queue that a group helps out in, one contact at a time.

    Attributes
    ----------
    queue
        Not one of those the group serves.
    from_waiting
        Contacts that must wait before one is taken.
    keep_idle
        Agents of the group who stay idle all the same.
    """

    queue: Name
    from_waiting: int = Field(default=1, ge=1, le=1_000_000)
    keep_idle: int = Field(default=0, ge=0, le=100_000)


class AgentGroup(Declared):
    """
    Agents who are alike.

    Attributes
    ----------
    agents
        How many are there, all the time or during `shifts`; or `staffing` in steps.
    shifts
        When the agents are there. They are the same people in each, so shifts do not overlap.
    shift_cycle
        Length of the cycle that shifts repeat with, such as a day.
    queues
        Those they serve.
    overflow
        Those they help out in.
    skills
        Proficiency by skill, 1 to 5.
    speed
        1 is the speed that handling times are given for; 2 takes half as long.
    capacity
        Contacts at a time.
    speeds
        Share of full speed on each contact with 1, 2, ... in hand.
    leaving
        Whether an agent whose shift ends finishes what is in hand, or gives it back.
    handle_time
        By stream, where it differs from the stream's own.
    """

    agents: int | None = Field(default=None, ge=0, le=100_000)
    shifts: tuple[Shift, ...] = ()
    shift_cycle: Positive | None = None
    staffing: tuple[StaffingStep, ...] = ()
    queues: tuple[Name, ...] = ()
    overflow: tuple[Overflow, ...] = ()
    skills: dict[Name, Annotated[int, Field(ge=1, le=PROFICIENCY_MAX)]] = Field(
        default_factory=dict
    )
    tags: tuple[Name, ...] = ()
    speed: float = Field(default=1.0, gt=0.001, le=1_000)
    capacity: int = Field(default=1, ge=1, le=CAPACITY_MAX)
    speeds: tuple[Annotated[float, Field(gt=0, le=1)], ...] = ()
    leaving: Literal["finish", "hand_back"] = "finish"
    handle_time: dict[Name, Law] = Field(default_factory=dict)

    def steps_until(self, end_ms: float) -> list[StaffingStep]:
        """Staffing over time, up to a time in milliseconds."""
        if self.agents is None:
            return list(self.staffing)
        if not self.shifts:
            return [StaffingStep(at=0, agents=self.agents)]
        # Where one shift follows on another nobody goes home between them.
        at_ms: dict[float, int] = {}
        for cycle in range(math.ceil(end_ms / self.shift_cycle) if self.shift_cycle else 1):
            since_ms = cycle * (self.shift_cycle or 0.0)
            for shift in self.shifts:
                at_ms[since_ms + shift.begins] = self.agents
                at_ms[since_ms + shift.ends] = 0
        return [StaffingStep(at=at, agents=agents) for at, agents in at_ms.items() if at < end_ms]

    @property
    def agents_max(self) -> int:
        """Most agents at any time."""
        if self.agents is not None:
            return self.agents
        return max((step.agents for step in self.staffing), default=0)


class RateStep(Declared):
    """A rate until a time from the start of the cycle."""

    until: Positive
    per_minute: Rate


class Arrivals(Declared):
    """
    When contacts arrive: exactly one of a constant rate, steps, a wave, or recorded times.

    Attributes
    ----------
    per_minute
        Mean arrivals a minute.
    steps
        Rates until times; nothing arrives after the last.
    repeat
        Length of the cycle that steps repeat with.
    recorded
        Times of arrival, ascending.
    """

    per_minute: Rate | None = None
    steps: tuple[RateStep, ...] | None = Field(default=None, min_length=1, max_length=1_000_000)
    repeat: Positive | None = None
    recorded: tuple[Annotated[Duration, Field(ge=0)], ...] | None = None


class Busyness(Declared):
    """A random factor on the rate of each cycle, shared by streams of one `group`."""

    gamma: Gamma
    group: Name = "all"


class Diversion(Declared):
    """
    Another way offered to those who would have to wait.

    Attributes
    ----------
    from_waiting
        Offered to who finds so many of the stream waiting.
    until_waiting
        With it, offered from when so many wait until so few do.
    accepted
        Share who take it.
    to
        Stream they then belong to; they leave where there is none.
    """

    from_waiting: int = Field(ge=0, le=1_000_000)
    until_waiting: int | None = Field(default=None, ge=0, le=1_000_000)
    accepted: Ratio = 1.0
    to: Name | None = None


class Redials(Declared):
    """Who did not get through and tries again."""

    share: Ratio
    after: Law


class RequiredSkill(Declared):
    """A skill and the least proficiency."""

    skill: Name
    proficiency_min: int = Field(default=1, ge=1, le=PROFICIENCY_MAX)


class Asked(Declared):
    """What a contact asks of agents: skills at a level, and tags, all of them."""

    skills: tuple[RequiredSkill, ...] = Field(default=(), max_length=REQUIREMENT_ITEMS_MAX)
    tags: tuple[Name, ...] = Field(default=(), max_length=REQUIREMENT_ITEMS_MAX)


class SimulatedStep(Asked):
    """
    What is asked instead after so much waiting.

    Attributes
    ----------
    priority
        From then on; none: as it was.
    """

    after: Positive
    priority: int | None = Field(default=None, ge=-PRIORITY_MAX, le=PRIORITY_MAX)


class Stream(Asked):
    """
    Contacts of one kind.

    Attributes
    ----------
    relaxation
        What they ask for instead, step by step, the longer they wait.
    """

    queue: Name
    arrivals: Arrivals = Arrivals()
    busyness: Busyness | None = None
    channel: Literal["voice", "chat", "email", "social"] = "voice"
    priority: int = Field(default=0, ge=-PRIORITY_MAX, le=PRIORITY_MAX)
    relaxation: tuple[SimulatedStep, ...] = Field(default=(), max_length=RELAXATION_STEPS_MAX)
    handle_time: Law
    wrap_up: Law | None = None
    patience: Law | None = None
    initial: int = Field(default=0, ge=0, le=1_000_000)
    divert: Diversion | None = None
    redial: Redials | None = None


class Answers(Declared):
    """How agents answer offers: at once and always, unless told otherwise."""

    accepted: float = Field(default=1.0, gt=0, le=1)
    after: Law | None = None


class Horizon(Declared):
    """
    How long, and how it is cut up.

    Attributes
    ----------
    length
        Time simulated in all, warm-up included.
    warm_up
        Time at the start that is not measured.
    batches
        Equal parts the rest is measured in; their scatter gives the standard errors.
    until_empty
        Nobody arrives after `length`, but all who wait are served, with the staffing of then.
    replications
        Runs with draws of their own.
    moments
        Times at which the floor is looked at.
    probe
        Whether a contact that only measures its wait arrives at each moment.
    """

    length: Positive
    warm_up: Duration = Field(default=0, ge=0)
    batches: int = Field(default=1, ge=1, le=1_000)
    until_empty: bool = False
    replications: int = Field(default=1, ge=1, le=10_000_000)
    moments: tuple[Annotated[Duration, Field(ge=0)], ...] = ()
    probe: Name | None = None


class Scenario(Declared):
    """
    A contact centre and how long to run it.

    Attributes
    ----------
    thresholds
        Waits for which service levels are measured.
    trunks
        Most contacts that are open at a time; who comes on top is turned away.
    """

    name: Name = "scenario"
    seed: int = Field(default=1, ge=0, lt=1 << 63)
    horizon: Horizon
    thresholds: tuple[Positive, ...] = Field(default=(20_000.0,), max_length=THRESHOLDS_MAX)
    queues: dict[Name, SimulatedQueue] = Field(min_length=1)
    groups: dict[Name, AgentGroup]
    streams: dict[Name, Stream] = Field(min_length=1)
    answers: Answers = Answers()
    trunks: int | None = Field(default=None, ge=1, le=1_000_000)
