"""
The transitions: one per command, and the single entry through which production, simulation and
replay call them.

Time comes first: the caller runs EXPIRE when a deadline has passed, so that a command meets the
cell as it is at `now`; `apply` then runs the command and whatever it made due. A command that is
refused changes nothing. Arguments stand in `Cell.request`, results in `Cell.outcome`; `Operation`
and the `IN_` places say which. Columns of queues and agents are written by `engine.state` before
their transition runs.
"""

from engine.kernels.agent_life import schedule_lease
from engine.kernels.agent_transitions import (
    agent_changed,
    agent_lent,
    delete_agent,
    delete_queue,
    heartbeat,
    queue_changed,
    set_hours,
    set_intake,
    set_presence,
)
from engine.kernels.assignment_transitions import (
    accept,
    complete_assignment,
    decline,
    end_wrap_up,
    release,
)
from engine.kernels.boundary import Table, open_cell
from engine.kernels.capacity import refresh_room, report_agent
from engine.kernels.columns import NEXT_CONTACT, NEXT_DUE_MS
from engine.kernels.compilation import entry, kernel
from engine.kernels.consult_transitions import consult, may_consult, transfer
from engine.kernels.contact_life import forget
from engine.kernels.contact_transitions import (
    cancel,
    ends_window,
    pick,
    report,
    requeue,
    route,
    update,
)
from engine.kernels.deadlines import next_deadline
from engine.kernels.deciding import count_refusals
from engine.kernels.diversion_transitions import divert, end_diversion, return_contact
from engine.kernels.estimates import mark_estimates, reset_estimates
from engine.kernels.offering import link_offer, mark_offer
from engine.kernels.recording import (
    begin_call,
    mark_agent,
    mark_contact,
    mark_queue,
    record_contact,
)
from engine.kernels.requests import (
    IN_AGENT,
    IN_CONTACT,
    IN_OPERATION,
    IN_QUEUE,
    IN_REASON,
    IN_ROW,
    IN_SINCE_MS,
    IN_VALUE,
    OUT_COUNT,
    Operation,
)
from engine.kernels.restoring import restore_contact
from engine.kernels.schedule_transitions import fail_attempt, schedule
from engine.kernels.time_transitions import recover, run_due
from engine.kernels.waiting import count_ahead
from engine.refusals import Refusal

_ROUTE = int(Operation.ROUTE)
_REQUEUE = int(Operation.REQUEUE)
_CANCEL = int(Operation.CANCEL)
_ACCEPT = int(Operation.ACCEPT)
_DECLINE = int(Operation.DECLINE)
_COMPLETE = int(Operation.COMPLETE)
_END_WRAP_UP = int(Operation.END_WRAP_UP)
_RELEASE = int(Operation.RELEASE)
_PICK = int(Operation.PICK)
_SCHEDULE = int(Operation.SCHEDULE)
_CONSULT = int(Operation.CONSULT)
_DIVERT = int(Operation.DIVERT)
_RETURN = int(Operation.RETURN)
_END_DIVERSION = int(Operation.END_DIVERSION)
_TRANSFER = int(Operation.TRANSFER)
_AGENT_CHANGED = int(Operation.AGENT_CHANGED)
_SET_PRESENCE = int(Operation.SET_PRESENCE)
_HEARTBEAT = int(Operation.HEARTBEAT)
_QUEUE_CHANGED = int(Operation.QUEUE_CHANGED)
_SET_INTAKE = int(Operation.SET_INTAKE)
_RECOVER = int(Operation.RECOVER)
_DELETE_AGENT = int(Operation.DELETE_AGENT)
_DELETE_QUEUE = int(Operation.DELETE_QUEUE)
_RESET_ESTIMATES = int(Operation.RESET_ESTIMATES)
_SETTLE_AGENT = int(Operation.SETTLE_AGENT)
_FORGET_CONTACT = int(Operation.FORGET_CONTACT)
_MARK_CONTACT = int(Operation.MARK_CONTACT)
_MARK_AGENT = int(Operation.MARK_AGENT)
_MARK_ESTIMATES = int(Operation.MARK_ESTIMATES)
_MARK_OFFER = int(Operation.MARK_OFFER)
_RESTORE_CONTACT = int(Operation.RESTORE_CONTACT)
_RESTORE_AGENT = int(Operation.RESTORE_AGENT)
_RESTORE_OFFER = int(Operation.RESTORE_OFFER)
_READ_CONTACT = int(Operation.READ_CONTACT)
_SET_HOURS = int(Operation.SET_HOURS)
_RECORD_CONTACT = int(Operation.RECORD_CONTACT)
_READ_AGENT = int(Operation.READ_AGENT)
_READ_REFUSALS = int(Operation.READ_REFUSALS)
_READ_MAY_CONSULT = int(Operation.READ_MAY_CONSULT)
_APPLIED = int(Refusal.NONE)


@kernel
def _apply_to_contact(table: Table, operation: int) -> int:
    """Run the transition of a contact's operation. As the transition."""
    if operation == _ROUTE:
        return route(table)
    if operation == _CANCEL:
        return cancel(table)
    if operation == _REQUEUE:
        return requeue(table)
    if operation == _PICK:
        return pick(table)
    if operation == _SCHEDULE:
        return schedule(table)
    if operation == _CONSULT:
        return consult(table)
    if operation == _DIVERT:
        return divert(table)
    if operation == _RETURN:
        return return_contact(table)
    if operation == _END_DIVERSION:
        return end_diversion(table)
    return update(table)


@kernel
def _apply_in_hand(table: Table, operation: int) -> int:
    """Run the transition of an operation on a contact in an agent's hands. As the transition."""
    if operation == _ACCEPT:
        return accept(table)
    if operation == _DECLINE:
        return decline(table)
    if operation == _COMPLETE:
        return complete_assignment(table)
    if operation == _END_WRAP_UP:
        return end_wrap_up(table)
    if operation == _RELEASE:
        return release(table)
    if operation == _TRANSFER:
        return transfer(table)
    return fail_attempt(table)


@kernel
def _apply_to_agent(table: Table, operation: int) -> int:
    """Run the transition of an operation on an agent. As the transition."""
    if operation == _HEARTBEAT:
        return heartbeat(table)
    if operation == _SET_PRESENCE:
        return set_presence(table)
    if operation == _AGENT_CHANGED:
        return agent_changed(table)
    if operation == _DELETE_AGENT:
        return delete_agent(table)
    if operation == _RESET_ESTIMATES:
        return reset_estimates(table)
    if operation == _SETTLE_AGENT:
        return agent_lent(table)
    return _APPLIED


@kernel
def _apply_to_cell(table: Table, operation: int) -> int:
    """Run the transition of an operation on a queue, the cell or an agent. As the transition."""
    if operation == _QUEUE_CHANGED:
        return queue_changed(table)
    if operation == _SET_INTAKE:
        return set_intake(table)
    if operation == _RECOVER:
        return recover(table)
    if operation == _DELETE_QUEUE:
        return delete_queue(table)
    return _apply_to_agent(table, operation)


@kernel
def _apply_quietly(table: Table, operation: int) -> int:
    """
    Run an operation on one row that makes nothing due.

    As the operation.
    """
    request = open_cell(table).request
    if operation == _FORGET_CONTACT:
        forget(table, request[IN_CONTACT])
    elif operation == _RESTORE_CONTACT:
        restore_contact(table, request[IN_CONTACT])
    elif operation == _RESTORE_AGENT:
        refresh_room(table, request[IN_AGENT])
        schedule_lease(table, request[IN_AGENT])
    elif operation == _RESTORE_OFFER:
        link_offer(table, request[IN_ROW])
    elif operation == _READ_MAY_CONSULT:
        return may_consult(table)
    elif operation < _MARK_CONTACT:
        _read(table, operation)
    elif operation == _SET_HOURS:
        set_hours(table)
    elif operation == _RECORD_CONTACT:
        _record(table)
    else:
        _mark(table, operation)
    return _APPLIED


@kernel
def _read(table: Table, operation: int) -> None:
    """Write into the outcome what is asked. As the operation."""
    cell = open_cell(table)
    request = cell.request
    if operation == _READ_CONTACT:
        report(table, request[IN_CONTACT])
    elif operation == _READ_AGENT:
        report_agent(table, request[IN_AGENT])
    elif operation == _READ_REFUSALS:
        count_refusals(table, request[IN_CONTACT])
    else:
        queue, priority = request[IN_QUEUE], request[IN_VALUE]
        key_ms, sequence = request[IN_SINCE_MS], cell.scalar[NEXT_CONTACT]
        cell.outcome[OUT_COUNT] = count_ahead(table, queue, priority, key_ms, sequence)


@kernel
def _record(table: Table) -> None:
    """Record what Python knows of a contact, with the kind, detail and reason it asks for. O(1)."""
    request = open_cell(table).request
    kind, detail = request[IN_VALUE], request[IN_ROW]
    record_contact(table, kind, request[IN_CONTACT], detail, request[IN_REASON])


@kernel
def _mark(table: Table, operation: int) -> None:
    """Have the open commit group write one row. O(1)."""
    request = open_cell(table).request
    if operation == _MARK_CONTACT:
        mark_contact(table, request[IN_CONTACT])
    elif operation == _MARK_AGENT:
        mark_agent(table, request[IN_AGENT])
    elif operation == _MARK_ESTIMATES:
        mark_estimates(table, request[IN_AGENT])
    elif operation == _MARK_OFFER:
        mark_offer(table, request[IN_ROW])
    else:
        mark_queue(table, request[IN_QUEUE])


@kernel
def apply_request(table: Table) -> int:
    """
    Run request[IN_OPERATION] at Cell.scalar[NOW_MS], then what it made due; returns the Refusal.

    As the transition and `run_due`.
    """
    cell = open_cell(table)
    operation = cell.request[IN_OPERATION]
    if operation >= _FORGET_CONTACT:
        refusal = _apply_quietly(table, operation)
        cell.scalar[NEXT_DUE_MS] = next_deadline(table)
        return refusal
    begin_call(table)
    if operation == _ROUTE and ends_window(table):
        run_due(table)
    if _ROUTE <= operation < _ACCEPT:
        refusal = _apply_to_contact(table, operation)
    elif _ACCEPT <= operation < _AGENT_CHANGED:
        refusal = _apply_in_hand(table, operation)
    else:
        refusal = _apply_to_cell(table, operation)
    run_due(table)
    return refusal


@entry
def apply(table: Table) -> int:
    """`apply_request`, for Python to call. As there."""
    return apply_request(table)
