"""OfferService: what its unary methods do."""

from typing import Final

from google.protobuf.message import Message

from adapters.messages import route_response
from adapters.methods import Method
from adapters.translation import consult_command
from engine.commands import (
    AcceptOffer,
    CompleteAssignment,
    CompleteTransfer,
    DeclineOffer,
    EndWrapUp,
    FailAttempt,
    OfferContact,
    ReleaseAssignment,
)
from engine.engine import Engine
from headgate.v1 import offer_service_pb2 as pb


def accept_offer(engine: Engine, request: pb.AcceptOfferRequest, now_ms: int) -> Message:
    """Accept an offer."""
    outcome = engine.apply(AcceptOffer(request.offer_id, request.agent_id), now_ms)
    return pb.AcceptOfferResponse(contact_id=outcome.contact_id, wait_ms=outcome.wait_ms)


def decline_offer(engine: Engine, request: pb.DeclineOfferRequest, now_ms: int) -> Message:
    """Decline an offer."""
    command = DeclineOffer(
        request.offer_id, request.agent_id, request.retry_after_ms, request.reason
    )
    outcome = engine.apply(command, now_ms)
    return pb.DeclineOfferResponse(state=outcome.state)  # type: ignore[arg-type]


def offer_contact(engine: Engine, request: pb.OfferContactRequest, now_ms: int) -> Message:
    """Offer a contact to a chosen agent."""
    command = OfferContact(request.contact_id, request.agent_id, request.ignore_capacity)
    return pb.OfferContactResponse(route=route_response(engine.apply(command, now_ms)))


def complete_assignment(
    engine: Engine, request: pb.CompleteAssignmentRequest, now_ms: int
) -> Message:
    """End handling."""
    rated = request.outcome if request.HasField("outcome") else None
    command = CompleteAssignment(request.contact_id, request.agent_id, rated)
    outcome = engine.apply(command, now_ms)
    return pb.CompleteAssignmentResponse(
        state=outcome.state,  # type: ignore[arg-type]
        wrap_up_ends_at_ms=outcome.until_ms,
    )


def end_wrap_up(engine: Engine, request: pb.EndWrapUpRequest, now_ms: int) -> Message:
    """End wrap-up."""
    outcome = engine.apply(EndWrapUp(request.contact_id, request.agent_id), now_ms)
    return pb.EndWrapUpResponse(handle_ms=outcome.wait_ms)


def fail_attempt(engine: Engine, request: pb.FailAttemptRequest, now_ms: int) -> Message:
    """Have a contact tried again later, or end it."""
    command = FailAttempt(request.contact_id, request.agent_id, request.retry_after_ms)
    outcome = engine.apply(command, now_ms)
    return pb.FailAttemptResponse(
        state=outcome.state,  # type: ignore[arg-type]
        due_at_ms=outcome.until_ms,
    )


def consult(engine: Engine, request: pb.ConsultRequest, now_ms: int) -> Message:
    """Ask another agent about a contact."""
    outcome = engine.apply(consult_command(request), now_ms)
    return pb.ConsultResponse(route=route_response(outcome))


def complete_transfer(engine: Engine, request: pb.CompleteTransferRequest, now_ms: int) -> Message:
    """Hand a contact over to whom it was asked about."""
    command = CompleteTransfer(request.contact_id, request.agent_id)
    return pb.CompleteTransferResponse(route=route_response(engine.apply(command, now_ms)))


def release_assignment(
    engine: Engine, request: pb.ReleaseAssignmentRequest, now_ms: int
) -> Message:
    """Give an assigned contact back."""
    outcome = engine.apply(ReleaseAssignment(request.contact_id, request.agent_id), now_ms)
    return pb.ReleaseAssignmentResponse(state=outcome.state)  # type: ignore[arg-type]


METHODS: Final = (
    Method(
        "OfferService", "AcceptOffer", pb.AcceptOfferRequest, accept_offer, True, "accept_offer"
    ),
    Method(
        "OfferService", "DeclineOffer", pb.DeclineOfferRequest, decline_offer, True, "decline_offer"
    ),
    Method("OfferService", "OfferContact", pb.OfferContactRequest, offer_contact, True),
    Method(
        "OfferService",
        "CompleteAssignment",
        pb.CompleteAssignmentRequest,
        complete_assignment,
        True,
        "complete_assignment",
    ),
    Method("OfferService", "EndWrapUp", pb.EndWrapUpRequest, end_wrap_up, True, "end_wrap_up"),
    Method(
        "OfferService", "FailAttempt", pb.FailAttemptRequest, fail_attempt, True, "fail_attempt"
    ),
    Method("OfferService", "Consult", pb.ConsultRequest, consult, True, "consult"),
    Method(
        "OfferService",
        "CompleteTransfer",
        pb.CompleteTransferRequest,
        complete_transfer,
        True,
        "complete_transfer",
    ),
    Method(
        "OfferService",
        "ReleaseAssignment",
        pb.ReleaseAssignmentRequest,
        release_assignment,
        True,
        "release_assignment",
    ),
)
