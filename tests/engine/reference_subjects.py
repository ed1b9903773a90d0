"""
What the reference router knows of contacts, agents and queues, as plain objects.

Nothing here is kept up to date by hand. Compare `engine.kernels.columns` and `eligibility`.
"""

import math
from dataclasses import dataclass, field

from engine.choices import Diversion, OpenChoice
from engine.commands import (
    NO_REQUIREMENTS,
    Relaxation,
    Requirements,
    Schedule,
    UpsertAgent,
    UpsertQueue,
)
from engine.kernels.columns import TOTALS, WINDOW_TOTALS
from engine.lifecycle import HELD_STATES, Channel, ContactState, Intake, Presence, RejectionReason
from engine.limits import ESTIMATES_MAX, EXCLUSIONS_MAX, NEVER_MS

PUT_ASIDE = (ContactState.SCHEDULED, ContactState.DIVERTED)
WORKING = (Presence.AVAILABLE, Presence.BUSY, Presence.AWAY)


# Queue, requirements, channel, priority, steps to come, and whether they came by fallback.
Kind = tuple[str, Requirements, Channel, int, Relaxation, bool]


def kinds_from(kind: Kind) -> list[Kind]:
    """A kind and those it relaxes to."""
    queue_id, _, channel, _, steps, fell_back = kind
    kinds = [kind]
    for place, step in enumerate(steps, start=1):
        assert step.priority is not None
        kinds.append(
            (queue_id, step.requirements, channel, step.priority, steps[place:], fell_back)
        )
    return kinds


@dataclass
class PassedOver:
    """An agent that recently failed with a contact; "" for none."""

    agent_id: str = ""
    until_ms: int = 0


@dataclass
class RefOffer:
    """One offer beside the leading one of its contact."""

    contact: "RefContact"
    agent_id: str
    sequence: int
    cost: int


@dataclass
class RefContact:
    """One contact."""

    contact_id: str
    row: int
    queue_id: str
    channel: Channel
    priority: int
    sequence: int
    received_ms: int
    since_ms: int
    max_wait_ms: int
    requirements: Requirements = NO_REQUIREMENTS
    attributes: dict[str, str] = field(default_factory=dict)
    # As it came, how many steps were taken, and those to come with every priority named.
    relaxation: Relaxation = ()
    taken: int = 0
    # Whether it went to a fallback queue, as it does once.
    fell_back: bool = False
    to_come: Relaxation = ()
    state: ContactState = ContactState.QUEUED
    agent_id: str = ""
    queued_ms: int = 0
    expires_ms: int = 0
    accepted_ms: int = 0
    # When its handling was interrupted, and for how long before.
    put_aside_ms: int = 0
    interrupted_ms: int = 0
    ended_ms: int = 0
    offer: int = 0
    until_ms: int = 0
    cost: int = 0
    offers_failed: int = 0
    # Offers beside the leading one, by sequence.
    others: list[RefOffer] = field(default_factory=list)
    version: int = 0
    rejection: int = 0
    due_ms: int = NEVER_MS
    passed_over: list[PassedOver] = field(
        default_factory=lambda: [PassedOver() for _ in range(EXCLUSIONS_MAX - 1)]
    )
    rests_until_ms: int = 0
    window_ms: int = 0
    # The consult about it; what it is a consult about, and whether that is over.
    consult: "RefContact | None" = None
    consults_for: "RefContact | None" = None
    is_over: bool = False
    past_agents: list[str] = field(default_factory=list)
    attempts: int = 0
    attempts_max: int = 0
    retry_ms: int = 0
    # What policies made of it.
    choice: OpenChoice | None = None
    diversion: Diversion | None = None
    hops: int = 0
    continues_contact_id: str = ""

    @property
    def offer_id(self) -> str:
        """External id of the outstanding offer."""
        return f"o{self.offer:x}.{self.row:x}" if self.offer else ""

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.state in (ContactState.QUEUED, *PUT_ASIDE, *HELD_STATES)

    def age_counts_to_ms(self, now_ms: int) -> int:
        """Until when its wait and routing age count."""
        return self.queued_ms if self.state in PUT_ASIDE else now_ms

    def keep_to(self, schedule: Schedule) -> None:
        """Take over a schedule."""
        self.window_ms = schedule.window_ends_at_ms
        self.attempts, self.attempts_max = 0, schedule.attempts_max
        self.retry_ms = schedule.retry_delay_ms

    @property
    def alike(self) -> Kind:
        """What it has in common with contacts that no agent can tell from it, now or later."""
        return (
            self.queue_id, self.requirements, self.channel, self.priority, self.to_come,
            self.fell_back,
        )  # fmt: skip

    @property
    def relaxes_ms(self) -> int:
        """When it takes its next step."""
        return self.queued_ms + self.to_come[0].after_ms if self.to_come else NEVER_MS

    def plan(self) -> None:
        """Work out anew which steps are to come."""
        steps = []
        priority = self.priority
        for step in self.relaxation[self.taken :]:
            priority = priority if step.priority is None else step.priority
            steps.append(step._replace(priority=priority))
        self.to_come = tuple(steps)


@dataclass
class Learned:
    """What was learned of an agent in one queue; "" for an empty place."""

    queue_id: str = ""
    handled: int = 0
    handle_ms: int = 0
    rated: int = 0
    outcome: int = 0

    @property
    def known(self) -> int:
        """Contacts and outcomes that count, -1 for an empty place."""
        return self.handled + self.rated if self.queue_id else -1


def nothing_learned() -> list[Learned]:
    """Empty places for all queues."""
    return [Learned() for _ in range(ESTIMATES_MAX)]


@dataclass
class RefAgent:
    """One agent; `held` has the latest offer first."""

    definition: UpsertAgent
    row: int
    presence_since_ms: int
    idle_since_ms: int
    version: int = 0
    presence: Presence = Presence.OFFLINE
    reason: str = ""
    last_offer: int = 0
    missed: int = 0
    lease_until_ms: int = 0
    due_ms: int = NEVER_MS
    held: list[RefContact] = field(default_factory=list)
    # Offers beside the leading ones of their contacts, the latest first.
    asked: list[RefOffer] = field(default_factory=list)
    occupancy_ppb: int = 0
    rests_until_ms: int = 0
    occupancy_ms: int = 0
    learned: list[Learned] = field(
        default_factory=lambda: [Learned() for _ in range(ESTIMATES_MAX)]
    )

    @property
    def agent_id(self) -> str:
        """Its id."""
        return self.definition.agent_id

    @property
    def hands(self) -> list[RefContact]:
        """Contacts it holds or has on offer."""
        return self.held + [offer.contact for offer in self.asked]

    @property
    def used(self) -> int:
        """Units of capacity in use."""
        at_work = (one for one in self.held if one.state is not ContactState.INTERRUPTED)
        return sum(one.cost for one in at_work) + sum(offer.cost for offer in self.asked)

    @property
    def accepted(self) -> int:
        """Units of capacity in use by what it has accepted."""
        states = (ContactState.ASSIGNED, ContactState.WRAP_UP)
        return sum(one.cost for one in self.held if one.state in states)

    def interruptors(self, channel: Channel) -> tuple[Channel, ...]:
        """Channels that may interrupt contacts of a channel."""
        return {item.channel: item.interrupted_by for item in self.definition.channels}.get(
            channel, ()
        )

    @property
    def load_ratio(self) -> float:
        """Capacity used / capacity."""
        return self.used / self.definition.capacity

    @property
    def versatility(self) -> float:
        """0 for who serves one queue and holds no skill, towards 1 for who can do anything."""
        held = sum(item.proficiency > 0 for item in self.definition.skills)
        return 1.0 - 1.0 / max(1, len(self.definition.queue_ids) + held)

    def occupancy(self, now_ms: int) -> float:
        """Load ratio over the past, a moment weighing less by e for each half hour."""
        kept = math.exp(-(now_ms - self.occupancy_ms) / 1_800_000)
        return self.occupancy_ppb / 1e9 * kept + self.load_ratio * (1.0 - kept)

    def note_occupancy(self, now_ms: int) -> None:
        """Account for the time at the present load, which is about to change."""
        self.occupancy_ppb = math.floor(self.occupancy(now_ms) * 1e9 + 0.5)
        self.occupancy_ms = now_ms

    def known_of(self, queue_id: str) -> Learned | None:
        """What was learned in a queue."""
        return next((item for item in self.learned if item.queue_id == queue_id), None)

    def learning_in(self, queue_id: str) -> Learned:
        """Place for what is learned in a queue; the one that knows the least makes room."""
        place = self.known_of(queue_id)
        if place is None:
            place = min(self.learned, key=lambda item: item.known)
            self.learned[self.learned.index(place)] = place = Learned(queue_id)
        return place

    def forget(self, queue_id: str) -> None:
        """Forget what was learned in a queue, "" = in all."""
        self.learned = [
            Learned() if queue_id in ("", item.queue_id) else item for item in self.learned
        ]

    @property
    def is_leased(self) -> bool:
        """Whether heartbeats are expected of it now."""
        return self.definition.lease_ms > 0 and self.presence is not Presence.OFFLINE

    def level(self, skill: str) -> int:
        """Proficiency in a skill, 0 when it is not held."""
        return dict(self.definition.skills).get(skill, 0)

    def cost(self, channel: Channel) -> int:
        """Units one contact of the channel takes, 0 when the agent does not take it."""
        if not self.definition.channels:
            return 1
        return {item.channel: item.cost for item in self.definition.channels}.get(channel, 0)

    def channel_max(self, channel: Channel) -> float:
        """Most contacts of the channel at a time."""
        maxima = {item.channel: item.contacts_max for item in self.definition.channels}
        return maxima.get(channel, 0) or math.inf

    def is_worn(self, now_ms: int) -> bool:
        """Whether it has been occupied for too long."""
        limit = self.definition.occupancy_max
        return limit > 0 and self.occupancy(now_ms) >= limit

    def ends_contact(self, now_ms: int) -> None:
        """Idle time starts again, and rest where it is due."""
        self.idle_since_ms = now_ms
        if self.definition.rest_ms > 0 and self.is_worn(now_ms):
            self.rests_until_ms = now_ms + self.definition.rest_ms

    def has_room(self, channel: Channel) -> bool:
        """Whether it may be offered one more contact of the channel."""
        cost = self.cost(channel)
        interruptible = sum(
            one.cost
            for one in self.held
            if one.state is ContactState.ASSIGNED and channel in self.interruptors(one.channel)
        )
        return (
            self.presence is Presence.AVAILABLE
            and self.rests_until_ms == 0
            and cost > 0
            and self.used - interruptible + cost <= self.definition.capacity
            and sum(one.channel == channel for one in self.hands) < self.channel_max(channel)
        )

    def meets(self, contact: RefContact) -> bool:
        """Whether it serves the contact's queue and has what the contact asks for."""
        asked = contact.requirements
        return (
            contact.queue_id in self.definition.queue_ids
            and all(self.level(item.skill) >= item.proficiency_min for item in asked.skills)
            and all(tag in self.definition.tags for tag in asked.tags)
            and not any(tag in self.definition.tags for tag in asked.tags_none)
            and (not asked.tags_any or any(tag in self.definition.tags for tag in asked.tags_any))
            and (not asked.agent_ids or self.agent_id in asked.agent_ids)
        )


@dataclass
class RefQueue:
    """One queue."""

    definition: UpsertQueue
    row: int
    version: int = 0
    intake: Intake = Intake.OPEN
    # Why its hours have it closed, and when that changes.
    closed_for: RejectionReason = RejectionReason.NONE
    hours_change_ms: int = NEVER_MS
    totals: list[int] = field(default_factory=lambda: [0] * TOTALS)
    # When its matching window ends, and batches, contacts, agents and matches of all so far.
    window_ends_ms: int = NEVER_MS
    window_totals: list[int] = field(default_factory=lambda: [0] * WINDOW_TOTALS)

    @property
    def has_windows(self) -> bool:
        """Whether it gathers before it offers."""
        return self.definition.matching_window_ms > 0

    @property
    def is_window_open(self) -> bool:
        """Whether it gathers now."""
        return self.window_ends_ms < NEVER_MS

    @property
    def queue_id(self) -> str:
        """Its id."""
        return self.definition.queue_id


@dataclass
class RefPolicy:
    """A policy."""

    etag: int = 0
    draft: str | None = None
    texts: list[str] = field(default_factory=list)
    active: int = 0
    trial: int = 0
    trial_does: tuple[int, float] = (0, 0.0)
    previous: int = 0
