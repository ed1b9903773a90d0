"""Commands of agents on the contacts in their hands: answer offers, end assignments."""

from typing import Final

from engine.commands import (
    AcceptOffer,
    CompleteAssignment,
    DeclineOffer,
    EndWrapUp,
    ReleaseAssignment,
)
from engine.effects import Reason
from engine.handlers.outcome import Outcome
from engine.handlers.running import request_assignment, run
from engine.kernels.requests import (
    IN_AGENT,
    IN_CONTACT,
    IN_OFFER,
    IN_REASON,
    IN_VALUE,
    OUT_CONTACT,
    OUT_STATE,
    OUT_UNTIL_MS,
    OUT_WAIT_MS,
    Operation,
)
from engine.state.cell import CellState
from engine.state.contacts import parse_offer_id

# Outcomes are kept in thousandths.
_OUTCOME_ONE: Final = 1_000


def accept(cell: CellState, command: AcceptOffer) -> Outcome:
    """Turn an offer into an assignment."""
    _request_offer(cell, command.offer_id, command.agent_id)
    run(cell, Operation.ACCEPT, command.offer_id)
    out = cell.store.outcome
    contact_id = cell.contacts.slots.ids[out[OUT_CONTACT]]
    return Outcome(contact_id=contact_id, wait_ms=out[OUT_WAIT_MS])


def decline(cell: CellState, command: DeclineOffer) -> Outcome:
    """End an offer by the agent's own word."""
    _request_offer(cell, command.offer_id, command.agent_id)
    cell.store.request[IN_VALUE] = command.retry_after_ms
    reason = cell.agents.reason_code(command.reason)
    cell.store.request[IN_REASON] = reason or int(Reason.DECLINED)
    run(cell, Operation.DECLINE, command.offer_id)
    out = cell.store.outcome
    contact_id = cell.contacts.slots.ids[out[OUT_CONTACT]]
    return Outcome(state=out[OUT_STATE], contact_id=contact_id)


def complete(cell: CellState, command: CompleteAssignment) -> Outcome:
    """End handling."""
    request_assignment(cell, command.contact_id, command.agent_id)
    outcome = command.outcome
    cell.store.request[IN_VALUE] = -1 if outcome is None else round(outcome * _OUTCOME_ONE)
    run(cell, Operation.COMPLETE)
    out = cell.store.outcome
    return Outcome(state=out[OUT_STATE], contact_id=command.contact_id, until_ms=out[OUT_UNTIL_MS])


def end_wrap_up(cell: CellState, command: EndWrapUp) -> Outcome:
    """End wrap-up."""
    request_assignment(cell, command.contact_id, command.agent_id)
    run(cell, Operation.END_WRAP_UP)
    return Outcome(contact_id=command.contact_id, wait_ms=cell.store.outcome[OUT_WAIT_MS])


def release(cell: CellState, command: ReleaseAssignment) -> Outcome:
    """Give an assigned contact back to its queue."""
    request_assignment(cell, command.contact_id, command.agent_id)
    run(cell, Operation.RELEASE)
    return Outcome(state=cell.store.outcome[OUT_STATE], contact_id=command.contact_id)


def _request_offer(cell: CellState, offer_id: str, agent_id: str) -> None:
    request = cell.store.request
    request[IN_OFFER], request[IN_CONTACT] = parse_offer_id(offer_id)
    request[IN_AGENT] = cell.agent_row(agent_id)
