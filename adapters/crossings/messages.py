"""Crossings on the wire, and how queues of other cells stand."""

import numpy as np

from adapters.messages import relaxation_messages, requirements_message
from adapters.translation import member, route_command
from engine.commands import Route
from engine.crossing import Crossing, CrossingAnswer, RecallContact, ReceiveContact, Sender
from engine.deciding.elsewhere import LADDER_PER_S, Reading, Value
from engine.lifecycle import CancelReason
from engine.policy.signals import RISK_HORIZONS
from headgate.v1 import contact_pb2, routing_service_pb2
from headgate.v1 import crossing_service_pb2 as pb


def receive_request(
    command: ReceiveContact, to_cell: str, request_id: str
) -> pb.ReceiveContactRequest:
    """A contact that crosses, as its cell asks another one to take it in."""
    return pb.ReceiveContactRequest(
        cell=to_cell,
        request_id=request_id,
        from_cell=command.sender.cell,
        origin=command.sender.origin,
        number=command.number,
        settled_below=command.settled_below,
        hops=command.hops,
        contact=_route_request(command.contact),
    )


def recall_request(
    command: RecallContact, to_cell: str, request_id: str
) -> pb.RecallContactRequest:
    """A crossing that is not to be, as its cell tells the other one."""
    return pb.RecallContactRequest(
        cell=to_cell,
        request_id=request_id,
        from_cell=command.sender.cell,
        origin=command.sender.origin,
        number=command.number,
        settled_below=command.settled_below,
        contact_id=command.contact_id,
        left=int(command.left),  # type: ignore[arg-type]
    )


def _route_request(contact: Route) -> routing_service_pb2.RouteRequest:
    request = routing_service_pb2.RouteRequest(
        contact_id=contact.contact_id,
        queue_id=contact.queue_id,
        channel=contact.channel.value,  # type: ignore[arg-type]
        priority=contact.priority,
        requirements=requirements_message(contact.requirements),
        attributes=contact.attributes,
        routing_age_ms=contact.routing_age_ms,
        max_wait_ms=contact.max_wait_ms,
        relaxation=relaxation_messages(contact.relaxation),
    )
    if contact.schedule is not None:
        request.schedule.CopyFrom(contact_pb2.Schedule(**contact.schedule._asdict()))
    return request


def receive_command(request: pb.ReceiveContactRequest) -> ReceiveContact:
    """Command of a request; a contact without an id has none."""
    contact = route_command(request.contact)._replace(contact_id=request.contact.contact_id)
    sender = Sender(request.from_cell, request.origin)
    return ReceiveContact(sender, request.number, request.settled_below, contact, request.hops)


def recall_command(request: pb.RecallContactRequest) -> RecallContact:
    """Command of a request."""
    return RecallContact(
        Sender(request.from_cell, request.origin),
        request.number,
        request.settled_below,
        request.contact_id,
        member(CancelReason, request.left) if request.left else 0,
    )


def crossing_message(crossing: Crossing) -> pb.Crossing:
    """A contact on its way."""
    return pb.Crossing(
        number=crossing.number,
        to_cell=crossing.cell,
        queue_id=crossing.queue_id,
        contact_id=crossing.contact_id,
        since_ms=crossing.since_ms,
        left=crossing.left,  # type: ignore[arg-type]
    )


def answer_of(
    reply: pb.ReceiveContactResponse | pb.RecallContactResponse,
) -> CrossingAnswer | None:
    """What another cell said; None for what no answer is."""
    return member(CrossingAnswer, reply.answer) if reply.answer else None


def target_message(reading: Reading) -> pb.GetTargetResponse:
    """How a queue stands, for another cell."""
    message = pb.GetTargetResponse(moved_in_per_s=reading.moved_in_per_s)
    for name, value in reading.signals.items():
        message.signals.append(_signal(name, value))
    for more_per_s, risks in zip(LADDER_PER_S, reading.risks.tolist(), strict=True):
        message.risks.add(more_per_s=more_per_s, by_horizon=risks)
    return message


def _signal(name: str, value: Value) -> pb.TargetSignal:
    if isinstance(value, str):
        return pb.TargetSignal(name=name, text=value)
    if isinstance(value, float):
        return pb.TargetSignal(name=name, real=value)
    return pb.TargetSignal(name=name, whole=value)


def reading_of(message: pb.GetTargetResponse, at_ms: int) -> Reading:
    """
    How a queue stands, as another cell told at a time.

    Raises
    ------
    ValueError
        Its risks are not those of as many contacts and horizons as are known here.
    """
    values = ((item, item.WhichOneof("value")) for item in message.signals)
    signals: dict[str, Value] = {item.name: getattr(item, name) for item, name in values if name}
    told_per_s = [item.more_per_s for item in message.risks]
    risks = np.array([list(item.by_horizon) for item in message.risks], np.float64)
    if risks.shape != (len(LADDER_PER_S), len(RISK_HORIZONS)) or not np.allclose(
        told_per_s, LADDER_PER_S
    ):
        raise ValueError(f"risks at {told_per_s} more contacts a second")
    return Reading(at_ms, signals, risks, message.moved_in_per_s)
