"""The agents of the day at their desks: they come and go, pick up, handle calls."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Final

from deploy.examples.bank_day.bank_day import BankAgent
from deploy.examples.bank_day.patience import PlannedContact
from deploy.examples.bank_day.queues import RING_S
from deploy.examples.bank_day.stage import Stage
from deploy.examples.bank_day.tally import DayFigures, Window
from headgate.v1.agent_pb2 import Presence
from headgate.v1.agent_service_pb2 import DrainAgentRequest, SetPresenceRequest
from headgate.v1.event_pb2 import Event, EventKind
from headgate.v1.gateway_service_pb2 import SessionCommand
from headgate.v1.offer_service_pb2 import AcceptOfferRequest, CompleteAssignmentRequest

AVAILABLE: Final = Presence.PRESENCE_AVAILABLE
AWAY: Final = Presence.PRESENCE_AWAY
OFFLINE: Final = Presence.PRESENCE_OFFLINE


@dataclass(slots=True)
class Desk:
    """
    One agent at work.

    Attributes
    ----------
    agent
        Who.
    presence
        As the engine last reported it.
    offer_id
        The offer that rings, empty if none.
    contact_id
        The contact in hand, wrap-up included; empty if none.
    handling_since_s
        When the agent accepted it; None in wrap-up and without a contact.
    """

    agent: BankAgent
    presence: Presence.ValueType = OFFLINE
    offer_id: str = ""
    contact_id: str = ""
    handling_since_s: float | None = None


class Desks:
    """
    Every agent's desk, and what was offered to them.

    Attributes
    ----------
    by_agent
        Agent id to desk.
    offers
        How often each of the offer events happened.
    """

    def __init__(
        self,
        agents: Sequence[BankAgent],
        stage: Stage,
        figures: DayFigures,
        window: Window,
        contact: Callable[[str], PlannedContact],
    ) -> None:
        self.by_agent = {agent.agent_id: Desk(agent) for agent in agents}
        self.offers: Counter[EventKind.ValueType] = Counter()
        self._stage = stage
        self._figures = figures
        self._window = window
        self._contact = contact
        self._presence_count = count(1)
        for agent in agents:
            if agent.shift_end_s > window.from_s:
                self._plan_shift(agent)

    def take(self, event: Event) -> None:
        """Do what the event asks of the agent."""
        desk = self.by_agent.get(event.agent_id)
        if desk is None:
            return
        match event.kind:
            case EventKind.EVENT_KIND_OFFER_ISSUED:
                self._ring(desk, event.offer_id)
            case EventKind.EVENT_KIND_OFFER_EXPIRED | EventKind.EVENT_KIND_OFFER_RESCINDED:
                _stop_ringing(desk, event.offer_id)
            case EventKind.EVENT_KIND_CONTACT_ASSIGNED:
                self._handle(desk, event.contact_id)
            case EventKind.EVENT_KIND_CONTACT_WRAP_UP_STARTED:
                self._count_handling(desk)
            case EventKind.EVENT_KIND_CONTACT_COMPLETED:
                self._count_handling(desk)
                desk.contact_id = ""
            case EventKind.EVENT_KIND_AGENT_PRESENCE_CHANGED:
                desk.presence = event.presence
        if event.offer_id:
            self.offers[event.kind] += 1

    def close(self) -> None:
        """Count what is in hand up to now."""
        for desk in self.by_agent.values():
            self._count_handling(desk)

    def _plan_shift(self, agent: BankAgent) -> None:
        agenda = self._stage.agenda
        starts_s = max(agent.shift_start_s, self._window.from_s)
        is_on_break = any(begin_s <= starts_s < end_s for begin_s, end_s in agent.away)
        agenda.at(starts_s, partial(self._set_presence, agent, AWAY if is_on_break else AVAILABLE))
        for begin_s, end_s in agent.away:
            if begin_s > starts_s:
                agenda.at(begin_s, partial(self._set_presence, agent, AWAY))
            if end_s > starts_s:
                agenda.at(end_s, partial(self._set_presence, agent, AVAILABLE))
        agenda.at(agent.shift_end_s, partial(self._drain, agent))

    def _set_presence(self, agent: BankAgent, presence: Presence.ValueType) -> None:
        request = SetPresenceRequest(
            request_id=f"{agent.agent_id}:presence:{next(self._presence_count)}",
            agent_id=agent.agent_id,
            presence=presence,
            reason="break" if presence == AWAY else "",
        )
        self._stage.send(SessionCommand(set_presence=request))

    def _drain(self, agent: BankAgent) -> None:
        request = DrainAgentRequest(
            request_id=f"{agent.agent_id}:drain", agent_id=agent.agent_id, reason="shift over"
        )
        self._stage.send(SessionCommand(drain_agent=request))

    def _ring(self, desk: Desk, offer_id: str) -> None:
        desk.offer_id = offer_id
        picks_up_s = self._stage.clock.now_s() + RING_S
        self._stage.agenda.at(picks_up_s, partial(self._pick_up, desk, offer_id))

    def _pick_up(self, desk: Desk, offer_id: str) -> None:
        if desk.offer_id != offer_id:
            return
        request = AcceptOfferRequest(
            request_id=f"{offer_id}:accept", offer_id=offer_id, agent_id=desk.agent.agent_id
        )
        self._stage.send(SessionCommand(accept_offer=request))

    def _handle(self, desk: Desk, contact_id: str) -> None:
        desk.offer_id = ""
        desk.contact_id = contact_id
        desk.handling_since_s = self._stage.clock.now_s()
        ends_s = desk.handling_since_s + self._contact(contact_id).service_s
        self._stage.agenda.at(ends_s, partial(self._complete, desk, contact_id))

    def _complete(self, desk: Desk, contact_id: str) -> None:
        request = CompleteAssignmentRequest(
            request_id=f"{contact_id}:complete",
            contact_id=contact_id,
            agent_id=desk.agent.agent_id,
        )
        self._stage.send(SessionCommand(complete_assignment=request))

    def _count_handling(self, desk: Desk) -> None:
        if desk.handling_since_s is None:
            return
        figures = self._figures.by_type[self._contact(desk.contact_id).call.type]
        now_s = self._stage.clock.now_s()
        figures.handling_s += self._window.overlap_s(desk.handling_since_s, now_s)
        desk.handling_since_s = None


def _stop_ringing(desk: Desk, offer_id: str) -> None:
    if desk.offer_id == offer_id:
        desk.offer_id = ""
