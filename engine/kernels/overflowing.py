"""
Declared rules of a simulated floor that are no settings of the cell: groups that help out, and a
claim that grows with the queue. They move agents and weights; who gets whom the cell decides.
"""

from engine.kernels.bits import set_bit
from engine.kernels.boundary import Table, open_agents, open_bitsets, open_cell, open_queues
from engine.kernels.columns import W_SKILL
from engine.kernels.compilation import kernel
from engine.kernels.deeds import run_operation
from engine.kernels.floor_columns import (
    ARRIVED_IN,
    FREED,
    OVERFLOW_RULES,
    open_floor_agents,
    open_groups,
    open_overflows,
    open_queue_rules,
    open_run,
)
from engine.kernels.floor_events import follow_all
from engine.kernels.requests import IN_AGENT, Operation

_AGENT_CHANGED = int(Operation.AGENT_CHANGED)


@kernel
def longest_idle(table: Table, floor: Table, group: int, keep_idle: int) -> int:
    """
    Agent of a group who is signed in and has been idle longest, -1 unless more than `keep_idle`
    are. O(agents of the group).
    """
    agents, floor_agents, groups = open_agents(table), open_floor_agents(floor), open_groups(floor)
    first = groups.first_agent[group]
    chosen, idle = -1, 0
    for agent in range(first, first + groups.agent_count[group]):
        if floor_agents.is_signed_in[agent] == 0 or agents.contact_count[agent] > 0:
            continue
        idle += 1
        if chosen < 0 or agents.idle_since_ms[agent] < agents.idle_since_ms[chosen]:
            chosen = agent
    return chosen if idle > keep_idle else -1


@kernel
def serve_once(table: Table, floor: Table, agent: int, queue: int) -> None:
    """Have an agent with room take a contact of a queue that is not theirs. One search."""
    bitsets = open_bitsets(table)
    set_bit(bitsets.queue_agents[queue], agent, True)
    set_bit(bitsets.agent_queues[agent], queue, True)
    open_cell(table).request[IN_AGENT] = agent
    run_operation(table, floor, _AGENT_CHANGED)
    set_bit(bitsets.queue_agents[queue], agent, False)
    set_bit(bitsets.agent_queues[agent], queue, False)
    follow_all(table, floor)


@kernel
def overflow(table: Table, floor: Table) -> None:
    """
    Let groups help out after an arrival in the queue, or after one of theirs has finished.

    One contact is taken where as many wait as the rule says. O(rules x agents of the group).
    """
    rules = open_overflows(floor)
    scalar = open_run(floor).scalar
    waiting = open_queues(table).waiting
    freed = scalar[FREED]
    freed_group = open_floor_agents(floor).group[freed] if freed >= 0 else -1
    for rule in range(scalar[OVERFLOW_RULES]):
        queue, group = rules.queue[rule], rules.group[rule]
        is_asked = scalar[ARRIVED_IN] == queue or freed_group == group
        if is_asked and waiting[queue] >= rules.from_waiting[rule]:
            agent = longest_idle(table, floor, group, rules.keep_idle[rule])
            if agent >= 0:
                serve_once(table, floor, agent, queue)


@kernel
def weigh_queues(table: Table, floor: Table) -> None:
    """Bring the weights that grow with the number waiting up to date. O(queues)."""
    queues = open_queues(table)
    rules = open_queue_rules(floor)
    for queue in range(rules.skill_per_waiting.shape[0]):
        if rules.skill_per_waiting[queue] > 0.0:
            growth = rules.skill_per_waiting[queue] * queues.waiting[queue]
            queues.weight[queue, W_SKILL] = rules.skill[queue] + growth
