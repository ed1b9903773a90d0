"""
What a caller may ask of the engine, one type per command: named tuples, because a frozen data class
of eight fields takes three times as long to make. Names and bounds are the wire's, checked by
`engine.routing.validation`. Times are integer milliseconds.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from engine.choices import ChoiceCommand
from engine.crossing import CrossingCommand
from engine.definitions import STRATEGY_WEIGHTS, AgentSkill, ChannelCapacity, Hours, ScoreWeights
from engine.lifecycle import (
    AgentKind,
    CancelReason,
    Channel,
    Intake,
    Presence,
    QueueOrder,
    Strategy,
    WrapUpMode,
)
from engine.limits import (
    MAX_WAIT_MS,
    MISSED_OFFERS_MAX,
    OFFER_TIMEOUT_MS,
    PRIORITY_AGE_MS,
    REOFFER_DELAY_MS,
    REOFFER_DELAY_ONLY_AGENT_MS,
    RETRY_DELAY_MS,
    SERVICE_LEVEL_RATIO,
    SERVICE_LEVEL_WITHIN_MS,
)
from engine.plans import PlanCommand
from engine.policies import PolicyCommand
from engine.steering import SteeringCommand


class SkillRequirement(NamedTuple):
    """A skill every candidate must hold at `proficiency_min`, 1 to 5, or above."""

    skill: str
    proficiency_min: int = 1


class SkillPreference(NamedTuple):
    """A skill whose full proficiency adds `weight`, above 0 to 100, to a candidate's score."""

    skill: str
    weight: float = 1.0


class Requirements(NamedTuple):
    """What a contact asks of agents; hashable, so that equal requirements share one row."""

    skills: tuple[SkillRequirement, ...] = ()
    preferred_skills: tuple[SkillPreference, ...] = ()
    tags: tuple[str, ...] = ()
    # At least one of these; none of those; only these agents.
    tags_any: tuple[str, ...] = ()
    tags_none: tuple[str, ...] = ()
    agent_ids: tuple[str, ...] = ()
    # Agents that are a better match than others.
    preferred_agent_ids: tuple[str, ...] = ()


NO_REQUIREMENTS: Final = Requirements()
NO_ATTRIBUTES: Final[Mapping[str, str]] = MappingProxyType({})


class RelaxationStep(NamedTuple):
    """
    What a contact asks for instead, once it has waited `after_ms` in its queue.

    `priority` None = as it was.
    """

    after_ms: int
    requirements: Requirements = NO_REQUIREMENTS
    priority: int | None = None


Relaxation = tuple[RelaxationStep, ...]


class Schedule(NamedTuple):
    """
    When a contact is to be dealt with, and how often tried; `engine.kernels.scheduling` has the
    rules. Times are milliseconds since the Unix epoch.
    """

    due_at_ms: int = 0  # 0 = now.
    # Until when somebody must have taken it, instead of its longest wait; 0 = no window.
    window_ends_at_ms: int = 0
    attempts_max: int = 1
    # Pause after the first attempt that fails; doubled with each.
    retry_delay_ms: int = RETRY_DELAY_MS


class Route(NamedTuple):
    """
    Take a contact in.

    `routing_age_ms` is age it already has; `max_wait_ms` 0 = the queue's, -1 = never. One that
    continues a diverted contact takes over what it has, as `handlers.continuing` says, and ends it.
    """

    contact_id: str
    queue_id: str
    channel: Channel
    priority: int = 0
    requirements: Requirements = NO_REQUIREMENTS
    attributes: Mapping[str, str] = NO_ATTRIBUTES
    routing_age_ms: int = 0
    max_wait_ms: int = 0
    relaxation: Relaxation = ()
    schedule: Schedule | None = None
    continues_contact_id: str = ""


class UpdateContact(NamedTuple):
    """
    Change an open contact; None leaves a field as it is.

    Attributes are merged, an empty value removes a key. New requirements end the relaxation.
    """

    contact_id: str
    etag: str = ""
    priority: int | None = None
    routing_age_ms: int | None = None
    requirements: Requirements | None = None
    attributes: Mapping[str, str] = NO_ATTRIBUTES


class RequeueContact(NamedTuple):
    """
    Put a queued, offered or assigned contact into a queue, "" = its own, keeping its age.

    What it asks for stays where neither requirements nor steps are given; attributes are merged as
    by `UpdateContact`.
    """

    contact_id: str
    queue_id: str = ""
    priority: int | None = None
    etag: str = ""
    requirements: Requirements | None = None
    relaxation: Relaxation = ()
    attributes: Mapping[str, str] = NO_ATTRIBUTES


class ScheduleContact(NamedTuple):
    """
    Put an open contact off until a time, or have it keep its place where that is now; in a queue,
    "" = its own, and on a channel, None = its own.
    """

    contact_id: str
    schedule: Schedule
    channel: Channel | None = None
    queue_id: str = ""
    attributes: Mapping[str, str] = NO_ATTRIBUTES
    etag: str = ""


class FailAttempt(NamedTuple):
    """
    Give an assigned contact back whose customer could not be reached, to be tried again after
    `retry_after_ms`; 0 = as its schedule says.
    """

    contact_id: str
    agent_id: str
    retry_after_ms: int = 0


class Consult(NamedTuple):
    """
    Ask another agent about an assigned contact, in a consult, which is a contact of its own.

    The consult has the contact's channel, routing age and attributes, and `priority` None = its
    priority.
    """

    contact_id: str
    agent_id: str
    consult_id: str
    queue_id: str = ""
    priority: int | None = None
    requirements: Requirements = NO_REQUIREMENTS
    relaxation: Relaxation = ()
    attributes: Mapping[str, str] = NO_ATTRIBUTES


class CompleteTransfer(NamedTuple):
    """Hand an assigned contact over to the agent who was consulted about it."""

    contact_id: str
    agent_id: str


class CancelContact(NamedTuple):
    """End a queued, offered, scheduled or diverted contact."""

    contact_id: str
    reason: CancelReason


class AcceptOffer(NamedTuple):
    """Accept an offer for an agent."""

    offer_id: str
    agent_id: str


class DeclineOffer(NamedTuple):
    """
    Decline an offer for an agent; the reason is free text for reports.

    It is not offered to the agent again for `retry_after_ms`; 0 = the queue's delay.
    """

    offer_id: str
    agent_id: str
    retry_after_ms: int = 0
    reason: str = ""


class OfferContact(NamedTuple):
    """Offer a queued or offered contact to an agent somebody chose, whatever it asks for."""

    contact_id: str
    agent_id: str
    # Even where the agent has no capacity left, or does not take the channel.
    ignores_capacity: bool = False


class CompleteAssignment(NamedTuple):
    """
    End handling; wrap-up begins where the queue has one.

    `outcome` says how well it went, 0 to 1; None = nothing is known.
    """

    contact_id: str
    agent_id: str
    outcome: float | None = None


class EndWrapUp(NamedTuple):
    """End wrap-up."""

    contact_id: str
    agent_id: str


class ReleaseAssignment(NamedTuple):
    """Give an assigned contact back to its queue with its routing age."""

    contact_id: str
    agent_id: str


class UpsertAgent(NamedTuple):
    """Create an agent, offline, or replace its definition. No channels = all, cost 1 each."""

    agent_id: str
    kind: AgentKind = AgentKind.PERSON
    queue_ids: tuple[str, ...] = ()
    skills: tuple[AgentSkill, ...] = ()
    tags: tuple[str, ...] = ()
    capacity: int = 1
    channels: tuple[ChannelCapacity, ...] = ()
    # -1 = never goes away by itself.
    missed_offers_max: int = MISSED_OFFERS_MAX
    # 0 = no lease.
    lease_ms: int = 0
    # Accepts offers as they are made.
    auto_accept: bool = False
    # Occupancy from which it is offered contacts last, and rests after each; 0 = never.
    occupancy_max: float = 0.0
    rest_ms: int = 0
    etag: str = ""


class ResetEstimates(NamedTuple):
    """Forget what was learned of an agent in a queue, "" = in all."""

    agent_id: str
    queue_id: str = ""


class DeleteAgent(NamedTuple):
    """Delete an agent that holds no contacts."""

    agent_id: str
    etag: str = ""


class SetPresence(NamedTuple):
    """Set an agent's presence; the reason is free text for reports."""

    agent_id: str
    presence: Presence
    reason: str = ""


class Heartbeat(NamedTuple):
    """Renew an agent's lease. Changes nothing that is kept: after a restart leases start anew."""

    agent_id: str


class UpsertQueue(NamedTuple):
    """Create or replace a queue; see `Queue` on the wire for bounds. -1 = never or at once."""

    queue_id: str
    service_level_ratio: float = SERVICE_LEVEL_RATIO
    service_level_within_ms: int = SERVICE_LEVEL_WITHIN_MS
    strategy: Strategy = Strategy.LONGEST_IDLE
    weights: ScoreWeights = STRATEGY_WEIGHTS
    starvation_bound_ms: int = 0  # 0 = no bound.
    offer_timeout_ms: int = OFFER_TIMEOUT_MS
    broadcast_max: int = 1  # Agents a contact is offered to at a time.
    wrap_up_mode: WrapUpMode = WrapUpMode.NONE
    wrap_up_ms: int = 0
    max_wait_ms: int = MAX_WAIT_MS
    max_length: int = 0
    reoffer_delay_ms: int = REOFFER_DELAY_MS
    reoffer_delay_only_agent_ms: int = REOFFER_DELAY_ONLY_AGENT_MS
    priority_age_ms: int = PRIORITY_AGE_MS
    order: QueueOrder = QueueOrder.FIFO
    # Queues of higher priority go first, whatever the claims.
    priority: int = 0
    # Where contacts go that it would reject or let expire, "" for nowhere.
    fallback_queue_id: str = ""
    hours: Hours | None = None  # None = always open.
    short_abandon_ms: int = 0
    # How long offers are gathered, to be made as a batch; 0 = each is made at once.
    matching_window_ms: int = 0
    forecast_group: str = ""  # Queues that are forecast together, "" = none.
    etag: str = ""


class DeleteQueue(NamedTuple):
    """Delete a queue without open contacts that no agent names, nor a queue as its fallback."""

    queue_id: str
    etag: str = ""


class SetIntake(NamedTuple):
    """Set what a queue does with contacts."""

    queue_id: str
    intake: Intake


class Expire(NamedTuple):
    """Handle every deadline that has come."""


class Recover(NamedTuple):
    """After loading rows: requeue what was offered, start leases anew, look at the backlog."""


Command = (
    Route
    | UpdateContact
    | RequeueContact
    | ScheduleContact
    | FailAttempt
    | Consult
    | CompleteTransfer
    | CancelContact
    | AcceptOffer
    | DeclineOffer
    | OfferContact
    | CompleteAssignment
    | EndWrapUp
    | ReleaseAssignment
    | UpsertAgent
    | ResetEstimates
    | DeleteAgent
    | SetPresence
    | Heartbeat
    | UpsertQueue
    | DeleteQueue
    | SetIntake
    | (ChoiceCommand | CrossingCommand | PlanCommand | PolicyCommand | SteeringCommand)
    | Expire
    | Recover
)
