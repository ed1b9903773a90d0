"""
The reference router's choices: who is offered what at once, and where a matching window begins.

Compare `engine.kernels.matching` and `matching_windows`.
"""

from engine.lifecycle import ContactState, Intake
from tests.engine.reference_floor import Floor
from tests.engine.reference_moves import keep_waiting, offer
from tests.engine.reference_recording import has_effect_room
from tests.engine.reference_subjects import RefAgent, RefContact, RefQueue


def find_agent(floor: Floor, contact: RefContact) -> RefAgent | None:
    if floor.queue_of(contact).intake is Intake.PAUSED:
        return None
    return floor.best_agent(contact)


def open_window(floor: Floor, queue: RefQueue) -> None:
    if not queue.is_window_open:
        queue.window_ends_ms = floor.now_ms + queue.definition.matching_window_ms


def open_windows_for(floor: Floor, agent: RefAgent) -> None:
    for queue in floor.queues.values():
        if queue.has_windows and queue.intake is not Intake.PAUSED:
            waiting = floor.waiting_in(queue.queue_id)
            if any(agent in floor.takers(contact) for contact in waiting):
                open_window(floor, queue)


def match_new(floor: Floor, contact: RefContact) -> None:
    agent = find_agent(floor, contact)
    if agent and floor.queue_of(contact).has_windows:
        open_window(floor, floor.queue_of(contact))
        keep_waiting(floor, contact)
    elif agent:
        offer(floor, contact, agent)
    else:
        keep_waiting(floor, contact)


def match_returned(floor: Floor, contact: RefContact) -> None:
    while contact.state is ContactState.QUEUED:
        agent = find_agent(floor, contact)
        if agent and floor.queue_of(contact).has_windows:
            open_window(floor, floor.queue_of(contact))
            agent = None
        if agent is None:
            keep_waiting(floor, contact)
            return
        if not has_effect_room(floor):
            contact.due_ms = floor.now_ms
            return
        best = floor.best_contact(agent)
        assert best
        offer(floor, best, agent)


def match_backlog(floor: Floor, agent: RefAgent) -> bool:
    while has_effect_room(floor):
        contact = floor.best_contact(agent)
        if contact is None:
            open_windows_for(floor, agent)
            return True
        chosen = floor.best_agent(contact)
        assert chosen
        best = floor.best_contact(chosen)
        assert best
        offer(floor, best, chosen)
    return False


def match_freed(floor: Floor, agent: RefAgent) -> bool:
    while has_effect_room(floor):
        contact = floor.best_contact(agent)
        if contact is None:
            open_windows_for(floor, agent)
            return True
        offer(floor, contact, agent)
    return False
