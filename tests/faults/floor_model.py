"""
The floor as the events tell it: an independent reading of the log, which refuses what may not
happen.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.effects import Effect, EffectKind
from engine.lifecycle import ContactState, Presence
from headgate.v1.agent_pb2 import Agent
from headgate.v1.contact_pb2 import Requirements
from headgate.v1.routing_service_pb2 import RouteRequest

_ENDS = {
    EffectKind.CONTACT_REJECTED: ContactState.REJECTED,
    EffectKind.CONTACT_COMPLETED: ContactState.COMPLETED,
    EffectKind.CONTACT_ABANDONED: ContactState.ABANDONED,
    EffectKind.CONTACT_EXPIRED: ContactState.EXPIRED,
    EffectKind.CONTACT_CANCELLED: ContactState.CANCELLED,
}
_OFFER_FAILS = (
    EffectKind.OFFER_DECLINED,
    EffectKind.OFFER_EXPIRED,
    EffectKind.OFFER_RESCINDED,
)
_MAY_END_AS = {
    ContactState.REJECTED: (ContactState.QUEUED,),
    ContactState.COMPLETED: (ContactState.ASSIGNED, ContactState.WRAP_UP),
    ContactState.ABANDONED: (ContactState.QUEUED, ContactState.SCHEDULED),
    # Assigned where that was the last attempt.
    ContactState.EXPIRED: (ContactState.QUEUED, ContactState.SCHEDULED, ContactState.ASSIGNED),
    ContactState.CANCELLED: (ContactState.QUEUED,),
}


class Impossible(Exception):
    """An event that may not happen where it stands."""


@dataclass
class ModelContact:
    """
    One contact.

    Attributes
    ----------
    asked
        The request that brought it.
    place
        Its place among all contacts received.
    is_pristine
        It has only waited since it came, so it keeps its place in line.
    due_ms
        What it was last scheduled for.
    states
        Every state it was in, with the time of the commit, seconds.
    """

    asked: RouteRequest
    place: int
    queue_id: str
    is_pristine: bool = True
    steps_taken: int = 0
    agent_id: str = ""
    offer_id: str = ""
    due_ms: int = 0
    states: list[tuple[float, ContactState]] = field(default_factory=list)

    @property
    def state(self) -> ContactState:
        """Where it stands."""
        return self.states[-1][1]

    @property
    def asked_now(self) -> Requirements:
        """What it asks of agents after the steps it took."""
        if self.steps_taken:
            return self.asked.relaxation[self.steps_taken - 1].requirements
        return self.asked.requirements


class FloorModel:
    """
    Contacts and agents, event by event.

    Parameters
    ----------
    agents
        Definitions; they do not change during a run.
    routed
        The request behind each contact id.
    """

    def __init__(self, agents: Mapping[str, Agent], routed: Mapping[str, RouteRequest]) -> None:
        self.contacts: dict[str, ModelContact] = {}
        self.presence: dict[str, int] = {}
        self._agents = agents
        self._routed = routed
        self._held: dict[str, set[str]] = {agent_id: set() for agent_id in agents}
        self._offers: set[str] = set()
        self._at_ms = 0

    def take(self, effect: Effect, committed_s: float) -> None:
        """
        Go on by one event.

        Raises
        ------
        Impossible
            It may not happen here.
        """
        _require(effect.at_ms >= self._at_ms, "engine time went back")
        self._at_ms = effect.at_ms
        kind = EffectKind(effect.kind)
        if kind is EffectKind.CONTACT_RECEIVED:
            self._receive(effect, committed_s)
        elif effect.contact_id:
            contact = self.contacts.get(effect.contact_id)
            _require(contact is not None, "a contact never received")
            assert contact is not None
            if kind is EffectKind.CONTACT_UPDATED:
                contact.is_pristine = False
            elif kind is EffectKind.CONTACT_RELAXED:
                self._relax(effect, contact)
            elif kind is EffectKind.CONTACT_QUEUED:
                _require(contact.state is ContactState.QUEUED, "queued again")
            else:
                self._change(kind, effect, contact, committed_s)
        elif kind is EffectKind.AGENT_PRESENCE_CHANGED:
            _require(effect.agent_id in self.presence, "an agent that does not exist")
            self.presence[effect.agent_id] = effect.detail
        elif kind is EffectKind.AGENT_UPSERTED:
            self.presence.setdefault(effect.agent_id, Presence.OFFLINE)

    def _receive(self, effect: Effect, committed_s: float) -> None:
        _require(effect.contact_id not in self.contacts, "received twice")
        asked = self._routed.get(effect.contact_id)
        _require(asked is not None, "nobody knows of this contact")
        assert asked is not None
        contact = ModelContact(asked, len(self.contacts), effect.queue_id)
        contact.states.append((committed_s, ContactState.QUEUED))
        self.contacts[effect.contact_id] = contact

    def _change(
        self, kind: EffectKind, effect: Effect, contact: ModelContact, committed_s: float
    ) -> None:
        state = contact.state
        if kind is EffectKind.OFFER_ISSUED:
            _require(state is ContactState.QUEUED, f"offered while {state.name}")
            self._issue(effect, contact)
            state = ContactState.OFFERED
        elif kind in _OFFER_FAILS:
            self._require_offer(effect, contact)
            self._let_go(effect.contact_id, contact)
            state = ContactState.QUEUED
        elif kind is EffectKind.OFFER_ACCEPTED:
            self._require_offer(effect, contact)
        elif kind is EffectKind.CONTACT_ASSIGNED:
            self._require_offer(effect._replace(offer_id=contact.offer_id), contact)
            contact.offer_id = ""
            state = ContactState.ASSIGNED
        elif kind is EffectKind.CONTACT_WRAP_UP_STARTED:
            _require(state is ContactState.ASSIGNED, f"wrap-up while {state.name}")
            state = ContactState.WRAP_UP
        elif kind is EffectKind.CONTACT_SCHEDULED:
            allowed = (ContactState.QUEUED, ContactState.ASSIGNED, ContactState.SCHEDULED)
            _require(state in allowed, f"scheduled while {state.name}")
            _require(effect.detail > effect.at_ms, "scheduled for a time that has passed")
            self._let_go(effect.contact_id, contact)
            contact.is_pristine, contact.due_ms = False, effect.detail
            state = ContactState.SCHEDULED
        elif kind is EffectKind.CONTACT_REQUEUED:
            allowed = (ContactState.QUEUED, ContactState.ASSIGNED, ContactState.SCHEDULED)
            is_early = effect.reason == "due" and effect.at_ms < contact.due_ms
            _require(not is_early, "due before its time")
            _require(state in allowed, f"requeued while {state.name}")
            self._let_go(effect.contact_id, contact)
            contact.is_pristine = False
            contact.queue_id = effect.queue_id
            state = ContactState.QUEUED
        elif kind in _ENDS:
            state = _ENDS[kind]
            _require(
                contact.state in _MAY_END_AS[state], f"{state.name} while {contact.state.name}"
            )
            self._let_go(effect.contact_id, contact)
        else:
            raise Impossible("a kind of event that a contact has not")
        contact.states.append((committed_s, state))

    def _relax(self, effect: Effect, contact: ModelContact) -> None:
        _require(contact.state is ContactState.QUEUED, f"relaxed while {contact.state.name}")
        contact.is_pristine = False
        contact.steps_taken += 1
        _require(effect.detail == contact.steps_taken, "a relaxation step out of order")
        _require(effect.detail <= len(contact.asked.relaxation), "a step it did not bring")
        step = contact.asked.relaxation[contact.steps_taken - 1]
        _require(effect.wait_ms >= step.after_ms, "a relaxation step before its time")

    def _issue(self, effect: Effect, contact: ModelContact) -> None:
        _require(effect.offer_id not in self._offers, "an offer id given twice")
        _require(
            self.presence.get(effect.agent_id) == Presence.AVAILABLE, "offered to an absent agent"
        )
        agent = self._agents[effect.agent_id]
        _require(contact.queue_id in agent.queue_ids, "offered to an agent of another queue")
        _require(_meets(agent, contact.asked_now), "offered to an agent who lacks what is asked")
        self._offers.add(effect.offer_id)
        contact.agent_id, contact.offer_id = effect.agent_id, effect.offer_id
        self._held[effect.agent_id].add(effect.contact_id)
        self._check_capacity(agent)
        if contact.is_pristine:
            self._check_order(contact)
        contact.is_pristine = False

    def _check_capacity(self, agent: Agent) -> None:
        used = 0
        for capacity in agent.channels:
            channels = [self.contacts[held].asked.channel for held in self._held[agent.agent_id]]
            count = channels.count(capacity.channel)
            used += count * capacity.cost
            most = capacity.contacts_max or count
            _require(count <= most, f"{count} contacts of a channel, {most} at most")
        _require(used <= agent.capacity, f"{used} of {agent.capacity} capacity used")

    def _check_order(self, offered: ModelContact) -> None:
        """Of contacts that ask the same and have only waited, the oldest is offered first."""
        wanted = _class_of(offered)
        for contact in self.contacts.values():
            is_older = contact.is_pristine and contact.place < offered.place
            if is_older and contact.state is ContactState.QUEUED:
                _require(_class_of(contact) != wanted, "an older contact that asks the same waits")

    def _require_offer(self, effect: Effect, contact: ModelContact) -> None:
        _require(contact.state is ContactState.OFFERED, f"answered while {contact.state.name}")
        _require(contact.offer_id == effect.offer_id, "another offer is outstanding")
        _require(contact.agent_id == effect.agent_id, "another agent has it")

    def _let_go(self, contact_id: str, contact: ModelContact) -> None:
        if contact.agent_id:
            self._held[contact.agent_id].discard(contact_id)
        contact.agent_id = contact.offer_id = ""


def _meets(agent: Agent, asked: Requirements) -> bool:
    levels = {item.skill: item.proficiency for item in agent.skills}
    return (
        all(levels.get(item.skill, 0) >= item.proficiency_min for item in asked.skills)
        and set(asked.tags) <= set(agent.tags)
        and not set(asked.tags_none) & set(agent.tags)
        and (not asked.tags_any or bool(set(asked.tags_any) & set(agent.tags)))
        and (not asked.agent_ids or agent.agent_id in asked.agent_ids)
    )


def _class_of(contact: ModelContact) -> tuple[object, ...]:
    asked = contact.asked
    wanted = asked.requirements.SerializeToString(deterministic=True)
    to_come = tuple(step.SerializeToString(deterministic=True) for step in asked.relaxation)
    return contact.queue_id, asked.channel, asked.priority, wanted, to_come


def _require(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise Impossible(otherwise)
