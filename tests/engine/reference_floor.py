"""
What the reference router knows, as plain objects, and every rule of matching computed from it.

Nothing here is kept up to date by hand: room, eligibility, load and order are worked out anew
whenever they are asked for. Compare `engine.kernels.eligibility`, `scoring` and `waiting`.
"""

import math
from collections.abc import Iterator, Mapping
from itertools import count

from engine.commands import Requirements
from engine.kernels.columns import COMPLETED, HANDLE_MS_SUM, OUTCOME_SUM, RATED
from engine.lifecycle import ContactState, Intake, QueueOrder, RejectionReason
from engine.limits import Limits
from engine.refusals import Refusal
from engine.state.weights import PRESETS, WeightsInForce
from tests.engine.reference_subjects import (
    WORKING,
    Kind,
    RefAgent,
    RefContact,
    RefPolicy,
    RefQueue,
    kinds_from,
)


class Refused(Exception):
    """A command was refused."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(reason.name)
        self.reason = reason


class Rows:
    """Rows of one subject: the lowest free one is taken, a retired one is free after the group."""

    def __init__(self) -> None:
        self.used: set[int] = set()
        self.retired: set[int] = set()

    def take(self, rows_max: int) -> int:
        """Lowest free row."""
        row = next(row for row in count() if row not in self.used)
        if row >= rows_max:
            raise Refused(Refusal.LIMIT_REACHED)
        self.used.add(row)
        return row

    def retire(self, row: int) -> None:
        """Keep a row from being used until the group is sealed."""
        self.retired.add(row)

    def reclaim(self) -> None:
        """The group is sealed."""
        self.used -= self.retired
        self.retired.clear()


def order_in_class(contact: RefContact) -> tuple[int, int]:
    """Older routing age first, then earlier arrival."""
    return contact.since_ms, contact.sequence


def newest_first(contact: RefContact) -> tuple[int, int, int]:
    """Order of a LIFO queue."""
    return -contact.priority, -contact.since_ms, -contact.sequence


class Floor:
    """Queues, agents and contacts, and who suits whom."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        # Version of each plan, by kind and id.
        self.plans: dict[tuple[int, str], int] = {}
        self.policies: dict[str, RefPolicy] = {}
        # What is said of policies, and until when, by policy and queue.
        self.overrides: dict[tuple[str, str], tuple[int, int]] = {}
        self.now_ms = 0
        self.next_contact = self.next_offer = 1
        self.contact_rows, self.agent_rows, self.queue_rows = Rows(), Rows(), Rows()
        self.contacts: dict[str, RefContact] = {}
        self.agents: dict[str, RefAgent] = {}
        self.queues: dict[str, RefQueue] = {}
        # Waiting contacts that are alike, each list in order.
        self.waiting: dict[Kind, list[RefContact]] = {}
        # Contacts with a choice open.
        self.choosing: list[RefContact] = []
        # Ended contacts still readable, the oldest first.
        self.ended: list[RefContact] = []
        self.open_count = 0
        # Effects since the last group, fields of `engine.effects.Effect`.
        self.effects: list[tuple[int | str, ...]] = []
        # Number of effects at which the running call leaves the rest for the next one.
        self.effects_max = 0

    def agents_by_row(self) -> list[RefAgent]:
        """Agents by row, the last of the ties."""
        return sorted(self.agents.values(), key=lambda agent: agent.row)

    def queue_of(self, contact: RefContact) -> RefQueue:
        """Queue a contact is in."""
        return self.queues[contact.queue_id]

    def length(self, queue: RefQueue) -> int:
        """Contacts that wait in a queue."""
        return sum(1 for _ in self.waiting_in(queue.queue_id))

    def can_fall_back(self, contact: RefContact) -> bool:
        """Whether there is a fallback queue, which is neither closed nor full; only once."""
        queue = self.queues.get(self.queue_of(contact).definition.fallback_queue_id)
        if queue is None or contact.fell_back or queue.intake is Intake.CLOSED:
            return False
        if queue.closed_for is not RejectionReason.NONE:
            return False
        return not 0 < queue.definition.max_length <= self.length(queue)

    def kinds_of(self, kind: Kind) -> set[Kind]:
        """A kind, those it relaxes to, and those that all of them fall back to."""
        kinds = set(kinds_from(kind))
        queue_id, *alike, fell_back = kind
        fallback_id = self.queues[queue_id].definition.fallback_queue_id
        if fallback_id and not fell_back:
            kinds |= set(kinds_from((fallback_id, *alike, True)))  # type: ignore[arg-type]
        return kinds

    def kinds_open(self) -> set[Kind]:
        """Kinds of all open contacts, now and later."""
        contacts = (contact for contact in self.contacts.values() if contact.is_open)
        return {kind for contact in contacts for kind in self.kinds_of(contact.alike)}

    def join(self, contact: RefContact) -> None:
        """Let a contact wait."""
        alike = self.waiting.setdefault(contact.alike, [])
        alike.append(contact)
        alike.sort(key=order_in_class)

    def leave(self, contact: RefContact) -> None:
        """Take a contact from those that wait."""
        alike = self.waiting[contact.alike]
        alike.remove(contact)
        if not alike:
            del self.waiting[contact.alike]

    def waiting_in(self, queue_id: str) -> Iterator[RefContact]:
        """Contacts that wait in a queue, in no order."""
        for (waits_in, *_), alike in self.waiting.items():
            if waits_in == queue_id:
                yield from alike

    def is_offered_to(self, contact: RefContact, agent: RefAgent) -> bool:
        """Whether the agent has the contact on offer now."""
        asked = [other.agent_id for other in contact.others]
        return contact.state is ContactState.OFFERED and agent.agent_id in (
            contact.agent_id,
            *asked,
        )

    def is_passed_over(self, contact: RefContact, agent: RefAgent) -> bool:
        """Whether the contact recently failed with the agent, or rests from everybody."""
        return contact.rests_until_ms > self.now_ms or any(
            entry.agent_id == agent.agent_id and entry.until_ms > self.now_ms
            for entry in contact.passed_over
        )

    def is_crowded(self, contact: RefContact) -> bool:
        """Whether as many agents recently failed with the contact as can be remembered."""
        return all(entry.until_ms > self.now_ms for entry in contact.passed_over)

    @property
    def skills(self) -> set[str]:
        """Skills that some agent holds."""
        agents = (agent.definition for agent in self.agents.values())
        return {item.skill for agent in agents for item in agent.skills if item.proficiency}

    @property
    def tags(self) -> set[str]:
        """Tags that some agent carries."""
        return {tag for agent in self.agents.values() for tag in agent.definition.tags}

    @property
    def asked(self) -> list[Requirements]:
        """What open contacts ask for, now and later."""
        return [
            asked
            for contact in self.contacts.values()
            if contact.is_open
            for asked in (contact.requirements, *(step.requirements for step in contact.to_come))
        ]

    def key_ms(self, contact: RefContact) -> int:
        """Order key in the queue: routing age's origin less what priority is worth; lower first."""
        worth_ms = contact.priority * self.queue_of(contact).definition.priority_age_ms
        return contact.since_ms - worth_ms

    def position(self, contact: RefContact) -> int:
        """Place of a waiting contact in its queue."""
        if self.queue_of(contact).definition.order is QueueOrder.LIFO:
            others = self.waiting_in(contact.queue_id)
            return 1 + sum(newest_first(other) < newest_first(contact) for other in others)
        own = (self.key_ms(contact), contact.sequence)
        return 1 + sum(
            (self.key_ms(other), other.sequence) < own
            for other in self.waiting_in(contact.queue_id)
        )

    def weights(self, queue: RefQueue) -> WeightsInForce:
        """Weights of a queue; those that it does not set are its strategy's."""
        own = queue.definition.weights._asdict()
        preset = PRESETS[queue.definition.strategy]._asdict()
        return WeightsInForce(**{
            name: preset[name] if own[name] is None else own[name] for name in preset
        })  # fmt: skip

    def fit(self, agent: RefAgent, queue: RefQueue, asked: Requirements) -> float:
        """What tells one pair of agent and contact from another."""
        weights = self.weights(queue)
        fit = 0.0
        for skill, weight in asked.preferred_skills:
            fit += weights.preferred_skills * weight * agent.level(skill) / 5
        if weights.skill and asked.skills:
            levels = sum(agent.level(item.skill) for item in asked.skills)
            fit += weights.skill * (levels / (len(asked.skills) * 5))
        if agent.agent_id in asked.preferred_agent_ids:
            fit += weights.preferred_agent
        if weights.handle_time:
            fit -= weights.handle_time * self.slower(agent, queue)
        if weights.outcome:
            fit += weights.outcome * self.better_outcome(agent, queue)
        return fit

    def slower(self, agent: RefAgent, queue: RefQueue) -> float:
        """By what share an agent handles longer than is usual, with ten usual contacts."""
        known = agent.known_of(queue.queue_id)
        if known is None or queue.totals[HANDLE_MS_SUM] == 0:
            return 0.0
        usual_ms = queue.totals[HANDLE_MS_SUM] / queue.totals[COMPLETED]
        return known.handled * (known.handle_ms / usual_ms - 1.0) / (known.handled + 10)

    def better_outcome(self, agent: RefAgent, queue: RefQueue) -> float:
        """By how much outcomes exceed what is usual, with ten usual ones."""
        known = agent.known_of(queue.queue_id)
        if known is None or queue.totals[RATED] == 0:
            return 0.0
        excess = (known.outcome - queue.totals[OUTCOME_SUM] / queue.totals[RATED]) / 1_000
        return known.rated * excess / (known.rated + 10)

    def score(self, agent: RefAgent, contact: RefContact) -> float:
        """Score of an agent for a contact; `engine.kernels.scoring` states the formula."""
        queue = self.queue_of(contact)
        weights = self.weights(queue)
        score = self.fit(agent, queue, contact.requirements)
        if weights.idle and not agent.hands:
            idle_ms = self.now_ms - agent.idle_since_ms
            score += weights.idle * math.log(1.0 + idle_ms / 60_000.0)
        if weights.load:
            score -= weights.load * agent.load_ratio
        if weights.turn:
            score += weights.turn * math.log(1.0 + (self.next_offer - agent.last_offer))
        if weights.versatility:
            score -= weights.versatility * agent.versatility
        if weights.occupancy:
            score -= weights.occupancy * agent.occupancy(self.now_ms)
        return score

    def best_agent(self, contact: RefContact) -> RefAgent | None:
        """Agent with room who suits the contact best: score, load, idle time, row."""
        goes_round = self.is_crowded(contact)
        return min(
            self.takers(contact),
            key=lambda agent: (
                agent.is_worn(self.now_ms),
                agent.last_offer if goes_round else -self.score(agent, contact),
                agent.load_ratio,
                agent.idle_since_ms,
                agent.row,
            ),
            default=None,
        )

    def takers(self, contact: RefContact) -> list[RefAgent]:
        """Agents who could be offered a contact that waits, or that others have on offer."""
        return [
            agent
            for agent in self.agents_by_row()
            if agent.meets(contact)
            and agent.has_room(contact.channel)
            and not (contact.state is ContactState.OFFERED and agent.definition.auto_accept)
            and not self.is_offered_to(contact, agent)
            and not self.is_passed_over(contact, agent)
        ]

    def best_contact(self, agent: RefAgent) -> RefContact | None:
        """Waiting contact with the greatest claim on an agent; ties to age, then to arrival."""
        claims = []
        for alike in self.waiting.values():
            head = alike[0]
            if not agent.meets(head) or not agent.has_room(head.channel):
                continue
            if self.queue_of(head).intake is Intake.PAUSED or self.queue_of(head).has_windows:
                continue
            allowed = (one for one in alike if not self.is_passed_over(one, agent))
            contact = next(allowed, None)
            if contact is not None:
                starves, claim = self.claim(agent, contact)
                rank = 0 if starves else self.queue_of(head).definition.priority
                claims.append((not starves, -rank, -claim, *order_in_class(contact), contact))
        if not claims:
            return None
        is_patient, *_, first = min(claims, key=lambda claim: claim[:5])
        if is_patient and self.queue_of(first).definition.order is QueueOrder.LIFO:
            takeable = (
                contact
                for contact in self.waiting_in(first.queue_id)
                if agent.meets(contact)
                and agent.has_room(contact.channel)
                and not self.is_passed_over(contact, agent)
            )
            return min(takeable, key=newest_first)
        return first

    def claim(self, agent: RefAgent, contact: RefContact) -> tuple[bool, float]:
        """Whether a contact starves, and its claim on an agent among those that do, or do not."""
        queue = self.queue_of(contact)
        weights = self.weights(queue)
        per_ms = 1.0 / queue.definition.service_level_within_ms
        age_ms = self.now_ms - contact.since_ms
        if 0 < queue.definition.starvation_bound_ms <= age_ms:
            return True, age_ms * per_ms
        ratio = (self.now_ms - self.key_ms(contact)) * per_ms
        claim = weights.wait * ratio
        if weights.urgency:
            claim += weights.urgency * max(0.0, ratio - weights.urgent_from)
        if weights.lateness:
            claim -= weights.lateness * max(0.0, ratio - 1.0)
        return False, claim + self.fit(agent, queue, contact.requirements)

    def is_only_agent(self, contact: RefContact, agent: RefAgent) -> bool:
        """Whether nobody else who is signed in could ever take the contact."""
        return not any(
            other is not agent
            and other.presence in WORKING
            and other.cost(contact.channel) > 0
            and other.meets(contact)
            for other in self.agents.values()
        )


def merged(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """Attributes after an update; an empty value removes its key."""
    return {key: value for key, value in {**old, **new}.items() if value}
