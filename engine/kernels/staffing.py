"""Who works on a simulated floor: agents come, finish what is in hand or hand it back, and go."""

from engine.kernels.boundary import Table, open_agents, open_cell, open_contacts
from engine.kernels.callers import change_waiting
from engine.kernels.compilation import kernel
from engine.kernels.deeds import draws_of, request_agent, rounded, run_operation
from engine.kernels.distributions import draw
from engine.kernels.drawing import PATIENCE_ANEW
from engine.kernels.floor_columns import (
    FREED,
    NEXT_CHANGE,
    NOW,
    SIGNED_IN,
    open_changes,
    open_floor_agents,
    open_floor_contacts,
    open_groups,
    open_run,
    open_streams,
)
from engine.kernels.measuring import look_at_group
from engine.kernels.requests import IN_AGENT, IN_REASON, IN_VALUE, Operation
from engine.lifecycle import ContactState, Presence

_ASSIGNED = int(ContactState.ASSIGNED)
_AVAILABLE = int(Presence.AVAILABLE)
_BUSY = int(Presence.BUSY)
_RELEASE = int(Operation.RELEASE)
_SET_PRESENCE = int(Operation.SET_PRESENCE)


@kernel
def sign(table: Table, floor: Table, agent: int, is_signed_in: int) -> None:
    """Sign an agent in or out; what is in hand stays in hand. As the transition."""
    agents, groups = open_floor_agents(floor), open_groups(floor)
    group = agents.group[agent]
    look_at_group(floor, group)
    groups.signed_in[group] += is_signed_in - agents.is_signed_in[agent]
    open_run(floor).scalar[SIGNED_IN] += is_signed_in - agents.is_signed_in[agent]
    agents.is_signed_in[agent] = is_signed_in
    request = open_cell(table).request
    request[IN_AGENT] = agent
    request[IN_VALUE] = _AVAILABLE if is_signed_in else _BUSY
    request[IN_REASON] = 0
    run_operation(table, floor, _SET_PRESENCE)


@kernel
def change_staffing(table: Table, floor: Table) -> None:
    """
    The next change of staffing takes place: the first of the group who are away come, or the last
    who are idle go; where too many are left, those go who finish next, or who must hand back.

    O(agents of the group), and as the transitions.
    """
    changes, groups = open_changes(floor), open_groups(floor)
    agents = open_floor_agents(floor)
    scalar = open_run(floor).scalar
    place = scalar[NEXT_CHANGE]
    scalar[NEXT_CHANGE] = place + 1
    group, wanted = changes.group[place], changes.agents[place]
    groups.staffing[group] = wanted
    first = groups.first_agent[group]
    last = first + groups.agent_count[group] - 1
    for agent in range(first, last + 1):
        if groups.signed_in[group] < wanted and agents.is_signed_in[agent] == 0:
            sign(table, floor, agent, 1)
    for back in range(groups.agent_count[group]):
        agent = last - back
        is_idle = open_agents(table).contact_count[agent] == 0
        if groups.signed_in[group] > wanted and agents.is_signed_in[agent] == 1 and is_idle:
            sign(table, floor, agent, 0)
    if groups.hands_back[group] == 0:
        return
    for back in range(groups.agent_count[group]):
        agent = last - back
        if groups.signed_in[group] > wanted and agents.is_signed_in[agent] == 1:
            sign(table, floor, agent, 0)
            hand_back(table, floor, agent)


@kernel
def finish(table: Table, floor: Table, agent: int) -> None:
    """
    Note that an agent is about to be rid of a contact; where too many are left, and it is the only
    one, the agent goes. As the transition.
    """
    open_run(floor).scalar[FREED] = agent
    agents, groups = open_floor_agents(floor), open_groups(floor)
    group = agents.group[agent]
    is_last = open_agents(table).contact_count[agent] == 1
    if groups.signed_in[group] > groups.staffing[group] and agents.is_signed_in[agent] and is_last:
        sign(table, floor, agent, 0)


@kernel
def put_down(floor: Table, contact: int) -> None:
    """Note what is left to do for a contact, which waits anew with a patience of its own. O(1)."""
    contacts = open_floor_contacts(floor)
    run = open_run(floor)
    worked_ms = float(run.scalar[NOW] - contacts.worked_ms[contact])
    left_ms = contacts.work_ms[contact] - worked_ms * contacts.work_speed[contact]
    contacts.work_ms[contact] = max(left_ms, 0.0)
    patience = open_streams(floor).patience[contacts.stream[contact]]
    if patience >= 0:
        anew_ms = draw(floor, patience, run.key[0], draws_of(floor, contact), PATIENCE_ANEW)
        contacts.leaves_ms[contact] = rounded(run.scalar[NOW], anew_ms)
    change_waiting(floor, contacts.stream[contact], 1)


@kernel
def hand_back(table: Table, floor: Table, agent: int) -> None:
    """An agent who leaves gives back the contacts in hand. O(contacts held x search)."""
    contacts = open_contacts(table)
    contact = open_agents(table).first_contact[agent]
    while contact >= 0:
        following = contacts.agent_following[contact]
        if contacts.state[contact] == _ASSIGNED:
            put_down(floor, contact)
            request_agent(table, contact)
            run_operation(table, floor, _RELEASE)
        contact = following
