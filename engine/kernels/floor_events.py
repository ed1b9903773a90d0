"""
What follows from what: effects of the cell and what the people of a simulated floor do upon them.

Every deed is a request to the cell, run by the engine's own transitions.
"""

from engine.effects import EffectColumn, EffectKind
from engine.kernels.boundary import Table, open_agents, open_cell, open_contacts, open_queues
from engine.kernels.callers import end_wait
from engine.kernels.columns import (
    AGENT_DIRTY_COUNT,
    CONTACT_DIRTY_COUNT,
    EFFECT_COUNT,
    QUEUE_DIRTY_COUNT,
)
from engine.kernels.compilation import kernel
from engine.kernels.deeds import request_agent, run_operation, schedule
from engine.kernels.floor_columns import (
    BLOCKED,
    COMPLETED,
    EXPIRED,
    FREE_CONTACTS,
    HANDLING,
    NOW,
    open_floor_contacts,
    open_run,
    open_streams,
    open_tallies,
)
from engine.kernels.handling import answer_offer, begin_handling, begin_wrap_up, offer_made, pace
from engine.kernels.measuring import has_begun_to_wait, look_at_agent, tally_row
from engine.kernels.requests import IN_CONTACT, IN_VALUE, Operation
from engine.kernels.staffing import finish
from engine.lifecycle import CancelReason, ContactState
from engine.limits import EFFECTS_PER_CALL, NEVER_MS

_KIND = int(EffectColumn.KIND)
_CONTACT = int(EffectColumn.CONTACT)
_WAIT = int(EffectColumn.WAIT_MS)
_E_QUEUED = int(EffectKind.CONTACT_QUEUED)
_E_REJECTED = int(EffectKind.CONTACT_REJECTED)
_E_REQUEUED = int(EffectKind.CONTACT_REQUEUED)
_E_ASSIGNED = int(EffectKind.CONTACT_ASSIGNED)
_E_WRAP_UP = int(EffectKind.CONTACT_WRAP_UP_STARTED)
_E_COMPLETED = int(EffectKind.CONTACT_COMPLETED)
_E_ABANDONED = int(EffectKind.CONTACT_ABANDONED)
_E_EXPIRED = int(EffectKind.CONTACT_EXPIRED)
_E_OFFER = int(EffectKind.OFFER_ISSUED)
_FREE = int(ContactState.FREE)
_ASSIGNED = int(ContactState.ASSIGNED)
_WRAPPING_UP = int(ContactState.WRAP_UP)
_COMPLETE = int(Operation.COMPLETE)
_END_WRAP_UP = int(Operation.END_WRAP_UP)
_CANCEL = int(Operation.CANCEL)
_BY_CUSTOMER = int(CancelReason.ABANDONED)


@kernel
def follow(table: Table, floor: Table, record: int) -> None:
    """Do what the people of the floor do when they learn of an effect. As the deed."""
    effects = open_cell(table).effects
    kind = effects[record, _KIND]
    contact = effects[record, _CONTACT]
    contacts = open_floor_contacts(floor)
    if kind == _E_OFFER:
        offer_made(table, floor, contact)
    elif kind == _E_ASSIGNED:
        begin_handling(table, floor, contact, effects[record, _WAIT])
    elif kind in (_E_QUEUED, _E_REQUEUED):
        has_begun_to_wait(floor, contact)
        contacts.answers_ms[contact] = NEVER_MS
        schedule(floor, contact, contacts.leaves_ms[contact])
    elif kind == _E_WRAP_UP:
        begin_wrap_up(table, floor, contact)
    elif kind == _E_COMPLETED:
        schedule(floor, contact, NEVER_MS)
        batch, stream = contacts.batch[contact], contacts.stream[contact]
        if batch >= 0:
            handled_ms = open_run(floor).scalar[NOW] - open_contacts(table).accepted_ms[contact]
            row = tally_row(floor, batch, stream)
            open_tallies(floor).total_ms[row, HANDLING] += float(handled_ms)
            open_tallies(floor).counts[row, COMPLETED] += 1
    elif kind == _E_ABANDONED:
        has_begun_to_wait(floor, contact)
        end_wait(table, floor, contact, -1)
    elif kind == _E_EXPIRED:
        end_wait(table, floor, contact, EXPIRED)
    elif kind == _E_REJECTED:
        end_wait(table, floor, contact, BLOCKED)


@kernel
def make_effect_room(table: Table, followed: int) -> int:
    """Drop the effects followed so far when another call might find no room; how many. O(kept)."""
    cell = open_cell(table)
    if cell.scalar[EFFECT_COUNT] + 2 * EFFECTS_PER_CALL <= cell.effects.shape[0]:
        return 0
    kept = cell.scalar[EFFECT_COUNT] - followed
    for place in range(kept):
        cell.effects[place] = cell.effects[followed + place]
    cell.scalar[EFFECT_COUNT] = kept
    return followed


@kernel
def follow_all(table: Table, floor: Table) -> None:
    """
    Follow what happened, and what follows from that, until nothing is left; free what was
    forgotten. As the deeds.
    """
    cell = open_cell(table)
    place = 0
    while place < cell.scalar[EFFECT_COUNT]:
        follow(table, floor, place)
        place += 1
        place -= make_effect_room(table, place)
    cell.scalar[EFFECT_COUNT] = 0
    seal(table, floor)


@kernel
def seal(table: Table, floor: Table) -> None:
    """
    Take the list of changed rows, as a commit group would; the rows of forgotten contacts are free.

    O(changed).
    """
    scalar = open_cell(table).scalar
    contacts = open_contacts(table)
    floor_contacts = open_floor_contacts(floor)
    run = open_run(floor).scalar
    for place in range(scalar[CONTACT_DIRTY_COUNT]):
        contact = contacts.dirty[place]
        contacts.is_dirty[contact] = 0
        if contacts.state[contact] == _FREE:
            floor_contacts.free[run[FREE_CONTACTS]] = contact
            run[FREE_CONTACTS] += 1
    scalar[CONTACT_DIRTY_COUNT] = 0
    agents = open_agents(table)
    for place in range(scalar[AGENT_DIRTY_COUNT]):
        agent = agents.dirty[place]
        agents.is_dirty[agent] = 0
        pace(table, floor, agent)
        look_at_agent(table, floor, agent)
    scalar[AGENT_DIRTY_COUNT] = 0
    queues = open_queues(table)
    for place in range(scalar[QUEUE_DIRTY_COUNT]):
        queues.is_dirty[queues.dirty[place]] = 0
    scalar[QUEUE_DIRTY_COUNT] = 0


@kernel
def act(table: Table, floor: Table) -> None:
    """The contact that is due soonest acts, or its agent does, by its state. As the deed."""
    contacts = open_floor_contacts(floor)
    contact = contacts.heap[0]
    state = open_contacts(table).state[contact]
    now_ms = open_run(floor).scalar[NOW]
    if state == _ASSIGNED:
        if open_streams(floor).wrap_up[contacts.stream[contact]] < 0:
            finish(table, floor, open_contacts(table).agent[contact])
        request_agent(table, contact)
        run_operation(table, floor, _COMPLETE)
    elif state == _WRAPPING_UP:
        finish(table, floor, open_contacts(table).agent[contact])
        request_agent(table, contact)
        run_operation(table, floor, _END_WRAP_UP)
    elif contacts.leaves_ms[contact] <= now_ms:
        open_cell(table).request[IN_CONTACT] = contact
        open_cell(table).request[IN_VALUE] = _BY_CUSTOMER
        run_operation(table, floor, _CANCEL)
    else:
        answer_offer(table, floor, contact)
