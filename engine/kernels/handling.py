"""What agents of a simulated floor do: answer offers, handle, wrap up, each at their own pace."""

from engine.kernels.boundary import Table, open_agents, open_cell, open_contacts
from engine.kernels.callers import change_waiting
from engine.kernels.compilation import kernel
from engine.kernels.deeds import (
    draws_of,
    numbered,
    request_agent,
    rounded,
    run_operation,
    schedule,
)
from engine.kernels.distributions import draw
from engine.kernels.drawing import (
    ANSWER,
    ANSWER_DELAY,
    HANDLE,
    WRAP_UP,
    uniform,
)
from engine.kernels.floor_columns import (
    ACCEPT_SHARE,
    ANSWER_LAW,
    NOW,
    open_floor_agents,
    open_floor_contacts,
    open_groups,
    open_handling,
    open_points,
    open_run,
    open_streams,
)
from engine.kernels.measuring import measure_answer
from engine.kernels.requests import IN_OFFER, IN_VALUE, Operation
from engine.lifecycle import ContactState

_OFFERED = int(ContactState.OFFERED)
_ASSIGNED = int(ContactState.ASSIGNED)
_ACCEPT = int(Operation.ACCEPT)
_DECLINE = int(Operation.DECLINE)


@kernel
def answer_offer(table: Table, floor: Table, contact: int) -> None:
    """An agent takes an offer, or turns it down, by the contact's draw. As `accept`."""
    contacts = open_contacts(table)
    run = open_run(floor)
    request_agent(table, contact)
    open_cell(table).request[IN_OFFER] = contacts.offer[contact]
    open_cell(table).request[IN_VALUE] = 0
    # A draw for each offer of the contact, or it would be declined for ever.
    number = numbered(open_floor_contacts(floor).number[contact], contacts.offers_failed[contact])
    is_taken = uniform(run.key[0], number, ANSWER) < run.share[ACCEPT_SHARE]
    run_operation(table, floor, _ACCEPT if is_taken else _DECLINE)


@kernel
def offer_made(table: Table, floor: Table, contact: int) -> None:
    """An agent is offered a contact and answers at once, or when it has heard it. As `accept`."""
    contacts = open_floor_contacts(floor)
    run = open_run(floor)
    law = run.scalar[ANSWER_LAW]
    if law < 0:
        if open_contacts(table).state[contact] == _OFFERED:
            answer_offer(table, floor, contact)
        return
    number = numbered(contacts.number[contact], open_contacts(table).offers_failed[contact])
    delay_ms = draw(floor, law, run.key[0], number, ANSWER_DELAY)
    contacts.answers_ms[contact] = rounded(run.scalar[NOW], delay_ms)
    schedule(floor, contact, min(contacts.answers_ms[contact], contacts.leaves_ms[contact]))


@kernel
def pace(table: Table, floor: Table, agent: int) -> None:
    """Set anew when an agent whose speed depends on its load is done with each contact.

    O(contacts held x log contacts).
    """
    groups = open_groups(floor)
    group = open_floor_agents(floor).group[agent]
    held = min(open_agents(table).contact_count[agent], groups.speed_count[group])
    if held == 0:
        return
    contacts = open_floor_contacts(floor)
    now_ms = open_run(floor).scalar[NOW]
    speed = open_points(floor).value_ms[groups.first_speed[group] + held - 1]
    contact = open_agents(table).first_contact[agent]
    while contact >= 0:
        if open_contacts(table).state[contact] == _ASSIGNED:
            if contacts.worked_ms[contact] < now_ms:
                passed_ms = float(now_ms - contacts.worked_ms[contact])
                contacts.work_ms[contact] -= passed_ms * contacts.work_speed[contact]
                contacts.worked_ms[contact] = now_ms
            contacts.work_speed[contact] = speed
            left_ms = max(contacts.work_ms[contact], 0.0)
            schedule(floor, contact, rounded(now_ms, left_ms / speed))
        contact = open_contacts(table).agent_following[contact]


@kernel
def begin_handling(table: Table, floor: Table, contact: int, wait_ms: int) -> None:
    """An agent has accepted and begins, or goes on where another stopped. O(log contacts)."""
    contacts = open_floor_contacts(floor)
    agents = open_floor_agents(floor)
    run = open_run(floor)
    agent = open_contacts(table).agent[contact]
    stream = contacts.stream[contact]
    change_waiting(floor, stream, -1)
    if contacts.work_ms[contact] < 0.0:
        measure_answer(floor, contact, agents.group[agent], wait_ms)
        draw_work(floor, contact, agent)
    contacts.work_speed[contact] = 1.0
    contacts.worked_ms[contact] = run.scalar[NOW]
    schedule(floor, contact, rounded(run.scalar[NOW], contacts.work_ms[contact]))


@kernel
def draw_work(floor: Table, contact: int, agent: int) -> None:
    """Draw how long an agent takes over a contact. As `draw`."""
    contacts = open_floor_contacts(floor)
    agents = open_floor_agents(floor)
    streams = open_streams(floor)
    stream = contacts.stream[contact]
    law = open_handling(floor).law[agents.group[agent] * streams.arrived.shape[0] + stream]
    work_ms = draw(floor, law, open_run(floor).key[0], draws_of(floor, contact), HANDLE)
    contacts.work_ms[contact] = work_ms * agents.slowness[agent]


@kernel
def begin_wrap_up(table: Table, floor: Table, contact: int) -> None:
    """
    Handling has ended: draw how long wrap-up will take, no time where the stream has none but
    others of its queue have. O(log contacts).
    """
    contacts = open_floor_contacts(floor)
    run = open_run(floor)
    law = open_streams(floor).wrap_up[contacts.stream[contact]]
    duration_ms = 0.0
    if law >= 0:
        slowness = open_floor_agents(floor).slowness[open_contacts(table).agent[contact]]
        duration_ms = slowness * draw(floor, law, run.key[0], draws_of(floor, contact), WRAP_UP)
    schedule(floor, contact, rounded(run.scalar[NOW], duration_ms))
