"""CrossingService: what its unary methods do."""

from typing import Final

from google.protobuf.message import Message

from adapters.crossings.messages import (
    crossing_message,
    recall_command,
    receive_command,
    target_message,
)
from adapters.errors import invalid, refused_by_engine
from adapters.methods import Method
from adapters.sensing.reads import Read
from adapters.sensing.thread import SensingThread
from adapters.translation import member
from engine.crossing import CrossingAnswer, Sender, SettleCrossing
from engine.deciding.telling import read_queue
from engine.engine import Engine
from engine.lifecycle import ContactState, RejectionReason
from engine.refusals import CommandRefused, Refusal, violation
from headgate.v1 import crossing_service_pb2 as pb


def receive_contact(engine: Engine, request: pb.ReceiveContactRequest, now_ms: int) -> Message:
    """Take a contact in that crosses to this cell, or not."""
    outcome = engine.apply(receive_command(request), now_ms)
    reason = ""
    if outcome.refusal is not Refusal.NONE:
        reason = outcome.refusal.name
    elif outcome.state == ContactState.REJECTED:
        reason = RejectionReason(outcome.rejection).name
    return pb.ReceiveContactResponse(answer=_said(engine, request), reason=reason)


def recall_contact(engine: Engine, request: pb.RecallContactRequest, now_ms: int) -> Message:
    """See to it that a crossing which is not taken never is."""
    engine.apply(recall_command(request), now_ms)
    return pb.RecallContactResponse(answer=_said(engine, request))


def list_crossings(engine: Engine, request: pb.ListCrossingsRequest, now_ms: int) -> Message:
    """List the contacts that are on their way to other cells."""
    del request, now_ms
    crossings = map(crossing_message, engine.cell.crossings.open())
    return pb.ListCrossingsResponse(crossings=crossings)


def settle_crossing(engine: Engine, request: pb.SettleCrossingRequest, now_ms: int) -> Message:
    """Say what came of a crossing that no answer will come for."""
    answer = member(CrossingAnswer, request.answer)
    if answer not in (CrossingAnswer.TAKEN, CrossingAnswer.REFUSED):
        expected = "CROSSING_ANSWER_TAKEN or CROSSING_ANSWER_REFUSED"
        raise invalid(violation("answer", request.answer, expected))
    if engine.cell.crossings.find(request.number) is None:
        refused = violation("number", request.number, "the number of a crossing that is open")
        raise refused_by_engine(CommandRefused(Refusal.UNKNOWN_CONTACT, refused))
    engine.apply(SettleCrossing(request.number, answer, knew=True), now_ms)
    return pb.SettleCrossingResponse()


async def get_target(thread: SensingThread, request: pb.GetTargetRequest) -> Message:
    """Tell how a queue stands; raises CallRefused where it is not known."""
    now_ms = thread.cell.now_ms()
    reading = await thread.ask(lambda sensing: read_queue(sensing, request.queue_id, now_ms))
    if reading is None:
        refused = violation("queue_id", request.queue_id, "the id of a queue that exists")
        raise refused_by_engine(CommandRefused(Refusal.UNKNOWN_QUEUE, refused))
    return target_message(reading)


def _said(
    engine: Engine, request: pb.ReceiveContactRequest | pb.RecallContactRequest
) -> pb.CrossingAnswer.ValueType:
    """What has just been said of a crossing."""
    sender = Sender(request.from_cell, request.origin)
    answer = engine.cell.received.find(sender, request.number)
    assert answer is not None
    return answer.value  # type: ignore[return-value]


RECEIVE: Final = Method(
    "CrossingService", "ReceiveContact", pb.ReceiveContactRequest, receive_contact, True
)
RECALL: Final = Method(
    "CrossingService", "RecallContact", pb.RecallContactRequest, recall_contact, True
)
METHODS: Final = (
    RECEIVE,
    RECALL,
    Method("CrossingService", "ListCrossings", pb.ListCrossingsRequest, list_crossings),
    Method("CrossingService", "SettleCrossing", pb.SettleCrossingRequest, settle_crossing, True),
)
TARGET_READS: Final = (Read("GetTarget", pb.GetTargetRequest, get_target, "CrossingService"),)
