"""The customers of the day: they call, they wait, they hang up when their patience ends."""

from functools import partial

from deploy.examples.bank_day.patience import PlannedContact
from deploy.examples.bank_day.queues import priority_points
from deploy.examples.bank_day.stage import Stage
from deploy.examples.bank_day.tally import DayFigures, TypeFigures
from headgate.v1.contact_pb2 import Channel, Requirements, SkillRequirement
from headgate.v1.event_pb2 import Event, EventKind
from headgate.v1.gateway_service_pb2 import SessionCommand
from headgate.v1.routing_service_pb2 import CancelContactRequest, CancelReason, RouteRequest


class Customers:
    """
    The customers that join within the window.

    Attributes
    ----------
    figures
        What became of them so far.
    """

    def __init__(
        self, contacts: tuple[PlannedContact, ...], stage: Stage, figures: DayFigures
    ) -> None:
        self.figures = figures
        self._stage = stage
        self._contacts = {contact.contact_id: contact for contact in contacts}
        self._waiting: set[str] = set()
        self._to_come = len(contacts)
        for contact in contacts:
            stage.agenda.at(contact.call.joined_s, partial(self._join, contact))

    @property
    def is_served(self) -> bool:
        """Whether all have joined and none waits."""
        return not self._to_come and not self._waiting

    def contact(self, contact_id: str) -> PlannedContact:
        """The contact of that id."""
        return self._contacts[contact_id]

    def take(self, event: Event) -> None:
        """Note what happened to a contact."""
        if event.contact_id not in self._waiting:
            return
        figures = self._figures(self._contacts[event.contact_id])
        match event.kind:
            case EventKind.EVENT_KIND_CONTACT_ASSIGNED:
                figures.waits_s.append(self._stage.clock.compression.day_s(event.wait_ms))
            case EventKind.EVENT_KIND_CONTACT_ABANDONED:
                figures.abandoned += 1
            case EventKind.EVENT_KIND_CONTACT_EXPIRED:
                figures.expired += 1
            case _:
                return
        self._waiting.remove(event.contact_id)

    def _figures(self, contact: PlannedContact) -> TypeFigures:
        return self.figures.by_type[contact.call.type]

    def _join(self, contact: PlannedContact) -> None:
        self._to_come -= 1
        self._waiting.add(contact.contact_id)
        self._figures(contact).offered += 1
        self._stage.send(SessionCommand(route=route_request(contact)))
        hangs_up_s = contact.call.joined_s + contact.patience_s
        self._stage.agenda.at(hangs_up_s, partial(self._hang_up, contact.contact_id))

    def _hang_up(self, contact_id: str) -> None:
        if contact_id not in self._waiting:
            return
        request = CancelContactRequest(
            request_id=f"{contact_id}:hang-up",
            contact_id=contact_id,
            reason=CancelReason.CANCEL_REASON_ABANDONED,
        )
        self._stage.send(SessionCommand(cancel_contact=request))


def route_request(contact: PlannedContact) -> RouteRequest:
    """The call as a contact of the queue of its type."""
    call = contact.call
    return RouteRequest(
        request_id=f"{contact.contact_id}:route",
        contact_id=contact.contact_id,
        queue_id=call.type,
        channel=Channel.CHANNEL_VOICE,
        priority=priority_points(call.priority),
        requirements=Requirements(skills=[SkillRequirement(skill=call.type, proficiency_min=1)]),
        attributes={"bank_priority": str(call.priority)},
    )
