"""RoutingService: what its unary methods do."""

from typing import Final

import numpy as np
from google.protobuf.message import Message

from adapters.errors import invalid
from adapters.messages import contact_message, route_response
from adapters.methods import Method, fitting, page_bounds
from adapters.translation import (
    known_members,
    member,
    requeue_command,
    requirements_of,
    route_command,
    schedule_command,
    update_command,
)
from engine.commands import CancelContact, Route
from engine.engine import Engine
from engine.lifecycle import CancelReason, Channel, ContactState
from engine.refusals import CommandRefused, Refusal, violation
from engine.routing.validation import validate
from engine.routing.wait_estimate import (
    WaitEstimate,
    estimate_contact,
    estimate_newcomer,
    note_estimate,
)
from headgate.v1 import routing_service_pb2 as pb


def route(engine: Engine, request: pb.RouteRequest, now_ms: int) -> Message:
    """Route one contact."""
    return route_response(engine.apply(route_command(request), now_ms))


def update_contact(engine: Engine, request: pb.UpdateContactRequest, now_ms: int) -> Message:
    """Change an open contact."""
    engine.apply(update_command(request), now_ms)
    view = engine.read.contact(request.contact_id, now_ms)
    return pb.UpdateContactResponse(contact=contact_message(engine, view))


def requeue_contact(engine: Engine, request: pb.RequeueContactRequest, now_ms: int) -> Message:
    """Put a contact into a queue."""
    outcome = engine.apply(requeue_command(request), now_ms)
    return pb.RequeueContactResponse(route=route_response(outcome))


def schedule_contact(engine: Engine, request: pb.ScheduleContactRequest, now_ms: int) -> Message:
    """Put a contact off, or have it keep its place."""
    outcome = engine.apply(schedule_command(request), now_ms)
    return pb.ScheduleContactResponse(route=route_response(outcome))


def cancel_contact(engine: Engine, request: pb.CancelContactRequest, now_ms: int) -> Message:
    """End a contact that waits, is offered or is scheduled."""
    reason = member(CancelReason, request.reason)
    outcome = engine.apply(CancelContact(request.contact_id, reason), now_ms)
    return pb.CancelContactResponse(
        state=outcome.state,  # type: ignore[arg-type]
        wait_ms=outcome.wait_ms,
    )


def get_contact(engine: Engine, request: pb.GetContactRequest, now_ms: int) -> Message:
    """Read one contact."""
    view = engine.read.contact(request.contact_id, now_ms)
    return pb.GetContactResponse(contact=contact_message(engine, view))


def list_contacts(engine: Engine, request: pb.ListContactsRequest, now_ms: int) -> Message:
    """List contacts, oldest taken in first."""
    columns = engine.cell.store.columns.contacts
    wanted = columns.state > 0
    if request.queue_id:
        wanted &= columns.queue == engine.read.queue_row(request.queue_id)
    if request.agent_id:
        agent_row = engine.read.agent_row(request.agent_id)
        is_theirs = columns.agent == agent_row
        is_theirs[engine.read.offered_rows(agent_row)] = True
        wanted &= is_theirs
    if request.states:
        states = known_members(ContactState, "states", request.states)
        wanted &= np.isin(columns.state, states)
    wanted &= columns.sequence > _sequence_of(request.page_token)
    rows = np.flatnonzero(wanted)
    rows = rows[np.argsort(columns.sequence[rows])]
    ids = engine.cell.contacts.slots.ids
    count = page_bounds(request.page_size)
    views = (engine.read.contact(ids[row], now_ms) for row in rows[:count])
    page = fitting(contact_message(engine, view) for view in views)
    token = str(columns.sequence[rows[len(page) - 1]]) if len(page) < len(rows) else ""
    return pb.ListContactsResponse(contacts=page, next_page_token=token)


def _sequence_of(page_token: str) -> int:
    if not page_token:
        return 0
    if not (page_token.isascii() and page_token.isdigit() and len(page_token) < 19):
        raise invalid(violation("page_token", page_token, "a next_page_token of this method"))
    return int(page_token)


def estimate_wait(engine: Engine, request: pb.EstimateWaitRequest, now_ms: int) -> Message:
    """Estimate the wait of a contact that waits, or of one that would join a queue."""
    if request.contact_id:
        estimate = _estimate_waiting(engine, request, now_ms)
    else:
        newcomer = Route(
            "newcomer",
            request.queue_id,
            member(Channel, request.channel),
            request.priority,
            requirements_of(request.requirements),
            routing_age_ms=request.routing_age_ms,
        )
        validate(newcomer)
        estimate = estimate_newcomer(engine.cell, newcomer, now_ms)
    return pb.EstimateWaitResponse(
        status=estimate.status.value,  # type: ignore[arg-type]
        **{name: getattr(estimate, name) for name in estimate._fields if name != "status"},
    )


def _estimate_waiting(engine: Engine, request: pb.EstimateWaitRequest, now_ms: int) -> WaitEstimate:
    if request != pb.EstimateWaitRequest(cell=request.cell, contact_id=request.contact_id):
        expected = "nothing but the contact, or no contact"
        raise invalid(violation("contact_id", request.contact_id, expected))
    cell = engine.cell
    row = cell.contact_row(request.contact_id)
    state = ContactState(int(cell.store.columns.contacts.state[row]))
    if state is not ContactState.QUEUED:
        expected = f"a contact that waits; it is {state.name}"
        raise CommandRefused(
            Refusal.ILLEGAL_TRANSITION, violation("contact_id", request.contact_id, expected)
        )
    estimate = estimate_contact(cell, row)
    note_estimate(cell, row, estimate, now_ms)
    return estimate


METHODS: Final = (
    Method("RoutingService", "Route", pb.RouteRequest, route, True, "route"),
    Method(
        "RoutingService",
        "UpdateContact",
        pb.UpdateContactRequest,
        update_contact,
        True,
        "update_contact",
    ),
    Method(
        "RoutingService",
        "RequeueContact",
        pb.RequeueContactRequest,
        requeue_contact,
        True,
        "requeue_contact",
    ),
    Method(
        "RoutingService",
        "ScheduleContact",
        pb.ScheduleContactRequest,
        schedule_contact,
        True,
        "schedule_contact",
    ),
    Method(
        "RoutingService",
        "CancelContact",
        pb.CancelContactRequest,
        cancel_contact,
        True,
        "cancel_contact",
    ),
    Method("RoutingService", "GetContact", pb.GetContactRequest, get_contact),
    Method("RoutingService", "EstimateWait", pb.EstimateWaitRequest, estimate_wait),
    Method("RoutingService", "ListContacts", pb.ListContactsRequest, list_contacts),
)
