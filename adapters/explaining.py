"""Explanations in words."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from engine.choices import Diversion, DiversionOutcome
from engine.engine import Engine
from engine.lifecycle import ContactState, Intake
from engine.state.contacts import ContactView
from headgate.v1.decision_service_pb2 import (
    Decision,
    DecisionKind,
    ExplainResponse,
    RefusalCount,
    RefusalReason,
    Score,
)

_OF_MANY: Final = {
    RefusalReason.REFUSAL_REASON_NOT_SIGNED_IN: "not signed in, or draining",
    RefusalReason.REFUSAL_REASON_NOT_AVAILABLE: "busy or away",
    RefusalReason.REFUSAL_REASON_LACKS_SKILL: "without a required skill at its level",
    RefusalReason.REFUSAL_REASON_LACKS_TAG: "without a required tag",
    RefusalReason.REFUSAL_REASON_HAS_EXCLUDED_TAG: "with a tag that is ruled out",
    RefusalReason.REFUSAL_REASON_NOT_NAMED: "not among those it asks for by name",
    RefusalReason.REFUSAL_REASON_NO_ROOM: "without capacity for it, or at rest",
    RefusalReason.REFUSAL_REASON_RECENTLY_FAILED: "who recently declined or missed it",
}
_OF_ONE: Final = {
    RefusalReason.REFUSAL_REASON_NOT_IN_QUEUE: "does not serve the queue",
    RefusalReason.REFUSAL_REASON_NOT_SIGNED_IN: "is not signed in, or draining",
    RefusalReason.REFUSAL_REASON_NOT_AVAILABLE: "is busy or away",
    RefusalReason.REFUSAL_REASON_LACKS_SKILL: "does not hold every required skill at its level",
    RefusalReason.REFUSAL_REASON_LACKS_TAG: "lacks a required tag",
    RefusalReason.REFUSAL_REASON_HAS_EXCLUDED_TAG: "has a tag that is ruled out",
    RefusalReason.REFUSAL_REASON_NOT_NAMED: "is none of the agents it asks for by name",
    RefusalReason.REFUSAL_REASON_NO_ROOM: "has no capacity for it, or rests",
    RefusalReason.REFUSAL_REASON_RECENTLY_FAILED: "recently declined or missed it",
}
_WHY: Final = {
    DecisionKind.DECISION_KIND_ROUTED: "when it came",
    DecisionKind.DECISION_KIND_UPDATED: "when it was changed",
    DecisionKind.DECISION_KIND_RETURNED: "when it was back in its place",
    DecisionKind.DECISION_KIND_FREED: "when the agent got room",
    DecisionKind.DECISION_KIND_BACKLOG: "when the agent looked at the backlog",
    DecisionKind.DECISION_KIND_PICKED: "because somebody chose the agent",
    DecisionKind.DECISION_KIND_WINDOW: "when the queue's matching window ended",
}
# Choices of an agent for a contact, not of a contact for an agent.
_OF_AGENTS: Final = (
    DecisionKind.DECISION_KIND_ROUTED,
    DecisionKind.DECISION_KIND_UPDATED,
    DecisionKind.DECISION_KIND_WINDOW,
)


def sentences(
    engine: Engine, contact: ContactView, agent_id: str, told: ExplainResponse
) -> Iterator[str]:
    """What is known, a sentence each: the state, the latest decision, and who cannot have it."""
    queue_id = engine.cell.queues.slots.ids[contact.queue_row]
    agents = engine.cell.agents.slots.ids
    holder = agents[contact.agent_row] if contact.agent_row >= 0 else ""
    state = contact.state.name.lower().replace("_", " ")
    with_whom = f" with {holder}" if holder else ""
    yield (
        f"Contact {contact.contact_id} is {state}{with_whom} in queue {queue_id}, "
        f"after a wait of {_seconds(contact.wait_ms)}."
    )
    if contact.state is ContactState.QUEUED:
        yield from _why_waiting(engine, contact, told)
    elif contact.state is ContactState.SCHEDULED:
        left_ms = max(0, contact.schedule.due_at_ms - engine.now_ms())
        yield f"It is put off for another {_seconds(left_ms)}."
    elif contact.diversion is not None:
        yield from _where_it_went(contact.state, contact.diversion)
    if contact.choice is not None:
        left_ms = max(0, contact.choice.until_ms - engine.now_ms())
        kinds = (item.kind.name.lower().replace("_", " ") for item in contact.choice.choice.options)
        yield f"Its customer may choose for another {_seconds(left_ms)}: {', '.join(kinds)}."
    acted = engine.cell.contacts.policies_of(engine.cell.contact_row(contact.contact_id))
    if acted:
        yield f"Policies have acted on it: {', '.join(acted)}."
    if told.HasField("decision"):
        yield from _of_decision(told.decision)
    elif holder:
        yield "No decision about it is kept any more."
    if agent_id and agent_id != holder:
        yield from _why_not(agent_id, contact, told)


def _where_it_went(state: ContactState, diversion: Diversion) -> Iterator[str]:
    """Where a contact is that went on elsewhere, or has ended there."""
    place = f"queue {diversion.queue_id}" + (f" of cell {diversion.cell}" * bool(diversion.cell))
    if diversion.outcome == DiversionOutcome.CONTINUED:
        yield f"It went on to {place}."
    elif state is ContactState.DIVERTED and diversion.cell:
        yield f"It is on its way to {place}."
    elif state is ContactState.DIVERTED:
        channel = diversion.channel.name.lower().replace("_", " ")
        yield f"Its customer went on by {channel} in {place}."


def _why_waiting(engine: Engine, contact: ContactView, told: ExplainResponse) -> Iterator[str]:
    queue = engine.read.queue(engine.cell.queues.slots.ids[contact.queue_row])
    if queue.intake is Intake.PAUSED:
        yield "The queue is paused: nothing is offered."
    agents = told.eligible + sum(item.agents for item in told.refused)
    if agents == 0:
        yield "No agent serves the queue."
    elif told.refused:
        yield f"Of {_agents(agents)} of the queue, as of now: {_listed(told.refused)}."
    for step in contact.relaxation[contact.relaxation_steps_taken :][:1]:
        left_ms = max(0, step.after_ms - contact.wait_ms)
        yield f"It asks for something else in {_seconds(left_ms)}."
    if contact.expires_at_ms:
        left_ms = contact.expires_at_ms - engine.now_ms()
        yield f"It expires in {_seconds(max(0, left_ms))} if nobody has it by then."


def _of_decision(decision: Decision) -> Iterator[str]:
    when = _WHY.get(decision.kind, "")
    if not decision.agent_id and decision.eligible > 0:
        could = f"{_agents(decision.eligible)} could be offered it"
        yield f"{could} {when}; it is offered when the queue's matching window ends."
        return
    if not decision.agent_id:
        reasons = _listed(decision.refused) or "no agent serves the queue"
        yield f"Nobody was found {when}: {reasons}."
        return
    yield f"{decision.agent_id} was chosen {when} ({decision.decision_id})."
    if decision.kind in _OF_AGENTS:
        yield f"{_agents(decision.eligible)} could be offered it."
    elif decision.kind != DecisionKind.DECISION_KIND_PICKED:
        first = ", past the starvation bound" if decision.starving else ""
        yield (
            f"Of what waited for the agent it came next, claim {decision.claim:.3g}{first}; "
            f"{decision.waiting} waited in its queue."
        )
    yield from _of_scores(decision.scores)
    if decision.kind == DecisionKind.DECISION_KIND_WINDOW and _is_second_better(decision.scores):
        yield (
            "The second suits it better, but the batch as a whole less: another contact has the "
            "second, or the second has been occupied for too long."
        )


def _is_second_better(scores: Sequence[Score]) -> bool:
    return len(scores) == 2 and scores[1].total > scores[0].total


def _of_scores(scores: Sequence[Score]) -> Iterator[str]:
    for score, place in zip(scores, ("Score of", "Second was"), strict=False):
        terms = sorted(score.terms.items(), key=lambda item: -abs(item[1]))
        made_of = ", ".join(f"{name} {value:+.3g}" for name, value in terms) or "no term counts"
        yield f"{place} {score.agent_id}: {score.total:.4g} ({made_of})."
    if len(scores) == 2 and scores[0].total == scores[1].total:
        yield "The tie went to the lower load, then the longer idle, then who was defined first."


def _why_not(agent_id: str, contact: ContactView, told: ExplainResponse) -> Iterator[str]:
    if contact.state > ContactState.OFFERED:
        yield from _of_then(agent_id, told.decision)
        return
    if told.agent_refused:
        reasons = "; ".join(_OF_ONE[reason] for reason in told.agent_refused)
        yield f"{agent_id} cannot be offered it as of now: {reasons}."
    else:
        yield f"{agent_id} could be offered it as of now."
    yield from _of_then(agent_id, told.decision)


def _of_then(agent_id: str, decision: Decision) -> Iterator[str]:
    if not decision.agent_id or decision.agent_id == agent_id:
        return
    if agent_id in [score.agent_id for score in decision.scores]:
        yield f"At the decision {agent_id} came second."
    elif decision.eligible > 1:
        yield (
            f"At the decision {agent_id} was not among the best two of "
            f"{_agents(decision.eligible)} who could be offered it."
        )


def _agents(count: int) -> str:
    return f"{count:,} agent{'' if count == 1 else 's'}"


def _listed(refused: Iterable[RefusalCount]) -> str:
    return ", ".join(f"{item.agents:,} {_OF_MANY[item.reason]}" for item in refused)


def _seconds(duration_ms: int) -> str:
    return f"{duration_ms / 1_000:,.1f} s"
