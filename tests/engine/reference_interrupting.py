"""
The reference router's contacts that others interrupt.

Compare `engine.kernels.interrupting`.
"""

from functools import partial

from engine.effects import EffectKind
from engine.lifecycle import ContactState
from tests.engine.reference_floor import Floor
from tests.engine.reference_recording import has_effect_room, record_contact
from tests.engine.reference_subjects import RefAgent, RefContact

ASSIGNED, INTERRUPTED = ContactState.ASSIGNED, ContactState.INTERRUPTED


def chain(agent: RefAgent, contact: RefContact) -> int:
    """Length of the longest chain of channels that may interrupt a contact's."""
    found, channels = 0, {contact.channel}
    while channels := {other for channel in channels for other in agent.interruptors(channel)}:
        found += 1
    return found


def yields_first(agent: RefAgent, contact: RefContact) -> tuple[int, int, int]:
    """Greatest for who gives way first."""
    return chain(agent, contact), contact.accepted_ms, contact.sequence


def interrupt_and_resume(floor: Floor, agent: RefAgent) -> bool:
    """Whether all is done; else effects ran out of room."""
    capacity = agent.definition.capacity
    while agent.accepted > capacity:
        at_work = {
            one.channel for one in agent.held if one.state in (ASSIGNED, ContactState.WRAP_UP)
        }
        open_to_it = [
            one
            for one in agent.held
            if one.state is ASSIGNED and at_work & set(agent.interruptors(one.channel))
        ]
        if not open_to_it:
            break
        if not has_effect_room(floor):
            return False
        agent.note_occupancy(floor.now_ms)
        chosen = max(open_to_it, key=partial(yields_first, agent))
        chosen.state, chosen.put_aside_ms = INTERRUPTED, floor.now_ms
        record_contact(floor, EffectKind.CONTACT_INTERRUPTED, chosen)
    while True:
        room = capacity - agent.used
        held_up = [
            one
            for one in agent.held
            if one.state is INTERRUPTED and (one.cost <= room or agent.used == 0)
        ]
        if not held_up:
            return True
        if not has_effect_room(floor):
            return False
        chosen = min(held_up, key=partial(yields_first, agent))
        go_on(floor, chosen)
        record_contact(floor, EffectKind.CONTACT_RESUMED, chosen)


def go_on(floor: Floor, contact: RefContact) -> None:
    floor.agents[contact.agent_id].note_occupancy(floor.now_ms)
    contact.interrupted_ms += floor.now_ms - contact.put_aside_ms
    contact.state = ASSIGNED
