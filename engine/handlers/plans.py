"""Commands on plans: put, delete."""

from engine.handlers.outcome import Outcome
from engine.handlers.running import check_etag
from engine.plans import ID_FIELDS, DeletePlan, PlannedEvent, PutPlan
from engine.refusals import CommandRefused, Refusal, violation
from engine.state.cell import CellState


def put_plan(cell: CellState, command: PutPlan) -> Outcome:
    """Create a plan or replace it; its queues must exist."""
    plan = command.plan
    kept = cell.plans.find(plan.KIND, plan.plan_id)
    check_etag(command.etag, kept.version if kept is not None else 0)
    if isinstance(plan, PlannedEvent):
        for place, queue_id in enumerate(plan.queue_ids):
            cell.queue_row(queue_id, f"event.queue_ids[{place}]")
    else:
        cell.queue_row(plan.queue_id, f"{plan.KIND.name.lower()}.queue_id")
    cell.plans.put(plan)
    return Outcome()


def delete_plan(cell: CellState, command: DeletePlan) -> Outcome:
    """Delete a plan."""
    kept = cell.plans.find(command.kind, command.plan_id)
    if kept is None:
        expected = f"the id of a plan ({command.kind.name.lower()}) that exists"
        refused = violation(ID_FIELDS[command.kind], command.plan_id, expected)
        raise CommandRefused(Refusal.UNKNOWN_PLAN, refused)
    check_etag(command.etag, kept.version)
    cell.plans.delete(command.kind, command.plan_id)
    return Outcome()
