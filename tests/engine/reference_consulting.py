"""
The reference router's consults.

Compare `engine.kernels.consulting` and `consult_transitions`.
"""

from engine.commands import Consult
from engine.effects import EffectKind
from engine.engine import Outcome
from engine.kernels.columns import HANDLE_MS_SUM
from engine.lifecycle import TRANSITIONS, ContactState, Trigger
from engine.limits import SCHEDULE_AHEAD_MS_MAX
from engine.refusals import Refusal
from tests.engine.reference_floor import Floor, Refused, merged
from tests.engine.reference_interrupting import go_on
from tests.engine.reference_moves import end, exclude, part, remember_agent, take_from_agent
from tests.engine.reference_recording import record_contact
from tests.engine.reference_subjects import RefAgent, RefContact, RefQueue
from tests.engine.reference_time import settle_agent
from tests.engine.reference_transitions import admit, own, receive, where_it_stands


def check_consult(contact: RefContact, agent: RefAgent) -> None:
    """Whether the agent may ask another about the contact."""
    if Trigger.CONSULT not in TRANSITIONS[contact.state]:
        raise Refused(Refusal.ILLEGAL_TRANSITION)
    if contact.agent_id != agent.agent_id:
        raise Refused(Refusal.NOT_YOURS)
    if contact.consult:
        raise Refused(Refusal.CONSULTED_ALREADY)


def consult_of(floor: Floor, contact: RefContact, command: Consult, queue: RefQueue) -> RefContact:
    """The consult, not taken in yet."""
    priority = contact.priority if command.priority is None else command.priority
    asked = RefContact(
        command.consult_id,
        -1,
        queue.queue_id,
        contact.channel,
        priority,
        floor.next_contact,
        floor.now_ms,
        contact.since_ms,
        0,
        command.requirements,
        merged(contact.attributes, command.attributes),
        command.relaxation,
    )
    asked.plan()
    return asked


def ask(floor: Floor, contact: RefContact, asked: RefContact, queue: RefQueue) -> Outcome:
    receive(floor, asked, queue)
    contact.consult, asked.consults_for = asked, contact
    agent = floor.agents[contact.agent_id]
    exclude(asked, agent, floor.now_ms + SCHEDULE_AHEAD_MS_MAX)
    record_contact(floor, EffectKind.CONTACT_CONSULTED, contact)
    return admit(floor, asked, queue)


def hand_over(floor: Floor, contact: RefContact, agent: RefAgent) -> Outcome:
    own(floor, contact, agent, Trigger.TRANSFER)
    asked = contact.consult
    if asked is None or asked.state is not ContactState.ASSIGNED:
        raise Refused(Refusal.NOBODY_CONSULTED)
    queue = floor.queue_of(asked)
    cost, now_ms = asked.cost, floor.now_ms
    queue.totals[HANDLE_MS_SUM] += now_ms - asked.accepted_ms - asked.interrupted_ms
    part(asked)
    receiver = take_from_agent(floor, asked)
    end(floor, asked, ContactState.COMPLETED, EffectKind.CONTACT_COMPLETED, "transferred")
    if contact.state is ContactState.INTERRUPTED:
        go_on(floor, contact)
    spent_ms = now_ms - contact.accepted_ms - contact.interrupted_ms
    floor.queue_of(contact).totals[HANDLE_MS_SUM] += spent_ms
    remember_agent(contact)
    sender = take_from_agent(floor, contact)
    sender.ends_contact(now_ms)
    contact.queued_ms += now_ms - contact.accepted_ms
    contact.accepted_ms, contact.interrupted_ms = now_ms, 0
    contact.queue_id, contact.priority = asked.queue_id, asked.priority
    contact.channel = asked.channel
    contact.requirements, contact.fell_back = asked.requirements, asked.fell_back
    contact.relaxation, contact.taken = asked.relaxation, asked.taken
    contact.plan()
    receiver.note_occupancy(now_ms)
    contact.agent_id, contact.cost = receiver.agent_id, cost
    receiver.held.insert(0, contact)
    record_contact(floor, EffectKind.CONTACT_TRANSFERRED, contact)
    settle_agent(floor, sender)
    contact.attributes = merged(contact.attributes, asked.attributes)
    return where_it_stands(floor, contact)
