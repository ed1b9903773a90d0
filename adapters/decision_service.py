"""DecisionService: what its unary methods do."""

from collections.abc import Mapping
from typing import Final

from google.protobuf.message import Message
from google.rpc import code_pb2

from adapters.errors import CallRefused, invalid
from adapters.explaining import sentences
from adapters.messages import requirements_message
from adapters.methods import Method, fitting, page_bounds
from engine.engine import Engine
from engine.lifecycle import HAS_ENDED, ContactState, RefusalReason
from engine.refusals import violation
from engine.routing.explanation import reasons_against, refusals_now
from engine.state.decisions import DecisionView, Terms, decision_id_of, decision_number
from headgate.v1 import decision_service_pb2 as pb

_UNKNOWN: Final = "the id of a decision that is still kept"


def get_decision(engine: Engine, request: pb.GetDecisionRequest, now_ms: int) -> Message:
    """Read one decision."""
    del now_ms
    decisions = engine.cell.decisions
    number = decision_number(request.decision_id)
    if number not in decisions.numbers():
        wrong = violation("decision_id", request.decision_id, _UNKNOWN)
        raise CallRefused(
            code_pb2.NOT_FOUND,
            "UNKNOWN_DECISION",
            f"decision_id: got {wrong.value}, expected {_UNKNOWN}",
            violations=(wrong,),
        )
    return pb.GetDecisionResponse(decision=decision_message(decisions.view(number)))


def list_decisions(engine: Engine, request: pb.ListDecisionsRequest, now_ms: int) -> Message:
    """List decisions, the latest first."""
    del now_ms
    decisions = engine.cell.decisions
    numbers = decisions.matching(request.contact_id, request.queue_id, request.agent_id)
    if request.page_token:
        last = decision_number(request.page_token)
        if last < 0:
            expected = "a next_page_token of this method"
            raise invalid(violation("page_token", request.page_token, expected))
        numbers = [number for number in numbers if number < last]
    count = page_bounds(request.page_size)
    page = fitting(decision_message(decisions.view(number)) for number in numbers[:count])
    token = page[-1].decision_id if len(page) < len(numbers) else ""
    return pb.ListDecisionsResponse(decisions=page, next_page_token=token)


def explain(engine: Engine, request: pb.ExplainRequest, now_ms: int) -> Message:
    """Explain where a contact stands."""
    cell = engine.cell
    view = engine.read.contact(request.contact_id, now_ms)
    contact_row = cell.contact_row(request.contact_id)
    agent_row = engine.read.agent_row(request.agent_id) if request.agent_id else -1
    response = pb.ExplainResponse()
    numbers = cell.decisions.matching(request.contact_id, "", "")
    if numbers:
        response.decision.CopyFrom(decision_message(cell.decisions.view(numbers[0])))
    if view.state is ContactState.QUEUED:
        refused, response.eligible = refusals_now(cell, contact_row)
        response.refused.extend(_counts(refused))
    if agent_row >= 0 and agent_row != view.agent_row and not HAS_ENDED[view.state]:
        against = reasons_against(cell, contact_row, agent_row)
        response.agent_refused.extend(_wire(reason) for reason in against)
    response.sentences.extend(sentences(engine, view, request.agent_id, response))
    return response


def decision_message(view: DecisionView) -> pb.Decision:
    """A decision as it was recorded."""
    decision = pb.Decision(
        decision_id=decision_id_of(view.number),
        at_ms=view.at_ms,
        kind=view.kind.value,  # type: ignore[arg-type]
        contact_id=view.contact_id,
        queue_id=view.queue_id,
        agent_id=view.agent_id,
        offer_id=view.offer_id,
        requirements=requirements_message(view.requirements),
        policies=view.policies,
        relaxation_steps_taken=view.relaxed,
        priority=view.priority,
        routing_age_ms=view.routing_age_ms,
        wait_ms=view.wait_ms,
        waiting=view.waiting,
        starving=view.starves,
        claim=view.claim,
        eligible=view.eligible or 0,
        refused=_counts(view.refused),
    )
    for agent_id, terms in (
        (view.agent_id, view.terms),
        (view.runner_up_id, view.runner_up_terms),
    ):
        if terms is not None:
            decision.scores.append(_score(agent_id, terms))
    return decision


def _score(agent_id: str, terms: Terms) -> pb.Score:
    told = {name: value for name, value in terms._asdict().items() if value}
    return pb.Score(agent_id=agent_id, total=sum(terms), terms=told)


def _wire(reason: RefusalReason) -> "pb.RefusalReason.ValueType":
    """Value on the wire, where 0 stands for none."""
    return pb.RefusalReason.Value(f"REFUSAL_REASON_{reason.name}")


def _counts(refused: Mapping[RefusalReason, int]) -> list[pb.RefusalCount]:
    return [
        pb.RefusalCount(reason=_wire(reason), agents=agents) for reason, agents in refused.items()
    ]


METHODS: Final = (
    Method("DecisionService", "GetDecision", pb.GetDecisionRequest, get_decision),
    Method("DecisionService", "ListDecisions", pb.ListDecisionsRequest, list_decisions),
    Method("DecisionService", "Explain", pb.ExplainRequest, explain),
)
