"""Answers that only the thread which evaluates policies can give."""

from typing import Final

from google.protobuf.message import Message

from adapters.errors import refused_by_engine
from adapters.policies.messages import explanation_message
from adapters.sensing.reads import Read
from adapters.sensing.thread import SensingThread
from engine.deciding.deciding import Deciding
from engine.deciding.explaining import Explanation, explain
from engine.refusals import CommandRefused, Refusal, violation
from headgate.v1 import policy_service_pb2 as pb

_EXPLAINED_MAX: Final = 100


async def explain_policy(thread: SensingThread, request: pb.ExplainPolicyRequest) -> Message:
    """
    Say why a policy is on or off now.

    Raises
    ------
    CallRefused
        It is not in force, or it is about no such queue.
    """
    now_ms = thread.cell.now_ms()

    def read(deciding: Deciding) -> list[Explanation]:
        return [
            found
            for book in deciding.books()
            for found in explain(book, request.name, request.queue_id, now_ms)
        ]

    found = await thread.ask_deciding(read)
    if not found:
        _require_known(thread, request)
    messages = [explanation_message(item) for item in found[:_EXPLAINED_MAX]]
    return pb.ExplainPolicyResponse(explanations=messages)


def _require_known(thread: SensingThread, request: pb.ExplainPolicyRequest) -> None:
    names = {item.name for item in thread.cell.engine.cell.policies.in_force()}
    if request.name not in names:
        expected = "the name of a policy that is in force"
        refused = violation("name", request.name, expected)
        raise refused_by_engine(CommandRefused(Refusal.UNKNOWN_POLICY, refused))
    expected = "a queue that the policy, a diversion or overflow policy, matches"
    refused = violation("queue_id", request.queue_id, expected)
    raise refused_by_engine(CommandRefused(Refusal.UNKNOWN_QUEUE, refused))


POLICY_READS: Final = (
    Read("ExplainPolicy", pb.ExplainPolicyRequest, explain_policy, "PolicyService"),
)
