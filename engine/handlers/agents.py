"""Commands on agents: define, delete, presence, heartbeat."""

from engine.commands import DeleteAgent, Heartbeat, ResetEstimates, SetPresence, UpsertAgent
from engine.handlers.outcome import Outcome
from engine.handlers.running import check_etag, run
from engine.kernels.columns import NOW_MS
from engine.kernels.requests import (
    IN_AGENT,
    IN_QUEUE,
    IN_REASON,
    IN_VALUE,
    OUT_COUNT,
    OUT_STATE,
    Operation,
)
from engine.refusals import CommandRefused, Refusal, violation
from engine.state.cell import CellState


def upsert_agent(cell: CellState, command: UpsertAgent) -> Outcome:
    """Create an agent, offline, or replace its definition."""
    agents = cell.agents
    row = agents.slots.row_of(command.agent_id)
    version = cell.store.columns.agents.version
    check_etag(command.etag, int(version[row]) if row >= 0 else 0)
    queue_rows = [
        cell.queue_row(queue_id, f"agent.queue_ids[{place}]")
        for place, queue_id in enumerate(command.queue_ids)
    ]
    cell.require_names_of(command)
    if row < 0:
        row = agents.slots.take(command.agent_id)
        agents.clear(row, cell.store.scalar[NOW_MS])
        cell.classes.agent_moved(command.agent_id)
    agents.write(row, command, queue_rows)
    cell.classes.tags_carried(command.tags)
    cell.store.columns.agents.version[row] += 1
    cell.store.request[IN_AGENT] = row
    run(cell, Operation.AGENT_CHANGED)
    return Outcome(agent_id=command.agent_id)


def reset_estimates(cell: CellState, command: ResetEstimates) -> Outcome:
    """Forget what was learned of an agent."""
    request = cell.store.request
    agent_row = cell.agent_row(command.agent_id)
    request[IN_QUEUE] = cell.queue_row(command.queue_id) if command.queue_id else -1
    request[IN_AGENT] = agent_row
    run(cell, Operation.RESET_ESTIMATES)
    return Outcome(agent_id=command.agent_id)


def delete_agent(cell: CellState, command: DeleteAgent) -> Outcome:
    """Delete an agent that holds no contacts."""
    row = cell.agent_row(command.agent_id)
    columns = cell.store.columns.agents
    check_etag(command.etag, int(columns.version[row]))
    if columns.contact_count[row] > 0:
        expected = "an agent that holds no contacts; drain it first"
        raise CommandRefused(
            Refusal.AGENT_HOLDS_CONTACTS, violation("agent_id", command.agent_id, expected)
        )
    cell.store.request[IN_AGENT] = row
    run(cell, Operation.DELETE_AGENT)
    cell.remove_agent(row)
    return Outcome(agent_id=command.agent_id)


def set_presence(cell: CellState, command: SetPresence) -> Outcome:
    """Set an agent's presence."""
    row = cell.agent_row(command.agent_id)
    request = cell.store.request
    request[IN_AGENT] = row
    request[IN_VALUE] = command.presence
    request[IN_REASON] = cell.agents.reason_code(command.reason)
    run(cell, Operation.SET_PRESENCE)
    cell.agents.keep_reason(row)
    out = cell.store.outcome
    return Outcome(state=out[OUT_STATE], agent_id=command.agent_id, count=out[OUT_COUNT])


def heartbeat(cell: CellState, command: Heartbeat) -> Outcome:
    """Renew an agent's lease; an unknown agent has none, and that is no mistake of the caller."""
    row = cell.agents.slots.row_of(command.agent_id)
    if row < 0:
        return Outcome(agent_id=command.agent_id)
    cell.store.request[IN_AGENT] = row
    run(cell, Operation.HEARTBEAT)
    return Outcome(agent_id=command.agent_id, count=cell.store.outcome[OUT_COUNT])
