"""What the definitions of agents and queues are made of; names and bounds are those of the wire."""

from typing import Final, NamedTuple

from engine.lifecycle import Channel, Day


class ChannelCapacity(NamedTuple):
    """
    What contacts of one channel cost an agent; `contacts_max` 0 = no limit but capacity.

    Those of the channels in `interrupted_by` may be taken on in their place.
    """

    channel: Channel
    cost: int = 1
    contacts_max: int = 0
    interrupted_by: tuple[Channel, ...] = ()


class AgentSkill(NamedTuple):
    """A skill an agent holds at `proficiency`, 0 to 5; 0 = not held."""

    skill: str
    proficiency: int


class ScoreWeights(NamedTuple):
    """
    Weights of the score, 0 to 1,000,000,000 each, dimensionless; None = as the strategy has it.

    `engine.kernels.scoring` states the formula.
    """

    preferred_skills: float | None = None
    skill: float | None = None
    preferred_agent: float | None = None
    handle_time: float | None = None
    outcome: float | None = None
    idle: float | None = None
    load: float | None = None
    turn: float | None = None
    versatility: float | None = None
    occupancy: float | None = None
    wait: float | None = None
    urgency: float | None = None
    # Not a weight: the share of the service-level time, 0 to 1, after which urgency begins.
    urgent_from: float | None = None
    lateness: float | None = None


STRATEGY_WEIGHTS: Final = ScoreWeights()


class OpeningPeriod(NamedTuple):
    """
    A time when a queue is open, "00:00" to "24:00"; past midnight where it closes before it opens.

    The days are those it begins on; none in an exception, which has its date.
    """

    opens: str
    closes: str
    days: tuple[Day, ...] = ()


class HoursException(NamedTuple):
    """A date, as 2026-12-25, that is not as others of its day; no periods = closed."""

    date: str
    name: str = ""
    periods: tuple[OpeningPeriod, ...] = ()


class Hours(NamedTuple):
    """When a queue is open, on the clocks of a time zone; `engine.routing.hours` has the rules."""

    time_zone: str
    weekly: tuple[OpeningPeriod, ...] = ()
    exceptions: tuple[HoursException, ...] = ()
