"""ChoiceService: what its unary methods do."""

from typing import Final

from google.protobuf.message import Message

from adapters.messages import route_response
from adapters.methods import Method
from adapters.translation import member
from engine.choices import (
    AcceptChoice,
    DiversionOutcome,
    RefuseChoice,
    ReportDiversionOutcome,
    ReturnContact,
)
from engine.engine import Engine
from headgate.v1 import choice_service_pb2 as pb


def accept_choice(engine: Engine, request: pb.AcceptChoiceRequest, now_ms: int) -> Message:
    """Have a contact go on as its customer chose."""
    command = AcceptChoice(request.contact_id, request.option, request.etag)
    return pb.AcceptChoiceResponse(route=route_response(engine.apply(command, now_ms)))


def refuse_choice(engine: Engine, request: pb.RefuseChoiceRequest, now_ms: int) -> Message:
    """Close a choice; the contact waits on."""
    outcome = engine.apply(RefuseChoice(request.contact_id), now_ms)
    return pb.RefuseChoiceResponse(route=route_response(outcome))


def return_contact(engine: Engine, request: pb.ReturnContactRequest, now_ms: int) -> Message:
    """Have a contact wait again that went on elsewhere."""
    outcome = engine.apply(ReturnContact(request.contact_id, request.queue_id), now_ms)
    return pb.ReturnContactResponse(route=route_response(outcome))


def report_diversion_outcome(
    engine: Engine, request: pb.ReportDiversionOutcomeRequest, now_ms: int
) -> Message:
    """Say what became of a contact that went on elsewhere."""
    command = ReportDiversionOutcome(request.contact_id, member(DiversionOutcome, request.outcome))
    outcome = engine.apply(command, now_ms)
    return pb.ReportDiversionOutcomeResponse(state=outcome.state)  # type: ignore[arg-type]


METHODS: Final = (
    Method(
        "ChoiceService",
        "AcceptChoice",
        pb.AcceptChoiceRequest,
        accept_choice,
        True,
        "accept_choice",
    ),
    Method(
        "ChoiceService",
        "RefuseChoice",
        pb.RefuseChoiceRequest,
        refuse_choice,
        True,
        "refuse_choice",
    ),
    Method(
        "ChoiceService",
        "ReturnContact",
        pb.ReturnContactRequest,
        return_contact,
        True,
        "return_contact",
    ),
    Method(
        "ChoiceService",
        "ReportDiversionOutcome",
        pb.ReportDiversionOutcomeRequest,
        report_diversion_outcome,
        True,
        "report_diversion_outcome",
    ),
)
